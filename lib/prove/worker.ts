/**
 * The worker process of a proof: loads the module of a training, resumes it from a checkpoint, and writes the ids of its states.
 *
 * Task, checkpoint and answer are files in a temporary folder that the parent process (`spawn.ts`) makes and removes.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type AmbientSource, type Call, recordAmbient } from "./nondeterminism.ts";
import { directory } from "../store/directory/mod.ts";
import { explain } from "../errors/mod.ts";
import { writeSnapshot } from "../run/mod.ts";
import { resumeRun } from "./resumed_run.ts";
import type { Training } from "./steps.ts";

// --- types

/** What a worker does. */
export interface WorkerTask {
  /** The URL of the module that exports the training. */
  readonly module: string;
  readonly cursor: string;
  readonly from: number;
  readonly until: number;
  /** The ids to compare with; if empty, nothing is compared. */
  readonly expected: readonly string[];
  readonly pinned: readonly AmbientSource[];
  readonly backend: string;
  readonly flags: Readonly<Record<string, number | boolean>>;
}

/** What a worker found: ids and calls; the names that the module exports, if they are no training; or why it failed. */
export interface WorkerAnswer {
  readonly ids?: readonly string[];
  readonly calls?: readonly Call[];
  readonly diverged?: boolean;
  readonly exports?: readonly string[];
  readonly failed?: string;
}

/** A global that is true in workers, so that a module which calls `proveResume` while it loads does not start another. */
export const inWorker: symbol = Symbol.for("dogear.proveResume.worker");

/** The files of the folder: the task, the checkpoint to resume from, the answer, and the state that differs. */
export const taskFiles = { task: "task.json", start: "start", answer: "answer.json", diverged: "diverged" } as const;

/** The URL of this module, from which a new process imports {@link runTask}. In the package it is a part of a bundle. */
export const workerUrl: string = import.meta.url.endsWith("/lib/prove/worker.ts")
  ? import.meta.url
  : new URL("./lib/prove/worker.js", import.meta.url).href;

// --- combinators

/** The training that a module exports, by name or as its default. */
function trainingIn(module: Record<string, unknown>): Training<object, unknown> | undefined {
  const isTraining = (value: unknown): value is Training<object, unknown> => {
    const { fresh, step, loader } = Object(value) as Record<string, unknown>;
    return typeof fresh === "function" && typeof step === "function" && typeof loader === "object" && loader !== null;
  };
  return [module, module["default"]].find(isTraining);
}

async function answerTo(task: WorkerTask, folder: string): Promise<WorkerAnswer> {
  const recorder = recordAmbient(task.pinned);
  const module = await recorder.during(() => import(task.module) as Promise<Record<string, unknown>>);
  const exported = trainingIn(module);
  if (exported === undefined) return { exports: Object.keys(module) };
  if (task.backend !== "none" && tf.getBackend() !== task.backend && !(await tf.setBackend(task.backend))) {
    return { failed: `the backend ${task.backend} could not be set` };
  }
  for (const [flag, value] of Object.entries(task.flags)) tf.env().set(flag, value);
  const { fresh, step, loader, onEpochEnd, until, codecs, types } = exported;
  const training = {
    ...{ fresh, step, loader, cursor: task.cursor },
    ...(onEpochEnd && { onEpochEnd }),
    ...(until && { until }),
    ...(codecs && { codecs }),
    ...(types && { types }),
  };
  const start = directory(join(folder, taskFiles.start));
  // The parent process kills a worker that writes nothing for long.
  const onState = (): void => void process.stdout.write("\n");
  const range = [task.from, task.until] as const;
  const resumed = await resumeRun(start, training, recorder, range, task.expected, { onState })();
  if (E.isLeft(resumed)) return { failed: explain(resumed.left) };
  const { ids, diverged } = resumed.right;
  if (diverged !== undefined) {
    using state = diverged;
    const written = await writeSnapshot(directory(join(folder, taskFiles.diverged)))(state)();
    if (E.isLeft(written)) return { failed: explain(written.left) };
  }
  return { ids, calls: recorder.calls(), diverged: diverged !== undefined };
}

/**
 * Runs the task in a folder, writes the answer there, and ends the process.
 *
 * @param folder The folder of {@link taskFiles}.
 */
export async function runTask(folder: string): Promise<void> {
  // The parent's end of the pipe closes when the parent dies.
  process.stdin.on("end", () => process.exit(1)).resume();
  Object.assign(globalThis, { [inWorker]: true });
  const task = JSON.parse(await readFile(join(folder, taskFiles.task), "utf8")) as WorkerTask;
  await writeFile(join(folder, taskFiles.answer), JSON.stringify(await answerTo(task, folder)));
  process.exit(0);
}
