/**
 * The manifest of a checkpoint, `snapshot.json`: what its components are, and which bytes belong to it.
 *
 * It is written last: it is the commit record. It holds every component's tree with exact scalars, each tensor's file and name, and the length and
 * digest of every file. A CRC-32 before its body covers the body. Everything in it is checked; nothing in it is executed or used as a path.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as t from "io-ts";
import type { Encoded, Held, Named } from "../state/mod.ts";
import type { Problem } from "../errors/mod.ts";
import {
  formatAfter,
  type ManifestError,
  manifestProblem,
  type Migration,
  migrations,
  seal,
  unseal,
} from "./migrations.ts";
import { decodeTree, mapArrays, numberToJson, specialNumbers, type Stored } from "./manifest_tree.ts";
import { isFileOf } from "./tensor_names.ts";
import { isPlainRecord, shown } from "../validation/mod.ts";

// --- types

/** Where a checkpoint was saved, recorded so that a difference can be reported. */
export interface Environment {
  readonly dogear: string;
  readonly tfjs: string;
  readonly runtime: string;
  /** The backend's name and, for WebGPU, the settings that decide its bits. */
  readonly backend: string;
}

/** A file of a checkpoint. */
export interface FileEntry {
  readonly name: string;
  readonly bytes: number;
  /** Eight lower-case hexadecimal digits. */
  readonly crc32: string;
  readonly sha256?: string;
}

/** What a manifest says of its checkpoint, without the state. */
export interface ManifestSummary {
  /** The run that saved it. */
  readonly run: string;
  readonly step: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The checkpoint before it in the run, null if there is none. */
  readonly parent: number | null;
  readonly environment: Environment;
  /** The digest of the state, if it was asked for. */
  readonly id?: string;
  /** The name of the training that saved it, if that is a training of `fit` or `fitDataset` with a name other than the default. */
  readonly training?: string;
  readonly files: readonly FileEntry[];
}

/** A manifest: the summary, and the state, whose arrays are not read yet. */
export interface Manifest extends ManifestSummary {
  /** The length of the manifest itself. */
  readonly bytes: number;
  /** Gives the state, given what holds each stored array. */
  readonly state: (hold: (stored: Stored) => Held) => Encoded;
  /** Every array of the state, in the order of the tree. */
  readonly arrays: readonly Stored[];
}

// --- constructors

/** The format that this version writes, and the newest that it reads. */
export const format: string = formatAfter(migrations);

// --- codecs

/** A codec whose name completes "expected …" in a problem. */
function refined<A, O>(codec: t.Type<A, O>, expected: string, holds: (value: A) => boolean): t.Type<A, O> {
  return new t.Type(
    expected,
    (u): u is A => codec.is(u) && holds(u),
    (u, context) => pipe(codec.validate(u, context), E.flatMap((a) => holds(a) ? t.success(a) : t.failure(u, context))),
    codec.encode,
  );
}

/** A codec that lets one more value through as it is. */
function or<A, O, B extends null | undefined>(codec: t.Type<A, O>, other: B): t.Type<A | B, O | B> {
  return new t.Type(
    `${codec.name} or ${other}`,
    (u): u is A | B => u === other || codec.is(u),
    (u, context) => u === other ? t.success(other) : codec.validate(u, context),
    (a) => a === other ? other : codec.encode(a as A),
  );
}

/** An object with exactly these fields; `t.exact` would drop others without an error. */
function exactly<P extends t.Props>(fields: P): t.Type<t.TypeOfProps<P>, t.OutputOfProps<P>> {
  const codec = t.type(fields, "an object");
  return new t.Type(
    codec.name,
    codec.is,
    (u, context) =>
      pipe(
        codec.validate(u, context),
        E.flatMap((value) => {
          const extra = Object.keys(Object(u)).filter((name) => !Object.hasOwn(fields, name));
          return extra.length === 0 ? t.success(value) : t.failures(extra.map((name) => ({
            value: Object(u)[name],
            context: t.appendContext(context, name, noField),
          })));
        }),
      ),
    codec.encode,
  );
}

