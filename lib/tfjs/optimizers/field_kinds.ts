/**
 * Kinds that apply only within the fields of user-defined classes: Maps, Sets, functions, `undefined`, and names of variables.
 *
 * tfjs hands gradients to optimizers by the name of each variable, and these names differ between processes. So state that is keyed by
 * such a name is stored with a reference to the variable in place of the name.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  type AnyKind,
  aside,
  entry,
  isBranch,
  isTypedArray,
  join,
  type Kind,
  type Node,
  type PartPath,
  record,
  type Site,
  type Target,
  unwrap,
} from "../../state/mod.ts";
import { isPlainRecord, shown } from "../../validation/mod.ts";
import {
  givenVariableName,
  layerFields,
  type LayerVariable,
  listItems,
  registeredVariable,
  stateIn,
  textIn,
} from "../mod.ts";

// --- types

type NamedRecord = Record<string, unknown>;

type Test = (value: unknown) => boolean;

/** A text that begins with the name of a variable; the suffix is the rest of it, such as `/m`. */
type VariableReference = readonly [variable: tf.Variable, suffix: string];

/** A restored key: its value before the live objects are renamed, and at the end. */
type RestoredKey = readonly [now: unknown, later: () => unknown];

// --- constructors

/** The variable that a text names, alone or followed by a suffix such as `/m`: a trainable one, or a model's. */
function variableReference(text: string, site: Site): VariableReference | undefined {
  for (let end = text.length; end > 0; end--) {
    if (end < text.length && !/[/_:.-]/.test(text.charAt(end))) continue;
    const variable = registeredVariable(text.slice(0, end));
    if (variable !== undefined && (variable.trainable || site.names.has(variable))) return [variable, text.slice(end)];
  }
  return undefined;
}

const maxNameLength = 1000;

/** Whether a text has the form of a weight's name in a layer whose name tfjs generated, which user data never has. */
export function isGeneratedWeightName(text: string): boolean {
  return text.length <= maxNameLength && text.includes("/") &&
    /^(?:[\w.-]+\/)*?[a-z][a-z0-9_]*_[A-Z]\w*\d\/\w/.test(text);
}

/** Whether the keys of a record are names of variables. */
function isKeyedByVariables(value: NamedRecord, site: Site): boolean {
  const keys = Object.keys(value);
  const isName = (key: string): boolean => variableReference(key, site) !== undefined;
  return keys.length > 0 && (keys.every(isName) || keys.some((key) => isGeneratedWeightName(key) && isName(key)));
}

/** Whether all texts are names of variables that belong to components. */
function allNameVariables(texts: readonly unknown[], site: Site): boolean {
  return texts.length > 0 && texts.every((text) => {
    const variable = typeof text === "string" ? registeredVariable(text) : undefined;
    return variable !== undefined && (variable.trainable || site.names.has(variable)) && site.isCaptured(variable);
  });
}

// --- capture and restore

function encodeReference(text: string, [variable, suffix]: VariableReference, step: PartPath, site: Site): Node {
  if (!site.isCaptured(variable)) {
    if (givenVariableName(variable) !== null) return text;
    const expected =
      "every variable whose name keys state to belong to a component: pass the variable to captureState too";
    site.refuse(expected, `state under the name ${text}, which tfjs generated for a variable of no component`);
  }
  const of = site.part([step, "of"].flat(), variable);
  return { is: "kind", kind: "VariableName", state: record([["of", of], ["ending", suffix]]) };
}

function restoreReference(state: Node, step: PartPath, target: Target): () => string {
  const variable = target.value([step, "of"].flat(), entry(state, "of") ?? null);
  return () => {
    const of = variable();
    return `${of instanceof tf.Variable ? of.name : ""}${textIn(state, "ending") ?? ""}`;
  };
}

function encodeKey(key: unknown, step: PartPath, site: Site): Node {
  const reference = typeof key === "string" ? variableReference(key, site) : undefined;
  return reference === undefined ? site.part(step, key) : encodeReference(key as string, reference, step, site);
}

function restoreKey(node: Node, step: PartPath, target: Target): RestoredKey {
  if (isBranch(node) && node.is === "kind" && node.kind === "VariableName") {
    const name = restoreReference(node.state, step, target);
    return [name(), name];
  }
  const key = target.value(step, node);
  return [key(), key];
}

