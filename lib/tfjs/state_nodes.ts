/**
 * Readers of state nodes that may be missing or malformed: they answer with nothing in place of an error.
 *
 * @module
 */
import { entry, isBranch, type Named, type Node } from "../state/mod.ts";

// --- combinators

/** The items of a list node; none for other nodes. */
export function listItems(node: Node | undefined): readonly Node[] {
  return Array.isArray(node) ? node : [];
}

/** The entries of a record node; none for other nodes. */
export function recordEntries(node: Node | undefined): readonly Named[] {
  return node !== undefined && isBranch(node) && node.is === "record" ? node.entries : [];
}

/** A text among the entries of a record node; null if there is none. */
export function textIn(node: Node | undefined, name: string): string | null {
  const text = entry(node, name);
  return typeof text === "string" ? text : null;
}

/** The state in a kind node; other nodes as they are. */
export function stateIn<N extends Node | undefined>(node: N): N | Node {
  return node !== undefined && isBranch(node) && node.is === "kind" ? node.state : node;
}
