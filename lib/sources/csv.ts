/**
 * CSV files by record (RFC 4180).
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { DataFailed } from "../errors.ts";
import { toError } from "../explain.ts";
import { checkOptionNames, type OptionNames } from "../option_names.ts";
import { type Loader, loaderOf } from "../loader_types.ts";
import { demand, ifGiven, must, oneOf, shown } from "../rules.ts";
import { randomAccess } from "../source.ts";
import { checkPath, dataFailed, dataFile, failureOf, using } from "./file.ts";
import { countOf, indexOf, type Keep, recordsOf } from "./records.ts";

// --- types

/** How a CSV file is opened. */
export interface CsvOptions {
  /** What stands between fields: one character that is neither a quotation mark nor a line end, a comma by default. */
  readonly separator?: string;
  /** The names of the fields where the first record does not hold them. */
  readonly names?: readonly string[];
  /** Where the index of its records is kept, `"beside"` the file by default. */
  readonly index?: Keep;
}

const optionNames = { separator: true, names: true, index: true } satisfies OptionNames<CsvOptions>;

/** The fields of a record by name, as text. */
export type CsvRecord = Readonly<Record<string, string>>;

// --- constructors

/**
 * A loader of the records of a CSV file in UTF-8, in any order, of a file of any size; all fields are text.
 *
 * Fields in quotation marks may hold separators, line ends and doubled quotation marks. Blank lines at the end of the file are no records: in
 * a file of one column, write an empty last value as `""`. A line end of `\r` alone is an error, not one long record. Index and fingerprint
 * are those of `fromLines`.
 *
 * @param path The file.
 * @param options `separator`, `names` (by default the first record; all must differ) and `index`.
 * @returns A task of the loader. Its left is `DataFailed`; a record with more or fewer fields rejects the iteration.
 *
 * @example
 * ```ts
 * import { fromCsv, Loader, runOrThrow } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const path = `${mkdtempSync(`${tmpdir()}/dogear-`)}/notes.csv`;
 * writeFileSync(path, `id,note\n1,"two\nlines"\n2,"a ""quoted"" word"\n`);
 * const notes = await runOrThrow(fromCsv(path));
 * assert.deepEqual(await Loader.at(1)(notes), { id: "2", note: 'a "quoted" word' });
 * ```
 */
export function fromCsv(path: string, options: CsvOptions = {}): TE.TaskEither<DataFailed, Loader<CsvRecord>> {
  checkPath("fromCsv", path);
  checkOptionNames("fromCsv", options, optionNames);
  const { separator = ",", index = "beside" } = options;
  demand("index of fromCsv", oneOf("beside", "memory"), index);
  demand(
    "separator of fromCsv",
    must("one character", (c) => typeof c === "string" && /^[^"\r\n]$/u.test(c)),
    separator,
  );
  const text = (value: unknown): boolean => typeof value === "string";
  const differ = must(
    "a list of names that differ",
    (names) => Array.isArray(names) && names.every(text) && !names.some(again),
  );
  demand("names of fromCsv", ifGiven(differ), options.names);
  return pipe(
    dataFile(path),
    TE.flatMap((file) =>
      TE.tryCatch(async () => {
        const { index: found } = await indexOf(file, true, index);
        const record = recordsOf(file, found, recordsIn);
        const fields = async (i: number): Promise<readonly string[]> => {
          const text = await record(i);
          return fieldsOf(text, separator) ??
            fail(
              i,
              "quotation marks around whole fields, doubled inside; \\n or \\r\\n at the end of a record",
              shown(text),
            );
        };
        const fail = (i: number, expected: string, found: string): never => {
          throw toError(dataFailed(path, {
            path: `record ${i + 1}`,
            kind: "format",
            expected,
            found,
          }));
        };
        const header = options.names === undefined ? 1 : 0;
        const records = await using(file, () => countOf(file, found, separator));
        const names = options.names ?? (records === 0 ? [] : await using(file, () => fields(0)));
        const twice = names.find(again);
        if (twice !== undefined) fail(0, "names that differ", `${shown(twice)} twice`);
        const count = Math.max(0, records - header);
        const at = async (i: number): Promise<CsvRecord> => {
          const values = await fields(i + header);
          if (values.length === names.length) return Object.fromEntries(names.map((name, k) => [name, values[k]!]));
          return fail(i + header, `${names.length} fields`, `${values.length} in ${shown(await record(i + header))}`);
        };
        const said = `csv:${count}:${JSON.stringify([separator, ...names])}:${found.content}`;
        return loaderOf<CsvRecord>(randomAccess(count, said, at, file.hold));
      }, failureOf(path))
    ),
  );
}

// --- combinators

/** Whether a name stood before: a record would hold only the last of its fields. */
function again(name: string, k: number, names: readonly string[]): boolean {
  return names.indexOf(name) !== k;
}

/** Splits text into records: at line ends outside of quotation marks. */
function recordsIn(text: string): readonly string[] {
  const records: string[] = [];
  let [from, inQuotes] = [0, false];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') inQuotes = !inQuotes;
    else if (c === "\n" && !inQuotes) {
      records.push(text.slice(from, text[i - 1] === "\r" && i > from ? i - 1 : i));
      from = i + 1;
    }
  }
  if (from < text.length) records.push(text.slice(from).replace(/\r$/, ""));
  return records;
}

/** The fields of a record, or null where quotation marks are wrong, or a line end of `\r` alone is outside of them. */
function fieldsOf(text: string, separator: string): readonly string[] | null {
  if (!text.includes('"')) return text.includes("\r") ? null : text.split(separator);
  const fields: string[] = [];
  for (let at = 0;;) {
    if (text[at] === '"') {
      const closing = /^[^"]*(?:""[^"]*)*"/.exec(text.slice(at + 1))?.[0];
      if (closing === undefined) return null;
      fields.push(closing.slice(0, -1).replaceAll('""', '"'));
      at += 1 + closing.length;
    } else {
      const end = text.indexOf(separator, at);
      const field = text.slice(at, end < 0 ? text.length : end);
      if (/["\r]/.test(field)) return null;
      fields.push(field);
      at += field.length;
    }
    if (at === text.length) return fields;
    if (!text.startsWith(separator, at)) return null;
    at += separator.length;
  }
}
