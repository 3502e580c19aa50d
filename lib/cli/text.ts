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

/** What a terminal may obey, or shows nothing of: control and format characters (such as those that turn the direction of text), line ends. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Text that a terminal shows and does not obey: names in a checkpoint may hold any characters; those in question are written as their codes. */
export function plainText(text: string): string {
  return text.replace(unseen, (c) => {
    const code = c.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${hex(code, 2)}` : code < 0x10000 ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 1)}}`;
  });
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

/**
 * One line of JSON, whatever the numbers: those that JSON lacks are strings, such as `"NaN"`. Characters that a terminal may obey are escaped:
 * what is parsed of it is the same.
 */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === "bigint") return String(inner);
    if (typeof inner !== "number") return inner;
    return Object.is(inner, -0) ? "-0" : Number.isFinite(inner) ? inner : String(inner);
  });
  return text.replace(
    unseen,
    (c) => Array.from({ length: c.length }, (_, i) => `\\u${hex(c.charCodeAt(i), 4)}`).join(""),
  );
}

/**
 * Characters that take two columns: East Asian Wide and Fullwidth of Unicode Standard Annex 11, whole blocks where those that are left are not
 * assigned, and emoji that are shown as pictures.
 */
const wide = new RegExp(
  "[\\u1100-\\u115f\\u2329\\u232a\\u2e80-\\u303e\\u3041-\\u33ff\\u3400-\\u4dbf\\u4e00-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3" +
    "\\uf900-\\ufaff\\ufe10-\\ufe19\\ufe30-\\ufe6f\\uff01-\\uff60\\uffe0-\\uffe6\\u{16fe0}-\\u{18dff}\\u{1aff0}-\\u{1b2ff}" +
    "\\u{1d300}-\\u{1d37f}\\u{1f200}-\\u{1f2ff}\\u{20000}-\\u{3fffd}\\p{Emoji_Presentation}]",
  "u",
);

/** Characters that take none: they are put over or into the one before. */
const narrow = /[\p{Mn}\p{Me}\u1160-\u11ff\ud7b0-\ud7ff]/u;

/** Two of these make one flag, of two columns. */
const half = /\p{Regional_Indicator}/u;

/** How many columns of a terminal a text takes that has been through {@link plainText}. */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const c of text) width += narrow.test(c) ? 0 : wide.test(c) && !half.test(c) ? 2 : 1;
  return width;
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

/** A text in so many columns at most, its end cut off between two characters; `end` takes its place. */
export function cut(text: string, width: number, end = "…"): string {
  if (widthOf(text) <= width) return text;
  let [taken, room] = ["", Math.max(0, width - end.length)];
  for (const c of text) {
    room -= widthOf(c);
    if (room < 0) break;
    taken += c;
  }
  return taken + end;
}

/** The widths of the columns for these rows: as wide as need be, the flexible one narrower if a line would be too long. */
function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): readonly number[] {
  const natural = columns.map(({ name }, i) =>
    rows.reduce((most, row) => Math.max(most, widthOf(row[i] ?? "")), name.length)
  );
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
      const space = " ".repeat(Math.max(0, room - widthOf(shown)));
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
