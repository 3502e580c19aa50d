/**
 * Parquet files by row, through `hyparquet`, which is loaded when the first one is opened.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { DataFailed } from "../errors.ts";
import { toError } from "../explain.ts";
import { checkOptionNames, type OptionNames } from "../option_names.ts";
import { type Loader, loaderOf } from "../loader_types.ts";
import { aName, demand, ifGiven, integer, listOf } from "../rules.ts";
import { randomAccess } from "../source.ts";
import { checkPath, dataFailed, type DataFile, dataFile, failureOf, recent, sampleOf, using } from "./file.ts";

// --- types

/** The part of `hyparquet` that is used. */
interface Hyparquet {
  parquetMetadataAsync(file: AsyncBuffer): Promise<Metadata>;
  parquetReadObjects(options: {
    file: AsyncBuffer;
    metadata: Metadata;
    columns?: readonly string[];
    rowStart: number;
    rowEnd: number;
  }): Promise<readonly unknown[]>;
}

interface AsyncBuffer {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

interface Metadata {
  readonly row_groups: readonly { readonly num_rows: bigint }[];
  readonly schema: readonly { readonly name: string; readonly type?: string }[];
}

/** How a Parquet file is opened. */
export interface ParquetOptions {
  /** The columns that are read, all by default. */
  readonly columns?: readonly string[];
  /** How many decoded row groups are kept, 4 by default. */
  readonly groups?: number;
}

const optionNames = { columns: true, groups: true } satisfies OptionNames<ParquetOptions>;

// --- constructors

/** A name that no bundler follows: who opens no Parquet file needs no package for it. */
const hyparquet: string = "hyparquet";

async function reader(path: string): Promise<Hyparquet> {
  try {
    return await import(hyparquet) as Hyparquet;
  } catch (cause) {
    throw toError(dataFailed(path, {
      path: "",
      kind: "missing",
      expected: "the package hyparquet, which reads Parquet: install it (npm install hyparquet)",
      found: cause instanceof Error ? cause.message : String(cause),
    }));
  }
}

/**
 * A loader of the rows of a Parquet file as records, in any order; `hyparquet` must be installed.
 *
 * Rows are decoded a row group at a time, and the groups used last are kept: across many groups `Loader.shuffleWindow` reads each once,
 * where `Loader.shuffle` decodes a group for nearly every row, unless all are kept or `Loader.cache` keeps the rows. The fingerprint
 * covers the schema, the row groups, the size and parts of the content.
 *
 * @param path The file. It must stay as it is as long as the loader is used.
 * @param options `columns` and `groups`.
 * @returns A task of the loader. Its left is `DataFailed`: a footer that is no Parquet, or the package missing.
 *
 * @example
 * ```ts no-run
 * import { fromParquet, Loader, pipe, runOrThrow } from "@dogear/dogear";
 *
 * const rows = await runOrThrow(fromParquet("reviews.parquet", { columns: ["text", "stars"] }));
 * const batches = pipe(rows, Loader.shuffleWindow(10_000, 7), Loader.batch(32));
 * ```
 */
export function fromParquet<A = Readonly<Record<string, unknown>>>(
  path: string,
  options: ParquetOptions = {},
): TE.TaskEither<DataFailed, Loader<A>> {
  checkPath("fromParquet", path);
  checkOptionNames("fromParquet", options, optionNames);
  const { columns, groups = 4 } = options;
  demand("columns of fromParquet", ifGiven(listOf(aName)), columns);
  demand("groups of fromParquet", integer(1), groups);
  return pipe(
    dataFile(path),
    TE.flatMap((file) =>
      TE.tryCatch(() =>
        using(file, async () => {
          const { parquetMetadataAsync, parquetReadObjects } = await reader(path);
          const buffer = bufferOf(file);
          const metadata = await whole(path, "footer", "a Parquet footer", () => parquetMetadataAsync(buffer));
          const sizes = metadata.row_groups.map(({ num_rows }) => Number(num_rows));
          const ends = sizes.map(((end) => (size: number) => end += size)(0));
          const count = ends.at(-1) ?? 0;
          const group = recent(groups, (n) =>
            whole(path, `row group ${n}`, `${sizes[n]} rows`, async () => {
              const [rowStart, rowEnd] = [ends[n]! - sizes[n]!, ends[n]!];
              const wanted = columns === undefined ? {} : { columns };
              const rows = await parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd, ...wanted });
              if (rows.length !== sizes[n]) throw new Error(`${rows.length} rows`);
              return rows;
            }));
          const at = async (i: number): Promise<unknown> => {
            const n = groupAt(ends, i);
            return (await group(n))[i - ends[n]! + sizes[n]!];
          };
          const schema = metadata.schema.map(({ name, type }) => [name, type ?? null]);
          const said = `parquet:${count}:${JSON.stringify([columns ?? null, schema, sizes.length])}:${await sampleOf(
            file,
          )}`;
          return loaderOf<A>(randomAccess(count, said, at, file.hold));
        }), failureOf(path))
    ),
  );
}

// --- combinators

/** What only fits a file that is whole, or what was found instead. */
async function whole<A>(location: string, path: string, expected: string, run: () => Promise<A>): Promise<A> {
  try {
    return await run();
  } catch (thrown) {
    if (thrown instanceof Error && (thrown.cause as DataFailed | undefined)?._tag === "DataFailed") throw thrown;
    const found = thrown instanceof Error ? thrown.message : String(thrown);
    throw toError(dataFailed(location, { path, kind: "format", expected, found }));
  }
}

function bufferOf(file: DataFile): AsyncBuffer {
  return {
    byteLength: file.size,
    slice: async (start, end = file.size) => {
      const bytes = await file.read(start, Math.max(0, Math.min(end, file.size) - start));
      return bytes.buffer as ArrayBuffer;
    },
  };
}

/** The first group that ends behind a row. */
function groupAt(ends: readonly number[], row: number): number {
  let [low, high] = [0, ends.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle]! > row) high = middle;
    else low = middle + 1;
  }
  return low;
}
