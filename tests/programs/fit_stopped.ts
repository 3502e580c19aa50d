/**
 * A long `model.fit` that a signal stops: `fit_stopped.ts FOLDER`.
 *
 * @module
 */
import { directory, fit, runMain } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";

await tf.setBackend("cpu");
const [x, y] = [tf.ones([64, 2]), tf.ones([64, 1])];
const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2], kernelInitializer: "zeros" })] });
model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
const callbacks = { onEpochEnd: (epoch: number): void => void process.stdout.write(`epoch ${epoch}\n`) };
const store = directory(process.argv[2]!);
await runMain(fit({ to: store, seconds: 60, seed: 1, stopOn: ["SIGTERM"] })(model, x, y, { epochs: 1000, callbacks }));
