/**
 * What a merge did, and the checks that need the whole merged tree: the order of lists, of objects and of optimizer slots.
 *
 * An optimizer keeps its accumulators, the slots, by position: the i-th slot belongs to the i-th trainable variable. After a partial restore the
 * variables of the merged tree may be others, or in another order. Then the slots would be applied to the wrong variables, without an error.
 *
 * @module
 */
import { type AnyKind, type Branch, type Encoded, entry, isCase, isWithin, join, type Node } from "../mod.ts";
import type { Problem } from "../../errors/mod.ts";
import { isPermutation, keepsOrder, type Positions } from "./match.ts";
import type { Resolved } from "./resolve.ts";
import type { RestoredParts, Selection } from "./options.ts";
import { type Side, stateNode, type Tree, type Trees, userName } from "./trees.ts";

// --- types

/** A component of the merged tree, at any depth, and the side that it comes from. */
export type MergedObject = Extract<Branch, { readonly is: "kind" }> & { readonly at: string; readonly side: Side };

/** What a merge reads, and what it has done so far besides the tree. */
export interface MergeState {
  readonly trees: Trees;
  readonly options: Resolved;
  readonly kindNamed: (name: string) => AnyKind | undefined;
  /** Whether live parts are kept unless an option names them, so that slots may be restored alone. */
  readonly isOnly: boolean;
  /** For the nodes of each side that are in the merged tree, their path there. */
  readonly placed: Readonly<Record<Side, Map<string, string>>>;
  readonly objects: MergedObject[];
  readonly problems: Problem[];
  /** Live parts that were taken from the saved tree, and that were kept. */
  readonly restored: string[];
  readonly kept: string[];
  /** Saved parts that were left out. */
  readonly skipped: string[];
  readonly converted: { readonly path: string; readonly from: string; readonly to: string }[];
  /** Saved parts whose live counterparts were kept. */
  readonly replaced: { readonly saved: string; readonly live: string }[];
  /** Live lists of which something is restored. */
  readonly lists: Map<string, Positions>;
  /** Those of them whose order their kind has checked. */
  readonly checkedLists: Set<string>;
}

// --- optimizer slots

function componentOf(path: string): string {
  return path.split("/")[0] as string;
}

/** The shapes of the variables that a component has slots for. */
function slotShapes({ kindNamed }: MergeState, { kind, state }: MergedObject): readonly string[] {
  return (kindNamed(kind)?.parts?.belongs?.(state) ?? []).map((shape) => shape.join());
}

/** The shape of a node that training changes. */
function trainedShape({ kindNamed }: MergeState, node: Node): string | undefined {
  return isCase(node, "kind") ? kindNamed(node.kind)?.parts?.trained?.(node.state)?.join() : undefined;
}

/** A path below its component, with the names that the user gave in place of list positions. */
function pathByNames(tree: Tree, path: string): string {
  const steps = path.split("/");
  return steps.slice(1).map((step, i) => {
    const node = /^\d+$/.test(step) ? tree.nodes.get(steps.slice(0, i + 2).join("/")) : undefined;
    return (node === undefined ? undefined : userName(tree, node)) ?? step;
  }).join("/");
}

/** The components of one side that have slots, except those inside another component, which itself lists what it trains. */
function ownersOfSlots(merged: MergeState, side: Side): readonly MergedObject[] {
  return merged.objects.filter((object) =>
    object.side === side && slotShapes(merged, object).length > 0 &&
    !merged.objects.some((outer) => isInside(object, outer))
  );
}

function isInside(object: MergedObject, outer: MergedObject): boolean {
  return outer.at !== object.at && isWithin(object.at, outer.at);
}

/** The paths that a list of references points to; an item that is no reference is at its own path. */
function referredPaths(state: Node | undefined, path: string, steps: readonly string[]): readonly string[] {
  const list = steps.reduce<Node | undefined>(entry, state);
  return (Array.isArray(list) ? list : []).map((node: Node, i) =>
    isCase(node, "shared") ? node.path : [path, ...steps, i].join("/")
  );
}

/** The parts that a list of references points to, by the names that the user gave. */
function referredNames(tree: Tree, state: Node | undefined, path: string, steps: readonly string[]): readonly string[] {
  return referredPaths(state, path, steps).map((at) => pathByNames(tree, at));
}

