/**
 * A folder of checkpoints that no crash, full disk or kill can leave without its newest one.
 *
 * ```text
 * runs/digits/checkpoints/checkpoint_12/      a checkpoint: holds snapshot.json, its manifest
 * runs/digits/checkpoints/.saving-...         a save under way or its claim on a number, or what a killed one left
 * runs/digits/checkpoints/.removing-...       a checkpoint being removed
 * runs/digits/checkpoints/.number-12/         a number that a save is about to take
 * ```
 *
 * A save writes every part under a temporary name, makes it durable with `fsync`, then the manifest, then the folders,
 * for the first checkpoint those above, too; then one rename makes it a checkpoint, and an `fsync` of the folder it is
 * in makes that durable. Nothing committed is ever written to again. The order is the one all journaling file systems
 * need (Pillai et al., All File Systems Are Not Created Equal, OSDI 2014).
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type Disk, machineDisk } from "./disk.ts";
import type { NoCheckpoint, StoreFailed } from "./errors.ts";
import { openPart, readManifestFile, writeFile } from "./files.ts";
import { done, makeFolders, removeAll, unless } from "./folders.ts";
import { claimName, sweep, temporaryName, underWay, vanish } from "./leftovers.ts";
import { candidatesIn, folderName, isCommitted, listIn, numberIn } from "./listing.ts";
import { type LocationState, newLocationState } from "./location.ts";
import { publish } from "./publish.ts";
import { shown } from "./rules.ts";
import { checkEmpty, checkName, checkpointsName, nameFile } from "./run_folder.ts";
import {
  checkCheckpoint,
  checkOptions,
  checkPartName,
  type Chunks,
  manifestName,
  type PartStatus,
  type Saving,
  savingOf,
  type Store,
  storeFailed,
  type StoreOptions,
  type Writer,
  type Written,
} from "./store.ts";

// --- types

/** How a folder keeps checkpoints. */
export type DirectoryOptions = StoreOptions;

// --- saving

/** What a process expects of a folder where it has saved. */
interface Guess {
  readonly next: number;
  readonly names: number;
}

/** From so many names on it costs less to look at the clock of the disk than to list them twice. */
const manyNames = 1000;

/** Where one save is written. */
interface Place {
  readonly parent: string;
  readonly own: string;
  /** The numbers that saves of this process will probably have, by folders that were swept. */
  readonly guesses: Map<string, Guess>;
  readonly digest: StoreOptions["digest"];
}

