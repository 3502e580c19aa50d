/**
 * `model.fit` that can be resumed: killed anywhere and run again, it ends with the same bits as an uninterrupted training.
 *
 * The loop over batches follows tfjs-layers 4.22, `engine/training.ts`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { FitError } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import type { Codec, Codecs, NoCodecs } from "../codecs.ts";
import { checkFitOptions, checkPlace, type FitOptions, type GivenWith } from "./options.ts";
import {
  commonTerms,
  metricNames,
  type PreparedTraining,
  type Setup,
  setUp,
  type Terms,
  type TrainingState,
} from "./training_state.ts";
import { runTraining, trainModel } from "./training_run.ts";
import { checkCurried, checkMisspelt, type OptionNames } from "../validation/mod.ts";
import { fingerprints } from "./tensor_checksum.ts";
import {
  type Batch,
  checkCallbacks,
  checkFitData,
  disposeLogs,
  disposeNew,
  type Logs,
  type Trainer,
} from "../tfjs/mod.ts";
import { keepBatchLogs } from "./tracked_logs.ts";
import { calling, drawing, tryStep } from "./user_calls.ts";

// --- types

/** The user's data as tfjs has standardized it. */
interface StandardizedData {
  readonly inputs: readonly tf.Tensor[];
  readonly targets: readonly tf.Tensor[];
  readonly weights: readonly (tf.Tensor | null)[];
  /** Inputs and targets to validate with. */
  readonly validation: readonly tf.Tensor[] | undefined;
  /** The data and the validation data as text, by which a resumed training recognises them. */
  readonly terms: Terms;
  /** Disposes of the tensors that were made from the user's. */
  readonly dispose: () => void;
}

/** What each batch of a training reads. */
interface FitContext {
  readonly setup: Setup;
  readonly data: StandardizedData;
  readonly batchSize: number;
  /** How many samples and batches an epoch has. */
  readonly samples: number;
  readonly batches: number;
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

/** Whether `model.fit` rejects the arguments. It is then called, so that the user sees its own error. */
function isRejectedByFit({ batchSize, validationData, shuffle }: tf.ModelFitArgs): boolean {
  const length = validationData?.length ?? 0;
  return (batchSize != null && !(batchSize > 0 && Number.isInteger(batchSize))) || (length !== 0 && length !== 2) ||
    shuffle as unknown === "batch";
}

/** Arguments without those that are null or undefined, for which tfjs has defaults. */
function givenArguments(args: tf.ModelFitArgs): tf.ModelFitArgs {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value != null));
}

function sliced(tensors: readonly tf.Tensor[], start: number, size: number): readonly tf.Tensor[] {
  return tensors.map((tensor) => tf.slice(tensor, start, size));
}

/** Standardizes the data with tfjs, and splits off the validation data. */
async function standardize(
  trainer: Trainer,
  x: unknown,
  y: unknown,
  args: tf.ModelFitArgs,
  batchSize: number,
): Promise<StandardizedData> {
  const { sampleWeight, classWeight, validationData: [validX, validY] = [], validationSplit: split = 0 } = args;
  const [xs, ys, sampleWeights] = await trainer.standardizeUserData(x, y, sampleWeight, classWeight, false, batchSize);
  const weights = sampleWeights ?? [];
  const made: (() => void)[] = [() => disposeNew(xs, x), () => disposeNew(ys, y), () => disposeNew(weights, [])];
  const dispose = (): void => made.forEach((run) => run());
  try {
    const data = await fingerprints([...xs, ...ys]);
    const all = { inputs: xs, targets: ys, weights, dispose };
    if (validX !== undefined) {
      const [valXs, valYs] = await trainer.standardizeUserData(validX, validY, null, null, true, batchSize);
      made.push(() => disposeNew(valXs, validX), () => disposeNew(valYs, validY));
      const validation = [...valXs, ...valYs];
      return { ...all, validation, terms: { data, validation: await fingerprints(validation) } };
    }
    if (!(split > 0 && split < 1)) return { ...all, validation: undefined, terms: { data, validation: null } };
    const samples = (xs[0] as tf.Tensor).shape[0] as number;
    const at = Math.floor(samples * (1 - split));
    const parts = [xs, ys].flatMap((tensors) => [sliced(tensors, 0, at), sliced(tensors, at, samples - at)]);
    made.push(() => tf.dispose(parts as tf.Tensor[][]));
    const [inputs = [], valXs = [], targets = [], valYs = []] = parts;
    return { ...all, inputs, targets, validation: [...valXs, ...valYs], terms: { data, validation: split } };
  } catch (error) {
    dispose();
    throw error;
  }
}

