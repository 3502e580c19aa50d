/**
 * Orphans: objects that killed saves and interrupted removals left in a bucket.
 *
 * Data is an orphan if no record names it. A save names its data at most 12 hours and 30 minutes after it wrote the last part: it does not commit later
 * (`s3_saving`), and the server refuses a request that is late (`commit`). So data that no record names a day after its last write is never named, and can be
 * removed at any time after that. The age is counted up to the listing of the records, because this process may have paused since.
 *
 * Records are read only if there are suspects. A save writes its data under the number that it will probably get. *Suspects* are folders of data whose number
 * no checkpoint has, and those that share a number. Any record may name a suspect: its time does not count, because a copy of the bucket, or a change of the
 * storage class, gives objects new times; nor does its number, because numbers begin again where all records were removed by hand. A record that names
 * data under another number makes the data under its own number suspect, so that no orphan is overlooked.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { inOrder } from "../../checkpoint/mod.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import type { Orphan, Orphans } from "../mod.ts";
import type { Bucket, ObjectInfo, UnfinishedUpload } from "./bucket.ts";
import {
  type BucketLocation,
  dataFolder,
  highestNumber,
  listAllRecords,
  type ListedRecord,
  numberOfData,
  partKey,
  probeFolder,
  readFound,
  recordKey,
  type RecordListing,
} from "./objects.ts";
import { isDataId } from "./record.ts";

// --- types

/** An orphan, and how it is removed. */
interface FoundOrphan {
  readonly orphan: Orphan;
  readonly remove: TE.TaskEither<StoreFailed, void>;
}

/** What a bucket holds. */
interface Contents {
  readonly place: BucketLocation;
  readonly listing: RecordListing;
  readonly records: ReadonlyMap<number, ListedRecord>;
  /** The names of data, by number. */
  readonly data: ReadonlyMap<number, readonly string[]>;
  readonly uploads: readonly UnfinishedUpload[];
  readonly probes: readonly ObjectInfo[];
}

/** A folder of data. */
interface Suspect {
  readonly data: string;
  readonly keys: readonly string[];
  readonly bytes: number;
  /** When its last part was written. */
  readonly modified: number;
}

/** What a record names: data, nothing, or what cannot be read, which may be any data. */
type Named = string | "nothing" | "unknown";

const hour = 3_600_000;

/** The age at which data that no record names is removed, and unfinished uploads are ended. */
export const graceTime: number = 24 * hour;

/** The age at which a tombstone is forgotten. */
export const tombstoneLasts: number = hour;

const noUploads: readonly UnfinishedUpload[] = [];

// --- finding

/** The name of the data that a key belongs to, undefined if it is none of a save. */
function dataIn(place: BucketLocation, key: string): string | undefined {
  const name = key.slice(dataFolder(place).length).split("/")[0]!;
  return isDataId(name) ? name : undefined;
}

function readContents(place: BucketLocation): TE.TaskEither<StoreFailed, Contents> {
  return pipe(
    listAllRecords(place),
    TE.bindTo("listing"),
    TE.bind("folders", () => place.bucket.list(dataFolder(place), { folders: true })),
    TE.bind("uploads", () => place.bucket.uploads(dataFolder(place))),
    TE.bind("probes", () => place.bucket.list(probeFolder(place))),
    TE.map(({ listing, folders, uploads, probes }) => {
      const data = new Map<number, string[]>();
      for (const folder of folders.folders) {
        const name = dataIn(place, folder);
        if (name === undefined) continue;
        const number = numberOfData(name);
        data.set(number, [...data.get(number) ?? [], name]);
      }
      const records = new Map(listing.records.map((record) => [record.number, record]));
      const own = uploads.filter(({ key }) => dataIn(place, key) !== undefined);
      return { place, listing, records, data, uploads: own, probes: probes.objects };
    }),
  );
}

