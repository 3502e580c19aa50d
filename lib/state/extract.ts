/**
 * One component of captured components, taken out alone.
 *
 * @module
 */
import type { Encoded } from "./capture.ts";
import { fold, isCase, isWithin, join, type Named, type Node, nodesByPath, record, segment } from "./tree.ts";

// --- types

/** Changes the state of an object of a kind on its way out. */
type Change = (kind: string, state: Node) => Node;

interface Extracting {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly root: string;
  readonly change: Change;
  /** The new path of each node by its old one. */
  readonly placed: Map<string, string>;
}

interface Place {
  readonly extracting: Extracting;
  /** The old path of a node. */
  readonly from: string;
  /** The new one. */
  readonly to: string;
}

// --- combinators

function place(node: Node, at: Place): Node {
  const { placed } = at.extracting;
  if (typeof node === "object" && node !== null && !isCase(node, "shared") && !placed.has(at.from)) {
    placed.set(at.from, at.to);
  }
  return placeContent(node, at);
}

const placeContent: (node: Node, at: Place) => Node = fold<Node, Place>({
  scalar: (value) => value,
  list: (items, { extracting, from, to }) =>
    items.map((item, i) => place(item, { extracting, from: join(from, i), to: join(to, i) })),
  record: (entries, { extracting, from, to }) =>
    record(
      entries.map(([name, node]): Named => {
        return [name, place(node, { extracting, from: join(from, name), to: join(to, name) })];
      }),
    ),
  array: (array) => array,
  kind: (kind, state, at) => ({ is: "kind", kind, state: placeContent(at.extracting.change(kind, state), at) }),
  shared: (path, { extracting, to }) => {
    const { nodes, placed, root } = extracting;
    const first = placed.get(path) ?? (isWithin(path, root) ? path : undefined);
    if (first !== undefined) return { is: "shared", path: first };
    return place(nodes.get(path) ?? null, { extracting, from: path, to });
  },
  aside: (state, at) => ({ is: "aside", state: placeContent(state, at) }),
});

/**
 * A component alone: an object that it shares with other components is in it, where it is first referred to.
 *
 * @param encoded The captured components.
 * @param name The name of the component; it must be one of them.
 * @param change Changes the state of each object that has a kind.
 */
export function extract({ components, order }: Encoded, name: string, change: Change = (_, state) => state): Encoded {
  const [root, component] = [segment(name), components.find(([one]) => one === name)?.[1] ?? null];
  const extracting: Extracting = { nodes: nodesByPath(components), root, change, placed: new Map() };
  const node = place(component, { extracting, from: root, to: root });
  return {
    components: [[name, node]],
    order: order.map(([kind, paths]) => [kind, paths.flatMap((path) => extracting.placed.get(path) ?? [])]),
  };
}
