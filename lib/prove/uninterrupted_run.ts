/**
 * The uninterrupted run of a proof, and the cold start that must differ from it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { recordAmbient } from "./nondeterminism.ts";
import type { Cursor } from "../loader/mod.ts";
import type { LoaderError, StepFailed } from "../errors/mod.ts";
import { diff, id, release, type Snapshot } from "../snapshot.ts";
import { componentTensors, recordMutations } from "./mutations.ts";
import { captureWith, cursorName, nextTurn, runSteps, type Training } from "./steps.ts";

// --- types

/** The run that is never interrupted: a snapshot, its id and the cursor for each state, from the fresh one to the last. */
export interface StraightRun {
  readonly snapshots: readonly Snapshot<unknown>[];
  readonly ids: readonly string[];
  readonly cursors: readonly Cursor.Cursor[];
  /** What steps mutated and no component holds. */
  readonly unlisted: readonly string[];
  /** The first path at which the state changed after a step had ended, if any. */
  readonly late: readonly string[];
}

/** Disposes of the tensors of the runs of a proof. */
export interface TensorOwner {
  /** Receives fresh components, and disposes of the run before. */
  readonly onFresh: (state: object) => void;
  /** Receives each state of the current run. */
  readonly onState: (state: object) => void;
  readonly close: () => void;
}

// --- constructors

/** Owns the tensors in fresh components and states, except those older than itself and those that `fresh` returns more than once. */
export function tensorOwner(): TensorOwner {
  const mark = tf.scalar(0);
  mark.dispose();
  const shared = new Set<tf.Tensor>();
  let owned: ReadonlySet<tf.Tensor> = new Set();
  const dispose = (): void => {
    for (const tensor of owned) if (tensor.id > mark.id && !shared.has(tensor) && !tensor.isDisposed) tensor.dispose();
  };
  return {
    onFresh: (state) => {
      const now = componentTensors(state);
      for (const tensor of now) if (owned.has(tensor)) shared.add(tensor);
      dispose();
      owned = now;
    },
    onState: (state) => owned = new Set([...owned, ...componentTensors(state)]),
    close: dispose,
  };
}

// --- combinators

/** The first path, if any, at which a state changes within a turn of the event loop, because its step left work running. */
async function lateChange<C extends object, A>(
  training: Training<C, A>,
  state: C,
  snapshot: Snapshot<unknown>,
): Promise<readonly string[]> {
  await nextTurn();
  using after = captureWith(training, state);
  return (await diff(snapshot, after)()).slice(0, 1).map(({ path }) => path);
}

/**
 * Runs a training for some steps without interruption, and captures each state.
 *
 * @returns The run, whose snapshots the receiver releases; after an error none are left.
 */
export function runStraight<C extends object, A>(
  training: Training<C, A>,
  steps: number,
  owner: TensorOwner,
): TaskEither<LoaderError | StepFailed, StraightRun> {
  return async () => {
    const [snapshots, ids, cursors]: [Snapshot<unknown>[], string[], Cursor.Cursor[]] = [[], [], []];
    const unlisted = new Set<string>();
    let late: readonly string[] = [];
    const mutations = recordMutations();
    const onState = async (state: C): Promise<boolean> => {
      owner.onState(state);
      const snapshot = captureWith(training, state);
      snapshots.push(snapshot);
      const inSnapshot = new Set<object>(snapshot.hold.arrays.map(({ identity }) => identity));
      for (const name of mutations.changed(inSnapshot)) unlisted.add(name);
      cursors.push((state as Record<string, Cursor.Cursor>)[cursorName(training)]!);
      const changed = await lateChange(training, state, snapshot);
      if (late.length === 0) late = changed;
      ids.push(await id(snapshot)());
      return true;
    };
    let isComplete = false;
    try {
      const fresh = await training.fresh();
      owner.onFresh(fresh);
      await onState(fresh);
      const { step, onEpochEnd } = training;
      const recorded: Training<C, A> = {
        ...training,
        step: (...args) => mutations.during(async () => await step(...args)),
        ...(onEpochEnd && { onEpochEnd: (...args) => mutations.during(async () => await onEpochEnd(...args)) }),
      };
      const unrecorded = { during: async <B>(run: () => B | PromiseLike<B>): Promise<B> => await run() };
      const ran = await runSteps<C, A>(recorded, unrecorded, [0, steps], onState)(fresh)();
      isComplete = E.isRight(ran);
      return pipe(ran, E.map(() => ({ snapshots, ids, cursors, unlisted: [...unlisted], late })));
    } finally {
      if (!isComplete) { for (const snapshot of snapshots) release(snapshot)(); }
    }
  };
}

/** The number of paths, other than the cursor's, at which a cold start in the middle of the data ends differently. */
export function countColdDifferences<C extends object, A>(
  training: Training<C, A>,
  { snapshots, cursors }: StraightRun,
  owner: TensorOwner,
): TaskEither<LoaderError, number> {
  const name = cursorName(training);
  return async () => {
    const steps = snapshots.length - 1;
    const from = Math.max(1, Math.floor(steps / 2));
    const fresh = await training.fresh();
    owner.onFresh(fresh);
    const state = { ...fresh, [name]: cursors[from] };
    const ran = await runSteps<C, A>(training, recordAmbient(), [from, steps], () => Promise.resolve(true))(state)();
    if (E.isLeft(ran)) return ran.left._tag === "StepFailed" ? E.right(1) : E.left(ran.left);
    owner.onState(ran.right);
    using end = captureWith(training, ran.right);
    const places = await diff(snapshots[steps]!, end)();
    return E.right(places.filter(({ path }) => path !== name && !path.startsWith(`${name}/`)).length);
  };
}
