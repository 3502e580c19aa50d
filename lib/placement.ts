/**
 * Which arrays a component has, and what they are called in files.
 *
 * A run saves a state of one form over and over: the values of its arrays change, and little else. What follows from the form alone is found
 * once, and taken over from save to save: with 20,000 tensors, finding it takes longer than writing 100 MiB.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Encoded } from "./encode.ts";
import type { Dtype, TensorSpec } from "./safetensors.ts";
import { type ArrayNode, entry, isBranch, type Node, segment } from "./state_tree.ts";
import type { Element, Held } from "./tensor.ts";

// --- types

/** What an array is called, and where it would stand; the same value as in the save before where its component has the same form. */
export interface ArraySpec extends TensorSpec {
  /** The file it would stand in were nothing split. */
  readonly whole: string;
  /** Whether it is of a variable that is not trained, and so may not change. */
  readonly frozen: boolean;
}

/** An array of a state under its name. */
export interface PlacedArray {
  readonly spec: ArraySpec;
  /** Its place in the state. */
  readonly node: ArrayNode;
}

/** A component and its arrays. */
export interface Placement {
  readonly component: string;
  readonly node: Node;
  readonly arrays: readonly PlacedArray[];
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

/** The file of the weights of the component `model`, which is all it holds if that is a tfjs model. */
export const modelFile = "model.safetensors";

/** The index of the model's files, where there are several; readers of Hugging Face's format expect it under this name. */
export const modelIndex = "model.safetensors.index.json";

/** How an array stands in a file; a string tensor is one row of packed bytes. */
export function specOf(element: Element, shape: readonly number[], name: string, bytes?: number): TensorSpec {
  return { name, dtype: dtypes[element], shape: element === "string" ? [bytes ?? 0] : shape };
}

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

const ending = ".safetensors";

/** The name of one file of several; in a state's no component's name could have the dot. */
export function shardName(whole: string, index: number, count: number): string {
  const [i, n] = [index + 1, count].map((number) => String(number).padStart(5, "0"));
  return `${whole.slice(0, -ending.length)}${whole === modelFile ? "-" : "."}${i}-of-${n}${ending}`;
}

/** Whether a checkpoint of these components may have a file of this name. */
export function isFileOf(components: readonly string[]): (name: string) => boolean {
  const wholes = new Set([modelFile, ...components.map(fileName)]);
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

/** An array of a component, before it has a name in a file. */
interface Unplaced {
  readonly path: string;
  readonly array: ArrayNode;
  readonly frozen: boolean;
}

/**
 * Every array of a tree in its order; frozen are those of variables that are not trained, by their own flag or by that of a layer or model
 * around them.
 */
function arraysIn(node: Node, path: string, frozen: boolean, found: Unplaced[]): void {
  if (typeof node !== "object" || node === null) return;
  if (!isBranch(node)) return node.forEach((item, i) => arraysIn(item, `${path}/${i}`, frozen, found));
  switch (node.is) {
    case "array":
      return void found.push({ path, array: node, frozen });
    case "record":
      for (const [name, child] of node.entries) {
        if (typeof child === "object" && child !== null) arraysIn(child, `${path}/${segment(name)}`, frozen, found);
      }
      return;
    case "kind":
      return arraysIn(node.state, path, frozen || isFrozen(node.state), found);
    case "aside":
      return arraysIn(node.state, path, frozen, found);
    case "shared":
      return;
  }
}

function isFrozen(state: Node): boolean {
  if (entry(state, "trainable") === false) return true;
  const flags = entry(state, "flags");
  return flags !== undefined && flagNames.some((flag) => entry(flags, flag) === false);
}

/** The arrays of a component under the names they have in files: those by which other tools know them, or their paths in the component. */
function placed(component: string, node: Node): readonly PlacedArray[] {
  const root = segment(component);
  const arrays: Unplaced[] = [];
  arraysIn(node, root, false, arrays);
  const given = new Set(["__metadata__"]);
  for (const { array: { name } } of arrays) if (name !== undefined) given.add(name);
  const [weights, stateFile] = [given.size > 1, fileName(component)];
  const taken = new Set(["__metadata__"]);
  return arrays.map(({ path, array, frozen }) => {
    const { name: known, held: { element, shape } } = array;
    const own = path === root ? root : path.slice(root.length + 1);
    let name = known ?? own;
    // Given names first, so that no path takes one.
    for (let k = 0; taken.has(name) || (known === undefined && given.has(name)); k++) {
      name = k === 0 ? own : `${own}~${k}`;
    }
    taken.add(name);
    const whole = component === "model" && (known !== undefined || !weights) ? modelFile : stateFile;
    return { spec: { name, dtype: dtypes[element], shape, whole, frozen }, node: array };
  });
}

/** Whether an array's length follows from its form, and its bytes are not kept in memory by whoever keeps it in mind. */
function isLasting({ element, resident }: Held): boolean {
  return resident === undefined && element !== "string";
}

/**
 * Whether two trees have one form: they differ in nothing but the bytes of their arrays.
 *
 * @param found Receives the arrays of the second tree, in its order.
 */
function isLike(a: Node, b: Node, found: ArrayNode[]): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  if (!isBranch(a) || !isBranch(b)) {
    return !isBranch(a) && !isBranch(b) && a.length === b.length && a.every((item, i) => isLike(item, b[i]!, found));
  }
  switch (a.is) {
    case "array": {
      if (b.is !== "array" || a.name !== b.name || a.held.element !== b.held.element) {
        return false;
      }
      found.push(b);
      const [mine, other] = [a.held.shape, b.held.shape];
      return mine.length === other.length && mine.every((size, i) => size === other[i]);
    }
    case "record":
      return b.is === "record" && a.entries.length === b.entries.length && a.entries.every(([name, child], i) => {
        const [other, node] = b.entries[i]!;
        return name === other && isLike(child, node, found);
      });
    case "kind":
      return b.is === "kind" && a.kind === b.kind && isLike(a.state, b.state, found);
    case "aside":
      return b.is === "aside" && isLike(a.state, b.state, found);
    case "shared":
      return b.is === "shared" && a.path === b.path;
  }
}

/**
 * The components of a state with their arrays.
 *
 * @param encoded The state.
 * @param before Those of the save before that {@link isKept} let be kept, by component.
 */
export function placements(
  { components }: Pick<Encoded, "components">,
  before: ReadonlyMap<string, { readonly placement: Placement }> = new Map(),
): readonly Placement[] {
  return components.map(([component, node]) => {
    const last = before.get(component)?.placement;
    const nodes: ArrayNode[] = [];
    return last !== undefined && isLike(last.node, node, nodes)
      ? { component, node, arrays: last.arrays.map(({ spec }, i) => ({ spec, node: nodes[i]! })) }
      : { component, node, arrays: placed(component, node) };
  });
}

/** A layer of tfjs takes a tenth of so many characters for each of its arrays; where there are more, they are of plain data. */
const mostText = 16 * 2 ** 10;

/**
 * Whether a component is kept in mind until the next save: it has arrays, none of them in memory, and little plain data beside them, for
 * that would be kept, too, as a tree and as text.
 *
 * @param text Its text in the manifest.
 */
export function isKept({ arrays }: Placement, text: string): boolean {
  return text.length <= mostText * arrays.length && arrays.every(({ node }) => isLasting(node.held));
}
