/**
 * The kind of models: sequential and functional ones, nested, with shared layers, and compiled.
 *
 * A model is rebuilt from its layers and its call graph, not by tfjs's `fromConfig`, which makes two layers of one that two models share.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  entry,
  isBranch,
  isCase,
  type Kind,
  type Node,
  type PartsOf,
  record,
  type Site,
  type Target,
} from "../../state/mod.ts";
import { isAllocation, toError } from "../../errors/mod.ts";
import { layerFields, listItems, modelFields, recordEntries, textIn } from "../mod.ts";
import {
  classNameOf,
  encodingVersion,
  isTfjsClass,
  isTfjsName,
  registeredClass,
  rememberPrototypes,
} from "./class_name.ts";
import { buildCompile, encodeCompile, restoreCompile } from "./compile_state.ts";
import { advanceCounters, checkInputNames, encodeInputNames, nameInputsAndOutputs } from "./input_names.ts";
import { encodeFlags, restoreFlags } from "./layer_flags.ts";
import { plainConfig } from "./layer_config.ts";
import { alignLayers, type LayerMark } from "./layer_alignment.ts";
import { checkIdentity, givenLayerName, nameWeights, ownWeights, reportName, savedName } from "./layer_name.ts";
import { buildFunctional, graphDifference, graphOf } from "./call_graph.ts";

// --- constructors

/** A model's class: its declared class name or, for a subclass that inherits the name, the constructor's name. */
function modelClassName(model: tf.LayersModel): string {
  const prototype = Object.getPrototypeOf(model) as object;
  const [declared, { name }] = [classNameOf(model), prototype.constructor];
  if (isTfjsClass(model) || registeredClass(declared)?.[0].prototype === prototype) return declared;
  return typeof name !== "string" || name === "" || isTfjsName(name) ? declared : name;
}

/**
 * Whether a sequential model has yet to build its inner model, in a way that changes state: building sets the flag of each weight to the
 * model's own. If no flag would change, the model counts as built.
 */
function isUnbuilt(model: tf.LayersModel): boolean {
  if (!(model instanceof tf.Sequential) || modelFields(model).model !== undefined) return false;
  const weights = model.layers.flatMap((layer) => layerFields(layer)._trainableWeights);
  return model.layers.length === 0 || weights.some((weight) => weight.trainable !== model.trainable);
}

function setBuilt(model: tf.Sequential, built: boolean): void {
  const fields = modelFields(model);
  if (built && fields.model === undefined) model.build();
  if (!built && fields.model !== undefined) [fields.model, model.built] = [undefined, false];
}

// --- capture and restore

function encodeModel(model: tf.LayersModel, site: Site): Node {
  const unbuilt = isUnbuilt(model);
  const lost = unbuilt ? undefined : layerFields(model).weights.find(({ val }) => !site.names.has(val));
  if (lost !== undefined) {
    const expected = "weights in layers, or in fields that are layers or arrays of layers";
    site.refuse(expected, `${lost.originalName} elsewhere`);
  }
  const state = record([
    ["class", modelClassName(model)],
    ["name", givenLayerName(model)],
    encodingVersion,
    ...encodeInputNames(model, site),
    ["built", !unbuilt],
    ["flags", encodeFlags(model)],
    ["inner", unbuilt || !(model instanceof tf.Sequential) ? null : encodeFlags(modelFields(model).model ?? model)],
    ["layers", model.layers.map((layer, i) => site.part(["layers", i], layer))],
    ["graph", model instanceof tf.Sequential ? null : site.plain(graphOf(model))],
    ["compile", encodeCompile(model, site)],
  ]);
  rememberPrototypes(state, model, []);
  return state;
}

/** Reports why a model with user-defined layers could not be built; throws other errors again. */
function reportUserLayers(layers: readonly tf.layers.Layer[], target: Target, error: unknown): void {
  // A user-defined layer may be built with fewer arguments than it had, for example without its input shape.
  const own = layers.filter((layer) => !isTfjsClass(layer) && !(layer instanceof tf.LayersModel));
  if (own.length === 0 || isAllocation(error)) throw error;
  const names = own.map((layer) => layer.getClassName()).join(", ");
  const remedy = `Let getConfig and fromConfig of ${names} keep every argument, those of Layer too`;
  target.problem("class", "layers that can be called as before", toError(error).message, undefined, remedy);
}

