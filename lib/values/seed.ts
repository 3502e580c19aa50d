/**
 * Seeds: any integer or string, hashed by SHA-256 into as many words as a generator or a permutation needs.
 *
 * Neighbouring seeds give unrelated words. `seed + epoch` and the like are never computed: they would give one stream under two names.
 *
 * @module
 */
import { createHash } from "node:crypto";

// --- types

/** The start of a stream of random numbers: an integer of any size, or a string. */
export type Seed = number | bigint | string;

// --- constructors

/**
 * The seed as text with its kind: `7` and `7n` are the same seed, `"7"` is another.
 *
 * @param seed A safe integer, a bigint or a string; any other number is a `TypeError`.
 */
export function seedText(seed: Seed): readonly [kind: "integer" | "string", text: string] {
  if (typeof seed === "string") return ["string", seed];
  if (typeof seed === "bigint" || Number.isSafeInteger(seed)) return ["integer", String(seed)];
  throw new TypeError(
    `Expected a seed that is a safe integer, a bigint or a string, found ${String(seed)}: ` +
      "write larger integers as bigints",
  );
}

/**
 * Pseudorandom words that depend on every part and on nothing else.
 *
 * Block `i` of eight words is SHA-256 of the JSON array `[...parts, i]`, read big-endian. JSON text is exactly specified and distinguishes
 * `["ab"]` from `["a", "b"]`, so that the words are the same in every runtime and different for different parts.
 *
 * @param parts A name for the use of the words, then what they depend on.
 * @param count How many 32-bit words.
 */
export function hashWords(parts: readonly (string | number)[], count: number): Int32Array {
  const words = new Int32Array(count);
  for (let block = 0; block * 8 < count; block++) {
    const digest = createHash("sha256").update(JSON.stringify([...parts, block])).digest();
    for (let i = 0; i < 8 && block * 8 + i < count; i++) words[block * 8 + i] = digest.readInt32BE(i * 4);
  }
  return words;
}
