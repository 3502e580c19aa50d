/**
 * The fields of objects of the user's own classes as state: plain data, tensors, variables and other components, and what such fields
 * hold beyond plain data: Maps, Sets, functions, `undefined`, and names of variables.
 *
 * Gradients come by the names of variables, which differ from process to process; so where state goes by such a name, it is kept by the
 * variable itself. Fields are captured and restored after everything else: a reference to a model's variable is a reference to that model.
 *
 * Laws: *round trip*, *canonical*, *all or nothing*; live containers are refilled, so that closures that hold them see what was restored.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { AnyKind, Kind, Site, Step, Target } from "../component.ts";
import { isPlainRecord, shown } from "../rules.ts";
import { aside, entry, isBranch, type Named, type Node, record, unwrap } from "../state_tree.ts";
import { isTypedArray } from "../tensor.ts";
import { classOf, isOptimizer } from "./optimizer_class.ts";
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

function registered(name: string): tf.Variable | undefined {
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
function isLayerName(text: string): boolean {
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
    return variable !== undefined && (variable.trainable || site.names.has(variable)) && site.known(variable);
  });
}

// --- capture and restore

function encodeName(text: string, { variable, suffix }: Naming, step: Step, site: Site): Node {
  if (!site.known(variable)) {
    if (givenName(variable) !== null) return text;
    site.refuse(
      "the variables whose names its state goes by among the components",
      `state under the name ${text}, which tfjs made up for a variable of no component`,
    );
  }
  const of = site.part([step, "of"].flat(), variable);
  return { is: "kind", kind: "VariableName", state: record([["of", of], ["ending", suffix]]) };
}

function restoreName(state: Node, step: Step, target: Target): () => string {
  const variable = target.value([step, "of"].flat(), entry(state, "of") ?? null);
  const ending = entry(state, "ending");
  return () => {
    const of = variable();
    return `${of instanceof tf.Variable ? of.name : ""}${typeof ending === "string" ? ending : ""}`;
  };
}

function encodeKey(key: unknown, step: Step, site: Site): Node {
  const named = typeof key === "string" ? naming(key, site) : undefined;
  return named === undefined ? site.part(step, key) : encodeName(key as string, named, step, site);
}

function restoreKey(node: Node, step: Step, target: Target): Key {
  if (isBranch(node) && node.is === "kind" && node.kind === "VariableName") {
    const name = restoreName(node.state, step, target);
    return { now: name(), later: name };
  }
  const key = target.value(step, node);
  return { now: key(), later: key };
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
  within: (u) => mapKind.is(u),
  encode: (map, site) => [...map].map(([key, value], i) => [encodeKey(key, [i, 0], site), site.part([i, 1], value)]),
  restore: (state, target, live) => {
    const pairs = restorePairs(state, target, (key) => live?.get(key));
    return () => new Map(pairs());
  },
};

const setKind: Kind<Set<unknown>> = {
  name: "Set",
  is: (u): u is Set<unknown> => u instanceof Set && Object.getPrototypeOf(u) === Set.prototype,
  within: (u) => setKind.is(u),
  encode: (set, site) => {
    const names = areNames([...set], site);
    return [...set].map((item, i) => names ? encodeKey(item, i, site) : site.part(i, item));
  },
  restore: (state, target) => {
    const items = (Array.isArray(state) ? state : []).map((node: Node, i) => restoreKey(node, i, target));
    return () => new Set(items.map(({ later }) => later()));
  },
};

/** A record whose entries go by names of variables. */
const namedKind: Kind<Fields> = {
  name: "NamedRecord",
  is: isPlainRecord,
  within: (u, site) => isPlainRecord(u) && !("_tag" in u) && isNamed(u, site),
  encode: (named, site) =>
    Object.entries(named).map(([key, value], i) => [encodeKey(key, [i, 0], site), site.part([i, 1], value)]),
  restore: (state, target, live) => {
    const pairs = restorePairs(state, target, (key) => live?.[key as string]);
    return () => Object.fromEntries(pairs() as [string, unknown][]);
  },
};

