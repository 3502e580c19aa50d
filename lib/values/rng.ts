/**
 * Random number generators as plain values: a draw returns a number and the next generator, and changes nothing.
 *
 * The streams are those of pure-rand. Its generators are mutable, so they are made for one draw from the value and never leave this file.
 *
 * @module
 */
import type * as t from "io-ts";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { congruential32FromState } from "pure-rand/generator/congruential32";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import { xorshift128plusFromState } from "pure-rand/generator/xorshift128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import {
  aFunction,
  aString,
  checkCurried,
  demand,
  dependent,
  exactRecord,
  foundOrAwait,
  integer,
  listOf,
  must,
  oneOf,
  type Plain,
  plainCodec,
  refine,
} from "../validation/mod.ts";
import { replacingRandom } from "./math_random.ts";
import { hashWords, type Seed, seedText } from "./seed.ts";

// --- types

/**
 * The algorithms whose streams can be skipped in O(log n).
 *
 * The Mersenne twister is not one of them: a skip in its 19,937-bit state takes a polynomial of that degree, each value would hold 625
 * numbers, and pure-rand has changed the meaning of these numbers. `congruential32` has a period of 2^32 draws: use it only to reproduce
 * old runs.
 */
export type Algorithm = "xoroshiro128plus" | "xorshift128plus" | "congruential32";

/**
 * A generator as a plain value, safe in JSON: equal values draw equal numbers, and no function changes one.
 *
 * Those that draws return are not frozen, because freezing takes six to ten times as long as the draw (`bench rng`); all others are.
 */
export interface Rng {
  readonly _tag: "Rng";
  readonly algorithm: Algorithm;
  /** The layout of `state`; another layout is an error. */
  readonly layout: typeof layout;
  /** The state as pure-rand has it: four int32 words, or one for `congruential32`. */
  readonly state: readonly number[];
}

/** What {@link withRandom} gives for a thunk that returns `A`: the result and the next generator, or a promise of both. */
export type Drawn<A> = unknown extends A ? readonly [A, Rng]
  : [A] extends [never] ? readonly [A, Rng]
  : [A] extends [PromiseLike<unknown>] ? Promise<readonly [Awaited<A>, Rng]>
  : [Extract<A, PromiseLike<unknown>>] extends [never] ? readonly [A, Rng]
  :
    | readonly [Exclude<A, PromiseLike<unknown>>, Rng]
    | Promise<readonly [Awaited<Extract<A, PromiseLike<unknown>>>, Rng]>;

// --- constructors

/** The layout of pure-rand's states, the same for all of its generators since this version. */
export const layout = "pure-rand>=8.2";

interface Family {
  readonly words: number;
  readonly fromState: (state: readonly number[]) => RandomGenerator;
  readonly skip: (rng: Rng, n: bigint) => readonly number[];
}

/** The low 128 bits of each characteristic polynomial, lowest word first; the coefficient of x^128 is 1. */
const xoroshiroPolynomial = [0x579aa001, 0x095b8f76, 0x513b43d5, 0x0008828e];
const xorshiftPolynomial = [0xe9e61daf, 0x024f06fa, 0x2caf7db0, 0x2844c5d4];

const families: Readonly<Record<Algorithm, Family>> = {
  xoroshiro128plus: {
    words: 4,
    fromState: xoroshiro128plusFromState,
    skip: (rng, n) => linearSkip(rng, xoroshiroPolynomial, n),
  },
  xorshift128plus: {
    words: 4,
    fromState: xorshift128plusFromState,
    skip: (rng, n) => linearSkip(rng, xorshiftPolynomial, n),
  },
  congruential32: { words: 1, fromState: congruential32FromState, skip: congruentialSkip },
};

const count = integer(0);
const safeInteger = must("a safe integer", Number.isSafeInteger);
const algorithmType = oneOf(...Object.keys(families) as readonly Algorithm[]);

/** A frozen generator. */
function rngOf(algorithm: Algorithm, words: Iterable<number>): Rng {
  return Object.freeze({ _tag: "Rng", algorithm, layout, state: Object.freeze([...words]) });
}

