/**
 * Whole folders on a disk: made with those above them, made durable, removed.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Disk } from "./disk.ts";
import type { StoreFailed } from "./errors.ts";

// --- combinators

/** Nothing, and it went well. */
export const done: TE.TaskEither<StoreFailed, void> = TE.right(undefined);

/** Answers the same, but for these codes another thing. */
export function unless<A>(
  codes: readonly string[],
  otherwise: (failed: StoreFailed) => TE.TaskEither<StoreFailed, A>,
): (task: TE.TaskEither<StoreFailed, A>) => TE.TaskEither<StoreFailed, A> {
  return TE.orElse((failed) => codes.includes(failed.code) ? otherwise(failed) : TE.left(failed));
}

/** Makes a folder and those above it that are missing. */
export function makeFolders(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  const above = dirname(path);
  return pipe(
    disk.makeFolder(path),
    unless(
      above === path ? [] : ["ENOENT"],
      () => pipe(makeFolders(disk, above), TE.flatMap(() => disk.makeFolder(path))),
    ),
    // If it is a file that is there, whatever is made in it fails.
    unless(["EEXIST"], () => done),
  );
}

/** Makes a folder and those above it durable as entries: whoever made them may not have come so far. */
export function syncAbove(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  const above = dirname(path);
  return above === path ? done : pipe(
    disk.syncFolder(above),
    // One that is closed to reading only its file system can keep in order; one that is read-only has nothing to lose.
    unless(["EACCES", "EPERM", "EROFS"], () => done),
    TE.flatMap(() => syncAbove(disk, above)),
  );
}

/** Removes what has a path, as far as anything is there: a folder with all that is in it, a link alone. */
export function removeAll(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    disk.removeFile(path),
    unless(["EISDIR", "EPERM", "ENOTEMPTY"], () =>
      pipe(
        disk.names(path),
        TE.flatMap(TE.traverseSeqArray((name) => removeAll(disk, join(path, name)))),
        TE.flatMap(() => disk.removeFolder(path)),
      )),
    unless(["ENOENT"], () => done),
  );
}
