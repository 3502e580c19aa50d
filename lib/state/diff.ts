/**
 * The list of differences between two states.
 *
 * It reads bytes, so it is a task. What is saved aside is not compared. Plain data is compared by value; objects that train are compared by
 * what they share, too. First the two trees become pairs of nodes, then each pair is compared alone.
 *
 * @module
 */
import type { Task } from "fp-ts/lib/Task.js";
import { Buffer } from "node:buffer";
import type { Encoded } from "./capture.ts";
import {
  dereference,
  isBranch,
  isCase,
  isPlain,
  isScalar,
  join,
  kindOf,
  type Named,
  type Node,
  nodesByPath,
  stateEntries,
} from "./tree.ts";
import { elementBytes, elementValues, type Held } from "./array.ts";

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

/** The nodes that two states have at one path, references resolved. Undefined: that state has none. */
interface Pair {
  readonly path: string;
  readonly left: Node | undefined;
  readonly right: Node | undefined;
}

/** Objects that one state shares at a path, and the other one does not: a difference in itself. */
interface SharingPair extends Pair {
  /** The path at which each state has the same object first; undefined: here. */
  readonly firstLeft: string | undefined;
  readonly firstRight: string | undefined;
}

/** One path in both states: by names, and each node's own path, which differs from it below a reference. */
interface PairedPath {
  readonly path: string;
  readonly left: string;
  readonly right: string;
}

/** What has been paired, by its own path, so that nothing is compared twice. */
interface PairedBefore {
  /** The path by names of each object of the left state. */
  readonly left: Map<string, string>;
  readonly right: Map<string, string>;
  /** The pairs of plain data that were reached through a reference. */
  readonly plain: Set<string>;
}

/** Both states while they are paired. */
interface PairContext {
  readonly leftNodes: ReadonlyMap<string, Node>;
  readonly rightNodes: ReadonlyMap<string, Node>;
  readonly before: PairedBefore;
  /** The result: pairs that may differ. */
  readonly pairs: (Pair | SharingPair)[];
}

// --- constructors

/** Every pair of nodes that may differ, in the order of the left state; then what only the right one has. */
function pairsOf(left: Encoded, right: Encoded): readonly (Pair | SharingPair)[] {
  const context: PairContext = {
    leftNodes: nodesByPath(left.components),
    rightNodes: nodesByPath(right.components),
    before: { left: new Map(), right: new Map(), plain: new Set() },
    pairs: [],
  };
  pairEntries(context, left.components, right.components, { path: "", left: "", right: "" });
  return context.pairs;
}

function pairEntries(context: PairContext, left: readonly Named[], right: readonly Named[], at: PairedPath): void {
  const rest = new Map(stateEntries(right));
  for (const [name, node] of stateEntries(left)) {
    const other = rest.get(name);
    if (other === undefined) context.pairs.push({ path: join(at.path, name), left: node, right: undefined });
    else pairChildren(context, node, other, name, at);
    rest.delete(name);
  }
  for (const [name, node] of rest) context.pairs.push({ path: join(at.path, name), left: undefined, right: node });
}

function pairLists(context: PairContext, left: readonly Node[], right: readonly Node[], at: PairedPath): void {
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [a, b] = [left[i], right[i]];
    if (a !== undefined && b !== undefined) pairChildren(context, a, b, i, at);
    else context.pairs.push({ path: join(at.path, i), left: a, right: b });
  }
}

function pairChildren(context: PairContext, left: Node, right: Node, name: string | number, at: PairedPath): void {
  // Most scalars are equal: their paths are not made.
  if (isScalar(left) && Object.is(left, right)) return;
  pairNodes(context, left, right, {
    path: join(at.path, name),
    left: join(at.left, name),
    right: join(at.right, name),
  });
}

/** Pairs two nodes and what is in them, unless they were paired at an earlier path. */
function pairNodes(context: PairContext, givenLeft: Node, givenRight: Node, at: PairedPath): void {
  const { pairs, before } = context;
  const [a, left] = dereference(givenLeft, at.left, context.leftNodes);
  const [b, right] = dereference(givenRight, at.right, context.rightNodes);
  if (kindOf(a) === kindOf(b) && !isPlain(a) && isBranch(b)) {
    const [firstLeft, firstRight] = [before.left.get(left), before.right.get(right)];
    if (firstLeft !== firstRight) pairs.push({ path: at.path, left: a, right: b, firstLeft, firstRight });
    if (firstLeft !== undefined || firstRight !== undefined) return;
    before.left.set(left, at.path);
    before.right.set(right, at.path);
  } else if (isCase(givenLeft, "shared") || isCase(givenRight, "shared")) {
    const key = JSON.stringify([left, right]);
    if (before.plain.has(key)) return;
    before.plain.add(key);
  }
  pairContents(context, a, b, { path: at.path, left, right });
}

