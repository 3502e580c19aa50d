/** Dropout draws from Math.random as it is. */
import { fit, type State } from "./common.ts";

export { fresh, loader } from "./common.ts";

export function step(state: State, batch: readonly number[]): State {
  fit(state.model, state.optimizer, batch);
  return { ...state, step: state.step + 1 };
}
