/**
 * `model.fit`, resumable: killed anywhere and run again, it ends with the bits of a training that never stopped.
 *
 * The loop over batches is that of tfjs-layers 4.22, `engine/training.ts`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { FitError } from "./errors.ts";
import type { Job, Run } from "./fit_state.ts";
import {
  attempt,
  calling,
  checkArguments,
  checkOptions,
  conduct,
  describe,
  drawing,
  type FitOptions,
} from "./fitting.ts";
import { orDeviceFailed } from "./guard.ts";
import type { OptionNames } from "./option_names.ts";
import {
  type Batch,
  callbacksOf,
  disposeLogs,
  disposeNew,
  type Logs,
  type Trainer,
  trainerOf,
} from "./tfjs/training.ts";

// --- types

/** Tensors as tfjs has standardized them, and what it has made of the user's to do so. */
interface Data {
  readonly inputs: readonly tf.Tensor[];
  readonly targets: readonly tf.Tensor[];
  readonly weights: readonly (tf.Tensor | null)[];
  /** Inputs and targets to validate with, or undefined. */
  readonly validation: readonly tf.Tensor[] | undefined;
  /** What stands in the terms for the data and for the validation data. */
  readonly described: Readonly<Record<"data" | "validation", null | number | readonly string[]>>;
  readonly dispose: () => void;
}

const argumentNames = {
  batchSize: true,
  epochs: true,
  verbose: true,
  callbacks: true,
  validationSplit: true,
  validationData: true,
  shuffle: true,
  classWeight: true,
  sampleWeight: true,
  initialEpoch: true,
  stepsPerEpoch: true,
  validationSteps: true,
  yieldEvery: true,
} satisfies OptionNames<tf.ModelFitArgs>;

// --- constructors

/** Whether tfjs refuses arguments by themselves: then it is to say so. */
function refused({ batchSize, validationData, shuffle }: tf.ModelFitArgs): boolean {
  const length = validationData?.length ?? 0;
  return (batchSize != null && !(batchSize > 0 && Number.isInteger(batchSize))) || (length !== 0 && length !== 2) ||
    shuffle as unknown === "batch";
}

function sliced(tensors: readonly tf.Tensor[], start: number, size: number): readonly tf.Tensor[] {
  return tensors.map((tensor) => tf.slice(tensor, start, size));
}

async function describeAll(tensors: readonly tf.Tensor[]): Promise<readonly string[]> {
  const words: string[] = [];
  for (const tensor of tensors) words.push(await describe(tensor));
  return words;
}

