/**
 * For tests of the command line: runs it in this process, and trains a run to use it on.
 */
import { rmSync } from "node:fs";
import { cp, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after } from "node:test";
import * as tf from "@tensorflow/tfjs";
import { directory, Rng, runOrThrow, saveState, type Store } from "../../mod.ts";
import { runCommand } from "../../lib/cli/run_command.ts";
import type { Terminal } from "../../lib/cli/terminal.ts";
import { type LocationState, newLocationState } from "../../lib/store/location.ts";
import { storeOn } from "../../lib/store/s3/s3_store.ts";
import { parseS3Url } from "../../lib/store/s3/url.ts";
import { isBun } from "../gate/runtimes.ts";
import { simulatedBucket, type Simulation } from "./simulated_bucket.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-cli-"));
// Bun may load several test files in one process, Deno ends without the event.
const remove = (): void => rmSync(scratch, { recursive: true, force: true });
if (isBun) process.once("exit", remove);
else after(remove);

await tf.setBackend("cpu");

let made = 0;

/** A path that does not exist yet. */
export function place(): string {
  return join(scratch, `${made++}`);
}

// --- buckets

/** The server of the bucket. */
export const simulation: Simulation = simulatedBucket();
const placesOfPrefixes = new Map<string, LocationState>();

/** The store of a URL, in the simulated bucket of this process. */
export function bucketStore(url: string): Store {
  const { prefix } = parseS3Url(url);
  const place = placesOfPrefixes.get(prefix) ?? newLocationState();
  placesOfPrefixes.set(prefix, place);
  return storeOn(simulation.client(), prefix, {}, place);
}

/** A URL with nothing below it yet. */
export function url(): string {
  return `s3://bucket/runs${made++}/digits`;
}

// --- running it

/** What a command line wrote, and its exit code. */
export interface Ended {
  readonly code: number;
  readonly text: string;
  readonly said: string;
}

/** Runs a command line in this process, and collects what it writes. */
export async function dogear(...words: readonly string[]): Promise<Ended> {
  return await dogearWithin(80, ...words);
}

/** {@link dogear} in a terminal of some width. */
export async function dogearWithin(width: number, ...words: readonly string[]): Promise<Ended> {
  const [lines, said]: [string[], string[]] = [[], []];
  const out: Terminal = {
    width,
    print: async (some) => {
      for await (const line of some) lines.push(line);
    },
    say: (text) => void said.push(text),
    draw: () => () => {},
    paint: (_, word) => word,
  };
  const code = await runCommand(words, out, (at) => Promise.resolve().then(() => bucketStore(at)));
  return { code, text: lines.join("\n"), said: said.join("\n") };
}

/** Runs a command line with `--json`. */
// deno-lint-ignore no-explicit-any -- tests look at parts of the document
export async function json(...words: readonly string[]): Promise<{ readonly code: number; readonly value: any }> {
  const { code, text } = await dogear(...words, "--json");
  return { code, value: JSON.parse(text) };
}

// --- stores

/** A run of three checkpoints: a model, an optimizer, a generator, plain data. */
async function trained(): Promise<{ readonly path: string; readonly store: Store }> {
  const path = place();
  const store = directory(path);
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 4, inputShape: [2], name: "first" }),
      tf.layers.dense({ units: 1, name: "last" }),
    ],
  });
  const values = [-2, 0, 0, NaN, Infinity, 6];
  const w = tf.variable(tf.tensor1d(values));
  for (const step of [10, 20, 30]) {
    // Unchanged tensors would be shared between checkpoints.
    w.assign(tf.tensor1d(values));
    model.setWeights(model.getWeights().map((weight, i) => tf.fill(weight.shape, step + i)));
    const state = { model, w, rng: Rng.make(step), note: { text: "a\u001b[31mb", "c/d": [1n, -0] }, step };
    await runOrThrow(saveState(store, { metrics: { loss: 1 / step, accuracy: 0.5 } })(state));
  }
  return { path, store };
}

const shared = await trained();

/** The run, which no test changes. */
export const run: string = shared.path;

/** Its store. */
export const runStore: Store = shared.store;

/** A copy of the run, to damage. */
export async function copied(): Promise<string> {
  const path = place();
  await cp(run, path, { recursive: true });
  return path;
}

/** Flips a bit of a file. */
export async function flip(path: string, at = -1): Promise<void> {
  const bytes = await readFile(path);
  bytes[at < 0 ? bytes.length + at : at]! ^= 1;
  await writeFile(path, bytes);
}

/** The path of a file in a checkpoint. */
export function inside(path: string, checkpoint: number, name = ""): string {
  return join(path, "checkpoints", `checkpoint_${checkpoint}`, name);
}

/** Replaces ages, times and names of runs, which differ each time. */
export function steady(text: string): string {
  return text.replace(/(?<= {2}[ \d]{3}\d s {2})\d\d:\d\d/g, "{now}").replace(/ {2}[ \d]{3}\d s {2}/g, "   {age}  ")
    .replace(/ [0-9a-f]{8} /g, " {run}... ");
}
