/** The moving average of the weights is written by each step, read by none, and in no component. */
import * as tf from "@tensorflow/tfjs";
import { type State, step as good } from "./common.ts";

export { fresh, loader } from "./common.ts";

const average = tf.tidy(() => tf.variable(tf.zeros([1, 4]), false, "average"));

export function step(state: State, batch: readonly number[]): State {
  tf.tidy(() => average.assign(average.mul(0.9).add(state.model.getWeights()[0]!.mul(0.1))));
  return good(state, batch);
}
