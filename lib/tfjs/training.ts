/**
 * What tfjs trains with, as its declarations keep it private: one step on a batch, its logger, its callbacks and what they remember.
 *
 * Laws: *no trace*: nothing of tfjs stays changed; *same bits*: where tfjs draws from `Math.random` in a step, a generator that is a value is
 * drawn from, so that nothing that other code draws in between can disturb it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Task } from "fp-ts/lib/Task.js";
import { checkMisspelt, type OptionNames } from "../option_names.ts";
import * as Rng from "../rng.ts";
import { demand, isPlainRecord, must, shown } from "../rules.ts";
import { onDevice } from "./device.ts";

// --- types

/** Data for a model: a tensor, one for each input or output, or a record of them by name. */
export type Batch = tf.Tensor | tf.Tensor[] | { [name: string]: tf.Tensor };

/** What callbacks are told: numbers, or scalars that are not read yet. */
export type Logs = Record<string, number | tf.Scalar>;

/** What all callbacks share; tfjs exports the classes below it. See tfjs-layers 4.22, `base_callbacks.ts`. */
export interface Callback {
  setParams(params: object): void;
  setModel(model: unknown): void;
}

/** A model as its training loops see it; a sequential one delegates to an inner one. See tfjs-layers 4.22, `engine/training.ts`. */
export interface Trainer {
  readonly inputs: readonly tf.SymbolicTensor[];
  readonly outputs: readonly tf.SymbolicTensor[];
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
  standardizeUserData(
    x: unknown,
    y: unknown,
    sampleWeight?: unknown,
    classWeight?: unknown,
    checkBatchAxis?: boolean,
    batchSize?: number,
  ): Promise<[tf.Tensor[], tf.Tensor[], (tf.Tensor | null)[] | null]>;
  evaluate(x: unknown, y: unknown, args: { batchSize: number; verbose: 0 }): tf.Scalar | tf.Scalar[];
  evaluateDataset(dataset: unknown, args: { batches?: number }): Promise<tf.Scalar | tf.Scalar[]>;
  fitLoop(...args: readonly unknown[]): Promise<unknown>;
}

/** The running totals of an epoch, which tfjs divides at its end by how many samples were seen. */
export interface Logger {
  seen?: number;
  totals?: Logs;
}

/** All the callbacks of one training, in the order in which they are called. */
export interface Callbacks {
  readonly list: tf.CallbackList;
  readonly logger: Logger;
  /** Those that the user gave or registered. */
  readonly own: readonly Callback[];
  /** All that may remember something: `own`, then the plain objects that callbacks were given as. */
  readonly remembering: readonly object[];
  /** The fields of each of these before the training. */
  readonly made: readonly Readonly<Record<string, unknown>>[];
  readonly history: tf.History;
}

// --- constructors

/** The model that trains; tfjs's own error if a sequential one has no layers yet. */
export function trainerOf(model: tf.LayersModel): Trainer {
  if (typeof Object(model).compile !== "function") {
    throw new TypeError(`Expected a model of tfjs, found ${shown(model)}`);
  }
  const { built, model: inner } = model as unknown as { readonly built: boolean; readonly model?: Trainer };
  if (!built) throw new Error("The model needs to be compiled before being used.");
  return inner ?? model as unknown as Trainer;
}

const BaseCallback = Object.getPrototypeOf(tf.History) as abstract new () => Callback;

/** Whether a value is a callback of a class, not the plain object that tfjs makes one from. */
export function isCallback(value: unknown): value is Callback {
  return value instanceof BaseCallback;
}

/** The functions of a callback that is given as a plain object, and what else tfjs reads in one. */
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
 * Sees that callbacks are objects of tfjs's classes, or objects of functions with none of their names misspelt.
 *
 * @param of The function of tfjs, in messages.
 * @param callbacks What it was given.
 */
