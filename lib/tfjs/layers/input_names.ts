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
import { listItems, modelFields, recordEntries } from "../mod.ts";

// --- constructors

/** tfjs's key of the counter in a generated name, and the count; undefined for other names. */
function counterOf(name: string, layer: tf.layers.Layer): readonly [prefix: string, count: number] | undefined {
  if (givenLayerName(layer) !== null) return undefined;
  const className = namingClass(layer.getClassName(), layer);
  const ofModel = className === "Sequential" ? "sequential_" : className.toLowerCase();
  const ofLayer = className === "InputLayer" ? "input" : className;
  const prefix = layer instanceof tf.LayersModel ? ofModel : ofLayer;
  const count = countAfter(name, prefix);
  return Number.isSafeInteger(count) ? [prefix, count] : undefined;
}

/** The number after the last prefix in a name; NaN if there is none. */
function countAfter(name: string, prefix: string): number {
  return Number(name.slice(name.lastIndexOf(prefix) + prefix.length) || NaN);
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
    const [prefix, count = 0] = counterOf(name, layer) ?? [];
    if (prefix !== undefined) counters.set(prefix, Math.max(count, counters.get(prefix) ?? 0));
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
    reached = countAfter(new Counted({}).name, prefix);
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
    return was === undefined || is === undefined ? [] : [{ prefixes: `${was[0]} ${is[0]}`, was: was[1], is: is[1] }];
  });
  return pairs.some((a) => pairs.some((b) => a.prefixes === b.prefixes && (a.was < b.was) !== (a.is < b.is)));
}

// --- capture and restore

/** The state entries of the names of a model's inputs and outputs; they are in no id. */
export function encodeInputNames(model: tf.LayersModel, site: Site): readonly Named[] {
  const { inputLayers = [], inputNames, outputNames } = modelFields(model);
  // A model within a wrapper layer is rebuilt by the layer, under other names.
  const named = !(model instanceof tf.Sequential) && inputLayers.every((layer) => site.names.has(layer));
  const counters = [...countersOf(site.names)];
  const [inputs, outputs] = named ? [inputNames, outputNames] : [null, null];
  const names = record([["inputs", inputs], ["outputs", outputs], ["counters", record(counters)]]);
  return [...encodeFedName(model, site.names), ["names", aside(names)]];
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
  const { inputNames, outputNames } = modelFields(model);
  for (
    const [part, live] of model instanceof tf.Sequential
      ? []
      : Object.entries({ inputs: inputNames, outputs: outputNames })
  ) {
    const names = listItems(entry(saved, part)).map(String);
    if (names.length !== live.length) continue;
    if (target.fresh ? String(names) === String(live) : !areSwapped(names, live)) continue;
    target.differs("name", live.join(", "), names.join(", "), part);
  }
}
