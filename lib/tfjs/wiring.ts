/**
 * How the layers of a model are called, as far as two models have the same layers: what must be the same where a part of one is restored into
 * the other.
 *
 * Layers that only one of the two has may be between those of both, so a call is compared by what reaches it through them: which layers come
 * before it, and in which order its inputs do.
 *
 * @module
 */
import { entry, isBranch, type Node } from "../state_tree.ts";

// --- types

/** The output of a call: the layer's index in its model, which of its calls, which output. */
type Place = readonly [layer: number, call: number, output: number];

/** A graph of calls, in an order in which each comes after those it depends on. */
interface Graph {
  readonly calls: readonly { readonly layer: number; readonly inputs: readonly Place[]; readonly args: string }[];
  readonly inputs: readonly number[];
  readonly outputs: readonly Place[];
}

/** What reaches a call or an output through layers that only one model has. */
interface Reach {
  /** Whether nothing is between. */
  readonly direct: boolean;
  /** The nearest outputs of layers that both models have, in the order of the inputs. */
  readonly from: readonly string[];
  /** All calls before it of layers that both models have. */
  readonly above: ReadonlySet<string>;
}

/** The calls of each layer that both models have, by its live position. */
interface Wiring {
  readonly calls: ReadonlyMap<number, readonly (Reach & { readonly args: string })[]>;
  readonly inputs: string;
  readonly outputs: Reach;
}

// --- constructors

function listOf(node: Node | undefined): readonly Node[] {
  return Array.isArray(node) ? node : [];
}

function placesIn(node: Node | undefined): readonly Place[] {
  return listOf(node).map((place) => listOf(place).map(Number) as unknown as Place);
}

/** The graph in a model's state; of a sequential model, which has none, the chain of its layers. */
function graphIn(state: Node): Graph {
  const graph = entry(state, "graph");
  if (graph !== undefined && isBranch(graph)) {
    return {
      calls: listOf(entry(graph, "calls")).map((call) => ({
        layer: Number(entry(call, "layer")),
        inputs: placesIn(entry(call, "inputs")),
        args: JSON.stringify(entry(call, "args") ?? null),
      })),
      inputs: listOf(entry(graph, "inputs")).map(Number),
      outputs: placesIn(entry(graph, "outputs")),
    };
  }
  const layers = listOf(entry(state, "layers"));
  const before = (i: number): readonly Place[] => i === 0 ? [] : [[i - 1, 0, 0]];
  return {
    calls: layers.map((_, layer) => ({
      layer,
      inputs: before(layer),
      args: JSON.stringify({ is: "record", entries: [] }),
    })),
    inputs: [],
    outputs: before(layers.length),
  };
}

function wiringOf(graph: Graph, positionOf: (layer: number) => number | undefined): Wiring {
  const reached = new Map<string, Reach>();
  const counts = new Map<number, number>();
  const calls = new Map<number, readonly (Reach & { readonly args: string })[]>();
  const reach = (places: readonly Place[]): Reach => {
    const parts = places.map(([layer, call, output]): Reach => {
      const [position, before] = [positionOf(layer), reached.get(`${layer}.${call}`)];
      const above = before?.above ?? new Set<string>();
      if (position === undefined) return { direct: false, from: before?.from ?? [], above };
      return {
        direct: true,
        from: [`${position}.${call}.${output}`],
        above: new Set(above).add(`${position}.${call}`),
      };
    });
    return {
      direct: parts.every(({ direct }) => direct),
      from: parts.flatMap(({ from }) => from),
      above: new Set(parts.flatMap(({ above }) => [...above])),
    };
  };
  for (const { layer, inputs, args } of graph.calls) {
    const [call, position, found] = [counts.get(layer) ?? 0, positionOf(layer), reach(inputs)];
    counts.set(layer, call + 1);
    reached.set(`${layer}.${call}`, found);
    if (position !== undefined) calls.set(position, [...calls.get(position) ?? [], { ...found, args }]);
  }
  return {
    calls,
    inputs: String(graph.inputs.flatMap((layer) => positionOf(layer) ?? [])),
    outputs: reach(graph.outputs),
  };
}

// --- combinators

/** Whether the same comes in the same order, as far as both sides have it. */
function alike(a: Reach, b: Reach): boolean {
  if (a.direct && b.direct) return String(a.from) === String(b.from);
  const common = ({ from }: Reach, other: Reach): string =>
    String([...new Set(from)].filter((output) => other.from.includes(output)));
  return common(a, b) === common(b, a);
}

/**
 * Where two models call the layers that both have in another order or from other inputs.
 *
 * @param saved The state of one model.
 * @param live The state of the other.
 * @param positions The live position of each saved layer that both have.
 * @returns The live position of the first such layer, "inputs" or "outputs" of the model; or undefined if there is none.
 */
export function rewired(
  saved: Node,
  live: Node,
  positions: ReadonlyMap<number, number>,
): number | "inputs" | "outputs" | undefined {
  const common = new Set(positions.values());
  const before = wiringOf(graphIn(saved), (layer) => positions.get(layer));
  const now = wiringOf(graphIn(live), (layer) => common.has(layer) ? layer : undefined);
  for (const position of [...common].sort((a, b) => a - b)) {
    const [a, b] = [before.calls.get(position) ?? [], now.calls.get(position) ?? []];
    const same = a.length === b.length && a.every((call, i) => {
      const other = b[i];
      return other !== undefined && call.args === other.args && alike(call, other) &&
        call.above.size === other.above.size && [...call.above].every((before) => other.above.has(before));
    });
    if (!same) return position;
  }
  if (before.inputs !== now.inputs) return "inputs";
  return alike(before.outputs, now.outputs) ? undefined : "outputs";
}
