/**
 * What of a snapshot to restore, and what differently: wishes as data, checked at once, and the way from a name to the parts it stands for.
 *
 * @module
 */
import type { AnyKind } from "./component.ts";
import type { Encoded } from "./encode.ts";
import type { OptionNames } from "./option_names.ts";
import { demand, isPlainRecord, listOf, must, type Rule, shown } from "./rules.ts";
import { entry, isBranch, join, type Node, nodesByPath, segment, unwrap } from "./state_tree.ts";

// --- types

/**
 * What to restore differently from how it was saved. Each wish names parts: a component (`"model"`), a layer by the name you gave it
 * (`"model/head"`), a learning rate (`"optimizer/learningRate"`), or any path that an error names (`"model/layers/1/config/rate"`).
 * Whatever differs and is not asked for is an error, and so is a wish for what is not there. Layers, cells and items of lists that both sides
 * have must be in the same order, and layers called alike, whatever is added or left out between them. To put a new part in the place of one
 * of the same name elsewhere, `skip` the saved one and `keep` the live one.
 */
export interface Selection {
  /**
   * Live parts to restore; all others are kept as they are, whatever the snapshot has for them.
   * @default all
   */
  readonly only?: readonly string[];
  /**
   * Live parts to keep as they are, whatever the snapshot has for them; a live tensor is given back as a new one of the same value.
   * @default []
   */
  readonly keep?: readonly string[];
  /**
   * Parts of the snapshot to pass over, for which there is no live one.
   * @default []
   */
  readonly skip?: readonly string[];
  /**
   * Parts of the snapshot that go by another name now: the saved name, and the live one.
   * @default {}
   */
  readonly rename?: Readonly<Record<string, string>>;
  /**
   * Live parts whose tensors may be of another dtype than the saved ones: float32, int32 or bool, and only if every value stays the same.
   * @default []
   */
  readonly convert?: readonly string[];
}

/** The names of what to restore differently. */
export const selectionNames: OptionNames<Selection> = {
  only: true,
  keep: true,
  skip: true,
  rename: true,
  convert: true,
};

/** What became of the parts of a restore, by the paths that errors use. */
export interface Parts {
  /** Live parts that were restored, but for those below them that were kept. */
  readonly restored: readonly string[];
  /** Live parts that were kept as they were. */
  readonly kept: readonly string[];
  /** Parts of the snapshot that were passed over. */
  readonly skipped: readonly string[];
  readonly renamed: readonly { readonly from: string; readonly to: string }[];
  readonly converted: readonly { readonly path: string; readonly from: string; readonly to: string }[];
}

/** Which of two trees a part comes from: the snapshot's or the live one. */
export type Side = "saved" | "live";

/** Encoded components, and every node of theirs by its path. */
export interface Tree {
  readonly encoded: Encoded;
  readonly nodes: ReadonlyMap<string, Node>;
}

// --- constructors

const names: Rule = listOf(must(`the name of a part, such as "model"`, (u) => typeof u === "string" && u !== ""));
const lists = ["only", "keep", "skip", "convert"] as const;

function twice(found: readonly string[]): string | undefined {
  return found.find((name, i) => found.indexOf(name) !== i);
}

function refuseTwice(what: string, found: readonly string[]): void {
  const name = twice(found);
  if (name !== undefined) throw new TypeError(`Expected ${what}, found ${JSON.stringify(name)} twice`);
}

/**
 * Refuses wishes that make no sense, whatever the snapshot.
 *
 * @param selection The wishes.
 * @param live The live components.
 * @throws TypeError naming the wish.
 */
