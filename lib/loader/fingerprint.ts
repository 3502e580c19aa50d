/**
 * Fingerprints of loader sources: one line of text that is equal in every process with the same data.
 *
 * The content of a large array is sampled, so that the work is bounded.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { aString, checkOptionNames, demand, ifGiven, isPlainRecord } from "../validation/mod.ts";

// --- constructors

/**
 * A fingerprint from the kind of a source and the fingerprint that the user gave, if any; a `TypeError` for another option.
 *
 * @param of The function that received the options, in messages.
 */
export function givenFingerprint(
  of: string,
  options: { readonly fingerprint?: string | undefined },
  kind: string,
): string {
  checkOptionNames(of, options, { fingerprint: true });
  demand(`fingerprint of ${of}`, ifGiven(aString), options.fingerprint);
  return options.fingerprint === undefined ? kind : `${kind}:${options.fingerprint}`;
}

/** The fingerprint of a source made from several others; a long one is hashed. */
export function combinedFingerprint(kind: string, parts: readonly string[]): string {
  const text = `${kind}(${parts.join(", ")})`;
  return text.length <= 400 ? text : `${kind}:${shortHash([text])}`;
}

/** The first 128 bits of the SHA-256 of texts, in hexadecimal. */
function shortHash(texts: readonly string[]): string {
  return createHash("sha256").update(texts.join("")).digest("hex").slice(0, 32);
}

// --- combinators

/** How many items of an array are sampled. */
const sampledItems = 4096;
/** How many values are hashed: in all, and in one item. */
const hashedValues = { all: 1 << 18, each: 1024 };

/** A digest of an array's content: all of it for a small array, an evenly spread sample for a large one. */
export function arrayDigest(xs: ArrayLike<unknown>): string {
  const count = Math.min(xs.length, sampledItems);
  const budget = Math.min(hashedValues.each, Math.floor(hashedValues.all / count));
  return shortHash(Array.from({ length: count }, (_, i) => `${content(xs[spread(i, count, xs.length)], budget)};`));
}

/** The i-th of `count` indices spread evenly over a length, including the first and the last. */
function spread(i: number, count: number, length: number): number {
  return count === 1 ? 0 : Math.floor(i * (length - 1) / (count - 1));
}

/** A value as text, or part of it if it has more than `budget` values; the content of class instances is not read. */
function content(value: unknown, budget: number): string {
  if (typeof value === "string") {
    const ends = value.length > 2 * hashedValues.each
      ? [value.length, value.slice(0, hashedValues.each), value.slice(-hashedValues.each)]
      : value;
    return JSON.stringify(ends);
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "function";
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  if (value instanceof ArrayBuffer) return content(new Uint8Array(value), budget);
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) {
    const items = value as unknown as ArrayLike<unknown>;
    const count = Math.min(items.length, budget);
    const each = Math.floor((budget - 1) / count);
    const parts = Array.from({ length: count }, (_, i) => content(items[spread(i, count, items.length)], each));
    return `${items.length}[${parts.join()}]`;
  }
  if (!isPlainRecord(value)) return "object";
  const keys = Object.keys(value).sort().slice(0, budget);
  const each = Math.floor((budget - 1) / keys.length);
  return `{${keys.map((key) => `${JSON.stringify(key)}:${content(value[key], each)}`).join()}}`;
}
