/**
 * The commit of a save: the rename that makes its temporary folder a checkpoint, under a number that no other save has had.
 *
 * ## What the file system must provide
 *
 * - `rename`, `mkdir` and `rmdir` are atomic, for other processes and after a crash.
 * - Renaming a folder onto a folder that is not empty fails. So does making a folder whose name exists.
 * - `fsync` of a file makes its bytes durable, `fsync` of a folder its entries. Of all other changes, a crash may keep or lose any.
 * - A process may pause before any operation, for any time, or be killed there. No lock is used, so it never blocks another process.
 *
 * ## Invariants
 *
 * 1. *Numbers.* No number is given to two saves, even if the first checkpoint with it has been removed.
 * 2. *One line of history.* Of two saves that follow the same parent of one run, at most one is committed.
 * 3. *Old or new.* At any instant a number has no checkpoint, or a whole one.
 *
 * ## The steps, and the folder after each
 *
 * Here `P` is a process, `R` and `S` are random digits, `K` is the key of a run (16 digits of a SHA-256; absent if the save follows no
 * checkpoint). The newest checkpoint is 11. Before the first step, the save's temporary folder and all of its contents are durable.
 *
 * 1. **Prepare.** Make a reservation under a temporary name. The folder in it names its owner. Then try to rename the reservation to the
 *    number that is expected next: for a large folder this saves one listing.
 *    `.saving-P-R/` (the save), `.saving-P-S/.saving-P-R-K/` (the reservation)
 * 2. **Search.** List the folder, and find the first number above every checkpoint that has no file and no reservation. If the save has
 *    reserved that number already, go to 5, or to 6 if it follows no checkpoint. The search does not wait for other reservations: their
 *    owners may have been killed. It marks each as bypassed, and tries the next number.
 *    `.number-12/.saving-Q-T/passed-12/` (another save's reservation of 12, bypassed)
 * 3. **Reserve.** Rename the reservation to the number; it fails if another save has reserved it since. Go to 2, to list again.
 *    `.saving-P-R/`, `.number-12/.saving-P-R-K/`
 * 4. **Rename folder.** A save with a key that has moved its reservation from one number to another also renames its temporary folder.
 *    `.saving-P-Rc/`, `.number-12/.saving-P-R-K/` (`c` is 12 in hexadecimal)
 * 5. **Check run.** Check, in this order, with the listing from step 2:
 *    - A checkpoint of the run above the parent: the save fails as `Overtaken`.
 *    - A higher reservation with the same key: go to 2, from the number after it.
 *    - A lower reservation with the same key: remove that save's temporary folder, so that its step 6 fails, and go to 2, because it may
 *      have been committed just before.
 * 6. **Commit.** Rename the temporary folder to the number. For the first checkpoint, make the folders above durable before.
 *    `checkpoint_12/`, `.number-12/.saving-P-R-K/`
 * 7. **Release.** Rename the reservation to its temporary name again, and remove it. It is renamed first because others may put marks into it as
 *    long as it has a number.
 *    `checkpoint_12/`
 *
 * The caller then makes the rename of step 6 durable with an `fsync` of the folder. After a crash before step 6, later saves remove the temporary folder
 * and the reservation as orphans. After a crash from step 6 on, the checkpoint is whole, or its folder still has the temporary name.
 *
 * ## Why the invariants hold
 *
 * *Numbers.* A failing rename onto an existing name is not enough: while a process is paused between its listing and its rename, others may
 * commit that number and the next ones, and remove the first. But a save commits a number only while it has the reservation, and only after
 * a listing that it made with the reservation. Any earlier save with this number had the reservation before and released it after its
 * commit. So that listing shows its checkpoint, or a higher one, because the newest checkpoint is never removed; and the save moves on.
 * A bypassed save must not move on, because the higher checkpoint is of the save that bypassed it. The mark says so: it was made when no
 * checkpoint of this number or above existed. It contains the number, because marks stay in a reservation that moves to another number.
 *
 * *One line of history.* Of two saves of one run, the one that reserved its number later sees the other's reservation or its checkpoint in
 * step 5, so they are never both committed. They never remove each other's temporary folders either: a save that moves its reservation renames its
 * folder (step 4), so that only a save with a higher reservation than its present one can remove it.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { FileSystem } from "./disk.ts";
import type { Overtaken, StoreFailed } from "./errors.ts";
import { done, removeTree, syncAbove } from "./folders.ts";
import { movedPath, ownerName, ownerOf, reservationName, temporaryName } from "./leftovers.ts";
import { folderName, type Listing, readListing } from "./listing.ts";
import { removeReserving } from "./orphans.ts";
import { type CommitCondition, storeFailed } from "./store.ts";

// --- types

/** A save to commit. */
export interface CommitRequest {
  readonly fs: FileSystem;
  /** The folder of the checkpoints. */
  readonly parent: string;
  /** The path of the temporary folder, which is durable with all of its contents. */
  readonly temporary: string;
  /** The number that the save will probably get. It is checked like any other. */
  readonly expected: number;
  /** Whether the folder has so many names that listing it once instead of twice is worth reading the file system's clock. */
  readonly isLarge: boolean;
  readonly condition?: CommitCondition | undefined;
}

