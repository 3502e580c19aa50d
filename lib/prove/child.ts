/**
 * The new process of a proof: it loads the module of a training, resumes it from a checkpoint, and leaves the ids of its states.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { type Ambient, type Call, watch } from "../ambient.ts";
import { directory } from "../directory.ts";
import { explain } from "../explain.ts";
import { writeSnapshot } from "../saving.ts";
import { release } from "../snapshot.ts";
import { trace } from "./trace.ts";
import type { Training } from "./walk.ts";

// --- types

/** What a new process is to do. */
export interface Job {
  /** The address of the module that exports the training. */
  readonly module: string;
  readonly cursor?: string;
  readonly from: number;
  readonly until: number;
  /** The ids to compare with; none: nothing is compared. */
  readonly expected: readonly string[];
  readonly pinned: readonly Ambient[];
  readonly backend: string;
  readonly flags: Readonly<Record<string, number | boolean>>;
}

/** What it leaves: ids and calls; or what the module exports if that is no training; or why it could not. */
export interface Answer {
  readonly ids?: readonly string[];
  readonly calls?: readonly Call[];
  readonly diverged?: boolean;
  readonly exports?: readonly string[];
  readonly failed?: string;
}

/** Set in such a process, so that a module which calls for a proof while it is loaded does not start another. */
export const inChild: symbol = Symbol.for("dogear.proveResume.child");

/** The files of a job's folder: what to do, where to begin, what came of it, and the state that differs. */
export const files = { job: "job.json", start: "start", answer: "answer.json", diverged: "diverged" } as const;

// --- combinators

/** The training that a module exports, by name or as its default. */
function trainingOf(module: Record<string, unknown>): Training<object, unknown> | undefined {
  const isTraining = (value: unknown): value is Training<object, unknown> => {
    const { fresh, step, loader } = Object(value) as Record<string, unknown>;
    return typeof fresh === "function" && typeof step === "function" && typeof loader === "object" && loader !== null;
  };
  return [module, module["default"]].find(isTraining);
}

async function answerOf(folder: string, job: Job): Promise<Answer> {
  const watching = watch(job.pinned);
  const module = await watching.during(() => import(job.module) as Promise<Record<string, unknown>>);
  const exported = trainingOf(module);
  if (exported === undefined) return { exports: Object.keys(module) };
  if (job.backend !== "none" && tf.getBackend() !== job.backend && !(await tf.setBackend(job.backend))) {
    return { failed: `the backend ${job.backend} could not be set` };
  }
  for (const [flag, value] of Object.entries(job.flags)) tf.env().set(flag, value);
  const { fresh, step, loader, codecs } = exported;
  const training = {
    fresh,
    step,
    loader,
    ...(job.cursor !== undefined && { cursor: job.cursor }),
    ...(codecs && { codecs }),
  };
  const range = [job.from, job.until] as const;
  const start = directory(join(folder, files.start));
  // A sign of life.
  const onStep = (): void => void process.stdout.write("\n");
  const traced = await trace(start, training, watching, range, job.expected, { onStep })();
  if (E.isLeft(traced)) return { failed: explain(traced.left) };
  const { ids, diverged } = traced.right;
  if (diverged !== undefined) {
    const written = await writeSnapshot(directory(join(folder, files.diverged)))(diverged)();
    release(diverged)();
    if (E.isLeft(written)) return { failed: explain(written.left) };
  }
  return { ids, calls: watching.calls(), diverged: diverged !== undefined };
}

/**
 * Does the job in a folder, leaves the answer there, and ends the process.
 *
 * @param folder Where the job is.
 */
export async function work(folder: string): Promise<void> {
  // Nobody is left to read the answer.
  process.stdin.on("end", () => process.exit(1)).resume();
  Object.assign(globalThis, { [inChild]: true });
  const job = JSON.parse(await readFile(join(folder, files.job), "utf8")) as Job;
  await writeFile(join(folder, files.answer), JSON.stringify(await answerOf(folder, job)));
  process.exit(0);
}
