/**
 * Atomic removal of folders, and removal of orphans: what killed saves and removals have left.
 *
 * A save is an orphan when its process is dead. If the status of its process is unknown, it is an orphan when nothing in it has been
 * written for an hour. A removal is always finished, because nothing can want the folder back.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { isAbsent, means } from "./answers.ts";
import type { FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { done, ensureFolder, removeTree, renameOnce, unless } from "./folder_ops.ts";
import {
  isTemporary,
  markedFolder,
  movedPath,
  ownerOf,
  removalMark,
  reservedNumber,
  savingProcess,
  temporaryName,
} from "./temporary.ts";
import { manifestName } from "../mod.ts";

// --- types

/** A folder of checkpoints in which orphans are removed. */
interface Swept {
  readonly fs: FileSystem;
  readonly parent: string;
  /** A path that was made or renamed just now. Its time is the time of the file system. */
  readonly fresh: string;
}

/** The age, in milliseconds, at which a save of an unknown process is an orphan. */
const orphanAge = 3_600_000;

/** The temporary folders of the saves of this process, which are never orphans. */
export const activeSaves: Set<string> = new Set<string>();

// --- removal

/**
 * Renames a folder to a temporary name, so that a crash leaves the whole folder or an orphan. A folder that cannot be renamed is removed in
 * place: overlayfs cannot rename a folder of a lower layer, such as a checkpoint in a container image.
 *
 * @returns When the folder no longer has its name, the task that removes the rest. What that cannot remove is an orphan.
 */
function takeAway(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, TE.TaskEither<StoreFailed, void>> {
  const parent = dirname(path);
  const removeFrom = (removing: string): TE.TaskEither<StoreFailed, void> =>
    // Without the sync, a crash could bring back the old name, with only some of the contents.
    pipe(fs.syncFolder(parent), TE.flatMap(() => removeTree(fs, removing)));
  return pipe(
    TE.fromTask(fs.processId),
    TE.map((processId) => join(parent, temporaryName("removing", processId))),
    TE.flatMap((removing) => pipe(renameOnce(fs, path, removing, removing), TE.map(() => removeFrom(removing)))),
    unless(means("unsupported", "rename"), () => pipe(removeInPlace(fs, path), TE.map(() => done))),
    unless(means("missing", "rename"), () => TE.right(done)),
  );
}

/** Removes a folder atomically. After a failure it may have lost its name already; then a later save removes the rest. */
export function removeAtomically(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  return TE.flatten(takeAway(fs, path));
}

/** Removes a folder in place, its manifest first. Without the manifest, the mark beside the folder says that it is no checkpoint. */
function removeInPlace(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  const [parent, mark] = [dirname(path), removalMark(basename(path))];
  if (markedFolder(mark) === undefined) return removeTree(fs, path);
  const markPath = join(parent, mark);
  return pipe(
    ensureFolder(fs, markPath),
    // Each step is durable before the next. Otherwise a crash could leave a manifest without files, or files without the mark.
    TE.flatMap(() => fs.syncFolder(parent)),
    TE.flatMap(() => removeTree(fs, join(path, manifestName))),
    TE.flatMap(() => finishRemoval(fs, path, markPath)),
  );
}

/** Removes the rest of a folder without a manifest, and then its mark. */
function finishRemoval(fs: FileSystem, path: string, markPath: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    fs.syncFolder(path),
    unless(means("missing", "syncFolder"), () => done),
    TE.flatMap(() => removeTree(fs, path)),
    TE.flatMap(() => fs.syncFolder(dirname(path))),
    TE.flatMap(() => fs.removeFolder(markPath)),
    unless(means("missing", "syncFolder", "removeFolder"), () => done),
  );
}

/**
 * Removes the temporary folder of a save that has reserved a number, under either of the names that it may have. Without its name it cannot
 * be committed, so it does not matter whether the rest can be removed.
 */
export function removeReserving(fs: FileSystem, path: string, number: number): TE.TaskEither<StoreFailed, void> {
  const remove = (folder: string): TE.TaskEither<StoreFailed, unknown> =>
    pipe(takeAway(fs, folder), TE.flatMapTask((rest) => rest));
  return pipe(remove(path), TE.flatMap(() => remove(movedPath(path, number))), TE.map(() => undefined));
}

// --- orphans

