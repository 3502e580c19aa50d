/**
 * The query of a request: names and values, all of which must be known.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { type Usage, usage } from "../arguments.ts";

// --- types

/** What a value of a query may be. */
export interface QueryRule<A> {
  /** In words, for the message. */
  readonly expected: string;
  /** The value of a text; undefined if it is none. */
  readonly parse: (text: string) => A | undefined;
  /** The value if there is none in the query; without it there must be one. */
  readonly otherwise?: A;
}

/** The values of a query by name. */
export type QueryOf<R extends Readonly<Record<string, QueryRule<unknown>>>> = {
  readonly [K in keyof R]: R[K] extends QueryRule<infer A> ? A : never;
};

/** A checkpoint of a run, by the run's key. */
export interface CheckpointKey {
  readonly key: string;
  readonly checkpoint: number;
}

// --- constructors

function wholeOf(text: string): number | undefined {
  return /^(0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
}

/** A whole number. */
export function whole(least: number, most: number, otherwise?: number): QueryRule<number> {
  const parse = (text: string): number | undefined => {
    const found = wholeOf(text);
    return found !== undefined && found >= least && found <= most ? found : undefined;
  };
  const expected = most === Number.MAX_SAFE_INTEGER
    ? `a whole number from ${least}`
    : `a whole number from ${least} to ${most}`;
  return { expected, parse, ...(otherwise !== undefined && { otherwise }) };
}

/** A finite number. */
export function finite(otherwise: number): QueryRule<number> {
  const parse = (text: string): number | undefined =>
    /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text)) ? Number(text) : undefined;
  return { expected: "a number", parse, otherwise };
}

/** Any text that is not empty. */
export const text: QueryRule<string> = { expected: "a text", parse: (given) => given === "" ? undefined : given };

/** A checkpoint, such as `0@12`. */
export const checkpointKey: QueryRule<CheckpointKey> = {
  expected: "the key of a run and the number of a checkpoint, such as 0@12",
  parse: (given) => {
    const [, key = "", digits = ""] = /^([^@]+)@(\d+)$/.exec(given) ?? [];
    const checkpoint = wholeOf(digits);
    return checkpoint === undefined ? undefined : { key, checkpoint };
  },
};

// --- parsing

/**
 * Parses a query.
 *
 * @param query What follows the question mark.
 * @param rules The values that there may be.
 * @returns The values by name, or what is wrong with the first that is: unknown, given twice, missing, or of another form.
 */
export function parseQuery<R extends Readonly<Record<string, QueryRule<unknown>>>>(
  query: string,
  rules: R,
): E.Either<Usage, QueryOf<R>> {
  const given = new URLSearchParams(query);
  const names = [...given.keys()];
  const stray = names.find((name) => !Object.hasOwn(rules, name));
  const shown = (found: string): string => JSON.stringify(found.slice(0, 80));
  if (stray !== undefined) {
    const known = Object.keys(rules).join(", ") || "no names";
    return usage(`Expected a query of ${known}, found ${shown(stray)}`);
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) return usage(`Expected ${twice} once, found it ${given.getAll(twice).length} times`);
  const values: Record<string, unknown> = {};
  for (const [name, { expected, parse, otherwise }] of Object.entries(rules)) {
    const found = given.get(name);
    values[name] = found === null ? otherwise : parse(found);
    if (values[name] === undefined) {
      return usage(`Expected ${name} to be ${expected}, found ${found === null ? "none" : shown(found)}`);
    }
  }
  return E.right(values as QueryOf<R>);
}
