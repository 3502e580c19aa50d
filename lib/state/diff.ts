/**
 * The list of differences between two states.
 *
 * It reads bytes, so it is a task. What is saved aside is not compared. Plain data is compared by value; objects that train are compared by
 * what they share, too. One walk over both trees finds every difference but those of arrays, whose bytes are read afterwards.
 *
 * @module
 */
import type { Lazy } from "fp-ts/lib/function.js";
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
  /** The value on the left, if it is a plain one. */
  readonly left?: unknown;
  /** The value on the right, if it is a plain one. */
  readonly right?: unknown;
  /** How many elements differ, by bits. */
  readonly count?: number;
  /** The largest absolute difference of two elements; infinite where one is not a number. */
  readonly largest?: number;
}

/** All places at which two states differ; empty when they are equal, by bits. */
export type Differences = readonly Difference[];

/** One path in both states: by names, and each node's own path, which differs from it below a reference. */
interface PairedPath {
  readonly path: string;
  readonly left: string;
  readonly right: string;
}

/** Two states while they are compared. */
interface Comparison {
  readonly leftNodes: ReadonlyMap<string, Node>;
  readonly rightNodes: ReadonlyMap<string, Node>;
  /** For the own path of each object of the left state that was compared, its path by names. */
  readonly leftPaths: Map<string, string>;
  readonly rightPaths: Map<string, string>;
  /** The pairs of plain data that were reached through a reference, so that none is compared twice. */
  readonly plain: Set<string>;
  /** The differences, and comparisons of arrays, which read bytes. */
  readonly found: (Difference | Lazy<Promise<Difference | undefined>>)[];
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
    const comparison: Comparison = {
      leftNodes: nodesByPath(left.components),
      rightNodes: nodesByPath(right.components),
      leftPaths: new Map(),
      rightPaths: new Map(),
      plain: new Set(),
      found: [],
    };
    compareEntries(comparison, left.components, right.components, { path: "", left: "", right: "" });
    const differences: Difference[] = [];
    for (const found of comparison.found) {
      const difference = typeof found === "function" ? await found() : found;
      if (difference !== undefined) differences.push(difference);
    }
    return differences;
  };
}

function compareEntries(context: Comparison, left: readonly Named[], right: readonly Named[], at: PairedPath): void {
  const rest = new Map(stateEntries(right));
  for (const [name, node] of stateEntries(left)) {
    compareChildren(context, node, rest.get(name), name, at);
    rest.delete(name);
  }
  for (const [name, node] of rest) compareChildren(context, undefined, node, name, at);
}

function compareChildren(
  context: Comparison,
  left: Node | undefined,
  right: Node | undefined,
  name: string | number,
  at: PairedPath,
): void {
  // Most scalars are equal: their paths are not made.
  if (left !== undefined && isScalar(left) && Object.is(left, right)) return;
  const path = join(at.path, name);
  if (right === undefined) context.found.push({ path, kind: "missing", left: shownNode(left as Node) });
  else if (left === undefined) context.found.push({ path, kind: "extra", right: shownNode(right) });
  else compareNodes(context, left, right, { path, left: join(at.left, name), right: join(at.right, name) });
}

/** Compares two nodes and what is in them, unless they were compared at an earlier path. */
function compareNodes(context: Comparison, givenLeft: Node, givenRight: Node, { path, ...own }: PairedPath): void {
  const { found, leftPaths, rightPaths, plain } = context;
  const [a, left] = dereference(givenLeft, own.left, context.leftNodes);
  const [b, right] = dereference(givenRight, own.right, context.rightNodes);
  if (kindOf(a) === kindOf(b) && !isPlain(a) && isBranch(b)) {
    const [firstLeft, firstRight] = [leftPaths.get(left), rightPaths.get(right)];
    if (firstLeft !== firstRight) {
      found.push({ path, kind: "value", left: shownShare(a, firstLeft), right: shownShare(b, firstRight) });
    }
    if (firstLeft !== undefined || firstRight !== undefined) return;
    leftPaths.set(left, path);
    rightPaths.set(right, path);
  } else if (isCase(givenLeft, "shared") || isCase(givenRight, "shared")) {
    const key = JSON.stringify([left, right]);
    if (plain.has(key)) return;
    plain.add(key);
  }
  compareContents(context, a, b, { path, left, right });
}

function compareContents(context: Comparison, a: Node, b: Node, at: PairedPath): void {
  const { found } = context;
  const { path } = at;
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let i = 0; i < Math.max(a.length, b.length); i++) compareChildren(context, a[i], b[i], i, at);
  } else if (isCase(a, "record") && isCase(b, "record")) {
    compareEntries(context, a.entries, b.entries, at);
  } else if (isCase(a, "kind") && isCase(b, "kind") && a.kind === b.kind) {
    const compareStates = isCase(a.state, "shared") || isCase(b.state, "shared") ? compareNodes : compareContents;
    compareStates(context, a.state, b.state, at);
  } else if (kindOf(a) !== kindOf(b)) {
    found.push({ path, kind: "kind", left: shownNode(a), right: shownNode(b) });
  } else if (isCase(a, "array") && isCase(b, "array")) {
    found.push(() => compareArrays(path, a.held, b.held));
  } else if (isScalar(a) && !Object.is(a, b)) {
    const numbers = typeof a === "number" && typeof b === "number";
    found.push({ path, kind: "value", left: a, right: b, ...(numbers && { count: 1, largest: Math.abs(a - b) }) });
  }
}

function shownNode(node: Node): unknown {
  return isScalar(node) ? node : kindOf(node);
}

function shownShare(node: Node, first: string | undefined): unknown {
  return first === undefined ? shownNode(node) : `shared with ${first}`;
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
