/**
 * `model.fitDataset` that can be resumed: killed anywhere and run again, it ends with the same bits as an uninterrupted training.
 *
 * The loop over batches follows tfjs-layers 4.22, `engine/training_dataset.ts`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type DatasetArguments, type DatasetFeed, datasetFeed, openFeed } from "./dataset_feed.ts";
import { type FitError, tagOf } from "../errors/mod.ts";
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
import { hookRandom, Rng } from "../values/mod.ts";
import { checkCurried, checkMisspelt, demand, must, type OptionNames } from "../validation/mod.ts";
import { fingerprints } from "./tensor_checksum.ts";
import {
  batchOf,
  checkCallbacks,
  checkNumbers,
  disposeLogs,
  disposeNew,
  isDataset,
  type Logs,
  sampleWeights,
  type TfDataset,
  type Trainer,
} from "../tfjs/mod.ts";
import { keepBatchLogs } from "./tracked_logs.ts";
import { calling, drawing, tryStep } from "./user_calls.ts";

// --- types

/** What each batch of a training reads. */
interface FitDatasetContext {
  readonly setup: Setup;
  readonly feed: DatasetFeed;
  readonly args: DatasetArguments;
}

const argumentNames = {
  batchesPerEpoch: true,
  epochs: true,
  verbose: true,
  callbacks: true,
  validationData: true,
  validationBatchSize: true,
  validationBatches: true,
  yieldEvery: true,
  initialEpoch: true,
  classWeight: true,
} satisfies OptionNames<DatasetArguments>;

// --- constructors

const datasetRule = must("a dataset of tf.data, such as tf.data.array(samples).batch(32)", isDataset);
const notLoader = must("a dataset of tf.data, because train({ loader, step }) takes a loader", isDataset);

/** Whether `model.fitDataset` rejects the arguments. It is then called, so that the user sees its own error. */
function isRejectedByFitDataset(args: DatasetArguments | undefined): boolean {
  const whole = (n: number): boolean => n > 0 && Number.isInteger(n);
  const { epochs, batchesPerEpoch, validationData, validationBatches } = args ?? {} as Partial<DatasetArguments>;
  return epochs == null || !whole(epochs) || (batchesPerEpoch != null && !whole(batchesPerEpoch)) ||
    Object(args)["validationSplit"] != null || (Array.isArray(validationData) && validationData.length === 3) ||
    (isDataset(validationData) && validationBatches != null && !whole(validationBatches));
}

/** The validation data as text, by which a resumed training recognises it. */
async function validationTerm({ validationData, validationBatches }: DatasetArguments): Promise<Terms[string]> {
  if (isDataset(validationData)) return `a dataset, ${validationBatches ?? "all"} batches`;
  return validationData == null
    ? []
    : await fingerprints(tf.tensor_util.getTensorsInContainer(validationData as tf.TensorContainer));
}

// --- combinators

/** Evaluates the model on the validation data. What the test function draws comes from the training's generator. */
async function evaluate(
  { setup: { trainer }, feed, args }: FitDatasetContext,
  state: TrainingState,
): Promise<readonly tf.Scalar[]> {
  const { validationData, validationBatchSize = 32, validationBatches } = args;
  if (feed.validation === undefined) {
    const [xs, ys] = validationData as unknown as readonly [unknown, unknown];
    const batchSize = validationBatchSize ?? 32;
    return [drawing(state, () => trainer.evaluate(xs, ys, { batchSize, verbose: 0 }))].flat();
  }
  const batches = validationBatches == null ? {} : { batches: validationBatches };
  const validation = feed.validation(state);
  const [values, rng] = await Rng.withRandom(state.rng)(() => trainer.evaluateDataset(validation, batches));
  state.rng = rng;
  return [values].flat();
}

/** What follows a batch or the end of the data: whether the epoch is over, and its validation if it is. */
async function isEpochOver(context: FitDatasetContext, state: TrainingState, isAtEnd: boolean): Promise<boolean> {
  const { setup: { trainer }, args: { batchesPerEpoch, validationData } } = context;
  const isOver = batchesPerEpoch == null ? isAtEnd : state.at.batch >= batchesPerEpoch;
  if (!isOver) return trainer.stopTraining_;
  if (validationData != null) {
    const outs = await evaluate(context, state);
    trainer.metricsNames.forEach((name, i) => state.logs[`val_${name}`] = outs[i] as tf.Scalar);
  }
  return true;
}