/** A generator whose state is a hash of these parts. */
function hashed(algorithm: Algorithm, parts: readonly (string | number)[]): Rng {
  return rngOf(algorithm, hashWords(parts, families[algorithm].words));
}

/**
 * A generator from a seed.
 *
 * SHA-256 of the seed gives the state, so that neighbouring seeds give unrelated streams. (With pure-rand's own seeding the first draw of
 * seed s is ~s.)
 *
 * @param seed A safe integer, a bigint of any size (42 and 42n are the same) or a string; any other number is a `TypeError`.
 * @param algorithm The generator, `"xoroshiro128plus"` by default.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [first, next] = Rng.float(Rng.make(42));
 * const [second] = Rng.float(next);
 * assert.notEqual(first, second);
 * assert.equal(Rng.float(Rng.make(42))[0], first);
 * ```
 */
export function make(seed: Seed, algorithm: Algorithm = "xoroshiro128plus"): Rng {
  demand("algorithm", algorithmType, algorithm);
  return hashed(algorithm, ["dogear/rng/1", algorithm, ...seedText(seed)]);
}

// --- capture and restore

const words = listOf(integer(-0x8000_0000, 0x7fff_ffff));

/** The states of an algorithm. A linear generator would draw zeros for ever from a state of zeros only. */
function stateType(algorithm: Algorithm): Plain<readonly number[]> {
  const { words: length } = families[algorithm];
  const isLinear = algorithm !== "congruential32";
  const expected = isLinear
    ? `the ${length} words of ${algorithm}, at least one of them other than 0`
    : `the one word of ${algorithm}`;
  return refine(words, expected, (state) => state.length === length && (!isLinear || state.some((word) => word !== 0)));
}

const rngType: Plain<Rng> = dependent(
  exactRecord({ _tag: oneOf("Rng"), algorithm: algorithmType, layout: oneOf(layout), state: words }),
  ({ algorithm }) => ({ state: stateType(algorithm) }),
);

/**
 * The codec of {@link Rng}: it encodes as itself.
 *
 * Decoding rejects, with a message for each: an unknown algorithm or layout, a wrong number of words, a word that is not an int32 or is
 * -0, a state of zeros only, and missing or unknown fields. Law: round trip.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const rng = Rng.make("dropout");
 * assert.deepEqual(Rng.codec.decode(JSON.parse(JSON.stringify(rng))), { _tag: "Right", right: rng });
 * ```
 */
export const codec: t.Type<Rng, Rng, unknown> = plainCodec(
  "Rng",
  rngType,
  (rng) => rngOf(rng.algorithm, rng.state),
);

// --- combinators

/** The family of a generator; any other value is a `TypeError`. */
function familyOf(rng: Rng): Family {
  const { _tag, algorithm, state } = (rng ?? {}) as Partial<Rng>;
  // What `families` inherits, such as `constructor`, has no words.
  const family = families[algorithm as Algorithm] as Family | undefined;
  if (_tag === "Rng" && Array.isArray(state) && family !== undefined && state.length === family.words) return family;
  throw new TypeError(`Expected a generator, found ${foundOrAwait(rng, "make one with Rng.make(seed)")}`);
}

/** Draws from a mutable generator that exists only during `draw`. */
function drawn<A>(rng: Rng, draw: (generator: RandomGenerator) => A): readonly [A, Rng] {
  const generator = familyOf(rng).fromState(rng.state);
  const value = draw(generator);
  return [value, { _tag: "Rng", algorithm: rng.algorithm, layout, state: generator.getState() }];
}

/**
 * A number in [0, 1).
 *
 * @param rng The generator, which does not change.
 * @returns A multiple of 2^-53, and the generator after two 32-bit draws.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [x] = Rng.float(Rng.make(1));
 * assert.ok(x >= 0 && x < 1);
 * ```
 */
export function float(rng: Rng): readonly [number, Rng] {
  return drawn(rng, uniformFloat64);
}

/**
 * Numbers in [0, 1): equal to n single draws, and many times as fast.
 *
 * @param n How many, an integer from 0.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [[a, b], after] = Rng.floats(2)(Rng.make(1));
 * const [first, next] = Rng.float(Rng.make(1));
 * assert.deepEqual([[a, b], after], [[first, Rng.float(next)[0]], Rng.float(next)[1]]);
 * ```
 */