/** A committed save. */
export interface CommittedFolder {
  readonly checkpoint: number;
  /** The last listing before the commit. */
  readonly listing: Listing;
}

type CommitResult = E.Either<StoreFailed | Overtaken, CommittedFolder>;

/** What is the same during a whole commit. */
interface CommitContext extends CommitRequest {
  /** The path of the reservation while it reserves no number. */
  readonly unused: string;
  /** The name of the folder in the reservation. */
  readonly owner: string;
  readonly key: string | undefined;
}

/** What a commit has done so far, and its next step. */
interface CommitState {
  /** The number that is reserved; undefined before the first. */
  readonly reserved: number | undefined;
  /** The present path of the temporary folder. */
  readonly folder: string;
  /** Other saves of the run whose temporary folders were removed, as `<folder>/<number>`. */
  readonly removed: ReadonlySet<string>;
  readonly next: NextStep;
}

interface SearchStep {
  readonly step: "search";
  /** The lowest number to try. */
  readonly from: number;
  /** Whether `from` was reserved without a listing, and may be too high. */
  readonly isGuess?: boolean;
  /** The number for which a rename has failed, although the listing showed it as free. */
  readonly failed?: number;
}

/** A free number, and the search that found it. */
interface FoundNumber {
  readonly number: number;
  readonly listing: Listing;
  readonly search: SearchStep;
}

type NextStep =
  | SearchStep
  | { readonly step: "reserve" | "check run" | "commit"; readonly found: FoundNumber }
  | { readonly step: "rename folder"; readonly number: number }
  | { readonly step: "explain loss"; readonly failed: StoreFailed }
  | { readonly step: "finished"; readonly result: CommitResult };

/** What one pass over the numbers finds. */
type Attempt =
  | { readonly is: "free"; readonly number: number }
  /** A reservation was found or has changed: list again. */
  | { readonly is: "changed"; readonly owners: Owners }
  | { readonly is: "overflow"; readonly number: number };

/** The owners of reservations, from an earlier listing. */
type Owners = ReadonlyMap<number, readonly string[]>;

/** A reservation of another save of the same run. */
interface Rival {
  readonly number: number;
  /** The name of its temporary folder, as it was first. */
  readonly folder: string;
}

/** Codes of a rename onto an existing path. */
const exists = ["EEXIST", "ENOTEMPTY", "ENOTDIR"];

// --- paths

function bypassMark(number: number): string {
  return `passed-${number}`;
}

function keyOf(run: string): string {
  return createHash("sha256").update(run).digest("hex").slice(0, 16);
}

function reservationOf({ parent, unused }: CommitContext, number: number | undefined): string {
  return number === undefined ? unused : join(parent, reservationName(number));
}

/** The folder in the own reservation. */
function ownerFolder(context: CommitContext, { reserved }: CommitState): string {
  return join(reservationOf(context, reserved), context.owner);
}

