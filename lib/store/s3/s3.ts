/**
 * The store on Amazon S3, and on what speaks its protocol.
 *
 * @module
 */

import { type LocationState, newLocationState, type Store, type StoreOptions } from "../mod.ts";
import { checkStoreOptions } from "../mod.ts";
import { checkOptionNames } from "../../validation/mod.ts";
import { httpBucket } from "./http_bucket.ts";
import { type BucketOptions, bucketRules, checkBucketOptions, settingsOf } from "./options.ts";
import { storeOn } from "./s3_store.ts";
import { parseS3Url } from "./url.ts";

// --- types

/** The options of {@link s3}. */
export interface S3Options extends StoreOptions, BucketOptions {}

// --- constructors

/** What this process remembers of each location: stores of one location share it. */
const places = new Map<string, LocationState>();

function placeOf(location: string): LocationState {
  const place = places.get(location) ?? newLocationState();
  places.set(location, place);
  return place;
}

/**
 * A store in a bucket of an object store: Amazon S3, Ceph, MinIO, R2, Google Cloud Storage.
 *
 * The bucket must exist; the prefix need not. Several processes may save into it at once. Each checkpoint is one commit record under `checkpoints/`, made by a
 * conditional write, and its parts under `data/`. The first save of a process checks that the bucket refuses a second object of one key; one that does
 * not is a `StoreFailed` with code `ENOCONDITION`. Law: *old or new*, whichever answers are lost and whichever process is killed.
 *
 * @param url The bucket and the prefix: `s3://bucket/runs/digits`. Without a prefix the store takes the whole bucket.
 * @param options The retention policy and the digest, the server, the region and the keys, and how data is sent.
 * @returns The store. Its tasks fail with `StoreFailed` if the server or the connection fails. A commit without an answer says that the save may have
 *   been committed; the next save of this process finds out. A URL or an option that is wrong is a `TypeError`.
 *
 * @example
 * ```ts
 * import { s3 } from "@dogear/dogear/s3";
 * import assert from "node:assert/strict";
 *
 * const store = s3("s3://experiments/runs/digits", { endpoint: "http://127.0.0.1:9000" });
 * assert.equal(store.location, "s3://experiments/runs/digits");
 * assert.equal(store.locationOf(12), "s3://experiments/runs/digits@12");
 * ```
 */
export function s3(url: string, options: S3Options = {}): Store {
  const { bucket, prefix } = parseS3Url(url);
  checkOptionNames("s3", options, { keep: true, digest: true, ...bucketRules });
  const { keep, digest, ...connection } = options;
  const ofStore = { ...(keep !== undefined && { keep }), ...(digest !== undefined && { digest }) };
  checkStoreOptions(ofStore);
  checkBucketOptions(connection);
  const settings = settingsOf(bucket, connection);
  return storeOn(httpBucket(settings), prefix, ofStore, placeOf(`${settings.endpoint.href} ${bucket} ${prefix}`));
}
