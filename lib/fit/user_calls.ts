/**
 * Calls of user code within a training: what it throws is an error value, and what it draws comes from the training's generator.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { StepFailed } from "../errors/mod.ts";
import type { TrainingState } from "./training_state.ts";
import { Rng } from "../values/mod.ts";
import { onDevice } from "../tfjs/mod.ts";

// --- combinators

/** Runs a synchronous thunk that draws from the training's generator where it calls `Math.random`. */
export function drawing<A>(state: TrainingState, thunk: () => A): A {
  let value!: A;
  [, state.rng] = Rng.withRandom(state.rng)((): void => {
    value = thunk();
  });
  return value;
}

/** Runs one part of a step. An exception is `StepFailed`, by the callback that was being called or by the training. */
export function tryStep<A>(state: TrainingState, part: () => A | Promise<A>): TaskEither<StepFailed, A> {
  return async () => {
    try {
      return E.right(await onDevice(part));
    } catch (cause) {
      const { at: { step, epoch }, calling } = state;
      state.calling = undefined;
      return E.left({ _tag: "StepFailed", cause, at: step, by: calling ?? "training", epoch });
    }
  };
}

/** Calls a method of all callbacks, and records its name for {@link tryStep}. */
export async function calling(state: TrainingState, name: string, call: () => void | Promise<void>): Promise<void> {
  state.calling = name;
  await call();
  state.calling = undefined;
}
