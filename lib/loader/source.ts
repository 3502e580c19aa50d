/**
 * Sample sources of a loader: sources with random access, and streams that are read from their start.
 *
 * @module
 */
import type { Cursor, Mark } from "./cursor.ts";
import { arrayDigest } from "./fingerprint.ts";
import type { MaybePromise, SampleAccess } from "./index_plan.ts";
import { isPlainRecord, shown } from "../validation/mod.ts";

// --- types

/** What every source has. */
interface SourceInfo {
  /** The seed of the shuffle, in the form that a cursor holds. */
  readonly seed: Cursor["seed"];
  /** The source and its shuffle in one line, equal in every process with the same data. */
  readonly fingerprint: string;
}

/** A source with random access; its length may be Infinity. */
export interface IndexedSource extends SourceInfo, SampleAccess {
  readonly _tag: "Indexed";
  readonly length: number;
  /** Takes a reference on what the source opens at its first read, such as a file; the result releases it. */
  readonly hold?: (() => () => Promise<void>) | undefined;
}

/** A source whose samples come one after another. */
export interface StreamSource extends SourceInfo {
  readonly _tag: "Stream";
  readonly length: null;
  /** Epochs of the source before epoch 0 of this pass, 0 by default. */
  readonly base?: number;
  /** Opens an epoch. An iteration opens epochs in ascending order. With a mark, reading starts right after the marked sample. */
  readonly open: (epoch: number, opened: OpenedEpochs, mark?: Mark) => MaybePromise<StreamEpoch>;
  /** Whether a sample can be delivered only once, because its reader disposes it. */
  readonly singleUse: boolean;
  /** Disposes a sample that is not delivered. */
  readonly drop: (sample: unknown) => void;
}

/** How many epochs of each source one iteration has opened, for sources that depend on it. */
export type OpenedEpochs = Map<object, number>;

/** An open epoch of a stream. */
export interface StreamEpoch {
  next(): MaybePromise<IteratorResult<unknown, unknown>>;
  return?(): unknown;
  /** The position after the last sample, if the stream can be opened there. */
  mark?(): Mark;
}

/**
 * Where the samples of a loader come from.
 *
 * @internal
 */
export type SampleSource = IndexedSource | StreamSource;

/**
 * Positions from `low`, below `high`.
 *
 * @internal
 */
export interface SampleRange {
  readonly low: number;
  readonly high: number;
}

/** Values of which slices can be taken. */
export interface RowValues extends ArrayLike<unknown> {
  readonly subarray?: (from: number, to: number) => unknown;
  readonly slice: (from: number, to: number) => unknown;
}

/** The part of a `tf.data.Dataset` that a loader uses. */
export interface Dataset<A> {
  /** A new pass over the elements. */
  iterator(): Promise<{ next(): Promise<IteratorResult<A, unknown>> }>;
}

// --- constructors

/** An unshuffled source with random access; `at` reads the sample at a position, which is its index, in an epoch. */
export function randomAccess(
  length: number,
  fingerprint: string,
  at: (position: number, epoch: number) => unknown,
  hold?: IndexedSource["hold"],
): IndexedSource {
  return {
    _tag: "Indexed",
    seed: null,
    fingerprint,
    length,
    base: 0,
    at: (epoch, position) => at(position, epoch),
    index: (_, position) => position,
    hold,
  };
}

/** The rows of values in row-major order: single values for one axis, else views of a row's values. */
export function rowsSource(xs: RowValues, shape: readonly number[], kind: string): IndexedSource {
  const [length = 0, ...row] = shape;
  const size = row.reduce((a, b) => a * b, 1);
  const view = (i: number): unknown => (xs.subarray ?? xs.slice).call(xs, i * size, (i + 1) * size);
  const fingerprint = `${kind}:${shape.join("x")}:${arrayDigest(xs)}`;
  return randomAccess(length, fingerprint, row.length === 0 ? (i) => xs[i] : view);
}

/** A stream without a seed, whose samples can be delivered again, unless the fields say otherwise. */
export function streamSource(
  fields: Pick<StreamSource, "fingerprint" | "open"> & Partial<Pick<StreamSource, "seed" | "singleUse" | "drop">>,
): StreamSource {
  const drop = fields.singleUse === true ? dispose : () => {};
  return { _tag: "Stream", seed: null, length: null, singleUse: false, drop, ...fields };
}

/** A stream of the iterable, sync or async, that `open` returns for each epoch. */
export function iterableSource(
  open: (epoch: number) => MaybePromise<Iterable<unknown> | AsyncIterable<unknown>>,
  fingerprint: string,
): StreamSource {
  return streamSource({
    fingerprint,
    open: async (epoch) => {
      const xs = await open(epoch);
      if (Symbol.asyncIterator in Object(xs)) return (xs as AsyncIterable<unknown>)[Symbol.asyncIterator]();
      if (Symbol.iterator in Object(xs)) return (xs as Iterable<unknown>)[Symbol.iterator]();
      throw new TypeError(
        `Expected an iterable for each epoch, found ${shown(xs)}: return an array or call a generator`,
      );
    },
  });
}

/**
 * The elements of a `tf.data.Dataset`.
 *
 * Its seeded shuffle draws the order of an epoch when the iterator is made, so the iterators of earlier epochs are made and never read.
 * The reader of an element disposes it; an element that is not delivered is disposed here, as tf.data's own `skip` does.
 */
export function datasetSource(dataset: Dataset<unknown>, fingerprint: string): StreamSource {
  const key = {};
  return streamSource({
    fingerprint,
    singleUse: true,
    open: async (epoch, opened) => {
      for (let e = opened.get(key) ?? 0; e < epoch; e++) await dataset.iterator();
      opened.set(key, epoch + 1);
      return await dataset.iterator();
    },
  });
}

// --- combinators

/** Parts of these lengths one after another: where each ends, and the part that a position is in, with the position inside it. */
export function consecutive(lengths: readonly number[]): {
  readonly ends: readonly number[];
  readonly locate: (position: number) => readonly [part: number, inside: number];
} {
  const ends = lengths.map(((end) => (length: number) => end += length)(0));
  const locate = (position: number): readonly [number, number] => {
    let [low, high] = [0, ends.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle]! > position) high = middle;
      else low = middle + 1;
    }
    return [low, position - (ends[low - 1] ?? 0)];
  };
  return { ends, locate };
}

/** Takes a reference on every source; the result releases them all. */
export function holdAll(parts: readonly IndexedSource[]): () => () => Promise<void> {
  return () => {
    const releases = parts.map(({ hold }) => hold?.());
    return async () => {
      for (const release of releases) await release?.();
    };
  };
}

/** Disposes every tensor in a sample, and every other value with a `dispose` method. */
export function dispose(sample: unknown): void {
  if (typeof sample !== "object" || sample === null) return;
  if ("dispose" in sample && typeof sample.dispose === "function") sample.dispose();
  else if (Array.isArray(sample) || isPlainRecord(sample)) Object.values(sample).forEach(dispose);
}
