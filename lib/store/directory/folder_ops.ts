/**
 * Operations on folder trees: make with parents, make durable up to the root, remove.
 *
 * @module
 */

import { dirname, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { means } from "./answers.ts";
import type { FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";

// --- combinators

/** A task that succeeds. */
export const done: TE.TaskEither<StoreFailed, void> = TE.right(undefined);

/** Replaces some failures by another task. */
export function unless<A>(
  isReplaced: (failed: StoreFailed) => boolean,
  otherwise: (failed: StoreFailed) => TE.TaskEither<StoreFailed, A>,
): (task: TE.TaskEither<StoreFailed, A>) => TE.TaskEither<StoreFailed, A> {
  return TE.orElse((failed) => isReplaced(failed) ? otherwise(failed) : TE.left(failed));
}

/** Makes a folder and its missing parents. */
export function makeFolders(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  const above = dirname(path);
  return pipe(
    fs.makeFolder(path),
    unless(
      (failed) => above !== path && means("missing", "makeFolder")(failed),
      () => pipe(makeFolders(fs, above), TE.flatMap(() => fs.makeFolder(path))),
    ),
    // If the path is a file, creating anything in it fails.
    unless(means("taken", "makeFolder"), () => done),
  );
}

/** Makes a folder that may exist: under a name that only one save uses, it exists if the answer to the first request was lost (NFS). */
export function ensureFolder(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  return pipe(fs.makeFolder(path), unless(means("taken", "makeFolder"), () => done));
}

/**
 * Renames a file or folder once, also after an error: if the answer to the first request was lost, NFS asks again, and the second answer is
 * that the old path is missing.
 *
 * @param witness A path that exists only after this rename.
 */
export function renameOnce(
  fs: FileSystem,
  from: string,
  to: string,
  witness: string,
): TE.TaskEither<StoreFailed, void> {
  return pipe(
    fs.rename(from, to),
    TE.orElse((failed) => pipe(fs.status(witness), TE.bimap(() => failed, () => {}))),
  );
}

/** Makes the entries of a folder and its parents durable, up to the root. Another process may have made them, and not synced them yet. */
export function syncAbove(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  const above = dirname(path);
  return above === path ? done : pipe(
    fs.syncFolder(above),
    // A folder without read permission cannot be synced, and a read-only one has no changes.
    unless(means("forbidden", "syncFolder"), () => done),
    TE.flatMap(() => syncAbove(fs, above)),
  );
}

/**
 * Removes a path if it exists: a folder with its contents, a symbolic link without its target. What cannot be removed does not keep the
 * rest of a folder; the first failure is the result.
 */
export function removeTree(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    fs.removeFile(path),
    unless(means("folder", "removeFile"), () =>
      pipe(
        fs.names(path),
        TE.flatMap(TE.traverseSeqArray((name) => TE.fromTask(removeTree(fs, join(path, name))))),
        TE.flatMap((removed) => TE.fromEither(E.sequenceArray(removed))),
        TE.flatMap(() => fs.removeFolder(path)),
      )),
    unless(means("missing", "removeFile", "names", "removeFolder"), () => done),
  );
}
