/**
 * A shuffle of `0 … length - 1` with random access in both directions and without a table.
 *
 * It is a generalized Feistel network on pairs (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002): a value below
 * `a * b >= length` is split into a left part below `a` and a right part below `b`, and each round adds a keyed hash of one part to the
 * other, modulo `a` or `b`. Values of `length` and above, fewer than `a`, are run through it again until they are in range (cycle walking).
 *
 * @module
 */
import { demand, integer } from "../validation/mod.ts";
import { hashWords, type Seed, seedText } from "./seed.ts";

// --- types

/** A bijection of `0 … length - 1` onto itself. */
export interface Permutation {
  readonly length: number;
  /** The value at an index. */
  readonly at: (index: number) => number;
  /** Writes the values from an index on, until the array is full; faster than single calls of `at`. */
  readonly fill: (index: number, into: Float64Array) => void;
  /** The index of a value: `inverse(at(i)) === i`. */
  readonly inverse: (value: number) => number;
}

/** A Feistel network: the keys of its rounds, the two moduli, and each modulus divided by 2^32. */
interface Network {
  readonly length: number;
  readonly keys: Int32Array;
  readonly a: number;
  readonly b: number;
  readonly aScale: number;
  readonly bScale: number;
}

// --- constructors

/**
 * The name of the algorithm, which is part of every key. Store it with every position: the order of a name never changes, and a better
 * order gets a new name.
 */
export const algorithm = "feistel-ab/1";

/** Below this length the pairs (value at 0, value at 1) are visibly uneven after 8 rounds, so 24 are run. */
const shortLength = 64;

const count = integer(0);

/** The high 32 bits of a 64-bit product `h * modulus`, from the scale `modulus / 2^32`: a number below the modulus. */
function reduced(h: number, scale: number): number {
  return ((h >>> 0) * scale) | 0;
}

/** Two multiplications and a shift: every input bit reaches the high bits, which {@link reduced} uses. */
function mixed(x: number): number {
  const h = Math.imul(x, 0x21f0aaad);
  return Math.imul(h ^ (h >>> 15), 0x735a2d97);
}

function networkOf(seed: Seed, epoch: number, length: number): Network {
  const rounds = length < shortLength ? 24 : 8;
  const a = Math.ceil(Math.sqrt(length));
  const b = Math.ceil(length / a);
  return {
    length,
    keys: hashWords([algorithm, ...seedText(seed), epoch, length], rounds),
    a,
    b,
    aScale: a / 0x1_0000_0000,
    bScale: b / 0x1_0000_0000,
  };
}

function checkInside(value: number, length: number): void {
  if (value >= 0 && value < length && Math.floor(value) === value) return;
  throw new TypeError(`Expected an integer from 0 and below ${length}, found ${String(value)}`);
}

// In all three functions `t + (m & (t >> 31))` adds the modulus m where t is negative, without a branch that the processor would mispredict
// half the time.

function forward({ length, keys, a, b, aScale, bScale }: Network): Permutation["at"] {
  const rounds = keys.length;
  return (index) => {
    checkInside(index, length);
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
}

function backward({ length, keys, a, b, aScale, bScale }: Network): Permutation["inverse"] {
  const rounds = keys.length;
  return (value) => {
    checkInside(value, length);
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
  };
}

/** Four values at a time: the rounds of one value depend on each other, those of four run in parallel in the processor. */
function forwardMany({ length, keys, a, b, aScale, bScale }: Network, at: Permutation["at"]): Permutation["fill"] {
  const rounds = keys.length;
  return (index, into) => {
    const size = into.length;
    let i = 0;
    for (; i + 4 <= size && index + i + 3 < length; i += 4) {
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
      // Values out of range are walked one by one.
      for (let j = i; j < i + 4; j++) if (into[j]! >= length) into[j] = at(index + j);
    }
    for (; i < size; i++) into[i] = at(index + i);
  };
}

/**
 * The permutation of `0 … length - 1` for a seed and an epoch.
 *
 * It runs 8 rounds, 24 for lengths below 64, and is bijective for every length by construction. Each part fits an int32 for every length,
 * and splits and joins are exact in doubles, so that every runtime gives the same order. It shuffles; it does not keep secrets.
 *
 * @param seed A safe integer, a bigint or a string.
 * @param epoch An integer from 0. Each epoch has its own order, and seed 1 in epoch 1 differs from seed 2 in epoch 0.
 * @param length How many values, an integer from 0 to 2^53 - 1.
 * @returns A pure, frozen value. `at` and `inverse` take constant time and allocate nothing; anything but an integer below `length` is a
 *   `TypeError`.
 */
export function permutation(seed: Seed, epoch: number, length: number): Permutation {
  demand("epoch", count, epoch);
  demand("length", count, length);
  const network = networkOf(seed, epoch, length);
  const at = forward(network);
  return Object.freeze({ length, at, fill: forwardMany(network, at), inverse: backward(network) });
}
