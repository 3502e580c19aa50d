/**
 * A local store whose checkpoints are uploaded to a remote one in the background.
 *
 * A save is committed by the local store alone, under a number that the remote does not have either. One upload runs at a time. When it ends, the next one is
 * chosen, see `mirror_uploads.ts`. An upload is committed only if the remote's newest checkpoint is still the one that it follows.
 *
 * | a kill | leaves |
 * |---|---|
 * | before the local commit | both as before |
 * | before the remote commit | the checkpoint in the local store; the next save or `drain` uploads it |
 * | after it | the same checkpoint in both |
 *
 * While uploads run, retention keeps four local checkpoints in any case: the newest that the remote has, the one that is being uploaded, and those after
 * each, which show whether the remote was continued by this machine or by another one. `drain` applies the policy again once nothing waits.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { candidates, decodeSummary, readSummary } from "../../checkpoint/mod.ts";
import type { NoCheckpoint, StoreFailed } from "../../errors/mod.ts";
import { type Awaitable, awaitable } from "../../task.ts";
import { aFunction, checkOptions, ifGiven, type OptionRules } from "../../validation/mod.ts";
import { type MirrorLine, numbersOf } from "./mirror_line.ts";
import { type Mirror, type MirrorOptions, stateOf, type UploadError } from "./mirror_state.ts";
import { compared, drainOf, overtakenAt, retainLocal, startUploads } from "./mirror_uploads.ts";
import { checkStore, type CommitCondition, ofCheckpoint, ofPart, type Saving, savingOf, type Store } from "../mod.ts";

const optionRules: OptionRules<MirrorOptions> = { onFailed: ifGiven(aFunction) };

// --- types

/** A store whose checkpoints are copied to another one in the background. */
export interface MirroredStore extends Store {
  /** Waits for the uploads. What failed before is tried again first. */
  readonly drain: Awaitable<UploadError, void>;
}

// --- saving

/** The condition of the local commit: that of the save, without lost checkpoints, under a number above all of the remote's. */
function localCondition(
  { base, lost }: MirrorLine,
  newest: number,
  condition: CommitCondition | undefined,
): CommitCondition | undefined {
  const { key, parent, check } = condition ?? { key: "mirror", parent: base, check: () => TE.right(undefined) };
  if (condition === undefined && newest >= base) return undefined;
  return {
    ...condition,
    key,
    parent,
    ...(newest < base && { number: base + 1 }),
    check: (numbers) => check(numbers.filter((number) => !lost.has(number))),
  };
}

/** Removes what another machine has overtaken, and what the policy does not keep. The save is committed, so nothing here can fail it. */
async function afterCommit(
  mirror: Mirror,
  { lost }: MirrorLine,
  checkpoint: number,
  manifest: Uint8Array,
): Promise<void> {
  const { local, state } = mirror;
  const known = state();
  const removed = await TE.sequenceSeqArray([...lost].map((number) => local.remove(number)))();
  const { line } = known;
  if (line === undefined) return;
  if (E.isRight(removed)) known.line = { ...line, lost: new Set([...line.lost].filter((n) => !lost.has(n))) };
  const summary = decodeSummary(manifest);
  if (E.isRight(summary)) await retainLocal(mirror, checkpoint, summary.right.run);
}

/** What a save knows of the two stores. */
interface Begun {
  readonly line: MirrorLine;
  /** What loads knew before the comparison that this save made, if it made one. */
  readonly compared: { readonly before: MirrorLine | undefined } | undefined;
}

/** Whether a save follows a checkpoint that another machine has overtaken. */
async function followsLost(
  { local }: Mirror,
  { line: { lost, remote }, compared }: Begun,
  manifest: Uint8Array,
): Promise<boolean> {
  const summary = decodeSummary(manifest);
  if (lost.size === 0 || E.isLeft(summary)) return false;
  const { run, parent } = summary.right;
  if (parent !== null) {
    // With the number of a lost one, the remote's is the parent only if the load knew that the local one was lost.
    return lost.has(parent) && !(remote.includes(parent) && compared?.before?.lost.has(parent) === true);
  }
  for (const number of lost) {
    const own = await readSummary(local, number)();
    if (E.isRight(own) && own.right.run === run) return true;
  }
  return false;
}

