/**
 * Datasets of `tf.data` as training reads them: what their own functions draw comes from a generator, and elements are told apart.
 *
 * A dataset keeps its state to itself (the seeds of shuffles, buffers read ahead), so that the only way to a place in it is to read up to
 * there. What a map, a filter or a source draws from `Math.random` is drawn from a generator of the data's own, from its beginning on: it is
 * the same whenever the data is read again, however far a buffer reads ahead of the training.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as Rng from "../rng.ts";
import { isPlainRecord } from "../rules.ts";
import type { Trainer } from "./training.ts";

// --- types

/** An iterator of a dataset. */
export interface Iterator {
  next(): Promise<{ readonly value: unknown; readonly done?: boolean | undefined }>;
}

/** A dataset, as far as training needs one. */
export interface Dataset {
  readonly size?: number | null;
  iterator(): Promise<Iterator>;
}

/** The fields of tfjs's iterators, each of its own class; see tfjs-data 4.22, `iterators/lazy_iterator.ts`. */
type Fields = Record<string, unknown>;

// --- constructors

/** The functions of iterators that a script has given. */
const functions: readonly string[] = ["transform", "predicate", "nextFn"];
/** The iterators, or containers of them, that an iterator reads from. */
const sources: readonly string[] = ["upstream", "iterators", "moreIterators"];

function isIterator(value: unknown): value is Fields & Iterator {
  return typeof value === "object" && value !== null && typeof (value as Fields)["next"] === "function";
}

/** Gives every function of an iterator, and of those it reads from, to `draw`: what it does before it waits draws from there. */
function scope(value: unknown, draw: <A>(thunk: () => A) => A): void {
  if (Array.isArray(value) || isPlainRecord(value)) return Object.values(value).forEach((part) => scope(part, draw));
  if (!isIterator(value)) return;
  for (const name of functions) {
    const given = value[name];
    if (typeof given !== "function") continue;
    value[name] = (...args: readonly unknown[]): unknown => {
      const result: unknown = draw(() => given.apply(value, args));
      return result instanceof Promise ? result.then(opened) : opened(result);
    };
  }
  /** An element may be the iterator of the next repetition. */
  const opened = (element: unknown): unknown => {
    if (isPlainRecord(element) && isIterator(element["value"])) scope(element["value"], draw);
    return element;
  };
  for (const name of sources) scope(value[name], draw);
}

/** A dataset of which all that its functions draw, as far as that can be held, comes from one generator. */
export function drawingFrom(rng: Rng.Rng): (dataset: Dataset) => Dataset {
  let current = rng;
  const draw = <A>(thunk: () => A): A => {
    let value: { readonly of: A } | undefined;
    // A promise is let through: what it draws later is not held.
    current = Rng.withRandom(current)(() => void (value = { of: thunk() }))[1];
    return (value as { readonly of: A }).of;
  };
  return (dataset) => ({
    size: dataset.size ?? null,
    iterator: async () => {
      const iterator = await draw(() => dataset.iterator());
      scope(iterator, draw);
      return iterator;
    },
  });
}

/** Whether a value is a dataset; validation data may be tensors. */
export function isDataset(value: unknown): value is Dataset {
  return typeof value === "object" && value !== null && typeof (value as Fields)["iterator"] === "function";
}

// --- combinators

/** The tensors of inputs or of targets, in the model's order. */
function tensorsOf(values: unknown, names: readonly string[], kind: "input" | "output"): tf.Tensor[] {
  const found: readonly unknown[] = values instanceof tf.Tensor
    ? [values]
    : Array.isArray(values)
    ? values
    : names.map((name) => (values as Fields)[name]);
  found.forEach((tensor, i) => {
    if (!(tensor instanceof tf.Tensor)) throw new Error(`The dataset lacks a tensor for the ${kind} ${names[i] ?? i}.`);
  });
  if (found.length !== names.length) {
    throw new Error(`LayersModel has ${names.length} ${kind}s (${names}), but the dataset provides ${found.length}.`);
  }
  return found as tf.Tensor[];
}

/** An element's inputs and targets, each of one number of samples. */
export function batchOf(
  { inputNames, outputNames }: Trainer,
  element: unknown,
): readonly [xs: tf.Tensor[], ys: tf.Tensor[]] {
  const { xs, ys } = Object(element) as { readonly xs?: unknown; readonly ys?: unknown };
  if (xs == null || ys == null) {
    throw new Error(
      "A Dataset iterator for fitDataset() is expected to generate objects of the form `{xs: xVal, ys: yVal}`, where the two values may be " +
        `\`tf.Tensor\`, an array of Tensors, or a map of string to Tensor.  The provided Dataset instead generates ${element}`,
    );
  }
  const [inputs, targets] = [tensorsOf(xs, inputNames, "input"), tensorsOf(ys, outputNames, "output")];
  const size = inputs[0]?.shape[0];
  const other = [...inputs, ...targets].find((tensor) => tensor.shape[0] !== size);
  if (other !== undefined) {
    throw new Error(`Batch size mismatch: expected ${size} as in the first input, found ${other.shape[0]}.`);
  }
  return [inputs, targets];
}

/** The weights that classes give to samples, by output; null where an output has none. */
export async function sampleWeights(
  trainer: Trainer,
  [xs, ys]: readonly [tf.Tensor[], tf.Tensor[]],
  classWeight: unknown,
): Promise<readonly (tf.Tensor | null)[]> {
  if (classWeight == null) return [];
  // tfjs's own arithmetic, on the tensors as they are.
  const asTheyAre: Trainer = Object.create(trainer, { standardizeUserDataXY: { value: () => [xs, ys] } });
  return (await asTheyAre.standardizeUserData(xs, ys, null, classWeight))[2] ?? [];
}
