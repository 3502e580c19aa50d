/**
 * A file system whose answers are clear: what is unclear is looked at, what passes is waited for.
 *
 * - *Unclear.* A rename onto an existing folder may answer as if it was forbidden, or not supported. So the new path is looked at: if it exists, the answer is
 *   that it is taken. So is a path that is removed: if it is a folder, the answer says so.
 * - *Passing.* On Windows nothing can be renamed or removed while a virus scanner or an indexer has it open, mostly for less than a second.
 *   The operation is tried again for 2.5 seconds. Elsewhere it is tried again for a moment: between the answer and the look, another
 *   process may have renamed or removed what was in the way.
 * - *Stale.* NFS forgets a path that another machine has replaced. It is asked once more, and then the path is missing.
 * - *Without fsync of folders.* A file system that cannot do it keeps its folders durable by itself, or not at all: that is no failure.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { meaningOf, means, type Operation, plainCode } from "./answers.ts";
import type { FileSystem, WritableFile } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { done, unless } from "./folder_ops.ts";

// --- types

/** Looks why an operation on a path was not done; undefined if the look does not show it. */
type Look = () => Promise<"taken" | "folder" | undefined>;

/** How long what passes is waited for. */
interface Patience {
  /** The waits between two tries, in milliseconds. */
  readonly waits: readonly number[];
  readonly wait: (milliseconds: number) => Promise<void>;
  /** The failure after the last try. */
  readonly explain: (failed: StoreFailed) => StoreFailed;
}

const moment: readonly number[] = [1, 10, 50];
const seconds: readonly number[] = [10, 20, 40, 80, 160, 320, 640, 1280];

// --- combinators

const waitHere = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

/** On Windows the same code says that something is forbidden and that it is in use. */
function maybeInUse(failed: StoreFailed): StoreFailed {
  return {
    ...failed,
    message: `${failed.message}, or another program such as a virus scanner or a reader has it open`,
  };
}

/** Asks once more about a stale path; then it is missing. */
function notStale<A>(operation: Operation, task: TE.TaskEither<StoreFailed, A>): TE.TaskEither<StoreFailed, A> {
  const isStale = means("stale", operation);
  return pipe(
    task,
    unless(isStale, () => task),
    unless(isStale, (failed) => TE.left({ ...failed, code: plainCode.missing })),
  );
}

/** Tries an operation until its answer is clear, or there is no more time. */
function tried(
  operation: Operation,
  task: TE.TaskEither<StoreFailed, void>,
  look: Look,
  { waits, wait, explain }: Patience,
): TE.TaskEither<StoreFailed, void> {
  return async () => {
    for (let tries = 0;; tries++) {
      const result = await notStale(operation, task)();
      if (E.isRight(result)) return result;
      const meaning = meaningOf(operation, result.left);
      if (meaning !== "unclear" && meaning !== "unsupported") return result;
      const found = await look();
      if (found !== undefined) return E.left({ ...result.left, code: plainCode[found] });
      const milliseconds = waits[tries];
      if (milliseconds === undefined) return E.left(explain(result.left));
      await wait(milliseconds);
    }
  };
}

/** A file whose failing `fsync` says that the file system has none. */
function withHonestSync(file: WritableFile): WritableFile {
  const isUnsupported = means("unsupported", "sync");
  const explained = (failed: StoreFailed): StoreFailed =>
    isUnsupported(failed)
      ? { ...failed, message: `${failed.message}. That file system cannot make a file durable: save to a local disk` }
      : failed;
  return { ...file, flush: pipe(file.flush, TE.mapLeft(explained)), sync: pipe(file.sync, TE.mapLeft(explained)) };
}

/**
 * A file system whose answers are clear.
 *
 * @param fs The file system.
 * @param isPatient Whether it waits for seconds on Windows, and for a moment elsewhere. If not, it waits for a moment on Windows only: what cannot
 *   be removed stays for the next time.
 */
export function withClearAnswers(fs: FileSystem, isPatient = true): FileSystem {
  const isWindows = fs.platform === "win32";
  const patience: Patience = {
    waits: isPatient ? isWindows ? seconds : moment : isWindows ? moment : [],
    wait: fs.wait ?? waitHere,
    explain: isWindows ? maybeInUse : (failed) => failed,
  };
  const exists = (path: string): Look => async () =>
    E.isRight(await notStale("status", fs.status(path))()) ? "taken" : undefined;
  // The status of a link to a folder is that of the folder, and the link alone is to be removed.
  const isFolder = (path: string): Look => async () => {
    const status = await notStale("status", fs.status(path))();
    if (E.isLeft(status) || status.right.kind !== "folder") return undefined;
    const target = await fs.linkTarget?.(path)();
    return target !== undefined && E.isRight(target) ? undefined : "folder";
  };
  const nothing: Look = () => Promise.resolve(undefined);
  const { linkTarget } = fs;
  return {
    ...fs,
    makeFolder: (path) => tried("makeFolder", fs.makeFolder(path), exists(path), patience),
    create: (path) => pipe(notStale("create", fs.create(path)), TE.map(withHonestSync)),
    open: (path) => notStale("open", fs.open(path)),
    status: (path) => notStale("status", fs.status(path)),
    ...(linkTarget && { linkTarget: (path: string) => notStale("linkTarget", linkTarget(path)) }),
    names: (path) => notStale("names", fs.names(path)),
    link: (from, to) => notStale("link", fs.link(from, to)),
    rename: (from, to) => tried("rename", fs.rename(from, to), exists(to), patience),
    removeFile: (path) => tried("removeFile", fs.removeFile(path), isFolder(path), patience),
    removeFolder: (path) => tried("removeFolder", fs.removeFolder(path), nothing, patience),
    syncFolder: (path) =>
      pipe(notStale("syncFolder", fs.syncFolder(path)), unless(means("unsupported", "syncFolder"), () => done)),
  };
}
