/**
 * Datasets of `tf.data` as training reads them: what their own functions draw comes from a generator, and a shuffle without a seed is known.
 *
 * A dataset keeps its state to itself (the seeds of shuffles, buffers read ahead), so that the only way to a position in it is to read up to
 * there. What a map, a filter, a generator or a source draws from `Math.random`, also after it has waited, is drawn from a generator of the
 * data's own: one for each element of each iterator, so that it is the same whenever the data is read again, however far a buffer reads ahead
 * and however its functions take turns. The code that draws is known by its asynchronous context.
 *
 * tfjs does not say whether a shuffle was given a seed. The methods that make datasets are wrapped once, to note it; they give what they gave.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { AsyncLocalStorage } from "node:async_hooks";
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

/** What code of one asynchronous context draws from, and what happens to the datasets that it opens. */
interface Context {
  readonly random: () => number;
  readonly onUnseeded: () => void;
  readonly onOpened: (iterator: unknown) => void;
}

/** A dataset as a training reads it. */
export interface Drawn extends Dataset {
  /** Whether a shuffle of it has no seed, as far as it was read. */
  readonly unseeded: () => boolean;
}

// --- constructors

const context = new AsyncLocalStorage<Context>();

/** How many trainings draw through the hook, and the effect that removes it after the last. */
let [users, unhook]: [number, () => void] = [0, () => {}];

/** Lets code of the contexts here draw from their generators until the effect is run, and all other code as before. */
export function hookRandom(): () => void {
  if (users++ === 0) {
    const outer = Math.random;
    const hooked = (): number => (context.getStore()?.random ?? outer)();
    Math.random = hooked;
    // What has been put over it since is not ours to remove; it may call this one still.
    unhook = () => void (Math.random === hooked && (Math.random = outer));
  }
  let open = true;
  return () => {
    if (open && --users === 0) unhook();
    open = false;
  };
}

/** Draws floats from a generator, which is made when the first is drawn. */
function drawsOf(make: () => Rng.Rng): () => number {
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

/** Datasets that read from a shuffle without a seed. */
const unseeded = new WeakSet<object>();

/** A dataset that a generator of the script's own opens is read in contexts, too; and a shuffle without a seed is seen there, and in a zip. */
function opening(dataset: Dataset): void {
  const { iterator } = dataset;
  dataset.iterator = () => {
    const at = context.getStore();
    if (at === undefined) return iterator.call(dataset);
    if (unseeded.has(dataset)) at.onUnseeded();
    return iterator.call(dataset).then((opened) => {
      at.onOpened(opened);
      return opened;
    });
  };
}

const { prototype } = tf.data.Dataset as unknown as {
  readonly prototype: Record<string, (this: Dataset, ...args: readonly unknown[]) => Dataset>;
};

function wrap(name: string, isUnseeded: (dataset: Dataset, args: readonly unknown[]) => boolean): void {
  const given = prototype[name];
  if (given === undefined) return;
  prototype[name] = function (...args) {
    const made = given.call(this, ...args);
    if (isUnseeded(this, args)) unseeded.add(made);
    opening(made);
    return made;
  };
}

for (const name of ["batch", "concatenate", "filter", "map", "mapAsync", "prefetch", "repeat", "skip", "take"]) {
  wrap(name, (dataset, args) => [dataset, ...args].some((from) => unseeded.has(Object(from))));
}
// A seed of 0 or "" is none to tfjs, which takes the time.
wrap("shuffle", (dataset, [, seed]) => {
  return !seed || unseeded.has(dataset);
});

/** The iterators, or containers of them, that an iterator reads from. */
const sources: readonly string[] = ["upstream", "iterators", "moreIterators"];
/** How iterators are read without a context. */
const originals = new WeakMap<object, Iterator["next"]>();

/** In Deno, what tfjs copies of an iterator in an array is a plain record with its methods. */
function isIterator(value: unknown): value is Fields & Iterator {
  return typeof value === "object" && value !== null && typeof (value as Fields)["next"] === "function";
}

/** Gives each call of an iterator, and of those it reads from, a context by itself. */
function scope(value: unknown, path: string, contextAt: (path: string) => Context, ofIterators = false): void {
  if (!isIterator(value)) {
    if (!Array.isArray(value) && !isPlainRecord(value)) return;
    return Object.entries(value).forEach(([name, part]) => scope(part, `${path}/${name}`, contextAt));
  }
  const next = originals.get(value) ?? value.next;
  originals.set(value, next);
  // A generator runs one call after the other, in the context of whichever resumes it: so that it is its own, each waits for the last.
  const serial = typeof value["nextFn"] === "function" && String(value["nextFn"]).includes(".next(");
  let [count, last]: [number, Promise<unknown>] = [0, Promise.resolve()];
  value.next = () => {
    const at = `${path}:${count++}`;
    const call = (): ReturnType<Iterator["next"]> => context.run(contextAt(at), () => next.call(value));
    const result = serial ? last.then(call, call) : call();
    if (serial) last = result;
    return !ofIterators ? result : result.then((element) => {
      scope(element.value, at, contextAt);
      return element;
    });
  };
  for (const name of sources) scope(value[name], `${path}/${name}`, contextAt, name === "moreIterators");
}

/** A dataset of which all that its functions draw comes from one generator, between {@link hookRandom} and its end. */
export function drawingFrom(rng: Rng.Rng): (dataset: Dataset, name: string) => Drawn {
  return (dataset, name) => {
    let [opened, found] = [0, unseeded.has(dataset)];
    const contextAt = (path: string): Context => {
      let count = 0;
      return {
        random: drawsOf(() => Rng.fork(path)(rng)),
        onUnseeded: () => found = true,
        onOpened: (iterator) => scope(iterator, `${path}/opened/${count++}`, contextAt),
      };
    };
    return {
      size: dataset.size ?? null,
      unseeded: () => found,
      iterator: async () => {
        const path = `${name}/${opened++}`;
        const iterator = await context.run(contextAt(path), () => dataset.iterator());
        scope(iterator, path, contextAt);
        return iterator;
      },
    };
  };
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
