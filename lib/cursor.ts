/**
 * Cursors: the position of a run in its data, as plain data.
 *
 * A cursor counts source samples, not batches, so the batch size and the number of ranks may change at a resume.
 *
 * @module
 */
import type * as t from "io-ts";
import type { Problem, ProblemKind } from "./errors.ts";
import { plainCodec } from "./plain.ts";
import { demand, integer, must, oneOf, record, type Rule } from "./rules.ts";
import { type Seed, seedText } from "./seed.ts";

// --- types

/** The position of a run in its data, and enough about the data to detect a change of it; frozen, and safe in JSON. */
export interface Cursor {
  readonly _tag: "Cursor";
  readonly version: 1;
  /** The seed of the shuffle, or null without one; an integer beyond 2^53 is an object with its decimal digits as `bigint`. */
  readonly seed: number | string | { readonly bigint: string } | null;
  /** Completed epochs of the source. */
  readonly epoch: number;
  /** Source samples of the current epoch that all ranks together have consumed; 0 once an epoch has ended. */
  readonly position: number;
  /** Samples in an epoch; null for a stream of which no epoch has been read to its end. */
  readonly length: number | null;
  /** Identifies the source and its shuffle in one line. It does not cover map, batch and shard. */
  readonly fingerprint: string;
  /** A position inside a stream, so that a resume need not read it from its start. It is never compared, and may be left out. */
  readonly mark?: Mark;
}

/** A position in a stream, in the stream's own form. */
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
  return mark === undefined
    ? Object.freeze({ _tag: "Cursor", version: 1, seed, epoch, position, length, fingerprint })
    : Object.freeze({ _tag: "Cursor", version: 1, seed, epoch, position, length, fingerprint, mark: frozenMark(mark) });
}

/** The form of a seed in a cursor, one form for each seed; a `TypeError` for a value that is no seed. */
export function cursorSeed(seed: Seed): number | string | { readonly bigint: string } {
  const [kind, text] = seedText(seed);
  if (kind === "string") return text;
  return Number.isSafeInteger(Number(text)) ? Number(text) : { bigint: text };
}

// --- capture and restore

const beyondNumbers = must(
  "the decimal digits of an integer beyond 2^53",
  (value) => typeof value === "string" && /^-?[1-9]\d*$/.test(value) && !Number.isSafeInteger(Number(value)),
);

const seedRule: Rule = (value, name) =>
  typeof value === "object" && value !== null ? record({ bigint: beyondNumbers })(value, name) : must(
    "a safe integer, a string or null",
    (seed) => seed === null || typeof seed === "string" || (Number.isSafeInteger(seed) && !Object.is(seed, -0)),
  )(value, name);

const isMark = (value: unknown): boolean =>
  value === null || (Number.isSafeInteger(value) && Number(value) >= 0 && !Object.is(value, -0)) ||
  (Array.isArray(value) && value.every(isMark));

const required: Readonly<Record<string, Rule>> = {
  _tag: oneOf("Cursor"),
  version: must("1, the version this release reads", (value) => value === 1),
  seed: seedRule,
  epoch: integer(0),
  position: integer(0),
  length: (value, name) => value === null ? [] : integer(0)(value, name),
  fingerprint: must("a string", (value) => typeof value === "string"),
};
const plain: Rule = record(required);
const marked: Rule = record({ ...required, mark: must("counts from 0, nulls and lists of them", isMark) });

const possible: Rule = (value, name) => {
  const rule = typeof value === "object" && value !== null && "mark" in value ? marked : plain;
  const objections = rule(value, name);
  if (objections.length > 0) return objections;
  const { position, length } = value as Cursor;
  return length === null ? [] : integer(0, length)(position, `${name}.position`);
};

/**
 * The codec of {@link Cursor}, which encodes as itself.
 *
 * Decoding rejects, with one message each: another version, an invalid seed, epoch, position or length, a position beyond the length, and
 * missing or unknown fields. Law: round trip.
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
export const codec: t.Type<Cursor, Cursor, unknown> = plainCodec("Cursor", possible, cursorOf);

// --- combinators

/** A cursor of any version: {@link check} compares the versions. */
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
 * Every difference between the data of a live cursor and the data of a saved one.
 *
 * Positions are not compared, and lengths only if both are known. Law: nothing silent.
 *
 * @param live A cursor of the current loader, such as that of `Loader.start`: the side that was found.
 * @param saved The cursor to resume from: the side that was expected.
 * @returns The differences, with paths inside the cursor; empty if the run can resume.
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
