/** The optimizer is a variable of the module, not a component. */
import type * as tf from "@tensorflow/tfjs";
import { Rng } from "../../../mod.ts";
import { fit, fresh as good, type State } from "./common.ts";

export { loader } from "./common.ts";

let optimizer: tf.Optimizer;

export function fresh(): Omit<State, "optimizer"> {
  const { optimizer: made, ...rest } = good();
  optimizer = made;
  return rest;
}

export function step(state: ReturnType<typeof fresh>, batch: readonly number[]): ReturnType<typeof fresh> {
  const [, rng] = Rng.withRandom(state.rng)(() => fit(state.model, optimizer, batch));
  return { ...state, rng, step: state.step + 1 };
}
