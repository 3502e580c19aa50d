/**
 * The main job, end to end: a training on real digits is killed, resumed in the other runtime, killed and resumed again, and ends with the same
 * bits.
 *
 *     bun run demo
 *
 * Three trainings by `digits.ts`, each in separate processes. The first is never interrupted. The second is killed by SIGKILL twice, at random
 * moments, and is resumed in Deno, then in Bun. The third is a cold start that trains only as many steps as the second one had left after its last
 * kill. The first two must end with the same snapshot id, the third with another.
 *
 * The runs are kept in `runs/demo`, or in the folder that is the argument. `--steps n` trains fewer steps.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bun, deno } from "../tests/gate/runtimes.ts";
import {
  barLine,
  type Ending,
  type Name,
  names,
  nextCommands,
  plainLine,
  type Progress,
  progressOf,
  summary,
} from "./demo_screen.ts";

const { values, positionals: [folder = "runs/demo"] } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: "string", default: "376" } },
});
const total = Number(values.steps);
const digits = fileURLToPath(new URL("./digits.ts", import.meta.url));
const [bunRun, denoRun] = [[bun()], [deno(), "run", "--allow-all", "--no-check"]];

// --- what is shown

const running = new Map<Name, Progress>();
let drawn = 0;

/** Replaces the bars on a terminal by a text and the bars as they are now. */
function draw(text: string): void {
  const width = (process.stdout.columns || 80) - 1;
  const lines = names.flatMap((name) => running.has(name) ? [barLine(name, running.get(name)!, width)] : []);
  process.stdout.write(`${"\x1b[1A\x1b[2K".repeat(drawn)}${[text, ...lines.map((line) => `${line}\n`)].join("")}`);
  drawn = lines.length;
}

function say(text: string): void {
  if (process.stdout.isTTY) draw(`${text}\n`);
  else process.stdout.write(`${text}\n`);
}

/** Shows the progress of a training: a bar on a terminal, elsewhere a plain line for each epoch. */
function show(name: Name, progress: Progress): void {
  const before = running.get(name);
  running.set(name, progress);
  if (process.stdout.isTTY) draw("");
  else if (before?.epoch !== progress.epoch || before.step > progress.step) say(plainLine(name, progress));
}

// --- the trainings

interface Leg {
  /** The step at which it began. */
  readonly from: number;
  /** What it printed at its end; undefined if it was killed. */
  readonly ending: { readonly accuracy: string; readonly id: string } | undefined;
}

/** Trains in another process, until the end or a kill. `onStep` receives the steps that its progress shows. */
function trainIn(
  [program = "", ...flags]: readonly string[],
  name: Name,
  steps: number,
  onStep: (step: number, child: ChildProcess) => void = () => {},
): Promise<Leg> {
  const every = Math.max(1, Math.round(total / 37));
  const args = ["--store", join(folder, name), "--steps", `${steps}`, "--every", `${every}`];
  const child = spawn(program, [...flags, digits, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const printed: Record<string, string> = {};
  const other: string[] = [];
  let from: number | undefined;
  createInterface(child.stdout).on("line", (line) => {
    const [, key = "", value = ""] = /^(\S+) (.*)/.exec(line) ?? [];
    printed[key] = value;
  });
  createInterface(child.stderr).on("line", (line) => {
    const progress = progressOf(line);
    if (progress === undefined) return void other.push(line);
    show(name, progress);
    from ??= progress.step;
    onStep(progress.step, child);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const { accuracy = "", id = "" } = printed;
      if (code === 0) running.delete(name);
      if (code === 0 || signal === "SIGKILL") {
        resolve({ from: from ?? 0, ending: code === 0 ? { accuracy, id } : undefined });
      } else reject(new Error(`The training ${name} failed (${code ?? signal}):\n${other.join("\n")}`));
    });
  });
}

async function trainToEnd(
  runtime: readonly string[],
  name: Name,
  steps: number,
): Promise<Ending & { readonly from: number }> {
  const { from, ending } = await trainIn(runtime, name, steps);
  if (ending === undefined) throw new Error(`The training ${name} was killed by another program`);
  return { from, steps, ...ending };
}

/** Trains, and kills the training a moment after a random step between two parts of the whole. */
async function trainAndKill(runtime: readonly string[], name: Name, low: number, high: number): Promise<void> {
  const at = Math.round(total * (low + Math.random() * (high - low)));
  let last = 0;
  let isKilling = false;
  const { ending } = await trainIn(runtime, name, total, (step, child) => {
    last = step;
    if (step < at || isKilling) return;
    isKilling = true;
    setTimeout(() => child.kill("SIGKILL"), Math.random() * 300 * total / 376);
  });
  if (ending !== undefined) throw new Error(`The training ${name} ended before it could be killed at step ${at}`);
  say(`  Killed after step ${last} of ${total}, in ${runtime === bunRun ? "Bun" : "Deno"}`);
}

async function killedTwice(): Promise<Ending & { readonly from: number }> {
  await trainAndKill(bunRun, "killed", 0.1, 0.4);
  say("  Resuming in Deno");
  await trainAndKill(denoRun, "killed", 0.5, 0.85);
  say("  Resuming in Bun");
  return await trainToEnd(bunRun, "killed", total);
}

const kept = names.map((name) => join(folder, name)).filter((path) => existsSync(path));
if (kept.length > 0) say(`Replacing the runs of the last demo: ${kept.join(", ")}\n`);
await Promise.all(kept.map((path) => rm(path, { recursive: true })));
say("Training a small network on 1,500 handwritten digits, twice:\nonce uninterrupted, once killed twice and resumed.");
const [uninterrupted, killed] = await Promise.all([trainToEnd(bunRun, "uninterrupted", total), killedTwice()]);
const left = total - killed.from;
say(`Training once more from nothing, for the ${left} steps that were left after the last kill.`);
const cold = await trainToEnd(bunRun, "cold", left);
const { isProved, lines } = summary({ uninterrupted, killed, cold });
// `npx` has a Bun of its own, which is not on the path.
const start = process.env["npm_command"] === "exec" ? `npx bun@${process.versions["bun"]}` : "bun";
say(["", ...lines, "", ...nextCommands(folder, start)].join("\n"));
process.exitCode = isProved ? 0 : 1;
