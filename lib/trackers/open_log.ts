/**
 * Opens the log of a run: a new file, or the one that the run has logged to, cut at the step that it resumes from.
 *
 * @module
 */
import { format, parse } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../errors/mod.ts";
import {
  headerLine,
  type LoggedHistogram,
  type LoggedValues,
  type LogHeader,
  logMark,
  logReader,
} from "../logs/mod.ts";
import { storeFailed } from "../store/mod.ts";
import { type OpenFile, writeAll } from "./buffered_file.ts";
import type { LogFile, LogFiles } from "./log_file.ts";
import type { TrackerStart } from "./tracker.ts";

// --- types

/** A log that lines can be appended to. */
export interface OpenLog extends OpenFile {
  /** What it has at the step that the run resumes from: a key for each name. */
  readonly known: ReadonlySet<string>;
}

/** What a file contains. */
interface Scanned {
  /** Its first line; `none` for an empty file, or one with an incomplete line, `foreign` for a file that is no log. */
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

function changed(path: string): StoreFailed {
  const message = "another process has changed it since: it has resumed the same run";
  return storeFailed("log to", path, "ECHANGED", message, "Stop one of the two processes");
}

/** Whether the first bytes of a file are those of a log, or of one whose first line is incomplete. */
function mayBeLog(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes.subarray(0, logMark.length));
  return logMark.startsWith(text);
}

/** The files beside a log for a run that it is not of. */
function ownPaths(path: string, run: string | null): readonly string[] {
  const { dir, name, ext } = parse(path);
  const names = run === null ? ["unnamed"] : [run.slice(0, 8), run];
  // A name is no path: it may be anything that a store of the user's own has.
  return names.map((own) => format({ dir, name: `${name}-${encodeURIComponent(own)}`, ext }));
}

// --- combinators

/** The key in {@link OpenLog.known} of a value that is logged by name. */
export function valueName(name: string): string {
  return `value ${name}`;
}

/** The key of a histogram. */
export function histogramName(name: string): string {
  return `histogram ${name}`;
}

/** The keys of what a record has logged. */
function keysOf(record: LoggedValues | LoggedHistogram): readonly string[] {
  return record._tag === "Values" ? Object.keys(record.values).map(valueName) : [histogramName(record.histogram.name)];
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
    if (length === 0 && !mayBeLog(bytes)) {
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
        if (record.step === step) keysOf(record).forEach((key) => known.add(key));
      }
      end = next;
    }
  }
}

/**
 * A file that is appended to from a position on. If it does not end there, another process logs to it too: one that resumed the same run, and cut what
 * this process had logged.
 */
function appending(file: LogFile, path: string, from: number): OpenFile {
  let position = from;
  const write = (bytes: Uint8Array): TE.TaskEither<StoreFailed, number> =>
    pipe(
      file.length,
      TE.filterOrElse((length) => length === position, () => changed(path)),
      TE.flatMap(() => file.write(bytes, position)),
      TE.tapIO((count) => () => void (position += count)),
    );
  return { path, file: { write, flush: TE.right(undefined), sync: file.sync, close: file.close } };
}

/** Begins a log in an empty file. */
function beginLog(
  file: LogFile,
  path: string,
  { run = null, parent = null }: TrackerStart,
): TE.TaskEither<StoreFailed, OpenLog> {
  const open = appending(file, path, 0);
  const header = new TextEncoder().encode(headerLine({ run, parent }));
  return pipe(
    writeAll(open, header),
    TE.flatMap(() => file.sync),
    TE.map(() => ({ ...open, known: new Set() })),
  );
}

/** Opens a file as the log of a run; undefined if it is that of another. */
function openAt(file: LogFile, path: string, start: TrackerStart): TE.TaskEither<StoreFailed, OpenLog | undefined> {
  return pipe(
    () => scan(file, start.step),
    TE.flatMap(({ header, end, hasMore, known }): TE.TaskEither<StoreFailed, OpenLog | undefined> => {
      if (header === "foreign") return TE.left(foreign(path));
      if (header !== "none" && header.run !== (start.run ?? null)) return TE.right(undefined);
      const cut = hasMore ? pipe(file.cut(end), TE.flatMap(() => file.sync)) : TE.right(undefined);
      return pipe(
        cut,
        TE.flatMap(() =>
          header === "none" ? beginLog(file, path, start) : TE.right({ ...appending(file, path, end), known })
        ),
      );
    }),
  );
}

/**
 * Opens the log of a run.
 *
 * @param files The files.
 * @param path The file, or, if another run has logged to it, the file that others are beside.
 * @param start The run, and the step that it resumes from: -1 before a first log at 0.
 */
export function openLog(files: LogFiles, path: string, start: TrackerStart): TE.TaskEither<StoreFailed, OpenLog> {
  return async () => {
    for (const candidate of [path, ...ownPaths(path, start.run ?? null)]) {
      const file = await pipe(
        files.open(candidate),
        TE.flatMap((found) => found === undefined ? files.create(candidate) : TE.right(found)),
      )();
      if (E.isLeft(file)) return file;
      const log = await openAt(file.right, candidate, start)();
      if (E.isRight(log) && log.right !== undefined) return E.right(log.right);
      await file.right.close();
      if (E.isLeft(log)) return log;
    }
    return E.left(storeFailed("log to", path, "EEXIST", "other runs have logged to it", "Give another path"));
  };
}
