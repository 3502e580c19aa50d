/**
 * The two state trees of a partial restore, the saved and the live one, and lookups in them.
 *
 * @module
 */
import { type Encoded, entry, isCase, type Node, nodesByPath, outerPaths, unwrap } from "../mod.ts";

// --- types

/** Which of the two trees a part comes from. */
export type Side = "saved" | "live";

/** Captured components, and each of their nodes by its path. */
export interface Tree {
  readonly encoded: Encoded;
  readonly nodes: ReadonlyMap<string, Node>;
}

/** The saved and the live tree. */
export type Trees = Readonly<Record<Side, Tree>>;

/** A node and its path in its tree. */
export interface LocatedNode {
  readonly node: Node;
  readonly path: string;
}

// --- constructors

/** The tree of captured components. */
export function treeOf(encoded: Encoded): Tree {
  return { encoded, nodes: nodesByPath(encoded.components) };
}

// --- combinators

/** The node itself, or the one that a reference points to; without an `aside` wrapper. */
export function follow({ nodes }: Tree, node: Node): Node {
  const found = unwrap(node);
  return isCase(found, "shared") ? unwrap(nodes.get(found.path) ?? null) : found;
}

/** The state below a kind node, or the node itself. */
export function stateNode(node: Node): Node {
  return isCase(node, "kind") ? node.state : node;
}

/** The `name` that the user gave to a part, such as a layer's. */
export function userName(tree: Tree, node: Node): string | undefined {
  const name = entry(stateNode(follow(tree, node)), "name");
  return typeof name === "string" ? name : undefined;
}

/** Every path above some paths, with the root `""`. */
export function pathsAbove(paths: Iterable<string>): ReadonlySet<string> {
  return new Set(["", ...[...paths].flatMap(outerPaths)]);
}
