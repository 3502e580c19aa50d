/** Steps train a model that is in no component, and give back the one that is, untouched. */
import type * as tf from "@tensorflow/tfjs";
import { Rng } from "../../../mod.ts";
import { fit, fresh as good, type State } from "./common.ts";

export { loader } from "./common.ts";

const { model, optimizer } = good();

export function fresh(): Omit<State, "optimizer"> & { readonly optimizer: tf.Optimizer } {
  return good();
}

export function step(state: State, batch: readonly number[]): State {
  const [, rng] = Rng.withRandom(state.rng)(() => fit(model, optimizer, batch));
  return { ...state, rng, step: state.step + 1 };
}