/** One step on an element of the dataset, with its callbacks. */
async function trainOnElement(
  { setup, args }: FitDatasetContext,
  state: TrainingState,
  element: unknown,
): Promise<void> {
  const { trainer, callbacks: { list }, step, labels } = setup;
  const batch = batchOf(trainer, element);
  const [xs, ys] = batch;
  const index = state.at.batch;
  const logs: Logs = { batch: index, size: xs[0]?.shape[0] ?? 0 };
  await calling(state, "onBatchBegin", () => list.onBatchBegin(index, logs as never));
  const ins = [...xs, ...ys, ...await sampleWeights(trainer, batch, args.classWeight)];
  const outs = drawing(state, () => step(ins));
  disposeNew(ins, []);
  labels.forEach((label, i) => logs[label] = tf.keep(outs[i] as tf.Scalar));
  await calling(state, "onBatchEnd", () => list.onBatchEnd(index, logs as never));
  await keepBatchLogs(state, logs);
  disposeLogs(logs);
}

/** Warns, with tfjs's words, that a dataset has ended before `batchesPerEpoch`. */
function warnOfEnd(perEpoch: number, batches: number, epochs: number): void {
  tf.backend_util.warn(
    `You provided \`batchesPerEpoch\` as ${perEpoch}, but your dataset iterator ran out of data after ${batches} batches; interrupting ` +
      "training. Make sure that your dataset can generate at least `batchesPerEpoch * epochs` batches (in this case, " +
      `${perEpoch * epochs} batches). You may need to use the repeat() function when building your dataset.`,
  );
}

/** The remaining batches of an epoch. */
function trainDatasetBatches(
  context: FitDatasetContext,
  state: TrainingState,
  afterBatch: TE.TaskEither<FitError, void>,
): TE.TaskEither<FitError, void> {
  const { feed, args: { batchesPerEpoch, epochs } } = context;
  const isOver = (isAtEnd: boolean): TE.TaskEither<FitError, boolean> =>
    tryStep(state, () => isEpochOver(context, state, isAtEnd));
  return async () => {
    const { batch } = state.at;
    if (batch === 0 && batchesPerEpoch == null) {
      const opened = await feed.open(state);
      if (E.isLeft(opened)) return opened;
    }
    // A training that was saved after a batch has not done yet what follows it.
    let over = batch > 0 ? await isOver(false)() : E.right(false);
    while (E.isRight(over) && !over.right) {
      const element = await feed.next(state);
      if (E.isLeft(element)) return element;
      const { value, done = false } = element.right;
      if (batchesPerEpoch != null && done) {
        warnOfEnd(batchesPerEpoch, state.at.batch, epochs);
        break;
      }
      const trained: TE.TaskEither<FitError, void> = value == null
        ? TE.right(undefined)
        : pipe(tryStep(state, () => trainOnElement(context, state, value)), TE.flatMap(() => afterBatch));
      over = await pipe(trained, TE.flatMap(() => isOver(done)))();
    }
    return pipe(over, E.map(() => undefined));
  };
}

/** The training of these arguments. */
async function prepareFitDataset(
  model: tf.LayersModel,
  trainer: Trainer,
  dataset: TfDataset,
  args: DatasetArguments,
  options: FitOptions,
): Promise<PreparedTraining> {
  const setup = setUp(model, trainer, args);
  const context: FitDatasetContext = { setup, feed: datasetFeed(dataset, args, options), args };
  const validates = args.validationData != null;
  const perEpoch = args.batchesPerEpoch ?? (Number.isFinite(dataset.size) ? dataset.size as number : null);
  return {
    ...setup,
    params: {
      epochs: args.epochs,
      initialEpoch: null,
      samples: null,
      steps: perEpoch,
      batchSize: null,
      verbose: args.verbose ?? 1,
      doValidation: validates,
      metrics: metricNames(setup, validates),
    },
    terms: {
      by: "fitDataset",
      validation: await validationTerm(args),
      validationBatchSize: args.validationBatchSize ?? null,
      batchesPerEpoch: args.batchesPerEpoch ?? null,
      ...commonTerms(setup, args, options),
    },
    order: null,
    perEpoch,
    open: (state) => () => openFeed(context.feed, state, setup.first, args, options),
    beginEpoch: () => {},
    trainBatches: (state, afterBatch) => trainDatasetBatches(context, state, afterBatch),
  };
}

