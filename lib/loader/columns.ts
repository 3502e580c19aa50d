/**
 * Joins the numbers of samples into one typed array, exactly or not at all.
 *
 * Integers of typed arrays stay integers (int32) if no sample has fractions; otherwise float32 must hold them exactly. JavaScript numbers
 * and float64 are rounded to float32, as tfjs does; a finite number beyond its range is an error.
 *
 * @module
 */
import { shown } from "../validation/mod.ts";

// --- types

/** A sample that is a row of numbers. */
export type NumericRow = ArrayLike<number>;

/** Whether values are integers, and whether float32 holds each of them exactly. */
interface NumberFormat {
  readonly integers: boolean;
  readonly single: boolean;
}

// --- constructors

const [smallIntegers, singleFloats] = [{ integers: true, single: true }, { integers: false, single: true }];

/** Float64, and JavaScript numbers. */
const doubleFloats: NumberFormat = { integers: false, single: false };

/**
 * The typed arrays whose values tensors can hold, by class name, because not every runtime has `Float16Array`. `Uint32Array` and the bigint
 * arrays are missing: their values would be rounded or wrap around.
 */
const formats: Readonly<Record<string, NumberFormat>> = {
  Int8Array: smallIntegers,
  Uint8Array: smallIntegers,
  Uint8ClampedArray: smallIntegers,
  Int16Array: smallIntegers,
  Uint16Array: smallIntegers,
  Int32Array: { integers: true, single: false },
  Float16Array: singleFloats,
  Float32Array: singleFloats,
  Float64Array: doubleFloats,
};

function formatOf(row: unknown): NumberFormat | undefined {
  const name = String(Reflect.get(Object(row), Symbol.toStringTag));
  return Object.hasOwn(formats, name) ? formats[name] : undefined;
}

/** Whether a value is a typed array whose values tensors can hold. */
export function isTyped(value: unknown): value is NumericRow {
  return ArrayBuffer.isView(value) && formatOf(value) !== undefined;
}

/** The first index at which an array has no number, such as a hole, or -1. */
export function indexOfNonNumber(values: ArrayLike<unknown>): number {
  for (let i = 0; i < values.length; i++) if (typeof values[i] !== "number") return i;
  return -1;
}

/** Whether a value is a typed array, or an array of numbers. */
export function isRow(value: unknown): value is NumericRow {
  return isTyped(value) || (Array.isArray(value) && indexOfNonNumber(value) < 0);
}

// --- combinators

/** Whether float32 holds a number: an integer must be exact, and a finite number must stay finite. */
function isHeld(held: number, value: number, { integers }: NumberFormat): boolean {
  return integers ? held === value : Number.isFinite(held) || !Number.isFinite(value);
}

function notHeld(path: string, sample: number, value: number, { integers }: NumberFormat): TypeError {
  return new TypeError(
    `Expected ${path} of every sample to be a number that float32 holds, found ${shown(value)} in sample ${sample}: ` +
      (integers ? "give every sample integers, or map it to smaller ones" : "scale it by Loader.map"),
  );
}

/**
 * Rows of one length as one array: of integers if no row has fractions.
 *
 * @param rows One row for each sample, each of `width` numbers.
 * @param path The name of this part of the samples in messages.
 */
export function joinRows(rows: readonly NumericRow[], width: number, path: string): Int32Array | Float32Array {
  const found = rows.map((row) => formatOf(row) ?? doubleFloats);
  const integers = found.every((format) => format.integers);
  const values = new (integers ? Int32Array : Float32Array)(rows.length * width);
  rows.forEach((row, i) => {
    const format = found[i]!;
    const at = i * width;
    values.set(row, at);
    if (integers || format.single) return;
    for (let j = 0; j < width; j++) {
      if (!isHeld(values[at + j]!, row[j]!, format)) throw notHeld(`${path}[${j}]`, i, row[j]!, format);
    }
  });
  return values;
}

/** Single JavaScript numbers as one array. */
export function joinNumbers(numbers: readonly number[], path: string): Float32Array {
  const values = Float32Array.from(numbers);
  numbers.forEach((value, i) => {
    if (!isHeld(values[i]!, value, doubleFloats)) throw notHeld(path, i, value, doubleFloats);
  });
  return values;
}
