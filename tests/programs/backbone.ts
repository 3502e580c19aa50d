/**
 * A classifier of ten classes whose backbone goes into one of three:
 *
 *     backbone.ts <folder> save   trains the first and saves it
 *     backbone.ts <folder> load   loads its backbone into the second, trains that on and prints its id
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import process from "node:process";
import { captureState, directory, id, loadState, Rng, runOrThrow, saveState } from "../../mod.ts";

const { dense } = tf.layers;

const [folder = "", command] = process.argv.slice(2);
await tf.setBackend("cpu");

const units = command === "save" ? 10 : 3;
const [model] = Rng.withRandom(Rng.make(units))(() =>
  tf.sequential({
    layers: [
      dense({ units: 4, inputShape: [3], activation: "relu" }),
      dense({ units: 4 }),
      dense({ units, name: "head" }),
    ],
  })
);
model.compile({ optimizer: "adam", loss: "meanSquaredError" });

async function trainOn(): Promise<void> {
  for (let step = 0; step < 3; step++) {
    await model.trainOnBatch(tf.linspace(-1, 1, 6).reshape([2, 3]), tf.ones([2, units]));
  }
}

const store = directory(folder);
if (command === "save") {
  await trainOn();
  await runOrThrow(saveState(store)({ model }));
} else {
  await runOrThrow(loadState(store, { keep: ["model/head", "model/compile"] })({ model }));
  await trainOn();
  process.stdout.write(`${await id(captureState({ model }))()}\n`);
}