/** Codes that say: link no file here. */
const cannotLink = ["EXDEV", "EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "ENOENT"];

function writerTo(disk: Disk, { parent, own, guesses, digest }: Place): Writer {
  let seen = (): readonly number[] | undefined => undefined;
  const inner = new Set<string>();
  // The part before may become durable while the next one is written.
  let durable: Promise<E.Either<StoreFailed, void>> = Promise.resolve(E.right(undefined));

  /** The path of a part, in a folder that is there. */
  function place(name: string): TE.TaskEither<StoreFailed, string> {
    const path = join(own, name);
    const folder = dirname(path);
    if (folder === own || inner.has(folder)) return TE.right(path);
    return pipe(disk.makeFolder(folder), TE.map(() => (inner.add(folder), path)));
  }

  async function put(path: string, chunks: Chunks): Promise<E.Either<StoreFailed, Written>> {
    const file = await writeFile(disk, path, chunks, digest);
    const before = await durable;
    if (E.isLeft(file)) return file;
    durable = file.right.durable;
    return pipe(before, E.map(() => file.right.written));
  }

  return {
    put: (name, chunks) => pipe(place(name), TE.flatMap((path) => () => put(path, chunks))),
    reuse: (name, from) =>
      pipe(
        place(name),
        TE.flatMap((path) => disk.link(join(parent, folderName(from.checkpoint), from.name), path)),
        TE.map(() => true),
        unless(cannotLink, () => TE.right(false)),
      ),
    looks: true,
    seen: () => seen(),
    commit: (manifest, after) =>
      pipe(
        () => put(join(own, manifestName), [manifest]),
        // In any order: none of it is a checkpoint before the rename.
        TE.flatMap(() => TE.sequenceArray([() => durable, ...[...inner, own].map(disk.syncFolder)])),
        TE.flatMap(() => after?.isDoubtful === true ? disk.syncFolder(parent) : done),
        TE.flatMap((): ReturnType<typeof publish> => {
          const { next, names } = guesses.get(parent) ?? { next: 0, names: 0 };
          return publish(disk, parent, own, next, names >= manyNames, after);
        }),
        TE.flatMap((published) => pipe(disk.syncFolder(parent), TE.map(() => published))),
        TE.flatMapTask(({ checkpoint, seen: { names, newest, numbersFrom } }) => async () => {
          underWay.delete(own);
          guesses.set(parent, { next: checkpoint + 1, names: names.length });
          // One that was passed by another save, which is rare, is not the highest.
          seen = () => {
            const numbers = numbersFrom(0);
            return newest < checkpoint ? [...numbers, checkpoint] : [...numbers, checkpoint].sort((a, b) => a - b);
          };
          const others = names.filter((name) => name !== basename(own) && name !== claimName(checkpoint));
          await sweep(disk, parent, join(parent, folderName(checkpoint)), others)();
          return checkpoint;
        }),
      ),
    discard: async () => {
      await durable;
      await removeAll(disk, own)();
      underWay.delete(own);
      // The next save looks for what was left by this one, which may be what it has no room for.
      guesses.delete(parent);
    },
  };
}

// --- constructors

/**
 * {@link directory} over any disk.
 *
 * @param disk The disk.
 * @returns The constructor of stores on it.
 */
export function directoryOn(disk: Disk): (path: string, options?: DirectoryOptions) => Store {
  const places = new Map<string, LocationState>();
  const guesses = new Map<string, Guess>();
  return (path, options = {}) => {
    if (typeof path !== "string" || path === "" || path.includes("\0") || /^~(\/|$)/.test(path)) {
      throw new TypeError(`Expected a folder's path, found ${shown(path)}: write it out, "~" too`);
    }
    if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path)) {
      throw new TypeError(
        `Expected a folder's path, found the URL ${shown(path)}: write the path of a folder that is mounted here`,
      );
    }
    checkOptions(options);
    const run = (): string => resolve(path);
    const parent = (): string => join(run(), checkpointsName);
    const locationOf = (checkpoint: number): string => join(parent(), folderName(checkpoint));

    /** A task of a path that can be a run's folder. */
    function inRun<A>(task: () => TE.TaskEither<StoreFailed, A>): TE.TaskEither<StoreFailed, A> {
      return pipe(
        checkName(disk, run()),
        TE.flatMap(task),
        unless<A>(["ENOTDIR"], (failed) => nameFile(disk, parent(), failed)),
      );
    }

    /** Numbers that were found; where there are none, whether a run could begin here. */
    function numbers(
      found: (disk: Disk, parent: string) => TE.TaskEither<StoreFailed, readonly number[]>,
    ): TE.TaskEither<StoreFailed, readonly number[]> {
      return inRun(() =>
        pipe(
          found(disk, parent()),
          TE.tap((numbers) => numbers.length > 0 ? done : checkEmpty(disk, run())),
        )
      );
    }

    function ifCommitted<A>(
      checkpoint: number,
      task: () => TE.TaskEither<StoreFailed, A>,
    ): TE.TaskEither<StoreFailed | NoCheckpoint, A> {
      const none = (available: readonly number[]): NoCheckpoint => ({
        _tag: "NoCheckpoint",
        location: run(),
        checkpoint,
        available,
      });
      return () =>
        pipe(
          isCommitted(disk, parent(), checkpoint),
          TE.flatMap((committed): TE.TaskEither<StoreFailed | NoCheckpoint, A> =>
            committed ? task() : pipe(
              // Not each looked at: there may be many, and whoever asks for one after the other would look at all each time.
              numbers(candidatesIn),
              TE.flatMap((found) => TE.left(none(found.filter((number) => number !== checkpoint)))),
            )
          ),
        )();
    }

    async function begin(): Promise<E.Either<StoreFailed, Saving>> {
      const folder = parent();
      const own = join(folder, temporaryName("saving", await disk.writer()));
      underWay.add(own);
      const made = await inRun(() =>
        pipe(
          disk.makeFolder(own),
          unless(["ENOENT"], () =>
            pipe(
              checkEmpty(disk, run()),
              TE.flatMap(() => makeFolders(disk, folder)),
              TE.flatMap(() => disk.makeFolder(own)),
            )),
        )
      )();
      if (E.isLeft(made)) {
        underWay.delete(own);
        return made;
      }
      if (!guesses.has(folder)) {
        // Before the first save of this process: what others have left may be what it has no room for. Later ones see as they commit.
        const names = await disk.names(folder)();
        if (E.isRight(names)) {
          await sweep(disk, folder, own, names.right)();
          const newest = names.right.reduce((highest, name) => Math.max(highest, numberIn(name) ?? -1), -1);
          guesses.set(folder, { next: newest + 1, names: names.right.length });
        }
      }
      return E.right(savingOf(writerTo(disk, { parent: folder, own, guesses, digest: options.digest })));
    }

    const store: Store = {
      _tag: "Store",
      get location() {
        return run();
      },
      place: () => {
        const folder = disk.realPath?.(resolve(path)) ?? resolve(path);
        const place = places.get(folder) ?? newLocationState();
        places.set(folder, place);
        return place;
      },
      ...(options.keep && { keep: options.keep }),
      ...(options.digest && { digest: options.digest }),
      list: () => numbers(listIn)(),
      candidates: () => numbers(candidatesIn)(),
      begin,
      manifest: (checkpoint) => {
        checkCheckpoint(checkpoint);
        return ifCommitted(checkpoint, () => readManifestFile(disk, join(locationOf(checkpoint), manifestName)));
      },
      open: (checkpoint, name) => {
        checkCheckpoint(checkpoint);
        checkPartName(name);
        return ifCommitted(checkpoint, () => openPart(disk, join(locationOf(checkpoint), name)));
      },
      status: (checkpoint, name) => {
        checkCheckpoint(checkpoint);
        checkPartName(name);
        const path = (): string => join(locationOf(checkpoint), name);
        return () =>
          pipe(
            disk.status(path()),
            TE.flatMap(({ kind, bytes, links }): TE.TaskEither<StoreFailed | NoCheckpoint, PartStatus> =>
              kind === "file"
                ? TE.right({ bytes, links })
                : TE.left(storeFailed("look at", path(), "EINVAL", "no file"))
            ),
            TE.orElse((failed) =>
              failed._tag === "StoreFailed" && (failed.code === "ENOENT" || failed.code === "ENOTDIR")
                ? ifCommitted(checkpoint, () => TE.left(failed))
                : TE.left(failed)
            ),
          )();
      },
      remove: (checkpoint) => {
        checkCheckpoint(checkpoint);
        return () =>
          pipe(
            isCommitted(disk, parent(), checkpoint),
            TE.flatMap((committed) => committed ? vanish(disk, locationOf(checkpoint)) : done),
          )();
      },
      locationOf,
    };
    return Object.freeze(store);
  };
}

