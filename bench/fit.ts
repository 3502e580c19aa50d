/**
 * Training with `fit` against `model.fit`, without the save at its end: a perceptron of a million parameters.
 *
 *     bun run bench fit
 *
 * @module
 */
import { fit, memory, runOrThrow } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { compare } from "./rounds.ts";
import { useBackend } from "./scene.ts";

for (const backend of ["cpu", "wasm"]) {
  await useBackend(backend as "cpu");
  const build = (): tf.LayersModel => {
    const layers = [
      tf.layers.dense({ units: 768, activation: "relu", inputShape: [512] }),
      tf.layers.dense({ units: 768, activation: "relu" }),
      tf.layers.dense({ units: 10, activation: "softmax" }),
    ];
    const model = tf.sequential({ layers });
    model.compile({ optimizer: "adam", loss: "categoricalCrossentropy" });
    return model;
  };
  const [batchSize, steps] = [32, backend === "cpu" ? 2 : 8];
  const x = tf.randomNormal([batchSize * steps, 512]);
  const y = tf.oneHot(tf.randomUniform([batchSize * steps], 0, 10, "int32"), 10).toFloat();
  const [ours, theirs] = [build(), build()];
  const args = { epochs: 1, batchSize };
  let clock = 0;
  // From the first batch to the last: work that is done once, at the start and at the end, is not timed.
  const callbacks: tf.CustomCallbackArgs = {
    onEpochBegin: () => void (clock = performance.now()),
    onEpochEnd: () => void (clock = performance.now() - clock),
  };
  await compare(
    {
      name: `${steps} steps of fit on ${backend}`,
      run: async () => {
        await runOrThrow(fit({ to: memory(), seconds: 1e9 })(ours, x, y, { ...args, callbacks }));
        return clock;
      },
    },
    {
      name: "model.fit",
      run: async () => {
        await theirs.fit(x, y, { ...args, callbacks });
        return clock;
      },
    },
    21,
  );
  tf.dispose([x, y]);
}
