/**
 * Uploads of objects in parts.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { storeFailed } from "../mod.ts";
import { lengthOf } from "./object_reader.ts";
import { type Connection, readNothing } from "./request.ts";
import type { Fault } from "./s3_errors.ts";
import { escaped, textOf } from "./xml.ts";

// --- types

/** An upload in parts. */
export interface Upload {
  readonly key: string;
  readonly id: string;
}

/** A part that the server has. */
export interface UploadedPart {
  readonly etag: string;
}

/** Bytes with their SHA-256 in hexadecimal. */
export interface SignedBytes {
  readonly body: Uint8Array;
  readonly hash: string;
}

/** The parts of an object. */
export interface PartSender {
  /** Sends a part. The promise resolves when its bytes may change, and never rejects. */
  readonly add: (part: SignedBytes) => Promise<void>;
  readonly failure: () => Fault | undefined;
  /** Makes the parts an object; after a failure, removes them. */
  readonly complete: () => Promise<E.Either<Fault, void>>;
  /** Waits for the requests that run, and removes the parts. */
  readonly abandon: () => Promise<void>;
}

// --- constructors

/** The bytes of a part by its index. From half of the parts on, each further tenth has parts twice as long. */
export function bytesOfPart(index: number, partSize: number, mostParts: number): number {
  return partSize * 2 ** Math.max(0, Math.floor((index - mostParts / 2) / (mostParts / 10)) + 1);
}

/** Begins an upload in parts. */
export async function beginUpload({ send }: Connection, key: string): Promise<E.Either<Fault, Upload>> {
  return await send({ operation: "write", method: "POST", key, query: { uploads: "" } }, async (answer) => {
    const id = textOf(await answer.xml("InitiateMultipartUploadResult"), "UploadId");
    return id ? { key, id } : answer.fail("notS3", "it gave no id of an upload");
  });
}

/** Makes the parts an object. If no answer comes, the object is looked for: it may be complete. */
export async function completeUpload(
  connection: Connection,
  { key, id }: Upload,
  parts: readonly UploadedPart[],
  bytes: number,
): Promise<E.Either<Fault, void>> {
  const listed = parts.map(({ etag }, i) =>
    `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escaped(etag)}</ETag></Part>`
  );
  const body = `<CompleteMultipartUpload>${listed.join("")}</CompleteMultipartUpload>`;
  const completed = await connection.send({
    operation: "write",
    method: "POST",
    key,
    query: { uploadId: id },
    headers: { "content-type": "application/xml" },
    body: new TextEncoder().encode(body),
    work: bytes,
  }, async (answer) => void await answer.xml("CompleteMultipartUploadResult"));
  if (E.isRight(completed)) return completed;
  const length = await lengthOf(connection, key);
  return E.isRight(length) && length.right === bytes ? E.right(undefined) : completed;
}

/** Ends an upload, and removes its parts. A missing one is no error. */
export async function abortUpload({ send }: Connection, { key, id }: Upload): Promise<E.Either<Fault, void>> {
  const request = { operation: "remove", method: "DELETE", key, query: { uploadId: id } } as const;
  const aborted = await send(request, readNothing);
  const isGone = E.isLeft(aborted) && (aborted.left.code === "NoSuchUpload" || aborted.left.status === 404);
  return isGone ? E.right(undefined) : aborted;
}

/** The failure of parts that are not sent because their object was abandoned. It is never returned to a caller. */
const abandoned: Fault = { failed: storeFailed("write", "", "ECANCELED", "the chunks failed"), isTransient: false };

/** The parts of an object, sent in the background. After a failure nothing more is sent. */
export function partsOf(connection: Connection, key: string): PartSender {
  const { inTurn, send } = connection;
  const parts: Promise<E.Either<Fault, UploadedPart>>[] = [];
  let upload: Promise<E.Either<Fault, Upload>> | undefined;
  let failure: Fault | undefined;
  let isAbandoned = false;
  let bytes = 0;

  async function sent(index: number, { body, hash }: SignedBytes): Promise<E.Either<Fault, UploadedPart>> {
    const begun = await (upload ??= beginUpload(connection, key));
    if (E.isLeft(begun)) return begun;
    const query = { partNumber: `${index + 1}`, uploadId: begun.right.id };
    return await inTurn(async () => {
      if (failure !== undefined || isAbandoned) return E.left(failure ?? abandoned);
      return await send({ operation: "write", method: "PUT", key, query, body, hash }, async (answer) => {
        await readNothing(answer);
        const etag = answer.headers.get("etag");
        return etag === null ? answer.fail("notS3", "it gave no ETag of a part") : { etag };
      });
    });
  }

  async function abandon(): Promise<void> {
    isAbandoned = true;
    await Promise.all(parts);
    const begun = await upload;
    if (begun !== undefined && E.isRight(begun)) await abortUpload(connection, begun.right);
  }

  return {
    add: async (part) => {
      bytes += part.body.length;
      const sending = sent(parts.length, part);
      parts.push(sending);
      const result = await sending;
      if (E.isLeft(result)) failure ??= result.left;
    },
    failure: () => failure,
    complete: async () => {
      const all = E.sequenceArray(await Promise.all(parts));
      const begun = await upload!;
      const result = E.isLeft(all)
        ? all
        : E.isLeft(begun)
        ? begun
        : await completeUpload(connection, begun.right, all.right, bytes);
      if (E.isLeft(result)) await abandon();
      return result;
    },
    abandon,
  };
}
