/**
 * What a save of 512 MiB in the background costs a training: the longest delay of a 1 ms timer, the memory beyond the tensors, and the steps
 * per second with and without the save. A save beside a training takes longer than alone, because the training gets most of the thread.
 *
 *     bun run bench beside
 *
 * @module
 */
import { directory, Retention, runOrThrow, saver, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import process from "node:process";
import { setImmediate, setTimeout } from "node:timers/promises";
import { median, type Watched, watched } from "./rounds.ts";
import { inFolder, mebi, useBackend, variables } from "./scene.ts";

/** One step of a small network with Adam. It uses only data in the state. */
function trainer(): () => void {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 64, inputShape: [64], activation: "relu" }),
      tf.layers.dense({ units: 10 }),
    ],
  });
  const optimizer = tf.train.adam();
  const [x, y] = [tf.randomUniform([32, 64]), tf.randomUniform([32, 10])];
  return () => {
    optimizer.minimize(() => tf.losses.meanSquaredError(y, model.apply(x) as tf.Tensor));
  };
}

async function stepsPerSecond(step: () => void, until: () => boolean): Promise<number> {
  const begun = performance.now();
  let steps = 0;
  do {
    step();
    steps++;
    await setImmediate();
  } while (!until());
  return steps / (performance.now() - begun) * 1000;
}

await inFolder(async (folder) => {
  for (const backend of ["cpu", "wasm"] as const) {
    await useBackend(backend);
    const weights = variables(512 * mebi, 200);
    const values = [1, 2].map((by) => weights.map((weight) => weight.add(by)));
    const store = directory(join(folder, backend), { keep: Retention.latest(1) });
    let round = 0;
    const change = (): void => weights.forEach((weight, i) => weight.assign(values[round % 2]?.[i] ?? weight));
    const [idle, saving]: [Watched[], Watched[]] = [[], []];
    for (; round < 8; round++) {
      change();
      const quiet = await watched(() => setTimeout(400));
      const busy = await watched(() => runOrThrow(saveState(store)({ weights })));
      if (round > 0) [idle, saving].forEach((all, i) => all.push(i === 0 ? quiet : busy));
    }
    const [calm, gap] = [idle, saving].map((all) => median(all.map((one) => one.gap)).toFixed(1));
    const memory = median(saving.map((one) => one.memory)).toFixed(0);
    process.stdout.write(
      `${backend}: longest stall in a save ${gap} ms, without one ${calm} ms; memory above the tensors ${memory} MiB (7 rounds)\n`,
    );
    const step = trainer();
    const [ratios, seconds]: [number[], number[]] = [[], []];
    for (; round < 16; round++) {
      change();
      const alone = await stepsPerSecond(step, ((end) => () => performance.now() > end)(performance.now() + 500));
      const { save, drain } = saver(store, { onSaved: (saved) => void seconds.push(saved.seconds) });
      let done = false;
      const written = runOrThrow(save({ weights })).then(() => runOrThrow(drain)).then(() => done = true);
      const beside = await stepsPerSecond(step, () => done);
      await written;
      if (round > 8) ratios.push(beside / alone);
    }
    process.stdout.write(
      `${backend}: steps per second beside a save / without one: ${median(ratios).toFixed(2)}, the save took ${
        median(seconds).toFixed(1)
      } s (7 rounds)\n`,
    );
    [weights, ...values].flat().forEach((value) => value.dispose());
  }
});
