/**
 * Fine-tuning on a file of JSON Lines with random augmentation: killed again and again, and resumed each time with another number of ranks.
 *
 *     bun examples/reviews.ts [kills]          20 by default; in Deno: deno run -A examples/reviews.ts
 *
 * It checks itself against a training with one rank that is not killed: every review is seen exactly once in every epoch, in the same order,
 * and the weights end with the same bits. The ranks are simulated, one after another in one process.
 *
 * @module
 */
import { captureState, directory, id, Loader, pipe, resume, Retention, Rng, saveState } from "@dogear/dogear";
import { fromJsonLines } from "@dogear/dogear/data";
import * as tf from "@tensorflow/tfjs";
import * as t from "io-ts";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const [count, size, epochs, width] = [240, 24, 4, 64] as const;
const Review = t.type({ id: t.number, text: t.string, good: t.boolean });

// --- the data

function write(path: string): Promise<void> {
  const words = [["splendid", "warm", "clever", "bright"], ["dull", "cold", "clumsy", "grey"]] as const;
  let rng = Rng.make("reviews");
  const word = (kind: number): string => {
    const [i, next] = Rng.int(0, 3)(rng);
    rng = next;
    return words[kind]![i]!;
  };
  const lines = Array.from({ length: count }, (_, id) => {
    const kind = id % 2;
    const text = [word(kind), word(kind), word(1 - kind), word(kind), word(kind), "film"].join(" ");
    return `${JSON.stringify({ id, text, good: kind === 0 })}\n`;
  });
  return writeFile(path, lines.join(""));
}

/** A bag of hashed words, without some random words. */
function features(text: string, rng: Rng.Rng): Float32Array {
  const bag = new Float32Array(width);
  for (const word of text.split(" ")) {
    const [kept, next] = Rng.float(rng);
    rng = next;
    const hash = [...word].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % width, 7);
    if (kept > 0.2) bag[hash]! += 1;
  }
  return bag;
}

// --- the training

async function train(folder: string, store: string, world: number): Promise<void> {
  await tf.setBackend("cpu");
  const reviews = await fromJsonLines(join(folder, "reviews.jsonl"), { codec: Review });
  const batches = pipe(
    reviews,
    Loader.mapRandom(({ id, text, good }, rng) => ({ id, x: features(text, rng), y: Number(good) }), { seed: "words" }),
    Loader.shuffle("reviews"),
    Loader.batch(size),
  );
  const ranks = Array.from(
    { length: world },
    (_, rank) =>
      pipe(batches, Loader.shard({ rank, world, splitBatches: true }), Loader.prefetch(2), Loader.repeat(epochs)),
  );
  const checkpoints = directory(join(folder, store), { keep: Retention.latest(2) });
  const model = tf.sequential({
    layers: [tf.layers.dense({ units: 1, activation: "sigmoid", inputShape: [width], kernelInitializer: "zeros" })],
  });
  const optimizer = tf.train.adam(0.05);
  let state = await resume(checkpoints)({
    model,
    optimizer,
    cursor: Loader.start(batches),
    step: 0,
    /** How often each review was seen, and the order of all. */
    seen: new Int32Array(count),
    order: new Int32Array(count * epochs),
  });
  const iterators = ranks.map((rank) => Loader.from(state.cursor)(rank)[Symbol.asyncIterator]());
  for (;;) {
    const parts = await Promise.all(iterators.map((iterator) => iterator.next()));
    const there = parts.flatMap(({ done, value }) => done ? [] : [value]);
    if (there.length === 0) break;
    const [[, cursor]] = there as [typeof there[0]];
    assert.ok(
      there.length === world && there.every(([, at]) => at.epoch === cursor.epoch && at.position === cursor.position),
    );
    const samples = there.flatMap(([batch]) => batch);
    const seen = state.seen.slice();
    const order = state.order.slice();
    samples.forEach(({ id }, i) => {
      seen[id]!++;
      order[state.step * size + i] = id;
    });
    tf.tidy(() => {
      const x = tf.tensor2d(samples.map(({ x }) => [...x]));
      const y = tf.tensor2d(samples.map(({ y }) => [y]));
      optimizer.minimize(() => tf.losses.logLoss(y, model.predict(x) as tf.Tensor) as tf.Scalar);
    });
    state = { ...state, cursor, seen, order, step: state.step + 1 };
    if (cursor.position === 0) {
      assert.ok(seen.every((times) => times === cursor.epoch), `not once in epoch ${cursor.epoch}`);
    }
    await saveState(checkpoints)(state);
    process.stdout.write(`step ${state.step} of ${count / size * epochs} with ${world} ranks\n`);
  }
  using snapshot = captureState({ model, optimizer, cursor: state.cursor, order: state.order });
  process.stdout.write(`id ${await id(snapshot)}\n`);
}

// --- the killing

/** Trains in a new process, which may be killed a moment after a step. Returns the id of the final state, if it got there. */
function run(folder: string, store: string, world: number, killAfter = Infinity): Promise<string | undefined> {
  const self = fileURLToPath(import.meta.url);
  const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-check"] : [];
  const child = spawn(process.execPath, [...flags, self, "train", folder, store, String(world)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let [steps, end] = [0, undefined as string | undefined];
  createInterface(child.stdout).on("line", (line) => {
    if (line.startsWith("id ")) end = line.slice(3);
    if (line.startsWith("step ") && ++steps === killAfter) setTimeout(() => child.kill("SIGKILL"), 10 * Math.random());
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on(
      "close",
      (code, signal) =>
        code === 0 || signal === "SIGKILL"
          ? resolve(end)
          : reject(new Error(`a training ended with ${code ?? signal}`)),
    );
  });
}

async function killed(folder: string, kills: number): Promise<string> {
  const worlds = [4, 1, 3, 8, 2] as const;
  for (let k = 0;; k++) {
    const world = worlds[k % worlds.length]!;
    const end = await run(folder, "killed", world, k < kills ? 1 + k % 2 : Infinity);
    process.stdout.write(`${end === undefined ? "SIGKILL" : "the end"}, ${k + 1}. process, ${world} ranks\n`);
    if (end !== undefined) return end;
  }
}

const [command = "20", folder = "", store = "", world = ""] = process.argv.slice(2);
if (command === "train") await train(folder, store, Number(world));
else {
  const folder = await mkdtemp(join(tmpdir(), "dogear-reviews-"));
  try {
    await write(join(folder, "reviews.jsonl"));
    const whole = await run(folder, "whole", 1);
    const again = await killed(folder, Number(command));
    assert.ok(whole !== undefined);
    assert.equal(again, whole);
    process.stdout.write(`every review once an epoch, in one order, and the same bits: ${whole}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
