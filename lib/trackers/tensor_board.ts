/**
 * The tracker of TensorBoard: event files in a folder.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join, resolve } from "node:path";
import type { StoreFailed } from "../errors/mod.ts";
import {
  eventFileName,
  type EventNames,
  eventReader,
  eventRecord,
  type Histogram,
  isEventFile,
  parseEventFileName,
  runDigits,
  taggedName,
} from "../logs/mod.ts";
import { localFileSystem, makeFolders, means, syncAbove, unless } from "../store/directory/mod.ts";
import { runOrThrow } from "../task.ts";
import { checkLocalPath } from "../validation/mod.ts";
import { type BufferedFile, bufferedFile, type OpenFile } from "./buffered_file.ts";
import { checkHistogram, checkLog, checkStart, histogramNow } from "./inputs.ts";
import type { Tracker, TrackerStart } from "./tracker.ts";

// --- types

/** Values with their names. */
type Values = readonly (readonly [name: string, value: number | Histogram])[];

/** An event file, and what earlier files have at the step where it starts: the `taggedName` of each value. */
interface NewFile extends OpenFile {
  readonly known: ReadonlySet<string>;
}

// --- files

/** The names of event files in a folder, which may not exist. */
function eventFiles(folder: string): TE.TaskEither<StoreFailed, readonly string[]> {
  return pipe(
    localFileSystem.names(folder),
    unless<readonly string[]>(means("missing", "names"), () => TE.right([])),
    TE.map((names) => names.filter(isEventFile)),
  );
}

/** Makes a file whose name comes after those of the others in its folder. */
function createAfter(folder: string, others: readonly string[], digits: string): TE.TaskEither<StoreFailed, OpenFile> {
  const newest = Math.max(...others.map((name) => parseEventFileName(name)?.seconds ?? 0), 0);
  const create = (seconds: number): TE.TaskEither<StoreFailed, OpenFile> => {
    const path = join(folder, eventFileName(seconds, digits));
    return pipe(
      localFileSystem.create(path),
      TE.map((file) => ({ path, file })),
      unless(means("taken", "create"), () => create(seconds + 1)),
    );
  };
  return create(Math.max(Math.floor(Date.now() / 1000), newest + 1));
}

/** Receives the names in the events of a file. */
async function readNames(path: string, onEvent: (event: EventNames) => void): Promise<void> {
  const [file, read, buffer] = [await runOrThrow(localFileSystem.open(path)), eventReader(), new Uint8Array(2 ** 20)];
  try {
    for (let at = 0, count = -1; count !== 0; at += count) {
      count = await runOrThrow(file.read(buffer, at));
      read(buffer.subarray(0, count)).forEach(onEvent);
    }
  } finally {
    await file.close();
  }
}

/** What TensorBoard shows of files at a step: what was logged there after the checkpoint that a run resumes from. */
async function namesAt(step: number, folder: string, files: readonly string[]): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  for (const name of files.toSorted()) {
    await readNames(join(folder, name), (event) => {
      if (event.isStart && event.step <= step) known.clear();
      if (event.step === step) event.names.forEach((one) => known.add(one));
    });
  }
  return known;
}

/** Makes the event file of a process: in the folder, or in a subfolder if the folder has event files of another run or program. */
async function newEventFile(folder: string, digits: string, step: number): Promise<NewFile> {
  const names = await runOrThrow(eventFiles(folder));
  const isOwn = names.every((name) => parseEventFileName(name)?.digits === digits);
  const own = isOwn ? folder : join(folder, digits);
  await runOrThrow(makeFolders(localFileSystem, own));
  const others = await runOrThrow(eventFiles(own));
  const known = await namesAt(step, own, others);
  const open = await runOrThrow(createAfter(own, others, digits));
  // The names of the file and of new folders must be durable, too.
  await runOrThrow(syncAbove(localFileSystem, open.path));
  return { ...open, known };
}

// --- constructors

