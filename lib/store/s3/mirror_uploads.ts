/**
 * The uploads of a mirror: which checkpoint is next, its copy, and what retention removes afterwards.
 *
 * The remote takes numbers in ascending order only. Once it has a checkpoint, it can never get an older one. So of the checkpoints that wait, the lowest one
 * that the retention policy keeps is next.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import {
  candidates,
  copyCheckpoint,
  type CopyError,
  entriesOf,
  overtakenBy,
  readSummary,
  retain,
} from "../../checkpoint/mod.ts";
import { explain, guarded, type Overtaken, type StoreFailed } from "../../errors/mod.ts";
import { compareStores, type MirrorLine } from "./mirror_line.ts";
import type { Mirror, UploadError } from "./mirror_state.ts";
import { decisionOf, sha256Of, type Store, storeFailed } from "../mod.ts";

// --- comparing

/** Compares the stores of a mirror. */
export function compared({ local, remote, state }: Mirror): TE.TaskEither<StoreFailed, MirrorLine> {
  return () => compareStores({ local, remote, sent: state().sent })();
}

/** The remote's newest checkpoint as what overtakes a save. */
export async function overtakenAt({ remote }: Mirror, checkpoint: number): Promise<Overtaken> {
  const summary = await readSummary(remote, checkpoint)();
  return E.isRight(summary)
    ? overtakenBy(checkpoint, summary.right)
    : { _tag: "Overtaken", checkpoint, step: null, by: "another machine" };
}

async function uploadFailed(mirror: Mirror, checkpoint: number, error: CopyError): Promise<UploadError> {
  const { local } = mirror;
  if (error._tag !== "StoreFailed" && error._tag !== "Overtaken") {
    return storeFailed("upload", local.locationOf(checkpoint), "EDAMAGED", explain(error));
  }
  if (error._tag === "Overtaken" || error.code !== "ETAKEN") return error;
  const line = await compared(mirror)();
  if (E.isLeft(line) || !line.right.lost.has(checkpoint)) return error;
  return await overtakenAt(mirror, line.right.base);
}

// --- uploading

/**
 * The next of the local checkpoints that wait for the upload, ascending: the lowest one that the retention policy of the local store keeps, or else that of the
 * remote, applied to the local checkpoints. Without a policy it is the newest: a backlog behind a slow connection would never end.
 */
async function chosen(
  { local, remote }: Mirror,
  own: readonly number[],
  waiting: readonly number[],
): Promise<number | undefined> {
  const policy = local.keep ?? remote.keep;
  const newest = waiting.at(-1);
  if (policy === undefined || newest === undefined || waiting.length === 1) return newest;
  const entries = await entriesOf(local, own);
  const kept = new Set<number>();
  for (const run of new Set(entries.map((entry) => entry.run))) {
    const ofRun = entries.filter((entry) => entry.run === run);
    // Where a policy throws, retention removes nothing. Here only the newest is uploaded then.
    const decision = E.tryCatch(() => decisionOf(policy, ofRun, Date.now()), E.toError);
    if (E.isRight(decision)) { for (const number of decision.right.keep) kept.add(number); }
  }
  return waiting.find((number) => number === newest || kept.has(number));
}

/** The local checkpoint to upload next, undefined if there is none. */
async function nextUpload(mirror: Mirror): Promise<E.Either<UploadError, number | undefined>> {
  const { local, state } = mirror;
  const known = state();
  if (known.line === undefined || known.isStale) {
    const line = await compared(mirror)();
    if (E.isLeft(line)) return line;
    const { lost, base } = line.right;
    // The next save has to look what it follows.
    if (lost.size > 0) known.isChecked = false;
    const isKnown = [...lost].every((number) => known.view?.lost.has(number) === true);
    if (!isKnown) return E.left(await overtakenAt(mirror, base));
    known.line = line.right;
    known.isStale = false;
  }
  const { base, lost } = known.line;
  const numbers = await candidates(local)();
  if (E.isLeft(numbers)) return numbers;
  const own = numbers.right.filter((number) => !lost.has(number));
  return E.right(await chosen(mirror, own, own.filter((number) => number > base)));
}

/** Applies the retention policy of a store to the run of a checkpoint. The protected ones stay. */
async function retainIn(store: Store, checkpoint: number, run: string, isProtected: (n: number) => boolean) {
  const numbers = store.keep === undefined ? undefined : await candidates(store)();
  if (store.keep === undefined || numbers === undefined || E.isLeft(numbers)) return;
  const remove: Store["remove"] = (number) => isProtected(number) ? TE.right(undefined) : store.remove(number);
  await retain({ ...store, remove }, store.keep, await entriesOf(store, numbers.right, run), checkpoint);
}

/**
 * Applies the retention policy of the local store to the run of a checkpoint. Kept in any case is what the remote has or may get, and what follows each,
 * which shows whose line the remote continues.
 */
