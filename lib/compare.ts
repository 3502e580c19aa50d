/**
 * What a state is, as one digest, and where two states differ, as a list.
 *
 * Both read every byte, so they are tasks. What is carried aside is in neither; plain data is compared by value, so that it does not
 * matter whether one array stands at two places or two equal ones; objects that train are compared by what they share, too.
 *
 * @module
 */
import type { Task } from "fp-ts/lib/Task.js";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Encoded } from "./encode.ts";
import { isBranch, join, kindOf, type Named, type Node, nodesByPath, record } from "./state_tree.ts";
import { type Element, elementBytes, type Held, isDType, type TypedArrayName, typedView } from "./tensor.ts";

// --- types

/** One place at which two states differ. */
export interface Difference {
  /** `/`-separated names from the component down. */
  readonly path: string;
  /** `missing`: only the left state has it; `extra`: only the right one. */
  readonly kind: "missing" | "extra" | "kind" | "dtype" | "shape" | "value";
  readonly left?: unknown;
  readonly right?: unknown;
  /** How many elements differ, by bits. */
  readonly count?: number;
  /** The largest absolute difference of two elements; infinite where one is not a number. */
  readonly largest?: number;
}

/** All places at which two states differ; empty when they are equal, by bits. */
export type Differences = readonly Difference[];

/** One place in both states: the path under which each has the node itself, and the path by names. */
interface Site {
  readonly left: string;
  readonly right: string;
  readonly place: string;
}

// --- constructors

/** Whether a node is plain data, whose identity is not state. */
function isPlain(node: Node): boolean {
  if (!isBranch(node)) return true;
  return node.is === "record" || (node.is === "array" && !isDType(node.held.element));
}

/** The node that a reference stands for, and its own path; others are themselves. */
function resolve(node: Node, path: string, nodes: ReadonlyMap<string, Node>): readonly [Node, string] {
  if (!isBranch(node) || node.is !== "shared") return [node, path];
  const shared = nodes.get(node.path);
  return shared === undefined ? [node, path] : [shared, node.path];
}

/** Whether a node is a reference to another. */
function isReference(node: Node): boolean {
  return isBranch(node) && node.is === "shared";
}

/** Whether an entry is state, not carried aside. */
function isState([, node]: Named): boolean {
  return !isBranch(node) || node.is !== "aside";
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The exact text of a scalar. */
function scalarText(value: null | boolean | number | bigint | string): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  return JSON.stringify(value);
}

// --- capture and restore

/**
 * The digest of a state: SHA-256 over a canonical text of its tree, in which tensors stand by the SHA-256 of their bytes.
 *
 * Law *canonical*: the same state has the same digest in every runtime and process; the order of names in a record does not matter.
 *
 * @param encoded The state.
 * @returns 64 lower-case hexadecimal digits.
 */
