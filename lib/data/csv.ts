/**
 * Loaders of CSV files by record (RFC 4180).
 *
 * @module
 */
import type { Awaitable } from "../task.ts";
import type { DataFailed } from "../errors/mod.ts";
import {
  checkLocalPath,
  checkOptions,
  type DataCodec,
  dataCodec,
  ifGiven,
  must,
  oneOf,
  type OptionRules,
  shown,
} from "../validation/mod.ts";
import { type Loader, loaderOf, randomAccess } from "../loader/mod.ts";
import { countRecords, dataError, type DataFile, loadIndex, recordReader, useFile } from "../files/mod.ts";
import { sampleDecoder } from "./decode_sample.ts";

// --- types

/** The options of {@link fromCsv}. */
export interface CsvOptions<A = CsvRecord> {
  /** The separator of fields: one character, but no quotation mark or line end; a comma by default. */
  readonly separator?: string;
  /** The names of the fields; by default the first record has them. */
  readonly names?: readonly string[];
  /** Where the index of the records is saved: `"beside"` the file by default, or `"memory"`. */
  readonly index?: "beside" | "memory";
  /** What decodes every record and gives it its type, as for `fromJsonLines`; by default records are text. */
  readonly codec?: DataCodec<A>;
}

const optionRules = {
  separator: ifGiven(must("one character", (c) => typeof c === "string" && /^[^"\r\n]$/u.test(c))),
  names: ifGiven(must(
    "a list of names that differ",
    (names) => Array.isArray(names) && names.every((name) => typeof name === "string") && !names.some(isRepeated),
  )),
  index: ifGiven(oneOf("beside", "memory")),
  codec: ifGiven(dataCodec),
} satisfies OptionRules<CsvOptions>;

/** The fields of a record by name, as text. */
export type CsvRecord = Readonly<Record<string, string>>;

// --- constructors

/**
 * A loader of the records of a UTF-8 CSV file of any size, with random access; all fields are text, unless a codec decodes them.
 *
 * Fields in quotation marks may contain separators, line ends and doubled quotation marks. Blank lines at the end of the file are not
 * records: in a file of one column, write an empty last value as `""`. A line end of `\r` alone is an error. The index and the fingerprint
 * are those of `fromLines`.
 *
 * @param path The file. Do not change it while the loader is in use.
 * @param options `separator`: a comma by default. `names`: all different, by default the fields of the first record. `index`: `"beside"` by
 * default. `codec`: a codec of io-ts or a schema with Standard Schema, as for `fromJsonLines`; none by default.
 * @returns A task of the loader, or `DataFailed`. A record with more or fewer fields, or that the codec rejects, rejects the iteration.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import { fromCsv } from "@dogear/dogear/data";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const path = `${mkdtempSync(`${tmpdir()}/dogear-`)}/notes.csv`;
 * writeFileSync(path, `id,note\n1,"two\nlines"\n2,"a ""quoted"" word"\n`);
 * const notes = await fromCsv(path);
 * assert.deepEqual(await Loader.at(1)(notes), { id: "2", note: 'a "quoted" word' });
 * ```
 */
export function fromCsv<A = CsvRecord>(
  path: string,
  options: CsvOptions<A> = {},
): Awaitable<DataFailed, Loader.Loader<A>> {
  checkLocalPath("the path of fromCsv", path);
  checkOptions("fromCsv", options, optionRules);
  return useFile(path, (file) => csvLoader(file, options));
}

/** A loader of an open file's records. Without `names`, the first record has them. */
async function csvLoader<A>(
  file: DataFile,
  { separator = ",", index: keep = "beside", names: given, codec }: CsvOptions<A>,
): Promise<Loader.Loader<A>> {
  const fail = (i: number, expected: string, found: string): never => {
    throw dataError(file.path, { path: `record ${i + 1}`, kind: "format", expected, found });
  };
  const { index } = await loadIndex(file, true, keep);
  const record = recordReader(file, index, splitRecords);
  const fields = async (i: number): Promise<readonly string[]> => {
    const text = await record(i);
    const expected = "quotation marks around whole fields, doubled inside; \\n or \\r\\n at the end of a record";
    return splitFields(text, separator) ?? fail(i, expected, shown(text));
  };
  const header = given === undefined ? 1 : 0;
  const records = await countRecords(file, index, separator);
  const names = given ?? (records === 0 ? [] : await fields(0));
  const repeated = names.find(isRepeated);
  if (repeated !== undefined) fail(0, "names that differ", `${shown(repeated)} twice`);
  const count = Math.max(0, records - header);
  const decode = sampleDecoder(file.path, codec);
  const at = async (i: number): Promise<A> => {
    const values = await fields(i + header);
    if (values.length === names.length) {
      const record: CsvRecord = Object.fromEntries(names.map((name, k) => [name, values[k]!]));
      return decode(record, `record ${i + header + 1}`);
    }
    return fail(i + header, `${names.length} fields`, `${values.length} in ${shown(await record(i + header))}`);
  };
  const fingerprint = `csv:${count}:${JSON.stringify([separator, ...names])}:${index.content}`;
  return loaderOf<A>(randomAccess(count, fingerprint, at, file.hold));
}

// --- combinators

/** Whether a name comes before in the list: a record would keep only the last of its fields. */
function isRepeated(name: string, k: number, names: readonly string[]): boolean {
  return names.indexOf(name) !== k;
}

/** Splits text into records at line ends outside of quotation marks. */
function splitRecords(text: string): readonly string[] {
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

/** The fields of a record, or null if quotation marks are wrong or a `\r` alone is outside of them. */
function splitFields(text: string, separator: string): readonly string[] | null {
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
