/**
 * Class names: the class of an object by its prototype, as a text that differs for different classes.
 *
 * tfjs builds an object from its `className` (tfjs-core 4.22, `serialization.ts`). That is not enough to identify a class: a subclass
 * that inherits `className` would be rebuilt as its base, and any code may register a second class under a name. So tfjs's own classes are
 * recognised by the prototypes of the objects that its factories make.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { aside, type Branch, entry, join, type Named, type Node, record, type Target } from "../../state/mod.ts";
import { recordEntries, textIn } from "../mod.ts";

// --- types

/** An object that tfjs builds from its class name and its config. */
export interface Serializable {
  readonly getClassName: () => string;
  readonly getConfig?: () => tf.serialization.ConfigDict;
}

/** A class and its `fromConfig`, as tfjs registers them. */
type RegisteredClass = readonly [
  Class: { readonly prototype: object },
  fromConfig: (cls: object, config: object) => object,
];

/** A serializable object in a field of another, such as a regularizer of a layer, with the path of the field. */
export type SerializableField = readonly [at: string, value: Serializable];

/** One of tfjs's own classes. */
interface TfjsClass {
  readonly name: string;
  /** The names of the fields that its constructor sets. */
  readonly fields: ReadonlySet<string>;
}

// --- constructors

/** A value for every argument that a layer of tfjs requires. */
function requiredArguments(): object {
  const names = ["units", "filters", "kernelSize", "inputDim", "outputDim", "n", "axes", "scale", "numTokens"];
  const sizes = Object.fromEntries([...names, "height", "width"].map((name) => [name, 1]));
  const shapes = { inputShape: [1], targetShape: [1], dims: [1] };
  const rates = { rate: 0, stddev: 0, cropping: 0, factor: 0.5 };
  const cell = tf.layers.simpleRNNCell({ units: 1, name: "cell" });
  const layer = tf.layers.simpleRNN({ units: 1, name: "layer" });
  return { name: "sample", activation: "linear", ...sizes, ...shapes, ...rates, cell, cells: [cell], layer };
}

/** The objects that factories make. Failing calls are skipped: another version of tfjs may require other arguments. */
function instancesMadeBy(factories: object, args: object): readonly Serializable[] {
  return Object.entries(factories).flatMap(([name, factory]) => {
    if (typeof factory !== "function" || /^[A-Z]/.test(name) || name === "input") return [];
    try {
      // A copy, because some constructors write into their arguments.
      return [factory({ ...args })];
    } catch {
      return [];
    }
  });
}

/** The classes that no factory makes, read before a script can register another one: activations, and the class of Keras's functional models. */
const withoutFactory: readonly (readonly [object, TfjsClass])[] = [
  ...["elu", "selu", "relu", "relu6", "linear", "sigmoid", "hardSigmoid", "softplus", "softsign", "tanh", "softmax"],
  ...["logSoftmax", "gelu", "gelu_new", "mish", "swish", "Functional"],
].flatMap((name) => {
  const found = registeredClass(name);
  return found === undefined ? [] : [[found[0].prototype, { name, fields: new Set<string>() }]];
});

function prototypeOf(object: object): object {
  return Object.getPrototypeOf(object) as object;
}

/** An object as a class of tfjs, with the fields that its constructor has set. */
function classOfSample(sample: object, name: string): readonly [object, TfjsClass] {
  return [prototypeOf(sample), { name, fields: new Set(Object.keys(sample)) }];
}

let classes: ReadonlyMap<object, TfjsClass> | undefined;

/** tfjs's own classes by prototype. Their samples are named, so that making them advances no counter of names. */
function tfjsClasses(): ReadonlyMap<object, TfjsClass> {
  return classes ??= new Map<object, TfjsClass>([
    ...withoutFactory,
    [tf.LayersModel.prototype, { name: "Model", fields: new Set<string>() }],
    [tf.Sequential.prototype, { name: "Sequential", fields: new Set<string>() }],
    ...([[tf.layers.Layer, "Layer"], [tf.layers.RNNCell, "RNNCell"]] as const).map(([Class, name]) =>
      classOfSample(new (Class as unknown as new (args: object) => object)({ name, inputShape: [1] }), name)
    ),
    ...[
      ...instancesMadeBy(tf.layers, requiredArguments()),
      ...instancesMadeBy(tf.regularizers, {}),
      ...instancesMadeBy(tf.constraints, {}),
      ...instancesMadeBy(tf.initializers, { value: 0, scale: 1, mode: "fanIn", distribution: "normal" }),
    ].map((sample) => classOfSample(sample, sample.getClassName())),
  ]);
}

