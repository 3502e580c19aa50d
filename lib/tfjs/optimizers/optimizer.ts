/**
 * The kind of optimizers, tfjs's seven and user-defined ones, and {@link setLearningRate}.
 *
 * tfjs's `getWeights` omits state that decides the next bits (tfjs-core 4.22, `optimizers/`). Adam and Adamax train with a running product
 * of their betas, not with a power. SGD and momentum train with the kept scalars `c` and `m`, not with the numbers in `getConfig`. Adamax
 * counts its iterations in the variable `iteration`, apart from the number `iterations_`. So the private fields are captured. Slots belong to variables by position.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import * as tf from "@tensorflow/tfjs";
import { aside, entry, type Kind, type Node, record, scalar, type Site, type Target } from "../../state/mod.ts";
import { demand, isPlainRecord, must } from "../../validation/mod.ts";
import { assignAtCommit, checkTensor, holdAt, listItems, secondCopyFault, shapeOf, stateIn, textIn } from "../mod.ts";
import { isPlainData } from "./field_kinds.ts";
import { encodeFields, restoreFields } from "./object_fields.ts";
import {
  buildOptimizerOf,
  type Config,
  describeOptimizerClass,
  hashPrivateField,
  isOfAnotherCopy,
  isOptimizer,
  type OptimizerClass,
  optimizerClassOf,
  type OptimizerLayout,
  optimizerLayout,
  optimizerLayouts,
} from "./optimizer_class.ts";
import { awaitable, type AwaitableIO } from "../../task.ts";

// --- types

type Slot = { readonly originalName: string; readonly variable: tf.Variable };

type OptimizerFields = Record<string, unknown>;

// --- constructors

/** An optimizer's protected fields. */
function optimizerFields(optimizer: tf.Optimizer): OptimizerFields {
  return optimizer as unknown as OptimizerFields;
}

function slotsOf(fields: OptimizerFields, name: string): readonly Slot[] {
  return (fields[name] ?? []) as readonly Slot[];
}

// --- capture and restore

/**
 * Restores one list of slots by position. A live slot of the same dtype and shape is assigned in place, others are replaced.
 *
 * @param name The field that holds the list.
 * @param suffix The suffix of the slots' names.
 */
function restoreSlots(
  name: string,
  suffix: string,
  saved: Node | undefined,
  target: Target,
  fields: OptimizerFields,
): void {
  const live = slotsOf(fields, name);
  if (live.some((slot) => slot.variable.isDisposed)) {
    target.problem("data", "an optimizer", "one that was disposed", undefined, "Do not dispose it before loading");
  }
  const prepared = listItems(saved).flatMap((node, i): (readonly [Slot, commit: () => void])[] => {
    const tensor = checkTensor(node, target, undefined, `slots/${name}/${i}`);
    if (tensor === undefined) return [];
    target.after(() => tensor.dispose());
    const slot = live[i];
    if (slot?.variable.dtype === tensor.dtype && String(slot.variable.shape) === String(tensor.shape)) {
      return [[slot, () => slot.variable.assign(tensor)]];
    }
    const variable = tensor.variable(false);
    return [[{ originalName: `${i}/${suffix}`, variable }, () => slot?.variable.dispose()]];
  });
  target.commit(() => {
    for (const [, commit] of prepared) commit();
    live.slice(prepared.length).forEach((slot) => slot.variable.dispose());
    fields[name] = prepared.map(([slot]) => slot);
  });
}

/** The fields in the layout of one of the seven; none for other classes. */
function layoutFields(of: OptimizerClass): ReadonlySet<string | symbol> {
  const layout = of.exact ? optimizerLayout(of.name) : undefined;
  if (layout === undefined) return new Set();
  const { numbers, flags, slots, variables, scalars } = layout;
  return new Set([...numbers, ...flags, ...Object.keys(slots), ...variables, ...scalars, "iterations_"]);
}

function encodeSeven(optimizer: tf.Optimizer, of: OptimizerClass, site: Site): Node {
  const fields = optimizerFields(optimizer);
  const layout = optimizerLayout(of.name) as OptimizerLayout;
  const encodeTensor = (tensor: tf.Tensor): Node => {
    if (tensor.isDisposed) site.refuse("an optimizer that is not disposed", `a disposed ${of.name}`);
    return site.hold(holdAt(tensor, site));
  };
  const encodeSlots = (name: string): Node => slotsOf(fields, name).map((slot) => encodeTensor(slot.variable));
  const recordOf = (names: readonly string[], encode: (name: string) => Node): Node =>
    record(names.map((name) => [name, encode(name)]));
  const own = layoutFields(of);
  return record([
    ["class", of.name],
    ["config", recordOf([...layout.numbers, ...layout.flags], (name) => site.plain(fields[name]))],
    ["iterations", (fields["iterations_"] ?? 0) as number],
    ["slots", recordOf(Object.keys(layout.slots), encodeSlots)],
    ["scalars", recordOf([...layout.variables, ...layout.scalars], (name) => encodeTensor(fields[name] as tf.Tensor))],
    // Fields outside the layout: the script added them.
    ...(Reflect.ownKeys(fields).every((name) => own.has(name))
      ? []
      : [["fields", encodeFields(optimizer, own, site)] as const]),
  ]);
}

