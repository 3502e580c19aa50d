/**
 * A cursor: the position of a run in its data, as plain data.
 *
 * It counts source samples, not batches, so that batch size and world size may change between runs.
 *
 * @module
 */
import * as t from "io-ts";
import type { Problem } from "../errors/mod.ts";
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
  plainCodec,
  refine,
} from "../validation/mod.ts";
import { type Seed, seedText } from "../values/mod.ts";

// --- types

/** The position of a run in its data, and enough about the data to recognise it: frozen and safe in JSON. */
export interface Cursor {
  /** Tells a cursor from other plain values. */
  readonly _tag: "Cursor";
  /** The version of this layout. */
  readonly version: 1;
  /** The seed of the shuffle, or null without a shuffle; an integer beyond 2^53 is `{ bigint }` with its decimal digits. */
  readonly seed: number | string | { readonly bigint: string } | null;
  /** How many whole epochs of the source come before. */
  readonly epoch: number;
  /** How many source samples of this epoch all ranks together have consumed; 0 at the end of an epoch. */
  readonly position: number;
  /** Samples in an epoch; null for a stream that has not been read to its end yet. */
  readonly length: number | null;
  /** The source and its shuffle in one line, without `map`, `batch` and `shard`. */
  readonly fingerprint: string;
  /** A position in a stream that can seek, to resume without reading from the start. Optional, and never compared. */
  readonly mark?: Mark;
}

/**
 * A position in a stream, in the stream's own form.
 *
 * @internal
 */
export type Mark = number | null | readonly Mark[];

// --- constructors

function frozenMark(mark: Mark): Mark {
  return typeof mark === "object" && mark !== null ? Object.freeze(mark.map(frozenMark)) : mark;
}

/** A frozen cursor of these fields. */
export function cursorOf(fields: Omit<Cursor, "_tag" | "version">): Cursor {
  const { epoch, position, length, fingerprint, mark } = fields;
  const seed = typeof fields.seed === "object" && fields.seed !== null
    ? Object.freeze({ bigint: fields.seed.bigint })
    : fields.seed;
  const cursor: Cursor = { _tag: "Cursor", version: 1, seed, epoch, position, length, fingerprint };
  return Object.freeze(mark === undefined ? cursor : { ...cursor, mark: frozenMark(mark) });
}

/** A seed in the form of a cursor, the same for equal seeds; any other value is a `TypeError`. */
export function cursorSeed(seed: Seed): NonNullable<Cursor["seed"]> {
  const [kind, text] = seedText(seed);
  if (kind === "string") return text;
  return Number.isSafeInteger(Number(text)) ? Number(text) : { bigint: text };
}

// --- capture and restore

const count = integer(0);

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
    version: t.literal(1, "1, the version this release reads"),
    seed: seedType,
    epoch: count,
    position: count,
    length: orNull(count),
    fingerprint: aString,
  }, { mark: markType }),
  ({ length }) => length === null ? {} : { position: integer(0, length) },
);

/**
 * The codec of {@link Cursor}, which encodes as itself.
 *
 * Decoding rejects, with a message for each: another version, an impossible seed, epoch, position or length, a position beyond the length,
 * and missing or unknown fields. Law: round trip.
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

/** A cursor of any version, since {@link check} compares versions. */
const aCursor = must("a cursor", (value) => Object(value)._tag === "Cursor");

/** The fields that {@link check} compares, and the kind of problem that a difference is. */
const compared = [["version", "format"], ["seed", "value"], ["length", "length"], ["fingerprint", "data"]] as const;

/**
 * Lists all differences between the data of a live cursor and the data that a saved cursor was made on.
 *
 * Positions are not compared, nor is a length that one of the two does not know yet. Law: nothing silent.
 *
 * @param live A cursor of the current loader, such as `Loader.start(loader)`: the side that is found.
 * @param saved The cursor to resume from: the side that is expected.
 * @returns The differences, with paths below the cursor; none if the run may resume.
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
  return compared.flatMap(([path, kind]) => {
    if (path === "length" && (live.length === null || saved.length === null)) return [];
    const [expected, found] = [JSON.stringify(saved[path]), JSON.stringify(live[path])];
    return expected === found ? [] : [{ path, kind, expected, found, saved: "expected" as const }];
  });
}
