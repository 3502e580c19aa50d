/**
 * Fewer points of a curve, with the same peaks.
 *
 * @module
 */

// --- types

/** Points in the order of their steps. */
export interface Points {
  readonly steps: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly length: number;
}

/** Where points are wanted. */
export interface StepSpan {
  readonly from: number;
  readonly to: number;
  /** The most points. */
  readonly most: number;
}

// --- combinators

/** The index of the first point whose step is beyond, in the order of the steps. */
function firstWhere({ steps, length }: Points, isBeyond: (step: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBeyond(steps[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * The indices of at most so many points of a curve between two steps, and of the next point on each side, so that lines leave the picture.
 *
 * If there are more, the steps are divided into equal spans, and of each the least, the greatest and the first NaN stay; of the whole, the
 * first and the last point.
 */
export function decimate(points: Points, { from, to, most }: StepSpan): readonly number[] {
  const begin = Math.max(0, firstWhere(points, (step) => step >= from) - 1);
  const end = Math.min(points.length, firstWhere(points, (step) => step > to) + 1);
  const all: number[] = [];
  if (end - begin <= most) {
    for (let i = begin; i < end; i++) all.push(i);
    return all;
  }
  const { steps, values } = points;
  let hasNaN = false;
  for (let i = begin; i < end && !hasNaN; i++) hasNaN = Number.isNaN(values[i]);
  const spans = Math.max(1, Math.floor((most - 2) / (hasNaN ? 3 : 2)));
  const first = steps[begin]!;
  const scale = spans / (steps[end - 1]! - first || 1);
  const add = (i: number): void => {
    if (i >= 0 && i !== all.at(-1)) all.push(i);
  };
  const addSpan = (indices: readonly number[]): void => indices.toSorted((a, b) => a - b).forEach(add);
  add(begin);
  let [span, low, high, missing] = [0, -1, -1, -1];
  for (let i = begin; i < end; i++) {
    const own = Math.min(spans - 1, Math.floor((steps[i]! - first) * scale));
    if (own !== span) {
      addSpan([low, high, missing]);
      [span, low, high, missing] = [own, -1, -1, -1];
    }
    const value = values[i]!;
    if (Number.isNaN(value)) missing = missing < 0 ? i : missing;
    else {
      if (low < 0 || value < values[low]!) low = i;
      if (high < 0 || value > values[high]!) high = i;
    }
  }
  addSpan([low, high, missing]);
  add(end - 1);
  return all;
}
