/**
 * Names of a model's inputs and outputs, under which tfjs takes data and reports losses and metrics.
 *
 * Generated names are not state, because they depend on what else the process made, but a script may contain them as text. So a freshly
 * built model gets the saved names, and tfjs's counters are advanced past them. A live model keeps its names, and a restore fails if the
 * saved ones belong to other inputs or outputs.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { aside, entry, type Named, type Node, record, type Site, type Target, unwrap } from "../../state/mod.ts";
import { encodeFedName, givenLayerName, namingClass } from "./layer_name.ts";
import { modelFields, recordEntries } from "../mod.ts";

// --- constructors

/** tfjs's key of the counter in a generated name, and the count; undefined for other names. */
function counterOf(
  name: string,
  layer: tf.layers.Layer,
): readonly [prefix: string, count: number] | undefined {
  if (givenLayerName(layer) !== null) return undefined;
  const [className, isModel] = [namingClass(layer.getClassName(), layer), layer instanceof tf.LayersModel];
  const prefix = isModel
    ? className === "Sequential" ? "sequential_" : className.toLowerCase()
    : className === "InputLayer"
    ? "input"
    : className;
  const count = Number(name.slice(name.lastIndexOf(prefix) + prefix.length) || NaN);
  return Number.isSafeInteger(count) ? [prefix, count] : undefined;
}

/** Records the names of the input and output layers of a model and of the models in it. */
export function nameInputsAndOutputs(model: tf.LayersModel, names: Map<object, string>): void {
  const { inputLayers = [], outputLayers = [] } = modelFields(model);
  // A sequential model has no input and output layers before it is built.
  const ends = model instanceof tf.Sequential ? [model.layers[0] ?? [], model.layers.at(-1) ?? []].flat() : [];
  for (const layer of [...inputLayers, ...outputLayers, ...ends]) names.set(layer, layer.name);
  for (const layer of model.layers) if (layer instanceof tf.LayersModel) nameInputsAndOutputs(layer, names);
}

/** The highest count in recorded names, by tfjs's key of the counter. */
function countersOf(names: ReadonlyMap<object, string>): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  for (const [layer, name] of names) {
    if (!(layer instanceof tf.layers.Layer)) continue;
    const [prefix, count] = counterOf(name, layer) ?? [];
    if (prefix !== undefined && count !== undefined) counters.set(prefix, Math.max(count, counters.get(prefix) ?? 0));
  }
  return counters;
}

/** The steps by which this process may still advance counters, about a second in all: a checkpoint may name any count. */
let remainingSteps = 1_000_000;

/** Advances a counter of tfjs past a count, so that no name generated later equals a restored one. */
function advanceCounter(prefix: string, count: number): void {
  // The only way to advance a counter is to make a layer of a class with that name.
  class Counted extends tf.layers.Layer {
    static readonly className = prefix;
  }
  let reached: number;
  do {
    const { name } = new Counted({});
    reached = Number(name.slice(name.lastIndexOf(prefix) + prefix.length) || NaN);
    remainingSteps--;
  } while (reached < count && count - reached < remainingSteps);
}

/** Splits the counter off the end of a name; undefined for a name without one. */
function splitCounter(name: string): readonly [prefix: string, count: number] | undefined {
  const digits = /\d+$/.exec(name.replace(/_input$/, ""))?.[0];
  return digits === undefined ? undefined : [name.slice(0, name.lastIndexOf(digits)), Number(digits)];
}

/**
 * Whether two names with one prefix have their counters in the opposite order: their layers were made in another order. The counts
 * themselves do not matter.
 */
function areSwapped(saved: readonly string[], live: readonly string[]): boolean {
  const pairs = saved.flatMap((name, i) => {
    const [was, is] = [splitCounter(name), splitCounter(live[i] ?? "")];
    return was === undefined || is === undefined ? [] : [{ was, is }];
  });
  return pairs.some((a) =>
    pairs.some((b) => a.was[0] === b.was[0] && a.is[0] === b.is[0] && (a.was[1] < b.was[1]) !== (a.is[1] < b.is[1]))
  );
}

// --- capture and restore

/** The state entries of the names of a model's inputs and outputs; they are in no id. */
export function encodeInputNames(model: tf.LayersModel, site: Site): readonly Named[] {
  const { inputLayers = [], inputNames, outputNames } = modelFields(model);
  // A model within a wrapper layer is rebuilt by the layer, under other names.
  const named = !(model instanceof tf.Sequential) && inputLayers.every((layer) => site.names.has(layer));
  const counters = [...countersOf(site.names)];
  return [
    ...encodeFedName(model, site.names),
    [
      "names",
      aside(record([
        ["inputs", named ? inputNames : null],
        ["outputs", named ? outputNames : null],
        ["counters", record(counters)],
      ])),
    ],
  ];
}

/** Advances tfjs's counters past the saved names, which are about to be used again. */
export function advanceCounters(state: Node): void {
  for (const [prefix, count] of recordEntries(entry(unwrap(entry(state, "names") ?? null), "counters"))) {
    if (typeof count === "number") advanceCounter(prefix, count);
  }
}

/** Checks that no saved name of an input or output is now the name of another one. */
export function checkInputNames(state: Node, target: Target, model: tf.LayersModel): void {
  const saved = unwrap(entry(state, "names") ?? null);
  for (const part of ["inputs", "outputs"] as const) {
    const [found, live] = [entry(saved, part), modelFields(model)[part === "inputs" ? "inputNames" : "outputNames"]];
    if (model instanceof tf.Sequential || !Array.isArray(found) || found.length !== live.length) continue;
    const names = found.map(String);
    if (target.fresh ? String(names) === String(live) : !areSwapped(names, live)) continue;
    target.problem(
      "name",
      `${live.join(", ")}, as in the live model`,
      `${names.join(", ")} in the snapshot: make these layers in the same order as then, or give each a name`,
      part,
    );
  }
}