/**
 * A folder of checkpoints.
 *
 * It is made at the first save; until then it need not be there. Every checkpoint is a folder `checkpoints/checkpoint_<n>`
 * of ordinary files in it; other files and folders there are left alone. Several processes may save into it at once. The path of a
 * checkpoint, of a folder `checkpoints`, of a file or of a link that leads nowhere is a `StoreFailed` that names the folder that was meant.
 * Law: *old or new*, after a crash, a full disk or a kill at any instant.
 *
 * @param path The folder; a relative path is taken from the working directory at the time of each task.
 * @param options The retention policy and the digest.
 * @returns The store. What the disk refuses is a `StoreFailed` in the left of its tasks.
 *
 * @example
 * ```ts
 * import { directory, list, loadState, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 * import { mkdtemp, rm } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 *
 * const runs = await mkdtemp(join(tmpdir(), "runs-"));
 * const store = directory(join(runs, "digits"));
 * await runOrThrow(saveState(store)({ step: 3 }));
 * assert.deepEqual(await runOrThrow(loadState(store)({ step: 0 })), { step: 3 });
 * assert.equal((await runOrThrow(list(store))).entries.length, 1);
 * await rm(runs, { recursive: true });
 * ```
 */
export function directory(path: string, options: DirectoryOptions = {}): Store {
  return onThisMachine(path, options);
}

const onThisMachine = directoryOn(machineDisk);
