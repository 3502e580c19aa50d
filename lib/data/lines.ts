/**
 * Loaders of text files by line, and of JSON Lines files by value.
 *
 * @module
 */
import type * as t from "io-ts";
import { failure } from "io-ts/lib/PathReporter.js";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as J from "fp-ts/lib/Json.js";
import type { Awaitable } from "../task.ts";
import type { DataFailed } from "../errors/mod.ts";
import { checkOptionNames, codecWith, demand, ifGiven, oneOf, type OptionNames, shown } from "../validation/mod.ts";
import { type Loader, loaderOf, randomAccess } from "../loader/mod.ts";
import {
  checkPath,
  countRecords,
  dataError,
  type Keep,
  loadIndex,
  recordReader,
  splitLines,
  useFile,
} from "../files/mod.ts";

// --- types

/** The options of {@link fromLines}. */
export interface LinesOptions {
  /** Where the index of the lines is saved: `"beside"` the file by default, or `"memory"`. In an unwritable folder it is in memory. */
  readonly index?: Keep;
}

const linesNames = { index: true } satisfies OptionNames<LinesOptions>;

// --- constructors

/** A loader of a value for each line of a text file, with or without the blank lines at its end. */
function lineLoader<A>(
  path: string,
  { index = "beside" }: LinesOptions,
  read: (line: string, i: number) => A,
  countsBlankEnd: boolean,
): Awaitable<DataFailed, Loader.Loader<A>> {
  return useFile(path, async (file) => {
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
 * @param path The file. Do not change it while the loader is in use.
 * @param options `index`: `"beside"` by default; `"memory"` saves no file.
 * @returns A task of the loader, or `DataFailed`. A change of the file that shows while it is read rejects the iteration.
 *
 * @example
 * ```ts
 * import { Loader, runOrThrow } from "@dogear/dogear";
 * import { fromLines } from "@dogear/dogear/data";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const path = `${mkdtempSync(`${tmpdir()}/dogear-`)}/words.txt`;
 * writeFileSync(path, "to\nbe\nor\n");
 * const words = await runOrThrow(fromLines(path));
 * assert.deepEqual([Loader.length(words), await Loader.at(2)(words)], [3, "or"]);
 * ```
 */
export function fromLines(path: string, options: LinesOptions = {}): Awaitable<DataFailed, Loader.Loader<string>> {
  checkPath("fromLines", path);
  checkOptionNames("fromLines", options, linesNames);
  demand("index of fromLines", ifGiven(oneOf("beside", "memory")), options.index);
  return lineLoader(path, options, (line) => line, true);
}

/**
 * A loader of the values of a JSON Lines file of any size, one for each line, with random access: see {@link fromLines}.
 *
 * Blank lines at the end of the file are not samples.
 *
 * @param path The file. Do not change it while the loader is in use.
 * @param options `codec`: an io-ts codec that decodes every value and gives it its type; none by default. `index`: as in {@link fromLines}.
 * @returns A task of the loader, or `DataFailed`. A line that is no JSON, or that the codec rejects, rejects the iteration with the line
 * number, and with what was expected and found.
 *
 * @example
 * ```ts
 * import { Loader, runOrThrow } from "@dogear/dogear";
 * import { fromJsonLines } from "@dogear/dogear/data";
 * import * as t from "io-ts";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const path = `${mkdtempSync(`${tmpdir()}/dogear-`)}/reviews.jsonl`;
 * writeFileSync(path, `{"text":"good","stars":5}\n{"text":"bad","stars":1}\n`);
 * const reviews = await runOrThrow(fromJsonLines(path, { codec: t.type({ text: t.string, stars: t.number }) }));
 * assert.equal((await Loader.at(1)(reviews)).stars, 1);
 * ```
 */
export function fromJsonLines<A = unknown>(
  path: string,
  options: LinesOptions & { readonly codec?: t.Decoder<unknown, A> } = {},
): Awaitable<DataFailed, Loader.Loader<A>> {
  checkPath("fromJsonLines", path);
  checkOptionNames("fromJsonLines", options, { ...linesNames, codec: true });
  demand("index of fromJsonLines", ifGiven(oneOf("beside", "memory")), options.index);
  const { codec } = options;
  demand("codec of fromJsonLines", ifGiven(codecWith("validate", "decode")), codec);
  const fail = (i: number, expected: string, found: string): never => {
    throw dataError(path, { path: `line ${i + 1}`, kind: "format", expected, found });
  };
  return lineLoader(path, options, (line, i) => {
    const value = pipe(
      J.parse(line),
      E.getOrElseW(() => fail(i, "a JSON value", line.trim() === "" ? "an empty line" : shown(line))),
    );
    if (codec === undefined) return value as A;
    return pipe(
      codec.decode(value),
      E.getOrElseW((errors) => fail(i, "a value of the codec", failure(errors).join("; "))),
    );
  }, false);
}
