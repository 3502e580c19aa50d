/**
 * `tf.data` datasets that can be read again with the same elements: their functions draw from a generator, and shuffles without a seed are
 * detected.
 *
 * The state of a dataset is private (seeds of shuffles, prefetch buffers), so the only way to a position is to read the dataset from its
 * start. While a map, a filter, a generator or a source runs, also after an `await`, `Math.random` draws from a generator that belongs to
 * one element of one iterator. So each element is the same at every reading, however far a buffer reads ahead and in whichever order
 * the functions run. The asynchronous context tells which element the running code belongs to.
 *
 * tfjs does not expose whether a shuffle has a seed. So the methods that make datasets are wrapped once, to record it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { AsyncLocalStorage } from "node:async_hooks";
import { drawingFromSource, Rng } from "../values/mod.ts";
import { isPlainRecord } from "../validation/mod.ts";
import type { Trainer } from "./training_api.ts";

// --- types

/** An iterator of a dataset. */
export interface Iterator {
  next(): Promise<{ readonly value: unknown; readonly done?: boolean | undefined }>;
}

/**
 * A dataset of `tf.data`, or any object with the same method.
 *
 * @internal
 */
export interface TfDataset {
  readonly size?: number | null;
  iterator(): Promise<Iterator>;
}

/** The fields of tfjs's iterators; see tfjs-data 4.22, `iterators/lazy_iterator.ts`. */
type IteratorFields = Record<string, unknown>;

/** The asynchronous context of the code that computes one element. */
interface ElementContext {
  /** Replaces `Math.random`. */
  readonly random: () => number;
  /** Called if the code opens a dataset with a shuffle without a seed. */
  readonly onUnseeded: () => void;
  /** Receives the iterator of each dataset that the code opens. */
  readonly onOpened: (iterator: unknown) => void;
}

/** Makes the context of a call from its path. */
type ContextAt = (path: string) => ElementContext;

/** A dataset whose functions draw from a generator. */
export interface ReproducibleDataset extends TfDataset {
  /** Whether it has a shuffle without a seed, as far as it has been read. */
  readonly unseeded: () => boolean;
}

// --- constructors

const elementContext = new AsyncLocalStorage<ElementContext>();

function inContext<A>(context: ElementContext, call: () => A): A {
  return elementContext.run(context, () => drawingFromSource(context.random, call));
}

/** A replacement of `Math.random` that draws from a generator, made at the first draw. */
function randomFrom(make: () => Rng.Rng): () => number {
  let rng: Rng.Rng | undefined;
  let [floats, at] = [new Float64Array(0), 0];
  return () => {
    if (at === floats.length) {
      const count = Math.min(1024, Math.max(8, 2 * floats.length));
      [floats, rng] = Rng.floats(count)(rng ?? make()) as [Float64Array<ArrayBuffer>, Rng.Rng];
      at = 0;
    }
    return floats[at++] as number;
  };
}

/** Datasets with a shuffle without a seed, directly or in a dataset that they read. */
const unseededDatasets = new WeakSet<object>();

/** Reports to the context each iterator that code in it opens, for example in a generator or a zip. */
function watchOpening(dataset: TfDataset): void {
  const { iterator } = dataset;
  dataset.iterator = () => {
    const at = elementContext.getStore();
    if (at === undefined) return iterator.call(dataset);
    if (unseededDatasets.has(dataset)) at.onUnseeded();
    return iterator.call(dataset).then((opened) => {
      at.onOpened(opened);
      return opened;
    });
  };
}

const { prototype } = tf.data.Dataset as unknown as {
  readonly prototype: Record<string, (this: TfDataset, ...args: readonly unknown[]) => TfDataset>;
};

/** Wraps a method that makes datasets. */
function wrapMethod(name: string, isUnseeded: (dataset: TfDataset, args: readonly unknown[]) => boolean): void {
  const given = prototype[name];
  if (given === undefined) return;
  prototype[name] = function (...args) {
    const made = given.call(this, ...args);
    if (isUnseeded(this, args)) unseededDatasets.add(made);
    watchOpening(made);
    return made;
  };
}

for (const name of ["batch", "concatenate", "filter", "map", "mapAsync", "prefetch", "repeat", "skip", "take"]) {
  wrapMethod(name, (dataset, args) => [dataset, ...args].some((from) => unseededDatasets.has(Object(from))));
}
// tfjs treats a seed of 0 or "" as missing and takes the time.
wrapMethod("shuffle", (dataset, [, seed]) => !seed || unseededDatasets.has(dataset));

/** The fields that hold the iterators, or containers of iterators, that an iterator reads from. */
const upstreamFields: readonly string[] = ["upstream", "iterators", "moreIterators"];
/** The original methods of iterators. */
const originalNext = new WeakMap<object, Iterator["next"]>();

/** Whether a value is an iterator. In Deno, tfjs's copy of an iterator in an array is a plain record with its methods. */
function isIterator(value: unknown): value is IteratorFields & Iterator {
  return typeof value === "object" && value !== null && typeof (value as IteratorFields)["next"] === "function";
}