/** Whether a value is plain data without parts. */
function isPlainLeaf(value: unknown): boolean {
  return value === null || isTypedArray(value) || !["object", "function", "symbol", "undefined"].includes(typeof value);
}

/** Whether a value is plain data throughout, so that a report can show it; with another `isLeaf`, only data with such leaves. */
export function isPlainData(value: unknown, isLeaf: Test = isPlainLeaf, outer: Set<unknown> = new Set()): boolean {
  if (isLeaf(value)) return true;
  if (outer.has(value) || !(Array.isArray(value) || isPlainRecord(value))) return false;
  const within = new Set(outer).add(value);
  return Object.values(value).every((part) => isPlainData(part, isLeaf, within));
}

/** Reports a live value that the restore removes. */
export function reportRemoved(target: Target, name: string, live: unknown): void {
  target.overrides(join("", name), live, undefined);
}

/**
 * Restores pairs of a key and a value, each into the live value of the same key, and reports the live entries that it removes.
 *
 * @param state A list of pairs.
 * @param target The target.
 * @param live The live entries.
 * @returns A thunk of the restored pairs.
 */
function restorePairs(
  state: Node,
  target: Target,
  live: ReadonlyMap<unknown, unknown>,
): () => readonly (readonly [key: unknown, value: unknown])[] {
  const pairs = listItems(state).map((pair, i) => {
    const [keyNode, valueNode] = listItems(pair);
    const [now, key] = restoreKey(keyNode ?? null, [i, 0], target);
    return { now, key, value: target.part([i, 1], live.get(now), valueNode ?? null) };
  });
  const kept = new Set(pairs.map(({ now }) => now));
  for (const [key, value] of live) {
    if (!kept.has(key) && isPlainData(value)) reportRemoved(target, String(key), value);
  }
  return () => pairs.map(({ key, value }) => [key(), value()]);
}

function encodePairs(pairs: Iterable<readonly [unknown, unknown]>, site: Site): Node {
  return Array.from(pairs, ([key, value], i) => [encodeKey(key, [i, 0], site), site.part([i, 1], value)]);
}

function restoreKeys(state: Node, target: Target): readonly RestoredKey[] {
  return listItems(state).map((node, i) => restoreKey(node, i, target));
}

const mapKind: Kind<Map<unknown, unknown>> = {
  name: "Map",
  is: (u): u is Map<unknown, unknown> => u instanceof Map && Object.getPrototypeOf(u) === Map.prototype,
  isField: (u) => mapKind.is(u),
  encode: encodePairs,
  restore: (state, target, live) => {
    const pairs = restorePairs(state, target, live ?? new Map());
    return () => new Map(pairs());
  },
};

const setKind: Kind<Set<unknown>> = {
  name: "Set",
  is: (u): u is Set<unknown> => u instanceof Set && Object.getPrototypeOf(u) === Set.prototype,
  isField: (u) => setKind.is(u),
  encode: (set, site) => {
    const areNames = allNameVariables([...set], site);
    return [...set].map((item, i) => areNames ? encodeKey(item, i, site) : site.part(i, item));
  },
  restore: (state, target, live) => {
    const items = restoreKeys(state, target);
    const [before, now] = [[...live ?? []], items.map(([now]) => now)];
    if (live !== undefined && [...before, ...now].every((item) => isPlainData(item))) {
      target.overrides("", before, now);
    }
    return () => new Set(items.map(([, later]) => later()));
  },
};

/** Records whose keys are names of variables. */
const namedRecordKind: Kind<NamedRecord> = {
  name: "NamedRecord",
  is: isPlainRecord,
  isField: (u, site) => isPlainRecord(u) && !("_tag" in u) && isKeyedByVariables(u, site),
  encode: (value, site) => encodePairs(Object.entries(value), site),
  restore: (state, target, live) => {
    const pairs = restorePairs(state, target, new Map(Object.entries(live ?? {})));
    return () => Object.fromEntries(pairs() as [string, unknown][]);
  },
};

