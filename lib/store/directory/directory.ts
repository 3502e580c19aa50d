/**
 * A store in a folder of a disk. No crash, full disk or kill can lose its newest checkpoint.
 *
 * ```text
 * runs/digits/checkpoints/checkpoint_12/      a checkpoint; snapshot.json in it is its manifest
 * runs/digits/checkpoints/.saving-...         a save in progress or its reservation, or an orphan of a killed save
 * runs/digits/checkpoints/.removing-...       a checkpoint that is being removed
 * runs/digits/checkpoints/.number-12/         a number that a save has reserved
 * ```
 *
 * ## The steps of a save, and what a crash leaves after each
 *
 * 1. Make a temporary folder. A crash leaves an orphan, here and up to step 5; a later save removes it.
 * 2. Write each part into it, and make it durable with `fsync`. The next part is written meanwhile.
 * 3. Write the manifest, and make it durable.
 * 4. Make the folders of the parts and the temporary folder durable, so that every name in them is.
 * 5. Commit: one rename gives the temporary folder the name of a checkpoint. `commitFolder` finds the number, and for the first checkpoint
 *    makes the folders above durable before. After a crash the checkpoint is whole, or the temporary folder is.
 * 6. Make the rename durable with an `fsync` of the folder of checkpoints. From here on, no crash can take the checkpoint.
 * 7. Remove orphans.
 *
 * No file of a checkpoint is ever written to again. All journaling file systems need this order (Pillai et al., All File Systems Are Not
 * Created Equal, OSDI 2014).
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as T from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { checkStoreOptions, manifestName, newLocationState, savingOf, storeFailed } from "../mod.ts";
import { ofCheckpoint, ofPart } from "../mod.ts";
import type { Chunks, CommitCondition, LocationState, Orphans, PartDigest, PartStatus, StoreOptions } from "../mod.ts";
import type { Saving, Store, StoreWriter } from "../mod.ts";
import { isAbsent, means } from "./answers.ts";
import { withClearAnswers } from "./clear_answers.ts";
import type { FileSystem } from "./file_system.ts";
import type { NoCheckpoint, Overtaken, StoreFailed } from "../../errors/mod.ts";
import { openPart, readManifestFile, writeFile } from "./file_io.ts";
import { done, ensureFolder, makeFolders, removeTree, unless } from "./folder_ops.ts";
import { reservationName, temporaryName } from "./temporary.ts";
import { folderName, isCommitted, listCandidates, listCheckpoints, numberIn } from "./listing.ts";
import { localFileSystem } from "./local_file_system.ts";
import { checkMount } from "./mounts.ts";
import { activeSaves, orphansIn, removeAtomically, removeOrphans } from "./orphans.ts";
import { commitFolder, type CommittedFolder } from "./commit.ts";
import { checkLocalPath } from "../../validation/mod.ts";
import { checkEmpty, checkName, checkpointsName, nameFile } from "./run_folder.ts";

// --- types

/** A run's folder on a file system. */
interface RunFolder {
  readonly fs: FileSystem;
  /** The same for what is removed, which the next save tries again if it cannot be removed now. */
  readonly hasty: FileSystem;
  /** The absolute path of the run. A relative path is resolved anew for each task. */
  readonly run: () => string;
  /** What the last save of this process left in a folder of checkpoints: how many names it has, and the number that the next save probably gets. */
  readonly expectations: Map<string, { readonly names: number; readonly next: number }>;
  readonly digest: StoreOptions["digest"];
}

/** The number of names from which reading the file system's clock costs less than listing the folder twice. */
const manyNames = 1000;

// --- paths

function parentOf(run: string): string {
  return join(run, checkpointsName);
}

/** The path of a checkpoint, or of a part of it. */
function partPath(run: string, checkpoint: number, name: string = ""): string {
  return join(parentOf(run), folderName(checkpoint), name);
}

// --- saving

