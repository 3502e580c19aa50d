/**
 * The digest of a state.
 *
 * It reads every byte, so it is a task. What is saved aside is not in it. Plain data counts by value, so one array at two paths and two equal
 * arrays have the same digest. Objects that train count by identity, too: a reference to one is in the digest.
 *
 * @module
 */
import type { Task } from "fp-ts/lib/Task.js";
import { createHash } from "node:crypto";
import type { Encoded } from "./capture.ts";
import {
  dereference,
  fold,
  isCase,
  isPlain,
  isScalar,
  join,
  type Node,
  nodesByPath,
  record,
  type Scalar,
  stateEntries,
} from "./tree.ts";
import type { Element, Held } from "./array.ts";

// --- types

/** One digest in progress. */
interface DigestContext {
  readonly nodes: ReadonlyMap<string, Node>;
  /**
   * For each object the path at which the digest met it first. The digest goes by sorted names, so this is not the path at which it was
   * captured first.
   */
  readonly firstPaths: Map<string, string>;
  /** The texts of plain data that was met twice. */
  readonly texts: Map<string, string>;
  /** The hashes of arrays by identity. */
  readonly hashes: Map<Element, Map<object, string>>;
}

/** A node's own path, and the path of names that led to it, which differs from it below a reference. */
interface DigestPoint {
  readonly context: DigestContext;
  readonly path: string;
  readonly reached: string;
}

/** A text, at once where no bytes are read. */
type Text = string | Promise<string>;

// --- constructors

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The exact text of a scalar. */
function scalarText(value: Scalar): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  return JSON.stringify(value);
}

/** Cuts a text to a digest, so that data that refers to itself often stays short. */
function bounded(text: string): string {
  return text.length <= 256 ? text : `#${sha256(text)}`;
}

// --- combinators

/**
 * The digest of a state: SHA-256 over a canonical text of its tree, in which an array is the SHA-256 of its bytes.
 *
 * Law *canonical*: the same state has the same digest in every runtime and process; the order of names in a record does not matter.
 *
 * @param encoded The state.
 * @returns 64 lower-case hexadecimal digits.
 */
export function stateId({ components }: Encoded): Task<string> {
  return async () => {
    const context: DigestContext = {
      nodes: nodesByPath(components),
      firstPaths: new Map(),
      texts: new Map(),
      hashes: new Map(),
    };
    return sha256(`dogear/1 ${await contentText(record(components), { context, path: "", reached: "" })}`);
  };
}

/** The text of a node, or of what a reference refers to. */
async function nodeText(given: Node, at: DigestPoint): Promise<string> {
  const { context, reached } = at;
  const { firstPaths, nodes, texts } = context;
  const [node, path] = dereference(given, at.path, nodes);
  if (isScalar(node)) return scalarText(node);
  const first = firstPaths.get(path);
  if (first === undefined) {
    firstPaths.set(path, reached);
    return bounded(await contentText(node, { context, path, reached }));
  }
  if (!isPlain(node)) return `=${JSON.stringify(first)}`;
  // Every object in it has been met by now, so its text is the same from here on.
  const text = texts.get(path) ?? bounded(await contentText(node, { context, path, reached }));
  texts.set(path, text);
  return text;
}

/** The texts of children, one after another: each may refer to an earlier one. Scalars need no path. */
async function childTexts(
  children: Iterable<readonly [name: string | number, child: Node]>,
  { context, path, reached }: DigestPoint,
): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const [name, child] of children) {
    if (isScalar(child)) texts.push(scalarText(child));
    else texts.push(await nodeText(child, { context, path: join(path, name), reached: join(reached, name) }));
  }
  return texts;
}

const contentText: (node: Node, at: DigestPoint) => Text = fold<Text, DigestPoint>({
  scalar: scalarText,
  list: async (items, at) => `[${(await childTexts(items.entries(), at)).join()}]`,
  record: async (entries, at) => {
    const sorted = stateEntries(entries).toSorted(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
    const texts = await childTexts(sorted, at);
    return `{${sorted.map(([name], i) => `${JSON.stringify(name)}:${texts[i]}`).join()}}`;
  },
  array: ({ held }, { context }) => arrayText(held, context),
  kind: async (kind, state, at) => {
    const inner = isCase(state, "shared") ? await nodeText(state, at) : await contentText(state, at);
    return `${JSON.stringify(kind)}(${inner})`;
  },
  shared: (path) => `=${JSON.stringify(path)}`,
  aside: () => "",
});

async function arrayText(held: Held, { hashes }: DigestContext): Promise<string> {
  const ofElement = hashes.get(held.element) ?? new Map<object, string>();
  hashes.set(held.element, ofElement);
  const hash = ofElement.get(held.identity) ?? sha256(await held.home.read(held));
  ofElement.set(held.identity, hash);
  return `${held.element}[${held.shape}]${hash}`;
}