export async function retainLocal(
  { local, state }: Mirror,
  checkpoint: number,
  run: string,
): Promise<void> {
  const { line, sent } = state();
  const numbers = await candidates(local)();
  if (line === undefined || E.isLeft(numbers)) return;
  const bases = [line.base, [...sent.keys()].at(-1) ?? line.base];
  const isProtected = new Set([...bases, ...bases.map((base) => numbers.right.find((number) => number > base))]);
  await retainIn(local, checkpoint, run, (number) => isProtected.has(number));
}

/**
 * Takes a copy back if another machine has saved in its run under a number between it and the one that it follows. A store refuses a number that is taken, but
 * not one beyond the next while another save takes that.
 */
async function checkGap(mirror: Mirror, base: number, checkpoint: number): Promise<E.Either<UploadError, void>> {
  const { local, remote } = mirror;
  if (checkpoint === base + 1) return E.right(undefined);
  const [numbers, own] = [await candidates(remote)(), await readSummary(local, checkpoint)()];
  if (E.isLeft(numbers)) return numbers;
  for (const number of numbers.right.filter((number) => number > base && number < checkpoint)) {
    const theirs = await readSummary(remote, number)();
    if (E.isLeft(own) || E.isLeft(theirs) || theirs.right.run !== own.right.run) continue;
    const removed = await remote.remove(checkpoint)();
    return E.isLeft(removed) ? removed : E.left(await overtakenAt(mirror, number));
  }
  return E.right(undefined);
}

/** Uploads until the remote has the newest local checkpoint, and those before it that the policy keeps. */
async function uploadAll(mirror: Mirror): Promise<E.Either<UploadError, void>> {
  const { local, remote, state } = mirror;
  for (;;) {
    const next = await nextUpload(mirror);
    if (E.isLeft(next)) return next;
    const [checkpoint, { line, sent }] = [next.right, state()];
    if (checkpoint === undefined || line === undefined) return E.right(undefined);
    const manifest = await local.manifest(checkpoint)();
    if (E.isRight(manifest)) sent.set(checkpoint, sha256Of(manifest.right));
    const copied = await copyCheckpoint(local, remote, { after: line.base })(checkpoint)();
    // Removed meanwhile, by hand.
    if (E.isLeft(copied) && copied.left._tag === "NoCheckpoint") continue;
    if (E.isLeft(copied)) {
      state().isStale = true;
      return E.left(await uploadFailed(mirror, checkpoint, copied.left));
    }
    const checked = await checkGap(mirror, line.base, checkpoint);
    if (E.isLeft(checked)) {
      state().isStale = true;
      return checked;
    }
    state().line = { ...line, base: checkpoint, remote: [...line.remote, checkpoint] };
    for (const number of [...sent.keys()]) if (number !== checkpoint) sent.delete(number);
    const summary = await readSummary(local, checkpoint)();
    if (E.isRight(summary)) await retainIn(remote, checkpoint, summary.right.run, () => false);
  }
}

/** Begins to upload, unless an upload runs, which will take the newest checkpoint next. */
export function startUploads(mirror: Mirror): void {
  const known = mirror.state();
  if (known.uploading !== undefined) return;
  const done = guarded<UploadError, void>("upload", mirror.remote.location, () => uploadAll(mirror))()
    .catch((cause: unknown) => E.left(storeFailed("upload", mirror.remote.location, "EUNKNOWN", String(cause))))
    .then((result) => {
      known.uploading = undefined;
      if (E.isRight(result)) return;
      const error = result.left;
      if (error._tag === "Overtaken") [known.overtaken, known.isChecked, known.isStale] = [error, false, true];
      else if (mirror.onFailed === undefined) known.failed = error;
      mirror.onFailed?.(error);
    });
  known.uploading = done;
}

/** Applies the retention policy of the local store once no upload needs its checkpoints. The uploads have ended, so nothing here can fail them. */
async function retainUploaded(mirror: Mirror): Promise<void> {
  const newest = mirror.local.keep === undefined ? E.right([]) : await candidates(mirror.local)();
  const checkpoint = E.isRight(newest) ? newest.right.at(-1) : undefined;
  if (checkpoint === undefined) return;
  const summary = await readSummary(mirror.local, checkpoint)();
  if (E.isRight(summary)) await retainLocal(mirror, checkpoint, summary.right.run);
}

/** Waits for the uploads. What failed before is tried again first. */
export function drainOf(mirror: Mirror): TE.TaskEither<UploadError, void> {
  return async () => {
    const known = mirror.state();
    await known.uploading;
    if (known.overtaken !== undefined) return E.left(known.overtaken);
    known.failed = undefined;
    let failed: UploadError | undefined;
    startUploads({ ...mirror, onFailed: (error) => (failed = error) });
    await known.uploading;
    if (failed === undefined) {
      await retainUploaded(mirror);
      return E.right(undefined);
    }
    mirror.onFailed?.(failed);
    return E.left(failed);
  };
}
