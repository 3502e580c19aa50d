/**
 * The kind of layers: config, weights, trainable flags, recurrent states, and the seeds of random layers.
 *
 * `setWeights` applies constraints, which training does not (tfjs-layers 4.22, `variables.ts`), so weights are assigned directly. Random
 * preprocessing layers increment their seed, so it is state.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  aside,
  entry,
  isBranch,
  type Kind,
  type Named,
  type Node,
  record,
  type Site,
  type Target,
  unwrap,
} from "../../state/mod.ts";
import { isPlainRecord } from "../../validation/mod.ts";
import { layerFields, layerWeights, listItems, recordEntries, secondCopyFault, textIn } from "../mod.ts";
import {
  checkFieldClasses,
  classNameOf,
  encodeFieldClasses,
  encodingVersion,
  isOldEncoding,
  isTfjsClass,
  registeredClass,
  rememberPrototypes,
  serializableFields,
  unbuildableClass,
} from "./class_name.ts";
import { compareConfig, encodeConfig, layerConfig, oldConfig, plainConfig, reportBuildError } from "./layer_config.ts";
import { encodeFlags, restoreFlags } from "./layer_flags.ts";
import { checkPlainFields, encodePlainFields, encodeVariables, restoreVariables } from "./user_layer_fields.ts";
import {
  checkIdentity,
  encodeFedName,
  givenLayerName,
  nameWeights,
  ownWeights,
  savedName,
  sublayers,
} from "./layer_name.ts";
import { encodeMasks, encodeStates, restoreMasks, restoreStates } from "./recurrent_state.ts";

// --- capture and restore

/** The names of functions that the script set on one object of a tfjs class, or passed as an argument: no fresh object has them. */
function ownFunctions(layer: tf.layers.Layer): readonly string[] {
  if (!isTfjsClass(layer)) return [];
  const prototype = Object.getPrototypeOf(layer) as object;
  return Object.entries(layer)
    .filter(([name, value]) => typeof value === "function" && (name in prototype || name === "dropoutFunc"))
    .map(([name]) => name);
}

/** Reports the functions of the captured layer that a fresh one lacks. */
function checkFunctions(state: Node, target: Target): void {
  if (!target.fresh) return;
  const expected = "a method of a registered class";
  const remedy = "Make it a method of a registered class, or load into a model that has this function";
  for (const name of listItems(unwrap(entry(state, "functions") ?? null))) {
    target.problem("class", expected, `the function ${String(name)}, set on this one layer`, undefined, remedy);
  }
}

function restoreWeights(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const entries = recordEntries(saved);
  const live = new Map(ownWeights(layer));
  if (entries.length > 0 && live.size === 0 && !layer.built) {
    // A layer makes its weights at its first call.
    const remedy = "Save the model that calls this layer too, or load into a layer that has been called";
    return target.fresh
      ? target.problem("missing", "a model that calls this layer", "the layer alone", undefined, remedy)
      : target.differs("config", "a layer that has not been called", "one that has");
  }
  const names = new Map(entries);
  for (const name of live.keys()) {
    if (!names.has(name)) target.differs("missing", "a weight", "nothing", `weights/${name}`);
  }
  for (const [name, node] of entries) {
    const weight = live.get(name);
    if (weight === undefined) {
      target.differs("extra", "nothing", "a weight", `weights/${name}`);
      continue;
    }
    layerWeights.add(weight.val);
    target.part(["weights", name], weight.val, node, (shared) => {
      const [own, variable] = [weight.val, shared as tf.Variable];
      if (variable.dtype !== own.dtype || String(variable.shape) !== String(own.shape)) {
        const [expected, found] = [`${own.dtype} [${own.shape}]`, `${variable.dtype} [${variable.shape}]`];
        return target.problem("shape", expected, found, `weights/${name}`);
      }
      weight.val = variable;
      own.dispose();
    });
    target.commit(() => void (weight.trainable = weight.val.trainable));
  }
}

/** The state entry `initial`: the option `weights` of a layer that has not been called yet. */
function encodeInitialWeights(layer: tf.layers.Layer, site: Site): readonly Named[] {
  const { initialWeights } = layerFields(layer);
  if (layer.built || !initialWeights) return [];
  return [["initial", initialWeights.map((tensor, i) => site.part(["initial", i], tensor))]];
}

