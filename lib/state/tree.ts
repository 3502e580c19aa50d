/**
 * State trees: what a component is captured as.
 *
 * A tree holds exact scalars, lists, named entries, held arrays and nested components. It describes itself: together with the bytes of its
 * arrays it is the whole snapshot, in memory and on disk. {@link fold} is the case analysis of a node.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { type Held, isDType, type TypedArray } from "./array.ts";

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

/** A scalar, which is its own node. */
export type Scalar = null | boolean | number | bigint | string;

/** A named node of a record, in the record's own order. */
export type Named = readonly [name: string, node: Node];

/** One node of a state tree. A JavaScript array is the node of a list. */
export type Node = Scalar | readonly Node[] | Branch;

/** A tensor or a typed array; `name` is its name in the files that other tools read, if it has one. */
export interface ArrayNode {
  readonly is: "array";
  readonly held: Held;
  readonly name?: string;
}

/** A node that is neither a scalar nor a list. */
export type Branch =
  /** Named entries; names are unique. */
  | { readonly is: "record"; readonly entries: readonly Named[] }
  | ArrayNode
  /** A component: the name of its kind, and its state. */
  | { readonly is: "kind"; readonly kind: string; readonly state: Node }
  /** A reference to the same object at an earlier path of the snapshot. */
  | { readonly is: "shared"; readonly path: string }
  /** Saved and restored, but not state: it is in no id and no difference. */
  | { readonly is: "aside"; readonly state: Node };

/** One function per case of a {@link Node}; each receives the argument that was passed along with the node. */
interface NodeCases<A, At = void> {
  readonly scalar: (value: Scalar, at: At) => A;
  readonly list: (items: readonly Node[], at: At) => A;
  readonly record: (entries: readonly Named[], at: At) => A;
  readonly array: (array: ArrayNode, at: At) => A;
  readonly kind: (kind: string, state: Node, at: At) => A;
  readonly shared: (path: string, at: At) => A;
  readonly aside: (state: Node, at: At) => A;
}

/** The deepest nesting of a tree. Deeper data is rejected before it overflows the call stack. */
export const maxDepth = 1000;

// --- constructors

/** A record node. */
export function record(entries: readonly Named[]): Extract<Branch, { readonly is: "record" }> {
  return { is: "record", entries };
}

/** A node for what is saved and restored without being state. */
export function aside(state: Node): Branch {
  return { is: "aside", state };
}

// --- combinators

/** Whether a node is a {@link Branch}. */
export function isBranch(node: Node): node is Branch {
  return typeof node === "object" && node !== null && !Array.isArray(node);
}

/** Whether a node is of one case of {@link Branch}; undefined is of none. */
export function isCase<Is extends Branch["is"]>(
  node: Node | undefined,
  is: Is,
): node is Extract<Branch, { readonly is: Is }> {
  return node !== undefined && isBranch(node) && node.is === is;
}

/** Whether a node is a scalar. */
export function isScalar(node: Node): node is Scalar {
  return typeof node !== "object" || node === null;
}

/**
 * Case analysis of a node. It does not recurse: a traversal calls itself in the cases that have children.
 *
 * @param cases One function per case. Define them once, outside the traversal, and pass what differs per node as `at`.
 */
export function fold<A, At = void>(cases: NodeCases<A, At>): (node: Node, at: At) => A {
  return (node, at) => {
    if (isScalar(node)) return cases.scalar(node, at);
    if (!isBranch(node)) return cases.list(node, at);
    switch (node.is) {
      case "record":
        return cases.record(node.entries, at);
      case "array":
        return cases.array(node, at);
      case "kind":
        return cases.kind(node.kind, node.state, at);
      case "shared":
        return cases.shared(node.path, at);
      case "aside":
        return cases.aside(node.state, at);
    }
  };
}

/**
 * One segment of a path as unambiguous text: `~` and `/` are escaped as in JSON Pointer (RFC 6901), lone surrogates as `~ud800`.
 */
export function segment(name: string): string {
  // The fast path for nearly every name: the escaping below takes ten times as long.
  if (/^[\w .:-]*$/.test(name)) return name;
  const escaped = name.replaceAll("~", "~0").replaceAll("/", "~1");
  return escaped.isWellFormed()
    ? escaped
    : escaped.replace(/\p{Surrogate}/gu, (unit) => `~u${unit.charCodeAt(0).toString(16)}`);
}

/** The path of a child. */
export function join(path: string, name: string | number): string {
  const last = typeof name === "number" ? String(name) : segment(name);
  return path === "" ? last : `${path}/${last}`;
}

/** Whether a path is another one or below it. */
export function isWithin(path: string, outer: string): boolean {
  return path === outer || path.startsWith(`${outer}/`);
}