export function digest(encoded: Encoded): Task<string> {
  return async () => {
    const nodes = nodesByPath(encoded.components);
    const texts = new Map<string, string>();
    const hashes = new Map<Element, Map<object, string>>();
    // Where the walk, which goes by names, met each object first: not where it was captured first.
    const places = new Map<string, string>();
    const heldText = async (held: Held): Promise<string> => {
      const known = hashes.get(held.element) ?? new Map<object, string>();
      hashes.set(held.element, known);
      const hash = known.get(held.identity) ?? sha256(await held.home.read(held));
      known.set(held.identity, hash);
      return `${held.element}[${held.shape}]${hash}`;
    };
    // Texts are cut to a digest, so that data which refers to itself often stays short.
    const bounded = (text: string): string => text.length <= 256 ? text : `#${sha256(text)}`;
    const text = async (given: Node, at: string, place: string): Promise<string> => {
      const [node, path] = resolve(given, at, nodes);
      if (typeof node !== "object" || node === null) return scalarText(node);
      const met = places.get(path);
      if (met === undefined) {
        places.set(path, place);
        return bounded(await branchText(node, path, place));
      }
      if (!isPlain(node)) return `=${JSON.stringify(met)}`;
      // Every object in it has been met by now, so that from here on its text is the same each time.
      const known = texts.get(path) ?? bounded(await branchText(node, path, place));
      texts.set(path, known);
      return known;
    };
    const branchText = async (
      node: Exclude<Node, null | boolean | number | bigint | string>,
      path: string,
      place: string,
    ): Promise<string> => {
      if (!isBranch(node)) {
        const parts: string[] = [];
        for (const [i, item] of node.entries()) {
          parts.push(
            typeof item === "object" && item !== null
              ? await text(item, join(path, i), join(place, i))
              : scalarText(item),
          );
        }
        return `[${parts.join()}]`;
      }
      switch (node.is) {
        case "record": {
          const parts: string[] = [];
          const sorted = node.entries.filter(isState)
            .toSorted(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
          for (const [name, child] of sorted) {
            parts.push(`${JSON.stringify(name)}:${await text(child, join(path, name), join(place, name))}`);
          }
          return `{${parts.join()}}`;
        }
        case "array":
          return await heldText(node.held);
        case "kind": {
          const { kind, state } = node;
          const inner = typeof state !== "object" || state === null || isReference(state)
            ? await text(state, path, place)
            : await branchText(state, path, place);
          return `${JSON.stringify(kind)}(${inner})`;
        }
        case "shared":
          return `=${JSON.stringify(node.path)}`;
        case "aside":
          return "";
      }
    };
    return sha256(`dogear/1 ${await branchText(record(encoded.components), "", "")}`);
  };
}

// --- combinators

/** The numbers that bytes of an array are: of a complex tensor both parts by turns, of strings the bytes. */
export function elements(held: Held, bytes: Uint8Array): ArrayLike<number | bigint> {
  const { element } = held;
  if (element === "float32" || element === "complex64") return typedView("Float32Array", bytes) as Float32Array;
  if (element === "int32") return typedView("Int32Array", bytes) as Int32Array;
  if (element === "bool" || element === "string") return bytes;
  return typedView(element as TypedArrayName, bytes) as ArrayLike<number | bigint>;
}

function compareBytes(path: string, held: Held, a: Uint8Array, b: Uint8Array): Difference {
  if (held.element === "string") return { path, kind: "value", count: 1 };
  const [left, right] = [elements(held, a), elements(held, b)];
  // A complex element has two parts: it is counted once, and the larger difference of its parts counts.
  const part = a.byteLength / left.length;
  const partsPerElement = elementBytes(held.element) / part;
  let [count, largest, last] = [0, 0, -1];
  for (let i = 0; i < left.length; i++) {
    const [from, to] = [i * part, (i + 1) * part];
    if (Buffer.compare(a.subarray(from, to), b.subarray(from, to)) === 0) continue;
    const element = Math.floor(i / partsPerElement);
    if (element !== last) count++;
    last = element;
    const [x, y] = [Number(left[i]), Number(right[i])];
    const distance = x === y ? 0 : Math.abs(x - y);
    largest = Math.max(largest, Number.isNaN(distance) ? Infinity : distance);
  }
  return { path, kind: "value", count, largest };
}

function shownNode(node: Node): unknown {
  return typeof node === "object" && node !== null ? kindOf(node) : node;
}

function shownShare(node: Node, place: string | undefined): unknown {
  return place === undefined ? shownNode(node) : `shared with ${place}`;
}

/**
 * Every place at which two states differ.
 *
 * @param left One state.
 * @param right Another.
 * @returns The differences, in the order of the left state; then what only the right one has. Tensors held from the same data are equal unread.
 */
export function differences(left: Encoded, right: Encoded): Task<Differences> {
  return async () => {
    const found: Difference[] = [];
    const [leftNodes, rightNodes] = [nodesByPath(left.components), nodesByPath(right.components)];
    // The place at which a pair of objects was compared, by the path of either.
    const [leftPlaces, rightPlaces] = [new Map<string, string>(), new Map<string, string>()];
    const compared = new Set<string>();
    const compareNamed = async (a: readonly Named[], b: readonly Named[], at: Site): Promise<void> => {
      const rest = new Map(b.filter(isState));
      for (const [name, node] of a.filter(isState)) {
        const other = rest.get(name);
        if (other === undefined && !rest.has(name)) {
          found.push({ path: join(at.place, name), kind: "missing", left: shownNode(node) });
        } else {
          const { left, right, place } = at;
          const below = { left: join(left, name), right: join(right, name), place: join(place, name) };
          await compare(node, other as Node, below);
        }
        rest.delete(name);
      }
      for (const [name, node] of rest) {
        found.push({ path: join(at.place, name), kind: "extra", right: shownNode(node) });
      }
    };
    const compareHeld = async (a: Held, b: Held, path: string): Promise<void> => {
      if (a.element !== b.element) found.push({ path, kind: "dtype", left: a.element, right: b.element });
      else if (String(a.shape) !== String(b.shape)) found.push({ path, kind: "shape", left: a.shape, right: b.shape });
      else if (a.identity !== b.identity) {
        const [x, y] = [await a.home.read(a), await b.home.read(b)];
        if (Buffer.compare(x, y) !== 0) found.push(compareBytes(path, a, x, y));
      }
    };
    const compare = async (givenLeft: Node, givenRight: Node, at: Site): Promise<void> => {
      const [a, left] = resolve(givenLeft, at.left, leftNodes);
      const [b, right] = resolve(givenRight, at.right, rightNodes);
      const { place } = at;
      if (kindOf(a) === kindOf(b) && isBranch(a) && isBranch(b) && !isPlain(a)) {
        const [leftPlace, rightPlace] = [leftPlaces.get(left), rightPlaces.get(right)];
        if (leftPlace !== rightPlace) {
          found.push({ path: place, kind: "value", left: shownShare(a, leftPlace), right: shownShare(b, rightPlace) });
        }
        if (leftPlace !== undefined || rightPlace !== undefined) return;
        leftPlaces.set(left, place);
        rightPlaces.set(right, place);
      } else if (isReference(givenLeft) || isReference(givenRight)) {
        const pair = JSON.stringify([left, right]);
        if (compared.has(pair)) return;
        compared.add(pair);
      }
      await compareNodes(a, b, { left, right, place });
    };
    const compareNodes = async (a: Node, b: Node, at: Site): Promise<void> => {
      const { place: path } = at;
      if (kindOf(a) !== kindOf(b)) {
        return void found.push({ path, kind: "kind", left: shownNode(a), right: shownNode(b) });
      }
      if (Array.isArray(a) && Array.isArray(b)) {
        const named = (items: readonly Node[]): Named[] => items.map((item, i) => [String(i), item]);
        return await compareNamed(named(a), named(b), at);
      }
      if (!isBranch(a) || !isBranch(b)) {
        if (Object.is(a, b)) return;
        const largest = typeof a === "number" && typeof b === "number" ? { count: 1, largest: Math.abs(a - b) } : {};
        return void found.push({ path, kind: "value", left: a, right: b, ...largest });
      }
      if (a.is === "record" && b.is === "record") await compareNamed(a.entries, b.entries, at);
      else if (a.is === "array" && b.is === "array") await compareHeld(a.held, b.held, path);
      else if (a.is === "kind" && b.is === "kind") {
        const inner = isReference(a.state) || isReference(b.state) ? compare : compareNodes;
        await inner(a.state, b.state, at);
      }
    };
    await compareNamed(left.components, right.components, { left: "", right: "", place: "" });
    return found;
  };
}
