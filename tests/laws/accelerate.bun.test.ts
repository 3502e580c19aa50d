/**
 * The tests of Hugging Face Accelerate that concern checkpoints, for dogear: exact where they allow a tolerance, and resumed in a new process of
 * the other runtime where they stay in one.
 *
 * A title that starts with a code, like `S1:` or `D7, D8:`, is the counterpart of one or more tests of Accelerate. The letter says what those
 * test: S saving and loading a state, D data loaders, L stateful loaders, P reproducible order, E the examples that save by epoch or by step,
 * H schedulers, O the overflow of a loss scale. The number counts them. Counterparts are also in the tests of loaders and of values; the
 * last test here checks that no code is missing.
 *
 * In Bun alone, because each training here runs in processes of both runtimes.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import {
  captureState,
  directory,
  loadState,
  restoreInto,
  Retention,
  Rng,
  runOrThrow,
  saveState,
  Schedule,
} from "../../mod.ts";
import { here, run, type Runtime, there } from "../support/children.ts";
import { perEpoch, type Said, type Shown } from "../programs/line.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-peers-"));
after(() => rm(scratch, { recursive: true, force: true }));

/** Runs the line's program in a folder of the scratch space. */
async function line(runtime: Runtime, ...args: readonly string[]): Promise<readonly Said[]> {
  return (await run(runtime, "line.ts", args, { cwd: scratch })).map((text) => JSON.parse(text));
}

function shown(said: readonly Said[]): readonly Shown[] {
  return said.flatMap(({ shown }) => shown ?? []);
}

function saved(said: readonly Said[]): readonly (readonly [checkpoint: number, step: number | null])[] {
  return said.flatMap(({ saved }) => saved === undefined ? [] : [[saved.checkpoint, saved.step] as const]);
}

function folders(store: string): Promise<string[]> {
  return readdir(join(scratch, store, "checkpoints"));
}

test("S1: of two saves latest(1) keeps the folder checkpoint_1, and no other", async () => {
  const store = directory(join(scratch, "limit"), { keep: Retention.latest(1) });
  for (const step of [0, 1]) await runOrThrow(saveState(store)({ step }));
  assert.deepEqual(await folders("limit"), ["checkpoint_1"]);
});

test("S2: from a store with the first state and one with the second epoch's, three epochs are three epochs", async () => {
  const [first, third] = shown(await line(here, "store=first", "save", "show", "until=30", "show"));
  const [again] = shown(await line(there, "store=first", "load", "show", "until=20", "store=second", "save"));
  assert.deepEqual(again, first);
  const [second, resumed] = shown(await line(here, "store=second", "load", "show", "until=30", "show"));
  assert.deepEqual(resumed, third);
  assert.notEqual(third?.learned, first?.learned);
  assert.deepEqual([second?.rands, third?.rands.length], [third?.rands.slice(0, 2), 3]);
});

test("S3: in one store with numbers of its own making, three epochs are three epochs", async () => {
  const [third] = shown(await line(here, "store=numbered", "save", "until=30", "show"));
  const again = await line(there, "store=numbered", "load=0", "until=20", "save");
  assert.deepEqual(saved(again), [[1, 20]]);
  assert.deepEqual(shown(await line(here, "store=numbered", "load=1", "until=30", "show")), [third]);
});

test("S4: a relative path and no number will do", async () => {
  const [first, third] = shown(await line(there, "store=runs/relative", "save", "show", "until=30", "show"));
  const again = await line(here, "store=runs/relative", "load", "show", "until=20", "save");
  assert.deepEqual([shown(again), saved(again)], [[first], [[1, 20]]]);
  assert.deepEqual(shown(await line(there, "store=./runs/relative/", "load", "until=30", "show")), [third]);
});

test("S5: what cannot be captured is refused by its name, and what does not fit is listed, all of it and nothing else", () => {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
  const adam = tf.train.adam();
  for (const wrong of [() => 1, Symbol("tensor"), undefined, new Date(0), new WeakMap()] as unknown[]) {
    const numTensors = tf.memory().numTensors;
    assert.throws(
      () => captureState({ model, adam, first: { inner: wrong }, second: wrong }),
      (error: Error) =>
        error instanceof TypeError && /\bfirst\/inner\b/.test(error.message) && !/model\/|adam/.test(error.message),
    );
    assert.equal(tf.memory().numTensors, numTensors);
  }
  using snapshot = captureState({ model, adam, first: tf.scalar(1), second: tf.scalar(2) });
  const misfits = restoreInto({ model, adam, first: Rng.make(1), second: Schedule.constant({ base: 1 }) })(snapshot)();
  assert(misfits._tag === "Left" && misfits.left._tag === "Mismatch");
  assert.deepEqual([...new Set(misfits.left.problems.map(({ path }) => path.split("/")[0]))], ["first", "second"]);
});

