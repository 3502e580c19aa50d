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
import { type Kind, scalar, type Site, type Target } from "../component.ts";
import { demand, isPlainRecord, must } from "../rules.ts";
import { aside, entry, isBranch, type Node, record } from "../state_tree.ts";
import { ofSecondCopy } from "./classes.ts";
import { encodeFields, restoreFields } from "./fields.ts";
import {
  built,
  classOf,
  described,
  isOfAnotherCopy,
  isOptimizer,
  type Layout,
  layoutOf,
  layouts,
  type OptimizerClass,
  privateField,
} from "./optimizer_class.ts";
import { assignAtCommit, checkTensor, heldAt, shapeOf } from "./tensor.ts";

// --- types

interface Slot {
  readonly originalName: string;
  readonly variable: tf.Variable;
}

/** An optimizer's fields, which its declarations keep protected. */
type Fields = Record<string, unknown> & { iterations_?: number };

function fieldsOf(optimizer: tf.Optimizer): Fields {
  return optimizer as unknown as Fields;
}

function slotsOf(fields: Fields, name: string): readonly Slot[] {
  return (fields[name] ?? []) as readonly Slot[];
}

// --- capture and restore

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

/** The fields that the layout of one of the seven has. */
function laidOut(of: OptimizerClass): ReadonlySet<string> {
  const layout = of.exact ? layoutOf(of.name) : undefined;
  if (layout === undefined) return new Set();
  const { numbers, flags, slots, variables, scalars } = layout;
  return new Set([...numbers, ...flags, ...Object.keys(slots), ...variables, ...scalars, "iterations_"]);
}

function encodeSeven(optimizer: tf.Optimizer, of: OptimizerClass, site: Site): Node {
  const fields = fieldsOf(optimizer);
  const layout = layoutOf(of.name) as Layout;
  const held = (tensor: tf.Tensor): Node =>
    tensor.isDisposed
      ? site.refuse("an optimizer that is not disposed", `a disposed ${of.name}`)
      : site.hold(heldAt(tensor, site));
  const numbers = [...layout.numbers, ...layout.flags].map((name) => [name, site.plain(fields[name])] as const);
  const slots = Object.keys(layout.slots).map((name) =>
    [name, slotsOf(fields, name).map((slot) => held(slot.variable))] as const
  );
  const scalars = [...layout.variables, ...layout.scalars].map((name) =>
    [name, held(fields[name] as tf.Tensor)] as const
  );
  const more = Reflect.ownKeys(fields).some((name) => typeof name === "symbol" || !laidOut(of).has(name));
  return record([
    ["class", of.name],
    ["config", record(numbers)],
    ["iterations", fields.iterations_ ?? 0],
    ["slots", record(slots)],
    ["scalars", record(scalars)],
    // What a script put on the optimizer itself.
    ...(more ? [["fields", encodeFields(optimizer, laidOut(of), site)] as const] : []),
  ]);
}

/** What `fromConfig` takes, if the class has a configuration that is plain data. */
function configOf(optimizer: tf.Optimizer): tf.serialization.ConfigDict | null {
  if (typeof optimizer.getConfig !== "function") return null;
  try {
    const config: unknown = optimizer.getConfig();
    return isPlainRecord(config) && isJson(config, new Set()) ? config as tf.serialization.ConfigDict : null;
  } catch {
    return null;
  }
}

function isJson(value: unknown, outer: ReadonlySet<unknown>): boolean {
  if (typeof value !== "object" || value === null) {
    return ["number", "string", "boolean", "object"].includes(typeof value);
  }
  if (outer.has(value) || (!Array.isArray(value) && !isPlainRecord(value))) return false;
  const within = new Set([...outer, value]);
  return Object.values(value).every((part) => isJson(part, within));
}

function encodeOwn(optimizer: tf.Optimizer, { name, base }: OptimizerClass, site: Site): Node {
  const hidden = privateField(optimizer);
  if (hidden !== undefined) {
    site.refuse(
      "an optimizer whose fields can be read: declare them `private`, not with #, or give a codec in options.codecs",
      `${name} with the field ${hidden}`,
    );
  }
  const config = configOf(optimizer);
  return record([
    ["class", name],
    ["base", base],
    ["build", aside(config === null ? null : copyOf(config))],
    ["fields", encodeFields(optimizer, new Set(), site)],
  ]);
}

/** JSON as a node, which shares nothing with the fields of which it may be made. */
function copyOf(value: unknown): Node {
  if (Array.isArray(value)) return value.map(copyOf);
  return isPlainRecord(value)
    ? record(Object.entries(value).map(([name, part]) => [name, copyOf(part)]))
    : value as Node;
}

/** The class that a state is of. */
function savedClass(state: Node): OptimizerClass | undefined {
  const [name, base] = [entry(state, "class"), entry(state, "base")];
  if (typeof name !== "string") return undefined;
  if (base === undefined) return layoutOf(name) && { name, base: name, exact: true };
  return base === null || (typeof base === "string" && layoutOf(base) !== undefined)
    ? { name, base: base as string | null, exact: false }
    : undefined;
}

