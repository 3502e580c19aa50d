/**
 * The report of a merge, and the checks that need the whole merged tree: the order of lists, of objects and of optimizer slots.
 *
 * @module
 */
import { type MergedObject, misalignedSlots, ownersOfSlots } from "./optimizer_slots.ts";
import { type AnyKind, type Encoded, join } from "../mod.ts";
import type { Problem } from "../../errors/mod.ts";
import { keepsOrder, type Positions } from "./match.ts";
import type { Resolved } from "./resolve.ts";
import type { RestoredParts, Selection } from "./options.ts";
import { isWithin, type Trees } from "./trees.ts";

// --- types

/** What a merge found or did at one path. */
export type Note =
  | { readonly is: "restored" | "kept" | "skipped"; readonly path: string }
  | { readonly is: "converted"; readonly path: string; readonly from: string; readonly to: string }
  /** A saved part whose live counterpart was kept. */
  | { readonly is: "replaced"; readonly saved: string; readonly live: string }
  /** A live list of which something is restored. */
  | { readonly is: "list"; readonly path: string; readonly positions: Positions }
  /** A list whose order its kind has checked. */
  | { readonly is: "checked"; readonly path: string }
  | { readonly is: "problem"; readonly problem: Problem };

/** What a merge gives besides the tree. */
export interface MergeResult {
  readonly trees: Trees;
  readonly options: Resolved;
  readonly kindNamed: (name: string) => AnyKind | undefined;
  /** For saved paths that were restored, their path in the merged tree. */
  readonly placed: ReadonlyMap<string, string>;
  /** The components of the merged tree, at any depth. */
  readonly objects: readonly MergedObject[];
  readonly notes: readonly Note[];
}

// --- combinators

/** The notes of one sort. */
function select<Is extends Note["is"]>(notes: readonly Note[], is: Is): readonly Extract<Note, { readonly is: Is }>[] {
  return notes.filter((note): note is Extract<Note, { readonly is: Is }> => note.is === is);
}

function pathsOf(notes: readonly Note[], is: "restored" | "kept" | "skipped" | "checked"): readonly string[] {
  return notes.flatMap((note) => note.is === is ? [note.path] : []);
}

/** The problem of a list whose items are in another order than the saved ones. */
export function orderProblem(path: string): Problem {
  return {
    path,
    kind: "config",
    expected: "the parts on both sides in the live order",
    found:
      "another order in the snapshot: build the live one as it was saved, or `skip` the saved and `keep` the live one",
  };
}

/** The creation order of objects: the live one, in which restored objects take each other's places in the saved order. */
function creationOrder(
  { trees, placed }: MergeResult,
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

/** The problems of names in `convert` below which no tensor was converted. */
function conversionProblems({ options, notes }: MergeResult): readonly Problem[] {
  const done = select(notes, "converted");
  return options.converts
    .filter(({ paths }) => paths.length > 0 && !done.some(({ path }) => paths.some((outer) => isWithin(path, outer))))
    .map(({ name }) => ({
      path: name,
      kind: "dtype",
      expected: "a tensor of another dtype to convert",
      found: "none",
    }));
}

/** The problems of restored optimizers whose slots would be applied to other variables. */
function slotProblems(
  { trees, kindNamed, placed, objects }: MergeResult,
  reordered: readonly string[],
  isSavedOrder: boolean,
): readonly Problem[] {
  const displaced = isSavedOrder ? [] : ownersOfSlots(objects, "saved", kindNamed).map(({ at }) => at);
  const paths = new Set([...misalignedSlots(trees, objects, placed, kindNamed, reordered), ...displaced]);
  return [...paths].map((path) => ({
    path,
    kind: "sharing",
    expected: "variables that are all restored in the saved order, because the accumulators belong to them by position",
    found: "variables that are kept, missing or in another order: name the optimizer in `keep`, too",
  }));
}

/** The creation order of the merged objects, and everything that is wrong with the merged tree. */
export function checkMerge(
  result: MergeResult,
): { readonly order: Encoded["order"]; readonly problems: readonly Problem[] } {
  const { options, kindNamed, objects, notes } = result;
  const reordered = select(notes, "list").flatMap(({ path, positions }) => keepsOrder(positions) ? [] : [path]);
  const checked = pathsOf(notes, "checked");
  const problems = [
    ...options.problems,
    ...select(notes, "problem").map(({ problem }) => problem),
    ...reordered.filter((path) => !checked.includes(path)).map(orderProblem),
  ];
  // Kept slots belong to variables in the live order, restored ones to variables in the saved order.
  const areKept = ownersOfSlots(objects, "live", kindNamed).length > 0;
  const order = creationOrder(result, (kind) => areKept && kindNamed(kind)?.reorder !== undefined);
  const isSavedOrder = !areKept || JSON.stringify(creationOrder(result, () => false)) === JSON.stringify(order);
  return {
    order,
    problems: [
      ...problems,
      // Where anything else is wrong, a tensor may not have been reached.
      ...(problems.length > 0 ? [] : conversionProblems(result)),
      ...slotProblems(result, reordered, isSavedOrder),
    ],
  };
}

/** The report of a merge. */
export function reportOf({ notes, options, trees }: MergeResult, { only }: Selection): RestoredParts {
  const kept = pathsOf(notes, "kept");
  const components = trees.live.encoded.components.map(([name]) => join("", name));
  return {
    restored: [
      ...pathsOf(notes, "restored"),
      ...(only === undefined ? components.filter((path) => !kept.includes(path)) : []),
    ],
    kept,
    skipped: [...options.skipped, ...pathsOf(notes, "skipped")],
    renamed: options.renamed,
    converted: select(notes, "converted").map(({ path, from, to }) => ({ path, from, to })),
  };
}
