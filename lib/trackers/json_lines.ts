/**
 * The tracker that writes a log of metrics as JSON Lines.
 *
 * Law *same curves*: a run that is killed and resumed leaves the points of one that never stopped.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { resolve } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { guarded, type StoreFailed, toError } from "../errors/mod.ts";
import { valuesLine } from "../logs/mod.ts";
import {
  checkLocalPath,
  checkOptions,
  demand,
  exactRecord,
  ifGiven,
  integer,
  must,
  type OptionRules,
  orNull,
  recordOf,
} from "../validation/mod.ts";
import { localLogFiles, type LogFiles } from "./log_file.ts";
import { append, type OpenLog, openLog } from "./open_log.ts";
import type { Tracker, TrackerStart } from "./tracker.ts";

// --- constructors

/** How many characters are written at once, and for how many milliseconds at most a line waits. */
const [most, longest] = [2 ** 16, 1000];

const aNumber = must("a number", (value) => typeof value === "number");
const aRun = orNull(must("the name of a run", (value) => typeof value === "string" && value !== ""));
const aStep = integer(0);
const valuesRule = recordOf(aNumber, "a record of numbers");
const success: E.Either<StoreFailed, void> = E.right(undefined);

const startRules: OptionRules<TrackerStart> = {
  step: aStep,
  run: ifGiven(aRun),
  parent: ifGiven(orNull(
    exactRecord({ run: aRun, checkpoint: aStep, step: orNull(aNumber) }),
    "a record of run, checkpoint and step, or null",
  )),
};

/**
 * Logs to a file of JSON Lines: a first line for the run, then a line for each call of `log`.
 *
 * Put it into the folder of the run, where `dogear` finds it: `jsonLines("runs/digits/log.jsonl")`. Lines are written when there are 64 KiB of
 * them, after a second at most, and durably with each save of the training.
 *
 * A resumed run continues its file. What the file has above the step of the checkpoint was logged by a process that was killed, and is cut off.
 * Another run, such as a fork, leaves the file as it is and logs to one beside it, whose name has the first 8 characters of the run:
 * `log-8f14e45f.jsonl`.
 *
 * @param path The file. Missing folders are made. One tracker is for one training.
 * @returns The tracker. What it cannot do rejects, or is thrown by the next `log`, with an `Error` whose `cause` is `StoreFailed`: a full disk, a
 *   folder in place of the file, or, with the code `ENOTLOG`, a file that is no such log, which is left as it is. Lines that a full disk did not
 *   take are written by the next `flush` for which it has room.
 *
 * In a loop of your own, start it at the step of the resumed state, and flush it before each save. Without `start`, the first `log` starts it at the
 * step before its own. At the step where it starts, a name that the file has already is not logged twice.
 *
 * Law *same curves*.
 *
 * @example
 * ```ts
 * import { directory, resume, saveState } from "@dogear/dogear";
 * import { jsonLines } from "@dogear/dogear/trackers";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, readFileSync } from "node:fs";
 *
 * const folder = mkdtempSync("/tmp/dogear-log-");
 * const store = directory(folder);
 * for (const killed of [true, false]) {
 *   let state = await resume(store)({ step: 0 });
 *   const log = jsonLines(`${folder}/log.jsonl`);
 *   await log.start({ step: state.step });
 *   while (state.step < 4) {
 *     state = { step: state.step + 1 };
 *     log.log({ loss: 1 / state.step }, state.step);
 *     if (state.step !== 2) continue;
 *     await log.flush();
 *     await saveState(store)(state);
 *   }
 *   await log.close();
 * }
 * const steps = readFileSync(`${folder}/log.jsonl`, "utf8").trim().split("\n").slice(1).map((line) => JSON.parse(line).step);
 * assert.deepEqual(steps, [1, 2, 3, 4]);
 * ```
 */
export function jsonLines(path: string): Required<Tracker> {
  checkLocalPath("the path of jsonLines", path);
  return logTo(localLogFiles, resolve(path));
}