export function checkCallbacks(of: string, callbacks: unknown): void {
  if (callbacks == null) return;
  const list: readonly unknown[] = Array.isArray(callbacks) ? callbacks : [callbacks];
  const classes = isCallback(list[0]);
  Array.from(list, (callback, i) => {
    const path = `callbacks${list === callbacks ? `[${i}]` : ""} of ${of}`;
    demand(path, must("an object, such as { onEpochEnd: (epoch, logs) => … }", isObject), callback);
    const own = isCallback(callback) || typeof Reflect.get(callback as object, "setParams") === "function";
    if (own !== classes && (classes || isCallback(callback))) {
      throw new TypeError(
        `Expected callbacks of ${of} to be all of tfjs's classes or all plain objects, found both: ` +
          "make each plain object a new tf.CustomCallback",
      );
    }
    if (isPlainRecord(callback)) checkMisspelt(path, callback, callbackNames);
  });
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The callbacks of `fit`'s arguments, each as an object, and the plain objects that some were given as. */
function standardized(
  callbacks: tf.ModelFitArgs["callbacks"],
  yieldEvery: unknown,
): readonly [given: readonly Callback[], plain: readonly object[]] {
  if (callbacks instanceof BaseCallback) return [[callbacks], []];
  const all: readonly unknown[] = Array.isArray(callbacks) ? callbacks : [callbacks ?? {}];
  if (all[0] instanceof BaseCallback) return [all as readonly Callback[], []];
  const made = all.map((plain) => new tf.CustomCallback(plain as never, yieldEvery as never) as unknown as Callback);
  return [made, [...new Set(all as readonly object[])]];
}

/**
 * The callbacks of one training: tfjs's logger, those that are registered for all, the user's, the history.
 *
 * tfjs makes the logger itself, which it does not export, at the start of its loop. That loop is begun here with nothing to do, and ends
 * where its list of callbacks comes by.
 */
export function callbacksOf(
  trainer: Trainer,
  { callbacks, yieldEvery, verbose }: Pick<tf.ModelFitArgs, "callbacks" | "yieldEvery" | "verbose">,
): Callbacks {
  const [given, plain] = standardized(callbacks, yieldEvery);
  const prototype = tf.CallbackList.prototype as { setParams(params: object): void };
  const { setParams } = prototype;
  let list: tf.CallbackList | undefined;
  prototype.setParams = function (this: tf.CallbackList) {
    list = this;
    throw new Error("this far and no further");
  };
  try {
    trainer.fitLoop(null, [{ shape: [0] }], [], 1, 0, verbose ?? 1, given).catch(() => {});
  } finally {
    prototype.setParams = setParams;
  }
  const all = (list as unknown as { readonly callbacks: readonly Callback[] } | undefined)?.callbacks ?? [];
  if (list === undefined || all.length < given.length + 2) throw new TypeError("Expected tfjs 4.22, found another one");
  const own = all.slice(1, -1);
  const remembering = [...own, ...plain];
  const made = remembering.map((object) => ({ ...object }));
  return { list, logger: all[0] as Logger, own, remembering, made, history: all.at(-1) as unknown as tf.History };
}

/** The fields that say how an object of tfjs's own classes was made; they are state only once they have changed. */
const configurations: readonly (readonly [abstract new (...args: never[]) => unknown, readonly string[]])[] = [
  [tf.EarlyStopping, ["monitor", "minDelta", "patience", "baseline", "verbose", "mode", "monitorFunc"]],
  [
    tf.CustomCallback,
    ["nowFunc", "nextFrameFunc", "yieldEvery", "maybeWait", "yield"].concat(
      ["trainBegin", "trainEnd", "epochBegin", "epochEnd", "batchBegin", "batchEnd"],
    ),
  ],
];

/** The names of the fields that a callback was made with by a class of tfjs's own. */
export function configurationOf(callback: object): readonly string[] {
  return configurations.find(([Class]) => callback instanceof Class)?.[1] ?? [];
}

// --- combinators

/** Disposes of the tensors that tfjs or we made of the user's. */
export function disposeNew(tensors: readonly (tf.Tensor | null)[] | null | undefined, of: unknown): void {
  const theirs = new Set(tf.tensor_util.getTensorsInContainer(of as tf.TensorContainer).map(({ id }) => id));
  for (const tensor of tensors ?? []) {
    if (tensor !== null && !theirs.has(tensor.id) && !tensor.isDisposed) tensor.dispose();
  }
}

/** Disposes of what is still a tensor in logs. */
export function disposeLogs(logs: Logs): void {
  for (const value of Object.values(logs)) if (typeof value !== "number") value.dispose();
}

/**
 * Trains a model on one batch, as `model.trainOnBatch` does with the same bits, but draws what is random from a generator.
 *
 * tfjs draws after it has waited for something, so that {@link Rng.withRandom} cannot hold it.
 *
 * @param model A compiled model.
 * @param x The inputs, as `trainOnBatch` takes them.
 * @param y The targets.
 * @returns For a generator, a task of the loss, or of loss and metrics in an array, and the generator after the step. It rejects with tfjs's
 *   own error where tfjs does, and with one that names the kernel where WebGPU refuses an operation.
 *
 * Law *same bits*.
 *
 * @example
 * ```ts
 * import { Rng, trainOnBatch } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const model = tf.sequential({ layers: [tf.layers.dropout({ rate: 0.5, inputShape: [4] }), tf.layers.dense({ units: 1 })] });
 * model.compile({ optimizer: "adam", loss: "meanSquaredError" });
 * const [loss, rng] = await trainOnBatch(model, tf.ones([8, 4]), tf.ones([8, 1]))(Rng.make(42))();
 * assert(typeof loss === "number" && loss > 0);
 * assert.notDeepEqual(rng, Rng.make(42)); // the mask was drawn from it
 * ```
 */
export function trainOnBatch(
  model: tf.LayersModel,
  x: Batch,
  y: Batch,
): (rng: Rng.Rng) => Task<readonly [number | number[], Rng.Rng]> {
  return (rng) => async () => {
    const trainer = trainerOf(model);
    const [inputs, targets] = await trainer.standardizeUserData(x, y);
    const train = trainer.makeTrainFunction();
    try {
      const [losses, next] = await onDevice(() => Rng.withRandom(rng)(() => train([...inputs, ...targets])));
      const values = await Promise.all(losses.map((loss) => loss.data()));
      tf.dispose(losses);
      const numbers = values.map((value) => value[0] as number);
      return [numbers.length === 1 ? numbers[0] as number : numbers, next];
    } finally {
      disposeNew(inputs, x);
      disposeNew(targets, y);
    }
  };
}
