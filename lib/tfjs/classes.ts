/**
 * Classes of tfjs's objects: what an object is by its prototype, as a text that is equal for equal classes alone.
 *
 * tfjs builds an object from the name of its class (tfjs-core 4.22, `serialization.ts`). A subclass that inherits `className` would come
 * back as its base, and any code may register another class under a name that is in use, so the registry proves nothing: tfjs's own
 * classes are known from what its factories make.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Target } from "../component.ts";
import { aside, entry, isBranch, join, type Named, type Node, record } from "../state_tree.ts";

// --- types

/** An object that tfjs builds from the name of its class and a configuration. */
export interface Serializable {
  readonly getClassName: () => string;
  readonly getConfig?: () => tf.serialization.ConfigDict;
}

/** A serializable object in a field of another, such as a regularizer, with the path of the field. */
export type Part = readonly [at: string, value: Serializable];

// --- constructors

/** A value for every argument that tfjs's layers require. */
function required(): Record<string, unknown> {
  const [cell, layer] = [
    tf.layers.simpleRNNCell({ units: 1, name: "cell" }),
    tf.layers.simpleRNN({ units: 1, name: "layer" }),
  ];
  return {
    name: "sample",
    units: 1,
    filters: 1,
    kernelSize: 1,
    rate: 0,
    inputShape: [1],
    inputDim: 1,
    outputDim: 1,
    activation: "linear",
    n: 1,
    targetShape: [1],
    dims: [1],
    cropping: 0,
    axes: 1,
    stddev: 0,
    scale: 1,
    numTokens: 1,
    height: 1,
    width: 1,
    factor: 0.5,
    cell,
    cells: [cell],
    layer,
  };
}

/** What the calls of these functions make, without those that fail: another version may have other arguments. */
function made(
  factories: Readonly<Record<string, unknown>>,
  args: (name: string) => unknown,
): readonly Serializable[] {
  return Object.entries(factories).flatMap(([name, factory]) => {
    if (typeof factory !== "function" || /^[A-Z]/.test(name) || name === "input") return [];
    try {
      return [(factory as (args: unknown) => Serializable)(args(name))];
    } catch {
      return [];
    }
  });
}

/** The classes that no factory makes: activations, by name, and the class of Keras's functional models. */
const registeredAtStart: readonly (readonly [object, string])[] = [
  ...["elu", "selu", "relu", "relu6", "linear", "sigmoid", "hardSigmoid", "softplus", "softsign", "tanh", "softmax"],
  ...["logSoftmax", "gelu", "gelu_new", "mish", "swish", "Functional"],
].flatMap((name) => {
  const found = tf.serialization.SerializationMap.getMap().classNameMap[name];
  return found === undefined ? [] : [[found[0].prototype as object, name] as const];
});

function prototypeOf(object: object): object {
  return Object.getPrototypeOf(object) as object;
}

let known: ReadonlyMap<object, string> | undefined;

/** The names of tfjs's own classes by their prototypes. A name is given to each sample, so that no counter moves. */
function tfjsClasses(): ReadonlyMap<object, string> {
  if (known !== undefined) return known;
  const samples = [
    ...made(tf.layers, required),
    ...made(tf.regularizers, () => ({})),
    ...made(tf.constraints, () => ({})),
    ...made(tf.initializers, () => ({ value: 0, scale: 1, mode: "fanIn", distribution: "normal" })),
  ];
  return known = new Map<object, string>([
    ...registeredAtStart,
    [tf.layers.Layer.prototype, "Layer"],
    [tf.layers.RNNCell.prototype, "RNNCell"],
    [tf.LayersModel.prototype, "Model"],
    [tf.Sequential.prototype, "Sequential"],
    ...samples.map((sample) => [prototypeOf(sample), sample.getClassName()] as const),
  ]);
}

/** What is wrong with an object that has the methods of a tfjs class but is of none: it comes from another copy of tfjs. */
export function ofSecondCopy(object: object, base: { readonly prototype: object }): string | undefined {
  if (Object.prototype.isPrototypeOf.call(base.prototype, object)) return undefined;
  return `a ${object.constructor.name} of a second copy of tfjs: install one copy, the one this toolkit has as its peer (npm ls @tensorflow/tfjs lists them)`;
}

