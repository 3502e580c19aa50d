/**
 * The newest checkpoint of one training among those of a store, which may hold several.
 *
 * Laws: *nothing silent*: a checkpoint that cannot be read is passed over only where that is asked for; *one line of history*: what follows is
 * saved along the run of the checkpoint that was found, or along a new one.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import { candidates, inOrder, isGone } from "./catalogue.ts";
import { type ReadError, readSummary, verifyCheckpoint } from "./checkpoint.ts";
import type { Damaged, LoadError } from "./errors.ts";
import { readSnapshot, type Report } from "./loading.ts";
import { newLine, passOver, placeOf, setLine } from "./runs.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Store } from "./store.ts";
import { defaultTraining } from "./trainings.ts";

// --- types

/** A checkpoint of a training, read. */
export interface FoundTraining {
  readonly snapshot: Snapshot<unknown>;
  readonly report: Report;
}

// --- capture and restore

/** The trainings that committed checkpoints belong to, by place and number: they do not change. */
const known = new WeakMap<object, Map<number, string>>();

/** What is known of a place's checkpoints. */
function knownOf(store: Store): Map<number, string> {
  const place = placeOf(store);
  const names = known.get(place) ?? new Map<number, string>();
  known.set(place, names);
  return names;
}

/** Forgets what is not there any more; and all, where the highest number is lower than before: the folder was made anew. */
function forgetGone(store: Store, numbers: readonly number[]): void {
  const names = knownOf(store);
  const there = new Set(numbers);
  const anew = [...names.keys()].some((checkpoint) => checkpoint > (numbers.at(-1) ?? -1));
  for (const checkpoint of names.keys()) if (anew || !there.has(checkpoint)) names.delete(checkpoint);
}

/** The training that a checkpoint belongs to. */
async function trainingAt(store: Store, checkpoint: number): Promise<Either<ReadError, string>> {
  const names = knownOf(store);
  const name = names.get(checkpoint);
  if (name !== undefined) return E.right(name);
  const summary = await readSummary(store, checkpoint)();
  if (E.isLeft(summary)) return summary;
  const { training = defaultTraining } = summary.right;
  names.set(checkpoint, training);
  return E.right(training);
}

/** Checkpoints with the trainings that they belong to; the first is read alone, because it nearly always is the one. */
async function* descendingNames(
  store: Store,
  [first, ...others]: readonly number[],
): AsyncGenerator<readonly [number, Either<ReadError, string>]> {
  if (first === undefined) return;
  yield [first, await trainingAt(store, first)];
  yield* inOrder(others, (checkpoint) => trainingAt(store, checkpoint));
}

/** The next older checkpoint of a training that verifies, or null. */
async function olderThat(store: Store, training: string, older: readonly number[]): Promise<number | null> {
  for (const checkpoint of older) {
    const name = await trainingAt(store, checkpoint);
    const own = E.isRight(name) && name.right === training;
    if (own && E.isRight(await verifyCheckpoint(store, checkpoint)())) return checkpoint;
  }
  return null;
}

/**
 * The newest checkpoint of a training, read whole.
 *
 * @param store Where it is saved.
 * @param training Its name.
 * @param fallback Whether an older one will do when the newest is damaged.
 * @returns The checkpoint, or undefined if the training has none; its left is as for `readSnapshot`. One whose manifest cannot be read may be
 *   of this training: it counts as damaged.
 */
export async function newestOf(
  store: Store,
  training: string,
  fallback: boolean,
): Promise<Either<LoadError, FoundTraining | undefined>> {
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return numbers;
  forgetGone(store, numbers.right);
  const descending = numbers.right.toReversed();
  const older = (checkpoint: number): readonly number[] => descending.filter((n) => n < checkpoint);
  const skipped: { readonly checkpoint: number; readonly error: LoadError }[] = [];
  let newest: Damaged | undefined;
  for await (const [checkpoint, name] of descendingNames(store, descending)) {
    if (E.isRight(name) && name.right !== training) continue;
    const read = E.isLeft(name) ? name : await opened(store, checkpoint);
    if (E.isRight(read)) {
      const { snapshot, report } = read.right;
      setLine(store, { run: report.run, parent: checkpoint, step: null }, training);
      return E.right({ snapshot, report: { ...report, skipped } });
    }
    const error = read.left;
    if (await isGone(store, [checkpoint])) return await newestOf(store, training, fallback);
    // A number that turns out to have none.
    if (error._tag === "NoCheckpoint") continue;
    if (error._tag !== "Damaged") return read;
    if (!fallback) return E.left({ ...error, older: await olderThat(store, training, older(checkpoint)) });
    newest ??= error;
    skipped.push({ checkpoint, error });
    const summary = await readSummary(store, checkpoint)();
    if (E.isRight(summary)) passOver(store, checkpoint, summary.right.time);
  }
  if (newest !== undefined) return E.left({ ...newest, older: null });
  setLine(store, newLine(), training);
  return E.right(undefined);
}

/** One checkpoint with its report. */
async function opened(store: Store, checkpoint: number): Promise<Either<LoadError, FoundTraining>> {
  let report: Report | undefined;
  const read = await readSnapshot(store, { checkpoint, onReport: (r) => report = r })();
  return E.isLeft(read) ? read : E.right({ snapshot: read.right, report: report as Report });
}