/**
 * `model.fitDataset` that can be killed anywhere and run again: it resumes from the newest checkpoint in the store, also within an epoch, and
 * ends with the same bits.
 *
 * Checkpoints and callbacks are as for {@link fit}. A `tf.data` dataset cannot seek: on resume it is replayed from the start, without training,
 * and checked against the data that was trained on. (`train` with a `Loader` seeks at once.) Every shuffle needs a seed other than 0; one
 * without a seed is an error before anything is trained, unless `inexact` is true. What the dataset's functions draw from `Math.random`, also
 * after an `await`, comes from the seed.
 *
 * @param options The store, when to save (default: at the end of each epoch), the seed, your own components.
 * @returns For a compiled model and the arguments of its `fitDataset`, a task of the history. Its left is as for {@link fit}; `Mismatch` also if
 *   the dataset gives other data than was trained on or has a shuffle without a seed; `SourceFailed` if the dataset throws.
 *
 * Law *same bits*.
 *
 * @example
 * ```ts
 * import { fitDataset, memory } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const build = () => {
 *   const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1], kernelInitializer: "ones" })] });
 *   model.compile({ optimizer: "adam", loss: "meanSquaredError" });
 *   return model;
 * };
 * const data = () => tf.data.array([1, 2, 3, 4, 5, 6]).shuffle(6, "seed").map((n) => ({ xs: [n], ys: [2 * n] })).batch(2);
 * const store = memory();
 * const crash = { onBatchEnd: () => { throw new Error("crash"); } };
 * await assert.rejects(async () => await fitDataset({ to: store, every: 1 })(build(), data(), { epochs: 2, callbacks: crash }));
 * const resumed = await fitDataset({ to: store, every: 1 })(build(), data(), { epochs: 2 });
 * const straight = await fitDataset({ to: memory() })(build(), data(), { epochs: 2 });
 * assert.deepEqual(resumed.history, straight.history);
 * ```
 */
export function fitDataset<
  W extends GivenWith<W, K, T> = object,
  K extends Codecs = NoCodecs,
  T extends Codec = never,
>(options: FitOptions<W, K, T>): (
  model: tf.LayersModel,
  dataset: TfDataset,
  // deno-lint-ignore no-explicit-any -- the element type is invariant in tfjs's own arguments
  args: tf.ModelFitDatasetArgs<any>,
) => Awaitable<FitError, tf.History> {
  checkCurried(arguments, 1, "fitDataset(options)(model, dataset, args)");
  const own = options as FitOptions;
  checkFitOptions(own, "fitDataset");
  return (model, dataset, args) => {
    // tfjs would ignore a misspelt argument and train with its default.
    checkPlace("fitDataset", args);
    checkMisspelt("model.fitDataset", args, argumentNames);
    checkCallbacks("model.fitDataset", args.callbacks);
    demand("the dataset of model.fitDataset", tagOf(dataset) === "Loader" ? notLoader : datasetRule, dataset);
    checkNumbers("model.fitDataset", args, ["initialEpoch"]);
    const isRejected = (trainer: Trainer): boolean => trainer.optimizer == null || isRejectedByFitDataset(args);
    const callTfjs = (): Promise<unknown> => model.fitDataset(dataset as tf.data.Dataset<never>, args);
    return awaitable(trainModel(model, isRejected, callTfjs, async (trainer) => {
      const unhook = hookRandom();
      try {
        return await runTraining(own, await prepareFitDataset(model, trainer, dataset, args, own))();
      } finally {
        unhook();
      }
    }));
  };
}
