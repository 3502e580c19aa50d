/** The time at which the module is loaded is in the data. */
import { scaledStep as good, type State } from "./common.ts";

export { fresh, loader } from "./common.ts";

const begun = new Date().getTime();

export function step(state: State, batch: readonly number[]): State {
  return good(state, batch, 1 + begun % 100_000 / 100_000);
}
