/**
 * The call graph of a functional model: captured, compared with another one, and rebuilt.
 *
 * tfjs's `fromConfig` would make two layers of one that two models share. So a model is rebuilt by calling its layers in the captured order.
 *
 * Two models with different layers are compared by the layers that both have. A layer that only one has may lie between two common ones, so
 * a call is compared by what reaches it through such layers: the common layers before it, and the order of its inputs.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { entry, isBranch, type Node } from "../../state/mod.ts";
import { type CallNode, callsOf, listItems, modelFields } from "../mod.ts";
import { registeredClass } from "./class_name.ts";
import { namingClass } from "./layer_name.ts";

// --- types

/** An output of a call: the layer's index in the model, the call's index among those of the layer in the model, the output's index. */
type OutputRef = readonly [layer: number, call: number, output: number];

interface GraphOf<Args> {
  /** In an order in which each call comes after those that it depends on. */
  readonly calls: readonly { readonly layer: number; readonly inputs: readonly OutputRef[]; readonly args: Args }[];
  /** The layers that are the model's inputs. */
  readonly inputs: readonly number[];
  readonly outputs: readonly OutputRef[];
}

/** A graph in memory. */
type CallGraph = GraphOf<Readonly<Record<string, unknown>>>;

/** A graph in a state, with the arguments of each call as JSON. */
type SavedGraph = GraphOf<string>;

/** What reaches a call or an output through layers that only one model has. */
interface Reach {
  /** Whether no such layer is between. */
  readonly direct: boolean;
  /** The nearest outputs of common layers, in the order of the inputs. */
  readonly from: readonly string[];
  /** All calls of common layers before it. */
  readonly above: ReadonlySet<string>;
}

type CallReach = Reach & { readonly args: string };

/** The live position of a layer of a graph; undefined if only one model has it. */
type PositionOf = (layer: number) => number | undefined;

// --- capture and restore

/** The calls of a layer that belong to a model's graph. */
function callsIn(model: tf.LayersModel, layer: tf.layers.Layer): readonly CallNode[] {
  const { containerNodes } = modelFields(model);
  return callsOf(layer).filter((_, i) => containerNodes.has(`${layer.name}_ib-${i}`));
}

/** The call's arguments without masks and states: those are tensors of the last step, or symbolic ones that are among the inputs too. */
function plainArguments({ callArgs }: CallNode): Readonly<Record<string, unknown>> {
  const isPlain = (arg: unknown): boolean => arg === null || typeof arg !== "object";
  return Object.fromEntries(Object.entries(callArgs ?? {}).filter(([, arg]) => isPlain(arg)));
}

/** The graph of a functional model, by positions of layers and not by names, with its calls in the order in which they were made. */
export function graphOf(model: tf.LayersModel): CallGraph {
  const fields = modelFields(model);
  const position = new Map(model.layers.map((layer, i) => [layer, i]));
  const outputRef = (layer: tf.layers.Layer, node: number, tensor: number): OutputRef => {
    const call = callsOf(layer)[node];
    return [position.get(layer) ?? -1, call === undefined ? -1 : callsIn(model, layer).indexOf(call), tensor];
  };
  const calls = model.layers.flatMap((layer) => callsIn(model, layer))
    .filter((call) => call.inboundLayers.length > 0)
    .toSorted((a, b) => a.id - b.id);
  return {
    calls: calls.map((call) => ({
      layer: position.get(call.outboundLayer) ?? -1,
      inputs: call.inboundLayers.map((layer, i) =>
        outputRef(layer, call.nodeIndices[i] ?? 0, call.tensorIndices[i] ?? 0)
      ),
      args: plainArguments(call),
    })),
    inputs: (fields.inputLayers ?? []).map((layer) => position.get(layer) ?? -1),
    outputs: (fields.outputLayers ?? []).map((layer, i) =>
      outputRef(layer, fields.outputLayersNodeIndices[i] ?? 0, fields.outputLayersTensorIndices[i] ?? 0)
    ),
  };
}

/** Finds the call of a layer with these inputs that another model's graph has made already: models that share a layer share its call. */
function existingCall(layer: tf.layers.Layer, tensors: readonly tf.SymbolicTensor[], used: ReadonlySet<CallNode>) {
  return callsOf(layer).find((call) =>
    !used.has(call) && call.inboundLayers.length > 0 && call.inputTensors.length === tensors.length &&
    call.inputTensors.every((input, i) => input === tensors[i])
  );
}

/**
 * Builds a functional model by calling its layers.
 *
 * @param saved A graph as {@link graphOf} returned it, from a checkpoint.
 * @param layers The built layers.
 * @param name The model's name; tfjs generates one if it is undefined.
 * @param className `Model` or `Functional`.
 * @returns The model; throws an Error if the graph is inconsistent.
 */
