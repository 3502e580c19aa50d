/**
 * Exports the curves of a run for TensorBoard: its logs, and what its checkpoints measured and hold, as event files.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join } from "node:path";
import { type LazyCheckpoint, type ReadError, withCheckpoint } from "../checkpoint/mod.ts";
import { tagOf, toError } from "../errors/mod.ts";
import { eventFileName, eventRecord, histogramOf, isEventFile, parseEventFileName, runDigits } from "../logs/mod.ts";
import { arraysOf, segment } from "../state/mod.ts";
import { localFileSystem, makeFolders } from "../store/directory/mod.ts";
import type { Entry, Store } from "../store/mod.ts";
import { type CommandTask, messageOf, usageError } from "./arguments.ts";
import { type CheckpointStatus, checkpointStatus } from "./checkpoint_status.ts";
import type { CommandReport } from "./command.ts";
import { namesOutside, refusedFolder, writeOne, writtenLines } from "./export_files.ts";
import { bytesText, jsonText } from "./format.ts";
import { findCheckpoints, noCheckpoint, type OpenRun, type Reference, runsIn } from "./reference.ts";
import { arrayNumbers } from "./statistics.ts";
import { logRecords, logsIn, type RunLog } from "./run_logs.ts";
import type { OpenUrl } from "./stores.ts";
import { type Terminal, withBar } from "./terminal.ts";

// --- types

/** An intact checkpoint. */
interface Intact {
  readonly entry: Entry;
  readonly shared: number | null;
}

/** A line of history, and where its curves go. */
interface Line {
  readonly run: string | null;
  readonly folder: string;
  readonly name: string;
  readonly logs: readonly RunLog[];
  readonly checkpoints: readonly Intact[];
}

/** A checkpoint that could not be exported, and why. */
interface LeftOut {
  readonly checkpoint: number;
  readonly error: ReadError;
}

// --- checkpoints

/** Reads every byte of checkpoints. Those that were removed meanwhile are in no list. */
function verified({ store, numbers }: OpenRun, terminal: Terminal): CommandTask<readonly CheckpointStatus[]> {
  return async () => {
    const found: CheckpointStatus[] = [];
    for (const [i, checkpoint] of numbers.entries()) {
      const label = `checking checkpoint ${i + 1} of ${numbers.length}`;
      const status = await withBar(terminal, label, (bar) => checkpointStatus(store, checkpoint, true, bar))();
      if (E.isRight(status)) found.push(status.right);
    }
    return E.right(found);
  };
}

/**
 * The lines of history of checkpoints and logs: the first goes to the folder itself, each other one to a folder in it. A log that names no run is of
 * the first.
 */
function linesOf(statuses: readonly CheckpointStatus[], logs: readonly RunLog[], folder: string): readonly Line[] {
  const intact = statuses.flatMap(({ entry, shared, error }) =>
    entry !== null && error === null ? [{ entry, shared }] : []
  );
  const named = [...intact.map(({ entry }) => entry.run), ...logs.flatMap(({ run }) => run ?? [])];
  const first = named[0] ?? null;
  const runs = new Set(logs.length > 0 ? [first, ...named] : named);
  return [...runs].map((run, i) => ({
    run,
    folder: i === 0 ? folder : join(folder, runDigits(run)),
    // Second 0, so that the files of a tracker that continues the run come after it.
    name: eventFileName(0, runDigits(run)),
    logs: logs.filter((log) => (log.run ?? first) === run),
    checkpoints: intact.filter(({ entry }) => entry.run === run),
  }));
}

// --- records

/** The records of a log. `names` receives the names of its numbers. */
async function* logBytes({ path }: RunLog, names: Set<string>): AsyncGenerator<Uint8Array> {
  for await (const record of logRecords(path)) {
    if (record._tag === "Header") continue;
    const { step, time } = record;
    const values = record._tag === "Values"
      ? Object.entries(record.values)
      : [[record.histogram.name, record.histogram] as const];
    if (record._tag === "Values") { for (const [name] of values) names.add(name); }
    yield eventRecord(time, step, { _tag: "values", values });
  }
}

/** The records of a checkpoint, made with one tensor in memory at a time. A metric that was logged has its points already. */
async function recordsOf(
  { encoded }: LazyCheckpoint,
  { entry, shared }: Intact,
  logged: ReadonlySet<string>,
): Promise<readonly Uint8Array[]> {
  const { checkpoint, step, time, metrics, bytes } = entry;
  const at = step ?? checkpoint;
  const values = Object.entries(metrics).filter(([name]) => !logged.has(name));
  const sizes = { "checkpoint/bytes": bytes, ...(shared === null ? {} : { "checkpoint/shared": shared }) };
  const records = [eventRecord(time, at, { _tag: "values", values: [...values, ...Object.entries(sizes)] })];
  for (const [name, node] of encoded.components) {
    const component = segment(name);
    for (const [path, { held, name: weight }] of arraysOf(node, component)) {
      const histogram = histogramOf(arrayNumbers(held, await held.home.read(held)));
      // A weight as in its file, with the component before it: what `inspect` takes, too.
      const tag = weight === undefined ? path : `${component}/${weight}`;
      records.push(eventRecord(time, at, { _tag: "values", values: [[tag, histogram]] }));
    }
  }
  return records;
}

/** The error value of an exception of a read; any other exception is thrown again. */
function readError(thrown: unknown): ReadError {
  const { cause } = toError(thrown);
  if (tagOf(cause) === undefined) throw thrown;
  return cause as ReadError;
}

