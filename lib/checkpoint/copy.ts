/**
 * Copies a checkpoint from one store to another, byte for byte and under its number.
 *
 * The manifest is copied as it is, so the run, the digests and the `id` stay, and so does what `parent` names. For this the number has to stay, too:
 * a copy never gets another one. Numbers only grow, so checkpoints are copied in ascending order, with the gaps that retention has left.
 *
 * A large file that is the same as in the parent is shared with it in the target too, and not sent again, if the target has the parent. A CRC proves
 * nothing equal: the bytes are compared where the original shares them, or SHA-256 says that they are.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { Buffer } from "node:buffer";
import { candidates, readSummary } from "./entries.ts";
import { guarded, type Overtaken, type Problem, type StoreFailed } from "../errors/mod.ts";
import { decodeManifest, decodeSummary, type FileEntry, type Manifest } from "./manifest.ts";
import { decodeManifestOf, type ReadError } from "./read.ts";
import { checkLength, type DigestCheck, digestCheck, type FileError, openFile } from "./tensor_files.ts";
import { meter, numberTaken, type OpenPart, type Progress, type Saving, type Store } from "../store/mod.ts";

// --- types

/** A checkpoint that the target has now. */
export interface Copied {
  readonly checkpoint: number;
  /** Whether it was copied just now: false if the target had it already. */
  readonly isNew: boolean;
  /** The length of all its files and its manifest. */
  readonly bytes: number;
}

/** Why a checkpoint could not be copied. */
export type CopyError = ReadError | Overtaken;

/** How a checkpoint is copied. */
export interface CopyOptions {
  /** Receives the progress after each piece. */
  readonly onProgress?: (progress: Progress) => void;
  /**
   * The newest checkpoint that the target may have; with a newer one, of whichever number, nothing is copied.
   * @default any below the copied one
   */
  readonly after?: number;
}

/** A checkpoint to copy. */
interface Original {
  readonly manifest: Manifest;
  readonly bytes: Uint8Array;
}

/** A save that writes a copy. */
interface CopyInProgress {
  readonly from: Store;
  readonly checkpoint: number;
  readonly saving: Saving;
  /** The parent, if both stores have it, and its files. */
  readonly parent: { readonly checkpoint: number; readonly files: readonly FileEntry[] } | undefined;
  /** Counts bytes that were read or shared. */
  readonly advance: (bytes: number) => void;
}

const viewBytes = 8 * 2 ** 20;
/** One view is read while the store writes another and may still use the one before. */
const views = 3;
/** The least bytes of a file that is shared: a small one is cheap to send. */
const leastShared = 2 ** 20;

// --- reading

function readOriginal(from: Store, checkpoint: number): TE.TaskEither<ReadError, Original> {
  return decodeManifestOf(
    from,
    checkpoint,
    (bytes) => pipe(decodeManifest(bytes), E.map((manifest) => ({ manifest, bytes }))),
  );
}

/** The bytes of an open file. The next piece is read while one is written. */
async function* piecesOf(
  part: OpenPart,
  digest: DigestCheck,
  fail: (failed: FileError) => Error,
): AsyncGenerator<Uint8Array> {
  const buffers = Array.from({ length: views }, () => new Uint8Array(Math.min(viewBytes, part.bytes)));
  const read = (at: number): Promise<E.Either<StoreFailed, Uint8Array>> => {
    const view = buffers[(at / viewBytes) % views]!.subarray(0, Math.min(viewBytes, part.bytes - at));
    return pipe(part.read(view, at), TE.map(() => view))();
  };
  let next = part.bytes > 0 ? read(0) : undefined;
  try {
    for (let at = viewBytes; next !== undefined; at += viewBytes) {
      const piece: E.Either<StoreFailed, Uint8Array> = await next;
      next = at < part.bytes && E.isRight(piece) ? read(at) : undefined;
      if (E.isLeft(piece)) throw fail(piece.left);
      digest.update(piece.right);
      yield piece.right;
    }
    const checked = digest.finish();
    if (E.isLeft(checked)) throw fail(checked.left);
  } finally {
    // The caller closes the file.
    await next;
  }
}

// --- sharing

/** The parent of a checkpoint, if the target has it too and a file is large enough to be shared. */
async function parentOf(
  from: Store,
  to: Store,
  { manifest: { parent, files } }: Original,
): Promise<CopyInProgress["parent"]> {
  if (parent === null || !files.some(({ bytes }) => bytes >= leastShared)) return undefined;
  const [original, copy] = [await from.manifest(parent)(), await to.manifest(parent)()];
  if (E.isLeft(original) || E.isLeft(copy) || Buffer.compare(original.right, copy.right) !== 0) return undefined;
  const summary = decodeSummary(original.right);
  return E.isLeft(summary) ? undefined : { checkpoint: parent, files: summary.right.files };
}

