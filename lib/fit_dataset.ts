/**
 * `model.fitDataset`, resumable: killed anywhere and run again, it ends with the bits of a training that never stopped.
 *
 * The loop over batches is that of tfjs-layers 4.22, `engine/training_dataset.ts`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type FitError, mismatch, type Problem, type SourceFailed } from "./errors.ts";
import type { Job, Position, Run } from "./fit_state.ts";
import {
  attempt,
  calling,
  checkArguments,
  checkOptions,
  checksum,
  conduct,
  describe,
  drawing,
  type FitOptions,
} from "./fitting.ts";
import { orDeviceFailed } from "./guard.ts";
import type { OptionNames } from "./option_names.ts";
import * as Rng from "./rng.ts";
import {
  batchOf,
  drawingFrom,
  hookRandom,
  isDataset,
  type Iterator,
  sampleWeights,
  type TfDataset,
} from "./tfjs/dataset.ts";
import { callbacksOf, disposeLogs, disposeNew, type Logs, type Trainer, trainerOf } from "./tfjs/training.ts";

// --- types

/** What `fitDataset` takes, whatever a dataset's elements are. */
type Args = tf.ModelFitDatasetArgs<tf.TensorContainer>;

/** Data that is read one element after the other, in training and when the way to a position is read again. */
interface Feed {
  /** Begins another pass. */
  readonly open: () => Promise<Either<FitError, void>>;
  readonly next: () => Promise<Either<FitError, Awaited<ReturnType<Iterator["next"]>>>>;
  /** The validation data, of which each element read counts; undefined if it is not a dataset. */
  readonly validation: TfDataset | undefined;
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
} satisfies OptionNames<Args>;

// --- constructors

/** Whether tfjs refuses arguments by themselves: then it is to say so. */
function refused(args: Args | undefined): boolean {
  const whole = (n: number): boolean => n > 0 && Number.isInteger(n);
  const { epochs, batchesPerEpoch, validationData, validationBatches } = args ?? {} as Partial<Args>;
  return epochs == null || !whole(epochs) || (batchesPerEpoch != null && !whole(batchesPerEpoch)) ||
    Object(args)["validationSplit"] != null || (Array.isArray(validationData) && validationData.length === 3) ||
    (isDataset(validationData) && validationBatches != null && !whole(validationBatches));
}

const unrepeatable: Problem = {
  path: "fit/data",
  kind: "data",
  expected: "data that a later process can read again as it was",
  found:
    "a shuffle without a seed: to resume exactly, give the dataset of before, and every shuffle of it a seed that is not 0, such as " +
    'shuffle(1000, "seed"); or ask for { inexact: true }, with which a resumed training continues on other data',
};

/** Data of which every element that is read goes into the run's checksum. */
function feedOf(dataset: TfDataset, args: Args, { seed = 0, inexact = false }: FitOptions, run: () => Run): Feed {
  const drawn = drawingFrom(Rng.fork("data")(Rng.make(seed)));
  const { validationData } = args;
  const data = drawn(dataset, "train");
  const valid = isDataset(validationData) ? drawn(validationData, "validate") : undefined;
  /** A shuffle without a seed is an error before anything is trained on it. */
  const repeatable = <A>(value: A): Either<FitError, A> => {
    if (inexact || !(data.unseeded() || valid?.unseeded() === true)) return E.right(value);
    return E.left(mismatch([unrepeatable]));
  };
  const failed = (cause: unknown): Either<SourceFailed, never> => {
    const { epoch, batch } = run().at;
    return E.left({ _tag: "SourceFailed", cause, epoch, position: batch, unit: "batches" });
  };
  const read = async (iterator: Iterator | undefined): ReturnType<Iterator["next"]> => {
    const element = await (iterator as Iterator).next();
    const tensors = tf.tensor_util.getTensorsInContainer(element.value as tf.TensorContainer);
    run().read = await checksum(tensors, run().read);
    return element;
  };
  let iterator: Iterator | undefined;
  return {
    open: async () => {
      try {
        iterator = await data.iterator();
        return repeatable(undefined);
      } catch (cause) {
        return failed(cause);
      }
    },
    next: async () => {
      try {
        return repeatable(await read(iterator));
      } catch (cause) {
        return failed(cause);
      }
    },
    validation: valid && {
      iterator: async () => {
        const iterator = await valid.iterator();
        return { next: () => read(iterator) };
      },
    },
  };
}

// --- capture and restore

