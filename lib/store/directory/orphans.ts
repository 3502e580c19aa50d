/**
 * Atomic removal of folders, and removal of orphans: what killed saves and removals have left.
 *
 * A save is an orphan when its process is dead. If the status of its process is unknown, it is an orphan when nothing in it has been
 * written for an hour. A removal is always finished, because nothing can want the folder back.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as T from "fp-ts/lib/Task.js";
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
import { manifestName, type Orphan, type Orphans } from "../mod.ts";

// --- types

/** A folder of checkpoints in which orphans are removed. */
interface Swept {
  readonly fs: FileSystem;
  readonly parent: string;
  /** The time of the file system, in milliseconds: the clock may be another machine's. */
  readonly now: TE.TaskEither<StoreFailed, number>;
}

/** How much a path takes, and when it was last changed. */
type Extent = Pick<Orphan, "bytes" | "modified"> & { readonly bytes: number };

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

/** The extent of a path. A save's folder has two levels, as part names do; files that a checkpoint links too take nothing. */
function extentOf(fs: FileSystem, path: string, levels = 2): TE.TaskEither<StoreFailed, Extent> {
  return pipe(
    fs.status(path),
    TE.flatMap(({ kind, modified, bytes, links }) =>
      kind !== "folder" || levels === 0
        ? TE.right({ modified, bytes: kind === "file" && links < 2 ? bytes : 0 })
        : pipe(
          fs.names(path),
          TE.flatMap(TE.traverseSeqArray((name) => extentOf(fs, join(path, name), levels - 1))),
          TE.map((inner) =>
            inner.reduce(
              (all, one) => ({ bytes: all.bytes + one.bytes, modified: Math.max(all.modified, one.modified) }),
              { modified, bytes: 0 },
            )
          ),
        )
    ),
  );
}

function isExpired({ fs, now }: Swept, path: string): TE.TaskEither<StoreFailed, boolean> {
  return pipe(
    now,
    TE.flatMap((time) => pipe(extentOf(fs, path), TE.map(({ modified }) => modified < time - orphanAge))),
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
export function removeOrphans(
  fs: FileSystem,
  parent: string,
  fresh: string,
  names: readonly string[],
): T.Task<unknown> {
  const swept = { fs, parent, now: pipe(fs.status(fresh), TE.map(({ modified }) => modified)) };
  return TE.traverseSeqArray((name: string) => pipe(sweepName(swept, name), TE.orElse(() => done)))(
    names.filter(isLeft),
  );
}

/** Whether a name is not a checkpoint's. Most are: the first character is checked before the regular expressions. */
function isLeft(name: string): boolean {
  return name.startsWith(".") && isTemporary(name);
}

// --- listing

/** The time of the file system: that of a folder which is made for this alone. */
function timeOf(fs: FileSystem, parent: string): TE.TaskEither<StoreFailed, number> {
  return pipe(
    TE.fromTask(fs.processId),
    TE.map((processId) => join(parent, temporaryName("saving", processId))),
    TE.tap((path) => ensureFolder(fs, path)),
    TE.flatMap((path) => pipe(fs.status(path), TE.tap(() => fs.removeFolder(path)))),
    TE.map(({ modified }) => modified),
  );
}

/** Whether what is left under a name may be a live save's. */
function isLive(swept: Swept, name: string): TE.TaskEither<StoreFailed, boolean> {
  const { fs, parent } = swept;
  const path = join(parent, name);
  const marked = markedFolder(name);
  if (marked !== undefined) {
    // The checkpoint is whole as long as it has a manifest.
    return pipe(
      fs.status(join(parent, marked, manifestName)),
      TE.flatMap(() => isExpired(swept, path)),
      TE.map((old) => !old),
      unless(isAbsent("status"), () => TE.right(false)),
    );
  }
  if (name.startsWith(".removing-")) return TE.right(false);
  const owners = reservedNumber(name) === undefined
    ? TE.right([name])
    : pipe(fs.names(path), TE.map((names) => names.map((owner) => ownerOf(owner)?.folder ?? owner)));
  return pipe(
    owners,
    TE.flatMap(TE.traverseSeqArray((owner) => isOrphan(swept, owner, path))),
    TE.map((orphans) => !orphans.every((orphan) => orphan)),
  );
}

/** What is left under a name, undefined if it has gone meanwhile. */
function orphanOf(swept: Swept, name: string): TE.TaskEither<StoreFailed, Orphan | undefined> {
  const { fs, parent } = swept;
  const path = join(parent, name);
  const marked = markedFolder(name);
  const taking = marked === undefined ? TE.right(path) : pipe(
    fs.status(join(parent, marked, manifestName)),
    TE.map(() => path),
    unless(isAbsent("status"), () => TE.right(join(parent, marked))),
  );
  const kind = marked !== undefined || name.startsWith(".removing-") ? "removed checkpoint" : "unfinished save";
  return pipe(
    taking,
    TE.flatMap((taken) => extentOf(fs, taken)),
    unless(isAbsent("status", "names"), () => extentOf(fs, path)),
    TE.bindTo("extent"),
    // A folder that cannot be written has no time to compare with.
    TE.bind(
      "live",
      () => pipe(isLive(swept, name), TE.orElse((): TE.TaskEither<StoreFailed, boolean> => TE.right(true))),
    ),
    TE.map(({ extent, live }): Orphan | undefined => ({ name: path, kind, ...extent, isLive: live })),
    unless<Orphan | undefined>(isAbsent("status", "names"), () => TE.right(undefined)),
  );
}

/**
 * The orphans in a folder of checkpoints, so that they can be shown before they are removed.
 *
 * @param fs The file system.
 * @param parent The folder of checkpoints.
 * @param names Its names.
 * @returns What saves remove by themselves later, and what lives. `remove` ends with the first failure once it has tried all.
 */
export function orphansIn(
  fs: FileSystem,
  parent: string,
  names: TE.TaskEither<StoreFailed, readonly string[]>,
): Orphans {
  const swept = { fs, parent, now: timeOf(fs, parent) };
  const list = pipe(
    names,
    TE.map((all) => all.filter(isLeft).toSorted()),
    TE.flatMap(TE.traverseSeqArray((name) => orphanOf(swept, name))),
    TE.map((found) => found.flatMap((one) => one ?? [])),
  );
  return {
    list,
    remove: (orphans) => async () => {
      const listed = await list();
      if (E.isLeft(listed)) return listed;
      const asked = listed.right.filter(({ name, isLive }) => !isLive && orphans.some((one) => one.name === name));
      const removed = await T.traverseSeqArray(({ name }: Orphan) => sweepName(swept, basename(name)))(asked)();
      return pipe(removed, E.sequenceArray, E.map(() => asked));
    },
  };
}
