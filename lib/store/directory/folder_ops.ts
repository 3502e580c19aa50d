/**
 * Operations on folder trees: make with parents, make durable up to the root, remove.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";

// --- combinators

/** Codes of a path that does not exist. */
export const missing: readonly string[] = ["ENOENT", "ENOTDIR"];

/** A task that succeeds. */
export const done: TE.TaskEither<StoreFailed, void> = TE.right(undefined);

/** Replaces the failures with one of these codes by another task. */
export function unless<A>(
  codes: readonly string[],
  otherwise: (failed: StoreFailed) => TE.TaskEither<StoreFailed, A>,
): (task: TE.TaskEither<StoreFailed, A>) => TE.TaskEither<StoreFailed, A> {
  return TE.orElse((failed) => codes.includes(failed.code) ? otherwise(failed) : TE.left(failed));
}

/** Makes a folder and its missing parents. */
export function makeFolders(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  const above = dirname(path);
  return pipe(
    fs.makeFolder(path),
    unless(above === path ? [] : ["ENOENT"], () => pipe(makeFolders(fs, above), TE.flatMap(() => fs.makeFolder(path)))),
    // If the path is a file, whatever is made in it fails.
    unless(["EEXIST"], () => done),
  );
}

/** Makes the entries of a folder and its parents durable, up to the root. Another process may have made them, and not synced them yet. */
export function syncAbove(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  const above = dirname(path);
  return above === path ? done : pipe(
    fs.syncFolder(above),
    // A folder without read permission cannot be synced, and a read-only one has no changes.
    unless(["EACCES", "EPERM", "EROFS"], () => done),
    TE.flatMap(() => syncAbove(fs, above)),
  );
}

/** Removes a path if it exists: a folder with its contents, a symbolic link without its target. */
export function removeTree(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    fs.removeFile(path),
    unless(["EISDIR", "EPERM", "ENOTEMPTY"], () =>
      pipe(
        fs.names(path),
        TE.flatMap(TE.traverseSeqArray((name) => removeTree(fs, join(path, name)))),
        TE.flatMap(() => fs.removeFolder(path)),
      )),
    unless(["ENOENT"], () => done),
  );
}
