/**
 * The handle of a data file: opened at the first read, closed when no iteration uses it, and never loaded whole.
 *
 * @module
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import { resolve } from "node:path";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type DataFailed, printable, type Problem, toError } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";

// --- types

/** A file that is open while at least one reference on it is held. */
export interface DataFile {
  readonly path: string;
  readonly size: number;
  /** The time of the last change, in milliseconds since 1970. */
  readonly modified: number;
  /** Takes a reference; the result releases it. Releasing the last reference closes the file. */
  readonly hold: () => () => Promise<void>;
  /** All `length` bytes from a position on; a rejection with the cause {@link DataFailed} if there are fewer. */
  readonly read: (position: number, length: number) => Promise<Uint8Array>;
  /** As {@link read}, into existing memory. */
  readonly fill: (bytes: Uint8Array, position: number) => Promise<Uint8Array>;
}

// --- constructors

/** The most characters of a file's text, or of a codec's, in one part of a problem. */
const longest = 300;

/** Text of a file or a codec on one line, safe to print, and cut if it is long. */
function quoted(text: string): string {
  return printable(text.length > longest ? `${text.slice(0, longest)}…` : text);
}

/** The exception for problems of a file or a folder; its cause is a {@link DataFailed}. What the file and codecs say is made safe to print. */
export function dataError(location: string, ...problems: readonly Problem[]): Error {
  const safe = problems.map((problem) => {
    const { path, expected, found } = problem;
    return { ...problem, path: quoted(path), expected: quoted(expected), found: quoted(found) };
  });
  return toError({ _tag: "DataFailed", location, problems: safe } satisfies DataFailed);
}

/** The {@link DataFailed} that is the cause of an exception, if it is one. */
export function dataFailure(thrown: unknown): DataFailed | undefined {
  const cause = thrown instanceof Error ? thrown.cause as DataFailed | undefined : undefined;
  return cause?._tag === "DataFailed" ? cause : undefined;
}

/** Reads a file or a folder of data; an error of the system becomes a {@link DataFailed} too. */
export function readingData<A>(
  path: string,
  read: () => Promise<A>,
  what: "file" | "folder" = "file",
): Awaitable<DataFailed, A> {
  return awaitable(TE.tryCatch(read, (thrown) => dataFailure(thrown) ?? unreadable(path, thrown, what)));
}

/** The {@link DataFailed} for a file or a folder that the system cannot open or read. */
function unreadable(path: string, cause: unknown, what: "file" | "folder" = "file"): DataFailed {
  const { code = "unknown", message = String(cause) } = cause as { code?: string; message?: string };
  const problem = code === "ENOENT" ? { path: "", kind: "missing" as const, expected: `a ${what}`, found: code } : {
    path: "",
    kind: "value" as const,
    expected: `a ${what} that can be read`,
    found: message.includes(code) ? message : `${code}: ${message}`,
    remedy: code === "EISDIR" ? "Give the path of a file" : "Give this process access to it, then open it again",
  };
  return { _tag: "DataFailed", location: resolve(path), problems: [problem] };
}

/** Uses a file, which is held open meanwhile. */
export function useFile<A>(path: string, use: (file: DataFile) => Promise<A>): Awaitable<DataFailed, A> {
  return readingData(path, async () => {
    const { size, mtimeMs } = await fs.stat(path);
    const file = fileOf(path, size, mtimeMs);
    const release = file.hold();
    try {
      return await use(file);
    } finally {
      await release();
    }
  });
}

/** The handle of a file, from its size and time of change; it is not opened yet. */
function fileOf(path: string, size: number, modified: number): DataFile {
  let [references, handle]: [number, fs.FileHandle | Promise<fs.FileHandle> | undefined] = [0, undefined];
  const openFile = async (): Promise<fs.FileHandle> => handle = await fs.open(path, "r");
  const fill = async (bytes: Uint8Array, position: number): Promise<Uint8Array> => {
    const { length } = bytes;
    // Reading takes a reference, so the handle cannot be closed while it opens.
    const release = hold();
    try {
      handle ??= openFile();
      // If the file is open, the read starts before this function first awaits, so it runs while the caller continues.
      const open = handle instanceof Promise ? await handle : handle;
      let got = 0;
      for (let step = 1; got < length && step > 0; got += step) {
        step = (await open.read(bytes, got, length - got, position + got)).bytesRead;
      }
      if (got === length) return bytes;
      throw dataError(path, {
        path: `byte ${position}`,
        kind: "length",
        expected: `${length} bytes in a file of ${size}`,
        found: `${got}: it was truncated while it was read`,
      });
    } catch (thrown) {
      throw toError(dataFailure(thrown) ?? unreadable(path, thrown));
    } finally {
      await release();
    }
  };
  const hold = (): () => Promise<void> => {
    references++;
    return async () => {
      if (--references > 0 || handle === undefined) return;
      const last = handle;
      handle = undefined;
      await Promise.resolve(last).then((open) => open.close(), () => undefined);
    };
  };
  return { path, size, modified, hold, fill, read: (position, length) => fill(new Uint8Array(length), position) };
}

// --- combinators

/** How many parts of a file {@link sampleDigest} reads, and their length in bytes. */
const [sampledParts, partLength] = [32, 4096];

/** A digest of a file's size and of parts spread evenly over it, including its first and last bytes. */
export async function sampleDigest(file: DataFile): Promise<string> {
  const hash = createHash("sha256").update(`${file.size};`);
  const last = Math.max(0, file.size - partLength);
  const starts = new Set(Array.from({ length: sampledParts }, (_, i) => Math.floor(i * last / (sampledParts - 1))));
  const parts = await Promise.all(
    [...starts].map((start) => file.read(start, Math.min(partLength, file.size - start))),
  );
  parts.forEach((part) => hash.update(part));
  return hash.digest("hex").slice(0, 32);
}

/** Whether a file is gzip, by its first bytes. No text in UTF-8 begins so. */
export async function isGzip(file: DataFile): Promise<boolean> {
  const [first, second] = await file.read(0, Math.min(2, file.size));
  return first === 0x1f && second === 0x8b;
}

/** A function that keeps its `most` last results by number. Calls for a result in progress share it. */
export function keepRecent<A>(most: number, compute: (n: number) => Promise<A>): (n: number) => Promise<A> {
  const kept = new Map<number, Promise<A>>();
  return (n) => {
    const value = kept.get(n) ?? compute(n);
    kept.delete(n);
    kept.set(n, value);
    value.catch(() => kept.delete(n));
    if (kept.size > most) kept.delete(kept.keys().next().value!);
    return value;
  };
}
