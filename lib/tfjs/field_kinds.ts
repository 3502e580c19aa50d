/**
 * The kinds of what fields of the user's own classes hold beyond plain data: Maps, Sets, functions, `undefined`, and names of variables.
 *
 * Gradients come by the names of variables, which differ from process to process; so where state goes by such a name, it is kept by the
 * variable itself.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { AnyKind, Kind, PartPath, Site, Target } from "../component.ts";
import { isPlainRecord, shown } from "../rules.ts";
import { aside, entry, isBranch, join, type Node, record, unwrap } from "../state_tree.ts";
import { isTypedArray } from "../tensor.ts";
import { givenName } from "./tensor.ts";

// --- types

type Fields = Record<string, unknown>;

/** A variable that a text names, and what follows its name. */
interface Naming {
  readonly variable: tf.Variable;
  readonly suffix: string;
}

/** A restored key: what it is while the live objects have the names they had, and what it is at the end. */
interface Key {
  readonly now: unknown;
  readonly later: () => unknown;
}

// --- constructors

/** The variable that tfjs knows under a name. */
export function registered(name: string): tf.Variable | undefined {
  const { state } = tf.engine() as unknown as {
    readonly state: { readonly registeredVariables: Readonly<Record<string, tf.Variable>> };
  };
  return Object.hasOwn(state.registeredVariables, name) ? state.registeredVariables[name] : undefined;
}

/** The variable that a text names, alone or with an ending such as `/m`: one that is trained, or a model's. */
function naming(text: string, site: Site): Naming | undefined {
  for (let end = text.length; end > 0; end--) {
    if (end < text.length && !/[/_:.-]/.test(text.charAt(end))) continue;
    const variable = registered(text.slice(0, end));
    if (variable === undefined || (!variable.trainable && !site.names.has(variable))) continue;
    return { variable, suffix: text.slice(end) };
  }
  return undefined;
}

const longestName = 1000;

/** Whether a text can only be a name: that of a layer's variable, for which tfjs made up the layer's name. */
export function isLayerName(text: string): boolean {
  return text.length <= longestName && text.includes("/") &&
    /^(?:[\w.-]+\/)*?[a-z][a-z0-9_]*_[A-Z]\w*\d\/\w/.test(text);
}

function isNamed(record: Fields, site: Site): boolean {
  const keys = Object.keys(record);
  return keys.length > 0 &&
    (keys.every((key) => naming(key, site) !== undefined) ||
      keys.some((key) => isLayerName(key) && naming(key, site) !== undefined));
}

/** Whether texts name variables of components, all of them. */
function areNames(texts: readonly unknown[], site: Site): boolean {
  return texts.length > 0 && texts.every((text) => {
    const variable = typeof text === "string" ? registered(text) : undefined;
    return variable !== undefined && (variable.trainable || site.names.has(variable)) && site.isCaptured(variable);
  });
}

// --- capture and restore

function encodeName(text: string, { variable, suffix }: Naming, step: PartPath, site: Site): Node {
  if (!site.isCaptured(variable)) {
    if (givenName(variable) !== null) return text;
    site.refuse(
      "the variables whose names its state goes by among the components",
      `state under the name ${text}, which tfjs made up for a variable of no component`,
    );
  }
  const of = site.part([step, "of"].flat(), variable);
  return { is: "kind", kind: "VariableName", state: record([["of", of], ["ending", suffix]]) };
}

function restoreName(state: Node, step: PartPath, target: Target): () => string {
  const variable = target.value([step, "of"].flat(), entry(state, "of") ?? null);
  const ending = entry(state, "ending");
  return () => {
    const of = variable();
    return `${of instanceof tf.Variable ? of.name : ""}${typeof ending === "string" ? ending : ""}`;
  };
}

function encodeKey(key: unknown, step: PartPath, site: Site): Node {
  const named = typeof key === "string" ? naming(key, site) : undefined;
  return named === undefined ? site.part(step, key) : encodeName(key as string, named, step, site);
}

function restoreKey(node: Node, step: PartPath, target: Target): Key {
  if (isBranch(node) && node.is === "kind" && node.kind === "VariableName") {
    const name = restoreName(node.state, step, target);
    return { now: name(), later: name };
  }
  const key = target.value(step, node);
  return { now: key(), later: key };
}

