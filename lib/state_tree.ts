/**
 * What a component encodes to: a tree of exact scalars, arrays, named entries, held tensors and nested components.
 *
 * A tree describes itself: with the bytes of its held arrays it is all that a snapshot is, in memory and on disk.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type { Held, TypedArray } from "./tensor.ts";

// --- types

/** What the user's own codecs encode to and decode from. */
export type StateTree =
  | null
  | boolean
  | number
  | bigint
  | string
  | TypedArray
  | tf.Tensor
  | readonly StateTree[]
  | { readonly [name: string]: StateTree };

/** A named node of a record, in the record's own order. */
export type Named = readonly [name: string, node: Node];

/** One node of an encoded component; scalars and arrays stand for themselves. */
export type Node = null | boolean | number | bigint | string | readonly Node[] | Branch;

/** A node that needs more than a scalar to say what it is. */
export type Branch =
  /** Named entries; names are unique. */
  | { readonly is: "record"; readonly entries: readonly Named[] }
  /** A tensor or a typed array; the name it has in other tools' files, where it has one. */
  | { readonly is: "array"; readonly held: Held; readonly name?: string }
  /** A component of a kind that some codec knows, and its state. */
  | { readonly is: "kind"; readonly kind: string; readonly state: Node }
  /** The very object that stands at an earlier path of the same snapshot. */
  | { readonly is: "shared"; readonly path: string }
  /** Carried and given back, but not state: it is in no id and no difference. */
  | { readonly is: "aside"; readonly state: Node };

/** The deepest nesting a tree may have; deeper data is refused, not overflowed on. */
export const maxDepth = 1000;

// --- constructors

/** A record node. */
export function record(entries: readonly Named[]): Branch {
  return { is: "record", entries };
}

/** A node for something that is carried along without being state. */
export function aside(state: Node): Branch {
  return { is: "aside", state };
}

// --- combinators

/** Whether a node is a {@link Branch}. */
export function isBranch(node: Node): node is Branch {
  return typeof node === "object" && node !== null && !Array.isArray(node);
}

/** One step of a path as text that cannot be mistaken for two: `~` and `/` are escaped as in JSON Pointer (RFC 6901). */
export function segment(name: string): string {
  // Nearly every name; the rest of this takes ten times as long.
  if (/^[\w .:-]*$/.test(name)) return name;
  const escaped = name.replaceAll("~", "~0").replaceAll("/", "~1");
  return escaped.isWellFormed()
    ? escaped
    : escaped.replace(/\p{Surrogate}/gu, (unit) => `~u${unit.charCodeAt(0).toString(16)}`);
}

/** The path of a child. */
export function join(path: string, name: string | number): string {
  const step = typeof name === "number" ? String(name) : segment(name);
  return path === "" ? step : `${path}/${step}`;
}

/** The children of a node, each with its path; a kind and its state share one path. */
export function children(node: Node, path: string): readonly (readonly [string, Node])[] {
  if (Array.isArray(node)) return node.map((item: Node, i) => [join(path, i), item]);
  if (!isBranch(node)) return [];
  switch (node.is) {
    case "record":
      return node.entries.map(([name, child]) => [join(path, name), child]);
    case "kind":
    case "aside":
      return [[path, node.state]];
    case "array":
    case "shared":
      return [];
  }
}

/** The named entry of a record node, or undefined. */
export function entry(node: Node | undefined, name: string): Node | undefined {
  if (node === undefined || !isBranch(node) || node.is !== "record") return undefined;
  return node.entries.find(([n]) => n === name)?.[1];
}

/** A node without the wrapping of {@link aside}. */
export function unwrap(node: Node): Node {
  return isBranch(node) && node.is === "aside" ? unwrap(node.state) : node;
}

/** A node that is a tensor or a typed array. */
export type ArrayNode = Extract<Branch, { readonly is: "array" }>;

/** Every array of a tree with its path, in the tree's order. */
export function arraysOf(node: Node, path: string): readonly (readonly [string, ArrayNode])[] {
  const found: (readonly [string, ArrayNode])[] = [];
  const visit = (n: Node, at: string): void => {
    if (isBranch(n) && n.is === "array") found.push([at, n]);
    for (const [childPath, child] of children(n, at)) {
      if (typeof child === "object" && child !== null) visit(child, childPath);
    }
  };
  visit(node, path);
  return found;
}

/** Every node of named trees that is more than a scalar by its path, the outermost where several share one. */
export function nodesByPath(components: readonly Named[]): ReadonlyMap<string, Node> {
  const nodes = new Map<string, Node>();
  const visit = (node: Node, path: string): void => {
    if (!nodes.has(path)) nodes.set(path, node);
    for (const [childPath, child] of children(node, path)) {
      if (typeof child === "object" && child !== null) visit(child, childPath);
    }
  };
  for (const [name, node] of components) visit(node, segment(name));
  return nodes;
}

/** Whether a tree holds anything but plain data. */
export function holdsComponents(node: Node): boolean {
  if (Array.isArray(node)) return node.some(holdsComponents);
  if (!isBranch(node)) return false;
  switch (node.is) {
    case "record":
      return node.entries.some(([, child]) => holdsComponents(child));
    case "array":
      return !node.held.element.endsWith("Array");
    default:
      return true;
  }
}

/** A word for what a node is, for messages and for comparing kinds. */
export function kindOf(node: Node): string {
  if (node === null) return "null";
  if (Array.isArray(node)) return "array";
  if (!isBranch(node)) return typeof node;
  switch (node.is) {
    case "kind":
      return node.kind;
    case "array":
      return node.held.element.endsWith("Array") ? node.held.element : "Tensor";
    case "aside":
      return kindOf(node.state);
    case "record":
    case "shared":
      return node.is;
  }
}
