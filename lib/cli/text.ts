/**
 * Numbers, tables and bars as text of a fixed width: pure, so that what the command line writes can be compared to the letter.
 *
 * @module
 */
import type { Progress } from "../progress.ts";

// --- types

/** A column of a table. */
export interface Column {
  readonly name: string;
  /** Numbers stand to the right. */
  readonly right?: boolean;
  /** This one is cut where a line would be too long. */
  readonly flexible?: boolean;
  /** What to put around a cell's text when its place is found. */
  readonly paint?: (cell: string) => string;
}

// --- constructors

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes, such as `1.5 MiB`. */
export function bytesText(bytes: number): string {
  // A step earlier than at 1024, so that no rounding makes "1024.0 KiB".
  const step = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes + bytes / 4096) / 10));
  return step === 0 ? `${bytes} B` : `${(bytes / 1024 ** step).toFixed(1)} ${units[step]}`;
}

/** A span of seconds in its largest unit, such as `5 min`. */
export function spanText(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.max(0, Math.round(seconds));
  const spans: readonly (readonly [number, string])[] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [length, unit] = spans.find(([length]) => whole >= 2 * length) ?? [1, "s"];
  return `${Math.floor(whole / length)} ${unit}`;
}

/** A number in at most four significant digits. */
export function numberText(value: number): string {
  return Object.is(value, -0)
    ? "-0"
    : String(Number.isInteger(value) && Math.abs(value) < 1e15 ? value : Number(value.toPrecision(4)));
}

/** Metrics by name, such as `accuracy 0.91, loss 0.5`. */
export function metricsText(metrics: Readonly<Record<string, number>>): string {
  return Object.entries(metrics).map(([name, value]) => `${name} ${numberText(value)}`).join(", ");
}

/** A value as one line of text: strings as in JSON. */
export function valueText(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (Array.isArray(value)) return `[${value.map(valueText).join(", ")}]`;
  return typeof value === "number" && Object.is(value, -0) ? "-0" : String(value);
}

/** Text that a terminal shows and does not obey: names in a checkpoint may hold control characters. */
export function plainText(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** One line of JSON, whatever the numbers: those that JSON lacks are strings, such as `"NaN"`. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === "bigint") return String(inner);
    if (typeof inner !== "number") return inner;
    return Object.is(inner, -0) ? "-0" : Number.isFinite(inner) ? inner : String(inner);
  });
}

/** A bar that is full to a part from 0 to 1. */
export function bar(part: number, width: number): string {
  const full = Math.round(width * Math.min(1, Math.max(0, part)));
  return `[${"#".repeat(full)}${"-".repeat(width - full)}]`;
}

/** How far something has come, on one line. */
export function progressText({ bytes, total, rate, left }: Progress): string {
  const amount = `${bytesText(bytes)} of ${bytesText(total)}`;
  return `${bar(total > 0 ? bytes / total : 1, 20)} ${amount}  ${bytesText(Math.round(rate))}/s  ${
    spanText(left)
  } left`;
}

// --- combinators

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** The widths of the columns for these rows: as wide as need be, the flexible one narrower if a line would be too long. */
function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): readonly number[] {
  const natural = columns.map(({ name }, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const excess = natural.reduce((sum, one) => sum + one + 2, -2) - width;
  return natural.map((one, i) =>
    columns[i]?.flexible === true && excess > 0 ? Math.max(columns[i].name.length, one - excess) : one
  );
}

/** How many rows the widths of a table are made for; what comes after them may stand out. */
const looked = 200;

/**
 * A table, line by line, while its rows are being made.
 *
 * @param columns What its first line names.
 * @param rows Its cells.
 * @param width The longest a line is to be.
 */
export async function* table(
  columns: readonly Column[],
  rows: AsyncIterable<readonly string[]> | Iterable<readonly string[]>,
  width: number,
): AsyncGenerator<string> {
  let widths: readonly number[] | undefined;
  const first: (readonly string[])[] = [];
  const line = (cells: readonly string[], painting = true): string =>
    cells.map((cell, i) => {
      const [column, room] = [columns[i], widths?.[i] ?? 0];
      const shown = column?.flexible === true ? cut(cell, room) : cell;
      const space = " ".repeat(Math.max(0, room - shown.length));
      const painted = painting ? column?.paint?.(shown) ?? shown : shown;
      return column?.right === true ? space + painted : painted + space;
    }).join("  ").trimEnd();
  function* begin(): Generator<string> {
    widths = widthsOf(columns, first, width);
    yield line(columns.map(({ name }) => name), false);
    for (const row of first) yield line(row);
  }
  for await (const given of rows) {
    const row = given.map(plainText);
    if (widths !== undefined) yield line(row);
    else if (first.push(row) === looked) yield* begin();
  }
  if (widths === undefined) yield* begin();
}
