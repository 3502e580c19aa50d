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
import { toError } from "../errors.ts";
import { dataFailed, type DataFile, recent, sampleOf, using } from "./file.ts";

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

/** Reads a file once from its start to its end, and notes where its records begin. */
export async function build(file: DataFile, quoted: boolean): Promise<Index> {
  const sample = await sampleOf(file);
  let starts = new Float64Array(1024);
  let [count, noted, stride] = [0, 0, 1];
  /** How many records until one is noted. */
  let until = 0;
  const begin = (position: number): void => {
    count++;
    if (until-- > 0) return;
    until = stride - 1;
    if (noted === most) {
      noted /= 2;
      for (let i = 0; i < noted; i++) starts[i] = starts[2 * i]!;
      stride *= 2;
      // As many are noted as there were records, so this one is a multiple of the longer stride, too.
      until = stride - 1;
    }
    if (noted === starts.length) {
      const longer = new Float64Array(2 * noted);
      longer.set(starts);
      starts = longer;
    }
    starts[noted++] = position;
  };
  const content = createHash("sha256");
  let inQuotes = false;
  if (file.size > 0) begin(0);
  const scan = (bytes: Buffer, base: number): void => {
    const sum = Buffer.alloc(4);
    sum.writeUInt32LE(crc32(bytes));
    content.update(sum);
    if (quoted && (inQuotes || bytes.indexOf(quote) >= 0)) {
      for (let at = 0; at < bytes.length; at++) {
        if (bytes[at] === quote) inQuotes = !inQuotes;
        else if (bytes[at] === newline && !inQuotes && base + at + 1 < file.size) begin(base + at + 1);
      }
    } else newlines(bytes, (at) => base + at + 1 < file.size && begin(base + at + 1));
  };
  // The next part is read while this one is scanned.
  const memory = [Buffer.alloc(Math.min(chunk, file.size)), Buffer.alloc(Math.min(chunk, file.size))] as const;
  const part = (base: number): Promise<Uint8Array> =>
    file.fill(memory[(base / chunk) % 2]!.subarray(0, Math.max(0, Math.min(chunk, file.size - base))), base);
  let next = part(0);
  for (let base = 0; base < file.size; base += chunk) {
    const bytes = await next;
    next = part(base + chunk);
    next.catch(() => {});
    scan(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), base);
  }
  await next;
  if (inQuotes) {
    throw toError(dataFailed(file.path, {
      path: `record ${count - 1}`,
      kind: "format",
      expected: "a quotation mark that closes the one opened",
      found: "the end of the file",
    }));
  }
  return {
    size: file.size,
    modified: file.modified,
    sample,
    content: content.digest("hex").slice(0, 32),
    count,
    stride,
    starts: starts.slice(0, noted),
  };
}

/** Finds the line ends: sixteen bytes at a time are passed over where none of them is one. */
function newlines(bytes: Buffer, found: (at: number) => unknown): void {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const whole = words.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    // A byte that is zero after the exclusive or lends from the one above, and so sets its highest bit.
    const a = words[i]! ^ 0x0a0a0a0a, b = words[i + 1]! ^ 0x0a0a0a0a;
    const c = words[i + 2]! ^ 0x0a0a0a0a, d = words[i + 3]! ^ 0x0a0a0a0a;
    const any = ((a - 0x01010101) & ~a) | ((b - 0x01010101) & ~b) | ((c - 0x01010101) & ~c) | ((d - 0x01010101) & ~d);
    if ((any & 0x80808080) === 0) continue;
    for (let at = 4 * i; at < 4 * i + 16; at++) if (bytes[at] === newline) found(at);
  }
  for (let at = 4 * whole; at < bytes.length; at++) if (bytes[at] === newline) found(at);
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
    return {
      ...about,
      starts: new Float64Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength)),
    };
  } catch {
    return undefined;
  }
}

/** The index kept beside a file, if it is of the file as it is; else a new one, kept where that is asked for and allowed. */
export async function indexOf(file: DataFile, quoted: boolean, keep: Keep): Promise<Index> {
  return await using(file, async () => {
    const path = `${file.path}.index`;
    const kept = keep === "memory"
      ? undefined
      : await fs.readFile(path).then((bytes) => decode(bytes, quoted), () => undefined);
    if (kept !== undefined && kept.size === file.size && kept.modified === file.modified) {
      if (kept.sample === await sampleOf(file)) return kept;
    }
    const index = await build(file, quoted);
    if (keep === "beside") await replace(path, encode(index, quoted));
    return index;
  });
}

/** Replaces a file of ours as a whole; a folder that may not be written to keeps none, and what is not ours stays. */
async function replace(path: string, bytes: Uint8Array): Promise<void> {
  const there = await fs.readFile(path, "latin1").catch(() => "");
  if (there !== "" && !there.startsWith(`{"magic":"${magic.slice(0, -1)}`)) return;
  const temporary = `${path}.${randomUUID()}`;
  try {
    await fs.writeFile(temporary, bytes);
    await fs.rename(temporary, path);
  } catch {
    await fs.rm(temporary, { force: true }).catch(() => {});
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

/** Splits text into lines without their ends; the end of the last one may be there or not. */
export function linesOf(text: string): readonly string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
}