/** Pairs the children of two nodes of one kind. Nodes without children are a pair themselves. */
function pairContents(context: PairContext, a: Node, b: Node, at: PairedPath): void {
  if (Array.isArray(a) && Array.isArray(b)) return pairLists(context, a, b, at);
  if (isBranch(a) && isBranch(b)) {
    if (a.is === "record" && b.is === "record") return pairEntries(context, a.entries, b.entries, at);
    if (a.is === "kind" && b.is === "kind" && a.kind === b.kind) {
      const pairStates = isCase(a.state, "shared") || isCase(b.state, "shared") ? pairNodes : pairContents;
      return pairStates(context, a.state, b.state, at);
    }
  }
  context.pairs.push({ path: at.path, left: a, right: b });
}

// --- combinators

/**
 * Every place at which two states differ.
 *
 * @param left One state.
 * @param right Another.
 * @returns The differences, in the order of the left state; then what only the right one has. Arrays with the same identity are equal
 *   without being read.
 */
export function differences(left: Encoded, right: Encoded): Task<Differences> {
  return async () => {
    const found: Difference[] = [];
    for (const pair of pairsOf(left, right)) {
      const arrays = heldPair(pair);
      const difference = arrays === undefined ? compareNode(pair) : await compareArrays(pair.path, ...arrays);
      if (difference !== undefined) found.push(difference);
    }
    return found;
  };
}

/** How two nodes differ in themselves; undefined if they do not. */
function compareNode(pair: Pair | SharingPair): Difference | undefined {
  const { path, left, right } = pair;
  if (right === undefined) return left === undefined ? undefined : { path, kind: "missing", left: shownNode(left) };
  if (left === undefined) return { path, kind: "extra", right: shownNode(right) };
  if ("firstLeft" in pair) {
    const { firstLeft, firstRight } = pair;
    return { path, kind: "value", left: shownShare(left, firstLeft), right: shownShare(right, firstRight) };
  }
  if (kindOf(left) !== kindOf(right)) return { path, kind: "kind", left: shownNode(left), right: shownNode(right) };
  if (!isScalar(left) || Object.is(left, right)) return undefined;
  const numbers = typeof left === "number" && typeof right === "number";
  return { path, kind: "value", left, right, ...(numbers ? { count: 1, largest: Math.abs(left - right) } : {}) };
}

function shownNode(node: Node): unknown {
  return isScalar(node) ? node : kindOf(node);
}

function shownShare(node: Node, first: string | undefined): unknown {
  return first === undefined ? shownNode(node) : `shared with ${first}`;
}

/** The arrays of a pair that must be compared by their bytes. */
function heldPair(pair: Pair | SharingPair): readonly [Held, Held] | undefined {
  const { left, right } = pair;
  if (left === undefined || right === undefined || "firstLeft" in pair || kindOf(left) !== kindOf(right)) {
    return undefined;
  }
  return isCase(left, "array") && isCase(right, "array") ? [left.held, right.held] : undefined;
}

async function compareArrays(path: string, a: Held, b: Held): Promise<Difference | undefined> {
  if (a.element !== b.element) return { path, kind: "dtype", left: a.element, right: b.element };
  if (String(a.shape) !== String(b.shape)) return { path, kind: "shape", left: a.shape, right: b.shape };
  if (a.identity === b.identity) return undefined;
  const [x, y] = [await a.home.read(a), await b.home.read(b)];
  return Buffer.compare(x, y) === 0 ? undefined : compareElements(path, a, x, y);
}

/** How many elements differ and by how much. A complex element has two parts: it counts once, with the larger difference of its parts. */
function compareElements(path: string, held: Held, a: Uint8Array, b: Uint8Array): Difference {
  if (held.element === "string") return { path, kind: "value", count: 1 };
  const [left, right] = [elementValues(held, a), elementValues(held, b)];
  const partBytes = a.byteLength / left.length;
  const partsPerElement = elementBytes(held.element) / partBytes;
  let [count, largest, last] = [0, 0, -1];
  for (let i = 0; i < left.length; i++) {
    const [from, to] = [i * partBytes, (i + 1) * partBytes];
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
