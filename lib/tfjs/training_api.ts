/**
 * tfjs's private training API: one step on a batch, the logger, the callbacks and their fields.
 *
 * Laws: *no trace*: nothing in tfjs stays changed. *same bits*: a step draws from a generator value in place of `Math.random`, so that
 * other code that draws meanwhile cannot change the result.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  checkCurried,
  checkMisspelt,
  demand,
  foundOrAwait,
  isPlainRecord,
  must,
  type OptionNames,
} from "../validation/mod.ts";
import { awaitable, type AwaitableTask } from "../task.ts";
import { Rng } from "../values/mod.ts";
import { onDevice } from "./device_errors.ts";

// --- types

/** Data for a model: a tensor, an array with one for each input or output, or a record of them by name. */
export type Batch = tf.Tensor | tf.Tensor[] | { [name: string]: tf.Tensor };

/** The logs that callbacks receive: numbers, or scalars that have not been read yet. */
export type Logs = Record<string, number | tf.Scalar>;

/** Data as tfjs trains on it: the inputs, the targets, and the weights of the samples. */
type StandardData = [xs: tf.Tensor[], ys: tf.Tensor[], weights: (tf.Tensor | null)[] | null];

/** The private training methods of a model. A sequential model delegates to an inner one. See tfjs-layers 4.22, `engine/training.ts`. */
export interface Trainer {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly metricsNames: readonly string[];
  readonly optimizer: tf.Optimizer | undefined;
  isTraining: boolean;
  stopTraining_: boolean;
  history: tf.History;
  testFunction: (ins: tf.Tensor[]) => tf.Scalar[];
  makeTrainFunction(): (ins: readonly (tf.Tensor | null)[]) => tf.Scalar[];
  makeTestFunction(): void;
  testLoop(test: Trainer["testFunction"], ins: readonly tf.Tensor[], batchSize: number): tf.Scalar[];
  getDedupedMetricsNames(): string[];
  checkTrainableWeightsConsistency(): void;
  standardizeUserDataXY(x: unknown, y: unknown): [tf.Tensor[], tf.Tensor[]];
  /** The rest: sample weights, class weights, whether to check the sizes of the batches, the batch size. */
  standardizeUserData(x: unknown, y: unknown, ...rest: readonly unknown[]): Promise<StandardData>;
  evaluate(x: unknown, y: unknown, args: { batchSize: number; verbose: 0 }): tf.Scalar | tf.Scalar[];
  evaluateDataset(dataset: unknown, args: { batches?: number }): Promise<tf.Scalar | tf.Scalar[]>;
  fitLoop(...args: readonly unknown[]): Promise<unknown>;
}

/** The callbacks of one training, in the order in which they are called. */
export interface Callbacks {
  readonly list: tf.CallbackList;
  /** The running totals of an epoch. At the end of the epoch tfjs divides them by the number of samples seen. */
  readonly logger: { seen?: number; totals?: Logs };
  /** The user's and the registered callbacks. */
  readonly own: readonly object[];
  /** All objects that may hold state: `own`, then the plain objects that the user passed as callbacks. */
  readonly stateful: readonly object[];
  /** The fields of each of these before the training. */
  readonly initialFields: readonly Readonly<Record<string, unknown>>[];
  readonly history: tf.History;
}

// --- constructors

/** The model that trains; throws tfjs's own error if a sequential model has no layers yet. */
export function trainerOf(model: tf.LayersModel): Trainer {
  if (typeof Object(model).compile !== "function") {
    throw new TypeError(`Expected a model of tfjs, found ${foundOrAwait(model)}`);
  }
  const { built, model: inner } = model as unknown as { readonly built: boolean; readonly model?: Trainer };
  if (!built) throw new Error("The model needs to be compiled before being used.");
  return inner ?? model as unknown as Trainer;
}

const batchRule = must("a tensor, or an array or record of tensors, such as tf.tensor2d([[0, 1]])", (data) => {
  if (data instanceof tf.Tensor) return true;
  const tensors = Array.isArray(data) || isPlainRecord(data) ? Object.values(data) : [];
  return tensors.length > 0 && tensors.every((tensor) => tensor instanceof tf.Tensor);
});

const numberRule = must("a number", (value) => typeof value === "number" && !Number.isNaN(value));