export function checkSelection(selection: Selection, live: object): void {
  const { rename = {}, only = [], keep = [], convert = [] } = selection;
  for (const list of lists) {
    if (selection[list] === undefined) continue;
    demand(`options.${list}`, names, selection[list]);
    refuseTwice(`each part once in options.${list}`, selection[list]);
  }
  if (!isPlainRecord(rename)) {
    throw new TypeError(`Expected options.rename to be a record of saved and live names, found ${shown(rename)}`);
  }
  const targets = Object.values(rename);
  demand("the live names in options.rename", names, targets);
  demand("the saved names in options.rename", names, Object.keys(rename));
  refuseTwice("live names in options.rename that differ", targets);
  refuseTwice("a part either restored or kept, in one of options.only, options.keep and options.rename", [
    ...only,
    ...keep,
    ...targets,
  ]);
  const components = new Set(Object.keys(live).map(segment));
  for (const name of [...only, ...keep, ...convert, ...targets]) {
    const component = name.split("/")[0] as string;
    if (components.has(component)) continue;
    throw new TypeError(
      `Expected ${JSON.stringify(name)} to name a live component or a part of one, found only ${
        [...components].join(", ")
      }`,
    );
  }
}

/** Whether anything is asked for. */
export function asks(selection: Selection): boolean {
  return selection.only !== undefined || selection.rename !== undefined ||
    [selection.keep, selection.skip, selection.convert].some((wishes) => wishes !== undefined && wishes.length > 0);
}

/** A tree to find parts in. */
export function treeOf(encoded: Encoded): Tree {
  return { encoded, nodes: nodesByPath(encoded.components) };
}

/** What became of the parts before anything was done. */
export const noParts: Parts = { restored: [], kept: [], skipped: [], renamed: [], converted: [] };

// --- combinators

/** A node that stands for itself: not a reference to one, nor set aside. */
export function follow({ nodes }: Tree, node: Node): Node {
  const found = unwrap(node);
  return isBranch(found) && found.is === "shared" ? unwrap(nodes.get(found.path) ?? null) : found;
}

/** The state of a component, or the node itself. */
export function stateOf(node: Node): Node {
  return isBranch(node) && node.is === "kind" ? node.state : node;
}

/** The name that a user gave to a part. */
export function nameOf(tree: Tree, node: Node): string | undefined {
  const name = entry(stateOf(follow(tree, node)), "name");
  return typeof name === "string" ? name : undefined;
}

/** The parts that a wish names: their paths, none if there is no such part, and whether it is the path of one and the name of another. */
export function parts(
  tree: Tree,
  kinds: readonly AnyKind[],
  wish: string,
): { readonly paths: readonly string[]; readonly ambiguous: boolean } {
  type Way = readonly [node: Node, path: string, named: boolean];
  const below = ([node, path, byName]: Way, step: string): readonly Way[] => {
    const place = isBranch(node) && node.is === "shared" ? node.path : path;
    const found = follow(tree, node);
    const inside = child(stateOf(found), step);
    const kind = isBranch(found) && found.is === "kind" ? kinds.find(({ name }) => name === found.kind) : undefined;
    const ways = kind?.parts?.named?.(stateOf(found), step, (part) => stateOf(follow(tree, part))) ?? [];
    const named = ways.flatMap((way): readonly Way[] => {
      const end = way.reduce<Node | undefined>((at, name) => at && child(at, String(name)), stateOf(found));
      return end === undefined ? [] : [[end, way.reduce<string>(join, place), true]];
    });
    return inside === undefined ? named : [[inside, `${place}/${step}`, byName], ...named];
  };
  const [component, ...steps] = wish.split("/");
  const start = tree.encoded.components.filter(([name]) => segment(name) === component)
    .map(([name, node]): Way => [node, segment(name), false]);
  const ends = steps.reduce((at, step) => at.flatMap((way) => below(way, step)), start);
  const ambiguous = ends.some(([, , named]) => named) && ends.some(([, , named]) => !named);
  return { paths: ends.map(([, path]) => path), ambiguous };
}

/** The child of a record or list by one step of a path. */
function child(node: Node, step: string): Node | undefined {
  if (Array.isArray(node)) return /^\d+$/.test(step) ? node[Number(step)] : undefined;
  return isBranch(node) && node.is === "record"
    ? node.entries.find(([name]) => segment(name) === step)?.[1]
    : undefined;
}
