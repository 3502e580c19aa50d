/**
 * What a durable checkpoint every 10 steps costs: steps of a model of 1,000,000 parameters with Adam, with a background save of all of its state (12 MB)
 * after every tenth step, against the same steps without. PCcheck (ASPLOS 2025) reports 3 % for this interval.
 *
 *     bun run bench interval
 *
 * @module
 */
import { directory, Retention, Rng, runOrThrow, saver } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { compare } from "./rounds.ts";
import { inFolder, useBackend } from "./scene.ts";

/** The checkpoints in each half of a round, and the samples in a batch. */
const sizes = {
  cpu: { checkpoints: 1, batch: 8, rounds: 7 },
  wasm: { checkpoints: 3, batch: 64, rounds: 7 },
} as const;
const interval = 10;

await inFolder(async (folder) => {
  for (const backend of ["cpu", "wasm"] as const) {
    await useBackend(backend);
    const { checkpoints, batch, rounds } = sizes[backend];
    const [model, rng] = Rng.withRandom(Rng.make(1))(() =>
      tf.sequential({
        layers: [
          tf.layers.dense({ units: 800, inputShape: [400], activation: "relu" }),
          tf.layers.dense({ units: 800, activation: "relu" }),
          tf.layers.dense({ units: 50 }),
        ],
      })
    );
    const optimizer = tf.train.adam();
    const [x, y] = [tf.randomUniform([batch, 400]), tf.randomUniform([batch, 50])];
    const { save, drain } = saver(directory(join(folder, backend), { keep: Retention.latest(2) }));
    let step = 0;
    const train = async (saving: boolean): Promise<void> => {
      for (let at = 0; at < checkpoints * interval; at++) {
        if (saving && at % interval === 0) await runOrThrow(save({ model, optimizer, rng, step }));
        optimizer.minimize(() => tf.losses.meanSquaredError(y, model.apply(x) as tf.Tensor));
        step++;
        await setImmediate();
      }
    };
    await compare(
      {
        name: `${backend}, ${model.countParams()} parameters, a checkpoint every ${interval} steps`,
        // Within the time, so that no save is left out.
        run: async () => {
          await train(true);
          await runOrThrow(drain);
        },
      },
      { name: "without", run: () => train(false) },
      rounds,
    );
    tf.disposeVariables();
    tf.dispose([x, y]);
  }
});
