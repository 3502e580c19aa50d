/**
 * Loaders over data files: text lines, JSON Lines, CSV, npy, folders of files, Parquet. The entry `@dogear/dogear/data`.
 *
 * Each function opens a file and gives a `Loader` with random access: shuffling and resuming read only the samples that are asked for. Gzip
 * files of lines are streams. Everything that reads files is here; what is in memory, and streams, are `Loader.from…` of the main entry.
 *
 * Promises: a file of many samples is never held in memory whole; a cursor of another file, or of a file that changed, is an error that shows both.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import { fromJsonLines } from "@dogear/dogear/data";
 * import assert from "node:assert/strict";
 * import { writeFileSync } from "node:fs";
 *
 * writeFileSync("numbers.jsonl", "1\n2\n3\n4\n");
 * const numbers = await fromJsonLines("numbers.jsonl");
 * assert.deepEqual(await Loader.at(0)(pipe(numbers, Loader.batch(4))), [1, 2, 3, 4]);
 * ```
 *
 * @module
 */

// Read `lines` first, with `json_value`, `decode_sample` and `gzip_lines`; `csv`, `npy`, `folder` and `parquet` are alike.
export { fromJsonLines, fromLines, type JsonLinesOptions, type LinesOptions } from "./lines.ts";
export type { LargeIntegers } from "./json_value.ts";
export type { DataCodec, StandardSchema } from "../validation/mod.ts";
export { type CsvOptions, type CsvRecord, fromCsv } from "./csv.ts";
export { fromNpy, type Row } from "./npy.ts";
export { type FileSample, fromFolder } from "./folder.ts";
export { fromParquet, type ParquetOptions } from "./parquet.ts";
