/** The best loss so far is in a variable of the module. */
import { Rng } from "../../../mod.ts";
import { fit, fresh as good, type State } from "./common.ts";

export { loader } from "./common.ts";

let best = Infinity;

export function fresh(): State & { readonly waited: number } {
  return { ...good(), waited: 0 };
}

export function step(state: ReturnType<typeof fresh>, batch: readonly number[]): ReturnType<typeof fresh> {
  const [loss, rng] = Rng.withRandom(state.rng)(() => fit(state.model, state.optimizer, batch));
  const waited = loss < best ? 0 : state.waited + 1;
  best = Math.min(best, loss);
  return { ...state, rng, waited, step: state.step + 1 };
}
