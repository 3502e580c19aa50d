/**
 * Tables as lines of text. Column widths come from the first rows, so a long table is written while its rows are still being made.
 *
 * @module
 */
import { printable } from "../errors/mod.ts";
import { cut, widthOf } from "./text_width.ts";

// --- types

/**
 * The columns of a table by name, each with how its cells are aligned. `cut` aligns to the left and shortens cells where a line would be
 * too long. So does `items`, which shortens a list to whole items, and keeps the first. A function aligns to the left and colours the cell. It receives the cell once the width is known, since colour codes have no width.
 */
export type Columns = Readonly<Record<string, "left" | "right" | "cut" | "items" | ((cell: string) => string)>>;

type Rows = AsyncIterable<readonly string[]> | Iterable<readonly string[]>;

// --- combinators

/** The most columns that the first item of a list claims. */
const mostClaimed = 24;

/** The least width that shows the first item of a list, and whether there are more. */
function claimedBy(cell: string): number {
  const [first = "", ...more] = cell.split(", ");
  return Math.min(mostClaimed, widthOf(first) + (more.length > 0 ? 2 : 0));
}

/** A list cut to a width: to whole items if the first one fits. */
function cutItems(cell: string, width: number): string {
  const items = cell.split(", ");
  const shown = items.map((_, i) => `${items.slice(0, i + 1).join(", ")} …`).filter((text) => widthOf(text) <= width);
  return widthOf(cell) <= width ? cell : shown.at(-1) ?? cut(cell, width);
}

/** The width of a column that is left out. */
const leftOut = -2;

/**
 * Column widths that fit these rows. If a line would be too long, columns that may be cut are narrower, and if that is not enough, `spare` columns
 * are left out, the first of them first.
 */
function widthsOf(
  columns: Columns,
  rows: readonly (readonly string[])[],
  width: number,
  spare: readonly string[],
): readonly number[] {
  const names = Object.keys(columns);
  const natural = names.map((_, i) => Math.max(...[names, ...rows].map((row) => widthOf(row[i] ?? ""))));
  const least = names.map((name, i) => {
    if (columns[name] === "cut") return name.length;
    const claimed = columns[name] === "items" ? rows.map((row) => claimedBy(row[i] ?? "")) : [Infinity];
    return Math.max(name.length, ...claimed);
  });
  const lineOf = (widths: readonly number[]): number => widths.reduce((sum, one) => sum + one + 2, -2);
  const fitting = (without: readonly string[]): readonly number[] => {
    const shown = natural.map((one, i) => without.includes(names[i]!) ? leftOut : one);
    const excess = Math.max(0, lineOf(shown) - width);
    return shown.map((one, i) => one === leftOut ? one : Math.min(one, Math.max(least[i]!, one - excess)));
  };
  const tried = [0, ...spare.map((_, i) => i + 1)].map((n) => fitting(spare.slice(0, n)));
  return tried.find((widths) => lineOf(widths) <= width) ?? tried.at(-1)!;
}

function rowLine(columns: Columns, widths: readonly number[], cells: readonly string[]): string {
  return Object.values(columns).flatMap((align, i) => {
    const [cell, width] = [cells[i] ?? "", widths[i] ?? 0];
    if (width === leftOut) return [];
    const shown = align === "cut" ? cut(cell, width) : align === "items" ? cutItems(cell, width) : cell;
    const space = " ".repeat(Math.max(0, width - widthOf(shown)));
    return align === "right" ? space + shown : (typeof align === "function" ? align(shown) : shown) + space;
  }).join("  ").trimEnd();
}

/** The lines of a row: its cells in columns; then each further cell, if it is not empty, on a separate line under the second column. */
function rowLines(
  columns: Columns,
  widths: readonly number[],
  cells: readonly string[],
  width: number,
): readonly string[] {
  const indent = " ".repeat((widths[0] ?? 0) + 2);
  const further = cells.slice(widths.length).filter((cell) => cell !== "");
  return [rowLine(columns, widths, cells), ...further.map((cell) => cut(indent + cell, width))];
}

/** The number of rows that determine the widths. A wider cell in a later row makes its line longer. */
export const measuredRows = 200;

/**
 * A table: a line of column names, then a line for each row.
 *
 * @param columns The columns.
 * @param rows The cells of each row. Control characters in them are escaped. Each further cell has a separate line, cut to the width.
 * @param width The longest line, in columns of a terminal.
 * @param spare Columns to leave out where lines would be too long, the first of them first.
 */
export async function* tableLines(
  columns: Columns,
  rows: Rows,
  width: number,
  spare: readonly string[] = [],
): AsyncGenerator<string> {
  const plain = Object.entries(columns).map(([name, align]) => [name, typeof align === "function" ? "left" : align]);
  const first: string[][] = [];
  let widths: readonly number[] | undefined;
  const begin = (fitting: readonly number[]): readonly string[] => [
    rowLine(Object.fromEntries(plain), fitting, Object.keys(columns)),
    ...first.flatMap((row) => rowLines(columns, fitting, row, width)),
  ];
  for await (const cells of rows) {
    const row = cells.map(printable);
    if (widths !== undefined) yield* rowLines(columns, widths, row, width);
    else if (first.push(row) === measuredRows) yield* begin(widths = widthsOf(columns, first, width, spare));
  }
  if (widths === undefined) yield* begin(widthsOf(columns, first, width, spare));
}
