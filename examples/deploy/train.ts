/**
 * The training that the recipes of this folder run. Start it again with the same arguments, on any machine, and it resumes.
 *
 *     bun train.ts s3://my-bucket/digits       in Deno: deno run -A train.ts s3://my-bucket/digits
 *     bun train.ts runs/digits 50              a folder, to try it at home; 50 epochs
 *
 * It reads the usual variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, and `AWS_ENDPOINT_URL_S3` for a store that is not Amazon's.
 *
 * SIGTERM saves and stops. The exit code is 0 at the end of the training, 75 after a signal when it was saved, and 1 after any error: a scheduler runs 75
 * again without counting it as a failure.
 *
 * @module
 */
import { captureState, directory, id, Loader, pipe, resume, Retention, Rng, runMain, train } from "@dogear/dogear";
import { s3 } from "@dogear/dogear/s3";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";

await runMain(async () => {
  await tf.setBackend("cpu");
  const [run = "runs/deploy", epochs = "20"] = process.argv.slice(2);
  const keep = Retention.latest(3);
  const store = run.startsWith("s3://") ? s3(run, { keep }) : directory(run, { keep });

  // Math.sin would give other last bits in other runtimes, and a resume there would refuse the data.
  const values = (factor: number) => Array.from({ length: 400 }, (_, i) => ((i * factor) % 400) / 200 - 1);
  const [as, bs] = [values(37), values(91)];
  const samples = as.map((a, i) => [a, bs[i]!, a * bs[i]!]);
  const batches = pipe(Loader.fromArray(samples), Loader.shuffle(7), Loader.batch(20), Loader.repeat(Number(epochs)));
  const [model, rng] = Rng.withRandom(Rng.make(42))(() =>
    tf.sequential({
      layers: [tf.layers.dense({ units: 16, activation: "tanh", inputShape: [2] }), tf.layers.dense({ units: 1 })],
    })
  );
  const optimizer = tf.train.adam(0.01);
  const fresh = { model, optimizer, rng, cursor: Loader.start(batches), step: 0 };

  const done = await train({
    loader: batches,
    step: (state: typeof fresh, batch) => {
      tf.tidy(() => {
        const x = tf.tensor2d(batch.map(([a = 0, b = 0]) => [a, b]));
        const y = tf.tensor2d(batch.map(([, , product = 0]) => [product]));
        optimizer.minimize(() => tf.losses.meanSquaredError(y, model.predict(x) as tf.Tensor));
      });
      return { ...state, step: state.step + 1 };
    },
    onEpochEnd: (state, epoch) => {
      process.stdout.write(`epoch ${epoch}\n`);
      return state;
    },
    // Every minute: a machine that vanishes without a signal loses no more than that.
    save: { to: store, seconds: 60 },
    stopOn: ["SIGTERM", "SIGINT"],
  })(await resume(store)(fresh));
  process.stdout.write(`id ${await id(captureState({ model, optimizer, step: done.step }))}\n`);
});
