/**
 * What saves and removals work on under temporary names, and what is left of it when they are killed.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Disk } from "./disk.ts";
import type { StoreFailed } from "./errors.ts";
import { done, removeAll, unless } from "./folders.ts";
import { manifestName } from "./store.ts";

// --- types

/** How long a save whose process cannot be found out about is left alone, in milliseconds. */
const abandoned = 3_600_000;

// --- names

/** A name that no other process and no other save or removal has. */
export function temporaryName(purpose: "saving" | "removing", writer: string): string {
  return `.${purpose}-${writer}-${randomBytes(6).toString("hex")}`;
}

/** Their purpose, and the process they are of. */
const temporary = /^\.(saving|removing)-([0-9a-z.]+)-[0-9a-f]+$/;

/** The name of a save's claim on a number; in it is a folder that says whose it is. */
export function claimName(number: number): string {
  return `.number-${number}`;
}

/** Any claim's name. */
const claim = /^\.number-(0|[1-9][0-9]*)$/;

/** The number in a claim's name; undefined for any other name. */
export function claimedIn(name: string): number | undefined {
  const digits = claim.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** What a save's own folder is called once it has moved its claim to another number; until then it is called as in the claim. */
export function claimedName(folder: string, number: number): string {
  return `${folder}${number.toString(16)}`;
}

/** The name of the folder in a claim: that of the save's own, and the key of its run if that is of account. */
export function ownerName(folder: string, key: string | undefined): string {
  return key === undefined ? folder : `${folder}-${key}`;
}

/** Whose a claim is, by the name of the folder in it: the save's own folder, and the key of its run. */
export function ownerOf(name: string): { readonly folder: string; readonly key: string | undefined } | undefined {
  const [, folder, key] = /^(\.saving-[0-9a-z.]+-[0-9a-f]+)(?:-([0-9a-f]{16}))?$/.exec(name) ?? [];
  return folder === undefined ? undefined : { folder, key };
}

/** The name of the mark that a checkpoint's folder is being removed where it is, because it cannot be renamed. */
export function emptyingName(folder: string): string {
  return `.emptying-${folder}`;
}

/** Any such mark's name, and the folder it is about. */
const emptying = /^\.emptying-(checkpoint_[0-9]+)$/;

/** Whether a name is one of those above. */
export function isTemporary(name: string): boolean {
  return [temporary, claim, emptying].some((known) => known.test(name));
}

/** The folders that saves of this process are writing to. */
export const underWay: Set<string> = new Set<string>();

// --- combinators

/**
 * Removes a folder so that it vanishes whole: after a crash in mid-removal it is a leftover, not half of what it was. Where it cannot be
 * renamed, it is removed in place: overlayfs answers `EXDEV` for a folder of a lower layer, such as a checkpoint that came with an image.
 */
export function vanish(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    TE.fromTask(disk.writer),
    TE.map((writer) => join(dirname(path), temporaryName("removing", writer))),
    TE.flatMap((leftover) =>
      pipe(
        disk.rename(path, leftover),
        // The new name first, or a crash could bring back the old one over what is left.
        TE.flatMap(() => disk.syncFolder(dirname(path))),
        TE.flatMap(() => removeAll(disk, leftover)),
      )
    ),
    unless(["EXDEV"], () => removeInPlace(disk, path)),
    unless(["ENOENT"], () => done),
  );
}

/** Removes a folder where it is, its manifest first: from then on the mark beside it says that the rest is no checkpoint. */
function removeInPlace(disk: Disk, path: string): TE.TaskEither<StoreFailed, void> {
  const [parent, mark] = [dirname(path), join(dirname(path), emptyingName(basename(path)))];
  if (!emptying.test(basename(mark))) return removeAll(disk, path);
  return pipe(
    disk.makeFolder(mark),
    unless(["EEXIST"], () => done),
    // Each step is durable before the next, or a crash could leave a manifest without its files, or files without the mark.
    TE.flatMap(() => disk.syncFolder(parent)),
    TE.flatMap(() => removeAll(disk, join(path, manifestName))),
    TE.flatMap(() => finishEmptying(disk, path, mark)),
  );
}

/** Removes what is left of a folder without a manifest, and then the mark beside it. */
function finishEmptying(disk: Disk, path: string, mark: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    disk.syncFolder(path),
    unless(["ENOENT"], () => done),
    TE.flatMap(() => removeAll(disk, path)),
    TE.flatMap(() => disk.syncFolder(dirname(path))),
    TE.flatMap(() => disk.removeFolder(mark)),
    unless(["ENOENT"], () => done),
  );
}