/** Looks at a folder of data; undefined if it is gone. */
function readSuspect(place: BucketLocation, data: string): TE.TaskEither<StoreFailed, Suspect | undefined> {
  return pipe(
    place.bucket.list(partKey(place, data, "")),
    TE.map(({ objects }) =>
      objects.length === 0 ? undefined : {
        data,
        keys: objects.map(({ key }) => key),
        bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
        modified: objects.reduce((last, { modified }) => Math.max(last, modified), 0),
      }
    ),
  );
}

/** Whether something of this age may belong to a live save. */
function isYoung({ listing }: Contents, modified: number): boolean {
  return modified >= listing.now - graceTime;
}

function named(place: BucketLocation, number: number): TE.TaskEither<StoreFailed, Named> {
  return pipe(
    readFound(place, number),
    TE.map((found): Named => {
      if (found.is === "damaged") return "unknown";
      return found.is === "record" ? found.record.head.data : "nothing";
    }),
  );
}

/** Whether the tombstone of its number names the data: its removal did not end. */
function isRemoved({ place, records }: Contents, data: string): TE.TaskEither<StoreFailed, boolean> {
  const number = numberOfData(data);
  if (records.get(number)?.isTombstone !== true) return TE.right(false);
  return pipe(readFound(place, number), TE.map((found) => found.is === "tombstone" && found.data === data));
}

/**
 * Examines the suspects, including those found during the examination.
 *
 * @param withLive Whether to find data that may belong to a live save, too.
 */
function examiner(contents: Contents, withLive: boolean): {
  /** The names of data to examine. */
  readonly queue: string[];
  readonly examine: (data: string) => Promise<E.Either<StoreFailed, FoundOrphan | undefined>>;
} {
  const { place, records, data: folders } = contents;
  const queued = new Set<string>();
  const queue: string[] = [];
  const names = new Map<number, Promise<E.Either<StoreFailed, Named>>>();

  function suspect(number: number): void {
    for (const data of folders.get(number) ?? []) {
      if (queued.has(data)) continue;
      queued.add(data);
      queue.push(data);
    }
  }

  for (const [number, same] of folders) {
    if (same.length > 1 || records.get(number)?.isTombstone !== false) suspect(number);
  }

  function nameOf(number: number): Promise<E.Either<StoreFailed, Named>> {
    const known = names.get(number);
    if (known !== undefined) return known;
    const read = named(place, number)().then((result) => {
      if (E.isRight(result) && isDataId(result.right) && numberOfData(result.right) !== number) suspect(number);
      return result;
    });
    names.set(number, read);
    return read;
  }

  async function isNamed({ data, modified }: Suspect): Promise<E.Either<StoreFailed, boolean>> {
    const possible = [...records.values()].filter(({ isTombstone }) => !isTombstone).sort((a, b) =>
      Math.abs(a.modified - modified) - Math.abs(b.modified - modified)
    );
    for await (const [, name] of inOrder(possible, ({ number }) => nameOf(number))) {
      if (E.isLeft(name)) return name;
      if (name.right === data || name.right === "unknown") return E.right(true);
    }
    return E.right(false);
  }

  return {
    queue,
    examine: async (data) => {
      const found = await readSuspect(place, data)();
      if (E.isLeft(found) || found.right === undefined) return found as E.Either<StoreFailed, undefined>;
      const { keys, bytes, modified } = found.right;
      const removed = await isRemoved(contents, data)();
      if (E.isLeft(removed)) return removed;
      const isLive = !removed.right && isYoung(contents, modified);
      if (isLive && !withLive) return E.right(undefined);
      const used = removed.right ? E.right(false) : await isNamed(found.right);
      if (E.isLeft(used)) return used;
      if (used.right) return E.right(undefined);
      const name = `${place.bucket.location}/${partKey(place, data, "")}`;
      const kind = removed.right ? "removed checkpoint" : "unfinished save";
      return E.right({ orphan: { name, kind, bytes, modified, isLive }, remove: place.bucket.remove(keys) });
    },
  };
}

