/**
 * The kind of layers: configuration, weights, trainable flags, recurrent states and the seeds of random layers.
 *
 * Facts this rests on (tfjs-layers 4.22): names like `dense_Dense3` come from counters of the process and are no state; `setWeights`
 * applies constraints, which training does not, so weights are assigned; a stateful recurrent layer keeps its states outside its
 * weights; random preprocessing layers count their seed up.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Kind, Site, Target } from "../component.ts";
import { isPlainRecord, shown } from "../rules.ts";
import { aside, entry, isBranch, join, type Named, type Node, record } from "../state_tree.ts";
import { isTypedArray } from "../tensor.ts";

// --- types

/** A weight of a layer; the core variable in it is what trains. */
export interface LayerVariable {
  readonly originalName: string;
  val: tf.Variable;
  trainable: boolean;
}

/** The fields of a layer that its declarations keep private. */
interface Fields {
  name: string;
  trainable_?: boolean;
  _trainable?: boolean;
  readonly _trainableWeights: readonly LayerVariable[];
  readonly _nonTrainableWeights: readonly LayerVariable[];
  readonly weights: readonly LayerVariable[];
  states_?: tf.Tensor[] | null;
  readonly randomGenerator?: { seed: number | undefined };
}

// --- constructors

/** A layer's private fields. */
export function fieldsOf(layer: tf.layers.Layer): Fields & Record<string, unknown> {
  return layer as unknown as Fields & Record<string, unknown>;
}

/** As tfjs makes the prefix of a layer's name from its class. */
function snakeCase(className: string): string {
  const snake = className.replace(/(.)([A-Z][a-z0-9]+)/g, "$1_$2").replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
  return snake.startsWith("_") ? `private${snake}` : snake;
}

/** The classes of models that tfjs makes itself. */
const models: readonly string[] = ["Sequential", "Model", "Functional"];

/** Whether a name is `prefix` and a counter. */
function isCounted(name: string, prefix: string): boolean {
  return name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length));
}

/** A name that tfjs made up from the class of a layer or, for a cell, of the layer around it, without its counter; undefined for others. */
function withoutCounter(name: string): string | undefined {
  const start = /^(forward|backward)_/.exec(name)?.[0].length ?? 0;
  const counter = /\d+$/.exec(name)?.index;
  if (counter === undefined) return undefined;
  // A class may have underscores, and digits at its end, which only its snake case can tell from the counter.
  for (let at = name.indexOf("_", start); at > start; at = name.indexOf("_", at + 1)) {
    for (let end = counter; end < name.length; end++) {
      if (snakeCase(name.slice(at + 1, end)) === name.slice(start, at)) return name.slice(0, end);
    }
  }
  return undefined;
}

/** Whether tfjs made a name up; a sequential model names its input after its first layer. */
function isMadeUp(name: string, className: string, isModel: boolean): boolean {
  if (isModel) return isCounted(name, className === "Sequential" ? "sequential_" : className.toLowerCase());
  if (className !== "InputLayer") return withoutCounter(name) !== undefined;
  return isCounted(name, "input") ||
    (name.endsWith("_input") && withoutCounter(name.slice(0, -"_input".length)) !== undefined);
}

/** The name a user gave to a layer or model, or null. */
export function givenName(layer: tf.layers.Layer): string | null {
  return isMadeUp(layer.name, layer.getClassName(), layer instanceof tf.LayersModel) ? null : layer.name;
}

/** Layers that stand in the fields of another: of wrappers, recurrent layers, stacked cells and custom ones. */
export function sublayers(
  layer: tf.layers.Layer,
): readonly (readonly [string, tf.layers.Layer | readonly tf.layers.Layer[]])[] {
  const isLayer = (u: unknown): u is tf.layers.Layer => u instanceof tf.layers.Layer;
  return Object.entries(layer).flatMap((
    [name, value],
  ): (readonly [string, tf.layers.Layer | readonly tf.layers.Layer[]])[] =>
    isLayer(value) || (Array.isArray(value) && value.length > 0 && value.every(isLayer)) ? [[name, value]] : []
  );
}

/** The cells of a recurrent layer that keeps the dropout masks of its first step for ever; SimpleRNN, GRU and LSTM draw theirs anew. */
function maskedCells(layer: tf.layers.Layer): readonly Record<string, unknown>[] {
  if (layer.getClassName() !== "RNN") return [];
  const { cell } = fieldsOf(layer) as {
    readonly cell?: tf.layers.Layer & { readonly cells?: readonly tf.layers.Layer[] };
  };
  return [cell?.cells ?? cell ?? []].flat().map(fieldsOf);
}

