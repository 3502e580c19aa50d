/**
 * Trains a network on digits, logs its metrics and saves. Killed and started again, it resumes.
 *
 *     bun tests/programs/digits_curves.ts FOLDER [--epochs 5] [--digits 1500] [--every 10] [--pause 0] [--dense] [--fork CHECKPOINT]
 *
 * `--fork` begins a new run at a checkpoint, with half the learning rate. `--pause` waits so many milliseconds after each step.
 *
 * @module
 */
import {
  directory,
  Loader,
  loadState,
  pipe,
  resume,
  Retention,
  Rng,
  runOrThrow,
  Schedule,
  setLearningRate,
  train,
} from "../../mod.ts";
import { jsonLines } from "../../lib/trackers/mod.ts";
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { buildModel, crossEntropy, type Digit, readDigits, tensors } from "../../examples/digits_data.ts";

const { values: options, positionals: [folder = ""] } = parseArgs({
  allowPositionals: true,
  options: {
    epochs: { type: "string", default: "5" },
    digits: { type: "string", default: "1500" },
    every: { type: "string", default: "10" },
    pause: { type: "string", default: "0" },
    dense: { type: "boolean", default: false },
    fork: { type: "string" },
  },
});
const [epochs, count, every, pause] = [options.epochs, options.digits, options.every, options.pause].map(Number) as [
  number,
  number,
  number,
  number,
];

function convolutional(): tf.LayersModel {
  const { conv2d, batchNormalization, activation, maxPooling2d, flatten, dropout, dense } = tf.layers;
  return tf.sequential({
    layers: [
      conv2d({ inputShape: [8, 8, 1], filters: 12, kernelSize: 3, useBias: false }),
      batchNormalization(),
      activation({ activation: "relu" }),
      maxPooling2d({ poolSize: 2 }),
      flatten(),
      dropout({ rate: 0.2 }),
      dense({ units: 48, activation: "relu" }),
      dense({ units: 10 }),
    ],
  });
}

interface State {
  readonly model: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
  readonly schedule: Schedule.Schedule;
  readonly rng: Rng.Rng;
  readonly cursor: Loader.Cursor;
  readonly step: number;
  readonly loss: number;
  readonly evaluated: { readonly step: number; readonly val_loss: number; readonly val_accuracy: number };
}

function trainStep(state: State, batch: readonly Digit[]): State {
  const { model, optimizer, schedule } = state;
  setLearningRate(optimizer, Schedule.rate(schedule))();
  const [loss, rng] = Rng.withRandom(state.rng)(() =>
    tf.tidy(() => optimizer.minimize(() => crossEntropy(model, batch, true), true)?.dataSync()[0] ?? NaN)
  );
  return { ...state, rng, schedule: Schedule.next(schedule), step: state.step + 1, loss };
}

function evaluate(state: State, digits: readonly Digit[]): State {
  const { model, step } = state;
  return tf.tidy(() => {
    const { images, labels } = tensors(digits);
    const right = (model.predict(images) as tf.Tensor).argMax(-1).equal(labels.argMax(-1));
    const val_accuracy = right.mean().dataSync()[0] ?? NaN;
    return {
      ...state,
      evaluated: { step, val_loss: crossEntropy(model, digits, false).dataSync()[0] ?? NaN, val_accuracy },
    };
  });
}

function metricsOf({ step, loss, schedule, evaluated }: State): Record<string, number> {
  const { val_loss, val_accuracy } = evaluated;
  return { loss, rate: Schedule.rate(schedule), ...(evaluated.step === step && { val_loss, val_accuracy }) };
}

await tf.setBackend("cpu");
const { train: digits, test } = await readDigits(count);
const batches = pipe(Loader.fromArray(digits), Loader.shuffle(7), Loader.batch(32), Loader.repeat(epochs));
const steps = epochs * Math.ceil(digits.length / 32);
const store = directory(folder, { keep: Retention.any(Retention.latest(8), Retention.every(5 * every)) });
const [model, rng] = Rng.withRandom(Rng.make(42))(options.dense ? buildModel : convolutional);
const fresh: State = {
  model,
  optimizer: tf.train.adam(4e-3),
  schedule: pipe(Schedule.cosine({ base: 4e-3, steps: steps - 20 }), Schedule.warmup(20)),
  rng,
  cursor: Loader.start(batches),
  step: 0,
  loss: NaN,
  evaluated: { step: 0, val_loss: NaN, val_accuracy: NaN },
};
const begun: State = await runOrThrow(
  options.fork === undefined ? resume(store)(fresh) : pipe(
    loadState(store, { checkpoint: Number(options.fork) })(fresh),
    TE.map((state) => ({ ...state, schedule: Schedule.cosine({ base: 2e-3, steps: steps - state.step }) })),
  ),
);
await runOrThrow(
  train({
    loader: batches,
    step: async (state: State, batch: readonly Digit[]) => {
      if (pause > 0) await setTimeout(pause);
      const next = trainStep(state, batch);
      process.stdout.write(`step ${next.step}\n`);
      return next;
    },
    onEpochEnd: (state) => evaluate(state, test),
    metrics: metricsOf,
    trackers: [jsonLines(join(folder, "log.jsonl"))],
    save: { to: store, every, note: "digits, batches of 32, seed 7" },
  })(begun),
);
