/**
 * Loaders of text files by line, and of JSON Lines files by value.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Awaitable } from "../task.ts";
import type { DataFailed } from "../errors/mod.ts";
import {
  checkLocalPath,
  checkOptions,
  type DataCodec,
  dataCodec,
  ifGiven,
  oneOf,
  type OptionRules,
  shown,
} from "../validation/mod.ts";
import { type Loader, loaderOf, randomAccess } from "../loader/mod.ts";
import { countRecords, dataError, isGzip, loadIndex, recordReader, splitLines, useFile } from "../files/mod.ts";
import { sampleDecoder } from "./decode_sample.ts";
import { gzipLoader, type ReadLine } from "./gzip_lines.ts";
import { type LargeIntegers, parseWithBigints } from "./json_value.ts";

// --- types

/** The options of {@link fromLines}. */
export interface LinesOptions {
  /** Where the index of the lines is saved: `"beside"` the file by default, or `"memory"`. In an unwritable folder it is in memory. */
  readonly index?: "beside" | "memory";
}

/** The options of {@link fromJsonLines}. */
export interface JsonLinesOptions<A = unknown> extends LinesOptions {
  /**
   * What decodes every value and gives it its type: a codec of io-ts, or a schema of zod, valibot, arktype, Effect or another library with the
   * interface of Standard Schema, whose validation may be asynchronous.
   */
  readonly codec?: DataCodec<A>;
  /**
   * What becomes of an integer beyond ±(2^53 - 1): `"refuse"` rejects the iteration with its line and path, `"bigint"` gives it as a bigint,
   * `"round"` as the nearest number. Numbers with a fraction or an exponent are what `JSON.parse` makes of them.
   * @default "refuse"
   */
  readonly largeIntegers?: LargeIntegers;
}

const linesRules = { index: ifGiven(oneOf("beside", "memory")) } satisfies OptionRules<LinesOptions>;

const jsonLinesRules = {
  ...linesRules,
  codec: ifGiven(dataCodec),
  largeIntegers: ifGiven(oneOf("refuse", "bigint", "round")),
} satisfies OptionRules<JsonLinesOptions>;

// --- constructors

/** A loader of a value for each line of a text file, with or without the blank lines at its end. */
function lineLoader<A>(
  path: string,
  { index = "beside" }: LinesOptions,
  read: ReadLine<A>,
  countsBlankEnd: boolean,
): Awaitable<DataFailed, Loader.Loader<A>> {
  return useFile(path, async (file) => {
    if (await isGzip(file)) return gzipLoader(file, read, countsBlankEnd);
    const { index: found } = await loadIndex(file, false, index);
    const record = recordReader(file, found, splitLines);
    const at = async (i: number): Promise<A> => read(await record(i), i);
    const length = countsBlankEnd ? found.count : await countRecords(file, found);
    return loaderOf<A>(randomAccess(length, `lines:${length}:${found.content}`, at, file.hold));
  });
}

/**
 * A loader of the lines of a UTF-8 text file of any size, with random access.
 *
 * The file is read once to build an index, which is saved beside it as `<path>.index`; later opening takes a few reads. The lines have no
 * line ends (`\n`, `\r\n`), and a byte order mark is removed. The fingerprint covers all bytes. The index is built again if the file has
 * another size, time of change or sample of its bytes.
 *
 * A gzip file, recognized by its first bytes, is a stream. It has no index and no length; `shuffleWindow` shuffles it, `shuffle` cannot. A
 * resume decompresses it again from its start. All its members are read. A cut or damaged file rejects the iteration with the position. The
 * fingerprint covers the size and parts of the bytes, among them the checksum at the end.
 *
 * @param path The file. Do not change it while the loader is in use.
 * @param options `index`: `"beside"` by default; `"memory"` saves no file.
 * @returns A task of the loader, or `DataFailed`. A change of the file that shows while it is read rejects the iteration.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import { fromLines } from "@dogear/dogear/data";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const path = `${mkdtempSync(`${tmpdir()}/dogear-`)}/words.txt`;
 * writeFileSync(path, "to\nbe\nor\n");
 * const words = await fromLines(path);
 * assert.deepEqual([Loader.length(words), await Loader.at(2)(words)], [3, "or"]);
 * ```
 */
export function fromLines(path: string, options: LinesOptions = {}): Awaitable<DataFailed, Loader.Loader<string>> {
  checkLocalPath("the path of fromLines", path);
  checkOptions("fromLines", options, linesRules);
  return lineLoader(path, options, (line) => line, true);
}

/**
 * A loader of the values of a JSON Lines file of any size, one for each line, with random access: see {@link fromLines}.
 *
 * Blank lines at the end of the file are not samples. Integers beyond ±(2^53 - 1) are errors, unless `largeIntegers` says otherwise. A gzip
 * file is a stream, as for `fromLines`; skipped lines are not parsed.
 *
 * @param path The file. Do not change it while the loader is in use.
 * @param options `codec`: an io-ts codec, or a schema of zod, valibot, arktype, Effect or another library with Standard Schema, that decodes
 * every value and gives it its type; none by default. `largeIntegers`: `"refuse"` by default, `"bigint"` or `"round"`. `index`: as in
 * {@link fromLines}.
 * @returns A task of the loader, or `DataFailed`. A line that is no JSON, or that the codec rejects, rejects the iteration with the line
 * number, the path in its value, and with what was expected and found. A codec of another form is a `TypeError`.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import { fromJsonLines } from "@dogear/dogear/data";
 * import * as t from "io-ts";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const path = `${mkdtempSync(`${tmpdir()}/dogear-`)}/reviews.jsonl`;
 * writeFileSync(path, `{"text":"good","stars":5}\n{"text":"bad","stars":1}\n`);
 * const reviews = await fromJsonLines(path, { codec: t.type({ text: t.string, stars: t.number }) });
 * assert.equal((await Loader.at(1)(reviews)).stars, 1);
 * ```
 */
export function fromJsonLines<A = unknown>(
  path: string,
  options: JsonLinesOptions<A> = {},
): Awaitable<DataFailed, Loader.Loader<A>> {
  checkLocalPath("the path of fromJsonLines", path);
  checkOptions("fromJsonLines", options, jsonLinesRules);
  const decode = sampleDecoder(path, options.codec);
  const parse = jsonParser(path, options.largeIntegers ?? "refuse");
  return lineLoader(path, options, (line, i) => decode(parse(line, i), `line ${i + 1}`), false);
}

// --- combinators

/** A function that parses a line; it throws a {@link DataFailed} for one that is no JSON, or that has integers that are refused. */
function jsonParser(path: string, largeIntegers: LargeIntegers): (line: string, i: number) => unknown {
  const parse = largeIntegers === "round"
    ? (text: string) => ({ value: JSON.parse(text), large: [] })
    : parseWithBigints;
  return (line, i) => {
    const where = `line ${i + 1}`;
    const parsed = E.tryCatch(() => parse(line), () => line.trim() === "" ? "an empty line" : shown(line));
    if (E.isLeft(parsed)) {
      throw dataError(path, { path: where, kind: "format", expected: "a JSON value", found: parsed.left });
    }
    const { value, large } = parsed.right;
    if (large.length === 0 || largeIntegers !== "refuse") return value;
    const expected = "an integer of at most 2^53 - 1, which a number holds";
    const remedy =
      'Read such integers as bigints, { largeIntegers: "bigint" }, or round them, { largeIntegers: "round" }';
    const problems = large.map(({ path, integer }) => {
      return { path: [where, ...path].join("/"), kind: "value" as const, expected, found: String(integer), remedy };
    });
    throw dataError(path, ...problems);
  };
}