const maskNames = ["dropoutMask", "recurrentDropoutMask"] as const;

/** A layer's own weights by their short names, in the order in which they were added. */
function ownWeights(layer: tf.layers.Layer): readonly (readonly [string, LayerVariable])[] {
  const { _trainableWeights, _nonTrainableWeights } = fieldsOf(layer);
  const taken = new Set<string>();
  return [...new Set([..._trainableWeights, ..._nonTrainableWeights])].map((weight) => {
    const short = weight.originalName.split("/").at(-1) ?? "";
    let name = short;
    for (let k = 1; taken.has(name); k++) name = `${short}_${k}`;
    taken.add(name);
    return [name, weight];
  });
}

/**
 * Names weights as tfjs does, with the counters in made-up names of layers counted from 1 in the order of the weights.
 *
 * @param layers The layers of one model.
 * @param names Receives the names.
 */
export function nameWeights(layers: readonly tf.layers.Layer[], names: Map<object, string>): void {
  const [taken, counted, counts] = [new Set<string>(), new Map<string, number>(), new Map<string, number>()];
  const recounted = (name: string): string => {
    const bare = withoutCounter(name);
    if (bare === undefined) return name;
    // The two directions of one layer have its one counter.
    const [layer, kind] = [name, bare].map((text) => text.replace(/^(forward|backward)_/, "")) as [string, string];
    if (!counted.has(layer)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    counted.set(layer, counted.get(layer) ?? counts.get(kind) ?? 1);
    return `${bare}${counted.get(layer)}`;
  };
  const visit = (layer: tf.layers.Layer): void => {
    for (const [, weight] of ownWeights(layer)) {
      const name = weight.originalName.split("/").map(recounted).join("/");
      let free = name;
      for (let k = 1; taken.has(free); k++) free = `${name}_${k}`;
      taken.add(free);
      if (!names.has(weight.val)) names.set(weight.val, free);
    }
    if (layer instanceof tf.LayersModel) layer.layers.forEach(visit);
    else sublayers(layer).forEach(([, sub]) => [sub].flat().forEach(visit));
  };
  layers.forEach(visit);
}

// --- capture and restore

/** What decides the next bits, and tfjs leaves out of its own configuration of these classes. */
const unlisted: Readonly<Record<string, readonly string[]>> = {
  AlphaDropout: ["noiseShape"],
  SeparableConv2D: ["depthMultiplier"],
};

function wholeConfig(layer: tf.layers.Layer): unknown {
  const names = Object.hasOwn(unlisted, layer.getClassName()) ? unlisted[layer.getClassName()] : undefined;
  const fields = (names ?? []).flatMap((name) => {
    const value = fieldsOf(layer)[name] ?? null;
    return value === null || value === 1 ? [] : [[name, value] as const];
  });
  return { ...layer.getConfig(), ...Object.fromEntries(fields) };
}

/**
 * A layer's configuration as plain data without what tfjs made up; `state` leaves out what no later step depends on or what is
 * captured by itself: initializers, flags, its name, and the counted seed of a random layer.
 */
function configOf(layer: tf.layers.Layer, state: boolean, config: unknown = wholeConfig(layer)): unknown {
  const drops = (key: string, own: boolean): boolean =>
    state && (key === "trainable" || /[iI]nitializer$/.test(key) ||
      (own && (key === "name" || (key === "seed" && fieldsOf(layer).randomGenerator !== undefined))));
  const plain = (value: unknown, className?: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => plain(item));
    // What is built from one copy of a configuration must not refer to the other.
    if (isTypedArray(value)) return value.slice();
    if (!isPlainRecord(value)) return value;
    const named = (key: string, part: unknown): boolean =>
      key === "name" && typeof part === "string" && className !== undefined &&
      isMadeUp(part, className, models.includes(className));
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key, part]) =>
          part !== undefined && !named(key, part) && !drops(key, className === layer.getClassName())
        )
        .map(([key, part]) => [
          key,
          plain(part, key === "config" && typeof value["className"] === "string" ? value["className"] : undefined),
        ]),
    );
  };
  return plain(config, layer.getClassName());
}

/** Reports every difference between two plain values. */
function compareConfig(live: unknown, saved: unknown, path: string, target: Target): void {
  if (Object.is(live, saved)) return;
  const parts = (u: unknown): Record<string, unknown> | undefined =>
    Array.isArray(u) || isTypedArray(u) ? Object.fromEntries(u.entries()) : isPlainRecord(u) ? u : undefined;
  const [a, b] = [parts(live), parts(saved)];
  if (a === undefined || b === undefined || shown(live) !== shown(saved)) {
    return target.problem("config", `${shown(live)}, as in the live one`, `${shown(saved)} in the snapshot`, path);
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    compareConfig(a[key], b[key], join(path, key), target);
  }
}