const noField = refined(t.unknown, "no such field", () => false);
const text = refined(t.string, "a string", () => true);
const hex = (digits: number): t.Type<string> =>
  refined(t.string, `${digits} hexadecimal digits`, (s) => new RegExp(`^[0-9a-f]{${digits}}$`).test(s));
const whole = refined(
  t.number,
  `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`,
  (n) => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0),
);
const arrayOf = <A, O>(item: t.Type<A, O>): t.Type<A[], O[]> => t.array(item, "an array");

/** Any number. JSON holds it as {@link numberToJson} writes it. */
const anyNumber: t.Type<number, number | { readonly number: string }> = new t.Type(
  "a number",
  t.number.is,
  (u, context) => {
    if (typeof u === "number" && !Object.is(u, -0)) return t.success(u);
    const isSpecial = isPlainRecord(u) && Object.keys(u).length === 1 && specialNumbers.includes(u["number"] as string);
    return isSpecial ? t.success(Number(u["number"])) : t.failure(u, context);
  },
  numberToJson,
);

const summaryFields = {
  run: text,
  step: or(anyNumber, null),
  metrics: arrayOf(t.tuple([text, anyNumber], "a name and a number")),
  time: whole,
  parent: or(whole, null),
  environment: exactly({ dogear: text, tfjs: text, runtime: text, backend: text }),
  id: or(hex(64), null),
  training: or(text, undefined),
  files: arrayOf(t.tuple([text, whole, hex(8), or(hex(64), null)], "a file's name, length and digests")),
};
/** One predicate for all entries: a state may have 20,000 objects, and a codec for each entry makes loading slower. */
function isOrder(u: unknown[]): boolean {
  const isText = (part: unknown): boolean => typeof part === "string";
  return u.every((pair) =>
    Array.isArray(pair) && pair.length === 2 && isText(pair[0]) && Array.isArray(pair[1]) && pair[1].every(isText)
  );
}

const summaryCodec = exactly(summaryFields);
const bodyCodec = exactly({
  ...summaryFields,
  order: refined(t.UnknownArray, "the names of objects by path", isOrder),
  // Trees are decoded by hand: `manifest_tree.ts` says why.
  components: arrayOf(t.tuple([refined(t.string, "a name", (s) => s !== ""), t.unknown], "a component")),
});

type SummaryJson = t.TypeOf<typeof summaryCodec>;
type BodyJson = t.TypeOf<typeof bodyCodec>;

/** Decodes with a codec, each error as a {@link Problem} with its path. */
function decodeBy<A>(codec: t.Type<A, unknown>, json: unknown): Either<ManifestError, A> {
  const problemOf = ({ value, context }: t.ValidationError): Problem => ({
    path: ["snapshot.json", ...context.slice(1).map(({ key }) => key)].join("/").slice(0, 1000),
    kind: "format",
    expected: context.at(-1)?.type.name ?? "a manifest",
    found: value === undefined ? "nothing" : shown(value),
  });
  return pipe(codec.decode(json), E.mapLeft((errors) => ({ problems: errors.map(problemOf) })));
}

// --- capture and restore

/**
 * The bytes of a manifest.
 *
 * @param summary What the manifest says of its checkpoint.
 * @param order The order of the state's objects.
 * @param components What `componentText` gave for each component.
 */
export function encodeManifest(
  summary: ManifestSummary,
  order: Encoded["order"],
  components: readonly string[],
): Uint8Array {
  const { run, step, metrics, time, parent, environment, id, training, files } = summary;
  const { dogear, tfjs, runtime, backend } = environment;
  const head = JSON.stringify({
    run,
    step: step === null ? null : numberToJson(step),
    metrics: Object.entries(metrics).map(([name, value]) => [name, numberToJson(value)]),
    time,
    parent,
    environment: { dogear, tfjs, runtime, backend },
    id: id ?? null,
    ...(training === undefined ? {} : { training }),
    files: files.map(({ name, bytes, crc32, sha256 }) => [name, bytes, crc32, sha256 ?? null]),
    order,
  });
  return seal(format, `${head.slice(0, -1)},"components":[${components.join()}]}`);
}

