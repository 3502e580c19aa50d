/**
 * The data of `fitDataset`: every element that is read goes into a checksum, and data that cannot be replayed is an error.
 *
 * A `tf.data` dataset cannot seek. A resumed training replays it from the start, without training, and compares the checksums.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { type FitError, mismatch, type Problem } from "../errors/mod.ts";
import type { FitOptions } from "./options.ts";
import type { DataChecksums, TrainingState } from "./training_state.ts";
import { Rng } from "../values/mod.ts";
import { checksum, crcText } from "./tensor_checksum.ts";
import { drawingFrom, isDataset, type Iterator, type TfDataset } from "../tfjs/mod.ts";

// --- types

/** The arguments of `fitDataset`, for elements of any type. */
export type DatasetArguments = tf.ModelFitDatasetArgs<tf.TensorContainer>;

/** Reads the next element. */
type Next = () => Promise<E.Either<FitError, Awaited<ReturnType<Iterator["next"]>>>>;

/** A dataset that is read element by element. */
export interface DatasetFeed {
  /** Begins another pass over the dataset. */
  readonly open: (state: TrainingState) => Promise<E.Either<FitError, void>>;
  /** The next element. */
  readonly next: (state: TrainingState) => ReturnType<Next>;
  /** The validation data, if it is a dataset. Its elements go into the checksum, too. */
  readonly validation: ((state: TrainingState) => TfDataset) | undefined;
}

// --- constructors

const notRepeatable: Problem = {
  path: "fit/data",
  kind: "data",
  expected: "data that can be replayed when the training is resumed",
  found: "a shuffle without a seed",
  remedy:
    'Give every shuffle of the dataset a seed other than 0, such as shuffle(1000, "seed"), or pass { inexact: true }, with which ' +
    "a resumed training continues on other data",
};

/** Reads one element, and adds its tensors to the checksums of the training. */
async function readElement(
  iterator: Iterator,
  state: TrainingState,
  of: keyof DataChecksums,
): ReturnType<Iterator["next"]> {
  const element = await iterator.next();
  const tensors = tf.tensor_util.getTensorsInContainer(element.value as tf.TensorContainer);
  state.dataCrc = await checksum(tensors, state.dataCrc);
  const { reads = { data: 0, validation: 0 } } = state;
  state.reads = { ...reads, [of]: await checksum(tensors, reads[of]) };
  return element;
}

/**
 * The feed of a dataset.
 *
 * @param dataset The dataset to train on.
 * @param args The arguments of `fitDataset`.
 * @param options The options of `fitDataset`.
 */
export function datasetFeed(
  dataset: TfDataset,
  { validationData }: DatasetArguments,
  { seed = 0, inexact = false }: FitOptions,
): DatasetFeed {
  const drawn = drawingFrom(Rng.fork("data")(Rng.make(seed)));
  const data = drawn(dataset, "train");
  const valid = isDataset(validationData) ? drawn(validationData, "validate") : undefined;
  let iterator: Iterator | undefined;
  /** Reads, and then checks that no shuffle lacks a seed, before anything is trained on what was read. */
  const read = async <A>({ at }: TrainingState, part: () => Promise<A>): Promise<E.Either<FitError, A>> => {
    try {
      const value = await part();
      const isRepeatable = inexact || !(data.unseeded() || valid?.unseeded() === true);
      return isRepeatable ? E.right(value) : E.left(mismatch([notRepeatable]));
    } catch (cause) {
      return E.left({ _tag: "SourceFailed", cause, epoch: at.epoch, position: at.batch, unit: "batches" });
    }
  };
  return {
    open: (state) => read(state, async () => void (iterator = await data.iterator())),
    next: (state) => read(state, () => readElement(iterator as Iterator, state, "data")),
    validation: valid && ((state) => ({
      iterator: async () => {
        const elements = await valid.iterator();
        return { next: () => readElement(elements, state, "validation") };
      },
    })),
  };
}

// --- restore

/** Reads batches and disposes of them; the number of batches read, which is lower if the data ends earlier. */
async function replayBatches(next: Next, wanted: number): Promise<E.Either<FitError, number>> {
  let count = 0;
  while (count < wanted) {
    const element = await next();
    if (E.isLeft(element)) return element;
    const { value, done } = element.right;
    if (value != null) count++;
    tf.dispose(value as tf.TensorContainer);
    if (done === true) break;
  }
  return E.right(count);
}

/** Reads the data up to the position of a training, without training on it. */
async function replay(
  feed: DatasetFeed,
  state: TrainingState,
  first: number,
  { batchesPerEpoch, validationBatches }: DatasetArguments,
): Promise<E.Either<FitError, void>> {
  const perEpoch = batchesPerEpoch ?? undefined;
  const { epoch, batch } = state.at;
  for (let e = first; e < epoch || (e === epoch && batch > 0); e++) {
    const opened = perEpoch === undefined ? await feed.open(state) : E.right(undefined);
    if (E.isLeft(opened)) return opened;
    const count = await replayBatches(() => feed.next(state), e < epoch ? perEpoch ?? Infinity : batch);
    if (E.isLeft(count)) return count;
    // An epoch that ran out of data was not validated.
    const isValidated = e < epoch && (perEpoch === undefined || count.right >= perEpoch);
    if (!isValidated || feed.validation === undefined) continue;
    const iterator = await feed.validation(state).iterator();
    await replayBatches(async () => E.right(await iterator.next()), validationBatches ?? Infinity);
  }
  return E.right(undefined);
}

/** The data that differs from what was read before. Checkpoints of earlier versions have one checksum of all data. */
function otherData(
  { at: { step }, dataCrc, reads }: TrainingState,
  trainedOn: number,
  before: DataChecksums | undefined,
): readonly Problem[] {
  const differs = (of: keyof DataChecksums): boolean => before !== undefined && before[of] !== (reads?.[of] ?? 0);
  const problem = (of: keyof DataChecksums, use: string, [then, now]: readonly [number, number]): Problem => ({
    path: `fit/${of}`,
    kind: "data",
    expected: `up to batch ${step} the data that was ${use}, with CRC ${crcText(then)}`,
    found: `other data, with CRC ${crcText(now)}`,
    remedy:
      `Pass the ${of === "data" ? "dataset" : "validation dataset"} of before, with a seed other than 0 for every ` +
      "shuffle, or pass { inexact: true } to continue on other data",
  });
  const validation = differs("validation")
    ? [problem("validation", "validated on", [before?.validation ?? 0, reads?.validation ?? 0])]
    : [];
  return validation.length > 0 && !differs("data")
    ? validation
    : [problem("data", "trained on", [trainedOn, dataCrc]), ...validation];
}

/**
 * Opens the data and replays it up to the position of a training.
 *
 * @returns A left if the data cannot be read, or differs from the data that was trained on.
 */
export async function openFeed(
  feed: DatasetFeed,
  state: TrainingState,
  first: number,
  args: DatasetArguments,
  { inexact = false }: FitOptions,
): Promise<E.Either<FitError, void>> {
  const { dataCrc: trainedOn, reads: before } = state;
  state.dataCrc = 0;
  state.reads = undefined;
  const opened = await feed.open(state);
  if (E.isLeft(opened)) return opened;
  const replayed = await replay(feed, state, first, args);
  if (E.isLeft(replayed) || state.dataCrc === trainedOn || inexact) return replayed;
  return E.left(mismatch(otherData(state, trainedOn, before)));
}
