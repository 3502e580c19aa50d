/**
 * What the trainings of this folder have in common: each is one that does not resume, by one mistake.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { Loader, pipe, Rng } from "../../../mod.ts";

// --- types

/** A state that lists all there is to list. */
export interface State {
  readonly model: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
  readonly rng: Rng.Rng;
  readonly cursor: Loader.Cursor;
  readonly step: number;
}

// --- the data

/** How many samples are in a batch. */
export const batchSize = 3;

/** The samples, in an order that nothing changes. */
export const samples: readonly number[] = Array.from({ length: 9 }, (_, i) => (i * 7 % 9) / 9);

/** Three batches an epoch, for ever. */
export const loader: Loader.Loader<readonly number[]> = pipe(
  Loader.fromArray(samples),
  Loader.shuffle(7),
  Loader.batch(batchSize),
  Loader.repeat(),
);

// --- the training

/** The components of a training with dropout. */
export function fresh(): State {
  const [model, rng] = Rng.withRandom(Rng.make(42))(() =>
    tf.sequential({
      layers: [
        tf.layers.dense({ units: 4, inputShape: [1] }),
        tf.layers.dropout({ rate: 0.25 }),
        tf.layers.dense({ units: 1 }),
      ],
    })
  );
  return { model, optimizer: tf.train.adam(0.05), rng, cursor: Loader.start(loader), step: 0 };
}

/** Fits a model to 2x by one step of an optimizer; the loss. */
export function fit(model: tf.LayersModel, optimizer: tf.Optimizer, batch: readonly number[]): number {
  return tf.tidy(() => {
    const x = tf.tensor2d([...batch], [batch.length, 1]);
    const loss = (): tf.Scalar => tf.losses.meanSquaredError(x.mul(2), model.apply(x, { training: true }) as tf.Tensor);
    const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
    return optimizer.minimize(loss, true, variables)!.dataSync()[0]!;
  });
}

/** One step that resumes, with a factor for the batch. */
export function scaledStep(state: State, batch: readonly number[], factor: number): State {
  const [, rng] = Rng.withRandom(state.rng)(() => fit(state.model, state.optimizer, batch.map((x) => x * factor)));
  return { ...state, rng, step: state.step + 1 };
}

/** One step that resumes. */
export function step(state: State, batch: readonly number[]): State {
  return scaledStep(state, batch, 1);
}
