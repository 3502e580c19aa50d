/**
 * The kind of models: sequential and functional, nested, with shared layers, and what compiling decided.
 *
 * A model is rebuilt from its layers and the graph of their calls, not from tfjs's `fromConfig`, which makes two layers out of one that
 * two models share. `collectedTrainableWeights` is what a compiled model trains, whatever is trainable now.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Kind, PartsOf, Site, Target } from "../component.ts";
import { isAllocation } from "../guard.ts";
import { isPlainRecord } from "../rules.ts";
import { entry, isBranch, type Node, record } from "../state_tree.ts";
import { classOf as classNameOf, encoding, isTfjsClass, isTfjsName, noteClasses, registeredClass } from "./classes.ts";
import { checkNames, encodeNames, nameData, restoreCounters } from "./data_names.ts";
import { checkIdentity, encodeFlags, knownName, restoreFlags } from "./layer.ts";
import { fieldsOf, givenName, type LayerVariable, namedAs, nameWeights } from "./names.ts";
import { rewired } from "./wiring.ts";

// --- types

/** One call of a layer in a functional model's graph; see tfjs-layers 4.22, `engine/topology.ts`. */
interface CallNode {
  readonly id: number;
  readonly outboundLayer: tf.layers.Layer;
  readonly inboundLayers: readonly tf.layers.Layer[];
  readonly nodeIndices: readonly number[];
  readonly tensorIndices: readonly number[];
  readonly inputTensors: readonly tf.SymbolicTensor[];
  readonly outputTensors: readonly tf.SymbolicTensor[];
  readonly callArgs?: Readonly<Record<string, unknown>>;
}

/** The fields of a model that its declarations keep private; a sequential model delegates to an inner one once it is built. */
interface Fields {
  model?: tf.LayersModel | undefined;
  readonly containerNodes: ReadonlySet<string>;
  readonly outputLayers: readonly tf.layers.Layer[];
  readonly outputLayersNodeIndices: readonly number[];
  readonly outputLayersTensorIndices: readonly number[];
  readonly inputLayers: readonly tf.layers.Layer[];
  readonly outputNames: readonly string[];
  collectedTrainableWeights?: readonly LayerVariable[];
  isOptimizerOwned: boolean;
  loss: unknown;
  metrics: unknown;
}

/** The place of a tensor in a graph: the layer's index in the model, which of its calls, which output. */
type Place = readonly [layer: number, call: number, output: number];

// --- constructors

function modelFields(model: tf.LayersModel): Fields {
  return model as unknown as Fields;
}

function isSequential(model: tf.LayersModel): model is tf.Sequential {
  return model instanceof tf.Sequential;
}

/** A model's class: the name that tfjs or the user declares for it, and for a subclass that inherits one, its constructor's. */
function classOf(model: tf.LayersModel): string {
  const prototype = Object.getPrototypeOf(model) as object;
  const [declared, { name }] = [classNameOf(model), prototype.constructor];
  if (isTfjsClass(model) || registeredClass(declared)?.[0].prototype === prototype) return declared;
  return typeof name !== "string" || name === "" || isTfjsName(name) ? declared : name;
}

function callsOf(layer: tf.layers.Layer): readonly CallNode[] {
  return layer.inboundNodes as unknown as readonly CallNode[];
}

/**
 * Whether a sequential model builds its inner one at its next use, and that would change more than time: it sets the flag of every weight
 * to the model's own. Where it changes nothing, when it happens is no state.
 */
function isUnbuilt(model: tf.LayersModel): boolean {
  if (!isSequential(model) || modelFields(model).model !== undefined) return false;
  const weights = model.layers.flatMap((layer) => fieldsOf(layer)._trainableWeights);
  return model.layers.length === 0 || weights.some((weight) => weight.trainable !== model.trainable);
}

/** The calls of a layer that belong to a model's graph. */
function callsIn(model: tf.LayersModel, layer: tf.layers.Layer): readonly CallNode[] {
  const { containerNodes } = modelFields(model);
  return callsOf(layer).filter((_, i) => containerNodes.has(`${layer.name}_ib-${i}`));
}

// --- capture and restore