/** Fails if another machine has saved in the run: after the parent, or in place of it. */
function checkRemote(
  mirror: Mirror,
  begun: Begun,
  manifest: Uint8Array,
  condition: CommitCondition,
): TE.TaskEither<UploadError, void> {
  if (begun.compared === undefined) return TE.right(undefined);
  const { base, local, lost, remote } = begun.line;
  const own = new Set(local.filter((number) => !lost.has(number)));
  return pipe(
    TE.fromTask(() => followsLost(mirror, begun, manifest)),
    TE.flatMap((isLost): TE.TaskEither<UploadError, void> =>
      isLost
        ? async () => E.left(await overtakenAt(mirror, base))
        : condition.check(remote.filter((number) => number > condition.parent && !own.has(number)))
    ),
  );
}

function commitIn(
  mirror: Mirror,
  saving: Saving,
  begun: Begun,
  manifest: Uint8Array,
  condition: CommitCondition | undefined,
): TE.TaskEither<UploadError, number> {
  return pipe(
    condition === undefined ? TE.right(undefined) : checkRemote(mirror, begun, manifest, condition),
    TE.flatMap((): TE.TaskEither<UploadError, readonly number[]> => candidates(mirror.local)),
    TE.flatMap((numbers) => saving.commit(manifest, localCondition(begun.line, numbers.at(-1) ?? -1, condition))),
    TE.tapTask((checkpoint) => async () => {
      const known = mirror.state();
      if (begun.compared !== undefined) [known.isChecked, known.overtaken] = [true, undefined];
      await afterCommit(mirror, begun.line, checkpoint, manifest);
      startUploads(mirror);
    }),
  );
}

/** Compares the stores, if no save of this process has done so since it was overtaken. */
async function beginLine(mirror: Mirror): Promise<E.Either<StoreFailed, Begun>> {
  const known = mirror.state();
  if (known.isChecked && known.line !== undefined) return E.right({ line: known.line, compared: undefined });
  await known.uploading;
  const before = known.view;
  return pipe(
    await compared(mirror)(),
    E.map((line) => ({ line: known.line = known.view = line, compared: { before } })),
  );
}

/** Begins a save. The first one of a process compares the stores, and so must reach the remote. */
function beginIn(mirror: Mirror): TE.TaskEither<StoreFailed, Saving> {
  return async () => {
    const known = mirror.state();
    const { failed } = known;
    if (failed !== undefined) {
      known.failed = undefined;
      startUploads(mirror);
      return E.left(failed);
    }
    const begun = await beginLine(mirror);
    if (E.isLeft(begun)) return begun;
    return pipe(
      await mirror.local.begin(),
      E.map((saving) =>
        savingOf({
          put: saving.put,
          reuse: saving.reuse,
          discard: saving.abort,
          ...(saving.checksCondition !== undefined && { checksCondition: saving.checksCondition }),
          commit: (manifest, condition) => commitIn(mirror, saving, begun.right, manifest, condition),
        })
      ),
    );
  };
}

// --- reading

/** Compares the stores, for what is read afterwards. */
function numbersIn(mirror: Mirror): TE.TaskEither<StoreFailed, readonly number[]> {
  return pipe(compared(mirror), TE.map((line) => numbersOf(mirror.state().view = line)));
}

/** Reads a checkpoint from the local store, or from the remote if the local one does not have it or has lost it. */
function readIn<A>(
  mirror: Mirror,
  checkpoint: number,
  read: (store: Store) => TE.TaskEither<StoreFailed | NoCheckpoint, A>,
): TE.TaskEither<StoreFailed | NoCheckpoint, A> {
  const { local, remote, state } = mirror;
  return async () => {
    const compared = state().view === undefined ? await numbersIn(mirror)() : E.right([]);
    if (E.isLeft(compared)) return compared;
    const isLost = state().view?.lost.has(checkpoint) === true;
    const own = isLost ? undefined : await read(local)();
    if (own !== undefined && (E.isRight(own) || own.left._tag !== "NoCheckpoint")) return own;
    const theirs = await read(remote)();
    if (E.isRight(theirs) || theirs.left._tag !== "NoCheckpoint") return theirs;
    const numbers = await numbersIn(mirror)();
    return E.isLeft(numbers) ? numbers : E.left({ ...theirs.left, location: local.location, available: numbers.right });
  };
}

// --- constructors