/** Step 1. */
function begin(folder: RunFolder): TE.TaskEither<StoreFailed, Saving> {
  return async () => {
    const { fs, run, expectations } = folder;
    const parent = parentOf(run());
    const path = join(parent, temporaryName("saving", await fs.processId()));
    activeSaves.add(path);
    const checked = expectations.has(parent) ? done : checkMount(fs, parent);
    const made = await inRun(folder, () => pipe(checked, TE.flatMap(() => makeTemporary(fs, run(), path))))();
    if (E.isLeft(made)) {
      activeSaves.delete(path);
      return made;
    }
    // Before the first save of this process, because orphans may take the space that it needs. Later saves do this at their commits.
    if (!expectations.has(parent)) await examine(folder, parent, path);
    return E.right(savingOf(temporaryWriter(folder, parent, path)));
  };
}

function makeTemporary(fs: FileSystem, run: string, path: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    ensureFolder(fs, path),
    unless(means("missing", "makeFolder"), () =>
      pipe(
        checkEmpty(fs, run),
        TE.flatMap(() => makeFolders(fs, dirname(path))),
        TE.flatMap(() => ensureFolder(fs, path)),
      )),
  );
}

/** Removes orphans, and counts the names. */
async function examine({ fs, hasty, expectations }: RunFolder, parent: string, fresh: string): Promise<void> {
  const names = await fs.names(parent)();
  if (E.isLeft(names)) return;
  await removeOrphans(hasty, parent, fresh, names.right)();
  const newest = names.right.reduce((highest, name) => Math.max(highest, numberIn(name) ?? -1), -1);
  expectations.set(parent, { next: newest + 1, names: names.right.length });
}

/** The steps of a save with a temporary folder `path` in the folder `parent` of checkpoints. */
function temporaryWriter(folder: RunFolder, parent: string, path: string): StoreWriter {
  const { fs, expectations, digest } = folder;
  const folders = new Set<string>();
  let committed: CommittedFolder | undefined;
  // A part becomes durable while the next one is written.
  let durable: Promise<E.Either<StoreFailed, void>> = Promise.resolve(E.right(undefined));

  /** The path of a part, whose folder is made if necessary. */
  function makePath(name: string): TE.TaskEither<StoreFailed, string> {
    const part = join(path, name);
    const inner = dirname(part);
    if (inner === path || folders.has(inner)) return TE.right(part);
    return pipe(ensureFolder(fs, inner), TE.map(() => (folders.add(inner), part)));
  }

  /** Shares a file by a hard link. On any failure of the link the caller writes the file. */
  function link(from: string, part: string): TE.TaskEither<StoreFailed, boolean> {
    return pipe(
      fs.link(from, part),
      TE.map(() => true),
      // The link may have been made in spite of the answer.
      TE.orElse(() => TE.fromTask(pipe(fs.removeFile(part), T.map(() => false)))),
    );
  }

  /** Steps 2 and 3. */
  async function put(part: string, chunks: Chunks): Promise<E.Either<StoreFailed, PartDigest>> {
    const file = await writeFile(fs, part, chunks, digest);
    const before = await durable;
    if (E.isLeft(file)) return file;
    durable = file.right.durable;
    return pipe(before, E.map(() => file.right.digest));
  }

  return {
    put: (name, chunks) => pipe(makePath(name), TE.flatMap((part) => () => put(part, chunks))),
    reuse: (name, from) =>
      pipe(
        makePath(name),
        TE.flatMap((part) => link(join(parent, folderName(from.checkpoint), from.name), part)),
      ),
    checksCondition: true,
    // Sorted, because a bypassed save may not have the highest number.
    listed: () => committed && [...committed.listing.numbersFrom(0), committed.checkpoint].sort((a, b) => a - b),
    commit: (manifest, condition) =>
      pipe(
        () => put(join(path, manifestName), [manifest]),
        // Step 4, in any order: nothing here is a checkpoint before the rename.
        TE.flatMap(() => TE.sequenceArray([() => durable, ...[...folders, path].map(fs.syncFolder)])),
        TE.flatMap(() => condition?.isDoubtful === true ? fs.syncFolder(parent) : done),
        TE.flatMap(() => commitDurably(folder, parent, { path, manifest, condition })),
        TE.map((result) => (committed = result).checkpoint),
      ),
    discard: async () => {
      await durable;
      await removeTree(fs, path)();
      activeSaves.delete(path);
      // So that the next save removes orphans first, which may take the space that it needs.
      expectations.delete(parent);
    },
  };
}

