/**
 * What belongs to variables by position, as an optimizer's accumulators do, where not everything is restored.
 *
 * @module
 */
import type { AnyKind } from "./component.ts";
import type { Tree } from "./selection.ts";
import { isBranch, join, type Node } from "./state_tree.ts";

// --- types

/** Which of two trees a part comes from: the snapshot's or the live one. */
export type Side = "saved" | "live";

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
    const name = isBranch(node) && node.is === "kind" ? kindNamed(node.kind)?.parts?.late : undefined;
    return name === undefined ? [] : [join(path, name)];
  });
}

/** The live path of a saved part, if it or a part around it was kept in favour of its live counterpart. */
export function counterpart(path: string, kept: ReadonlyMap<string, string>): string | undefined {
  const found = [...kept].find(([saved]) => isWithin(path, saved));
  return found && `${found[1]}${path.slice(found[0].length)}`;
}

/** Where state was restored that belongs to variables by position, if those of no whole component are those that it belonged to. */
export function adrift(
  { nodes }: Tree,
  components: readonly Component[],
  placed: ReadonlyMap<string, string>,
  kindNamed: (name: string) => AnyKind | undefined,
): readonly string[] {
  const shapeOf = (kind: string, state: Node): string | undefined => kindNamed(kind)?.parts?.trained?.(state)?.join();
  const trained = components.flatMap(({ kind, state, at, side }) => {
    const shape = shapeOf(kind, state);
    return shape === undefined ? [] : [{ owner: at.split("/")[0], shape, side }];
  });
  const dropped = [...nodes].some(([path, node]) =>
    isBranch(node) && node.is === "kind" && !placed.has(path) && shapeOf(node.kind, node.state) !== undefined
  );
  if (!dropped && trained.every(({ side }) => side === "saved")) return [];
  const owners = [...Map.groupBy(trained, ({ owner }) => owner).values()];
  return components.flatMap(({ kind, state, at, side }) => {
    const shapes = (kindNamed(kind)?.parts?.belongs?.(state) ?? []).map((shape) => shape.join());
    // What stands in another component says itself what it trains.
    const inside = components.some((outer) => outer.at !== at && isWithin(at, outer.at));
    const fits = owners.some((owned) =>
      owned.every((one) => one.side === owned[0]?.side) &&
      owned.map(({ shape }) => shape).join(";") === shapes.join(";")
    );
    return side === "live" || shapes.length === 0 || inside || fits || owners.length === 0 ? [] : [at];
  });
}