function buildOptimizer(state: Node, target: Target): tf.Optimizer | undefined {
  const of = savedClass(state);
  if (of === undefined) {
    target.problem("class", `one of ${Object.keys(layouts).join(", ")}`, String(entry(state, "class") ?? "nothing"));
    return undefined;
  }
  const config = entry(state, of.exact ? "config" : "build") ?? null;
  const { numbers, flags } = of.exact ? layoutOf(of.name) as Layout : { numbers: [], flags: [] };
  const values = [
    ...numbers.map((name) => scalar(config, name, "number", target)),
    ...flags.map((name) => scalar(config, name, "boolean", target)),
  ];
  if (values.includes(undefined)) return undefined;
  const optimizer = built(of, target.plain(config) as tf.serialization.ConfigDict | null);
  if (typeof optimizer !== "string") return optimizer;
  target.problem("class", optimizer, described(of));
  return undefined;
}

function restoreSeven(state: Node, target: Target, optimizer: tf.Optimizer, of: OptimizerClass): void {
  const fields = fieldsOf(optimizer);
  const layout = layoutOf(of.name) as Layout;
  const config = entry(state, "config") ?? null;
  for (const name of layout.flags) {
    const flag = scalar(config, name, "boolean", target);
    if (flag !== undefined && flag !== fields[name]) {
      target.problem("config", String(fields[name]), String(flag), name);
    }
  }
  for (const name of layout.numbers) {
    const number = scalar(config, name, "number", target);
    target.overrides(`config/${name}`, fields[name], number);
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
}

/** The state of a part, or the part itself. */
function stateOf(node: Node | undefined): Node | undefined {
  return node !== undefined && isBranch(node) && node.is === "kind" ? node.state : node;
}

/** The kind of optimizers: SGD, momentum, Adagrad, Adadelta, Adam, Adamax, RMSProp, and classes of the user's own. */
export const optimizerKind: Kind<tf.Optimizer> = {
  name: "Optimizer",
  is: (u): u is tf.Optimizer => isOptimizer(u) && !isOfAnotherCopy(u),
  rejection: (u) => isOptimizer(u) ? ofSecondCopy(u, tf.Optimizer) : undefined,
  encode: (optimizer, site) => {
    const of = classOf(optimizer);
    return of.exact ? encodeSeven(optimizer, of, site) : encodeOwn(optimizer, of, site);
  },
  build: buildOptimizer,
  ofClass: (state, live) => {
    const saved = savedClass(state);
    return saved !== undefined && described(saved) === described(classOf(live));
  },
  restore: (state, target, live) => {
    const optimizer = live as tf.Optimizer;
    const [saved, own] = [savedClass(state), classOf(optimizer)];
    const found = saved === undefined ? String(entry(state, "class") ?? "nothing") : described(saved);
    if (described(own) !== found) {
      target.problem("class", described(own), found);
      return () => optimizer;
    }
    if (own.exact) restoreSeven(state, target, optimizer, own);
    const fields = entry(state, "fields");
    if (fields !== undefined) restoreFields(fields, optimizer, laidOut(own), target);
    else if (!own.exact) target.problem("format", "the fields of the optimizer", "none", "fields");
    return () => optimizer;
  },
  parts: {
    deferred: "fields",
    // SGD and momentum train with a kept scalar of it.
    named: (state, name) =>
      [
        ["config", name],
        ["fields", name],
        ...(name === "learningRate" && savedClass(state)?.base?.match(/^(SGD|Momentum)$/)
          ? [["scalars", "c"], ["fields", "c"]]
          : []),
      ].filter(([list, field]) => entry(entry(state, list as string), field as string) !== undefined),
    belongs: (state) => {
      const of = savedClass(state);
      const [slots] = Object.keys(layoutOf(of?.base ?? null)?.slots ?? {});
      if (slots === undefined) return [];
      const list = entry(entry(state, of?.exact ? "slots" : "fields"), slots);
      return (Array.isArray(list) ? list : []).map((slot: Node) =>
        shapeOf(of?.exact ? slot : entry(stateOf(entry(stateOf(slot), "variable")), "value"))
      );
    },
  },
};

// --- combinators

/** Where an optimizer has its rate: a method that sets it, a field, or optimizers in its fields that it trains with. */
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
 * Sets the learning rate with which an optimizer trains from now on.
 *
 * Assigning `optimizer.learningRate` changes what SGD and momentum report and not what they do.
 *
 * @param optimizer Any of tfjs's seven, or of a class of your own: its method `setLearningRate`, its field `learningRate` (a number or a
 *   variable), or, for a wrapper that has neither, the optimizers in its fields.
 * @param rate The rate, at least 0; usually `Schedule.rate` of the step about to be taken.
 * @returns An effect.
 * @throws TypeError if the rate is no such number, or the optimizer has none of these.
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
    if (setRate(optimizer, rate, new Set([optimizer]))) return;
    throw new TypeError(
      `Expected an optimizer with a method setLearningRate or a field learningRate that is a number, found ${
        described(classOf(optimizer))
      }: give it one of the two`,
    );
  };
}
