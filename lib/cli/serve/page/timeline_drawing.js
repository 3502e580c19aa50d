// @ts-check
/**
 * Draws the timeline: lines of history, marks of checkpoints, bars of bytes, the axis.
 *
 * @module
 */
import { isBad, known } from "./runs.js";
import { bytesText, countText, timeText } from "./text.js";
import { colours, strokeOf } from "./theme.js";
import { barsHeight, forkOf } from "./timeline_layout.js";

/** @typedef {import("./timeline_layout.js").Dot} Dot */
/** @typedef {import("./timeline_layout.js").Layout} Layout */
/** @typedef {(dot: Dot) => boolean} Is */

/**
 * The line of each run, from where it forked.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Layout} layout
 */
function drawLines(context, layout) {
  for (const line of known.lines) {
    const own = layout.dots.filter((dot) => dot.line.id === line.id);
    const [first, last] = [own[0], own.at(-1)];
    if (first === undefined || last === undefined) continue;
    const { colour, dash } = strokeOf(line.index);
    const from = forkOf(layout, line);
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.setLineDash(dash);
    context.beginPath();
    if (from === undefined) context.moveTo(first.x, first.y);
    else {
      context.moveTo(from.x, from.y);
      context.bezierCurveTo(from.x, first.y, from.x, first.y, Math.min(first.x, from.x + 24), first.y);
    }
    context.lineTo(first.x, first.y);
    context.lineTo(last.x, last.y);
    context.stroke();
    context.setLineDash([]);
  }
}

/**
 * A checkpoint: a disc, a ring if it shares bytes, a pale ring if it was removed, a cross if it cannot be read.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Dot} dot
 * @param {number} radius
 */
function drawDot(context, { seen, line, x, y }, radius) {
  const { bad, back } = colours();
  const { colour } = strokeOf(line.index);
  context.lineWidth = 2;
  context.beginPath();
  if (isBad(seen)) {
    const size = Math.max(4, radius);
    context.strokeStyle = bad;
    context.moveTo(x - size, y - size);
    context.lineTo(x + size, y + size);
    context.moveTo(x + size, y - size);
    context.lineTo(x - size, y + size);
    context.stroke();
    return;
  }
  const isRing = seen.isRemoved || (seen.shared ?? 0) > 0;
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = isRing ? back : colour;
  context.strokeStyle = colour;
  context.globalAlpha = seen.isRemoved ? 0.4 : 1;
  context.fill();
  if (isRing) context.stroke();
  context.globalAlpha = 1;
}

/**
 * A triangle over the best checkpoint.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {{ x: number, y: number }} dot
 * @param {number} radius
 */
function drawBest(context, { x, y }, radius) {
  const top = y - radius - 2;
  context.fillStyle = colours().text;
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x - 4, top - 6);
  context.lineTo(x + 4, top - 6);
  context.fill();
}

/**
 * The bars of what was written and what was shared, the largest of each column of pixels.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Layout} layout
 */
function drawBars(context, { dots, gap, foot, width: right }) {
  const most = dots.reduce((max, { seen }) => Math.max(max, seen.bytes ?? 0), 1);
  const width = Math.max(1, Math.min(10, Math.floor(gap * 0.6)));
  const scale = (barsHeight - 14) / most;
  /** @type {Map<number, Dot>} */
  const columns = new Map();
  for (const dot of dots) {
    const column = Math.round(dot.x / width);
    if ((columns.get(column)?.seen.bytes ?? -1) < (dot.seen.bytes ?? 0)) columns.set(column, dot);
  }
  for (const { x, line, seen: { bytes, shared } } of columns.values()) {
    const [whole, written] = [(bytes ?? 0) * scale, ((bytes ?? 0) - (shared ?? 0)) * scale];
    context.fillStyle = strokeOf(line.index).colour;
    context.globalAlpha = 0.25;
    context.fillRect(x - width / 2, foot - whole, width, whole);
    context.globalAlpha = 1;
    context.fillRect(x - width / 2, foot - written, width, Math.max(written, written > 0 ? 1 : 0));
  }
  context.fillStyle = colours().muted;
  context.textAlign = "right";
  if (dots.length > 0) context.fillText(bytesText(most), right - 2, foot - barsHeight + 10);
}

/**
 * The axis, with round steps, or the times of its ends.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Layout} layout
 */
function drawAxis(context, { axis, dots, low, high, foot, width, xOf }) {
  const { muted, grid } = colours();
  context.fillStyle = grid;
  context.fillRect(0, foot, width, 1);
  context.fillStyle = muted;
  if (dots.length === 0) return;
  if (axis === "time") {
    context.textAlign = "left";
    context.fillText(timeText(low), 2, foot + 15);
    context.textAlign = "right";
    return void context.fillText(timeText(high), width - 2, foot + 15);
  }
  const rough = Math.max(1, (high - low) / Math.max(1, width / 90));
  const power = 10 ** Math.floor(Math.log10(rough));
  const apart = power * ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10);
  context.textAlign = "center";
  for (let step = Math.ceil(low / apart) * apart; step <= high; step += apart) {
    const text = countText(step);
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.max(half, Math.min(width - half, xOf(step))), foot + 15);
  }
}

/**
 * Draws all of it.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Layout} layout
 * @param {{ isChosen: Is, isBest: Is }} marks
 */
export function drawTimeline(context, layout, { isChosen, isBest }) {
  const { dots, gap } = layout;
  const radius = Math.max(1.5, Math.min(5, gap / 2.4));
  context.font = "11px system-ui, sans-serif";
  drawLines(context, layout);
  for (const dot of dots.filter(({ seen }) => !isBad(seen))) drawDot(context, dot, radius);
  for (const dot of dots.filter(({ seen }) => isBad(seen))) drawDot(context, dot, radius);
  drawBars(context, layout);
  drawAxis(context, layout);
  for (const dot of dots.filter(isBest)) drawBest(context, dot, radius);
  for (const { x, y } of dots.filter(isChosen)) {
    context.strokeStyle = colours().accent;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, radius + 4, 0, 2 * Math.PI);
    context.stroke();
  }
}