/** An array of names of variables. */
const namesKind: Kind<string[]> = {
  name: "Names",
  is: (u): u is string[] => Array.isArray(u),
  within: (u, site) => Array.isArray(u) && typeof u[0] === "string" && areNames(u, site),
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
  within: (u, site) => {
    const named = typeof u === "string" && isLayerName(u) ? naming(u, site) : undefined;
    return named !== undefined && site.known(named.variable);
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
  within: (u) => slotKind.is(u),
  encode: ({ originalName, variable }, site) => {
    const named = naming(originalName, site);
    const name = named !== undefined && site.known(named.variable)
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
  within: (u) => layerVariableKind.is(u),
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
  within: (u) => typeof u === "function",
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
  within: (u) => u === undefined,
  encode: () => null,
  restore: () => () => undefined,
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

/**
 * The fields of an object, as they are when everything else has been encoded.
 *
 * @param object The object.
 * @param skip Names of fields that are encoded otherwise.
 * @param site Where it is.
 */
export function encodeFields(object: object, skip: ReadonlySet<string>, site: Site): Node {
  return site.late("fields", (at) =>
    ownNames(object, at).filter((name) => !skip.has(name)).map((name): Named => [
      name,
      at.part(name, (object as Fields)[name]),
    ]));
}

/** The names of an object's own fields, all of which can be read and set. */
function ownNames(object: object, site: Site): readonly string[] {
  return Reflect.ownKeys(object).map((name) => {
    const { enumerable, get, set } = Object.getOwnPropertyDescriptor(object, name) as PropertyDescriptor;
    if (typeof name === "symbol") return site.refuse("fields with names that are strings", `the field ${String(name)}`);
    if (get !== undefined || set !== undefined) {
      return site.refuse("a field that holds a value", "an accessor", name);
    }
    return enumerable ? name : site.refuse("a field that is enumerable", "one that is not", name);
  });
}

/**
 * Restores what {@link encodeFields} gave into a live object: variables take their values in place, what the live one does not have is
 * created, what only it has is removed and disposed of. Functions are left as they are.
 */
export function restoreFields(
  state: Node,
  object: object,
  skip: ReadonlySet<string>,
  target: Target,
): void {
  const fields = object as Fields;
  target.late("fields", (at) => {
    const saved = isBranch(state) && state.is === "record" ? state.entries : [];
    const parts = saved.map(([name, node]) =>
      [name, at.part(name, Object.hasOwn(fields, name) ? fields[name] : undefined, node)] as const
    );
    const names = new Set(parts.map(([name]) => name));
    const own = (): readonly string[] => Object.keys(fields).filter((name) => !skip.has(name));
    for (const name of own()) {
      if (Object.getOwnPropertyDescriptor(fields, name)?.writable !== true) {
        at.problem("config", "a field that can be set", "one that is fixed", name);
      }
    }
    target.finish(() => {
      const [was, is] = [new Set<object>(), new Set<object>()];
      const before = tensorsIn(own().map((name) => fields[name]), was);
      for (const [name, part] of parts) fields[name] = refill(fields[name], part(), at);
      for (const name of own()) if (!names.has(name) && typeof fields[name] !== "function") delete fields[name];
      const after = tensorsIn(own().map((name) => fields[name]), is);
      for (const tensor of after) if (!(tensor instanceof tf.Variable)) tf.keep(tensor);
      for (const tensor of before) if (!after.has(tensor) && isOwned(tensor, at)) tensor.dispose();
      for (const one of was) {
        if (isOptimizer(one) && classOf(one).exact && !is.has(one) && !at.isElsewhere(one)) one.dispose();
      }
    });
  });
}

/** Whether a tensor that a live object no longer holds was its alone: not trained, not a layer's (whose accumulators are named after it), not another component. */
function isOwned(tensor: tf.Tensor, target: Target): boolean {
  if (tensor.isDisposed || target.isElsewhere(tensor)) return false;
  if (!(tensor instanceof tf.Variable)) return true;
  const isAfter = [...tensor.name.matchAll(/\//g)].some(({ index }) => registered(tensor.name.slice(0, index)));
  return !tensor.trainable && (isAfter || !isLayerName(tensor.name));
}

// --- combinators

/** Every tensor and variable in data, also in Maps, Sets and optimizers. */
export function tensorsIn(
  value: unknown,
  seen: Set<object> = new Set(),
  found: Set<tf.Tensor> = new Set(),
): ReadonlySet<tf.Tensor> {
  if (typeof value !== "object" || value === null || seen.has(value)) return found;
  seen.add(value);
  if (value instanceof tf.Tensor) return found.add(value);
  const parts = Array.isArray(value) || value instanceof Set
    ? value
    : value instanceof Map
    ? [...value].flat()
    : isPlainRecord(value) || value instanceof tf.Optimizer
    ? Object.values(value)
    : [];
  for (const part of parts) tensorsIn(part, seen, found);
  return found;
}

/** A restored value in the live container of its sort, if there is one, for a closure may hold that: at most one value in each. */
function refill(live: unknown, next: unknown, target: Target): unknown {
  const { refilled } = target;
  if (typeof next !== "object" || next === null || target.isElsewhere(next)) return next;
  if (refilled.has(next)) return refilled.get(next);
  const free = typeof live === "object" && live !== null && live !== next && !refilled.has(live) &&
    !target.isElsewhere(live) &&
    Object.getPrototypeOf(live) === Object.getPrototypeOf(next) && Object.isExtensible(live) && !Object.isSealed(live);
  const into = <A extends object>(own: A): A => {
    const found = (free ? live : own) as A;
    refilled.set(own, found).set(found, found);
    return found;
  };
  if (Array.isArray(next)) {
    const was = Array.isArray(live) ? live.slice() : [];
    const found = into(next);
    const items = next.map((item, i) => refill(was[i], item, target));
    found.length = 0;
    for (const item of items) found.push(item);
    return found;
  }
  if (next instanceof Map) {
    const was = new Map(live instanceof Map ? live : []);
    const found = into(next);
    const items = [...next].map(([key, value]) => [key, refill(was.get(key), value, target)] as const);
    found.clear();
    for (const [key, value] of items) found.set(key, value);
    return found;
  }
  if (next instanceof Set) {
    const [items, found] = [[...next], into(next)];
    found.clear();
    for (const item of items) found.add(item);
    return found;
  }
  if (isTypedArray(next)) {
    if (!free || (live as typeof next).length !== next.length) return next;
    (into(next) as Uint8Array).set(next as Uint8Array);
    return live;
  }
  if (!isPlainRecord(next) || "_tag" in next) return next;
  const was = { ...(isPlainRecord(live) ? live : {}) };
  const found = into(next);
  const items = Object.entries(next).map(([key, value]) => [key, refill(was[key], value, target)] as const);
  for (const key of Object.keys(found)) delete found[key];
  for (const [key, value] of items) {
    // A name may be that of a setter, `__proto__`.
    Object.defineProperty(found, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return found;
}
