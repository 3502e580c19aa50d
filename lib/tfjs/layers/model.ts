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
import { checkIdentity, givenLayerName, nameWeights, savedName } from "./layer_name.ts";
import { buildFunctional, graphDifference, graphOf } from "./call_graph.ts";

// --- types

/** What this needs of the node of a saved layer. */
interface Kinded {
  readonly state: Node;
}

type LayerNames = readonly (string | null)[];

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

function savedLikeness({ state }: Kinded, target: Target): string {
  return likenessOf(String(entry(state, "class")), target.plain(entry(state, "config") ?? null));
}

function liveLikeness(layer: tf.layers.Layer): string {
  return layer instanceof tf.LayersModel
    ? likenessOf(modelClassName(layer), null)
    : likenessOf(classNameOf(layer), plainConfig(layer, "compare"));
}

/**
 * The positions of layers that only one of two lists has; undefined if the lists do not determine them. Layers with names are compared by name.
 * If one side then still has more, it must contain all layers of the other, in order.
 *
 * @param names The names of the layers of each side; null for one without.
 * @param likeness What a layer without a name is recognized by.
 */
function layersOfOneSide(
  names: readonly [saved: LayerNames, live: LayerNames],
  likeness: readonly [saved: (i: number) => string, live: (i: number) => string],
): readonly [saved: ReadonlySet<number>, live: ReadonlySet<number>] | undefined {
  const alone = names.map((own, side) =>
    new Set(own.flatMap((name, i) => name === null || names[1 - side]!.includes(name) ? [] : [i]))
  ) as [Set<number>, Set<number>];
  const common = names.map((own, side) => [...own.keys()].filter((i) => !alone[side]!.has(i)));
  const [saved, live] = common.map((own, side) => own.map((i) => names[side]![i] ?? likeness[side]!(i)));
  const longer = saved!.length > live!.length ? 0 : 1;
  const [more, fewer] = longer === 0 ? [saved!, live!] : [live!, saved!];
  if (more.length === fewer.length) return alone;
  let found = 0;
  more.forEach((one, i) =>
    found < fewer.length && one === fewer[found] ? found++ : alone[longer].add(common[longer]![i]!)
  );
  return found === fewer.length ? alone : undefined;
}

/** Restores layers by their position. If one side has more, its layers that the other does not have are reported. */
function restoreLayers(saved: readonly Node[], target: Target, live: readonly tf.layers.Layer[]): void {
  if (saved.length === live.length) return saved.forEach((node, i) => target.part(["layers", i], live[i], node));
  const kinded = saved.map((node) => isCase(node, "kind") ? node : { state: null });
  const names = [kinded.map(({ state }) => textIn(state, "name")), live.map(givenLayerName)] as const;
  const alone = layersOfOneSide(names, [(i) => savedLikeness(kinded[i]!, target), (i) => liveLikeness(live[i]!)]);
  if (alone === undefined) {
    target.differs("length", `${live.length} layers`, `${saved.length} layers`, "layers");
    return saved.forEach((node, i) => live[i] && target.part(["layers", i], live[i], node));
  }
  const [gone, added] = alone;
  for (const i of added) {
    const layer = names[1][i] === null ? `a ${classNameOf(live[i]!)} without a name` : `the layer ${names[1][i]}`;
    target.differs("missing", layer, "nothing", `layers/${i}`);
  }
  for (const i of gone) {
    const { state } = kinded[i]!;
    const layer = names[0][i] === null
      ? `a ${String(entry(state, "class"))} without a name`
      : `the layer ${names[0][i]}`;
    target.differs("extra", "nothing", layer, `layers/${i}`);
  }
  // A layer at another position is compared once the others are kept or skipped: problems have one path for both sides.
  const remaining = [...live.keys()].filter((i) => !added.has(i));
  const matched = saved.flatMap((node, i) => gone.has(i) ? [] : [[node, i] as const]);
  matched.forEach(([node, i], place) => {
    if (remaining[place] === i && names[0][i] === names[1][i]) target.part(["layers", i], live[i], node);
  });
}

function restoreModel(state: Node, target: Target, live: tf.LayersModel | undefined): () => tf.LayersModel {
  const model = live as tf.LayersModel;
  checkIdentity(state, target, model, modelClassName(model));
  checkInputNames(state, target, model);
  // Before the layers, because building sets the flags of the weights.
  if (model instanceof tf.Sequential) target.commit(() => setBuilt(model, entry(state, "built") === true));
  const layers = listItems(entry(state, "layers"));
  restoreLayers(layers, target, model.layers);
  const graph = model instanceof tf.Sequential ? null : graphOf(model);
  const saved = target.plain(entry(state, "graph") ?? null);
  // With other layers the calls between them differ too.
  const isComparable = graph !== null && layers.length === model.layers.length;
  if (isComparable && JSON.stringify(graph) !== JSON.stringify(saved)) {
    target.differs("config", "another graph", "one graph of calls between layers", "graph");
  }
  restoreFlags(entry(state, "flags"), target, () => model);
  restoreFlags(entry(state, "inner"), target, () => modelFields(model).model, "inner");
  restoreCompile(entry(state, "compile") ?? null, target, model);
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
  const expected = "the layers that both models have, called in the order of the live one";
  const found = `another order before ${where}`;
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
