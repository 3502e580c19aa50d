/**
 * A file of samples: opened when it is first read, closed when nobody iterates over it, and never loaded whole.
 *
 * @module
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { DataFailed, Problem } from "../errors.ts";
import { toError } from "../explain.ts";
import { demand, must } from "../rules.ts";

// --- types

/** A file, open whenever somebody holds it. */
export interface DataFile {
  readonly path: string;
  readonly size: number;
  /** When it was last written to, in milliseconds. */
  readonly modified: number;
  /** Begins a use; the result ends it, and the last one closes the file. */
  readonly hold: () => () => Promise<void>;
  /** Bytes from a position on, all of them, or a rejection with the cause {@link DataFailed}. */
  readonly read: (position: number, length: number) => Promise<Uint8Array>;
  /** As {@link read}, into memory that is there. */
  readonly fill: (bytes: Uint8Array, position: number) => Promise<Uint8Array>;
}

// --- constructors

/** Sees that this can be a file's or a folder's path. */
export function checkPath(of: string, path: string): void {
  const possible = (value: unknown): boolean => typeof value === "string" && value !== "" && !value.includes("\0");
  demand(`the path of ${of}`, must("a path, as a string", possible), path);
}

/** A {@link DataFailed} of one problem. */
export function dataFailed(location: string, problem: Problem): DataFailed {
  return { _tag: "DataFailed", location, problems: [problem] };
}

/** What a system's error says of a file. */
function refused(path: string, cause: unknown): DataFailed {
  const { code = "unknown", message = String(cause) } = cause as { code?: string; message?: string };
  return dataFailed(path, {
    path: "",
    kind: "missing",
    expected: "a file that can be read",
    found: `${code}: ${message}`,
  });
}

/** A rejection's own {@link DataFailed}, or what it says of a file. */
export function failureOf(path: string): (cause: unknown) => DataFailed {
  return (thrown) => {
    const cause = thrown instanceof Error ? thrown.cause as DataFailed | undefined : undefined;
    return cause?._tag === "DataFailed" ? cause : refused(path, thrown);
  };
}

/** Looks at a file, and opens nothing yet. */
export function dataFile(path: string): TE.TaskEither<DataFailed, DataFile> {
  return TE.tryCatch(async () => {
    const { size, mtimeMs } = await fs.stat(path);
    return fileOf(path, size, mtimeMs);
  }, failureOf(path));
}

function fileOf(path: string, size: number, modified: number): DataFile {
  let [users, handle]: [number, fs.FileHandle | Promise<fs.FileHandle> | undefined] = [0, undefined];
  // Whoever opens holds it, so that nobody closes it meanwhile.
  const opened = async (): Promise<fs.FileHandle> => handle = await fs.open(path, "r");
  const fill = async (bytes: Uint8Array, position: number): Promise<Uint8Array> => {
    const { length } = bytes;
    const end = hold();
    try {
      handle ??= opened();
      // Nothing is waited for where the file is open, so that the reading goes on while the caller does something else.
      const open = handle instanceof Promise ? await handle : handle;
      let got = 0;
      for (let step = 1; got < length && step > 0; got += step) {
        step = (await open.read(bytes, got, length - got, position + got)).bytesRead;
      }
      if (got === length) return bytes;
      throw toError(dataFailed(path, {
        path: `byte ${position}`,
        kind: "length",
        expected: `${length} bytes in a file of ${size}`,
        found: `${got}: it was cut while it was read`,
      }));
    } catch (cause) {
      throw toError(failureOf(path)(cause));
    } finally {
      await end();
    }
  };
  const hold = (): () => Promise<void> => {
    users++;
    return async () => {
      if (--users > 0 || handle === undefined) return;
      const last = handle;
      handle = undefined;
      await Promise.resolve(last).then((open) => open.close(), () => undefined);
    };
  };
  return { path, size, modified, hold, fill, read: (position, length) => fill(new Uint8Array(length), position) };
}

// --- combinators

/** Does something with the file held open. */
export async function using<A>(file: DataFile, run: () => Promise<A>): Promise<A> {
  const end = file.hold();
  try {
    return await run();
  } finally {
    await end();
  }
}

/** How many parts of a file are looked at, and how long they are. */
const [looks, look] = [32, 4096];

/** A digest of a file's size and of parts spread evenly over it, the first and the last bytes among them. */
export async function sampleOf(file: DataFile): Promise<string> {
  const hash = createHash("sha256").update(`${file.size};`);
  const last = Math.max(0, file.size - look);
  const starts = new Set(Array.from({ length: looks }, (_, i) => Math.floor(i * last / (looks - 1))));
  const parts = await Promise.all([...starts].map((start) => file.read(start, Math.min(look, file.size - start))));
  parts.forEach((part) => hash.update(part));
  return hash.digest("hex").slice(0, 32);
}

/** What was computed last, by number; what is under way is shared. */
export function recent<A>(most: number, compute: (n: number) => Promise<A>): (n: number) => Promise<A> {
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
