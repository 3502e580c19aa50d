/**
 * Partial restore: merges the saved state tree into the captured live tree.
 *
 * The merged tree is then restored like any other, so every difference that no option allows is still found, and all or nothing holds. It has
 * the paths and the order of the live tree. A shared object keeps its identity: where its first path is not in the merged tree, the next one
 * that is becomes its first.
 *
 * @module
 */
import {
  type AnyKind,
  type ArrayNode,
  aside,
  converted,
  describeNode,
  type Encoded,
  entry,
  fold,
  isBranch,
  isCase,
  isDType,
  isWithin,
  join,
  type Named,
  type Node,
  record,
  unwrap,
} from "../mod.ts";
import type { Problem, ProblemKind } from "../../errors/mod.ts";
import { matchLists } from "./match.ts";
import { checkMerge, type MergeState, orderProblem, reportOf } from "./check.ts";
import { type Resolved, resolveOptions, sideAt } from "./resolve.ts";
import type { RestoredParts, Selection } from "./options.ts";
import { type LocatedNode, type Side, stateNode, treeOf, type Trees } from "./trees.ts";

// --- types

/** A tree to restore, what is wrong with it, and what was done with each part. */
export interface Merged {
  readonly encoded: Encoded;
  readonly problems: readonly Problem[];
  readonly parts: RestoredParts;
}

/** A merge in progress. */
interface Merging extends MergeState {
  /** Paths of records of fields. Fields may refer to any object, so they are merged last. */
  readonly fields: Readonly<Record<Side, ReadonlySet<string>>>;
  /** Paths of live lists that only refer to objects elsewhere in the tree, by the component that they belong to. */
  readonly references: ReadonlyMap<string, string>;
  /** Live lists that have other items than the saved ones. */
  readonly uneven: Set<string>;
  /** The merges of fields; undefined once they run. */
  readonly deferred: (() => void)[] | undefined;
}

/** Where the content of a node is copied from, and its path in the merged tree. */
interface Copying {
  readonly merging: Merging;
  readonly side: Side;
  readonly path: string;
  readonly at: string;
}

// --- constructors

/** For each component in a tree, the path of the part that `below` gives for its kind, and its own. */
function partsBelow(
  { nodes }: Trees[Side],
  kindNamed: Merging["kindNamed"],
  below: (kind: AnyKind) => string | readonly string[] | undefined,
): readonly (readonly [part: string, component: string])[] {
  return [...nodes].flatMap(([path, node]) => {
    const kind = isCase(node, "kind") ? kindNamed(node.kind) : undefined;
    const steps = kind && below(kind);
    return steps === undefined ? [] : [[[steps].flat().reduce<string>(join, path), path] as const];
  });
}

function startMerge(trees: Trees, kinds: readonly AnyKind[], options: Resolved, isOnly: boolean): Merging {
  const kindNamed = (name: string): AnyKind | undefined => kinds.find((kind) => kind.name === name);
  const fieldsOf = (side: Side): ReadonlySet<string> =>
    new Set(partsBelow(trees[side], kindNamed, ({ parts }) => parts?.deferred).map(([part]) => part));
  return {
    trees,
    options,
    kindNamed,
    isOnly,
    fields: { saved: fieldsOf("saved"), live: fieldsOf("live") },
    references: new Map(partsBelow(trees.live, kindNamed, ({ parts }) => parts?.refers)),
    uneven: new Set(),
    placed: { saved: new Map(), live: new Map() },
    objects: [],
    problems: [],
    restored: [],
    kept: [],
    skipped: [],
    converted: [],
    replaced: [],
    lists: new Map(),
    checkedLists: new Set(),
    deferred: [],
  };
}

function addProblem(
  { problems }: Merging,
  path: string,
  kind: ProblemKind,
  expected: string,
  found: string,
  more: Pick<Problem, "saved" | "remedy"> = {},
): void {
  problems.push({ path, kind, expected, found, ...more });
}

/** A record whose entries are merged after everything else. */
function defer(merging: Merging, merge: (last: Merging) => Node): Node {
  const entries: Named[] = [];
  merging.deferred?.push(() => {
    const merged = merge({ ...merging, deferred: undefined });
    if (isCase(merged, "record")) entries.push(...merged.entries);
  });
  return record(entries);
}

// --- parts of one side

