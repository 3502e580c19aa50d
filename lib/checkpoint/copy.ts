/**
 * Copies a checkpoint from one store to another, byte for byte and under its number.
 *
 * The manifest is copied as it is, so the run, the digests and the `id` stay, and so does what `parent` names. For this the number has to stay, too:
 * a copy never gets another one. Numbers only grow, so checkpoints are copied in ascending order, with the gaps that retention has left.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { Buffer } from "node:buffer";
import { candidates } from "./entries.ts";
import { guarded, type Overtaken, type Problem, type StoreFailed } from "../errors/mod.ts";
import { decodeManifest, type FileEntry, type Manifest } from "./manifest.ts";
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
}

/** A checkpoint to copy. */
interface Original {
  readonly manifest: Manifest;
  readonly bytes: Uint8Array;
}

const viewBytes = 8 * 2 ** 20;
/** One view is read while the store writes another and may still use the one before. */
const views = 3;

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

// --- copying

/** Puts an open file into a save. What is wrong with it ends the save from within, as an exception of its chunks. */
async function putFile(
  saving: Saving,
  part: OpenPart,
  entry: FileEntry,
  advance: (bytes: number) => void,
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

/** Copies the files of a checkpoint into a save. */
function putFiles(
  from: Store,
  checkpoint: number,
  saving: Saving,
  files: readonly FileEntry[],
  onProgress: (progress: Progress) => void,
): TE.TaskEither<FileError, unknown> {
  const advance = meter(files.reduce((sum, { bytes }) => sum + bytes, 0), onProgress);
  return pipe(
    files,
    TE.traverseSeqArray((entry) =>
      pipe(
        openFile(from, checkpoint, entry),
        TE.flatMap((part) => () => putFile(saving, part, entry, advance).finally(part.close)),
      )
    ),
  );
}

/** Commits a copy under its number. */
function commitCopy(to: Store, saving: Saving, checkpoint: number, { manifest, bytes }: Original) {
  const taken: TE.TaskEither<StoreFailed | Overtaken, never> = TE.left(numberTaken(to.locationOf(checkpoint)));
  const condition = {
    key: manifest.run,
    parent: checkpoint - 1,
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
  onProgress: (progress: Progress) => void,
): TE.TaskEither<CopyError, void> {
  const damaged = (error: FileError): CopyError =>
    "_tag" in error ? error : { _tag: "Damaged", checkpoint, problems: error satisfies readonly Problem[] };
  return async () => {
    const begun = await to.begin();
    if (E.isLeft(begun)) return begun;
    const saving = begun.right;
    try {
      return await pipe(
        putFiles(from, checkpoint, saving, original.manifest.files, onProgress),
        TE.mapLeft(damaged),
        TE.flatMap(() => commitCopy(to, saving, checkpoint, original)),
      )();
    } finally {
      // After the commit, it does nothing.
      await saving.abort();
    }
  };
}

/** Whether a store has this checkpoint. Another one with its number or a higher one is a failure: then this one cannot be copied there. */
function isThere(to: Store, checkpoint: number, { bytes }: Original): TE.TaskEither<ReadError, boolean> {
  const newest = to.newest ?? pipe(candidates(to), TE.map((numbers) => numbers.at(-1)));
  const taken = (found: string): TE.TaskEither<ReadError, never> =>
    TE.left(numberTaken(to.locationOf(checkpoint), found));
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
        TE.flatMap((number = -1) =>
          number < checkpoint ? TE.right(false) : taken(`${to.location} has checkpoint ${number} already`)
        ),
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
 * @param options Receives the progress.
 * @returns A function of the number. It resolves to what the target has now, also if it had the checkpoint before; `Damaged` if a byte of the original
 *   is not as committed; `StoreFailed` with code `ETAKEN` if the target has another checkpoint with this number or a higher one, and nothing is ever
 *   overwritten; or the errors of `readCheckpoint`.
 */
export function copyCheckpoint(
  from: Store,
  to: Store,
  { onProgress = () => {} }: CopyOptions = {},
): (checkpoint: number) => TE.TaskEither<CopyError, Copied> {
  return (checkpoint) =>
    guarded<CopyError, Copied>(
      "copy to",
      to.locationOf(checkpoint),
      pipe(
        readOriginal(from, checkpoint),
        TE.bindTo("original"),
        TE.bind("there", ({ original }): TE.TaskEither<CopyError, boolean> => isThere(to, checkpoint, original)),
        TE.tap(({ original, there }) =>
          there ? TE.right(undefined) : writeCopy(from, to, checkpoint, original, onProgress)
        ),
        TE.map(({ original: { manifest: { bytes, files } }, there }) => {
          return { checkpoint, isNew: !there, bytes: files.reduce((sum, file) => sum + file.bytes, bytes) };
        }),
      ),
    );
}
