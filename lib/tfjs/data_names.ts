/**
 * Names by which data goes: tfjs feeds a model, and gives losses and metrics, by the names of its input and output layers.
 *
 * Names that tfjs made up are no state, for they depend on what else a process has made; but a script may have them as text. So they come
 * back with a model that is built afresh, and tfjs counts past them. In place the live names remain, and none may be another's.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Site, Target } from "../component.ts";
import { aside, entry, isBranch, type Named, type Node, record, unwrap } from "../state_tree.ts";
import { givenName, namedAs } from "./names.ts";

// --- types

/** Where data goes into a model and comes out of it; a sequential model has the names once it is built. */
interface Ends {
  readonly inputLayers?: readonly tf.layers.Layer[];
  readonly outputLayers?: readonly tf.layers.Layer[];
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

// --- constructors

function endsOf(model: tf.LayersModel): Ends {
  return model as unknown as Ends;
}

/** What the counter of a made-up name is kept under in tfjs, and its number; undefined for other names. */
function counterOf(
  name: string,
  layer: tf.layers.Layer,
): readonly [prefix: string, count: number] | undefined {
  if (givenName(layer) !== null) return undefined;
  const [className, isModel] = [namedAs(layer.getClassName(), layer), layer instanceof tf.LayersModel];
  const prefix = isModel
    ? className === "Sequential" ? "sequential_" : className.toLowerCase()
    : className === "InputLayer"
    ? "input"
    : className;
  const count = Number(name.slice(name.lastIndexOf(prefix) + prefix.length) || NaN);
  return Number.isSafeInteger(count) ? [prefix, count] : undefined;
}

/** Notes the names of layers by which data goes, in a model and in those in it: tfjs feeds by the names of input and output layers. */
export function nameData(model: tf.LayersModel, names: Map<object, string>): void {
  const { inputLayers = [], outputLayers = [] } = endsOf(model);
  const ends = model instanceof tf.Sequential ? [model.layers[0] ?? [], model.layers.at(-1) ?? []].flat() : [];
  for (const layer of [...inputLayers, ...outputLayers, ...ends]) names.set(layer, layer.name);
  for (const layer of model.layers) if (layer instanceof tf.LayersModel) nameData(layer, names);
}

/** How far tfjs had counted in the names by which data goes, by what the counters are kept under. */
function countersOf(names: ReadonlyMap<object, string>): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  for (const [layer, name] of names) {
    if (!(layer instanceof tf.layers.Layer)) continue;
    const [prefix, count] = counterOf(name, layer) ?? [];
    if (prefix !== undefined && count !== undefined) counters.set(prefix, Math.max(count, counters.get(prefix) ?? 0));
  }
  return counters;
}

/** How far counters are moved at most in one process, in about a second: a checkpoint may ask for any number. */
let left = 1_000_000;

/** Moves tfjs's counter past a number, so that no name it makes up from now on is that of a restored layer. */
function countPast(prefix: string, count: number): void {
  // Every layer takes its number from the counter of its class name.
  class Counted extends tf.layers.Layer {
    static readonly className = prefix;
  }
  let reached: number;
  do {
    const { name } = new Counted({});
    reached = Number(name.slice(name.lastIndexOf(prefix) + prefix.length) || NaN);
    left--;
  } while (reached < count && count - reached < left);
}

/** A name without the counter at its end, and the counter; undefined for a name without one. */
function counted(name: string): readonly [prefix: string, count: number] | undefined {
  const digits = /\d+$/.exec(name.replace(/_input$/, ""))?.[0];
  return digits === undefined ? undefined : [name.slice(0, name.lastIndexOf(digits)), Number(digits)];
}

/**
 * Whether two names of one prefix are counted the other way round: layers that were made in another order. How far tfjs had counted
 * before makes no difference, and other names are compared where their layers are.
 */
function isExchanged(saved: readonly string[], live: readonly string[]): boolean {
  const pairs = saved.flatMap((name, i) => {
    const [was, is] = [counted(name), counted(live[i] ?? "")];
    return was === undefined || is === undefined ? [] : [{ was, is }];
  });
  return pairs.some((a) =>
    pairs.some((b) => a.was[0] === b.was[0] && a.is[0] === b.is[0] && (a.was[1] < b.was[1]) !== (a.is[1] < b.is[1]))
  );
}

// --- capture and restore

/** The names by which data goes to a model and comes from it; they are no state where tfjs made them up, but come back. */
export function encodeNames(model: tf.LayersModel, site: Site): readonly Named[] {
  const { inputLayers = [], inputNames, outputNames } = endsOf(model);
  // A model in a layer of another kind is built by that layer.
  const named = !(model instanceof tf.Sequential) && inputLayers.every((layer) => site.names.has(layer));
  const [known, counters] = [site.names.get(model), [...countersOf(site.names)]];
  return [
    ...(known === undefined || givenName(model) !== null ? [] : [["known", aside(known)] as const]),
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

/** Lets tfjs count past the names that are about to be given again. */
export function restoreCounters(state: Node): void {
  const counters = entry(unwrap(entry(state, "names") ?? null), "counters");
  for (
    const [prefix, count] of counters !== undefined && isBranch(counters) && counters.is === "record"
      ? counters.entries
      : []
  ) {
    if (typeof count === "number") countPast(prefix, count);
  }
}

/** Checks that no name of an input or output is another's in the snapshot: layers that were made in another order are named otherwise. */
export function checkNames(state: Node, target: Target, model: tf.LayersModel): void {
  const saved = unwrap(entry(state, "names") ?? null);
  for (const part of ["inputs", "outputs"] as const) {
    const [found, live] = [entry(saved, part), endsOf(model)[part === "inputs" ? "inputNames" : "outputNames"]];
    if (model instanceof tf.Sequential || !Array.isArray(found) || found.length !== live.length) continue;
    const names = found.map(String);
    if (target.fresh ? String(names) === String(live) : !isExchanged(names, live)) continue;
    target.problem(
      "name",
      `${live.join(", ")}, as in the live model`,
      `${names.join(", ")} in the snapshot: make these layers in the same order as then, or give each a name`,
      part,
    );
  }
}
