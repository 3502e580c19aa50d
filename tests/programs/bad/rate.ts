/** A closure that `fresh` makes counts the steps for the learning rate. */
import { setLearningRate } from "../../../mod.ts";
import { fresh as good, type State, step as goodStep } from "./common.ts";

export { loader } from "./common.ts";

let rate = (): number => 0;

export function fresh(): State {
  let count = 0;
  rate = () => 0.1 / (1 + count++);
  return good();
}

export function step(state: State, batch: readonly number[]): State {
  setLearningRate(state.optimizer, rate())();
  return goodStep(state, batch);
}
