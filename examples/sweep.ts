/**
 * A sweep of twelve trials without a scheduler. Start any number of workers, on any machines, kill them and start more:
 *
 *     bun examples/sweep.ts s3://my-bucket/sweep      in Deno: deno run -A examples/sweep.ts s3://my-bucket/sweep
 *
 * A worker takes a trial by a lease. If it is killed, the lease expires, and another worker resumes the trial.
 */
import { Loader, pipe, resume, Retention, Rng, runMain, train } from "@dogear/dogear";
import { lease, s3 } from "@dogear/dogear/s3";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";

const [url = "s3://my-bucket/sweep", seconds = "30"] = process.argv.slice(2);
const rates = [0.3, 0.1, 0.03, 0.01];
const trials = rates.flatMap((rate) =>
  [4, 8, 16].map((units) => ({ rate, units, name: `rate=${rate}-units=${units}` }))
);
const samples = Array.from({ length: 200 }, (_, i) => [(37 * i % 200) / 200, (91 * i % 200) / 200] as const);
const batches = pipe(Loader.fromArray(samples), Loader.shuffle(7), Loader.batch(20), Loader.repeat(10));
async function trainTrial({ rate, units, name }: typeof trials[number]): Promise<void> {
  const store = s3(`${url}/${name}`, { keep: Retention.latest(2) });
  const [model] = Rng.withRandom(Rng.make(name))(() =>
    tf.sequential({ layers: [tf.layers.dense({ units, inputShape: [1] }), tf.layers.dense({ units: 1 })] })
  );
  const fresh = { model, optimizer: tf.train.adam(rate), cursor: Loader.start(batches), step: 0 };
  await train({
    loader: batches,
    step: (state: typeof fresh, batch) => {
      tf.tidy(() => {
        const x = tf.tensor2d(batch.map(([x]) => [x]));
        const y = tf.tensor2d(batch.map(([, y]) => [y]));
        state.optimizer.minimize(() => tf.losses.meanSquaredError(y, model.predict(x) as tf.Tensor));
      });
      return { ...state, step: state.step + 1 };
    },
    save: { to: store, every: 25 },
    stopOn: ["SIGTERM", "SIGINT"],
  })(await resume(store)(fresh));
}

await tf.setBackend("cpu");
await runMain(async () => {
  for (const left = new Set(trials); left.size > 0; await setTimeout(200)) {
    for (const trial of left) {
      const taken = await lease(url, trial.name, { seconds: Number(seconds) });
      if (taken._tag === "Finished") left.delete(trial);
      if (taken._tag !== "Held") continue; // "Busy": another worker has it
      try {
        process.stdout.write(`begin ${trial.name}\n`);
        await trainTrial(trial);
        await taken.finish;
        process.stdout.write(`finished ${trial.name}\n`);
      } finally {
        await taken.release;
      }
    }
  }
});
