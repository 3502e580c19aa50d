/**
 * A strict JSON scanner, for readers that know which value comes next.
 *
 * `JSON.parse` hides what a reader of files has to see: the second of two equal names, `2.0` in place of a whole number, a rounded number,
 * `__proto__`. This scanner makes no objects: it passes names and values to the caller's functions.
 * It accepts no more than serde_json with its limits (https://docs.rs/serde_json), and rejects duplicate names at every depth.
 *
 * @module
 */

import type { Problem } from "../errors/mod.ts";

// --- types

/** The state of a scan. */
export interface JsonScan {
  readonly text: string;
  /** The bytes before the text in its file. */
  readonly origin: number;
  /** The position, in UTF-16 units of the text. */
  at: number;
  readonly problems: Problem[];
}

/** True if the expected text was found. Otherwise the fault is among the problems, and the scan is over. */
export type Scanned = boolean | undefined;

/** The deepest nesting that serde_json accepts. */
const deepest = 127;

// --- combinators

/**
 * Ends a scan with a problem at its position.
 *
 * @param scan The scan. It gets a problem with the path `byte <offset in the file>`.
 * @param expected What was expected there.
 * @returns Undefined, for the caller to return.
 */
export function endWithProblem(scan: JsonScan, expected: string): undefined {
  const before = new TextEncoder().encode(scan.text.slice(0, scan.at)).length;
  const found = scan.at < scan.text.length ? JSON.stringify(scan.text.slice(scan.at, scan.at + 16)) : "the end";
  scan.problems.push({ path: `byte ${scan.origin + before}`, kind: "format", expected, found });
  return undefined;
}

/**
 * Skips white space.
 *
 * @param scan The scan.
 */
export function skipSpace(scan: JsonScan): void {
  for (;;) {
    const unit = scan.text.charCodeAt(scan.at);
    if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
    scan.at++;
  }
}

/**
 * Skips a text if it is next.
 *
 * @param scan The scan.
 * @param text The text.
 * @returns Whether it was next.
 */
export function accept(scan: JsonScan, text: string): boolean {
  if (!scan.text.startsWith(text, scan.at)) return false;
  scan.at += text.length;
  return true;
}

function expect(scan: JsonScan, text: string): Scanned {
  return accept(scan, text) || endWithProblem(scan, text);
}

const escapes = new Map(
  Object.entries({ '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }),
);

const fourHex = /[0-9a-fA-F]{4}/y;

function scanEscape(scan: JsonScan): string | undefined {
  const character = escapes.get(scan.text.charAt(scan.at));
  if (character !== undefined) {
    scan.at++;
    return character;
  }
  fourHex.lastIndex = scan.at + 1;
  const code = scan.text[scan.at] === "u" ? fourHex.exec(scan.text) : null;
  if (code === null) return endWithProblem(scan, "a JSON escape");
  scan.at += 5;
  return String.fromCharCode(parseInt(code[0], 16));
}

/**
 * Reads a string.
 *
 * @param scan The scan.
 * @returns The string, unescaped.
 */
export function scanString(scan: JsonScan): string | undefined {
  if (!accept(scan, '"')) return endWithProblem(scan, "a string");
  const start = scan.at;
  let before = "";
  let from = start;
  for (;;) {
    const unit = scan.text.charCodeAt(scan.at);
    if (unit === 0x22) break;
    // Past the end of the text, `unit` is NaN, which is not >= 0x20.
    if (!(unit >= 0x20)) return endWithProblem(scan, "a closed string without control characters");
    scan.at++;
    if (unit === 0x5c) {
      const plain = scan.text.slice(from, scan.at - 1);
      const character = scanEscape(scan);
      if (character === undefined) return undefined;
      before += plain + character;
      from = scan.at;
    }
  }
  const text = before + scan.text.slice(from, scan.at);
  // The text was UTF-8, so a lone surrogate can only come from an escape.
  if (from !== start && !text.isWellFormed()) {
    scan.at = start;
    return endWithProblem(scan, "a string of whole characters");
  }
  scan.at++;
  return text;
}

const whole = /0|[1-9][0-9]*/y;

/**
 * Reads a whole number. `2.0`, `2e0`, `-0` and `02` are rejected.
 *
 * @param scan The scan.
 * @returns The number, from 0 to 2^53 - 1.
 */
export function scanWhole(scan: JsonScan): number | undefined {
  whole.lastIndex = scan.at;
  const digits = whole.exec(scan.text)?.[0];
  if (digits === undefined || !Number.isSafeInteger(Number(digits))) {
    return endWithProblem(scan, "a whole number below 2^53");
  }
  scan.at += digits.length;
  return Number(digits);
}

/** Reads what is in a pair of brackets, with commas in between. */
function scanBrackets(scan: JsonScan, depth: number, open: string, close: string, item: () => Scanned): Scanned {
  if (depth > deepest) return endWithProblem(scan, `at most ${deepest} nested values`);
  if (!expect(scan, open)) return false;
  skipSpace(scan);
  if (accept(scan, close)) return true;
  do {
    skipSpace(scan);
    if (!item()) return false;
    skipSpace(scan);
  } while (accept(scan, ","));
  return expect(scan, close);
}

/**
 * Reads an array.
 *
 * @param scan The scan.
 * @param depth The nesting depth of this value, from 1.
 * @param item Reads one item.
 * @returns Whether all of it was read.
 */
export function scanItems(scan: JsonScan, depth: number, item: () => Scanned): Scanned {
  return scanBrackets(scan, depth, "[", "]", item);
}

/**
 * Reads an object. A duplicate name is a problem, with the name as its path.
 *
 * @param scan The scan.
 * @param depth The nesting depth of this value, from 1.
 * @param member Reads the value after this name.
 * @returns Whether all of it was read.
 */
export function scanMembers(scan: JsonScan, depth: number, member: (name: string) => Scanned): Scanned {
  const names = new Set<string>();
  return scanBrackets(scan, depth, "{", "}", () => {
    const name = scanString(scan);
    if (name === undefined) return false;
    if (names.has(name)) {
      scan.problems.push({ path: name, kind: "name", expected: "every name once", found: "the name twice" });
      return false;
    }
    names.add(name);
    skipSpace(scan);
    if (!expect(scan, ":")) return false;
    skipSpace(scan);
    return member(name);
  });
}

const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/**
 * Skips any JSON value.
 *
 * @param scan The scan.
 * @param depth The nesting depth of this value, from 1.
 * @returns Whether it is well-formed.
 */
export function skipValue(scan: JsonScan, depth: number): Scanned {
  switch (scan.text.charAt(scan.at)) {
    case "{":
      return scanMembers(scan, depth, () => skipValue(scan, depth + 1));
    case "[":
      return scanItems(scan, depth, () => skipValue(scan, depth + 1));
    case '"':
      return scanString(scan) !== undefined;
    case "t":
      return expect(scan, "true");
    case "f":
      return expect(scan, "false");
    case "n":
      return expect(scan, "null");
  }
  number.lastIndex = scan.at;
  const digits = number.exec(scan.text)?.[0];
  // serde_json rejects numbers beyond f64, and rounds differently just below that limit.
  if (digits === undefined || !(Math.abs(Number(digits)) < 1e308)) return endWithProblem(scan, "a JSON value");
  scan.at += digits.length;
  return true;
}
