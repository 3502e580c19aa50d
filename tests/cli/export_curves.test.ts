/** `dogear export --tensorboard`, read back by a reader that was written from the description of the format. */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { directory, list, runOrThrow, saveState, type Store } from "../../mod.ts";
import { eventFileName, histogramOf } from "../../lib/logs/mod.ts";
import { manifestName } from "../../lib/store/mod.ts";
import { jsonLines, tensorBoard } from "../../lib/trackers/mod.ts";
import { copied, dogear, flip, inside, json, place, run, runStore, url } from "../support/command_line.ts";
import { type Curves, curvesIn, eventFilesIn, type ReadHistogram } from "../support/event_reader.ts";

const { entries } = await runOrThrow(list(runStore));
const digits = entries[0]!.run.slice(0, 8);

/** What the reader finds of a histogram. */
function read(values: ArrayLike<number>): ReadHistogram {
  const { nan: _, infinite: __, ...kept } = histogramOf(values);
  return kept;
}

function exported(
  ...words: readonly string[]
): Promise<{ readonly code: number; readonly text: string; readonly said: string }> {
  return dogear("export", ...words);
}

test("export: the metrics, sizes and tensors of every checkpoint of a run are curves of one event file", async () => {
  const folder = join(place(), "curves");
  const { code, value } = await json("export", run, "--tensorboard", folder);
  assert.equal(code, 0);
  const name = eventFileName(0, digits);
  assert.deepEqual(readdirSync(folder), [name]);
  const path = join(folder, name);
  const bytes = readFileSync(path).length;
  assert.deepEqual(value, {
    location: run,
    folder,
    files: [{ path, bytes, run: entries[0]!.run, checkpoints: [0, 1, 2], logs: [] }],
    leftOut: [],
  });
  const curves = curvesIn(folder);
  const steps = [10, 20, 30];
  const points = (valueAt: (step: number, i: number) => number | ReadHistogram) =>
    steps.map((step, i) => [step, valueAt(step, i)]);
  assert.deepEqual(curves.get("loss"), points((step) => Math.fround(1 / step)));
  assert.deepEqual(curves.get("accuracy"), points(() => 0.5));
  assert.deepEqual(curves.get("checkpoint/bytes"), points((_, i) => entries[i]!.bytes));
  assert.deepEqual(curves.get("checkpoint/shared"), points(() => 0));
  assert.deepEqual(curves.get("w/value"), points(() => read([-2, 0, 0, NaN, Infinity, 6])));
  for (
    const [i, [weight, size]]
      of ([["first/kernel", 8], ["first/bias", 4], ["last/kernel", 4], ["last/bias", 1]] as const).entries()
  ) {
    const found = curves.get(`model/${weight}`);
    assert.deepEqual(found, points((step) => read(Array.from({ length: size }, () => step + i))), weight);
    assert.equal((await dogear("inspect", run, `model/${weight}`)).code, 0);
  }
});

test("export: a run in a bucket gives the same curves as in a folder, one checkpoint those of it alone", async () => {
  const [a, b, one, there] = [place(), place(), place(), url()];
  assert.equal((await dogear("cp", run, there)).code, 0);
  assert.equal((await exported(run, "--tensorboard", a)).code, 0);
  assert.equal((await exported(there, "--tensorboard", b)).code, 0);
  const own = (curves: Curves): Curves => new Map([...curves].filter(([tag]) => tag !== "checkpoint/shared"));
  assert.deepEqual(own(curvesIn(b)), own(curvesIn(a)));
  assert.equal((await exported(`${run}@1`, "--tensorboard", one)).code, 0);
  assert.deepEqual(curvesIn(one), new Map([...curvesIn(a)].map(([tag, points]) => [tag, [points[1]]])));
});

