/**
 * Tables as lines of text. Column widths come from the first rows, so a long table is written while its rows are still being made.
 *
 * @module
 */
import { cut, printable, widthOf } from "./format.ts";

// --- types

/** A column of a table. */
export interface Column {
  readonly name: string;
  /** How cells are aligned. `cut` aligns to the left and shortens cells where a line would be too long. */
  readonly align: "left" | "right" | "cut";
  /** Colours a cell. It is called once the cell's width is known, since colour codes have no width. */
  readonly paint?: (cell: string) => string;
}

type TableRows = AsyncIterable<readonly string[]> | Iterable<readonly string[]>;

// --- constructors

/** Columns by name. */
export function columnsOf(alignments: Readonly<Record<string, Column["align"]>>): readonly Column[] {
  return Object.entries(alignments).map(([name, align]) => ({ name, align }));
}

// --- combinators

/** Column widths that fit these rows. Columns that may be cut are narrower if a line would be too long. */
function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): readonly number[] {
  const natural = columns.map(({ name }, i) =>
    rows.reduce((most, row) => Math.max(most, widthOf(row[i] ?? "")), name.length)
  );
  const excess = Math.max(0, natural.reduce((sum, one) => sum + one + 2, -2) - width);
  return columns.map(({ name, align }, i) => Math.max(name.length, (natural[i] ?? 0) - (align === "cut" ? excess : 0)));
}

function rowLine(columns: readonly Column[], widths: readonly number[], cells: readonly string[]): string {
  return columns.map(({ align, paint = (cell) => cell }, i) => {
    const [cell, width] = [cells[i] ?? "", widths[i] ?? 0];
    const shown = align === "cut" ? cut(cell, width) : cell;
    const space = " ".repeat(Math.max(0, width - widthOf(shown)));
    return align === "right" ? space + paint(shown) : paint(shown) + space;
  }).join("  ").trimEnd();
}

/** The number of rows that determine the widths. A wider cell in a later row makes its line longer. */
const measured = 200;

/**
 * A table: a line of column names, then a line for each row.
 *
 * @param columns The columns.
 * @param rows The cells of each row. Control characters in them are escaped.
 * @param width The longest line, in columns of a terminal.
 */
export async function* tableLines(columns: readonly Column[], rows: TableRows, width: number): AsyncGenerator<string> {
  const first: string[][] = [];
  let widths: readonly number[] | undefined;
  const begin = (fitting: readonly number[]): readonly string[] => [
    rowLine(columns.map(({ name, align }) => ({ name, align })), fitting, columns.map(({ name }) => name)),
    ...first.map((row) => rowLine(columns, fitting, row)),
  ];
  for await (const cells of rows) {
    const row = cells.map(printable);
    if (widths !== undefined) yield rowLine(columns, widths, row);
    else if (first.push(row) === measured) yield* begin(widths = widthsOf(columns, first, width));
  }
  if (widths === undefined) yield* begin(widthsOf(columns, first, width));
}
