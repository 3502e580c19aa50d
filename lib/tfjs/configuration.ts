/**
 * Configurations of layers, whole: what tfjs's own `getConfig` and `fromConfig` leave out or exchange is put right.
 *
 * Facts this rests on (tfjs-layers 4.22): `DepthwiseConv2D` writes its regularizer in the place of its constraint; an activation is
 * written as its name alone; convolutions leave out an argument each; stacked cells and layers that give themselves an input shape come
 * back without name or dtype.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Target } from "../component.ts";
import { isPlainRecord, shown } from "../rules.ts";
import { join } from "../state_tree.ts";
import { isTypedArray } from "../tensor.ts";
import { type Part, partsOf, registeredClass, type Serializable, unbuildable } from "./classes.ts";

// --- types

/** What tfjs builds an object from. */
interface Serialized {
  readonly className: string;
  readonly config: Readonly<Record<string, unknown>>;
}

// --- constructors

function fieldsOf(layer: object): Readonly<Record<string, unknown>> {
  return layer as Readonly<Record<string, unknown>>;
}

function isSerialized(value: unknown): value is Serialized {
  return isPlainRecord(value) && typeof value["className"] === "string" && isPlainRecord(value["config"]);
}

/** What decides the next bits, and tfjs leaves out of its own configuration of these classes. */
const unlisted: Readonly<Record<string, readonly string[]>> = {
  AlphaDropout: ["noiseShape"],
  SeparableConv2D: ["depthMultiplier"],
  Conv1D: ["dataFormat"],
  Conv2DTranspose: ["dilationRate"],
  Conv3DTranspose: ["dilationRate"],
};

/** Whether a value is what a constructor takes where none is given. */
function isDefault(value: unknown): boolean {
  return [value].flat().every((part) => part === null || part === 1 || part === "channelsLast");
}

function serialized(part: unknown): unknown {
  const object = part as Serializable | null | undefined;
  if (object === null || object === undefined) return null;
  return { className: object.getClassName(), config: object.getConfig?.() };
}

/** The entries of a layer's configuration that differ from those that tfjs gives. */
function corrections(
  layer: tf.layers.Layer,
  config: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const fields = fieldsOf(layer);
  const className = layer.getClassName();
  const names = Object.hasOwn(unlisted, className) ? unlisted[className] : undefined;
  const left = (names ?? []).flatMap((name) => {
    const value = fields[name] ?? null;
    return isDefault(value) ? [] : [[name, value] as const];
  });
  // A recurrent layer has the configuration of its cell in its own.
  const { cell } = fields;
  const parts = [fields, cell instanceof tf.layers.Layer ? fieldsOf(cell) : {}];
  const withSettings = Object.entries(config).flatMap(([name, value]) => {
    const part = parts.map((of) => of[name]).find((found) => found !== undefined);
    if (typeof value !== "string" || typeof part !== "object" || part === null) return [];
    const { getClassName, getConfig } = part as Partial<Serializable>;
    if (getClassName?.call(part) !== value) return [];
    const settings = getConfig?.call(part);
    return isPlainRecord(settings) && Object.keys(settings).length > 0
      ? [[name, { className: value, config: settings }] as const]
      : [];
  });
  return {
    ...Object.fromEntries([...left, ...withSettings]),
    ...(className === "DepthwiseConv2D" ? { depthwiseConstraint: serialized(fields["depthwiseConstraint"]) } : {}),
  };
}

/** A configuration with the corrections of a layer, and those of the layers in it. */
function corrected(config: Readonly<Record<string, unknown>>, layer: tf.layers.Layer): Record<string, unknown> {
  const inner = (value: unknown, part: unknown): unknown => {
    if (Array.isArray(value) && Array.isArray(part)) return value.map((item, i) => inner(item, part[i]));
    if (!isSerialized(value) || !(part instanceof tf.layers.Layer) || part.getClassName() !== value.className) {
      return value;
    }
    return { ...value, config: corrected(value.config, part) };
  };
  const entries = Object.entries(config).map(([name, value]) => [name, inner(value, fieldsOf(layer)[name])] as const);
  return { ...Object.fromEntries(entries), ...corrections(layer, config) };
}