/** Checks class and name of a layer or model, as far as a user gave them. */
export function checkIdentity(
  state: Node,
  target: Target,
  live: tf.layers.Layer,
  liveClass: string = live.getClassName(),
): void {
  const [className, name] = [entry(state, "class"), entry(state, "name")];
  if (className !== liveClass) target.problem("class", liveClass, String(className));
  else if ((typeof name === "string" ? name : null) !== givenName(live)) {
    target.problem(
      "name",
      givenName(live) ?? "no name of the user's",
      typeof name === "string" ? name : "no name of the user's",
    );
  }
}

const flags = ["trainable_", "_trainable"] as const;

/** A layer's or model's own trainable flags; those of its weights are the variables'. */
export function encodeFlags(layer: object): Node {
  const fields = layer as Record<string, unknown>;
  return record(flags.flatMap((flag): Named[] => typeof fields[flag] === "boolean" ? [[flag, fields[flag]]] : []));
}

/** Sets what {@link encodeFlags} read, past the setters, which would change weights. */
export function restoreFlags(
  state: Node | undefined,
  target: Target,
  layer: () => object | undefined,
  at: string = "flags",
): void {
  for (const flag of flags) {
    const value = entry(state, flag);
    if (typeof value !== "boolean") continue;
    const live = (layer() as Record<string, unknown> | undefined)?.[flag];
    if (live !== undefined) target.overrides(`${at}/${flag}`, live, value);
    target.commit(() => void Object.assign(layer() ?? {}, { [flag]: value }));
  }
}

function restoreWeights(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const entries = isBranch(saved) && saved.is === "record" ? saved.entries : [];
  const live = new Map(ownWeights(layer));
  if (entries.length > 0 && live.size === 0 && !layer.built) {
    // Its first call makes a layer's weights.
    return target.fresh
      ? target.problem(
        "missing",
        "a model among the components that calls this layer",
        "the layer alone: restore into a live one",
      )
      : target.problem("config", "a layer that has been called, as in the snapshot", "one that has not");
  }
  for (const name of live.keys()) {
    if (!entries.some(([n]) => n === name)) {
      target.problem("missing", "a weight", "none in the snapshot", `weights/${name}`);
    }
  }
  for (const [name, node] of entries) {
    const weight = live.get(name);
    if (weight === undefined) {
      target.problem("extra", "no such weight", "one in the snapshot", `weights/${name}`);
      continue;
    }
    target.part(["weights", name], weight.val, node, (shared) => {
      const variable = shared as tf.Variable;
      if (variable.dtype !== weight.val.dtype || String(variable.shape) !== String(weight.val.shape)) {
        return target.problem(
          "shape",
          `${weight.val.dtype} [${weight.val.shape}]`,
          `${variable.dtype} [${variable.shape}]`,
          `weights/${name}`,
        );
      }
      const own = weight.val;
      weight.val = variable;
      own.dispose();
    });
    target.commit(() => void (weight.trainable = weight.val.trainable));
  }
}

function restoreStates(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const fields = fieldsOf(layer);
  if (fields.states_ === undefined) return;
  const tensors = Array.isArray(saved) ? saved.map((node: Node, i) => target.value(["states", i], node)()) : null;
  target.commit(() => {
    tf.dispose(fields.states_ ?? []);
    fields.states_ = tensors && tensors.map((tensor) => tf.keep(tensor as tf.Tensor));
  });
}

/** The masks that cells keep, each null, a tensor or several. */
function encodeMasks(layer: tf.layers.Layer, site: Site): readonly Named[] {
  const cells = maskedCells(layer);
  if (cells.every((cell) => maskNames.every((name) => !cell[name]))) return [];
  return [[
    "masks",
    cells.map((cell, i) =>
      record(maskNames.map((name) => {
        const mask = cell[name] as tf.Tensor | readonly tf.Tensor[] | null | undefined;
        if (!mask) return [name, null];
        return [name, [mask].flat().map((tensor, k) => site.part(["masks", i, name, k], tensor))];
      }))
    ),
  ]];
}

