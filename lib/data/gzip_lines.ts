/**
 * Loaders of text files compressed by gzip, by line: streams, because gzip can only be read from its start.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import { linesIn, Loader } from "../loader/mod.ts";
import { dataError, dataFailure, type DataFile, sampleDigest } from "../files/mod.ts";

// --- types

/** Makes a sample from a line and its index. */
export type ReadLine<A> = (line: string, i: number) => A | Promise<A>;

// --- constructors

/** How many compressed bytes are read at a time. */
const chunkLength = 2 ** 16;

/**
 * A loader of a value for each line of a gzip file. A line that is skipped is decompressed, and not read.
 *
 * The fingerprint covers the size and parts of the compressed bytes, among them the last ones, which hold the checksum of the text.
 */
export async function gzipLoader<A>(
  file: DataFile,
  read: ReadLine<A>,
  countsBlankEnd: boolean,
): Promise<Loader.Loader<A>> {
  const fingerprint = `gzip lines:${await sampleDigest(file)}`;
  const open = (): AsyncIterable<readonly [string, number]> => numberedLines(file, countsBlankEnd);
  return pipe(Loader.fromIterable(open, { fingerprint }), Loader.map(([line, i]) => read(line, i)));
}

// --- combinators

async function* chunksOf(file: DataFile): AsyncGenerator<Uint8Array, void> {
  const release = file.hold();
  try {
    for (let at = 0; at < file.size; at += chunkLength) {
      yield await file.read(at, Math.min(chunkLength, file.size - at));
    }
  } finally {
    await release();
  }
}

/** The lines of a gzip file, each with its index, with or without the blank lines at its end. */
async function* numberedLines(
  file: DataFile,
  countsBlankEnd: boolean,
): AsyncGenerator<readonly [string, number], void> {
  let [count, blanks]: [number, string[]] = [0, []];
  try {
    for await (const line of linesIn(chunksOf(file))) {
      if (!countsBlankEnd && /^[ \t\r]*$/.test(line)) {
        blanks.push(line);
        continue;
      }
      for (const blank of blanks) yield [blank, count++];
      blanks = [];
      yield [line, count++];
    }
  } catch (thrown) {
    if (dataFailure(thrown) !== undefined) throw thrown;
    const found = thrown instanceof Error ? thrown.message : String(thrown);
    const path = `lines from ${count + blanks.length + 1}`;
    throw dataError(file.path, { path, kind: "format", expected: "text in UTF-8, whole, compressed by gzip", found });
  }
}
