/**
 * A finished save made a checkpoint, under a number that no other save has had, and after the newest checkpoint of its run.
 *
 * **Numbers.** The number is one more than the highest of all checkpoints. That a rename onto a name that is there fails is not enough to have
 * it alone: while a process is held up between its listing and its rename, others may give that number and the next ones, and remove what
 * they no longer keep. So a save claims its number, and then looks. Whoever gave that number before had claimed it, and released the
 * claim only afterwards; and that checkpoint is still there, or a higher one, for the newest is never removed.
 *
 * A save that finds a number claimed does not wait, and takes the next one. Lest the other take the higher checkpoint for a sign that its own
 * number was given before it had claimed it, it leaves a mark in that claim, as marks move along with a claim.
 *
 * **Lines.** Two saves of one run at once must not both be made, though neither may wait for the other: it may have been killed. So a claim
 * bears the key of the run, and a save is made only if, once it had its claim, there was
 * - no newer checkpoint of the run: else it is overtaken;
 * - no higher claim with the key: else it claims a number above that one, and looks again;
 * - no lower claim with the key: else it takes that save's folder away, so that its rename fails, and looks again, as it may have come too late.
 *
 * Of two such saves the one that claimed its number later sees the claim of the other or its checkpoint, so that never both are made. And never
 * do both take each other's folder away: a save that moves its claim to another number gives its folder another name, so that only saves with
 * higher claims than it has now can take it.
 *
 * ```text
 * .saving-<process>-<random>/                               a finished save
 * .number-12/.saving-<process>-<random>[-<key>]/            its claim on a number; a rename onto another's fails
 * .number-12/.saving-<process>-<random>[-<key>]/passed-12/  the claim was there before any checkpoint 12 or higher
 * checkpoint_12/                                            the save, renamed
 * ```
 *
 * @module
 */

import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Disk } from "./disk.ts";
import type { Overtaken, StoreFailed } from "./errors.ts";
import { done, removeAll, syncAbove } from "./folders.ts";
import { claimedName, claimName, ownerName, ownerOf, temporaryName, vanishClaimed } from "./leftovers.ts";
import { folderName, lookIn, type Seen } from "./listing.ts";
import { type After, storeFailed } from "./store.ts";

// --- types

/** A number above all checkpoints whose name nothing has. */
interface Free {
  readonly number: number;
  /** What was seen of the folder. */
  readonly seen: Seen;
}

/** A save that has become a checkpoint. */
export interface Published {
  readonly checkpoint: number;
  /** What was seen of the folder before. */
  readonly seen: Seen;
}

/** Another save of the same run that has a claim. */
interface Rival {
  readonly number: number;
  /** The name of its own folder. */
  readonly folder: string;
}

/** The most consecutive renames that may find a name taken. After more, the file system is at fault. */
const mostLosses = 16;

/** Codes of a rename onto what is there already. */
const isTaken = ["EEXIST", "ENOTEMPTY", "ENOTDIR"];

// --- names

/** The name of a mark in a claim on a number. */
function passedName(number: number): string {
  return `passed-${number}`;
}

/** What a claim bears of a run. */
function keyOf(run: string): string {
  return createHash("sha256").update(run).digest("hex").slice(0, 16);
}

// --- combinators

/**
 * Gives a finished save the first free number above all committed ones, by the one rename that makes it a checkpoint.
 *
 * @param disk The disk.
 * @param parent The folder of the checkpoints.
 * @param own The folder of the save, all of it durable.
 * @param guess The number that it will probably have: only what is then seen counts.
 * @param isLarge Whether the folder has many names.
 * @param after The checkpoint of a run that it is to go after.
 * @returns The number, once the folder has its name; to make that durable is left to the caller.
 */
