/**
 * What being resumable costs: steps of a model of 1,000,000 parameters with a capture at every step, against the same steps without.
 *
 *     bun run bench cost
 *
 * @module
 */
import { captureState, release, Rng } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { compare } from "./rounds.ts";
import { useBackend } from "./scene.ts";

/** The number of steps in each half of a round. */
const steps = { cpu: 3, wasm: 30 } as const;

for (const backend of ["cpu", "wasm"] as const) {
  await useBackend(backend);
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
  const [x, y] = [tf.randomUniform([32, 400]), tf.randomUniform([32, 50])];
  const step = (): void =>
    void optimizer.minimize(() => tf.tidy(() => tf.losses.meanSquaredError(y, model.apply(x) as tf.Tensor)));
  let last = captureState({});
  const captured = (at: number): void => {
    const next = captureState({ model, optimizer, rng, step: at });
    // Like a saver: the earlier snapshot is released after the next one is captured.
    release(last)();
    last = next;
  };
  const times = (work: (at: number) => void): () => void => () => {
    for (let at = 0; at < steps[backend]; at++) work(at);
  };
  // The ratio of steps per second is the inverse of the ratio of times.
  await compare(
    { name: `${backend}, ${model.countParams()} parameters, without a capture`, run: times(step) },
    { name: "with one at every step", run: times((at) => (step(), captured(at))) },
    41,
  );
  release(last)();
  tf.disposeVariables();
  tf.dispose([x, y]);
}
