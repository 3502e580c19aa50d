/**
 * A store in a bucket of an object store: Amazon S3 and what speaks its protocol.
 *
 * @module
 */
export type { Bucket } from "./bucket.ts";
export { httpBucket } from "./http_bucket.ts";
export { type BucketOptions, bucketRules, checkBucketOptions, settingsOf } from "./options.ts";
export { parseS3Url, type S3Location } from "./url.ts";
export type { S3Keys } from "./credentials.ts";