/** Reads the data as it was read up to a position, and disposes of it. */
async function readAgain(
  { open, next, validation }: Feed,
  { epoch, batch }: Position,
  first: number,
  { batchesPerEpoch, validationBatches }: Args,
): Promise<Either<FitError, void>> {
  const perEpoch = batchesPerEpoch ?? undefined;
  for (let e = first; e < epoch || (e === epoch && batch > 0); e++) {
    const opened = perEpoch === undefined ? await open() : E.right(undefined);
    if (E.isLeft(opened)) return opened;
    const wanted = e < epoch ? perEpoch ?? Infinity : batch;
    let [count, done] = [0, false];
    while (count < wanted && !done) {
      const element = await next();
      if (E.isLeft(element)) return element;
      done = element.right.done === true;
      if (element.right.value != null) count++;
      tf.dispose(element.right.value as tf.TensorContainer);
    }
    // Data that ran out is not validated on.
    if (e === epoch || validation === undefined || (perEpoch !== undefined && count < perEpoch)) continue;
    const iterator = await validation.iterator();
    for (let b = 0; validationBatches == null || b < validationBatches; b++) {
      const element = await iterator.next();
      tf.dispose(element.value as tf.TensorContainer);
      if (element.done === true) break;
    }
  }
  return E.right(undefined);
}

// --- combinators

function warnOfEnd(perEpoch: number, batches: number, epochs: number): void {
  tf.backend_util.warn(
    `You provided \`batchesPerEpoch\` as ${perEpoch}, but your dataset iterator ran out of data after ${batches} batches; interrupting ` +
      "training. Make sure that your dataset can generate at least `batchesPerEpoch * epochs` batches (in this case, " +
      `${perEpoch * epochs} batches). You may need to use the repeat() function when building your dataset.`,
  );
}

/** The training of these arguments. */
async function jobOf(
  model: tf.LayersModel,
  trainer: Trainer,
  dataset: TfDataset,
  args: Args,
  options: FitOptions,
): Promise<Job> {
  const { epochs, validationData, classWeight } = args;
  const [perEpoch, first] = [args.batchesPerEpoch ?? undefined, args.initialEpoch ?? 0];
  const step = trainer.makeTrainFunction();
  const labels = trainer.getDedupedMetricsNames();
  const callbacks = callbacksOf(trainer, args);
  const { list } = callbacks;
  const validates = validationData != null;
  const given = validates && !isDataset(validationData)
    ? tf.tensor_util.getTensorsInContainer(validationData as tf.TensorContainer)
    : [];
  const described: string[] = [];
  for (const tensor of given) described.push(await describe(tensor));
  let current: Run | undefined;
  const feed = feedOf(dataset, args, options, () => current as Run);

  /** What the test function draws, too, comes from the run's generator. */
  const testing = async (run: Run): Promise<tf.Scalar | tf.Scalar[]> => {
    if (!isDataset(validationData)) {
      const [xs, ys] = validationData as unknown as readonly [unknown, unknown];
      return drawing(run, () => trainer.evaluate(xs, ys, { batchSize: args.validationBatchSize ?? 32, verbose: 0 }));
    }
    const batches = args.validationBatches == null ? {} : { batches: args.validationBatches };
    const scoped: Trainer = Object.create(trainer, {
      makeTestFunction: {
        value: () => {
          trainer.makeTestFunction();
          const test = trainer.testFunction;
          scoped.testFunction = (ins) => drawing(run, () => test(ins));
        },
      },
    });
    return await scoped.evaluateDataset(feed.validation, batches);
  };

  /** What follows a batch, or the end of the data: whether the epoch is over. */
  const isOver = async (run: Run, done: boolean): Promise<boolean> => {
    if (perEpoch === undefined ? !done : run.at.batch < perEpoch) return trainer.stopTraining_;
    if (validates) {
      const outs = [await testing(run)].flat();
      trainer.metricsNames.forEach((name, i) => run.logs[`val_${name}`] = outs[i] as tf.Scalar);
    }
    return true;
  };

  const trainOn = async (run: Run, element: unknown): Promise<void> => {
    const batch = batchOf(trainer, element);
    const [xs, ys] = batch;
    const index = run.at.batch;
    const logs: Logs = { batch: index, size: xs[0]?.shape[0] ?? 0 };
    await calling(run, "onBatchBegin", () => list.onBatchBegin(index, logs as never));
    const ins = [...xs, ...ys, ...await sampleWeights(trainer, batch, classWeight)];
    const outs = drawing(run, () => step(ins));
    disposeNew(ins, []);
    labels.forEach((label, i) => logs[label] = tf.keep(outs[i] as tf.Scalar));
    await calling(run, "onBatchEnd", () => list.onBatchEnd(index, logs as never));
    disposeLogs(logs);
  };

  return {
    model,
    trainer,
    callbacks,
    params: {
      epochs,
      initialEpoch: null,
      samples: null,
      steps: perEpoch ?? (Number.isFinite(dataset.size) ? dataset.size : null),
      batchSize: null,
      verbose: args.verbose ?? 1,
      doValidation: validates,
      metrics: validates ? [...labels, ...labels.map((label) => `val_${label}`)] : labels,
    },
    terms: {
      by: "fitDataset",
      validation: isDataset(validationData) ? `a dataset, ${args.validationBatches ?? "all"} batches` : described,
      validationBatchSize: args.validationBatchSize ?? null,
      batchesPerEpoch: perEpoch ?? null,
      initialEpoch: first,
      classWeight: JSON.stringify(classWeight ?? null),
      seed: String(options.seed ?? 0),
      callbacks: callbacks.own.map((callback) => callback.constructor.name),
    },
    first,
    epochs,
    order: null,
    open: async (run) => {
      current = run;
      const wanted = run.read;
      run.read = 0;
      const opened = await feed.open();
      if (E.isLeft(opened)) return opened;
      const read = await readAgain(feed, run.at, first, args);
      if (E.isLeft(read) || run.read === wanted || options.inexact === true) return read;
      const hex = (crc: number): string => crc.toString(16).padStart(8, "0");
      return E.left(mismatch([{
        path: "fit/data",
        kind: "data",
        expected: `up to batch ${run.at.step} the data that was trained on, with CRC ${hex(wanted)}`,
        found: `other data, with CRC ${
          hex(run.read)
        }: give the dataset of before, and every shuffle of it a seed that is not 0; or ask for { inexact: true }, to continue on other data`,
      }]));
    },
    begin: () => {},
    epoch: async (run, after): Promise<Either<FitError, void>> => {
      const { batch, stopping } = run.at;
      if (batch === 0 && perEpoch === undefined) {
        const opened = await feed.open();
        if (E.isLeft(opened)) return opened;
      }
      // Resumed behind a batch, what follows it is still to come.
      let over = await attempt(run, () => batch > 0 && isOver(run, false));
      while (E.isRight(over) && !over.right) {
        const element = await feed.next();
        if (E.isLeft(element)) return element;
        const { value, done = false } = element.right;
        if (perEpoch !== undefined && done) {
          warnOfEnd(perEpoch, run.at.batch, epochs);
          break;
        }
        if (value != null) {
          const trained = await attempt(run, () => trainOn(run, value));
          if (E.isLeft(trained)) return trained;
          run.at = { ...run.at, batch: run.at.batch + 1, step: run.at.step + 1, stopping };
          const saved = await after();
          if (E.isLeft(saved)) return saved;
        }
        over = await attempt(run, () => isOver(run, done));
      }
      return E.isLeft(over) ? over : E.right(undefined);
    },
  };
}