/** Whether an object is of one of tfjs's own classes, and of no subclass. */
export function isTfjsClass(object: object): boolean {
  return tfjsClasses().has(prototypeOf(object));
}

/** Whether a class name is one of tfjs's own. */
export function isTfjsName(name: string): boolean {
  return [...tfjsClasses().values()].includes(name);
}

/** The name of the nearest of tfjs's own classes that a prototype belongs to. */
export function tfjsBase(prototype: object | null): string | undefined {
  for (let at = prototype; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const name = tfjsClasses().get(at);
    if (name !== undefined) return name;
  }
  return undefined;
}

/** The class that tfjs's registry has under a name. */
export function registeredClass(name: string): readonly [{ readonly prototype: object }, unknown] | undefined {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  return Object.hasOwn(classNameMap, name) ? classNameMap[name] : undefined;
}

/** Whether a class declares a name, and does not inherit it. */
function declaresName(prototype: object): boolean {
  return Object.hasOwn(prototype, "getClassName") ||
    (Object.hasOwn(prototype, "constructor") && Object.hasOwn(prototype.constructor, "className"));
}

function constructorName(prototype: object): string {
  const name: unknown = Object.hasOwn(prototype, "constructor") ? prototype.constructor.name : undefined;
  return typeof name === "string" && name !== "" ? name : "an anonymous class";
}

function lineage(prototype: object, className: unknown): string {
  const own = tfjsClasses().get(prototype);
  if (own !== undefined) return own;
  if (declaresName(prototype) && typeof className === "string") {
    if (isTfjsName(className)) return `${className}, not tfjs's`;
    const registered = registeredClass(className);
    return registered === undefined || registered[0].prototype === prototype
      ? className
      : `${className}, not the registered one`;
  }
  const parent = prototypeOf(prototype);
  if (parent === null || parent === Object.prototype) return constructorName(prototype);
  const inherited: unknown = (parent.constructor as { readonly className?: unknown }).className;
  return `${constructorName(prototype)} extends ${lineage(parent, inherited)}`;
}

/**
 * The class of an object: its class name alone where that is tfjs's own class of the name, or one of the user's that declares it;
 * otherwise a sentence that no class name is, such as `Doubled extends Dense`.
 */
export function classOf(object: Serializable): string {
  return lineage(prototypeOf(object), object.getClassName());
}

/** Why no object of a class can be built from its name, if that is so. */
export function unbuildable(className: string): { readonly expected: string; readonly found: string } | undefined {
  const [, subclass, base] = /^(.+?) extends (.+)$/.exec(className) ?? [];
  if (subclass !== undefined) {
    const name = subclass === "an anonymous class" ? "MyClass" : subclass;
    return {
      expected:
        `a class with its own name: static className = "${name}" in it, then tf.serialization.registerClass(${name}); or restore into a live object of this class`,
      found: `${className}, which tfjs would build as ${base}`,
    };
  }
  const [, name, why] = /^(.+), (not .+)$/.exec(className) ?? [];
  if (name !== undefined) {
    return {
      expected:
        "a class with a className that no other class has, registered with tf.serialization.registerClass; or restore into a live object of this class",
      found: `a class with the className ${name} that is ${why}`,
    };
  }
  if (registeredClass(className) !== undefined) return undefined;
  return {
    expected:
      `tf.serialization.registerClass(${className}) before restoring; or restore into a live object of this class`,
    found: `${className}, which is not registered`,
  };
}

/** Whether a value can be built from a class name: layers, optimizers, regularizers, constraints, initializers, activations. */
function isSerializable(value: unknown): value is Serializable {
  return typeof value === "object" && value !== null &&
    typeof (value as { readonly getClassName?: unknown }).getClassName === "function";
}

/** The longest array in a field that is searched. */
const searched = 100;

/** The regularizers, constraints, initializers and activations in the fields of an object, and in the fields of those. */
export function partsOf(owner: object, at = "", seen: Set<object> = new Set()): readonly Part[] {
  seen.add(owner);
  return Object.entries(owner).flatMap(([name, value]: readonly [string, unknown]): readonly Part[] => {
    if (typeof value !== "object" || value === null || seen.has(value)) return [];
    const path = join(at, name);
    if (Array.isArray(value)) {
      return value.length <= searched && value.some(isSerializable) ? partsOf(value, path, seen) : [];
    }
    if (!isSerializable(value) || value instanceof tf.layers.Layer || value instanceof tf.Optimizer) return [];
    return [[path, value], ...partsOf(value, path, seen)];
  });
}

