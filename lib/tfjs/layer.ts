/**
 * The kind of layers: configuration, weights, trainable flags, recurrent states and the seeds of random layers.
 *
 * Facts this rests on (tfjs-layers 4.22): names like `dense_Dense3` come from counters of the process and are no state; `setWeights`
 * applies constraints, which training does not, so weights are assigned; a stateful recurrent layer keeps its states outside its
 * weights; random preprocessing layers count their seed up.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Kind, Site, Target } from "../component.ts";
import { isPlainRecord } from "../rules.ts";
import { aside, entry, isBranch, type Named, type Node, record, unwrap } from "../state_tree.ts";
import { isTypedArray } from "../tensor.ts";
import {
  checkClass,
  checkParts,
  classOf,
  encodeParts,
  encoding,
  isOld,
  isTfjsClass,
  noteClasses,
  ofSecondCopy,
  partsOf,
  unbuildable,
} from "./classes.ts";
import { compareConfig, oldConfig, reportUnbuilt, wholeConfig, withoutConfig, withPlaces } from "./configuration.ts";
import { encodeVariables, restoreVariables } from "./layer_variables.ts";
import { fieldsOf, givenName, isMadeUp, models, nameWeights, ownWeights, sublayers } from "./names.ts";
import { layerVariables } from "./tensor.ts";

// --- constructors

/** The cells of a recurrent layer that keeps the dropout masks of its first step for ever; SimpleRNN, GRU and LSTM draw theirs anew. */
function maskedCells(layer: tf.layers.Layer): readonly Record<string, unknown>[] {
  if (layer.getClassName() !== "RNN") return [];
  const { cell } = fieldsOf(layer) as {
    readonly cell?: tf.layers.Layer & { readonly cells?: readonly tf.layers.Layer[] };
  };
  return [cell?.cells ?? cell ?? []].flat().map(fieldsOf);
}

const maskNames = ["dropoutMask", "recurrentDropoutMask"] as const;

// --- capture and restore

/**
 * A layer's configuration as plain data without what tfjs made up; `state` leaves out what no later step depends on or what is
 * captured by itself: initializers, flags, its name, and the counted seed of a random layer.
 */
function configOf(layer: tf.layers.Layer, state: boolean, config: unknown = wholeConfig(layer)): unknown {
  const drops = (key: string, own: boolean): boolean =>
    state && (key === "trainable" || /[iI]nitializer$/.test(key) ||
      (own && (key === "name" || (key === "seed" && fieldsOf(layer).randomGenerator !== undefined))));
  const plain = (value: unknown, className?: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => plain(item));
    // What is built from one copy of a configuration must not refer to the other.
    if (isTypedArray(value)) return value.slice();
    if (!isPlainRecord(value)) return value;
    const named = (key: string, part: unknown): boolean =>
      key === "name" && typeof part === "string" && className !== undefined &&
      isMadeUp(part, className, models.includes(className));
    return Object.fromEntries(
      Object.entries(withPlaces(value, (name, of) => isMadeUp(name, of, models.includes(of))))
        .filter(([key, part]) =>
          part !== undefined && !named(key, part) && !drops(key, className === layer.getClassName())
        )
        .map(([key, part]) => [
          key,
          plain(part, key === "config" && typeof value["className"] === "string" ? value["className"] : undefined),
        ]),
    );
  };
  return plain(config, layer.getClassName());
}

/** As {@link wholeConfig}; refuses a layer whose configuration cannot be had. */
function encodeConfig(layer: tf.layers.Layer, site: Site): Record<string, unknown> {
  try {
    return wholeConfig(layer);
  } catch (error) {
    const inside = (of: tf.layers.Layer): readonly (readonly [string, tf.layers.Layer])[] =>
      sublayers(of).flatMap(([name, sub]) =>
        sub instanceof tf.layers.Layer
          ? [[`layers/${name}`, sub] as const]
          : sub.map((part, i) => [`layers/${name}/${i}`, part] as const)
      );
    const [missing] = withoutConfig(layer, inside);
    return missing === undefined
      ? site.refuse(
        "a layer whose getConfig gives its configuration",
        error instanceof Error ? error.message : String(error),
      )
      : site.refuse(
        `${missing[0].split("/").at(-1)} to have a method getConfig that gives its arguments as plain data`,
        `a ${missing[1].constructor.name} without one`,
        missing[0],
      );
  }
}

/** Checks class and name of a layer or model, as far as a user gave them. */
export function checkIdentity(
  state: Node,
  target: Target,
  live: tf.layers.Layer,
  liveClass: string = classOf(live),
): void {
  if (!checkClass(state, target, live, liveClass)) return;
  const name = entry(state, "name");
  if ((typeof name === "string" ? name : null) !== givenName(live)) {
    target.problem(
      "name",
      givenName(live) ?? "no name of the user's",
      typeof name === "string" ? name : "no name of the user's",
    );
  }
}