/** The optimizer's config if it is JSON; null if it is not, or if `getConfig` is missing or throws. */
function jsonConfigOf(optimizer: tf.Optimizer): Config | null {
  try {
    const config: unknown = optimizer.getConfig();
    return isPlainRecord(config) && isPlainData(config, isJsonLeaf) ? config as Config : null;
  } catch {
    return null;
  }
}

/** Whether a value is null, a boolean, a string or a number. NaN and the infinities count, though JSON lacks them. */
function isJsonLeaf(value: unknown): boolean {
  return value === null || ["number", "string", "boolean"].includes(typeof value);
}

function encodeUserOptimizer(optimizer: tf.Optimizer, { name, base }: OptimizerClass, site: Site): Node {
  const hashField = hashPrivateField(optimizer);
  if (hashField !== undefined) {
    const remedy = "declare them `private`, not with #, or give a codec in options.codecs";
    site.refuse(`an optimizer whose fields can be read: ${remedy}`, `${name} with the field ${hashField}`);
  }
  return record([
    ["class", name],
    ["base", base],
    ["build", aside(jsonNode(jsonConfigOf(optimizer)))],
    ["fields", encodeFields(optimizer, new Set(), site)],
  ]);
}

/** JSON as a node that shares no object with the optimizer's fields. */
function jsonNode(value: unknown): Node {
  if (Array.isArray(value)) return value.map(jsonNode);
  return isPlainRecord(value)
    ? record(Object.entries(value).map(([name, part]) => [name, jsonNode(part)]))
    : value as Node;
}

/** The class in a state, if it is valid. */
function savedClassOf(state: Node): OptimizerClass | undefined {
  const [name, base] = [textIn(state, "class"), entry(state, "base")];
  if (name === null) return undefined;
  if (base === undefined) return optimizerLayout(name) && { name, base: name, exact: true };
  const isBase = base === null || (typeof base === "string" && optimizerLayout(base) !== undefined);
  return isBase ? { name, base, exact: false } : undefined;
}

function buildOptimizer(state: Node, target: Target): tf.Optimizer | undefined {
  const of = savedClassOf(state);
  if (of === undefined) {
    const expected = `one of ${Object.keys(optimizerLayouts).join(", ")}`;
    target.problem("class", expected, String(entry(state, "class") ?? "nothing"));
    return undefined;
  }
  const config = entry(state, of.exact ? "config" : "build") ?? null;
  const { numbers = [], flags = [] } = of.exact ? optimizerLayout(of.name) ?? {} : {};
  const values = [
    ...numbers.map((name) => scalar(config, name, "number", target)),
    ...flags.map((name) => scalar(config, name, "boolean", target)),
  ];
  if (values.includes(undefined)) return undefined;
  const optimizer = buildOptimizerOf(of, target.plain(config) as Config | null);
  if (E.isRight(optimizer)) return optimizer.right;
  target.pass({ path: "", kind: "class", ...optimizer.left, found: describeOptimizerClass(of) });
  return undefined;
}

function restoreSeven(state: Node, target: Target, optimizer: tf.Optimizer, of: OptimizerClass): void {
  const fields = optimizerFields(optimizer);
  const layout = optimizerLayout(of.name) as OptimizerLayout;
  const config = entry(state, "config") ?? null;
  for (const name of layout.flags) {
    const flag = scalar(config, name, "boolean", target);
    if (flag !== undefined && flag !== fields[name]) target.differs("config", String(fields[name]), String(flag), name);
  }
  for (const name of layout.numbers) {
    const number = scalar(config, name, "number", target);
    target.overrides(`config/${name}`, fields[name], number);
    target.commit(() => void (fields[name] = number));
  }
  const iterations = scalar(state, "iterations", "number", target);
  target.commit(() => void (fields["iterations_"] = iterations));
  for (const [name, suffix] of Object.entries(layout.slots)) {
    restoreSlots(name, suffix, entry(entry(state, "slots"), name), target, fields);
  }
  for (const name of [...layout.variables, ...layout.scalars]) {
    const live = fields[name] as tf.Tensor;
    const tensor = checkTensor(entry(entry(state, "scalars"), name), target, live, `scalars/${name}`);
    if (tensor === undefined) continue;
    if (live instanceof tf.Variable) assignAtCommit(target, live, tensor);
    else {
      target.commit(() => {
        live.dispose();
        fields[name] = tf.keep(tensor);
      });
    }
  }
}

