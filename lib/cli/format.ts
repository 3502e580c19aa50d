/**
 * Formats values as text for a terminal or as JSON. All functions are pure.
 *
 * Names in a checkpoint may hold any character, so everything that is printed passes through `printable` or {@link jsonText}:
 * neither lets a control character reach the terminal.
 *
 * @module
 */
import { hexCode, printable, unprintable } from "../errors/mod.ts";
import type { Note, Progress } from "../store/mod.ts";
import { barText, numberText, spanText } from "../terminal/mod.ts";
import { cut, graphemes, widthOf } from "./text_width.ts";

// --- constructors

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes in binary units, such as `1.5 MiB`. */
export function bytesText(bytes: number): string {
  // The next unit begins slightly below 1024, so that rounding never gives "1024.0 KiB".
  const step = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes + bytes / 4096) / 10));
  return step === 0 ? `${bytes} B` : `${(bytes / 1024 ** step).toFixed(1)} ${units[step]}`;
}

/** A count with its thousands apart, such as `1,234 parameters`, and its noun, to which an s is added. */
export function countText(count: number, noun: string = ""): string {
  return `${count.toLocaleString("en-US")} ${noun}${noun === "" || count === 1 ? "" : "s"}`.trimEnd();
}

/** A name or path without control characters, cut in its middle to a width: names of one model often differ at their ends alone. */
export function nameText(name: string, width: number): string {
  const text = printable(name);
  if (widthOf(text) <= width) return text;
  let [end, left] = ["", Math.floor((width - 1) / 2)];
  for (const { segment } of [...graphemes.segment(text)].reverse()) {
    left -= widthOf(segment);
    if (left < 0) break;
    end = segment + end;
  }
  return cut(text, width - widthOf(end)) + end;
}

/** A word as it is typed to a shell. */
export function shellWord(text: string): string {
  return /^[\p{L}\p{N}_@%+=:,./-][\p{L}\p{N}_@%+=:,./~-]*$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A local time beside its age: the time of day, from a day on with the date, and the date alone after half a year. */
export function timeText(time: number, now: number): string {
  const [at, age] = [new Date(time), now - time];
  const two = (value: number): string => `${value}`.padStart(2, "0");
  const [date, clock] = [
    `${two(at.getMonth() + 1)}-${two(at.getDate())}`,
    `${two(at.getHours())}:${two(at.getMinutes())}`,
  ];
  if (Math.abs(age) < 86_400_000) return clock;
  return Math.abs(age) < 180 * 86_400_000 ? `${date} ${clock}` : `${at.getFullYear()}-${date}`;
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

/** Progress on one line: a bar, bytes, rate and time left. In little room the bar is shorter, or there is none. */
export function progressText({ bytes, total, rate, left }: Progress, room: number = Infinity): string {
  const amount = `${bytesText(bytes)} of ${bytesText(total)}`;
  const text = `${amount}  ${bytesText(Math.round(rate))}/s  ${spanText(left)} left`;
  const bar = barText(total > 0 ? bytes / total : 1, Math.min(22, room - text.length - 1));
  return bar === "" ? text : `${bar} ${text}`;
}
