/**
 * Seeds: any integer or string, hashed into as many well-mixed words as a generator or a permutation needs.
 *
 * Neighbouring seeds give unrelated words, because SHA-256 stands between; `seed + epoch` and the like are never computed.
 *
 * @module
 */
import { createHash } from "node:crypto";

// --- types

/** What a stream of random numbers starts from: an integer of any size, or a string. */
export type Seed = number | bigint | string;

// --- constructors

/**
 * The seed as tagged text: `7` and `7n` are one seed, `"7"` is another.
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
 * Words that depend on every part and on nothing else.
 *
 * Block `i` of eight words is SHA-256 over the JSON array `[...parts, i]`, read big-endian. JSON text is exactly
 * specified and tells `["ab"]` from `["a", "b"]`, so the words are the same in every runtime and no two paths collide.
 *
 * @param parts The path: a name for the use, then what the words are for.
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
