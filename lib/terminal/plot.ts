/**
 * Charts of curves as lines of text.
 *
 * Curves are drawn in Braille patterns, whose characters have 2 by 4 dots. Where there are several, each has a letter, which is written over its
 * curve here and there.
 *
 * @module
 */
import { fractionBetween, strangeMark } from "./sparkline.ts";
import { numberText } from "./text.ts";

// --- types

/** A curve: values in the order of their steps. */
export interface PlotCurve {
  readonly steps: ArrayLike<number>;
  readonly values: ArrayLike<number>;
}

/** How curves are drawn. */
export interface PlotOptions {
  /** The most columns. */
  readonly width: number;
  /** The most lines, axis included. */
  readonly height: number;
  /**
   * Whether equal distances are equal ratios. Then 0 is shown as `↓`, and a negative number as NaN.
   * @default false
   */
  readonly isLog?: boolean;
}

/** A scale of one axis, from `low` to `high`. */
interface Scale {
  readonly low: number;
  readonly high: number;
  /** Where a value is, from 0 to 1; not finite for a value that has no place. */
  readonly place: (value: number) => number;
  /** The value at a place. */
  readonly at: (place: number) => number;
}

/** A chart under construction: the dots of its cells, and the characters that are written over them. */
interface Canvas {
  readonly columns: number;
  readonly rows: number;
  readonly dots: Uint8Array;
  readonly marks: Map<number, string>;
}

// --- constructors

/** The letter of a curve among several. */
export function curveMark(index: number): string {
  return String.fromCharCode("A".charCodeAt(0) + index % 26);
}

/** The scale of some values, with `low` above `high` if none has a place. Equal values are in the middle. */
function scaleOf(lists: readonly ArrayLike<number>[], isLog: boolean): Scale {
  let [low, high] = [Infinity, -Infinity];
  for (const values of lists) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (!Number.isFinite(isLog ? Math.log(value) : value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const [bend, straighten]: readonly ((value: number) => number)[] = isLog
    ? [Math.log, Math.exp]
    : [(value) => value, (value) => value];
  const [bottom, top] = [bend!(low), bend!(high)];
  return {
    low,
    high,
    place: (value) => {
      const bent = bend!(value);
      if (!Number.isFinite(bent)) return bent;
      return bottom === top ? 0.5 : fractionBetween(bottom, top, bent);
    },
    at: (place) => place === 0 ? low : place === 1 ? high : straighten!(bottom * (1 - place) + top * place),
  };
}

/** Numbers with as many digits as it takes to tell them apart. */
function distinctTexts(values: readonly number[]): readonly string[] {
  for (let digits = 4; digits < 17; digits++) {
    const texts = values.map((value) => numberText(value, digits));
    if (new Set(texts).size === texts.length) return texts;
  }
  return values.map(String);
}

/** The row of dots of a place, from the top. */
function dotRow(place: number, rows: number): number {
  return Math.round((1 - place) * (4 * rows - 1));
}

/** The labels of the vertical axis by row: the highest value, the lowest, and some between. */
function rowLabels({ low, high, at }: Scale, rows: number): ReadonlyMap<number, string> {
  if (low > high) return new Map();
  if (low === high) return new Map([[dotRow(0.5, rows) >> 2, numberText(low)]]);
  const count = Math.min(rows, Math.max(2, Math.min(6, Math.floor(rows / 4) + 1)));
  const labelled = Array.from({ length: count }, (_, i) => Math.round(i * (rows - 1) / Math.max(1, count - 1)));
  // The place of a row is that of its middle, but the outer ones have the ends of the scale.
  const place = (row: number): number => row === 0 ? 1 : row === rows - 1 ? 0 : 1 - (4 * row + 1.5) / (4 * rows - 1);
  // Between the two smallest numbers there is none.
  const values = new Map(labelled.map((row) => [at(place(row)), row]));
  const texts = distinctTexts([...values.keys()]);
  return new Map([...values.values()].map((row, i) => [row, texts[i]!]));
}

// --- drawing

/** The bits of a cell's dots, by column and row. Source: Unicode, Braille Patterns, U+2800. */
const dotBits = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]] as const;

function setDot({ columns, dots }: Canvas, x: number, y: number): void {
  dots[(y >> 2) * columns + (x >> 1)]! |= dotBits[x & 1]![y & 3]!;
}

/** A vertical line of dots. */
function setDots(canvas: Canvas, x: number, from: number, to: number): void {
  for (let y = Math.min(from, to); y <= Math.max(from, to); y++) setDot(canvas, x, y);
}

