/**
 * The URL of a store, `s3://bucket/prefix`, and keys in URLs.
 *
 * @module
 */

import { shown } from "../../validation/mod.ts";

// --- types

/** Where the checkpoints of a store are. */
export interface S3Location {
  readonly bucket: string;
  /** The prefix without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
}

/** The most bytes of a key (Amazon S3, "Naming Amazon S3 objects"). */
export const mostKeyBytes = 1024;

/** The most bytes of a prefix: the longest key of a store takes the rest. */
export const mostPrefixBytes = 448;

// --- constructors

const encoder = new TextEncoder();

/** What is written instead of a URL by mistake, or cannot be a URL of a store, and what to write. */
const mistakes: readonly (readonly [is: (url: string) => boolean, remedy: string])[] = [
  [
    (url) => /^https?:/i.test(url),
    "write s3://bucket/prefix, and the server in AWS_ENDPOINT_URL_S3, or as endpoint in a script",
  ],
  [
    (url) => /^(gs|gcs):/i.test(url),
    "write s3://, and set AWS_ENDPOINT_URL_S3=https://storage.googleapis.com, or endpoint in a script, with HMAC keys",
  ],
  [
    (url) => /^(az|azure|abfss?|wasbs?|r2|oss|cos):/i.test(url),
    "write s3://, if that service speaks the protocol of S3",
  ],
  [
    (url) => !url.startsWith("s3://"),
    "write s3:// before the bucket, or the path of a folder, which is directory(path) in a script",
  ],
  [(url) => !url.isWellFormed() || /\p{Cc}/u.test(url), "leave out control characters and halves of characters"],
  [
    (url) => /[?#]/.test(url),
    "set AWS_REGION and AWS_ENDPOINT_URL, or write options as the second argument in a script",
  ],
  [(url) => url.includes("\\"), "write slashes"],
  [
    (url) => url.slice(5).split("/")[0]!.includes("@"),
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write credentials in a script",
  ],
];

/** What the name of a bucket must be, and is not ("General purpose bucket naming rules" of Amazon S3; Google also allows `_`). */
const faultsOfBuckets: readonly (readonly [is: (bucket: string) => boolean, remedy: string])[] = [
  [(bucket) => bucket === "", "write the bucket after s3://"],
  [
    (bucket) => bucket.endsWith("--x-s3"),
    "a directory bucket lists its keys without order, which commits rely on: use a general purpose bucket",
  ],
  [(bucket) => bucket.startsWith("arn:"), "write the alias of the access point in place of its ARN"],
  [(bucket) => bucket.length < 3 || bucket.length > 63, "a bucket's name has 3 to 63 characters"],
  [
    (bucket) => !/^[a-z0-9][a-z0-9._-]*[a-z0-9]$/.test(bucket) || bucket.includes(".."),
    "a bucket's name has small letters, digits, dots and hyphens, and begins and ends with a letter or digit",
  ],
  [
    (bucket) => /^\d+\.\d+\.\d+\.\d+$/.test(bucket),
    "a bucket is not named like an address: write that in AWS_ENDPOINT_URL_S3, or as endpoint in a script",
  ],
];

const faultsOfPrefixes: readonly (readonly [is: (prefix: string) => boolean, remedy: string])[] = [
  [(prefix) => prefix.split("/").includes(""), "a segment is empty: write one slash between two names"],
  [
    (prefix) => prefix.split("/").some((name) => name === "." || name === ".."),
    '"." and ".." name no folder in a bucket',
  ],
  [
    (prefix) => encoder.encode(prefix).length > mostPrefixBytes,
    `a key has at most ${mostKeyBytes} bytes, of which the prefix may have ${mostPrefixBytes}: write a shorter one`,
  ],
];

/**
 * The bucket and the prefix in a URL.
 *
 * @param url `s3://bucket` or `s3://bucket/prefix`; a slash at its end is left out. Characters stand for themselves: `%20` is three of them.
 * @returns The location. A URL that is none of a store is a `TypeError` with the reason.
 */
export function parseS3Url(url: string): S3Location {
  const fail = (remedy: string): never => {
    throw new TypeError(`Expected a URL such as "s3://bucket/runs/digits", found ${shown(hidden(url))}: ${remedy}`);
  };
  if (typeof url !== "string") return fail("write it as a string");
  const mistake = mistakes.find(([is]) => is(url));
  if (mistake !== undefined) return fail(mistake[1]);
  const [, bucket = "", rest = ""] = /^s3:\/\/([^/]*)\/?(.*)$/s.exec(url)!;
  const faultOfBucket = faultsOfBuckets.find(([is]) => is(bucket));
  if (faultOfBucket !== undefined) return fail(faultOfBucket[1]);
  const prefix = rest.replace(/\/$/, "");
  const fault = rest === "" ? undefined : faultsOfPrefixes.find(([is]) => is(prefix));
  return fault === undefined ? { bucket, prefix } : fail(fault[1]);
}

/** A URL without the keys that someone wrote into it. */
function hidden(url: unknown): unknown {
  return typeof url === "string" ? url.replace(/\/\/[^/]*@/, "//…@") : url;
}

// --- combinators

/** A string as a part of a URL, encoded as signatures of version 4 need it. */
export function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A key as a path of a URL. */
export function encodedKey(key: string): string {
  return key.split("/").map(encoded).join("/");
}
