/**
 * Runs whose bytes are the same on every day and in every runtime, for tests that compare whole outputs.
 */
import * as tf from "@tensorflow/tfjs";
import { appendFile, cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { captureState, directory, type Note, release, Rng, runOrThrow } from "../../mod.ts";
import { writeCheckpoint } from "../../lib/checkpoint/write.ts";
import { headerLine, valuesLine } from "../../lib/logs/mod.ts";
import { flip, inside } from "./command_line.ts";

// --- types

/** What a checkpoint is labelled with. */
interface Label {
  readonly run: string;
  readonly step: number;
  readonly minutes: number;
  readonly parent: number | null;
  readonly note?: Note;
}

// --- constructors

/** The time of the runs, in milliseconds since 1970. */
export const goldenTime: number = Date.UTC(2026, 0, 31, 12);

const names = ["4e2f2e46-0000-4000-8000-000000000001", "b7c9d1a0-0000-4000-8000-000000000002"] as const;

const environment = { dogear: "0.2.0", tfjs: "4.22.0", runtime: "bun 1.4.5", backend: "cpu" };

/** A model whose weights depend on the step alone. */
function modelAt(step: number): tf.LayersModel {
  const model = tf.sequential({
    name: "digits",
    layers: [
      tf.layers.dense({ units: 8, inputShape: [16], activation: "relu", name: "hidden" }),
      tf.layers.dense({ units: 4, name: "output" }),
    ],
  });
  model.setWeights(
    model.getWeights().map(({ shape }) => {
      const values = Float32Array.from(
        { length: tf.util.sizeFromShape(shape) },
        (_, i) => (i * 37 + step) % 101 / 128 - 0.375,
      );
      return tf.tensor(values, shape);
    }),
  );
  return model;
}

/** Saves a checkpoint with this label, with a model, an optimizer, a generator and plain data. */
async function saveAt(
  folder: string,
  digest: "crc32" | "sha256",
  { run, step, minutes, parent, note }: Label,
): Promise<void> {
  const store = directory(folder, { digest });
  const state = { model: modelAt(step), optimizer: tf.train.sgd(0.1), rng: Rng.make(step), best: 1 / step, step };
  const snapshot = captureState(state);
  const labels = { metrics: { loss: 4 / step, accuracy: 1 - 2 / step }, ...(note !== undefined && { note }) };
  const summary = { run, step, parent, environment, time: goldenTime + minutes * 60_000, ...labels };
  const options = { after: undefined, parentFiles: [], onProgress: () => {} };
  await runOrThrow(writeCheckpoint(store, snapshot.encoded, summary, options));
  release(snapshot);
  state.model.dispose();
}

/**
 * Makes a folder with `runs/digits` of three checkpoints and a log, `runs/fork` of one with SHA-256, `runs/東京` with a damaged one, and the
 * data file `reviews.jsonl`.
 */
export async function goldenRuns(folder: string): Promise<void> {
  const [digits, fork, damaged] = ["digits", "fork", "東京"].map((name) => join(folder, "runs", name)) as [
    string,
    string,
    string,
  ];
  const [run, other] = names;
  for (const [i, step] of [100, 200, 300].entries()) {
    const note = i === 1 ? { note: "after the learning rate was lowered" } : {};
    await saveAt(digits, "crc32", { run, step, minutes: 20 * i, parent: i === 0 ? null : i - 1, ...note });
  }
  await saveAt(fork, "sha256", { run: other, step: 250, minutes: 50, parent: null });
  await mkdir(dirname(damaged), { recursive: true });
  await cp(digits, damaged, { recursive: true });
  await flip(inside(damaged, 1, "model.safetensors"));
  const log = join(digits, "train.jsonl");
  await writeFile(log, headerLine({ run, parent: null }));
  for (let step = 0; step <= 300; step += 10) {
    await appendFile(log, valuesLine({ step, time: goldenTime + step, values: { loss: 4 / (step + 10), rate: 0.1 } }));
  }
  await writeFile(join(folder, "reviews.jsonl"), '{"text":"good"}\n{"text":"bad"}\n');
}
