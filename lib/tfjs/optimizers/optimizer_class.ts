/**
 * Optimizer classes: tfjs's seven, with the fields that hold their state, and user-defined ones.
 *
 * A class is recognised by its prototype, not by its name: a subclass inherits `className`, and any class can be registered under any name.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

// --- types

/** The fields that hold an optimizer's state. */
export interface OptimizerLayout {
  /** Numeric hyperparameters, named as in `getConfig`. They are state. */
  readonly numbers: readonly string[];
  /** Boolean hyperparameters, named as in `getConfig`. They decide which state exists. */
  readonly flags: readonly string[];
  /** Lists of slots (accumulators), each with the suffix of the names that tfjs gives to the slots. */
  readonly slots: Readonly<Record<string, string>>;
  /** Scalar variables. */
  readonly variables: readonly string[];
  /** Scalar tensors made with `tf.keep`. */
  readonly scalars: readonly string[];
}

/** The class of an optimizer. */
export interface OptimizerClass {
  /** Its name, tfjs's or the user's. */
  readonly name: string;
  /** The one of the seven that it is or extends, or null. */
  readonly base: string | null;
  /** Whether it is one of the seven itself. */
  readonly exact: boolean;
}

/** A constructor of optimizers. */
type OptimizerConstructor = typeof tf.Optimizer & {
  readonly className?: unknown;
  readonly fromConfig: (cls: unknown, config: tf.serialization.ConfigDict) => tf.Optimizer;
};

// --- constructors

/** The layouts of the seven. */
export const optimizerLayouts: Readonly<Record<string, OptimizerLayout>> = {
  SGD: { numbers: ["learningRate"], flags: [], slots: {}, variables: [], scalars: ["c"] },
  Momentum: {
    numbers: ["learningRate", "momentum"],
    flags: ["useNesterov"],
    slots: { accumulations: "momentum" },
    variables: [],
    scalars: ["c", "m"],
  },
  Adagrad: {
    numbers: ["learningRate", "initialAccumulatorValue"],
    flags: [],
    slots: { accumulatedGrads: "accumulator" },
    variables: [],
    scalars: [],
  },
  Adadelta: {
    numbers: ["learningRate", "rho", "epsilon"],
    flags: [],
    slots: { accumulatedGrads: "accum_grad", accumulatedUpdates: "accum_var" },
    variables: [],
    scalars: [],
  },
  Adam: {
    numbers: ["learningRate", "beta1", "beta2", "epsilon"],
    flags: [],
    slots: { accumulatedFirstMoment: "m", accumulatedSecondMoment: "v" },
    variables: ["accBeta1", "accBeta2"],
    scalars: [],
  },
  Adamax: {
    numbers: ["learningRate", "beta1", "beta2", "epsilon", "decay"],
    flags: [],
    slots: { accumulatedFirstMoment: "m", accumulatedWeightedInfNorm: "v" },
    variables: ["accBeta1", "iteration"],
    scalars: [],
  },
  RMSProp: {
    numbers: ["learningRate", "decay", "momentum", "epsilon"],
    flags: ["centered"],
    slots: { accumulatedMeanSquares: "rms", accumulatedMoments: "momentum", accumulatedMeanGrads: "mg" },
    variables: [],
    scalars: [],
  },
};

const namesOfSeven: ReadonlyMap<object, string> = new Map<object, string>([
  [tf.SGDOptimizer.prototype, "SGD"],
  [tf.MomentumOptimizer.prototype, "Momentum"],
  [tf.AdagradOptimizer.prototype, "Adagrad"],
  [tf.AdadeltaOptimizer.prototype, "Adadelta"],
  [tf.AdamOptimizer.prototype, "Adam"],
  [tf.AdamaxOptimizer.prototype, "Adamax"],
  [tf.RMSPropOptimizer.prototype, "RMSProp"],
]);

/** The layout of one of the seven by name. */
export function optimizerLayout(name: string | null): OptimizerLayout | undefined {
  return name !== null && Object.hasOwn(optimizerLayouts, name) ? optimizerLayouts[name] : undefined;
}

/** The prototype chain of an object, nearest first. */
function prototypesOf(object: object): readonly object[] {
  const prototype: unknown = Object.getPrototypeOf(object);
  return typeof prototype === "object" && prototype !== null ? [prototype, ...prototypesOf(prototype)] : [];
}

function constructorOf(prototype: object | undefined): OptimizerConstructor | undefined {
  const found: unknown = prototype !== undefined && Object.hasOwn(prototype, "constructor")
    ? (prototype as { readonly constructor: unknown }).constructor
    : undefined;
  return typeof found === "function" ? found as unknown as OptimizerConstructor : undefined;
}