/** The data as tfjs prepares it. */
async function prepare(
  trainer: Trainer,
  x: unknown,
  y: unknown,
  args: tf.ModelFitArgs,
  batchSize: number,
): Promise<Data> {
  const [xs, ys, weights] = await trainer.standardizeUserData(
    x,
    y,
    args.sampleWeight,
    args.classWeight,
    false,
    batchSize,
  );
  const made: (() => void)[] = [() => disposeNew(xs, x), () => disposeNew(ys, y), () => disposeNew(weights, [])];
  const dispose = (): void => made.forEach((run) => run());
  try {
    const data = await describeAll([...xs, ...ys]);
    const [validX, validY] = args.validationData ?? [];
    const split = args.validationSplit ?? 0;
    if (validX !== undefined) {
      const [valXs, valYs] = await trainer.standardizeUserData(validX, validY, null, null, true, batchSize);
      made.push(() => disposeNew(valXs, validX), () => disposeNew(valYs, validY));
      const validation = [...valXs, ...valYs];
      const described = { data, validation: await describeAll(validation) };
      return { inputs: xs, targets: ys, weights: weights ?? [], validation, described, dispose };
    }
    if (split > 0 && split < 1) {
      const samples = (xs[0] as tf.Tensor).shape[0] as number;
      const at = Math.floor(samples * (1 - split));
      const parts = [xs, ys].flatMap((tensors) => [sliced(tensors, 0, at), sliced(tensors, at, samples - at)]);
      made.push(() => tf.dispose(parts as tf.Tensor[][]));
      const [inputs = [], valXs = [], targets = [], valYs = []] = parts;
      const validation = [...valXs, ...valYs];
      return { inputs, targets, weights: weights ?? [], validation, described: { data, validation: split }, dispose };
    }
    const described = { data, validation: null };
    return { inputs: xs, targets: ys, weights: weights ?? [], validation: undefined, described, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

// --- combinators

/** The training of these arguments. */
function jobOf(model: tf.LayersModel, trainer: Trainer, data: Data, args: tf.ModelFitArgs, options: FitOptions): Job {
  const { inputs, targets, weights, validation, described } = data;
  const { batchSize = 32, epochs = 1, shuffle = true, initialEpoch = 0, classWeight = null, verbose = 1 } = defined(
    args,
  );
  const ins = [...inputs, ...targets, ...weights];
  const samples = inputs[0]?.shape[0] ?? 0;
  const batches = Math.ceil(samples / batchSize);
  trainer.checkTrainableWeightsConsistency();
  const step = trainer.makeTrainFunction();
  const labels = trainer.getDedupedMetricsNames();
  // tfjs names metrics of a validation in steps, which it does not do.
  const validates = validation !== undefined || args.validationSteps != null;
  if (validates) trainer.makeTestFunction();
  const callbacks = callbacksOf(trainer, args);
  const { list } = callbacks;

  /** One step, and after the last of an epoch its validation. */
  const stepOn = (run: Run, batch: number, order: tf.Tensor1D, logs: Logs): void => {
    const start = batch * batchSize;
    const size = Math.min(batchSize, samples - start);
    const ids = tf.slice1d(order, start, size).toInt();
    Object.assign(logs, { batch, size });
    const outs = step(ins.map((tensor) => tensor && tf.gather(tensor, ids)));
    labels.forEach((label, i) => logs[label] = tf.keep(outs[i] as tf.Scalar));
    if (batch < batches - 1 || validation === undefined) return;
    const tested = trainer.testLoop(trainer.testFunction, validation, batchSize);
    labels.forEach((label, i) => run.logs[`val_${label}`] = tf.keep(tested[i] as tf.Scalar));
  };

  return {
    model,
    trainer,
    callbacks,
    params: {
      epochs,
      initialEpoch,
      samples,
      steps: null,
      batchSize,
      verbose,
      doValidation: validation !== undefined,
      metrics: validates ? [...labels, ...labels.map((label) => `val_${label}`)] : labels,
    },
    terms: {
      by: "fit",
      ...described,
      batchSize,
      shuffle: Boolean(shuffle),
      initialEpoch,
      classWeight: JSON.stringify(classWeight),
      seed: String(options.seed ?? 0),
      callbacks: callbacks.own.map((callback) => callback.constructor.name),
    },
    first: initialEpoch,
    epochs,
    order: Int32Array.from({ length: samples }, (_, i) => i),
    open: () => Promise.resolve(E.right(undefined)),
    begin: (run) => {
      if (shuffle && run.order !== null) drawing(run, () => tf.util.shuffle(run.order as Int32Array));
    },
    epoch: async (run, after) => {
      // Floating point, as tfjs has it.
      const order = tf.tensor1d(run.order ?? [], "float32");
      try {
        while (run.at.batch < batches && !(run.at.batch > 0 && trainer.stopTraining_)) {
          const { batch } = run.at;
          const done = await attempt(run, async () => {
            const logs: Logs = {};
            await calling(run, "onBatchBegin", () => list.onBatchBegin(batch, logs as never));
            drawing(run, () => tf.tidy(() => stepOn(run, batch, order, logs)));
            await calling(run, "onBatchEnd", () => list.onBatchEnd(batch, logs as never));
            disposeLogs(logs);
          });
          if (E.isLeft(done)) return done;
          run.at = { ...run.at, batch: batch + 1, step: run.at.step + 1 };
          const saved = await after();
          if (E.isLeft(saved)) return saved;
        }
        return E.right(undefined);
      } finally {
        order.dispose();
      }
    },
  };
}

/** Arguments without those that are null or undefined, for which tfjs has its defaults. */
function defined(args: tf.ModelFitArgs): tf.ModelFitArgs {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value != null));
}

/**
 * `model.fit` that can be killed anywhere and run again: the training resumes from the newest checkpoint in the store, in the middle of an
 * epoch too, and ends with the same bits.
 *
 * What is saved: the model with its optimizer, the order of the samples, the position, the history with the running totals of the broken
 * epoch, what callbacks remember, the generator from which the draws of tfjs come, and what `with` names; for the first time before the first
 * batch, so that a model without seeds resumes from its own first weights.
 *
 * Callbacks remember by their own fields: objects of any class, registered ones too, and plain objects with the `this` of their functions. A
 * field that became undefined or was deleted is so again. Functions are not state, nor is how `EarlyStopping` was made, unless it changed. A
 * field that cannot be captured is a `TypeError` at the start, unless it is `#private`. What functions given as callbacks close over is not
 * seen: put it into `with`.
 *
 * Callbacks are called as tfjs calls them. When resumed, `setParams`, `setModel` and `onTrainBegin` are called once more, then the state is
 * restored over what they set, and the calls continue where they broke off: calls before the checkpoint are not repeated. A training that is
 * complete gives its history at once and calls nothing.
 *
 * A store holds several trainings, each by its `name`. A script with more than one, run again after a kill, passes at once through those that
 * are complete, with their models and histories restored, and resumes the one that was interrupted. A second call of one name that begins
 * with another model, optimizer or callbacks is an error.
 *
 * @param options The store, when to save (each epoch by default), the seed, what to save along.
 * @returns For a compiled model and the arguments of its `fit`, a task of the history. Its left is that of `loadState` (`Mismatch` also when
 *   the data, the batch size or other arguments are not those of the checkpoint, and for a second call of one name; `epochs` may grow),
 *   `StepFailed` when a batch or a callback throws, `Stopped` after a signal, or a save's error. What tfjs refuses rejects with tfjs's own error.
 *
 * Law *same bits*.
 *
 * @example
 * ```ts
 * import { fit, memory, runOrThrow } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const build = () => {
 *   const model = tf.sequential({ layers: [tf.layers.dropout({ rate: 0.5, inputShape: [4] }), tf.layers.dense({ units: 1, kernelInitializer: "ones" })] });
 *   model.compile({ optimizer: "adam", loss: "meanSquaredError" });
 *   return model;
 * };
 * const [x, y, store] = [tf.ones([32, 4]), tf.ones([32, 1]), memory()];
 * const crash = { onBatchEnd: (batch: number) => { if (batch === 5) throw new Error("crash"); } };
 * await assert.rejects(runOrThrow(fit({ to: store, every: 1 })(build(), x, y, { epochs: 2, batchSize: 4, callbacks: crash })));
 * const resumed = await runOrThrow(fit({ to: store, every: 1 })(build(), x, y, { epochs: 2, batchSize: 4, callbacks: {} }));
 * const straight = await runOrThrow(fit({ to: memory() })(build(), x, y, { epochs: 2, batchSize: 4, callbacks: {} }));
 * assert.deepEqual(resumed.history, straight.history);
 *
 * // A second training in the same store has a name.
 * const model = build();
 * for (const name of ["transfer", "fine-tuning"]) await runOrThrow(fit({ to: store, name })(model, x, y, { epochs: 1 }));
 * ```
 */
export function fit(
  options: FitOptions,
): (model: tf.LayersModel, x: Batch, y: Batch, args?: tf.ModelFitArgs) => TaskEither<FitError, tf.History> {
  checkOptions(options, "fit");
  return (model, x, y, args = {}) => {
    checkArguments("model.fit", args, argumentNames);
    return orDeviceFailed<FitError, tf.History>(async () => {
      const trainer = trainerOf(model);
      if (refused(args)) {
        await model.fit(x, y, args);
        throw new TypeError("Expected arguments that tfjs 4.22 knows, found others");
      }
      if (trainer.isTraining) throw new Error("Cannot start training because another fit() call is ongoing.");
      trainer.isTraining = true;
      try {
        const data = await prepare(trainer, x, y, args, args.batchSize ?? 32);
        try {
          return await conduct(options, jobOf(model, trainer, data, args, options))();
        } finally {
          data.dispose();
        }
      } finally {
        trainer.isTraining = false;
      }
    });
  };
}