// --- capture and restore

/** The classes of what was captured in this process, where two of them may have one name. */
const captured = new WeakMap<object, { readonly self: object; readonly parts: ReadonlyMap<string, object> }>();

/** Notes which classes a state was captured from; texts are all that a checkpoint keeps of them. */
export function noteClasses(state: Node, live: object, parts: readonly Part[]): void {
  if (typeof state !== "object" || state === null) return;
  captured.set(state, {
    self: prototypeOf(live),
    parts: new Map(parts.map(([at, part]) => [at, prototypeOf(part)])),
  });
}

/** The classes of parts, where their names do not say what they are. */
function unnamed(parts: readonly Part[]): ReadonlyMap<string, string> {
  return new Map(
    parts.map(([at, part]) => [at, classOf(part), part.getClassName()] as const)
      .filter(([, found, name]) => found !== name)
      .map(([at, found]) => [at, found]),
  );
}

/** The entry of a state for the classes of parts whose names do not say what they are. */
export function encodeParts(parts: readonly Part[]): readonly Named[] {
  const found = [...unnamed(parts)];
  return found.length === 0 ? [] : [["classes", record(found)]];
}

/** Whether a live object has the class of a state that this process captured, as far as it is known. */
function isOther(before: object | undefined, live: object): boolean {
  return before !== undefined && before !== prototypeOf(live) && !(tfjsClasses().has(before) && isTfjsClass(live));
}

/** The entry that marks states with whole classes and configurations; what 0.1.0 wrote says the name of a class alone. */
export const encoding: Named = ["encoding", aside(2)];

/** Whether a state is of 0.1.0. */
export function isOld(state: Node): boolean {
  return entry(state, "encoding") === undefined;
}

/** Reports two classes that differ: of a live object, or of one that tfjs has built, and of the saved one. */
function reportClass(target: Target, live: string, saved: string, at?: string): void {
  if (!target.fresh) return target.problem("class", live, saved, at);
  const why = unbuildable(saved) ?? { expected: saved, found: `${live}, which tfjs builds by this name` };
  target.problem("class", why.expected, why.found, at);
}

/** Checks that a live object's class, or that of one that was built, is that of its state. */
export function checkClass(state: Node, target: Target, live: object, liveClass: string): boolean {
  const saved = String(entry(state, "class"));
  if (saved !== liveClass) {
    if (!target.fresh && isOld(state) && saved === (live as Partial<Serializable>).getClassName?.()) return true;
    reportClass(target, liveClass, saved);
    return false;
  }
  const before = typeof state === "object" && state !== null ? captured.get(state)?.self : undefined;
  if (!isOther(before, live)) return true;
  target.problem("class", `the class ${saved} that was captured`, "another class of the same name");
  return false;
}

/** Checks that the classes of an object's parts are those of its state. */
export function checkParts(state: Node, target: Target, live: object): void {
  if (!target.fresh && isOld(state)) return;
  const parts = partsOf(live);
  const [found, saved] = [unnamed(parts), entry(state, "classes")];
  const names = new Map(parts.map(([at, part]) => [at, part.getClassName()]));
  const savedAt = (at: string): string | undefined => {
    const className = entry(saved, at);
    return typeof className === "string" ? className : undefined;
  };
  const savedPaths = saved !== undefined && isBranch(saved) && saved.is === "record"
    ? saved.entries.map(([at]) => at)
    : [];
  const differ = [...new Set([...found.keys(), ...savedPaths])].filter((at) => found.get(at) !== savedAt(at));
  for (const at of differ) {
    const name = names.get(at) ?? "none";
    reportClass(target, found.get(at) ?? name, savedAt(at) ?? name, `config/${at}`);
  }
  const before = typeof state === "object" && state !== null ? captured.get(state)?.parts : undefined;
  for (const [at, part] of parts) {
    const [of, name] = [before?.get(at), part.getClassName()];
    const named = (of as { readonly constructor?: { readonly className?: unknown } })?.constructor?.className;
    if (!differ.includes(at) && named === name && isOther(of, part)) {
      target.problem("class", `the class ${name} that was captured`, "another class of the same name", `config/${at}`);
    }
  }
}