/** Whether a value is plain data alone, which a report may hold. */
export function isData(value: unknown, outer: ReadonlySet<unknown> = new Set()): boolean {
  if (typeof value !== "object" || value === null) return !["function", "symbol", "undefined"].includes(typeof value);
  if (isTypedArray(value)) return true;
  if (outer.has(value) || !(Array.isArray(value) || isPlainRecord(value))) return false;
  const within = new Set(outer).add(value);
  return Object.values(value).every((part) => isData(part, within));
}

/** Reports a live value that a restore removes. */
export function overridesPart(target: Target, name: string, live: unknown): void {
  target.overrides(join("", name), live, undefined);
}

/** Keys with their values, each restored into the live value of the same key. */
function restorePairs(
  state: Node,
  target: Target,
  live: (key: unknown) => unknown,
): () => readonly (readonly [unknown, unknown])[] {
  const pairs = (Array.isArray(state) ? state : []).map((pair: Node, i) => {
    const [key, value] = Array.isArray(pair) ? pair as readonly Node[] : [];
    const found = restoreKey(key ?? null, [i, 0], target);
    return [found, target.part([i, 1], live(found.now), value ?? null)] as const;
  });
  return () => pairs.map(([key, value]) => [key.later(), value()]);
}

const mapKind: Kind<Map<unknown, unknown>> = {
  name: "Map",
  is: (u): u is Map<unknown, unknown> => u instanceof Map && Object.getPrototypeOf(u) === Map.prototype,
  isField: (u) => mapKind.is(u),
  encode: (map, site) => [...map].map(([key, value], i) => [encodeKey(key, [i, 0], site), site.part([i, 1], value)]),
  restore: (state, target, live) => {
    const kept = new Set<unknown>();
    const pairs = restorePairs(state, target, (key) => {
      kept.add(key);
      return live?.get(key);
    });
    for (const [key, value] of live ?? []) {
      if (!kept.has(key) && isData(value)) overridesPart(target, String(key), value);
    }
    return () => new Map(pairs());
  },
};

const setKind: Kind<Set<unknown>> = {
  name: "Set",
  is: (u): u is Set<unknown> => u instanceof Set && Object.getPrototypeOf(u) === Set.prototype,
  isField: (u) => setKind.is(u),
  encode: (set, site) => {
    const names = areNames([...set], site);
    return [...set].map((item, i) => names ? encodeKey(item, i, site) : site.part(i, item));
  },
  restore: (state, target, live) => {
    const items = (Array.isArray(state) ? state : []).map((node: Node, i) => restoreKey(node, i, target));
    const [before, now] = [[...live ?? []], items.map((item) => item.now)];
    if (live !== undefined && [...before, ...now].every((item) => isData(item))) target.overrides("", before, now);
    return () => new Set(items.map(({ later }) => later()));
  },
};

/** A record whose entries go by names of variables. */
const namedKind: Kind<Fields> = {
  name: "NamedRecord",
  is: isPlainRecord,
  isField: (u, site) => isPlainRecord(u) && !("_tag" in u) && isNamed(u, site),
  encode: (named, site) =>
    Object.entries(named).map(([key, value], i) => [encodeKey(key, [i, 0], site), site.part([i, 1], value)]),
  restore: (state, target, live) => {
    const kept = new Set<unknown>();
    const pairs = restorePairs(state, target, (key) => {
      kept.add(key);
      return live?.[key as string];
    });
    for (const [key, value] of Object.entries(live ?? {})) {
      if (!kept.has(key) && isData(value)) overridesPart(target, key, value);
    }
    return () => Object.fromEntries(pairs() as [string, unknown][]);
  },
};

/** An array of names of variables. */
const namesKind: Kind<string[]> = {
  name: "Names",
  is: (u): u is string[] => Array.isArray(u),
  isField: (u, site) => Array.isArray(u) && typeof u[0] === "string" && areNames(u, site),
  encode: (names, site) => names.map((name, i) => encodeKey(name, i, site)),
  restore: (state, target) => {
    const names = (Array.isArray(state) ? state : []).map((node: Node, i) => restoreKey(node, i, target));
    return () => names.map(({ later }) => later() as string);
  },
};