/**
 * Whether the slots of a restored component belong to the variables that the component around it lists: to the saved ones in the saved order, or
 * to live ones that were all kept, have the shapes of the slots, and are in the order of the saved ones.
 */
function fitsListed(merged: MergeState, object: MergedObject, outer: MergedObject, list: readonly string[]): boolean {
  const { trees: { saved, live }, placed, problems } = merged;
  const before = [...placed.saved].find(([, at]) => at === outer.at)?.[0] ?? outer.at;
  // Other parts are reported already.
  const isOther = ({ kind, path }: Problem): boolean =>
    (kind === "missing" && isWithin(path, outer.at)) || (kind === "extra" && isWithin(path, before));
  if (problems.some(isOther)) return true;
  const origin = saved.nodes.get(before);
  const savedState = origin && stateNode(origin);
  const paths = referredPaths(outer.state, outer.at, list);
  const expected = referredPaths(savedState, before, list).map((path) => placed.saved.get(path));
  if (String(expected) === String(paths)) return true;
  const restored = new Set(placed.saved.values());
  const shapes = paths.map((path) => trainedShape(merged, live.nodes.get(path) ?? null));
  return merged.isOnly && !paths.some((path) => restored.has(path)) &&
    shapes.join(";") === slotShapes(merged, object).join(";") &&
    !isPermutation(
      referredNames(saved, savedState, before, list),
      referredNames(live, outer.state, outer.at, list),
    );
}

/** Restored components with slots inside a component that lists trained variables to which they do not belong. */
function misalignedInside(merged: MergeState): readonly MergedObject[] {
  const { objects, kindNamed } = merged;
  return objects.filter((object) =>
    object.side === "saved" && slotShapes(merged, object).length > 0 &&
    objects.some((outer) => {
      const list = kindNamed(outer.kind)?.parts?.refers;
      return list !== undefined && isInside(object, outer) && !fitsListed(merged, object, outer, list);
    })
  );
}

/** Whether trained parts below a live list are in another order than the saved ones that were restored into them. */
function isReorderedBelow(merged: MergeState, list: string): boolean {
  const { trees: { saved, live }, placed } = merged;
  const position = new Map([...live.nodes.keys()].map((path, i) => [path, i]));
  const positions = [...saved.nodes].flatMap(([path, node]) => {
    const at = placed.saved.get(path);
    return at !== undefined && isWithin(at, list) && trainedShape(merged, node) !== undefined
      ? [position.get(at) ?? -1]
      : [];
  });
  return positions.some((at, i) => i > 0 && at < (positions[i - 1] ?? -1));
}

/** Whether a kept component has the trained parts of the saved one, by name, in another order. */
function isRenumbered(merged: MergeState, component: string, trained: readonly MergedObject[]): boolean {
  const { saved, live } = merged.trees;
  if (trained.some(({ side }) => side === "saved")) return false;
  const before = [...saved.nodes].flatMap(([path, node]) =>
    isWithin(path, component) && trainedShape(merged, node) !== undefined ? [pathByNames(saved, path)] : []
  );
  return isPermutation(before, trained.map(({ at }) => pathByNames(live, at)));
}

/**
 * Restored optimizers whose slots no longer match any component's trainable variables in order and shape.
 *
 * @param reordered Live lists whose items are in another order than the saved ones.
 */
function misalignedSlots(merged: MergeState, reordered: readonly string[]): readonly MergedObject[] {
  const inside = misalignedInside(merged);
  const trained = merged.objects.filter((object) => trainedShape(merged, object) !== undefined);
  const components = [...new Set(trained.map(({ at }) => componentOf(at)))];
  const groups = components.map((component) =>
    [component, trained.filter(({ at }) => componentOf(at) === component)] as const
  );
  const inOtherOrder = new Set([
    ...reordered.filter((list) => isReorderedBelow(merged, list)).map(componentOf),
    ...groups.filter(([component, group]) => isRenumbered(merged, component, group)).map(([component]) => component),
  ]);
  const isDropped = [...merged.trees.saved.nodes].some(([path, node]) =>
    trainedShape(merged, node) !== undefined && !merged.placed.saved.has(path)
  );
  if (!isDropped && inOtherOrder.size === 0 && trained.every(({ side }) => side === "saved")) return inside;
  // Slots fit a component that was restored as a whole, in its order, with variables of their shapes; with `only`, also one that was not named.
  const fitting = new Set(
    groups.filter(([component, group]) =>
      !inOtherOrder.has(component) && group.every(({ side }) => side === (merged.isOnly ? group[0]?.side : "saved"))
    ).map(([, group]) => group.map((object) => trainedShape(merged, object)).join(";")),
  );
  const outside = ownersOfSlots(merged, "saved")
    .filter((owner) => groups.length > 0 && !fitting.has(slotShapes(merged, owner).join(";")));
  return [...outside, ...inside];
}