/** A part of one side with everything below it; `at` is its path in the merged tree. */
function copy(merging: Merging, side: Side, from: LocatedNode, at: string): Node {
  const { deferred, fields, placed } = merging;
  const { node, path } = from;
  const own = side === "saved" ? liveReferences(merging, node, at) : undefined;
  if (own !== undefined) return copy(merging, "live", own, at);
  if (deferred !== undefined && fields[side].has(path)) return defer(merging, (last) => copy(last, side, from, at));
  if (typeof node !== "object" || node === null) return node;
  if (isCase(node, "shared")) return copyShared(merging, side, node.path, at);
  const first = placed[side].get(path);
  if (first !== undefined) return { is: "shared", path: first };
  placed[side].set(path, at);
  return copyContent(node, { merging, side, path, at });
}

/** The live list in place of a saved list of references, if the component around it has other parts than the saved one. */
function liveReferences(merging: Merging, saved: Node, at: string): LocatedNode | undefined {
  const { references, uneven, trees } = merging;
  const component = references.get(at);
  const node = trees.live.nodes.get(at);
  if (component === undefined || !Array.isArray(node) || !Array.isArray(saved)) return undefined;
  const refersToKept = (item: Node): boolean => isCase(item, "shared") && keptInstead(merging, item.path) !== undefined;
  const isOther = [...uneven].some((list) => isWithin(list, component)) ||
    (node.length !== saved.length && saved.some(refersToKept));
  return isOther ? { node, path: at } : undefined;
}

/** A reference of one side: to where its object is in the merged tree, or the object itself if it is not there yet. */
function copyShared(merging: Merging, side: Side, target: string, at: string): Node {
  const { trees, deferred, fields, placed, references } = merging;
  const first = placed[side].get(target);
  if (first !== undefined) return { is: "shared", path: first };
  if (deferred === undefined && ![...fields[side]].some((outer) => isWithin(target, outer))) {
    const kept = side === "live" ? target : keptInstead(merging, target);
    if (kept !== undefined) return { is: "shared", path: kept };
    const remedy = `Restore ${target} too, or keep this part`;
    addProblem(merging, at, "sharing", `${target}, which it refers to, to be restored or kept`, "neither", { remedy });
    return null;
  }
  const live = trees.live.nodes.get(at);
  if (isCase(live, "shared")) {
    const isReference = [...references.keys()].some((list) => isWithin(at, list));
    if (isReference && (side === "live" || keptInstead(merging, target) === live.path)) return live;
    const [here, there] = side === "live" ? ["kept", "restored"] : ["restored", "kept"];
    const expected = `this and ${live.path}, which are one object, both restored or both kept`;
    addProblem(merging, at, "sharing", expected, `${live.path} ${there}, this ${here}`);
    return live;
  }
  return copy(merging, side, { node: trees[side].nodes.get(target) ?? null, path: target }, at);
}

/** The live path of a saved part, if it or a part around it was kept instead. */
function keptInstead({ replaced }: Merging, path: string): string | undefined {
  const found = replaced.find(({ saved }) => isWithin(path, saved));
  return found && `${found.live}${path.slice(found.saved.length)}`;
}

const copyContent: (node: Node, to: Copying) => Node = fold<Node, Copying>({
  scalar: (value) => value,
  list: (items, { merging, side, path, at }) =>
    items.map((item, i) =>
      typeof item === "object" ? copy(merging, side, { node: item, path: join(path, i) }, join(at, i)) : item
    ),
  record: (entries, { merging, side, path, at }) =>
    record(
      entries.map(([name, node]) => [name, copy(merging, side, { node, path: join(path, name) }, join(at, name))]),
    ),
  array: (array, { merging, side, at }) => side === "saved" ? convertDtype(merging, array, at) : array,
  kind: (kind, state, to) => {
    const copied = { is: "kind", kind, state: copyContent(state, to) } as const;
    to.merging.objects.push({ ...copied, at: to.at, side: to.side });
    return copied;
  },
  shared: (path, { merging, side, at }) => copyShared(merging, side, path, at),
  aside: (state, to) => aside(copyContent(state, to)),
});

/** A saved tensor in the dtype of the live one, where `convert` names it. */
function convertDtype(merging: Merging, node: ArrayNode, at: string): Node {
  const live = merging.trees.live.nodes.get(at);
  if (!isCase(live, "array")) return node;
  const [from, to] = [node.held.element, live.held.element];
  const isNamed = merging.options.converts.some(({ paths }) => paths.some((outer) => isWithin(at, outer)));
  if (from === to || !isDType(from) || !isDType(to) || !isNamed) return node;
  const held = converted(node.held, to);
  if (typeof held === "string") {
    addProblem(merging, at, "value", `${from} values that are the same as ${to}`, held);
    return live;
  }
  merging.converted.push({ path: at, from, to });
  return { ...node, held };
}

