/**
 * Batches as tensors, which live for one step: the iteration that made them disposes them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
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

type Row = readonly number[] | (ArrayBufferView & ArrayLike<number>);

/** Views whose values no tensor holds: they would be lost, or wrap around. */
const unfit = [DataView, BigInt64Array, BigUint64Array, Uint32Array] as const;

function isRow(value: unknown): value is Row {
  if (ArrayBuffer.isView(value)) return !unfit.some((array) => value instanceof array);
  return Array.isArray(value) && value.length > 0 && value.every((x) => typeof x === "number");
}

/** Rows of one length as one array, of integers if they are arrays of integers. */
function joined(rows: readonly Row[], path: string): tf.Tensor {
  const [first] = rows;
  const width = first!.length;
  const integers = rows.every((row) =>
    ArrayBuffer.isView(row) && !(row instanceof Float32Array || row instanceof Float64Array)
  );
  const values = new (integers ? Int32Array : Float32Array)(rows.length * width);
  rows.forEach((row, i) => {
    if (!isRow(row) || row.length !== width) {
      throw new TypeError(
        `Expected ${path} of every sample to be ${width} numbers, found ${
          shown(row)
        } in sample ${i}: map samples to one size`,
      );
    }
    values.set(row as ArrayLike<number>, i * width);
  });
  return tf.tensor2d(values, [rows.length, width]);
}

function stacked(values: readonly unknown[], path: string): tf.TensorContainer {
  const [first] = values;
  const all = (is: (value: unknown) => boolean): void => {
    const i = values.findIndex((value) => !is(value));
    if (i < 0) return;
    throw new TypeError(
      `Expected ${path} of every sample to be of the sort of ${shown(first)}, found ${shown(values[i])} in sample ${i}`,
    );
  };
  if (typeof first === "number" || typeof first === "boolean" || typeof first === "string") {
    all((value) => typeof value === typeof first);
    const dtype = { number: "float32", boolean: "bool", string: "string" } as const;
    return tf.tensor1d(values as number[], dtype[typeof first as keyof typeof dtype]);
  }
  if (first instanceof tf.Tensor) {
    all((value) => value instanceof tf.Tensor);
    return tf.stack(values as tf.Tensor[]);
  }
  if (isRow(first)) return joined(values as readonly Row[], path);
  if (Array.isArray(first)) {
    all((value) => Array.isArray(value) && value.length === first.length);
    return first.map((_, k) => stacked(values.map((value) => (value as readonly unknown[])[k]), `${path}[${k}]`));
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
  throw new TypeError(`Expected samples that tensors can be made of, found ${shown(first)} as ${path}: map them first`);
}

// --- combinators

/**
 * Batches as tensors that the iteration owns: they are disposed when the next item is asked for, or the iteration is left.
 *
 * Put it last; what a step keeps longer it clones. It runs in a `tf.tidy`, so nothing else is left behind.
 *
 * @param f What to make of a batch: a tensor, or arrays and records of them; it is synchronous. By default numbers, booleans
 * and strings are stacked along a first axis, rows of numbers and tensors too, and tuples and records part by part; tensors of
 * `tf.data` are disposed then.
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
        const made = make === undefined ? stacked(batch as readonly unknown[], "the value") : make(batch);
        if (isPromise(made)) {
          throw new TypeError(
            "Expected f of Loader.collate to give tensors, found a promise: use Loader.map before it",
          );
        }
        if (consumes) dispose(batch);
        return made as tf.TensorContainer;
      });
    return changed(planned<unknown, unknown>("Loader.collate", map(collated))(loader), { owned: true });
  };
}
