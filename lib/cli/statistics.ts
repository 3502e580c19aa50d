/**
 * Statistics of one tensor. All functions are pure.
 *
 * @module
 */

import { elementValues, type Held, sizeOf, unpackStrings } from "../state/mod.ts";

// --- types

/** Statistics of the numbers of an array. */
export interface Statistics {
  /** What is counted. Complex numbers and strings are counted by other numbers. */
  readonly of: "elements" | "real and imaginary parts" | "lengths of strings in bytes";
  readonly count: number;
  readonly nan: number;
  readonly infinite: number;
  readonly zeros: number;
  /** The least finite number, NaN if there is none; so are the next three. */
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** The standard deviation of the population, not of a sample. */
  readonly deviation: number;
  /** The count of finite numbers from `from` up to but not including `to`. The last bin includes `to`. */
  readonly histogram: readonly { readonly from: number; readonly to: number; readonly count: number }[];
}

// --- constructors

const mostBins = 10;

/** The edges of bins of equal width. */
export function binEdges(min: number, max: number, bins: number): readonly number[] {
  const span = max / 2 - min / 2;
  return Array.from({ length: bins + 1 }, (_, i) => i === bins ? max : min + 2 * (span * (i / bins)));
}

/** Counts the finite numbers in bins of equal width; all of them are from `min` to `max`. */
export function binCounts(values: ArrayLike<number>, min: number, max: number, bins: number): number[] {
  const counts = Array.from({ length: bins }, () => 0);
  // Halves, since the difference of the largest numbers would be infinite.
  const span = max / 2 - min / 2;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? NaN;
    if (!Number.isFinite(value)) continue;
    const bin = span > 0 ? Math.min(bins - 1, Math.floor(bins * ((value / 2 - min / 2) / span))) : 0;
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts;
}

function histogramOf(values: ArrayLike<number>, min: number, max: number): Statistics["histogram"] {
  const bins = min === max ? 1 : mostBins;
  const edges = binEdges(min, max, bins);
  return binCounts(values, min, max, bins).map((count, i) => ({ from: edges[i]!, to: edges[i + 1]!, count }));
}

/** The numbers of an array; lengths for strings, and both parts of each complex number. */
export function arrayNumbers(held: Held, bytes: Uint8Array): ArrayLike<number> {
  if (held.element === "string") {
    return Float64Array.from(unpackStrings(bytes, sizeOf(held.shape)) ?? [], ({ byteLength }) => byteLength);
  }
  const values = elementValues(held, bytes);
  return typeof values[0] === "bigint" ? Float64Array.from(values, Number) : values as ArrayLike<number>;
}

/**
 * The statistics of an array.
 *
 * @param held Its dtype and shape.
 * @param bytes Its bytes.
 */
export function statistics(held: Held, bytes: Uint8Array): Statistics {
  const values = arrayNumbers(held, bytes);
  let [nan, zeros, finite, sum, min, max] = [0, 0, 0, 0, Infinity, -Infinity];
  // Index loops are several times as fast as iterators.
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? NaN;
    if (Number.isNaN(value)) nan++;
    else if (Number.isFinite(value)) {
      if (value === 0) zeros++;
      if (value < min) min = value;
      if (value > max) max = value;
      sum += value;
      finite++;
    }
  }
  const mean = sum / finite;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? NaN;
    if (Number.isFinite(value)) squares += (value - mean) ** 2;
  }
  const plain = held.element === "complex64" ? "real and imaginary parts" : "elements";
  return {
    of: held.element === "string" ? "lengths of strings in bytes" : plain,
    count: values.length,
    nan,
    infinite: values.length - finite - nan,
    zeros,
    min: finite > 0 ? min : NaN,
    max: finite > 0 ? max : NaN,
    mean,
    deviation: Math.sqrt(squares / finite),
    histogram: finite > 0 ? histogramOf(values, min, max) : [],
  };
}