/** Whether two files of a store have the same bytes, and those of their entry. What cannot be read counts as different. */
async function haveSameBytes(parts: readonly [OpenPart, OpenPart], entry: FileEntry): Promise<boolean> {
  const digest = digestCheck(entry, () => {});
  const length = Math.min(viewBytes, entry.bytes);
  const buffers = [new Uint8Array(length), new Uint8Array(length)] as const;
  if (parts.some(({ bytes }) => bytes !== entry.bytes)) return false;
  for (let at = 0; at < entry.bytes; at += viewBytes) {
    const views = buffers.map((buffer) => buffer.subarray(0, entry.bytes - at));
    const read = await Promise.all(parts.map((part, i) => part.read(views[i]!, at)()));
    if (read.some(E.isLeft) || Buffer.compare(views[0]!, views[1]!) !== 0) return false;
    digest.update(views[0]!);
  }
  return E.isRight(digest.finish());
}

/** Whether a file of a checkpoint is a file of its parent: by SHA-256, or by its bytes if the store says that it shares them. */
async function isSame(
  { from, checkpoint, parent }: CopyInProgress,
  entry: FileEntry,
  same: FileEntry,
): Promise<boolean> {
  if (entry.sha256 !== undefined) return true;
  const status = await from.status?.(checkpoint, entry.name)();
  if (parent === undefined || status === undefined || E.isLeft(status) || status.right.links < 2) return false;
  const opened = [await from.open(checkpoint, entry.name)(), await from.open(parent.checkpoint, same.name)()] as const;
  const [one, other] = opened;
  try {
    return E.isRight(one) && E.isRight(other) && await haveSameBytes([one.right, other.right], entry);
  } finally {
    for (const part of opened) if (E.isRight(part)) await part.right.close();
  }
}

/** Shares a file with the parent in the target; false if it is to be sent. */
function shareFile(copy: CopyInProgress, entry: FileEntry): TE.TaskEither<FileError, boolean> {
  const { parent, saving, advance } = copy;
  const { bytes, crc32, sha256 } = entry;
  const same = parent?.files.find((file) => file.bytes === bytes && file.crc32 === crc32 && file.sha256 === sha256);
  if (parent === undefined || same === undefined || bytes < leastShared) return TE.right(false);
  return async () => {
    if (!await isSame(copy, entry, same)) return E.right(false);
    const shared = await saving.reuse(entry.name, { checkpoint: parent.checkpoint, name: same.name })();
    if (E.isRight(shared) && shared.right) advance(bytes);
    return shared;
  };
}

// --- copying

/** Puts an open file into a save. What is wrong with it ends the save from within, as an exception of its chunks. */
async function putFile(
  { saving, advance }: CopyInProgress,
  part: OpenPart,
  entry: FileEntry,
): Promise<E.Either<FileError, void>> {
  const length = checkLength(part, entry);
  if (E.isLeft(length)) return length;
  let failed: { readonly error: FileError; readonly thrown: Error } | undefined;
  const fail = (error: FileError): Error => (failed = { error, thrown: new Error(`cannot read ${entry.name}`) }).thrown;
  try {
    return await pipe(
      saving.put(entry.name, piecesOf(part, digestCheck(entry, advance), fail)),
      TE.map(() => undefined),
    )();
  } catch (thrown) {
    if (failed === undefined || thrown !== failed.thrown) throw thrown;
    return E.left(failed.error);
  }
}

/** Copies a file of a checkpoint into a save. */
function copyFile(copy: CopyInProgress, entry: FileEntry): TE.TaskEither<FileError, void> {
  const put = pipe(
    openFile(copy.from, copy.checkpoint, entry),
    TE.flatMap((part) => () => putFile(copy, part, entry).finally(part.close)),
  );
  return pipe(shareFile(copy, entry), TE.flatMap((isShared) => isShared ? TE.right(undefined) : put));
}

/** Commits a copy under its number. */
function commitCopy(
  to: Store,
  saving: Saving,
  checkpoint: number,
  { manifest, bytes }: Original,
  after = checkpoint - 1,
): TE.TaskEither<StoreFailed | Overtaken, void> {
  const taken: TE.TaskEither<StoreFailed | Overtaken, never> = TE.left(numberTaken(to.locationOf(checkpoint)));
  const condition = {
    key: manifest.run,
    parent: after,
    number: checkpoint,
    check: (newer: readonly number[]) => newer.length === 0 ? TE.right(undefined) : taken,
  };
  // A store that checks no condition gives the next number.
  const isNext = pipe(
    candidates(to),
    TE.flatMap((numbers) => (numbers.at(-1) ?? -1) + 1 === checkpoint ? TE.right(undefined) : taken),
  );
  return pipe(
    saving.checksCondition === true ? TE.right<StoreFailed | Overtaken, void>(undefined) : isNext,
    TE.flatMap(() => saving.commit(bytes, condition)),
    TE.flatMap((number) =>
      number === checkpoint ? TE.right(undefined) : pipe(to.remove(number), TE.flatMap(() => taken))
    ),
  );
}

