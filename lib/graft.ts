/**
 * A snapshot grafted onto live state: the tree that has the saved parts where they are wanted, and the live ones where those are kept.
 *
 * What is restored on purpose differently is restored as everything is, from a tree made to fit: so every difference that was not asked for
 * is still found, and all or nothing holds. The tree has the places and the order of the live one. An object keeps its identity: where
 * its first place is not in the tree, the next one that is becomes its first.
 *
 * @module
 */
import { adrift, type Component, counterpart, fieldsIn, holdersOfSlots, isWithin } from "./belonging.ts";
import type { AnyKind } from "./component.ts";
import type { Encoded } from "./encode.ts";
import type { Problem, ProblemKind } from "./errors.ts";
import { above, inBoth, type Item, keepsOrder, match, modeAt, permuted, type Place, type Wishes } from "./matching.ts";
import { nameOf, type Parts, parts, type Selection, type Side, stateOf, type Tree, treeOf } from "./selection.ts";
import { entry, isBranch, join, type Named, type Node, record } from "./state_tree.ts";
import { converted, type DType, isDType } from "./tensor.ts";

// --- types

/** A tree to restore, what was wrong with the wishes, and what becomes of the parts. */
export interface Grafted {
  readonly encoded: Encoded;
  readonly problems: readonly Problem[];
  readonly parts: Parts;
}

// --- combinators

/**
 * Grafts saved components onto live ones.
 *
 * @param encoded The saved components.
 * @param onto The live components, captured.
 * @param kinds The kinds, which know their parts by name.
 * @param selection What is asked for.
 */