/** A text that names a variable. */
const nameKind: Kind<string> = {
  name: "VariableName",
  is: (u): u is string => typeof u === "string",
  isField: (u, site) => {
    const named = typeof u === "string" && isLayerName(u) ? naming(u, site) : undefined;
    return named !== undefined && site.isCaptured(named.variable);
  },
  encode: (text, site) => unwrapKind(encodeName(text, naming(text, site) as Naming, [], site)),
  restore: (state, target) => restoreName(state, [], target),
};

function unwrapKind(node: Node): Node {
  return isBranch(node) && node.is === "kind" ? node.state : node;
}

/** An accumulator as tfjs's own optimizers keep them, with the name of the variable to which it belongs. */
const slotKind: Kind<{ readonly originalName: string; readonly variable: tf.Variable }> = {
  name: "Slot",
  is: (u): u is { originalName: string; variable: tf.Variable } =>
    isPlainRecord(u) && Object.keys(u).length === 2 && typeof u["originalName"] === "string" &&
    u["variable"] instanceof tf.Variable,
  isField: (u) => slotKind.is(u),
  encode: ({ originalName, variable }, site) => {
    const named = naming(originalName, site);
    const name = named !== undefined && site.isCaptured(named.variable)
      ? encodeName(originalName, named, "originalName", site)
      : aside(originalName);
    return record([["originalName", name], ["variable", site.part("variable", variable)]]);
  },
  restore: (state, target, live) => {
    const name = unwrap(entry(state, "originalName") ?? null);
    const key = restoreKey(name, "originalName", target);
    const variable = target.part("variable", live?.variable, entry(state, "variable") ?? null);
    return () => ({ originalName: String(key.later()), variable: variable() as tf.Variable });
  },
};

/** What a layer has for a weight of its own; see tfjs-layers 4.22, `variables.ts`. */
interface LayerVariable {
  readonly val: tf.Variable;
  readonly read: () => tf.Tensor;
}

function layerVariablesOf(layer: object): readonly LayerVariable[] {
  const { _trainableWeights = [], _nonTrainableWeights = [] } = layer as Readonly<
    Record<"_trainableWeights" | "_nonTrainableWeights", readonly LayerVariable[] | undefined>
  >;
  return [..._trainableWeights, ..._nonTrainableWeights];
}

/** A weight as a model lists it, which is found again by its variable. */
const layerVariableKind: Kind<LayerVariable> = {
  name: "LayerVariable",
  is: (u): u is LayerVariable =>
    typeof u === "object" && u !== null && !isPlainRecord(u) && "val" in u && u.val instanceof tf.Variable &&
    "read" in u && "constraint" in u,
  isField: (u) => layerVariableKind.is(u),
  encode: ({ val }, site) => record([["of", site.part("of", val)]]),
  restore: (state, target, live) => {
    const variable = target.value("of", entry(state, "of") ?? null)();
    const layers = [...target.objects()].filter((object) => object instanceof tf.layers.Layer);
    const found = [...(live ? [live] : []), ...layers.flatMap(layerVariablesOf)].find(({ val }) => val === variable);
    if (found === undefined && variable !== null) {
      target.problem("missing", "the model whose weight it refers to, among the components", "none");
    }
    return () => found as LayerVariable;
  },
};

/** A function: there is none in a checkpoint, so that a live one has to be in its place. */
const functionKind: Kind<(...args: never[]) => unknown> = {
  name: "Function",
  // What is in its place is looked at in `restore`.
  is: (_): _ is () => unknown => true,
  isField: (u) => typeof u === "function",
  encode: () => null,
  restore: (_, target, live) => {
    if (typeof live !== "function") {
      const expected = "a function, as in the snapshot, which holds none: restore into a live optimizer that has it";
      target.problem("missing", expected, live === undefined ? "none" : shown(live));
    }
    return () => live as () => unknown;
  },
};

const undefinedKind: Kind<unknown> = {
  name: "undefined",
  is: (_): _ is unknown => true,
  isField: (u) => u === undefined,
  encode: () => null,
  restore: (_, target, live) => {
    if (isData(live)) target.overrides("", live, undefined);
    return () => undefined;
  },
};

/** The kinds of what fields hold beyond other components. */
export const fieldKinds: readonly AnyKind[] = [
  slotKind,
  layerVariableKind,
  mapKind,
  setKind,
  namedKind,
  namesKind,
  nameKind,
  functionKind,
  undefinedKind,
];