/** Copies a checkpoint that the target does not have. */
function writeCopy(
  from: Store,
  to: Store,
  checkpoint: number,
  original: Original,
  { onProgress = () => {}, after }: CopyOptions,
): TE.TaskEither<CopyError, void> {
  const damaged = (error: FileError): CopyError =>
    "_tag" in error ? error : { _tag: "Damaged", checkpoint, problems: error satisfies readonly Problem[] };
  return async () => {
    const begun = await to.begin();
    if (E.isLeft(begun)) return begun;
    const saving = begun.right;
    const { files } = original.manifest;
    const advance = meter(files.reduce((sum, { bytes }) => sum + bytes, 0), onProgress);
    try {
      const copy = { from, checkpoint, saving, parent: await parentOf(from, to, original), advance };
      return await pipe(
        files,
        TE.traverseSeqArray((entry) => copyFile(copy, entry)),
        TE.mapLeft(damaged),
        TE.flatMap(() => commitCopy(to, saving, checkpoint, original, after)),
      )();
    } finally {
      // After the commit, it does nothing.
      await saving.abort();
    }
  };
}

/** Whether a store has this checkpoint. Another one with its number or a higher one is a failure: then this one cannot be copied there. */
function isThere(
  to: Store,
  checkpoint: number,
  { bytes, manifest: { run } }: Original,
): TE.TaskEither<ReadError, boolean> {
  const newest = to.newest ?? pipe(candidates(to), TE.map((numbers) => numbers.at(-1)));
  const taken = (found: string): TE.TaskEither<ReadError, never> =>
    TE.left(numberTaken(to.locationOf(checkpoint), found));
  const isAhead = (number: number): TE.TaskEither<ReadError, never> => async () => {
    const theirs = await readSummary(to, number)();
    if (E.isLeft(theirs) || theirs.right.run !== run) {
      return await taken(`${to.location} has checkpoint ${number} already`)();
    }
    const failed = numberTaken(to.locationOf(checkpoint), `${to.location} has this run up to checkpoint ${number}`);
    const remedy = "Older checkpoints cannot be added there: to have them too, copy the run to another place";
    return E.left({ ...failed, remedy });
  };
  return pipe(
    to.manifest(checkpoint),
    TE.map((found): Uint8Array | undefined => found),
    TE.orElse((error) => error._tag === "NoCheckpoint" ? TE.right(undefined) : TE.left(error)),
    TE.flatMap((found) => {
      if (found !== undefined) {
        return Buffer.compare(found, bytes) === 0 ? TE.right(true) : taken("it is another checkpoint");
      }
      return pipe(
        newest,
        TE.flatMap((number = -1) => number < checkpoint ? TE.right(false) : isAhead(number)),
      );
    }),
  );
}

/**
 * Copies a checkpoint to another store, under its number. Every byte is checked against the digests of the manifest, whose bytes stay as they are.
 *
 * The commit is that of a save: after a kill the target has the whole checkpoint or nothing of it. Laws: *old or new*, *nothing silent*.
 *
 * @param from The store that has it.
 * @param to The store that gets it. Its retention policy is not applied.
 * @param options Receives the progress, and limits what the target may have.
 * @returns A function of the number. It resolves to what the target has now, also if it had the checkpoint before; `Damaged` if a byte of the original
 *   is not as committed; `StoreFailed` with code `ETAKEN` if the target has another checkpoint with this number or a higher one, and nothing is ever
 *   overwritten; or the errors of `readCheckpoint`.
 */
export function copyCheckpoint(
  from: Store,
  to: Store,
  options: CopyOptions = {},
): (checkpoint: number) => TE.TaskEither<CopyError, Copied> {
  return (checkpoint) => {
    // Retention may remove the original while it is copied.
    const orGone = (error: CopyError): TE.TaskEither<CopyError, Copied> => async () => {
      const again = await from.manifest(checkpoint)();
      return E.left(E.isLeft(again) && again.left._tag === "NoCheckpoint" ? again.left : error);
    };
    return guarded<CopyError, Copied>(
      "copy to",
      to.locationOf(checkpoint),
      pipe(
        readOriginal(from, checkpoint),
        TE.bindTo("original"),
        TE.bind("there", ({ original }): TE.TaskEither<CopyError, boolean> => isThere(to, checkpoint, original)),
        TE.tap(({ original, there }) =>
          there ? TE.right(undefined) : writeCopy(from, to, checkpoint, original, options)
        ),
        TE.map(({ original: { manifest: { bytes, files } }, there }) => {
          return { checkpoint, isNew: !there, bytes: files.reduce((sum, file) => sum + file.bytes, bytes) };
        }),
        TE.orElse(orGone),
      ),
    );
  };
}
