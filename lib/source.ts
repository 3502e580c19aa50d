/**
 * Where samples come from: sources that answer in any order, and streams that are read from their start.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Cursor, cursorSeed, type Mark } from "./cursor.ts";
import { algorithm, permutation } from "./permutation.ts";
import { gather, isPromise, type Samples } from "./plan.ts";
import { isPlainRecord, shown } from "./rules.ts";
import { type Seed, seedText } from "./seed.ts";

// --- types

interface About {
  /** The seed of the shuffle as a cursor holds it. */
  readonly seed: Cursor["seed"];
  /** What the source and its shuffle are, in one line, the same in every process that has the same data. */
  readonly fingerprint: string;
  /** Begins a use of what the source opens when it is first read; the result ends it. */
  readonly hold?: () => () => Promise<void>;
}

/** Samples that can be read in any order; the length may be Infinity. */
export interface Indexed extends About, Samples {
  readonly _tag: "Indexed";
  readonly length: number;
}

/** Samples that come one after another. */
export interface Stream extends About {
  readonly _tag: "Stream";
  readonly length: null;
  /** How many epochs of the source lie before the epoch 0 that is spoken of here, 0 by default. */
  readonly base?: number;
  /** Begins an epoch; a run never goes back. With a mark, right after its sample. */
  readonly open: (epoch: number, run: Run, mark?: Mark) => Opened | Promise<Opened>;
  /** Whether a sample belongs to who reads it, so that none can be given twice. */
  readonly once: boolean;
  /** Lets go of a sample that nobody will see. */
  readonly drop: (sample: unknown) => void;
}

/** What an iteration has begun so far: how many epochs of each source that must know. */
export type Run = Map<object, number>;

/** An epoch of a stream in the course of being read. */
export interface Opened {
  next(): IteratorResult<unknown, unknown> | Promise<IteratorResult<unknown, unknown>>;
  return?(): unknown;
  /** Where the sample given last stands, if the stream can be entered after it. */
  mark?(): Mark;
}

/** Where samples come from. */
export type Source = Indexed | Stream;

/** The part of an epoch's samples that a shuffle mixes: from `low`, below `high`. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** A sync or async iterable. */
export type Items = Iterable<unknown> | AsyncIterable<unknown>;

/** Values of which parts can be taken. */
export interface Rows extends ArrayLike<unknown> {
  readonly subarray?: (from: number, to: number) => unknown;
  readonly slice: (from: number, to: number) => unknown;
}

/** The part of a `tf.data.Dataset` that a loader uses. */
export interface Dataset<A> {
  iterator(): Promise<{ next(): Promise<IteratorResult<A, unknown>> }>;
}

// --- constructors

/** Samples by their number. */
export function numbered(
  length: number,
  fingerprint: string,
  at: (index: number) => unknown,
  hold?: () => () => Promise<void>,
): Indexed {
  return {
    _tag: "Indexed",
    seed: null,
    fingerprint,
    length,
    base: 0,
    at: (_, position) => at(position),
    index: (_, position) => position,
    ...(hold === undefined ? {} : { hold }),
  };
}

/** An array or typed array; it is not copied. */
export function arraySource(xs: ArrayLike<unknown>): Indexed {
  return numbered(xs.length, `array:${xs.length}:${digest(xs)}`, (index) => xs[index]);
}

/** The rows of values laid out one row after another: the values themselves, or views of `size` of them. */
export function rowsSource(xs: Rows, shape: readonly number[], kind: string): Indexed {
  const [length = 0, ...row] = shape;
  const size = row.reduce((a, b) => a * b, 1);
  const part = (i: number): unknown => (xs.subarray ?? xs.slice).call(xs, i * size, (i + 1) * size);
  return numbered(length, `${kind}:${shape.join("x")}:${digest(xs)}`, row.length === 0 ? (i) => xs[i] : part);
}

/** Samples by index, known by their number and what the caller says of them. */
export function indexedSource(
  length: number,
  at: (index: number) => unknown,
  fingerprint: string | undefined,
): Indexed {
  return numbered(length, named(`indexed:${length}`, fingerprint), at);
}

