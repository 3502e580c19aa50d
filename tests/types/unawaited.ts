/**
 * Forgotten awaits. typescript-eslint's rule `no-floating-promises`, with `checkThenables`, finds each line whose comment says so.
 *
 * @module
 */
import {
  type Awaitable,
  type AwaitableIO,
  type AwaitableIOEither,
  type AwaitableTask,
  captureState,
  diff,
  directory,
  fit,
  id,
  list,
  Loader,
  loadState,
  memory,
  pipe,
  readSnapshot,
  release,
  restoreInto,
  resume,
  runOrThrow,
  saver,
  saveState,
  setLearningRate,
  train,
  writeSnapshot,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";

declare const task: Awaitable<Error, number>;
declare const plainTask: AwaitableTask<number>;
declare const effect: AwaitableIO<number>;
declare const effectThatMayFail: AwaitableIOEither<Error, number>;

export async function forgotten(): Promise<void> {
  const store = memory();
  const state = { step: 1 };
  const snapshot = captureState(state);
  task; // forgotten
  plainTask; // forgotten
  effect; // forgotten
  effectThatMayFail; // forgotten
  saveState(store)(state); // forgotten
  writeSnapshot(store)(snapshot); // forgotten
  loadState(store)(state); // forgotten
  resume(store)(state); // forgotten
  readSnapshot(store); // forgotten
  list(directory("x")); // forgotten
  saver(store).save(state); // forgotten
  saver(store).drain; // forgotten
  restoreInto(state)(snapshot); // forgotten
  id(snapshot); // forgotten
  diff(snapshot, snapshot); // forgotten
  release(snapshot); // forgotten
  setLearningRate(tf.train.sgd(1), 1); // forgotten
  fit({ to: store })(tf.sequential(), tf.ones([1]), tf.ones([1])); // forgotten
  if (state.step > 0) saveState(store)(state); // forgotten
  const loader = Loader.fromArray([1]);
  train({ loader, step: (s: { readonly cursor: Loader.Cursor }) => s })({ cursor: Loader.start(loader) }); // forgotten
  pipe(resume(store)(state), runOrThrow); // forgotten, a promise

  await saveState(store)(state);
  void saveState(store)(state);
  await pipe(resume(store)(state), TE.flatMap(saveState(store)), runOrThrow);
  await Promise.all([saveState(store)(state), id(snapshot)]);
  const saving = saveState(store)(state);
  await saving;
}

/** A task that is returned is for the caller to run. */
export function returned(): Awaitable<unknown, unknown> {
  return saveState(memory())({ step: 1 });
}