/** The class that has a prototype chain. It prefers an own `className` to the constructor's name, which a minifier may change. */
function classOfPrototypes(prototypes: readonly object[]): OptimizerClass {
  const [nearest] = prototypes;
  const found = prototypes.find((prototype) => namesOfSeven.has(prototype));
  const base = found === undefined ? null : namesOfSeven.get(found) as string;
  if (found !== undefined && found === nearest) return { name: base as string, base, exact: true };
  const own = constructorOf(nearest);
  const given: unknown = own !== undefined && Object.hasOwn(own, "className") ? own.className : undefined;
  return { name: typeof given === "string" && given !== "" ? given : own?.name ?? "", base, exact: false };
}

/** Whether a value is an optimizer. tfjs's `instanceof` throws for null and accepts any object with three of the methods. */
export function isOptimizer(u: unknown): u is tf.Optimizer {
  return typeof u === "object" && u !== null && u instanceof tf.Optimizer && prototypesOf(u).length > 1;
}

/** The class of an optimizer. */
export function optimizerClassOf(optimizer: tf.Optimizer): OptimizerClass {
  return classOfPrototypes(prototypesOf(optimizer));
}

/** A class in words, which differ for different classes. */
export function describeOptimizerClass({ name, base, exact }: OptimizerClass): string {
  const own = name === "" ? "a class without a name" : name;
  return exact ? name : base === null ? `${own}, a user-defined class` : `${own}, a subclass of ${base}`;
}

/** Whether an optimizer extends `tf.Optimizer` of another copy of tfjs. */
export function isOfAnotherCopy(optimizer: object): boolean {
  const prototypes = prototypesOf(optimizer);
  return !prototypes.includes(tf.Optimizer.prototype) &&
    prototypes.some((prototype) =>
      ["saveIterations", "extractIterations", "incrementIterations"].every((name) => Object.hasOwn(prototype, name))
    );
}

/** The name of a `#private` field that a user-defined class declares: no code outside the class can read it. */
export function hashPrivateField(optimizer: tf.Optimizer): string | undefined {
  for (const prototype of prototypesOf(optimizer)) {
    if (namesOfSeven.has(prototype) || prototype === tf.Optimizer.prototype || prototype === Object.prototype) {
      return undefined;
    }
    // No reflection lists such fields: strip comments and strings from the class's source and look for a declaration.
    const source = Function.prototype.toString.call(constructorOf(prototype) ?? (() => {}))
      .replace(/\/\*[^]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`|(?<![:\\])\/\/.*/g, " ");
    const [, name] = /(?<!\.\s*|static\s+|[\w$])(#[\w$]+)\s*(?:=(?![=>])|;|\n|\})/.exec(source) ?? [];
    if (name !== undefined) return name;
  }
  return undefined;
}

/**
 * Builds an optimizer of a class from a config.
 *
 * @returns The optimizer, or a text that says what was expected and the remedy.
 */
export function buildOptimizerOf(
  of: OptimizerClass,
  config: tf.serialization.ConfigDict | null,
): tf.Optimizer | string {
  if (of.exact) {
    const [prototype] = [...namesOfSeven].find(([, name]) => name === of.name) ?? [];
    const found = constructorOf(prototype);
    return found === undefined ? "one of tfjs's optimizers" : found.fromConfig(found, config ?? {});
  }
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const remedy = "or restore into a live one";
  const registered = Object.values(classNameMap).find(([found]) => {
    const { name, base, exact } = classOfPrototypes([found.prototype, ...prototypesOf(found.prototype)]);
    return !exact && name === of.name && base === of.base;
  });
  if (registered === undefined) return `a class registered with tf.serialization.registerClass: register it, ${remedy}`;
  if (config === null) return `a class whose getConfig returns plain data: write getConfig and fromConfig, ${remedy}`;
  const [found, fromConfig] = registered as unknown as [OptimizerConstructor, OptimizerConstructor["fromConfig"]];
  try {
    const optimizer = fromConfig.call(found, found, config);
    if (Object.getPrototypeOf(optimizer) === found.prototype) return optimizer;
    return `a class whose fromConfig makes an instance of it, not of ${
      optimizerClassOf(optimizer).name
    }: correct fromConfig, ${remedy}`;
  } catch (error) {
    return `a class whose fromConfig accepts what its getConfig returned (${
      error instanceof Error ? error.message : error
    }): ${remedy}`;
  }
}