function buildModel(state: Node, target: Target): tf.LayersModel | undefined {
  const [className, name] = [String(entry(state, "class")), savedName(state)];
  advanceCounters(state);
  const objects = listItems(entry(state, "layers")).map((node, i) => target.object(["layers", i], node));
  // The layer that could not be built has been reported.
  if (objects.some((object) => !(object instanceof tf.layers.Layer))) return undefined;
  const layers = objects as tf.layers.Layer[];
  try {
    if (className === "Sequential") {
      const model = tf.sequential({ layers, ...(name === undefined ? {} : { name }) });
      setBuilt(model, entry(state, "built") === true);
      return model;
    }
    if (className === "Model" || className === "Functional") {
      return buildFunctional(target.plain(entry(state, "graph") ?? null), layers, name, className);
    }
  } catch (error) {
    reportUserLayers(layers, target, error);
    return undefined;
  }
  const remedy = "Load into a model of this class";
  target.problem("class", "a sequential or functional model", className, undefined, remedy);
  return undefined;
}

/** The state of a model without what `compile` decided; that of anything else as it is. */
export function uncompiled(kind: string, state: Node): Node {
  if (kind !== modelKind.name) return state;
  return record(recordEntries(state).map(([name, node]) => [name, name === "compile" ? null : node]));
}

/** What a layer without a name is recognized by: its class and its config, without what only a first layer has. */
function likenessOf(className: string, config: unknown): string {
  const { batchInputShape: _, dtype: __, ...rest } = Object(config) as Record<string, unknown>;
  return JSON.stringify([className, rest], (_, value: unknown) => typeof value === "bigint" ? String(value) : value);
}

/** The shapes of saved weights, as those of {@link ownWeights}; undefined if another layer has them too. */
function savedShapes(weights: Node | undefined): string | undefined {
  const shapes = recordEntries(weights ?? null).map(([name, node]) => {
    const value = isCase(node, "kind") ? entry(node.state, "value") : undefined;
    return isCase(value, "array") ? `${name}:${value.held.shape}` : undefined;
  });
  return shapes.includes(undefined) ? undefined : shapes.join(";");
}

function savedMark(node: Node, target: Target): LayerMark {
  const state = isCase(node, "kind") ? node.state : null;
  const config = (): unknown => target.plain(entry(state, "config") ?? null);
  return {
    name: textIn(state, "name"),
    likeness: () => likenessOf(String(entry(state, "class")), config()),
    shapes: () => savedShapes(entry(state, "weights")),
  };
}

function liveMark(layer: tf.layers.Layer): LayerMark {
  const likeness = (): string =>
    layer instanceof tf.LayersModel
      ? likenessOf(modelClassName(layer), null)
      : likenessOf(classNameOf(layer), plainConfig(layer, "compare"));
  const shapes = (): string => ownWeights(layer).map(([name, { val }]) => `${name}:${val.shape}`).join(";");
  return { name: givenLayerName(layer), likeness, shapes };
}

/**
 * Restores layers by their position. Layers that only one side has, and those of another name at another position, are reported.
 *
 * @returns Whether both sides have the same layers.
 */
function restoreLayers(
  saved: readonly Node[],
  target: Target,
  live: readonly tf.layers.Layer[],
  isSequential: boolean,
): boolean {
  const [before, now] = [saved.map((node) => savedMark(node, target)), live.map(liveMark)];
  const alignment = alignLayers(before, now);
  if (alignment === undefined) {
    target.differs("length", `${live.length} layers`, `${saved.length} layers`, "layers");
    saved.forEach((node, i) => live[i] && target.part(["layers", i], live[i], node));
    return false;
  }
  const layer = (name: string | null, className: string): string =>
    name === null ? `a ${className} without a name` : `the layer ${name}`;
  for (const i of alignment.added) {
    target.differs("missing", layer(now[i]!.name, classNameOf(live[i]!)), "nothing", `layers/${i}`);
  }
  for (const i of alignment.gone) {
    const node = saved[i]!;
    const className = isCase(node, "kind") ? String(entry(node.state, "class")) : "layer";
    target.differs("extra", "nothing", layer(before[i]!.name, className), `layers/${i}`);
  }
  // tfjs lists the layers of a functional model by depth, which other layers change.
  const isInOrder = isSequential || alignment.gone.length + alignment.added.length === 0;
  for (const [i, j] of isInOrder ? alignment.moved : []) {
    const expected = `the layer ${before[i]!.name} in the saved order, as number ${i}`;
    target.problem("config", expected, `it as number ${j}`, `layers/${j}`, "Put these layers in the saved order");
  }
  for (const group of alignment.unsure) {
    const names = group.saved.map((i) => before[i]!.name ?? `layers/${i}`).join(", ");
    for (const j of group.live) {
      target.problem(
        "name",
        `one of the saved layers ${names}, or a new one`,
        now[j]!.name ?? `layers/${j}`,
        `layers/${j}`,
      );
    }
  }
  for (const [i, j] of alignment.pairs) {
    const [there, here] = [before[i]!.name, now[j]!.name];
    // A layer at another position is compared once the others are kept or skipped: problems have one path for both sides.
    if (i === j) target.part(["layers", i], live[i], saved[i]!);
    else if (there !== here) reportName(target, here, there, `layers/${there === null ? i : j}`);
  }
  return alignment.pairs.length === saved.length && alignment.pairs.length === live.length;
}

