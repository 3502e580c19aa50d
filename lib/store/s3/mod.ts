/**
 * A store in a bucket of an object store: Amazon S3 and what speaks its protocol.
 *
 * @module
 */
export type { Bucket } from "./bucket.ts";