/**
 * A local store whose checkpoints are uploaded to a remote one in the background: `mirrored(directory(path), s3(url))`.
 *
 * A save takes as long as in the local store. Uploads run one at a time, in ascending order. Of the checkpoints that wait for one, those are uploaded that the
 * retention policy of the local store keeps (or that of the remote, if the local store has none), such as the best one. Those that the policy has removed
 * meanwhile are skipped. If neither store has a policy, only the newest is uploaded, and the others that wait are skipped.
 *
 * A machine that is lost loses what was not uploaded; `train`, `fit` and `drain` of `saver` wait for the uploads at their ends, and `drain` of this store does so
 * for `saveState`. While uploads run, the local store has up to four checkpoints more than its policy keeps; `drain` removes them. Loads see the checkpoints of
 * both stores under the same numbers. They read the local copy, or the remote one if the local one is missing or damaged.
 *
 * A remote that is down never stops a save after the first of a process, and the local checkpoints stay. Without `onFailed` the next save fails when an upload
 * has failed, which ends a training: a training gives `onFailed`. How long `drain` waits is up to the remote: it makes the upload in progress, and those of what the policy keeps.
 * `s3` gives a request up after 9 attempts: 22 s after a server that refuses, 5 minutes after one that never answers with the default `timeout` of 30 s.
 *
 * The remote decides which line of history is right. If another machine has saved there since, the upload is refused, and the next save fails with
 * `Overtaken`. From then on loads ignore the local checkpoints that were overtaken, and the first save after such a load removes them.
 *
 * @param local The store that commits. No other process may save to it meanwhile. Remove checkpoints through the mirror, not from this store.
 * @param remote The store that gets the copies. Loads and the first save of a process must reach it.
 * @param options What to do with the error of an upload.
 * @returns The store, with `drain`. Each of the two stores applies its own retention policy; what it removes is not in the result of the save. The error of an
 *   upload that failed comes from the next save, once, or from `drain`, which tries again first; the checkpoint stays in the local store.
 *
 * Law: the remote has no checkpoint that the local store did not commit, and none of other bytes.
 *
 * @example
 * ```ts
 * import { memory, resume, saveState } from "@dogear/dogear";
 * import { mirrored } from "@dogear/dogear/s3";
 * import assert from "node:assert/strict";
 *
 * const [disk, bucket] = [memory(), memory()];
 * const store = mirrored(disk, bucket);
 * await saveState(store)({ step: 7 });
 * await store.drain;
 *
 * const newMachine = mirrored(memory(), bucket);
 * assert.deepEqual(await resume(newMachine)({ step: 0 }), { step: 7 });
 * ```
 */
export function mirrored(
  local: Store,
  remote: Store,
  options: MirrorOptions = {},
): MirroredStore {
  checkStore(local, "mirrored(store, remote)");
  checkStore(remote, "remote");
  checkOptions("mirrored", options, optionRules);
  const [own, theirs] = [local.digest ?? "crc32", remote.digest ?? "crc32"];
  if (own !== theirs) {
    throw new TypeError(`Expected both stores with one digest, found ${own} and ${theirs}: make both with the same`);
  }
  const mirror: Mirror = { local, remote, onFailed: options.onFailed, state: () => stateOf(local, remote) };
  const { place } = local;
  const isLocal = (checkpoint: number): boolean => {
    const { view } = mirror.state();
    return view === undefined || !view.remote.includes(checkpoint) ||
      (view.local.includes(checkpoint) && !view.lost.has(checkpoint));
  };
  return Object.freeze({
    _tag: "Store" as const,
    get location() {
      return local.location;
    },
    ...(place && { place }),
    ...(local.digest && { digest: local.digest }),
    backup: remote,
    list: () => numbersIn(mirror)(),
    begin: beginIn(mirror),
    drain: awaitable(drainOf(mirror)),
    manifest: ofCheckpoint((checkpoint) => readIn(mirror, checkpoint, (store) => store.manifest(checkpoint))),
    open: ofPart((checkpoint, name) => readIn(mirror, checkpoint, (store) => store.open(checkpoint, name))),
    ...(local.status && remote.status && {
      status: ofPart((checkpoint, name) => readIn(mirror, checkpoint, (store) => store.status!(checkpoint, name))),
    }),
    remove: ofCheckpoint((checkpoint) => pipe(remote.remove(checkpoint), TE.flatMap(() => local.remove(checkpoint)))),
    locationOf: (checkpoint: number) => (isLocal(checkpoint) ? local : remote).locationOf(checkpoint),
  });
}
