/**
 * A training resumed in a new process of the runtime that runs: a temporary folder goes there with the checkpoint, and comes back with the
 * ids of its states. However it ends, the process is over then and the folder gone.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { Call } from "../ambient.ts";
import { directory } from "../directory.ts";
import { environment } from "../environment.ts";
import type { LoadError, ProcessFailed, SaveError } from "../errors.ts";
import { readSnapshot } from "../loading.ts";
import { shown } from "../rules.ts";
import { writeSnapshot } from "../saving.ts";
import type { Snapshot } from "../snapshot.ts";
import { type Answer, files, type Job } from "./child.ts";
import type { Trace } from "./trace.ts";

// --- types

/** How a process ended: not at all, if it was killed for its silence. */
interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly silent: boolean;
  readonly output: string;
}

/** Flags of backends that decide bits. */
const flags = ["WEBGPU_MATMUL_PROGRAM_TYPE", "WEBGPU_CPU_FORWARD"] as const;

/** How much of what a process wrote is told, in characters. */
const told = 2000;

// --- constructors

/**
 * The address of a training's module.
 *
 * @param given An address or path, or `true` for the script that this process was started with.
 */
export function moduleOf(given: true | string | URL): string {
  const path = given === true ? process.argv[1] ?? "" : String(given);
  const url = /^[a-z][a-z0-9+.-]+:/i.test(path) ? path : pathToFileURL(path).href;
  if (url.startsWith("file:") && !(path !== "" && existsSync(new URL(url)))) {
    throw new TypeError(
      `Expected ${
        given === true ? "this process to have been started with a script" : "process to be the address of a module"
      } that exports fresh, step and loader, found ${shown(path)}, which is no file: ` +
        'put the three into a module of their own, and give import.meta.resolve("./training.ts")',
    );
  }
  return url;
}

/** The command that runs code in a new process of this runtime. */
function command(code: string): readonly [string, readonly string[]] {
  const { execPath, execArgv, versions } = process;
  if (versions["deno"] !== undefined) return [execPath, ["eval", code]];
  if (versions["bun"] !== undefined) return [execPath, ["-e", code]];
  // Loaders and conditions go on to the new process; what runs tests or code of its own does not.
  const kept = execArgv.some((arg) => /^(-e|-p|--eval|--print|--test)/.test(arg)) ? [] : execArgv;
  return [execPath, [...kept, "--input-type=module", "-e", code]];
}

// --- combinators

function ending(folder: string, patience: number): Promise<Ending> {
  const work = import.meta.url.replace(/process(\.\w+)$/, "child$1");
  const [program, args] = command(
    `const { work } = await import(${JSON.stringify(work)}); await work(${JSON.stringify(folder)});`,
  );
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "pipe", env: { ...process.env, NO_COLOR: "1" } });
    let [output, silent] = ["", false];
    const kill = (): void => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      silent = true;
      process.kill(child.pid, "SIGKILL");
    };
    let timer = setTimeout(kill, patience * 1000);
    const heard = (data: Uint8Array): void => {
      output = (output + new TextDecoder().decode(data)).slice(-told);
      clearTimeout(timer);
      timer = setTimeout(kill, patience * 1000);
    };
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, silent, output: output.trim() });
    });
  });
}

/**
 * Resumes a training from a snapshot in a new process.
 *
 * @param job What to do there.
 * @param snapshot The state to begin with.
 * @param patience Seconds without a sign of life after which it is killed.
 * @returns Its trace and its calls; or `ProcessFailed`, or a store's failure. A module that exports no training is a `TypeError`.
 */
export function resumeInProcess(
  job: Omit<Job, "backend" | "flags">,
  snapshot: Snapshot<unknown>,
  patience: number,
): TaskEither<ProcessFailed | SaveError | LoadError, Trace & { readonly calls: readonly Call[] }> {
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "dogear-prove-"));
    try {
      const saved = await writeSnapshot(directory(join(folder, files.start)))(snapshot)();
      if (E.isLeft(saved)) return saved;
      const { backend } = environment();
      const set = backend === "webgpu" ? flags.map((flag) => [flag, tf.env().get(flag)] as const) : [];
      const whole: Job = { ...job, backend, flags: Object.fromEntries(set) as Job["flags"] };
      await writeFile(join(folder, files.job), JSON.stringify(whole));
      const { code, signal, silent, output } = await ending(folder, patience);
      const failed = (found: string): E.Either<ProcessFailed, never> =>
        E.left({ _tag: "ProcessFailed", module: job.module, found, output });
      if (silent) return failed(`it gave no sign of life for ${patience} s and was killed`);
      const answered = existsSync(join(folder, files.answer));
      if (!answered) return failed(`it ended with ${signal ?? `exit code ${code}`} before it was done`);
      const answer = JSON.parse(await readFile(join(folder, files.answer), "utf8")) as Answer;
      if (answer.exports !== undefined) {
        const names = answer.exports.length === 0 ? "nothing" : answer.exports.join(", ");
        throw new TypeError(`Expected ${job.module} to export fresh, step and loader, found that it exports ${names}`);
      }
      if (answer.failed !== undefined) return failed(`it could not: ${answer.failed}`);
      const { ids = [], calls = [] } = answer;
      if (answer.diverged !== true) return E.right({ ids, calls });
      const diverged = await readSnapshot(directory(join(folder, files.diverged)))();
      return E.isLeft(diverged) ? diverged : E.right({ ids, calls, diverged: diverged.right });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
}