function restoreInitialWeights(saved: Node | undefined, target: Target, layer: tf.layers.Layer): void {
  const tensors = Array.isArray(saved) ? saved.map((node: Node, i) => target.value(["initial", i], node)) : undefined;
  if (tensors === undefined && (layer.built || !layerFields(layer).initialWeights)) return;
  target.commit(() => {
    layerFields(layer).initialWeights = tensors?.map((tensor) => tf.keep(tensor() as tf.Tensor)) ?? null;
  });
}

/** Reports the config of a depthwise convolution that 0.1.0 saved: like tfjs, it wrote the regularizer in place of the constraint. */
function checkOldConfig(className: string, state: Node, target: Target): void {
  const build = target.plain(entry(state, "build") ?? null);
  if (className !== "DepthwiseConv2D" || !isPlainRecord(build) || !build["depthwiseRegularizer"]) return;
  const expected = "the constraint, which 0.1.0 did not record";
  const remedy = "Load into a model that has this layer";
  target.problem("config", expected, "the regularizer in its place", "config/depthwiseConstraint", remedy);
}

/** Compares the initializers of a layer without weights: they are state, because its first call draws the weights. */
function compareInitializers(state: Node, target: Target, layer: tf.layers.Layer): void {
  if (layer.built || recordEntries(entry(state, "weights")).length > 0) return;
  const initializers = (config: unknown): unknown =>
    Object.fromEntries(Object.entries(config as object).filter(([name]) => /[iI]nitializer$/.test(name)));
  const saved = initializers(target.plain(entry(state, "build") ?? null) ?? {});
  compareConfig(initializers(plainConfig(layer, "build")), saved, "config", target);
}

/** A config without the shape and dtype of the input, if the other has none: tfjs moves them when another layer becomes the first of a model. */
function withoutInputOf(config: unknown, other: unknown): unknown {
  if (!isPlainRecord(config) || !isPlainRecord(other) || "batchInputShape" in other) return config;
  const { batchInputShape: _, dtype, ...rest } = config;
  return "dtype" in other ? { ...rest, dtype } : rest;
}

function compareConfigs(state: Node, target: Target, layer: tf.layers.Layer): void {
  const isOld = isOldEncoding(state);
  const saved = target.plain(entry(state, "config") ?? null);
  const live = plainConfig(layer, "compare", isOld ? oldConfig(layer) : layerConfig(layer));
  const found = isOld ? plainConfig(layer, "compare", saved) : saved;
  compareConfig(withoutInputOf(live, found), withoutInputOf(found, live), "config", target);
  if (!isOld) compareInitializers(state, target, layer);
}

/** Sets what tfjs's `fromConfig` loses, in a freshly built layer and in the layers in it. */
function completeBuild(layer: tf.layers.Layer, state: Node, target: Target): void {
  const config = target.plain(entry(state, "build") ?? null);
  if (isPlainRecord(config)) {
    // The constructor of a layer that sets its own input shape also sets a dtype, which the captured layer lacked.
    if (config["dtype"] === undefined) Object.assign(layer, { dtype: undefined });
    // Stacked cells lose their name, dtype and input shape.
    if (layer.getClassName() === "StackedRNNCells") {
      const { batchInputShape, dtype } = config;
      Object.assign(layer, { batchInputShape, dtype, name: textIn(state, "name") ?? layer.name });
    }
  }
  const saved = entry(state, "layers");
  const isModel = layer instanceof tf.LayersModel;
  const live = new Map<string, tf.layers.Layer | readonly tf.layers.Layer[]>(
    isModel ? [["", layer.layers]] : sublayers(layer),
  );
  for (const [name, nodes] of isModel ? [["", saved ?? []] as const] : recordEntries(saved)) {
    const subs = [live.get(name) ?? []].flat();
    [nodes as Node | readonly Node[]].flat().forEach((part, i) => {
      const sub = subs[i];
      if (sub !== undefined && isBranch(part) && part.is === "kind") completeBuild(sub, part.state, target);
    });
  }
}

function encodeSublayers(layer: tf.layers.Layer, site: Site): Node {
  return record(
    sublayers(layer).map(([name, sub]) => {
      if (sub instanceof tf.layers.Layer) return [name, site.part(["layers", name], sub)];
      return [name, sub.map((part, i) => site.part(["layers", name, i], part))];
    }),
  );
}

function restoreSublayers(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const live = new Map(sublayers(layer));
  for (const [name, node] of recordEntries(saved)) {
    const nodes: readonly Node[] = Array.isArray(node) ? node : [node];
    const subs = [live.get(name) ?? []].flat();
    if (nodes.length !== subs.length) {
      target.differs("length", `${subs.length} layers`, `${nodes.length} layers`, `layers/${name}`);
      continue;
    }
    nodes.forEach((part, i) =>
      target.part(Array.isArray(node) ? ["layers", name, i] : ["layers", name], subs[i], part)
    );
  }
}