/** Methods that were set on one object of a tfjs class, and a function among its arguments: no new object has them. */
function ownFunctions(layer: tf.layers.Layer): readonly string[] {
  if (!isTfjsClass(layer)) return [];
  const prototype = Object.getPrototypeOf(layer) as object;
  return Object.entries(layer)
    .filter(([name, value]) => typeof value === "function" && (name in prototype || name === "dropoutFunc"))
    .map(([name]) => name);
}

/** A new object has none of the functions that were set on the captured one. */
function checkFunctions(state: Node, target: Target): void {
  const functions = unwrap(entry(state, "functions") ?? null);
  if (!target.fresh || !Array.isArray(functions)) return;
  for (const name of functions) {
    target.problem(
      "class",
      "a method of a registered class; or restore into a live object that has this function",
      `the function ${String(name)}, set on this one layer`,
    );
  }
}

/** The name that a layer or model is built with: the user's, or one that data goes by. */
export function knownName(state: Node): string | undefined {
  const [given, known] = [entry(state, "name"), unwrap(entry(state, "known") ?? null)];
  return typeof given === "string" ? given : typeof known === "string" ? known : undefined;
}

const flags = ["trainable_", "_trainable"] as const;

/** A layer's or model's own trainable flags; those of its weights are the variables'. */
export function encodeFlags(layer: object): Node {
  const fields = layer as Record<string, unknown>;
  return record(flags.flatMap((flag): Named[] => typeof fields[flag] === "boolean" ? [[flag, fields[flag]]] : []));
}

/** Sets what {@link encodeFlags} read, past the setters, which would change weights. */
export function restoreFlags(
  state: Node | undefined,
  target: Target,
  layer: () => object | undefined,
  at: string = "flags",
): void {
  for (const flag of flags) {
    const value = entry(state, flag);
    if (typeof value !== "boolean") continue;
    const live = (layer() as Record<string, unknown> | undefined)?.[flag];
    if (live !== undefined) target.overrides(`${at}/${flag}`, live, value);
    target.commit(() => void Object.assign(layer() ?? {}, { [flag]: value }));
  }
}

function restoreWeights(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const entries = isBranch(saved) && saved.is === "record" ? saved.entries : [];
  const live = new Map(ownWeights(layer));
  if (entries.length > 0 && live.size === 0 && !layer.built) {
    // Its first call makes a layer's weights.
    return target.fresh
      ? target.problem(
        "missing",
        "a model among the components that calls this layer",
        "the layer alone: restore into a live one",
      )
      : target.problem("config", "a layer that has been called, as in the snapshot", "one that has not");
  }
  for (const name of live.keys()) {
    if (!entries.some(([n]) => n === name)) {
      target.problem("missing", "a weight", "none in the snapshot", `weights/${name}`);
    }
  }
  for (const [name, node] of entries) {
    const weight = live.get(name);
    if (weight === undefined) {
      target.problem("extra", "no such weight", "one in the snapshot", `weights/${name}`);
      continue;
    }
    layerVariables.add(weight.val);
    target.part(["weights", name], weight.val, node, (shared) => {
      const variable = shared as tf.Variable;
      if (variable.dtype !== weight.val.dtype || String(variable.shape) !== String(weight.val.shape)) {
        return target.problem(
          "shape",
          `${weight.val.dtype} [${weight.val.shape}]`,
          `${variable.dtype} [${variable.shape}]`,
          `weights/${name}`,
        );
      }
      const own = weight.val;
      weight.val = variable;
      own.dispose();
    });
    target.commit(() => void (weight.trainable = weight.val.trainable));
  }
}

function restoreStates(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const fields = fieldsOf(layer);
  if (fields.states_ === undefined) return;
  const tensors = Array.isArray(saved) ? saved.map((node: Node, i) => target.value(["states", i], node)()) : null;
  target.commit(() => {
    tf.dispose(fields.states_ ?? []);
    fields.states_ = tensors && tensors.map((tensor) => tf.keep(tensor as tf.Tensor));
  });
}

/** The masks that cells keep, each null, a tensor or several. */
function encodeMasks(layer: tf.layers.Layer, site: Site): readonly Named[] {
  const cells = maskedCells(layer);
  if (cells.every((cell) => maskNames.every((name) => !cell[name]))) return [];
  return [[
    "masks",
    cells.map((cell, i) =>
      record(maskNames.map((name) => {
        const mask = cell[name] as tf.Tensor | readonly tf.Tensor[] | null | undefined;
        if (!mask) return [name, null];
        return [name, [mask].flat().map((tensor, k) => site.part(["masks", i, name, k], tensor))];
      }))
    ),
  ]];
}