export function publish(
  disk: Disk,
  parent: string,
  own: string,
  guess: number,
  isLarge: boolean,
  after?: After,
): TE.TaskEither<StoreFailed | Overtaken, Published> {
  type Outcome = E.Either<StoreFailed | Overtaken, Published>;
  return async () => {
    const made = join(parent, temporaryName("saving", await disk.writer()));
    const key = after && keyOf(after.key);
    /** The folders of other saves of the run that were taken away. */
    const taken = new Set<string>();
    let claim = made;
    let folder = own;
    const inner = (): string => join(claim, ownerName(basename(own), key));
    const claimOn = (number: number): string => join(parent, claimName(number));

    const published = await pipe(
      disk.makeFolder(claim),
      TE.flatMap(() => disk.makeFolder(inner())),
      TE.flatMap(() => begin),
    )();
    await release();
    if (E.isLeft(published) && folder !== own) await removeAll(disk, folder)();
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

    /** Whether another save has seen the own claim on this number before it or any higher one was given. */
    async function wasPassed(number: number): Promise<boolean> {
      const marks = claim === claimOn(number) ? await disk.names(inner())() : E.right([]);
      return E.isRight(marks) && marks.right.includes(passedName(number));
    }

    /** Claims the number that is guessed, unseen: that saves looking at a large folder twice. */
    async function begin(): Promise<Outcome> {
      const path = claimOn(guess);
      const claimed = await moved(path)();
      if (E.isLeft(claimed)) return isTaken.includes(claimed.left.code) ? await take(0) : claimed;
      claim = path;
      return await take(guess, true);
    }

    /** The first free number from this one on; a save that has claimed one before it gets a mark that it was passed. */
    async function firstFree(from: number, isGuess: boolean): Promise<E.Either<StoreFailed, Free>> {
      const owners = new Map<number, readonly string[]>();
      for (;;) {
        const found = await lookIn(disk, parent, isLarge && claim !== made ? inner() : undefined)();
        if (E.isLeft(found)) return found;
        const seen = found.right;
        const has = (name: string): boolean => seen.names.includes(name);
        const next = seen.newest + 1;
        const passed = from < next && !has(folderName(from)) && await wasPassed(from);
        let number = passed ? from : isGuess ? next : Math.max(from, next);
        for (; Number.isSafeInteger(number); number++) {
          // Whatever has the name is left alone: a rename would replace an empty folder.
          if (has(folderName(number))) continue;
          const path = claimOn(number);
          if (path === claim || !has(claimName(number))) return E.right({ number, seen });
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
            owners.delete(number); // It was released: the claim is another's.
            break;
          }
        }
        if (!Number.isSafeInteger(number)) {
          return E.left(storeFailed("rename", join(parent, folderName(number)), "EOVERFLOW", "no number is left"));
        }
      }
    }

    /** The saves of the same run that have claims; undefined if a claim has been released since, maybe by a save that was made. */
    async function rivals({ claims }: Seen): Promise<E.Either<StoreFailed, readonly Rival[] | undefined>> {
      const found: Rival[] = [];
      for (const number of claims) {
        if (claimOn(number) === claim) continue;
        const owners = await disk.names(claimOn(number))();
        if (E.isLeft(owners)) return owners.left.code === "ENOENT" ? E.right(undefined) : owners;
        for (const name of owners.right) {
          const owner = ownerOf(name);
          if (owner?.key === key && owner?.folder !== basename(own)) found.push({ number, folder: owner!.folder });
        }
      }
      return E.right(found);
    }

    /** Sees that nothing of the run is ahead of a claimed number: the left is what is, else the number to look again for, if any. */
    async function clear(
      { look, parent: before }: After,
      { number, seen }: Free,
    ): Promise<E.Either<StoreFailed | Overtaken, number | undefined>> {
      const looked = await look(seen.numbersFrom(before + 1))();
      if (E.isLeft(looked)) return looked;
      const found = await rivals(seen);
      if (E.isLeft(found)) return found;
      if (found.right === undefined) return E.right(number);
      const higher = found.right.findLast((rival) => rival.number > number);
      if (higher !== undefined) return E.right(higher.number + 1);
      const lower = found.right.filter((rival) => !taken.has(join(rival.folder, `${rival.number}`)));
      for (const rival of lower) {
        const away = await vanishClaimed(disk, parent, rival.folder, rival.number)();
        if (E.isLeft(away)) return away;
        taken.add(join(rival.folder, `${rival.number}`));
      }
      return E.right(lower.length > 0 ? number : undefined);
    }

    /** Why the own folder is gone: another save of the run has taken it away. */
    async function whyLost({ look, parent: before }: After, failed: StoreFailed): Promise<Outcome> {
      for (;;) {
        const seen = await lookIn(disk, parent)();
        if (E.isLeft(seen)) return seen;
        const looked = await look(seen.right.numbersFrom(before + 1))();
        if (E.isLeft(looked)) return looked;
        const found = await rivals(seen.right);
        if (E.isLeft(found)) return found;
        if (found.right === undefined) continue;
        const rival = found.right.at(-1);
        if (rival === undefined) return E.left(failed);
        return E.left({ _tag: "Overtaken", checkpoint: rival.number, step: null, by: "a save that is under way" });
      }
    }

    /** Gives the own folder the name that goes with another claim: only then may others' be taken away. */
    async function rename(after: After, number: number): Promise<Outcome> {
      const path = claimedName(own, number);
      const renamed = await disk.rename(folder, path)();
      if (E.isLeft(renamed)) return renamed.left.code === "ENOENT" ? await whyLost(after, renamed.left) : renamed;
      folder = path;
      return await take(number);
    }

    /** Claims the first free number from this one on, and takes it if it is free then. */
    async function take(from: number, isGuess: boolean = false, losses: number = 0): Promise<Outcome> {
      const free = await firstFree(from, isGuess);
      if (E.isLeft(free)) return free;
      const { number, seen } = free.right;
      const path = claimOn(number);
      const isClaimed = claim === path;
      if (isClaimed && after !== undefined) {
        const again = await clear(after, free.right);
        if (E.isLeft(again)) return again;
        if (again.right !== undefined) return await take(again.right);
      }
      const renamed = await pipe(
        // Where there is a checkpoint, its save has seen to this.
        isClaimed && seen.newest === -1 ? syncAbove(disk, parent) : done,
        TE.flatMap(() => isClaimed ? disk.rename(folder, join(parent, folderName(number))) : moved(path)),
      )();
      if (E.isRight(renamed)) {
        if (isClaimed) return E.right({ checkpoint: number, seen });
        const isFirst = claim === made;
        claim = path;
        return isFirst || after === undefined ? await take(number) : await rename(after, number);
      }
      // Another save was faster: the next listing shows it. Of several savers, another one may be faster each time.
      if (isTaken.includes(renamed.left.code) && losses < mostLosses) return await take(from, isGuess, losses + 1);
      return isClaimed && after !== undefined && renamed.left.code === "ENOENT"
        ? await whyLost(after, renamed.left)
        : renamed;
    }
  };
}
