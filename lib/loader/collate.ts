/**
 * Collates batches into tensors that live for one step: the iteration disposes them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { indexOfNonNumber, isRow, isTyped, joinNumbers, joinRows, type NumericRow } from "./columns.ts";
import { checkUnowned, type Loader, withPlan } from "./types.ts";
import { isPromise, mapItems } from "./index_plan.ts";
import { aFunction, checkCurried, demand, isPlainRecord, shown } from "../validation/mod.ts";
import { dispose } from "./source.ts";

// --- types

/**
 * Samples that become one axis, the batch: each is one value.
 *
 * @internal
 */
type SingleValue = number | boolean | string;
/**
 * Integers that tensors cannot hold: the check at run time names them.
 *
 * @internal
 */
type Unheld = bigint | Uint32Array | BigInt64Array | BigUint64Array;

/** The rank of a stack of tensors of each rank. */
interface StackedRank {
  readonly R0: tf.Rank.R1;
  readonly R1: tf.Rank.R2;
  readonly R2: tf.Rank.R3;
  readonly R3: tf.Rank.R4;
  readonly R4: tf.Rank.R5;
  readonly R5: tf.Rank.R6;
}

/**
 * A stack of tensors of a rank, of any rank if it is not known.
 *
 * @internal
 */
type Stacked<R extends tf.Rank> = tf.Rank extends R ? tf.Tensor
  : `${R}` extends keyof StackedRank ? tf.Tensor<StackedRank[`${R}`]>
  : tf.Tensor;

/**
 * The result of stacking samples: a `Tensor1D` of numbers, booleans or strings, a `Tensor2D` of rows of numbers, a tensor of one more axis of
 * tensors, and tensors by index or name of tuples and records.
 */
export type Collated<A> = unknown extends A ? A & tf.TensorContainer
  : A extends SingleValue ? tf.Tensor1D
  : A extends Unheld ? never
  : A extends tf.Tensor<infer R> ? Stacked<R>
  : A extends ArrayBufferView | readonly number[] ? tf.Tensor2D
  : A extends readonly unknown[] ? { -readonly [K in keyof A]: Collated<A[K]> }
  : A extends object ? { -readonly [K in keyof A]: Collated<A[K]> }
  : never;

// --- constructors

/** One tensor of the same part of every sample, or tensors of its fields. `path` names the part in messages. */
function stack(values: readonly unknown[], path: string): tf.TensorContainer {
  const [first] = values;
  switch (typeof first) {
    case "number":
      checkAll(values, path, (value) => typeof value === "number");
      return tf.tensor1d(joinNumbers(values as readonly number[], path));
    case "boolean":
    case "string":
      checkAll(values, path, (value) => typeof value === typeof first);
      return tf.tensor1d(values as string[], typeof first === "boolean" ? "bool" : "string");
  }
  if (first instanceof tf.Tensor) {
    checkAll(values, path, (value) => value instanceof tf.Tensor);
    return stackTensors(values as readonly tf.Tensor[], path);
  }
  if (isRow(first)) return stackRows(values, path);
  if (Array.isArray(first)) return stackTuples(values, first, path);
  if (isPlainRecord(first)) return stackRecords(values, path);
  throw new TypeError(
    `Expected samples that tensors can be made of, found ${shown(first)} as ${path} of sample 0: map them first, ` +
      "such as to numbers, Int32Array or Float32Array",
  );
}

function checkAll(values: readonly unknown[], path: string, holds: (value: unknown) => boolean): void {
  const i = values.findIndex((value) => !holds(value));
  if (i < 0) return;
  throw new TypeError(
    `Expected ${path} of every sample to be of the same type as ${shown(values[0])}, found ${
      shown(values[i])
    } in sample ${i}: map samples to one type, or leave out the others by Loader.filter`,
  );
}

function stackTensors(values: readonly tf.Tensor[], path: string): tf.Tensor {
  const types = values.map(({ dtype, shape }) => `${dtype}[${shape}]`);
  const i = types.findIndex((type) => type !== types[0]);
  if (i < 0) return tf.stack(values as tf.Tensor[]);
  throw new TypeError(
    `Expected ${path} of every sample to be a tensor ${types[0]}, found ${
      types[i]
    } in sample ${i}: map samples to one size ` +
      "and dtype",
  );
}

function stackRows(rows: readonly unknown[], path: string): tf.Tensor {
  const width = (rows[0] as NumericRow).length;
  rows.forEach((row, i) => {
    if (!isRow(row) || row.length !== width) throw notRow(row, width, path, i);
  });
  return tf.tensor2d(joinRows(rows as readonly NumericRow[], width, path), [rows.length, width]);
}

/** The error for a sample that is no row of `width` numbers. */
function notRow(row: unknown, width: number, path: string, sample: number): TypeError {
  const gap = Array.isArray(row) && row.length === width ? indexOfNonNumber(row) : -1;
  if (gap >= 0) return notNumber(path, row as readonly unknown[], gap, sample);
  const found = isTyped(row) ? `${shown(row)} of ${row.length}` : shown(row);
  return new TypeError(
    `Expected ${path} of every sample to be ${width} ${width === 1 ? "number" : "numbers"}, found ${found} in sample ` +
      `${sample}: map samples to one size`,
  );
}