/** The kind of optimizers: SGD, momentum, Adagrad, Adadelta, Adam, Adamax, RMSProp, and user-defined classes. */
export const optimizerKind: Kind<tf.Optimizer> = {
  name: "Optimizer",
  is: (u): u is tf.Optimizer => isOptimizer(u) && !isOfAnotherCopy(u),
  rejection: (u) => isOptimizer(u) ? secondCopyFault(u, tf.Optimizer) : undefined,
  encode: (optimizer, site) => {
    const of = optimizerClassOf(optimizer);
    return of.exact ? encodeSeven(optimizer, of, site) : encodeUserOptimizer(optimizer, of, site);
  },
  build: buildOptimizer,
  ofClass: (state, live) => {
    const saved = savedClassOf(state);
    return saved !== undefined && describeOptimizerClass(saved) === describeOptimizerClass(optimizerClassOf(live));
  },
  restore: (state, target, live) => {
    const optimizer = live as tf.Optimizer;
    const [saved, own] = [savedClassOf(state), optimizerClassOf(optimizer)];
    const found = saved === undefined ? String(entry(state, "class") ?? "nothing") : describeOptimizerClass(saved);
    if (describeOptimizerClass(own) !== found) {
      target.differs("class", describeOptimizerClass(own), found);
      return () => optimizer;
    }
    if (own.exact) restoreSeven(state, target, optimizer, own);
    const fields = entry(state, "fields");
    if (fields !== undefined) restoreFields(fields, optimizer, layoutFields(own), target);
    else if (!own.exact) target.problem("format", "the fields of the optimizer", "none", "fields");
    return () => optimizer;
  },
  parts: {
    deferred: "fields",
    // SGD and momentum train with a copy of the rate in the scalar `c`.
    named: (state, name) =>
      [
        ["config", name],
        ["fields", name],
        ...(name === "learningRate" && savedClassOf(state)?.base?.match(/^(SGD|Momentum)$/)
          ? [["scalars", "c"], ["fields", "c"]]
          : []),
      ].filter(([list, field]) => entry(entry(state, list as string), field as string) !== undefined),
    belongs: (state) => {
      const of = savedClassOf(state);
      const [slots] = Object.keys(optimizerLayout(of?.base ?? null)?.slots ?? {});
      if (slots === undefined) return [];
      const list = entry(entry(state, of?.exact ? "slots" : "fields"), slots);
      // A slot of a user-defined optimizer is in the form that `fieldKinds` gives it.
      const inFields = (slot: Node): Node | undefined => entry(stateIn(entry(stateIn(slot), "variable")), "value");
      return listItems(list).map((slot) => shapeOf(of?.exact ? slot : inFields(slot)));
    },
  },
};

// --- combinators

/**
 * Sets the rate by the optimizer's method, its field, or the optimizers in its fields.
 *
 * @param outer The optimizers that wrap this one.
 * @returns Whether it found a rate to set.
 */
function setRate(optimizer: tf.Optimizer, rate: number, outer: ReadonlySet<object>): boolean {
  const fields = optimizer as unknown as { learningRate?: unknown; setLearningRate?: unknown };
  if (typeof fields.setLearningRate === "function") {
    fields.setLearningRate(rate);
    return true;
  }
  const { learningRate } = fields;
  if (learningRate instanceof tf.Variable) {
    tf.tidy(() => learningRate.assign(tf.fill(learningRate.shape, rate, learningRate.dtype)));
    return true;
  }
  if (typeof learningRate === "number" && Reflect.set(fields, "learningRate", rate)) return true;
  const inner = Object.values(fields).filter((part): part is tf.Optimizer => isOptimizer(part) && !outer.has(part));
  return inner.length > 0 && inner.every((part) => setRate(part, rate, new Set([...outer, part])));
}

/**
 * Sets the learning rate of an optimizer, for training and not only for `getConfig`.
 *
 * An assignment to `optimizer.learningRate` changes the rate that SGD and momentum report, not the one with which they train.
 *
 * @param optimizer One of tfjs's seven or of a user-defined class. Of the latter it uses the method `setLearningRate`, or the field
 *   `learningRate` (a number or a variable), or, for a wrapper without either, the optimizers in its fields.
 * @param rate The rate, finite and at least 0; usually `Schedule.rate` of the next step.
 * @returns An effect.
 * @throws TypeError if the rate is invalid, or if the optimizer has none of these.
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
export function setLearningRate(optimizer: tf.Optimizer, rate: number): AwaitableIO<void> {
  const trains = (u: unknown): boolean => typeof Object(u).applyGradients === "function";
  demand("the optimizer of setLearningRate", must("an optimizer", trains), optimizer);
  const finite = (u: unknown): boolean => typeof u === "number" && u >= 0 && u < Infinity;
  demand("the rate of setLearningRate", must("a learning rate of at least 0", finite), rate);
  return awaitable((): void => {
    if (setRate(optimizer, rate, new Set([optimizer]))) return;
    const found = describeOptimizerClass(optimizerClassOf(optimizer));
    const expected = "an optimizer with a method setLearningRate or a field learningRate that is a number";
    throw new TypeError(`Expected ${expected}, found ${found}: add one of the two to its class`);
  });
}
