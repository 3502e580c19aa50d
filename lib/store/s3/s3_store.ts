/**
 * A store in a bucket. No kill, lost answer or other process can lose its newest checkpoint.
 *
 * ```text
 * <prefix>/checkpoints/9007199254740979.json     the record of checkpoint 12: the manifest, and where its parts are; or its tombstone
 * <prefix>/data/0000000000000012-9f…/<part>      the parts of a save, under the number that it will probably get
 * <prefix>/probe/9f…                             the object of a probe, removed again
 * ```
 *
 * The number in a record's key is 2^53 - 1 minus the checkpoint's, so that a listing gives the newest first. Only records are trusted: a part that no record
 * names is invisible. No key is written twice, but that of a record, which can be replaced by its tombstone.
 *
 * ## The steps of a save, and what a kill leaves after each
 *
 * 1. Find out which number the save will probably get, unless this process knows it. Nothing is left.
 * 2. Write the parts, several at a time. An orphan is left, here and up to step 5: data that no record names, and unfinished uploads.
 *    The first save of a process also examines the bucket meanwhile (`probe`) and removes orphans (`orphans`).
 * 3. Wait until the bucket has all parts, and for the answer of the probe.
 * 4. List the records, and check the run.
 * 5. Commit: one conditional write makes the record. `commit` finds the number. Then the checkpoint is whole.
 *
 * Steps 2, 4 and 5 take one round trip each, if the parts are small. A removal replaces the record by its tombstone, and then deletes the data.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as T from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { NoCheckpoint, Overtaken, StoreFailed } from "../../errors/mod.ts";
import {
  checkRange,
  newLocationState,
  ofCheckpoint,
  ofPart,
  perLocation,
  savingOf,
  storeFailed,
  tooLong,
} from "../mod.ts";
import type { CommitCondition, LocationState, OpenPart, Saving, Store, StoreOptions, StoreWriter } from "../mod.ts";
import type { Bucket } from "./bucket.ts";
import { commitRecord } from "./commit.ts";
import {
  highestNumber,
  listAllRecords,
  listRecords,
  liveNumbers,
  newDataId,
  partKey,
  type Place,
  recordKey,
} from "./objects.ts";
import { orphansOf, removeData, sweep } from "./orphans.ts";
import { probe } from "./probe.ts";
import {
  damagedRecord,
  decodeFound,
  encodeRecord,
  encodeTombstone,
  type FoundRecord,
  type RecordHead,
} from "./record.ts";

// --- types

/** What this process remembers of a location. */
interface Remembered {
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
interface S3Place extends Place {
  readonly location: string;
  readonly digest: StoreOptions["digest"];
  readonly remembered: Remembered;
}

const rememberedAt = perLocation((): Remembered => ({
  next: undefined,
  heads: new Map(),
  probe: undefined,
  swept: -Infinity,
}));

const hour = 3_600_000;

/** The most time between the last part and the commit. Orphans are recognised by this. */
export const longestCommit: number = 12 * hour;

/** Heads that are remembered: those of a parent, and of checkpoints that are compared. */
const mostHeads = 8;

// --- paths

function locationOf({ location }: S3Place, checkpoint: number): string {
  return `${location}@${checkpoint}`;
}

// --- records

function rememberHead({ remembered: { heads } }: S3Place, checkpoint: number, head: RecordHead): void {
  heads.delete(checkpoint);
  heads.set(checkpoint, head);
  for (const oldest of heads.keys()) if (heads.size > mostHeads) heads.delete(oldest);
}

function findRecord(place: S3Place, checkpoint: number): TE.TaskEither<StoreFailed, FoundRecord> {
  return pipe(
    place.bucket.get(recordKey(place, checkpoint)),
    TE.map((bytes) => {
      const found = decodeFound(bytes);
      if (found.is === "record") rememberHead(place, checkpoint, found.record.head);
      else place.remembered.heads.delete(checkpoint);
      return found;
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

function readRecord(
  place: S3Place,
  checkpoint: number,
  operation: "open" | "read",
): TE.TaskEither<StoreFailed | NoCheckpoint, Extract<FoundRecord, { is: "record" }>["record"]> {
  return pipe(
    findRecord(place, checkpoint),
    TE.flatMap((found): ReturnType<typeof readRecord> => {
      if (found.is === "record") return TE.right(found.record);
      if (found.is !== "damaged") return noCheckpoint(place, checkpoint);
      return TE.left(damagedRecord(operation, locationOf(place, checkpoint), found.reason));
    }),
  );
}

/** The head of a record, which never changes. */
function headOf(place: S3Place, checkpoint: number): TE.TaskEither<StoreFailed | NoCheckpoint, RecordHead> {
  const known = place.remembered.heads.get(checkpoint);
  return known ? TE.right(known) : pipe(readRecord(place, checkpoint, "open"), TE.map(({ head }) => head));
}

// --- listings

function listNumbers(place: S3Place): TE.TaskEither<StoreFailed, readonly number[]> {
  return pipe(
    listAllRecords(place),
    TE.map((listing) => {
      place.remembered.next = highestNumber(listing) + 1;
      return liveNumbers(listing);
    }),
  );
}

/** The newest records, at least down to the first that is no tombstone: in most cases one small page. */
function newest(place: S3Place): TE.TaskEither<StoreFailed, number | undefined> {
  return pipe(
    listRecords(place, (records) => records.some(({ isTombstone }) => !isTombstone), 50),
    TE.map((listing) => {
      place.remembered.next = highestNumber(listing) + 1;
      return liveNumbers(listing).at(-1);
    }),
  );
}

// --- saving

function begin(place: S3Place): TE.TaskEither<StoreFailed, Saving> {
  const { remembered, bucket } = place;
  return async () => {
    // It also finds wrong keys and names before any part is sent.
    const listed = remembered.next === undefined ? await newest(place)() : E.right(undefined);
    if (E.isLeft(listed)) return listed;
    const now = bucket.now();
    const isDue = now - remembered.swept >= hour;
    if (isDue) remembered.swept = now;
    remembered.probe ??= probe(place)();
    return E.right(savingOf(writerInto(place, remembered.probe, isDue ? sweep(place)() : Promise.resolve())));
  };
}

/** The steps of a save. The sweep is finished when the save is. */
function writerInto(place: S3Place, probed: Promise<E.Either<StoreFailed, void>>, swept: Promise<void>): StoreWriter {
  const { bucket, remembered, digest } = place;
  const data = newDataId(remembered.next ?? 0);
  const parts = new Map<string, number>();
  const keys: string[] = [];
  const pending: Promise<E.Either<StoreFailed, void>>[] = [];
  let failed: StoreFailed | undefined;
  let mayCommit = false;
  let lastPart = bucket.now();
  let numbers: readonly number[] | undefined;

  function newKey(name: string): string {
    const key = partKey(place, data, name);
    keys.push(key);
    lastPart = bucket.now();
    return key;
  }

  /** A part is sent while the next one is made; its failure ends the save at the next step. */
  function awaitLater(durable: Promise<E.Either<StoreFailed, void>>): void {
    pending.push(durable.then((result) => {
      if (E.isLeft(result)) failed ??= result.left;
      return result;
    }));
  }

  async function allDurable(): Promise<E.Either<StoreFailed, void>> {
    const results = await Promise.all([...pending, probed]);
    if (E.isLeft(results.at(-1)!)) remembered.probe = undefined;
    return results.find(E.isLeft) ?? inTime();
  }

  function inTime(): E.Either<StoreFailed, void> {
    const hours = (bucket.now() - lastPart) / hour;
    if (hours * hour <= longestCommit) return E.right(undefined);
    const message = `expected the commit within ${longestCommit / hour} hours of the last part, found ${
      hours.toFixed(1)
    }`;
    return E.left(storeFailed("commit", place.location, "ESTALE", message, "Save again"));
  }

  async function commit(
    manifest: Uint8Array,
    condition: CommitCondition | undefined,
  ): Promise<E.Either<StoreFailed | Overtaken, number>> {
    const long = tooLong("write", place.location, manifest.length);
    if (long !== undefined) return E.left(long);
    const durable = await allDurable();
    if (E.isLeft(durable)) return durable;
    const head: RecordHead = { data, parts };
    const onDoubt = (may: boolean): void => void (mayCommit = may);
    const record = encodeRecord(head, manifest);
    const result = await commitRecord({ place, data, record, condition, onDoubt });
    if (E.isLeft(result)) return result;
    const { checkpoint } = result.right;
    numbers = result.right.numbers;
    remembered.next = checkpoint + 1;
    rememberHead(place, checkpoint, head);
    await swept;
    return E.right(checkpoint);
  }

  return {
    put: (name, chunks) => async () => {
      if (failed !== undefined) return E.left(failed);
      const written = await bucket.write(newKey(name), chunks, digest)();
      if (E.isLeft(written)) return written;
      parts.set(name, written.right.digest.bytes);
      awaitLater(written.right.durable);
      return E.right(written.right.digest);
    },
    reuse: (name, from) => async () => {
      const head = await headOf(place, from.checkpoint)();
      if (E.isLeft(head)) return head.left._tag === "NoCheckpoint" ? E.right(false) : E.left(head.left);
      const bytes = head.right.parts.get(from.name);
      if (bytes === undefined) return E.right(false);
      const copied = await bucket.copy(partKey(place, head.right.data, from.name), newKey(name), bytes)();
      if (E.isRight(copied) && copied.right) parts.set(name, bytes);
      return copied;
    },
    checksCondition: true,
    listed: () => numbers,
    commit: (manifest, condition) => () => commit(manifest, condition),
    discard: async () => {
      const results = await Promise.all([...pending, probed]);
      if (E.isLeft(results.at(-1)!)) remembered.probe = undefined;
      await swept;
      // What cannot be removed is an orphan.
      if (!mayCommit && keys.length > 0) await bucket.remove(keys)();
    },
  };
}

// --- reading

function openPart(
  place: S3Place,
  checkpoint: number,
  name: string,
): TE.TaskEither<StoreFailed | NoCheckpoint, OpenPart> {
  return pipe(
    partOf(place, checkpoint, name),
    TE.map(({ key, bytes, path }): OpenPart => ({
      bytes,
      read: (into, position) => {
        const outside = checkRange(bytes, path, into, position);
        if (outside !== undefined) return TE.left(outside);
        return into.length === 0 ? TE.right(undefined) : place.bucket.read(key, into, position);
      },
      close: T.of(undefined),
    })),
  );
}

function partOf(
  place: S3Place,
  checkpoint: number,
  name: string,
): TE.TaskEither<StoreFailed | NoCheckpoint, { readonly key: string; readonly bytes: number; readonly path: string }> {
  return pipe(
    headOf(place, checkpoint),
    TE.flatMapEither(({ data, parts }) => {
      const [bytes, path] = [parts.get(name), `${locationOf(place, checkpoint)}/${name}`];
      if (bytes === undefined) return E.left(storeFailed("open", path, "ENOENT", "no such part"));
      return E.right({ key: partKey(place, data, name), bytes, path });
    }),
  );
}

/** Replaces the record by its tombstone, and then deletes the data. What cannot be deleted is an orphan. */
function removeCheckpoint(place: S3Place, checkpoint: number): TE.TaskEither<StoreFailed, void> {
  const { bucket } = place;
  return pipe(
    findRecord(place, checkpoint),
    TE.flatMap((found): TE.TaskEither<StoreFailed, void> => {
      if (found.is === "absent") return TE.right(undefined);
      if (found.is === "tombstone") {
        return found.data === undefined ? TE.right(undefined) : removeData(place, found.data);
      }
      const head = found.is === "record" ? found.record.head : undefined;
      const bury = pipe(
        bucket.put(recordKey(place, checkpoint), encodeTombstone(head?.data)),
        TE.tapIO(() => () => place.remembered.heads.delete(checkpoint)),
      );
      if (head === undefined) return bury;
      const keys = [...head.parts.keys()].map((name) => partKey(place, head.data, name));
      return pipe(bury, TE.flatMap(() => bucket.remove(keys)));
    }),
  );
}

// --- constructors

/**
 * A store in a bucket.
 *
 * @param bucket The bucket.
 * @param prefix What the keys begin with, without a slash at its end; empty for the whole bucket.
 * @param options The retention policy and the digest.
 * @param state What this process remembers of the location.
 */
export function storeOn(
  bucket: Bucket,
  prefix: string,
  options: StoreOptions = {},
  state: LocationState = newLocationState(),
): Store {
  const folder = prefix === "" ? "" : `${prefix}/`;
  const location = prefix === "" ? bucket.location : `${bucket.location}/${prefix}`;
  const remembered = rememberedAt({ location, place: () => state });
  const place: S3Place = { bucket, prefix: folder, location, digest: options.digest, remembered };
  return Object.freeze<Store>({
    _tag: "Store",
    location,
    place: () => state,
    ...(options.keep && { keep: options.keep }),
    ...(options.digest && { digest: options.digest }),
    list: () => listNumbers(place)(),
    newest: () => newest(place)(),
    orphans: orphansOf(place),
    begin: begin(place),
    manifest: ofCheckpoint((checkpoint) =>
      pipe(readRecord(place, checkpoint, "read"), TE.map(({ manifest }) => manifest))
    ),
    open: ofPart((checkpoint, name) => openPart(place, checkpoint, name)),
    status: ofPart((checkpoint, name) =>
      pipe(partOf(place, checkpoint, name), TE.map(({ bytes }) => ({ bytes, links: 1 })))
    ),
    remove: ofCheckpoint((checkpoint) => removeCheckpoint(place, checkpoint)),
    locationOf: (checkpoint) => locationOf(place, checkpoint),
  });
}