// --- combinators

/** One step on a batch. After the last one of an epoch, the validation. */
function stepAndValidate(
  { setup: { trainer, step, labels }, data, batchSize, samples, batches }: FitContext,
  state: TrainingState,
  order: tf.Tensor1D,
  logs: Logs,
): void {
  const { batch } = state.at;
  const { inputs, targets, weights, validation } = data;
  const start = batch * batchSize;
  const size = Math.min(batchSize, samples - start);
  const ids = tf.slice1d(order, start, size).toInt();
  Object.assign(logs, { batch, size });
  const outs = step([...inputs, ...targets, ...weights].map((tensor) => tensor && tf.gather(tensor, ids)));
  labels.forEach((label, i) => logs[label] = tf.keep(outs[i] as tf.Scalar));
  if (batch < batches - 1 || validation === undefined) return;
  const tested = trainer.testLoop(trainer.testFunction, validation, batchSize);
  labels.forEach((label, i) => state.logs[`val_${label}`] = tf.keep(tested[i] as tf.Scalar));
}

/** The remaining batches of an epoch. */
function trainFitBatches(
  context: FitContext,
  state: TrainingState,
  afterBatch: TE.TaskEither<FitError, void>,
): TE.TaskEither<FitError, void> {
  const { trainer, callbacks: { list } } = context.setup;
  const trainBatch = (batch: number, order: tf.Tensor1D): TE.TaskEither<FitError, void> =>
    tryStep(state, async () => {
      const logs: Logs = {};
      await calling(state, "onBatchBegin", () => list.onBatchBegin(batch, logs as never));
      drawing(state, () => tf.tidy(() => stepAndValidate(context, state, order, logs)));
      await calling(state, "onBatchEnd", () => list.onBatchEnd(batch, logs as never));
      await keepBatchLogs(state, logs);
      disposeLogs(logs);
    });
  return async () => {
    // tfjs keeps the indices in float32, too.
    const order = tf.tensor1d(state.order ?? [], "float32");
    try {
      while (state.at.batch < context.batches && !(state.at.batch > 0 && trainer.stopTraining_)) {
        const done = await pipe(trainBatch(state.at.batch, order), TE.flatMap(() => afterBatch))();
        if (E.isLeft(done)) return done;
      }
      return E.right(undefined);
    } finally {
      order.dispose();
    }
  };
}

/** The training of these arguments. */
function prepareFit(
  model: tf.LayersModel,
  trainer: Trainer,
  data: StandardizedData,
  args: tf.ModelFitArgs,
  options: FitOptions,
): PreparedTraining {
  const { batchSize = 32, epochs = 1, shuffle = true, verbose = 1 } = args;
  trainer.checkTrainableWeightsConsistency();
  const setup = setUp(model, trainer, { ...args, epochs });
  const samples = data.inputs[0]?.shape[0] ?? 0;
  const context: FitContext = { setup, data, batchSize, samples, batches: Math.ceil(samples / batchSize) };
  // tfjs also names validation metrics for `validationSteps`, although it does not validate in steps.
  const namesValidation = data.validation !== undefined || args.validationSteps !== undefined;
  if (namesValidation) trainer.makeTestFunction();
  return {
    ...setup,
    params: {
      epochs,
      initialEpoch: setup.first,
      samples,
      steps: null,
      batchSize,
      verbose,
      doValidation: data.validation !== undefined,
      metrics: metricNames(setup, namesValidation),
    },
    terms: { by: "fit", ...data.terms, batchSize, shuffle: Boolean(shuffle), ...commonTerms(setup, args, options) },
    order: Int32Array.from({ length: samples }, (_, i) => i),
    perEpoch: context.batches,
    open: () => TE.right(undefined),
    beginEpoch: (state) => {
      if (shuffle && state.order !== null) drawing(state, () => tf.util.shuffle(state.order as Int32Array));
    },
    trainBatches: (state, afterBatch) => trainFitBatches(context, state, afterBatch),
  };
}

