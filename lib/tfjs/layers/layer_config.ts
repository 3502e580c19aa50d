/**
 * Configs of layers, with the faults of tfjs's `getConfig` corrected.
 *
 * Faults of tfjs-layers 4.22: `DepthwiseConv2D` writes its regularizer in place of its constraint; an activation loses its arguments;
 * some convolutions omit an argument.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isTypedArray, join, type Site, type Target } from "../../state/mod.ts";
import { toError } from "../../errors/mod.ts";
import { isPlainRecord, shown } from "../../validation/mod.ts";
import { layerFields } from "../mod.ts";
import {
  registeredClass,
  type Serializable,
  type SerializableField,
  serializableFields,
  unbuildableClass,
} from "./class_name.ts";
import { isGeneratedName, sublayers } from "./layer_name.ts";

// --- types

/** The arguments of a layer's constructor, as `getConfig` returns them. */
type LayerConfig = Readonly<Record<string, unknown>>;

/** What tfjs builds an object from. */
interface Serialized {
  readonly className: string;
  readonly config: LayerConfig;
}

/** The config of a functional model, which names layers in its graph. A wrapper's config may contain one. */
interface ModelConfig extends LayerConfig {
  readonly layers: readonly (Serialized & { readonly name: string; readonly inboundNodes: unknown })[];
}

// --- constructors

function isSerialized(value: unknown): value is Serialized {
  return isPlainRecord(value) && typeof value["className"] === "string" && isPlainRecord(value["config"]);
}

/** The argument that changes what a layer computes and that tfjs omits from the config of these classes. */
const omittedArguments: ReadonlyMap<string, string> = new Map([
  ["AlphaDropout", "noiseShape"],
  ["SeparableConv2D", "depthMultiplier"],
  ["Conv1D", "dataFormat"],
  ["Conv2DTranspose", "dilationRate"],
  ["Conv3DTranspose", "dilationRate"],
]);

/** Whether a value is the default of any of these arguments. */
function isDefaultArgument(value: unknown): boolean {
  return [value].flat().every((part) => part === null || part === 1 || part === "channelsLast");
}

/** The entries of a layer's config that tfjs omits or writes incorrectly. */
function corrections(layer: tf.layers.Layer, config: LayerConfig): LayerConfig {
  const fields = layerFields(layer);
  const className = layer.getClassName();
  const omitted = omittedArguments.get(className);
  const value = omitted === undefined ? null : fields[omitted] ?? null;
  // A recurrent layer's config includes that of its cell.
  const { cell, depthwiseConstraint } = fields;
  const owners: readonly LayerConfig[] = [fields, cell instanceof tf.layers.Layer ? layerFields(cell) : {}];
  const withArguments = Object.entries(config).flatMap(([name, value]) => {
    const field: Partial<Serializable> = Object(owners.find((owner) => owner[name] !== undefined)?.[name]);
    const args = typeof value === "string" && field.getClassName?.() === value ? field.getConfig?.() : {};
    const hasArguments = isPlainRecord(args) && Object.keys(args).length > 0;
    return hasArguments ? [[name, { className: value, config: args }] as const] : [];
  });
  return {
    ...(omitted === undefined || isDefaultArgument(value) ? {} : { [omitted]: value }),
    ...Object.fromEntries(withArguments),
    ...(className === "DepthwiseConv2D"
      ? { depthwiseConstraint: serialized(depthwiseConstraint as Serializable | null | undefined) }
      : {}),
  };
}

function serialized(object: Serializable | null | undefined): Partial<Serialized> | null {
  return object ? { className: object.getClassName(), config: object.getConfig?.() as LayerConfig } : null;
}

/** A config with the corrections of its layer and of the layers in it. */
function corrected(config: LayerConfig, layer: tf.layers.Layer): Record<string, unknown> {
  const inner = (value: unknown, field: unknown): unknown => {
    if (Array.isArray(value) && Array.isArray(field)) return value.map((item, i) => inner(item, field[i]));
    if (!isSerialized(value) || !(field instanceof tf.layers.Layer) || field.getClassName() !== value.className) {
      return value;
    }
    return { ...value, config: corrected(value.config, field) };
  };
  const entries = Object.entries(config).map(([name, value]) =>
    [name, inner(value, layerFields(layer)[name])] as const
  );
  return { ...Object.fromEntries(entries), ...corrections(layer, config) };
}

/** A layer's config as 0.1.0 wrote it. */
export function oldConfig(layer: tf.layers.Layer): Record<string, unknown> {
  const { noiseShape, depthMultiplier } = corrections(layer, {});
  const omitted = Object.entries({ noiseShape, depthMultiplier }).filter(([, value]) => value !== undefined);
  return { ...layer.getConfig(), ...Object.fromEntries(omitted) };
}

/** A layer's config, corrected: it has every argument that changes what the layer computes. */
export function layerConfig(layer: tf.layers.Layer): Record<string, unknown> {
  return corrected(layer.getConfig(), layer);
}

function isModelConfig(config: LayerConfig): config is ModelConfig {
  const { layers, inputLayers, outputLayers } = config;
  return Array.isArray(layers) && Array.isArray(inputLayers) && Array.isArray(outputLayers) &&
    layers.every((layer) => isSerialized(layer) && typeof (layer as { readonly name?: unknown }).name === "string");
}

