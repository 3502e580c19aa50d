/**
 * The main job, end to end: a training on real digits is killed, resumed in the other runtime, killed and resumed again, and ends with the same
 * bits.
 *
 * Three trainings by `digits.ts`, each in separate processes. The first is never interrupted. The second is killed by SIGKILL twice, at random
 * moments of random epochs, and is resumed in Deno, then in Bun. The third is a cold start that trains only as many steps as the second one
 * had left after its last kill. The first two must end with the same snapshot id, the third with another.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { bun, deno } from "../tests/gate/runtimes.ts";

interface Ending {
  readonly accuracy: string;
  readonly id: string;
  readonly resumedAt: number;
}

const digits = fileURLToPath(new URL("./digits.ts", import.meta.url));
const [bunRun, denoRun] = [[bun()], [deno(), "run", "--allow-all", "--no-check"]];
const total = 376;

function say(text: string): void {
  process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`);
}

/** A line of a training's progress. */
interface Shown {
  readonly step: number;
  readonly bar: string;
  /** The loss and the last save. */
  readonly more: string;
}

const running = new Map<string, Shown>();

/** The parts of a progress line, such as `epoch 3/8  141/376  52 batches/s  5 s left  saved 14 (1 s ago)  loss 0.43`. */
function parsed(line: string): Shown | undefined {
  const [, step, steps] = /^epoch \d+\/\d+ +(\d+)\/(\d+)/.exec(line) ?? [];
  if (step === undefined) return undefined;
  const full = Math.round(10 * Number(step) / Number(steps));
  const bar = `[${"#".repeat(full)}${"-".repeat(10 - full)}] ${step.padStart(`${steps}`.length)}/${steps}`;
  const more = line.split(/ {2,}/).filter((part) => /^(?:loss|saved) /.test(part)).map((part) =>
    part.replace(/ \(.*/, "")
  );
  return { step: Number(step), bar, more: more.join("  ") };
}

/** Shows the progress of a training: one line of bars for all trainings on a terminal, plain lines elsewhere. */
function show(name: string, shown: Shown): void {
  if (!process.stdout.isTTY) return say(`  ${name.padEnd(18)} ${shown.bar}  ${shown.more}`);
  running.set(name, shown);
  const width = (process.stdout.columns || 80) - 1;
  const lines = [true, false].map((isLong) =>
    [...running].map(([of, { bar, more }]) => `${of} ${bar}${isLong && more !== "" ? `  ${more}` : ""}`).join("  ")
  );
  process.stdout.write(`\r${(lines.find((line) => line.length <= width) ?? "").slice(0, width)}\x1b[K`);
}

/** Starts a training. `onStep` receives the steps that its progress shows. */
function start(
  runtime: readonly string[],
  args: readonly string[],
  name: string,
  onStep: (step: number, child: ChildProcess) => void,
): Promise<Ending | undefined> {
  const [program = "", ...options] = runtime;
  const child = spawn(program, [...options, digits, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const ending = { accuracy: "", id: "", resumedAt: 0 };
  let lines = 0;
  createInterface(child.stdout).on("line", (line) => {
    if (line.startsWith("accuracy ")) ending.accuracy = line.slice(9);
    if (line.startsWith("id ")) ending.id = line.slice(3);
  });
  createInterface(child.stderr).on("line", (line) => {
    const shown = parsed(line);
    if (shown === undefined) {
      if (/^\S*[Ee]rror/.test(line)) say(`  ${name.padEnd(18)} ${line}`);
      return;
    }
    show(name, shown);
    // The first line says where the training begins.
    if (lines++ === 0) ending.resumedAt = shown.step;
    onStep(shown.step, child);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      running.delete(name);
      if (code === 0) resolve(ending);
      else if (signal === "SIGKILL") resolve(undefined);
      else reject(new Error(`${name} ended with ${code ?? signal}`));
    });
  });
}

/** Starts a training that is killed a random moment after a random step in a range. */
async function startAndKill(
  runtime: readonly string[],
  args: readonly string[],
  name: string,
  from: number,
  to: number,
): Promise<void> {
  const at = from + Math.floor(Math.random() * (to - from));
  let killing = false;
  const ending = await start(runtime, args, name, (step, child) => {
    if (step < at || killing) return;
    killing = true;
    setTimeout(() => child.kill("SIGKILL"), Math.random() * 300);
  });
  if (ending !== undefined) throw new Error(`${name} ended before it could be killed at step ${at}`);
  say(`  ${name.padEnd(18)} SIGKILL after step ${at} of ${total}`);
}

async function interrupted(folder: string): Promise<Ending> {
  const args = ["--store", join(folder, "interrupted")];
  await startAndKill(bunRun, args, "interrupted, Bun", 40, 150);
  await startAndKill(denoRun, args, "interrupted, Deno", 190, 320);
  const ending = await start(bunRun, args, "interrupted, Bun", () => {});
  if (ending === undefined) throw new Error("the last leg was killed by somebody else");
  return ending;
}

const folder = await mkdtemp(join(tmpdir(), "dogear-demo-"));
try {
  say("Training on 1,500 handwritten digits: once uninterrupted, once killed twice");
  const [whole, resumed] = await Promise.all([
    start(bunRun, ["--store", join(folder, "whole")], "uninterrupted", () => {}),
    interrupted(folder),
  ]);
  say("And once as if nothing had been saved, for the steps the last leg trained");
  const steps = total - resumed.resumedAt;
  const cold = await start(bunRun, ["--store", join(folder, "cold"), "--steps", String(steps)], "cold start", () => {});
  if (whole === undefined || cold === undefined) throw new Error("a training was killed by somebody else");
  say("");
  say(`uninterrupted            ${whole.id}  accuracy ${whole.accuracy}`);
  say(`killed and resumed twice ${resumed.id}  accuracy ${resumed.accuracy}`);
  say(`cold start, ${String(steps).padStart(3)} steps    ${cold.id}  accuracy ${cold.accuracy}`);
  const proved = whole.id === resumed.id && whole.id !== cold.id;
  say(proved ? "The same bits: equal, equal, different" : "NOT the same bits");
  process.exitCode = proved ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
