/**
 * Partial restore: merges the saved state tree into the captured live tree.
 *
 * The merged tree is then restored like any other, so every difference that no option allows is still found, and all or nothing holds. It has
 * the paths and the order of the live tree. A shared object keeps its identity: where its first path is not in the merged tree, the next one
 * that is becomes its first.
 *
 * @module
 */
import { type MergedObject, misalignedSlots, ownersOfSlots } from "./belonging.ts";
import type { AnyKind } from "./component.ts";
import type { Encoded } from "./encode.ts";
import type { Problem } from "./errors.ts";
import { keepsOrder } from "./matching.ts";
import { type Content, type MergePlan, type Note, orderProblem, planMerge } from "./merge_plan.ts";
import { type Resolution, resolveOptions, sideAt } from "./resolving.ts";
import type { RestoredParts, Selection } from "./selection.ts";
import { isWithin, type LocatedNode, type Side, treeOf, type Trees } from "./side_trees.ts";
import { isBranch, join, type Named, type Node, record } from "./state_tree.ts";
import { converted, isDType } from "./tensor.ts";

// --- types

/** A tree to restore, what is wrong with it, and what was done with each part. */
export interface Merged {
  readonly encoded: Encoded;
  readonly problems: readonly Problem[];
  readonly parts: RestoredParts;
}

/** What every step of a merge reads. */
interface Input {
  readonly trees: Trees;
  readonly resolution: Resolution;
  readonly kindNamed: (name: string) => AnyKind | undefined;
  /** Paths of records of fields. Fields may refer to any object, so they are merged last. */
  readonly fields: Readonly<Record<Side, ReadonlySet<string>>>;
  /** Paths of live lists that only refer to objects elsewhere in the tree. */
  readonly references: readonly string[];
}

/** What a merge has built so far. */
interface Merging extends Input {
  /** For the nodes of each side that are in the merged tree, their path there. */
  readonly placed: Readonly<Record<Side, Map<string, string>>>;
  readonly notes: Note[];
  /** The components at any depth. */
  readonly objects: MergedObject[];
  /** Merges the fields; undefined once that has begun. */
  readonly deferred: (() => void)[] | undefined;
}

// --- constructors

/** Paths below kinds of a tree: for each component, those that `below` gives for its kind. */
function pathsBelow(
  { nodes }: Trees[Side],
  kindNamed: Input["kindNamed"],
  below: (kind: AnyKind) => readonly string[] | undefined,
): readonly string[] {
  return [...nodes].flatMap(([path, node]) => {
    const kind = isBranch(node) && node.is === "kind" ? kindNamed(node.kind) : undefined;
    const steps = kind && below(kind);
    return steps === undefined ? [] : [steps.reduce<string>(join, path)];
  });
}

function inputOf(trees: Trees, kinds: readonly AnyKind[], selection: Selection): Input {
  const kindNamed = (name: string): AnyKind | undefined => kinds.find((kind) => kind.name === name);
  const fieldsOf = (side: Side): ReadonlySet<string> =>
    new Set(pathsBelow(trees[side], kindNamed, ({ parts }) => parts?.late === undefined ? undefined : [parts.late]));
  return {
    trees,
    resolution: resolveOptions(trees, kinds, selection),
    kindNamed,
    fields: { saved: fieldsOf("saved"), live: fieldsOf("live") },
    references: pathsBelow(trees.live, kindNamed, ({ parts }) => parts?.refers),
  };
}

function note(merging: Merging, ...notes: readonly Note[]): void {
  merging.notes.push(...notes);
}

function sharingProblem(merging: Merging, path: string, expected: string, found: string): void {
  note(merging, { is: "problem", problem: { path, kind: "sharing", expected, found } });
}

// --- building the tree

/** A record whose entries are merged after everything else. */
function defer(deferred: (() => void)[], merge: () => Node): Node {
  const entries: Named[] = [];
  deferred.push(() => void entries.push(...(merge() as { readonly entries?: readonly Named[] }).entries ?? []));
  return record(entries);
}

