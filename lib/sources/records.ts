/**
 * Records of a text file by their number: an index of where they begin, built in one pass and kept.
 *
 * The index holds every `stride`-th record's place, at most 2^19 of them (4 MiB), so that a record is read with a few of its
 * neighbours, and a file of any length takes as little memory. It is valid as long as the file's size, its time of writing and a
 * sample of its content are what they were; it is replaced as a whole, by renaming.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import * as fs from "node:fs/promises";
import { crc32 } from "node:zlib";
import { toError } from "../explain.ts";
import { dataFailed, type DataFile, recent, sampleOf, using } from "./file.ts";
import { piece, scanner } from "./newlines.ts";

// --- types

/** Where the records of a file begin. */
export interface Index {
  readonly size: number;
  readonly modified: number;
  /** A digest of parts of the content. */
  readonly sample: string;
  /** A digest of all of the content. */
  readonly content: string;
  readonly count: number;
  /** Every how many records `starts` knows one. */
  readonly stride: number;
  readonly starts: Float64Array;
}

/** Where an index is kept: in a file beside the data, named as it is and `.index`, or in memory alone. */
export type Keep = "beside" | "memory";

// --- constructors

const magic = "dogear-index/1";
const most = 2 ** 19;
const chunk = 2 ** 22;
const [newline, quote] = [10, 34];
/** A byte order mark in UTF-8: a file of nothing else is empty. */
const mark = Buffer.from([0xef, 0xbb, 0xbf]);

/** The places of records as they are found, of which at most {@link most} are kept. */
interface Places {
  /** A record begins here; the one after it is found next. */
  readonly begin: (position: number) => void;
  /** So many records begin, of which `note` is told of those that are to be kept. */
  readonly beginAll: (find: (skip: number, stride: number, note: (position: number) => void) => number) => void;
  readonly all: () => Pick<Index, "count" | "stride" | "starts">;
}

function places(): Places {
  let starts = new Float64Array(1024);
  let [count, noted, stride] = [0, 0, 1];
  const note = (position: number): void => {
    if (noted === starts.length) {
      const longer = new Float64Array(2 * noted);
      longer.set(starts);
      starts = longer;
    }
    starts[noted++] = position;
  };
  const thin = (): void => {
    for (; noted > most; stride *= 2) {
      noted = Math.ceil(noted / 2);
      for (let i = 0; i < noted; i++) starts[i] = starts[2 * i]!;
    }
  };
  return {
    begin: (position) => {
      if (count++ % stride === 0) note(position);
      thin();
    },
    beginAll: (find) => {
      count += find((stride - count % stride) % stride, stride, note);
      thin();
    },
    all: () => ({ count, stride, starts: starts.slice(0, noted) }),
  };
}

/**
 * Reads a file once from its start to its end, and notes where its records begin.
 *
 * @param quoted Whether line ends between quotation marks end no record.
 * @param told Told how many more bytes were read.
 */
export async function build(
  file: DataFile,
  quoted: boolean,
  told: (bytes: number) => void = () => {},
): Promise<Index> {
  const { size, modified } = file;
  const sample = await sampleOf(file);
  const content = createHash("sha256");
  const found = places();
  let inQuotes = false;
  if (size > 0 && !(size === mark.length && mark.equals(await file.read(0, size)))) found.begin(0);
  const { parts, scan } = scanner(Math.min(chunk, size));
  const search = (part: 0 | 1, bytes: Buffer, from: number, base: number): void => {
    if (quoted && (inQuotes || bytes.includes(quote))) {
      for (let at = 0; at < bytes.length; at++) {
        if (bytes[at] === quote) inQuotes = !inQuotes;
        else if (bytes[at] === newline && !inQuotes && base + at + 1 < size) found.begin(base + at + 1);
      }
    } else {
      // Nothing begins after the last byte.
      const end = Math.min(from + bytes.length, from + size - 1 - base);
      found.beginAll((skip, stride, note) => scan(part, from, end, skip, stride, (at) => note(base - from + at + 1)));
    }
  };
  const look = (part: 0 | 1, bytes: Buffer, base: number): void => {
    const sum = Buffer.alloc(4);
    // Piece by piece, so that what the sum has read is still near when it is searched.
    for (let from = 0; from < bytes.length; from += piece) {
      const some = bytes.subarray(from, from + piece);
      sum.writeUInt32LE(crc32(some, sum.readUInt32LE()));
      search(part, some, from, base + from);
    }
    content.update(sum);
  };
  // The next part is read while this one is looked at.
  const read = (part: 0 | 1, base: number): Promise<Uint8Array> =>
    file.fill(parts[part].subarray(0, Math.max(0, Math.min(chunk, size - base))), base);
  let next = read(0, 0);
  for (let [base, part] = [0, 0 as 0 | 1]; base < size; base += chunk) {
    const { buffer, byteOffset, length } = await next;
    const other = part === 0 ? 1 : 0;
    next = read(other, base + chunk);
    next.catch(() => {});
    look(part, Buffer.from(buffer, byteOffset, length), base);
    told(length);
    part = other;
  }
  await next;
  const { count, stride, starts } = found.all();
  if (inQuotes) {
    throw toError(dataFailed(file.path, {
      path: `record ${count - 1}`,
      kind: "format",
      expected: "a quotation mark that closes the one opened",
      found: "the end of the file",
    }));
  }
  return { size, modified, sample, content: content.digest("hex").slice(0, 32), count, stride, starts };
}

