/** Math.random is another, seeded generator, whose state is nowhere. */
import { Rng } from "../../../mod.ts";
import { fit, fresh as good, type State } from "./common.ts";

export { loader } from "./common.ts";

export function fresh(): State {
  let rng = Rng.make(5);
  Math.random = () => {
    const [value, next] = Rng.float(rng);
    rng = next;
    return value;
  };
  return good();
}

export function step(state: State, batch: readonly number[]): State {
  fit(state.model, state.optimizer, batch);
  return { ...state, step: state.step + 1 };
}
