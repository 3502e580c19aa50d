/**
 * Whether a path can be a run's folder. What is easily given in its place is refused, with the folder that was meant: a folder of
 * checkpoints, one of these, a file in one, a link that leads nowhere. A run begun there would start afresh in silence, and be removed with
 * the checkpoint around it.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Disk } from "./disk.ts";
import type { StoreFailed } from "./errors.ts";
import { done, unless } from "./folders.ts";
import { isTemporary } from "./leftovers.ts";
import { folderName, numberIn } from "./listing.ts";
import { manifestName, storeFailed } from "./store.ts";

// --- constructors

/** The folder of a run that holds its checkpoints. */
export const checkpointsName = "checkpoints";

/** Codes that say: nothing is there. */
const absent: readonly string[] = ["ENOENT", "ENOTDIR"];

function notRun(path: string, message: string): StoreFailed {
  return storeFailed("find a run in", path, "ENOTRUN", message);
}

/** What a path within a checkpoint's folder, or that of a save, is of. */
function within(path: string, folder: string): StoreFailed {
  const [run, checkpoint] = [dirname(dirname(folder)), numberIn(basename(folder))];
  if (checkpoint === undefined) {
    return notRun(path, `it is inside a save that is under way, or was killed, of the run ${run}: give that folder`);
  }
  const what = path === folder ? `it is checkpoint ${checkpoint}` : `it is inside checkpoint ${checkpoint}`;
  return notRun(
    path,
    `${what} of the run ${run}: give that folder, and { checkpoint: ${checkpoint} } to load this one`,
  );
}

// --- combinators

/** The folder of a checkpoint, or of a save, that a path is or lies in, by the names alone. */
function checkpointAround(path: string): string | undefined {
  for (let at = path; dirname(at) !== at; at = dirname(at)) {
    if (basename(dirname(at)) !== checkpointsName) continue;
    if (numberIn(basename(at)) !== undefined || isTemporary(basename(at))) return at;
  }
  return undefined;
}

async function hasManifest(disk: Disk, folder: string): Promise<boolean> {
  return E.isRight(await disk.status(join(folder, manifestName))());
}

/** Whether a folder holds checkpoints itself, or saves that are under way. */
function holdsCheckpoints(disk: Disk, path: string): TE.TaskEither<StoreFailed, number | "saves" | undefined> {
  return async () => {
    const names = await disk.names(path)();
    if (E.isLeft(names)) return absent.includes(names.left.code) ? E.right(undefined) : names;
    for (const name of names.right) {
      // Other tools have folders of such names, too.
      const number = numberIn(name);
      if (number !== undefined && await hasManifest(disk, join(path, name))) return E.right(number);
    }
    return E.right(names.right.some(isTemporary) ? "saves" : undefined);
  };
}

/** Refuses a folder that is a checkpoint, or holds some itself. */
function checkContents(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  return async () => {
    if (await hasManifest(disk, path)) {
      return E.left(notRun(path, "it is a checkpoint: give the folder of its run, which holds a folder checkpoints"));
    }
    const held = await holdsCheckpoints(disk, path)();
    if (E.isLeft(held)) return held;
    if (held.right === undefined) return E.right(undefined);
    if (basename(path) === checkpointsName) {
      return E.left(notRun(path, `it is the folder of the checkpoints of the run ${dirname(path)}: give that folder`));
    }
    if (held.right === "saves") return E.right(undefined);
    const [from, to] = [folderName(held.right), join(path, checkpointsName, folderName(held.right))];
    return E.left(notRun(path, `it holds ${from} itself, where a run has a folder checkpoints: move it to ${to}`));
  };
}

/** Refuses a path that leads nowhere because of a link to nothing, in it or above. */
function checkLinks(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  return async () => {
    for (let at = path;; at = dirname(at)) {
      const target = await disk.target?.(at)();
      if (target === undefined || (E.isLeft(target) && target.left.code !== "ENOENT")) return E.right(undefined);
      if (E.isRight(target)) {
        const there = await disk.status(at)();
        if (E.isRight(there) || there.left.code !== "ENOENT") return E.right(undefined);
        const message = `${at} is a symbolic link to ${target.right}, which is not there (a disk may not be mounted)`;
        return E.left(storeFailed("find a run in", path, "ENOLINK", message));
      }
      if (dirname(at) === at) return E.right(undefined);
    }
  };
}

/**
 * Refuses a path by its name, and looks at the disk only where the name gives reason to.
 *
 * @param disk The disk.
 * @param path An absolute path.
 */
export function checkName(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  const folder = checkpointAround(path);
  if (folder === undefined) return basename(path) === checkpointsName ? checkContents(disk, path) : done;
  return async () => {
    if (await hasManifest(disk, folder)) return E.left(within(path, folder));
    // A number that is not there, of a run that is.
    const held = await holdsCheckpoints(disk, dirname(folder))();
    return E.isRight(held) && held.right !== undefined ? E.left(within(path, folder)) : E.right(undefined);
  };
}

/**
 * Refuses a path where nothing is found to be saved, unless a run could begin there.
 *
 * @param disk The disk.
 * @param path An absolute path.
 */
export function checkEmpty(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  const inner = join(path, checkpointsName);
  return pipe(
    disk.status(inner),
    TE.map(() => undefined),
    unless(absent, () =>
      pipe(
        checkLinks(disk, inner),
        TE.flatMap(() => checkContents(disk, path)),
        // What links lead to may lie in a checkpoint, too.
        TE.flatMap(() => checkName(disk, disk.realPath?.(path) ?? path)),
      )),
  );
}

/**
 * Names the file in a path of which the disk only says that it is no folder.
 *
 * @param disk The disk.
 * @param path The path.
 * @param failed What the disk said.
 */
export function nameFile(disk: Disk, path: string, failed: StoreFailed): TE.TaskEither<StoreFailed, never> {
  return async () => {
    for (let at = path; dirname(at) !== at; at = dirname(at)) {
      const found = await disk.status(at)();
      if (E.isRight(found) && found.right.kind !== "folder") {
        return E.left({
          ...failed,
          operation: "find a run in",
          path: at,
          message: `it is a ${found.right.kind === "file" ? "file" : "device"}`,
        });
      }
      if (E.isRight(found)) break;
    }
    return E.left(failed);
  };
}
