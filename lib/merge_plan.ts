/**
 * Plans a partial restore: for each live part, whether it is copied from one side or merged from the parts of both.
 *
 * A plan follows the live tree. It does not know yet which objects are shared: `merge` finds that out in the order in which it builds.
 *
 * @module
 */
import type { Problem } from "./errors.ts";
import { matchLists, type Positions } from "./matching.ts";
import { type Resolved, sideAt } from "./resolving.ts";
import { type LocatedNode, type Side, stateNode, type Trees } from "./side_trees.ts";
import { type Branch, entry, isBranch, join, type Node } from "./state_tree.ts";

// --- types

/** What is known about one part, for the report and for the checks after the merge. */
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

/** How one part of the merged tree is made. */
export type MergePlan =
  & { readonly at: string; readonly notes: readonly Note[] }
  & (
    /** A part of one side, with everything below it. */
    | { readonly do: "copy"; readonly side: Side; readonly from: LocatedNode }
    /** One object of both sides; `saved` is its saved path. */
    | { readonly do: "merge"; readonly side: Side; readonly saved: string | undefined; readonly content: Content }
  );

/** How the content of a part that is on both sides is made. */
export type Content =
  /** Content of one side: the two cannot be merged. */
  | { readonly do: "content"; readonly side: Side; readonly from: LocatedNode }
  | { readonly do: "aside"; readonly state: Content }
  | {
    readonly do: "kind";
    readonly kind: string;
    readonly state: Content;
    readonly saved: Node;
    readonly live: Node;
    /** The lists among its entries of which something is restored. */
    readonly lists: readonly (readonly [name: string, positions: Positions])[];
  }
  | {
    readonly do: "record";
    readonly entries: readonly (readonly [name: string, plan: MergePlan])[];
    /** Saved entries without a live counterpart. */
    readonly rest: readonly (readonly [name: string, saved: LocatedNode])[];
  }
  | { readonly do: "list"; readonly notes: readonly Note[]; readonly items: readonly MergePlan[] };

/** What every step of planning reads. */
interface Context {
  readonly trees: Trees;
  readonly options: Resolved;
}

// --- constructors

function problemAt(path: string, kind: Problem["kind"], expected: string, found: string): Note {
  return { is: "problem", problem: { path, kind, expected, found } };
}

/** The problem of a list whose items are in another order than the saved ones. */
export function orderProblem(path: string): Note {
  return problemAt(
    path,
    "config",
    "the parts that both sides have in the order of the live ones",
    "another order in the snapshot: build it as it was saved, or skip the saved part and keep the live one",
  );
}

/** The saved counterpart that `rename` gives to a live path. */
function renamedTo({ trees, options }: Context, path: string): LocatedNode | undefined {
  const origin = options.origins.get(path);
  if (origin === undefined) return undefined;
  const end = origin.lastIndexOf("/");
  const outer = trees.saved.nodes.get(origin.slice(0, end));
  // Scalars are not among the nodes by path.
  const scalar = outer && entry(stateNode(outer), origin.slice(end + 1));
  return { node: trees.saved.nodes.get(origin) ?? scalar ?? null, path: origin };
}

/** The plan of one live part, below a part that is taken from the side `outer`. */
function planPart(context: Context, outer: Side, saved: LocatedNode | undefined, live: LocatedNode): MergePlan {
  const { options } = context;
  const at = live.path;
  const side = sideAt(options, at, outer);
  const restored: readonly Note[] = side === "saved" && outer === "live" ? [{ is: "restored", path: at }] : [];
  const isWhole = !options.divided.live.has(at) && !(saved !== undefined && options.divided.saved.has(saved.path));
  if (isWhole && side === "live") {
    return { at, do: "copy", side, from: live, notes: keptNotes(options, saved, live) };
  }
  if (saved === undefined && side === "saved") {
    const expected = "a part of the snapshot to restore";
    const missing = problemAt(at, "missing", expected, "none: keep the live one, or name the saved one in rename");
    return { at, do: "copy", side: "live", from: live, notes: [...restored, missing] };
  }
  if (isWhole && saved !== undefined) {
    // A list that is restored without its component keeps its order, but the component may use that order differently.
    const list: readonly Note[] = outer === "live" && Array.isArray(saved.node)
      ? [{ is: "list", path: at, positions: new Map(saved.node.map((_: Node, i) => [i, i])) }]
      : [];
    return { at, do: "copy", side: "saved", from: saved, notes: [...restored, ...list] };
  }
  if (isBranch(live.node) && live.node.is === "shared") {
    return { at, do: "copy", side, from: side === "live" ? live : saved ?? live, notes: restored };
  }
  const from = saved && isBranch(saved.node) && saved.node.is === "shared"
    ? { node: context.trees.saved.nodes.get(saved.node.path) ?? null, path: saved.node.path }
    : saved;
  return { at, do: "merge", side, saved: from?.path, content: planContent(context, side, from, live), notes: restored };
}