// --- parts of both sides

/** The part at a live path, below a part that is taken from the side `outer`. */
function mergePart(merging: Merging, outer: Side, saved: LocatedNode | undefined, live: LocatedNode): Node {
  const { trees, options: { divided }, options, fields, placed, deferred } = merging;
  const at = live.path;
  if (deferred !== undefined && fields.live.has(at)) {
    return defer(merging, (last) => mergePart(last, outer, saved, live));
  }
  const side = sideAt(options, at, outer);
  if (side === "saved" && outer === "live") merging.restored.push(at);
  const isWhole = !divided.live.has(at) && !(saved !== undefined && divided.saved.has(saved.path));
  if (isWhole && side === "live") {
    if (live.node !== null && !options.keptNames.has(at)) {
      merging.kept.push(at);
      if (saved !== undefined && saved.path !== at) merging.skipped.push(saved.path);
    }
    if (saved !== undefined) merging.replaced.push({ saved: saved.path, live: at });
    return copy(merging, "live", live, at);
  }
  if (saved === undefined && side === "saved") {
    addProblem(merging, at, "missing", describeNode(unwrap(live.node)), "nothing", { saved: "found" });
    return copy(merging, "live", live, at);
  }
  if (isWhole && saved !== undefined) {
    // A list that is restored without its component keeps its order, but the component may use that order differently.
    if (outer === "live" && Array.isArray(saved.node)) {
      merging.lists.set(at, new Map(saved.node.map((_: Node, i) => [i, i])));
    }
    return copy(merging, "saved", saved, at);
  }
  if (isCase(live.node, "shared")) {
    return copy(merging, side, side === "live" ? live : saved ?? live, at);
  }
  const from = saved && isCase(saved.node, "shared")
    ? { node: trees.saved.nodes.get(saved.node.path) ?? null, path: saved.node.path }
    : saved;
  const first = side === "saved" && from !== undefined ? placed.saved.get(from.path) : undefined;
  if (first !== undefined) return { is: "shared", path: first };
  if (from !== undefined) placed.saved.set(from.path, at);
  placed.live.set(at, at);
  return mergeContent(merging, side, from, live);
}

/** The content of a part that both sides have; that of one side if they are of different kinds. */
function mergeContent(merging: Merging, side: Side, saved: LocatedNode | undefined, live: LocatedNode): Node {
  const at = live.path;
  const [a, b] = [saved?.node, live.node];
  const mergeState = (savedState: Node | undefined, state: Node): Node =>
    mergeContent(merging, side, saved && { node: savedState ?? null, path: saved.path }, { node: state, path: at });
  if (Array.isArray(b) && (a === undefined || Array.isArray(a))) return mergeLists(merging, side, saved, live);
  const other = a !== undefined && isBranch(a) ? a : undefined;
  const isSame = isBranch(b) && (a === undefined || other?.is === b.is);
  if (isSame && b.is === "record") return mergeRecords(merging, side, saved, live);
  const savedState = other?.is === "kind" || other?.is === "aside" ? other.state : undefined;
  if (isSame && b.is === "aside") return { ...b, state: mergeState(savedState, b.state) };
  if (isSame && b.is === "kind" && (other?.is !== "kind" || other.kind === b.kind)) {
    const merged = mergeState(savedState, b.state);
    const state = alignLists(merging, b.kind, merged, savedState ?? null, b.state, at);
    merging.objects.push({ ...b, state, at, side });
    return { ...b, state };
  }
  return side === "saved" && saved !== undefined
    ? copyContent(saved.node, { merging, side, path: saved.path, at })
    : copyContent(live.node, { merging, side: "live", path: at, at });
}

