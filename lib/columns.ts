/**
 * Numbers of samples put together into one typed array, exactly or not at all.
 *
 * Integers of typed arrays stay integers (int32) where no sample has fractions, and where one has, float32 must hold them. Numbers of
 * JavaScript and float64 are rounded to float32, as tfjs rounds them; one beyond its range is refused.
 *
 * @module
 */
import { shown } from "./rules.ts";

// --- types

/** A sample that is a row of numbers. */
export type Row = ArrayLike<number>;

/** Whether values are integers, and whether float32 holds each of them. */
interface Sort {
  readonly integers: boolean;
  readonly single: boolean;
}

// --- constructors

const small: Sort = { integers: true, single: true };
const fractions: Sort = { integers: false, single: true };

/** Float64, and numbers of JavaScript. */
const double: Sort = { integers: false, single: false };

/**
 * The typed arrays whose values tensors hold, by the names they give themselves: `Float16Array` is not in every runtime. Those of larger
 * integers are not among them: their values would be lost, or wrap around.
 */
const sorts: Readonly<Record<string, Sort>> = {
  Int8Array: small,
  Uint8Array: small,
  Uint8ClampedArray: small,
  Int16Array: small,
  Uint16Array: small,
  Int32Array: { integers: true, single: false },
  Float16Array: fractions,
  Float32Array: fractions,
  Float64Array: double,
};

function sortOf(row: unknown): Sort | undefined {
  const name = String(Reflect.get(Object(row), Symbol.toStringTag));
  return Object.hasOwn(sorts, name) ? sorts[name] : undefined;
}

/** Whether a value is a typed array whose values tensors hold. */
export function isTyped(value: unknown): value is Row {
  return ArrayBuffer.isView(value) && sortOf(value) !== undefined;
}

/** The first place at which an array holds no number, or -1: a hole is such a place. */
export function withoutNumber(values: ArrayLike<unknown>): number {
  for (let i = 0; i < values.length; i++) if (typeof values[i] !== "number") return i;
  return -1;
}

/** Whether a value is a row: a typed array, or an array of numbers. */
export function isRow(value: unknown): value is Row {
  return isTyped(value) || (Array.isArray(value) && withoutNumber(value) < 0);
}

// --- combinators

/** Whether float32 holds a number as it must: integers exactly, and any other unless it were infinite only there. */
function holds(held: number, value: number, { integers }: Sort): boolean {
  return integers ? held === value : Number.isFinite(held) || !Number.isFinite(value);
}

/** The refusal of a value at a place of a sample. */
function unheld(path: string, sample: number, value: number, { integers }: Sort): TypeError {
  return new TypeError(
    `Expected ${path} of every sample to be a number that float32 holds, found ${shown(value)} in sample ${sample}: ` +
      (integers ? "give every sample integers, or map it to smaller ones" : "scale it by Loader.map"),
  );
}

/**
 * Rows of one length in one array: of integers if no row has fractions.
 *
 * @param rows As many as samples, each of `width` numbers.
 * @param path What the samples' part is called in messages.
 */
export function joined(rows: readonly Row[], width: number, path: string): Int32Array | Float32Array {
  const found = rows.map((row) => sortOf(row) ?? double);
  const integers = found.every((sort) => sort.integers);
  const values = new (integers ? Int32Array : Float32Array)(rows.length * width);
  rows.forEach((row, i) => {
    const sort = found[i]!;
    const at = i * width;
    values.set(row, at);
    if (integers || sort.single) return;
    for (let j = 0; j < width; j++) {
      if (!holds(values[at + j]!, row[j]!, sort)) throw unheld(`${path}[${j}]`, i, row[j]!, sort);
    }
  });
  return values;
}

/** Single numbers of JavaScript in one array. */
export function column(numbers: readonly number[], path: string): Float32Array {
  const values = Float32Array.from(numbers);
  numbers.forEach((value, i) => {
    if (!holds(values[i]!, value, double)) throw unheld(path, i, value, double);
  });
  return values;
}