export function graft(encoded: Encoded, onto: Encoded, kinds: readonly AnyKind[], selection: Selection): Grafted {
  const trees: Readonly<Record<Side, Tree>> = { saved: treeOf(encoded), live: treeOf(onto) };
  const problems: Problem[] = [];
  const problem = (path: string, kind: ProblemKind, expected: string, found: string): void =>
    void problems.push({ path, kind, expected, found });
  const report = {
    restored: [] as string[],
    kept: [] as string[],
    skipped: [] as string[],
    renamed: [] as Parts["renamed"][number][],
    converted: [] as Parts["converted"][number][],
  };

  const reordered = (path: string): void => {
    const found =
      "another order in the snapshot: build it as it was saved, or skip the saved part and keep the live one";
    problem(path, "config", "the parts that both sides have in the order of the live ones", found);
  };

  const kindNamed = (name: string): AnyKind | undefined => kinds.find((kind) => kind.name === name);

  const find = (side: Side, wish: string, option: string): readonly string[] => {
    const { paths, ambiguous } = parts(trees[side], kinds, wish);
    const where = side === "live" ? "a part of the live components" : "a part of the snapshot";
    if (paths.length === 0) problem(wish, "missing", `${where}, as asked for in ${option}`, "none of this name");
    if (ambiguous) {
      problem(wish, "name", `${where}, as asked for in ${option}`, `two of this name: ${paths.join(", ")}`);
    }
    return paths;
  };

  const wishes = ((): Wishes => {
    const modes = new Map<string, Side>();
    const [pairs, taken, named] = [new Map<string, string>(), new Set<string>(), new Set<string>()];
    // One part may be wished for by its name and by its path.
    const once = (path: string, before: boolean, options: string): void =>
      before ? problem(path, "name", `one wish for it in ${options}`, "more") : undefined;
    const decide = (path: string, side: Side): void => {
      once(path, modes.has(path), "only, keep and rename");
      modes.set(path, side);
    };
    const take = (path: string): void => {
      once(path, taken.has(path), "rename and skip");
      taken.add(path);
    };
    for (const wish of selection.only ?? []) for (const path of find("live", wish, "only")) decide(path, "saved");
    for (const wish of selection.keep ?? []) for (const path of find("live", wish, "keep")) decide(path, "live");
    for (const [from, to] of Object.entries(selection.rename ?? {})) {
      const [saved, live] = [find("saved", from, "rename"), find("live", to, "rename")];
      for (const [i, path] of live.entries()) {
        const origin = saved[i];
        if (origin === undefined) continue;
        pairs.set(path, origin);
        take(origin);
        decide(path, "saved");
        report.renamed.push({ from: origin, to: path });
        // What stands in a list has its name in itself.
        if (/\/\d+$/.test(path)) named.add(join(path, "name"));
      }
    }
    for (const wish of selection.skip ?? []) {
      for (const path of find("saved", wish, "skip")) {
        take(path);
        report.skipped.push(path);
      }
    }
    const converts = (selection.convert ?? []).flatMap((wish) => find("live", wish, "convert"));
    return { modes, pairs, taken, named, converts };
  })();
  const mixed: Readonly<Record<Side, ReadonlySet<string>>> = {
    saved: above(wishes.taken),
    live: above([...wishes.modes.keys(), ...wishes.named]),
  };

  /** Where the nodes of either tree stand in the grafted one. */
  const placed: Readonly<Record<Side, Map<string, string>>> = { saved: new Map(), live: new Map() };

  /** Live lists that only refer to what stands elsewhere. */
  const referring = [...trees.live.nodes].flatMap(([path, node]) => {
    const way = isBranch(node) && node.is === "kind" ? kindNamed(node.kind)?.parts?.refers : undefined;
    return way === undefined ? [] : [way.reduce<string>(join, path)];
  });

  /** For each list of which something is restored, the live position of each saved item that both sides have. */
  const positions = new Map<string, ReadonlyMap<number, number>>();

  /** Every component at any depth of the grafted tree, and which side it is from. */
  const objects: Component[] = [];

  const sharedNode = (path: string): Node => ({ is: "shared", path });

  /** Records of fields: they refer to what is elsewhere, and so are grafted when all of that has its place. */
  const late = { saved: fieldsIn(trees.saved, kindNamed), live: fieldsIn(trees.live, kindNamed) };
  const deferred: (() => void)[] = [];
  let atLast = false;
  const defer = (graft: () => Node): Node => {
    const entries: Named[] = [];
    deferred.push(() => void entries.push(...(graft() as { readonly entries?: readonly Named[] }).entries ?? []));
    return record(entries);
  };

  /** For what was kept, the place of its saved counterpart. */
  const keptFor = new Map<string, string>();

  const convert = (node: Node, at: string): Node => {
    const other = trees.live.nodes.get(at);
    if (!isBranch(node) || node.is !== "array" || other === undefined || !isBranch(other) || other.is !== "array") {
      return node;
    }
    const [from, to] = [node.held.element, other.held.element];
    if (from === to || !isDType(from) || !isDType(to) || !wishes.converts.some((wish) => isWithin(at, wish))) {
      return node;
    }
    const held = converted(node.held, to as DType);
    if (typeof held === "string") {
      problem(at, "value", `${from} values that are the same as ${to}`, held);
      return other;
    }
    report.converted.push({ path: at, from, to });
    return { ...node, held };
  };

  /** A part of one tree as it is; `path` is its own, `at` its path in the grafted tree. */
  const copy = (side: Side, { node, path }: Place, at: string): Node => {
    if (!atLast && late[side].includes(path)) return defer(() => copy(side, { node, path }, at));
    if (typeof node !== "object" || node === null) return node;
    if (isBranch(node) && node.is === "shared") {
      const there = placed[side].get(node.path);
      if (there !== undefined) return sharedNode(there);
      if (atLast && !late[side].some((fields) => isWithin(node.path, fields))) {
        const kept = side === "live" ? node.path : counterpart(node.path, keptFor);
        if (kept !== undefined) return sharedNode(kept);
        problem(at, "sharing", `${node.path}, to which it refers, restored or kept`, "neither");
        return null;
      }
      const live = trees.live.nodes.get(at);
      if (live !== undefined && isBranch(live) && live.is === "shared") {
        if (side === "live" && referring.some((list) => isWithin(at, list))) return live;
        const [mine, other] = side === "live" ? ["kept", "restored"] : ["restored", "kept"];
        problem(
          at,
          "sharing",
          `this and ${live.path}, one object, both restored or both kept`,
          `${other} there, ${mine} here`,
        );
        return live;
      }
      return copy(side, { node: trees[side].nodes.get(node.path) ?? null, path: node.path }, at);
    }
    const there = placed[side].get(path);
    if (there !== undefined) return sharedNode(there);
    placed[side].set(path, at);
    return content(side, { node, path }, at);
  };

  const content = (side: Side, { node, path }: Place, at: string): Node => {
    if (Array.isArray(node)) {
      return node.map((item: Node, i) =>
        typeof item === "object" ? copy(side, { node: item, path: join(path, i) }, join(at, i)) : item
      );
    }
    if (!isBranch(node)) return node;
    switch (node.is) {
      case "record":
        return record(
          node.entries.map(([name, part]) => [
            name,
            copy(side, { node: part, path: join(path, name) }, join(at, name)),
          ]),
        );
      case "kind":
        objects.push({ kind: node.kind, state: node.state, at, side });
        return { ...node, state: content(side, { node: node.state, path }, at) };
      case "aside":
        return { ...node, state: content(side, { node: node.state, path }, at) };
      case "shared":
        return copy(side, { node, path }, at);
      case "array":
        return side === "saved" ? convert(node, at) : node;
    }
  };

  /** The part for a live place: from the side in force there, or from both. */
  const walk = (outer: Side, saved: Place | undefined, live: Place): Node => {
    if (!atLast && late.live.includes(live.path)) return defer(() => walk(outer, saved, live));
    const mode = modeAt(wishes, live.path, outer);
    if (mode === "saved" && outer === "live") report.restored.push(live.path);
    const whole = !mixed.live.has(live.path) && !(saved !== undefined && mixed.saved.has(saved.path));
    if (whole && mode === "live") {
      if (live.node !== null && !wishes.named.has(live.path)) {
        report.kept.push(live.path);
        if (saved !== undefined) report.skipped.push(saved.path);
      }
      if (saved !== undefined) keptFor.set(saved.path, live.path);
      return copy("live", live, live.path);
    }
    if (saved === undefined && mode === "saved") {
      problem(live.path, "missing", "a part of the snapshot to restore", "none: keep it, or name one in rename");
      return copy("live", live, live.path);
    }
    if (whole && saved !== undefined) {
      // A list that is restored by itself keeps its order, in which its component may use it otherwise.
      if (outer === "live" && Array.isArray(saved.node)) {
        positions.set(live.path, new Map(saved.node.map((_: Node, i) => [i, i])));
      }
      return copy("saved", saved, live.path);
    }
    return blend(mode, saved, live);
  };

  const blend = (mode: Side, saved: Place | undefined, live: Place): Node => {
    if (isBranch(live.node) && live.node.is === "shared") {
      return copy(mode, mode === "live" ? live : saved ?? live, live.path);
    }
    const from = saved && isBranch(saved.node) && saved.node.is === "shared"
      ? { node: trees.saved.nodes.get(saved.node.path) ?? null, path: saved.node.path }
      : saved;
    const there = mode === "saved" && from !== undefined ? placed.saved.get(from.path) : undefined;
    if (there !== undefined) return sharedNode(there);
    if (from !== undefined) placed.saved.set(from.path, live.path);
    placed.live.set(live.path, live.path);
    return inside(mode, from, live);
  };

  const inside = (mode: Side, saved: Place | undefined, live: Place): Node => {
    const [a, b] = [saved?.node, live.node];
    const state = (node: Node | undefined): Node | undefined =>
      node !== undefined && isBranch(node) && (node.is === "kind" || node.is === "aside") ? node.state : undefined;
    const below = (): Node =>
      inside(mode, saved && { node: state(a) ?? null, path: saved.path }, { node: state(b) ?? null, path: live.path });
    if (Array.isArray(b) && (a === undefined || Array.isArray(a))) return blendLists(mode, saved, live);
    if (isBranch(b)) {
      if (b.is === "aside" && (a === undefined || (isBranch(a) && a.is === "aside"))) return { ...b, state: below() };
      if (b.is === "kind" && (a === undefined || (isBranch(a) && a.is === "kind" && a.kind === b.kind))) {
        const blended = moved(b.kind, below(), state(a) ?? null, b.state, live.path);
        objects.push({ kind: b.kind, state: blended, at: live.path, side: mode });
        return { ...b, state: blended };
      }
      if (b.is === "record" && (a === undefined || (isBranch(a) && a.is === "record"))) {
        return blendRecords(mode, saved, live);
      }
    }
    return mode === "saved" && saved !== undefined
      ? content("saved", saved, live.path)
      : content("live", live, live.path);
  };

  const savedAt = (path: string): Place | undefined => {
    const origin = wishes.pairs.get(path);
    if (origin === undefined) return undefined;
    const end = origin.lastIndexOf("/");
    return {
      node: trees.saved.nodes.get(origin) ?? scalarAt(origin.slice(0, end), origin.slice(end + 1)),
      path: origin,
    };
  };

  const scalarAt = (outer: string, name: string): Node => {
    const node = trees.saved.nodes.get(outer);
    return (node && entry(stateOf(node), name)) ?? null;
  };

  const blendRecords = (mode: Side, saved: Place | undefined, live: Place): Node => {
    const entriesOf = (place: Place | undefined): readonly (readonly [string, Place])[] =>
      place !== undefined && isBranch(place.node) && place.node.is === "record"
        ? place.node.entries.map(([name, node]) => [name, { node, path: join(place.path, name) }])
        : [];
    const rest = new Map(entriesOf(saved).filter(([, { path }]) => !wishes.taken.has(path)));
    const entries = entriesOf(live).flatMap(([name, place]): readonly Named[] => {
      const pair = savedAt(place.path);
      const from = pair ?? rest.get(name);
      if (pair === undefined) rest.delete(name);
      // As without wishes, what is not in the snapshot is for the restore to judge.
      if (from === undefined && modeAt(wishes, place.path, mode) === "saved" && !mixed.live.has(place.path)) return [];
      return [[name, walk(mode, from, place)]];
    });
    if (mode === "live") {
      for (const { path } of rest.values()) report.skipped.push(path);
      return record(entries);
    }
    return record([
      ...entries,
      ...[...rest].map(([name, place]): Named => [name, copy("saved", place, join(live.path, name))]),
    ]);
  };

  const blendLists = (mode: Side, saved: Place | undefined, live: Place): Node => {
    const items = (side: Side, place: Place | undefined): readonly Item[] =>
      (place !== undefined && Array.isArray(place.node) ? place.node : []).map((node: Node, i) => {
        return { node, path: join(place?.path ?? "", i), name: nameOf(trees[side], node), position: i };
      });
    const [mine, theirs] = [items("saved", saved), items("live", live)];
    const matches = match(mode, mine, theirs, wishes);
    const both = inBoth(mode, live.path, matches, wishes);
    if (both !== undefined) {
      positions.set(live.path, both);
      if (mode === "live" && permuted(matches, theirs, trees)) reordered(live.path);
    }
    for (const { path } of matches.left) {
      if (mode === "live") report.skipped.push(path);
      else problem(path, "extra", "no such part, as in the live components", "one in the snapshot: skip or rename it");
    }
    return theirs.map((item, i) => walk(mode, savedAt(item.path) ?? matches.pairs.get(i), item));
  };

  /** Lists that may be in another order, because their component says what is the same. */
  const judged = new Set<string>();

  const moved = (name: string, state: Node, saved: Node, live: Node, path: string): Node => {
    const fit = kindNamed(name)?.parts?.moved;
    if (fit === undefined || !isBranch(live) || live.is !== "record") return state;
    return live.entries.reduce((blended, [list]) => {
      const moves = positions.get(join(path, list));
      const fitted = moves === undefined ? undefined : fit(blended, saved, live, list, moves);
      if (fitted === undefined) return blended;
      judged.add(join(path, list));
      if (fitted.problem !== undefined) {
        const { at, expected, found } = fitted.problem;
        if (modeAt(wishes, `${path}/${at}`, "saved") === "saved") problem(`${path}/${at}`, "config", expected, found);
      }
      return fitted.state;
    }, state);
  };

  const root = blendRecords(
    selection.only === undefined ? "saved" : "live",
    { node: record(encoded.components), path: "" },
    { node: record(onto.components), path: "" },
  );
  atLast = true;
  for (const run of deferred) run();
  const components = isBranch(root) && root.is === "record" ? root.entries : [];
  const disordered = [...positions].flatMap(([path, moves]) => keepsOrder(moves) ? [] : [path]);
  for (const path of disordered) {
    if (judged.has(path)) continue;
    reordered(path);
  }
  for (const wish of selection.convert ?? []) {
    const { paths } = parts(trees.live, kinds, wish);
    if (paths.length > 0 && !report.converted.some(({ path }) => paths.some((outer) => isWithin(path, outer)))) {
      if (problems.length > 0) continue;
      problem(wish, "dtype", "a tensor of another dtype to convert", "none");
    }
  }
  // Kept accumulators belong to variables in the live order, restored ones in the saved order.
  const kept = holdersOfSlots(objects, "live", kindNamed).length > 0;
  const order = orderOf(trees, placed.saved, (kind) => kept && kindNamed(kind)?.reorder !== undefined);
  const without = kept && JSON.stringify(orderOf(trees, placed.saved, () => false)) !== JSON.stringify(order)
    ? holdersOfSlots(objects, "saved", kindNamed).map(({ at }) => at)
    : [];
  for (const at of new Set([...adrift(trees, objects, placed.saved, kindNamed, disordered), ...without])) {
    const expected =
      "kept, too: its accumulators belong to variables by position, and not all of those are restored in their order";
    problem(at, "sharing", expected, "restored");
  }
  if (selection.only === undefined) {
    const kept = new Set(report.kept);
    report.restored.push(...onto.components.map(([name]) => join("", name)).filter((path) => !kept.has(path)));
  }
  return { encoded: { components, order }, problems, parts: report };
}

/** The order in which objects came to be: the live one, in which those that are restored take each other's places in the saved order. */
function orderOf(
  trees: Readonly<Record<Side, Tree>>,
  placed: ReadonlyMap<string, string>,
  stays: (kind: string) => boolean,
): Encoded["order"] {
  return trees.live.encoded.order.map(([kind, live]) => {
    if (stays(kind)) return [kind, live];
    const saved = trees.saved.encoded.order.find(([name]) => name === kind)?.[1] ?? [];
    const there = new Set(live);
    const restored = saved.map((path) => placed.get(path)).filter((path) => path !== undefined && there.has(path));
    const moving = new Set(restored);
    const next = restored.values();
    return [kind, live.map((path) => moving.has(path) ? next.next().value ?? path : path)];
  });
}
