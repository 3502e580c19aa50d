/**
 * Bars of progress.
 *
 * @module
 */

/**
 * A bar, such as `[#####-----]`.
 *
 * @param fraction How much of it is full, from 0 to 1. What is beyond is shown as 0 or 1, NaN as 0.
 * @param width Its width in columns, brackets included. Below 3 there is no bar.
 */
export function barText(fraction: number, width: number): string {
  if (width < 3) return "";
  const inside = width - 2;
  const full = Math.round(inside * Math.min(1, Math.max(0, fraction || 0)));
  return `[${"#".repeat(full)}${"-".repeat(inside - full)}]`;
}