/**
 * `model.fitDataset` that can be killed anywhere and run again: the training resumes from the newest checkpoint in the store, in the middle of
 * an epoch too, and ends with the same bits.
 *
 * What is saved, and how callbacks are called, is as for {@link fit}. A `tf.data` dataset cannot seek: when resumed, it is read again from its
 * start to its position, without training on it, and checked; `Loader` with `train` skips in no time. What is read again must be what was
 * trained on. A shuffle needs a seed that is not 0; one without is an error before anything is trained, unless `inexact` is true. What the
 * dataset's own functions draw from `Math.random`, also after they have waited, comes from the seed, in every composition.
 *
 * @param options The store, when to save (each epoch by default), the seed, what to save along.
 * @returns For a compiled model and the arguments of its `fitDataset`, a task of the history. Its left is as for {@link fit}; `Mismatch` also when
 *   the dataset gives other data than was trained on or has a shuffle without a seed, `SourceFailed` when it fails.
 *
 * Law *same bits*.
 *
 * @example
 * ```ts
 * import { fitDataset, memory, runOrThrow } from "@dogear/dogear";
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
 * await assert.rejects(runOrThrow(fitDataset({ to: store, every: 1 })(build(), data(), { epochs: 2, callbacks: crash })));
 * const resumed = await runOrThrow(fitDataset({ to: store, every: 1 })(build(), data(), { epochs: 2 }));
 * const straight = await runOrThrow(fitDataset({ to: memory() })(build(), data(), { epochs: 2 }));
 * assert.deepEqual(resumed.history, straight.history);
 * ```
 */
export function fitDataset(
  options: FitOptions,
): (
  model: tf.LayersModel,
  dataset: TfDataset,
  // deno-lint-ignore no-explicit-any -- the element type is invariant in tfjs's own arguments
  args: tf.ModelFitDatasetArgs<any>,
) => TaskEither<FitError, tf.History> {
  checkOptions(options, "fitDataset");
  return (model, dataset, args) => {
    checkArguments("model.fitDataset", args, argumentNames);
    return orDeviceFailed<FitError, tf.History>(async () => {
      const trainer = trainerOf(model);
      if (trainer.optimizer == null || refused(args)) {
        await model.fitDataset(dataset as tf.data.Dataset<tf.TensorContainer>, args);
        throw new TypeError("Expected arguments that tfjs 4.22 knows, found others");
      }
      if (trainer.isTraining) throw new Error("Cannot start training because another fit() call is ongoing.");
      trainer.isTraining = true;
      const unhook = hookRandom();
      try {
        return await conduct(options, await jobOf(model, trainer, dataset, args, options))();
      } finally {
        unhook();
        trainer.isTraining = false;
      }
    });
  };
}