/** A new iterable, sync or async, for each epoch. */
export function iterableSource(
  open: (epoch: number) => Items | Promise<Items>,
  fingerprint: string | undefined,
  kind = "iterable",
): Stream {
  return {
    _tag: "Stream",
    seed: null,
    fingerprint: named(kind, fingerprint),
    length: null,
    open: async (epoch) => {
      const xs = await open(epoch);
      if (Symbol.asyncIterator in Object(xs)) return (xs as AsyncIterable<unknown>)[Symbol.asyncIterator]();
      if (Symbol.iterator in Object(xs)) return (xs as Iterable<unknown>)[Symbol.iterator]();
      throw new TypeError(
        `Expected an iterable for each epoch, found ${shown(xs)}: return an array or call a generator`,
      );
    },
    once: false,
    drop: () => {},
  };
}

/**
 * A `tf.data.Dataset`.
 *
 * Its seeded shuffle draws the order of an epoch when the iterator is made, so the iterators of earlier epochs are made
 * too, and never read. An element that is read belongs to its reader: one that nobody sees is disposed, as tf.data's
 * own `skip` does.
 */
export function datasetSource(dataset: Dataset<unknown>, fingerprint: string | undefined): Stream {
  const begun = {};
  return {
    _tag: "Stream",
    seed: null,
    fingerprint: named("dataset", fingerprint),
    length: null,
    open: async (epoch, run) => {
      for (let e = run.get(begun) ?? 0; e < epoch; e++) await dataset.iterator();
      run.set(begun, epoch + 1);
      return await dataset.iterator();
    },
    once: true,
    drop: dispose,
  };
}

export function named(kind: string, fingerprint: string | undefined): string {
  return fingerprint === undefined ? kind : `${kind}:${fingerprint}`;
}

// --- combinators

/** The samples of a range in an order that belongs to the seed and the epoch; those outside stay where they are. */
export function shuffled(seed: Seed): (range: Range) => (source: Indexed) => Indexed {
  const held = cursorSeed(seed);
  return ({ low, high }) => (source) => {
    const length = high - low;
    const part = length === source.length ? "" : `[${low},${high})`;
    let now = 0;
    let order = permutation(seed, 0, length);
    // Indices asked for one after the other are computed many at a time: those from `first` on, `filled` of them.
    const block = new Float64Array(32);
    let [first, filled, next] = [0, 0, -1];
    const fill = (epoch: number, i: number): number => {
      if (now !== epoch) [now, order, filled, next] = [epoch, permutation(seed, epoch, length), 0, -1];
      if (i !== next) {
        [filled, next] = [0, i + 1];
        return order.at(i);
      }
      const count = Math.min(block.length, length - i);
      order.fill(i, count === block.length ? block : block.subarray(0, count));
      [first, filled, next] = [i, count, i + count];
      return block[0]!;
    };
    const place = (epoch: number, position: number): number => {
      const i = position - low;
      const j = i - first;
      return low + (epoch === now && j >= 0 && j < filled ? block[j]! : fill(epoch, i));
    };
    return {
      ...source,
      seed: held,
      fingerprint: `${source.fingerprint} ${algorithm}${part}:${seedText(seed).join(":")}`,
      at: (epoch, position) => source.at(epoch, place(epoch, position)),
      index: (epoch, position) => source.index(epoch, place(epoch, position)),
    };
  };
}

/** The samples in windows of `size`, each mixed in itself by {@link windowOrder}. */
export function shuffledWindows(size: number, seed: Seed): (source: Indexed) => Indexed {
  return (source) => {
    let [key, order] = ["", (i: number): number => i];
    const place = (epoch: number, position: number): number => {
      const window = Math.floor(position / size);
      const next = `${epoch}:${window}`;
      if (key !== next) {
        [key, order] = [next, windowOrder(seed, epoch, window, Math.min(size, source.length - window * size))];
      }
      return window * size + order(position - window * size);
    };
    return {
      ...source,
      seed: cursorSeed(seed),
      fingerprint: windowed(source.fingerprint, size, seed),
      at: (epoch, position) => source.at(epoch, place(epoch, position)),
      index: (epoch, position) => source.index(epoch, place(epoch, position)),
    };
  };
}

