/**
 * A bucket over HTTP, with the protocol of Amazon S3.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { StoreFailed } from "../../errors/mod.ts";
import type { Bucket, ListOptions, ObjectInfo, ObjectListing, UnfinishedUpload } from "./bucket.ts";
import { getObject, isAbsent, orFailed, readInto } from "./object_reader.ts";
import { abortUpload } from "./multipart.ts";
import { bufferPool, putObject, writeObject } from "./object_writer.ts";
import { copyObject } from "./object_copy.ts";
import type { ConnectionSettings } from "./options.ts";
import { type Answer, connect, type Connection, readNothing } from "./request.ts";
import type { Fault } from "./s3_errors.ts";
import { elementsOf, escaped, textOf } from "./xml.ts";

// --- constructors

/**
 * A bucket. Nothing is sent until one of its tasks runs.
 *
 * @param settings The connection, from `settingsOf`.
 */
export function httpBucket(settings: ConnectionSettings): Bucket {
  const connection = connect(settings);
  const pool = bufferPool(settings.concurrency, settings.partSize);
  const remove = remover(connection);
  return {
    location: connection.location,
    get: (key, most) => getObject(connection, key, most),
    read: (key, into, position) => readInto(connection, key, into, position),
    put: (key, bytes) => async () => orFailed(await putObject(connection, key, { body: bytes })),
    create: (key, bytes, at) => async () => orFailed(await create(connection, key, bytes, at)),
    write: (key, chunks, algorithm) => () => writeObject(connection, pool, { key, chunks, algorithm }),
    copy: (from, to, bytes) => async () => orFailed(await copyObject(connection, from, to, bytes)),
    list: (prefix, options = {}) => async () => orFailed(await list(connection, prefix, options)),
    remove: (keys) => () => remove(keys),
    uploads: (prefix) => async () => orFailed(await uploads(connection, prefix)),
    abort: ({ key, upload }) => async () => orFailed(await abortUpload(connection, { key, id: upload })),
    wait: (milliseconds) => () => delay(milliseconds),
    now: () => Date.now(),
  };
}

function create(
  { settings, exchange }: Connection,
  key: string,
  body: Uint8Array,
  at: Date,
): Promise<E.Either<Fault, void>> {
  const headers: Readonly<Record<string, string>> = settings.create === "generation"
    ? { "x-goog-if-generation-match": "0" }
    : { "if-none-match": "*" };
  return exchange({ operation: "write", method: "PUT", key, headers, body, at, isOnce: true }, readNothing);
}

// --- listings

/** The key in an element of a listing; keys in URLs may hold characters that XML cannot. */
function keyIn(xml: string, name: string, isEncoded: boolean): string {
  const text = textOf(xml, name) ?? "";
  return isEncoded ? decodeURIComponent(text.replaceAll("+", "%20")) : text;
}

function timeIn(answer: Answer, xml: string, name: string): number {
  const time = Date.parse(textOf(xml, name) ?? "");
  return Number.isNaN(time) ? answer.fail("notS3", `it gave no <${name}>`) : time;
}

interface Page extends ObjectListing {
  readonly token: string | undefined;
}

async function readPage(answer: Answer, asked: number): Promise<Page> {
  const xml = await answer.xml("ListBucketResult");
  const isEncoded = textOf(xml, "EncodingType") === "url";
  const objects = elementsOf(xml, "Contents").map((one): ObjectInfo => ({
    key: keyIn(one, "Key", isEncoded),
    bytes: Number(textOf(one, "Size")),
    modified: timeIn(answer, one, "LastModified"),
  }));
  const folders = elementsOf(xml, "CommonPrefixes").map((one) => keyIn(one, "Prefix", isEncoded));
  const isPartial = textOf(xml, "IsTruncated") === "true";
  const token = textOf(xml, "NextContinuationToken");
  if (isPartial && !token) return answer.fail("unsupported", "its listings have no second page");
  const date = Date.parse(answer.headers.get("date") ?? "");
  return { objects, folders, isPartial, token, now: Number.isNaN(date) ? asked : date };
}

/** The most keys of a page. */
const pageKeys = 1000;

