/**
 * The layers of models as a table: name, type, output shape and parameters, as `model.summary()` of tfjs shows them.
 *
 * @module
 */
import {
  dereference,
  entry,
  isCase,
  isWithin,
  join,
  type Named,
  type Node,
  nodesByPath,
  type Scalar,
  sizeOf,
  unwrap,
} from "../state/mod.ts";
import type { Part } from "../checkpoint/mod.ts";
import { type LayerSettings, outputShapes, type Shape, type Shapes } from "./layer_shapes.ts";

// --- types

/** A layer of a model. */
export interface LayerRow {
  readonly name: string;
  readonly type: string;
  /** The shape of what it gives, with null for any length; `"?"` if it is unknown. Of several outputs or calls, the first. */
  readonly shape: Shape | "?";
  readonly parameters: number;
  /** How many of the parameters are trained. */
  readonly trainable: number;
  /** How many models the layer is nested in. */
  readonly depth: number;
}

/** The layers of a model. Weights that layers share are counted once in the totals. */
export interface ModelTable {
  /** The path of the model. */
  readonly name: string;
  readonly layers: readonly LayerRow[];
  readonly parameters: number;
  /** How many of the parameters are trained. */
  readonly trainable: number;
}

/** A layer or a nested model of a state. */
interface Found {
  readonly state: Node;
  readonly path: string;
  readonly isModel: boolean;
  /** The paths of the layers and models that it is in. */
  readonly outer: readonly string[];
}

type Nodes = ReadonlyMap<string, Node>;

/** A weight by its path: how many numbers it has, and whether it is trained. */
type Weights = Map<string, readonly [size: number, isTrained: boolean]>;

// --- reading states

function items(node: Node | undefined): readonly Node[] {
  return Array.isArray(node) ? node : [];
}

/** The entries of a record; none of another node. */
export function entriesOf(node: Node | undefined): readonly Named[] {
  return isCase(node, "record") ? node.entries : [];
}

/** Plain data of a state, without arrays and objects. */
export function plainOf(node: Node | undefined): unknown {
  if (node === undefined || node === null || typeof node !== "object") return node as Scalar;
  if (Array.isArray(node)) return node.map(plainOf);
  const inner = unwrap(node);
  if (inner !== node) return plainOf(inner);
  return isCase(node, "record") ? Object.fromEntries(node.entries.map(([name, one]) => [name, plainOf(one)])) : null;
}

function textOf(node: Node | undefined): string | undefined {
  const text = node === undefined ? undefined : unwrap(node);
  return typeof text === "string" ? text : undefined;
}

/** How deep layers are followed; a checkpoint that claims more is damaged. */
const deepest = 32;

/** The layer or model that a node is. One that is said to be in itself is none. */
function foundAt(node: Node, path: string, nodes: Nodes, outer: readonly string[] = []): Found | undefined {
  const [own, at] = dereference(node, path, nodes);
  if (!isCase(own, "kind") || (own.kind !== "Layer" && own.kind !== "LayersModel")) return undefined;
  if (outer.includes(at) || outer.length > deepest) return undefined;
  return { state: own.state, path: at, isModel: own.kind === "LayersModel", outer: [...outer, at] };
}

function layersOf({ state, path, outer }: Found, nodes: Nodes): readonly (Found | undefined)[] {
  return items(entry(state, "layers")).map((node, i) => foundAt(node, join(join(path, "layers"), i), nodes, outer));
}

/** The layers within a layer, such as the cell of a recurrent one, by name. */
function within({ state, path, outer }: Found, nodes: Nodes): readonly (readonly [string, Found])[] {
  return entriesOf(entry(state, "layers")).flatMap(([name, node]) => {
    const at = join(join(path, "layers"), name);
    const inner = Array.isArray(node)
      ? node.map((one, i) => foundAt(one, join(at, i), nodes, outer))
      : [foundAt(node, at, nodes, outer)];
    return inner.flatMap((one, i) =>
      one === undefined ? [] : [[Array.isArray(node) ? `${name}/${i}` : name, one] as const]
    );
  });
}

function classOf({ state }: Found): string {
  return textOf(entry(state, "class")) ?? "?";
}

function settingsOf(layer: Found): LayerSettings {
  const { state } = layer;
  const build = plainOf(entry(state, "build"));
  const config = plainOf(entry(state, "config"));
  return { ...Object(build), ...Object(config), class: classOf(layer) };
}

