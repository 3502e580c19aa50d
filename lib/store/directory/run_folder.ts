/**
 * Checks that a path can be the folder of a run.
 *
 * Paths that are easily given by mistake are rejected with the right one: a folder of checkpoints, a checkpoint, a file in one, a broken
 * link. A run in one of these would start afresh without notice, and would be removed together with the checkpoint around it.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { isAbsent, means, plainCode } from "./answers.ts";
import type { FileStatus, FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { done, unless } from "./folder_ops.ts";
import { checkMount } from "./mounts.ts";
import { isTemporary } from "./temporary.ts";
import { folderName, numberIn } from "./listing.ts";
import { manifestName, storeFailed } from "../mod.ts";

// --- types

/** The name of the folder in a run that contains its checkpoints. */
export const checkpointsName = "checkpoints";

// --- errors

function notRun(path: string, message: string, remedy?: string): StoreFailed {
  return storeFailed("find a run in", path, "ENOTRUN", message, remedy);
}

/** The error for a path that is, or is inside, the folder of a checkpoint or of a save. */
function insideCheckpoint(path: string, folder: string): StoreFailed {
  const [run, checkpoint] = [dirname(dirname(folder)), numberIn(basename(folder))];
  if (checkpoint === undefined) {
    return notRun(path, `it is inside an unfinished save of the run ${run}. Open that folder`);
  }
  const what = `it is ${path === folder ? "" : "inside "}checkpoint ${checkpoint} of the run ${run}`;
  const remedy =
    `Open that folder, with { checkpoint: ${checkpoint} } to load this checkpoint. Nothing was created there`;
  return notRun(path, what, remedy);
}

// --- combinators

/** The folder of a checkpoint or of a save that a path is or is inside, judged by names only. */
function checkpointAround(path: string): string | undefined {
  for (let at = path; dirname(at) !== at; at = dirname(at)) {
    if (basename(dirname(at)) !== checkpointsName) continue;
    if (numberIn(basename(at)) !== undefined || isTemporary(basename(at))) return at;
  }
  return undefined;
}

async function hasManifest(fs: FileSystem, folder: string): Promise<boolean> {
  return E.isRight(await fs.status(join(folder, manifestName))());
}

/** A checkpoint in a folder, or `saves` if the folder contains only unfinished saves; undefined if neither. */
function contentsOf(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, number | "saves" | undefined> {
  return async () => {
    const names = await fs.names(path)();
    if (E.isLeft(names)) return isAbsent("names")(names.left) ? E.right(undefined) : names;
    for (const name of names.right) {
      // Other tools use such names too, so the manifest decides.
      const number = numberIn(name);
      if (number !== undefined && await hasManifest(fs, join(path, name))) return E.right(number);
    }
    return E.right(names.right.some(isTemporary) ? "saves" : undefined);
  };
}

/** Rejects a folder that is a checkpoint, or contains checkpoints directly. */
function checkContents(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  return async () => {
    const reject = (message: string): E.Either<StoreFailed, never> => E.left(notRun(path, message));
    if (await hasManifest(fs, path)) {
      return reject("it is a checkpoint. Open the folder of its run, which contains a folder checkpoints");
    }
    const contents = await contentsOf(fs, path)();
    if (E.isLeft(contents)) return contents;
    if (contents.right === undefined) return E.right(undefined);
    if (basename(path) === checkpointsName) {
      return reject(`it is the folder of the checkpoints of the run ${dirname(path)}. Open that folder`);
    }
    if (contents.right === "saves") return E.right(undefined);
    const [from, to] = [folderName(contents.right), join(path, checkpointsName, folderName(contents.right))];
    return reject(`it contains ${from} directly, but a run has a folder checkpoints. Move it to ${to}`);
  };
}

/** Rejects what is not a folder. For a path below a file Windows only says that it is missing, so this is looked at. */
function checkFolder(path: string, { kind }: FileStatus): E.Either<StoreFailed, void> {
  if (kind === "folder") return E.right(undefined);
  const message = `it is a ${kind === "file" ? "file" : "device"}`;
  return E.left(storeFailed("find a run in", path, plainCode.belowFile, message));
}

/** Rejects a path with a broken symbolic link or a file, in the path or above it. */
function checkLinks(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  return async () => {
    for (let at = path;; at = dirname(at)) {
      const target = await fs.linkTarget?.(at)();
      if (target === undefined) return E.right(undefined);
      if (E.isLeft(target) && !means("missing", "linkTarget")(target.left)) {
        // Without permission Deno would ask for it.
        if (means("forbidden", "linkTarget")(target.left)) return E.right(undefined);
        const status = await fs.status(at)();
        return E.isLeft(status) ? E.right(undefined) : checkFolder(at, status.right);
      }
      if (E.isRight(target)) {
        const status = await fs.status(at)();
        if (E.isRight(status) || !means("missing", "status")(status.left)) return E.right(undefined);
        const message = `${at} is a symbolic link to ${target.right}, which does not exist (is a disk not mounted?)`;
        return E.left(storeFailed("find a run in", path, "ENOLINK", message));
      }
      if (dirname(at) === at) return E.right(undefined);
    }
  };
}

/**
 * Rejects a path by its name. The file system is read only if the name is suspicious.
 *
 * @param fs The file system.
 * @param path An absolute path.
 */
export function checkName(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  const folder = checkpointAround(path);
  if (folder === undefined) return basename(path) === checkpointsName ? checkContents(fs, path) : done;
  return async () => {
    if (await hasManifest(fs, folder)) return E.left(insideCheckpoint(path, folder));
    // A checkpoint that does not exist, in a run that does.
    const contents = await contentsOf(fs, dirname(folder))();
    const isRun = E.isRight(contents) && contents.right !== undefined;
    return isRun ? E.left(insideCheckpoint(path, folder)) : E.right(undefined);
  };
}

/**
 * Rejects a path without checkpoints if no run can begin there.
 *
 * @param fs The file system.
 * @param path An absolute path.
 */
export function checkEmpty(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  const checkpoints = join(path, checkpointsName);
  return pipe(
    fs.status(checkpoints),
    TE.map((status): FileStatus | undefined => status),
    unless<FileStatus | undefined>(isAbsent("status"), () => TE.right(undefined)),
    TE.flatMap((status) =>
      status !== undefined
        ? pipe(
          TE.fromEither(checkFolder(checkpoints, status)),
          TE.flatMap(() => checkMount(fs, checkpoints)),
        )
        : pipe(
          checkLinks(fs, checkpoints),
          TE.flatMap(() => checkContents(fs, path)),
          // The path may lead into a checkpoint through links.
          TE.flatMap(() => checkName(fs, fs.realPath?.(path) ?? path)),
          TE.flatMap(() => checkMount(fs, checkpoints)),
        )
    ),
  );
}

/**
 * Finds the file in a path for which the system only says that it is not a folder.
 *
 * @param fs The file system.
 * @param path The path.
 * @param failed The system's failure.
 * @returns The failure, with the path and the kind of that file if it is found.
 */
export function nameFile(fs: FileSystem, path: string, failed: StoreFailed): TE.TaskEither<StoreFailed, never> {
  return async () => {
    for (let at = path; dirname(at) !== at; at = dirname(at)) {
      const status = await fs.status(at)();
      if (E.isLeft(status)) continue;
      return pipe(checkFolder(at, status.right), E.flatMap(() => E.left(failed)));
    }
    return E.left(failed);
  };
}
