/**
 * The log of metrics as JSON Lines: one line for the run, then one for each call of `log` or `histogram`.
 *
 * ```json
 * {"format":"dogear-log/1","run":"8f14e45f-…","parent":null}
 * {"step":12,"time":1795939530247,"values":{"loss":0.5,"lr":"NaN"}}
 * {"step":12,"time":1795939530251,"histogram":{"name":"kernel","min":-1,"max":2,"num":3,"sum":1,"sumSquares":5,"nan":0,"infinite":0,"limits":[0,2],"counts":[1,2]}}
 * ```
 *
 * JSON has no NaN and no infinities: they are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`. The last line is incomplete if the process was
 * killed while it wrote. A line that is none of these is read as such, and does not spoil the others.
 *
 * @module
 */

import type { Histogram } from "./histogram.ts";

// --- types

/** The checkpoint that a run forked from. */
export interface LogParent {
  readonly run: string;
  readonly checkpoint: number;
  readonly step: number | null;
}

/** The first line: whose log it is. */
export interface LogHeader {
  readonly _tag: "Header";
  /** The name of the run, null for a training that is not saved. */
  readonly run: string | null;
  /** The checkpoint of another run that this one forked from. */
  readonly parent: LogParent | null;
}

/** Numbers that were logged together. */
export interface LoggedValues {
  readonly _tag: "Values";
  /** The number of batches since the start of the data. */
  readonly step: number;
  /** When it was logged, in milliseconds since 1970. */
  readonly time: number;
  readonly values: Readonly<Record<string, number>>;
}

/** The distribution of the values of one tensor. */
export interface HistogramLine extends Histogram {
  readonly name: string;
}

/** A histogram that was logged. */
export interface LoggedHistogram {
  readonly _tag: "Histogram";
  readonly step: number;
  readonly time: number;
  readonly histogram: HistogramLine;
}

/** What a line says. */
export type LogRecord = LogHeader | LoggedValues | LoggedHistogram;

/** A complete line of a log. */
export interface LogLine {
  /** The offset of its first byte, and of the first byte after it, in the file. */
  readonly at: number;
  readonly end: number;
  /** What it says; undefined for a line of another kind. */
  readonly record: LogRecord | undefined;
}

/** Reads a log in pieces: receives the next bytes, which may be changed afterwards, and gives the lines that end in them. */
export type LogReader = (bytes: Uint8Array) => readonly LogLine[];

// --- constructors

/** The format of this version. */
export const logFormat = "dogear-log/1";

/** How the first line of every log begins. */
export const logMark: string = `{"format":"${logFormat}"`;

/** The longest line that is read, in bytes. A longer one is of another kind. */
export const longestLine: number = 2 ** 26;

const nonFinite: Readonly<Record<string, number>> = { NaN, Infinity, "-Infinity": -Infinity };

function numberText(value: number): string {
  if (Object.is(value, -0)) return "-0";
  return Number.isFinite(value) ? String(value) : `"${value}"`;
}

function recordText(values: Readonly<Record<string, number>>): string {
  return `{${Object.entries(values).map(([name, value]) => `${JSON.stringify(name)}:${numberText(value)}`).join(",")}}`;
}

function listText(values: readonly number[]): string {
  return `[${values.map(numberText).join(",")}]`;
}

// --- encode

/** The first line. */
export function headerLine({ run, parent }: Omit<LogHeader, "_tag">): string {
  const from = parent && { run: parent.run, checkpoint: parent.checkpoint, step: parent.step };
  return `${logMark},"run":${JSON.stringify(run)},"parent":${JSON.stringify(from)}}\n`;
}

/** The line of numbers that were logged together. */
export function valuesLine({ step, time, values }: Omit<LoggedValues, "_tag">): string {
  return `{"step":${step},"time":${time},"values":${recordText(values)}}\n`;
}

/** The line of a histogram. */
export function histogramLine({ step, time, histogram }: Omit<LoggedHistogram, "_tag">): string {
  const { name, limits, counts, ...facts } = histogram;
  const buckets = `"limits":${listText(limits)},"counts":${listText(counts)}`;
  return `{"step":${step},"time":${time},"histogram":{"name":${JSON.stringify(name)},${
    recordText(facts).slice(1, -1)
  },${buckets}}}\n`;
}

// --- decode