/** What the caller must know when step 6 fails. The next save of the run finds the checkpoint, and makes it durable first. */
function inDoubt({ message }: StoreFailed, checkpoint: number): string {
  return `${message}. Checkpoint ${checkpoint} is in its place, but a loss of power may take it back`;
}

/** Steps 5 to 7. */
function commitDurably(
  { fs, hasty, expectations }: RunFolder,
  parent: string,
  { path, manifest, condition }: {
    readonly path: string;
    readonly manifest: Uint8Array;
    readonly condition: CommitCondition | undefined;
  },
): TE.TaskEither<StoreFailed | Overtaken, CommittedFolder> {
  const { next, names } = expectations.get(parent) ?? { next: 0, names: 0 };
  return pipe(
    commitFolder({ fs, parent, temporary: path, manifest, expected: next, isLarge: names >= manyNames, condition }),
    TE.tap(({ checkpoint }) =>
      pipe(fs.syncFolder(parent), TE.mapLeft((failed) => ({ ...failed, message: inDoubt(failed, checkpoint) })))
    ),
    TE.tapTask(({ checkpoint, listing: { names } }) => () => {
      activeSaves.delete(path);
      expectations.set(parent, { next: checkpoint + 1, names: names.length });
      const others = names.filter((name) => name !== basename(path) && name !== reservationName(checkpoint));
      return removeOrphans(hasty, parent, join(parent, folderName(checkpoint)), others)();
    }),
  );
}

// --- reading

/** Whether an operation on the run says that there is a file in its path. */
const isBelowFile = means("below file", "makeFolder", "names", "status", "open");

/** Runs a task if the path can be the folder of a run. */
function inRun<A>({ fs, run }: RunFolder, task: () => TE.TaskEither<StoreFailed, A>): TE.TaskEither<StoreFailed, A> {
  return pipe(
    checkName(fs, run()),
    TE.flatMap(task),
    unless<A>(isBelowFile, (failed) => nameFile(fs, parentOf(run()), failed)),
  );
}

/** Lists the run; if it has no checkpoints, it must be possible to begin a run there. */
function listRun(
  folder: RunFolder,
  list: (fs: FileSystem, parent: string) => TE.TaskEither<StoreFailed, readonly number[]>,
): TE.TaskEither<StoreFailed, readonly number[]> {
  const { fs, run } = folder;
  return inRun(
    folder,
    () => pipe(list(fs, parentOf(run())), TE.tap((numbers) => numbers.length > 0 ? done : checkEmpty(fs, run()))),
  );
}

/** Runs a task if the checkpoint exists. */
function ifCommitted<A>(
  folder: RunFolder,
  checkpoint: number,
  task: TE.TaskEither<StoreFailed, A>,
): TE.TaskEither<StoreFailed | NoCheckpoint, A> {
  const { fs, run } = folder;
  const failure: TE.TaskEither<StoreFailed | NoCheckpoint, never> = pipe(
    // Candidates are enough: examining each number would be slow in a large folder.
    listRun(folder, listCandidates),
    TE.map((numbers) => numbers.filter((number) => number !== checkpoint)),
    TE.flatMap((available) => TE.left({ _tag: "NoCheckpoint" as const, location: run(), checkpoint, available })),
  );
  return pipe(isCommitted(fs, parentOf(run()), checkpoint), TE.flatMap((committed) => committed ? task : failure));
}

/** Looks for the checkpoint only if the task does not find what it needs, which is rare. */
function orNoCheckpoint<A>(
  folder: RunFolder,
  checkpoint: number,
  task: TE.TaskEither<StoreFailed, A>,
): TE.TaskEither<StoreFailed | NoCheckpoint, A> {
  return pipe(
    task,
    TE.orElse((failed) =>
      isAbsent("open", "status")(failed) ? ifCommitted(folder, checkpoint, TE.left(failed)) : TE.left(failed)
    ),
  );
}

