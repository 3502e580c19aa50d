/**
 * Programs in processes of their own, in Bun or in Deno, for a test to wait for or to kill.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { bun, deno, isBun } from "../gate/runtimes.ts";
import { has } from "./portable.ts";

// --- types

/** A runtime to run a program in. */
export type Runtime = "bun" | "deno";

/** How a process is started. */
export interface StartOptions {
  /**
   * Its working directory.
   * @default this process's
   */
  readonly cwd?: string;
  /**
   * A command that runs it.
   * @default none
   */
  readonly through?: readonly string[];
  /** Receives each line of its output as soon as it is written. */
  readonly onLine?: (line: string) => void;
}

/** What a process has left when it is over. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly lines: readonly string[];
  readonly errors: string;
}

/** A process that was started. */
export interface Child {
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<Ending>;
}

// --- constructors

/** The runtime of this process. */
export const here: Runtime = isBun ? "bun" : "deno";

/** The other runtime. */
export const there: Runtime = isBun ? "deno" : "bun";

const commands: Readonly<Record<Runtime, () => readonly [string, ...string[]]>> = {
  bun: () => [bun()],
  deno: () => [deno(), "run", "--allow-all", "--no-check"],
};

/** Starts a program of `tests/programs`. */
export function start(runtime: Runtime, program: string, args: readonly string[], options: StartOptions = {}): Child {
  const path = fileURLToPath(new URL(`../programs/${program}`, import.meta.url));
  const [file = "", ...rest] = [...options.through ?? [], ...commands[runtime](), path, ...args];
  const child = spawn(file, rest, {
    cwd: options.cwd ?? process.cwd(),
    env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  let errors = "";
  let sent: NodeJS.Signals | null = null;
  createInterface(child.stdout).on("line", (line) => {
    lines.push(line);
    options.onLine?.(line);
  });
  child.stderr.on("data", (data) => errors += data);
  const ended = new Promise<Ending>((resolve, reject) => {
    child.on("error", reject);
    // Windows has no signals: a process that is killed ends with code 1.
    const bySignal = (code: number | null): string | null => (!has("POSIX signals") && code === 1 ? sent : null);
    child.on("close", (code, signal) => resolve({ code, signal: signal ?? bySignal(code), lines, errors }));
  });
  const kill = (signal: NodeJS.Signals): void => {
    // By number: once Deno's own `child.kill` was called, Deno says the signal ended the process, whatever did. A process that is over
    // keeps its number until it has been waited for, which "exit" tells of.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      sent = signal;
      process.kill(child.pid, signal);
    }
  };
  return { kill, ended };
}

// --- combinators

/** Runs a program of `tests/programs` to its end, which must be a good one: the lines it wrote. */
export async function run(
  runtime: Runtime,
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<readonly string[]> {
  const { code, signal, lines, errors } = await start(runtime, program, args, options).ended;
  assert.equal(code, 0, `${runtime} ${program} ${args.join(" ")} ended with ${signal ?? code}:\n${errors}`);
  return lines;
}
