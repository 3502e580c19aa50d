/**
 * The record index of a text file: where its records begin, built in one pass and saved, so that a record is read by its number.
 *
 * The index has the position of every `stride`-th record, at most 2^19 positions (4 MiB), for a file of any length. A record is read together
 * with its neighbours up to the next indexed one. A saved index is valid while the size, the time of change and a sample of the content
 * are unchanged. It is replaced as a whole, by a rename.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import * as fs from "node:fs/promises";
import * as E from "fp-ts/lib/Either.js";
import * as J from "fp-ts/lib/Json.js";
import * as t from "io-ts";
import { zlib } from "../zlib.ts";
import { dataError, type DataFile, isGzip, keepRecent, sampleDigest } from "./data_file.ts";
import { piece, type Scanner, scanner } from "./newline_scanner.ts";

// --- types

/** Where the records of a file begin. */
export interface RecordIndex {
  readonly size: number;
  readonly modified: number;
  /** A digest of parts of the content. */
  readonly sample: string;
  /** A digest of the whole content. */
  readonly content: string;
  /** The number of records. */
  readonly count: number;
  /** `starts` has the position of every `stride`-th record. */
  readonly stride: number;
  readonly starts: Float64Array;
}

/** Where an index is saved: in the file `<path>.index` beside the data, or in memory only. */
export type Keep = "beside" | "memory";

// --- constructors

const magic = "dogear-index/1";
/** The most positions in an index. */
const maxStarts = 2 ** 19;
const chunkLength = 2 ** 22;
const [newline, quote] = [10, 34];
/** A byte order mark in UTF-8. A file with nothing else is empty. */
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Finds the records of a file of `size` bytes, and keeps at most {@link maxStarts} of their positions.
 *
 * @param quoted Whether line ends between quotation marks do not end a record.
 */
function recordFinder(size: number, quoted: boolean, scan: Scanner["scan"]) {
  // A search adds at most as many positions as a piece has bytes.
  const starts = new Float64Array(Math.min(size, maxStarts + piece));
  let [count, kept, stride, inQuotes] = [0, 0, 1, false];
  const thin = (): void => {
    for (; kept > maxStarts; stride *= 2) {
      kept = Math.ceil(kept / 2);
      for (let i = 0; i < kept; i++) starts[i] = starts[2 * i]!;
    }
  };
  const add = (position: number): void => {
    if (count++ % stride === 0) starts[kept++] = position;
    thin();
  };
  const searchQuoted = (bytes: Buffer, base: number): void => {
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] === quote) inQuotes = !inQuotes;
      else if (bytes[at] === newline && !inQuotes && base + at + 1 < size) add(base + at + 1);
    }
  };
  return {
    add,
    /** Searches the next piece of the file, which begins at `from` in its part of the scanner and at `base` in the file. */
    search: (part: 0 | 1, bytes: Buffer, from: number, base: number): void => {
      if (quoted && (inQuotes || bytes.includes(quote))) return searchQuoted(bytes, base);
      // No record begins after the last byte of the file.
      const end = Math.min(from + bytes.length, from + size - 1 - base);
      const skip = (stride - count % stride) % stride;
      count += scan(part, from, end, skip, stride, (at) => starts[kept++] = base - from + at + 1);
      thin();
    },
    found: () => ({ count, stride, starts: starts.slice(0, kept), inQuotes }),
  };
}

/** Reads a file from its start to its end in chunks, into the two parts alternately: the next chunk is read while one is visited. */
async function visitChunks(
  file: DataFile,
  parts: Scanner["parts"],
  visit: (part: 0 | 1, bytes: Buffer, base: number) => void,
): Promise<void> {
  const read = (part: 0 | 1, base: number): Promise<Uint8Array> =>
    file.fill(parts[part].subarray(0, Math.max(0, Math.min(chunkLength, file.size - base))), base);
  let next = read(0, 0);
  for (let [base, part] = [0, 0 as 0 | 1]; base < file.size; base += chunkLength) {
    const { buffer, byteOffset, length } = await next;
    const other = part === 0 ? 1 : 0;
    next = read(other, base + chunkLength);
    next.catch(() => {});
    visit(part, Buffer.from(buffer, byteOffset, length), base);
    part = other;
  }
  await next;
}

