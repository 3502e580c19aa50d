/**
 * Optimizer classes: tfjs's seven, with the fields that hold their state, and user-defined ones.
 *
 * A class is recognised by its prototype, not by its name: a subclass inherits `className`, and any class can be registered under any name.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import * as tf from "@tensorflow/tfjs";
import { toError } from "../../errors/mod.ts";

// --- types

/** One of the seven, with the fields that hold its state. */
export interface OptimizerLayout {
  /** Its constructor. */
  readonly Class: { readonly prototype: object };
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
  readonly fromConfig: (cls: unknown, config: Config) => tf.Optimizer;
};

/** What an optimizer's `getConfig` returns. */
export type Config = tf.serialization.ConfigDict;

// --- constructors

/** A layout without fields. */
const none = { numbers: [], flags: [], slots: {}, variables: [], scalars: [] };

/** The layouts of the seven. */
export const optimizerLayouts: Readonly<Record<string, OptimizerLayout>> = {
  SGD: { ...none, Class: tf.SGDOptimizer, numbers: ["learningRate"], scalars: ["c"] },
  Momentum: {
    ...none,
    Class: tf.MomentumOptimizer,
    numbers: ["learningRate", "momentum"],
    flags: ["useNesterov"],
    slots: { accumulations: "momentum" },
    scalars: ["c", "m"],
  },
  Adagrad: {
    ...none,
    Class: tf.AdagradOptimizer,
    numbers: ["learningRate", "initialAccumulatorValue"],
    slots: { accumulatedGrads: "accumulator" },
  },
  Adadelta: {
    ...none,
    Class: tf.AdadeltaOptimizer,
    numbers: ["learningRate", "rho", "epsilon"],
    slots: { accumulatedGrads: "accum_grad", accumulatedUpdates: "accum_var" },
  },
  Adam: {
    ...none,
    Class: tf.AdamOptimizer,
    numbers: ["learningRate", "beta1", "beta2", "epsilon"],
    slots: { accumulatedFirstMoment: "m", accumulatedSecondMoment: "v" },
    variables: ["accBeta1", "accBeta2"],
  },
  Adamax: {
    ...none,
    Class: tf.AdamaxOptimizer,
    numbers: ["learningRate", "beta1", "beta2", "epsilon", "decay"],
    slots: { accumulatedFirstMoment: "m", accumulatedWeightedInfNorm: "v" },
    variables: ["accBeta1", "iteration"],
  },
  RMSProp: {
    ...none,
    Class: tf.RMSPropOptimizer,
    numbers: ["learningRate", "decay", "momentum", "epsilon"],
    flags: ["centered"],
    slots: { accumulatedMeanSquares: "rms", accumulatedMoments: "momentum", accumulatedMeanGrads: "mg" },
  },
};

const namesOfSeven: ReadonlyMap<object, string> = new Map(
  Object.entries(optimizerLayouts).map(([name, { Class }]) => [Class.prototype, name]),
);

/** The layout of one of the seven by name. */
export function optimizerLayout(name: string | null): OptimizerLayout | undefined {
  return name !== null && Object.hasOwn(optimizerLayouts, name) ? optimizerLayouts[name] : undefined;
}

/** The prototype chain of an object, nearest first. */
function prototypesOf(object: object): readonly object[] {
  const prototype = Object.getPrototypeOf(object) as object | null;
  return prototype === null ? [] : [prototype, ...prototypesOf(prototype)];
}

function constructorOf(prototype: object | undefined): OptimizerConstructor | undefined {
  const found = prototype && Object.hasOwn(prototype, "constructor") ? prototype.constructor : undefined;
  return typeof found === "function" ? found as unknown as OptimizerConstructor : undefined;
}

/** The class that has a prototype chain. It prefers an own `className` to the constructor's name, which a minifier may change. */
function classOfPrototypes(prototypes: readonly object[]): OptimizerClass {
  const [nearest] = prototypes;
  const [base = null] = prototypes.flatMap((prototype) => namesOfSeven.get(prototype) ?? []);
  if (base !== null && base === namesOfSeven.get(nearest as object)) return { name: base, base, exact: true };
  const own = constructorOf(nearest);
  const given = own !== undefined && Object.hasOwn(own, "className") ? own.className : undefined;
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
 * @returns The optimizer, or what was expected and the remedy.
 */
export function buildOptimizerOf(
  of: OptimizerClass,
  config: Config | null,
): E.Either<{ readonly expected: string; readonly remedy: string }, tf.Optimizer> {
  if (of.exact) {
    const found = optimizerLayout(of.name)?.Class as OptimizerConstructor;
    return E.right(found.fromConfig(found, config ?? {}));
  }
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const fault = (expected: string, remedy: string): ReturnType<typeof buildOptimizerOf> =>
    E.left({ expected, remedy: `${remedy}, or load into an optimizer of this class` });
  const registered = Object.values(classNameMap).find(([found]) => {
    const { name, base, exact } = classOfPrototypes([found.prototype, ...prototypesOf(found.prototype)]);
    return !exact && name === of.name && base === of.base;
  });
  if (registered === undefined) {
    return fault("a registered class", `Call tf.serialization.registerClass(${of.name}) first`);
  }
  if (config === null) return fault("a class whose getConfig returns plain data", "Write getConfig and fromConfig");
  const [found, fromConfig] = registered as unknown as [OptimizerConstructor, OptimizerConstructor["fromConfig"]];
  try {
    const optimizer = fromConfig.call(found, found, config);
    if (Object.getPrototypeOf(optimizer) === found.prototype) return E.right(optimizer);
    const { name } = optimizerClassOf(optimizer);
    return fault(`a class whose fromConfig makes an instance of it, not of ${name}`, "Correct fromConfig");
  } catch (error) {
    const { message } = toError(error);
    return fault(`a class whose fromConfig accepts what its getConfig returned (${message})`, "Correct fromConfig");
  }
}