/** The order within one window of so many samples. */
export function windowOrder(seed: Seed, epoch: number, window: number, length: number): (index: number) => number {
  return permutation(JSON.stringify([...seedText(seed), window]), epoch, length).at;
}

/** What a source is whose windows are shuffled. */
export function windowed(fingerprint: string, size: number, seed: Seed): string {
  return `${fingerprint} ${algorithm}/window ${size}:${seedText(seed).join(":")}`;
}

/** The samples side by side, by the names of their sources. */
export function zipped(parts: readonly Indexed[], fingerprint: string, join: (values: unknown[]) => unknown): Indexed {
  return {
    ...numbered(Math.min(...parts.map(({ length }) => length)), fingerprint, () => undefined, together(parts)),
    at: (epoch, position) => {
      const values = gather(parts.length, (k) => parts[k]!.at(epoch, position));
      return isPromise(values) ? values.then(join) : join(values);
    },
  };
}

/** Samples that each come from one of several sources; `pick` says from which, and which of its samples. */
export function picked(
  parts: readonly Indexed[],
  length: number,
  fingerprint: string,
  pick: (position: number) => readonly [part: number, position: number],
): Indexed {
  return {
    ...numbered(length, fingerprint, () => undefined, together(parts)),
    at: (epoch, position) => {
      const [k, inside] = pick(position);
      return parts[k]!.at(epoch, inside);
    },
  };
}

/** Holds all parts, and lets go of all. */
export function together(parts: readonly Source[]): () => () => Promise<void> {
  return () => {
    const ends = parts.map(({ hold }) => hold?.());
    return async () => {
      for (const end of ends) await end?.();
    };
  };
}

/** Disposes every tensor in a sample, and whatever else has a method `dispose`. */
export function dispose(sample: unknown): void {
  if (typeof sample !== "object" || sample === null) return;
  if ("dispose" in sample && typeof sample.dispose === "function") sample.dispose();
  else if (Array.isArray(sample) || isPlainRecord(sample)) Object.values(sample).forEach(dispose);
}

/** How many items of an array are looked at, and how many values in all, or in one item. */
const looks = 4096;
const values = { all: 1 << 18, each: 1024 };

/** A digest of an array's content: of all of it where it is small, of a sample spread evenly over it where it is not. */
export function digest(xs: ArrayLike<unknown>): string {
  const hash = createHash("sha256");
  const count = Math.min(xs.length, looks);
  const budget = Math.min(values.each, Math.floor(values.all / count));
  for (let i = 0; i < count; i++) hash.update(`${content(xs[spread(i, count, xs.length)], budget)};`);
  return hash.digest("hex").slice(0, 32);
}

/** The i-th of `count` indices spread evenly over a length, the first and the last among them. */
function spread(i: number, count: number, length: number): number {
  return count === 1 ? 0 : Math.floor(i * (length - 1) / (count - 1));
}

/** A value as text, or a part of it if it has more than `budget` values; an object that is not plain says nothing of itself. */
function content(value: unknown, budget: number): string {
  if (typeof value === "string") {
    const ends = value.length > 2 * values.each
      ? [value.length, value.slice(0, values.each), value.slice(-values.each)]
      : value;
    return JSON.stringify(ends);
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "function";
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  if (value instanceof ArrayBuffer) return content(new Uint8Array(value), budget);
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) {
    const items = value as unknown as ArrayLike<unknown>;
    const count = Math.min(items.length, budget);
    const each = Math.floor((budget - 1) / count);
    const parts = Array.from({ length: count }, (_, i) => content(items[spread(i, count, items.length)], each));
    return `${items.length}[${parts.join()}]`;
  }
  if (!isPlainRecord(value)) return "object";
  const keys = Object.keys(value).sort().slice(0, budget);
  const each = Math.floor((budget - 1) / keys.length);
  return `{${keys.map((key) => `${JSON.stringify(key)}:${content(value[key], each)}`).join()}}`;
}
