/**
 * Text files by line, and JSON Lines.
 *
 * @module
 */
import type * as t from "io-ts";
import { PathReporter } from "io-ts/lib/PathReporter.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { DataFailed } from "../errors.ts";
import { toError } from "../explain.ts";
import { checkOptionNames, type OptionNames } from "../option_names.ts";
import { type Loader, loaderOf } from "../loader_types.ts";
import { demand, ifGiven, ioTs, oneOf, shown } from "../rules.ts";
import { randomAccess } from "../source.ts";
import { checkPath, dataFailed, type DataFile, dataFile, failureOf, using } from "./file.ts";
import { countOf, type Index, indexOf, type Keep, linesOf, recordsOf } from "./records.ts";

// --- types

/** How a text file is opened. */
export interface LinesOptions {
  /** Where the index of its lines is kept, `"beside"` the file by default; where that may not be written, in memory. */
  readonly index?: Keep;
}

const linesNames = { index: true } satisfies OptionNames<LinesOptions>;

// --- constructors

/** A loader of what a text file's lines stand for. */
function lined<A>(
  path: string,
  { index = "beside" }: LinesOptions,
  read: (line: string, i: number) => A,
  count: (file: DataFile, index: Index) => number | Promise<number> = (_, { count }) => count,
): TE.TaskEither<DataFailed, Loader<A>> {
  return pipe(
    dataFile(path),
    TE.flatMap((file) =>
      TE.tryCatch(async () => {
        const { index: found } = await indexOf(file, false, index);
        const record = recordsOf(file, found, linesOf);
        const at = async (i: number): Promise<A> => read(await record(i), i);
        const length = await using(file, async () => await count(file, found));
        return loaderOf<A>(randomAccess(length, `lines:${length}:${found.content}`, at, file.hold));
      }, failureOf(path))
    ),
  );
}

/**
 * A loader of the lines of a text file in UTF-8, in any order, of a file of any size.
 *
 * The file is read once to build an index, which is kept beside it as `<path>.index`; from then on opening takes a few
 * reads. Line ends (`\n`, `\r\n`) and a byte order mark are left out. The fingerprint covers every byte that the
 * index was built from, and that is built anew when the file has another size, time of change or sample of its bytes.
 *
 * @param path The file. It must stay as it is as long as the loader is used.
 * @param options `index`: `"memory"` to keep no file.
 * @returns A task of the loader. Its left is `DataFailed`; what a change of the file shows while it is read rejects the iteration.
 *
 * @example
 * ```ts
 * import { fromLines, Loader, runOrThrow } from "@dogear/dogear";
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
export function fromLines(path: string, options: LinesOptions = {}): TE.TaskEither<DataFailed, Loader<string>> {
  checkPath("fromLines", path);
  checkOptionNames("fromLines", options, linesNames);
  demand("index of fromLines", ifGiven(oneOf("beside", "memory")), options.index);
  return lined(path, options, (line) => line);
}

/**
 * A loader of the values of a file of JSON Lines, one a line, in any order, of a file of any size: see {@link fromLines}. Blank lines at
 * the end of the file are no samples.
 *
 * @param path The file.
 * @param options `codec`: an io-ts codec that every value must fit, and that gives it its type; `index` as of {@link fromLines}.
 * @returns A task of the loader. A line that is no JSON, or does not fit, rejects the iteration with its number and both sides.
 *
 * @example
 * ```ts
 * import { fromJsonLines, Loader, runOrThrow } from "@dogear/dogear";
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
): TE.TaskEither<DataFailed, Loader<A>> {
  checkPath("fromJsonLines", path);
  checkOptionNames("fromJsonLines", options, { ...linesNames, codec: true });
  demand("index of fromJsonLines", ifGiven(oneOf("beside", "memory")), options.index);
  const { codec } = options;
  demand("codec of fromJsonLines", ifGiven(ioTs("validate", "decode")), codec);
  const wrong = (i: number, expected: string, found: string): Error =>
    toError(dataFailed(path, { path: `line ${i + 1}`, kind: "format", expected, found }));
  const parsed = (line: string, i: number): unknown => {
    try {
      return JSON.parse(line);
    } catch {
      throw wrong(i, "a JSON value", line.trim() === "" ? "an empty line" : shown(line));
    }
  };
  return lined(path, options, (line, i) => {
    const value = parsed(line, i);
    if (codec === undefined) return value as A;
    const decoded = codec.decode(value);
    if (decoded._tag === "Right") return decoded.right;
    throw wrong(i, "a value of the codec", PathReporter.report(decoded).join("; "));
  }, countOf);
}
