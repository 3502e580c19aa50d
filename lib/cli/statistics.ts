/**
 * The numbers of one tensor, in a few: pure.
 *
 * @module
 */
import { elementValues, type Held, sizeOf, unpackStrings } from "../tensor.ts";

// --- types

/** The numbers of an array, in a few. */
export interface Statistics {
  /** What is counted: elements, or what stands for them. */
  readonly of: "elements" | "real and imaginary parts" | "lengths of strings in bytes";
  readonly count: number;
  readonly nan: number;
  readonly infinite: number;
  readonly zeros: number;
  /** Of the finite ones, as the next three; NaN where there is none. */
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** The standard deviation of all of them, not of a sample. */
  readonly deviation: number;
  /** How many of the finite ones are from `from` to `to`, which is in the last bin alone. */
  readonly histogram: readonly { readonly from: number; readonly to: number; readonly count: number }[];
}

// --- constructors

/** What the finite numbers among some are. */
function finiteOf(values: ArrayLike<number | bigint>): Omit<Statistics, "of" | "histogram"> {
  let [nan, infinite, zeros, min, max, sum] = [0, 0, 0, Infinity, -Infinity, 0];
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (Number.isNaN(value)) nan++;
    else if (!Number.isFinite(value)) infinite++;
    else {
      if (value === 0) zeros++;
      min = Math.min(min, value);
      max = Math.max(max, value);
      sum += value;
    }
  }
  const finite = values.length - nan - infinite;
  const mean = finite > 0 ? sum / finite : NaN;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (Number.isFinite(value)) squares += (value - mean) ** 2;
  }
  const [least, most] = finite > 0 ? [min, max] : [NaN, NaN];
  return {
    count: values.length,
    nan,
    infinite,
    zeros,
    min: least,
    max: most,
    mean,
    deviation: Math.sqrt(squares / finite),
  };
}

const bins = 10;

/** The numbers of an array, in a few. */
export function statistics(held: Held, bytes: Uint8Array): Statistics {
  const strings = held.element === "string" ? unpackStrings(bytes, sizeOf(held.shape)) ?? [] : undefined;
  const values = strings === undefined ? elementValues(held, bytes) : strings.map((one) => one.byteLength);
  const found = finiteOf(values);
  const { min, max } = found;
  const n = Number.isNaN(min) ? 0 : min === max ? 1 : bins;
  const counts = Array.from({ length: n }, () => 0);
  // Halves, so that the span of the largest numbers is no infinity.
  const span = max / 2 - min / 2;
  for (let i = 0; i < values.length && n > 0; i++) {
    const value = Number(values[i]);
    if (!Number.isFinite(value)) continue;
    const bin = span > 0 ? Math.min(n - 1, Math.floor(n * ((value / 2 - min / 2) / span))) : 0;
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  const edge = (i: number): number => i === n ? max : min + 2 * (span * (i / n));
  return {
    of: strings !== undefined
      ? "lengths of strings in bytes"
      : held.element === "complex64"
      ? "real and imaginary parts"
      : "elements",
    ...found,
    histogram: counts.map((count, i) => ({ from: edge(i), to: edge(i + 1), count })),
  };
}
