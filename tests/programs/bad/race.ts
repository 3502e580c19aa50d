/** A step does not await all that it starts. */
import * as tf from "@tensorflow/tfjs";
import { type State, step as good } from "./common.ts";

export { fresh, loader } from "./common.ts";

export function step(state: State, batch: readonly number[]): State {
  const next = good(state, batch);
  const bias = next.model.layers[0]!.weights[1]!.read() as tf.Variable;
  setTimeout(() => tf.tidy(() => bias.isDisposed || bias.assign(bias.mul(0.5))), 0);
  return next;
}