async function list(
  { send }: Connection,
  prefix: string,
  { after, folders = false, most = Infinity }: ListOptions,
): Promise<E.Either<Fault, ObjectListing>> {
  const pages: Page[] = [];
  for (let left = most;;) {
    const token = pages.at(-1)?.token;
    const query = {
      "list-type": "2",
      prefix,
      "encoding-type": "url",
      "max-keys": `${Math.min(pageKeys, left)}`,
      ...(folders && { delimiter: "/" }),
      ...(after !== undefined && { "start-after": after }),
      ...(token !== undefined && { "continuation-token": token }),
    };
    const asked = Date.now();
    const result = await send({ operation: "list", method: "GET", query }, (answer) => readPage(answer, asked));
    if (E.isLeft(result)) return result;
    pages.push(result.right);
    left -= result.right.objects.length + result.right.folders.length;
    if (result.right.isPartial && left > 0) continue;
    return E.right({
      objects: pages.flatMap((page) => page.objects),
      folders: pages.flatMap((page) => page.folders),
      isPartial: result.right.isPartial,
      now: pages[0]!.now,
    });
  }
}

async function uploads(
  { send }: Connection,
  prefix: string,
): Promise<E.Either<Fault, readonly UnfinishedUpload[]>> {
  const found: UnfinishedUpload[] = [];
  let marker: Readonly<Record<string, string>> = {};
  for (;;) {
    const query = { uploads: "", prefix, "encoding-type": "url", ...marker };
    const page = await send({ operation: "list", method: "GET", query }, async (answer) => {
      const xml = await answer.xml("ListMultipartUploadsResult");
      const isEncoded = textOf(xml, "EncodingType") === "url";
      found.push(
        ...elementsOf(xml, "Upload").map((one): UnfinishedUpload => ({
          key: keyIn(one, "Key", isEncoded),
          upload: textOf(one, "UploadId") ?? answer.fail("notS3", "it gave no id of an upload"),
          begun: timeIn(answer, one, "Initiated"),
        })),
      );
      const next = {
        "key-marker": keyIn(xml, "NextKeyMarker", isEncoded),
        "upload-id-marker": textOf(xml, "NextUploadIdMarker") ?? "",
      };
      return textOf(xml, "IsTruncated") === "true" ? next : undefined;
    });
    if (E.isLeft(page)) return page;
    if (page.right === undefined) return E.right(found);
    marker = page.right;
  }
}

// --- removal

async function removeOne({ send }: Connection, key: string): Promise<E.Either<Fault, void>> {
  const result = await send({ operation: "remove", method: "DELETE", key }, readNothing);
  return E.isLeft(result) && isAbsent(result.left) ? E.right(undefined) : result;
}

async function removeMany({ send }: Connection, keys: readonly string[]): Promise<E.Either<Fault, void>> {
  const objects = keys.map((key) => `<Object><Key>${escaped(key)}</Key></Object>`).join("");
  const body = new TextEncoder().encode(`<Delete><Quiet>true</Quiet>${objects}</Delete>`);
  const headers = {
    "content-md5": createHash("md5").update(body).digest("base64"),
    "content-type": "application/xml",
  };
  const request = { operation: "remove", method: "POST", query: { delete: "" }, headers, body } as const;
  return await send(request, async (answer) => {
    const xml = await answer.xml("DeleteResult");
    for (const one of elementsOf(xml, "Error")) {
      if (textOf(one, "Code") !== "NoSuchKey") answer.failWith(`<Error>${one}</Error>`);
    }
  });
}

/** Removes keys in as few requests as the server allows. */
function remover(connection: Connection): (keys: readonly string[]) => Promise<E.Either<StoreFailed, void>> {
  const most = connection.settings.limits.removed;
  let isBulk = true;

  async function removed(keys: readonly string[]): Promise<E.Either<Fault, void>> {
    if (isBulk && keys.length > 1) {
      const result = await removeMany(connection, keys);
      isBulk = !(E.isLeft(result) && [400, 405, 501].includes(result.left.status ?? 0));
      if (isBulk) return result;
    }
    const results = await Promise.all(keys.map((key) => connection.inTurn(() => removeOne(connection, key))));
    return results.find(E.isLeft) ?? E.right(undefined);
  }

  return async (keys) => {
    for (let at = 0; at < keys.length; at += most) {
      const result = await removed(keys.slice(at, at + most));
      if (E.isLeft(result)) return orFailed(result);
    }
    return E.right(undefined);
  };
}
