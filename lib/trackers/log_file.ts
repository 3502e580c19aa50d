/**
 * Files that a log is appended to, as an interface, so that tests can lose power between two operations.
 *
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../errors/mod.ts";
import {
  localFileSystem,
  makeFolders,
  means,
  syncAbove,
  syncFile,
  systemCall,
  unless,
  withClearAnswers,
} from "../store/directory/mod.ts";
import { storeFailed } from "../store/mod.ts";

// --- types

/** A file, open for reading and writing. */
export interface LogFile {
  /** Its length in bytes. */
  readonly length: TE.TaskEither<StoreFailed, number>;
  /** Reads into the start of `into` from a position, and gives how many bytes: 0 at the end. */
  readonly read: (into: Uint8Array, position: number) => TE.TaskEither<StoreFailed, number>;
  /** Writes the first bytes of `bytes` at a position, and gives how many. */
  readonly write: (bytes: Uint8Array, position: number) => TE.TaskEither<StoreFailed, number>;
  /** Cuts the file at a length. */
  readonly cut: (bytes: number) => TE.TaskEither<StoreFailed, void>;
  /** Makes what was written and cut durable. */
  readonly sync: TE.TaskEither<StoreFailed, void>;
  readonly close: TE.TaskEither<StoreFailed, void>;
}

/** Where logs are. Paths are absolute. */
export interface LogFiles {
  /** Opens a file; undefined if there is none. */
  readonly open: (path: string) => TE.TaskEither<StoreFailed, LogFile | undefined>;
  /** Makes an empty file, whose name is durable; `EEXIST` if the path exists. */
  readonly create: (path: string) => TE.TaskEither<StoreFailed, LogFile>;
}

// --- constructors

/** What helps against a path that leads to no file. */
const remedy = "Give the path of a file in a folder, such as runs/digits/log.jsonl";

const folders = withClearAnswers(localFileSystem);

function logFile(path: string, file: FileHandle): LogFile {
  return {
    length: systemCall("look at", path, async () => (await file.stat()).size),
    read: (into, position) =>
      systemCall("read", path, async () => (await file.read(into, 0, into.length, position)).bytesRead),
    write: (bytes, position) =>
      systemCall("write", path, async () => (await file.write(bytes, 0, bytes.length, position)).bytesWritten),
    cut: (bytes) => systemCall("cut", path, () => file.truncate(bytes)),
    sync: systemCall("sync", path, () => syncFile(file)),
    close: systemCall("close", path, () => file.close()),
  };
}

function openWith(operation: string, flags: string, path: string): TE.TaskEither<StoreFailed, LogFile> {
  return pipe(systemCall(operation, path, () => open(path, flags)), TE.map((file) => logFile(path, file)));
}

/** The files of this machine. */
export const localLogFiles: LogFiles = {
  open: (path) =>
    pipe(
      folders.status(path),
      // Looked at before it is opened: opening a pipe waits for a reader.
      TE.flatMap(({ kind }): TE.TaskEither<StoreFailed, LogFile | undefined> => {
        if (kind === "file") return openWith("open", "r+", path);
        const [code, message] = kind === "folder" ? ["EISDIR", "it is a folder"] : ["EINVAL", "it is no regular file"];
        return TE.left(storeFailed("log to", path, code as string, message as string, remedy));
      }),
      unless<LogFile | undefined>(means("missing", "status"), () => TE.right(undefined)),
    ),
  create: (path) =>
    pipe(
      makeFolders(folders, dirname(path)),
      TE.flatMap(() => openWith("create", "wx+", path)),
      TE.tap(() => syncAbove(folders, path)),
    ),
};
