/**
 * Restored optimizers whose slots no longer match the variables that they belong to.
 *
 * An optimizer keeps its accumulators by position: the i-th slot belongs to the i-th trainable variable. After a partial restore the variables
 * of the merged tree may be others, or in another order. Then the slots would be applied to the wrong variables, without an error.
 *
 * @module
 */
import { type AnyKind, entry, isCase, type Node } from "../mod.ts";
import { isPermutation } from "./match.ts";
import { isWithin, type Side, stateNode, type Tree, type Trees, userName } from "./trees.ts";

// --- types

/** A component of the merged tree, at any depth, and the side that it comes from. */
export interface MergedObject {
  readonly kind: string;
  readonly state: Node;
  readonly at: string;
  readonly side: Side;
}

/** A trainable variable or layer of the merged tree: its shape as text, and the component that it is in. */
interface Trained {
  readonly component: string;
  readonly shape: string;
  readonly side: Side;
  readonly at: string;
}

/** For saved paths that were restored, their path in the merged tree. */
type MergedPaths = ReadonlyMap<string, string>;

type KindNamed = (name: string) => AnyKind | undefined;

// --- constructors

function componentOf(path: string): string {
  return path.split("/")[0] as string;
}

/** The shapes of the variables that a component has slots for. */
function slotShapes(kindNamed: KindNamed, { kind, state }: MergedObject): readonly string[] {
  return (kindNamed(kind)?.parts?.belongs?.(state) ?? []).map((shape) => shape.join());
}

function trainedShape(kindNamed: KindNamed, kind: string, state: Node): string | undefined {
  return kindNamed(kind)?.parts?.trained?.(state)?.join();
}

function isTrained(kindNamed: KindNamed, node: Node): boolean {
  return isCase(node, "kind") && trainedShape(kindNamed, node.kind, node.state) !== undefined;
}

/** A path below its component, with the names that the user gave in place of list positions. */
function pathByNames(tree: Tree, path: string): string {
  const steps = path.split("/");
  return steps.slice(1).map((step, i) => {
    const node = /^\d+$/.test(step) ? tree.nodes.get(steps.slice(0, i + 2).join("/")) : undefined;
    return (node === undefined ? undefined : userName(tree, node)) ?? step;
  }).join("/");
}

/** The parts that a list of references points to, by the names that the user gave. */
function referredNames(
  tree: Tree,
  state: Node | undefined,
  path: string,
  references: readonly string[],
): readonly string[] {
  const list = references.reduce<Node | undefined>(entry, state);
  return (Array.isArray(list) ? list : []).map((node: Node, i) =>
    pathByNames(tree, isCase(node, "shared") ? node.path : [path, ...references, i].join("/"))
  );
}

// --- combinators

/** The components of one side that have slots, except those inside another component, which itself lists what it trains. */
export function ownersOfSlots(
  objects: readonly MergedObject[],
  side: Side,
  kindNamed: KindNamed,
): readonly MergedObject[] {
  return objects.filter((object) =>
    object.side === side && slotShapes(kindNamed, object).length > 0 &&
    !objects.some((outer) => outer.at !== object.at && isWithin(object.at, outer.at))
  );
}

/** Restored components with slots inside a component that lists the trained variables in another order than the saved one. */
function misalignedInside(
  { saved, live }: Trees,
  objects: readonly MergedObject[],
  placed: MergedPaths,
  kindNamed: KindNamed,
): readonly string[] {
  const listsInOtherOrder = (outer: MergedObject, references: readonly string[]): boolean => {
    const before = [...placed].find(([, at]) => at === outer.at)?.[0] ?? outer.at;
    const origin = saved.nodes.get(before);
    return isPermutation(
      referredNames(saved, origin && stateNode(origin), before, references),
      referredNames(live, outer.state, outer.at, references),
    );
  };
  return objects.filter((object) => {
    if (object.side === "live" || slotShapes(kindNamed, object).length === 0) return false;
    return objects.some((outer) => {
      const isOutside = outer.at !== object.at && isWithin(object.at, outer.at);
      const references = isOutside ? kindNamed(outer.kind)?.parts?.refers : undefined;
      return references !== undefined && listsInOtherOrder(outer, references);
    });
  }).map(({ at }) => at);
}

/** Whether trained parts below a live list are in another order than the saved ones that were restored into them. */
function isReorderedBelow({ saved, live }: Trees, placed: MergedPaths, list: string, kindNamed: KindNamed): boolean {
  const position = new Map([...live.nodes.keys()].map((path, i) => [path, i]));
  const positions = [...saved.nodes].flatMap(([path, node]) => {
    const at = placed.get(path);
    return at !== undefined && isWithin(at, list) && isTrained(kindNamed, node) ? [position.get(at) ?? -1] : [];
  });
  return positions.some((at, i) => i > 0 && at < (positions[i - 1] ?? -1));
}

/** Whether a kept component has the trained parts of the saved one, by name, in another order. */
function isRenumbered({ saved, live }: Trees, trained: readonly Trained[], kindNamed: KindNamed): boolean {
  const component = trained[0]?.component;
  if (component === undefined || trained.some(({ side }) => side === "saved")) return false;
  const before = [...saved.nodes].flatMap(([path, node]) =>
    isWithin(path, component) && isTrained(kindNamed, node) ? [pathByNames(saved, path)] : []
  );
  return isPermutation(before, trained.map(({ at }) => pathByNames(live, at)));
}

/**
 * Paths of restored optimizers whose slots no longer match any component's trainable variables in order and shape.
 *
 * @param trees The saved and the live tree.
 * @param objects Every component of the merged tree.
 * @param placed For saved paths that were restored, their path in the merged tree.
 * @param kindNamed Finds a kind by its name.
 * @param reordered Live lists whose items are in another order than the saved ones.
 */
export function misalignedSlots(
  trees: Trees,
  objects: readonly MergedObject[],
  placed: MergedPaths,
  kindNamed: KindNamed,
  reordered: readonly string[],
): readonly string[] {
  const inside = misalignedInside(trees, objects, placed, kindNamed);
  const trained = objects.flatMap(({ kind, state, at, side }): readonly Trained[] => {
    const shape = trainedShape(kindNamed, kind, state);
    return shape === undefined ? [] : [{ component: componentOf(at), shape, side, at }];
  });
  const groups = [...Map.groupBy(trained, ({ component }) => component).values()];
  const inOtherOrder = new Set([
    ...reordered.filter((list) => isReorderedBelow(trees, placed, list, kindNamed)).map(componentOf),
    ...groups.filter((group) => isRenumbered(trees, group, kindNamed)).flatMap(([first]) => first?.component ?? []),
  ]);
  const isDropped = [...trees.saved.nodes].some(([path, node]) => isTrained(kindNamed, node) && !placed.has(path));
  if (!isDropped && inOtherOrder.size === 0 && trained.every(({ side }) => side === "saved")) return inside;
  // Slots fit a component that was restored or kept as a whole, in its order, with variables of their shapes.
  const fitting = new Set(
    groups.filter((group) =>
      group.every(({ side, component }) => side === group[0]?.side && !inOtherOrder.has(component))
    ).map((group) => group.map(({ shape }) => shape).join(";")),
  );
  const outside = ownersOfSlots(objects, "saved", kindNamed)
    .filter((owner) => groups.length > 0 && !fitting.has(slotShapes(kindNamed, owner).join(";")));
  return [...outside.map(({ at }) => at), ...inside];
}
