/** The time is the seed of the noise. */
import * as tf from "@tensorflow/tfjs";
import { type State, step as good } from "./common.ts";

export { fresh, loader } from "./common.ts";

export function step(state: State, batch: readonly number[]): State {
  const seed = Date.now() + performance.now() * 1000;
  const noise = tf.tidy(() => tf.randomUniform([batch.length], 0, 1, "float32", seed).dataSync());
  return good(state, batch.map((x, i) => x + noise[i]!));
}
