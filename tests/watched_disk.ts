/**
 * A disk that somebody watches, and may keep from its work.
 *
 * @module
 */

import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { FileSystem, WritableFile } from "../lib/disk.ts";
import type { StoreFailed } from "../lib/errors.ts";
import { storeFailed } from "../lib/store.ts";

// --- types

/** What a disk is asked to do. */
export interface Operation {
  readonly name: Exclude<keyof FileSystem, "writer" | "fateOf"> | keyof WritableFile;
  /** What to; of two paths, the new one. */
  readonly path: string;
  readonly bytes?: number;
}

/** What becomes of an operation: it fails, it is left out as if it had been done, or, with nothing said, it is done. */
export type Answer = StoreFailed | "leave out" | undefined;

// --- constructors

/** A failure of an operation. */
export function fault({ name, path }: Operation, code: string): StoreFailed {
  return storeFailed(name, path, code, "a fault");
}

/**
 * A disk that asks before each operation, but for reading from a file, what is to become of it.
 *
 * @param on The disk that does them.
 * @param ask Told of each; only operations that give nothing back can be left out.
 */
export function watched(on: FileSystem, ask: (operation: Operation) => Answer | Promise<Answer>): FileSystem {
  const task =
    <A>(operation: Operation, inner: TE.TaskEither<StoreFailed, A>): TE.TaskEither<StoreFailed, A> => async () => {
      const answer = await ask(operation);
      if (answer === undefined) return await inner();
      return answer === "leave out" ? { _tag: "Right", right: undefined as A } : { _tag: "Left", left: answer };
    };
  return {
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
            // It is closed though it fails: the system lets go of a killed process's files, too.
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
    writer: on.writer,
    fateOf: on.fateOf,
  };
}