/**
 * `model.fit` that can be killed anywhere and run again: it resumes from the newest checkpoint in the store, also within an epoch, and ends with
 * the same bits.
 *
 * A checkpoint contains the model with its optimizer, the order of the samples, the position, the history with the running totals of the
 * current epoch, the fields of the callbacks, the random generator, and your components in `with`. The first one is saved before the first
 * batch, so that a model without seeds resumes from its own initial weights.
 *
 * The state of a callback is its own fields, whether it is an instance of a class, a registered one, or a plain object whose functions use
 * `this`. Fields that became undefined or were deleted are restored as such. Functions are not state, and neither are the arguments of
 * `EarlyStopping`, unless the training changed them. A field that cannot be captured is a `TypeError` at the start; `#private` fields are not
 * captured. Variables outside of a callback are not captured either: put them into an
 * object, and pass it as `with`.
 *
 * Callbacks are called as in tfjs, once for each batch and epoch. A resumed training calls `setParams`, `setModel` and `onTrainBegin` once more, restores the state,
 * and continues with the next call: calls before the checkpoint are not repeated. A complete training returns its history at once and calls
 * nothing.
 *
 * With `restoreBest`, the model ends with the weights of its best epoch ({@link FitOptions}).
 *
 * A store can hold several trainings, each with its own `name`. Run again after a kill, a script restores the models and histories of its
 * complete trainings at once and resumes the interrupted one. A second call of the same name with another model, optimizer or callbacks is an
 * error. So is a training that followed another one on the same model, if that one has been trained further since.
 *
 * @param options The store, when to save (default: at the end of each epoch), the seed, your own components.
 * @returns For a compiled model and the arguments of its `fit`, a task of the history. Its left is an error of `loadState`; `Mismatch` also if
 *   the data, the batch size or other arguments differ from the checkpoint's (only `epochs` may grow), or for a second call of the same name;
 *   `StepFailed` if a batch or a callback throws; `Stopped` after a signal; or an error of a save. It rejects with tfjs's own error if tfjs
 *   rejects the arguments. A metric of `restoreBest` that the model does not have is a `TypeError` before the first batch, or, if a callback's
 *   `onEpochEnd` may log it, `StepFailed` after the first epoch.
 *
 * Law *same bits*.
 *
 * @example
 * ```ts
 * import { fit, memory } from "@dogear/dogear";
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
 * await assert.rejects(async () => await fit({ to: store, every: 1 })(build(), x, y, { epochs: 2, batchSize: 4, callbacks: crash }));
 * const resumed = await fit({ to: store, every: 1 })(build(), x, y, { epochs: 2, batchSize: 4, callbacks: {} });
 * const straight = await fit({ to: memory() })(build(), x, y, { epochs: 2, batchSize: 4, callbacks: {} });
 * assert.deepEqual(resumed.history, straight.history);
 *
 * // A second training in the same store has a name.
 * const model = build();
 * for (const name of ["transfer", "fine-tuning"]) await fit({ to: store, name })(model, x, y, { epochs: 1 });
 * ```
 */
export function fit<W extends GivenWith<W, K, T> = object, K extends Codecs = NoCodecs, T extends Codec = never>(
  options: FitOptions<W, K, T>,
): (model: tf.LayersModel, x: Batch, y: Batch, args?: tf.ModelFitArgs) => Awaitable<FitError, tf.History> {
  checkCurried(arguments, 1, "fit(options)(model, x, y, args)");
  const own = options as FitOptions;
  checkFitOptions(own, "fit");
  return (model, x, y, args = {}) => {
    // tfjs would ignore a misspelt argument and train with its default.
    checkPlace("fit", args);
    checkMisspelt("model.fit", args, argumentNames);
    checkCallbacks("model.fit", args.callbacks);
    checkFitData(x, y, args);
    const given = givenArguments(args);
    return awaitable(trainModel(model, () => isRejectedByFit(args), () => model.fit(x, y, args), async (trainer) => {
      const data = await standardize(trainer, x, y, given, given.batchSize ?? 32);
      try {
        return await runTraining(own, prepareFit(model, trainer, data, given, own))();
      } finally {
        data.dispose();
      }
    }));
  };
}
