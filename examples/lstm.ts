/**
 * A recurrent network that learns to continue a text, one character after another.
 *
 *     bun examples/lstm.ts [steps]             1500 by default; in Deno: deno run -A examples/lstm.ts
 *
 * @module
 */
import { directory, resume, Retention, Rng, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { readFile } from "node:fs/promises";
import process from "node:process";

const [width, batchSize] = [12, 16];
const steps = Number(process.argv[2] ?? 1500);
const text = (await readFile(new URL("./data/tale.txt", import.meta.url), "utf8")).replaceAll("\n", " ");
const alphabet = [...new Set(text)].sort();

function buildModel(): tf.LayersModel {
  const model = tf.sequential({
    layers: [
      tf.layers.lstm({ units: 32, inputShape: [width, alphabet.length] }),
      tf.layers.dense({ units: alphabet.length, activation: "softmax" }),
    ],
  });
  model.compile({ optimizer: tf.train.rmsprop(0.01), loss: "categoricalCrossentropy" });
  return model;
}

function encode(windows: readonly string[]): tf.Tensor3D {
  const codes = windows.map((characters) => [...characters].map((character) => alphabet.indexOf(character)));
  return tf.oneHot(tf.tensor2d(codes, [windows.length, width], "int32"), alphabet.length) as tf.Tensor3D;
}

/** Windows from random places of the text, and the character that follows each. */
function nextBatch(): readonly [tf.Tensor, tf.Tensor] {
  const at = Array.from({ length: batchSize }, () => Math.floor(Math.random() * (text.length - width)));
  const next = at.map((from) => alphabet.indexOf(text[from + width]!));
  const x = tf.tidy(() => encode(at.map((from) => text.slice(from, from + width))));
  const y = tf.tidy(() => tf.oneHot(tf.tensor1d(next, "int32"), alphabet.length));
  return [x, y];
}

/** Draws each next character from the probabilities of the network. A lower temperature favours likely characters. */
function write(model: tf.LayersModel, length: number, temperature: number): string {
  let written = text.slice(0, width);
  while (written.length < length) {
    const probabilities = tf.tidy(() => (model.predict(encode([written.slice(-width)])) as tf.Tensor).dataSync());
    const weights = [...probabilities].map((p) => Math.exp(Math.log(p) / temperature));
    let left = Math.random() * weights.reduce((sum, weight) => sum + weight, 0);
    written += alphabet[weights.findIndex((weight) => (left -= weight) < 0)] ?? " ";
  }
  return written;
}

await tf.setBackend("cpu");
const store = directory(process.argv[3] ?? "runs/lstm", { keep: Retention.latest(3) });
const [model] = Rng.withRandom(Rng.make("weights"))(buildModel);
for (let { step } = await resume(store)({ model, step: 1 }); step <= steps; step++) {
  const [[x, y]] = Rng.withRandom(Rng.make(step))(nextBatch);
  const loss = await model.trainOnBatch(x, y);
  tf.dispose([x, y]);
  if (step % 2 === 0) console.log(`step ${step}/${steps}  loss ${Number(loss).toFixed(4)}`);
  if (step % 2 === 0) await saveState(store)({ model, step: step + 1 });
}
console.log(write(model, 200, 0.5));