/** A merged state that its kind has aligned with the live order of its lists. */
function alignLists(merging: Merging, kind: string, merged: Node, saved: Node, live: Node, at: string): Node {
  const { kindNamed, options, lists, checkedLists } = merging;
  const align = kindNamed(kind)?.parts?.moved;
  if (align === undefined || !isCase(live, "record")) return merged;
  return live.entries.reduce((state, [list]) => {
    const path = join(at, list);
    const positions = lists.get(path);
    const aligned = positions && align(state, saved, live, list, positions);
    if (aligned === undefined) return state;
    checkedLists.add(path);
    const { problem } = aligned;
    if (problem !== undefined && sideAt(options, `${at}/${problem.at}`, "saved") === "saved") {
      const remedy = "Put them in the saved order, or skip the saved one that has moved and keep that of your script";
      addProblem(merging, `${at}/${problem.at}`, "config", problem.expected, problem.found, { remedy });
    }
    return aligned.state;
  }, merged);
}

function namedParts(place: LocatedNode | undefined): readonly (readonly [name: string, LocatedNode])[] {
  return place !== undefined && isCase(place.node, "record")
    ? place.node.entries.map(([name, node]) => [name, { node, path: join(place.path, name) }])
    : [];
}

/** The saved part that `rename` gives to a live path. */
function renamedTo({ trees: { saved }, options }: Merging, path: string): LocatedNode | undefined {
  const origin = options.origins.get(path);
  if (origin === undefined) return undefined;
  const end = origin.lastIndexOf("/");
  const outer = saved.nodes.get(origin.slice(0, end));
  // Scalars are not among the nodes by path.
  const scalar = outer && entry(stateNode(outer), origin.slice(end + 1));
  return { node: saved.nodes.get(origin) ?? scalar ?? null, path: origin };
}

function mergeRecords(
  merging: Merging,
  side: Side,
  saved: LocatedNode | undefined,
  live: LocatedNode,
): ReturnType<typeof record> {
  const { options, skipped } = merging;
  const rest = new Map(namedParts(saved).filter(([, { path }]) => !options.taken.has(path)));
  const entries = namedParts(live).flatMap(([name, place]): readonly Named[] => {
    const renamed = renamedTo(merging, place.path);
    const from = renamed ?? rest.get(name);
    if (renamed === undefined) rest.delete(name);
    // A missing part is left out, so that the restore reports it, as it does without options.
    const isMissing = from === undefined && sideAt(options, place.path, side) === "saved" &&
      !options.divided.live.has(place.path);
    return isMissing ? [] : [[name, mergePart(merging, side, from, place)]];
  });
  if (side === "live") {
    for (const { path } of rest.values()) skipped.push(path);
    return record(entries);
  }
  const added = [...rest].map(([name, part]): Named => [name, copy(merging, "saved", part, join(live.path, name))]);
  return record([...entries, ...added]);
}

function mergeLists(merging: Merging, side: Side, saved: LocatedNode | undefined, live: LocatedNode): Node {
  const { trees, options } = merging;
  const { items, left, positions, isReordered } = matchLists(trees, options, side, saved, live);
  if (positions !== undefined) merging.lists.set(live.path, positions);
  const paired = items.filter((item) => item.saved !== undefined).length;
  const count = saved !== undefined && Array.isArray(saved.node) ? saved.node.length : 0;
  if (paired !== count || paired !== items.length) merging.uneven.add(live.path);
  if (isReordered) merging.problems.push(orderProblem(live.path));
  for (const { node, path } of left) {
    if (side === "live") merging.skipped.push(path);
    else addProblem(merging, path, "extra", "nothing", describeNode(unwrap(node)), { saved: "found" });
  }
  return items.map((item) => mergePart(merging, side, renamedTo(merging, item.live.path) ?? item.saved, item.live));
}

// --- combinators

/**
 * Merges saved components into live ones.
 *
 * @param saved The saved components.
 * @param live The live components, captured.
 * @param kinds The kinds, which know how their parts are named and matched.
 * @param selection The options.
 */
export function merge(saved: Encoded, live: Encoded, kinds: readonly AnyKind[], selection: Selection): Merged {
  const trees: Trees = { saved: treeOf(saved), live: treeOf(live) };
  const merging = startMerge(trees, kinds, resolveOptions(trees, kinds, selection), selection.only !== undefined);
  const rootOf = ({ components }: Encoded): LocatedNode => ({ node: record(components), path: "" });
  const side = selection.only === undefined ? "saved" : "live";
  const { entries } = mergeRecords(merging, side, rootOf(saved), rootOf(live));
  for (const run of merging.deferred ?? []) run();
  const { order, problems } = checkMerge(merging);
  return { encoded: { components: entries, order }, problems, parts: reportOf(merging, selection) };
}
