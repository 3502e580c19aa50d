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

/** Strings and numbers of JSON. A string is one token, so no number in it is found. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
/** Every string that stands for a large integer begins so, and no string in data does. */
const mark: string = randomUUID();

/** The value of a JSON text, with bigints for integers beyond ±(2^53 - 1); it throws what `JSON.parse` throws. */
export function parseWithBigints(text: string): unknown {
  const value: unknown = JSON.parse(text);
  // Shorter numbers are not large. Most texts have no number this long, and are parsed once.
  if (!/\d{16}/.test(text)) return value;
  const marked = text.replace(tokens, (token) => isLarge(token) ? `"${mark}${token}"` : token);
  if (marked.length === text.length) return value;
  return JSON.parse(
    marked,
    (_, inner) => typeof inner === "string" && inner.startsWith(mark) ? BigInt(inner.slice(mark.length)) : inner,
  );
}

// --- combinators

function isLarge(token: string): boolean {
  return /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
}

/** Every bigint in a value of {@link parseWithBigints}. */
export function largeIntegersIn(value: unknown, path: readonly string[] = []): readonly LargeInteger[] {
  if (typeof value === "bigint") return [{ path, integer: value }];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => largeIntegersIn(inner, [...path, key]));
}