/**
 * Builds the index of a file in one pass.
 *
 * @param quoted Whether line ends between quotation marks do not end a record.
 * @param onRead Receives the number of bytes of each chunk that was read.
 */
async function buildIndex(file: DataFile, quoted: boolean, onRead: (bytes: number) => void): Promise<RecordIndex> {
  const { size, modified } = file;
  if (await isGzip(file)) {
    throw dataError(file.path, {
      path: "byte 0",
      kind: "format",
      expected: "text, which can be indexed",
      found: "gzip",
      remedy:
        "Decompress it, unless it is of lines: these need no index, for fromLines and fromJsonLines read them as a stream",
    });
  }
  const sample = await sampleDigest(file);
  const content = createHash("sha256");
  const { parts, scan } = scanner(Math.min(chunkLength, size));
  const records = recordFinder(size, quoted, scan);
  const isMarkOnly = size === byteOrderMark.length && byteOrderMark.equals(await file.read(0, size));
  if (size > 0 && !isMarkOnly) records.add(0);
  await visitChunks(file, parts, (part, bytes, base) => {
    let sum = 0;
    // Checksum and search alternate in small pieces, so that each piece is still in the CPU cache when it is searched.
    for (let from = 0; from < bytes.length; from += piece) {
      const some = bytes.subarray(from, from + piece);
      sum = zlib().crc32(some, sum);
      records.search(part, some, from, base + from);
    }
    const sumBytes = Buffer.alloc(4);
    sumBytes.writeUInt32LE(sum);
    content.update(sumBytes);
    onRead(bytes.length);
  });
  const { inQuotes, ...found } = records.found();
  if (inQuotes) {
    throw dataError(file.path, {
      path: `record ${found.count - 1}`,
      kind: "format",
      expected: "a quotation mark that closes the one opened",
      found: "the end of the file",
    });
  }
  return { size, modified, sample, content: content.digest("hex").slice(0, 32), ...found };
}

// --- capture and restore

/** The first line of a saved index. */
const indexHeader = t.type({
  magic: t.literal(magic),
  quoted: t.boolean,
  size: t.Int,
  modified: t.number,
  sample: t.string,
  content: t.string,
  count: t.Int,
  stride: t.Int,
  crc: t.Int,
});

/** The bytes of a saved index: one line of JSON, padded to a multiple of 8 bytes, then `starts` in little-endian order. */
function encodeRecordIndex({ starts, ...about }: RecordIndex, quoted: boolean): Uint8Array {
  const body = new Uint8Array(starts.buffer, starts.byteOffset, starts.byteLength);
  const head = JSON.stringify({ magic, quoted, ...about, crc: zlib().crc32(body) });
  const padded = `${head.padEnd(Math.ceil((head.length + 1) / 8) * 8 - 1)}\n`;
  return Buffer.concat([Buffer.from(padded), body]);
}

/** The index in these bytes, or undefined if they are not an undamaged index of the same sort of records. */
function decodeRecordIndex(bytes: Buffer, quoted: boolean): RecordIndex | undefined {
  const end = bytes.indexOf(newline) + 1;
  const header = E.toUnion(J.parse(bytes.toString("utf8", 0, end)));
  if (!indexHeader.is(header)) return undefined;
  const { size, modified, sample, content, count, stride } = header;
  const body = new Uint8Array(bytes.subarray(end));
  const isIntact = header.crc === zlib().crc32(body) && body.length === 8 * Math.ceil(count / stride);
  if (!isIntact || header.quoted !== quoted) return undefined;
  return { size, modified, sample, content, count, stride, starts: new Float64Array(body.buffer) };
}

/**
 * The index saved beside an open file if it is still valid, else a new one, which is saved if `keep` says so and the folder is writable.
 *
 * @param quoted Whether line ends between quotation marks do not end a record.
 * @param onRead Receives the number of bytes of each chunk that was read to build a new index.
 * @returns The index, and whether it is saved in a file.
 */