/** What is noted where a live part is kept whole. */
function keptNotes(
  { keptNames }: Resolved,
  saved: LocatedNode | undefined,
  { node, path }: LocatedNode,
): readonly Note[] {
  const isReported = node !== null && !keptNames.has(path);
  return [
    ...(isReported ? [{ is: "kept", path } as const] : []),
    ...(isReported && saved !== undefined ? [{ is: "skipped", path: saved.path } as const] : []),
    ...(saved === undefined ? [] : [{ is: "replaced", saved: saved.path, live: path } as const]),
  ];
}

/** The plan of the content of a part that is on both sides. */
function planContent(context: Context, side: Side, saved: LocatedNode | undefined, live: LocatedNode): Content {
  const [a, b] = [saved?.node, live.node];
  const below = (savedState: Node | undefined, state: Node): Content =>
    planContent(
      context,
      side,
      saved && { node: savedState ?? null, path: saved.path },
      { node: state, path: live.path },
    );
  if (Array.isArray(b) && (a === undefined || Array.isArray(a))) return planList(context, side, saved, live);
  if (isBranch(b)) {
    const other = a !== undefined && isBranch(a) ? a : undefined;
    const isAlone = a === undefined;
    if (b.is === "aside" && (isAlone || other?.is === "aside")) {
      return { do: "aside", state: below(other && stateOfBranch(other), b.state) };
    }
    if (b.is === "kind" && (isAlone || (other?.is === "kind" && other.kind === b.kind))) {
      const savedState = other && stateOfBranch(other);
      const state = below(savedState, b.state);
      return { do: "kind", kind: b.kind, state, saved: savedState ?? null, live: b.state, lists: listsOf(state) };
    }
    if (b.is === "record" && (isAlone || other?.is === "record")) return planRecord(context, side, saved, live);
  }
  return side === "saved" && saved !== undefined
    ? { do: "content", side, from: saved }
    : { do: "content", side: "live", from: live };
}

function stateOfBranch(branch: Branch): Node | undefined {
  return branch.is === "kind" || branch.is === "aside" ? branch.state : undefined;
}

/** The entries of a planned record that are lists of which something is restored. */
function listsOf(content: Content): readonly (readonly [name: string, positions: Positions])[] {
  if (content.do !== "record") return [];
  return content.entries.flatMap(([name, plan]) => {
    const below = plan.do === "merge" && plan.content.do === "list" ? plan.content.notes : [];
    return [...plan.notes, ...below].flatMap((note): readonly (readonly [string, Positions])[] =>
      note.is === "list" && note.path === plan.at ? [[name, note.positions]] : []
    );
  });
}

function entriesOf(place: LocatedNode | undefined): readonly (readonly [name: string, LocatedNode])[] {
  return place !== undefined && isBranch(place.node) && place.node.is === "record"
    ? place.node.entries.map(([name, node]) => [name, { node, path: join(place.path, name) }])
    : [];
}

function planRecord(context: Context, side: Side, saved: LocatedNode | undefined, live: LocatedNode): Content {
  const { options } = context;
  const rest = new Map(entriesOf(saved).filter(([, { path }]) => !options.taken.has(path)));
  const entries = entriesOf(live).flatMap(([name, place]): readonly (readonly [string, MergePlan])[] => {
    const renamed = renamedTo(context, place.path);
    const from = renamed ?? rest.get(name);
    if (renamed === undefined) rest.delete(name);
    // Left out, so that the restore reports it as missing, as it does without options.
    const isMissing = from === undefined && sideAt(options, place.path, side) === "saved" &&
      !options.divided.live.has(place.path);
    return isMissing ? [] : [[name, planPart(context, side, from, place)]];
  });
  return { do: "record", entries, rest: [...rest] };
}

function planList(context: Context, side: Side, saved: LocatedNode | undefined, live: LocatedNode): Content {
  const { items, left, positions, isReordered } = matchLists(context.trees, context.options, side, saved, live);
  return {
    do: "list",
    notes: [
      ...(positions === undefined ? [] : [{ is: "list", path: live.path, positions } as const]),
      ...(isReordered ? [orderProblem(live.path)] : []),
      ...left.map(({ path }): Note =>
        side === "live" ? { is: "skipped", path } : problemAt(
          path,
          "extra",
          "no such part, as in the live components",
          "one in the snapshot: skip or rename it",
        )
      ),
    ],
    items: items.map((item) => planPart(context, side, renamedTo(context, item.live.path) ?? item.saved, item.live)),
  };
}

// --- combinators

/**
 * The plan of all components.
 *
 * @param trees The saved and the live tree.
 * @param options The resolved options.
 * @param side The side to take where no option decides.
 */
export function planMerge(trees: Trees, options: Resolved, side: Side): Content {
  const root = ({ encoded }: Trees[Side]): LocatedNode => ({
    node: { is: "record", entries: encoded.components },
    path: "",
  });
  return planRecord({ trees, options }, side, root(trees.saved), root(trees.live));
}