function encodeLayer(layer: tf.layers.Layer, site: Site): Node {
  const config = encodeConfig(layer, site);
  const [classedFields, functions] = [serializableFields(layer), ownFunctions(layer)];
  const state = record([
    ["class", classNameOf(layer)],
    ["name", givenLayerName(layer)],
    ["config", site.plain(plainConfig(layer, "compare", config))],
    ["build", aside(site.plain(plainConfig(layer, "build", config)))],
    encodingVersion,
    ...encodeFieldClasses(classedFields),
    ...(functions.length === 0 ? [] : [["functions", aside(functions)] as const]),
    ...encodeFedName(layer, site.names),
    ["flags", encodeFlags(layer)],
    ["weights", record(ownWeights(layer).map(([name, weight]) => [name, site.part(["weights", name], weight.val)]))],
    ...encodeInitialWeights(layer, site),
    ...encodeVariables(layer, site),
    ...encodePlainFields(layer, config, site),
    ["states", encodeStates(layer, site)],
    ...encodeMasks(layer, site),
    ["seed", layerFields(layer).randomGenerator?.seed ?? null],
    ["layers", encodeSublayers(layer, site)],
  ]);
  rememberPrototypes(state, layer, classedFields);
  return state;
}

function buildLayer(state: Node, target: Target): tf.layers.Layer | undefined {
  const className = String(entry(state, "class"));
  const fault = unbuildableClass(className);
  const registered = registeredClass(className);
  if (fault !== undefined || registered === undefined || !(registered[0].prototype instanceof tf.layers.Layer)) {
    target.pass({ path: "", kind: "class", ...(fault ?? { expected: "the class of a layer", found: className }) });
    return undefined;
  }
  if (isOldEncoding(state)) checkOldConfig(className, state, target);
  const name = savedName(state);
  const config = target.plain(entry(state, "build") ?? null) as object;
  const [Class, fromConfig] = registered;
  try {
    // Not for the layers in a wrapper: it prefixes their names itself.
    const layer = fromConfig(Class, name === undefined ? config : { ...config, name }) as tf.layers.Layer;
    completeBuild(layer, state, target);
    // Skip the random initial weights, which are replaced at once. A layer without weights draws them at its first call.
    layer.setFastWeightInitDuringBuild(true);
    target.after(() => layer.setFastWeightInitDuringBuild(false));
    return layer;
  } catch (error) {
    // Not `config`, into which fromConfig may have written.
    reportBuildError(target.plain(entry(state, "build") ?? null), target, error);
    return undefined;
  }
}

function restoreLayer(state: Node, target: Target, live: tf.layers.Layer | undefined): () => tf.layers.Layer {
  const layer = live as tf.layers.Layer;
  // A layer of another class has another config and other weights.
  if (!checkIdentity(state, target, layer, classNameOf(layer))) return () => layer;
  compareConfigs(state, target, layer);
  checkFieldClasses(state, target, layer);
  checkFunctions(state, target);
  checkPlainFields(state, target, layer);
  restoreFlags(entry(state, "flags"), target, () => layer);
  restoreWeights(entry(state, "weights") ?? null, target, layer);
  restoreInitialWeights(entry(state, "initial"), target, layer);
  restoreVariables(state, target, layer);
  restoreStates(entry(state, "states") ?? null, target, layer);
  restoreMasks(entry(state, "masks") ?? null, target, layer);
  restoreSublayers(entry(state, "layers") ?? null, target, layer);
  const seed = entry(state, "seed");
  const { randomGenerator } = layerFields(layer);
  if (randomGenerator !== undefined && typeof seed === "number") {
    target.commit(() => void (randomGenerator.seed = seed));
  }
  return () => layer;
}

/** The kind of layers; models have their own kind. */
export const layerKind: Kind<tf.layers.Layer> = {
  name: "Layer",
  is: (u): u is tf.layers.Layer => u instanceof tf.layers.Layer && !(u instanceof tf.LayersModel),
  rejection: (u) => "getClassName" in u && "countParams" in u ? secondCopyFault(u, tf.layers.Layer) : undefined,
  nameParts: (layer, names) => nameWeights([layer], names),
  encode: encodeLayer,
  buildsParts: true,
  build: buildLayer,
  restore: restoreLayer,
};
