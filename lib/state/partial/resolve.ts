/**
 * Resolves the options of a partial restore: from the names that the user wrote to paths in the two trees.
 *
 * @module
 */
import * as RA from "fp-ts/lib/ReadonlyArray.js";
import { type AnyKind, isCase, isWithin, join, type Node, segment } from "../mod.ts";
import type { Problem } from "../../errors/mod.ts";
import type { RestoredParts, Selection } from "./options.ts";
import { follow, pathsAbove, type Side, stateNode, type Tree, type Trees, userName } from "./trees.ts";

// --- types

/** The options of a partial restore as paths, and what was wrong with them. */
export interface Resolved {
  /** For live paths that an option names, the side to take from there on down. */
  readonly sides: ReadonlyMap<string, Side>;
  readonly renamed: RestoredParts["renamed"];
  readonly skipped: readonly string[];
  /** The live paths that each name in `convert` matches. */
  readonly converts: readonly { readonly name: string; readonly paths: readonly string[] }[];
  /** For live paths that are a target of `rename`, the saved path. */
  readonly origins: ReadonlyMap<string, string>;
  /** Saved paths that `rename` or `skip` takes from their own place. */
  readonly taken: ReadonlySet<string>;
  /** Paths of the `name` of renamed list items: the live name is kept. */
  readonly keptNames: ReadonlySet<string>;
  /** Paths of each side that cannot be copied whole, because an option names something below them. */
  readonly divided: Readonly<Record<Side, ReadonlySet<string>>>;
  /** Live paths above those that are restored. */
  readonly aboveRestored: ReadonlySet<string>;
  readonly problems: readonly Problem[];
}

/** One way to a part while a name is looked up; `named` if a step of it was a name that the user gave. */
type Match = readonly [node: Node, path: string, named: boolean];

// --- constructors

/** The child of a record or list by one step of a path. */
function child(node: Node, step: string): Node | undefined {
  if (Array.isArray(node)) return /^\d+$/.test(step) ? node[Number(step)] : undefined;
  return isCase(node, "record") ? node.entries.find(([name]) => segment(name) === step)?.[1] : undefined;
}

/** The parts below a match that a step names: the child with this key, and parts to which the user gave this name. */
function stepInto(tree: Tree, kinds: readonly AnyKind[], [node, path, named]: Match, step: string): readonly Match[] {
  const at = isCase(node, "shared") ? node.path : path;
  const found = follow(tree, node);
  const state = stateNode(found);
  const inside = child(state, step);
  const kind = isCase(found, "kind") ? kinds.find(({ name }) => name === found.kind) : undefined;
  const ways = kind?.parts?.named?.(state, step, (part) => stateNode(follow(tree, part))) ?? [];
  const byName = ways.flatMap((way): readonly Match[] => {
    const end = way.reduce<Node | undefined>((part, name) => part && child(part, String(name)), state);
    return end === undefined ? [] : [[end, way.reduce<string>(join, at), true]];
  });
  return inside === undefined ? byName : [[inside, `${at}/${step}`, named], ...byName];
}

/** The most names of parts that a problem lists. */
const mostNamed = 20;

/** The names of the items of lists in a component: those that the user gave, or paths; of plain data those of its entries. */
function namedBelow(tree: Tree, node: Node, path: string): readonly string[] {
  const state = stateNode(follow(tree, node));
  const at = isCase(node, "shared") ? node.path : path;
  const inside = [...tree.nodes].filter(([below, part]) =>
    isCase(part, "kind") && /\/\d+$/.test(below) && isWithin(below, at)
  );
  const names = inside.length === 0 && isCase(state, "record") && !isCase(follow(tree, node), "kind")
    ? state.entries.map(([name]) => join(path, name))
    : inside.map(([below, part]) => {
      const name = userName(tree, part);
      return name === undefined ? below : below.replace(/\/layers\/\d+$/, `/${segment(name)}`);
    });
  const rest = names.length - mostNamed;
  return rest > 0 ? [...names.slice(0, mostNamed - 1), `${names[mostNamed - 1]} and ${rest} more`] : names;
}

