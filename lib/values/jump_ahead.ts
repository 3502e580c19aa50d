/**
 * The state of a generator after any number of draws, in O(log n) time.
 *
 * @module
 */
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

// --- constructors

/** The low 128 bits of each characteristic polynomial, lowest word first; the coefficient of x^128 is 1. */
export const xoroshiroPolynomial: readonly number[] = [0x579aa001, 0x095b8f76, 0x513b43d5, 0x0008828e];
export const xorshiftPolynomial: readonly number[] = [0xe9e61daf, 0x024f06fa, 0x2caf7db0, 0x2844c5d4];

// --- combinators

/** Multiplies a polynomial over GF(2) by x, modulo the characteristic polynomial, in place. */
function timesX(p: Int32Array, modulus: readonly number[]): void {
  const overflow = p[3]! >> 31;
  for (let i = 3; i > 0; i--) p[i] = (p[i]! << 1) | (p[i - 1]! >>> 31);
  p[0]! <<= 1;
  for (let i = 0; i < 4; i++) p[i]! ^= overflow & modulus[i]!;
}

function coefficient(p: Int32Array, i: number): boolean {
  return ((p[i >> 5]! >>> (i & 31)) & 1) === 1;
}

function squared(p: Int32Array, modulus: readonly number[]): Int32Array {
  const product = new Int32Array(4);
  for (let i = 127; i >= 0; i--) {
    timesX(product, modulus);
    if (coefficient(p, i)) { for (let j = 0; j < 4; j++) product[j]! ^= p[j]!; }
  }
  return product;
}

/**
 * The state after n draws of a generator whose step is linear over GF(2). By the theorem of Cayley and Hamilton it is x^n modulo the
 * characteristic polynomial, applied to the state (Haramoto and others, "Efficient jump ahead for F2-linear random number generators",
 * 2008).
 */
export function linearSkip(generator: RandomGenerator, modulus: readonly number[], n: bigint): readonly number[] {
  let power: Int32Array = Int32Array.of(1, 0, 0, 0);
  for (const bit of n.toString(2)) {
    power = squared(power, modulus);
    if (bit === "1") timesX(power, modulus);
  }
  const sum = [0, 0, 0, 0];
  for (let i = 0; i < 128; i++) {
    if (coefficient(power, i)) generator.getState().forEach((word, j) => sum[j]! ^= word);
    generator.next();
  }
  return sum;
}

/** The state after n draws of `s -> 214013 s + 2531011` modulo 2^32; each draw takes three steps. */
export function congruentialSkip(state: number, n: bigint): number {
  let [factor, addend] = [1, 0];
  for (const bit of (3n * n).toString(2)) {
    [factor, addend] = [Math.imul(factor, factor), (Math.imul(factor, addend) + addend) | 0];
    if (bit === "1") [factor, addend] = [Math.imul(factor, 214013), (Math.imul(addend, 214013) + 2531011) | 0];
  }
  return (Math.imul(state, factor) + addend) | 0;
}
