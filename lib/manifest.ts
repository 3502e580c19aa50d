/**
 * The manifest of a checkpoint: what its components are, and which bytes belong to it.
 *
 * `snapshot.json` is written last: it is the commit record. It holds every component's tree, with scalars exact, tensors by file and
 * name, and the length and digest of every file; its own bytes are under a CRC-32 that stands before them. It is data: strings and
 * numbers that this room checks, and nothing in it is ever executed or used as a path.
 *
 * Named things stand as pairs in arrays, never as the keys of an object, so that `__proto__` is a name like any other.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import * as t from "io-ts";
import type { Encoded } from "./encode.ts";
import type { Problem } from "./errors.ts";
import { formatAfter, type ManifestError, seal, type Step, steps, unseal } from "./formats.ts";
import {
  aName,
  aString,
  exactRecord,
  integer,
  isPlainRecord,
  listOf,
  must,
  objections,
  orNull,
  type Plain,
  refine,
} from "./rules.ts";
import { isFileOf, type PlacedArray } from "./placement.ts";
import { type ArrayNode, isBranch, maxDepth, type Named, type Node, segment } from "./state_tree.ts";
import { type Element, type Held, isElement } from "./tensor.ts";

// --- types

/** Where a checkpoint was written, recorded so that a difference can be reported. */
export interface Environment {
  readonly dogear: string;
  readonly tfjs: string;
  readonly runtime: string;
  /** Its name and, for WebGPU, the settings that decide its bits. */
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

/** What a checkpoint says of itself beside its state. */
export interface Summary {
  /** The run that wrote it. */
  readonly run: string;
  readonly step: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The checkpoint before it in the run, if there was one. */
  readonly parent: number | null;
  readonly environment: Environment;
  /** The digest of the state, where it was asked for. */
  readonly id?: string;
  /** The name of the training that saved it, where it is one of `fit` or `fitDataset` with a name of its own. */
  readonly training?: string;
  readonly files: readonly FileEntry[];
}

/** A tensor of a checkpoint: the array it holds, and where it stands. */
export interface Stored {
  readonly element: Element;
  readonly shape: readonly number[];
  /** The index of its file. */
  readonly file: number;
  readonly tensor: string;
}

/** A manifest: the summary, and the state with its arrays not read yet. */
export interface Manifest extends Summary {
  /** Its own length. */
  readonly bytes: number;
  /** The state, once each stored array is held. */
  readonly state: (hold: (stored: Stored) => Held) => Encoded;
  /** Every array the state refers to, in the order of the tree. */
  readonly arrays: readonly Stored[];
}

// --- constructors

/** The format this version writes, and the newest it reads. */
export const format: string = formatAfter(steps);

// --- capture and restore

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

function numberJson(n: number): Json {
  return Number.isFinite(n) && !Object.is(n, -0) ? n : { number: Object.is(n, -0) ? "-0" : String(n) };
}

/**
 * A component as text; not stringified from an object as a whole, for there may be a hundred thousand nodes.
 *
 * @param component Its name and its tree.
 * @param files Its files, each by its index among those of the manifest, with the arrays in it.
 */
export function componentText(
  component: Named,
  files: readonly (readonly [index: number, arrays: readonly PlacedArray[]])[],
): string {
  const places = new Map<ArrayNode, string>();
  for (const [index, arrays] of files) {
    for (const { node, spec } of arrays) places.set(node, `${index},${JSON.stringify(spec.name)}`);
  }
  const named = ([name, node]: Named): string => `[${JSON.stringify(name)},${text(node)}]`;
  const text = (node: Node): string => {
    if (typeof node === "number") return JSON.stringify(numberJson(node));
    if (typeof node === "bigint") return `{"bigint":"${node}"}`;
    if (typeof node !== "object" || node === null) return JSON.stringify(node);
    if (!isBranch(node)) return `[${node.map(text).join()}]`;
    switch (node.is) {
      case "array":
        return `{"array":["${node.held.element}",[${node.held.shape}],${places.get(node)}]}`;
      case "shared":
        return `{"shared":${JSON.stringify(node.path)}}`;
      case "aside":
        return `{"aside":${text(node.state)}}`;
      case "kind":
        return `{"kind":${JSON.stringify(node.kind)},"state":${text(node.state)}}`;
      case "record":
        return `{"record":[${node.entries.map(named).join()}]}`;
    }
  };
  return named(component);
}

/**
 * The bytes of a manifest.
 *
 * @param summary What the checkpoint says of itself.
 * @param order The order of the state's objects.
 * @param components What {@link componentText} gave of each component.
 */
export function encodeManifest(summary: Summary, order: Encoded["order"], components: readonly string[]): Uint8Array {
  const { run, step, metrics, time, parent, environment, id, training, files } = summary;
  const { dogear, tfjs, runtime, backend } = environment;
  const head = JSON.stringify({
    run,
    step: step === null ? null : numberJson(step),
    metrics: Object.entries(metrics).map(([name, value]) => [name, numberJson(value)]),
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

const hex = (digits: number): Plain<string> =>
  refine(t.string, `${digits} hexadecimal digits`, (u) => new RegExp(`^[0-9a-f]{${digits}}$`).test(u));
const special = ["NaN", "Infinity", "-Infinity", "-0"];
const numberType = must(
  "a number",
  (u) =>
    (typeof u === "number" && !Object.is(u, -0)) ||
    (isPlainRecord(u) && Object.keys(u).length === 1 && special.includes(u["number"] as string)),
);

const summaryFields = {
  run: aString,
  step: orNull(numberType),
  metrics: listOf(t.tuple([aString, numberType], "a name and a number")),
  time: integer(0),
  parent: orNull(integer(0)),
  environment: exactRecord({ dogear: aString, tfjs: aString, runtime: aString, backend: aString }),
  id: orNull(hex(64)),
  files: listOf(t.tuple([aString, integer(0), hex(8), orNull(hex(64))], "a file's name, length, CRC-32 and SHA-256")),
};
const training = { training: aString };
const summaryType = exactRecord(summaryFields, training);
const wholeType = exactRecord({
  ...summaryFields,
  order: listOf(t.tuple([aString, listOf(aString)], "a component's name and those of its parts")),
  components: listOf(t.tuple([aName, t.unknown], "a component's name and its tree")),
}, training);

function numberOf(json: unknown): number {
  return typeof json === "number" ? json : Number((json as { number: string }).number);
}

/** Checked by `is`, since a manifest may hold 20,000 arrays: no sentence is needed, and arrays from JSON have no holes. */
const shapeType = listOf(integer(0));

/** The start of a value as JSON, however large or deep it is. */
function glimpse(json: unknown): string {
  if (typeof json !== "object" || json === null) return JSON.stringify(json)?.slice(0, 80) ?? "nothing";
  const entries = Array.isArray(json) ? json.slice(0, 4).map((item) => ["", item]) : Object.entries(json).slice(0, 4);
  const text = entries.map(([name, item]) => {
    const value = typeof item === "object" && item !== null
      ? Array.isArray(item) ? "[...]" : "{...}"
      : JSON.stringify(item);
    return name === "" ? value : `${JSON.stringify(name)}:${value}`;
  }).join();
  return (Array.isArray(json) ? `[${text}]` : `{${text}}`).slice(0, 80);
}

/** Where a node is: its component, and its path in that, empty for the component itself. */
interface Place {
  readonly root: string;
  readonly own: string;
}

function below({ root, own }: Place, name: string): Place {
  return { root, own: own === "" ? name : `${own}/${name}` };
}

/**
 * Whether a tensor has the name that its path gives it. Lengths are compared first: to look into a path, an engine writes it out, and a
 * manifest may have many arrays under one long name.
 */
function isOwnName(tensor: string, { root, own }: Place): boolean {
  const name = own === "" ? root : own;
  return tensor.length === name.length && tensor === name;
}

/** A tree whose arrays are held as it is asked for; throws on what no manifest of this toolkit holds. */
function readNode(
  json: unknown,
  place: Place,
  depth: number,
  arrays: Stored[],
): (hold: (stored: Stored) => Held) => Node {
  const refuse = (expected: string): never => {
    const path = place.own === "" ? place.root : `${place.root}/${place.own}`;
    throw { path: path.slice(0, 1000), kind: "format", expected, found: glimpse(json) } satisfies Problem;
  };
  if (depth > 3 * maxDepth) return refuse("a tree that is less deep");
  if (json === null || typeof json === "boolean" || typeof json === "string" || typeof json === "number") {
    return () => json;
  }
  if (Array.isArray(json)) {
    const items = json.map((item, i) => readNode(item, below(place, `${i}`), depth + 1, arrays));
    return (hold) => items.map((item) => item(hold));
  }
  if (!isPlainRecord(json)) return refuse("a node");
  const inner = (part: unknown): (hold: (stored: Stored) => Held) => Node => readNode(part, place, depth + 1, arrays);
  const tag = Object.keys(json).join();
  switch (tag) {
    case "number": {
      if (!special.includes(json["number"] as string)) return refuse("a special number");
      return () => Number(json["number"]);
    }
    case "bigint": {
      const { bigint } = json;
      if (typeof bigint !== "string" || !/^(0|-?[1-9]\d*)$/.test(bigint)) return refuse("the digits of a bigint");
      return () => BigInt(bigint);
    }
    case "record": {
      const pairs = json["record"];
      if (
        !Array.isArray(pairs) || !pairs.every((p) => Array.isArray(p) && p.length === 2 && typeof p[0] === "string")
      ) return refuse("named nodes");
      if (new Set(pairs.map(([name]) => name)).size !== pairs.length) return refuse("names that differ");
      const entries = pairs.map((
        [name, child],
      ): readonly [string, (hold: (stored: Stored) => Held) => Node] => [
        name,
        readNode(child, below(place, segment(name)), depth + 1, arrays),
      ]);
      return (hold) => ({ is: "record", entries: entries.map(([name, child]): Named => [name, child(hold)]) });
    }
    case "array": {
      const parts: readonly unknown[] = Array.isArray(json["array"]) ? json["array"] : [];
      const [element, dims, file, tensor] = parts;
      if (
        parts.length !== 4 || typeof element !== "string" || !isElement(element) || !shapeType.is(dims)
      ) return refuse("an array");
      if (!Number.isSafeInteger(file) || typeof tensor !== "string") return refuse("an array in a file");
      const stored: Stored = { element, shape: dims as number[], file: file as number, tensor };
      arrays.push(stored);
      const named = isOwnName(tensor, place) ? {} : { name: tensor };
      return (hold) => ({ is: "array", held: hold(stored), ...named });
    }
    case "kind,state": {
      const kind = json["kind"];
      if (typeof kind !== "string") return refuse("the name of a kind");
      const state = inner(json["state"]);
      return (hold) => ({ is: "kind", kind, state: state(hold) });
    }
    case "shared": {
      const shared = json["shared"];
      if (typeof shared !== "string") return refuse("the path of what is shared");
      return () => ({ is: "shared", path: shared });
    }
    case "aside": {
      const state = inner(json["aside"]);
      return (hold) => ({ is: "aside", state: state(hold) });
    }
    default:
      return refuse("a node");
  }
}

function problem(expected: string, found: string): ManifestError {
  return { problems: [{ path: "snapshot.json", kind: "format", expected, found }] };
}

/** Sees that a body is of a shape. */
function shaped<J>(json: unknown, type: t.Mixed): Either<ManifestError, J> {
  const faults = objections("manifest", type, json);
  return faults.length === 0 ? E.right(json as J) : E.left({
    problems: faults.map((found) => ({ path: "snapshot.json", kind: "format", expected: "a manifest", found })),
  });
}

/** The first part of a manifest's body once its shape is checked. */
interface WrittenSummary extends Pick<Summary, "run" | "time" | "parent" | "environment"> {
  readonly step: unknown;
  readonly metrics: readonly (readonly [string, unknown])[];
  readonly id: string | null;
  readonly training?: string;
  readonly files: readonly (readonly [string, number, string, string | null])[];
}

/** The whole of it. */
interface Written extends WrittenSummary {
  readonly order: Encoded["order"];
  readonly components: readonly (readonly [string, unknown])[];
}

/** The body without the state; no string in it has these characters, for a quotation mark in one stands behind a backslash. */
function withoutState(body: string): string {
  const end = body.indexOf(',"order":');
  return end < 0 ? body : `${body.slice(0, end)}}`;
}

/**
 * Reads what a manifest says of its checkpoint beside the state, which may be ten thousand times as long and is not looked into.
 *
 * @param bytes What {@link encodeManifest} gave, in this version or an older one.
 * @returns The summary and the manifest's own length; or as {@link decodeManifest}.
 */
export function decodeSummary(bytes: Uint8Array): Either<ManifestError, Summary & { readonly bytes: number }> {
  const body = unseal(bytes, steps, withoutState);
  if (E.isLeft(body)) return body;
  // One that came from an older format has all there is.
  const { order: _order, components: _components, ...own } = Object(body.right);
  const json = shaped<WrittenSummary>(own, summaryType);
  return E.isLeft(json) ? json : E.right({ ...summaryOf(json.right), bytes: bytes.byteLength });
}

/**
 * Reads a manifest, strictly.
 *
 * @param bytes What {@link encodeManifest} gave, in this version or an older one.
 * @param way The steps from the oldest format to the newest.
 * @returns The manifest; or that it is of a later format; or every problem: no byte of it can change without one.
 */
export function decodeManifest(bytes: Uint8Array, way: readonly Step[] = steps): Either<ManifestError, Manifest> {
  const body = unseal(bytes, way);
  if (E.isLeft(body)) return body;
  const json = shaped<Written>(body.right, wholeType);
  if (E.isLeft(json)) return json;
  try {
    return readManifest(json.right, bytes.byteLength);
  } catch (cause) {
    if (isPlainRecord(cause)) return E.left({ problems: [cause as unknown as Problem] });
    return E.left(problem("a tree that can be read", cause instanceof Error ? cause.message : String(cause)));
  }
}

function summaryOf(
  { run, step, metrics, time, parent, environment, id, training, files }: WrittenSummary,
): Summary {
  return {
    run,
    step: step === null ? null : numberOf(step),
    metrics: Object.fromEntries(metrics.map(([name, value]) => [name, numberOf(value)])),
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

function readManifest(json: Written, bytes: number): Either<ManifestError, Manifest> {
  const arrays: Stored[] = [];
  const names = json.components.map(([name]) => name);
  if (new Set(names).size !== names.length) {
    return E.left(problem("components of different names", names.join(", ").slice(0, 80)));
  }
  const isFile = isFileOf(names);
  const seen = new Set<string>();
  const stray = json.files.find(([name]) => {
    if (seen.has(name) || !isFile(name)) return true;
    seen.add(name);
    return false;
  });
  if (stray !== undefined) return E.left(problem("files of its components", stray[0].slice(0, 80)));
  const components = json.components.map(([name, tree]) =>
    [name, readNode(tree, { root: segment(name), own: "" }, 0, arrays)] as const
  );
  const lost = arrays.find(({ file }) => file < 0 || file >= json.files.length);
  if (lost !== undefined) return E.left(problem("tensors in files it names", `file ${lost.file}`));
  return E.right({
    ...summaryOf(json),
    bytes,
    arrays,
    state: (hold) => ({ components: components.map(([name, tree]): Named => [name, tree(hold)]), order: json.order }),
  });
}