// --- capture and restore

/** The bytes of an index: a line of JSON, blanks up to a multiple of 8, the starts in the machine's order, which is little-endian. */
function encode({ starts, ...about }: Index, quoted: boolean): Uint8Array {
  const body = new Uint8Array(starts.buffer, starts.byteOffset, starts.byteLength);
  const head = JSON.stringify({ magic, quoted, ...about, crc: crc32(body) });
  const padded = `${head.padEnd(Math.ceil((head.length + 1) / 8) * 8 - 1)}\n`;
  return Buffer.concat([Buffer.from(padded), body]);
}

/** The index that these bytes hold, or undefined for anything else. */
function decode(bytes: Buffer, quoted: boolean): Index | undefined {
  const end = bytes.indexOf(newline) + 1;
  try {
    const { magic: name, quoted: how, crc, ...about } = JSON.parse(bytes.toString("utf8", 0, end));
    const body = bytes.subarray(end);
    if (name !== magic || how !== quoted || crc !== crc32(body)) return undefined;
    const { buffer, byteOffset, byteLength } = body;
    const starts = byteOffset % 8 === 0
      ? new Float64Array(buffer, byteOffset, byteLength / 8)
      : new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength));
    return { ...about, starts };
  } catch {
    return undefined;
  }
}

/** An index, and whether it is kept in a file. */
export interface Found {
  readonly index: Index;
  readonly kept: boolean;
}

/**
 * The index kept beside a file, if it is of the file as it is; else a new one, kept where that is asked for and allowed.
 *
 * @param told As of {@link build}; an index that is there is not built.
 */
export async function indexOf(
  file: DataFile,
  quoted: boolean,
  keep: Keep,
  told?: (bytes: number) => void,
): Promise<Found> {
  return await using(file, async () => {
    const path = `${file.path}.index`;
    const kept = keep === "memory"
      ? undefined
      : await fs.readFile(path).then((bytes) => decode(bytes, quoted), () => undefined);
    if (kept !== undefined && kept.size === file.size && kept.modified === file.modified) {
      if (kept.sample === await sampleOf(file)) return { index: kept, kept: true };
    }
    const index = await build(file, quoted, told);
    return { index, kept: keep === "beside" && await replace(path, encode(index, quoted)) };
  });
}

/** Replaces a file of ours as a whole: whether it did. A folder that may not be written to keeps none, and what is not ours stays. */
async function replace(path: string, bytes: Uint8Array): Promise<boolean> {
  const there = await fs.readFile(path, "latin1").catch(() => "");
  if (there !== "" && !there.startsWith(`{"magic":"${magic.slice(0, -1)}`)) return false;
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

/** How many blocks of neighbouring records are kept. */
const blocks = 64;

/** Reads a record by its number, as text without its line end. */
export function recordsOf(
  file: DataFile,
  index: Index,
  split: (text: string) => readonly string[],
): (i: number) => Promise<string> {
  const { starts, stride, count, size } = index;
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const block = recent(blocks, async (n) => {
    const [from, to] = [starts[n]!, starts[n + 1] ?? size];
    const bytes = await file.read(from, to - from);
    const first = n * stride;
    const text = ((): string => {
      try {
        return decoder.decode(bytes);
      } catch {
        throw toError(dataFailed(file.path, {
          path: `records from ${first}`,
          kind: "format",
          expected: "text in UTF-8",
          found: "other bytes",
        }));
      }
    })();
    const records = split(n === 0 && text.startsWith("\uFEFF") ? text.slice(1) : text);
    const expected = Math.min(stride, count - first);
    if (records.length === expected) return records;
    throw toError(dataFailed(file.path, {
      path: `records from ${first}`,
      kind: "data",
      expected: `${expected} between bytes ${from} and ${to}`,
      found: `${records.length}: the file was changed while it was read`,
    }));
  });
  return async (i) => (await block(Math.floor(i / stride)))[i % stride]!;
}

/** Bytes that make no record, if a file ends with them: line ends, blanks and tabs. */
const blank: readonly number[] = [newline, 13, 32, 9];
/** How many bytes are read at a time to find where those begin. */
const tail = 4096;

/**
 * How many records there are before the blank ones at a file's end.
 *
 * @param separator What stands between fields, if it may be a blank: then it is one that makes a record.
 */
export async function countOf(file: DataFile, { count, size }: Index, separator?: string): Promise<number> {
  const bytes = blank.filter((byte) => byte !== separator?.codePointAt(0));
  // Line ends after the last other byte: the first of them is that of the last record.
  let [ends, after] = [0, 0];
  for (let end = size; end > 0;) {
    const from = Math.max(0, end - tail);
    const part = await file.read(from, end - from);
    for (let i = part.length - 1; i >= 0; i--) {
      if (!bytes.includes(part[i]!)) {
        const marked = from + i === mark.length - 1 && mark.equals(await file.read(0, mark.length));
        return marked ? 0 : ends === 0 ? count : count - (ends - 1) - (after > 0 ? 1 : 0);
      }
      if (part[i] === newline) ends++;
      else if (ends === 0) after++;
    }
    end = from;
  }
  return 0;
}

/** Splits text into lines without their ends; the end of the last one may be there or not. */
export function linesOf(text: string): readonly string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
}