export function floats(n: number): (rng: Rng) => readonly [Float64Array, Rng] {
  if (arguments.length > 1) checkCurried(arguments, 1, "Rng.floats(n)(rng)");
  demand("n of Rng.floats", count, n);
  return (rng) =>
    drawn(rng, (generator) => {
      const values = new Float64Array(n);
      for (let i = 0; i < n; i++) values[i] = uniformFloat64(generator);
      return values;
    });
}

function range(from: number, to: number): void {
  demand("from", safeInteger, from);
  const isFrom = must(`a safe integer from ${from} on`, (value) => Number.isSafeInteger(value) && to >= from);
  const isNarrow = must(`at most ${Number.MAX_SAFE_INTEGER}, so that no bit is lost`, Number.isSafeInteger);
  demand("the end of Rng.int", isFrom, to);
  demand("to - from", isNarrow, to - from);
}

/**
 * A uniformly distributed integer.
 *
 * @param from The least value, included.
 * @param to The greatest value, included. Bounds that are not safe integers, `from > to`, or a range wider than
 *   `Number.MAX_SAFE_INTEGER` are a `TypeError`.
 * @returns The integer, and the generator after all draws for it: some are rejected to keep the distribution uniform.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [die] = Rng.int(1, 6)(Rng.make("dice"));
 * assert.ok([1, 2, 3, 4, 5, 6].includes(die));
 * ```
 */
export function int(from: number, to: number): (rng: Rng) => readonly [number, Rng] {
  if (arguments.length > 2) checkCurried(arguments, 2, "Rng.int(from, to)(rng)");
  range(from, to);
  return (rng) => drawn(rng, (generator) => uniformInt(generator, from, to));
}

/**
 * Uniformly distributed integers: equal to n single draws, and many times as fast.
 *
 * @param n How many, an integer from 0.
 * @param from The least value, included.
 * @param to The greatest value, included.
 * @returns The integers, exact in doubles, and the generator after them.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [rolls] = Rng.ints(100, 1, 6)(Rng.make("dice"));
 * assert.ok(rolls.every((roll) => roll >= 1 && roll <= 6));
 * ```
 */
export function ints(n: number, from: number, to: number): (rng: Rng) => readonly [Float64Array, Rng] {
  if (arguments.length > 3) checkCurried(arguments, 3, "Rng.ints(n, from, to)(rng)");
  demand("n of Rng.ints", count, n);
  range(from, to);
  return (rng) =>
    drawn(rng, (generator) => {
      const values = new Float64Array(n);
      for (let i = 0; i < n; i++) values[i] = uniformInt(generator, from, to);
      return values;
    });
}

/**
 * An independent stream under a name: a pure function of the generator's state and the name.
 *
 * The generator does not change, so forks may be made in any order.
 *
 * @param name Any string. Another name, or the same name at another state, gives an unrelated stream.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const rng = Rng.make(42);
 * const [dropout, noise] = [Rng.fork("dropout")(rng), Rng.fork("noise")(rng)];
 * assert.notDeepEqual(dropout, noise);
 * assert.deepEqual(Rng.fork("dropout")(rng), dropout);
 * ```
 */
export function fork(name: string): (rng: Rng) => Rng {
  if (arguments.length > 1) checkCurried(arguments, 1, "Rng.fork(name)(rng)");
  demand("name", aString, name);
  return (rng) => {
    familyOf(rng);
    return hashed(rng.algorithm, ["dogear/fork/1", rng.algorithm, ...rng.state, name]);
  };
}

/**
 * The generator after `n` 32-bit draws, in O(log n) time. A `float` is two draws, an `int` in a range up to 2^32 is one or more.
 *
 * Law: skip: `skip(0) = id`, `skip(a) ∘ skip(b) = skip(a + b)`, `skip(n)` equals dropping n draws.
 *
 * @param n How many draws: an integer or a bigint from 0, without an upper limit.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const rng = Rng.make(42);
 * assert.deepEqual(Rng.skip(2_000_000)(rng), Rng.floats(1_000_000)(rng)[1]);
 * ```
 */
