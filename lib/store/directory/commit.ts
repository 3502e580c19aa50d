/**
 * The commit of a save: the rename that makes its temporary folder a checkpoint, under a number that no other save has had.
 *
 * ## What the file system must provide
 *
 * - `rename`, `mkdir` and `rmdir` are atomic, for other processes and after a crash.
 * - Renaming a folder onto a folder that is not empty fails. So does making a folder whose name exists.
 * - `fsync` of a file makes its bytes durable, `fsync` of a folder its entries. Of all other changes, a crash may keep or lose any.
 * - An answer may be lost, and the operation executed twice (NFS). So after a rename that fails, what only it can have made is looked for.
 * - A process may pause before any operation, for any time, or be killed there. No lock is used, so it never blocks another process.
 *
 * ## Invariants
 *
 * 1. *Numbers.* No number is given to two saves, even if the first checkpoint with it has been removed, as long as the newest one stays. If
 *    the newest is removed by hand, its number is given again; `checkpoint/lineage` recognises this by run and time.
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
 * 2. **Search.** List the folder, and find the first number above every checkpoint that has no file and no reservation. A search does not
 *    wait for other reservations, whose owners may have been killed: it marks each as bypassed, and tries the next number. A save that was
 *    bypassed finds the number that it has reserved, although higher checkpoints exist. If the number found is the reserved one, go to 5,
 *    or to 6 if the save follows no checkpoint.
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
 * 7. **Release.** Rename the reservation to its temporary name again, and remove it. It is renamed first because others may put marks into
 *    it as long as it has a number.
 *    `checkpoint_12/`
 *
 * The caller then makes the rename of step 6 durable with an `fsync` of the folder. After a crash before step 6, later saves remove the
 * temporary folder and the reservation as orphans. After a crash from step 6 on, the checkpoint is whole, or its folder still has the
 * temporary name.
 *
 * ## Why the invariants hold
 *
 * *Numbers.* A failing rename onto an existing name is not enough: while a process is paused between its listing and its rename, others may
 * commit that number and the next ones, and remove the first. But a save commits a number only while it has the reservation, and only after
 * a listing that it made with the reservation. Any earlier save with this number had the reservation before and released it after its
 * commit. So that listing shows its checkpoint, or a higher one, because retention never removes the newest checkpoint; and the save moves on.
 * A bypassed save may keep its number in spite of a higher checkpoint: its reservation was made before any checkpoint with this number or
 * above, and the mark proves that. The mark contains the number, because it stays in the reservation when that moves to another number.
 *
 * *One line of history.* Of two saves of one run, the one that reserved its number later sees the other's reservation or its checkpoint in
 * step 5, so they are never both committed. They never remove each other's temporary folders either: a save that moves its reservation
 * renames its folder (step 4), so that only a save with a higher reservation than its present one can remove it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { means } from "./answers.ts";
import { readManifestFile } from "./file_io.ts";
import type { FileSystem } from "./file_system.ts";
import type { Overtaken, StoreFailed } from "../../errors/mod.ts";
import { done, removeTree, renameOnce, syncAbove } from "./folder_ops.ts";
import { movedPath, reservationName, temporaryName } from "./temporary.ts";
import { folderName, type Listing, readListing } from "./listing.ts";
import { removeReserving } from "./orphans.ts";
import {
  bypass,
  isBypassed,
  makeReservation,
  moveReservation,
  ownerPath,
  ownersOf,
  releaseReservation,
  type Reservation,
  type Reserved,
  type Rival,
  rivalsOf,
} from "./reservation.ts";
import { type CommitCondition, manifestName, numberTaken, storeFailed } from "../mod.ts";

// --- types

/** A save to commit. */
export interface CommitRequest {
  readonly fs: FileSystem;
  /** The folder of the checkpoints. */
  readonly parent: string;
  /** The path of the temporary folder, which is durable with all of its contents. */
  readonly temporary: string;
  /** The bytes of the manifest in it. */
  readonly manifest: Uint8Array;
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

/** What is the same during a whole commit. */
interface CommitContext extends CommitRequest {
  readonly reservation: Reservation;
}

/** What a commit has done so far, and its next step. */
interface CommitState {
  readonly reserved: Reserved;
  /** The present path of the temporary folder. */
  readonly folder: string;
  /** Other saves of the run whose temporary folders were removed, as `<folder>/<number>`. */
  readonly removed: ReadonlySet<string>;
  readonly next: CommitStep;
}

interface SearchStep {
  readonly step: "search";
  /** The lowest number to try. */
  readonly from: number;
  /** Whether `from` was reserved without a listing, and may be too high. */
  readonly isGuess?: boolean;
  /** How many consecutive renames have found a name taken that the listing showed as free. */
  readonly losses?: number;
}

/** A free number, and the search that found it. */
interface FoundNumber {
  readonly number: number;
  readonly listing: Listing;
  readonly search: SearchStep;
}

type CommitStep =
  | SearchStep
  | { readonly step: "reserve" | "check run" | "commit"; readonly found: FoundNumber }
  | { readonly step: "finished"; readonly result: E.Either<StoreFailed | Overtaken, CommittedFolder> };

/** The owners of reservations in an earlier listing. */
type Owners = ReadonlyMap<number, readonly string[]>;

/** The most consecutive renames that may find a name taken, because another save was faster each time. After more, the file system is at fault. */
const mostLosses = 16;

/** Whose number it is, if no checkpoint has it. */
const otherSave =
  "a save in progress has reserved this number, or one that was killed on another machine in the last hour";

/** Whether a failed rename says that the new path exists. */
const isTaken = means("taken", "rename");

/** Whether a failed rename says that the old path does not exist. */
const isMissing = means("missing", "rename");

// --- states

function searching(state: CommitState, from: number): CommitState {
  return { ...state, next: { step: "search", from } };
}

function failing(state: CommitState, failed: StoreFailed | Overtaken): CommitState {
  return { ...state, next: { step: "finished", result: E.left(failed) } };
}

/** Searches again after a rename onto an existing name: another save was faster, and the next listing shows it. */
function searchAgain(state: CommitState, { search }: FoundNumber, failed: StoreFailed): CommitState {
  const { losses = 0 } = search;
  return isTaken(failed) && losses < mostLosses
    ? { ...state, next: { ...search, losses: losses + 1 } }
    : failing(state, failed);
}

// --- steps

/** Step 1. */
async function prepareReservation(context: CommitContext): Promise<CommitState> {
  const { reservation, temporary, condition } = context;
  const expected = condition?.number ?? context.expected;
  const start: CommitState = {
    reserved: undefined,
    folder: temporary,
    removed: new Set(),
    next: { step: "search", from: 0 },
  };
  const made = await makeReservation(reservation)();
  if (E.isLeft(made)) return failing(start, made.left);
  const moved = await moveReservation(reservation, undefined, expected)();
  if (E.isRight(moved)) {
    return { ...start, reserved: expected, next: { step: "search", from: expected, isGuess: true } };
  }
  return isTaken(moved.left) ? start : failing(start, moved.left);
}

/** Step 2. */
async function search(context: CommitContext, state: CommitState, search: SearchStep): Promise<CommitState> {
  const { fs, parent, reservation, isLarge, condition } = context;
  const { from, isGuess = false } = search;
  const { reserved } = state;
  const probe = isLarge && reserved !== undefined ? ownerPath(reservation, reserved) : undefined;
  let owners: Owners = new Map();
  for (;;) {
    const listed = await readListing(fs, parent, probe)();
    if (E.isLeft(listed)) return failing(state, listed.left);
    const listing = listed.right;
    const next = Math.max(listing.newest + 1, condition?.number ?? 0);
    const isKept = from < next && from === reserved && !listing.names.includes(folderName(from)) &&
      await isBypassed(reservation, from);
    const first = isKept ? from : isGuess ? next : Math.max(from, next);
    const found = await firstFree(context, reserved, listing, first, owners);
    if (E.isLeft(found)) {
      owners = found.left;
      continue;
    }
    const number = found.right;
    if (!Number.isSafeInteger(number)) {
      return failing(state, storeFailed("rename", join(parent, folderName(number)), "EOVERFLOW", "no number is left"));
    }
    const wanted = condition?.number ?? number;
    if (number !== wanted) {
      return failing(state, numberTaken(join(parent, folderName(wanted)), next === wanted ? otherSave : undefined));
    }
    const step = number !== reserved ? "reserve" : condition === undefined ? "commit" : "check run";
    return { ...state, next: { step, found: { number, listing, search } } };
  }
}

/**
 * The first free number in a listing. Reservations are bypassed only if their owners were known before the listing; otherwise the left has the
 * owners, and the folder must be listed again.
 */
async function firstFree(
  { reservation }: CommitContext,
  reserved: Reserved,
  { names }: Listing,
  first: number,
  owners: Owners,
): Promise<E.Either<Owners, number>> {
  for (let number = first; Number.isSafeInteger(number); number++) {
    // Any file with the name counts: a rename would replace an empty folder.
    if (names.includes(folderName(number))) continue;
    if (number === reserved || !names.includes(reservationName(number))) return E.right(number);
    const known = owners.get(number);
    if (known === undefined) return E.left(new Map([...owners, [number, await ownersOf(reservation, number)]]));
    if (!await bypass(reservation, number, known)) return E.left(new Map([...owners].filter(([n]) => n !== number)));
  }
  return E.right(Number.MAX_SAFE_INTEGER + 1);
}

/** Steps 3 and 4. */
async function reserve(context: CommitContext, state: CommitState, found: FoundNumber): Promise<CommitState> {
  const { fs, reservation, temporary, condition } = context;
  const { number } = found;
  const moved = await moveReservation(reservation, state.reserved, number)();
  if (E.isLeft(moved)) return searchAgain(state, found, moved.left);
  const reserved = { ...searching(state, number), reserved: number };
  if (state.reserved === undefined || condition === undefined) return reserved;
  const folder = movedPath(temporary, number);
  const renamed = await renameOnce(fs, state.folder, folder, folder)();
  if (E.isRight(renamed)) return { ...reserved, folder };
  return failing(reserved, await explained(context, reserved, condition, renamed.left));
}

/** Step 5. */
async function checkRun(context: CommitContext, state: CommitState, found: FoundNumber): Promise<CommitState> {
  const { fs, parent, condition } = context;
  const { number, listing } = found;
  const rivals = await checkedRivals(context, state, listing, condition);
  if (E.isLeft(rivals)) return failing(state, rivals.left);
  if (rivals.right === undefined) return searching(state, number);
  const higher = rivals.right.findLast((rival) => rival.number > number);
  if (higher !== undefined) return searching(state, higher.number + 1);
  const keyOfRival = (rival: Rival): string => join(rival.folder, `${rival.number}`);
  const lower = rivals.right.filter((rival) => !state.removed.has(keyOfRival(rival)));
  if (lower.length === 0) return { ...state, next: { step: "commit", found } };
  for (const rival of lower) {
    const gone = await removeReserving(fs, join(parent, rival.folder), rival.number)();
    if (E.isLeft(gone)) return failing(state, gone.left);
  }
  return searching({ ...state, removed: new Set([...state.removed, ...lower.map(keyOfRival)]) }, number);
}

/** The other saves of the run, if no checkpoint of it is above the parent. */
async function checkedRivals(
  { reservation }: CommitContext,
  { reserved }: CommitState,
  listing: Listing,
  condition: CommitCondition | undefined,
): Promise<E.Either<StoreFailed | Overtaken, readonly Rival[] | undefined>> {
  const checked = await condition?.check(listing.numbersFrom(condition.parent + 1))();
  return checked !== undefined && E.isLeft(checked) ? checked : await rivalsOf(reservation, reserved, listing);
}

/** Step 6. */
async function rename(context: CommitContext, state: CommitState, found: FoundNumber): Promise<CommitState> {
  const { fs, parent, condition } = context;
  const { number, listing } = found;
  const folder = join(parent, folderName(number));
  const renamed = await pipe(
    // If there is a checkpoint, its save has made the folders above durable.
    listing.newest === -1 ? syncAbove(fs, parent) : done,
    TE.flatMap(() => fs.rename(state.folder, folder)),
  )();
  if (E.isRight(renamed) || await isThisSave(context, state, folder)) {
    return { ...state, next: { step: "finished", result: E.right({ checkpoint: number, listing }) } };
  }
  return condition === undefined || !isMissing(renamed.left)
    ? searchAgain(state, found, renamed.left)
    : failing(state, await explained(context, state, condition, renamed.left));
}

/**
 * Whether a checkpoint is this save, although its rename has failed: the answer to the first request was lost. Then the temporary folder is
 * missing, and the checkpoint has its manifest, which names the run, the time and every digest.
 */
async function isThisSave({ fs, manifest }: CommitContext, state: CommitState, folder: string): Promise<boolean> {
  if (E.isRight(await fs.status(state.folder)())) return false;
  const found = await readManifestFile(fs, join(folder, manifestName))();
  return E.isRight(found) && Buffer.compare(found.right, manifest) === 0;
}

/** The reason for a failed rename of the temporary folder: if it is missing, another save of the run has removed it in step 5. */
async function explained(
  context: CommitContext,
  state: CommitState,
  condition: CommitCondition,
  failed: StoreFailed,
): Promise<StoreFailed | Overtaken> {
  if (!isMissing(failed)) return failed;
  // NFS may show an old listing of a folder that this machine has not changed since.
  const change = join(context.parent, temporaryName("saving", await context.fs.processId()));
  await pipe(context.fs.makeFolder(change), TE.flatMap(() => context.fs.removeFolder(change)))();
  for (;;) {
    const listing = await readListing(context.fs, context.parent)();
    if (E.isLeft(listing)) return listing.left;
    const rivals = await checkedRivals(context, state, listing.right, condition);
    if (E.isLeft(rivals)) return rivals.left;
    const rival = rivals.right?.at(-1);
    if (rival !== undefined) {
      return { _tag: "Overtaken", checkpoint: rival.number, step: null, by: "a save in progress" };
    }
    if (rivals.right !== undefined) return failed;
  }
}

// --- combinators

function advance(context: CommitContext, state: CommitState): Promise<CommitState> {
  const { next } = state;
  switch (next.step) {
    case "search":
      return search(context, state, next);
    case "reserve":
      return reserve(context, state, next.found);
    case "check run":
      return checkRun(context, state, next.found);
    case "commit":
      return rename(context, state, next.found);
    case "finished":
      return Promise.resolve(state);
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
    const key = condition && createHash("sha256").update(condition.key).digest("hex").slice(0, 16);
    const unused = join(parent, temporaryName("saving", await fs.processId()));
    const reservation = { fs, parent, unused, owner: { folder: basename(temporary), key } };
    const context = { ...request, reservation };
    let state = await prepareReservation(context);
    while (state.next.step !== "finished") state = await advance(context, state);
    const { result } = state.next;
    await releaseReservation(reservation, state.reserved)();
    if (E.isLeft(result) && state.folder !== temporary) await removeTree(fs, state.folder)();
    return result;
  };
}
