/**
 * The names that arrays have as tensors of files, and the names of the files.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type ArrayNode, type Element, type Encoded, entry, isBranch, type Node, segment } from "../state/mod.ts";
import type { Dtype, TensorSpec } from "./safetensors.ts";

// --- types

/** An array as a tensor of a file. */
export interface ArraySpec extends TensorSpec {
  /** The file that it would be in if nothing were split. */
  readonly whole: string;
  /** Whether it belongs to a variable that does not train, and so may not change. */
  readonly frozen: boolean;
}

/** An array of a state, and its name in a file. */
export interface NamedArray {
  readonly spec: ArraySpec;
  readonly node: ArrayNode;
}

/** A component and its arrays. */
export interface ComponentArrays {
  readonly component: string;
  readonly node: Node;
  readonly arrays: readonly NamedArray[];
}

/** The flags by which tfjs freezes a layer and a model. */
const flagNames = ["trainable_", "_trainable"];

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

// --- names

/** The file of the weights of the component `model`. If that is a tfjs model, the file holds nothing else. */
export const modelFile = "model.safetensors";

/** The index of the model's files, if there are several. Readers of Hugging Face's format expect this name. */
export const modelIndex = "model.safetensors.index.json";

/** An array as a tensor of a file. A string tensor is one row of packed bytes. */
export function specOf(element: Element, shape: readonly number[], name: string, bytes?: number): TensorSpec {
  return { name, dtype: dtypes[element], shape: element === "string" ? [bytes ?? 0] : shape };
}

const ending = ".safetensors";

/**
 * The file of a component's tensors.
 *
 * For any name, the file is in the checkpoint's folder and collides with no other, also where the file system ignores case: the name is escaped as
 * in a URI, then every character but a-z, 0-9, `-` and `_` is written as `=` and two digits, as is the first one of a name that Windows reserves.
 * A long name ends in a digest.
 */
function fileName(component: string): string {
  const digits = (c: string): string => `=${c.charCodeAt(0).toString(16)}`;
  const safe = encodeURIComponent(component).replace(/[^a-z0-9_-]/g, digits);
  const digest = createHash("sha256").update(component).digest("hex").slice(0, 32);
  if (reserved.test(safe)) return `state/${digits(safe)}${safe.slice(1)}${ending}`;
  return `state/${safe.length <= 120 ? safe : `${safe.slice(0, 80)}=${digest}=`}${ending}`;
}

/** Names that Windows reserves, with any ending too (Microsoft, "Naming Files, Paths, and Namespaces"). */
const reserved = /^(aux|con|nul|prn|com\d|lpt\d)$/;

/** The name of one file of several. The dot of a state's shard cannot come from a component's name, where dots are escaped. */
export function shardName(whole: string, index: number, count: number): string {
  const [i, n] = [index + 1, count].map((number) => String(number).padStart(5, "0"));
  return `${whole.slice(0, -ending.length)}${whole === modelFile ? "-" : "."}${i}-of-${n}${ending}`;
}

/** Whether a file of this name can belong to a checkpoint of these components. */
export function isFileOf(components: readonly string[]): (name: string) => boolean {
  // 0.1.0 did not escape reserved names.
  const older = components.filter((name) => reserved.test(name)).map((name) => `state/${name}${ending}`);
  const wholes = new Set([modelFile, ...components.map(fileName), ...older]);
  return (name) => {
    if (wholes.has(name) || name === modelIndex) return true;
    const [, start = "", mark, i = "", n = ""] = /^(.*)([-.])(\d{5})-of-(\d{5})\.safetensors$/s.exec(name) ?? [];
    const whole = start + ending;
    return mark !== undefined && wholes.has(whole) && shardName(whole, Number(i) - 1, Number(n)) === name;
  };
}

/** Whether a file is one of several that hold the model's weights. */
export function isModelShard(name: string): boolean {
  return name !== modelFile && isFileOf([])(name) && name !== modelIndex;
}

// --- combinators

/** An array of a component that has no name in a file yet. */
type UnnamedArray = { readonly path: string; readonly array: ArrayNode; readonly frozen: boolean };

/** Appends every array of a tree, in its order. Frozen are those of variables that do not train, by their own flag or that of a layer or model. */
function collectArrays(node: Node, path: string, frozen: boolean, found: UnnamedArray[]): void {
  if (typeof node !== "object" || node === null) return;
  if (!isBranch(node)) return node.forEach((item, i) => collectArrays(item, `${path}/${i}`, frozen, found));
  switch (node.is) {
    case "array":
      return void found.push({ path, array: node, frozen });
    case "record":
      for (const [name, child] of node.entries) {
        if (typeof child === "object" && child !== null) {
          collectArrays(child, `${path}/${segment(name)}`, frozen, found);
        }
      }
      return;
    case "kind":
      return collectArrays(node.state, path, frozen || isFrozen(node.state), found);
    case "aside":
      return collectArrays(node.state, path, frozen, found);
    case "shared":
      return;
  }
}

function isFrozen(state: Node): boolean {
  if (entry(state, "trainable") === false) return true;
  const flags = entry(state, "flags");
  return flags !== undefined && flagNames.some((flag) => entry(flags, flag) === false);
}

/** Names the arrays of a component: the name that other tools know, or the array's path in the component. */
function nameArrays(component: string, node: Node): readonly NamedArray[] {
  const root = segment(component);
  const arrays: UnnamedArray[] = [];
  collectArrays(node, root, false, arrays);
  const given = new Set(["__metadata__"]);
  for (const { array: { name } } of arrays) if (name !== undefined) given.add(name);
  const [weights, stateFile] = [given.size > 1, fileName(component)];
  const taken = new Set(["__metadata__"]);
  return arrays.map(({ path, array, frozen }) => {
    const { name: givenName, held: { element, shape } } = array;
    const own = path === root ? root : path.slice(root.length + 1);
    let name = givenName ?? own;
    // A path does not take a name that another array was given.
    for (let k = 0; taken.has(name) || (givenName === undefined && given.has(name)); k++) {
      name = k === 0 ? own : `${own}~${k}`;
    }
    taken.add(name);
    const whole = component === "model" && (givenName !== undefined || !weights) ? modelFile : stateFile;
    return { spec: { name, dtype: dtypes[element], shape, whole, frozen }, node: array };
  });
}

/** Names the arrays of each component of a state, in the order of the components. */
export function nameTensors({ components }: Pick<Encoded, "components">): readonly ComponentArrays[] {
  return components.map(([component, node]) => ({ component, node, arrays: nameArrays(component, node) }));
}
