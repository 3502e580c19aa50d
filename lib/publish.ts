/**
 * A finished save made a checkpoint, under a number that no other save has had.
 *
 * The number is one more than the highest of all checkpoints. That a rename onto a name that is there fails is not enough to have it alone:
 * while a process stands still between its listing and its rename, others may give that number and the next ones, and remove what
 * they no longer keep. So a save claims its number, and then looks again. Whoever gave that number before had claimed it, and let go of the
 * claim only afterwards; and that checkpoint is still there, or a higher one, for the newest is never removed.
 *
 * Who finds a number claimed does not wait, and takes the next one. Lest the other take the higher checkpoint for a sign that its own number
 * was given before it had claimed it, it is told that it was passed: by a mark with the number, as marks move along with a claim.
 *
 * ```text
 * .saving-<process>-<random>/                         a finished save
 * .number-12/.saving-<process>-<random>/              its claim on a number; a rename onto another's fails
 * .number-12/.saving-<process>-<random>/passed-12/    the claim was there before any checkpoint 12 or higher
 * checkpoint_12/                                      the save, renamed
 * ```
 *
 * @module
 */

import { basename, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Disk } from "./disk.ts";
import type { StoreFailed } from "./errors.ts";
import { done, removeAll, syncAbove } from "./folders.ts";
import { claimName, temporaryName } from "./leftovers.ts";
import { folderName, lookIn } from "./listing.ts";
import { storeFailed } from "./store.ts";

// --- types

/** A number above all checkpoints whose name nothing has. */
interface Free {
  readonly number: number;
  /** Whether there is no checkpoint yet. */
  readonly isFirst: boolean;
}

/** Codes of a rename onto what is there already. */
const isTaken = ["EEXIST", "ENOTEMPTY", "ENOTDIR"];

// --- names

/** The name of a mark in a claim on a number. */
function passedName(number: number): string {
  return `passed-${number}`;
}

// --- combinators

/**
 * Gives a finished save the first free number above all committed ones, by the one rename that makes it a checkpoint.
 *
 * @param disk The disk.
 * @param parent The folder of the checkpoints.
 * @param own The folder of the save, all of it durable.
 * @returns The number, once the folder has its name; to make that durable is left to the caller.
 */
export function publish(disk: Disk, parent: string, own: string): TE.TaskEither<StoreFailed, number> {
  return async () => {
    const made = join(parent, temporaryName("saving", await disk.writer()));
    let claim = made;
    const inner = (): string => join(claim, basename(own));
    const claimOn = (number: number): string => join(parent, claimName(number));

    const published = await pipe(
      disk.makeFolder(claim),
      TE.flatMap(() => disk.makeFolder(inner())),
      TE.flatMap(() => () => take(0)),
    )();
    await release();
    return published;

    /** The claim under another name, if it is still the own one: one that was untouched for long may have been swept. */
    function moved(path: string): TE.TaskEither<StoreFailed, void> {
      const rename = disk.rename(claim, path);
      return claim === made ? rename : pipe(disk.status(inner()), TE.flatMap(() => rename));
    }

    /** What cannot be removed is swept once this process is gone. */
    async function release(): Promise<void> {
      // In one step: where it was, others may put their marks into it, and have the name as soon as it is free.
      const away = claim === made ? done : moved(made);
      await pipe(away, TE.orElse(() => away))();
      claim = made;
      await pipe(
        disk.removeFolder(inner()),
        TE.flatMap(() => disk.removeFolder(made)),
        TE.orElse(() => removeAll(disk, made)),
      )();
    }

    /** Whether somebody has seen the own claim on this number before it or any higher one was given. */
    async function wasPassed(number: number): Promise<boolean> {
      const marks = claim === claimOn(number) ? await disk.names(inner())() : E.right([]);
      return E.isRight(marks) && marks.right.includes(passedName(number));
    }

    /** The first free number from this one on; who has claimed one before it is told that it was passed. */
    async function firstFree(from: number): Promise<E.Either<StoreFailed, Free>> {
      const owners = new Map<number, readonly string[]>();
      for (;;) {
        const seen = await lookIn(disk, parent)();
        if (E.isLeft(seen)) return seen;
        const names = new Set(seen.right.names);
        const newest = seen.right.numbers.at(-1) ?? -1;
        const passed = from <= newest && !names.has(folderName(from)) && await wasPassed(from);
        let number = passed ? from : Math.max(from, newest + 1);
        for (; Number.isSafeInteger(number); number++) {
          // Whatever has the name is left alone: a rename would replace an empty folder.
          if (names.has(folderName(number))) continue;
          const path = claimOn(number);
          if (!names.has(claimName(number)) || path === claim) return E.right({ number, isFirst: newest === -1 });
          const known = owners.get(number);
          if (known === undefined) {
            const found = await disk.names(path)();
            owners.set(number, E.isRight(found) ? found.right : []);
            break;
          }
          const marked = await Promise.all(
            known.map((owner) => disk.makeFolder(join(path, owner, passedName(number)))()),
          );
          if (marked.some((mark) => E.isLeft(mark) && mark.left.code === "ENOENT")) {
            owners.delete(number); // It has let go: the claim is another's.
            break;
          }
        }
        if (!Number.isSafeInteger(number)) {
          return E.left(storeFailed("rename", join(parent, folderName(number)), "EOVERFLOW", "no number is left"));
        }
      }
    }

    /** Claims the first free number from this one on, and takes it if it is free then. */
    async function take(from: number, lost?: number): Promise<E.Either<StoreFailed, number>> {
      const free = await firstFree(from);
      if (E.isLeft(free)) return free;
      const { number, isFirst } = free.right;
      const path = claimOn(number);
      const isClaimed = claim === path;
      const renamed = await pipe(
        // Where there is a checkpoint, its save has seen to this.
        isClaimed && isFirst ? syncAbove(disk, parent) : done,
        TE.flatMap(() => isClaimed ? disk.rename(own, join(parent, folderName(number))) : moved(path)),
      )();
      if (E.isRight(renamed)) {
        if (isClaimed) return E.right(number);
        claim = path;
        return await take(number);
      }
      // Another save was faster: the listing now shows it. The same number twice is another trouble.
      return isTaken.includes(renamed.left.code) && number !== lost ? await take(from, number) : renamed;
    }
  };
}
