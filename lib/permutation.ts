/**
 * A shuffle of `0 … length - 1` with random access both ways and no table.
 *
 * @module
 */
import { demand, integer } from "./rules.ts";
import { hashWords, type Seed, seedText } from "./seed.ts";

// --- types

/** A bijection of `0 … length - 1` onto itself. */
export interface Permutation {
  readonly length: number;
  /** The value at an index. */
  readonly at: (index: number) => number;
  /** The values from an index on, as many as fit; several at once take less time than one after another. */
  readonly fill: (index: number, into: Float64Array) => void;
  /** The index at which a value stands: `inverse(at(i)) === i`. */
  readonly inverse: (value: number) => number;
}

// --- constructors

/**
 * The name of the algorithm. It is part of every key and belongs beside every stored position: the order that a name
 * stands for never changes, a better order gets a new name.
 */
export const algorithm = "feistel-ab/1";

/** Below this length the pairs (value at 0, value at 1) are visibly uneven after 8 rounds, so 24 are run. */
const short = 64;

/** The high 32 bits of a 64-bit product `h * modulus`, from the scale `modulus / 2^32`: a number below the modulus. */
function reduced(h: number, scale: number): number {
  return ((h >>> 0) * scale) | 0;
}

/** Two multiplications and a shift: every input bit reaches the high bits, which {@link reduced} reads. */
function mixed(x: number): number {
  const h = Math.imul(x, 0x21f0aaad);
  return Math.imul(h ^ (h >>> 15), 0x735a2d97);
}

/**
 * The permutation of `0 … length - 1` that belongs to a seed and an epoch.
 *
 * A generalized Feistel network on `a * b >= length` with `a = ceil(sqrt(length))`, `b = ceil(length / a)`, modular
 * addition, and cycle walking over the less than `a` surplus values (Black and Rogaway, "Ciphers with arbitrary finite
 * domains", CT-RSA 2002); 8 rounds, 24 for lengths below 64. Bijective for every length by construction. Each half fits an
 * int32 for every length, and the splits and joins are exact in doubles, so every runtime gives the same order.
 * It shuffles; it does not keep secrets.
 *
 * @param seed A safe integer, a bigint or a string.
 * @param epoch An integer from 0: each epoch has its own order, and seed 1 in epoch 1 is not seed 2 in epoch 0.
 * @param length How many values, an integer from 0 to 2^53 - 1.
 * @returns A pure, frozen value; `at` and `inverse` take constant time, allocate nothing, and answer anything but an
 * integer below `length` with a `TypeError`.
 */
export function permutation(seed: Seed, epoch: number, length: number): Permutation {
  demand("epoch", integer(0), epoch);
  demand("length", integer(0), length);
  const rounds = length < short ? 24 : 8;
  const keys = hashWords([algorithm, ...seedText(seed), epoch, length], rounds);
  const a = Math.ceil(Math.sqrt(length));
  const b = Math.ceil(length / a);
  const aScale = a / 0x1_0000_0000;
  const bScale = b / 0x1_0000_0000;

  const inside = (value: number): void => {
    if (value >= 0 && value < length && Math.floor(value) === value) return;
    throw new TypeError(`Expected an integer from 0 and below ${length}, found ${String(value)}`);
  };

  // `t + (m & (t >> 31))` adds the modulus back where t is negative, without a branch that would be guessed wrong half the time.
  const at = (index: number): number => {
    inside(index);
    let left = Math.floor(index / b) | 0;
    let right = (index - left * b) | 0;
    do {
      for (let k = 0; k < rounds; k += 2) {
        left = (left + reduced(mixed(right ^ keys[k]!), aScale) - a) | 0;
        left += a & (left >> 31);
        right = (right + reduced(mixed(left ^ keys[k + 1]!), bScale) - b) | 0;
        right += b & (right >> 31);
      }
    } while (left * b + right >= length);
    return left * b + right;
  };
  return Object.freeze({
    length,
    at,
    fill: (index: number, into: Float64Array): void => {
      const count = into.length;
      let i = 0;
      // Four at a time: the rounds of one wait for each other, those of four do not.
      for (; i + 4 <= count && index + i + 3 < length; i += 4) {
        const from = index + i;
        let l0 = Math.floor(from / b) | 0, r0 = (from - l0 * b) | 0;
        let l1 = Math.floor((from + 1) / b) | 0, r1 = (from + 1 - l1 * b) | 0;
        let l2 = Math.floor((from + 2) / b) | 0, r2 = (from + 2 - l2 * b) | 0;
        let l3 = Math.floor((from + 3) / b) | 0, r3 = (from + 3 - l3 * b) | 0;
        for (let k = 0; k < rounds; k += 2) {
          const [x, y] = [keys[k]!, keys[k + 1]!];
          l0 = (l0 + reduced(mixed(r0 ^ x), aScale) - a) | 0;
          l1 = (l1 + reduced(mixed(r1 ^ x), aScale) - a) | 0;
          l2 = (l2 + reduced(mixed(r2 ^ x), aScale) - a) | 0;
          l3 = (l3 + reduced(mixed(r3 ^ x), aScale) - a) | 0;
          l0 += a & (l0 >> 31);
          l1 += a & (l1 >> 31);
          l2 += a & (l2 >> 31);
          l3 += a & (l3 >> 31);
          r0 = (r0 + reduced(mixed(l0 ^ y), bScale) - b) | 0;
          r1 = (r1 + reduced(mixed(l1 ^ y), bScale) - b) | 0;
          r2 = (r2 + reduced(mixed(l2 ^ y), bScale) - b) | 0;
          r3 = (r3 + reduced(mixed(l3 ^ y), bScale) - b) | 0;
          r0 += b & (r0 >> 31);
          r1 += b & (r1 >> 31);
          r2 += b & (r2 >> 31);
          r3 += b & (r3 >> 31);
        }
        into[i] = l0 * b + r0;
        into[i + 1] = l1 * b + r1;
        into[i + 2] = l2 * b + r2;
        into[i + 3] = l3 * b + r3;
        // Surplus values walk on, each by itself.
        for (let j = i; j < i + 4; j++) if (into[j]! >= length) into[j] = at(index + j);
      }
      for (; i < count; i++) into[i] = at(index + i);
    },
    inverse: (value: number): number => {
      inside(value);
      let left = Math.floor(value / b) | 0;
      let right = (value - left * b) | 0;
      do {
        for (let k = rounds - 2; k >= 0; k -= 2) {
          right = (right - reduced(mixed(left ^ keys[k + 1]!), bScale)) | 0;
          right += b & (right >> 31);
          left = (left - reduced(mixed(right ^ keys[k]!), aScale)) | 0;
          left += a & (left >> 31);
        }
      } while (left * b + right >= length);
      return left * b + right;
    },
  });
}