/** The nearest class of tfjs in a prototype chain. */
export function nearestTfjsClass(prototype: object | null): TfjsClass | undefined {
  if (prototype === null) return undefined;
  return tfjsClasses().get(prototype) ?? nearestTfjsClass(prototypeOf(prototype));
}

/** Whether an object is an instance of one of tfjs's own classes, and not of a subclass. */
export function isTfjsClass(object: object): boolean {
  return tfjsClasses().has(prototypeOf(object));
}

/** Whether a class name is one of tfjs's own. */
export function isTfjsName(name: string): boolean {
  return [...tfjsClasses().values()].some((own) => own.name === name);
}

/** The class registered under a name. */
export function registeredClass(name: string): RegisteredClass | undefined {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  return Object.hasOwn(classNameMap, name) ? classNameMap[name] as RegisteredClass : undefined;
}

function describeClass(prototype: object, className: unknown): string {
  const own = tfjsClasses().get(prototype);
  if (own !== undefined) return own.name;
  const Class = Object.hasOwn(prototype, "constructor") ? prototype.constructor : undefined;
  // A class that inherits its class name does not declare it.
  const declares = Object.hasOwn(prototype, "getClassName") || (Class && Object.hasOwn(Class, "className"));
  if (declares && typeof className === "string") {
    if (isTfjsName(className)) return `${className}, not tfjs's`;
    const registered = registeredClass(className);
    const isRegistered = registered === undefined || registered[0].prototype === prototype;
    return isRegistered ? className : `${className}, not the registered one`;
  }
  const [parent, name] = [prototypeOf(prototype), Class?.name || "an anonymous class"];
  if (parent === null || parent === Object.prototype) return name;
  const inherited: unknown = (parent.constructor as { readonly className?: unknown }).className;
  return `${name} extends ${describeClass(parent, inherited)}`;
}

/**
 * The class of an object as text: its class name if the class is tfjs's own, or the user's and declares the name; otherwise a phrase that
 * cannot be a class name, such as `Doubled extends Dense`.
 */
export function classNameOf(object: Serializable): string {
  return describeClass(prototypeOf(object), object.getClassName());
}

/** Why no object can be built from a class name, and the remedy. */
export interface ClassFault {
  readonly expected: string;
  readonly found: string;
  readonly remedy: string;
}

/** The fault of a class name from which no object can be built; undefined if one can. */
export function unbuildableClass(className: string): ClassFault | undefined {
  const orLive = "or load into a model that has it";
  const [, subclass, base] = /^(.+?) extends (.+)$/.exec(className) ?? [];
  if (subclass !== undefined) {
    const name = subclass === "an anonymous class" ? "MyClass" : subclass;
    const naming = `static className = "${name}"`;
    return {
      expected: "a class with its own className",
      found: `${className}, which tfjs would build as ${base}`,
      remedy: `Write ${naming} in the class and call tf.serialization.registerClass(${name}), ${orLive}`,
    };
  }
  const [, name, why] = /^(.+), (not .+)$/.exec(className) ?? [];
  if (name !== undefined) {
    return {
      expected: "a className that no other class has",
      found: `a class with the className ${name} that is ${why}`,
      remedy: `Give the class another className and call tf.serialization.registerClass with it, ${orLive}`,
    };
  }
  if (registeredClass(className) !== undefined) return undefined;
  return {
    expected: "a registered class",
    found: `${className}, which is not registered`,
    remedy: `Call tf.serialization.registerClass(${className}) first, ${orLive}`,
  };
}

/** Whether a value has a class name: layers, optimizers, regularizers, constraints, initializers, activations. */
function isSerializable(value: unknown): value is Serializable {
  return typeof Object(value).getClassName === "function";
}

/** Longer arrays in a field are not searched. */
const maxSearchedLength = 100;

