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
  return Object.freeze({
    length,
    at: (index: number): number => {
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
