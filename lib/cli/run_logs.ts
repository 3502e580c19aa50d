/**
 * The logs of metrics in the folder of a run.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join } from "node:path";
import { type StoreFailed, toError } from "../errors/mod.ts";
import { logMark, logReader, type LogRecord } from "../logs/mod.ts";
import { localFileSystem } from "../store/directory/mod.ts";
import { runOrThrow } from "../task.ts";
import { type CommandTask, errorOf, type Usage, usageError } from "./arguments.ts";
import { isUrl } from "./stores.ts";

// --- types

/** A log of metrics. */
export interface RunLog {
  readonly path: string;
  /** The run that its first line names. */
  readonly run: string | null;
}

// --- constructors

const pieceBytes = 2 ** 20;

/** The records of a log, read in pieces; none for a file that is no log. An exception has the failure of the disk as cause. */
export async function* logRecords(path: string): AsyncGenerator<LogRecord> {
  const [file, read, buffer] = [await runOrThrow(localFileSystem.open(path)), logReader(), new Uint8Array(pieceBytes)];
  try {
    for (let at = 0, count = -1; count !== 0; at += count) {
      count = await runOrThrow(file.read(buffer, at));
      const isLog = at > 0 || new TextDecoder().decode(buffer.subarray(0, logMark.length)) === logMark;
      if (!isLog) return;
      for (const { record } of read(buffer.subarray(0, count))) if (record !== undefined) yield record;
    }
  } finally {
    await file.close();
  }
}

async function logAt(path: string): Promise<readonly RunLog[]> {
  for await (const record of logRecords(path)) return record._tag === "Header" ? [{ path, run: record.run }] : [];
  return [];
}

/** The `*.jsonl` files directly in the folder of a run, by name. A bucket has none. A pipe would keep a reader waiting, so it is none. */
export function logPaths(location: string): TE.TaskEither<StoreFailed, readonly string[]> {
  if (isUrl(location)) return TE.right([]);
  const fileAt = (path: string): TE.TaskEither<StoreFailed, readonly string[]> =>
    pipe(localFileSystem.status(path), TE.map(({ kind }) => kind === "file" ? [path] : []));
  return pipe(
    localFileSystem.names(location),
    TE.map((names) => names.filter((name) => name.endsWith(".jsonl")).sort()),
    TE.flatMap(TE.traverseSeqArray((name) => fileAt(join(location, name)))),
    TE.map((found) => found.flat()),
  );
}

/** Checks that the files of `--log` are logs. One that is empty may become one. */
export function checkLogs(paths: readonly string[]): CommandTask<unknown> {
  const check = (path: string): CommandTask<unknown> => {
    const refused = (found: string): Usage => usageError(`Expected a log of jsonLines at --log, found ${found}`);
    return pipe(
      localFileSystem.status(path),
      TE.mapLeft(() => refused(`no file ${JSON.stringify(path)}`)),
      TE.filterOrElse(({ kind }) => kind === "file", () => refused(`${JSON.stringify(path)}, which is no file`)),
      TE.flatMap(({ bytes }): CommandTask<boolean> =>
        bytes === 0 ? TE.right(true) : TE.tryCatch(async () => (await logAt(path)).length > 0, errorOf)
      ),
      TE.filterOrElseW((isLog) => isLog, () => refused(`${JSON.stringify(path)}, which is no log`)),
    );
  };
  return TE.traverseSeqArray(check)(paths);
}

/** The logs among them. */
export function logsIn(location: string): CommandTask<readonly RunLog[]> {
  const logs = (path: string): TE.TaskEither<StoreFailed, readonly RunLog[]> =>
    TE.tryCatch(() => logAt(path), (thrown) => toError(thrown).cause as StoreFailed);
  return pipe(logPaths(location), TE.flatMap(TE.traverseSeqArray(logs)), TE.map((found) => found.flat()));
}
