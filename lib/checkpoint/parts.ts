/**
 * Parts of a state by their paths, as errors and `dogear inspect` name them.
 *
 * @module
 */
import { arraysOf, children, type Held, isCase, type Named, type Node, nodesByPath, segment } from "../state/mod.ts";
import { nearest } from "../errors/mod.ts";

// --- types

/** A node with its path. */
export type Part = readonly [path: string, node: Node];

// --- combinators

/**
 * The nodes without children: arrays, empty branches, shared objects and plain values. Those that no path in the file names are left out.
 *
 * @param part The node to begin with.
 * @param isLeaf Other nodes that are not entered.
 */
export function leavesOf([path, node]: Part, isLeaf: (node: Node) => boolean = () => false): readonly Part[] {
  if (isCase(node, "aside")) return [];
  const below = isLeaf(node) ? [] : children(node, path);
  return below.length === 0 ? [[path, node]] : below.flatMap((part) => leavesOf(part, isLeaf));
}

/** The array that a node is, if it is one. */
export function heldOf(node: Node): Held | undefined {
  return isCase(node, "array") ? node.held : undefined;
}

/** Finds a part by its path, or a tensor by its component and its name in the component's file, such as `model/dense/kernel`. */
export function findPart(components: readonly Named[], path: string): Part | undefined {
  const roots = components.map(([name, root]): Part => [segment(name), root]);
  const nodes = nodesByPath(components);
  const node = nodes.get(path) ?? roots.flatMap((root) => leavesOf(root)).find(([at]) => at === path)?.[1];
  if (node !== undefined) return [path, isCase(node, "shared") ? nodes.get(node.path) ?? node : node];
  return roots.flatMap(([at, root]) =>
    arraysOf(root, at).filter(([, { name }]) => name !== undefined && `${at}/${name}` === path)
  )[0];
}

/**
 * The names of all tensors by their paths: component and name in its file where only one has that name, otherwise the path. {@link findPart} finds
 * each by its name.
 */
export function tensorNames(components: readonly Named[]): ReadonlyMap<string, string> {
  const arrays = components.flatMap(([name, root]) => {
    const at = segment(name);
    return arraysOf(root, at).map(([path, { name }]) => [path, name === undefined ? path : `${at}/${name}`] as const);
  });
  const taken = new Map<string, number>();
  for (const [path, name] of arrays) for (const one of new Set([path, name])) taken.set(one, (taken.get(one) ?? 0) + 1);
  return new Map(arrays.map(([path, name]) => [path, taken.get(name) === 1 ? name : path]));
}

/** The tensors that a name may have been meant for: those that it is the end or a part of, or the nearest one. */
export function namesMeant(components: readonly Named[], path: string): readonly string[] {
  const names = [...tensorNames(components).values()];
  const within = names.filter((name) => name.endsWith(`/${path}`) || name.startsWith(`${path}/`));
  const begun = within.length > 0 ? within : names.filter((name) => path.includes("/") && name.startsWith(path));
  if (begun.length > 0) return begun;
  const few = (letters: number): number => letters < 3 ? 0 : Math.ceil(letters / 3);
  const last = (name: string): string => name.slice(name.lastIndexOf("/") + 1);
  const near = nearest(path, names, few) ?? nearest(path, names.map(last), few);
  return near === undefined ? [] : names.filter((name) => name === near || last(name) === near);
}

/** Some names, and how many there are in all if these are not all. */
export function someOf(names: readonly string[], most: number = 5): string {
  return names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");
}