/** Rejects with a `TypeError` data and numbers of `model.fit` that tfjs would fail on with an error of its own code, or coerce. */
export function checkFitData(x: unknown, y: unknown, args: tf.ModelFitArgs): void {
  demand("x of model.fit", batchRule, x);
  demand("y of model.fit", batchRule, y);
  checkNumbers("model.fit", args, ["epochs", "initialEpoch", "validationSplit"]);
}

/** Rejects with a `TypeError` an argument that is given and no number. */
export function checkNumbers<A extends object>(of: string, args: A, names: readonly (keyof A & string)[]): void {
  for (const name of names) if (args[name] != null) demand(`${name} of ${of}`, numberRule, args[name]);
}

/** The base class of callbacks, which tfjs does not export. See tfjs-layers 4.22, `base_callbacks.ts`. */
const BaseCallback = Object.getPrototypeOf(tf.History) as abstract new () => object;

/** Whether a value is an instance of tfjs's callback class, not a plain object from which tfjs makes one. */
export function isCallback(value: unknown): value is object {
  return value instanceof BaseCallback;
}

/** The properties that tfjs reads in a plain object passed as a callback. */
const callbackNames = {
  onTrainBegin: true,
  onTrainEnd: true,
  onEpochBegin: true,
  onEpochEnd: true,
  onBatchBegin: true,
  onBatchEnd: true,
  onYield: true,
  nowFunc: true,
  nextFrameFunc: true,
} satisfies OptionNames<tf.CustomCallbackArgs>;

/**
 * Checks that callbacks are instances of tfjs's classes, or plain objects of functions without misspelt names.
 *
 * @param of The tfjs function that receives them, for messages.
 * @param callbacks Its argument `callbacks`.
 * @throws TypeError if they are not.
 */
export function checkCallbacks(of: string, callbacks: unknown): void {
  if (callbacks == null) return;
  const list: readonly unknown[] = Array.isArray(callbacks) ? callbacks : [callbacks];
  const classes = isCallback(list[0]);
  const isObject = (u: unknown): boolean => typeof u === "object" && u !== null && !Array.isArray(u);
  Array.from(list, (callback, i) => {
    const path = `callbacks${list === callbacks ? `[${i}]` : ""} of ${of}`;
    demand(path, must("an object, such as { onEpochEnd: (epoch, logs) => … }", isObject), callback);
    const own = isCallback(callback) || typeof Reflect.get(callback as object, "setParams") === "function";
    if (own !== classes && (classes || isCallback(callback))) {
      const expected = `callbacks of ${of} to be all of tfjs's classes or all plain objects`;
      throw new TypeError(`Expected ${expected}, found both: make each plain object a new tf.CustomCallback`);
    }
    if (isPlainRecord(callback)) checkMisspelt(path, callback, callbackNames);
  });
}

/** The callbacks in `fit`'s arguments as instances, and the plain objects among the arguments. */
function standardizeCallbacks(
  callbacks: tf.ModelFitArgs["callbacks"],
  yieldEvery: unknown,
): readonly [given: readonly object[], plain: readonly object[]] {
  const all: readonly object[] = Array.isArray(callbacks) ? callbacks : [callbacks ?? {}];
  if (all[0] instanceof BaseCallback) return [all, []];
  const made = all.map((plain) => new tf.CustomCallback(plain as never, yieldEvery as never));
  return [made, [...new Set(all)]];
}

/**
 * The callbacks of one training: tfjs's logger, the registered ones, the user's, and the history.
 *
 * tfjs makes the logger, whose class it does not export, at the start of `fitLoop`. So this starts the loop without data, and stops it by
 * an exception when the loop hands over its list of callbacks.
 */