/** The merged node of a planned part. */
function build(merging: Merging, plan: MergePlan): Node {
  const { deferred, fields, placed } = merging;
  const { at } = plan;
  if (deferred !== undefined && fields.live.has(at)) {
    return defer(deferred, () => build({ ...merging, deferred: undefined }, plan));
  }
  note(merging, ...plan.notes);
  if (plan.do === "copy") return copy(merging, plan.side, plan.from, at);
  const first = plan.side === "saved" && plan.saved !== undefined ? placed.saved.get(plan.saved) : undefined;
  if (first !== undefined) return { is: "shared", path: first };
  if (plan.saved !== undefined) placed.saved.set(plan.saved, at);
  placed.live.set(at, at);
  return buildContent(merging, plan.side, plan.content, at);
}

function buildContent(merging: Merging, side: Side, plan: Content, at: string): Node {
  switch (plan.do) {
    case "content":
      return copyContent(merging, plan.side, plan.from, at);
    case "aside":
      return { is: "aside", state: buildContent(merging, side, plan.state, at) };
    case "kind": {
      const state = alignLists(merging, plan, buildContent(merging, side, plan.state, at), at);
      merging.objects.push({ kind: plan.kind, state, at, side });
      return { is: "kind", kind: plan.kind, state };
    }
    case "record": {
      const entries = plan.entries.map(([name, part]): Named => [name, build(merging, part)]);
      if (side === "live") {
        note(merging, ...plan.rest.map(([, { path }]) => ({ is: "skipped", path }) as const));
        return record(entries);
      }
      const rest = plan.rest.map(([name, saved]): Named => [name, copy(merging, "saved", saved, join(at, name))]);
      return record([...entries, ...rest]);
    }
    case "list":
      note(merging, ...plan.notes);
      return plan.items.map((item) => build(merging, item));
  }
}

/** A merged state whose kind has aligned it with the live order of its lists. */
function alignLists(merging: Merging, plan: Extract<Content, { do: "kind" }>, merged: Node, at: string): Node {
  const align = merging.kindNamed(plan.kind)?.parts?.moved;
  if (align === undefined) return merged;
  return plan.lists.reduce((state, [list, positions]) => {
    const aligned = align(state, plan.saved, plan.live, list, positions);
    if (aligned === undefined) return state;
    note(merging, { is: "checked", path: join(at, list) });
    if (aligned.problem !== undefined) {
      const { at: below, expected, found } = aligned.problem;
      const path = `${at}/${below}`;
      const isRestored = sideAt(merging.resolution.resolved, path, "saved") === "saved";
      if (isRestored) note(merging, { is: "problem", problem: { path, kind: "config", expected, found } });
    }
    return aligned.state;
  }, merged);
}

/** A part of one side with everything below it; `at` is its path in the merged tree. */
function copy(merging: Merging, side: Side, from: LocatedNode, at: string): Node {
  const { deferred, fields, placed } = merging;
  const { node, path } = from;
  if (deferred !== undefined && fields[side].has(path)) {
    return defer(deferred, () => copy({ ...merging, deferred: undefined }, side, from, at));
  }
  if (typeof node !== "object" || node === null) return node;
  if (isBranch(node) && node.is === "shared") return copyShared(merging, side, node.path, at);
  const first = placed[side].get(path);
  if (first !== undefined) return { is: "shared", path: first };
  placed[side].set(path, at);
  return copyContent(merging, side, from, at);
}

