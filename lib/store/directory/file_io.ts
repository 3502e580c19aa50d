/**
 * Reads and writes the bytes of one file.
 *
 * A part is written in pieces of at most 8 MiB, without copies. While a piece is written, its digest is computed and the next chunk is
 * made. Every 8 MiB the disk is asked to flush, so that the `fsync` at the end has little left to do. After each piece, a training in the
 * same process gets its share of the thread.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { checkedChunk, checkRange, digester, storeFailed, tooLong } from "../mod.ts";
import type { Chunks, OpenPart, PartDigest, StoreOptions } from "../mod.ts";
import type { FileSystem, WritableFile } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { pause } from "./pacing.ts";

// --- types

type IoResult<A> = E.Either<StoreFailed, A>;

/** A file with all its bytes written, while it becomes durable. */
export interface SyncingFile {
  readonly digest: PartDigest;
  /** Resolves when every byte is durable, or to the failure. It never rejects. */
  readonly durable: Promise<IoResult<void>>;
}

const mebibyte = 2 ** 20;
/** The most bytes of one read or write: far below the 2^31 - 1 where runtimes fail, and enough to cost nothing. */
const pieceBytes = 8 * mebibyte;
/** The number of bytes between two flushes. */
const flushBytes = 8 * mebibyte;

// --- writing

const success: IoResult<void> = E.right(undefined);

function firstFailure(results: readonly IoResult<void>[]): IoResult<void> {
  return results.find(E.isLeft) ?? success;
}

/** Repeats an operation, which gives how many bytes it has done, on the rest of the bytes; `ended` is the failure if it does none. */
async function forAll(
  bytes: Uint8Array,
  operation: (rest: Uint8Array, at: number) => TE.TaskEither<StoreFailed, number>,
  ended: (at: number) => StoreFailed,
): Promise<IoResult<void>> {
  for (let at = 0; at < bytes.length;) {
    const count = await operation(bytes.subarray(at, at + pieceBytes), at)();
    if (E.isLeft(count)) return count;
    if (count.right === 0) return E.left(ended(at));
    at += count.right;
  }
  return success;
}

/** Writes chunks to a file in pieces, and flushes in the background. */
function pieceWriter(file: WritableFile, path: string, onPiece: (bytes: Uint8Array) => void): {
  /** Writes a chunk. When it resolves, the chunk's array may be changed. */
  readonly write: (chunk: Uint8Array) => Promise<IoResult<void>>;
  /** Closes the file, after `fsync` if it must be durable. */
  readonly close: (durably: boolean) => Promise<IoResult<void>>;
} {
  const stuck = storeFailed("write", path, "EIO", "the file system wrote no bytes");
  let flushed = Promise.resolve(success);
  let isFlushing = false;
  let unflushed = 0;

  /** Only one at a time, and without waiting: a second flush would take a thread that the writes need. */
  function flush(): void {
    unflushed = 0;
    isFlushing = true;
    flushed = Promise.all([flushed, file.flush()]).then((results) => {
      isFlushing = false;
      return firstFailure(results);
    });
  }

  return {
    write: async (chunk) => {
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        const piece = chunk.subarray(at, at + pieceBytes);
        const writing = forAll(piece, (rest) => file.write(rest), () => stuck);
        const begun = performance.now();
        onPiece(piece);
        const [written] = await Promise.all([writing, pause(performance.now() - begun)]);
        if (E.isLeft(written)) return written;
        unflushed += piece.length;
        if (unflushed >= flushBytes && !isFlushing) flush();
      }
      return success;
    },
    close: async (durably) => {
      // The system may report a disk failure to one call only, so the result of each call counts.
      const before = await flushed;
      const synced = durably ? await file.sync() : success;
      return firstFailure([before, synced, await file.close()]);
    },
  };
}

/**
 * Writes a new file.
 *
 * @param fs The file system.
 * @param path The path; if it exists, the failure has code `EEXIST`.
 * @param chunks The bytes. If they throw, the file is closed and the exception is thrown on.
 * @param algorithm The digests to compute.
 * @returns The digest, and a promise of durability. After a failure the file is incomplete.
 */
export async function writeFile(
  fs: FileSystem,
  path: string,
  chunks: Chunks,
  algorithm: StoreOptions["digest"],
): Promise<IoResult<SyncingFile>> {
  const created = await fs.create(path)();
  if (E.isLeft(created)) return created;
  const { update, result } = digester(algorithm);
  const writer = pieceWriter(created.right, path, update);
  let writing = Promise.resolve(success);
  try {
    for await (const chunk of chunks) {
      if (E.isLeft(await writing)) break;
      writing = writer.write(checkedChunk(chunk));
    }
  } catch (cause) {
    await writing;
    await writer.close(false);
    throw cause;
  }
  const written = await writing;
  if (E.isRight(written)) return E.right({ digest: result(), durable: writer.close(true) });
  await writer.close(false);
  return written;
}

// --- reading

/**
 * Opens a file as a part.
 *
 * @param fs The file system.
 * @param path The file.
 * @returns The part; several reads may run at once.
 */
export function openPart(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, OpenPart> {
  return pipe(
    fs.open(path),
    TE.map((file) => ({
      bytes: file.bytes,
      read: (into, position) => {
        const outside = checkRange(file.bytes, path, into, position);
        if (outside !== undefined) return TE.left(outside);
        const ended = (at: number): StoreFailed =>
          storeFailed("read", path, "ETRUNC", `the file ends at ${position + at}`);
        return () => forAll(into, (rest, at) => file.read(rest, position + at), ended);
      },
      close: async () => void await file.close(),
    })),
  );
}

/**
 * Reads a whole manifest.
 *
 * @param fs The file system.
 * @param path The file.
 * @returns Its bytes; a failure with code `EFBIG`, before anything is read, if the file is too long for a manifest.
 */
export function readManifestFile(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, Uint8Array> {
  return async () => {
    const opened = await openPart(fs, path)();
    if (E.isLeft(opened)) return opened;
    const { bytes, read, close } = opened.right;
    // An exception, such as a failed allocation, must close the file too.
    try {
      const failure = tooLong("read", path, bytes);
      if (failure !== undefined) return E.left(failure);
      const manifest = new Uint8Array(bytes);
      return E.map(() => manifest)(await read(manifest, 0)());
    } finally {
      await close();
    }
  };
}
