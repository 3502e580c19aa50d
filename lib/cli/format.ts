/**
 * Formats values as text for a terminal or as JSON. All functions are pure.
 *
 * Names in a checkpoint may hold any character, so everything that is printed passes through `printable` or {@link jsonText}:
 * neither lets a control character reach the terminal.
 *
 * @module
 */
import { hexCode, unprintable } from "../errors/mod.ts";
import type { Note, Progress } from "../store/mod.ts";

// --- constructors

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes in binary units, such as `1.5 MiB`. */
export function bytesText(bytes: number): string {
  // The next unit begins slightly below 1024, so that rounding never gives "1024.0 KiB".
  const step = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes + bytes / 4096) / 10));
  return step === 0 ? `${bytes} B` : `${(bytes / 1024 ** step).toFixed(1)} ${units[step]}`;
}

/** A duration in seconds in its largest unit, such as `5 min`. */
export function spanText(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.max(0, Math.round(seconds));
  const spans: readonly (readonly [number, string])[] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [length, unit] = spans.find(([length]) => whole >= 2 * length) ?? [1, "s"];
  return `${Math.floor(whole / length)} ${unit}`;
}

/** A number with at most four significant digits. */
export function numberText(value: number): string {
  return Object.is(value, -0)
    ? "-0"
    : String(Number.isInteger(value) && Math.abs(value) < 1e15 ? value : Number(value.toPrecision(4)));
}

/** Metrics by name, such as `accuracy 0.91, loss 0.5`. */
export function metricsText(metrics: Readonly<Record<string, number>>): string {
  return Object.entries(metrics).map(([name, value]) => `${name} ${numberText(value)}`).join(", ");
}

/** A note on one line: its words, or its values by name, such as `lr 0.001, optimizer adam, data "all of 2024"`. */
export function noteText(note: Note): string {
  if (typeof note === "string") return note;
  const word = (text: string): string => /^[^\s,"]+$/.test(text) ? text : JSON.stringify(text);
  const text = (value: unknown): string => typeof value === "string" ? word(value) : valueText(value);
  return Object.entries(note).map(([name, value]) => `${word(name)} ${text(value)}`).join(", ");
}

/** A plain value on one line, with strings quoted as in JSON. */
export function valueText(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (Array.isArray(value)) return `[${value.map(valueText).join(", ")}]`;
  return typeof value === "number" && Object.is(value, -0) ? "-0" : String(value);
}

/**
 * A value as one line of JSON. Numbers that JSON lacks become strings, such as `"NaN"`. Unprintable characters are escaped, which does not
 * change the parsed value.
 */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === "bigint") return String(inner);
    if (typeof inner !== "number") return inner;
    return Object.is(inner, -0) ? "-0" : Number.isFinite(inner) ? inner : String(inner);
  });
  const escape = (unit: string): string => `\\u${hexCode(unit.charCodeAt(0), 4)}`;
  return text.replace(unprintable, (c) => c.split("").map(escape).join(""));
}

/**
 * Characters two columns wide: East Asian Wide and Fullwidth of Unicode Standard Annex 11, rounded to whole blocks where the rest of a block is
 * unassigned, and emoji that are shown as pictures.
 */
const wide = new RegExp(
  "[\\u1100-\\u115f\\u2329\\u232a\\u2e80-\\u303e\\u3041-\\u33ff\\u3400-\\u4dbf\\u4e00-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3" +
    "\\uf900-\\ufaff\\ufe10-\\ufe19\\ufe30-\\ufe6f\\uff01-\\uff60\\uffe0-\\uffe6\\u{16fe0}-\\u{18dff}\\u{1aff0}-\\u{1b2ff}" +
    "\\u{1d300}-\\u{1d37f}\\u{1f200}-\\u{1f2ff}\\u{20000}-\\u{3fffd}\\p{Emoji_Presentation}]",
  "u",
);

/** Characters without width: they combine with the one before. */
const narrow = /[\p{Mn}\p{Me}\u1160-\u11ff\ud7b0-\ud7ff]/u;

/** Regional indicators: two of them make one flag, which is two columns wide. */
const half = /\p{Regional_Indicator}/u;

/** The width of a {@link printable} text in columns of a terminal. */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const c of text) width += narrow.test(c) ? 0 : wide.test(c) && !half.test(c) ? 2 : 1;
  return width;
}

/** Progress on one line: a bar, bytes, rate and time left. */
export function progressText({ bytes, total, rate, left }: Progress): string {
  const full = total > 0 ? Math.round(20 * Math.min(1, bytes / total)) : 20;
  const bar = `[${"#".repeat(full)}${"-".repeat(20 - full)}]`;
  const amount = `${bytesText(bytes)} of ${bytesText(total)}`;
  return `${bar} ${amount}  ${bytesText(Math.round(rate))}/s  ${spanText(left)} left`;
}

// --- combinators

/** A text cut to a width in columns, never inside a character. `end` replaces what was cut off. */
export function cut(text: string, width: number, end = "…"): string {
  if (widthOf(text) <= width) return text;
  let [taken, left] = ["", Math.max(0, width - end.length)];
  for (const c of text) {
    left -= widthOf(c);
    if (left < 0) break;
    taken += c;
  }
  return taken + end;
}
