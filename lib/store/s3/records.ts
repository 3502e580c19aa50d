/**
 * The records of a location, and what this process remembers of them.
 *
 * @module
 */

import type * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { NoCheckpoint, StoreFailed } from "../../errors/mod.ts";
import { type Located, perLocation, type StoreOptions } from "../mod.ts";
import { type BucketLocation, highestNumber, listAllRecords, listRecords, liveNumbers, readFound } from "./objects.ts";
import { type CommitRecord, damagedRecord, type FoundRecord, type RecordHead } from "./record.ts";

// --- types

/** What this process remembers of a location. */
export interface Remembered {
  /** The number that the next save will probably get, undefined before the first listing. */
  next: number | undefined;
  /** The heads of the records that were read or made last. */
  readonly heads: Map<number, RecordHead>;
  /** The probe of the bucket, undefined before the first save and after a failure. */
  probe: Promise<E.Either<StoreFailed, void>> | undefined;
  /** When orphans were removed last. */
  swept: number;
}

/** A store's place, its name, and what is remembered of it. */
export interface S3Place extends BucketLocation {
  readonly location: string;
  readonly digest: StoreOptions["digest"];
  readonly remembered: Remembered;
}

/** What this process remembers of the location of a store. */
export const rememberedAt: (store: Located) => Remembered = perLocation((): Remembered => ({
  next: undefined,
  heads: new Map(),
  probe: undefined,
  swept: -Infinity,
}));

/** Heads that are remembered: those of a parent, and of checkpoints that are compared. */
const mostHeads = 8;

// --- paths

/** The name of a checkpoint in messages, which is also its name on the command line. */
export function locationOf({ location }: S3Place, checkpoint: number): string {
  return `${location}@${checkpoint}`;
}

// --- records

/** Remembers the head of a record, which never changes. */
export function rememberHead({ remembered: { heads } }: S3Place, checkpoint: number, head: RecordHead): void {
  heads.delete(checkpoint);
  heads.set(checkpoint, head);
  for (const oldest of heads.keys()) if (heads.size > mostHeads) heads.delete(oldest);
}

/** Reads what is under the number of a checkpoint, and remembers its head. */
export function findRecord(place: S3Place, checkpoint: number): TE.TaskEither<StoreFailed, FoundRecord> {
  return pipe(
    readFound(place, checkpoint),
    TE.tapIO((found) => () => {
      if (found.is === "record") rememberHead(place, checkpoint, found.record.head);
      else place.remembered.heads.delete(checkpoint);
    }),
  );
}

function noCheckpoint(place: S3Place, checkpoint: number): TE.TaskEither<StoreFailed | NoCheckpoint, never> {
  const { location } = place;
  return pipe(
    listNumbers(place),
    TE.map((numbers) => numbers.filter((number) => number !== checkpoint)),
    TE.flatMap((available) => TE.left({ _tag: "NoCheckpoint" as const, location, checkpoint, available })),
  );
}

/** Reads the record of a checkpoint. */
export function readRecord(
  place: S3Place,
  checkpoint: number,
  operation: "open" | "read",
): TE.TaskEither<StoreFailed | NoCheckpoint, CommitRecord> {
  return pipe(
    findRecord(place, checkpoint),
    TE.flatMap((found): ReturnType<typeof readRecord> => {
      if (found.is === "record") return TE.right(found.record);
      if (found.is !== "damaged") return noCheckpoint(place, checkpoint);
      return TE.left(damagedRecord(operation, locationOf(place, checkpoint), found.reason));
    }),
  );
}

/** The head of a checkpoint's record, which is read only if it is not remembered. */
export function headOf(place: S3Place, checkpoint: number): TE.TaskEither<StoreFailed | NoCheckpoint, RecordHead> {
  const known = place.remembered.heads.get(checkpoint);
  return known ? TE.right(known) : pipe(readRecord(place, checkpoint, "open"), TE.map(({ head }) => head));
}

// --- listings

/** The numbers of all checkpoints, ascending. */
export function listNumbers(place: S3Place): TE.TaskEither<StoreFailed, readonly number[]> {
  return pipe(
    listAllRecords(place),
    TE.map((listing) => {
      place.remembered.next = highestNumber(listing) + 1;
      return liveNumbers(listing);
    }),
  );
}

/** The number of the newest checkpoint, undefined if there is none. In most cases it is in the first, small page. */
export function newest(place: S3Place): TE.TaskEither<StoreFailed, number | undefined> {
  return pipe(
    listRecords(place, (records) => records.some(({ isTombstone }) => !isTombstone), 50),
    TE.map((listing) => {
      place.remembered.next = highestNumber(listing) + 1;
      return liveNumbers(listing).at(-1);
    }),
  );
}