function failing(state: CommitState, failed: StoreFailed | Overtaken): CommitState {
  return { ...state, next: { step: "finished", result: E.left(failed) } };
}

// --- the reservation

/** Renames the reservation, if it is still there: a reservation that was unchanged for an hour may have been removed as an orphan. */
function moveReservation(
  context: CommitContext,
  state: CommitState,
  number: number | undefined,
): TE.TaskEither<StoreFailed, void> {
  const rename = context.fs.rename(reservationOf(context, state.reserved), reservationOf(context, number));
  return state.reserved === undefined
    ? rename
    : pipe(context.fs.status(ownerFolder(context, state)), TE.flatMap(() => rename));
}

/** Step 1. */
async function prepareReservation(context: CommitContext): Promise<CommitState> {
  const { fs, unused, owner, temporary, expected } = context;
  const start: CommitState = {
    reserved: undefined,
    folder: temporary,
    removed: new Set(),
    next: { step: "search", from: 0 },
  };
  const made = await pipe(fs.makeFolder(unused), TE.flatMap(() => fs.makeFolder(join(unused, owner))))();
  if (E.isLeft(made)) return failing(start, made.left);
  const reserved = await moveReservation(context, start, expected)();
  if (E.isRight(reserved)) {
    return { ...start, reserved: expected, next: { step: "search", from: expected, isGuess: true } };
  }
  return exists.includes(reserved.left.code) ? start : failing(start, reserved.left);
}

/** Step 7. What cannot be removed becomes an orphan when this process ends. */
async function releaseReservation(context: CommitContext, state: CommitState): Promise<void> {
  const { fs, unused, owner } = context;
  const move = state.reserved === undefined ? done : moveReservation(context, state, undefined);
  await pipe(move, TE.orElse(() => move))();
  await pipe(
    fs.removeFolder(join(unused, owner)),
    TE.flatMap(() => fs.removeFolder(unused)),
    TE.orElse(() => removeTree(fs, unused)),
  )();
}

// --- step 2: search

/** Whether another save has marked the own reservation of this number as bypassed. */
async function isBypassed(context: CommitContext, state: CommitState, number: number): Promise<boolean> {
  if (state.reserved !== number) return false;
  const marks = await context.fs.names(ownerFolder(context, state))();
  return E.isRight(marks) && marks.right.includes(bypassMark(number));
}

/** Marks a reservation of these owners as bypassed; false if one of them has released it. */
async function bypass(
  { fs }: CommitContext,
  path: string,
  owners: readonly string[],
  number: number,
): Promise<boolean> {
  const marked = await Promise.all(owners.map((owner) => fs.makeFolder(join(path, owner, bypassMark(number)))()));
  return !marked.some((mark) => E.isLeft(mark) && mark.left.code === "ENOENT");
}

/** Goes through the numbers from a first one on. Owners must be known before a listing to be bypassed after it. */
async function tryNumbers(
  context: CommitContext,
  { reserved }: CommitState,
  { names }: Listing,
  first: number,
  owners: Owners,
): Promise<Attempt> {
  for (let number = first;; number++) {
    if (!Number.isSafeInteger(number)) return { is: "overflow", number };
    // Any file with the name counts: a rename would replace an empty folder.
    if (names.includes(folderName(number))) continue;
    if (number === reserved || !names.includes(reservationName(number))) return { is: "free", number };
    const path = reservationOf(context, number);
    const known = owners.get(number);
    if (known === undefined) {
      const found = await context.fs.names(path)();
      return { is: "changed", owners: new Map([...owners, [number, E.isRight(found) ? found.right : []]]) };
    }
    if (!await bypass(context, path, known, number)) {
      return { is: "changed", owners: new Map([...owners].filter(([other]) => other !== number)) };
    }
  }
}