/** The time of the last change in a folder. A save's folder has two levels, as part names do. */
function lastModified(fs: FileSystem, path: string, levels = 2): TE.TaskEither<StoreFailed, number> {
  return pipe(
    fs.status(path),
    TE.flatMap(({ kind, modified }) =>
      kind !== "folder" || levels === 0 ? TE.right(modified) : pipe(
        fs.names(path),
        TE.flatMap(TE.traverseSeqArray((name) => lastModified(fs, join(path, name), levels - 1))),
        TE.map((inner) => inner.reduce((latest, one) => Math.max(latest, one), modified)),
      )
    ),
  );
}

function isExpired({ fs, fresh }: Swept, path: string): TE.TaskEither<StoreFailed, boolean> {
  return pipe(
    // Compared with a time of the same file system, because the clock may be another machine's.
    fs.status(fresh),
    TE.flatMap(({ modified }) => pipe(lastModified(fs, path), TE.map((last) => last < modified - orphanAge))),
  );
}

/** Whether the save with a temporary folder of this name is an orphan; `path` is what it has left. */
function isOrphan(swept: Swept, name: string, path: string): TE.TaskEither<StoreFailed, boolean> {
  const processId = savingProcess(name);
  if (processId === undefined || activeSaves.has(join(swept.parent, name))) return TE.right(false);
  return pipe(
    TE.fromTask(swept.fs.processStatus(processId)),
    TE.flatMap((status) => status === "unknown" ? isExpired(swept, path) : TE.right(status === "dead")),
  );
}

/**
 * Removes a reservation if its owner is an orphan. The owner's temporary folder is removed first, because a save must not commit without
 * its reservation.
 */
function sweepReservation(swept: Swept, path: string, number: number): TE.TaskEither<StoreFailed, void> {
  const { fs, parent } = swept;
  return pipe(
    fs.names(path),
    TE.flatMap(TE.traverseSeqArray((name) => {
      const { folder } = ownerOf(name) ?? { folder: name };
      // Only the owner's folder is removed: the reservation may be another save's by then.
      const remove = pipe(
        removeReserving(fs, join(parent, folder), number),
        TE.flatMap(() => removeTree(fs, join(path, name))),
      );
      return pipe(isOrphan(swept, folder, path), TE.flatMap((orphan) => orphan ? remove : done));
    })),
    TE.flatMap(() => fs.removeFolder(path)),
  );
}

/** Finishes a removal in place. If the manifest exists, the checkpoint is still whole, and only an old mark is removed. */
function sweepMark(swept: Swept, markPath: string, folder: string): TE.TaskEither<StoreFailed, void> {
  const { fs } = swept;
  return pipe(
    fs.status(join(folder, manifestName)),
    TE.flatMap(() => isExpired(swept, markPath)),
    TE.flatMap((old) => old ? fs.removeFolder(markPath) : done),
    unless(isAbsent("status"), () => finishRemoval(fs, folder, markPath)),
  );
}

function sweepName(swept: Swept, name: string): TE.TaskEither<StoreFailed, void> {
  const { fs, parent } = swept;
  const path = join(parent, name);
  const number = reservedNumber(name);
  if (number !== undefined) return sweepReservation(swept, path, number);
  const marked = markedFolder(name);
  if (marked !== undefined) return sweepMark(swept, path, join(parent, marked));
  // The process that renamed it may not have made the name durable.
  if (name.startsWith(".removing-")) return pipe(fs.syncFolder(parent), TE.flatMap(() => removeTree(fs, path)));
  return pipe(isOrphan(swept, name, path), TE.flatMap((orphan) => orphan ? removeAtomically(fs, path) : done));
}

/**
 * Removes the orphans in a folder of checkpoints. What cannot be removed stays.
 *
 * @param fs The file system.
 * @param parent The folder of checkpoints.
 * @param fresh A path in it that was made or renamed just now.
 * @param names The names in the folder.
 */
export function removeOrphans(fs: FileSystem, parent: string, fresh: string, names: readonly string[]): Task<unknown> {
  const swept = { fs, parent, fresh };
  return TE.traverseSeqArray((name: string) => pipe(sweepName(swept, name), TE.orElse(() => done)))(
    // Most names are checkpoints: the first character is checked before the regular expressions.
    names.filter((name) => name.startsWith(".") && isTemporary(name)),
  );
}
