/**
 * The commit of a save: the conditional write that makes its record, under a number that no other save has had.
 *
 * ## Invariants
 *
 * 1. *Numbers.* No number is given to two saves. A removed checkpoint leaves a tombstone, so its key is never free again for a save that is late.
 * 2. *One line of history.* Of two saves that follow the same parent of one run, at most one is committed.
 * 3. *Old or new.* A record is one object, made when all parts are in the bucket. A number has no record, or a whole one.
 * 4. *Once.* A save has at most one record. If its commit ends without an answer, its data stays: a late request may still make the record.
 *
 * ## The steps, and the bucket after each
 *
 * The newest checkpoint is 11; `R` are random digits; the keys of records are shown with plain numbers. All parts are in `data/12-R/`.
 *
 * 1. **List.** Note the time, then list the records, the newest first, down to the parent.
 *    `checkpoints/11.json`
 * 2. **Look for an earlier request** of this save that had no answer. If its number has this save's record by now, the save is committed. If it has
 *    another object, that request can no longer succeed.
 * 3. **Check run.** A checkpoint of the run above the parent: the save fails as `Overtaken`.
 * 4. **Create** the record with the highest listed number + 1, on the condition that the key is free. The request is signed with the time of step 1, so the
 *    server refuses it when it arrives more than 15 minutes later.
 *    `checkpoints/12.json`
 * 5. **Read back**, unless the answer was that the record was made. Each other answer leaves that open: an answer can be lost, and Bun and Deno send a
 *    request twice, so that the second one is refused because of the first. This save's record: committed. Another object: the number is taken, go to 1.
 *    None: wait, and go to 1; after several times the commit fails, and says that the save may have been committed.
 *
 * ## Why the invariants hold
 *
 * *Numbers* and *one line of history.* A save that lists 11 as the highest number creates 12 or nothing. Any other commit in between takes 12 first, because it has
 * listed the same numbers or has found 12 taken; then the create is refused, and step 3 sees the other checkpoint. 12 could be free again only if it was
 * used, removed and forgotten. A tombstone is forgotten an hour after the removal, and only below a higher number; by then the request, which was signed
 * before 12 was used, is older than the server accepts. (The clock of a machine may differ by 15 minutes from the server's, so it is 30 minutes at most.)
 *
 * A commit also fails more than 12 hours after the save's last part was written, because `orphans` takes unnamed data for an orphan a day after it.
 *
 * *Once.* A save creates another number only when the one before is known to be another object's, and a number is never free again.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as E from "fp-ts/lib/Either.js";
import type { Overtaken, StoreFailed } from "../../errors/mod.ts";
import { type CommitCondition, numberTaken, storeFailed } from "../mod.ts";
import {
  type BucketLocation,
  highestNumber,
  listRecords,
  liveNumbers,
  recordKey,
  type RecordListing,
} from "./objects.ts";
import { decodeFound } from "./record.ts";

// --- types

/** A save to commit. */
export interface RecordToCommit {
  readonly place: BucketLocation;
  /** The name of its data, which no other save has. */
  readonly data: string;
  /** The bytes of its record. */
  readonly record: Uint8Array;
  /** The time after which it must not be committed: {@link longestCommit} after the last part. */
  readonly deadline: number;
  readonly condition: CommitCondition | undefined;
  /** Receives whether the save may be committed later, although its commit fails. */
  readonly onDoubt: (mayCommit: boolean) => void;
}

/** A committed record. */
export interface CommittedRecord {
  readonly checkpoint: number;
  /** All checkpoints, ascending, undefined if the commit did not list all of them. */
  readonly numbers: readonly number[] | undefined;
}

/** Whose object has a number. */
type Owner = "this save" | "another" | "none";

type Result = E.Either<StoreFailed | Overtaken, CommittedRecord>;

const hour = 3_600_000;

/** The most milliseconds from the last part to the commit. Orphans are recognised by this. */
export const longestCommit: number = 12 * hour;

/** How often a create without an effect is repeated, and the milliseconds before the first repetition, which double. */
const [mostAttempts, firstWait] = [8, 100];

/** Codes of a server that refuses this process for good. The other failures may have been carried out, or may succeed later. */
const refusals: readonly string[] = [
  "EACCES",
  "EDQUOT",
  "ENOSPC",
  "EFBIG",
  "ENOKEYS",
  "ENOBUCKET",
  "EREGION",
  "ENOSYS",
];

// --- combinators