/** The bytes of the event file of a line. A checkpoint that cannot be read is left out whole. */
async function* fileBytes(store: Store, { checkpoints, logs }: Line, leaveOut: (one: LeftOut) => void) {
  yield eventRecord(checkpoints[0]?.entry.time ?? 0, 0, { _tag: "version" });
  const logged = new Set<string>();
  for (const log of logs) yield* logBytes(log, logged);
  for (const one of checkpoints) {
    const { checkpoint } = one.entry;
    const records = await withCheckpoint(
      { store, checkpoint },
      (opened) => TE.tryCatch(() => recordsOf(opened, one, logged), readError),
    )();
    if (E.isLeft(records)) leaveOut({ checkpoint, error: records.left });
    else yield* records.right;
  }
}

// --- the folders

/**
 * Checks that a folder has no event files but those that may be replaced.
 *
 * @param remedy What to do about the files of another export.
 */
function checkFolder(folder: string, mayReplace: (name: string) => boolean, remedy: string): CommandTask<unknown> {
  return pipe(
    namesOutside(folder),
    TE.map((names) => names.find((name) => isEventFile(name) && !mayReplace(name))),
    TE.filterOrElse(
      (name) => name === undefined,
      (name = "") => {
        // Files of a tracker would become one curve with those of an export.
        const isExport = parseEventFileName(name)?.seconds === 0;
        return refusedFolder(
          "without event files",
          `${join(folder, name)}${isExport ? remedy : ": choose another folder"}`,
        );
      },
    ),
  );
}

// --- the job

/** A run with checkpoints. A folder of runs is an error that names them. */
function oneRun(open: OpenUrl): (found: OpenRun) => CommandTask<OpenRun> {
  return (found) =>
    found.numbers.length > 0 ? TE.right(found) : pipe(
      runsIn(open)(found),
      TE.flatMap(([first, ...more]): CommandTask<OpenRun> => {
        if (first === undefined || first.numbers.length === 0) return TE.left(noCheckpoint(found));
        const all = [first, ...more].slice(0, 20).map(({ text }) => text).join(", ");
        const runs = counted(more.length + 1, "run");
        return TE.left(usageError(`Expected one run, found a folder of ${runs}: ${all}. Export them one at a time`));
      }),
    );
}

/**
 * Writes the curves of a run, or of one of its checkpoints, as event files.
 *
 * @param reference The run.
 * @param folder Where to write.
 * @param force Whether to replace the files of an earlier export.
 */
export function exportCurves(
  reference: Reference,
  folder: string,
  force: boolean,
  terminal: Terminal,
  open: OpenUrl,
): CommandTask<CommandReport> {
  return pipe(
    findCheckpoints(reference, open),
    TE.flatMap(oneRun(open)),
    TE.bindTo("run"),
    // Before the checkpoints are read, which may take long.
    TE.tap(() => checkFolder(folder, () => force, ": choose another folder, or replace it with --force")),
    TE.bind("statuses", ({ run }) => verified(run, terminal)),
    // The logs are of all checkpoints.
    TE.bind("logs", ({ run }) => reference.checkpoint === undefined ? logsIn(run.store.location) : TE.right([])),
    TE.bind("lines", ({ statuses, logs }) => TE.right(linesOf(statuses, logs, folder))),
    TE.tap(({ lines }) =>
      pipe(
        lines,
        TE.traverseSeqArray((line) =>
          checkFolder(line.folder, (name) =>
            force && name === line.name, ", which is of another run: choose another folder")
        ),
      )
    ),
    TE.flatMap(({ run: { store }, statuses, lines }) => {
      const leftOut: LeftOut[] = statuses.flatMap(({ checkpoint, error }) =>
        error === null ? [] : [{ checkpoint, error }]
      );
      const write = (line: Line) => {
        const bytes = fileBytes(store, line, (one) => leftOut.push(one));
        return pipe(
          makeFolders(localFileSystem, line.folder),
          TE.flatMap(() => writeOne(line.folder, { name: line.name, chunks: bytes }, force)),
          TE.tap(() => localFileSystem.syncFolder(line.folder)),
          TE.map((written) => ({ ...written, line })),
        );
      };
      return pipe(
        lines,
        TE.traverseSeqArray(write),
        TE.map((files) => reportOf(store, folder, files, leftOut, terminal)),
      );
    }),
  );
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function reportOf(
  { location }: Store,
  folder: string,
  files: readonly { readonly bytes: number; readonly line: Line }[],
  leftOut: readonly LeftOut[],
  terminal: Terminal,
): CommandReport {
  const written = files.map(({ bytes, line: { run, folder: at, name, logs, checkpoints } }) => {
    const exported = checkpoints.map(({ entry: { checkpoint } }) => checkpoint)
      .filter((checkpoint) => leftOut.every((one) => one.checkpoint !== checkpoint));
    return { path: join(at, name), bytes, run, checkpoints: exported, logs: logs.map(({ path }) => path) };
  });
  return {
    json: [jsonText({ location, folder, files: written, leftOut })],
    text: written.flatMap(({ path, bytes, checkpoints, logs }) => {
      const about = `${bytesText(bytes)}, ${counted(checkpoints.length, "checkpoint")}, ${counted(logs.length, "log")}`;
      return writtenLines(path, about, terminal);
    }),
    messages: leftOut.map(({ checkpoint, error }) => `Checkpoint ${checkpoint} is left out: ${messageOf(error)}`),
    exitCode: () => leftOut.length > 0 ? 1 : 0,
  };
}
