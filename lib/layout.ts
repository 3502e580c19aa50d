/**
 * Which file of a checkpoint holds which arrays.
 *
 * A component's tensors stand in one file, and the weights of the component `model` in a file that holds nothing else, so that other tools
 * take it as it is. Where a large part of a component does not change from save to save, a frozen base under a head that trains, it gets
 * a file of its own: later checkpoints take that file over as it is. The weights of the model then have the usual index beside them.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Encoded } from "./encode.ts";
import type { Dtype, TensorSpec } from "./safetensors.ts";
import { type ArrayNode, entry, isBranch, type Node, segment } from "./state_tree.ts";
import { type Element, elementBytes, type Held, sizeOf } from "./tensor.ts";

// --- types

/** An array and its place in a file. */
export interface PlacedArray extends TensorSpec {
  /** The file it would stand in were nothing split. */
  readonly whole: string;
  /** Its place in the state. */
  readonly node: ArrayNode;
  readonly held: Held;
  /** Whether it is of a variable that is not trained, and so may not change. */
  readonly frozen: boolean;
}

/** What is known of an array that was written: as long as these are the same, so are its bytes. */
export type Known = Pick<Held, "identity" | "element" | "shape">;

/** A file that this process has written, or taken over, in its last save. */
export interface KnownFile<Place> {
  /** Where it is. */
  readonly place: Place;
  /** Its arrays, by the names they have in it. */
  readonly arrays: ReadonlyMap<string, Known>;
}

/** The files of the last save, by the names they would have were they not split. */
export type Layout<Place> = ReadonlyMap<string, readonly KnownFile<Place>[]>;

/** A file to be. */
export interface FilePlan<Place> {
  readonly name: string;
  /** The name it would have were it not split. */
  readonly whole: string;
  readonly tensors: readonly PlacedArray[];
  /** A file with these very bytes. */
  readonly same?: Place;
}

const kibi = 2 ** 10;
/** What does not change is worth a file of its own from so many bytes on, and an array that may not change counts from so many on. */
const [worthBytes, largeBytes] = [1024 * kibi, 64 * kibi];
/** A component is split over no more files than these. */
const mostFiles = 16;
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

/**
 * The index of the model's files, as Hugging Face's tools write it: which file holds which weight.
 *
 * @param weights Each weight's name, file and length in bytes.
 */
export function encodeIndex(weights: readonly (readonly [name: string, file: string, bytes: number])[]): Uint8Array {
  const total = weights.reduce((sum, [, , bytes]) => sum + bytes, 0);
  // As text, for an object would reorder names that look like numbers.
  const map = weights.toSorted(([a], [b]) => a < b ? -1 : 1)
    .map(([name, file]) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`);
  const text = `{\n  "metadata": {\n    "total_size": ${total}\n  },\n  "weight_map": {\n${map.join(",\n")}\n  }\n}\n`;
  return new TextEncoder().encode(text);
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
    const { name: known, held } = array;
    const own = path === root ? root : path.slice(root.length + 1);
    let name = known ?? own;
    // Given names first, so that no path takes one.
    for (let k = 0; taken.has(name) || (known === undefined && given.has(name)); k++) {
      name = k === 0 ? own : `${own}~${k}`;
    }
    taken.add(name);
    const whole = component === "model" && (known !== undefined || !weights) ? modelFile : stateFile;
    return { name, dtype: dtypes[held.element], shape: held.shape, whole, node: array, held, frozen };
  });
}

function bytesOf(arrays: readonly PlacedArray[]): number {
  return arrays.reduce((sum, { held }) => sum + sizeOf(held.shape) * elementBytes(held.element), 0);
}

function isSame(known: Known | undefined, { held }: PlacedArray): boolean {
  // Bytes in memory are a copy that somebody may write to; a backend's data never changes.
  return known !== undefined && held.resident === undefined && known.identity === held.identity &&
    known.element === held.element && String(known.shape) === String(held.shape);
}

/** The files of one component: those of the last save that still hold, and one or two for the rest. */
function split<Place>(
  whole: string,
  arrays: readonly PlacedArray[],
  before: readonly KnownFile<Place>[],
): readonly FilePlan<Place>[] {
  const same = new Map<KnownFile<Place>, PlacedArray[]>(before.map((file) => [file, []]));
  const changed: PlacedArray[] = [];
  const frozen: PlacedArray[] = [];
  for (const array of arrays) {
    const file = before.find((file) => file.arrays.has(array.name));
    const still = file !== undefined && isSame(file.arrays.get(array.name), array) ? same.get(file) : undefined;
    // In a first save only what is said not to train is taken to stay as it is.
    const stays = before.length === 0 && array.frozen && bytesOf([array]) >= largeBytes ? frozen : still;
    (stays ?? changed).push(array);
  }
  // A small file costs nothing to write again, and does not share the fate of the one before.
  const holding = before.filter((file) => {
    const still = same.get(file) ?? [];
    return still.length === file.arrays.size && bytesOf(still) >= worthBytes;
  });
  // So many files are better made anew than added to.
  const kept = holding.length + 2 <= mostFiles ? holding : [];
  const still = [...frozen, ...before.flatMap((file) => kept.includes(file) ? [] : same.get(file) ?? [])];
  const apart = bytesOf(still) >= worthBytes && (before.length > 0 || arrays.some(({ frozen }) => !frozen));
  const groups = apart ? [still, changed] : [still.concat(changed)];
  const written = groups.filter((group) => group.length > 0);
  const count = kept.length + written.length;
  const name = (index: number): string => count === 1 ? whole : shardName(whole, index, count);
  return [
    ...kept.map((file, i) => ({ name: name(i), whole, tensors: same.get(file) ?? [], same: file.place })),
    ...written.map((tensors, i) => ({ name: name(kept.length + i), whole, tensors })),
  ];
}

/**
 * Which file holds which arrays.
 *
 * @param encoded The state.
 * @param before The files of the last save: one whose arrays are all unchanged is planned as the same.
 * @returns The files, in the order of the components; a component without arrays has none.
 */
export function filePlans<Place>(encoded: Encoded, before: Layout<Place> = new Map()): readonly FilePlan<Place>[] {
  return encoded.components.flatMap(([component, node]): readonly FilePlan<Place>[] => {
    const arrays = placed(component, node);
    const wholes = [...new Set(arrays.map(({ whole }) => whole))];
    return wholes.flatMap((whole) => {
      const own = wholes.length === 1 ? arrays : arrays.filter((array) => array.whole === whole);
      return split(whole, own, before.get(whole) ?? []);
    });
  });
}