async function ownerOf({ place, data, record }: RecordToCommit, number: number): Promise<E.Either<StoreFailed, Owner>> {
  const bytes = await place.bucket.get(recordKey(place, number))();
  if (E.isLeft(bytes)) return bytes;
  if (bytes.right === undefined) return E.right("none");
  if (Buffer.compare(bytes.right, record) === 0) return E.right("this save");
  const found = decodeFound(bytes.right);
  // It may have been committed and then removed by another process.
  return E.right(found.is === "tombstone" && found.data === data ? "this save" : "another");
}

function committed(checkpoint: number, listing: RecordListing): Result {
  if (!listing.isWhole) return E.right({ checkpoint, numbers: undefined });
  const others = liveNumbers(listing).filter((number) => number < checkpoint);
  return E.right({ checkpoint, numbers: [...others, checkpoint] });
}

/** The failure of a save that may have been committed. */
function inDoubt<F extends StoreFailed | Overtaken>(error: F, number: number): F {
  if (error._tag !== "StoreFailed") return error;
  const message = `${error.message}. The save may have been committed as checkpoint ${number}; its data is kept`;
  return { ...error, message, remedy: "Save again: the next save of this process follows it if it was committed" };
}

/**
 * Commits a save whose parts are in the bucket.
 *
 * @param request The save.
 * @returns The number; or the failure, or `Overtaken` by another save of the run.
 */
export async function commitRecord(request: RecordToCommit): Promise<Result> {
  const { place, record, condition, deadline, onDoubt } = request;
  const { bucket } = place;
  const parent = condition?.parent ?? Infinity;
  // The number of a request that may still be carried out.
  let open: number | undefined;
  const setOpen = (number: number | undefined): void => {
    open = number;
    onDoubt(number !== undefined);
  };
  const failing = (error: StoreFailed | Overtaken): Result => E.left(open === undefined ? error : inDoubt(error, open));

  for (let attempts = 1;;) {
    const signed = new Date(bucket.now());
    if (signed.getTime() > deadline) return failing(tooLate(place));
    const listed = await listRecords(place, (records) => records.some(({ number }) => number <= parent))();
    if (E.isLeft(listed)) return failing(listed.left);
    const highest = highestNumber(listed.right);
    if (open !== undefined && open <= highest) {
      const owner = await ownerOf(request, open);
      if (E.isLeft(owner)) return failing(owner.left);
      if (owner.right === "this save") return committed(open, listed.right);
      if (owner.right === "none") return failing(forgotten(place, open));
      setOpen(undefined);
    }
    const checked = await condition?.check(liveNumbers(listed.right).filter((number) => number > parent))();
    if (checked !== undefined && E.isLeft(checked)) return failing(checked.left);
    const number = condition?.number ?? highest + 1;
    if (number <= highest) return failing(numberTaken(`${bucket.location}/${recordKey(place, number)}`));
    if (!Number.isSafeInteger(number)) return failing(exhausted(place, highest));

    const made = await bucket.create(recordKey(place, number), record, signed)();
    if (E.isRight(made)) return committed(number, listed.right);
    const owner = await ownerOf(request, number);
    if (E.isLeft(owner)) {
      setOpen(number);
      return failing(made.left);
    }
    if (owner.right === "this save") return committed(number, listed.right);
    if (owner.right === "another") {
      setOpen(undefined);
      continue;
    }
    if (refusals.includes(made.left.code)) return failing(made.left);
    setOpen(number);
    if (attempts === mostAttempts) return failing(made.left);
    await bucket.wait(firstWait * 2 ** attempts)();
    attempts += 1;
  }
}

/** The tombstone under the number of a request without an answer is forgotten, so what it was cannot be known. */
function forgotten(place: BucketLocation, number: number): StoreFailed {
  const path = `${place.bucket.location}/${recordKey(place, number)}`;
  return storeFailed(
    "commit",
    path,
    "ETIMEDOUT",
    "the checkpoint with this number was removed before its commit was confirmed",
  );
}

function tooLate({ bucket, prefix }: BucketLocation): StoreFailed {
  const message = `expected the commit within ${longestCommit / hour} hours of the last part`;
  return storeFailed("commit", `${bucket.location}/${prefix}`, "ESTALE", message, "Save again");
}

function exhausted(place: BucketLocation, number: number): StoreFailed {
  const path = `${place.bucket.location}/${recordKey(place, number)}`;
  return storeFailed(
    "commit",
    path,
    "EOVERFLOW",
    `no number is left above ${number}; no save wrote this object: remove it`,
  );
}
