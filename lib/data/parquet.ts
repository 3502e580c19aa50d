/**
 * Loaders of Parquet files by row, through the package `hyparquet`, which is imported when the first file is opened.
 *
 * @module
 */
import type { Awaitable } from "../task.ts";
import type { DataFailed } from "../errors/mod.ts";
import {
  aName,
  checkLocalPath,
  checkOptions,
  type DataCodec,
  dataCodec,
  ifGiven,
  integer,
  listOf,
  type OptionRules,
} from "../validation/mod.ts";
import { consecutive, type Loader, loaderOf, randomAccess } from "../loader/mod.ts";
import { dataError, dataFailure, type DataFile, keepRecent, sampleDigest, useFile } from "../files/mod.ts";
import { sampleDecoder } from "./decode_sample.ts";

// --- types

/** The part of `hyparquet` that is used here. */
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

/** The options of {@link fromParquet}. */
export interface ParquetOptions<A = Readonly<Record<string, unknown>>> {
  /** The columns to read, all by default. */
  readonly columns?: readonly string[];
  /** The number of decoded row groups kept in memory, an integer from 1; 4 by default. */
  readonly groups?: number;
  /** What decodes every row and gives it its type, as for `fromJsonLines`; by default rows are what `hyparquet` reads. */
  readonly codec?: DataCodec<A>;
}

const optionRules = {
  columns: ifGiven(listOf(aName)),
  groups: ifGiven(integer(1)),
  codec: ifGiven(dataCodec),
} satisfies OptionRules<ParquetOptions>;

// --- constructors

/** A variable, so that no bundler includes the package: it is needed only to open Parquet files. */
const hyparquet: string = "hyparquet";

async function importHyparquet(path: string): Promise<Hyparquet> {
  try {
    return await import(hyparquet) as Hyparquet;
  } catch (cause) {
    throw dataError(path, {
      path: "",
      kind: "missing",
      expected: "the package hyparquet, which reads Parquet: install it (npm install hyparquet)",
      found: cause instanceof Error ? cause.message : String(cause),
    });
  }
}

/**
 * A loader of the rows of a Parquet file as records, with random access; `hyparquet` must be installed.
 *
 * A row group is decoded as a whole, and the last groups used are kept. In a file of many groups use `Loader.shuffleWindow`, which decodes
 * each group once: `Loader.shuffle` decodes a group for nearly every row, unless all are kept or `Loader.cache` keeps the rows. The
 * fingerprint covers the schema, the row groups, the size and parts of the content.
 *
 * @param path The file. Do not change it while the loader is in use.
 * @param options `columns`: the columns to read, all by default. `groups`: the number of decoded row groups kept, an integer from 1, 4 by
 * default. `codec`: a codec of io-ts or a schema with Standard Schema, as for `fromJsonLines`; none by default.
 * @returns A task of the loader, or `DataFailed` if the file is no Parquet file or the package is missing. A row that the codec rejects
 * rejects the iteration with its number, counted from 1.
 *
 * @example
 * ```ts no-run
 * import { Loader, pipe } from "@dogear/dogear";
 * import { fromParquet } from "@dogear/dogear/data";
 *
 * const rows = await fromParquet("reviews.parquet", { columns: ["text", "stars"] });
 * const batches = pipe(rows, Loader.shuffleWindow(10_000, 7), Loader.batch(32));
 * ```
 */
export function fromParquet<A = Readonly<Record<string, unknown>>>(
  path: string,
  options: ParquetOptions<A> = {},
): Awaitable<DataFailed, Loader.Loader<A>> {
  checkLocalPath("the path of fromParquet", path);
  checkOptions("fromParquet", options, optionRules);
  return useFile(path, (file) => parquetLoader(file, options));
}

async function parquetLoader<A>(
  file: DataFile,
  { columns, groups = 4, codec }: ParquetOptions<A>,
): Promise<Loader.Loader<A>> {
  const { path } = file;
  const { parquetMetadataAsync, parquetReadObjects } = await importHyparquet(path);
  const buffer = bufferOf(file);
  const metadata = await asFormatProblem(path, "footer", "a Parquet footer", () => parquetMetadataAsync(buffer));
  const sizes = metadata.row_groups.map(({ num_rows }) => Number(num_rows));
  const { ends, locate } = consecutive(sizes);
  const count = ends.at(-1) ?? 0;
  const group = keepRecent(
    groups,
    (n) =>
      asFormatProblem(path, `row group ${n}`, `${sizes[n]} rows`, async () => {
        const [rowStart, rowEnd] = [ends[n]! - sizes[n]!, ends[n]!];
        const wanted = columns === undefined ? {} : { columns };
        const rows = await parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd, ...wanted });
        if (rows.length !== sizes[n]) throw new Error(`${rows.length} rows`);
        return rows;
      }),
  );
  const decode = sampleDecoder(path, codec);
  const at = async (i: number): Promise<A> => {
    const [n, row] = locate(i);
    return decode((await group(n))[row], `row ${i + 1}`);
  };
  const schema = metadata.schema.map(({ name, type }) => [name, type ?? null]);
  const about = JSON.stringify([columns ?? null, schema, sizes.length]);
  const fingerprint = `parquet:${count}:${about}:${await sampleDigest(file)}`;
  return loaderOf<A>(randomAccess(count, fingerprint, at, file.hold));
}

// --- combinators

/** The result of reading a part of the file; an error is reported as a problem of that part's format. */
async function asFormatProblem<A>(location: string, path: string, expected: string, run: () => Promise<A>): Promise<A> {
  try {
    return await run();
  } catch (thrown) {
    if (dataFailure(thrown) !== undefined) throw thrown;
    const found = thrown instanceof Error ? thrown.message : String(thrown);
    throw dataError(location, { path, kind: "format", expected, found });
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