export function callbacksOf(
  trainer: Trainer,
  { callbacks, yieldEvery, verbose }: Pick<tf.ModelFitArgs, "callbacks" | "yieldEvery" | "verbose">,
): Callbacks {
  const [given, plain] = standardizeCallbacks(callbacks, yieldEvery);
  const prototype = tf.CallbackList.prototype as { setParams(params: object): void };
  const { setParams } = prototype;
  let list: tf.CallbackList | undefined;
  prototype.setParams = function (this: tf.CallbackList) {
    list = this;
    throw new Error("dogear stops the loop here");
  };
  try {
    trainer.fitLoop(null, [{ shape: [0] }], [], 1, 0, verbose ?? 1, given).catch(() => {});
  } finally {
    prototype.setParams = setParams;
  }
  const all = (list as unknown as { readonly callbacks: readonly object[] } | undefined)?.callbacks ?? [];
  if (list === undefined || all.length < given.length + 2) {
    throw new TypeError("Expected tfjs 4.22, found another version whose training loop differs: install 4.22");
  }
  const own = all.slice(1, -1);
  const stateful = [...own, ...plain];
  return {
    list,
    logger: all[0] as Callbacks["logger"],
    own,
    stateful,
    initialFields: stateful.map((object) => ({ ...object })),
    history: all.at(-1) as unknown as tf.History,
  };
}

/** The fields that hold constructor arguments of tfjs's own callback classes: they are state only if they changed. */
const stoppingFields = ["monitor", "minDelta", "patience", "baseline", "verbose", "mode", "monitorFunc"];
const customFields = [
  ...["nowFunc", "nextFrameFunc", "yieldEvery", "maybeWait", "yield"],
  ...["trainBegin", "trainEnd", "epochBegin", "epochEnd", "batchBegin", "batchEnd"],
];

/** The names of a callback's fields that hold constructor arguments, as far as tfjs's own classes set them. */
export function argumentFieldsOf(callback: object): readonly string[] {
  if (callback instanceof tf.EarlyStopping) return stoppingFields;
  return callback instanceof tf.CustomCallback ? customFields : [];
}

/** Whether a callback may add to the logs at the end of an epoch. Those of tfjs do not, apart from functions of the user's own. */
export function mayAddLogs(callback: object): boolean {
  const { constructor, epochEnd } = callback as { readonly constructor: unknown; readonly epochEnd?: unknown };
  return constructor === tf.CustomCallback ? epochEnd != null : constructor !== tf.EarlyStopping;
}

// --- combinators

/** Disposes tensors, except those that the user passed. */
export function disposeNew(tensors: readonly (tf.Tensor | null)[] | null | undefined, passed: unknown): void {
  const kept = new Set(tf.tensor_util.getTensorsInContainer(passed as tf.TensorContainer).map(({ id }) => id));
  for (const tensor of tensors ?? []) {
    if (tensor !== null && !kept.has(tensor.id) && !tensor.isDisposed) tensor.dispose();
  }
}

/** Disposes the tensors in logs. */
export function disposeLogs(logs: Logs): void {
  for (const value of Object.values(logs)) if (typeof value !== "number") value.dispose();
}

/**
 * Trains a model on one batch by `model.trainOnBatch` inside {@link Rng.withRandom}.
 *
 * @param model A compiled model.
 * @param x The inputs, as in `model.trainOnBatch`.
 * @param y The targets.
 * @returns A function from a generator to a task of the loss (or an array of the loss and the metrics) and the generator after the step.
 *   The task rejects with tfjs's own errors, and with one that names the kernel if WebGPU rejects an operation.
 *
 * Law: *same bits*.
 *
 * @example
 * ```ts
 * import { Rng, trainOnBatch } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const model = tf.sequential({ layers: [tf.layers.dropout({ rate: 0.5, inputShape: [4] }), tf.layers.dense({ units: 1 })] });
 * model.compile({ optimizer: "adam", loss: "meanSquaredError" });
 * const [loss, rng] = await trainOnBatch(model, tf.ones([8, 4]), tf.ones([8, 1]))(Rng.make(42));
 * assert(typeof loss === "number" && loss > 0);
 * assert.notDeepEqual(rng, Rng.make(42)); // the mask was drawn from it
 * ```
 */
export function trainOnBatch(
  model: tf.LayersModel,
  x: Batch,
  y: Batch,
): (rng: Rng.Rng) => AwaitableTask<readonly [number | number[], Rng.Rng]> {
  checkCurried(arguments, 3, "trainOnBatch(model, x, y)(rng)");
  return (rng) =>
    awaitable(async () => {
      trainerOf(model);
      return await onDevice(() => Rng.withRandom(rng)(() => model.trainOnBatch(x as tf.Tensor, y as tf.Tensor)));
    });
}