/** The graph of a functional model: calls in the order in which they were made, by positions of layers and not by names. */
function graphOf(model: tf.LayersModel): unknown {
  const fields = modelFields(model);
  const position = new Map(model.layers.map((layer, i) => [layer, i]));
  const place = (layer: tf.layers.Layer, node: number, tensor: number): Place => {
    const call = callsOf(layer)[node];
    return [position.get(layer) ?? -1, call === undefined ? -1 : callsIn(model, layer).indexOf(call), tensor];
  };
  const args = (call: CallNode): unknown =>
    // Masks and states among them are tensors of the last step, or symbolic ones that stand among the inputs too.
    Object.fromEntries(
      Object.entries(call.callArgs ?? {}).filter(([, arg]) => arg === null || typeof arg !== "object"),
    );
  const calls = model.layers.flatMap((layer) => callsIn(model, layer))
    .filter((call) => call.inboundLayers.length > 0)
    .toSorted((a, b) => a.id - b.id);
  return {
    calls: calls.map((call) => ({
      layer: position.get(call.outboundLayer) ?? -1,
      inputs: call.inboundLayers.map((layer, i) => place(layer, call.nodeIndices[i] ?? 0, call.tensorIndices[i] ?? 0)),
      args: args(call),
    })),
    inputs: fields.inputLayers.map((layer) => position.get(layer) ?? -1),
    outputs: fields.outputLayers.map((layer, i) =>
      place(layer, fields.outputLayersNodeIndices[i] ?? 0, fields.outputLayersTensorIndices[i] ?? 0)
    ),
  };
}

/** A loss or metric as data: a name, or the name of a function, by output where the user gave them so. */
function encodeLosses(losses: unknown, outputNames: readonly string[]): unknown {
  if (typeof losses === "function") return { function: losses.name };
  if (Array.isArray(losses)) return losses.map((loss) => encodeLosses(loss, outputNames));
  if (isPlainRecord(losses)) {
    // Keyed by the names of output layers, which tfjs may have made up.
    return {
      byOutput: outputNames.flatMap((name, i) => name in losses ? [[i, encodeLosses(losses[name], outputNames)]] : []),
    };
  }
  return losses ?? null;
}

function decodeLosses(losses: unknown, outputNames: readonly string[], target: Target, at: string): unknown {
  if (Array.isArray(losses)) return losses.map((loss) => decodeLosses(loss, outputNames, target, at));
  if (!isPlainRecord(losses)) return losses;
  if ("function" in losses) {
    target.problem(
      "config",
      "a loss or metric that is named by a string",
      `the function ${losses["function"]}; restore into a compiled model`,
      at,
    );
    return undefined;
  }
  const byOutput = losses["byOutput"] as readonly (readonly [number, unknown])[];
  return Object.fromEntries(byOutput.map(([i, loss]) => [outputNames[i], decodeLosses(loss, outputNames, target, at)]));
}

function encodeCompile(model: tf.LayersModel, site: Site): Node {
  if (!model.optimizer) return null;
  const inner = modelFields(modelFields(model).model ?? model);
  const removed = inner.collectedTrainableWeights?.find(({ val }) => !site.names.has(val));
  if (removed !== undefined) {
    site.refuse(
      "a model that trains its own weights",
      `${removed.originalName} of a layer it no longer has: compile it again`,
    );
  }
  return record([
    ["optimizer", site.part(["compile", "optimizer"], model.optimizer)],
    ["owned", inner.isOptimizerOwned],
    ["loss", site.plain(encodeLosses(inner.loss, inner.outputNames))],
    ["metrics", site.plain(encodeLosses(inner.metrics, inner.outputNames))],
    [
      "trained",
      (inner.collectedTrainableWeights ?? []).map((weight, i) => site.part(["compile", "trained", i], weight.val)),
    ],
  ]);
}

function buildCompile(saved: Node, target: Target, model: tf.LayersModel): void {
  if (isSequential(model)) model.build();
  const { outputNames } = modelFields(modelFields(model).model ?? model);
  const loss = decodeLosses(target.plain(entry(saved, "loss") ?? null), outputNames, target, "compile/loss");
  const metrics = decodeLosses(target.plain(entry(saved, "metrics") ?? null), outputNames, target, "compile/metrics");
  const optimizer = target.object(["compile", "optimizer"], entry(saved, "optimizer") ?? null);
  if (loss === undefined || metrics === undefined || !(optimizer instanceof Object)) return;
  model.compile({
    optimizer: optimizer as tf.Optimizer,
    loss: loss as string,
    ...(metrics === null ? {} : { metrics: metrics as string }),
  });
  for (const part of [model, modelFields(model).model]) {
    if (part !== undefined) modelFields(part).isOptimizerOwned = entry(saved, "owned") === true;
  }
}