// --- the merged tree

/** The problem of a list whose items are in another order than the saved ones. */
export function orderProblem(path: string): Problem {
  return {
    path,
    kind: "config",
    expected: "its parts in the same order on both sides",
    found: "another order in each",
    remedy: "Build it in the saved order, or skip the saved one and keep that of your script",
  };
}

/** The creation order of objects: the live one, in which restored objects take each other's places in the saved order. */
function creationOrder({ trees, placed }: MergeState, keepsLiveOrder: (kind: string) => boolean): Encoded["order"] {
  return trees.live.encoded.order.map(([kind, live]) => {
    if (keepsLiveOrder(kind)) return [kind, live];
    const saved = trees.saved.encoded.order.find(([name]) => name === kind)?.[1] ?? [];
    const known = new Set(live);
    const restored = saved.map((path) => placed.saved.get(path)).filter((path) =>
      path !== undefined && known.has(path)
    );
    const moving = new Set(restored);
    const next = restored.values();
    return [kind, live.map((path) => moving.has(path) ? next.next().value ?? path : path)];
  });
}

/** The problems of names in `convert` below which no tensor was converted. */
function conversionProblems({ options, converted }: MergeState): readonly Problem[] {
  const isDone = (outer: string): boolean => converted.some(({ path }) => isWithin(path, outer));
  const expected = "a tensor of another dtype to convert";
  return options.converts.filter(({ paths }) => paths.length > 0 && !paths.some(isDone))
    .map(({ name }) => ({
      path: name,
      kind: "dtype",
      expected,
      found: "none",
      remedy: "If convert has done its work in an earlier start, take this name out. Otherwise correct it",
    }));
}

/** The problems of restored optimizers whose slots would be applied to other variables. */
function slotProblems(merged: MergeState, reordered: readonly string[], isSavedOrder: boolean): readonly Problem[] {
  const displaced = isSavedOrder ? [] : ownersOfSlots(merged, "saved");
  const paths = new Set([...misalignedSlots(merged, reordered), ...displaced].map(({ at }) => at));
  return [...paths].map((path) => ({
    path,
    kind: "sharing",
    expected: "its variables restored in the saved order",
    found: "some kept, left out or moved",
  }));
}

/** The creation order of the merged objects, and everything that is wrong with the merged tree. */
export function checkMerge(
  merged: MergeState,
): { readonly order: Encoded["order"]; readonly problems: readonly Problem[] } {
  const { options, kindNamed, lists, checkedLists } = merged;
  const reordered = [...lists].flatMap(([path, positions]) => keepsOrder(positions) ? [] : [path]);
  const unchecked = reordered.filter((path) => !checkedLists.has(path));
  const problems = [...options.problems, ...merged.problems, ...unchecked.map(orderProblem)];
  // Kept slots belong to variables in the live order, restored ones to variables in the saved order.
  const areKept = ownersOfSlots(merged, "live").length > 0;
  const order = creationOrder(merged, (kind) => areKept && kindNamed(kind)?.reorder !== undefined);
  const isSavedOrder = !areKept || JSON.stringify(creationOrder(merged, () => false)) === JSON.stringify(order);
  return {
    order,
    problems: [
      ...problems,
      // Where anything else is wrong, a tensor may not have been reached.
      ...(problems.length > 0 ? [] : conversionProblems(merged)),
      ...slotProblems(merged, reordered, isSavedOrder),
    ],
  };
}

/** The report of a merge. */
export function reportOf(
  { restored, kept, skipped, converted, options, trees }: MergeState,
  { only }: Selection,
): RestoredParts {
  const components = trees.live.encoded.components.map(([name]) => join("", name));
  return {
    restored: only === undefined ? [...restored, ...components.filter((path) => !kept.includes(path))] : restored,
    kept,
    skipped: [...options.skipped, ...skipped],
    renamed: options.renamed,
    converted,
  };
}