/**
 * A tracker that writes TensorBoard's event files.
 *
 * Each process writes a new file. It begins with a `SessionLog` START after the step that it continues from: TensorBoard then drops what a process
 * that was killed had logged after it. If the folder has event files of another run, or of another program, the files go to a subfolder that is named
 * after the run. Show them with `tensorboard --logdir FOLDER`.
 *
 * At the step that it continues from, a name that an earlier file has is not logged twice.
 *
 * Records are written in the background, every second or 64 KiB; `flush` makes them durable. Scalars are 32-bit floats, as TensorBoard's are.
 *
 * Law: *same curves*: the points of a run that was killed and resumed are those of the uninterrupted one.
 *
 * @param folder The folder, which is made if it does not exist.
 * @returns The tracker of one training. `start`, `flush` and `close` reject if the disk fails, with `StoreFailed` as cause. A second `start`, and any
 * call but `close` after `close`, are a `TypeError`. `histogram` takes a tensor on any backend, and leaves it alone: it may be disposed of after the call.
 *
 * @example
 * ```ts
 * import { tensorBoard } from "@dogear/dogear/trackers";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, readdirSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const folder = mkdtempSync(`${tmpdir()}/dogear-`);
 * const log = tensorBoard(folder);
 * await log.start({ step: 0 });
 * log.log({ loss: 0.5, accuracy: 0.9 }, 1);
 * log.histogram("weights", [0.1, -0.2, 0.3], 1);
 * await log.flush();
 * await log.close();
 * assert.match(readdirSync(folder)[0] ?? "", /^events\.out\.tfevents\./);
 * ```
 */
export function tensorBoard(folder: string): Required<Tracker> {
  checkLocalPath("the folder of tensorBoard", folder);
  const path = resolve(folder);
  let opened: { readonly file: BufferedFile; readonly opening: Promise<NewFile>; readonly step: number } | undefined;
  let isClosed = false;

  /** Opens the file. Points above the step that are in earlier files are dropped. */
  const open = (step: number, run: string | null) => {
    const opening = newEventFile(path, runDigits(run), step);
    const file = bufferedFile(opening);
    file.add(eventRecord(Date.now(), 0, { _tag: "version" }));
    file.add(eventRecord(Date.now(), step + 1, { _tag: "start" }));
    return opened = { file, opening, step };
  };
  const add = (step: number, values: Values | Promise<Values>): void => {
    const { file, opening, step: first } = opened ?? open(step - 1, null);
    const time = Date.now();
    const recordOf = (some: Values): Uint8Array =>
      some.length === 0 ? new Uint8Array() : eventRecord(time, step, { _tag: "values", values: some });
    if (!(values instanceof Promise) && step !== first) return file.add(recordOf(values));
    file.add(
      Promise.all([values, opening]).then(([all, { known }]) =>
        recordOf(step === first ? all.filter(([name, value]) => !known.has(taggedName(name, value))) : all)
      ),
    );
  };
  const checkOpen = (): void => {
    if (isClosed) {
      throw new TypeError(
        "Expected a tracker that is open, found a closed one (train and fit close theirs at the end): make another with tensorBoard(folder)",
      );
    }
  };
  return {
    log: (values, step) => {
      checkOpen();
      checkLog(values, step);
      add(step, Object.entries(values));
    },
    histogram: (name, values, step) => {
      checkOpen();
      checkHistogram(name, values, step);
      const histogram = histogramNow(values);
      add(step, histogram instanceof Promise ? histogram.then((found) => [[name, found]]) : [[name, histogram]]);
    },
    start: async (at: TrackerStart) => {
      checkOpen();
      checkStart(at);
      if (opened !== undefined) {
        throw new TypeError(
          "Expected a tracker of one training, found one that has started: make another with tensorBoard(folder)",
        );
      }
      await open(at.step, at.run ?? null).file.flush();
    },
    flush: async () => {
      checkOpen();
      await opened?.file.flush();
    },
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await opened?.file.close();
    },
  };
}