function restoreCompile(saved: Node, target: Target, model: tf.LayersModel): void {
  const compiled = Boolean(model.optimizer);
  // A fresh model that could not be compiled has said why.
  if (target.fresh && !compiled) return;
  if (compiled !== (saved !== null)) {
    return target.problem(
      "config",
      compiled ? "a compiled model" : "a model that is not compiled",
      compiled ? "one that is not" : "a compiled one",
      "compile",
    );
  }
  if (saved === null) return;
  const inner = modelFields(modelFields(model).model ?? model);
  for (const part of ["loss", "metrics"] as const) {
    const [live, found] = [encodeLosses(inner[part], inner.outputNames), target.plain(entry(saved, part) ?? null)];
    const [a, b] = [JSON.stringify(live), JSON.stringify(found)];
    if (a !== b) target.problem("config", a, b, `compile/${part}`);
  }
  target.part(["compile", "optimizer"], model.optimizer, entry(saved, "optimizer") ?? null);
  const trained = entry(saved, "trained");
  const variables = (Array.isArray(trained) ? trained : []).map((node: Node, i) =>
    target.value(["compile", "trained", i], node)
  );
  target.commit(() => {
    const weights = new Map(
      [...(inner.collectedTrainableWeights ?? []), ...fieldsOf(model).weights].map((w) => [w.val, w]),
    );
    inner.collectedTrainableWeights = variables.flatMap((variable) => weights.get(variable() as tf.Variable) ?? []);
  });
}

function setBuilt(model: tf.Sequential, built: boolean): void {
  const fields = modelFields(model);
  if (built && fields.model === undefined) model.build();
  if (!built && fields.model !== undefined) [fields.model, model.built] = [undefined, false];
}

function buildFunctional(
  state: Node,
  target: Target,
  layers: readonly tf.layers.Layer[],
  name: string | undefined,
): tf.LayersModel {
  const graph = target.plain(entry(state, "graph") ?? null) as {
    readonly calls: readonly {
      readonly layer: number;
      readonly inputs: readonly Place[];
      readonly args: Record<string, unknown>;
    }[];
    readonly inputs: readonly number[];
    readonly outputs: readonly Place[];
  };
  const outputs = new Map<tf.layers.Layer, (readonly tf.SymbolicTensor[])[]>();
  const layerAt = (index: number): tf.layers.Layer => {
    const layer = layers[index];
    if (layer === undefined) throw new Error(`the graph of the model refers to a layer ${index} of ${layers.length}`);
    return layer;
  };
  const calls = (layer: tf.layers.Layer): (readonly tf.SymbolicTensor[])[] => {
    const isInput = namedAs(layer.getClassName(), layer) === "InputLayer";
    const known = outputs.get(layer) ?? (isInput ? callsOf(layer).map((call) => call.outputTensors) : []);
    outputs.set(layer, known);
    return known;
  };
  const tensor = ([index, call, output]: Place): tf.SymbolicTensor => {
    const found = calls(layerAt(index))[call]?.[output];
    if (found === undefined) throw new Error(`the graph of the model uses layer ${index} before its call ${call}`);
    return found;
  };
  const claimed = new Set<CallNode>();
  for (const { layer: index, inputs, args } of graph.calls) {
    const layer = layerAt(index);
    const tensors = inputs.map(tensor);
    // A call that another model's graph made already is the same call here: a layer that both share is called once.
    const made = callsOf(layer).find((call) =>
      !claimed.has(call) && call.inboundLayers.length > 0 && call.inputTensors.length === tensors.length &&
      call.inputTensors.every((input, i) => input === tensors[i])
    );
    if (made === undefined) layer.apply(tensors.length === 1 ? tensors[0] as tf.SymbolicTensor : tensors, args);
    const call = made ?? callsOf(layer).at(-1) as CallNode;
    claimed.add(call);
    calls(layer).push(call.outputTensors);
  }
  const inputs = graph.inputs.map((index) => tensor([index, 0, 0]));
  const Of = entry(state, "class") === "Functional"
    ? registeredClass("Functional")?.[0] ?? tf.LayersModel
    : tf.LayersModel;
  return new (Of as typeof tf.LayersModel)(
    { inputs, outputs: graph.outputs.map(tensor), ...(name === undefined ? {} : { name }) } as never,
  );
}

function buildModel(state: Node, target: Target): tf.LayersModel | undefined {
  const [className, name] = [entry(state, "class"), knownName(state)];
  restoreCounters(state);
  const layers = layersIn(state).map((node, i) => target.object(["layers", i], node));
  // A layer that cannot be built has said why.
  if (layers.some((layer) => !(layer instanceof tf.layers.Layer))) return undefined;
  try {
    if (className === "Sequential") {
      const model = tf.sequential({ layers: layers as tf.layers.Layer[], ...(name === undefined ? {} : { name }) });
      setBuilt(model, entry(state, "built") === true);
      return model;
    }
    if (className === "Model" || className === "Functional") {
      return buildFunctional(state, target, layers as tf.layers.Layer[], name);
    }
  } catch (error) {
    // A layer of the user's own may be built with less than it had, such as its input shape.
    const own = layers.filter((layer) => !isTfjsClass(layer as object) && !(layer instanceof tf.LayersModel));
    if (own.length === 0 || isAllocation(error)) throw error;
    const names = own.map((layer) => (layer as tf.layers.Layer).getClassName()).join(", ");
    target.problem(
      "class",
      `layers that can be called as before: getConfig and fromConfig of ${names} to keep every argument, those of Layer too`,
      error instanceof Error ? error.message : String(error),
    );
    return undefined;
  }
  target.problem("class", "Sequential or a functional model; restore into a live one of this class", String(className));
  return undefined;
}

