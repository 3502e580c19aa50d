/**
 * A store in a bucket of an object store: Amazon S3 and what speaks its protocol.
 *
 * Promises: *old or new*, even if answers of the server are lost. No two saves get the same number. A save is committed once, or it fails.
 *
 * @example
 * ```ts
 * import { saveState } from "@dogear/dogear";
 * import { s3 } from "@dogear/dogear/s3";
 * import assert from "node:assert/strict";
 *
 * const store = s3("s3://experiments/runs/digits", { region: "eu-central-1" });
 * const save = saveState(store)({ step: 1 }); // runs when it is awaited
 * assert.equal(typeof save, "function");
 * ```
 *
 * @module
 */

// Read `s3`, then `s3_store` for the layout and the steps of a save, which `s3_saving` takes, then `commit` for the protocol step by step and why it
// needs no lock. `record` is the format of a commit record, `records` reads and remembers them, `objects` knows the keys, `probe` finds buckets that
// ignore conditions, `orphans` removes what killed saves left. `bucket` is the interface that all of these are written against, so that tests run them on
// a simulated bucket.
//
// `http_bucket` implements it with signed requests: `request` sends and repeats them, `object_reader`, `object_writer` and `object_copy` move data,
// `s3_errors` says what answers mean, `options`, `url` and `credentials` check what the user gives.
// `mirrored` puts a local store in front of any other one; `mirror_line` compares the two. `lease` shares work between processes.
export { s3, type S3Options } from "./s3.ts";
export type { BucketOptions } from "./options.ts";
export { mirrored, type MirroredStore } from "./mirrored.ts";
export type { MirrorOptions, UploadError } from "./mirror_state.ts";
export type { S3Keys } from "./credentials.ts";
export { type HeldLease, type Lease, lease, type LeaseOptions } from "./lease.ts";