export async function loadIndex(
  file: DataFile,
  quoted: boolean,
  keep: Keep,
  onRead: (bytes: number) => void = () => {},
): Promise<{ readonly index: RecordIndex; readonly kept: boolean }> {
  const path = `${file.path}.index`;
  const saved = keep === "memory"
    ? undefined
    : await fs.readFile(path).then((bytes) => decodeRecordIndex(bytes, quoted), () => undefined);
  if (saved !== undefined && saved.size === file.size && saved.modified === file.modified) {
    if (saved.sample === await sampleDigest(file)) return { index: saved, kept: true };
  }
  const index = await buildIndex(file, quoted, onRead);
  return { index, kept: keep === "beside" && await replaceIndex(path, encodeRecordIndex(index, quoted)) };
}

/** Replaces a saved index as a whole. Returns false if the folder is not writable, or if the file is no index of ours. */
async function replaceIndex(path: string, bytes: Uint8Array): Promise<boolean> {
  const current = await fs.readFile(path, "latin1").catch(() => "");
  if (current !== "" && !current.startsWith(`{"magic":"${magic.slice(0, -1)}`)) return false;
  const temporary = `${path}.${randomUUID()}`;
  try {
    await fs.writeFile(temporary, bytes);
    await fs.rename(temporary, path);
    return true;
  } catch {
    await fs.rm(temporary, { force: true }).catch(() => {});
    return false;
  }
}

// --- combinators

/** How many blocks of neighbouring records are kept in memory. */
const keptBlocks = 64;

/** A function that reads a record by its number, as text without its line end. `split` divides the text of a block into records. */
export function recordReader(
  file: DataFile,
  { starts, stride, count, size }: RecordIndex,
  split: (text: string) => readonly string[],
): (i: number) => Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const block = keepRecent(keptBlocks, async (n) => {
    const [from, to, first] = [starts[n]!, starts[n + 1] ?? size, n * stride];
    const fail = (kind: "format" | "data", expected: string, found: string): never => {
      throw dataError(file.path, { path: `records from ${first}`, kind, expected, found });
    };
    const bytes = await file.read(from, to - from);
    const decoded = E.tryCatch(() => decoder.decode(bytes), () => undefined);
    const text = E.isRight(decoded) ? decoded.right : fail("format", "text in UTF-8", "other bytes");
    const records = split(n === 0 && text.startsWith("\uFEFF") ? text.slice(1) : text);
    const expected = Math.min(stride, count - first);
    if (records.length === expected) return records;
    const found = `${records.length}: the file was changed while it was read`;
    return fail("data", `${expected} between bytes ${from} and ${to}`, found);
  });
  return async (i) => (await block(Math.floor(i / stride)))[i % stride]!;
}

/** Bytes that make no record at the end of a file: line ends, blanks and tabs. */
const blankBytes: readonly number[] = [newline, 13, 32, 9];
/** How many bytes are read at a time to find where they begin. */
const tailLength = 4096;

/**
 * The number of records before the blank ones at the end of a file.
 *
 * @param separator The field separator. If it is a blank or a tab, a line of separators alone is a record.
 */
export async function countRecords(file: DataFile, { count, size }: RecordIndex, separator?: string): Promise<number> {
  const blanks = blankBytes.filter((byte) => byte !== separator?.codePointAt(0));
  // Line ends after the last other byte, and other blanks after the last line end. The first line end is that of the last record.
  let [ends, after] = [0, 0];
  for (let end = size; end > 0;) {
    const from = Math.max(0, end - tailLength);
    const part = await file.read(from, end - from);
    for (let i = part.length - 1; i >= 0; i--) {
      if (!blanks.includes(part[i]!)) {
        const isMark = from + i === byteOrderMark.length - 1 &&
          byteOrderMark.equals(await file.read(0, byteOrderMark.length));
        return isMark ? 0 : ends === 0 ? count : count - (ends - 1) - (after > 0 ? 1 : 0);
      }
      if (part[i] === newline) ends++;
      else if (ends === 0) after++;
    }
    end = from;
  }
  return 0;
}

/** Splits text into lines without their ends; the last line may lack its end. */
export function splitLines(text: string): readonly string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
}
