/**
 * Opens the log of a run: a new file, or the one that the run has logged to, cut at the step that it resumes from.
 *
 * @module
 */
import { format, parse } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../errors/mod.ts";
import { headerLine, type LogHeader, logMark, logReader, type LogRecord } from "../logs/mod.ts";
import { storeFailed } from "../store/mod.ts";
import type { LogFile, LogFiles } from "./log_file.ts";
import type { TrackerStart } from "./tracker.ts";

// --- types

/** A log that lines can be appended to. */
export interface OpenLog {
  readonly file: LogFile;
  readonly path: string;
  readonly bytes: number;
  /** What it has at the step that the run resumes from: {@link namesIn} of each record. */
  readonly known: ReadonlySet<string>;
}

/** What a file contains. */
interface Scanned {
  /** Its first line; `none` for an empty file, `foreign` for a file that is no log. */
  readonly header: LogHeader | "none" | "foreign";
  /** Where the part that the run keeps ends, and whether something follows. */
  readonly end: number;
  readonly hasMore: boolean;
  readonly known: ReadonlySet<string>;
}

// --- constructors

const pieceBytes = 2 ** 20;

function foreign(path: string): StoreFailed {
  const message = "it is no log of dogear, and was left as it is";
  return storeFailed("log to", path, "ENOTLOG", message, "Give the path of a new file, or move that one away");
}

/** The files beside a log for a run that it is not of. */
function ownPaths(path: string, run: string | null): readonly string[] {
  const { dir, name, ext } = parse(path);
  const names = run === null ? ["unnamed"] : [run.slice(0, 8), run];
  // A name is no path: it may be anything that a store of the user's own has.
  return names.map((own) => format({ dir, name: `${name}-${encodeURIComponent(own)}`, ext }));
}

// --- combinators

/** The names in a record of values or a histogram, each with its sort. */
export function namesIn(record: LogRecord | undefined): readonly string[] {
  if (record?._tag === "Values") return Object.keys(record.values).map((name) => `values ${name}`);
  return record?._tag === "Histogram" ? [`histogram ${record.histogram.name}`] : [];
}

/** Reads a file up to the first line above a step. */
async function scan(file: LogFile, step: number): Promise<E.Either<StoreFailed, Scanned>> {
  const read = logReader();
  const buffer = new Uint8Array(pieceBytes);
  const known = new Set<string>();
  let [header, length, end]: [LogHeader | "none" | "foreign", number, number] = ["none", 0, 0];
  const scanned = (hasMore: boolean): E.Either<StoreFailed, Scanned> => E.right({ header, end, hasMore, known });
  for (;;) {
    const count = await file.read(buffer, length)();
    if (E.isLeft(count)) return count;
    if (count.right === 0) return scanned(end < length);
    const bytes = buffer.subarray(0, count.right);
    if (length === 0 && !new TextDecoder().decode(bytes.subarray(0, logMark.length)).startsWith(logMark)) {
      header = "foreign";
      return scanned(true);
    }
    length += count.right;
    for (const { at, end: next, record } of read(bytes)) {
      if (at === 0) {
        header = record?._tag === "Header" ? record : "foreign";
        if (header === "foreign") return scanned(true);
      } else if (record !== undefined && record._tag !== "Header") {
        if (record.step > step) return scanned(true);
        if (record.step === step) namesIn(record).forEach((name) => known.add(name));
      }
      end = next;
    }
  }
}

/** Writes bytes at a position. It gives how many were written, and the failure if not all were. */
export async function append(
  file: LogFile,
  path: string,
  bytes: Uint8Array,
  position: number,
): Promise<{ readonly written: number; readonly result: E.Either<StoreFailed, void> }> {
  for (let at = 0; at < bytes.length;) {
    const count = await file.write(bytes.subarray(at), position + at)();
    if (E.isLeft(count)) return { written: at, result: count };
    if (count.right === 0) {
      return { written: at, result: E.left(storeFailed("write", path, "EIO", "the file system wrote no bytes")) };
    }
    at += count.right;
  }
  return { written: bytes.length, result: E.right(undefined) };
}

/** Begins a log in an empty file. */
async function beginLog(
  file: LogFile,
  path: string,
  { run = null, parent = null }: TrackerStart,
): Promise<E.Either<StoreFailed, OpenLog>> {
  const header = new TextEncoder().encode(headerLine({ run, parent }));
  const { result } = await append(file, path, header, 0);
  if (E.isLeft(result)) return result;
  const synced = await file.sync();
  return E.isLeft(synced) ? synced : E.right({ file, path, bytes: header.length, known: new Set() });
}

/** Cuts what a killed process logged. */
async function cut(file: LogFile, end: number): Promise<E.Either<StoreFailed, void>> {
  const done = await file.truncate(end)();
  return E.isLeft(done) ? done : await file.sync();
}

/** Opens a file as the log of a run; undefined if it is that of another. */
async function openAt(
  file: LogFile,
  path: string,
  start: TrackerStart,
): Promise<E.Either<StoreFailed, OpenLog | undefined>> {
  const scanned = await scan(file, start.step);
  if (E.isLeft(scanned)) return scanned;
  const { header, end, hasMore, known } = scanned.right;
  if (header === "foreign") return E.left(foreign(path));
  if (header !== "none" && header.run !== (start.run ?? null)) return E.right(undefined);
  const isCut = hasMore ? await cut(file, end) : E.right(undefined);
  if (E.isLeft(isCut)) return isCut;
  return header === "none" ? await beginLog(file, path, start) : E.right({ file, path, bytes: end, known });
}

/**
 * Opens the log of a run.
 *
 * @param files The files.
 * @param path The file, or, if another run has logged to it, the file that others are beside.
 * @param start The run, and the step that it resumes from: -1 before a first log at 0.
 */
export function openLog(files: LogFiles, path: string, start: TrackerStart): TaskEither<StoreFailed, OpenLog> {
  return async () => {
    for (const candidate of [path, ...ownPaths(path, start.run ?? null)]) {
      const found = await files.open(candidate)();
      if (E.isLeft(found)) return found;
      const made = found.right === undefined ? await files.create(candidate)() : found;
      if (E.isLeft(made)) return made;
      const file = made.right as LogFile;
      const log = await openAt(file, candidate, start);
      if (E.isRight(log) && log.right !== undefined) return log as E.Right<OpenLog>;
      await file.close();
      if (E.isLeft(log)) return log;
    }
    return E.left(storeFailed("log to", path, "EEXIST", "other runs have logged to it", "Give another path"));
  };
}