/** The paths that one name of an option matches. It is a problem if nothing matches, or both a path and a name do. */
function lookUp(
  trees: Trees,
  kinds: readonly AnyKind[],
  problems: Problem[],
  side: Side,
  option: string,
  name: string,
): readonly string[] {
  const tree = trees[side];
  const [component, ...steps] = name.split("/");
  const start = tree.encoded.components.filter(([key]) => segment(key) === component)
    .map(([key, node]): Match => [node, segment(key), false]);
  const matches = steps.reduce((found, step) => found.flatMap((match) => stepInto(tree, kinds, match, step)), start);
  const paths = matches.map(([, path]) => path);
  const expected = `${
    side === "live" ? "a part of your script" : "a saved part"
  } of this name for the option ${option}`;
  const remedy = side === "live"
    ? `Correct this name in ${option}, or take it out`
    : `If ${option} has done its work in an earlier start, take this name out. Otherwise correct it`;
  const components = tree.encoded.components.map(([key]) => segment(key)).join(", ");
  const parts = start.flatMap(([node, path]) => namedBelow(tree, node, path));
  const isAmbiguous = new Set(matches.map(([, , named]) => named)).size > 1;
  if (paths.length === 0) {
    problems.push({
      path: name,
      kind: "missing",
      expected,
      found: start.length === 0 ? `only ${components}` : parts.length === 0 ? "none" : `only ${parts.join(", ")}`,
      remedy,
    });
  }
  if (isAmbiguous) {
    problems.push({ path: name, kind: "name", expected, found: `two: ${paths.join(", ")}`, remedy });
  }
  return paths;
}

/** A problem for each path that several options name, whether by name or by path. */
function repeated(paths: readonly string[], options: string): readonly Problem[] {
  return paths.filter((path, i) => paths.indexOf(path) !== i)
    .map((path) => ({
      path,
      kind: "name",
      expected: `at most one of ${options} for it`,
      found: "more",
      remedy: "Name it once",
    }));
}

/**
 * Resolves options to paths.
 *
 * @param trees The saved and the live tree.
 * @param kinds The kinds, which know the names of their parts.
 * @param selection The options.
 */
export function resolveOptions(trees: Trees, kinds: readonly AnyKind[], selection: Selection): Resolved {
  const { only = [], keep = [], skip = [], rename = {}, convert = [] } = selection;
  const problems: Problem[] = [];
  const find = (side: Side, option: string, names: readonly string[]): readonly (readonly string[])[] =>
    names.map((name) => lookUp(trees, kinds, problems, side, option, name));
  const restored = find("live", "only", only).flat();
  const kept = find("live", "keep", keep).flat();
  const origins = find("saved", "rename", Object.keys(rename));
  const targets = find("live", "rename", Object.values(rename));
  const skipped = find("saved", "skip", skip).flat();
  const converted = find("live", "convert", convert);
  const renamed = origins.flatMap((saved, i) => RA.zipWith(saved, targets[i] ?? [], (from, to) => ({ from, to })));
  const taken = [...renamed.map(({ from }) => from), ...skipped];
  const decided = [
    ...restored.map((path) => [path, "saved"] as const),
    ...kept.map((path) => [path, "live"] as const),
    ...renamed.map(({ to }) => [to, "saved"] as const),
  ];
  const sides = new Map<string, Side>(decided);
  // An item of a list has its name in itself; that of a component is its key.
  const keptNames = new Set(renamed.flatMap(({ to }) => /\/\d+$/.test(to) ? [join(to, "name")] : []));
  return {
    sides,
    renamed,
    skipped,
    converts: RA.zipWith(convert, converted, (name, paths) => ({ name, paths })),
    origins: new Map(renamed.map(({ from, to }) => [to, from])),
    taken: new Set(taken),
    keptNames,
    divided: { saved: pathsAbove(taken), live: pathsAbove([...sides.keys(), ...keptNames]) },
    aboveRestored: pathsAbove([...sides].flatMap(([path, side]) => side === "saved" ? [path] : [])),
    problems: [
      ...problems,
      ...repeated(decided.map(([path]) => path), "only, keep and rename"),
      ...repeated(taken, "rename and skip"),
    ],
  };
}

// --- combinators

/** The side to take at a live path, below a node where `outer` is taken. */
export function sideAt({ sides, keptNames }: Resolved, path: string, outer: Side): Side {
  return keptNames.has(path) ? "live" : sides.get(path) ?? outer;
}