/** The error for a value in a row of numbers that is no number. */
function notNumber(path: string, row: readonly unknown[], at: number, sample: number): TypeError {
  const found = at in row ? shown(row[at]) : "a hole";
  return new TypeError(
    `Expected ${path}[${at}] of every sample to be a number, found ${found} in sample ${sample}: ` +
      "fill it, such as with NaN, or leave the sample out",
  );
}

function stackTuples(values: readonly unknown[], first: readonly unknown[], path: string): tf.TensorContainer {
  checkAll(values, path, (value) => Array.isArray(value) && value.length === first.length);
  const gap = first.findIndex((value) => value === undefined || value === null);
  if (gap >= 0 && first.some((value) => typeof value === "number")) throw notNumber(path, first, gap, 0);
  const part = (k: number): readonly unknown[] => values.map((value) => (value as readonly unknown[])[k]);
  return Array.from(first, (_, k) => stack(part(k), `${path}[${k}]`));
}

function stackRecords(values: readonly unknown[], path: string): tf.TensorContainer {
  checkAll(values, path, isPlainRecord);
  const records = values as readonly Readonly<Record<string, unknown>>[];
  const names = [...new Set(records.flatMap(Object.keys))];
  return Object.fromEntries(names.map((name) => [name, stack(records.map((one) => one[name]), `${path}.${name}`)]));
}

/** The samples of a batch, at least one. */
function samplesIn(batch: unknown): readonly unknown[] {
  if (Array.isArray(batch) && batch.length > 0) return batch;
  throw new TypeError(
    `Expected Loader.collate to be given batches, arrays of samples, found ${shown(batch)}: put Loader.batch before it`,
  );
}

function checkCollated(made: unknown): tf.TensorContainer {
  if (isPromise(made)) {
    throw new TypeError(
      "Expected f of Loader.collate to return tensors, found a promise: use Loader.map before it",
    );
  }
  if (made === undefined || made === null) {
    throw new TypeError(`Expected f of Loader.collate to return tensors, found ${shown(made)}: return them`);
  }
  return made as tf.TensorContainer;
}

// --- combinators

/**
 * Makes tensors of batches. The iteration owns them: it disposes them when the next item is requested, or when it ends.
 *
 * Put it last, and clone what a step keeps longer. It runs in a `tf.tidy`, so no other tensor is left.
 *
 * @param f Makes a tensor, or arrays and records of tensors, from a batch; it is synchronous. By default numbers, booleans, strings, rows of
 * numbers and tensors are stacked along a first axis, tuples and records part by part, and then the tensors of `tf.data` are disposed. Each
 * value is either converted as the table says, or is a `TypeError` with its sample and its index or name:
 *
 * | samples | tensor | error |
 * |---|---|---|
 * | numbers, arrays of them, `Float64Array` | float32, rounded as tfjs does | a finite number beyond float32, a hole, `undefined` |
 * | `Float32Array`, `Float16Array` | float32, exact | |
 * | `Int8Array`, `Uint8Array`, `Uint8ClampedArray`, `Int16Array`, `Uint16Array`, `Int32Array` | int32, exact | |
 * | typed arrays of integers together with rows of fractions or arrays of numbers | float32 | an integer of a typed array that float32 does not hold exactly |
 * | `Uint32Array`, `BigInt64Array`, `BigUint64Array`, bigints | | all: map them to what a tensor holds |
 * | booleans; strings; tensors | bool; string; their dtype | another type, dtype or shape among them |
 *
 * @returns A function from loader to loader; a `TypeError` for a loader that is collated already.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const { numTensors } = tf.memory();
 * const data = Loader.zip({ x: Loader.fromRows(Float32Array.of(1, 2, 3, 4), 2), y: Loader.fromArray([0, 1]) });
 * for await (const [{ x, y }] of Loader.iterate(pipe(data, Loader.batch(2), Loader.collate()))) {
 *   assert.deepEqual([x.shape, y.shape], [[2, 2], [2]]);
 * }
 * assert.equal(tf.memory().numTensors, numTensors);
 * ```
 */
export function collate(): <A>(loader: Loader<readonly A[]>) => Loader<Collated<A>>;
/** Makes tensors of batches by a function of your own. */
export function collate<A, B extends tf.TensorContainer>(f: (batch: A) => B): (loader: Loader<A>) => Loader<B>;
export function collate(f?: (batch: never) => unknown): (loader: Loader<never>) => Loader<unknown> {
  checkCurried(arguments, 1, "Loader.collate(f)(loader)");
  if (f !== undefined) demand("f of Loader.collate", aFunction, f);
  return (loader) => {
    const { source } = checkUnowned("Loader.collate", loader);
    const disposesBatch = f === undefined && source._tag === "Stream" && source.singleUse;
    const make = f as ((batch: unknown) => unknown) | undefined;
    const collated = (batch: unknown): unknown =>
      tf.tidy(() => {
        const made = checkCollated(make === undefined ? stack(samplesIn(batch), "the value") : make(batch));
        if (disposesBatch) dispose(batch);
        return made;
      });
    return withPlan<unknown, unknown>(loader, mapItems(collated), { owned: true });
  };
}