test("S6: a schedule that was trained on is back where it was saved", async () => {
  const [start, trained] = shown(await line(here, "store=schedule", "save", "show", "until=30", "show"));
  assert.notEqual(trained?.rate, start?.rate);
  assert.equal(shown(await line(there, "store=schedule", "load", "show"))[0]?.rate, start?.rate);
});

test("S7: without a number the newest checkpoint is loaded, into components that were trained on", async () => {
  const said = await line(here, "store=newest", "save", "until=20", "save", "show", "until=30", "show", "load", "show");
  const [second, third, loaded] = shown(said);
  assert.deepEqual(loaded, second);
  assert.notEqual(loaded?.learned, third?.learned);
});

test("S8: of eleven saves latest(2) keeps the folders checkpoint_9 and checkpoint_10, and no other", async () => {
  const store = directory(join(scratch, "eleven"), { keep: Retention.latest(2) });
  for (let step = 0; step < 11; step++) await runOrThrow(saveState(store)({ step }));
  assert.deepEqual((await folders("eleven")).sort(), ["checkpoint_10", "checkpoint_9"]);
  assert.deepEqual(await runOrThrow(loadState(store)({ step: 0 })), { step: 10 });
});

test("the numbering goes on after a resume, and no number is taken twice", async () => {
  const numbers: (readonly [number, number | null])[] = [];
  for (const [runtime, load] of [[here, "resume"], [there, "resume"], [here, "load=0"], [there, "load"]] as const) {
    numbers.push(...saved(await line(runtime, "store=goes-on", load, "save", "save")));
  }
  assert.deepEqual(numbers.map(([checkpoint]) => checkpoint), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal((await folders("goes-on")).length, 8);
});

// --- the examples: saving by epoch and by step, and resuming from either

const whole = await line(here, "store=epochs", `every=${perEpoch}`, "train=30", "show");

/** What is said of the training after a step: every loss, on the training data and on the validation data, and the end. */
function since(step: number, said: readonly Said[]): readonly Said[] {
  const from = said.findIndex((one) => one.step?.step === step + 1);
  return said.slice(from).filter(({ step, valid, shown }) => step ?? valid ?? shown);
}

test("E1: saving by epoch gives a checkpoint for each, after that of the first state", () => {
  assert.deepEqual(saved(whole), [[0, 0], [1, 10], [2, 20], [3, 30]]);
});

test("E2: saving every two steps gives one of step 2 after that of the first state", async () => {
  assert.deepEqual(saved(await line(there, "store=steps", "every=2", "train=6")), [[0, 0], [1, 2], [2, 4], [3, 6]]);
});

test("E3: resumed from the first epoch, epoch 0 is not trained again, and every later loss and rate is the same", async () => {
  const resumed = await line(there, "store=epochs", "load=1", "train=30", "show");
  assert.deepEqual([...new Set(resumed.flatMap(({ step }) => step?.epoch ?? []))], [1, 2]);
  assert.equal(since(10, whole).length, 20 + 2 + 1);
  assert.deepEqual(since(10, resumed), since(10, whole));
});

test("E4: resumed from step 2, both epochs go on, and every later loss and rate is the same", async () => {
  await line(there, "store=stopped", "every=2", "train=6");
  const resumed = await line(here, "store=stopped", "load=1", "train=30", "show");
  assert.deepEqual([...new Set(resumed.flatMap(({ step }) => step?.epoch ?? []))], [0, 1, 2]);
  assert.equal(resumed.find(({ step }) => step)?.step?.step, 3);
  assert.equal(since(2, whole).length, 28 + 3 + 1);
  assert.deepEqual(since(2, resumed), since(2, whole));
});

// --- none is forgotten

test("accelerate: each of its tests that has a counterpart has one here, by its code", async () => {
  const range = (letter: string, from: number, to: number): readonly string[] =>
    Array.from({ length: to - from + 1 }, (_, i) => `${letter}${from + i}`);
  const asked = [
    ...range("S", 1, 8),
    ...range("D", 1, 21),
    ...range("L", 1, 2),
    ...range("P", 1, 2),
    ...range("E", 1, 4),
    "H1",
    "H2",
    "O1",
  ];
  const tests = new URL("../", import.meta.url);
  const found = new Set<string>();
  for (const name of await readdir(tests, { recursive: true })) {
    if (!name.endsWith(".test.ts")) continue;
    const text = await readFile(new URL(name, tests), "utf8");
    for (const [, numbers = ""] of text.matchAll(/\btest\(\s*["`]([A-Z]\d+(?:, [A-Z]\d+)*): /g)) {
      for (const number of numbers.split(", ")) found.add(number);
    }
  }
  assert.deepEqual(asked.filter((number) => !found.has(number)), []);
});
