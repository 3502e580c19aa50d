/**
 * Sparklines: a series of numbers as one line of blocks.
 *
 * @module
 */

// --- types

/** The numbers of a series in order; undefined where there is none. */
export type Series = readonly (number | undefined)[];

// --- constructors

/** Blocks from low to high: U+2581 to U+2588 of Unicode's Block Elements. */
const blocks = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;

/** Consecutive values in at most `width` groups, whose sizes differ by one at most. */
function grouped(values: Series, width: number): readonly Series[] {
  const count = Math.min(values.length, width);
  const start = (group: number): number => Math.floor(group * values.length / count);
  return Array.from({ length: count }, (_, i) => values.slice(start(i), start(i + 1)));
}

/** The mean of a group: NaN or infinite if a value is, undefined if there is none. */
function meanOf(group: Series): number | undefined {
  const numbers = group.filter((value) => value !== undefined);
  // Divided first, so that the sum of large numbers is finite.
  return numbers.length === 0 ? undefined : numbers.reduce((sum, value) => sum + value / numbers.length, 0);
}

/** The mark of a number that is not finite: `×` for NaN, an arrow for an infinity. */
export function strangeMark(value: number): string {
  return Number.isNaN(value) ? "×" : value > 0 ? "↑" : "↓";
}

/** Where a value is between two others, from 0 to 1. */
export function fractionBetween(low: number, high: number, value: number): number {
  const span = high - low;
  // The distance of two finite numbers may be infinite.
  return Number.isFinite(span) ? (value - low) / span : (value / 2 - low / 2) / (high / 2 - low / 2);
}

/**
 * A series as one line of blocks, the lowest value as `▁` and the highest as `█`.
 *
 * If there are more values than columns, each block is the mean of a group of consecutive values. NaN is `×`, an infinity `↑` or `↓`, also for a
 * group with one such value, so that no divergence is hidden. A column without a value is a space. Equal values are all `▄`.
 *
 * @param values The values.
 * @param width The most columns.
 */
export function sparkline(values: Series, width: number): string {
  const means = grouped(values, Math.max(0, width)).map(meanOf);
  const finite = means.filter((mean): mean is number => mean !== undefined && Number.isFinite(mean));
  const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  return means.map((mean) => {
    if (mean === undefined) return " ";
    if (!Number.isFinite(mean)) return strangeMark(mean);
    const height = low === high ? 0.45 : fractionBetween(low, high, mean);
    return blocks[Math.min(blocks.length - 1, Math.floor(height * blocks.length))];
  }).join("");
}
