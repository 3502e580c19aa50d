/**
 * A resumable training in plain JavaScript. Kill it whenever you like, and run it again: it continues, and ends with the same id.
 *
 *     node plain.mjs    or    bun plain.mjs    or    deno run -A plain.mjs
 *
 * Its arguments are the folder of the run and the number of epochs.
 */
import { captureState, directory, id, Loader, pipe, resume, Retention, Rng, runMain, train } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";

const [folder = "runs/plain", epochs = "1000"] = process.argv.slice(2);
// Math.sin would give other last bits in other runtimes.
const samples = Array.from({ length: 64 }, (_, i) => [i / 64, (i / 64) * (1 - i / 64)]);
const batches = pipe(Loader.fromArray(samples), Loader.shuffle(7), Loader.batch(16), Loader.repeat(Number(epochs)));
const store = directory(folder, { keep: Retention.latest(3) });

/** Trains on one batch, and returns the next state. */
function trainStep(state, batch) {
  const loss = tf.tidy(() => {
    const x = tf.tensor2d(batch.map(([x]) => [x]));
    const y = tf.tensor2d(batch.map(([, y]) => [y]));
    const error = () => tf.losses.meanSquaredError(y, state.model.predict(x));
    return state.optimizer.minimize(error, true).dataSync()[0];
  });
  return { ...state, loss };
}

await tf.setBackend("cpu");
// The same initial weights at each start.
const [model] = Rng.withRandom(Rng.make(42))(() =>
  tf.sequential({
    layers: [
      tf.layers.dense({ units: 16, inputShape: [1], activation: "relu" }),
      tf.layers.dense({ units: 1 }),
    ],
  })
);
const fresh = { model, optimizer: tf.train.adam(0.01), cursor: Loader.start(batches), loss: NaN };

await runMain(async () => {
  const done = await train({
    loader: batches,
    step: trainStep,
    metrics: ({ loss }) => ({ loss }),
    save: { to: store, every: 20 },
    progress: true,
    stopOn: ["SIGINT", "SIGTERM"],
  })(await resume(store)(fresh));
  console.log(`loss ${done.loss.toFixed(4)}`);
  console.log(`id ${await id(captureState(done))}`);
});