/**
 * Runs each call of an iterator, and of those that it reads from, in a separate context.
 *
 * @param value An iterator, or a container of iterators.
 * @param path Identifies it, the same at every reading.
 * @param contextAt Makes the context of a call from its path.
 * @param yieldsIterators Whether the elements are iterators, too.
 */
function isolateCalls(value: unknown, path: string, contextAt: ContextAt, yieldsIterators = false): void {
  if (!isIterator(value)) {
    if (!Array.isArray(value) && !isPlainRecord(value)) return;
    return Object.entries(value).forEach(([name, part]) => isolateCalls(part, `${path}/${name}`, contextAt));
  }
  const next = originalNext.get(value) ?? value.next;
  originalNext.set(value, next);
  // Calls of a generator are queued, and it resumes in the context of the call that it finished. So each call waits for the one before.
  const serial = typeof value["nextFn"] === "function" && String(value["nextFn"]).includes(".next(");
  let [count, last]: [number, Promise<unknown>] = [0, Promise.resolve()];
  value.next = () => {
    const at = `${path}:${count++}`;
    const call = (): ReturnType<Iterator["next"]> => inContext(contextAt(at), () => next.call(value));
    const result = serial ? last.then(call, call) : call();
    if (serial) last = result;
    return !yieldsIterators ? result : result.then((element) => {
      isolateCalls(element.value, at, contextAt);
      return element;
    });
  };
  for (const name of upstreamFields) isolateCalls(value[name], `${path}/${name}`, contextAt, name === "moreIterators");
}

/**
 * Makes the functions of datasets draw from a generator, while `hookRandom` is active.
 *
 * @param rng The generator.
 * @returns A function from a dataset and its name to the dataset. The name decides what it draws.
 */
export function drawingFrom(rng: Rng.Rng): (dataset: TfDataset, name: string) => ReproducibleDataset {
  return (dataset, name) => {
    let [opened, found] = [0, unseededDatasets.has(dataset)];
    const contextAt: ContextAt = (path) => {
      let count = 0;
      return {
        random: randomFrom(() => Rng.fork(path)(rng)),
        onUnseeded: () => found = true,
        onOpened: (iterator) => isolateCalls(iterator, `${path}/opened/${count++}`, contextAt),
      };
    };
    return {
      size: dataset.size ?? null,
      unseeded: () => found,
      iterator: async () => {
        const path = `${name}/${opened++}`;
        const iterator = await inContext(contextAt(path), () => dataset.iterator());
        isolateCalls(iterator, path, contextAt);
        return iterator;
      },
    };
  };
}

/** Whether a value is a dataset; validation data may be tensors. */
export function isDataset(value: unknown): value is TfDataset {
  return typeof value === "object" && value !== null && typeof (value as IteratorFields)["iterator"] === "function";
}

// --- combinators

/** The tensors of the inputs or the targets, in the model's order. */
function orderedTensors(values: unknown, names: readonly string[], kind: "input" | "output"): tf.Tensor[] {
  const found: readonly unknown[] = values instanceof tf.Tensor
    ? [values]
    : Array.isArray(values)
    ? values
    : names.map((name) => (values as Record<string, unknown>)[name]);
  found.forEach((tensor, i) => {
    if (!(tensor instanceof tf.Tensor)) throw new Error(`The dataset lacks a tensor for the ${kind} ${names[i] ?? i}.`);
  });
  if (found.length !== names.length) {
    throw new Error(`LayersModel has ${names.length} ${kind}s (${names}), but the dataset provides ${found.length}.`);
  }
  return found as tf.Tensor[];
}

/** The inputs and targets of an element; throws an Error unless all have the same number of samples. */
export function batchOf(trainer: Trainer, element: unknown): readonly [xs: tf.Tensor[], ys: tf.Tensor[]] {
  const { xs, ys } = Object(element) as { readonly xs?: unknown; readonly ys?: unknown };
  if (xs == null || ys == null) {
    throw new Error(
      "A Dataset iterator for fitDataset() is expected to generate objects of the form `{xs: xVal, ys: yVal}`, where the two values may be " +
        `\`tf.Tensor\`, an array of Tensors, or a map of string to Tensor.  The provided Dataset instead generates ${element}`,
    );
  }
  const inputs = orderedTensors(xs, trainer.inputNames, "input");
  const targets = orderedTensors(ys, trainer.outputNames, "output");
  const size = inputs[0]?.shape[0];
  const other = [...inputs, ...targets].find((tensor) => tensor.shape[0] !== size);
  if (other !== undefined) {
    throw new Error(`Batch size mismatch: expected ${size} as in the first input, found ${other.shape[0]}.`);
  }
  return [inputs, targets];
}

/** The sample weights that class weights imply, by output; null for an output without. */
export async function sampleWeights(
  trainer: Trainer,
  [xs, ys]: readonly [tf.Tensor[], tf.Tensor[]],
  classWeight: unknown,
): Promise<readonly (tf.Tensor | null)[]> {
  if (classWeight == null) return [];
  // tfjs's own arithmetic, without its conversion of the tensors.
  const unconverted: Trainer = Object.create(trainer, { standardizeUserDataXY: { value: () => [xs, ys] } });
  return (await unconverted.standardizeUserData(xs, ys, null, classWeight))[2] ?? [];
}