/** The regularizers, constraints, initializers and activations in the fields of an object, recursively. */
export function serializableFields(
  owner: object,
  at = "",
  seen: Set<object> = new Set(),
): readonly SerializableField[] {
  seen.add(owner);
  return Object.entries(owner).flatMap(([name, value]: readonly [string, unknown]): readonly SerializableField[] => {
    if (typeof value !== "object" || value === null || seen.has(value)) return [];
    const path = join(at, name);
    if (Array.isArray(value)) {
      const isSearched = value.length <= maxSearchedLength && value.some(isSerializable);
      return isSearched ? serializableFields(value, path, seen) : [];
    }
    if (!isSerializable(value) || value instanceof tf.layers.Layer || value instanceof tf.Optimizer) return [];
    return [[path, value], ...serializableFields(value, path, seen)];
  });
}

// --- capture and restore

/** The prototypes of objects captured in this process, which tell apart two classes of one name. */
const capturedPrototypes = new WeakMap<Branch, readonly [self: object, fields: ReadonlyMap<string, object>]>();

/** Remembers the prototypes that a state was captured from; a checkpoint keeps only class names. */
export function rememberPrototypes(state: Branch, live: object, fields: readonly SerializableField[]): void {
  const ofFields = new Map(fields.map(([at, field]) => [at, prototypeOf(field)]));
  capturedPrototypes.set(state, [prototypeOf(live), ofFields]);
}

/** The state entry `classes`: the classes of fields that their `className` does not identify. */
export function encodeFieldClasses(fields: readonly SerializableField[]): readonly Named[] {
  const found = fields.map(([at, field]) => [at, classNameOf(field), field.getClassName()] as const)
    .filter(([, found, name]) => found !== name);
  return found.length === 0 ? [] : [["classes", record(found.map(([at, found]) => [at, found]))]];
}

/** Whether a live object has another prototype than the captured one. tfjs's own classes are compared by name alone. */
function hasOtherPrototype(before: object | undefined, live: object): boolean {
  return before !== undefined && before !== prototypeOf(live) && !(tfjsClasses().has(before) && isTfjsClass(live));
}

/** The state entry that marks states with full classes and configs; 0.1.0 wrote class names only. */
export const encodingVersion: Named = ["encoding", aside(2)];

/** Whether 0.1.0 wrote a state. */
export function isOldEncoding(state: Node): boolean {
  return entry(state, "encoding") === undefined;
}

/** Reports that the class of a live or freshly built object is not the saved one. */
function reportClass(target: Target, live: string, saved: string, at?: string): void {
  if (!target.fresh) return target.differs("class", live, saved, at);
  const fault = unbuildableClass(saved) ?? { expected: saved, found: `${live}, which tfjs builds from this name` };
  target.pass({ path: at ?? "", kind: "class", ...fault });
}

/** Checks that a live or freshly built object has the class in its state. */
export function checkClass(state: Node, target: Target, live: object, liveClass: string): boolean {
  const saved = String(entry(state, "class"));
  if (saved !== liveClass) {
    const isOldName = saved === (live as Partial<Serializable>).getClassName?.();
    if (!target.fresh && isOldEncoding(state) && isOldName) return true;
    reportClass(target, liveClass, saved);
    return false;
  }
  if (!hasOtherPrototype(capturedPrototypes.get(state as Branch)?.[0], live)) return true;
  target.problem("class", `the class ${saved} that was captured`, "another class of the same name");
  return false;
}

/** Checks that the regularizers and the like of an object have the classes in its state. */
export function checkFieldClasses(state: Node, target: Target, live: object): void {
  if (!target.fresh && isOldEncoding(state)) return;
  const [saved, captured] = [entry(state, "classes"), capturedPrototypes.get(state as Branch)?.[1]];
  const fields = new Map(serializableFields(live));
  for (const at of new Set([...fields.keys(), ...recordEntries(saved).map(([at]) => at)])) {
    const [field, before] = [fields.get(at), captured?.get(at)];
    const name = field?.getClassName() ?? "none";
    const [liveClass, savedClass] = [field === undefined ? name : classNameOf(field), textIn(saved, at) ?? name];
    const declared: unknown = Object(before?.constructor).className;
    if (liveClass !== savedClass) reportClass(target, liveClass, savedClass, `config/${at}`);
    else if (field !== undefined && declared === name && hasOtherPrototype(before, field)) {
      target.problem("class", `the class ${name} that was captured`, "another class of the same name", `config/${at}`);
    }
  }
}
