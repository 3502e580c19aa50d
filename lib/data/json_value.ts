/**
 * JSON values whose integers may be beyond those that a JavaScript number holds.
 *
 * @module
 */
import { randomUUID } from "node:crypto";

// --- types

/**
 * What becomes of an integer beyond ±(2^53 - 1), which a number may not hold: an error, a bigint, or the nearest number, as `JSON.parse`
 * gives it.
 */
export type LargeIntegers = "refuse" | "bigint" | "round";

/** A large integer in a value: the names and indices to it, and its digits. */
export interface LargeInteger {
  readonly path: readonly string[];
  readonly integer: bigint;
}

// --- constructors

/** Every string that stands for a large integer begins so, and no string in data does. */
const mark: string = randomUUID();

/** The value of a JSON text, with bigints for its large integers, and a list of these; it throws what `JSON.parse` throws. */
export function parseWithBigints(text: string): { readonly value: unknown; readonly large: readonly LargeInteger[] } {
  const value: unknown = JSON.parse(text);
  // Most texts have nothing like an integer this long, and are parsed once.
  if (!/(?:^|[\s:,[-])\d{16}\d*(?![\d.eE])/.test(text)) return { value, large: [] };
  const marked = withMarks(text);
  if (marked === text) return { value, large: [] };
  const exact: unknown = JSON.parse(
    marked,
    (_, inner) => typeof inner === "string" && inner.startsWith(mark) ? BigInt(inner.slice(mark.length)) : inner,
  );
  return { value: exact, large: bigintsIn(exact, []) };
}

// --- combinators

const [quote, backslash] = [34, 92];
const number = /-?\d[\d.eE+-]*/y;

/** A JSON text with a marked string in place of each large integer. Strings are skipped by a loop, because engines give up long matches. */
function withMarks(text: string): string {
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) === quote) {
      for (at++; text.charCodeAt(at) !== quote; at++) if (text.charCodeAt(at) === backslash) at++;
      continue;
    }
    number.lastIndex = at;
    const token = number.exec(text)?.[0];
    if (token === undefined) continue;
    if (/^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token))) {
      parts.push(text.slice(from, at), `"${mark}${token}"`);
      from = at + token.length;
    }
    at += token.length - 1;
  }
  return parts.join("") + text.slice(from);
}

function bigintsIn(value: unknown, path: readonly string[]): readonly LargeInteger[] {
  if (typeof value === "bigint") return [{ path, integer: value }];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => bigintsIn(inner, [...path, key]));
}
