/**
 * Reads one checkpoint of a store: its manifest, or all of its state with every byte checked.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { arraysOf, type Encoded, type Held, heldBytes } from "../state/mod.ts";
import { guarded, type Mismatch, type Problem } from "../errors/mod.ts";
import type { Damaged, NewerFormat, NoCheckpoint, StoreFailed } from "../errors/mod.ts";
import type { ManifestError } from "./migrations.ts";
import { decodeManifest, format, type Manifest } from "./manifest.ts";
import type { Stored } from "./manifest_tree.ts";
import { manifestName, type Progress, type Store, tooLong } from "../store/mod.ts";
import { type Extent, notAFile, readFiles } from "./tensor_files.ts";

// --- types

/** A checkpoint whose every byte was checked. */
export interface Loaded {
  readonly manifest: Manifest;
  readonly encoded: Encoded;
}

/** How a checkpoint is read. */
export interface CheckpointReading {
  /** Receives the progress after each piece. */
  readonly onProgress?: (progress: Progress) => void;
  /** Finds what is wrong with the state before any of its tensors is read. */
  readonly foresee?: (encoded: Encoded, checkpoint: number) => Mismatch | undefined;
  /**
   * The part of the state to read. Files without a tensor of the part are neither read nor checked.
   * @default all of it, with every byte of the checkpoint checked
   */
  readonly part?: (encoded: Encoded) => Encoded;
  /**
   * The most bytes of tensors that the memory can hold.
   * @default no limit
   */
  readonly memoryLimit?: number;
}

/** Why one checkpoint could not be read. */
export type ReadError = StoreFailed | NoCheckpoint | NewerFormat | Damaged;

// --- restore

/** Reads a checkpoint that is damaged from the store's backup. If the backup cannot give it either, the damage is the error. */
function orFromBackup<F, A>(
  store: Store,
  read: (store: Store) => TE.TaskEither<F | ReadError, A>,
): TE.TaskEither<F | ReadError, A> {
  const { backup } = store;
  const own = read(store);
  if (backup === undefined) return own;
  return pipe(
    own,
    TE.orElse((error): TE.TaskEither<F | ReadError, A> => {
      const isDamaged = (error as ReadError)._tag === "Damaged";
      return isDamaged ? pipe(read(backup), TE.mapLeft(() => error)) : TE.left(error);
    }),
  );
}

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
  return orFromBackup<never, A>(store, (one) => decodeManifestIn(one, checkpoint, decode));
}

function decodeManifestIn<A>(
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

/** Which files are read, and which tensors are kept, for a part of a state. */
function extentOf({ files }: Manifest, part: Encoded): Pick<Extent, "files" | "wanted"> {
  const arrays = part.components.flatMap(([, node]) => arraysOf(node, "").map(([, { held }]) => held as Stored));
  const [read, wanted] = [new Set(arrays.map(({ file }) => files[file])), new Set(arrays)];
  // The number of strings can only be counted in their bytes.
  return { files: (file) => read.has(file), wanted: (one) => wanted.has(one) || one.element === "string" };
}

/**
 * Reads a checkpoint and checks every byte that it reads. It takes one buffer a file, in which the tensors stay.
 *
 * @param store The store.
 * @param checkpoint The number of the checkpoint.
 * @param options What to read of it.
 * @returns The state, its arrays in memory; what `foresee` found; `Damaged` with every problem; `NewerFormat`; `NoCheckpoint`; or the store's
 *   failure, also for lack of memory.
 */
export function readCheckpoint(
  store: Store,
  checkpoint: number,
  reading: CheckpointReading = {},
): TE.TaskEither<ReadError | Mismatch, Loaded> {
  return orFromBackup<Mismatch, Loaded>(store, (one) => readCheckpointIn(one, checkpoint, reading));
}

function readCheckpointIn(
  store: Store,
  checkpoint: number,
  { onProgress = () => {}, foresee = () => undefined, part, memoryLimit = Infinity }: CheckpointReading,
): TE.TaskEither<ReadError | Mismatch, Loaded> {
  return guarded<ReadError | Mismatch, Loaded>("read", store.locationOf(checkpoint), async () => {
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return manifest;
    const unread = manifest.right.state((stored) => stored);
    const mismatch = foresee(unread, checkpoint);
    if (mismatch !== undefined) return E.left(mismatch);
    const all = { files: () => true, wanted: () => true };
    const extent = part === undefined ? all : extentOf(manifest.right, part(unread));
    const read = await readFiles(store, checkpoint, manifest.right, { ...extent, memoryLimit }, onProgress)();
    if (E.isLeft(read)) return read;
    const hold = (stored: Stored): Held =>
      heldBytes(stored.element, stored.shape, read.right(stored) ?? new Uint8Array());
    const encoded = manifest.right.state(hold);
    return E.right({ manifest: manifest.right, encoded: part === undefined ? encoded : part(encoded) });
  });
}
