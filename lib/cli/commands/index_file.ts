/**
 * `dogear index`: builds the record index of data files before a training needs it.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { meter } from "../../store/mod.ts";
import { loadIndex, useFile } from "../../files/mod.ts";
import { usage } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import { tableLines } from "../table.ts";
import { isUrl } from "../stores.ts";
import { type Terminal, withBar } from "../terminal.ts";
import { bytesText, jsonText } from "../format.ts";

// --- running

/** Makes the index of a file; `kept` says whether it could be written beside the file. */
function indexFile(path: string, csv: boolean, terminal: Terminal) {
  const quoted = csv || /\.[ct]sv$/i.test(path);
  return withBar(terminal, path, (bar) =>
    pipe(
      useFile(path, (file) => loadIndex(file, quoted, "beside", meter(file.size, bar))),
      TE.map(({ index: { count, size }, kept }) => ({
        path,
        records: quoted ? Math.max(0, count - 1) : count,
        bytes: size,
        kept,
      })),
    ));
}

// --- the command

/** `dogear index`. */
export const indexCommand: Command = defineCommand({
  name: "index",
  summary: "build the index of a data file",
  usage: "FILE... [--csv]",
  completes: "files",
  description:
    `Builds the index of a file of lines, JSON Lines or CSV, by which records are read in any order, and writes it
to FILE.index. A training that opens the file without an index builds it then. An index that fits the file is not built
again. The header of a CSV file is not counted.`,
  options: { csv: { help: "line ends in quotation marks do not end a record; always so for .csv and .tsv files" } },
  examples: [
    ["reviews.jsonl", "a file of JSON Lines"],
    ["table.csv notes.txt", "a CSV file and a file of lines"],
  ],
  json: "{ files: [{ path, records, bytes, kept }] }",
  parse: ({ options: { csv = false }, words }) => {
    if (words.length === 0) return usage("Expected a file of lines, JSON Lines or CSV, found none");
    const url = words.find(isUrl);
    return url === undefined
      ? E.right({ words, csv })
      : usage(`Expected a file, found the URL ${JSON.stringify(url)}: download it`);
  },
  run: ({ words, csv }, terminal) =>
    pipe(
      words,
      TE.traverseSeqArray((path) => indexFile(path, csv, terminal)),
      TE.map((files) => ({
        json: [jsonText({ files })],
        text: tableLines(
          { file: "cut", records: "right", size: "right" },
          files.map(({ path, records, bytes }) => [path, `${records}`, bytesText(bytes)]),
          terminal.width,
        ),
        messages: files.filter(({ kept }) => !kept)
          .map(({ path }) => `${path}.index could not be written: the index is built each time the file is opened`),
      })),
    ),
});
