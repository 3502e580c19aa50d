/**
 * The files that an export writes: the check of their folder, and how they are written.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { basename, dirname, join, resolve } from "node:path";
import { printable, type StoreFailed } from "../errors/mod.ts";
import { checkpointsName, localFileSystem, means, numberIn, unless, writeFile } from "../store/directory/mod.ts";
import { type Chunks, manifestName, storeFailed } from "../store/mod.ts";
import { widthOf, wrap } from "./text_width.ts";
import { type CommandError, type CommandTask, type Usage, usage, usageError } from "./arguments.ts";
import { parseCheckpoint } from "./reference.ts";
import { isUrl } from "./stores.ts";
import type { Terminal } from "./terminal.ts";

// --- types

/** A file to write. */
export interface ExportFile {
  readonly name: string;
  readonly chunks: Chunks;
}

/** A file that was written. */
export interface WrittenFile {
  readonly name: string;
  readonly bytes: number;
}

// --- parsing

/**
 * The folder of an option. It may not be named like a checkpoint, which is probably a mistake.
 *
 * @param word What was given.
 * @param missing What to add if nothing was.
 */
export function parseFolder(word: string, missing: string): E.Either<Usage, string> {
  if (isUrl(word)) return usage("Expected a folder to write to, found a URL: write to a folder, and upload it");
  if (word === "") return usage(`Expected a folder to write to, found none: ${missing}`);
  if (parseCheckpoint(word.replace(/^@/, "")) === undefined) return E.right(resolve(word));
  const found = `${JSON.stringify(word)}, which names a checkpoint`;
  return usage(`Expected a folder to write to, found ${found}: a folder of this name is ./${word}`);
}

// --- showing

/** What is said of a file that was written: below its path where the terminal is narrow. */
export function writtenLines(path: string, about: string, { width }: Terminal): readonly string[] {
  const line = `${printable(path)}  ${about}`;
  return widthOf(line) <= width ? [line] : [printable(path), ...wrap(`  ${about}`, width)];
}

// --- the folder

const hasManifest = async (folder: string): Promise<boolean> =>
  E.isRight(await localFileSystem.status(join(folder, manifestName))());

/** The folder of checkpoints, or the checkpoint, that a path is or lies in. */
async function checkpointsAround(path: string): Promise<string | undefined> {
  for (let at = localFileSystem.realPath?.(path) ?? path; dirname(at) !== at; at = dirname(at)) {
    if (await hasManifest(at)) return at;
    const names = basename(at) === checkpointsName ? await localFileSystem.names(at)() : E.right([]);
    for (const name of E.isRight(names) ? names.right : []) {
      if (numberIn(name) !== undefined && await hasManifest(join(at, name))) return at;
    }
  }
  return undefined;
}

/** The error of a folder that nothing may be written to. */
export function refusedFolder(expected: string, found: string): CommandError {
  return usageError(`Expected a folder ${expected}, found ${found}`);
}

/** The names in a folder, which may not exist. A folder inside of checkpoints is an error. */
export function namesOutside(folder: string): CommandTask<readonly string[]> {
  return pipe(
    TE.fromTask(() => checkpointsAround(folder)),
    TE.filterOrElse(
      (around) => around === undefined,
      (around) =>
        refusedFolder(
          "to write to outside of all checkpoints",
          `${folder}, which ${around === folder ? "holds them" : `is in ${around}`}`,
        ),
    ),
    TE.flatMap(() =>
      pipe(localFileSystem.names(folder), unless<readonly string[]>(means("missing", "names"), () => TE.right([])))
    ),
  );
}

// --- writing

/** Names a file if the name is free. A link never replaces a file, as a rename does. */
function placeNew(from: string, to: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    localFileSystem.link(from, to),
    // Where links fail: look first, then rename.
    unless((failed) => !means("taken", "link")(failed), () =>
      pipe(
        localFileSystem.status(to),
        TE.flatMap(() => TE.left(storeFailed("create", to, "EEXIST", "file already exists"))),
        unless<void>(means("missing", "status"), () => localFileSystem.rename(from, to)),
      )),
  );
}

/** Writes a file under a temporary name, makes it durable, then names it. Only with `force` does it replace another. */
export function writeOne(
  folder: string,
  { name, chunks }: ExportFile,
  force: boolean,
): TE.TaskEither<StoreFailed, WrittenFile> {
  const [path, partial] = [join(folder, name), join(folder, `.${name}.${process.pid}.partial`)];
  const written = pipe(
    () => writeFile(localFileSystem, partial, chunks, "crc32"),
    TE.tap(({ durable }) => () => durable),
    TE.tap(() => force ? localFileSystem.rename(partial, path) : placeNew(partial, path)),
    TE.map(({ digest: { bytes } }) => ({ name, bytes })),
  );
  return () => written().finally(localFileSystem.removeFile(partial));
}
