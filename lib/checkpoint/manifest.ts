/**
 * The manifest of a checkpoint, `snapshot.json`: what its components are, and which bytes belong to it.
 *
 * It is written last: it is the commit record. It holds every component's tree with exact scalars, each tensor's file and name, and the length and
 * digest of every file. A CRC-32 before its body covers the body. Everything in it is checked; nothing in it is executed or used as a path.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as t from "io-ts";
import type { Encoded, Held, Named } from "../state/mod.ts";
import type { Problem } from "../errors/mod.ts";
import { catching, formatAfter, type ManifestError, manifestProblem } from "./migrations.ts";
import { type Migration, migrations, seal, unseal } from "./migrations.ts";
import { decodeTree, mapArrays, numberFromJson, type NumberJson, numberToJson, type Stored } from "./manifest_tree.ts";
import { isFileOf } from "./tensor_names.ts";
import { aNote, type Note } from "../store/mod.ts";
import {
  aString,
  exactRecord,
  integer,
  isPlainRecord,
  listOf,
  must,
  type Plain,
  refine,
  shown,
} from "../validation/mod.ts";

// --- types

/** Where a checkpoint was saved, recorded so that a difference can be reported. */
export interface Environment {
  /** The version of dogear. */
  readonly dogear: string;
  /** The version of TensorFlow.js. */
  readonly tfjs: string;
  /** The runtime and its version, such as `bun 1.4.5`. */
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
  /** The note that the save gave. */
  readonly note?: Note;
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

/** Or null. Unlike a union of io-ts, it has one error for both. */
function orNull<A>(type: Plain<A>): Plain<A | null> {
  return must(`${type.name} or null`, (u) => u === null || type.is(u)) as Plain<A | null>;
}

const aNumber = must("a number", (u) => numberFromJson(u) !== undefined) as Plain<NumberJson>;
const whole = integer(0);
const crc32Digits = refine(t.string, "8 hexadecimal digits", (s) => /^[0-9a-f]{8}$/.test(s));
const sha256Digits = refine(t.string, "64 hexadecimal digits", (s) => /^[0-9a-f]{64}$/.test(s));

const summaryFields = {
  run: aString,
  step: orNull(aNumber),
  metrics: listOf(t.tuple([aString, aNumber], "a name and a number")),
  time: whole,
  parent: orNull(whole),
  environment: exactRecord({ dogear: aString, tfjs: aString, runtime: aString, backend: aString }),
  id: orNull(sha256Digits),
  files: listOf(t.tuple([aString, whole, crc32Digits, orNull(sha256Digits)], "a file's name, length and digests")),
};
/** The note that JSON holds as {@link noteToJson} writes it; undefined for other JSON. */
function noteFromJson(json: unknown): Note | undefined {
  if (!Array.isArray(json)) return typeof json === "string" && aNote.is(json) ? json : undefined;
  const isNumber = (u: unknown): boolean => typeof u === "number" || isPlainRecord(u);
  const note = Object.fromEntries(
    json.filter(isNamed).map(([name, value]) => [name, isNumber(value) ? numberFromJson(value) : value]),
  );
  return aNote.is(note) && Object.keys(note).length === json.length ? note as Note : undefined;
}

function isNamed(json: unknown): json is readonly [string, unknown] {
  return Array.isArray(json) && json.length === 2 && typeof json[0] === "string";
}

type NoteJson = string | readonly (readonly [name: string, value: string | boolean | null | NumberJson])[];

/** A note as JSON. Its names are pairs in arrays, as in the trees. */
function noteToJson(note: Note): NoteJson {
  if (typeof note === "string") return note;
  return Object.entries(note).map(([name, value]) => [name, typeof value === "number" ? numberToJson(value) : value]);
}

// A checkpoint without them has the bytes that it had before they existed, so that earlier versions read it.
const optionalFields = {
  training: aString,
  note: must("a note", (u) => noteFromJson(u) !== undefined) as Plain<NoteJson>,
};

/** One predicate for all entries: a state may have 20,000 objects, and a codec for each entry makes loading slower. */
function isOrder(u: unknown[]): boolean {
  const isText = (part: unknown): boolean => typeof part === "string";
  return u.every((pair) =>
    Array.isArray(pair) && pair.length === 2 && isText(pair[0]) && Array.isArray(pair[1]) && pair[1].every(isText)
  );
}

const summaryCodec = exactRecord(summaryFields, optionalFields);
const bodyCodec = exactRecord({
  ...summaryFields,
  order: refine(t.UnknownArray, "the names of objects by path", isOrder),
  // Trees are decoded by hand: `manifest_tree.ts` says why.
  components: listOf(t.tuple([refine(t.string, "a name", (s) => s !== ""), t.unknown], "a component")),
}, optionalFields);

type SummaryJson = t.TypeOf<typeof summaryCodec>;

/** Decodes with a codec, each error as a {@link Problem} with its path. */
function decodeBy<A>(codec: Plain<A>, json: unknown): E.Either<ManifestError, A> {
  const problemOf = ({ value, context }: t.ValidationError): Problem => ({
    path: ["snapshot.json", ...context.slice(1).map(({ key }) => key)].join("/").slice(0, 1000),
    kind: "format",
    expected: context.at(-1)?.type === t.never ? "no such field" : context.at(-1)?.type.name ?? "a manifest",
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
  const { run, step, metrics, time, parent, environment, id, training, note, files } = summary;
  const { dogear, tfjs, runtime, backend } = environment;
  const head = JSON.stringify({
    run,
    step: step === null ? null : numberToJson(step),
    metrics: Object.entries(metrics).map(([name, value]) => [name, numberToJson(value)]),
    time,
    parent,
    environment: { dogear, tfjs, runtime, backend },
    id: id ?? null,
    ...(training !== undefined && { training }),
    ...(note !== undefined && { note: noteToJson(note) }),
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
export function decodeSummary(
  bytes: Uint8Array,
): E.Either<ManifestError, ManifestSummary & { readonly bytes: number }> {
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
): E.Either<ManifestError, Manifest> {
  return pipe(
    unseal(bytes, steps),
    E.flatMap((body) => decodeBy(bodyCodec, body)),
    E.flatMap((json) => catching("a tree that can be read", () => manifestOf(json, bytes.byteLength))),
    E.flatten,
  );
}

function summaryOf(
  { run, step, metrics, time, parent, environment, id, training, note, files }: SummaryJson,
): ManifestSummary {
  return {
    run,
    step: numberFromJson(step) ?? null,
    metrics: Object.fromEntries(metrics.map(([name, value]) => [name, numberFromJson(value) ?? NaN])),
    time,
    parent,
    environment,
    ...(id !== null && { id }),
    ...(training !== undefined && { training }),
    ...(note !== undefined && { note: noteFromJson(note)! }),
    files: files.map(([name, bytes, crc32, sha256]) => ({ name, bytes, crc32, ...(sha256 !== null && { sha256 }) })),
  };
}

function manifestOf(json: t.TypeOf<typeof bodyCodec>, bytes: number): E.Either<ManifestError, Manifest> {
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
    // Every array of a decoded tree is a stored one.
    state: (hold) => ({
      components: components.map(([name, tree]): Named => [name, mapArrays(tree, (held) => hold(held as Stored))]),
      order: json.order as Encoded["order"],
    }),
  });
}
