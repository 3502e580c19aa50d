/**
 * A bucket: what the store on an object store needs of it, and nothing more.
 *
 * The protocol of checkpoints (`commit`, `objects`, `orphans`) is written against this interface, so that tests run it on a simulated bucket,
 * in which answers are lost and processes killed. `http_bucket` implements it over HTTP.
 *
 * ## What an object store must provide
 *
 * - An object is written as a whole or not at all. A read or a listing that begins after a write was answered shows it.
 * - A conditional write makes an object only if its key is free; of several at once, one succeeds.
 * - A listing gives keys in the order of their bytes.
 * - A request whose signature is older than 15 minutes is refused.
 *
 * ## Answers
 *
 * Every operation but {@link Bucket.create} is tried again, a bounded number of times, because it can be carried out twice without harm. An answer can be lost
 * after the operation was carried out, and a runtime may send a request twice by itself.
 *
 * @module
 */

import type { Task } from "fp-ts/lib/Task.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Either } from "fp-ts/lib/Either.js";
import type { StoreFailed } from "../../errors/mod.ts";
import type { Chunks, PartDigest } from "../mod.ts";

// --- types

/** An object in a listing. */
export interface ObjectInfo {
  readonly key: string;
  readonly bytes: number;
  /** When it was last written, by the server's clock, in milliseconds since 1970. */
  readonly modified: number;
}

/** A listing of keys, ascending. */
export interface ObjectListing {
  readonly objects: readonly ObjectInfo[];
  /** With `folders`: the prefixes up to the next slash, each with that slash. */
  readonly folders: readonly string[];
  /** Whether there are more. */
  readonly isPartial: boolean;
  /** The server's time of the answer, in milliseconds since 1970. */
  readonly now: number;
}

/** Which keys a listing has. */
export interface ListOptions {
  /** Only keys after this one. */
  readonly after?: string;
  /**
   * Whether to end each key at the next slash after the prefix.
   * @default false
   */
  readonly folders?: boolean;
  /**
   * The most keys.
   * @default no limit: all pages are requested
   */
  readonly most?: number;
}

/** An unfinished upload of an object in several pieces. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly upload: string;
  /** When it was begun, by the server's clock, in milliseconds since 1970. */
  readonly begun: number;
}

/** An object that is being written. */
export interface ObjectWritten {
  /** The digests of its bytes. */
  readonly digest: PartDigest;
  /** Resolves when the server has all of it. */
  readonly durable: Promise<Either<StoreFailed, void>>;
}

/** The objects of one bucket. */
export interface Bucket {
  /** The bucket in messages: `s3://bucket`. */
  readonly location: string;
  /** Reads a whole object; undefined if there is none. One of more than `most` bytes is a failure with code `EFBIG`. */
  readonly get: (key: string, most?: number) => TaskEither<StoreFailed, Uint8Array | undefined>;
  /** Fills `into` from a position in an object. A missing object is a failure with code `ENOENT`, one that is too short `ETRUNC`. */
  readonly read: (key: string, into: Uint8Array, position: number) => TaskEither<StoreFailed, void>;
  /** Writes a small object, in place of any that has the key. */
  readonly put: (key: string, bytes: Uint8Array) => TaskEither<StoreFailed, void>;
  /**
   * Makes a small object if its key is free: one request, which is never repeated here.
   *
   * @param at The time with which the request is signed: the server refuses it if it arrives more than 15 minutes later.
   * @returns Whether the server said that the object was made. A failure says that its answer was another one, or none: only reading the object
   *   shows whether it was made.
   */
  readonly create: (key: string, bytes: Uint8Array, at: Date) => TaskEither<StoreFailed, void>;
  /**
   * Writes an object of any length, in pieces of the part size, several at once. It resolves when the chunks are consumed.
   *
   * @param digest Whether to compute SHA-256 in addition to CRC-32.
   */
  readonly write: (key: string, chunks: Chunks, digest?: "crc32" | "sha256") => TaskEither<StoreFailed, ObjectWritten>;
  /** Copies an object of this length inside the store; false if there is no such object, or the store cannot copy. */
  readonly copy: (from: string, to: string, bytes: number) => TaskEither<StoreFailed, boolean>;
  /** Lists keys with a prefix. */
  readonly list: (prefix: string, options?: ListOptions) => TaskEither<StoreFailed, ObjectListing>;
  /** Removes objects; a missing one is no error. */
  readonly remove: (keys: readonly string[]) => TaskEither<StoreFailed, void>;
  /** The unfinished uploads of keys with a prefix. */
  readonly uploads: (prefix: string) => TaskEither<StoreFailed, readonly UnfinishedUpload[]>;
  /** Ends an unfinished upload and removes its pieces; a missing one is no error. */
  readonly abort: (upload: UnfinishedUpload) => TaskEither<StoreFailed, void>;
  /** Waits for so many milliseconds. */
  readonly wait: (milliseconds: number) => Task<void>;
  /** The time of this machine. */
  readonly now: () => number;
}