function unfinishedUploads(contents: Contents): readonly FoundOrphan[] {
  const { place: { bucket }, uploads } = contents;
  return uploads.map((upload) => ({
    orphan: {
      name: `${bucket.location}/${upload.key}?uploadId=${upload.upload}`,
      kind: "unfinished upload",
      bytes: null,
      modified: upload.begun,
      isLive: isYoung(contents, upload.begun),
    },
    remove: bucket.abort(upload),
  }));
}

/** The objects of probes that were killed. */
function oldProbes(contents: Contents): readonly FoundOrphan[] {
  const { place: { bucket }, probes } = contents;
  return probes.map(({ key, bytes, modified }) => ({
    orphan: {
      name: `${bucket.location}/${key}`,
      kind: "unfinished save",
      bytes,
      modified,
      isLive: isYoung(contents, modified),
    },
    remove: bucket.remove([key]),
  }));
}

function findOrphans(contents: Contents, withLive: boolean): TE.TaskEither<StoreFailed, readonly FoundOrphan[]> {
  return async () => {
    const orphans: FoundOrphan[] = [];
    const { queue, examine } = examiner(contents, withLive);
    while (queue.length > 0) {
      for await (const [, found] of inOrder(queue.splice(0), examine)) {
        if (E.isLeft(found)) return found;
        if (found.right !== undefined) orphans.push(found.right);
      }
    }
    return E.right([...orphans, ...unfinishedUploads(contents), ...oldProbes(contents)]);
  };
}

// --- removal

/** Removes orphans that are not live. */
async function removeEach(orphans: readonly FoundOrphan[]): Promise<E.Either<StoreFailed, readonly Orphan[]>> {
  const removed: Orphan[] = [];
  for await (
    const [{ orphan }, result] of inOrder(orphans.filter((one) => !one.orphan.isLive), (one) => one.remove())
  ) {
    if (E.isLeft(result)) return result;
    removed.push(orphan);
  }
  return E.right(removed);
}

/** Old tombstones, but for one with the highest number: the next save counts from it. */
function oldTombstones({ place, listing }: Contents): readonly string[] {
  return listing.records.flatMap(({ number, isTombstone, modified }) =>
    isTombstone && number < highestNumber(listing) && modified < listing.now - tombstoneLasts
      ? recordKey(place, number)
      : []
  );
}

/** Deletes all data of a checkpoint that was removed. */
export function removeData(place: BucketLocation, data: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    readSuspect(place, data),
    TE.flatMap((found) => found === undefined ? TE.right(undefined) : place.bucket.remove(found.keys)),
  );
}

/** Removes orphans and old tombstones. What cannot be removed stays, for a later sweep. */
export function sweep(place: BucketLocation): Task<void> {
  const { bucket } = place;
  // Some servers and permissions do not list uploads.
  const uploads: Bucket["uploads"] = (prefix) => pipe(bucket.uploads(prefix), TE.orElse(() => TE.right(noUploads)));
  return async () => {
    const contents = await readContents({ ...place, bucket: { ...bucket, uploads } })();
    if (E.isLeft(contents)) return;
    const found = await findOrphans(contents.right, false)();
    if (E.isLeft(found)) return;
    await removeEach(found.right);
    await bucket.remove(oldTombstones(contents.right))();
  };
}

/** The orphans of a store. */
export function orphansOf(place: BucketLocation): Orphans {
  const find = (withLive: boolean): TE.TaskEither<StoreFailed, readonly FoundOrphan[]> =>
    pipe(readContents(place), TE.flatMap((contents) => findOrphans(contents, withLive)));
  return {
    list: pipe(find(true), TE.map((found) => found.map(({ orphan }) => orphan))),
    remove: (orphans) => {
      const names = new Set(orphans.map(({ name }) => name));
      return pipe(
        find(false),
        TE.flatMap((found) => () => removeEach(found.filter(({ orphan }) => names.has(orphan.name)))),
      );
    },
  };
}
