/**
 * Codecs of data that is only decoded: those of io-ts, and schemas of any library that has the interface of Standard Schema
 * (https://standardschema.dev, version 1), such as zod, valibot, arktype and Effect.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type * as t from "io-ts";
import { toError } from "../errors/mod.ts";
import { declaresSchema, hasMethods, must, type Objection, objectionsOf, type Rule, shown } from "./types.ts";

// --- types

/** The part of Standard Schema, version 1, that is used to decode. */
export interface StandardSchema<out A> {
  /** What the specification of Standard Schema asks for. */
  readonly "~standard": {
    readonly version: 1;
    /** The library, such as `zod`. */
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<A> | Promise<StandardResult<A>>;
    readonly types?: { readonly output: A } | undefined;
  };
}

/**
 * A decoded value, or why there is none.
 *
 * @internal
 */
export type StandardResult<A> =
  | { readonly value: A; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** What a schema says is wrong, and where. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A codec of io-ts, or a schema of zod, valibot, arktype, Effect or another library with Standard Schema. */
export type DataCodec<A> = t.Decoder<unknown, A> | StandardSchema<A>;

/** A decoded value, or everything that is wrong with it. */
export type DataResult<A> = E.Either<readonly Objection[], A>;

// --- constructors

/** The type of an option that is a {@link DataCodec}. */
export const dataCodec: Rule = must(
  "a codec of io-ts, such as t.type({ text: t.string }), or a schema with Standard Schema, such as z.object({ text: z.string() })",
  (value) => hasMethods(value, ["validate", "decode"]) || isStandard(value),
);

function isStandard(value: unknown): value is StandardSchema<unknown> {
  if (!declaresSchema(value)) return false;
  const about = value["~standard"];
  return typeof about === "object" && about !== null && Reflect.get(about, "version") === 1 &&
    typeof Reflect.get(about, "validate") === "function";
}

// --- combinators

/**
 * A function that decodes with a codec. It is asynchronous, as the validation of a schema may be, and never rejects: a codec that throws, or
 * that rejects a value without a reason, is an {@link Objection} to the value.
 */
export function decodeWith<A>(codec: DataCodec<A>): (value: unknown) => Promise<DataResult<A>> {
  const [name, decode] = isStandard(codec)
    ? [schemaName(codec["~standard"].vendor), answerOf(codec["~standard"] as StandardSchema<A>["~standard"])]
    : [`a value of ${codec.name}`, resultOf(codec)];
  return async (value) => {
    const failed = (why: string) => E.left([{ path: [], expected: name, found: `${shown(value)}: ${why}` }]);
    try {
      const decoded = await decode(value);
      return E.isLeft(decoded) && decoded.left.length === 0 ? failed("rejected without a reason") : decoded;
    } catch (thrown) {
      return failed(`the codec failed: ${toError(thrown).message}`);
    }
  };
}

/** A function that decodes with a codec of io-ts. */
function resultOf<A>(codec: t.Decoder<unknown, A>): (value: unknown) => DataResult<A> {
  return (value) => {
    const result = codec.decode(value);
    return E.isRight(result) ? result : E.left(objectionsOf(result.left));
  };
}

/** A function that decodes with a schema. An answer in no form of Standard Schema has no reasons. */
function answerOf<A>(schema: StandardSchema<A>["~standard"]): (value: unknown) => Promise<DataResult<A>> {
  return async (value) => {
    const answer = Object(await schema.validate(value)) as StandardResult<A>;
    if (answer.issues === undefined && "value" in answer) return E.right(answer.value);
    const issues = Array.isArray(answer.issues) ? answer.issues as readonly StandardIssue[] : [];
    return E.left(issues.map((issue) => issueOf(value, schema.vendor, issue)));
  };
}

function schemaName(vendor: string): string {
  return `a value of the ${vendor} schema`;
}

/** An issue of a schema as an {@link Objection}: the schema's own message, after the value that it is about. */
function issueOf(value: unknown, vendor: string, { message, path }: StandardIssue): Objection {
  const keys = (path ?? []).map((key) => typeof key === "object" ? key.key : key);
  let [at, missing] = [value, false];
  for (const key of keys) {
    missing = !(key in Object(at));
    at = Reflect.get(Object(at), key);
  }
  const found = missing ? "no such field" : shown(at);
  return { path: keys.map(String), expected: schemaName(vendor), found: `${found}: ${message}` };
}
