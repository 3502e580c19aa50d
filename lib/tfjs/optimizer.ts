/**
 * The kind of tfjs's seven optimizers, every hidden field included, and the one way to change a learning rate that training obeys.
 *
 * What their own `getWeights` leaves out decides the next bits (tfjs-core 4.22, `optimizers/`): Adam and Adamax train with the running
 * product of their betas, not with a power; SGD and momentum train with the kept scalars `c` and `m`, not with the numbers that
 * `getConfig` shows; Adamax counts in a float of its own. Accumulators belong to variables by position.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { IO } from "fp-ts/lib/IO.js";
import { type Kind, scalar, type Target } from "../component.ts";
import { demand, must } from "../rules.ts";
import { entry, type Node, record } from "../state_tree.ts";
import { assignAtCommit, checkTensor, hold, shapeOf } from "./tensor.ts";

// --- types

interface Slot {
  readonly originalName: string;
  readonly variable: tf.Variable;
}

/** Where an optimizer keeps its state. */
interface Layout {
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

const layouts: Readonly<Record<string, Layout>> = {
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

/** An optimizer's fields, which its declarations keep protected. */
type Fields = Record<string, unknown> & { iterations_?: number };

function fieldsOf(optimizer: tf.Optimizer): Fields {
  return optimizer as unknown as Fields;
}

function layoutOf(className: string): Layout | undefined {
  return Object.hasOwn(layouts, className) ? layouts[className] : undefined;
}

function slotsOf(fields: Fields, name: string): readonly Slot[] {
  return (fields[name] ?? []) as readonly Slot[];
}

// --- capture and restore

/** Whether a value is an optimizer of any class; `instanceof` alone throws for null and knows subclasses only. */
function isOptimizer(u: unknown): u is tf.Optimizer {
  return typeof u === "object" && u !== null && u instanceof tf.Optimizer;
}

/** Whether an optimizer is of one of tfjs's classes itself: a subclass has their name, and may do anything. */
function isOwn(optimizer: tf.Optimizer): boolean {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  return Object.getPrototypeOf(optimizer) === classNameMap[optimizer.getClassName()]?.[0].prototype;
}

function restoreSlots(name: string, ending: string, saved: Node, target: Target, fields: Fields): void {
  const live = slotsOf(fields, name);
  if (live.some((slot) => slot.variable.isDisposed)) target.problem("data", "a live optimizer", "a disposed one");
  const items: readonly Node[] = Array.isArray(saved) ? saved : [];
  const prepared = items.flatMap((node, i): (readonly [Slot, commit: () => void])[] => {
    const tensor = checkTensor(node, target, undefined, `slots/${name}/${i}`);
    if (tensor === undefined) return [];
    target.after(() => tensor.dispose());
    const slot = live[i];
    if (slot?.variable.dtype === tensor.dtype && String(slot.variable.shape) === String(tensor.shape)) {
      return [[slot, () => slot.variable.assign(tensor)]];
    }
    const variable = tensor.variable(false);
    return [[{ originalName: `${i}/${ending}`, variable }, () => slot?.variable.dispose()]];
  });
  target.commit(() => {
    for (const [, commit] of prepared) commit();
    live.slice(prepared.length).forEach((slot) => slot.variable.dispose());
    fields[name] = prepared.map(([slot]) => slot);
  });
}

/** The kind of SGD, momentum, Adagrad, Adadelta, Adam, Adamax and RMSProp. */
export const optimizerKind: Kind<tf.Optimizer> = {
  name: "Optimizer",
  is: (u): u is tf.Optimizer => isOptimizer(u) && layoutOf(u.getClassName()) !== undefined && isOwn(u),
  nearly: (u) => isOptimizer(u) ? `an optimizer of the unknown class ${u.constructor.name}` : undefined,
  encode: (optimizer, site) => {
    const className = optimizer.getClassName();
    const fields = fieldsOf(optimizer);
    const layout = layoutOf(className) as Layout;
    const held = (tensor: tf.Tensor): Node =>
      tensor.isDisposed
        ? site.refuse("an optimizer that is not disposed", `a disposed ${className}`)
        : site.hold(hold(tensor));
    const numbers = [...layout.numbers, ...layout.flags].map((name) => [name, site.plain(fields[name])] as const);
    const slots = Object.keys(layout.slots).map((name) =>
      [name, slotsOf(fields, name).map((slot) => held(slot.variable))] as const
    );
    const scalars = [...layout.variables, ...layout.scalars].map((name) =>
      [name, held(fields[name] as tf.Tensor)] as const
    );
    return record([
      ["class", className],
      ["config", record(numbers)],
      ["iterations", fields.iterations_ ?? 0],
      ["slots", record(slots)],
      ["scalars", record(scalars)],
    ]);
  },
  build: (state, target) => {
    const className = scalar(state, "class", "string", target);
    const found = className === undefined
      ? undefined
      : tf.serialization.SerializationMap.getMap().classNameMap[className];
    if (className === undefined || layoutOf(className) === undefined || found === undefined) {
      target.problem("class", `one of ${Object.keys(layouts).join(", ")}`, className ?? "nothing");
      return undefined;
    }
    const layout = layoutOf(className) as Layout;
    const config = entry(state, "config") ?? null;
    const values = [
      ...layout.numbers.map((name) => [name, scalar(config, name, "number", target)] as const),
      ...layout.flags.map((name) => [name, scalar(config, name, "boolean", target)] as const),
    ];
    if (values.some(([, value]) => value === undefined)) return undefined;
    return found[1](found[0], Object.fromEntries(values) as tf.serialization.ConfigDict) as unknown as tf.Optimizer;
  },
  restore: (state, target, live) => {
    const optimizer = live as tf.Optimizer;
    const className = scalar(state, "class", "string", target);
    if (className !== optimizer.getClassName()) {
      target.problem("class", optimizer.getClassName(), String(className));
      return () => optimizer;
    }
    const fields = fieldsOf(optimizer);
    const layout = layoutOf(className) as Layout;
    const config = entry(state, "config") ?? null;
    for (const name of layout.flags) {
      const flag = scalar(config, name, "boolean", target);
      if (flag !== undefined && flag !== fields[name]) {
        target.problem("config", String(fields[name]), String(flag), name);
      }
    }
    for (const name of layout.numbers) {
      const number = scalar(config, name, "number", target);
      target.commit(() => void (fields[name] = number));
    }
    const iterations = scalar(state, "iterations", "number", target);
    target.commit(() => void (fields.iterations_ = iterations as number));
    const slots = entry(state, "slots") ?? null;
    for (const [name, ending] of Object.entries(layout.slots)) {
      restoreSlots(name, ending, entry(slots, name) ?? null, target, fields);
    }
    const scalars = entry(state, "scalars") ?? null;
    for (const name of layout.variables) {
      const tensor = checkTensor(entry(scalars, name), target, fields[name] as tf.Variable, `scalars/${name}`);
      if (tensor !== undefined) assignAtCommit(target, fields[name] as tf.Variable, tensor);
    }
    for (const name of layout.scalars) {
      const tensor = checkTensor(entry(scalars, name), target, fields[name] as tf.Tensor, `scalars/${name}`);
      if (tensor === undefined) continue;
      target.commit(() => {
        (fields[name] as tf.Tensor).dispose();
        fields[name] = tf.keep(tensor);
      });
    }
    return () => optimizer;
  },
  parts: {
    // SGD and momentum train with a kept scalar of it.
    named: (state, name) =>
      name !== "learningRate"
        ? []
        : entry(entry(state, "scalars"), "c") === undefined
        ? [["config", name]]
        : [["config", name], ["scalars", "c"]],
    belongs: (state) => {
      const className = entry(state, "class");
      const [slots] = Object.keys((typeof className === "string" && layoutOf(className)?.slots) || {});
      const list = slots === undefined ? undefined : entry(entry(state, "slots"), slots);
      return (Array.isArray(list) ? list : []).map(shapeOf);
    },
  },
};

// --- combinators

/**
 * Sets the learning rate with which an optimizer trains from now on.
 *
 * Assigning `optimizer.learningRate` changes what SGD and momentum report and not what they do.
 *
 * @param optimizer Any of tfjs's seven.
 * @param rate The rate, at least 0; usually `Schedule.rate` of the step about to be taken.
 * @returns An effect.
 *
 * @example
 * ```ts
 * import { setLearningRate } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const [w, sgd] = [tf.variable(tf.scalar(1)), tf.train.sgd(0.5)];
 * setLearningRate(sgd, 0.25)();
 * sgd.minimize(() => w.asScalar());
 * assert.equal(w.dataSync()[0], 0.75);
 * ```
 */
export function setLearningRate(optimizer: tf.Optimizer, rate: number): IO<void> {
  const trains = (u: unknown): boolean => typeof Object(u).applyGradients === "function";
  demand("the optimizer of setLearningRate", must("an optimizer", trains), optimizer);
  const finite = (u: unknown): boolean => typeof u === "number" && u >= 0 && u < Infinity;
  demand("the rate of setLearningRate", must("a learning rate of at least 0", finite), rate);
  return () => {
    const fields = optimizer as unknown as { learningRate: number; setLearningRate?: (rate: number) => void };
    if (fields.setLearningRate === undefined) fields.learningRate = rate;
    else fields.setLearningRate(rate);
  };
}
