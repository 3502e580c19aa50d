/**
 * The tracker of TensorBoard: event files in a folder.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join, resolve } from "node:path";
import type { StoreFailed } from "../errors/mod.ts";
import {
  type EventContent,
  eventFileName,
  eventRecord,
  type Histogram,
  histogramOf,
  isEventFile,
  parseEventFileName,
  runDigits,
} from "../logs/mod.ts";
import { elementValues } from "../state/mod.ts";
import { localFileSystem, makeFolders, means, syncAbove, unless } from "../store/directory/mod.ts";
import { runOrThrow } from "../task.ts";
import { hold } from "../tfjs/mod.ts";
import {
  aName,
  aString,
  checkLocalPath,
  demand,
  exactRecord,
  integer,
  must,
  orNull,
  type Plain,
  recordOf,
} from "../validation/mod.ts";
import { type BufferedFile, bufferedFile, type OpenFile } from "./buffered_file.ts";
import type { Tracker, TrackerStart } from "./tracker.ts";

// --- types

const aNumber = must("a number", (value) => typeof value === "number");

const numbersByName = recordOf(aNumber, "a record of numbers");

const aStep = integer(0);

const aStart = exactRecord({ step: aStep }, {
  run: orNull(aName),
  parent: orNull(exactRecord({ run: aString, checkpoint: aStep, step: orNull(aStep) })),
});

/** A tensor with numbers, or numbers in an array or a typed array. */
export const someValues: Plain<unknown> = must(
  "a tensor of numbers that is not disposed, or an array of numbers",
  (values) =>
    values instanceof tf.Tensor
      ? !values.isDisposed && values.dtype !== "string"
      : (Array.isArray(values) || ArrayBuffer.isView(values)) &&
        Array.prototype.every.call(values, (value) => typeof value === "number"),
);

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

/** Makes the event file of a process: in the folder, or in a subfolder if the folder has event files of another run or program. */
function newEventFile(folder: string, digits: string): TE.TaskEither<StoreFailed, OpenFile> {
  return pipe(
    eventFiles(folder),
    TE.map((names) => {
      const isOwn = names.every((name) => parseEventFileName(name)?.digits === digits);
      return isOwn ? folder : join(folder, digits);
    }),
    TE.tap((own) => makeFolders(localFileSystem, own)),
    TE.bindTo("own"),
    TE.bind("names", ({ own }) => eventFiles(own)),
    TE.bind("open", ({ own, names }) => createAfter(own, names, digits)),
    // The names of the file and of new folders must be durable, too.
    TE.tap(({ open }) => syncAbove(localFileSystem, open.path)),
    TE.map(({ open }) => open),
  );
}

// --- histograms

/** The histogram of values as they are now. A GPU is read meanwhile, from a reference to its data. */
export function histogramNow(values: tf.Tensor | ArrayLike<number>): Histogram | Promise<Histogram> {
  if (!(values instanceof tf.Tensor)) return histogramOf(values);
  const held = hold(values);
  const { peek, read, release } = held.home;
  const later = async (): Promise<Histogram> => {
    try {
      return histogramOf(elementValues(held, await read(held)));
    } finally {
      release(held);
    }
  };
  const bytes = peek(held);
  if (bytes === undefined) return later();
  const now = histogramOf(elementValues(held, bytes));
  release(held);
  return now;
}

// --- constructors

/**
 * A tracker that writes TensorBoard's event files.
 *
 * Each process writes a new file. It begins with a `SessionLog` START after the step that it continues from: TensorBoard then drops what a process
 * that was killed had logged after it. If the folder has event files of another run, or of another program, the files go to a subfolder that is named
 * after the run. Show them with `tensorboard --logdir FOLDER`.
 *
 * Records are written in the background, every second or 64 KiB; `flush` makes them durable. Scalars are 32-bit floats, as TensorBoard's are.
 *
 * Law: *same curves*: the points of a run that was killed and resumed are those of the uninterrupted one.
 *
 * @param folder The folder, which is made if it does not exist.
 * @returns The tracker of one training. `start`, `flush` and `close` reject if the disk fails, with `StoreFailed` as cause. A second `start`, and a log
 * after `close`, are a `TypeError`. `histogram` takes a tensor on any backend, and leaves it alone: it may be disposed of after the call.
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
  let opened: BufferedFile | undefined;
  let isClosed = false;

  /** Opens the file. Points at the step `from` and above that are in earlier files are dropped. */
  const open = (from: number, run: string | null): BufferedFile => {
    const file = bufferedFile(runOrThrow(newEventFile(path, runDigits(run))));
    file.add(eventRecord(Date.now(), 0, { _tag: "version" }));
    file.add(eventRecord(Date.now(), from, { _tag: "start" }));
    return opened = file;
  };
  const add = (step: number, content: EventContent | Promise<EventContent>): void => {
    const file = opened ?? open(step, null);
    const time = Date.now();
    file.add(
      content instanceof Promise
        ? content.then((values) => eventRecord(time, step, values))
        : eventRecord(time, step, content),
    );
  };
  const checkOpen = (): void => {
    if (isClosed) {
      throw new TypeError("Expected a tracker that is open, found a closed one: make another with tensorBoard(folder)");
    }
  };
  return {
    log: (values, step) => {
      checkOpen();
      demand("the values of log", numbersByName, values);
      demand("the step of log", aStep, step);
      add(step, { _tag: "values", values: Object.entries(values) });
    },
    histogram: (name, values, step) => {
      checkOpen();
      demand("the name of histogram", aName, name);
      demand("the values of histogram", someValues, values);
      demand("the step of histogram", aStep, step);
      const histogram = histogramNow(values);
      const content = (found: Histogram): EventContent => ({ _tag: "values", values: [[name, found]] });
      add(step, histogram instanceof Promise ? histogram.then(content) : content(histogram));
    },
    start: async (at: TrackerStart) => {
      checkOpen();
      demand("the argument of start", aStart, at);
      if (opened !== undefined) {
        throw new TypeError(
          "Expected a tracker of one training, found one that has started: make another with tensorBoard(folder)",
        );
      }
      await open(at.step + 1, at.run ?? null).flush();
    },
    flush: async () => await opened?.flush(),
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await opened?.close();
    },
  };
}