// --- names and weights

/** The name of a weight in the files, without its last part, is that of its layer. */
function nameInWeights({ state }: Found): string | undefined {
  for (const [, weight] of entriesOf(entry(state, "weights"))) {
    const value = isCase(weight, "kind") ? entry(weight.state, "value") : undefined;
    const name = isCase(value, "array") ? value.name : undefined;
    if (name?.includes("/") === true) return name.slice(0, name.lastIndexOf("/"));
  }
  return undefined;
}

/** The name of a layer: the user's, or the one that tfjs gave it, where the checkpoint has it; otherwise its class in tfjs's style. */
function nameOf(layer: Found, nodes: Nodes): string {
  const { state } = layer;
  const own = textOf(entry(state, "name")) ?? textOf(entry(state, "known"));
  if (own !== undefined) return own;
  const weights = [layer, ...layer.isModel ? [] : within(layer, nodes).map(([, inner]) => inner)];
  const name = layer.isModel ? undefined : weights.map(nameInWeights).find((one) => one !== undefined);
  return name ??
    classOf(layer).replace(/(.)([A-Z][a-z0-9]+)/g, "$1_$2").replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
}

function isTrainable({ state }: Found): boolean {
  const [flags, inner] = [entry(state, "flags"), entry(state, "inner")];
  return entry(flags, "trainable_") !== false && entry(inner, "trainable_") !== false;
}

/** Adds the weights of a layer and of what is in it. */
function addWeights(layer: Found, isTrained: boolean, nodes: Nodes, weights: Weights): Weights {
  const trained = isTrained && isTrainable(layer);
  for (const [name, node] of entriesOf(entry(layer.state, "weights"))) {
    const [weight, path] = dereference(node, join(join(layer.path, "weights"), name), nodes);
    const state = isCase(weight, "kind") ? weight.state : undefined;
    const value = entry(state, "value");
    const size = isCase(value, "array") ? sizeOf(value.held.shape) : 0;
    weights.set(path, [size, weights.get(path)?.[1] === true || (trained && entry(state, "trainable") !== false)]);
  }
  const inner = layer.isModel ? layersOf(layer, nodes) : within(layer, nodes).map(([, one]) => one);
  for (const one of inner) if (one !== undefined) addWeights(one, trained, nodes, weights);
  return weights;
}

function countsOf(weights: Weights): { readonly parameters: number; readonly trainable: number } {
  let [parameters, trainable] = [0, 0];
  for (const [size, isTrained] of weights.values()) {
    parameters += size;
    if (isTrained) trainable += size;
  }
  return { parameters, trainable };
}

// --- shapes

/** The shapes of what a layer or a nested model gives for inputs. */
function shapesOf(layer: Found, inputs: readonly Shape[], nodes: Nodes): Shapes {
  if (layer.isModel) return modelShapes(layer, inputs, nodes).outputs;
  const inside = new Map(within(layer, nodes));
  return outputShapes(classOf(layer), {
    settings: settingsOf(layer),
    inputs,
    inner: (name, input) => {
      const one = inside.get(name);
      return one === undefined ? undefined : shapesOf(one, [input], nodes);
    },
    innerSetting: (name, setting) => {
      const one = inside.get(name);
      if (one === undefined) return undefined;
      if (setting !== "cells/units") return settingsOf(one)[setting];
      return within(one, nodes).map(([, cell]) => settingsOf(cell)["units"]);
    },
  });
}

/** The shape that a layer expects, if its settings say so. */
function inputShape(layer: Found): Shape | undefined {
  const shape = settingsOf(layer)["batchInputShape"];
  return Array.isArray(shape) ? shape : undefined;
}

