/**
 * Writes objects of any length, in pieces of the part size.
 *
 * Chunks are copied into buffers that are used again and again: at most `concurrency` buffers exist, each is sent when it is full. An object of at most one
 * piece is one PUT. Because the length is not known before, the pieces grow when half of the parts that S3 allows are used.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { createHash, type Hash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { StoreFailed } from "../../errors/mod.ts";
import { checkedChunk, type Chunks, digester } from "../mod.ts";
import type { ObjectWritten } from "./bucket.ts";
import { bytesOfPart, partsOf, type SignedBytes } from "./multipart.ts";
import { orFailed } from "./object_reader.ts";
import { type Connection, readNothing } from "./request.ts";
import type { Fault } from "./s3_errors.ts";

// --- types

/** Buffers of the part size, at most `concurrency` of them. */
export interface BufferPool {
  /** Waits for a buffer of this length. */
  readonly take: (bytes: number) => Promise<Uint8Array>;
  readonly give: (buffer: Uint8Array) => void;
}

/** A part that is being filled. */
interface Filling {
  readonly buffer: Uint8Array;
  readonly hash: Hash;
  filled: number;
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

/** Writes an object with one request. */
export function putObject(
  { inTurn, send }: Connection,
  key: string,
  bytes: Pick<SignedBytes, "body"> & Partial<SignedBytes>,
): Promise<E.Either<Fault, void>> {
  return inTurn(() => send({ operation: "write", method: "PUT", key, ...bytes }, readNothing));
}

// --- writing

/** An object of at most this many bytes is copied out of its buffer, which others can use while it is sent. */
const small = 2 ** 20;

/** The most bytes that are copied and digested in one turn of the event loop: about a millisecond of work. */
const pieceBytes = 2 ** 20;

/** What to write. */
export interface Writing {
  readonly key: string;
  readonly chunks: Chunks;
  readonly algorithm: "crc32" | "sha256" | undefined;
}

function signed({ buffer, hash, filled }: Filling): SignedBytes {
  return { body: buffer.subarray(0, filled), hash: hash.digest("hex") };
}

/** Adds the start of a piece to a part; gives how many bytes. */
function fill(part: Filling, piece: Uint8Array): number {
  const taken = piece.subarray(0, part.buffer.length - part.filled);
  part.buffer.set(taken, part.filled);
  part.hash.update(taken);
  part.filled += taken.length;
  return taken.length;
}

/**
 * Writes an object from chunks.
 *
 * @param pool Buffers of the part size of the settings.
 * @returns The digest when the chunks are consumed, with a promise of the server's having all of it. If the chunks throw, what was sent is removed,
 *   and the exception is thrown on.
 */
export async function writeObject(
  connection: Connection,
  pool: BufferPool,
  { key, chunks, algorithm }: Writing,
): Promise<E.Either<StoreFailed, ObjectWritten>> {
  const { partSize, limits } = connection.settings;
  const { update, result } = digester(algorithm);
  const parts = partsOf(connection, key);
  let index = 0;
  let part: Filling | undefined;

  function send(full: Filling): void {
    void parts.add(signed(full)).then(() => pool.give(full.buffer));
    index += 1;
  }

  /** Adds a piece to the parts; false after a failure. */
  async function add(piece: Uint8Array): Promise<boolean> {
    for (let at = 0; at < piece.length;) {
      if (part !== undefined && part.filled === part.buffer.length) {
        send(part);
        part = undefined;
      }
      if (part === undefined) {
        const buffer = await pool.take(bytesOfPart(index, partSize, limits.parts));
        part = { buffer, hash: createHash("sha256"), filled: 0 };
      }
      if (parts.failure() !== undefined) return false;
      const count = fill(part, piece.subarray(at));
      update(piece.subarray(at, at + count));
      at += count;
    }
    return true;
  }

  async function consume(): Promise<boolean> {
    for await (const chunk of chunks) {
      checkedChunk(chunk);
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        if (!await add(chunk.subarray(at, at + pieceBytes))) return false;
        if (chunk.length > pieceBytes) await setImmediate();
      }
    }
    return true;
  }

  /** Sends what is left, and completes the object. */
  async function finish(last: Filling | undefined): Promise<E.Either<StoreFailed, void>> {
    if (index === 0) return orFailed(await putLast(connection, pool, key, last));
    if (last !== undefined) send(last);
    return orFailed(await parts.complete());
  }

  let isConsumed = false;
  try {
    isConsumed = await consume();
  } finally {
    if (!isConsumed) {
      if (part !== undefined) pool.give(part.buffer);
      await parts.abandon();
    }
  }
  return isConsumed ? E.right({ digest: result(), durable: finish(part) }) : E.left(parts.failure()!.failed);
}

/** Writes an object of at most one part. */
async function putLast(
  connection: Connection,
  pool: BufferPool,
  key: string,
  part: Filling | undefined,
): Promise<E.Either<Fault, void>> {
  if (part === undefined) return await putObject(connection, key, { body: new Uint8Array(0) });
  const { body, hash } = signed(part);
  const isSmall = body.length <= small;
  const bytes = isSmall ? body.slice() : body;
  if (isSmall) pool.give(part.buffer);
  const written = await putObject(connection, key, { body: bytes, hash });
  if (!isSmall) pool.give(part.buffer);
  return written;
}