/** A reference of one side: to where its object is in the merged tree, or the object itself if it is not there yet. */
function copyShared(merging: Merging, side: Side, target: string, at: string): Node {
  const { trees, deferred, fields, placed, references } = merging;
  const first = placed[side].get(target);
  if (first !== undefined) return { is: "shared", path: first };
  if (deferred === undefined && ![...fields[side]].some((outer) => isWithin(target, outer))) {
    const kept = side === "live" ? target : keptInstead(merging, target);
    if (kept !== undefined) return { is: "shared", path: kept };
    sharingProblem(merging, at, `${target}, to which it refers, restored or kept`, "neither");
    return null;
  }
  const live = trees.live.nodes.get(at);
  if (live !== undefined && isBranch(live) && live.is === "shared") {
    if (side === "live" && references.some((list) => isWithin(at, list))) return live;
    const [here, there] = side === "live" ? ["kept", "restored"] : ["restored", "kept"];
    const expected = `this and ${live.path}, one object, both restored or both kept`;
    sharingProblem(merging, at, expected, `${there} there, ${here} here`);
    return live;
  }
  return copy(merging, side, { node: trees[side].nodes.get(target) ?? null, path: target }, at);
}

/** The live path of a saved part, if it or a part around it was kept instead. */
function keptInstead({ notes }: Merging, path: string): string | undefined {
  const found = notes.find((one) => one.is === "replaced" && isWithin(path, one.saved));
  return found?.is === "replaced" ? `${found.live}${path.slice(found.saved.length)}` : undefined;
}

function copyContent(merging: Merging, side: Side, { node, path }: LocatedNode, at: string): Node {
  if (Array.isArray(node)) {
    return node.map((item: Node, i) =>
      typeof item === "object" ? copy(merging, side, { node: item, path: join(path, i) }, join(at, i)) : item
    );
  }
  if (!isBranch(node)) return node;
  switch (node.is) {
    case "record":
      return record(
        node.entries.map(([name, part]) => [
          name,
          copy(merging, side, { node: part, path: join(path, name) }, join(at, name)),
        ]),
      );
    case "kind":
      merging.objects.push({ kind: node.kind, state: node.state, at, side });
      return { ...node, state: copyContent(merging, side, { node: node.state, path }, at) };
    case "aside":
      return { ...node, state: copyContent(merging, side, { node: node.state, path }, at) };
    case "shared":
      return copyShared(merging, side, node.path, at);
    case "array":
      return side === "saved" ? convertDtype(merging, node, at) : node;
  }
}

/** A saved tensor in the dtype of the live one, where `convert` names it. */
function convertDtype(merging: Merging, node: Extract<Node, { is: "array" }>, at: string): Node {
  const live = merging.trees.live.nodes.get(at);
  if (live === undefined || !isBranch(live) || live.is !== "array") return node;
  const [from, to] = [node.held.element, live.held.element];
  const { converts } = merging.resolution.resolved;
  const isNamed = converts.some(({ paths }) => paths.some((outer) => isWithin(at, outer)));
  if (from === to || !isDType(from) || !isDType(to) || !isNamed) return node;
  const held = converted(node.held, to);
  if (typeof held === "string") {
    const expected = `${from} values that are the same as ${to}`;
    note(merging, { is: "problem", problem: { path: at, kind: "value", expected, found: held } });
    return live;
  }
  note(merging, { is: "converted", path: at, from, to });
  return { ...node, held };
}

// --- checks of the merged tree

/** The creation order of objects: the live one, in which restored objects take each other's places in the saved order. */
function creationOrder(
  trees: Trees,
  placed: ReadonlyMap<string, string>,
  keepsLiveOrder: (kind: string) => boolean,
): Encoded["order"] {
  return trees.live.encoded.order.map(([kind, live]) => {
    if (keepsLiveOrder(kind)) return [kind, live];
    const saved = trees.saved.encoded.order.find(([name]) => name === kind)?.[1] ?? [];
    const known = new Set(live);
    const restored = saved.map((path) => placed.get(path)).filter((path) => path !== undefined && known.has(path));
    const moving = new Set(restored);
    const next = restored.values();
    return [kind, live.map((path) => moving.has(path) ? next.next().value ?? path : path)];
  });
}

/** Paths of lists whose items both sides have in different orders. */
function reorderedLists(notes: readonly Note[]): readonly string[] {
  const lists = new Map(notes.flatMap((one) => one.is === "list" ? [[one.path, one.positions] as const] : []));
  return [...lists].flatMap(([path, positions]) => keepsOrder(positions) ? [] : [path]);
}