/** Draws a curve; gives the cell of its last dot in each column. */
function drawCurve(canvas: Canvas, { steps, values }: PlotCurve, across: Scale, up: Scale) {
  const right = 2 * canvas.columns - 1;
  const cells = new Map<number, number>();
  let [lastX, lastY] = [-1, NaN];
  for (let i = 0; i < values.length; i++) {
    const x = Math.round(across.place(steps[i]!) * right);
    if (Number.isNaN(x)) continue;
    const place = up.place(values[i]!);
    if (!Number.isFinite(place)) {
      const row = place === Infinity ? 0 : canvas.rows - 1;
      canvas.marks.set(row * canvas.columns + (x >> 1), strangeMark(place));
      lastY = NaN;
      continue;
    }
    const y = dotRow(place, canvas.rows);
    const heightAt = (column: number): number => Math.round(y - (y - lastY) * (x - column) / (x - lastX));
    if (Number.isNaN(lastY)) setDots(canvas, x, y, y);
    else if (x === lastX) setDots(canvas, x, lastY, y);
    else {
      for (let column = lastX + 1; column <= x; column++) {
        setDots(canvas, column, heightAt(column - 1), heightAt(column));
        cells.set(column >> 1, heightAt(column) >> 2);
      }
    }
    cells.set(x >> 1, y >> 2);
    [lastX, lastY] = [x, y];
  }
  return cells;
}

/** How many columns are between two letters of a curve. */
const markEvery = 12;

/** Writes the letter of a curve over it: on its last cell, and on others, at other columns than those of its neighbours. */
function markCurve({ columns, marks }: Canvas, cells: ReadonlyMap<number, number>, index: number): void {
  const last = Math.max(...cells.keys());
  for (const [column, row] of cells) {
    const cell = row * columns + column;
    if ((column !== last && (column + 5 * index) % markEvery !== 0) || marks.has(cell)) continue;
    marks.set(cell, curveMark(index));
  }
}

/** The rows of a chart, without axes. */
function drawn(curves: readonly PlotCurve[], columns: number, rows: number, across: Scale, up: Scale) {
  const canvas: Canvas = { columns, rows, dots: new Uint8Array(columns * rows), marks: new Map() };
  const cells = curves.map((curve) => drawCurve(canvas, curve, across, up));
  if (curves.length > 1) cells.forEach((one, i) => markCurve(canvas, one, i));
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (_, column) => {
      const cell = row * columns + column;
      const bits = canvas.dots[cell]!;
      return canvas.marks.get(cell) ?? (bits === 0 ? " " : String.fromCharCode(0x2800 + bits));
    }).join(""));
}

/** The line of steps under a chart: the first, the last, and one between, where there is room for whole numbers. */
function stepLine({ low, high }: Scale, columns: number): string {
  const [first, last] = [numberText(low), numberText(high)];
  if (low === high || first.length + last.length + 1 > columns) return first.length <= columns ? first : "";
  const half = (low + high) / 2;
  const middle = numberText(Number.isInteger(low) && Number.isInteger(high) ? Math.round(half) : half);
  const at = Math.round((columns - middle.length) / 2);
  const end = columns - last.length;
  const fits = at > first.length + 1 && at + middle.length + 1 < end && middle !== first && middle !== last;
  return (fits ? first.padEnd(at) + middle : first).padEnd(end) + last;
}

/**
 * A chart of curves as lines of text: an axis with numbers on the left, steps below.
 *
 * Each point is drawn, joined to the one before it: many points in one column are a vertical line from the least to the greatest. NaN is `×` at the
 * bottom, an infinity `↑` or `↓`, and no line is drawn across it. Several curves have the letters of {@link curveMark}. Numbers of the axes are never
 * cut: where there is no room for them, they are left out.
 *
 * @param curves The curves. They share both axes.
 * @param options The most columns and lines, and whether the vertical axis is logarithmic.
 * @returns The lines; none if there is no point, or no room.
 */
export function plotLines(
  curves: readonly PlotCurve[],
  { width, height, isLog = false }: PlotOptions,
): readonly string[] {
  const rows = height - 2;
  const across = scaleOf(curves.map(({ steps }) => steps), false);
  if (across.low > across.high || rows < 1) return [];
  const up = scaleOf(curves.map(({ values }) => values), isLog);
  const labels = rowLabels(up, rows);
  const widest = Math.max(0, ...[...labels.values()].map((label) => label.length));
  // The axis, and a column before it.
  const hasLabels = width - widest - 2 >= 8;
  const left = hasLabels ? widest + 1 : 0;
  const columns = width - left - 1;
  if (columns < 1) return [];
  const lines = drawn(curves, columns, rows, across, up).map((line, row) => {
    const label = hasLabels ? labels.get(row) : undefined;
    return `${(label ?? "").padStart(left - (hasLabels ? 1 : 0))}${hasLabels ? " " : ""}${
      label === undefined ? "│" : "┤"
    }${line}`;
  });
  return [...lines, `${" ".repeat(left)}└${"─".repeat(columns)}`, `${" ".repeat(left + 1)}${stepLine(across, columns)}`]
    .map((line) => line.trimEnd());
}