async function searchNumber(context: CommitContext, state: CommitState, search: SearchStep): Promise<CommitState> {
  const { fs, parent, isLarge } = context;
  const { from, isGuess = false } = search;
  let owners: Owners = new Map();
  for (;;) {
    const probe = isLarge && state.reserved !== undefined ? ownerFolder(context, state) : undefined;
    const listed = await readListing(fs, parent, probe)();
    if (E.isLeft(listed)) return failing(state, listed.left);
    const listing = listed.right;
    const next = listing.newest + 1;
    const keeps = from < next && !listing.names.includes(folderName(from)) && await isBypassed(context, state, from);
    const first = keeps ? from : isGuess ? next : Math.max(from, next);
    const found = await tryNumbers(context, state, listing, first, owners);
    switch (found.is) {
      case "changed":
        owners = found.owners;
        continue;
      case "overflow": {
        const path = join(parent, folderName(found.number));
        return failing(state, storeFailed("rename", path, "EOVERFLOW", "no number is left"));
      }
      case "free": {
        const { number } = found;
        const step = number !== state.reserved ? "reserve" : context.condition === undefined ? "commit" : "check run";
        return { ...state, next: { step, found: { number, listing, search } } };
      }
    }
  }
}

// --- steps 3, 4 and 6: renames

/** Searches again after a rename onto an existing name: another save was faster. The same number twice is a failure of the file system. */
function searchAgain(state: CommitState, { number, search }: FoundNumber, failed: StoreFailed): CommitState {
  return exists.includes(failed.code) && number !== search.failed
    ? { ...state, next: { ...search, failed: number } }
    : failing(state, failed);
}

async function reserve(context: CommitContext, state: CommitState, found: FoundNumber): Promise<CommitState> {
  const { number } = found;
  const moved = await moveReservation(context, state, number)();
  if (E.isLeft(moved)) return searchAgain(state, found, moved.left);
  const isFirst = state.reserved === undefined;
  return {
    ...state,
    reserved: number,
    next: isFirst || context.condition === undefined
      ? { step: "search", from: number }
      : { step: "rename folder", number },
  };
}

async function renameFolder(
  { fs, temporary }: CommitContext,
  state: CommitState,
  number: number,
): Promise<CommitState> {
  const folder = movedPath(temporary, number);
  const renamed = await fs.rename(state.folder, folder)();
  if (E.isRight(renamed)) return { ...state, folder, next: { step: "search", from: number } };
  return renamed.left.code === "ENOENT"
    ? { ...state, next: { step: "explain loss", failed: renamed.left } }
    : failing(state, renamed.left);
}

async function renameToCheckpoint(
  { fs, parent, condition }: CommitContext,
  state: CommitState,
  found: FoundNumber,
): Promise<CommitState> {
  const { number, listing } = found;
  const renamed = await pipe(
    // If there is a checkpoint, its save has made the folders above durable.
    listing.newest === -1 ? syncAbove(fs, parent) : done,
    TE.flatMap(() => fs.rename(state.folder, join(parent, folderName(number)))),
  )();
  if (E.isRight(renamed)) {
    return { ...state, next: { step: "finished", result: E.right({ checkpoint: number, listing }) } };
  }
  return condition !== undefined && renamed.left.code === "ENOENT"
    ? { ...state, next: { step: "explain loss", failed: renamed.left } }
    : searchAgain(state, found, renamed.left);
}

// --- step 5: check run

/** The reservations of other saves of the run, ascending; undefined if one was released after the listing, perhaps by a commit. */
async function rivalsOf(
  context: CommitContext,
  { reserved }: CommitState,
  { reservations }: Listing,
): Promise<E.Either<StoreFailed, readonly Rival[] | undefined>> {
  const { fs, temporary, key } = context;
  const rivals: Rival[] = [];
  for (const number of reservations) {
    if (number === reserved) continue;
    const owners = await fs.names(reservationOf(context, number))();
    if (E.isLeft(owners)) return owners.left.code === "ENOENT" ? E.right(undefined) : owners;
    for (const name of owners.right) {
      const owner = ownerOf(name);
      if (owner?.key === key && owner?.folder !== basename(temporary)) rivals.push({ number, folder: owner!.folder });
    }
  }
  return E.right(rivals);
}

