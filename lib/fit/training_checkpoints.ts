/**
 * Finds the newest checkpoint of one training in a store that several trainings share.
 *
 * Laws: *nothing silent*: a damaged checkpoint is skipped only on request; *one line of history*: later saves continue the run of the checkpoint
 * that was found, or begin a new one.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import {
  beginFirstRun,
  candidates,
  forgetOthers,
  inOrder,
  isGone,
  type ReadError,
  setCurrentRun,
  trainingOf,
  verifyCheckpoint,
} from "../checkpoint/mod.ts";
import { type Damaged, guarded, type LoadError } from "../errors/mod.ts";
import { defaultTraining, type LoadedSnapshot, readWanted, skipDamaged } from "../run/mod.ts";
import type { Store } from "../store/mod.ts";

// --- types

/** A checkpoint of a training, read. */
export type FoundTraining = Pick<LoadedSnapshot, "snapshot" | "report">;

// --- capture and restore

/** Whether a checkpoint is of a training. */
async function isOf(store: Store, training: string, checkpoint: number): Promise<E.Either<ReadError, boolean>> {
  return pipe(await trainingOf(store, checkpoint), E.map((found) => (found.training ?? defaultTraining) === training));
}

/** For each checkpoint, whether it is of a training. The first is read alone, because it is nearly always the wanted one. */
async function* belonging(
  store: Store,
  training: string,
  [first, ...others]: readonly number[],
): AsyncGenerator<readonly [number, E.Either<ReadError, boolean>]> {
  if (first === undefined) return;
  yield [first, await isOf(store, training, first)];
  yield* inOrder(others, (checkpoint) => isOf(store, training, checkpoint));
}

/** The newest of these checkpoints that belongs to a training and verifies, or null. */
async function newestVerified(store: Store, training: string, descending: readonly number[]): Promise<number | null> {
  for (const checkpoint of descending) {
    const isOwn = E.getOrElse(() => false)(await isOf(store, training, checkpoint));
    if (isOwn && E.isRight(await verifyCheckpoint(store, checkpoint)())) return checkpoint;
  }
  return null;
}

/**
 * Reads the newest checkpoint of a training.
 *
 * @param store The store.
 * @param training The name of the training.
 * @param fallback Whether to read an older checkpoint if the newest is damaged.
 * @returns The checkpoint, or undefined if the training has none. The left is as for `readSnapshot`. A checkpoint with an unreadable manifest may be
 *   of this training, so it counts as damaged.
 */
export function newestOf(
  store: Store,
  training: string,
  fallback: boolean,
): TaskEither<LoadError, FoundTraining | undefined> {
  return async () => {
    const numbers = await candidates(store)();
    if (E.isLeft(numbers)) return numbers;
    forgetOthers(store, numbers.right);
    const descending = numbers.right.toReversed();
    const skipped: { readonly checkpoint: number; readonly error: Damaged }[] = [];
    for await (const [checkpoint, isOwn] of belonging(store, training, descending)) {
      if (E.isRight(isOwn) && !isOwn.right) continue;
      const read = E.isLeft(isOwn) ? isOwn : await guarded("load", store.location, readWanted(store, { checkpoint }))();
      if (E.isRight(read)) {
        const { snapshot, report, run } = read.right;
        setCurrentRun(store, run, training);
        return E.right({ snapshot, report: { ...report, skipped } });
      }
      const error = read.left;
      if (await isGone(store, [checkpoint])) return await newestOf(store, training, fallback)();
      // A number without a checkpoint.
      if (error._tag === "NoCheckpoint") continue;
      if (error._tag !== "Damaged") return read;
      if (!fallback) {
        const older = descending.filter((n) => n < checkpoint);
        return E.left({ ...error, older: await newestVerified(store, training, older) });
      }
      skipped.push({ checkpoint, error });
      await skipDamaged(store, checkpoint);
    }
    const [newest] = skipped;
    if (newest !== undefined) return E.left({ ...newest.error, older: null });
    setCurrentRun(store, beginFirstRun(numbers.right), training);
    return E.right(undefined);
  };
}
