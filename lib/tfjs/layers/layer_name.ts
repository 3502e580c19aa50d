/**
 * Names of layers, models and weights: which are the user's and which tfjs generated.
 *
 * tfjs-layers 4.22 generates names such as `dense_Dense3` from counters of the process. Generated names are not state: weights are stored
 * under names with the counters renumbered from 1.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { aside, entry, type Named, type Node, type Target, unwrap } from "../../state/mod.ts";
import { layerFields, type LayerVariable, textIn } from "../mod.ts";
import { checkClass, nearestTfjsClass, registeredClass } from "./class_name.ts";

// --- types

/** The layer, or the layers, in a field of another layer. */
type Sublayer = readonly [field: string, layers: tf.layers.Layer | readonly tf.layers.Layer[]];

// --- constructors

/** tfjs's prefix of a generated layer name. */
function snakeCase(className: string): string {
  const snake = className.replace(/(.)([A-Z][a-z0-9]+)/g, "$1_$2").replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
  return snake.startsWith("_") ? `private${snake}` : snake;
}

/** Whether a name is the prefix followed by a counter. */
function hasCounter(name: string, prefix: string): boolean {
  return name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length));
}

/** A generated layer name without its counter; undefined for other names. tfjs names a cell after the class of its layer. */
function withoutCounter(name: string): string | undefined {
  const start = /^(forward|backward)_/.exec(name)?.[0].length ?? 0;
  const counter = /\d+$/.exec(name)?.index;
  if (counter === undefined) return undefined;
  // A class name may contain underscores and end in digits. Its snake case tells them from the separator and the counter.
  for (let at = name.indexOf("_", start); at > start; at = name.indexOf("_", at + 1)) {
    for (let end = counter; end < name.length; end++) {
      if (snakeCase(name.slice(at + 1, end)) === name.slice(start, at)) return name.slice(0, end);
    }
  }
  return undefined;
}

/** The class whose naming scheme tfjs applies: subclasses of sequential models and input layers are named like these. */
export function namingClass(className: string, object?: object): string {
  const prototype = object === undefined ? registeredClass(className)?.[0].prototype : Object.getPrototypeOf(object);
  const base = nearestTfjsClass(prototype ?? null)?.name;
  return base === "Sequential" || base === "InputLayer" ? base : className;
}

/**
 * Whether tfjs generated a name.
 *
 * @param name The name of a layer or model.
 * @param className Its class.
 * @param object The layer or model, if it exists; a config has only the name of the class.
 */
export function isGeneratedName(name: string, className: string, object?: tf.layers.Layer): boolean {
  const scheme = namingClass(className, object);
  if (scheme === "Sequential") return hasCounter(name, "sequential_");
  const isModel = object === undefined ? /^(Model|Functional)$/.test(className) : object instanceof tf.LayersModel;
  if (isModel) return hasCounter(name, scheme.toLowerCase());
  // The base of an unregistered class is unknown in a config: it may be Sequential.
  if (object === undefined && registeredClass(className) === undefined && hasCounter(name, "sequential_")) return true;
  if (scheme !== "InputLayer") return withoutCounter(name) !== undefined;
  // A sequential model names its input after its first layer.
  return hasCounter(name, "input") ||
    (name.endsWith("_input") && withoutCounter(name.slice(0, -"_input".length)) !== undefined);
}

/** The name that the user gave a layer or model, or null. */
export function givenLayerName(layer: tf.layers.Layer): string | null {
  return isGeneratedName(layer.name, layer.getClassName(), layer) ? null : layer.name;
}

/** The layers in the fields of a layer, by field: in wrappers, recurrent layers, stacked cells and user-defined layers. */
export function sublayers(layer: tf.layers.Layer): readonly Sublayer[] {
  const isLayer = (u: unknown): u is tf.layers.Layer => u instanceof tf.layers.Layer;
  return Object.entries(layer).flatMap(([name, value]): readonly Sublayer[] =>
    isLayer(value) || (Array.isArray(value) && value.length > 0 && value.every(isLayer)) ? [[name, value]] : []
  );
}

/** A name that is not taken: the name itself, or with a number. It is taken from now on. */
function takeName(taken: Set<string>, name: string): string {
  let free = name;
  for (let k = 1; taken.has(free); k++) free = `${name}_${k}`;
  taken.add(free);
  return free;
}

/** A layer's own weights by the last part of their names, in the order in which they were added. */
export function ownWeights(layer: tf.layers.Layer): readonly (readonly [string, LayerVariable])[] {
  const { _trainableWeights, _nonTrainableWeights } = layerFields(layer);
  const taken = new Set<string>();
  return [...new Set([..._trainableWeights, ..._nonTrainableWeights])].map((weight) => [
    takeName(taken, weight.originalName.split("/").at(-1) ?? ""),
    weight,
  ]);
}

/**
 * Names weights as tfjs does, with the counters in generated names renumbered from 1 in the order of the weights.
 *
 * @param layers The layers of one model.
 * @param names Receives the name of each weight.
 */
export function nameWeights(layers: readonly tf.layers.Layer[], names: Map<object, string>): void {
  const [taken, numbers, counts] = [new Set<string>(), new Map<string, number>(), new Map<string, number>()];
  const renumbered = (name: string): string => {
    const bare = withoutCounter(name);
    if (bare === undefined) return name;
    // The two directions of a bidirectional layer share its counter.
    const [layer, prefix] = [name, bare].map((text) => text.replace(/^(forward|backward)_/, "")) as [string, string];
    if (!numbers.has(layer)) counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
    numbers.set(layer, numbers.get(layer) ?? counts.get(prefix) ?? 1);
    return `${bare}${numbers.get(layer)}`;
  };
  const visit = (layer: tf.layers.Layer): void => {
    for (const [, weight] of ownWeights(layer)) {
      const name = takeName(taken, weight.originalName.split("/").map(renumbered).join("/"));
      if (!names.has(weight.val)) names.set(weight.val, name);
    }
    if (layer instanceof tf.LayersModel) layer.layers.forEach(visit);
    else sublayers(layer).forEach(([, sub]) => [sub].flat().forEach(visit));
  };
  layers.forEach(visit);
}

// --- capture and restore

/** The name with which a layer or model is rebuilt: the user's, or a generated one under which data is fed. */
export function savedName(state: Node): string | undefined {
  const generated = unwrap(entry(state, "known") ?? null);
  return textIn(state, "name") ?? (typeof generated === "string" ? generated : undefined);
}

/** The state entry `known`: a generated name under which data is fed to a layer or model. */
export function encodeFedName(layer: tf.layers.Layer, names: ReadonlyMap<object, string>): readonly Named[] {
  const name = names.get(layer);
  return name === undefined || givenLayerName(layer) !== null ? [] : [["known", aside(name)]];
}

/**
 * Checks the class of a layer or model, and its name if the user gave it one.
 *
 * @param liveClass Its class, as the state says it.
 * @returns Whether it has the saved class.
 */
export function checkIdentity(state: Node, target: Target, live: tf.layers.Layer, liveClass: string): boolean {
  if (!checkClass(state, target, live, liveClass)) return false;
  const [saved, given] = [textIn(state, "name"), givenLayerName(live)];
  if (saved !== given) reportName(target, given, saved);
  return true;
}

/** Reports that a layer or model has another name, or none on one side. */
export function reportName(target: Target, live: string | null, saved: string | null, at?: string): void {
  target.differs("name", live ?? "a generated name", saved ?? "a generated name", at);
}