/** The paths above a path, from the nearest up; without the root. */
export function outerPaths(path: string): readonly string[] {
  const end = path.lastIndexOf("/");
  return end < 0 ? [] : [path.slice(0, end), ...outerPaths(path.slice(0, end))];
}

/** The children of a node, each with its path. A kind and its state have the same path. */
export const children: (node: Node, path: string) => readonly (readonly [path: string, child: Node])[] = fold({
  scalar: () => [],
  list: (items, path) => items.map((item, i) => [join(path, i), item] as const),
  record: (entries, path) => entries.map(([name, child]) => [join(path, name), child] as const),
  array: () => [],
  kind: (_, state, path: string) => [[path, state] as const],
  shared: () => [],
  aside: (state, path) => [[path, state] as const],
});

/** The named entry of a record node, or undefined. */
export function entry(node: Node | undefined, name: string): Node | undefined {
  return isCase(node, "record") ? node.entries.find(([n]) => n === name)?.[1] : undefined;
}

/** A node without the wrapping of {@link aside}. */
export function unwrap(node: Node): Node {
  return isCase(node, "aside") ? unwrap(node.state) : node;
}

interface Visit {
  readonly path: string;
  readonly visit: (node: Node, path: string) => void;
}

/** Visits a node and every descendant that is not a scalar, parents first, in the tree's order. */
function visitNodes(node: Node, path: string, visit: (node: Node, path: string) => void): void {
  visit(node, path);
  visitChildren(node, { path, visit });
}

// Scalars are skipped before their paths are made: a list may have a million of them.
const visitChildren: (node: Node, at: Visit) => void = fold({
  scalar: () => {},
  list: (items, { path, visit }) =>
    items.forEach((item, i) => {
      if (!isScalar(item)) visitNodes(item, join(path, i), visit);
    }),
  record: (entries, { path, visit }) => {
    for (const [name, child] of entries) if (!isScalar(child)) visitNodes(child, join(path, name), visit);
  },
  array: () => {},
  kind: (_, state, { path, visit }: Visit) => isScalar(state) || visitNodes(state, path, visit),
  shared: () => {},
  aside: (state, { path, visit }) => isScalar(state) || visitNodes(state, path, visit),
});

/** Every array of a tree with its path, in the tree's order. */
export function arraysOf(node: Node, path: string): readonly (readonly [string, ArrayNode])[] {
  const found: (readonly [string, ArrayNode])[] = [];
  visitNodes(node, path, (n, at) => {
    if (isCase(n, "array")) found.push([at, n]);
  });
  return found;
}

/** The nodes of named trees by path, without scalars. A kind and its state have the same path: the kind is the one listed. */
export function nodesByPath(components: readonly Named[]): ReadonlyMap<string, Node> {
  const nodes = new Map<string, Node>();
  for (const [name, component] of components) {
    visitNodes(component, segment(name), (node, path) => {
      if (!nodes.has(path)) nodes.set(path, node);
    });
  }
  return nodes;
}

/** The node that a reference refers to, with its path; any other node is itself. */
export function dereference(node: Node, path: string, nodes: ReadonlyMap<string, Node>): readonly [Node, string] {
  if (!isCase(node, "shared")) return [node, path];
  const shared = nodes.get(node.path);
  return shared === undefined ? [node, path] : [shared, node.path];
}

/** Whether a node is plain data, whose identity is not state: two equal values are the same state as one value twice. */
export function isPlain(node: Node): boolean {
  if (!isBranch(node)) return true;
  return node.is === "record" || (node.is === "array" && !isDType(node.held.element));
}

/** The entries of a record that are state, without those that are saved {@link aside}. */
export function stateEntries(entries: readonly Named[]): readonly Named[] {
  return entries.filter(([, node]) => !isCase(node, "aside"));
}

/** A word for what a node is, for messages and for comparing kinds: the name of its kind, or of its sort of plain data. */
export const kindOf: (node: Node) => string = fold({
  scalar: (value) => value === null ? "null" : typeof value,
  list: () => "array",
  record: () => "record",
  array: ({ held: { element } }) => element.endsWith("Array") ? element : "Tensor",
  kind: (kind) => kind,
  shared: () => "shared",
  aside: (state): string => kindOf(state),
});

/** Whether a tree holds anything but plain data. */
export const holdsComponents: (node: Node) => boolean = fold({
  scalar: () => false,
  list: (items) => items.some((item) => holdsComponents(item)),
  record: (entries) => entries.some(([, child]) => holdsComponents(child)),
  array: ({ held }) => isDType(held.element),
  kind: () => true,
  shared: () => true,
  aside: () => true,
});