/** {@link vanish} for the own folder of a save with a claim on a number. */
export function vanishClaimed(
  disk: Disk,
  parent: string,
  folder: string,
  number: number,
): TE.TaskEither<StoreFailed, void> {
  const path = join(parent, folder);
  return pipe(vanish(disk, path), TE.flatMap(() => vanish(disk, claimedName(path, number))));
}

/** When anything in a save's folder was last written to; it has no more levels than a part's name. */
function lastTouched(disk: Disk, path: string, levels = 2): TE.TaskEither<StoreFailed, number> {
  return pipe(
    disk.status(path),
    TE.flatMap(({ kind, modified }) =>
      kind !== "folder" || levels === 0 ? TE.right(modified) : pipe(
        disk.names(path),
        TE.flatMap(TE.traverseSeqArray((name) => lastTouched(disk, join(path, name), levels - 1))),
        TE.map((inner) => inner.reduce((latest, one) => Math.max(latest, one), modified)),
      )
    ),
  );
}

/**
 * Removes what killed saves and removals have left beside a new save: theirs whose process is gone, and theirs of
 * whose process nothing can be known, once nothing has been written for an hour. What cannot be removed stays.
 *
 * @param own What was made or renamed just now: its time is the disk's.
 * @param names The names in the folder.
 */
export function sweep(disk: Disk, parent: string, own: string, names: readonly string[]): Task<unknown> {
  const abandonedAt = (path: string): TE.TaskEither<StoreFailed, boolean> =>
    pipe(
      // The new save's own time is the disk's: the clock of another machine may have set it.
      disk.status(own),
      TE.flatMap(({ modified }) => pipe(lastTouched(disk, path), TE.map((touched) => touched < modified - abandoned))),
    );
  /** Whether the save of this name is over, which has left what is at this path. */
  const isOver = (name: string, path: string): TE.TaskEither<StoreFailed, boolean> => {
    const [, purpose, writer = ""] = temporary.exec(name) ?? [];
    if (purpose !== "saving" || underWay.has(join(parent, name))) return TE.right(false);
    return pipe(
      TE.fromTask(disk.fateOf(writer)),
      TE.flatMap((fate) => fate === "unknown" ? abandonedAt(path) : TE.right(fate === "dead")),
    );
  };
  /** The save first, which must not be committed without its claim; of the claim what its owner has put there: the rest may be another's by now. */
  const removeOwned = (path: string, name: string, folder: string): TE.TaskEither<StoreFailed, void> =>
    pipe(
      vanishClaimed(disk, parent, folder, claimedIn(basename(path)) ?? 0),
      TE.flatMap(() => removeAll(disk, join(path, name))),
    );
  const sweepClaim = (path: string): TE.TaskEither<StoreFailed, void> =>
    pipe(
      disk.names(path),
      TE.flatMap(TE.traverseSeqArray((name) => {
        const { folder } = ownerOf(name) ?? { folder: name };
        return pipe(isOver(folder, path), TE.flatMap((over) => over ? removeOwned(path, name, folder) : done));
      })),
      TE.flatMap(() => disk.removeFolder(path)),
    );
  /** With its manifest there it is a checkpoint still: somebody is about to remove it, or was when he was killed. */
  const sweepEmptying = (mark: string, path: string): TE.TaskEither<StoreFailed, void> =>
    pipe(
      disk.status(join(path, manifestName)),
      TE.flatMap(() => abandonedAt(mark)),
      TE.flatMap((abandoned) => abandoned ? disk.removeFolder(mark) : done),
      unless(["ENOENT", "ENOTDIR"], () => finishEmptying(disk, path, mark)),
    );
  const sweepOne = (name: string): TE.TaskEither<StoreFailed, void> => {
    const path = join(parent, name);
    if (claim.test(name)) return sweepClaim(path);
    const emptied = emptying.exec(name)?.[1];
    if (emptied !== undefined) return sweepEmptying(path, join(parent, emptied));
    // Whoever gave it this name may not have come to making that durable.
    if (name.startsWith(".removing-")) return pipe(disk.syncFolder(parent), TE.flatMap(() => removeAll(disk, path)));
    return pipe(isOver(name, path), TE.flatMap((over) => over ? vanish(disk, path) : done));
  };
  return TE.traverseSeqArray((name: string) => pipe(sweepOne(name), TE.orElse(() => done)))(
    // Most are checkpoints: only what may be a leftover is looked at more closely.
    names.filter((name) => name.startsWith(".") && isTemporary(name)),
  );
}