/** {@link jsonLines} over any files. */
export function logTo(files: LogFiles, path: string): Required<Tracker> {
  const lines = lineWriter(path);
  let start: TrackerStart | undefined;
  let isClosed = false;

  const begin = (at: TrackerStart): Promise<E.Either<StoreFailed, void>> => {
    if (start !== undefined || isClosed) {
      throw new TypeError(
        `Expected the log ${path} to be new, found one that was started: call jsonLines for each training`,
      );
    }
    start = at;
    return lines.open(openLog(files, path, at));
  };
  /** Appends a record, unless the file has it already. */
  const add = (step: number, line: (isNew: (name: string) => boolean) => string): void => {
    if (isClosed) throw new TypeError(`Expected an open log ${path}, found a closed one: log before close`);
    if (start === undefined) void begin({ step: step - 1 });
    lines.add(line((name) => step !== start?.step || !lines.has(name)));
    raise(lines.failure());
  };

  return {
    start: async (at) => {
      checkOptions("start", at, startRules);
      raise(await begin(at));
    },
    log: (values, step) => {
      demand("values", valuesRule, values);
      demand("step", aStep, step);
      add(step, (isNew) => {
        const fresh = Object.entries(values).filter(([name]) => isNew(`values ${name}`));
        return fresh.length === 0 ? "" : valuesLine({ step, time: Date.now(), values: Object.fromEntries(fresh) });
      });
    },
    histogram: () => {},
    flush: async () => raise(await lines.write(true)),
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      raise(await lines.close());
    },
  };
}

/** Throws a failure. */
function raise(result: E.Either<StoreFailed, void>): void {
  if (E.isLeft(result)) throw toError(result.left);
}

/** Lines that wait, and are written to a file in their order. */
function lineWriter(path: string) {
  const encoder = new TextEncoder();
  let opening: Promise<E.Either<StoreFailed, OpenLog>> | undefined;
  let log: OpenLog | undefined;
  let [waiting, length]: [string[], number] = [[], 0];
  /** What a full disk did not take. */
  let unwritten: Uint8Array = new Uint8Array(0);
  let [position, isSynced] = [0, true];
  let timer: NodeJS.Timeout | undefined;
  /** The failure of a write that nobody waited for, and that of an `fsync`, after which no other can be believed. */
  let [failed, broken]: [StoreFailed | undefined, StoreFailed | undefined] = [undefined, undefined];
  let work: Promise<unknown> = Promise.resolve();

  const writeNow = async (durably: boolean): Promise<E.Either<StoreFailed, void>> => {
    const opened = await opening;
    if (opened === undefined) return success;
    if (E.isLeft(opened)) return opened;
    if (broken !== undefined) return E.left(broken);
    const { file, path } = opened.right;
    const bytes = encoder.encode(waiting.splice(0).join(""));
    length = 0;
    const all = Buffer.concat([unwritten, bytes]);
    const { written, result } = await append(file, path, all, position);
    [unwritten, position] = [all.subarray(written), position + written];
    isSynced &&= written === 0;
    if (E.isLeft(result) || !durably || isSynced) return result;
    const synced = await file.sync();
    isSynced = E.isRight(synced);
    if (E.isLeft(synced)) broken = synced.left;
    return synced;
  };

  const write = (durably: boolean): Promise<E.Either<StoreFailed, void>> => {
    clearTimeout(timer);
    timer = undefined;
    const writing = work.then(guarded("write", path, () => writeNow(durably)));
    work = writing;
    return writing;
  };

  const writeInBackground = (): void => {
    void write(false).then((result) => failed = E.isLeft(result) ? result.left : undefined);
  };

  return {
    write,
    open: async (task: TaskEither<StoreFailed, OpenLog>): Promise<E.Either<StoreFailed, void>> => {
      opening = guarded("log to", path, task)();
      const opened = await opening;
      if (E.isLeft(opened)) return opened;
      log = opened.right;
      position = log.bytes;
      return success;
    },
    /** Whether the log had a name at the step where it was opened. */
    has: (name: string): boolean => log?.known.has(name) === true,
    add: (line: string): void => {
      if (line === "") return;
      waiting.push(line);
      length += line.length;
      if (length >= most) writeInBackground();
      else timer ??= setTimeout(writeInBackground, longest).unref();
    },
    /** Takes the failure of a write in the background. */
    failure: (): E.Either<StoreFailed, void> => {
      const failure = failed;
      failed = undefined;
      return failure === undefined ? success : E.left(failure);
    },
    close: async (): Promise<E.Either<StoreFailed, void>> => {
      const written = await write(true);
      const closed = await log?.file.close() ?? success;
      return E.isLeft(written) ? written : closed;
    },
  };
}
