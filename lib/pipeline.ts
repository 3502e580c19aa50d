/**
 * What a loader is, and the loaders of data in memory: a source, and the arithmetic put over it. Nothing is read.
 *
 * @module
 */
import * as Plans from "./plan.ts";
import type { Plan } from "./plan.ts";
import { checkMisspelt, checkOptionNames } from "./option_names.ts";
import { aFunction, demand, ifGiven, integer, isPlainRecord, must, shown } from "./rules.ts";
import * as Sources from "./source.ts";
import type { Dataset, Range, Source } from "./source.ts";

// --- types

/** A sequence of items that are computed one at a time, and that can be entered at any of them. */
export interface Loader<out A> {
  readonly _tag: "Loader";
  readonly source: Source;
  /** Where the items lie in a source whose epochs have this many samples. */
  readonly plan: (length: number) => Plan<A>;
  /** The samples of a pass as long as the items are single samples in the source's order, else null. */
  readonly range: Range | null;
  /** Whether each item is one sample. */
  readonly single: boolean;
  /** The combinators that decide which samples an item has, in order. */
  readonly chain: string;
  /** How items were grouped, and from what, if that was the last thing done to them. */
  readonly groups: Groups | null;
  /** How many items are computed before they are asked for. */
  readonly ahead: number;
  /** Whether an item's tensors are disposed when the next item is asked for. */
  readonly owned: boolean;
  /** Is told of every item given. */
  readonly watch: ((progress: Progress) => void) | null;
}

/** Groups of `size` items, the last of a pass left out if it is shorter and `dropLast`. */
export interface Groups {
  readonly size: number;
  readonly dropLast: boolean;
  readonly plan: (length: number) => Plan<unknown>;
}

/** How far an iteration is. */
export interface Progress {
  /** Items of the loader up to this one, counted from its start and not from where the iteration began. */
  readonly done: number;
  /** How many items the loader has: Infinity if it never ends, null if it cannot know. */
  readonly total: number | null;
  /** Whole epochs behind. */
  readonly epoch: number;
  /** Samples of this epoch behind. */
  readonly position: number;
}

// --- constructors

/** A loader of a source's single samples, which are `A`s because the caller's source says so. */
export function samplesOf<A>(source: Source): Loader<A> {
  const whole = source.length === null || source.length === Infinity ? null : { low: 0, high: source.length };
  return Object.freeze({
    _tag: "Loader",
    source,
    plan: Plans.samples as (length: number) => Plan<A>,
    range: whole && Object.freeze(whole),
    single: true,
    chain: "",
    groups: null,
    ahead: 0,
    owned: false,
    watch: null,
  });
}

/** A loader with some of its fields changed. */
export function changed<A>(loader: Loader<unknown>, fields: Partial<Omit<Loader<A>, "_tag">>): Loader<A> {
  return Object.freeze({ ...loader, ...fields } as Loader<A>);
}

/** Sees that options hold a fingerprint alone, if anything. */
export function checkFingerprint(of: string, options: { readonly fingerprint?: string }): void {
  checkOptionNames(of, options, { fingerprint: true });
  demand(`fingerprint of ${of}`, ifGiven(must("a string", (value) => typeof value === "string")), options.fingerprint);
}

/**
 * A loader of the items of an array.
 *
 * The fingerprint covers the length and the content: up to 4,096 items spread evenly, 64 to 1,024 values of each. Tensors
 * and class instances count as items, but not what is in them.
 *
 * @param xs An array or typed array. It is not copied: it must stay as it is.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Loader.length(Loader.fromArray(Float32Array.of(1, 2, 3))), 3);
 * ```
 */
export function fromArray<A>(xs: ArrayLike<A>): Loader<A> {
  const listed = (value: unknown): boolean =>
    Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  demand("the data of Loader.fromArray", must("an array or a typed array", listed), xs);
  return samplesOf(Sources.arraySource(xs));
}

/** The typed arrays that rows are views of, `Float16Array` of newer runtimes among them. */
export type Numbers = ArrayBufferView & ArrayLike<number> & Sources.Rows;

