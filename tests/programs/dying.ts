/**
 * A training that is well until it is resumed in a new process: there its step ends the process, or never ends.
 *
 * The process that runs the tests says of itself that it is not that one.
 *
 * @module
 */
import process from "node:process";
import { type State, step as good } from "./bad/common.ts";

export { fresh, loader } from "./bad/common.ts";

/** What is set where steps go well. */
export const here: symbol = Symbol.for("dogear.tests.here");

/** The variable of the environment that says how they do not elsewhere. */
export const way = "DOGEAR_TESTS_WAY";

export function step(state: State, batch: readonly number[]): State | Promise<State> {
  if (Reflect.get(globalThis, here) === true) return good(state, batch);
  if (process.env[way] === "exit") process.exit(3);
  return new Promise(() => setInterval(() => {}, 1000));
}
