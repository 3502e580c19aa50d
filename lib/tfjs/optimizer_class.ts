/**
 * The classes of optimizers: tfjs's seven, with where each keeps its state, and those of the user's own.
 *
 * A class is known by its prototype. Names prove nothing: a subclass inherits `className`, and anyone may register a class under any name.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

// --- types

/** Where an optimizer keeps its state. */
export interface Layout {
  /** Hyperparameters: fields named as in `getConfig`. Numbers are state; booleans decide what state there is. */
  readonly numbers: readonly string[];
  readonly flags: readonly string[];
  /** Lists of accumulators, each with the ending of the names tfjs gives them. */
  readonly slots: Readonly<Record<string, string>>;
  /** Variables that hold one number. */
  readonly variables: readonly string[];
  /** Kept tensors that hold one number. */
  readonly scalars: readonly string[];
}

/** What an optimizer is an instance of. */
export interface OptimizerClass {
  /** The class: tfjs's own name of it, or the user's. */
  readonly name: string;
  /** Which of the seven it extends, or null. */
  readonly base: string | null;
  /** Whether it is one of the seven itself. */
  readonly exact: boolean;
}

/** An optimizer class that can be built from a configuration. */
type Buildable = typeof tf.Optimizer & {
  readonly className?: unknown;
  readonly fromConfig: (cls: unknown, config: tf.serialization.ConfigDict) => tf.Optimizer;
};

// --- constructors

/** Where each of the seven keeps its state. */
export const layouts: Readonly<Record<string, Layout>> = {
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

const seven: ReadonlyMap<object, string> = new Map<object, string>([
  [tf.SGDOptimizer.prototype, "SGD"],
  [tf.MomentumOptimizer.prototype, "Momentum"],
  [tf.AdagradOptimizer.prototype, "Adagrad"],
  [tf.AdadeltaOptimizer.prototype, "Adadelta"],
  [tf.AdamOptimizer.prototype, "Adam"],
  [tf.AdamaxOptimizer.prototype, "Adamax"],
  [tf.RMSPropOptimizer.prototype, "RMSProp"],
]);

/** The layout of one of the seven by its name. */
export function layoutOf(name: string | null): Layout | undefined {
  return name !== null && Object.hasOwn(layouts, name) ? layouts[name] : undefined;
}

/** Every prototype of an object, the nearest first. */
function prototypesOf(object: object): readonly object[] {
  const prototype: unknown = Object.getPrototypeOf(object);
  return typeof prototype === "object" && prototype !== null ? [prototype, ...prototypesOf(prototype)] : [];
}

function constructorOf(prototype: object | undefined): Buildable | undefined {
  const found: unknown = prototype !== undefined && Object.hasOwn(prototype, "constructor")
    ? (prototype as { readonly constructor: unknown }).constructor
    : undefined;
  return typeof found === "function" ? found as unknown as Buildable : undefined;
}

/** The class of the instances of a prototype. A `className` of its own is a name that no minifier changes. */
function classOfPrototypes(prototypes: readonly object[]): OptimizerClass {
  const [nearest] = prototypes;
  const found = prototypes.find((prototype) => seven.has(prototype));
  const base = found === undefined ? null : seven.get(found) as string;
  if (found !== undefined && found === nearest) return { name: base as string, base, exact: true };
  const own = constructorOf(nearest);
  const given: unknown = own !== undefined && Object.hasOwn(own, "className") ? own.className : undefined;
  return { name: typeof given === "string" && given !== "" ? given : own?.name ?? "", base, exact: false };
}

/** Whether a value is an optimizer of any class; `instanceof` alone throws for null, and asks for three methods only. */
export function isOptimizer(u: unknown): u is tf.Optimizer {
  return typeof u === "object" && u !== null && u instanceof tf.Optimizer && prototypesOf(u).length > 1;
}

/** The class of an optimizer. */
export function classOf(optimizer: tf.Optimizer): OptimizerClass {
  return classOfPrototypes(prototypesOf(optimizer));
}

/** A class in words. */
export function described({ name, base, exact }: OptimizerClass): string {
  const own = name === "" ? "a class without a name" : name;
  return exact ? name : base === null ? `${own}, a class of one's own` : `${own}, a subclass of ${base}`;
}

/** Whether an optimizer extends the base class of another copy of tfjs. */
export function isOfAnotherCopy(optimizer: object): boolean {
  const prototypes = prototypesOf(optimizer);
  return !prototypes.includes(tf.Optimizer.prototype) &&
    prototypes.some((prototype) =>
      ["saveIterations", "extractIterations", "incrementIterations"].every((name) => Object.hasOwn(prototype, name))
    );
}

/** A private field that a class of the user's own declares, which nothing outside that class can read. */
export function privateField(optimizer: tf.Optimizer): string | undefined {
  for (const prototype of prototypesOf(optimizer)) {
    if (seven.has(prototype) || prototype === tf.Optimizer.prototype || prototype === Object.prototype) {
      return undefined;
    }
    const source = Function.prototype.toString.call(constructorOf(prototype) ?? (() => {}))
      .replace(/\/\*[^]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`|(?<![:\\])\/\/.*/g, " ");
    const [, name] = /(?<!\.\s*|static\s+|[\w$])(#[\w$]+)\s*(?:=(?![=>])|;|\n|\})/.exec(source) ?? [];
    if (name !== undefined) return name;
  }
  return undefined;
}

/**
 * A fresh optimizer of a class from a configuration.
 *
 * @returns The optimizer, or what a user has to do to get one.
 */
export function built(of: OptimizerClass, config: tf.serialization.ConfigDict | null): tf.Optimizer | string {
  if (of.exact) {
    const [prototype] = [...seven].find(([, name]) => name === of.name) ?? [];
    const found = constructorOf(prototype);
    return found === undefined ? "one of tfjs's optimizers" : found.fromConfig(found, config ?? {});
  }
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const remedy = "or restore into a live one";
  const registered = Object.values(classNameMap).find(([found]) => {
    const { name, base, exact } = classOfPrototypes([found.prototype, ...prototypesOf(found.prototype)]);
    return !exact && name === of.name && base === of.base;
  });
  if (registered === undefined) return `a class that tf.serialization.registerClass knows: register it, ${remedy}`;
  if (config === null) return `a class whose getConfig gives plain data: write getConfig and fromConfig, ${remedy}`;
  const [found, fromConfig] = registered as unknown as [Buildable, Buildable["fromConfig"]];
  try {
    const optimizer = fromConfig.call(found, found, config);
    if (Object.getPrototypeOf(optimizer) === found.prototype) return optimizer;
    return `a class whose fromConfig makes an instance of it, not of ${
      classOf(optimizer).name
    }: mend fromConfig, ${remedy}`;
  } catch (error) {
    return `a class whose fromConfig takes what getConfig gave (${
      error instanceof Error ? error.message : error
    }): ${remedy}`;
  }
}
