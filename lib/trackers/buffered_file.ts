/**
 * A new file that is written in the background, record after record.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import * as E from "fp-ts/lib/Either.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import { clearTimeout, setTimeout } from "node:timers";
import type { StoreFailed } from "../errors/mod.ts";
import type { WritableFile } from "../store/directory/mod.ts";
import { storeFailed } from "../store/mod.ts";
import { runOrThrow } from "../task.ts";

// --- types

/** A file to which records are added. After a failure nothing more is written, and each promise rejects with it. */
export interface BufferedFile {
  /** Adds a record, or one that is still being made. Records are written in the order of the calls. */
  readonly add: (record: Uint8Array | Promise<Uint8Array>) => void;
  /** Writes what was added, and makes it durable. */
  readonly flush: () => Promise<void>;
  /** Flushes, and closes the file, whether that fails or not. */
  readonly close: () => Promise<void>;
}

/** A file open for writing, and its path. */
export interface OpenFile {
  readonly path: string;
  readonly file: WritableFile;
}

// --- constructors

/** Records are written when they are this long together, in bytes, or after this time, in milliseconds. */
const mostBytes = 65_536;
const mostWait = 1000;

/** Writes all of some bytes. */
export function writeAll({ path, file }: OpenFile, bytes: Uint8Array): TE.TaskEither<StoreFailed, void> {
  return async () => {
    for (let at = 0; at < bytes.length;) {
      const count = await file.write(bytes.subarray(at))();
      if (E.isLeft(count)) return count;
      if (count.right === 0) return E.left(storeFailed("write", path, "EIO", "the file system wrote no bytes"));
      at += count.right;
    }
    return E.right(undefined);
  };
}

/**
 * A file that is written in the background: every second, and when 64 KiB of records wait.
 *
 * @param opening The file, which may still be opening.
 */
export function bufferedFile(opening: Promise<OpenFile>): BufferedFile {
  let waiting: (Uint8Array | Promise<Uint8Array>)[] = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = opening;
  // The next write reports the failure.
  opening.catch(() => {});
  /** Runs an operation after those before it, unless one of them failed. */
  const inTurn = (operation: (open: OpenFile) => Promise<unknown>): Promise<void> => {
    const result = last.then(async () => void await operation(await opening));
    last = result;
    // The next flush reports the failure.
    result.catch(() => {});
    return result;
  };
  const write = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const records = waiting;
    waiting = [];
    bytes = 0;
    return inTurn(async (open) => await runOrThrow(writeAll(open, Buffer.concat(await Promise.all(records)))));
  };
  const flush = (): Promise<void> => {
    void write();
    return inTurn(({ file }) => runOrThrow(file.sync));
  };
  return {
    add: (record) => {
      if (record instanceof Promise) record.catch(() => {});
      waiting.push(record);
      bytes += record instanceof Promise ? 0 : record.length;
      if (bytes >= mostBytes) void write();
      else if (timer === undefined) (timer = setTimeout(() => void write(), mostWait)).unref();
    },
    flush,
    close: async () => {
      try {
        await flush();
      } finally {
        const open = await opening.catch(() => undefined);
        if (open !== undefined) await runOrThrow(open.file.close);
      }
    },
  };
}