function restoreMasks(saved: Node, target: Target, layer: tf.layers.Layer): void {
  for (const [i, cell] of maskedCells(layer).entries()) {
    for (const name of maskNames) {
      const nodes = entry(Array.isArray(saved) ? saved[i] : undefined, name);
      const masks = (Array.isArray(nodes) ? nodes : []).map((node: Node, k) =>
        target.value(["masks", i, name, k], node)() as tf.Tensor
      );
      target.commit(() => {
        tf.dispose((cell[name] ?? []) as tf.Tensor[]);
        masks.forEach((mask) => tf.keep(mask));
        // As tfjs makes them: one mask for cells of one gate, several for the others.
        cell[name] = masks.length > 1 ? masks : masks[0] ?? null;
      });
    }
  }
}

function restoreSublayers(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const live = new Map(sublayers(layer));
  for (const [name, node] of isBranch(saved) && saved.is === "record" ? saved.entries : []) {
    const sub = live.get(name);
    const nodes: readonly Node[] = Array.isArray(node) ? node : [node];
    const subs = sub === undefined ? [] : [sub].flat();
    if (nodes.length !== subs.length) {
      target.problem("length", `${subs.length} layers in it`, `${nodes.length}`, `layers/${name}`);
      continue;
    }
    nodes.forEach((part, i) =>
      target.part(Array.isArray(node) ? ["layers", name, i] : ["layers", name], subs[i], part)
    );
  }
}

/** The kind of layers; models have their own. */
export const layerKind: Kind<tf.layers.Layer> = {
  name: "Layer",
  is: (u): u is tf.layers.Layer => u instanceof tf.layers.Layer && !(u instanceof tf.LayersModel),
  nearly: (u) =>
    "getClassName" in u && "countParams" in u && !(u instanceof tf.layers.Layer)
      ? `a ${u.constructor.name} of a second copy of tfjs: install one copy, the one this toolkit has as its peer`
      : undefined,
  announce: (layer, names) => nameWeights([layer], names),
  encode: (layer, site) => {
    const fields = fieldsOf(layer);
    const seed = fields.randomGenerator?.seed;
    const config = wholeConfig(layer);
    return record([
      ["class", layer.getClassName()],
      ["name", givenName(layer)],
      ["config", site.plain(configOf(layer, true, config))],
      ["build", aside(site.plain(configOf(layer, false, config)))],
      ["flags", encodeFlags(layer)],
      ["weights", record(ownWeights(layer).map(([name, weight]) => [name, site.part(["weights", name], weight.val)]))],
      ["states", fields.states_ ? fields.states_.map((state, i) => site.part(["states", i], state)) : null],
      ...encodeMasks(layer, site),
      ["seed", seed ?? null],
      [
        "layers",
        record(
          sublayers(layer).map(([name, sub]) => [
            name,
            sub instanceof tf.layers.Layer
              ? site.part(["layers", name], sub)
              : sub.map((part, i) => site.part(["layers", name, i], part)),
          ]),
        ),
      ],
    ]);
  },
  buildsParts: true,
  build: (state, target) => {
    const [className, name] = [entry(state, "class"), entry(state, "name")];
    const { classNameMap } = tf.serialization.SerializationMap.getMap();
    const found = typeof className === "string" && Object.hasOwn(classNameMap, className)
      ? classNameMap[className]
      : undefined;
    if (found === undefined || !(found[0].prototype instanceof tf.layers.Layer)) {
      target.problem("class", "a layer class that tf.serialization.registerClass knows", String(className));
      return undefined;
    }
    const config = target.plain(entry(state, "build") ?? null) as tf.serialization.ConfigDict;
    // A wrapper's layers keep the prefix that it gives them, so their names are never set here.
    const layer = found[1](found[0], typeof name === "string" ? { ...config, name } : config) as tf.layers.Layer;
    // Where a layer gives itself an input shape, its constructor makes up a dtype that the layer did not have.
    if (config["dtype"] === undefined) Object.assign(layer, { dtype: undefined });
    layer.setFastWeightInitDuringBuild(true);
    return layer;
  },
  restore: (state, target, live) => {
    const layer = live as tf.layers.Layer;
    checkIdentity(state, target, layer);
    compareConfig(configOf(layer, true), target.plain(entry(state, "config") ?? null), "config", target);
    restoreFlags(entry(state, "flags"), target, () => layer);
    restoreWeights(entry(state, "weights") ?? null, target, layer);
    restoreStates(entry(state, "states") ?? null, target, layer);
    restoreMasks(entry(state, "masks") ?? null, target, layer);
    restoreSublayers(entry(state, "layers") ?? null, target, layer);
    const seed = entry(state, "seed");
    const { randomGenerator } = fieldsOf(layer);
    if (randomGenerator !== undefined && typeof seed === "number") {
      target.commit(() => void (randomGenerator.seed = seed));
    }
    return () => layer;
  },
};
