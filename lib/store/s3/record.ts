/**
 * The record of a commit: one object that holds a checkpoint's manifest and says where its parts are.
 *
 * ```text
 * {"format":"dogear-s3/1","data":"0000000000000012-9f…","parts":{"model.safetensors":123},"manifest":
 * …the bytes of the manifest…
 * }
 * ```
 *
 * The manifest is JSON, and so the record is. Its bytes are kept as they are, so that its SHA-256 is.
 *
 * A *tombstone* takes the place of the record when the checkpoint is removed: the name of the data alone. It is so short that a listing tells it from
 * a record.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import * as t from "io-ts";
import { Buffer } from "node:buffer";
import type { StoreFailed } from "../../errors/mod.ts";
import { isPartName, mostManifestBytes, storeFailed } from "../mod.ts";
import { exactRecord, integer, must, oneOf, type Plain, refine } from "../../validation/mod.ts";

// --- types

/** Where the parts of a checkpoint are. */
export interface RecordHead {
  /** The folder of the parts: a name that no other save has. */
  readonly data: string;
  /** The length of each part. */
  readonly parts: ReadonlyMap<string, number>;
}

/** A record. */
export interface CommitRecord {
  readonly head: RecordHead;
  readonly manifest: Uint8Array;
}

/** What is under the number of a checkpoint. */
export type FoundRecord =
  | { readonly is: "record"; readonly record: CommitRecord }
  /** The checkpoint was removed; its data is undefined if something else wrote the object. */
  | { readonly is: "tombstone"; readonly data: string | undefined }
  /** An object that no save wrote. */
  | { readonly is: "damaged"; readonly reason: string }
  | { readonly is: "absent" };

/** The most bytes of a record: those of a manifest, and as many again for the names of the parts. */
export const mostRecordBytes: number = 2 * mostManifestBytes;

/** The most bytes of a tombstone. A record is longer. */
export const mostTombstoneBytes = 64;

const format = "dogear-s3/1";
const dataPattern = /^\d{16}-[0-9a-f]{32}$/;

/** Whether this is the name of a save's data. */
export function isDataId(text: string): boolean {
  return dataPattern.test(text);
}

const dataId = refine(t.string, "the name of a folder of data", isDataId);
const partLengths = refine(
  must("lengths of parts by name", (value) => Object(value) === value && !Array.isArray(value)),
  "lengths of parts by name",
  (value) => Object.entries(value as object).every(([name, bytes]) => isPartName(name) && integer(0).is(bytes)),
) as Plain<Readonly<Record<string, number>>>;
const headType = exactRecord({ format: oneOf(format), data: dataId, parts: partLengths, manifest: t.null });

// --- capture

/** The bytes of a record. */
export function encodeRecord({ data, parts }: RecordHead, manifest: Uint8Array): Uint8Array {
  const head = JSON.stringify({ format, data, parts: Object.fromEntries(parts), manifest: null });
  return Buffer.concat([Buffer.from(`${head.slice(0, -"null}".length)}\n`), manifest, Buffer.from("\n}")]);
}

/** The bytes of a tombstone. */
export function encodeTombstone(data: string | undefined): Uint8Array {
  return Buffer.from(data ?? "");
}

// --- restore

const decoder = new TextDecoder("utf-8", { fatal: true });

function decodeHead(bytes: Uint8Array): E.Either<string, RecordHead> {
  const parsed = E.tryCatch((): unknown => JSON.parse(`${decoder.decode(bytes)}null}`), E.toError);
  if (E.isLeft(parsed)) return E.left(`its first line is no head of a record: ${parsed.left.message}`);
  const head = headType.decode(parsed.right);
  if (E.isLeft(head)) return E.left("its first line has a wrong format, data or parts");
  const { data, parts } = head.right as { readonly data: string; readonly parts: Readonly<Record<string, number>> };
  return E.right({ data, parts: new Map(Object.entries(parts)) });
}

function decodeRecord(bytes: Uint8Array): E.Either<string, CommitRecord> {
  const end = bytes.indexOf(0x0a);
  const isClosed = end >= 0 && bytes.length >= end + 3 && bytes.at(-2) === 0x0a && bytes.at(-1) === 0x7d;
  if (!isClosed) return E.left("it is cut off");
  return E.map((head: RecordHead) => ({ head, manifest: bytes.slice(end + 1, -2) }))(
    decodeHead(bytes.subarray(0, end)),
  );
}

/**
 * Decodes the object under the number of a checkpoint. Nothing in a record can name an object outside the data of the store.
 *
 * @param bytes The object, undefined if there is none.
 */
export function decodeFound(bytes: Uint8Array | undefined): FoundRecord {
  if (bytes === undefined) return { is: "absent" };
  if (bytes.length <= mostTombstoneBytes) {
    const text = Buffer.from(bytes).toString("latin1");
    return { is: "tombstone", data: isDataId(text) ? text : undefined };
  }
  const record = decodeRecord(bytes);
  return E.isLeft(record) ? { is: "damaged", reason: record.left } : { is: "record", record: record.right };
}

/** The failure of an operation on a record that no save wrote. Its code says that the manifest is damaged, not that the store fails. */
export function damagedRecord(operation: string, path: string, reason: string): StoreFailed {
  return storeFailed(operation, path, "EINVAL", `the record of the checkpoint is damaged: ${reason}`);
}