/** The shapes of what each layer of a model gives at its first call, and of what the model gives. */
function modelShapes(
  model: Found,
  inputs: readonly Shape[],
  nodes: Nodes,
): { layers: readonly Shapes[]; outputs: Shapes } {
  const layers = layersOf(model, nodes);
  const graph = entry(model.state, "graph");
  if (!isCase(graph, "record")) {
    let [shapes, found]: [Shapes, Shapes[]] = [inputs.length > 0 ? inputs : undefined, []];
    for (const layer of layers) {
      const expected = layer === undefined || layer.isModel ? undefined : inputShape(layer);
      const given = shapes ?? (expected === undefined ? undefined : [expected]);
      if (layer === undefined) shapes = undefined;
      else if (classOf(layer) === "InputLayer") shapes = given;
      else shapes = given === undefined && !layer.isModel ? undefined : shapesOf(layer, given ?? [], nodes);
      found = [...found, shapes];
    }
    return { layers: found, outputs: shapes };
  }
  // What each call of each layer gave.
  const given: Shapes[][] = layers.map(() => []);
  items(entry(graph, "inputs")).forEach((index, i) => {
    const layer = layers[Number(index)];
    const own = layer === undefined ? undefined : inputShape(layer);
    given[Number(index)]?.push(inputs[i] === undefined ? own && [own] : [inputs[i]]);
  });
  const at = (ref: Node): Shape | undefined => {
    const [layer, call, output] = items(ref).map(Number);
    return given[layer ?? -1]?.[call ?? -1]?.[output ?? -1];
  };
  for (const call of items(entry(graph, "calls"))) {
    const index = Number(entry(call, "layer"));
    const from = items(entry(call, "inputs")).map(at);
    const layer = layers[index];
    const isKnown = layer !== undefined && from.every((shape) => shape !== undefined);
    given[index]?.push(isKnown ? shapesOf(layer, from as readonly Shape[], nodes) : undefined);
  }
  const outputs = items(entry(graph, "outputs")).map(at);
  const isKnown = outputs.every((shape) => shape !== undefined);
  return { layers: given.map(([first]) => first), outputs: isKnown ? outputs as readonly Shape[] : undefined };
}

// --- tables

function rowsOf(model: Found, isTrained: boolean, depth: number, nodes: Nodes): readonly LayerRow[] {
  const { layers } = modelShapes(model, [], nodes);
  const trained = isTrained && isTrainable(model);
  return layersOf(model, nodes).flatMap((layer, i): readonly LayerRow[] => {
    if (layer === undefined) return [];
    const shape = layers[i]?.[0] ?? ("?" as const);
    const counts = countsOf(addWeights(layer, trained, nodes, new Map()));
    const row: LayerRow = { name: nameOf(layer, nodes), type: classOf(layer), shape, ...counts, depth };
    return layer.isModel ? [row, ...rowsOf(layer, trained, depth + 1, nodes)] : [row];
  });
}

/** The table of a model by its path, which may be in another model. */
export function modelTableAt(node: Node, path: string, nodes: Nodes): ModelTable {
  const model = foundAt(node, path, nodes) as Found;
  return {
    name: path,
    layers: rowsOf(model, true, 0, nodes),
    ...countsOf(addWeights(model, true, nodes, new Map())),
  };
}

/** Whether a node is a model. */
export function isModel(node: Node): boolean {
  return isCase(node, "kind") && node.kind === "LayersModel";
}

/** Whether a node is a layer that is no model. */
export function isLayer(node: Node): boolean {
  return isCase(node, "kind") && node.kind === "Layer";
}

/** The models of a state that are in no other model. */
function outerModels(nodes: Nodes): readonly Part[] {
  const models = [...nodes].filter(([, node]) => isModel(node));
  return models.filter(([path]) => !models.some(([outer]) => outer !== path && isWithin(path, outer)));
}

/** A table for each model of a state that is in no other model. */
export function modelTables(components: readonly Named[]): readonly ModelTable[] {
  const nodes = nodesByPath(components);
  return outerModels(nodes).map(([path, node]) => modelTableAt(node, path, nodes));
}

/** The layers in a model, and in those nested in it. */
function allLayers(model: Found, nodes: Nodes): readonly Found[] {
  return layersOf(model, nodes).flatMap((layer) =>
    layer === undefined ? [] : [layer, ...layer.isModel ? allLayers(layer, nodes) : []]
  );
}

/** The layer that the path of a model and a name in its table name, such as `model/body`; undefined if it is not exactly one. */
export function layerNamed(components: readonly Named[], wanted: string): Part | undefined {
  const nodes = nodesByPath(components);
  const named = outerModels(nodes).flatMap(([path, node]) => {
    const model = foundAt(node, path, nodes);
    if (model === undefined || !isWithin(wanted, path)) return [];
    return allLayers(model, nodes).filter((layer) => `${path}/${nameOf(layer, nodes)}` === wanted);
  });
  const paths = [...new Set(named.map(({ path }) => path))];
  const [path = ""] = paths;
  const node = nodes.get(path);
  return paths.length === 1 && node !== undefined ? [path, node] : undefined;
}
