/**
 * Verifies one checkpoint of a store: the checks of a load, in little memory.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type ReadError, readManifest } from "./read.ts";
import { guarded } from "../errors/mod.ts";
import type { FileEntry, Manifest } from "./manifest.ts";
import type { Progress, Store } from "../store/mod.ts";
import { type Extent, readFiles } from "./tensor_files.ts";

// --- restore

/**
 * Checks a checkpoint as a load does: a checkpoint loads if and only if it verifies.
 *
 * @param store The store.
 * @param checkpoint The number of the checkpoint.
 * @param onProgress Receives the progress after each piece.
 * @param files Selects the files to check; all by default.
 * @returns Its manifest; or the errors of `readCheckpoint`.
 */
export function verifyCheckpoint(
  store: Store,
  checkpoint: number,
  onProgress: (progress: Progress) => void = () => {},
  files: (file: FileEntry) => boolean = () => true,
): TE.TaskEither<ReadError, Manifest> {
  // The number of strings can only be counted in their bytes.
  const extent: Extent = { files, wanted: ({ element }) => element === "string", memoryLimit: Infinity };
  const verified = pipe(
    readManifest(store, checkpoint),
    TE.tap((manifest) => readFiles(store, checkpoint, manifest, extent, onProgress)),
  );
  return guarded("read", store.locationOf(checkpoint), verified);
}

/** The first of these checkpoints that verifies, null if none does. */
export async function firstThatVerifies(store: Store, checkpoints: readonly number[]): Promise<number | null> {
  for (const checkpoint of checkpoints) {
    if (E.isRight(await verifyCheckpoint(store, checkpoint)())) return checkpoint;
  }
  return null;
}
