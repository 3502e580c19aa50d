import assert from "node:assert/strict";
import test from "node:test";
import { pause } from "../../../lib/store/directory/pacing.ts";

/** Runs a pause after so much work, on an event loop whose turns take these times in order; gives the turns that it waited. */
async function turnsOf(worked: number, turns: (at: number) => number): Promise<number> {
  let at = 0;
  await pause(worked, () => Promise.resolve(turns(at++)));
  return at;
}

test("pause: a training gets the thread 16 times as long as the save had it", async () => {
  for (const step of [0.5, 1, 3]) {
    for (const worked of [0.5, 1, 2]) assert.equal(await turnsOf(worked, () => step), Math.ceil(16 * worked / step));
  }
});

test("pause: a long step is enough", async () => {
  assert.equal(await turnsOf(1, () => 500), 1);
});

test("pause: ends in the first turn without other work", async () => {
  assert.equal(await turnsOf(2, () => 0.01), 1);
  assert.equal(await turnsOf(2, (at) => at < 3 ? 1 : 0.01), 4);
});

test("pause: is at most 100 ms, and none after little work", async () => {
  assert.equal(await turnsOf(3_600_000, () => 1), 100);
  assert.equal(await turnsOf(0.05, () => 1), 0);
});

test("pause: other work runs in it", async () => {
  let steps = 0;
  let isTraining = true;
  const step = (): void => {
    const end = performance.now() + 2;
    while (performance.now() < end);
    steps++;
    if (isTraining) setImmediate(step);
  };
  setImmediate(step);
  await pause(1);
  isTraining = false;
  assert.ok(steps >= 3, `${steps} steps`);
});
