/**
 * Networks with every sort of state that `fit` must keep, data for them, callbacks that record their calls, and tfjs's own training with
 * `Math.random` drawn from a generator, to compare with.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { createHash } from "node:crypto";
import { captureState, id, Rng } from "../../mod.ts";

// --- types

/** A network, its data, and its arguments. */
export interface Network {
  readonly name: string;
  readonly build: () => tf.LayersModel;
  readonly x: () => tf.Tensor | tf.Tensor[];
  readonly y: () => tf.Tensor | tf.Tensor[];
  readonly args?: tf.ModelFitArgs;
}

/** The result of a training. */
export interface Outcome {
  readonly model: string;
  readonly epochs: readonly number[];
  readonly history: unknown;
  readonly calls: readonly string[];
  readonly stopping: unknown;
}

/** The calls of callbacks. They are saved with the training, so that those before and after a crash form one list. */
export interface Told {
  calls: string[];
}

// --- networks

/** Builds a model with the same initial weights each time. */
function built(build: () => tf.LayersModel, compile: () => tf.ModelCompileArgs): () => tf.LayersModel {
  return () => {
    const [model] = Rng.withRandom(Rng.make("initializers"))(build);
    model.compile(compile());
    return model;
  };
}

function normal(shape: number[], seed: number): tf.Tensor {
  return tf.randomNormal(shape, 0, 1, "float32", seed);
}

function classes(samples: number): tf.Tensor {
  return tf.oneHot(tf.range(0, samples, 1, "int32").mod(tf.scalar(3, "int32")).toInt(), 3).toFloat();
}

/** A custom loss. */
function absolute(truth: tf.Tensor, guess: tf.Tensor): tf.Tensor {
  return tf.abs(tf.sub(truth, guess)).mean(-1);
}

export const samples = 20;

export const networks: readonly Network[] = [
  {
    name: "dropout, noise, BatchNorm",
    build: built(() =>
      tf.sequential({
        layers: [
          tf.layers.gaussianNoise({ stddev: 0.1, inputShape: [4] }),
          tf.layers.dense({ units: 6, activation: "relu" }),
          tf.layers.batchNormalization(),
          tf.layers.dropout({ rate: 0.4 }),
          tf.layers.dense({ units: 3, activation: "softmax" }),
        ],
      }), () => ({ optimizer: "adam", loss: "categoricalCrossentropy", metrics: ["accuracy"] })),
    x: () => normal([samples, 4], 1),
    y: () => classes(samples),
    args: { classWeight: { 0: 1, 1: 2, 2: 0.5 } },
  },
  {
    name: "a stateful LSTM",
    build: built(() =>
      tf.sequential({
        layers: [
          tf.layers.lstm({ units: 3, batchInputShape: [4, 3, 2], stateful: true }),
          tf.layers.dense({ units: 1 }),
        ],
      }), () => ({ optimizer: "rmsprop", loss: "meanSquaredError" })),
    x: () => normal([samples, 3, 2], 3),
    y: () => normal([samples, 1], 4),
    args: { batchSize: 4 },
  },
  {
    name: "several inputs and outputs",
    build: built(() => {
      const [a, b] = [tf.input({ shape: [3], name: "a" }), tf.input({ shape: [2], name: "b" })];
      const both = tf.layers.concatenate().apply([a, tf.layers.dropout({ rate: 0.3 }).apply(b) as tf.SymbolicTensor]);
      const outputs = [
        tf.layers.dense({ units: 1, name: "p" }).apply(both),
        tf.layers.dense({ units: 3, activation: "softmax", name: "q" }).apply(both),
      ] as tf.SymbolicTensor[];
      return tf.model({ inputs: [a, b], outputs });
    }, () => ({ optimizer: "adamax", loss: ["meanSquaredError", "categoricalCrossentropy"], metrics: ["mse"] })),
    x: () => [normal([samples, 3], 5), normal([samples, 2], 6)],
    y: () => [normal([samples, 1], 7), classes(samples)],
  },
  {
    name: "a loss of its own",
    build: built(() =>
      tf.sequential({
        layers: [
          tf.layers.dense({ units: 4, inputShape: [4], kernelConstraint: "maxNorm", kernelRegularizer: "l1l2" }),
          tf.layers.alphaDropout({ rate: 0.2 }),
          tf.layers.dense({ units: 1 }),
        ],
      }), () => ({ optimizer: tf.train.momentum(0.05, 0.9), loss: absolute })),
    x: () => normal([samples, 4], 8),
    y: () => normal([samples], 9),
  },
];

// --- observing

/** Callbacks that record their calls. They can throw at the n-th call in this process. */
export function telling(told: Told, crashAt: number = Infinity): tf.CustomCallbackArgs {
  let count = 0;
  const tell = (name: string) => (...args: readonly unknown[]): void => {
    if (++count === crashAt) throw new Error("crash");
    told.calls.push(`${name} ${JSON.stringify(args)}`);
  };
  return {
    onEpochBegin: tell("onEpochBegin"),
    onEpochEnd: tell("onEpochEnd"),
    onBatchBegin: tell("onBatchBegin"),
    onBatchEnd: tell("onBatchEnd"),
    onTrainEnd: tell("onTrainEnd"),
  };
}

/** The same as an instance of a class, followed by EarlyStopping. */
export function objects(config: tf.CustomCallbackArgs, patience: number): [tf.CustomCallback, tf.EarlyStopping] {
  return [
    new tf.CustomCallback(config, "never"),
    tf.callbacks.earlyStopping({ monitor: "loss", patience, minDelta: 0.02 }) as tf.EarlyStopping,
  ];
}

/** Runs with `Math.random` replaced everywhere by a generator with this seed.  */
export async function swapped<A>(seed: number, run: () => Promise<A>): Promise<A> {
  const outer = Math.random;
  let rng = Rng.make(seed);
  Math.random = () => {
    const [value, next] = Rng.float(rng);
    rng = next;
    return value;
  };
  try {
    return await run();
  } finally {
    Math.random = outer;
  }
}

/** The result of a training. */
export async function outcome(
  model: tf.LayersModel,
  { epoch, history }: tf.History,
  told: Told,
  stopping?: tf.EarlyStopping,
): Promise<Outcome> {
  using snapshot = captureState({ model });
  const { wait, best, stoppedEpoch } = Object(stopping) as Record<string, unknown>;
  return {
    model: await id(snapshot)(),
    epochs: epoch,
    history,
    calls: told.calls,
    stopping: [wait, best, stoppedEpoch],
  };
}

/** A result as one word, for another process to compare. */
export function digest(outcome: Outcome): string {
  return createHash("sha256").update(JSON.stringify(outcome)).digest("hex");
}
