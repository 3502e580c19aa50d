/**
 * Trains a small convolutional network on handwritten digits, and resumes where it was killed.
 *
 * Run it, kill it at any moment, and run it again, in another runtime if you like:
 *
 *     bun examples/digits.ts --store runs/digits
 *     deno run -A examples/digits.ts --store runs/digits
 *
 * `--steps n` stops after n steps of the schedule; `--every n` saves every n steps.
 *
 * @module
 */
import {
  captureState,
  directory,
  id,
  Loader,
  pipe,
  resume,
  Retention,
  Rng,
  runMain,
  Schedule,
  setLearningRate,
  train,
} from "@dogear/dogear";
import { jsonLines } from "@dogear/dogear/trackers";
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type Digit, readDigits, tensors } from "./digits_data.ts";

const epochs = 8;
const batchSize = 32;
const warmup = 20;

function buildModel(): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [8, 8, 1], filters: 12, kernelSize: 3, useBias: false }),
      tf.layers.batchNormalization(),
      tf.layers.activation({ activation: "relu" }),
      tf.layers.maxPooling2d({ poolSize: 2 }),
      tf.layers.flatten(),
      tf.layers.dropout({ rate: 0.2 }),
      tf.layers.dense({ units: 48, activation: "relu" }),
      tf.layers.dense({ units: 10 }),
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
}

function trainStep(state: State, batch: readonly Digit[]): State {
  const { model, optimizer, schedule } = state;
  setLearningRate(optimizer, Schedule.rate(schedule))();
  const [loss, rng] = Rng.withRandom(state.rng)(() =>
    tf.tidy(() => {
      const { images, labels } = tensors(batch);
      const cost = (): tf.Scalar =>
        tf.losses.softmaxCrossEntropy(labels, model.apply(images, { training: true }) as tf.Tensor);
      return optimizer.minimize(cost, true)?.dataSync()[0] ?? NaN;
    })
  );
  return { ...state, rng, schedule: Schedule.next(schedule), step: state.step + 1, loss };
}

function accuracy(model: tf.LayersModel, digits: readonly Digit[]): number {
  return tf.tidy(() => {
    const { images, labels } = tensors(digits);
    const right = (model.predict(images) as tf.Tensor).argMax(-1).equal(labels.argMax(-1));
    return right.mean().dataSync()[0] ?? NaN;
  });
}

const { values } = parseArgs({
  options: {
    store: { type: "string", default: "runs/digits" },
    steps: { type: "string" },
    every: { type: "string", default: "10" },
  },
});
await tf.setBackend("cpu");
const digits = await readDigits();
const perEpoch = Math.ceil(digits.train.length / batchSize);
const total = epochs * perEpoch;
const steps = Math.min(Number(values.steps ?? total), total);
const batches = pipe(
  Loader.fromArray(digits.train),
  Loader.shuffle(7),
  Loader.batch(batchSize),
  Loader.repeat(epochs),
  Loader.take(steps),
);
const store = directory(values.store, { keep: Retention.latest(3) });

// The initial weights are drawn from a seeded generator, so that every cold start is the same.
const [model, rng] = Rng.withRandom(Rng.make(42))(buildModel);
const fresh: State = {
  model,
  optimizer: tf.train.adam(4e-3),
  schedule: pipe(Schedule.cosine({ base: 4e-3, steps: total - warmup }), Schedule.warmup(warmup)),
  rng,
  cursor: Loader.start(batches),
  step: 0,
  loss: NaN,
};
await pipe(
  resume(store)(fresh),
  TE.flatMap(train({
    loader: batches,
    step: trainStep,
    metrics: ({ loss }) => ({ loss }),
    save: { to: store, every: Number(values.every) },
    trackers: [jsonLines(join(values.store, "log.jsonl"))],
    progress: { everySeconds: 0.1 },
    stopOn: ["SIGTERM", "SIGINT"],
  })),
  TE.tapTask((done) => async () => {
    process.stdout.write(`accuracy ${(100 * accuracy(done.model, digits.test)).toFixed(1)} %\n`);
    process.stdout.write(`id ${await id(captureState(done))}\n`);
  }),
  runMain,
);
