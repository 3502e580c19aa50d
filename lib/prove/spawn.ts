/**
 * Resumes a training in a new process of the same runtime.
 *
 * The new process (`worker.ts`) reads its task and checkpoint from a temporary folder, and writes its answer there. Whether it succeeds,
 * fails or hangs, the process has ended and the folder is removed when the task resolves.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { directory } from "../store/directory/mod.ts";
import { environment, readSnapshot, writeSnapshot } from "../run/mod.ts";
import type { LoadError, ProcessFailed, SaveError } from "../errors/mod.ts";
import { shown } from "../validation/mod.ts";
import type { Snapshot } from "../snapshot.ts";
import { taskFiles, type WorkerAnswer, type WorkerTask, workerUrl } from "./worker.ts";
import type { RecordedRun } from "./resumed_run.ts";

// --- types

/** How a process ended, and the end of its output. */
interface ExitStatus {
  readonly code: number | null;
  readonly signal: string | null;
  /** Whether it was killed because it wrote nothing for too long. */
  readonly silent: boolean;
  readonly output: string;
}

/** Backend flags that change the bits of results. */
const flags = ["WEBGPU_MATMUL_PROGRAM_TYPE", "WEBGPU_CPU_FORWARD"] as const;

/** How many characters of a process's output an error quotes. */
const quoted = 2000;

// --- constructors

/**
 * The URL of a training's module.
 *
 * @param given A URL or path, or `true` for the script that this process was started with.
 */
export function moduleUrl(given: true | string | URL): string {
  const path = given === true ? process.argv[1] ?? "" : String(given);
  const url = /^[a-z][a-z0-9+.-]+:/i.test(path) ? path : pathToFileURL(path).href;
  if (url.startsWith("file:") && !(path !== "" && existsSync(new URL(url)))) {
    throw new TypeError(
      `Expected ${
        given === true ? "this process to have been started with a script" : "process to be the address of a module"
      } that exports fresh, step and loader, found ${shown(path)}, which is no file: ` +
        'move the three into a separate module, and pass import.meta.resolve("./training.ts")',
    );
  }
  return url;
}

/** The command that runs code in a new process of this runtime. */
function command(code: string): readonly [string, readonly string[]] {
  const { execPath, execArgv, versions } = process;
  if (versions["deno"] !== undefined) return [execPath, ["eval", code]];
  if (versions["bun"] !== undefined) return [execPath, ["-e", code]];
  // The new process inherits loaders and conditions, but not arguments that run tests or code.
  const kept = execArgv.some((arg) => /^(-e|-p|--eval|--print|--test)/.test(arg)) ? [] : execArgv;
  return [execPath, [...kept, "--input-type=module", "-e", code]];
}

// --- combinators

/** Runs a worker until it ends. It is killed if it writes nothing for long. */
async function runWorker(folder: string, patience: number): Promise<ExitStatus> {
  const [program, args] = command(
    `const { runTask } = await import(${JSON.stringify(workerUrl)}); await runTask(${JSON.stringify(folder)});`,
  );
  const child = spawn(program, args, { stdio: "pipe", env: { ...process.env, NO_COLOR: "1" } });
  let [output, silent] = ["", false];
  const kill = (): void => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    silent = true;
    process.kill(child.pid, "SIGKILL");
  };
  let timer = setTimeout(kill, patience * 1000);
  const onOutput = (data: Uint8Array): void => {
    output = (output + new TextDecoder().decode(data)).slice(-quoted);
    clearTimeout(timer);
    timer = setTimeout(kill, patience * 1000);
  };
  child.stdout.on("data", onOutput);
  child.stderr.on("data", onOutput);
  try {
    const [code, signal] = await once(child, "close") as [ExitStatus["code"], ExitStatus["signal"]];
    return { code, signal, silent, output: output.trim() };
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the answer of a worker that has ended. */
async function readAnswer(
  folder: string,
  module: string,
  patience: number,
  { code, signal, silent, output }: ExitStatus,
): Promise<E.Either<ProcessFailed | LoadError, RecordedRun>> {
  const failed = (found: string): E.Either<ProcessFailed, never> =>
    E.left({ _tag: "ProcessFailed", module, found, output });
  if (silent) return failed(`it wrote nothing for ${patience} s and was killed`);
  const path = join(folder, taskFiles.answer);
  if (!existsSync(path)) return failed(`it ended early with ${signal ?? `exit code ${code}`}`);
  const answer = JSON.parse(await readFile(path, "utf8")) as WorkerAnswer;
  if (answer.exports !== undefined) {
    const names = answer.exports.length === 0 ? "nothing" : answer.exports.join(", ");
    throw new TypeError(`Expected ${module} to export fresh, step and loader, found that it exports ${names}`);
  }
  if (answer.failed !== undefined) return failed(`it failed: ${answer.failed}`);
  const { ids = [], calls = [] } = answer;
  if (answer.diverged !== true) return E.right({ ids, calls });
  const diverged = await readSnapshot(directory(join(folder, taskFiles.diverged)))();
  return E.isLeft(diverged) ? diverged : E.right({ ids, calls, diverged: diverged.right });
}

/**
 * Resumes a training from a snapshot in a new process.
 *
 * @param task What the process does.
 * @param snapshot The state to resume from.
 * @param patience Seconds without output after which the process is killed.
 * @returns The run and its calls; or `ProcessFailed`, or the failure of a store. A module that exports no training is a `TypeError`.
 */
export function resumeInNewProcess(
  task: Omit<WorkerTask, "backend" | "flags">,
  snapshot: Snapshot<unknown>,
  patience: number,
): TaskEither<ProcessFailed | SaveError | LoadError, RecordedRun> {
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "dogear-prove-"));
    try {
      const { backend } = environment();
      const set = backend === "webgpu" ? flags.map((flag) => [flag, tf.env().get(flag)] as const) : [];
      const whole: WorkerTask = { ...task, backend, flags: Object.fromEntries(set) as WorkerTask["flags"] };
      await writeFile(join(folder, taskFiles.task), JSON.stringify(whole));
      const written = await writeSnapshot(directory(join(folder, taskFiles.start)))(snapshot)();
      if (E.isLeft(written)) return written;
      return await readAnswer(folder, task.module, patience, await runWorker(folder, patience));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
}