type Fields = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The field of a parsed record; nothing that it inherits. */
function field(record: Fields, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" && Object.hasOwn(nonFinite, value) ? nonFinite[value] : undefined;
}

/** A record of numbers; undefined if any value is none. */
function valuesOf(parsed: unknown): Readonly<Record<string, number>> | undefined {
  if (!isRecord(parsed)) return undefined;
  let isPlain = true;
  for (const value of Object.values(parsed)) {
    if (typeof value === "number") continue;
    if (numberOf(value) === undefined) return undefined;
    isPlain = false;
  }
  if (isPlain) return parsed as Readonly<Record<string, number>>;
  // Unlike an assignment, it makes a field of `__proto__`.
  return Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, numberOf(value) as number]));
}

function numbersOf(parsed: unknown): readonly number[] | undefined {
  if (!Array.isArray(parsed)) return undefined;
  const numbers = parsed.map(numberOf);
  return numbers.includes(undefined) ? undefined : numbers as readonly number[];
}

function histogramIn(parsed: unknown): HistogramLine | undefined {
  if (!isRecord(parsed)) return undefined;
  const name = field(parsed, "name");
  const facts = ["min", "max", "num", "sum", "sumSquares"].map((one) => [one, numberOf(field(parsed, one))] as const);
  const [limits, counts] = [numbersOf(field(parsed, "limits")), numbersOf(field(parsed, "counts"))];
  if (typeof name !== "string" || facts.some(([, fact]) => fact === undefined)) return undefined;
  if (limits === undefined || limits.length !== counts?.length) return undefined;
  const [nan, infinite] = [numberOf(field(parsed, "nan")) ?? 0, numberOf(field(parsed, "infinite")) ?? 0];
  return { name, ...Object.fromEntries(facts), limits, counts, nan, infinite } as unknown as HistogramLine;
}

function headerOf(parsed: Fields): LogHeader | undefined {
  const [run, parent] = [field(parsed, "run"), field(parsed, "parent")];
  if (field(parsed, "format") !== logFormat || (run !== null && typeof run !== "string")) return undefined;
  if (!isRecord(parent)) return parent === null ? { _tag: "Header", run, parent } : undefined;
  const [from, checkpoint, step] = [field(parent, "run"), field(parent, "checkpoint"), field(parent, "step")];
  if (typeof from !== "string" || !isCount(checkpoint) || (step !== null && typeof step !== "number")) return undefined;
  return { _tag: "Header", run, parent: { run: from, checkpoint, step } };
}

/** What a line without its end says; undefined for a line of another kind. */
export function recordOf(line: string): LogRecord | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(parsed)) return undefined;
  const [step, time] = [field(parsed, "step"), field(parsed, "time")];
  if (!isCount(step) || typeof time !== "number") return headerOf(parsed);
  const values = valuesOf(field(parsed, "values"));
  if (values !== undefined) return { _tag: "Values", step, time, values };
  const histogram = histogramIn(field(parsed, "histogram"));
  return histogram && { _tag: "Histogram", step, time, histogram };
}

/**
 * A reader of a log, from its first byte on. It can follow a file that grows: what has no line end yet waits for more bytes.
 *
 * @returns Receives the next bytes, and gives the lines that end in them.
 */
export function logReader(): LogReader {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const newline = "\n".charCodeAt(0);
  /** The bytes since the last line end: where they begin in the file, how many there are, and, unless they are too many, the bytes. */
  let [at, waiting, pieces]: [number, number, Uint8Array[]] = [0, 0, []];

  const recordIn = (last: Uint8Array, length: number): LogRecord | undefined => {
    if (length > longestLine) return undefined;
    const line = pieces.length === 0 ? last : joined([...pieces, last], length);
    try {
      return recordOf(decoder.decode(line));
    } catch {
      // It is no UTF-8.
      return undefined;
    }
  };

  return (bytes) => {
    const lines: LogLine[] = [];
    let from = 0;
    for (let to = bytes.indexOf(newline); to >= 0; to = bytes.indexOf(newline, from)) {
      const length = waiting + to - from;
      lines.push({ at, end: at + length + 1, record: recordIn(bytes.subarray(from, to), length) });
      [at, waiting, pieces, from] = [at + length + 1, 0, [], to + 1];
    }
    waiting += bytes.length - from;
    if (waiting > longestLine) pieces = [];
    else if (from < bytes.length) pieces.push(bytes.slice(from));
    return lines;
  };
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
