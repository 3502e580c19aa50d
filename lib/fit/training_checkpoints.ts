/**
 * Finds the newest checkpoint of one training in a store that several trainings share.
 *
 * Laws: *nothing silent*: a damaged checkpoint is skipped only on request; *one line of history*: later saves continue the run of the checkpoint
 * that was found, or begin a new one.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import {
  beginRun,
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

/** The name of the training that saved a checkpoint. */
async function trainingName(store: Store, checkpoint: number): Promise<Either<ReadError, string>> {
  const found = await trainingOf(store, checkpoint);
  return E.isLeft(found) ? found : E.right(found.right.training ?? defaultTraining);
}

/** Checkpoints with the names of their trainings. The first is read alone, because it is nearly always the wanted one. */
async function* withNames(
  store: Store,
  [first, ...others]: readonly number[],
): AsyncGenerator<readonly [number, Either<ReadError, string>]> {
  if (first === undefined) return;
  yield [first, await trainingName(store, first)];
  yield* inOrder(others, (checkpoint) => trainingName(store, checkpoint));
}

/** The newest of these checkpoints that belongs to a training and verifies, or null. */
async function newestVerified(store: Store, training: string, descending: readonly number[]): Promise<number | null> {
  for (const checkpoint of descending) {
    const name = await trainingName(store, checkpoint);
    const isOwn = E.isRight(name) && name.right === training;
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
export async function newestOf(
  store: Store,
  training: string,
  fallback: boolean,
): Promise<Either<LoadError, FoundTraining | undefined>> {
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return numbers;
  forgetOthers(store, numbers.right);
  const descending = numbers.right.toReversed();
  const older = (checkpoint: number): readonly number[] => descending.filter((n) => n < checkpoint);
  const skipped: { readonly checkpoint: number; readonly error: LoadError }[] = [];
  let newest: Damaged | undefined;
  for await (const [checkpoint, name] of withNames(store, descending)) {
    if (E.isRight(name) && name.right !== training) continue;
    const read = E.isLeft(name) ? name : await guarded("load", store.location, readWanted(store, { checkpoint }))();
    if (E.isRight(read)) {
      const { snapshot, report, run } = read.right;
      setCurrentRun(store, run, training);
      return E.right({ snapshot, report: { ...report, skipped } });
    }
    const error = read.left;
    if (await isGone(store, [checkpoint])) return await newestOf(store, training, fallback);
    // A number without a checkpoint.
    if (error._tag === "NoCheckpoint") continue;
    if (error._tag !== "Damaged") return read;
    if (!fallback) return E.left({ ...error, older: await newestVerified(store, training, older(checkpoint)) });
    newest ??= error;
    skipped.push({ checkpoint, error });
    await skipDamaged(store, checkpoint);
  }
  if (newest !== undefined) return E.left({ ...newest, older: null });
  setCurrentRun(store, beginRun(), training);
  return E.right(undefined);
}