test("export: a fork has an event file in a subfolder, and a checkpoint without a step its number", async () => {
  const path = place();
  const save = (store: Store, value: number, fork: boolean) =>
    runOrThrow(saveState(store, { metrics: { value }, fork })({ w: tf.scalar(value) }));
  await save(directory(path), 0, false);
  await save(directory(path), 1, false);
  await save(directory(path), 2, true);
  await save(directory(path), 3, false);
  const [first, , fork] = (await runOrThrow(list(directory(path)))).entries;
  assert.notEqual(first!.run, fork!.run);
  const folder = place();
  const { code, text } = await exported(path, "--tensorboard", folder);
  assert.equal(code, 0);
  assert.match(text, /2 checkpoints, 0 logs\n.*\n? .*2 checkpoints, 0 logs$/);
  assert.deepEqual(curvesIn(folder).get("value"), [[0, 0], [1, 1]]);
  assert.deepEqual(curvesIn(join(folder, fork!.run.slice(0, 8))).get("value"), [[2, 2], [3, 3]]);
});

test("export: the logs in the folder of a run are curves of their run, and its checkpoints add what was not logged", async () => {
  const path = await copied();
  const fork = "77777777-0000-4000-8000-000000000000";
  const log = async (name: string, run: string | null, from: number): Promise<void> => {
    const tracker = jsonLines(join(path, name));
    await tracker.start({ step: from, run });
    for (let step = from + 1; step <= from + 3; step++) tracker.log({ loss: step, lr: step === 2 ? NaN : 0.5 }, step);
    tracker.histogram("grads", [1, 2], from + 3);
    await tracker.close();
  };
  await log("log.jsonl", entries[0]!.run, 0);
  await log("log.jsonl", fork, 1);
  await log("other.jsonl", null, 100);
  writeFileSync(join(path, "data.jsonl"), '{"text":"no log"}\n');
  mkdirSync(join(path, "folder.jsonl"));
  const folder = place();
  const { code, value } = await json("export", path, "--tensorboard", folder);
  assert.equal(code, 0);
  const files = value.files.map(({ run, logs }: { run: string; logs: readonly string[] }) => [run, logs]);
  assert.deepEqual(files, [
    [entries[0]!.run, [join(path, "log.jsonl"), join(path, "other.jsonl")]],
    [fork, [join(path, "log-77777777.jsonl")]],
  ]);
  const curves = curvesIn(folder);
  assert.deepEqual(curves.get("loss"), [1, 2, 3, 101, 102, 103].map((step) => [step, step]));
  assert.deepEqual(curves.get("lr")?.slice(0, 2), [[1, 0.5], [2, NaN]]);
  assert.deepEqual(curves.get("grads"), [[3, read([1, 2])], [103, read([1, 2])]]);
  assert.deepEqual(curves.get("accuracy"), [10, 20, 30].map((step) => [step, 0.5]));
  assert.deepEqual(curvesIn(join(folder, "77777777")).get("loss"), [2, 3, 4].map((step) => [step, step]));
  const one = place();
  assert.equal((await exported(`${path}@0`, "--tensorboard", one)).code, 0);
  assert.deepEqual(curvesIn(one).get("loss"), [[10, Math.fround(0.1)]]);
});

test("export: a damaged checkpoint is named and left out whole", async () => {
  const path = await copied();
  await flip(inside(path, 1, "model.safetensors"));
  writeFileSync(inside(path, 2, manifestName), "{}");
  const folder = place();
  const { code, value } = await json("export", path, "--tensorboard", folder);
  assert.equal(code, 1);
  assert.deepEqual(
    value.leftOut.map((one: { checkpoint: number; error: { _tag: string } }) => [one.checkpoint, one.error._tag]),
    [[1, "Damaged"], [2, "Damaged"]],
  );
  assert.deepEqual(value.files.map((one: { checkpoints: number[] }) => one.checkpoints), [[0]]);
  for (const points of curvesIn(folder).values()) assert.deepEqual(points.map(([step]) => step), [10]);
  const { said } = await exported(path, "--tensorboard", place());
  assert.match(said, /^Checkpoint 1 is left out: .*\n*[^]*Checkpoint 2 is left out: /);
  const all = await copied();
  for (const checkpoint of [0, 1, 2]) writeFileSync(inside(all, checkpoint, manifestName), "{}");
  const none = place();
  assert.equal((await exported(all, "--tensorboard", none)).code, 1);
  assert.ok(!existsSync(none));
});

