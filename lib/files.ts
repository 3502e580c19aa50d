/**
 * The bytes of one file, out to the disk and back, as fast as the disk.
 *
 * One write is under way at a time, its digest and the next piece made meanwhile, and the disk is set to work early, so that the
 * `fsync` at the end finds little left to do. Nothing is copied.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Disk, NewFile } from "./disk.ts";
import type { StoreFailed } from "./errors.ts";
import {
  checkedChunk,
  checkRange,
  type Chunks,
  digester,
  type Part,
  storeFailed,
  type StoreOptions,
  tooLong,
  type Written,
} from "./store.ts";

// --- types

type Outcome<A> = E.Either<StoreFailed, A>;

/** A file that has been written, though not all of it may be durable yet. */
export interface WrittenFile {
  readonly written: Written;
  /** Resolves once every byte is durable, or to why it is not. Never rejects. */
  readonly durable: Promise<Outcome<void>>;
}

const mebibyte = 2 ** 20;
/** The most bytes of one read or write: far below the 2^31 - 1 where runtimes fail, and enough to cost nothing. */
const pieceBytes = 8 * mebibyte;
/** After so many bytes written the disk is asked to begin with them. */
const flushBytes = 8 * mebibyte;

// --- writing

const fine: Outcome<void> = E.right(undefined);

/** The first failure among these, in their order. */
function all(outcomes: readonly Outcome<void>[]): Outcome<void> {
  return outcomes.find(E.isLeft) ?? fine;
}

async function writeAll(file: NewFile, path: string, bytes: Uint8Array): Promise<Outcome<void>> {
  for (let at = 0; at < bytes.length;) {
    const some = await file.write(bytes.subarray(at))();
    if (E.isLeft(some)) return some;
    if (some.right === 0) return E.left(storeFailed("write", path, "EIO", "the disk takes no more bytes"));
    at += some.right;
  }
  return fine;
}

/** A new file while it is written. */
interface Stream {
  /** Writes a chunk; afterwards its array is free again. */
  readonly write: (chunk: Uint8Array) => Promise<Outcome<void>>;
  /** Lets go of the file, and before that makes it durable if so asked. */
  readonly close: (durably: boolean) => Promise<Outcome<void>>;
}

function streamTo(file: NewFile, path: string, seen: (bytes: Uint8Array) => void): Stream {
  let flushing = Promise.resolve(fine);
  let flushes = false;
  let unflushed = 0;

  /** One at a time, and not waited for: a second one would take the threads that the writes need. */
  function flush(): void {
    unflushed = 0;
    flushes = true;
    flushing = Promise.all([flushing, file.flush()]).then((outcomes) => {
      flushes = false;
      return all(outcomes);
    });
  }

  return {
    write: async (chunk) => {
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        const piece = chunk.subarray(at, at + pieceBytes);
        const writing = writeAll(file, path, piece);
        seen(piece);
        const written = await writing;
        if (E.isLeft(written)) return written;
        unflushed += piece.length;
        if (unflushed >= flushBytes && !flushes) flush();
      }
      return fine;
    },
    close: async (durably) => {
      // The system may report a failure of the disk to one call only, so none is dropped.
      const flushed = await flushing;
      const synced = durably ? await file.sync() : fine;
      return all([flushed, synced, await file.close()]);
    },
  };
}

/**
 * Writes a new file.
 *
 * @param disk The disk.
 * @param path Where; a file that is there is a failure with code `EEXIST`.
 * @param chunks The bytes; an exception out of them closes the file and goes on to the caller.
 * @param digest The digests to make of them.
 * @returns What was written. A failure to write leaves a file that is not whole.
 */
export async function writeFile(
  disk: Disk,
  path: string,
  chunks: Chunks,
  digest: StoreOptions["digest"],
): Promise<Outcome<WrittenFile>> {
  const created = await disk.create(path)();
  if (E.isLeft(created)) return created;
  const seen = digester(digest);
  const stream = streamTo(created.right, path, seen.update);
  let whole = false;
  let writing: Promise<Outcome<void>> = Promise.resolve(fine);
  try {
    for await (const chunk of chunks) {
      const written = await writing;
      if (E.isLeft(written)) return written;
      writing = stream.write(checkedChunk(chunk));
    }
    const written = await writing;
    if (E.isLeft(written)) return written;
    whole = true;
  } finally {
    await writing;
    if (!whole) await stream.close(false);
  }
  return E.right({ written: seen.written(), durable: stream.close(true) });
}

// --- reading

/**
 * Opens a file as a part.
 *
 * @param disk The disk.
 * @param path The file.
 * @returns The part; several reads of it may run at once.
 */
export function openPart(disk: Disk, path: string): TE.TaskEither<StoreFailed, Part> {
  return pipe(
    disk.open(path),
    TE.map((file) => {
      async function fill(into: Uint8Array, position: number): Promise<Outcome<void>> {
        for (let at = 0; at < into.length;) {
          const some = await file.read(into.subarray(at, at + pieceBytes), position + at)();
          if (E.isLeft(some)) return some;
          if (some.right === 0) return E.left(storeFailed("read", path, "ETRUNC", `the file ends at ${position + at}`));
          at += some.right;
        }
        return fine;
      }
      return {
        bytes: file.bytes,
        read: (into, position) => {
          const outside = checkRange(file.bytes, path, into, position);
          return outside === undefined ? () => fill(into, position) : TE.left(outside);
        },
        close: async () => {
          await file.close();
        },
      };
    }),
  );
}

/**
 * Reads a whole manifest.
 *
 * @param disk The disk.
 * @param path The file.
 * @returns Its bytes; a file that is too long to be one is a failure with code `EFBIG`, and no byte of it is read.
 */
export function readManifestFile(disk: Disk, path: string): TE.TaskEither<StoreFailed, Uint8Array> {
  return async () => {
    const opened = await openPart(disk, path)();
    if (E.isLeft(opened)) return opened;
    const { bytes, read, close } = opened.right;
    // An exception, such as that of an allocation, closes the file, too.
    try {
      const long = tooLong("read", path, bytes);
      if (long !== undefined) return E.left(long);
      const whole = new Uint8Array(bytes);
      return E.map(() => whole)(await read(whole, 0)());
    } finally {
      await close();
    }
  };
}