/**
 * A loader of the rows of a table that lies in one typed array, one row after another.
 *
 * @param xs The values. They are not copied, the rows are views of them: they must stay as they are.
 * @param size Values in a row, an integer from 1 of which the length is a multiple.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(await Loader.at(1)(Loader.fromRows(Float32Array.of(1, 2, 3, 4), 2)), Float32Array.of(3, 4));
 * ```
 */
export function fromRows<A extends Numbers>(xs: A, size: number): Loader<A> {
  const numbers = (value: unknown): boolean => ArrayBuffer.isView(value) && !(value instanceof DataView);
  demand("the data of Loader.fromRows", must("a typed array of numbers", numbers), xs);
  demand("size of Loader.fromRows", integer(1), size);
  const whole = must(`a multiple of ${size}`, (length) => Number(length) % size === 0);
  demand("the length of the data of Loader.fromRows", whole, xs.length);
  return samplesOf(Sources.rowsSource(xs, [xs.length / size, size], "rows"));
}

/**
 * A loader of a tensor's rows along its first axis: numbers of a tensor of one axis, else typed arrays in row-major order.
 *
 * The data is read here, once; the tensor may be disposed afterwards, and no row needs to be.
 *
 * @param tensor A tensor of at least one axis.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const rows = Loader.fromTensor(tf.tensor2d([[1, 2], [3, 4]]));
 * assert.deepEqual(await Loader.at(1)(rows), Float32Array.of(3, 4));
 * ```
 */
export function fromTensor<T extends Rowed>(
  tensor: T,
): Loader<T["shape"] extends readonly [number] ? number : Float32Array | Int32Array | Uint8Array> {
  const rowed = (value: unknown): boolean =>
    isFunction((value as Rowed | null | undefined)?.dataSync) && (value as Rowed).shape.length > 0 &&
    (value as Rowed).dtype !== "complex64";
  demand("what Loader.fromTensor is given", must("a real tensor of at least one axis", rowed), tensor);
  return samplesOf(Sources.rowsSource(tensor.dataSync(), tensor.shape, "tensor"));
}

/** The part of a tensor that {@link fromTensor} uses. */
export interface Rowed {
  readonly shape: readonly number[];
  readonly dtype: string;
  dataSync(): Sources.Rows;
}

/**
 * A loader of samples that are fetched by index, such as records of a file.
 *
 * @param source `length`: how many samples there are. `at`: the sample at an index from 0, or a promise of it; the samples
 * of one batch are asked for together. `fingerprint`: anything that names this data and no other, such as a digest or a
 * version; without it only a change of length is noticed.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const squares = Loader.fromIndexed({ length: 1e12, at: (i) => Promise.resolve(i * i) });
 * assert.equal(await Loader.at(3)(squares), 9);
 * ```
 */
export function fromIndexed<A>(
  source: { readonly length: number; readonly at: (index: number) => A | Promise<A>; readonly fingerprint?: string },
): Loader<A> {
  demand("the source of Loader.fromIndexed", must("an object with length and at", (u) => Object(u) === u), source);
  // It may be a data set of the user's own, with more than these.
  if (isPlainRecord(source)) checkMisspelt("Loader.fromIndexed", source, { length: true, at: true, fingerprint: true });
  demand("length of Loader.fromIndexed", integer(0), source.length);
  demand("at of Loader.fromIndexed", aFunction, source.at);
  checkFingerprint("Loader.fromIndexed", source.fingerprint === undefined ? {} : { fingerprint: source.fingerprint });
  return samplesOf(Sources.indexedSource(source.length, (index) => source.at(index), source.fingerprint));
}

/**
 * A loader of a stream that is opened anew for each epoch.
 *
 * Samples are pulled one at a time; skipped ones are pulled and dropped, and nothing is computed from them. Nothing is pulled
 * ahead either: the cursor after a last item may stand at the end of its epoch, where others stand at the start of the next.
 * Once an epoch was read to its end, all others must have as many samples. The iterator is closed when the iteration is left.
 *
 * @param open Gives an iterable, sync or async, or a promise of one, for the epoch with this number, counted from 0. It must give the same
 * samples for the same epoch, in a new process too.
 * @param options `fingerprint`: anything that names this data and no other.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * function* lines(): Generator<string> {
 *   yield* ["a", "b", "c"];
 * }
 * const seen: string[] = [];
 * for await (const [line] of Loader.iterate(pipe(Loader.fromIterable(lines), Loader.repeat(2)))) seen.push(line);
 * assert.equal(seen.join(""), "abcabc");
 * ```
 */
