/**
 * Runs the steps of a training one at a time, as `train` does, and reports each state: from given components or from a checkpoint.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Recorder } from "./nondeterminism.ts";
import type { LoaderError, LoadError, StepFailed } from "../errors/mod.ts";
import { loadState, runTraining, type TrainingSteps } from "../run/mod.ts";
import { type Codec, type Codecs, type Options, ownCodecs } from "../codecs.ts";
import { captureState, type Snapshot } from "../snapshot.ts";
import type { Store } from "../store/mod.ts";

// --- types

/** A training as `train` takes it, with the function that builds its components. */
export interface Training<C extends object, A> extends TrainingSteps<C, A>, Options<Codecs, Codec> {
  /** Builds the components a run starts with, new ones at each call. */
  readonly fresh: () => C | Promise<C>;
  /**
   * The name of the component that holds the cursor.
   * @default "cursor"
   */
  readonly cursor?: string;
}

/** Receives each state with the number of batches before it; returns whether to continue. */
export type OnState<C> = (state: C, step: number) => Promise<boolean>;

/** From after how many batches, until after how many. */
export type Range = readonly [from: number, until: number];

// --- constructors

/** The name of a training's cursor. */
export function cursorName(training: { readonly cursor?: string }): string {
  return training.cursor ?? "cursor";
}

/** Captures a state with the codecs of its training. */
export function captureWith<C extends object, A>(training: Training<C, A>, state: C): Snapshot<unknown> {
  return captureState<object>(state, ownCodecs(training) as never);
}

// --- combinators

/** Waits for the next turn of the event loop, in which work runs that a step did not await. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/**
 * Runs steps on a state.
 *
 * @param training The training.
 * @param recorder Records while the user's own code runs.
 * @param range From after how many batches, until after how many.
 * @param onState Receives the state after each step.
 * @returns For a state, the last one, which comes earlier if the data ends earlier.
 */
export function runSteps<C extends object, A>(
  training: Training<C, A>,
  recorder: Pick<Recorder, "during">,
  [from, until]: Range,
  onState: OnState<C>,
): (state: C) => TaskEither<LoaderError | StepFailed, C> {
  return (initial) => async () => {
    let at = from;
    const run = runTraining<C, A, never>(training, cursorName(training), {
      around: recorder.during,
      after: async (state) => {
        const isWanted = await onState(state, ++at);
        if (isWanted) await nextTurn();
        return E.right(isWanted && at < until);
      },
    });
    return from >= until ? E.right(initial) : pipe(await run(initial)(), E.map(([last]) => last));
  };
}

/**
 * Restores the newest checkpoint of a store into fresh components, reports the state, and continues as {@link runSteps} does.
 *
 * @param onFresh Receives the fresh components.
 */
export function resumeSteps<C extends object, A>(
  store: Store,
  training: Training<C, A>,
  recorder: Pick<Recorder, "during">,
  range: Range,
  onState: OnState<C>,
  onFresh: (fresh: C) => void = () => {},
): TaskEither<LoadError | LoaderError | StepFailed, C> {
  return async () => {
    const fresh = await recorder.during(training.fresh);
    onFresh(fresh);
    const loaded = await loadState(store, ownCodecs(training))(fresh as never)();
    if (E.isLeft(loaded)) return loaded;
    const state = loaded.right as unknown as C;
    return await onState(state, range[0])
      ? await runSteps(training, recorder, range, onState)(state)()
      : E.right(state);
  };
}
