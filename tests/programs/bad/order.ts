/** A closure holds an order, and shuffles it anew for each step. */
import { Rng } from "../../../mod.ts";
import { batchSize, type State, step as good } from "./common.ts";

export { fresh, loader } from "./common.ts";

let rng = Rng.make(3);
const order = Array.from({ length: batchSize }, (_, i) => i);

export function step(state: State, batch: readonly number[]): State {
  for (let i = order.length - 1; i > 0; i--) {
    const [j, next] = Rng.int(0, i)(rng);
    rng = next;
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return good(state, order.map((i, k) => batch[i]! * (k + 1)));
}
