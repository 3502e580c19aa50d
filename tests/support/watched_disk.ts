/**
 * A file system whose operations a test observes, and can let fail.
 *
 * @module
 */

import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { FileSystem, WritableFile } from "../../lib/store/directory/file_system.ts";
import type { StoreFailed } from "../../lib/errors/errors.ts";
import { storeFailed } from "../../lib/store/store.ts";

// --- types

/** An operation. */
export interface Operation {
  readonly name:
    | Exclude<keyof FileSystem, "platform" | "wait" | "mountinfo" | "processId" | "processStatus">
    | keyof WritableFile;
  /** Its path; of two paths, the new one. */
  readonly path: string;
  readonly bytes?: number;
}

/** The decision on an operation: a failure, one after it was executed, or to skip it as if it had succeeded; undefined executes it. */
export type Answer = StoreFailed | { readonly after: StoreFailed } | "skip" | undefined;

// --- constructors

/** A failure of an operation. */
export function fault({ name, path }: Operation, code: string): StoreFailed {
  return storeFailed(name, path, code, "a fault");
}

/**
 * A file system that asks for a decision before each operation, except reading from an open file.
 *
 * @param on The file system that executes the operations.
 * @param ask Called before each operation. Only operations without a result can be skipped.
 */
export function watched(on: FileSystem, ask: (operation: Operation) => Answer | Promise<Answer>): FileSystem {
  const task =
    <A>(operation: Operation, inner: TE.TaskEither<StoreFailed, A>): TE.TaskEither<StoreFailed, A> => async () => {
      const answer = await ask(operation);
      if (answer === undefined) return await inner();
      if (answer === "skip") return { _tag: "Right", right: undefined as A };
      if (!("after" in answer)) return { _tag: "Left", left: answer };
      await inner();
      return { _tag: "Left", left: answer.after };
    };
  return {
    ...(on.platform && { platform: on.platform }),
    ...(on.wait && { wait: on.wait }),
    makeFolder: (path) => task({ name: "makeFolder", path }, on.makeFolder(path)),
    create: (path) =>
      task(
        { name: "create", path },
        pipe(
          on.create(path),
          TE.map(({ write, flush, sync, close }): WritableFile => ({
            write: (bytes) => task({ name: "write", path, bytes: bytes.length }, write(bytes)),
            flush: task({ name: "flush", path }, flush),
            sync: task({ name: "sync", path }, sync),
            // The file is closed even if this fails: the system closes the files of a killed process too.
            close: pipe(close, TE.flatMap(() => task({ name: "close", path }, TE.right(undefined)))),
          })),
        ),
      ),
    open: (path) => task({ name: "open", path }, on.open(path)),
    status: (path) => task({ name: "status", path }, on.status(path)),
    names: (path) => task({ name: "names", path }, on.names(path)),
    link: (from, to) => task({ name: "link", path: to }, on.link(from, to)),
    rename: (from, to) => task({ name: "rename", path: to }, on.rename(from, to)),
    removeFile: (path) => task({ name: "removeFile", path }, on.removeFile(path)),
    removeFolder: (path) => task({ name: "removeFolder", path }, on.removeFolder(path)),
    syncFolder: (path) => task({ name: "syncFolder", path }, on.syncFolder(path)),
    processId: on.processId,
    processStatus: on.processStatus,
  };
}
