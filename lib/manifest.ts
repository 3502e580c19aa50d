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
import { createHash } from "node:crypto";

import type { Encoded } from "./encode.ts";
import type { Problem } from "./errors.ts";
import { formatAfter, type ManifestError, seal, type Step, steps, unseal } from "./formats.ts";
import { integer, isPlainRecord, listOf, must, record as recordOf, type Rule } from "./rules.ts";
import type { Dtype, TensorSpec } from "./safetensors.ts";
import { arraysOf, isBranch, maxDepth, type Named, type Node, segment } from "./state_tree.ts";
import { type Element, type Held, isElement } from "./tensor.ts";

// --- types

/** Where a checkpoint was written, recorded so that a difference can be reported. */
export interface Environment {
  readonly dogear: string;
  readonly tfjs: string;
  readonly runtime: string;
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

/** The tensors of one file. */
export interface FilePlan {
  readonly name: string;
  readonly tensors: readonly (TensorSpec & { readonly held: Held })[];
}

// --- constructors

/** The format this version writes, and the newest it reads. */
export const format: string = formatAfter(steps);

const dtypes: Readonly<Record<Element, Dtype>> = {
  float32: "F32",
  int32: "I32",
  bool: "BOOL",
  complex64: "C64",
  string: "U8",
  Float32Array: "F32",
  Float64Array: "F64",
  Int8Array: "I8",
  Int16Array: "I16",
  Int32Array: "I32",
  Uint8Array: "U8",
  Uint8ClampedArray: "U8",
  Uint16Array: "U16",
  Uint32Array: "U32",
  BigInt64Array: "I64",
  BigUint64Array: "U64",
};

/** How an array stands in a file; a string tensor is one row of packed bytes. */
export function specOf(stored: Pick<Stored, "element" | "shape" | "tensor">, bytes?: number): TensorSpec {
  const shape = stored.element === "string" ? [bytes ?? 0] : stored.shape;
  return { name: stored.tensor, dtype: dtypes[stored.element], shape };
}

/** The file of the weights of the component `model`, which is all it holds if that is a tfjs model. */
const modelFile = "model.safetensors";

/**
 * The file that holds a component's tensors.
 *
 * Whatever the name, the file stays in the checkpoint's folder and collides with no other, upper and lower case taken as one: what
 * a URI would escape, and then every character but a-z, 0-9, `-` and `_`, is written as `=` and two digits; a long name ends in a digest.
 */
function fileName(component: string): string {
  const safe = encodeURIComponent(component).replace(/[^a-z0-9_-]/g, (c) => `=${c.charCodeAt(0).toString(16)}`);
  const digest = createHash("sha256").update(component).digest("hex").slice(0, 32);
  return `state/${safe.length <= 120 ? safe : `${safe.slice(0, 80)}=${digest}=`}.safetensors`;
}

/**
 * Where each array of a component stands, by its path: under the name that other tools know it by, or its path in the component. Beside
 * the weights of the component `model` no file has anything else, so that other tools take it as it is.
 */
function placesOf(
  component: string,
  node: Node,
): ReadonlyMap<string, { readonly file: string; readonly name: string }> {
  const taken = new Set<string>(["__metadata__"]);
  const root = segment(component);
  // Given names first, so that no path takes one.
  const arrays = arraysOf(node, root).toSorted(([, a], [, b]) =>
    Number(a.name === undefined) - Number(b.name === undefined)
  );
  const weights = arrays.some(([, { name }]) => name !== undefined);
  return new Map(arrays.map(([path, { name: given }]) => {
    const own = path === root ? root : path.slice(root.length + 1);
    let name = given ?? own;
    for (let k = 0; taken.has(name); k++) name = k === 0 ? own : `${own}~${k}`;
    taken.add(name);
    const isModel = component === "model" && (given !== undefined || !weights);
    return [path, { file: isModel ? modelFile : fileName(component), name }];
  }));
}

/**
 * Which file holds which tensors.
 *
 * @param encoded The state.
 * @returns The files, in the order of the components; a component without arrays has none.
 */
export function filePlans(encoded: Encoded): readonly FilePlan[] {
  return encoded.components.flatMap(([component, node]): FilePlan[] => {
    const places = placesOf(component, node);
    const files = new Map<string, FilePlan["tensors"][number][]>();
    for (const [path, { held }] of arraysOf(node, segment(component))) {
      const { file, name } = places.get(path) ?? { file: fileName(component), name: path };
      const tensors = files.get(file) ?? [];
      tensors.push({ ...specOf({ element: held.element, shape: held.shape, tensor: name }), held });
      files.set(file, tensors);
    }
    return [...files].map(([name, tensors]) => ({ name, tensors }));
  });
}

// --- capture and restore

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

function numberJson(n: number): Json {
  return Number.isFinite(n) && !Object.is(n, -0) ? n : { number: Object.is(n, -0) ? "-0" : String(n) };
}

function nodeJson(node: Node, path: string, array: (path: string, held: Held) => Json): Json {
  const below = (n: Node, name: string | number): Json =>
    nodeJson(n, `${path}/${typeof name === "number" ? name : segment(name)}`, array);
  if (typeof node === "number") return numberJson(node);
  if (typeof node === "bigint") return { bigint: String(node) };
  if (typeof node !== "object" || node === null) return node;
  if (!isBranch(node)) return node.map(below);
  switch (node.is) {
    case "record":
      return { record: node.entries.map(([name, child]) => [name, below(child, name)]) };
    case "array":
      return { array: array(path, node.held) };
    case "kind":
      return { kind: node.kind, state: nodeJson(node.state, path, array) };
    case "shared":
      return { shared: node.path };
    case "aside":
      return { aside: nodeJson(node.state, path, array) };
  }
}

/**
 * The bytes of a manifest.
 *
 * @param summary What the checkpoint says of itself; its files in the order of {@link filePlans}.
 * @param encoded The state.
 */
export function encodeManifest(summary: Summary, encoded: Encoded): Uint8Array {
  const indices = new Map(summary.files.map(({ name }, i) => [name, i]));
  const components = encoded.components.map(([component, node]): Json => {
    const places = placesOf(component, node);
    const array = (path: string, held: Held): Json => {
      const place = places.get(path);
      return [held.element, held.shape, indices.get(place?.file ?? "") ?? -1, place?.name ?? path];
    };
    return [component, nodeJson(node, segment(component), array)];
  });
  const { run, step, metrics, time, parent, environment, id, files } = summary;
  const { dogear, tfjs, runtime, backend } = environment;
  const body = JSON.stringify({
    run,
    step: step === null ? null : numberJson(step),
    metrics: Object.entries(metrics).map(([name, value]) => [name, numberJson(value)]),
    time,
    parent,
    environment: { dogear, tfjs, runtime, backend },
    id: id ?? null,
    files: files.map(({ name, bytes, crc32, sha256 }) => [name, bytes, crc32, sha256 ?? null]),
    order: encoded.order,
    components,
  });
  return seal(format, body);
}

const isString = must("a string", (u) => typeof u === "string");
const hex = (digits: number): Rule =>
  must(`${digits} hexadecimal digits`, (u) => typeof u === "string" && new RegExp(`^[0-9a-f]{${digits}}$`).test(u));
const orNull = (rule: Rule): Rule => (u, name) => u === null ? [] : rule(u, name);
const tuple = (...rules: readonly Rule[]): Rule => (u, name) =>
  Array.isArray(u) && u.length === rules.length
    ? rules.flatMap((rule, i) => rule(u[i], `${name}[${i}]`))
    : [`Expected ${name} to be ${rules.length} values`];
const special = ["NaN", "Infinity", "-Infinity", "-0"];
const isNumber = must(
  "a number",
  (u) =>
    (typeof u === "number" && !Object.is(u, -0)) ||
    (isPlainRecord(u) && Object.keys(u).length === 1 && special.includes(u["number"] as string)),
);
const anything: Rule = () => [];

const shape: Rule = recordOf({
  run: isString,
  step: orNull(isNumber),
  metrics: listOf(tuple(isString, isNumber)),
  time: integer(0),
  parent: orNull(integer(0)),
  environment: recordOf({ dogear: isString, tfjs: isString, runtime: isString, backend: isString }),
  id: orNull(hex(64)),
  files: listOf(tuple(isString, integer(0), hex(8), orNull(hex(64)))),
  order: listOf(tuple(isString, listOf(isString))),
  components: listOf(tuple(must("a component's name", (u) => typeof u === "string" && u !== ""), anything)),
});

function numberOf(json: unknown): number {
  return typeof json === "number" ? json : Number((json as { number: string }).number);
}

const isShape = listOf(integer(0));

/** A tree whose arrays are held as it is asked for; throws on what no manifest of this toolkit holds. */
function readNode(
  json: unknown,
  path: string,
  depth: number,
  arrays: Stored[],
): (hold: (stored: Stored) => Held) => Node {
  const refuse = (expected: string): never => {
    throw { path, kind: "format", expected, found: JSON.stringify(json)?.slice(0, 80) ?? "nothing" } satisfies Problem;
  };
  if (depth > 3 * maxDepth) return refuse("a tree that is less deep");
  if (json === null || typeof json === "boolean" || typeof json === "string" || typeof json === "number") {
    return () => json;
  }
  if (Array.isArray(json)) {
    const items = json.map((item, i) => readNode(item, `${path}/${i}`, depth + 1, arrays));
    return (hold) => items.map((item) => item(hold));
  }
  if (!isPlainRecord(json)) return refuse("a node");
  const inner = (part: unknown): (hold: (stored: Stored) => Held) => Node => readNode(part, path, depth + 1, arrays);
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
        readNode(child, `${path}/${segment(name)}`, depth + 1, arrays),
      ]);
      return (hold) => ({ is: "record", entries: entries.map(([name, child]): Named => [name, child(hold)]) });
    }
    case "array": {
      const parts: readonly unknown[] = Array.isArray(json["array"]) ? json["array"] : [];
      const [element, dims, file, tensor] = parts;
      if (
        parts.length !== 4 || typeof element !== "string" || !isElement(element) || isShape(dims, "shape").length > 0
      ) return refuse("an array");
      if (!Number.isSafeInteger(file) || typeof tensor !== "string") return refuse("an array in a file");
      const stored: Stored = { element, shape: dims as number[], file: file as number, tensor };
      arrays.push(stored);
      const own = path.slice(path.indexOf("/") + 1);
      return (hold) => ({ is: "array", held: hold(stored), ...(tensor === own ? {} : { name: tensor }) });
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

/**
 * Reads a manifest, strictly.
 *
 * @param bytes What {@link encodeManifest} gave, in this version or an older one.
 * @param way The steps from the oldest format to the newest.
 * @returns The manifest; or that it is of a later format; or every problem: no byte of it can change without one.
 */
export function decodeManifest(bytes: Uint8Array, way: readonly Step[] = steps): Either<ManifestError, Manifest> {
  const json = unseal(bytes, way);
  if (E.isLeft(json)) return json;
  const objections = shape(json.right, "manifest");
  if (objections.length > 0) {
    return E.left({
      problems: objections.map((found) => ({ path: "snapshot.json", kind: "format", expected: "a manifest", found })),
    });
  }
  try {
    return readManifest(json.right as Written, bytes.byteLength);
  } catch (cause) {
    if (isPlainRecord(cause)) return E.left({ problems: [cause as unknown as Problem] });
    return E.left(problem("a tree that can be read", cause instanceof Error ? cause.message : String(cause)));
  }
}

/** The body of a manifest once its shape is checked. */
interface Written extends Pick<Summary, "run" | "time" | "parent" | "environment"> {
  readonly step: unknown;
  readonly metrics: readonly (readonly [string, unknown])[];
  readonly id: string | null;
  readonly files: readonly (readonly [string, number, string, string | null])[];
  readonly order: Encoded["order"];
  readonly components: readonly (readonly [string, unknown])[];
}

function readManifest(json: Written, bytes: number): Either<ManifestError, Manifest> {
  const { run, time, parent, environment, order } = json;
  const arrays: Stored[] = [];
  const names = json.components.map(([name]) => name);
  if (new Set(names).size !== names.length) {
    return E.left(problem("components of different names", names.join(", ").slice(0, 80)));
  }
  const expected = new Set([modelFile, ...names.map(fileName)]);
  const stray = json.files.find(([name], i) =>
    !expected.has(name) || json.files.findIndex(([other]) => other === name) !== i
  );
  if (stray !== undefined) return E.left(problem("files of its components", stray[0].slice(0, 80)));
  const components = json.components.map(([name, tree]) => [name, readNode(tree, segment(name), 0, arrays)] as const);
  const lost = arrays.find(({ file }) => file < 0 || file >= json.files.length);
  if (lost !== undefined) return E.left(problem("tensors in files it names", `file ${lost.file}`));
  return E.right({
    bytes,
    run,
    step: json.step === null ? null : numberOf(json.step),
    metrics: Object.fromEntries(json.metrics.map(([name, value]) => [name, numberOf(value)])),
    time,
    parent,
    environment,
    ...(json.id === null ? {} : { id: json.id }),
    files: json.files.map(([name, bytes, crc32, sha256]) => ({
      name,
      bytes,
      crc32,
      ...(sha256 === null ? {} : { sha256 }),
    })),
    arrays,
    state: (hold) => ({ components: components.map(([name, tree]): Named => [name, tree(hold)]), order }),
  });
}
