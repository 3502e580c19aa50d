/**
 * Runs to look at on the page of `dogear serve`, and the server in a process of its own.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { crc32 } from "node:zlib";
import { directory, runOrThrow, saveState } from "../../mod.ts";
import { headerLine, valuesLine } from "../../lib/logs/mod.ts";
import { bun, root } from "../gate/runtimes.ts";
import { run, start } from "./children.ts";

// --- the server

/** A server that runs. */
export interface PageServer {
  /** The address of the page. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts `dogear serve`. */
export async function startPageServer(...words: readonly string[]): Promise<PageServer> {
  const child = spawn(bun(), [join(root, "lib/cli/main.ts"), "serve", ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  let errors = "";
  child.stderr.on("data", (data) => errors += data);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  // It does not outlive this process, unless that is killed.
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const url = await new Promise<string | undefined>((resolve) => {
    createInterface(child.stdout).once("line", resolve).once("close", () => resolve(undefined));
  });
  assert.match(url ?? "", /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/$/, `Expected an address, found:\n${errors}`);
  const stop = async (): Promise<void> => {
    process.off("exit", kill);
    kill();
    await ended;
  };
  return { url: url ?? "", stop };
}

// --- runs

/** How a run on the digits is made. */
export interface DigitsOptions {
  /** The arguments of `tests/programs/digits_curves.ts`. */
  readonly args?: readonly string[];
  /** At which steps it is killed. */
  readonly kills?: readonly number[];
  /** The checkpoint at which it forks in the end. */
  readonly fork?: number;
}

/** Trains on the digits: killed by SIGKILL, resumed, and forked. */
export async function digitsRun(folder: string, { args = [], kills = [], fork }: DigitsOptions): Promise<void> {
  for (const step of kills) {
    const child = start("bun", "digits_curves.ts", [folder, ...args], {
      onLine: (line) => void (line === `step ${step}` && child.kill("SIGKILL")),
    });
    assert.equal((await child.ended).signal, "SIGKILL", (await child.ended).errors);
  }
  await run("bun", "digits_curves.ts", [folder, ...args]);
  if (fork !== undefined) await run("bun", "digits_curves.ts", [folder, ...args, "--fork", `${fork}`]);
}

/** The manifest of the checkpoint of step 0 and metric 0.5, as if it were saved at another step with another metric. */
export function manifestAt(step: number, metric: number, manifest: string): string {
  const body = manifest.slice(manifest.indexOf('"manifest":') + 11, -2)
    .replace('"step":0', `"step":${step}`).replace('["loss",0.5]', `["loss",${metric}]`);
  const digest = crc32(Buffer.from(body)).toString(16).padStart(8, "0");
  return `{"format":"dogear/1","crc32":"${digest}","manifest":${body}}\n`;
}

/** A run of many small checkpoints: 10 steps apart, with a loss that falls. */
export async function manyCheckpoints(folder: string, count: number): Promise<void> {
  const state = { weights: Float32Array.from({ length: 100 }, (_, i) => i), step: 0 };
  const { location } = await runOrThrow(saveState(directory(folder), { metrics: { loss: 0.5 } })(state));
  const manifest = readFileSync(join(location, "snapshot.json"), "utf8");
  for (let n = 1; n < count; n++) {
    const own = join(folder, "checkpoints", `checkpoint_${n}`);
    mkdirSync(join(own, "state"), { recursive: true });
    linkSync(join(location, "state", "weights.safetensors"), join(own, "state", "weights.safetensors"));
    writeFileSync(join(own, "snapshot.json"), manifestAt(10 * n, 0.5 / (1 + n / 100), manifest));
  }
}

/** A log of many metrics and points, in the folder of a run. */
export function longLog(folder: string, metrics: number, points: number): void {
  const file = openSync(join(folder, "log.jsonl"), "w");
  const names = Array.from({ length: metrics }, (_, i) => `metric_${i}`);
  writeSync(file, headerLine({ run: null, parent: null }));
  for (let step = 1; step <= points;) {
    const lines: string[] = [];
    for (const end = Math.min(points, step + 999); step <= end; step++) {
      const values = names.map((name, i) => [name, Math.round(1e4 * (Math.sin(step / 3e3 + i) + Math.random())) / 1e4]);
      lines.push(valuesLine({ step, time: 1_700_000_000_000 + step, values: Object.fromEntries(values) }));
    }
    writeSync(file, lines.join(""));
  }
  closeSync(file);
}

/** Names that are markup, code, or confuse a reader. */
export const hostileNames: readonly string[] = [
  "<img src=x onerror=window.hacked=1>",
  "<script>window.hacked=1</script>",
  `"'><svg onload=window.hacked=1>`,
  "</script><script>window.hacked=1</script>",
  "javascript:window.hacked=1",
  "{{constructor.constructor('window.hacked=1')()}}",
  "__proto__",
  "constructor",
  "hasOwnProperty",
  "toString",
  "a/b\\c&d=e?f#g%00%zz+h",
  "\u202egnitsil\u202c",
  "\u2066\u200f\u061c",
  "\u0000\u001b[31m\u0007\u0085",
  "line\nbreak\ttab\u2028separator",
  `${"Z\u0351\u036b\u0343".repeat(30)}`,
  "w".repeat(3000),
  " ",
];

/** A run with hostile names, values and notes, and a log of the same sort. */
export async function hostileRun(folder: string): Promise<void> {
  const store = directory(folder);
  const record = <A>(value: (i: number) => A): Readonly<Record<string, A>> =>
    Object.fromEntries(hostileNames.map((name, i) => [name, value(i)]));
  const numbers = [NaN, Infinity, -Infinity, -0, 5e-324, 1.7976931348623157e308, -1, 0, 1];
  for (const step of [1, 2]) {
    const components = {
      ...record((i) => new Float32Array([...numbers, i, step])),
      nested: record((i) => i % 2 === 0 ? new Float64Array(numbers) : `${hostileNames[i]}`),
      texts: hostileNames,
      step,
    };
    const note = hostileNames.slice(0, 7).join(" ");
    await runOrThrow(
      saveState(store, { metrics: record((i) => numbers[(i + step) % numbers.length] ?? 0), note })(components),
    );
  }
  const lines = [1, 2, 3, 4].map((step) =>
    valuesLine({ step, time: step, values: record((i) => numbers[(i + step) % numbers.length] ?? 0) })
  );
  const whole = headerLine({ run: `<img src=x onerror=window.hacked=1>`, parent: null }) + lines.join("");
  writeFileSync(join(folder, "log.jsonl"), `${whole}{"step":5,"values":{"<b>`);
  appendFileSync(join(folder, "other.jsonl"), "<script>window.hacked=1</script>\n");
}

/** A checkpoint with a string of 10 MB, and a name of 1 MB. */
export async function hugeRun(folder: string): Promise<void> {
  const huge = "<b>10 MB</b>".repeat(900_000);
  const state = { huge, [`huge ${"k".repeat(1000)}`]: { [huge.slice(0, 1_000_000)]: 1 }, step: 1 };
  await runOrThrow(saveState(directory(folder))(state));
}

/** A run with intact and damaged checkpoints: 1 has a flipped bit in its tensors, 2 a cut manifest, 3 a cut file. */
export async function damagedRun(folder: string): Promise<void> {
  const store = directory(folder);
  for (const step of [0, 1, 2, 3, 4]) {
    const weights = new Float32Array(64).fill(step);
    await runOrThrow(saveState(store, { metrics: { loss: 1 / (1 + step) } })({ weights, step }));
  }
  const change = (checkpoint: number, name: string, edit: (bytes: Buffer) => Buffer): void => {
    const path = join(folder, "checkpoints", `checkpoint_${checkpoint}`, name);
    writeFileSync(path, edit(readFileSync(path)));
  };
  change(1, "state/weights.safetensors", (bytes) => {
    bytes[bytes.length - 3]! ^= 1;
    return bytes;
  });
  change(2, "snapshot.json", (bytes) => bytes.subarray(0, bytes.length / 2));
  change(3, "state/weights.safetensors", (bytes) => bytes.subarray(0, bytes.length - 8));
}