function statusOfPart(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, PartStatus> {
  return pipe(
    fs.status(path),
    TE.filterOrElse(({ kind }) => kind === "file", () => storeFailed("look at", path, "EINVAL", "not a file")),
    TE.map(({ bytes, links }) => ({ bytes, links })),
  );
}

/** What is left in the folder of checkpoints, if there is one. */
function leftIn(folder: RunFolder): Orphans {
  const { fs, hasty, run } = folder;
  const ofRun = (): Orphans =>
    orphansIn(
      hasty,
      parentOf(run()),
      inRun(
        folder,
        () =>
          pipe(
            fs.names(parentOf(run())),
            unless<readonly string[]>(means("missing", "names"), () => TE.right([])),
          ),
      ),
    );
  return { list: () => ofRun().list(), remove: (orphans) => () => ofRun().remove(orphans)() };
}

function removeCheckpoint({ fs, hasty, run }: RunFolder, checkpoint: number): TE.TaskEither<StoreFailed, void> {
  return pipe(
    isCommitted(fs, parentOf(run()), checkpoint),
    TE.flatMap((committed) => committed ? removeAtomically(hasty, partPath(run(), checkpoint)) : done),
  );
}

// --- constructors

/**
 * {@link directory} on any file system.
 *
 * @param on The file system.
 * @returns The constructor of stores on it.
 */
export function directoryOn(on: FileSystem): (path: string, options?: StoreOptions) => Store {
  const [fs, hasty] = [withClearAnswers(on), withClearAnswers(on, false)];
  const places = new Map<string, LocationState>();
  const expectations: RunFolder["expectations"] = new Map();
  return (path, options = {}) => {
    checkLocalPath("the folder of directory", path);
    checkStoreOptions(options);
    const run = (): string => resolve(path);
    const folder: RunFolder = { fs, hasty, run, expectations, digest: options.digest };
    return Object.freeze<Store>({
      _tag: "Store",
      get location() {
        return run();
      },
      place: () => {
        const realPath = fs.realPath?.(run()) ?? run();
        const place = places.get(realPath) ?? newLocationState();
        places.set(realPath, place);
        return place;
      },
      ...(options.keep && { keep: options.keep }),
      ...(options.digest && { digest: options.digest }),
      list: () => listRun(folder, listCheckpoints)(),
      candidates: () => listRun(folder, listCandidates)(),
      folders: () => fs.names(run())(),
      orphans: leftIn(folder),
      begin: begin(folder),
      manifest: ofCheckpoint((checkpoint) =>
        orNoCheckpoint(folder, checkpoint, readManifestFile(fs, partPath(run(), checkpoint, manifestName)))
      ),
      open: ofPart((checkpoint, name) =>
        ifCommitted(folder, checkpoint, openPart(fs, partPath(run(), checkpoint, name)))
      ),
      status: ofPart((checkpoint, name) =>
        orNoCheckpoint(folder, checkpoint, statusOfPart(fs, partPath(run(), checkpoint, name)))
      ),
      remove: ofCheckpoint((checkpoint) => removeCheckpoint(folder, checkpoint)),
      locationOf: (checkpoint) => partPath(run(), checkpoint),
    });
  };
}

/**
 * A store in a folder.
 *
 * The folder is made by the first save. Each checkpoint is a folder `checkpoints/checkpoint_<n>` of ordinary files in it; other files
 * and folders are left alone. Several processes may save into it at once. The path of a checkpoint, of a folder `checkpoints`, of a file or
 * of a broken link is a `StoreFailed` that names the right folder. On the mount of an object store, such as gcsfuse or rclone, nothing is saved:
 * the `StoreFailed` has the code `EOBJECTSTORE` and says why. Linux tells such mounts. Law: *old or new*, after a crash, a full disk or a kill at any instant.
 *
 * @param path The folder. A relative path is resolved against the working directory at the time of each task.
 * @param options The retention policy and the digest.
 * @returns The store. Its tasks fail with `StoreFailed` if the file system fails.
 *
 * @example
 * ```ts
 * import { directory, list, loadState, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 * import { mkdtemp, rm } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 *
 * const runs = await mkdtemp(join(tmpdir(), "runs-"));
 * const store = directory(join(runs, "digits"));
 * await saveState(store)({ step: 3 });
 * assert.deepEqual(await loadState(store)({ step: 0 }), { step: 3 });
 * assert.equal((await list(store)).entries.length, 1);
 * await rm(runs, { recursive: true });
 * ```
 */
export function directory(path: string, options: StoreOptions = {}): Store {
  return directoryHere(path, options);
}

const directoryHere = directoryOn(localFileSystem);