function restoreMasks(saved: Node, target: Target, layer: tf.layers.Layer): void {
  for (const [i, cell] of maskedCells(layer).entries()) {
    for (const name of maskNames) {
      const nodes = entry(Array.isArray(saved) ? saved[i] : undefined, name);
      const masks = (Array.isArray(nodes) ? nodes : []).map((node: Node, k) =>
        target.value(["masks", i, name, k], node)() as tf.Tensor
      );
      target.commit(() => {
        tf.dispose((cell[name] ?? []) as tf.Tensor[]);
        masks.forEach((mask) => tf.keep(mask));
        // As tfjs makes them: one mask for cells of one gate, several for the others.
        cell[name] = masks.length > 1 ? masks : masks[0] ?? null;
      });
    }
  }
}

/** The option `weights` of a layer that has not been called yet. */
function encodeInitial(layer: tf.layers.Layer, site: Site): readonly Named[] {
  const { initialWeights } = fieldsOf(layer);
  if (layer.built || !initialWeights) return [];
  return [["initial", initialWeights.map((tensor, i) => site.part(["initial", i], tensor))]];
}

function restoreInitial(saved: Node | undefined, target: Target, layer: tf.layers.Layer): void {
  const tensors = Array.isArray(saved) ? saved.map((node: Node, i) => target.value(["initial", i], node)) : undefined;
  if (tensors === undefined && (layer.built || !fieldsOf(layer).initialWeights)) return;
  target.commit(() => {
    fieldsOf(layer).initialWeights = tensors?.map((tensor) => tf.keep(tensor() as tf.Tensor)) ?? null;
  });
}

/** 0.1.0 wrote, as tfjs does, the regularizer of a depthwise convolution in the place of its constraint. */
function checkOldConfig(className: string, state: Node, target: Target): void {
  const build = target.plain(entry(state, "build") ?? null);
  if (className !== "DepthwiseConv2D" || !isPlainRecord(build) || !build["depthwiseRegularizer"]) return;
  target.problem(
    "config",
    "the constraint, which 0.1.0 did not record: restore into a live layer",
    "the regularizer in its place",
    "config/depthwiseConstraint",
  );
}

/** A layer that has no weights yet draws them at its first call: then its initializers are state. */
function compareInitializers(state: Node, target: Target, layer: tf.layers.Layer): void {
  const weights = entry(state, "weights");
  if (
    layer.built || (weights !== undefined && isBranch(weights) && weights.is === "record" && weights.entries.length > 0)
  ) {
    return;
  }
  const initializers = (config: unknown): unknown =>
    Object.fromEntries(
      Object.entries(isPlainRecord(config) ? config : {}).filter(([name]) => /[iI]nitializer$/.test(name)),
    );
  const saved = initializers(target.plain(entry(state, "build") ?? null));
  compareConfig(initializers(configOf(layer, false)), saved, "config", target);
}

/** Puts right what tfjs's own ways of building leave out, of a layer and of those in it. */
function settle(layer: tf.layers.Layer, state: Node, target: Target): void {
  const config = target.plain(entry(state, "build") ?? null);
  if (isPlainRecord(config)) {
    // Where a layer gives itself an input shape, its constructor makes up a dtype that the layer did not have.
    if (config["dtype"] === undefined) Object.assign(layer, { dtype: undefined });
    if (layer.getClassName() === "StackedRNNCells") {
      const { batchInputShape, dtype } = config;
      const name = entry(state, "name");
      Object.assign(layer, { batchInputShape, dtype }, typeof name === "string" ? { name } : {});
    }
  }
  const inside = entry(state, "layers");
  const live = new Map<string | number, tf.layers.Layer | readonly tf.layers.Layer[]>(
    layer instanceof tf.LayersModel ? layer.layers.entries() : sublayers(layer),
  );
  const nodes: readonly (readonly [string | number, Node])[] = Array.isArray(inside)
    ? [...inside.entries()]
    : inside !== undefined && isBranch(inside) && inside.is === "record"
    ? inside.entries
    : [];
  for (const [name, node] of nodes) {
    const subs = [live.get(name) ?? []].flat();
    const parts: readonly Node[] = Array.isArray(node) ? node : [node];
    parts.forEach((part, i) => {
      const sub = subs[i];
      if (sub !== undefined && isBranch(part) && part.is === "kind") settle(sub, part.state, target);
    });
  }
}

function restoreSublayers(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const live = new Map(sublayers(layer));
  for (const [name, node] of isBranch(saved) && saved.is === "record" ? saved.entries : []) {
    const sub = live.get(name);
    const nodes: readonly Node[] = Array.isArray(node) ? node : [node];
    const subs = sub === undefined ? [] : [sub].flat();
    if (nodes.length !== subs.length) {
      target.problem("length", `${subs.length} layers in it`, `${nodes.length}`, `layers/${name}`);
      continue;
    }
    nodes.forEach((part, i) =>
      target.part(Array.isArray(node) ? ["layers", name, i] : ["layers", name], subs[i], part)
    );
  }
}

