/**
 * Matches the items of a saved list with those of the live one, and compares their order.
 *
 * @module
 */
import { type Resolved, sideAt } from "./resolve.ts";
import { follow, type LocatedNode, type Side, stateNode, type Tree, type Trees, userName } from "./trees.ts";
import { entry, join, type Node } from "../mod.ts";

// --- types

/** An item of a list, with the name that the user gave to it. */
interface ListItem extends LocatedNode {
  readonly name: string | undefined;
  readonly position: number;
}

/** Positions of saved items that exist on both sides, and their live positions. */
export type Positions = ReadonlyMap<number, number>;

/** A saved list matched with a live one. */
export interface MatchedLists {
  /** The live items in their order, each with its saved counterpart if it has one. */
  readonly items: readonly { readonly saved: LocatedNode | undefined; readonly live: LocatedNode }[];
  /** Saved items without a live counterpart. */
  readonly left: readonly LocatedNode[];
  /** The items on both sides; undefined if nothing of the list is restored. */
  readonly positions: Positions | undefined;
  /** Whether parts of unnamed items are restored that are built like the saved ones, but in another order. */
  readonly isReordered: boolean;
}

/** Saved items by the positions of their live counterparts. */
type Pairs = ReadonlyMap<number, ListItem>;

// --- constructors

/** The items of a list node. */
function itemsOf(tree: Tree, list: LocatedNode | undefined): readonly ListItem[] {
  return (list !== undefined && Array.isArray(list.node) ? list.node : []).map((node: Node, position) => {
    return { node, path: join(list?.path ?? "", position), name: userName(tree, node), position };
  });
}

/** Pairs items: by `rename`, then by the names that the user gave, then unnamed items in their order. */
function pairItems(side: Side, saved: readonly ListItem[], live: readonly ListItem[], options: Resolved): Pairs {
  const pairs = new Map<number, ListItem>();
  const rest = new Set(saved.filter(({ path }) => !options.taken.has(path)));
  const pair = (position: number, item: ListItem | undefined): void => {
    if (item === undefined) return;
    rest.delete(item);
    pairs.set(position, item);
  };
  for (const item of saved) {
    const to = live.find(({ path }) => options.origins.get(path) === item.path);
    if (to !== undefined) pairs.set(to.position, item);
  }
  const open = (): readonly ListItem[] =>
    live.filter(({ path, position }) => !pairs.has(position) && !options.origins.has(path));
  for (const { position, name } of open()) {
    if (name !== undefined) pair(position, [...rest].find((item) => item.name === name));
  }
  const unnamed = (items: Iterable<ListItem>): readonly ListItem[] =>
    [...items].filter(({ name }) => name === undefined);
  const isKept = ({ path }: ListItem): boolean => options.sides.get(path) === "live";
  const [before, now] = [unnamed(rest), unnamed(open())];
  // If the live list is longer, its kept items are those that were added.
  const partners = before.length === now.length ? now : now.filter((item) => !isKept(item));
  if (partners.length === before.length || side === "saved") {
    partners.forEach(({ position }, i) => pair(position, before[i]));
  }
  return pairs;
}

/** The positions of items on both sides. Where only a few items are restored, an unnamed kept item counts as one of the live side alone. */
function positionsOf(side: Side, list: string, pairs: Pairs, options: Resolved): Positions | undefined {
  const isRestored = (position: number): boolean => {
    const path = join(list, position);
    return sideAt(options, path, side) === "saved" || options.aboveRestored.has(path);
  };
  if (![...pairs.keys()].some(isRestored)) return undefined;
  const both = [...pairs].filter(([i, { name }]) =>
    side === "saved" || isRestored(i) || name !== undefined || options.origins.has(join(list, i))
  );
  return new Map(both.map(([live, { position }]) => [position, live]));
}

/** A component's class and configuration as text. */
function configurationText(tree: Tree, node: Node): string {
  const state = stateNode(follow(tree, node));
  // A configuration may hold bigints, and typed arrays, whose `home` is no data.
  const plain = (name: string, value: unknown): unknown =>
    typeof value === "bigint" ? String(value) : name === "home" ? undefined : value;
  return JSON.stringify([entry(state, "class") ?? null, entry(state, "config") ?? null], plain);
}

/** Whether the unnamed items of a list are built like their saved counterparts, but in another order. */
function isReordered(trees: Trees, pairs: Pairs, live: readonly ListItem[]): boolean {
  const both = live.filter(({ name, position }) => name === undefined && pairs.has(position));
  return isPermutation(
    both.map(({ position }) => configurationText(trees.saved, pairs.get(position)!.node)),
    both.map(({ node }) => configurationText(trees.live, node)),
  );
}

// --- combinators

/**
 * Matches a saved list with a live one.
 *
 * @param trees The saved and the live tree.
 * @param options The resolved options.
 * @param side The side that items are taken from, unless an option names them.
 * @param saved The saved list; undefined if it has none.
 * @param live The live list.
 */
export function matchLists(
  trees: Trees,
  options: Resolved,
  side: Side,
  saved: LocatedNode | undefined,
  live: LocatedNode,
): MatchedLists {
  const [before, now] = [itemsOf(trees.saved, saved), itemsOf(trees.live, live)];
  const pairs = pairItems(side, before, now, options);
  const paired = new Set(pairs.values());
  const positions = positionsOf(side, live.path, pairs, options);
  return {
    items: now.map((item) => ({ saved: pairs.get(item.position), live: item })),
    left: before.filter((item) => !paired.has(item) && !options.taken.has(item.path)),
    positions,
    isReordered: side === "live" && positions !== undefined && isReordered(trees, pairs, now),
  };
}

/** Whether two lists have the same texts in different orders. */
export function isPermutation(a: readonly string[], b: readonly string[]): boolean {
  return String(a) !== String(b) && String(a.toSorted()) === String(b.toSorted());
}

/** Whether items on both sides are in the same order. */
export function keepsOrder(positions: Positions): boolean {
  const moves = [...positions].sort(([a], [b]) => a - b);
  return moves.every(([, to], i) => i === 0 || to > (moves[i - 1]?.[1] ?? -1));
}
