/**
 * Reads one checkpoint of a store: its manifest, or all of its state with every byte checked.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type Encoded, type Held, heldBytes } from "../state/mod.ts";
import { guarded, type Mismatch, type Problem } from "../errors/mod.ts";
import type { Damaged, NewerFormat, NoCheckpoint, StoreFailed } from "../errors/mod.ts";
import type { ManifestError } from "./migrations.ts";
import { decodeManifest, format, type Manifest } from "./manifest.ts";
import type { Stored } from "./manifest_tree.ts";
import { manifestName, type Progress, type Store, tooLong } from "../store/mod.ts";
import { notAFile, readFiles } from "./tensor_files.ts";

// --- types

/** A checkpoint whose every byte was checked. */
export interface Loaded {
  readonly manifest: Manifest;
  readonly encoded: Encoded;
}

/** Why one checkpoint could not be read. */
export type ReadError = StoreFailed | NoCheckpoint | NewerFormat | Damaged;

// --- restore

/**
 * Reads and decodes a checkpoint's manifest.
 *
 * @param store The store.
 * @param checkpoint The number of the checkpoint.
 */
export function readManifest(store: Store, checkpoint: number): TE.TaskEither<ReadError, Manifest> {
  return decodeManifestOf(store, checkpoint, decodeManifest);
}

/**
 * Reads a checkpoint's manifest with any decoder of manifests.
 *
 * @param store The store.
 * @param checkpoint The number of the checkpoint.
 * @param decode The decoder.
 */
export function decodeManifestOf<A>(
  store: Store,
  checkpoint: number,
  decode: (bytes: Uint8Array) => E.Either<ManifestError, A>,
): TE.TaskEither<ReadError, A> {
  const location = store.locationOf(checkpoint);
  const damaged = (problems: readonly Problem[]): ReadError => ({ _tag: "Damaged", checkpoint, problems });
  const missing: Problem = { path: manifestName, kind: "missing", expected: "the manifest", found: "none" };
  const notDecoded = (error: ManifestError): ReadError =>
    "newer" in error
      ? { _tag: "NewerFormat", checkpoint, found: error.newer, supported: format }
      : damaged(error.problems);
  const read = pipe(
    () => store.manifest(checkpoint)(),
    TE.mapLeft((error) => error._tag === "StoreFailed" && notAFile.includes(error.code) ? damaged([missing]) : error),
    TE.flatMapEither((bytes): E.Either<ReadError, A> => {
      const long = tooLong("read", `${location}/${manifestName}`, bytes.byteLength);
      return long === undefined ? pipe(decode(bytes), E.mapLeft(notDecoded)) : E.left(long);
    }),
  );
  return guarded("read", location, read);
}

/**
 * Reads a checkpoint and checks every byte of it. It takes one buffer a file, in which the tensors stay.
 *
 * @param store The store.
 * @param checkpoint The number of the checkpoint.
 * @param onProgress Receives the progress after each piece.
 * @param foresee Finds what is wrong with the state before any of its tensors is read.
 * @param memoryLimit The most bytes of tensors that the memory can hold; no limit by default.
 * @returns The state, its arrays in memory; what `foresee` found; `Damaged` with every problem; `NewerFormat`; `NoCheckpoint`; or the store's
 *   failure, also for lack of memory.
 */
export function readCheckpoint(
  store: Store,
  checkpoint: number,
  onProgress: (progress: Progress) => void = () => {},
  foresee: (encoded: Encoded) => Mismatch | undefined = () => undefined,
  memoryLimit: number = Infinity,
): TE.TaskEither<ReadError | Mismatch, Loaded> {
  const all = { files: () => true, wanted: () => true, memoryLimit };
  return guarded<ReadError | Mismatch, Loaded>("read", store.locationOf(checkpoint), async () => {
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return manifest;
    const mismatch = foresee(manifest.right.state((stored) => stored));
    if (mismatch !== undefined) return E.left(mismatch);
    const read = await readFiles(store, checkpoint, manifest.right, all, onProgress)();
    if (E.isLeft(read)) return read;
    const hold = (stored: Stored): Held =>
      heldBytes(stored.element, stored.shape, read.right(stored) ?? new Uint8Array());
    return E.right({ manifest: manifest.right, encoded: manifest.right.state(hold) });
  });
}
