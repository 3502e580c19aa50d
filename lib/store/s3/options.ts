/**
 * The options of a connection to a bucket, and their defaults.
 *
 * @module
 */

import {
  aFunction,
  aString,
  demandEach,
  finite,
  ifGiven,
  integer,
  must,
  oneOf,
  type OptionRules,
  refine,
} from "../../validation/mod.ts";
import { aKeySet, type KeySource, keySource, type S3Keys } from "./credentials.ts";

// --- types

/** How to reach a bucket. */
export interface BucketOptions {
  /**
   * The URL of the server.
   * @default AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's server of the region
   */
  readonly endpoint?: string;
  /**
   * The region of the bucket.
   * @default AWS_REGION, AWS_DEFAULT_REGION, or us-east-1
   */
  readonly region?: string;
  /**
   * The keys, or a function that gives them. The function is called before the first request, again 5 minutes before the `expiration` that it gave, and
   * when the server answers that keys have expired, if they are 10 s old or more.
   * @default AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or what `@aws-sdk/credential-provider-node` finds
   */
  readonly credentials?: S3Keys | (() => Promise<S3Keys>);
  /**
   * Bytes of a piece of a large object, from 5 MiB to 1 GiB. The memory of a save is about this times `concurrency`, and as much again in the runtime.
   * @default 16 MiB
   */
  readonly partSize?: number;
  /**
   * The most requests with data that run at once, from 1 to 64.
   * @default 4
   */
  readonly concurrency?: number;
  /**
   * How a commit asks for a free key: with the header `If-None-Match`, or for Google's servers with a generation of 0.
   * @default "generation" if the endpoint is storage.googleapis.com, else "if-none-match"
   */
  readonly create?: "if-none-match" | "generation";
  /**
   * The most milliseconds without an answer, or without a byte of it. A request with data has 1 s more for each 256 KiB.
   * @default 30_000
   */
  readonly timeout?: number;
}

/** {@link BucketOptions} with their defaults, and what only tests change. */
export interface ConnectionSettings {
  readonly endpoint: URL;
  /** Whether the bucket is part of the host's name. */
  readonly isVirtual: boolean;
  readonly bucket: string;
  readonly region: string;
  readonly keys: KeySource;
  readonly partSize: number;
  readonly concurrency: number;
  readonly create: "if-none-match" | "generation";
  readonly timeout: number;
  readonly limits: Limits;
}

/** Limits of S3 ("Amazon S3 multipart upload limits"), and of this client. */
export interface Limits {
  /** Pieces of an object. */
  readonly parts: number;
  /** Bytes of an object that one request can copy. */
  readonly copyBytes: number;
  /** Bytes of a piece of a larger copy. */
  readonly copyPart: number;
  /** Keys in one request that removes. */
  readonly removed: number;
  /** How often a request is sent until its failure counts. */
  readonly attempts: number;
  /** The first wait between two attempts is at most this many milliseconds, each further one at most twice as long, up to `longestWait`. */
  readonly firstWait: number;
  readonly longestWait: number;
}

const mebibyte = 2 ** 20;

const usualLimits: Limits = {
  parts: 10_000,
  copyBytes: 5 * 2 ** 30,
  copyPart: 512 * mebibyte,
  removed: 1000,
  attempts: 9,
  firstWait: 100,
  longestWait: 10_000,
};

// --- constructors

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === "";
}

const aKeyFunction = must(
  "keys, { accessKeyId, secretAccessKey, sessionToken? }, or a function that gives them",
  (value) => aFunction.is(value) || (typeof value === "object" && value !== null),
);

const anEndpoint = refine(
  aString,
  'a URL that begins with http:// or https://, such as "https://s3.example.com", without keys or query',
  isEndpoint,
);

/** The types of {@link BucketOptions}. */
export const bucketRules: OptionRules<BucketOptions> = {
  endpoint: ifGiven(anEndpoint),
  region: ifGiven(refine(aString, 'a region such as "eu-west-1"', (value) => /^[\w-]+$/.test(value))),
  credentials: ifGiven(aKeyFunction),
  partSize: ifGiven(integer(5 * mebibyte, 1024 * mebibyte)),
  concurrency: ifGiven(integer(1, 64)),
  create: ifGiven(oneOf("if-none-match", "generation")),
  timeout: ifGiven(finite("milliseconds from 100", (value) => value >= 100)),
};

/** Throws a `TypeError` if options are wrong. The values of keys are in no message. */
export function checkBucketOptions(options: BucketOptions): void {
  const { credentials } = options;
  // The message would show an endpoint with keys in it.
  demandEach(bucketRules, options);
  if (typeof credentials === "object" && !aKeySet.is(credentials)) {
    const names = Object.keys(credentials).map((name) => `\`${name}\``).join(", ") || "none";
    throw new TypeError(
      "Expected credentials to have accessKeyId, secretAccessKey and no other fields but sessionToken and expiration, " +
        `each a string that is not empty, found ${names}: write { accessKeyId: "…", secretAccessKey: "…" }`,
    );
  }
}

/** The first variable of the environment that is set. */
function variable(...names: readonly string[]): string | undefined {
  return names.map((name) => process.env[name]).find((value) => value !== undefined && value !== "");
}

function defaultEndpoint(region: string): string {
  return `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
}

/**
 * The settings of a connection.
 *
 * @param bucket The bucket.
 * @param options Checked options.
 * @param limits Limits other than those of S3, for tests.
 */
export function settingsOf(bucket: string, options: BucketOptions, limits?: Partial<Limits>): ConnectionSettings {
  const region = options.region ?? variable("AWS_REGION", "AWS_DEFAULT_REGION") ?? "us-east-1";
  const named = options.endpoint ?? variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
  if (named !== undefined) {
    const source = variable("AWS_ENDPOINT_URL_S3") === named ? "AWS_ENDPOINT_URL_S3" : "AWS_ENDPOINT_URL";
    demandEach({ [`the endpoint in ${source}`]: anEndpoint }, { [`the endpoint in ${source}`]: named });
  }
  const endpoint = new URL(named ?? defaultEndpoint(region));
  return {
    endpoint,
    isVirtual: /(^|\.)amazonaws\.com(\.cn)?$/.test(endpoint.hostname) && !bucket.includes("."),
    bucket,
    region,
    keys: keySource(options.credentials),
    partSize: options.partSize ?? 16 * mebibyte,
    concurrency: options.concurrency ?? 4,
    // So that the command line, which has no option for it, saves there too.
    create: options.create ?? (endpoint.hostname === "storage.googleapis.com" ? "generation" : "if-none-match"),
    timeout: options.timeout ?? 30_000,
    limits: { ...usualLimits, ...limits },
  };
}