test("export: --force replaces the curves of the same run alone; a tracker can continue them", async () => {
  const folder = place();
  assert.equal((await exported(`${run}@0`, "--tensorboard", folder)).code, 0);
  const again = await exported(run, "--tensorboard", folder);
  assert.deepEqual([
    again.code,
    /without event files, found .*: choose another folder, or replace it with --force/.test(again.said),
  ], [
    2,
    true,
  ]);
  assert.deepEqual(curvesIn(folder).get("loss")?.length, 1);
  assert.equal((await exported(run, "--tensorboard", folder, "--force")).code, 0);
  assert.deepEqual(curvesIn(folder).get("loss")?.length, 3);
  assert.equal(eventFilesIn(folder).length, 1);
  const log = tensorBoard(folder);
  await log.start({ step: 20, run: entries[0]!.run });
  log.log({ loss: 0.5 }, 21);
  await log.close();
  assert.deepEqual(curvesIn(folder).get("loss"), [[10, Math.fround(0.1)], [20, Math.fround(0.05)], [21, 0.5]]);
  const refused = await exported(run, "--tensorboard", folder, "--force");
  assert.deepEqual([refused.code, /choose another folder$/.test(refused.said)], [2, true]);
  assert.equal(eventFilesIn(folder).length, 2);
  // What does not help is not advised.
  const [other, taken] = [place(), place()];
  await runOrThrow(saveState(directory(other))({ step: 1 }));
  assert.equal((await exported(other, "--tensorboard", taken)).code, 0);
  const forced = await exported(run, "--tensorboard", taken, "--force");
  assert.deepEqual([forced.code, /, which is of another run: choose another folder$/.test(forced.said)], [2, true]);
});

test("export: the curves of a folder of runs are refused, with the runs in it", async () => {
  const folder = place();
  for (const name of ["b", "a"]) await runOrThrow(saveState(directory(join(folder, name)))({ step: 1 }));
  const { code, said } = await exported(folder, "--tensorboard", place());
  assert.equal(code, 2);
  assert.match(said, /^Expected one run, found a folder of 2 runs: .*\. Export them one at a time$/);
  for (const name of ["a", "b"]) assert.ok(said.includes(join(folder, name)), said);
});

test("export: weights and curves exclude each other, and nothing is written into checkpoints", async () => {
  const path = await copied();
  for (
    const [words, expected] of [
      [[path], /add --out FOLDER for weights, or --tensorboard FOLDER for curves/],
      [[path, "--out", "a", "--tensorboard", "b"], /^Expected one of --out and --tensorboard, found both/],
      [[path, "--tensorboard", "b", "--component", "w"], /^Expected --component with --out/],
      [[path, "--tensorboard", "b", "--max-shard-size", "1GB"], /^Expected --max-shard-size with --out/],
      [[path, "--tensorboard", "s3://bucket/logs"], /found a URL/],
      [[path, "--tensorboard", ""], /add it after --tensorboard/],
      [[path, "--tensorboard", "2"], /which names a checkpoint/],
      [[path, "b", "--tensorboard", "c"], /the folder to write to is given with --tensorboard/],
      [[path, "--tensorboard", join(path, "checkpoints", "logs")], /outside of all checkpoints/],
      [[path, "--tensorboard", inside(path, 0), "--force"], /outside of all checkpoints/],
      [[place(), "--tensorboard", place()], /no folder/],
    ] as const
  ) {
    const { code, said } = await exported(...words);
    assert.equal(code, 2, said);
    assert.match(said, expected);
  }
  const empty = place();
  mkdirSync(empty);
  assert.match((await exported(empty, "--tensorboard", place())).said, /no checkpoint/i);
});