/** A config in which each generated name of a layer in a graph is replaced by the layer's index. */
function withLayerIndices(config: LayerConfig): LayerConfig {
  if (!isModelConfig(config)) return config;
  const indices = new Map<unknown, string>(
    config.layers.flatMap(({ name, className }, i) => isGeneratedName(name, className) ? [[name, `layer ${i}`]] : []),
  );
  // A reference is a name, a call and an output.
  const renamed = (part: unknown): unknown => {
    if (!Array.isArray(part)) return part;
    const [first, ...rest] = part as readonly unknown[];
    return typeof first === "string" ? [indices.get(first) ?? first, ...rest] : part.map(renamed);
  };
  return {
    ...config,
    layers: config.layers.map((layer) => ({
      ...layer,
      name: indices.get(layer.name) ?? layer.name,
      inboundNodes: renamed(layer.inboundNodes),
    })),
    inputLayers: renamed(config["inputLayers"]),
    outputLayers: renamed(config["outputLayers"]),
  };
}

/** The regularizers and the like of a layer, and of the layers in it, that have no `getConfig`. */
function fieldsWithoutConfig(layer: tf.layers.Layer, at = ""): readonly SerializableField[] {
  const inner = sublayers(layer).flatMap(([name, sub]) =>
    [sub].flat().map((part, i) => [part === sub ? `layers/${name}` : `layers/${name}/${i}`, part] as const)
  );
  return [
    ...serializableFields(layer, join(at, "config")).filter(([, field]) => typeof field.getConfig !== "function"),
    ...inner.flatMap(([name, sub]) => fieldsWithoutConfig(sub, at === "" ? name : `${at}/${name}`)),
  ];
}

/** The classes in a config that are not registered, each with its path. */
function unregisteredClasses(config: unknown, at: string): readonly (readonly [at: string, className: string])[] {
  if (Array.isArray(config)) return config.flatMap((item, i) => unregisteredClasses(item, join(at, i)));
  if (!isPlainRecord(config)) return [];
  const isUnregistered = isSerialized(config) && registeredClass(config.className) === undefined;
  const own = isUnregistered ? [[at, config.className] as const] : [];
  return [...own, ...Object.entries(config).flatMap(([name, part]) => unregisteredClasses(part, join(at, name)))];
}

// --- capture and restore

/** {@link layerConfig}; refuses a layer whose `getConfig` throws. */
export function encodeConfig(layer: tf.layers.Layer, site: Site): Record<string, unknown> {
  try {
    return layerConfig(layer);
  } catch (error) {
    const [missing] = fieldsWithoutConfig(layer);
    if (missing === undefined) {
      return site.refuse("a layer whose getConfig returns its arguments", toError(error).message);
    }
    const [at, { constructor }] = missing;
    const expected = `${at.split("/").at(-1)} to have a method getConfig that returns its arguments as plain data`;
    return site.refuse(expected, `a ${constructor.name} without one`, at);
  }
}

/**
 * A layer's config as plain data without generated names.
 *
 * @param layer The layer.
 * @param use `build`: all arguments. `compare`: without initializers, on which no later step depends, and without what the state has
 *   elsewhere (trainable flags, the layer's name, the counted seed of a random layer).
 * @param config Its config.
 */
export function plainConfig(
  layer: tf.layers.Layer,
  use: "build" | "compare",
  config: unknown = layerConfig(layer),
): unknown {
  const isOmitted = (key: string, isOwn: boolean): boolean =>
    use === "compare" && (key === "trainable" || /[iI]nitializer$/.test(key) ||
      (isOwn && (key === "name" || (key === "seed" && layerFields(layer).randomGenerator !== undefined))));
  const plain = (value: unknown, className?: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => plain(item));
    // Configs for building and for comparing must not share arrays.
    if (isTypedArray(value)) return value.slice();
    if (!isPlainRecord(value)) return value;
    const isGeneratedEntry = (key: string, part: unknown): boolean =>
      key === "name" && typeof part === "string" && className !== undefined && isGeneratedName(part, className);
    return Object.fromEntries(
      Object.entries(withLayerIndices(value))
        .filter(([key, part]) =>
          part !== undefined && !isGeneratedEntry(key, part) && !isOmitted(key, className === layer.getClassName())
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
export function compareConfig(live: unknown, saved: unknown, path: string, target: Target): void {
  if (Object.is(live, saved)) return;
  const parts = (u: unknown): Record<string, unknown> | undefined =>
    Array.isArray(u) || isTypedArray(u) ? Object.fromEntries(u.entries()) : isPlainRecord(u) ? u : undefined;
  const [a, b] = [parts(live), parts(saved)];
  if (a === undefined || b === undefined || shown(live) !== shown(saved)) {
    return target.differs("config", shown(live), shown(saved), path);
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    compareConfig(a[key], b[key], join(path, key), target);
  }
}

/** Reports why tfjs could not build a layer from a config. */
export function reportBuildError(config: unknown, target: Target, error: unknown): void {
  const unregistered = unregisteredClasses(config, "config");
  for (const [at, className] of unregistered) {
    const fault = unbuildableClass(className) ?? { expected: "a registered class", found: className };
    target.pass({ path: at, kind: "class", ...fault });
  }
  if (unregistered.length > 0) return;
  target.problem("class", "a class whose fromConfig accepts what its getConfig returns", toError(error).message);
}