function restoreModel(state: Node, target: Target, live: tf.LayersModel | undefined): () => tf.LayersModel {
  const model = live as tf.LayersModel;
  // A model of another class has other layers and calls.
  if (!checkIdentity(state, target, model, modelClassName(model))) return () => model;
  checkInputNames(state, target, model);
  // Before the layers, because building sets the flags of the weights.
  if (model instanceof tf.Sequential) target.commit(() => setBuilt(model, entry(state, "built") === true));
  const layers = listItems(entry(state, "layers"));
  const hasSameLayers = restoreLayers(layers, target, model.layers, model instanceof tf.Sequential);
  const graph = model instanceof tf.Sequential ? null : graphOf(model);
  const saved = target.plain(entry(state, "graph") ?? null);
  // With other layers the calls between them differ too.
  if (hasSameLayers && graph !== null && JSON.stringify(graph) !== JSON.stringify(saved)) {
    target.differs("config", "another graph", "one graph of calls between layers", "graph");
  }
  restoreFlags(entry(state, "flags"), target, () => model);
  restoreFlags(entry(state, "inner"), target, () => modelFields(model).model, "inner");
  restoreCompile(entry(state, "compile") ?? null, target, model, hasSameLayers);
  return () => model;
}

/** A merged state with the live graph; and where the saved and the live model call their common layers in another way. */
function withLiveGraph(
  state: Node,
  saved: Node,
  live: Node,
  positions: ReadonlyMap<number, number>,
): ReturnType<NonNullable<PartsOf["moved"]>> {
  const graph = entry(live, "graph");
  const merged = record(
    recordEntries(state).map(([name, node]) => {
      return [name, name === "graph" && node !== null && graph !== undefined ? graph : node];
    }),
  );
  const difference = graphDifference(saved, live, positions);
  if (difference === undefined) return { state: merged };
  const where = typeof difference === "number" ? `layers/${difference}` : `the model's ${difference}`;
  const expected = "the layers that both models have in one order";
  const found = `another order in the checkpoint, before ${where}`;
  return { state: merged, problem: { at: graph == null ? "layers" : "graph", expected, found } };
}

/** The kind of sequential and functional models. */
export const modelKind: Kind<tf.LayersModel> = {
  name: "LayersModel",
  is: (u): u is tf.LayersModel => u instanceof tf.LayersModel,
  nameParts: (model, names) => {
    nameWeights(model.layers, names);
    nameInputsAndOutputs(model, names);
  },
  encode: encodeModel,
  build: (state, target) => {
    const model = buildModel(state, target);
    if (model === undefined) return undefined;
    const compile = entry(state, "compile") ?? null;
    if (isBranch(compile)) {
      if (model instanceof tf.Sequential) model.build();
      buildCompile(compile, target, model);
    }
    return model;
  },
  restore: restoreModel,
  // In the order in which the models were made: building one calls its layers, and a shared layer is first called by the first model.
  order: (paths) => {
    const idOf = (model: object): number => (model as { readonly id: number }).id;
    return [...paths].sort(([a], [b]) => idOf(a) - idOf(b)).map(([, path]) => path);
  },
  parts: {
    named: (state, name, follow) =>
      listItems(entry(state, "layers")).flatMap((layer, i) =>
        entry(follow(layer), "name") === name ? [["layers", i]] : []
      ),
    refers: ["compile", "trained"],
    moved: (state, saved, live, list, positions) =>
      list === "layers" ? withLiveGraph(state, saved, live, positions) : undefined,
  },
};
