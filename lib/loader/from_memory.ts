/**
 * Loaders of data in memory, of sources that the user provides by index, and of streams.
 *
 * @module
 */
import { arrayDigest, givenFingerprint } from "./fingerprint.ts";
import { checkLoader, type Loader, loaderOf } from "./types.ts";
import { aFunction, checkMisspelt, demand, integer, isPlainRecord, must } from "../validation/mod.ts";
import { origin } from "./index_plan.ts";
import { type Dataset, datasetSource, iterableSource, randomAccess, rowsSource, type RowValues } from "./source.ts";

// --- types

/**
 * Typed arrays of numbers that rows can be views of, including `Float16Array` where the runtime has it.
 *
 * @internal
 */
export type NumericArray = ArrayBufferView & ArrayLike<number> & RowValues;

/**
 * The part of a tensor that {@link fromTensor} uses.
 *
 * @internal
 */
export interface TensorRows {
  readonly shape: readonly number[];
  readonly dtype: string;
  dataSync(): RowValues;
}

// --- constructors

/**
 * A loader of the items of an array.
 *
 * The fingerprint covers the length and the content: up to 4,096 items spread evenly, 64 to 1,024 values of each. It does not cover the
 * content of tensors and class instances.
 *
 * @param xs An array or typed array. It is not copied: do not change it while the loader is in use.
 * @returns The loader; a `TypeError` for data of another type.
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
  const isList = (value: unknown): boolean => Array.isArray(value) || isArrayView(value);
  demand("the data of Loader.fromArray", must("an array or a typed array", isList), xs);
  return loaderOf(randomAccess(xs.length, `array:${xs.length}:${arrayDigest(xs)}`, (index) => xs[index]));
}

/**
 * A loader of the rows of a table in one typed array, in row-major order.
 *
 * @param xs The values. They are not copied, and the rows are views of them: do not change them while the loader is in use.
 * @param size Values in a row, an integer from 1 that divides the length of `xs`.
 * @returns The loader; a `TypeError` for data of another type or a size that does not divide the length.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(await Loader.at(1)(Loader.fromRows(Float32Array.of(1, 2, 3, 4), 2)), Float32Array.of(3, 4));
 * ```
 */
export function fromRows<A extends NumericArray>(xs: A, size: number): Loader<A> {
  demand("the data of Loader.fromRows", must("a typed array of numbers", isArrayView), xs);
  demand("size of Loader.fromRows", integer(1), size);
  const whole = must(`a multiple of ${size}`, (length) => Number(length) % size === 0);
  demand("the length of the data of Loader.fromRows", whole, xs.length);
  return loaderOf(rowsSource(xs, [xs.length / size, size], "rows"));
}

/**
 * A loader of a tensor's rows along its first axis: numbers for a tensor of one axis, else typed arrays in row-major order.
 *
 * The data is read once, in this call. The tensor may be disposed afterwards; the rows are not tensors.
 *
 * @param tensor A tensor of at least one axis, of any dtype but complex64.
 * @returns The loader; a `TypeError` for another value.
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
export function fromTensor<T extends TensorRows>(
  tensor: T,
): Loader<T["shape"] extends readonly [number] ? number : Float32Array | Int32Array | Uint8Array> {
  const hasRows = (value: unknown): boolean =>
    aFunction.is((value as TensorRows | null | undefined)?.dataSync) && (value as TensorRows).shape.length > 0 &&
    (value as TensorRows).dtype !== "complex64";
  demand("the argument of Loader.fromTensor", must("a real tensor of at least one axis", hasRows), tensor);
  return loaderOf(rowsSource(tensor.dataSync(), tensor.shape, "tensor"));
}

/**
 * A loader of samples that a function reads by index, such as the records of a file.
 *
 * @param source `length`: the number of samples. `at`: returns the sample at an index from 0, or a promise of it; the samples of one batch
 * are requested before the first is awaited. `fingerprint`: a string that identifies this data, such as a digest or a version; without it
 * only a change of length is detected.
 * @returns The loader; a `TypeError` for a source without these fields.
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
  // The source may be an object of the user's with more properties, so only misspelt names are rejected.
  if (isPlainRecord(source)) checkMisspelt("Loader.fromIndexed", source, { length: true, at: true, fingerprint: true });
  const { length, fingerprint } = source;
  demand("length of Loader.fromIndexed", integer(0), length);
  demand("at of Loader.fromIndexed", aFunction, source.at);
  const about = givenFingerprint("Loader.fromIndexed", { fingerprint }, `indexed:${length}`);
  return loaderOf(randomAccess(length, about, (index) => source.at(index)));
}

/**
 * A loader of a stream that is opened again for each epoch.
 *
 * Samples are pulled one at a time and never ahead. Skipped samples are pulled and dropped; nothing is computed from them. So the cursor
 * after the last item of an epoch may be at the end of that epoch, where the cursor of a source with random access is at the start of the
 * next one. Once an epoch was read to its end, all epochs must have that length. The iterator is closed when the iteration ends early.
 *
 * @param open Returns an iterable, sync or async, or a promise of one, for the epoch with this number, counted from 0. It must return the
 * same samples for the same epoch in every process.
 * @param options `fingerprint`: a string that identifies this data; none by default.
 * @returns The loader; a `TypeError` if `open` is no function.
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
  const opens = must("a function that returns an iterable for each epoch", aFunction.is);
  demand("the source of Loader.fromIterable", opens, open);
  return loaderOf(iterableSource(open, givenFingerprint("Loader.fromIterable", options, "iterable")));
}

/**
 * A loader of the elements of a `tf.data.Dataset`.
 *
 * tf.data's seeded shuffle draws the order of an epoch when its iterator is made. So a resume makes one iterator for each earlier epoch and
 * reads none of them. For the same reason give each run, and each use of the data in a loader, a separate dataset, and give its `shuffle` a
 * seed other than 0. Skipped elements are disposed.
 *
 * @param dataset The dataset. All epochs must have the same number of elements, once one was read to its end.
 * @param options `fingerprint`: a string that identifies this data; none by default.
 * @returns The loader; a `TypeError` for another value.
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
  const iterates = (value: unknown): boolean => aFunction.is((value as Dataset<A> | null | undefined)?.iterator);
  demand("the source of Loader.fromDataset", must("a tf.data.Dataset", iterates), dataset);
  return loaderOf(datasetSource(dataset, givenFingerprint("Loader.fromDataset", options, "dataset")));
}

// --- combinators

function isArrayView(value: unknown): boolean {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/**
 * The number of items of a loader.
 *
 * @param loader The loader.
 * @returns The number; Infinity for an endless loader, null for a stream, whose length is unknown until it is read.
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
  const { source, plan } = checkLoader("Loader.length", loader);
  return source.length === null ? null : plan(source.length).length(origin);
}
