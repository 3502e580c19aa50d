/**
 * What belongs to variables by position, as an optimizer's accumulators do, where not everything is restored.
 *
 * @module
 */
import type { AnyKind } from "./component.ts";
import { nameOf, type Side, stateOf, type Tree } from "./selection.ts";
import { entry, isBranch, join, type Node } from "./state_tree.ts";

// --- types

/** A component at any depth of the grafted tree. */
export interface Component {
  readonly kind: string;
  readonly state: Node;
  readonly at: string;
  readonly side: Side;
}

// --- combinators

/** Whether a path is another or below it. */
export function isWithin(path: string, outer: string): boolean {
  return path === outer || path.startsWith(`${outer}/`);
}

/** The records of fields in a tree, by path: what is in them may refer to anything in the tree. */
export function fieldsIn({ nodes }: Tree, kindNamed: (name: string) => AnyKind | undefined): readonly string[] {
  return [...nodes].flatMap(([path, node]) => {
    const name = isBranch(node) && node.is === "kind" ? kindNamed(node.kind)?.parts?.deferred : undefined;
    return name === undefined ? [] : [join(path, name)];
  });
}

/** The live path of a saved part, if it or a part around it was kept in favour of its live counterpart. */
export function counterpart(path: string, kept: ReadonlyMap<string, string>): string | undefined {
  const found = [...kept].find(([saved]) => isWithin(path, saved));
  return found && `${found[1]}${path.slice(found[0].length)}`;
}

/** A path in a tree by the names that the user gave to items of lists on it, below its component. */
function byNames(tree: Tree, path: string): string {
  const steps = path.split("/");
  return steps.slice(1).map((step, i) => {
    const node = /^\d+$/.test(step) ? tree.nodes.get(steps.slice(0, i + 2).join("/")) : undefined;
    return (node === undefined ? undefined : nameOf(tree, node)) ?? step;
  }).join("/");
}

/** Whether the same names come in two orders. */
function isPermuted(a: readonly string[], b: readonly string[]): boolean {
  return String(a) !== String(b) && String(a.toSorted()) === String(b.toSorted());
}

/** Whether a component in another one belongs to variables that this lists in another order than the saved one did. */
function refersElsewhere(
  { saved, live }: Readonly<Record<Side, Tree>>,
  placed: ReadonlyMap<string, string>,
  outer: Component,
  refers: readonly string[],
): boolean {
  const before = [...placed].find(([, at]) => at === outer.at)?.[0] ?? outer.at;
  const origin = saved.nodes.get(before);
  const listed = (tree: Tree, state: Node | undefined, path: string): readonly string[] => {
    const list = refers.reduce<Node | undefined>(entry, state);
    return (Array.isArray(list) ? list : []).map((node: Node, i) =>
      byNames(tree, isBranch(node) && node.is === "shared" ? node.path : [path, ...refers, i].join("/"))
    );
  };
  return isPermuted(listed(saved, origin && stateOf(origin), before), listed(live, outer.state, outer.at));
}

/** Components of one side with state that belongs to variables by position; what is in another component says itself what it trains. */
export function holdersOfSlots(
  components: readonly Component[],
  side: Side,
  kindNamed: (name: string) => AnyKind | undefined,
): readonly Component[] {
  return components.filter((component) =>
    component.side === side && (kindNamed(component.kind)?.parts?.belongs?.(component.state) ?? []).length > 0 &&
    !components.some((outer) => outer.at !== component.at && isWithin(component.at, outer.at))
  );
}

/** Whether trained parts below a live list are in another order than the saved ones that were restored into them. */
function exchanges(
  { saved, live }: Readonly<Record<Side, Tree>>,
  placed: ReadonlyMap<string, string>,
  list: string,
  isTrained: (node: Node) => boolean,
): boolean {
  const position = new Map([...live.nodes.keys()].map((path, i) => [path, i]));
  const places = [...saved.nodes].flatMap(([path, node]) => {
    const at = placed.get(path);
    return at !== undefined && isWithin(at, list) && isTrained(node) ? [position.get(at) ?? -1] : [];
  });
  return places.some((place, i) => i > 0 && place < (places[i - 1] ?? -1));
}

/**
 * Where state was restored that belongs to variables by position, if those of no whole component are those that it belonged to, in their order.
 *
 * @param trees Both trees.
 * @param components Every component of the grafted tree.
 * @param placed The live path of each saved node that was restored.
 * @param kindNamed The kinds.
 * @param disordered Live lists whose items are in another order than the saved ones.
 */
export function adrift(
  trees: Readonly<Record<Side, Tree>>,
  components: readonly Component[],
  placed: ReadonlyMap<string, string>,
  kindNamed: (name: string) => AnyKind | undefined,
  disordered: readonly string[],
): readonly string[] {
  const shapeOf = (kind: string, state: Node): string | undefined => kindNamed(kind)?.parts?.trained?.(state)?.join();
  const isTrained = (node: Node): boolean =>
    isBranch(node) && node.is === "kind" && shapeOf(node.kind, node.state) !== undefined;
  const trained = components.flatMap(({ kind, state, at, side }) => {
    const shape = shapeOf(kind, state);
    return shape === undefined ? [] : [{ owner: at.split("/")[0], shape, side, at }];
  });
  const exchanged = new Set(
    disordered.filter((list) => exchanges(trees, placed, list, isTrained)).map((list) => list.split("/")[0]),
  );
  const inner = components.filter(({ kind, state, at, side }) => {
    if (side === "live" || (kindNamed(kind)?.parts?.belongs?.(state) ?? []).length === 0) return false;
    return components.some((outer) => {
      const refers = outer.at !== at && isWithin(at, outer.at) ? kindNamed(outer.kind)?.parts?.refers : undefined;
      return refers !== undefined && refersElsewhere(trees, placed, outer, refers);
    });
  }).map(({ at }) => at);
  const owners = [...Map.groupBy(trained, ({ owner }) => owner).values()];
  for (const owned of owners) {
    const name = owned[0]?.owner;
    if (name === undefined || owned.some(({ side }) => side === "saved")) continue;
    const before = [...trees.saved.nodes].flatMap(([path, node]) =>
      isWithin(path, name) && isTrained(node) ? [byNames(trees.saved, path)] : []
    );
    if (isPermuted(before, owned.map(({ at }) => byNames(trees.live, at)))) exchanged.add(name);
  }
  const dropped = [...trees.saved.nodes].some(([path, node]) => isTrained(node) && !placed.has(path));
  if (!dropped && exchanged.size === 0 && trained.every(({ side }) => side === "saved")) return inner;
  const outside = holdersOfSlots(components, "saved", kindNamed).flatMap(({ kind, state, at }) => {
    const shapes = (kindNamed(kind)?.parts?.belongs?.(state) ?? []).map((shape) => shape.join()).join(";");
    const fits = owners.some((owned) =>
      owned.every((one) => one.side === owned[0]?.side && !exchanged.has(one.owner)) &&
      owned.map(({ shape }) => shape).join(";") === shapes
    );
    return fits || owners.length === 0 ? [] : [at];
  });
  return [...outside, ...inner];
}
