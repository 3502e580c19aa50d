/**
 * Values: the parts of a run's state that are plain frozen data, each with its io-ts codec: random generators, schedules, loss scalers, permutations.
 *
 * Read `seed`, `math_random`, `rng` with `jump_ahead`, and `permutation`, then `schedule`, then `scaler`.
 *
 * Promises: no function changes its argument; a value is the same after JSON; draws, rates and permutations are the same bits in every runtime.
 *
 * @module
 */
export { type Seed, seedText } from "./seed.ts";
export { drawingFromSource, hookRandom } from "./math_random.ts";
export * as Rng from "./rng.ts";
export { make } from "./rng.ts";
export { algorithm, permutation } from "./permutation.ts";
export { Schedule, settingsOf } from "./schedule/mod.ts";
export * as Scaler from "./scaler.ts";