/** The kind of layers; models have their own. */
export const layerKind: Kind<tf.layers.Layer> = {
  name: "Layer",
  is: (u): u is tf.layers.Layer => u instanceof tf.layers.Layer && !(u instanceof tf.LayersModel),
  rejection: (u) => "getClassName" in u && "countParams" in u ? ofSecondCopy(u, tf.layers.Layer) : undefined,
  nameParts: (layer, names) => nameWeights([layer], names),
  encode: (layer, site) => {
    const fields = fieldsOf(layer);
    const seed = fields.randomGenerator?.seed;
    const config = encodeConfig(layer, site);
    const [parts, functions, known] = [partsOf(layer), ownFunctions(layer), site.names.get(layer)];
    const state = record([
      ["class", classOf(layer)],
      ["name", givenName(layer)],
      ["config", site.plain(configOf(layer, true, config))],
      ["build", aside(site.plain(configOf(layer, false, config)))],
      encoding,
      ...encodeParts(parts),
      ...(functions.length === 0 ? [] : [["functions", aside(functions)] as const]),
      // Data goes by it, though tfjs may have made it up.
      ...(known === undefined || givenName(layer) !== null ? [] : [["known", aside(known)] as const]),
      ["flags", encodeFlags(layer)],
      ["weights", record(ownWeights(layer).map(([name, weight]) => [name, site.part(["weights", name], weight.val)]))],
      ...encodeInitial(layer, site),
      ...encodeVariables(layer, site),
      ["states", fields.states_ ? fields.states_.map((state, i) => site.part(["states", i], state)) : null],
      ...encodeMasks(layer, site),
      ["seed", seed ?? null],
      [
        "layers",
        record(
          sublayers(layer).map(([name, sub]) => [
            name,
            sub instanceof tf.layers.Layer
              ? site.part(["layers", name], sub)
              : sub.map((part, i) => site.part(["layers", name, i], part)),
          ]),
        ),
      ],
    ]);
    noteClasses(state, layer, parts);
    return state;
  },
  buildsParts: true,
  build: (state, target) => {
    const className = String(entry(state, "class"));
    const why = unbuildable(className);
    const found = tf.serialization.SerializationMap.getMap().classNameMap[className];
    if (why !== undefined || found === undefined || !(found[0].prototype instanceof tf.layers.Layer)) {
      target.problem("class", why?.expected ?? "the class of a layer", why?.found ?? className);
      return undefined;
    }
    if (isOld(state)) checkOldConfig(className, state, target);
    const name = knownName(state);
    const config = target.plain(entry(state, "build") ?? null) as tf.serialization.ConfigDict;
    try {
      // A wrapper's layers keep the prefix that it gives them, so their names are never set here.
      const layer = found[1](found[0], name === undefined ? config : { ...config, name }) as tf.layers.Layer;
      settle(layer, state, target);
      // Drawing weights that are about to be replaced would be in vain; a layer that has none yet draws them when it is called.
      layer.setFastWeightInitDuringBuild(true);
      target.after(() => layer.setFastWeightInitDuringBuild(false));
      return layer;
    } catch (error) {
      reportUnbuilt(target.plain(entry(state, "build") ?? null), target, error);
      return undefined;
    }
  },
  restore: (state, target, live) => {
    const layer = live as tf.layers.Layer;
    checkIdentity(state, target, layer);
    const config = isOld(state) ? oldConfig(layer) : wholeConfig(layer);
    const saved = target.plain(entry(state, "config") ?? null);
    compareConfig(configOf(layer, true, config), isOld(state) ? configOf(layer, true, saved) : saved, "config", target);
    if (!isOld(state)) compareInitializers(state, target, layer);
    checkParts(state, target, layer);
    checkFunctions(state, target);
    restoreFlags(entry(state, "flags"), target, () => layer);
    restoreWeights(entry(state, "weights") ?? null, target, layer);
    restoreInitial(entry(state, "initial"), target, layer);
    restoreVariables(state, target, layer);
    restoreStates(entry(state, "states") ?? null, target, layer);
    restoreMasks(entry(state, "masks") ?? null, target, layer);
    restoreSublayers(entry(state, "layers") ?? null, target, layer);
    const seed = entry(state, "seed");
    const { randomGenerator } = fieldsOf(layer);
    if (randomGenerator !== undefined && typeof seed === "number") {
      target.commit(() => void (randomGenerator.seed = seed));
    }
    return () => layer;
  },
};
