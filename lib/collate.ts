/**
 * Batches as tensors, which live for one step: the iteration that made them disposes them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { column, isRow, isTyped, joined, type Row, withoutNumber } from "./columns.ts";
import { changed, type Loader, planned, unowned } from "./pipeline.ts";
import { isPromise, map } from "./plan.ts";
import { aFunction, demand, isPlainRecord, shown } from "./rules.ts";
import { dispose } from "./source.ts";

// --- types

/** What becomes of samples put together: numbers and rows of them a tensor, tuples and records tensors by place and by name. */
export type Collated<A> = A extends number | boolean | string | tf.Tensor | ArrayBufferView | readonly number[]
  ? tf.Tensor
  : A extends readonly unknown[] ? { -readonly [K in keyof A]: Collated<A[K]> }
  : A extends object ? { -readonly [K in keyof A]: Collated<A[K]> }
  : never;

// --- constructors

/** Rows of one length as one tensor. */
function table(rows: readonly unknown[], path: string): tf.Tensor {
  const width = (rows[0] as Row).length;
  rows.forEach((row, i) => {
    if (isRow(row) && row.length === width) return;
    const at = Array.isArray(row) && row.length === width ? withoutNumber(row) : -1;
    throw at < 0
      ? new TypeError(
        `Expected ${path} of every sample to be ${width} ${width === 1 ? "number" : "numbers"}, found ${
          shownRow(row)
        } in sample ${i}: map samples to one size`,
      )
      : noNumber(path, row as readonly unknown[], at, i);
  });
  return tf.tensor2d(joined(rows as readonly Row[], width, path), [rows.length, width]);
}

/** The samples of a batch, of which there must be one. */
function samplesIn(batch: unknown): readonly unknown[] {
  if (Array.isArray(batch) && batch.length > 0) return batch;
  throw new TypeError(
    `Expected Loader.collate to be given batches, arrays of samples, found ${shown(batch)}: put Loader.batch before it`,
  );
}

function shownRow(row: unknown): string {
  return isTyped(row) ? `${shown(row)} of ${row.length}` : shown(row);
}

/** The refusal of what is no number in a row of numbers. */
function noNumber(path: string, row: readonly unknown[], at: number, sample: number): TypeError {
  const found = at in row ? shown(row[at]) : "a hole";
  return new TypeError(
    `Expected ${path}[${at}] of every sample to be a number, found ${found} in sample ${sample}: ` +
      "fill it, such as by NaN, or leave the sample out",
  );
}

/** Tensors of one shape and dtype as one. */
function tensors(values: readonly tf.Tensor[], path: string): tf.Tensor {
  const said = ({ dtype, shape }: tf.Tensor): string => `${dtype}[${shape}]`;
  const i = values.findIndex((value) => said(value) !== said(values[0]!));
  if (i < 0) return tf.stack(values as tf.Tensor[]);
  throw new TypeError(
    `Expected ${path} of every sample to be a tensor ${said(values[0]!)}, found ${said(values[i]!)} in sample ${i}: ` +
      "map samples to one size and dtype",
  );
}

function stacked(values: readonly unknown[], path: string): tf.TensorContainer {
  const [first] = values;
  const all = (is: (value: unknown) => boolean): void => {
    const i = values.findIndex((value) => !is(value));
    if (i < 0) return;
    throw new TypeError(
      `Expected ${path} of every sample to be of the sort of ${shown(first)}, found ${
        shown(values[i])
      } in sample ${i}: ` +
        "map samples to one sort, or leave those that lack it out by Loader.filter",
    );
  };
  if (typeof first === "number") {
    all((value) => typeof value === typeof first);
    return tf.tensor1d(column(values as readonly number[], path));
  }
  if (typeof first === "boolean" || typeof first === "string") {
    all((value) => typeof value === typeof first);
    return tf.tensor1d(values as string[], typeof first === "boolean" ? "bool" : "string");
  }
  if (first instanceof tf.Tensor) {
    all((value) => value instanceof tf.Tensor);
    return tensors(values as readonly tf.Tensor[], path);
  }
  if (isRow(first)) return table(values, path);
  if (Array.isArray(first)) {
    all((value) => Array.isArray(value) && value.length === first.length);
    const gap = first.findIndex((value) => value === undefined || value === null);
    if (gap >= 0 && first.some((value) => typeof value === "number")) throw noNumber(path, first, gap, 0);
    const part = (k: number): readonly unknown[] => values.map((value) => (value as readonly unknown[])[k]);
    return Array.from(first, (_, k) => stacked(part(k), `${path}[${k}]`));
  }
  if (isPlainRecord(first)) {
    all(isPlainRecord);
    const names = new Set(values.flatMap((value) => Object.keys(value as object)));
    return Object.fromEntries(
      [...names].map((name) => [
        name,
        stacked(values.map((value) => (value as Record<string, unknown>)[name]), `${path}.${name}`),
      ]),
    );
  }
  throw new TypeError(
    `Expected samples that tensors can be made of, found ${shown(first)} as ${path} of sample 0: map them first, ` +
      "such as to numbers, Int32Array or Float32Array",
  );
}

// --- combinators

/**
 * Batches as tensors that the iteration owns: they are disposed when the next item is asked for, or the iteration is left.
 *
 * Put it last; what a step keeps longer it clones. It runs in a `tf.tidy`, so nothing else is left behind.
 *
 * @param f What to make of a batch: a tensor, or arrays and records of them; it is synchronous. By default numbers, booleans
 * and strings are stacked along a first axis, rows of numbers and tensors too, and tuples and records part by part; tensors of
 * `tf.data` are disposed then. Every value is in the tensor as it was, or is a `TypeError` that names its sample and place:
 *
 * | samples | tensor | refused |
 * |---|---|---|
 * | numbers, arrays of them, `Float64Array` | float32, rounded as tfjs does | a finite number beyond float32, a hole, `undefined` |
 * | `Float32Array`, `Float16Array` | float32, exact | |
 * | `Int8Array`, `Uint8Array`, `Uint8ClampedArray`, `Int16Array`, `Uint16Array`, `Int32Array` | int32, exact | |
 * | typed arrays of integers beside rows of fractions or arrays of numbers | float32 | an integer of a typed array that float32 does not hold |
 * | `Uint32Array`, `BigInt64Array`, `BigUint64Array`, bigints | | all: map them to what a tensor holds |
 * | booleans; strings; tensors | bool; string; theirs | another sort, dtype or shape among them |
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
export function collate<A, B extends tf.TensorContainer>(f: (batch: A) => B): (loader: Loader<A>) => Loader<B>;
export function collate(f?: (batch: never) => unknown): (loader: Loader<never>) => Loader<unknown> {
  if (f !== undefined) demand("f of Loader.collate", aFunction, f);
  return (loader) => {
    const { source } = unowned("Loader.collate", loader);
    const consumes = f === undefined && source._tag === "Stream" && source.once;
    const make = f as ((batch: unknown) => unknown) | undefined;
    const collated = (batch: unknown): unknown =>
      tf.tidy(() => {
        const made = make === undefined ? stacked(samplesIn(batch), "the value") : make(batch);
        if (isPromise(made)) {
          throw new TypeError(
            "Expected f of Loader.collate to give tensors, found a promise: use Loader.map before it",
          );
        }
        if (made === undefined || made === null) {
          throw new TypeError(`Expected f of Loader.collate to give tensors, found ${shown(made)}: return them`);
        }
        if (consumes) dispose(batch);
        return made as tf.TensorContainer;
      });
    return changed(planned<unknown, unknown>("Loader.collate", map(collated))(loader), { owned: true });
  };
}