export function buildFunctional(
  saved: unknown,
  layers: readonly tf.layers.Layer[],
  name: string | undefined,
  className: string,
): tf.LayersModel {
  const graph = saved as CallGraph;
  const used = new Set<CallNode>();
  const made = new Map<tf.layers.Layer, readonly CallNode[]>();
  const layerAt = (index: number): tf.layers.Layer => {
    const layer = layers[index];
    if (layer === undefined) throw new Error(`the graph of the model refers to a layer ${index} of ${layers.length}`);
    return layer;
  };
  const madeBy = (layer: tf.layers.Layer): readonly CallNode[] => {
    const isInput = namingClass(layer.getClassName(), layer) === "InputLayer";
    return made.get(layer) ?? (isInput ? callsOf(layer) : []);
  };
  const tensorAt = ([index, call, output]: OutputRef): tf.SymbolicTensor => {
    const found = madeBy(layerAt(index))[call]?.outputTensors[output];
    if (found === undefined) throw new Error(`the graph of the model uses layer ${index} before its call ${call}`);
    return found;
  };
  for (const { layer: index, inputs, args } of graph.calls) {
    const [layer, tensors] = [layerAt(index), inputs.map(tensorAt)];
    const existing = existingCall(layer, tensors, used);
    if (existing === undefined) layer.apply(tensors.length === 1 ? tensors[0] as tf.SymbolicTensor : tensors, args);
    const call = existing ?? callsOf(layer).at(-1) as CallNode;
    used.add(call);
    made.set(layer, [...madeBy(layer), call]);
  }
  const inputs = graph.inputs.map((index) => tensorAt([index, 0, 0]));
  const Class = className === "Functional" ? registeredClass("Functional")?.[0] ?? tf.LayersModel : tf.LayersModel;
  return new (Class as typeof tf.LayersModel)(
    { inputs, outputs: graph.outputs.map(tensorAt), ...(name === undefined ? {} : { name }) } as never,
  );
}

// --- combinators

function outputRefsIn(node: Node | undefined): readonly OutputRef[] {
  return listItems(node).map((ref) => listItems(ref).map(Number) as unknown as OutputRef);
}

/** The graph in a model's state. A sequential model has none in its state: its graph is the chain of its layers. */
function graphIn(state: Node): SavedGraph {
  const graph = entry(state, "graph");
  if (graph !== undefined && isBranch(graph)) {
    return {
      calls: listItems(entry(graph, "calls")).map((call) => ({
        layer: Number(entry(call, "layer")),
        inputs: outputRefsIn(entry(call, "inputs")),
        args: JSON.stringify(entry(call, "args") ?? null),
      })),
      inputs: listItems(entry(graph, "inputs")).map(Number),
      outputs: outputRefsIn(entry(graph, "outputs")),
    };
  }
  const layers = listItems(entry(state, "layers"));
  const before = (i: number): readonly OutputRef[] => i === 0 ? [] : [[i - 1, 0, 0]];
  const args = JSON.stringify({ is: "record", entries: [] });
  return {
    calls: layers.map((_, layer) => ({ layer, inputs: before(layer), args })),
    inputs: [],
    outputs: before(layers.length),
  };
}

/** What reaches a call with these inputs, given what reaches each earlier call, by `layer.call`. */
function reachOf(inputs: readonly OutputRef[], positionOf: PositionOf, reached: ReadonlyMap<string, Reach>): Reach {
  const [from, above]: [string[], Set<string>] = [[], new Set()];
  let direct = true;
  for (const [layer, call, output] of inputs) {
    const [position, before] = [positionOf(layer), reached.get(`${layer}.${call}`)];
    for (const earlier of before?.above ?? []) above.add(earlier);
    if (position === undefined) {
      direct = false;
      from.push(...before?.from ?? []);
    } else {
      from.push(`${position}.${call}.${output}`);
      above.add(`${position}.${call}`);
    }
  }
  return { direct, from, above };
}

/** The calls of the common layers of a model by the layer's live position, and the inputs and outputs. */
function wiringOf(graph: SavedGraph, positionOf: PositionOf) {
  const reached = new Map<string, Reach>();
  const counts = new Map<number, number>();
  const calls = new Map<number, readonly CallReach[]>();
  for (const { layer, inputs, args } of graph.calls) {
    const [call, position] = [counts.get(layer) ?? 0, positionOf(layer)];
    const reach = reachOf(inputs, positionOf, reached);
    counts.set(layer, call + 1);
    reached.set(`${layer}.${call}`, reach);
    if (position !== undefined) calls.set(position, [...calls.get(position) ?? [], { ...reach, args }]);
  }
  return {
    calls,
    inputs: String(graph.inputs.flatMap((layer) => positionOf(layer) ?? [])),
    outputs: reachOf(graph.outputs, positionOf, reached),
  };
}

/** Whether two reaches have their common outputs in the same order. */
function isSameOrder(a: Reach, b: Reach): boolean {
  if (a.direct && b.direct) return String(a.from) === String(b.from);
  const common = ({ from }: Reach, other: Reach): string =>
    String([...new Set(from)].filter((output) => other.from.includes(output)));
  return common(a, b) === common(b, a);
}

function isSameCall(a: CallReach, b: CallReach | undefined): boolean {
  return b !== undefined && a.args === b.args && isSameOrder(a, b) &&
    a.above.size === b.above.size && [...a.above].every((call) => b.above.has(call));
}

/**
 * Finds where two models call their common layers in another order or from other inputs.
 *
 * @param saved The state of one model.
 * @param live The state of the other.
 * @param positions The live position of each saved layer that both have.
 * @returns The live position of the first such layer, "inputs" or "outputs" of the model, or undefined if the graphs agree.
 */
export function graphDifference(
  saved: Node,
  live: Node,
  positions: ReadonlyMap<number, number>,
): number | "inputs" | "outputs" | undefined {
  const common = new Set(positions.values());
  const before = wiringOf(graphIn(saved), (layer) => positions.get(layer));
  const now = wiringOf(graphIn(live), (layer) => common.has(layer) ? layer : undefined);
  for (const position of [...common].sort((a, b) => a - b)) {
    const [a, b] = [before.calls.get(position) ?? [], now.calls.get(position) ?? []];
    if (a.length !== b.length || !a.every((call, i) => isSameCall(call, b[i]))) return position;
  }
  if (before.inputs !== now.inputs) return "inputs";
  return isSameOrder(before.outputs, now.outputs) ? undefined : "outputs";
}
