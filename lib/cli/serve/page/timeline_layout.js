// @ts-check
/**
 * Where the marks of the timeline are.
 *
 * @module
 */
import { known, stepOf } from "./runs.js";

/** @typedef {import("./runs.js").Line} Line */
/** @typedef {import("./runs.js").Seen} Seen */
/** @typedef {{ line: Line, seen: Seen, x: number, y: number }} Dot */
/** @typedef {"step" | "time"} Axis What checkpoints are placed by. */
/** @typedef {{ axis: Axis, dots: Dot[], low: number, high: number, gap: number, width: number, height: number, foot: number, xOf: (value: number) => number }} Layout */

/** The height of the bars. */
export const barsHeight = 64;

/** The height of a row and of the axis, and the space beside the first and the last mark. */
const [rowHeight, axisHeight, edge] = [30, 22, 14];

/**
 * The place of a checkpoint on an axis; null if it is not known.
 *
 * @param {Seen} seen
 * @param {Axis} axis
 */
function placeOf(seen, axis) {
  return axis === "step" ? stepOf(seen) : seen.time;
}

/** @param {number} row */
const middleOf = (row) => rowHeight * (row + 0.5);

/**
 * Places all checkpoints.
 *
 * @param {number} width The width of the canvas.
 * @param {Axis} axis
 * @returns {Layout}
 */
export function layoutOf(width, axis) {
  const places = known.lines.flatMap(({ checkpoints }) => checkpoints.flatMap((seen) => placeOf(seen, axis) ?? []));
  const low = places.reduce((a, b) => Math.min(a, b), Infinity);
  const high = places.reduce((a, b) => Math.max(a, b), -Infinity);
  const scale = (width - 2 * edge) / Math.max(1, high - low);
  const xOf = (/** @type {number} */ value) => edge + (value - low) * scale;
  const dots = known.lines.flatMap((line, row) =>
    line.checkpoints.map((seen) => ({ line, seen, x: xOf(placeOf(seen, axis) ?? low), y: middleOf(row) }))
  );
  const most = known.lines.reduce((max, { checkpoints }) => Math.max(max, checkpoints.length), 1);
  const foot = rowHeight * known.lines.length + barsHeight;
  return { axis, dots, low, high, gap: (width - 2 * edge) / most, width, height: foot + axisHeight, foot, xOf };
}

/**
 * Where a line forked: at its parent, or at the step of a parent that was removed; undefined if that is not known.
 *
 * @param {Layout} layout
 * @param {Line} line
 * @returns {{ x: number, y: number } | undefined}
 */
export function forkOf({ axis, dots, xOf }, { key, parent }) {
  if (parent === null) return undefined;
  const row = known.lines.findIndex((line) => line.key === key && line.run === parent.run);
  const id = known.lines[row]?.id;
  const dot = dots.find(({ line, seen }) => line.id === id && seen.checkpoint === parent.checkpoint);
  if (dot !== undefined || id === undefined || axis === "time" || typeof parent.step !== "number") return dot;
  return { x: xOf(parent.step), y: middleOf(row) };
}

/**
 * The mark nearest to a point, if one is near.
 *
 * @param {Layout} layout
 * @param {number} x
 * @param {number} y
 * @returns {Dot | undefined}
 */
export function dotAt({ dots }, x, y) {
  const row = middleOf(Math.floor(y / rowHeight));
  const isBelow = y > rowHeight * known.lines.length;
  let [best, least] = [/** @type {Dot | undefined} */ (undefined), 24];
  for (const dot of dots) {
    const distance = Math.abs(dot.x - x);
    if ((isBelow || dot.y === row) && distance < least) [best, least] = [dot, distance];
  }
  return best;
}