function layersIn(state: Node): readonly Node[] {
  const layers = entry(state, "layers");
  return Array.isArray(layers) ? layers : [];
}

/** A blended state with the live graph, or chain of layers; and where the layers that both models have are called in another way. */
function fitted(
  state: Node,
  saved: Node,
  live: Node,
  positions: ReadonlyMap<number, number>,
): ReturnType<NonNullable<PartsOf["moved"]>> {
  const own = entry(live, "graph");
  const kept = record(
    (isBranch(state) && state.is === "record" ? state.entries : [])
      .map(([name, node]) => [name, name === "graph" && node !== null && own !== undefined ? own : node]),
  );
  const at = rewired(saved, live, positions);
  if (at === undefined) return { state: kept };
  const where = typeof at === "number" ? `layers/${at}` : `the model's ${at}`;
  return {
    state: kept,
    problem: {
      at: own === undefined || own === null ? "layers" : "graph",
      expected: "the layers that both models have, called in the order of the live one",
      found:
        `another order before ${where}: build the model as it was saved, or skip the saved layer and keep the live one`,
    },
  };
}

/** The kind of sequential and functional models. */
export const modelKind: Kind<tf.LayersModel> = {
  name: "LayersModel",
  is: (u): u is tf.LayersModel => u instanceof tf.LayersModel,
  nameParts: (model, names) => {
    nameWeights(model.layers, names);
    nameData(model, names);
  },
  encode: (model, site) => {
    const unbuilt = isUnbuilt(model);
    const lost = unbuilt ? undefined : fieldsOf(model).weights.find(({ val }) => !site.names.has(val));
    if (lost !== undefined) {
      site.refuse(
        "weights in layers, or in fields that are layers or arrays of layers",
        `${lost.originalName} elsewhere`,
      );
    }
    const state = record([
      ["class", classOf(model)],
      ["name", givenName(model)],
      encoding,
      ...encodeNames(model, site),
      ["built", !unbuilt],
      ["flags", encodeFlags(model)],
      ["inner", unbuilt || !isSequential(model) ? null : encodeFlags(modelFields(model).model ?? model)],
      ["layers", model.layers.map((layer, i) => site.part(["layers", i], layer))],
      ["graph", isSequential(model) ? null : site.plain(graphOf(model))],
      ["compile", encodeCompile(model, site)],
    ]);
    noteClasses(state, model, []);
    return state;
  },
  build: (state, target) => {
    const model = buildModel(state, target);
    if (model === undefined) return undefined;
    const compile = entry(state, "compile") ?? null;
    if (isBranch(compile)) buildCompile(compile, target, model);
    return model;
  },
  restore: (state, target, live) => {
    const model = live as tf.LayersModel;
    checkIdentity(state, target, model, classOf(model));
    checkNames(state, target, model);
    // First, because building sets the flags of the weights.
    if (isSequential(model)) target.commit(() => setBuilt(model, entry(state, "built") === true));
    const layers = layersIn(state);
    if (layers.length !== model.layers.length) {
      target.problem("length", `${model.layers.length} layers`, `${layers.length}`, "layers");
    }
    layers.forEach((node, i) => model.layers[i] && target.part(["layers", i], model.layers[i], node));
    if (
      !isSequential(model) &&
      JSON.stringify(graphOf(model)) !== JSON.stringify(target.plain(entry(state, "graph") ?? null))
    ) {
      target.problem("config", "the layers called as in the live model", "another graph of calls", "graph");
    }
    restoreFlags(entry(state, "flags"), target, () => model);
    restoreFlags(entry(state, "inner"), target, () => modelFields(model).model, "inner");
    restoreCompile(entry(state, "compile") ?? null, target, model);
    return () => model;
  },
  // Building calls shared layers, and the first model of a layer calls it first: models come to be in their own order.
  order: (paths) => {
    const idOf = (model: object): number => (model as { readonly id: number }).id;
    return [...paths].sort(([a], [b]) => idOf(a) - idOf(b)).map(([, path]) => path);
  },
  parts: {
    named: (state, name, follow) =>
      layersIn(state).flatMap((layer, i) => entry(follow(layer), "name") === name ? [["layers", i]] : []),
    refers: ["compile", "trained"],
    moved: (state, saved, live, list, positions) =>
      list === "layers" ? fitted(state, saved, live, positions) : undefined,
  },
};
