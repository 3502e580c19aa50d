/**
 * What layers and weights are called: which names a user gave, which tfjs made up, and what of a layer holds others.
 *
 * Facts this rests on (tfjs-layers 4.22): names like `dense_Dense3` come from counters of the process and are no state.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { registeredClass, tfjsBase } from "./classes.ts";

// --- types

/** A weight of a layer; the core variable in it is what trains. */
export interface LayerVariable {
  readonly originalName: string;
  val: tf.Variable;
  trainable: boolean;
}

/** The fields of a layer that its declarations keep private. */
interface Fields {
  name: string;
  trainable_?: boolean;
  _trainable?: boolean;
  readonly _trainableWeights: readonly LayerVariable[];
  readonly _nonTrainableWeights: readonly LayerVariable[];
  readonly weights: readonly LayerVariable[];
  states_?: tf.Tensor[] | null;
  /** The option `weights`: what the layer's first call sets its weights to. */
  initialWeights?: readonly tf.Tensor[] | null;
  readonly randomGenerator?: { seed: number | undefined };
}

// --- constructors

/** A layer's private fields. */
export function fieldsOf(layer: tf.layers.Layer): Fields & Record<string, unknown> {
  return layer as unknown as Fields & Record<string, unknown>;
}

/** As tfjs makes the prefix of a layer's name from its class. */
function snakeCase(className: string): string {
  const snake = className.replace(/(.)([A-Z][a-z0-9]+)/g, "$1_$2").replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
  return snake.startsWith("_") ? `private${snake}` : snake;
}

/** The classes of models that tfjs makes itself. */
export const models: readonly string[] = ["Sequential", "Model", "Functional"];

/** Whether a name is `prefix` and a counter. */
function isCounted(name: string, prefix: string): boolean {
  return name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length));
}

/** A name that tfjs made up from the class of a layer or, for a cell, of the layer around it, without its counter; undefined for others. */
function withoutCounter(name: string): string | undefined {
  const start = /^(forward|backward)_/.exec(name)?.[0].length ?? 0;
  const counter = /\d+$/.exec(name)?.index;
  if (counter === undefined) return undefined;
  // A class may have underscores, and digits at its end, which only its snake case can tell from the counter.
  for (let at = name.indexOf("_", start); at > start; at = name.indexOf("_", at + 1)) {
    for (let end = counter; end < name.length; end++) {
      if (snakeCase(name.slice(at + 1, end)) === name.slice(start, at)) return name.slice(0, end);
    }
  }
  return undefined;
}

/** A class for its way of naming: subclasses of sequential models and of input layers are named as those are. */
export function namedAs(className: string, object?: object): string {
  const prototype = object === undefined
    ? registeredClass(className)?.[0].prototype
    : Object.getPrototypeOf(object) as object;
  const base = tfjsBase(prototype ?? null);
  return base === "Sequential" || base === "InputLayer" ? base : className;
}

/** Whether tfjs made a name up; a sequential model names its input after its first layer. */
export function isMadeUp(name: string, of: string, isModel: boolean, object?: object): boolean {
  const className = namedAs(of, object);
  if (className === "Sequential") return isCounted(name, "sequential_");
  if (isModel) return isCounted(name, className.toLowerCase());
  // Which of tfjs's classes a class extends that is not registered cannot be seen in a configuration.
  if (object === undefined && registeredClass(of) === undefined && isCounted(name, "sequential_")) return true;
  if (className !== "InputLayer") return withoutCounter(name) !== undefined;
  return isCounted(name, "input") ||
    (name.endsWith("_input") && withoutCounter(name.slice(0, -"_input".length)) !== undefined);
}

/** The name a user gave to a layer or model, or null. */
export function givenName(layer: tf.layers.Layer): string | null {
  return isMadeUp(layer.name, layer.getClassName(), layer instanceof tf.LayersModel, layer) ? null : layer.name;
}

/** Layers that stand in the fields of another: of wrappers, recurrent layers, stacked cells and custom ones. */
export function sublayers(
  layer: tf.layers.Layer,
): readonly (readonly [string, tf.layers.Layer | readonly tf.layers.Layer[]])[] {
  const isLayer = (u: unknown): u is tf.layers.Layer => u instanceof tf.layers.Layer;
  return Object.entries(layer).flatMap((
    [name, value],
  ): (readonly [string, tf.layers.Layer | readonly tf.layers.Layer[]])[] =>
    isLayer(value) || (Array.isArray(value) && value.length > 0 && value.every(isLayer)) ? [[name, value]] : []
  );
}

/** A layer's own weights by their short names, in the order in which they were added. */
export function ownWeights(layer: tf.layers.Layer): readonly (readonly [string, LayerVariable])[] {
  const { _trainableWeights, _nonTrainableWeights } = fieldsOf(layer);
  const taken = new Set<string>();
  return [...new Set([..._trainableWeights, ..._nonTrainableWeights])].map((weight) => {
    const short = weight.originalName.split("/").at(-1) ?? "";
    let name = short;
    for (let k = 1; taken.has(name); k++) name = `${short}_${k}`;
    taken.add(name);
    return [name, weight];
  });
}

/**
 * Names weights as tfjs does, with the counters in made-up names of layers counted from 1 in the order of the weights.
 *
 * @param layers The layers of one model.
 * @param names Receives the names.
 */
export function nameWeights(layers: readonly tf.layers.Layer[], names: Map<object, string>): void {
  const [taken, counted, counts] = [new Set<string>(), new Map<string, number>(), new Map<string, number>()];
  const recounted = (name: string): string => {
    const bare = withoutCounter(name);
    if (bare === undefined) return name;
    // The two directions of one layer have its one counter.
    const [layer, kind] = [name, bare].map((text) => text.replace(/^(forward|backward)_/, "")) as [string, string];
    if (!counted.has(layer)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    counted.set(layer, counted.get(layer) ?? counts.get(kind) ?? 1);
    return `${bare}${counted.get(layer)}`;
  };
  const visit = (layer: tf.layers.Layer): void => {
    for (const [, weight] of ownWeights(layer)) {
      const name = weight.originalName.split("/").map(recounted).join("/");
      let free = name;
      for (let k = 1; taken.has(free); k++) free = `${name}_${k}`;
      taken.add(free);
      if (!names.has(weight.val)) names.set(weight.val, free);
    }
    if (layer instanceof tf.LayersModel) layer.layers.forEach(visit);
    else sublayers(layer).forEach(([, sub]) => [sub].flat().forEach(visit));
  };
  layers.forEach(visit);
}