/** Arrays of names of variables. */
const variableNamesKind: Kind<string[]> = {
  name: "Names",
  is: (u): u is string[] => Array.isArray(u),
  isField: (u, site) => Array.isArray(u) && typeof u[0] === "string" && allNameVariables(u, site),
  encode: (names, site) => names.map((name, i) => encodeKey(name, i, site)),
  restore: (state, target) => {
    const names = restoreKeys(state, target);
    return () => names.map(([, later]) => later() as string);
  },
};

/** Names of variables. */
const variableNameKind: Kind<string> = {
  name: "VariableName",
  is: (u): u is string => typeof u === "string",
  isField: (u, site) => {
    const reference = typeof u === "string" && isGeneratedWeightName(u) ? variableReference(u, site) : undefined;
    return reference !== undefined && site.isCaptured(reference[0]);
  },
  encode: (text, site) => stateIn(encodeReference(text, variableReference(text, site) as VariableReference, [], site)),
  restore: (state, target) => restoreReference(state, [], target),
};

/** Slots (accumulators) as tfjs's own optimizers store them, with the name of the variable that each belongs to. */
const slotKind: Kind<{ readonly originalName: string; readonly variable: tf.Variable }> = {
  name: "Slot",
  is: (u): u is { originalName: string; variable: tf.Variable } =>
    isPlainRecord(u) && Object.keys(u).length === 2 && typeof u["originalName"] === "string" &&
    u["variable"] instanceof tf.Variable,
  isField: (u) => slotKind.is(u),
  encode: ({ originalName, variable }, site) => {
    const reference = variableReference(originalName, site);
    const name = reference !== undefined && site.isCaptured(reference[0])
      ? encodeReference(originalName, reference, "originalName", site)
      : aside(originalName);
    return record([["originalName", name], ["variable", site.part("variable", variable)]]);
  },
  restore: (state, target, live) => {
    const [, name] = restoreKey(unwrap(entry(state, "originalName") ?? null), "originalName", target);
    const variable = target.part("variable", live?.variable, entry(state, "variable") ?? null);
    return () => ({ originalName: String(name()), variable: variable() as tf.Variable });
  },
};

/** Weights as a model lists them, stored as a reference to the core variable. */
const layerVariableKind: Kind<LayerVariable> = {
  name: "LayerVariable",
  is: (u): u is LayerVariable =>
    typeof u === "object" && u !== null && !isPlainRecord(u) && "val" in u && u.val instanceof tf.Variable &&
    "read" in u && "constraint" in u,
  isField: (u) => layerVariableKind.is(u),
  encode: ({ val }, site) => record([["of", site.part("of", val)]]),
  restore: (state, target, live) => {
    const variable = target.value("of", entry(state, "of") ?? null)();
    const weights = [...target.objects()].flatMap((object): readonly LayerVariable[] => {
      if (!(object instanceof tf.layers.Layer)) return [];
      const { _trainableWeights = [], _nonTrainableWeights = [] } = layerFields(object);
      return [..._trainableWeights, ..._nonTrainableWeights];
    });
    const found = [...(live ? [live] : []), ...weights].find(({ val }) => val === variable);
    if (found === undefined && variable !== null) {
      const remedy = "Save and load that model too";
      target.problem("missing", "the model whose weight it refers to, among the components", "none", undefined, remedy);
    }
    return () => found as LayerVariable;
  },
};

/** Functions: a checkpoint holds none, so the live object must have one in the same field. */
const functionKind: Kind<(...args: never[]) => unknown> = {
  name: "Function",
  // The live value may be anything; `restore` reports what is not a function.
  is: (_): _ is () => unknown => true,
  isField: (u) => typeof u === "function",
  encode: () => null,
  restore: (_, target, live) => {
    if (typeof live !== "function") {
      const remedy = "Load into an object that has this function: a checkpoint holds no code";
      target.problem("missing", "a function", live === undefined ? "none" : shown(live), undefined, remedy);
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
    if (isPlainData(live)) target.overrides("", live, undefined);
    return () => undefined;
  },
};

/** The kinds of field values that are neither plain data nor components, in the order in which they are tried. */
export const fieldKinds: readonly AnyKind[] = [
  slotKind,
  layerVariableKind,
  mapKind,
  setKind,
  namedRecordKind,
  variableNamesKind,
  variableNameKind,
  functionKind,
  undefinedKind,
];
