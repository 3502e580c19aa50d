/**
 * Writes objects of any length, in pieces of the part size.
 *
 * Chunks are copied into buffers that are used again and again: at most `concurrency` buffers exist, each is sent when it is full. An object of at most one
 * piece is one PUT. Because the length is not known before, the pieces grow when half of the parts that S3 allows are used.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type { StoreFailed } from "../../errors/mod.ts";
import { checkedChunk, type Chunks, digester } from "../mod.ts";
import type { ObjectWritten } from "./bucket.ts";
import { lengthOf, orFailed } from "./object_reader.ts";
import { type Connection, readNothing } from "./request.ts";
import type { Fault } from "./s3_errors.ts";
import { escaped, textOf } from "./xml.ts";

// --- types

/** A part that the server has. */
export interface Part {
  readonly etag: string;
}

/** Buffers of the part size, at most `concurrency` of them. */
export interface BufferPool {
  /** Waits for a buffer of this length. */
  readonly take: (bytes: number) => Promise<Uint8Array>;
  readonly give: (buffer: Uint8Array) => void;
}

// --- constructors

/**
 * A pool of buffers.
 *
 * @param most How many there are at once.
 * @param bytes The length of those that are kept; longer ones are made when they are needed.
 */
export function bufferPool(most: number, bytes: number): BufferPool {
  const free: Uint8Array[] = [];
  const waiting: (() => void)[] = [];
  let taken = 0;
  return {
    take: async (length) => {
      if (taken < most) taken += 1;
      else await new Promise<void>((go) => waiting.push(go));
      return length === bytes ? free.pop() ?? new Uint8Array(bytes) : new Uint8Array(length);
    },
    give: (buffer) => {
      if (buffer.length === bytes) free.push(buffer);
      const next = waiting.shift();
      if (next === undefined) taken -= 1;
      else next();
    },
  };
}

/** The bytes of a part by its index. From half of the parts on, each further tenth has parts twice as long. */
export function bytesOfPart(index: number, partSize: number, mostParts: number): number {
  return partSize * 2 ** Math.max(0, Math.floor((index - mostParts / 2) / (mostParts / 10)) + 1);
}

/** Writes an object with one request. */
export function putObject(
  { inTurn, send }: Connection,
  key: string,
  bytes: Uint8Array,
): Promise<E.Either<Fault, void>> {
  return inTurn(() => send({ operation: "write", method: "PUT", key, body: bytes }, readNothing));
}

// --- uploads in parts