/** A layer's configuration as 0.1.0 wrote it. */
export function oldConfig(layer: tf.layers.Layer): Record<string, unknown> {
  const { noiseShape, depthMultiplier } = corrections(layer, {});
  const left = Object.entries({ noiseShape, depthMultiplier }).filter(([, value]) => value !== undefined);
  return { ...layer.getConfig(), ...Object.fromEntries(left) };
}

/** A layer's configuration with all that decides what it does. */
export function wholeConfig(layer: tf.layers.Layer): Record<string, unknown> {
  return corrected(layer.getConfig(), layer);
}

/** The configuration of a functional model, such as a wrapper has of the model in it: its graph is written by the names of layers. */
interface Graph extends Readonly<Record<string, unknown>> {
  readonly layers: readonly (Serialized & { readonly name: string; readonly inboundNodes: unknown })[];
}

function isGraph(config: Readonly<Record<string, unknown>>): config is Graph {
  const { layers, inputLayers, outputLayers } = config;
  return Array.isArray(layers) && Array.isArray(inputLayers) && Array.isArray(outputLayers) &&
    layers.every((layer) => isSerialized(layer) && typeof (layer as { readonly name?: unknown }).name === "string");
}

/** A configuration in which the made-up names of a graph's layers are their places. */
export function withPlaces(
  config: Readonly<Record<string, unknown>>,
  isMadeUp: (name: string, className: string) => boolean,
): Record<string, unknown> {
  if (!isGraph(config)) return config;
  const places = new Map(
    config.layers.flatMap(({ name, className }, i) => isMadeUp(name, className) ? [[name, `layer ${i}`] as const] : []),
  );
  // A reference is a name, a call and an output.
  const renamed = (part: unknown): unknown => {
    if (!Array.isArray(part)) return part;
    const [first, ...rest] = part as readonly unknown[];
    return typeof first === "string" ? [places.get(first) ?? first, ...rest] : part.map(renamed);
  };
  return {
    ...config,
    layers: config.layers.map((layer) => ({
      ...layer,
      name: places.get(layer.name) ?? layer.name,
      inboundNodes: renamed(layer.inboundNodes),
    })),
    inputLayers: renamed(config["inputLayers"]),
    outputLayers: renamed(config["outputLayers"]),
  };
}

/** The parts of a layer, and of the layers in it, that have no `getConfig`. */
export function withoutConfig(
  layer: tf.layers.Layer,
  inside: (layer: tf.layers.Layer) => readonly (readonly [string, tf.layers.Layer])[],
  at = "",
): readonly Part[] {
  return [
    ...partsOf(layer, join(at, "config")).filter(([, part]) => typeof part.getConfig !== "function"),
    ...inside(layer).flatMap(([name, sub]) => withoutConfig(sub, inside, at === "" ? name : `${at}/${name}`)),
  ];
}

/** Classes in a configuration that tfjs does not know, each with its path. */
export function unknownClasses(config: unknown, at: string): readonly (readonly [at: string, className: string])[] {
  if (Array.isArray(config)) return config.flatMap((item, i) => unknownClasses(item, join(at, i)));
  if (!isPlainRecord(config)) return [];
  const own = isSerialized(config) && registeredClass(config.className) === undefined
    ? [[at, config.className] as const]
    : [];
  return [...own, ...Object.entries(config).flatMap(([name, part]) => unknownClasses(part, join(at, name)))];
}

// --- capture and restore

/** Reports every difference between two plain values. */
export function compareConfig(live: unknown, saved: unknown, path: string, target: Target): void {
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

/** Says why tfjs could not build a layer from a configuration. */
export function reportUnbuilt(config: unknown, target: Target, error: unknown): void {
  const unknown = unknownClasses(config, "config");
  for (const [at, className] of unknown) {
    const why = unbuildable(className);
    target.problem("class", why?.expected ?? "", why?.found ?? className, at);
  }
  if (unknown.length > 0) return;
  target.problem(
    "class",
    "a class whose fromConfig builds it from what its getConfig gives",
    error instanceof Error ? error.message : String(error),
  );
}
