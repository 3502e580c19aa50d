/**
 * The objects of a store in a bucket: their keys, and listings of the commit records.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { randomBytes } from "node:crypto";
import type { StoreFailed } from "../../errors/mod.ts";
import type { Bucket } from "./bucket.ts";
import { decodeFound, type FoundRecord, mostRecordBytes, mostTombstoneBytes } from "./record.ts";

// --- types

/** Where the objects of a store are. */
export interface BucketLocation {
  readonly bucket: Bucket;
  /** What all of its keys begin with: empty, or with a slash at its end. */
  readonly prefix: string;
}

/** A record in a listing. */
export interface ListedRecord {
  readonly number: number;
  /** Whether the checkpoint was removed. */
  readonly isTombstone: boolean;
  /** When the record was written, by the server's clock, in milliseconds since 1970. */
  readonly modified: number;
}

/** A listing of records. */
export interface RecordListing {
  /** The highest number first. */
  readonly records: readonly ListedRecord[];
  /** Whether there are no others. */
  readonly isWhole: boolean;
  /** The server's time of the listing, in milliseconds since 1970. */
  readonly now: number;
}

// --- constructors

const digits = 16;

function padded(number: number): string {
  return String(number).padStart(digits, "0");
}

/** A name for the data of a save that will probably get this number. No other save has it. */
export function newDataId(number: number): string {
  return `${padded(number)}-${randomBytes(16).toString("hex")}`;
}

/** The number in the name of a save's data. */
export function numberOfData(data: string): number {
  return Number(data.slice(0, digits));
}

/** The folder of all records. */
export function recordsFolder({ prefix }: BucketLocation): string {
  return `${prefix}checkpoints/`;
}

/** The key of a record. Listings are ascending, so the number is subtracted from the highest one to get the newest record first. */
export function recordKey(place: BucketLocation, number: number): string {
  return `${recordsFolder(place)}${padded(Number.MAX_SAFE_INTEGER - number)}.json`;
}

/** The folder of the data of all saves. */
export function dataFolder({ prefix }: BucketLocation): string {
  return `${prefix}data/`;
}

/** The key of a part of a save. */
export function partKey(place: BucketLocation, data: string, name: string): string {
  return `${dataFolder(place)}${data}/${name}`;
}

/** The folder of the objects of probes. */
export function probeFolder({ prefix }: BucketLocation): string {
  return `${prefix}probe/`;
}

/** The key of a new object for a probe. */
export function newProbeKey(place: BucketLocation): string {
  return `${probeFolder(place)}${randomBytes(16).toString("hex")}`;
}

// --- reading

/** Reads what is under the number of a checkpoint. */
export function readFound(place: BucketLocation, number: number): TE.TaskEither<StoreFailed, FoundRecord> {
  return pipe(
    place.bucket.get(recordKey(place, number), mostRecordBytes),
    TE.map(decodeFound),
    TE.orElse((failed) =>
      failed.code === "EFBIG" ? TE.right({ is: "damaged", reason: failed.message }) : TE.left(failed)
    ),
  );
}

// --- listings

/** The number of a record, undefined for a key that is none. */
function numberOfKey(place: BucketLocation, key: string): number | undefined {
  const name = key.slice(recordsFolder(place).length);
  const number = Number.MAX_SAFE_INTEGER - (/^\d{16}\.json$/.test(name) ? Number(name.slice(0, digits)) : Infinity);
  return number >= 0 ? number : undefined;
}

/**
 * Lists records, the highest numbers first.
 *
 * @param place Where.
 * @param isEnough Whether the records that were found so far are enough.
 * @param page The most keys of a request.
 */
export function listRecords(
  place: BucketLocation,
  isEnough: (records: readonly ListedRecord[]) => boolean,
  page = 1000,
): TE.TaskEither<StoreFailed, RecordListing> {
  return async () => {
    const records: ListedRecord[] = [];
    for (let after: string | undefined, now: number | undefined;;) {
      const options = { most: page, ...(after !== undefined && { after }) };
      const listing = await place.bucket.list(recordsFolder(place), options)();
      if (E.isLeft(listing)) return listing;
      const { objects, isPartial } = listing.right;
      now ??= listing.right.now;
      for (const { key, bytes, modified } of objects) {
        const number = numberOfKey(place, key);
        if (number !== undefined) records.push({ number, isTombstone: bytes <= mostTombstoneBytes, modified });
      }
      after = objects.at(-1)?.key;
      const isWhole = !isPartial || after === undefined;
      if (isWhole || isEnough(records)) return E.right({ records, isWhole, now });
    }
  };
}

/** Lists all records. */
export function listAllRecords(place: BucketLocation): TE.TaskEither<StoreFailed, RecordListing> {
  return listRecords(place, () => false);
}

/** The numbers of checkpoints in a listing, ascending. */
export function liveNumbers({ records }: RecordListing): readonly number[] {
  return records.flatMap(({ number, isTombstone }) => isTombstone ? [] : number).toReversed();
}

/** The highest number that was ever used, -1 if there is none. */
export function highestNumber({ records }: RecordListing): number {
  return records[0]?.number ?? -1;
}