/** An upload in parts. */
export interface Upload {
  readonly key: string;
  readonly id: string;
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
  parts: readonly Part[],
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

/** The parts of an object, sent in the background. After a failure nothing more is sent. */
function partsOf(connection: Connection, pool: BufferPool, key: string): {
  readonly add: (buffer: Uint8Array, length: number) => void;
  readonly failure: () => Fault | undefined;
  /** Resolves when no request runs any more: to the complete object, or with the parts removed. */
  readonly finish: (isWhole: boolean) => Promise<E.Either<Fault, void>>;
} {
  const { inTurn, send } = connection;
  let failure: Fault | undefined;
  let upload: Promise<E.Either<Fault, Upload>> | undefined;
  let bytes = 0;
  const parts: Promise<Part | undefined>[] = [];

  async function sent(index: number, body: Uint8Array): Promise<Part | undefined> {
    upload ??= beginUpload(connection, key);
    const begun = await upload;
    if (E.isLeft(begun)) return fail(begun.left);
    const query = { partNumber: `${index + 1}`, uploadId: begun.right.id };
    const result = await inTurn(async () =>
      failure !== undefined
        ? E.left(failure)
        : await send({ operation: "write", method: "PUT", key, query, body }, async (answer) => {
          await readNothing(answer);
          const etag = answer.headers.get("etag");
          return etag === null ? answer.fail("notS3", "it gave no ETag of a part") : { etag };
        })
    );
    return E.isLeft(result) ? fail(result.left) : result.right;
  }

  function fail(fault: Fault): undefined {
    failure ??= fault;
  }

  return {
    add: (buffer, length) => {
      bytes += length;
      parts.push(sent(parts.length, buffer.subarray(0, length)).finally(() => pool.give(buffer)));
    },
    failure: () => failure,
    finish: async (isWhole) => {
      const all = await Promise.all(parts);
      const begun = await upload;
      if (begun === undefined || E.isLeft(begun)) return E.left(failure!);
      const complete = isWhole && failure === undefined
        ? await completeUpload(connection, begun.right, all as readonly Part[], bytes)
        : E.left(failure!);
      if (E.isLeft(complete)) await abortUpload(connection, begun.right);
      return complete;
    },
  };
}

// --- writing

/** An object of at most this many bytes is copied out of its buffer, which others can use while it is sent. */
const small = 2 ** 20;

/** The most bytes that are copied and digested without a turn of the event loop in between. */
const pieceBytes = 2 ** 20;

/**
 * Writes an object from chunks.
 *
 * @param pool Buffers of the part size of the settings.
 * @param pause Waits a turn of the event loop after so many milliseconds of work.
 * @returns The digest when the chunks are consumed, with a promise of the server's having all of it. If the chunks throw, what was sent is removed,
 *   and the exception is thrown on.
 */
export async function writeObject(
  connection: Connection,
  pool: BufferPool,
  { key, chunks, algorithm, pause }: {
    readonly key: string;
    readonly chunks: Chunks;
    readonly algorithm: "crc32" | "sha256" | undefined;
    readonly pause: (worked: number) => Promise<void>;
  },
): Promise<E.Either<StoreFailed, ObjectWritten>> {
  const { partSize, limits } = connection.settings;
  const { update, result } = digester(algorithm);
  const parts = partsOf(connection, pool, key);
  let [index, filled] = [0, 0];
  let buffer: Uint8Array | undefined;

  /** Copies a piece into buffers; false after a failure. */
  async function add(piece: Uint8Array): Promise<boolean> {
    for (let at = 0; at < piece.length;) {
      if (buffer !== undefined && filled === buffer.length) {
        parts.add(buffer, filled);
        [buffer, index, filled] = [undefined, index + 1, 0];
      }
      buffer ??= await pool.take(bytesOfPart(index, partSize, limits.parts));
      if (parts.failure() !== undefined) return false;
      const taken = piece.subarray(at, at + buffer.length - filled);
      buffer.set(taken, filled);
      filled += taken.length;
      at += taken.length;
    }
    return true;
  }

  async function consume(): Promise<boolean> {
    for await (const chunk of chunks) {
      checkedChunk(chunk);
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        const piece = chunk.subarray(at, at + pieceBytes);
        const begun = performance.now();
        update(piece);
        const worked = performance.now() - begun;
        if (!await add(piece)) return false;
        await pause(worked);
      }
    }
    return true;
  }

  let isConsumed = false;
  try {
    isConsumed = await consume();
  } finally {
    if (!isConsumed) {
      if (buffer !== undefined) pool.give(buffer);
      if (index > 0) await parts.finish(false);
    }
  }
  if (!isConsumed) return E.left(parts.failure()!.failed);
  return E.right({ digest: result(), durable: lastOf(connection, pool, key, { parts, buffer, filled, index }) });
}

/** Sends what is left in the last buffer, and completes the object. */
async function lastOf(
  connection: Connection,
  pool: BufferPool,
  key: string,
  { parts, buffer, filled, index }: {
    readonly parts: ReturnType<typeof partsOf>;
    readonly buffer: Uint8Array | undefined;
    readonly filled: number;
    readonly index: number;
  },
): Promise<E.Either<StoreFailed, void>> {
  if (index > 0) {
    if (buffer !== undefined) parts.add(buffer, filled);
    return orFailed(await parts.finish(true));
  }
  const bytes = buffer === undefined ? new Uint8Array(0) : buffer.subarray(0, filled);
  if (buffer === undefined || filled > small) {
    const written = await putObject(connection, key, bytes);
    if (buffer !== undefined) pool.give(buffer);
    return orFailed(written);
  }
  const copy = bytes.slice();
  pool.give(buffer);
  return orFailed(await putObject(connection, key, copy));
}
