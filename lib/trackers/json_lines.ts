/**
 * The tracker that writes a log of metrics as JSON Lines.
 *
 * Law *same curves*: a run that is killed and resumed leaves the points of one that never stopped.
 *
 * @module
 */
import { resolve } from "node:path";
import { type Histogram, histogramLine, valuesLine } from "../logs/mod.ts";
import { runOrThrow } from "../task.ts";
import { checkLocalPath } from "../validation/mod.ts";
import { type BufferedFile, bufferedFile } from "./buffered_file.ts";
import { checkHistogram, checkLog, checkStart, histogramNow } from "./inputs.ts";
import { localLogFiles, type LogFiles } from "./log_file.ts";
import { histogramName, type OpenLog, openLog, valueName } from "./open_log.ts";
import type { Tracker, TrackerStart } from "./tracker.ts";

// --- types

/** A log to which lines are added. */
interface Log {
  readonly start: TrackerStart;
  readonly opening: Promise<OpenLog>;
  readonly file: BufferedFile;
}

// --- constructors

/**
 * Logs to a file of JSON Lines: a first line for the run, then a line for each call of `log`.
 *
 * Put it into the folder of the run, where `dogear` finds it: `jsonLines("runs/digits/log.jsonl")`. Lines are written every second or 64 KiB; `flush`
 * makes them durable, which `train` and `fit` call before each save.
 *
 * A resumed run continues its file. What the file has above the step of the checkpoint was logged by a process that was killed, and is cut off.
 * Another run, such as a fork, leaves the file as it is and logs to one beside it, whose name has the first 8 characters of the run:
 * `log-8f14e45f.jsonl`.
 *
 * @param path The file. Missing folders are made.
 * @returns The tracker of one training. `start`, `flush` and `close` reject if the disk fails, with `StoreFailed` as cause; its code is `ENOTLOG` for a
 *   file that is no such log, which is left as it is. A second `start`, and any call but `close` after `close`, are a `TypeError`. `histogram` takes a tensor on any
 *   backend, and leaves it alone: it may be disposed of after the call.
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
 * import { tmpdir } from "node:os";
 *
 * const folder = mkdtempSync(`${tmpdir()}/dogear-`);
 * const store = directory(folder);
 * // The first process ends without a save of its last steps; the second one resumes it.
 * for (const _process of [1, 2]) {
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
  const encoder = new TextEncoder();
  let log: Log | undefined;
  let isClosed = false;

  const checkOpen = (): void => {
    if (isClosed) {
      throw new TypeError(
        "Expected a tracker that is open, found a closed one (train and fit close theirs at the end): make another with jsonLines(path)",
      );
    }
  };
  const open = (start: TrackerStart): Log => {
    const opening = runOrThrow(openLog(files, path, start));
    return log = { start, opening, file: bufferedFile(opening) };
  };
  /** Adds what `line` gives for the names that the file has at its step already. */
  const add = (step: number, line: (known: OpenLog["known"]) => string | Promise<string>): void => {
    const { start, opening, file } = log ?? open({ step: step - 1 });
    const made = step === start.step ? opening.then(({ known }) => line(known)) : line(new Set());
    file.add(typeof made === "string" ? encoder.encode(made) : made.then((text) => encoder.encode(text)));
  };

  return {
    log: (values, step) => {
      checkOpen();
      checkLog(values, step);
      const [time, entries] = [Date.now(), Object.entries(values)];
      add(step, (known) => {
        const fresh = Object.fromEntries(entries.filter(([name]) => !known.has(valueName(name))));
        return Object.keys(fresh).length === 0 ? "" : valuesLine({ step, time, values: fresh });
      });
    },
    histogram: (name, values, step) => {
      checkOpen();
      checkHistogram(name, values, step);
      const [time, histogram] = [Date.now(), histogramNow(values)];
      // It may not be needed. Where it is, the file reports the failure.
      if (histogram instanceof Promise) histogram.catch(() => {});
      const line = (found: Histogram): string => histogramLine({ step, time, histogram: { name, ...found } });
      add(step, (known) => {
        if (known.has(histogramName(name))) return "";
        return histogram instanceof Promise ? histogram.then(line) : line(histogram);
      });
    },
    start: async (at) => {
      checkOpen();
      checkStart(at);
      if (log !== undefined) {
        throw new TypeError(
          "Expected a tracker of one training, found one that has started: make another with jsonLines(path)",
        );
      }
      await open(at).opening;
    },
    flush: async () => {
      checkOpen();
      await log?.file.flush();
    },
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await log?.file.close();
    },
  };
}
