/**
 * `dogear index`: the index by which the lines of a data file are read in any order, built before a training asks for it.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { DataFailed } from "../errors.ts";
import { meter } from "../progress.ts";
import { dataFile, failureOf } from "../sources/file.ts";
import { type LoadedIndex, loadIndex } from "../sources/records.ts";
import { type Outcome, usage, type Words } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";
import { bytesText, jsonText, table } from "./text.ts";

// --- the command

/** The index of one file: by lines, or by the records of CSV. */
function indexed(path: string, quoted: boolean, { draw }: Terminal): TE.TaskEither<DataFailed, LoadedIndex> {
  const drawn = draw(path);
  return pipe(
    dataFile(path),
    TE.flatMap((file) =>
      TE.tryCatch(() => loadIndex(file, quoted, "beside", meter(file.size, drawn)), failureOf(path))
    ),
    TE.tapIO(() => drawn),
  );
}

/** `dogear index <file...> [--csv]`. */
export function index({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    if (rest.length === 0) return usage("Expected a file of lines, JSON Lines or CSV, found none");
    const files: { path: string; records: number; bytes: number; kept: boolean }[] = [];
    for (const path of rest) {
      const quoted = options["csv"] === true || /\.[ct]sv$/i.test(path);
      const found = await indexed(path, quoted, terminal)();
      if (E.isLeft(found)) return found;
      const { index: { count, size }, kept } = found.right;
      files.push({ path, records: count, bytes: size, kept });
      if (!kept) {
        terminal.say(`${path}.index could not be written: the index is built anew whenever the file is opened`);
      }
    }
    if (options["json"] === true) {
      await terminal.print([jsonText({ files })]);
      return E.right(0);
    }
    const columns = [{ name: "file", flexible: true }, { name: "records", right: true }, { name: "size", right: true }];
    const rows = files.map(({ path, records, bytes }) => [path, `${records}`, bytesText(bytes)]);
    await terminal.print(table(columns, rows, terminal.width));
    return E.right(0);
  };
}
