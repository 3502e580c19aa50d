/**
 * A run restored from its snapshot alone: in a new process that has no code to build a model, for every network and optimizer there is.
 *
 * @module
 */
import { directory, runOrThrow, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { here, run, there } from "../support/children.ts";
import { goOn } from "../programs/alone.ts";
import { advance, runs } from "../programs/runs.ts";

let folder = "";
const ends: (readonly [string, string])[] = [];

before(async () => {
  await tf.setBackend("cpu");
  folder = await mkdtemp(join(tmpdir(), "dogear-alone-"));
  for (const [name, run] of Object.entries(runs)) {
    const state = await advance(run, run.make(), 7);
    await runOrThrow(saveState(directory(join(folder, name)))(state));
    ends.push([name, await goOn(state)]);
    const { cursor, step } = state;
    assert.notEqual(await goOn({ ...run.make(), cursor, step }), ends.at(-1)![1], `${name}: a cold start differs`);
    tf.disposeVariables();
  }
  ends.sort(([a], [b]) => a < b ? -1 : 1);
});
after(() => rm(folder, { recursive: true }));

for (const runtime of [here, there]) {
  test(`same bits: every run goes on from its snapshot alone, in a process of ${runtime === here ? "this" : "the other"} runtime`, async () => {
    const lines = await run(runtime, "alone.ts", [folder]);
    assert.deepEqual(lines.map((line) => JSON.parse(line)), ends);
    assert.ok(ends.length > 10);
  });
}

test("the program that goes on alone builds no model, no optimizer and no loader", async () => {
  const program = await readFile(new URL("../programs/alone.ts", import.meta.url), "utf8");
  assert.doesNotMatch(program, /tf\.(layers|sequential|model|train|variable)\b|Loader|runs\.ts|\.compile\(/);
});