/** The body without the state. No string of a body contains this text, since a quotation mark in a string has a backslash before it. */
function withoutState(body: string): string {
  const end = body.indexOf(',"order":');
  return end < 0 ? body : `${body.slice(0, end)}}`;
}

/**
 * Decodes the summary of a manifest. The state, which may be ten thousand times as long, is not parsed.
 *
 * @param bytes What {@link encodeManifest} gave, in this version or an older one.
 * @returns The summary and the length of the manifest; or an error as of {@link decodeManifest}.
 */
export function decodeSummary(bytes: Uint8Array): Either<ManifestError, ManifestSummary & { readonly bytes: number }> {
  return pipe(
    unseal(bytes, migrations, withoutState),
    E.flatMap((body) => {
      // A migrated body has the state, too.
      const { order: _order, components: _components, ...own } = Object(body);
      return decodeBy(summaryCodec, own);
    }),
    E.map((json) => ({ ...summaryOf(json), bytes: bytes.byteLength })),
  );
}

/**
 * Decodes a manifest, strictly.
 *
 * @param bytes What {@link encodeManifest} gave, in this version or an older one.
 * @param steps The migrations from the oldest format to the newest.
 * @returns The manifest; that it is of a later format; or every problem. No byte of a manifest can change without one.
 */
export function decodeManifest(
  bytes: Uint8Array,
  steps: readonly Migration[] = migrations,
): Either<ManifestError, Manifest> {
  return pipe(
    unseal(bytes, steps),
    E.flatMap((body) => decodeBy(bodyCodec, body)),
    E.flatMap((json) => {
      try {
        return manifestOf(json, bytes.byteLength);
      } catch (cause) {
        if (isPlainRecord(cause)) return E.left({ problems: [cause as unknown as Problem] });
        return E.left(
          manifestProblem("a tree that can be read", cause instanceof Error ? cause.message : String(cause)),
        );
      }
    }),
  );
}

function summaryOf(
  { run, step, metrics, time, parent, environment, id, training, files }: SummaryJson,
): ManifestSummary {
  return {
    run,
    step,
    metrics: Object.fromEntries(metrics),
    time,
    parent,
    environment,
    ...(id === null ? {} : { id }),
    ...(training === undefined ? {} : { training }),
    files: files.map(([name, bytes, crc32, sha256]) => ({
      name,
      bytes,
      crc32,
      ...(sha256 === null ? {} : { sha256 }),
    })),
  };
}

function manifestOf(json: BodyJson, bytes: number): Either<ManifestError, Manifest> {
  const names = json.components.map(([name]) => name);
  if (new Set(names).size !== names.length) {
    return E.left(manifestProblem("components of different names", names.join(", ").slice(0, 80)));
  }
  const isFile = isFileOf(names);
  const files = json.files.map(([name]) => name);
  const seen = new Set<string>();
  const stray = files.find((name) => !isFile(name) || seen.size === seen.add(name).size);
  if (stray !== undefined) return E.left(manifestProblem("files of its components", stray.slice(0, 80)));
  const arrays: Stored[] = [];
  const components = json.components.map(([name, tree]) => [name, decodeTree(name, tree, arrays)] as const);
  const lost = arrays.find(({ file }) => file < 0 || file >= files.length);
  if (lost !== undefined) return E.left(manifestProblem("tensors in files it names", `file ${lost.file}`));
  return E.right({
    ...summaryOf(json),
    bytes,
    arrays,
    state: (hold) => {
      const held = mapArrays(hold);
      return {
        components: components.map(([name, tree]): Named => [name, held(tree)]),
        order: json.order as Encoded["order"],
      };
    },
  });
}
