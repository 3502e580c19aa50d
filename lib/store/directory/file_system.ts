/**
 * The file system operations that the directory store needs, as an interface.
 *
 * The commit protocol is written over {@link FileSystem}, so that tests can run it on a simulated disk that loses power at any operation.
 * No operation throws: a failure is a `StoreFailed` with the system's error code.
 *
 * @module
 */

import type { Task } from "fp-ts/lib/Task.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../../errors/mod.ts";

// --- types

/** A new file, open for appending. */
export interface WritableFile {
  /** Appends the first bytes of `bytes`, and gives how many. `bytes` must not change until then. */
  readonly write: (bytes: Uint8Array) => TE.TaskEither<StoreFailed, number>;
  /** Starts to bring the bytes so far to the disk; more can be written meanwhile. Only `sync` guarantees durability. */
  readonly flush: TE.TaskEither<StoreFailed, void>;
  /** Makes the bytes so far durable. */
  readonly sync: TE.TaskEither<StoreFailed, void>;
  readonly close: TE.TaskEither<StoreFailed, void>;
}

/** A file, open for reading. */
export interface ReadableFile {
  readonly bytes: number;
  /** Reads into the start of `into` from a position, and gives how many bytes: 0 at the end. */
  readonly read: (into: Uint8Array, position: number) => TE.TaskEither<StoreFailed, number>;
  readonly close: TE.TaskEither<StoreFailed, void>;
}

/** The status of a file or folder. */
export interface FileStatus {
  readonly kind: "file" | "folder" | "other";
  readonly bytes: number;
  /** The number of hard links. */
  readonly links: number;
  /** The time of the last change, in milliseconds of the file system's clock. */
  readonly modified: number;
}

/** Whether a process is running. */
export type ProcessStatus = "alive" | "dead" | "unknown";

/** A file system, and the processes that use it. Paths are absolute. What an operation may answer is in `answers`. */
export interface FileSystem {
  /**
   * The operating system, whose answers it gives.
   * @default one with the answers of Linux
   */
  readonly platform?: NodeJS.Platform;
  /**
   * Waits for some milliseconds before an operation is tried again.
   * @default a timer
   */
  readonly wait?: (milliseconds: number) => Promise<void>;
  /** Makes a folder in an existing one; `EEXIST` if the path exists. */
  readonly makeFolder: (path: string) => TE.TaskEither<StoreFailed, void>;
  /** Makes a file; `EEXIST` if the path exists. */
  readonly create: (path: string) => TE.TaskEither<StoreFailed, WritableFile>;
  /** Opens a regular file; `EINVAL` for anything else. */
  readonly open: (path: string) => TE.TaskEither<StoreFailed, ReadableFile>;
  /** The status of a path, after following links. */
  readonly status: (path: string) => TE.TaskEither<StoreFailed, FileStatus>;
  /** The target of a symbolic link; `EINVAL` for anything else. Without it, links are not examined. */
  readonly linkTarget?: (path: string) => TE.TaskEither<StoreFailed, string>;
  /** The names in a folder, in any order. */
  readonly names: (path: string) => TE.TaskEither<StoreFailed, readonly string[]>;
  /** Makes a hard link to a file. */
  readonly link: (from: string, to: string) => TE.TaskEither<StoreFailed, void>;
  /** Renames a file or folder; `ENOTEMPTY` or a similar code if the new path is a folder that is not empty. */
  readonly rename: (from: string, to: string) => TE.TaskEither<StoreFailed, void>;
  /** Removes a file or link; `EISDIR`, `EPERM` or `ENOTEMPTY` for a folder. */
  readonly removeFile: (path: string) => TE.TaskEither<StoreFailed, void>;
  /** Removes an empty folder. */
  readonly removeFolder: (path: string) => TE.TaskEither<StoreFailed, void>;
  /** Makes the entries of a folder durable: its names, and the files that they refer to. */
  readonly syncFolder: (path: string) => TE.TaskEither<StoreFailed, void>;
  /**
   * The path after following links; names that do not exist are kept.
   * @default the path itself
   */
  readonly realPath?: (path: string) => string;
  /**
   * The mounts, as `/proc/self/mountinfo` lists them; nothing if the system does not tell.
   * @default nothing
   */
  readonly mountinfo?: Task<string>;
  /** The identity of this process: letters, digits and dots. */
  readonly processId: Task<string>;
  /** Whether the process of an identity is running. */
  readonly processStatus: (id: string) => Task<ProcessStatus>;
}
