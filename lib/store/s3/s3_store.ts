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
import type { NoCheckpoint, StoreFailed } from "../../errors/mod.ts";
import { checkRange, newLocationState, ofCheckpoint, ofPart, storeFailed } from "../mod.ts";
import type { LocationState, OpenPart, Store, StoreOptions } from "../mod.ts";
import type { Bucket } from "./bucket.ts";
import { partKey, recordKey } from "./objects.ts";
import { orphansOf, removeData } from "./orphans.ts";
import { encodeTombstone, type RecordHead } from "./record.ts";
import {
  findRecord,
  headOf,
  listNumbers,
  locationOf,
  newest,
  readRecord,
  rememberedAt,
  type S3Place,
} from "./records.ts";
import { beginSave } from "./s3_saving.ts";

// --- reading

/** Reads of a part in progress: one connection does not use the bandwidth that there is. */
const concurrentReads = 4;
/** Each read is a request, which waits for its first byte. */
const readBytes = 32 * 2 ** 20;

function openPart(
  place: S3Place,
  checkpoint: number,
  name: string,
): TE.TaskEither<StoreFailed | NoCheckpoint, OpenPart> {
  return pipe(
    partOf(place, checkpoint, name),
    TE.map(({ key, bytes, path }): OpenPart => ({
      bytes,
      concurrency: concurrentReads,
      readBytes,
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
  const { bucket, remembered: { heads } } = place;
  const bury = (data: string | undefined): TE.TaskEither<StoreFailed, void> =>
    pipe(
      bucket.put(recordKey(place, checkpoint), encodeTombstone(data)),
      TE.tapIO(() => () => heads.delete(checkpoint)),
    );
  const buryAndDelete = ({ data, parts }: RecordHead): TE.TaskEither<StoreFailed, void> => {
    const keys = [...parts.keys()].map((name) => partKey(place, data, name));
    return pipe(bury(data), TE.flatMap(() => bucket.remove(keys)));
  };
  const known = heads.get(checkpoint);
  if (known !== undefined) return buryAndDelete(known);
  return pipe(
    findRecord(place, checkpoint),
    TE.flatMap((found): TE.TaskEither<StoreFailed, void> => {
      if (found.is === "record") return buryAndDelete(found.record.head);
      if (found.is === "damaged") return bury(undefined);
      return found.is === "absent" || found.data === undefined ? TE.right(undefined) : removeData(place, found.data);
    }),
  );
}

/** The names of the folders at the prefix, without the store's own. */
function foldersAt({ bucket, prefix }: S3Place): TE.TaskEither<StoreFailed, readonly string[]> {
  return pipe(
    () => bucket.list(prefix, { folders: true })(),
    TE.map(({ folders }) => folders.map((folder) => folder.slice(prefix.length, -1))),
    TE.map((names) => names.filter((name) => !["", "checkpoints", "data", "probe"].includes(name))),
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
    folders: foldersAt(place),
    orphans: orphansOf(place),
    begin: beginSave(place),
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