export function skip(n: number | bigint): (rng: Rng) => Rng {
  if (arguments.length > 1) checkCurried(arguments, 1, "Rng.skip(n)(rng)");
  const bigCount = must("an integer from 0, or a bigint", () => typeof n === "bigint" && n >= 0n);
  demand("n of Rng.skip", typeof n === "number" ? count : bigCount, n);
  return (rng) => {
    const { skip } = familyOf(rng);
    return rngOf(rng.algorithm, skip(rng, BigInt(n)));
  };
}

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
function linearSkip(rng: Rng, modulus: readonly number[], n: bigint): readonly number[] {
  let power: Int32Array = Int32Array.of(1, 0, 0, 0);
  for (const bit of n.toString(2)) {
    power = squared(power, modulus);
    if (bit === "1") timesX(power, modulus);
  }
  const generator = families[rng.algorithm].fromState(rng.state);
  const sum = [0, 0, 0, 0];
  for (let i = 0; i < 128; i++) {
    if (coefficient(power, i)) generator.getState().forEach((word, j) => sum[j]! ^= word);
    generator.next();
  }
  return sum;
}

/** The state after n draws of `s -> 214013 s + 2531011` modulo 2^32; each draw takes three steps. */
function congruentialSkip(rng: Rng, n: bigint): readonly number[] {
  let [factor, addend] = [1, 0];
  for (const bit of (3n * n).toString(2)) {
    [factor, addend] = [Math.imul(factor, factor), (Math.imul(factor, addend) + addend) | 0];
    if (bit === "1") [factor, addend] = [Math.imul(factor, 214013), (Math.imul(addend, 214013) + 2531011) | 0];
  }
  return [(Math.imul(rng.state[0]!, factor) + addend) | 0];
}

/**
 * Runs a thunk in which `Math.random` draws {@link float}s from a generator.
 *
 * tfjs draws from `Math.random` for dropout, initializers and shuffles. Only what the thunk calls and awaits draws from the generator, also
 * in its timers and promises (`AsyncLocalStorage`). Code that runs meanwhile draws from the real `Math.random`. Calls may be nested, and
 * asynchronous calls may overlap: the innermost one counts. Parts of one thunk that run concurrently share its generator; if their order
 * depends on timing, give each a {@link fork}.
 *
 * `Math.random` is the original function again when the thunk has returned or thrown, and its promise, if it returns one, has settled. Code
 * that still runs then draws from the real `Math.random`, so await in the thunk all that it starts. Code that kept a reference to `Math.random`
 * from before the call also draws from the real one.
 *
 * @param rng The generator, which does not change.
 * @returns The thunk's result, and the generator after its draws; if the thunk returns a promise, a promise of both. An error that the thunk throws,
 *   or that its promise rejects with, is passed on.
 *
 * @example
 * ```ts
 * import { Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const rng = Rng.make(42);
 * const [drawn, next] = Rng.withRandom(rng)(() => [Math.random(), Math.random()]);
 * assert.deepEqual([drawn, next], [[...Rng.floats(2)(rng)[0]], Rng.floats(2)(rng)[1]]);
 *
 * const waiting = Rng.withRandom(rng)(async () => [Math.random(), await Promise.resolve(), Math.random()]);
 * Math.random(); // not from `rng`
 * const [[first, , second]] = await waiting;
 * assert.deepEqual([first, second], drawn);
 * ```
 */
export function withRandom(rng: Rng): <A>(thunk: () => A) => Drawn<A> {
  if (arguments.length > 1) checkCurried(arguments, 1, "Rng.withRandom(rng)(f)");
  familyOf(rng);
  return <A>(thunk: () => A) => {
    demand("the thunk of Rng.withRandom", aFunction, thunk);
    const generator = familyOf(rng).fromState(rng.state);
    return replacingRandom(
      () => uniformFloat64(generator),
      thunk,
      (value) => [value, rngOf(rng.algorithm, generator.getState())] as const,
    ) as Drawn<A>;
  };
}
