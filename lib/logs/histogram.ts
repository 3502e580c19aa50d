/**
 * Histograms of numbers in TensorBoard's buckets.
 *
 * @module
 */

// --- types

/** How numbers are distributed. NaN and infinities are counted apart, and are in nothing else. */
export interface Histogram {
  /** The least finite number, 0 if there is none. */
  readonly min: number;
  /** The greatest finite number, 0 if there is none. */
  readonly max: number;
  /** How many numbers are finite. */
  readonly num: number;
  readonly sum: number;
  readonly sumSquares: number;
  /** The upper limit of each bucket, ascending. A number is in the first bucket whose limit is above it. */
  readonly limits: readonly number[];
  /** How many numbers are in each bucket. */
  readonly counts: readonly number[];
  /** How many are NaN. */
  readonly nan: number;
  /** How many are infinite. */
  readonly infinite: number;
}

// --- constructors

/**
 * The upper limits of all buckets, ascending: 0, and on both sides of it 1e-12, growing by 10% each, up to 1e20, then the largest number.
 * Source: `InitDefaultBucketsInner` in `tensorflow/core/lib/histogram/histogram.cc` of TensorFlow.
 */
const bucketLimits: Float64Array = (() => {
  const positive: number[] = [];
  for (let limit = 1e-12; limit < 1e20; limit *= 1.1) positive.push(limit);
  positive.push(Number.MAX_VALUE);
  return Float64Array.of(...positive.toReversed().map((limit) => -limit), 0, ...positive);
})();

/** The first bucket whose limit is above a finite number. The last bucket has the largest number too. */
function bucketOf(value: number): number {
  let [from, to] = [0, bucketLimits.length - 1];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (bucketLimits[middle]! > value) to = middle;
    else from = middle + 1;
  }
  return from;
}

/** Joins consecutive empty buckets into one. */
function joinEmptyBuckets(counts: Float64Array): Pick<Histogram, "limits" | "counts"> {
  const kept = [...counts.keys()].filter((i) => counts[i] !== 0 || (counts[i + 1] ?? 1) !== 0);
  return { limits: kept.map((i) => bucketLimits[i]!), counts: kept.map((i) => counts[i]!) };
}

/**
 * The histogram of numbers.
 *
 * The buckets are TensorFlow's, so that TensorBoard draws them like its own. Consecutive empty buckets are joined, as TensorFlow joins them.
 *
 * @param values The numbers.
 */
export function histogramOf(values: ArrayLike<number | bigint>): Histogram {
  const buckets = new Float64Array(bucketLimits.length);
  let [min, max, sum, sumSquares, num, nan] = [Infinity, -Infinity, 0, 0, 0, 0];
  // Index loops are several times as fast as iterators.
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (Number.isFinite(value)) {
      const bucket = bucketOf(value);
      buckets[bucket]!++;
      if (value < min) min = value;
      if (value > max) max = value;
      sum += value;
      sumSquares += value * value;
      num++;
    } else if (Number.isNaN(value)) nan++;
  }
  const infinite = values.length - num - nan;
  const range = num > 0 ? { min, max } : { min: 0, max: 0 };
  return { ...range, num, sum, sumSquares, ...joinEmptyBuckets(buckets), nan, infinite };
}