export function fromIterable<A>(
  open: (epoch: number) => Iterable<A> | AsyncIterable<A> | Promise<Iterable<A> | AsyncIterable<A>>,
  options: { readonly fingerprint?: string } = {},
): Loader<A> {
  demand(
    "the source of Loader.fromIterable",
    must("a function that gives an iterable for each epoch", isFunction),
    open,
  );
  checkFingerprint("Loader.fromIterable", options);
  return samplesOf(Sources.iterableSource(open, options.fingerprint));
}

/**
 * A loader of the elements of a `tf.data.Dataset`.
 *
 * Resuming makes one iterator for every earlier epoch and reads none of them, because tf.data's seeded shuffle takes one
 * order from its seed per iterator; so give each run, and each place in a loader, a dataset of its own, and its `shuffle` a seed that is not 0. Elements
 * that are skipped are disposed.
 *
 * @param dataset The dataset. Every epoch must have the same number of elements, once one was read to its end.
 * @param options `fingerprint`: anything that names this data and no other.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const loader = Loader.fromDataset(tf.data.array([1, 2, 3, 4]).shuffle(4, "7"));
 * assert.equal(typeof await Loader.at(2)(loader), "number");
 * ```
 */
export function fromDataset<A>(dataset: Dataset<A>, options: { readonly fingerprint?: string } = {}): Loader<A> {
  const iterates = (value: unknown): boolean => isFunction((value as Dataset<A> | null | undefined)?.iterator);
  demand("the source of Loader.fromDataset", must("a tf.data.Dataset", iterates), dataset);
  checkFingerprint("Loader.fromDataset", options);
  return samplesOf(Sources.datasetSource(dataset, options.fingerprint));
}

// --- combinators

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

/** Whether a value is a loader. */
export function isLoader(value: unknown): value is Loader<unknown> {
  return typeof value === "object" && value !== null && "_tag" in value && value._tag === "Loader";
}

/** The loader, or a `TypeError` for what is none. */
export function checked<A>(name: string, loader: Loader<A>): Loader<A> {
  if (isLoader(loader)) return loader;
  throw new TypeError(
    `Expected ${name} to be given a loader, found ${shown(loader)}: make one with Loader.fromArray or its like`,
  );
}

/** The loader, or a `TypeError` for one whose items are tensors that the iteration disposes. */
export function unowned<A>(name: string, loader: Loader<A>): Loader<A> {
  if (!checked(name, loader).owned) return loader;
  throw new TypeError(
    `Expected ${name} to be given items that are its own, found tensors of Loader.collate: put Loader.collate last`,
  );
}

/** What {@link planned} changes beside the plan. */
export type Also<A, B> = (loader: Loader<A>) => Partial<Omit<Loader<B>, "_tag" | "plan" | "source">>;

/** The loader with another arithmetic over the same source; unless said otherwise, its items are no longer in the source's order. */
export function planned<A, B>(
  name: string,
  combinator: (plan: Plan<A>) => Plan<B>,
  also: Also<A, B> = () => ({}),
): (loader: Loader<A>) => Loader<B> {
  return (loader) => {
    const { plan } = checked(name, loader);
    return changed<B>(loader, {
      range: null,
      groups: null,
      ...also(loader),
      plan: (length) => combinator(plan(length)),
    });
  };
}

/** One more word in what is said of a chain. */
export function chained(chain: string, word: string): string {
  return `${chain} ${word}`;
}

/**
 * How many items a loader has: Infinity if it never ends, null for a stream, which does not know.
 *
 * @param loader The loader.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Loader.length(pipe(Loader.fromArray([1, 2, 3]), Loader.batch(2, { dropLast: true }))), 1);
 * ```
 */
export function length(loader: Loader<unknown>): number | null {
  const { source, plan } = checked("Loader.length", loader);
  return source.length === null ? null : plan(source.length).length(Plans.origin);
}
