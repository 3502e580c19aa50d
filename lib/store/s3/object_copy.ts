/**
 * Copies objects inside the store.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { isAbsent } from "./object_reader.ts";
import { abortUpload, beginUpload, completeUpload, type Upload, type UploadedPart } from "./multipart.ts";
import type { Connection } from "./request.ts";
import type { Fault } from "./s3_errors.ts";
import { encodedKey } from "./url.ts";
import { textOf } from "./xml.ts";

// --- constructors

function sourceOf({ settings }: Connection, key: string): string {
  return `/${settings.bucket}/${encodedKey(key)}`;
}

function copyWhole(connection: Connection, from: string, to: string, bytes: number): Promise<E.Either<Fault, void>> {
  const headers = { "x-amz-copy-source": sourceOf(connection, from) };
  return connection.inTurn(() =>
    connection.send(
      { operation: "copy", method: "PUT", key: to, headers, work: bytes },
      async (answer) => void await answer.xml("CopyObjectResult"),
    )
  );
}

function copyPart(
  connection: Connection,
  from: string,
  { key, id }: Upload,
  index: number,
  [first, last]: readonly [number, number],
): Promise<E.Either<Fault, UploadedPart>> {
  return connection.inTurn(() =>
    connection.send({
      operation: "copy",
      method: "PUT",
      key,
      query: { partNumber: `${index + 1}`, uploadId: id },
      headers: { "x-amz-copy-source": sourceOf(connection, from), "x-amz-copy-source-range": `bytes=${first}-${last}` },
      work: last - first + 1,
    }, async (answer) => {
      const etag = textOf(await answer.xml("CopyPartResult"), "ETag");
      return etag === undefined ? answer.fail("notS3", "it gave no ETag of a part") : { etag };
    })
  );
}

async function copyInParts(
  connection: Connection,
  from: string,
  to: string,
  bytes: number,
): Promise<E.Either<Fault, void>> {
  const { parts: most, copyPart: least } = connection.settings.limits;
  const begun = await beginUpload(connection, to);
  if (E.isLeft(begun)) return begun;
  const length = Math.max(least, Math.ceil(bytes / most));
  const ranges = Array.from(
    { length: Math.ceil(bytes / length) },
    (_, i) => [i * length, Math.min(bytes, (i + 1) * length) - 1] as const,
  );
  const copied = await Promise.all(ranges.map((range, i) => copyPart(connection, from, begun.right, i, range)));
  const failed = copied.find(E.isLeft);
  const parts = copied.flatMap((one) => E.isRight(one) ? [one.right] : []);
  const complete = failed ?? await completeUpload(connection, begun.right, parts, bytes);
  if (E.isLeft(complete)) await abortUpload(connection, begun.right);
  return complete;
}

/**
 * Copies an object inside its bucket.
 *
 * @param bytes Its length.
 * @returns False if there is no such object, or the server cannot copy.
 */
export async function copyObject(
  connection: Connection,
  from: string,
  to: string,
  bytes: number,
): Promise<E.Either<Fault, boolean>> {
  const copy = bytes <= connection.settings.limits.copyBytes ? copyWhole : copyInParts;
  const result = await copy(connection, from, to, bytes);
  if (E.isRight(result)) return E.right(true);
  return isAbsent(result.left) || result.left.failed.code === "ENOSYS" ? E.right(false) : result;
}
