/**
 * A convolutional network that learns to tell handwritten digits apart.
 *
 *     bun examples/conv.ts [epochs]            8 by default; in Deno: deno run -A examples/conv.ts
 *
 * @module
 */
import { directory, fit, Retention, Rng } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { readFile } from "node:fs/promises";
import process from "node:process";

const [trained, batchSize, validationSplit] = [1600, 32, 0.2];
const epochs = Number(process.argv[2] ?? 8);

async function readDigits(): Promise<readonly (readonly number[])[]> {
  const text = await readFile(new URL("./data/digits.csv", import.meta.url), "utf8");
  return text.trim().split("\n").map((line) => line.split(",").map(Number));
}

function tensors(rows: readonly (readonly number[])[]): [tf.Tensor, tf.Tensor] {
  const images = tf.tensor4d(rows.flatMap((row) => row.slice(0, 64)), [rows.length, 8, 8, 1]).div(16);
  return [images, tf.oneHot(tf.tensor1d(rows.map((row) => row[64] ?? 0), "int32"), 10)];
}

function buildModel(): tf.LayersModel {
  const model = tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [8, 8, 1], filters: 8, kernelSize: 3, activation: "relu" }),
      tf.layers.maxPooling2d({ poolSize: 2 }),
      tf.layers.flatten(),
      tf.layers.dropout({ rate: 0.25 }),
      tf.layers.dense({ units: 48, activation: "relu" }),
      tf.layers.dropout({ rate: 0.5 }),
      tf.layers.dense({ units: 10, activation: "softmax" }),
    ],
  });
  model.compile({ optimizer: tf.train.rmsprop(0.003), loss: "categoricalCrossentropy", metrics: ["accuracy"] });
  return model;
}

const at = { epoch: 0 };

const callbacks: tf.CustomCallbackArgs = {
  onEpochBegin: (epoch) => void (at.epoch = epoch),
  onBatchEnd: (batch, logs) => {
    if (batch % 2 === 1) {
      console.log(`step ${batches * at.epoch + batch + 1}/${batches * epochs}  loss ${logs?.["loss"]?.toFixed(4)}`);
    }
  },
  onEpochEnd: (epoch, logs) => console.log(`epoch ${epoch + 1}  validation accuracy ${logs?.["val_acc"]?.toFixed(4)}`),
};

await tf.setBackend("cpu");
const digits = await readDigits();
const [x, y] = tensors(digits.slice(0, trained));
const batches = Math.ceil(trained * (1 - validationSplit) / batchSize);
const store = directory(process.argv[3] ?? "runs/conv", { keep: Retention.latest(3) });
const args = { epochs, batchSize, validationSplit, callbacks };
const [model] = Rng.withRandom(Rng.make("weights"))(buildModel);
await fit({ to: store, every: 2, with: { at } })(model, x, y, args);
const [loss, accuracy] = model.evaluate(...tensors(digits.slice(trained))) as tf.Scalar[];
console.log(`test loss ${loss!.dataSync()[0]!.toFixed(4)}  accuracy ${accuracy!.dataSync()[0]!.toFixed(4)}`);
