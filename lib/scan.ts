/**
 * A strict scanner of JSON text, for readers who know what must come next.
 *
 * `JSON.parse` hides what a reader of files has to see: the second of two equal names, `2.0` where a whole number must
 * stand, a number rounded, `__proto__`. Here nothing becomes an object: names and values go to the caller's functions.
 * What is accepted is at most what serde_json reads with its limits (https://docs.rs/serde_json), less names given
 * twice, which are refused at every depth.
 *
 * @module
 */

import type { Problem } from "./errors.ts";

// --- types

/** A text, how far it has been read, and what has been found wrong. */
export interface Scan {
  readonly text: string;
  /** How many bytes stand before the text in its file. */
  readonly origin: number;
  /** Where to read on, in UTF-16 units of the text. */
  at: number;
  readonly problems: Problem[];
}

/** True after a step that found what it wanted; otherwise its fault is among the problems, and the scan is over. */
export type Step = boolean | undefined;

/** The deepest nesting that serde_json reads. */
const deepest = 127;

// --- combinators

const loneSurrogate = /\p{Surrogate}/u;

/**
 * Whether a string is whole characters, and so has UTF-8 bytes.
 *
 * @param text Any string.
 * @returns False if a surrogate stands alone in it.
 */
export function isWellFormed(text: string): boolean {
  return !loneSurrogate.test(text);
}

/**
 * Ends a scan: something else was expected here.
 *
 * @param scan The scan; its problems gain one, whose path is `byte <offset in the file>`.
 * @param expected What should have come.
 * @returns Nothing, for the step to return.
 */
export function refuse(scan: Scan, expected: string): undefined {
  const before = new TextEncoder().encode(scan.text.slice(0, scan.at)).length;
  const found = scan.at < scan.text.length ? JSON.stringify(scan.text.slice(scan.at, scan.at + 16)) : "the end";
  scan.problems.push({ path: `byte ${scan.origin + before}`, kind: "format", expected, found });
  return undefined;
}

/**
 * Passes over white space.
 *
 * @param scan The scan.
 */
export function skipSpace(scan: Scan): void {
  for (;;) {
    const unit = scan.text.charCodeAt(scan.at);
    if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
    scan.at++;
  }
}

/**
 * Passes over a text if it comes next.
 *
 * @param scan The scan.
 * @param text What may come.
 * @returns Whether it did.
 */
export function skipped(scan: Scan, text: string): boolean {
  if (!scan.text.startsWith(text, scan.at)) return false;
  scan.at += text.length;
  return true;
}

function expect(scan: Scan, text: string): Step {
  return skipped(scan, text) || refuse(scan, text);
}

const escapes: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

const fourHex = /[0-9a-fA-F]{4}/y;

function scanEscape(scan: Scan): string | undefined {
  const character = escapes.get(scan.text.charAt(scan.at));
  if (character !== undefined) {
    scan.at++;
    return character;
  }
  fourHex.lastIndex = scan.at + 1;
  const code = scan.text[scan.at] === "u" ? fourHex.exec(scan.text) : null;
  if (code === null) return refuse(scan, "a JSON escape");
  scan.at += 5;
  return String.fromCharCode(parseInt(code[0], 16));
}

/**
 * Reads a string.
 *
 * @param scan The scan.
 * @returns The string, unescaped.
 */
export function scanString(scan: Scan): string | undefined {
  if (!skipped(scan, '"')) return refuse(scan, "a string");
  const start = scan.at;
  let before = "";
  let from = start;
  for (;;) {
    const unit = scan.text.charCodeAt(scan.at);
    if (unit === 0x22) break;
    // NaN, past the end of the text, is not >= 0x20 either.
    if (!(unit >= 0x20)) return refuse(scan, "a closed string without control characters");
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
  // The text was UTF-8, so only an escape can have brought in a lone surrogate.
  if (from !== start && !isWellFormed(text)) {
    scan.at = start;
    return refuse(scan, "a string of whole characters");
  }
  scan.at++;
  return text;
}

const whole = /0|[1-9][0-9]*/y;

/**
 * Reads a whole number, written as one: `2.0`, `2e0`, `-0` and `02` are none.
 *
 * @param scan The scan.
 * @returns The number, from 0 to 2^53 - 1.
 */
export function scanWhole(scan: Scan): number | undefined {
  whole.lastIndex = scan.at;
  const digits = whole.exec(scan.text)?.[0];
  if (digits === undefined || !Number.isSafeInteger(Number(digits))) return refuse(scan, "a whole number below 2^53");
  scan.at += digits.length;
  return Number(digits);
}

/**
 * Reads an array.
 *
 * @param scan The scan.
 * @param depth How many values this one is nested in, itself included.
 * @param item Reads one item.
 * @returns Whether all of it could be read.
 */
export function scanItems(scan: Scan, depth: number, item: () => Step): Step {
  if (depth > deepest) return refuse(scan, `at most ${deepest} nested values`);
  if (!expect(scan, "[")) return false;
  skipSpace(scan);
  if (skipped(scan, "]")) return true;
  do {
    skipSpace(scan);
    if (!item()) return false;
    skipSpace(scan);
  } while (skipped(scan, ","));
  return expect(scan, "]");
}

/**
 * Reads an object; a name given twice is a problem, its path the name.
 *
 * @param scan The scan.
 * @param depth How many values this one is nested in, itself included.
 * @param member Reads the value that follows this name.
 * @returns Whether all of it could be read.
 */
export function scanMembers(scan: Scan, depth: number, member: (name: string) => Step): Step {
  if (depth > deepest) return refuse(scan, `at most ${deepest} nested values`);
  if (!expect(scan, "{")) return false;
  skipSpace(scan);
  if (skipped(scan, "}")) return true;
  const names = new Set<string>();
  do {
    skipSpace(scan);
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
    if (!member(name)) return false;
    skipSpace(scan);
  } while (skipped(scan, ","));
  return expect(scan, "}");
}

const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/**
 * Passes over any JSON value.
 *
 * @param scan The scan.
 * @param depth How many values this one is nested in, itself included.
 * @returns Whether it was well formed.
 */
export function skipValue(scan: Scan, depth: number): Step {
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
  // serde_json refuses numbers beyond f64, and rounds a little differently just below that limit.
  if (digits === undefined || !(Math.abs(Number(digits)) < 1e308)) return refuse(scan, "a JSON value");
  scan.at += digits.length;
  return true;
}