async function checkRun(context: CommitContext, state: CommitState, found: FoundNumber): Promise<CommitState> {
  const { fs, parent, condition } = context;
  const { number, listing } = found;
  const searchFrom = (from: number): CommitState => ({ ...state, next: { step: "search", from } });
  const checked = await checkCondition(condition, listing);
  if (E.isLeft(checked)) return failing(state, checked.left);
  const rivals = await rivalsOf(context, state, listing);
  if (E.isLeft(rivals)) return failing(state, rivals.left);
  if (rivals.right === undefined) return searchFrom(number);
  const higher = rivals.right.findLast((rival) => rival.number > number);
  if (higher !== undefined) return searchFrom(higher.number + 1);
  const lower = rivals.right.filter((rival) => !state.removed.has(join(rival.folder, `${rival.number}`)));
  if (lower.length === 0) return { ...state, next: { step: "commit", found } };
  for (const rival of lower) {
    const gone = await removeReserving(fs, parent, rival.folder, rival.number)();
    if (E.isLeft(gone)) return failing(state, gone.left);
  }
  const removed = new Set([...state.removed, ...lower.map((rival) => join(rival.folder, `${rival.number}`))]);
  return { ...state, removed, next: { step: "search", from: number } };
}

async function checkCondition(
  condition: CommitCondition | undefined,
  { numbersFrom }: Listing,
): Promise<E.Either<StoreFailed | Overtaken, void>> {
  return condition === undefined ? E.right(undefined) : await condition.check(numbersFrom(condition.parent + 1))();
}

/** Why the temporary folder is missing: another save of the run has removed it in step 5. */
async function explainLoss(context: CommitContext, state: CommitState, failed: StoreFailed): Promise<CommitState> {
  for (;;) {
    const listing = await readListing(context.fs, context.parent)();
    if (E.isLeft(listing)) return failing(state, listing.left);
    const checked = await checkCondition(context.condition, listing.right);
    if (E.isLeft(checked)) return failing(state, checked.left);
    const rivals = await rivalsOf(context, state, listing.right);
    if (E.isLeft(rivals)) return failing(state, rivals.left);
    if (rivals.right === undefined) continue;
    const rival = rivals.right.at(-1);
    if (rival === undefined) return failing(state, failed);
    return failing(state, { _tag: "Overtaken", checkpoint: rival.number, step: null, by: "a save in progress" });
  }
}

// --- combinators

async function advance(context: CommitContext, state: CommitState): Promise<CommitState> {
  const { next } = state;
  switch (next.step) {
    case "search":
      return await searchNumber(context, state, next);
    case "reserve":
      return await reserve(context, state, next.found);
    case "rename folder":
      return await renameFolder(context, state, next.number);
    case "check run":
      return await checkRun(context, state, next.found);
    case "commit":
      return await renameToCheckpoint(context, state, next.found);
    case "explain loss":
      return await explainLoss(context, state, next.failed);
    case "finished":
      return state;
  }
}

/**
 * Commits a save: its temporary folder becomes a checkpoint.
 *
 * @param request The save.
 * @returns The number, when the folder has its name; the caller makes the name durable. Or the failure, or `Overtaken` by another save of the
 * run; then nothing is committed.
 */
export function commitFolder(request: CommitRequest): TE.TaskEither<StoreFailed | Overtaken, CommittedFolder> {
  return async () => {
    const { fs, parent, temporary, condition } = request;
    const key = condition && keyOf(condition.key);
    const unused = join(parent, temporaryName("saving", await fs.processId()));
    const context = { ...request, unused, key, owner: ownerName({ folder: basename(temporary), key }) };
    for (let state = await prepareReservation(context);; state = await advance(context, state)) {
      if (state.next.step !== "finished") continue;
      const { result } = state.next;
      await releaseReservation(context, state);
      if (E.isLeft(result) && state.folder !== temporary) await removeTree(fs, state.folder)();
      return result;
    }
  };
}