/** Paths of the notes of one sort. */
function noted(notes: readonly Note[], is: "restored" | "kept" | "skipped" | "checked"): readonly string[] {
  return notes.flatMap((one) => one.is === is ? [one.path] : []);
}

function problemsOf(notes: readonly Note[]): readonly Problem[] {
  return notes.flatMap((one) => one.is === "problem" ? [one.problem] : []);
}

/** Names in `convert` below which no tensor was converted. */
function withoutConversion({ resolution, notes }: Merging): readonly Problem[] {
  return resolution.resolved.converts.flatMap(({ name, paths }) => {
    const done = notes.some((one) => one.is === "converted" && paths.some((outer) => isWithin(one.path, outer)));
    if (paths.length === 0 || done) return [];
    return [{ path: name, kind: "dtype", expected: "a tensor of another dtype to convert", found: "none" }];
  });
}

/** The creation order of the merged objects, and restored optimizers whose slots would belong to other variables. */
function checkSlots(
  { trees, placed, objects, kindNamed }: Merging,
  reordered: readonly string[],
): { readonly order: Encoded["order"]; readonly problems: readonly Problem[] } {
  // Kept slots belong to variables in the live order, restored ones to variables in the saved order.
  const areKept = ownersOfSlots(objects, "live", kindNamed).length > 0;
  const order = creationOrder(trees, placed.saved, (kind) => areKept && kindNamed(kind)?.reorder !== undefined);
  const savedOrder = creationOrder(trees, placed.saved, () => false);
  const displaced = areKept && JSON.stringify(savedOrder) !== JSON.stringify(order)
    ? ownersOfSlots(objects, "saved", kindNamed).map(({ at }) => at)
    : [];
  const paths = new Set([...misalignedSlots(trees, objects, placed.saved, kindNamed, reordered), ...displaced]);
  const expected =
    "kept, too: its accumulators belong to variables by position, and not all of those are restored in their order";
  return { order, problems: [...paths].map((path) => ({ path, kind: "sharing", expected, found: "restored" })) };
}

/** The report of a merge. */
function reportOf(
  { notes, resolution, trees }: Merging,
  selection: Selection,
): RestoredParts {
  const kept = noted(notes, "kept");
  const components = trees.live.encoded.components.map(([name]) => join("", name));
  return {
    restored: [
      ...noted(notes, "restored"),
      ...(selection.only === undefined ? components.filter((path) => !kept.includes(path)) : []),
    ],
    kept,
    skipped: [...resolution.skipped, ...noted(notes, "skipped")],
    renamed: resolution.renamed,
    converted: notes.flatMap((one) => one.is === "converted" ? [{ path: one.path, from: one.from, to: one.to }] : []),
  };
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
  const input = inputOf(trees, kinds, selection);
  const { resolution } = input;
  const side = selection.only === undefined ? "saved" : "live";
  const deferred: (() => void)[] = [];
  const merging: Merging = {
    ...input,
    placed: { saved: new Map(), live: new Map() },
    notes: [],
    objects: [],
    deferred,
  };
  const root = buildContent(merging, side, planMerge(trees, resolution.resolved, side), "");
  for (const run of deferred) run();
  const { notes } = merging;
  const reordered = reorderedLists(notes);
  const checked = noted(notes, "checked");
  note(merging, ...reordered.filter((path) => !checked.includes(path)).map(orderProblem));
  const found = [...resolution.problems, ...problemsOf(notes)];
  const { order, problems } = checkSlots(merging, reordered);
  return {
    encoded: { components: isBranch(root) && root.is === "record" ? root.entries : [], order },
    // Where anything else is wrong, a tensor may not have been reached.
    problems: [...found, ...(found.length > 0 ? [] : withoutConversion(merging)), ...problems],
    parts: reportOf(merging, selection),
  };
}
