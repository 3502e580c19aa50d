/**
 * Which saved item of a list belongs to which live one, and whether those that both sides have are in one order.
 *
 * @module
 */
import { follow, type Side, stateOf, type Tree } from "./selection.ts";
import { entry, join, type Node } from "./state_tree.ts";

// --- types

/** A node and its path in its tree. */
export interface Place {
  readonly node: Node;
  readonly path: string;
}

/** The options of a partial restore as paths. */
export interface Wishes {
  /** Live places at which it is decided anew which side is taken. */
  readonly modes: ReadonlyMap<string, Side>;
  /** For a live place, the saved one that is to go there. */
  readonly pairs: ReadonlyMap<string, string>;
  /** Saved places that go nowhere, or elsewhere. */
  readonly taken: ReadonlySet<string>;
  /** Live places whose own name is kept because another was given to them. */
  readonly named: ReadonlySet<string>;
  readonly converts: readonly string[];
}

/** An item of a list. */
export interface Item extends Place {
  readonly name: string | undefined;
  readonly position: number;
}

/** The items of a list that belong together. */
export interface Matches {
  /** Saved items by the positions of the live ones. */
  readonly pairs: ReadonlyMap<number, Item>;
  /** Saved items that belong to none. */
  readonly left: readonly Item[];
}

// --- constructors

/** Every path above some paths. */
export function above(paths: Iterable<string>): ReadonlySet<string> {
  const found = new Set<string>([""]);
  for (const path of paths) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) found.add(path.slice(0, end));
  }
  return found;
}

/** Which side is taken at a live place below one at which `outer` is. */
export function modeAt({ modes, named }: Wishes, path: string, outer: Side): Side {
  return named.has(path) ? "live" : modes.get(path) ?? outer;
}

// --- combinators

/** Which saved item of a list belongs to which live one: by rename, by the names the user gave, and the others in their order. */
export function match(mode: Side, saved: readonly Item[], live: readonly Item[], wishes: Wishes): Matches {
  const pairs = new Map<number, Item>();
  const rest = new Set(saved.filter(({ path }) => !wishes.taken.has(path)));
  const give = (position: number, item: Item | undefined): void => {
    if (item === undefined) return;
    rest.delete(item);
    pairs.set(position, item);
  };
  for (const item of saved) {
    const to = live.find(({ path }) => wishes.pairs.get(path) === item.path);
    if (to !== undefined) pairs.set(to.position, item);
  }
  const open = (): readonly Item[] =>
    live.filter(({ path, position }) => !pairs.has(position) && !wishes.pairs.has(path));
  for (const { position, name } of open()) {
    if (name !== undefined) give(position, [...rest].find((item) => item.name === name));
  }
  const unnamed = (items: Iterable<Item>): readonly Item[] => [...items].filter(({ name }) => name === undefined);
  const isKept = ({ path }: Item): boolean => wishes.modes.get(path) === "live";
  const [before, now] = [unnamed(rest), unnamed(open())];
  // If there are more now, a live one that is kept is one that was added.
  const partners = before.length === now.length ? now : now.filter((item) => !isKept(item));
  if (partners.length === before.length || mode === "saved") {
    partners.forEach(({ position }, i) => give(position, before[i]));
  }
  return { pairs, left: [...rest] };
}

/**
 * The live position of each saved item of a list that both sides have, or undefined where nothing of the list is restored.
 *
 * Of the items that are kept beside a selected few, only a name says that both sides have them.
 */
export function inBoth(
  mode: Side,
  list: string,
  { pairs }: Matches,
  wishes: Wishes,
): ReadonlyMap<number, number> | undefined {
  const wanted = above([...wishes.modes].flatMap(([path, side]) => side === "saved" ? [path] : []));
  const isRestored = (i: number): boolean => {
    const path = join(list, i);
    return modeAt(wishes, path, mode) === "saved" || wanted.has(path);
  };
  if (![...pairs.keys()].some(isRestored)) return undefined;
  const both = [...pairs].filter(([i, { name }]) =>
    mode === "saved" || isRestored(i) || name !== undefined || wishes.pairs.has(join(list, i))
  );
  return new Map(both.map(([i, { position }]) => [position, i]));
}

/** Whether items that both sides have are in one order. */
export function keepsOrder(positions: ReadonlyMap<number, number>): boolean {
  const moves = [...positions].sort(([a], [b]) => a - b);
  return moves.every(([, to], i) => i === 0 || to > (moves[i - 1]?.[1] ?? -1));
}

/** A component's class and configuration as text. */
function builtAs(tree: Tree, node: Node): string {
  const state = stateOf(follow(tree, node));
  // A configuration may hold exact integers and typed arrays.
  const plain = (name: string, value: unknown): unknown =>
    typeof value === "bigint" ? String(value) : name === "home" ? undefined : value;
  return JSON.stringify([entry(state, "class") ?? null, entry(state, "config") ?? null], plain);
}

/** Whether unnamed items, of which only parts are restored, are built as the saved ones are, but in another order. */
export function permuted(
  { pairs }: Matches,
  live: readonly Item[],
  trees: Readonly<Record<Side, Tree>>,
): boolean {
  const both = live.flatMap((item): readonly (readonly [string, string])[] => {
    const saved = item.name === undefined ? pairs.get(item.position) : undefined;
    return saved === undefined ? [] : [[builtAs(trees.saved, saved.node), builtAs(trees.live, item.node)]];
  });
  const [before, now] = [both.map(([saved]) => saved), both.map(([, own]) => own)];
  return String(before) !== String(now) && String(before.toSorted()) === String(now.toSorted());
}
