/**
 * Where in its data a run stands: a cursor is plain data, counted in source samples, so that batch and world size may change.
 *
 * @module
 */
import * as t from "io-ts";
import type { Problem, ProblemKind } from "./errors.ts";
import { plainCodec } from "./plain.ts";
import {
  aString,
  demand,
  dependent,
  exactRecord,
  integer,
  listOf,
  must,
  oneOf,
  orNull,
  type Plain,
  refine,
} from "./rules.ts";
import { type Seed, seedText } from "./seed.ts";

// --- types

/** The place of a run in its data, and enough about the data to know it again: frozen and safe in JSON. */
export interface Cursor {
  readonly _tag: "Cursor";
  readonly version: 1;
  /** The seed of the shuffle, or null without one; an integer beyond 2^53 stands as its decimal digits under `bigint`. */
  readonly seed: number | string | { readonly bigint: string } | null;
  /** Whole epochs of the source before this place. */
  readonly epoch: number;
  /** Source samples of this epoch consumed by all ranks together; 0 once an epoch has ended. */
  readonly position: number;
  /** Samples in an epoch; null as long as no epoch of a stream has been read to its end. */
  readonly length: number | null;
  /** What the source and its shuffle are, in one line; not what was mapped, batched or sharded. */
  readonly fingerprint: string;
  /** A short cut: where in a stream that can be entered there the samples lie. It is never compared, and may be left out. */
  readonly mark?: Mark;
}

/** A place in a stream as the stream itself notes it. */
export type Mark = number | null | readonly Mark[];

// --- constructors

function frozen(mark: Mark): Mark {
  return typeof mark === "object" && mark !== null ? Object.freeze(mark.map(frozen)) : mark;
}

/** A cursor from its fields, frozen. */
export function cursorOf(fields: Omit<Cursor, "_tag" | "version">): Cursor {
  const { epoch, position, length, fingerprint, mark } = fields;
  const seed = typeof fields.seed === "object" && fields.seed !== null
    ? Object.freeze({ bigint: fields.seed.bigint })
    : fields.seed;
  return mark === undefined
    ? Object.freeze({ _tag: "Cursor", version: 1, seed, epoch, position, length, fingerprint })
    : Object.freeze({ _tag: "Cursor", version: 1, seed, epoch, position, length, fingerprint, mark: frozen(mark) });
}

/** A seed as a cursor holds it, one form for one seed; what is no seed is a `TypeError`. */
export function cursorSeed(seed: Seed): number | string | { readonly bigint: string } {
  const [kind, text] = seedText(seed);
  if (kind === "string") return text;
  return Number.isSafeInteger(Number(text)) ? Number(text) : { bigint: text };
}

// --- capture and restore

const count = integer(0);

const version1: Plain<1> = refine(t.literal(1), "1, the version this release reads", () => true);

const safeInteger = refine(t.number, "a safe integer", (n) => Number.isSafeInteger(n) && !Object.is(n, -0));

const bigDigits = refine(
  t.string,
  "the decimal digits of an integer beyond 2^53",
  (digits) => /^-?[1-9]\d*$/.test(digits) && !Number.isSafeInteger(Number(digits)),
);

const seedType: Plain<Cursor["seed"]> = t.union(
  [safeInteger, t.string, t.null, exactRecord({ bigint: bigDigits })],
  "a safe integer, a string, null, or { bigint } with the digits of a larger integer",
);

const markType: Plain<Mark> = t.recursion(
  "an integer from 0, null, or a list of these",
  (mark) => t.union([count, t.null, listOf(mark)], "an integer from 0, null, or a list of these"),
);

const cursorType: Plain<Cursor> = dependent(
  exactRecord({
    _tag: oneOf("Cursor"),
    version: version1,
    seed: seedType,
    epoch: count,
    position: count,
    length: orNull(count),
    fingerprint: aString,
  }, { mark: markType }),
  ({ length }) => length === null ? {} : { position: integer(0, length) },
);

/**
 * The codec of {@link Cursor}: it encodes as itself.
 *
 * Decoding refuses, with a message each, another version, a seed, epoch, position or length that no cursor can have, a
 * position beyond the length, missing or further fields. Law: round trip.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const cursor = Loader.start(Loader.fromArray([1, 2, 3]));
 * assert.deepEqual(Loader.codec.decode(JSON.parse(JSON.stringify(cursor))), { _tag: "Right", right: cursor });
 * ```
 */
export const codec: t.Type<Cursor, Cursor, unknown> = plainCodec("Cursor", cursorType, cursorOf);

// --- combinators

/** Of any version: it is compared. */
const aCursor = must("a cursor", (value) => Object(value)._tag === "Cursor");

function differs(
  path: "version" | "seed" | "length" | "fingerprint",
  kind: ProblemKind,
): (live: Cursor, saved: Cursor) => readonly Problem[] {
  return (live, saved) => {
    const [expected, found] = [JSON.stringify(saved[path]), JSON.stringify(live[path])];
    return expected === found ? [] : [{ path, kind, expected, found }];
  };
}

const [version, seed, length, fingerprint] = [
  differs("version", "format"),
  differs("seed", "value"),
  differs("length", "length"),
  differs("fingerprint", "data"),
];

/**
 * Every way in which the data of a live cursor differs from the data that a saved one was made on.
 *
 * Where the two stand is not compared; nor is a length that one of them does not know yet. Law: nothing silent.
 *
 * @param live A cursor of the loader at hand, such as its {@link Cursor} at the start: the side that was found.
 * @param saved The cursor to resume from: the side that was expected.
 * @returns The differences, with paths below the cursor; none if the run may go on.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const saved = Loader.start(Loader.fromArray([1, 2, 3]));
 * const live = Loader.start(Loader.fromArray([1, 2, 3, 4]));
 * assert.deepEqual(Loader.check(live, saved).map(({ path }) => path), ["length", "fingerprint"]);
 * assert.deepEqual(Loader.check(saved, saved), []);
 * ```
 */
export function check(live: Cursor, saved: Cursor): readonly Problem[] {
  demand("the live cursor of Loader.check", aCursor, live);
  demand("the saved cursor of Loader.check", aCursor, saved);
  return [
    ...version(live, saved),
    ...seed(live, saved),
    ...(live.length === null || saved.length === null ? [] : length(live, saved)),
    ...fingerprint(live, saved),
  ];
}
