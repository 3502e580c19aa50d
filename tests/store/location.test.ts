/**
 * State of locations: which stores share what this process remembers.
 */
import { memory, runOrThrow, saveState, type Store } from "@dogear/dogear";
import assert from "node:assert/strict";
import { test } from "node:test";
import { newLocationState, perLocation } from "../../lib/store/location.ts";
import { currentRun } from "../../lib/checkpoint/current_run.ts";

test("perLocation: stores with one `place` share a value, others do not", () => {
  const countAt = perLocation(() => ({ count: 0 }));
  const otherAt = perLocation(() => ({ count: 0 }));
  const [one, other] = [newLocationState(), newLocationState()];
  const [a, b, c] = [one, one, other].map((state) => ({ location: "same", place: () => state }));
  countAt(a!).count++;
  assert.deepEqual([a, b, c].map((store) => countAt(store!).count), [1, 1, 0]);
  assert.equal(otherAt(a!).count, 0);
});

test("perLocation: stores without `place` share a value by their location", async () => {
  const base = memory();
  const named = (location: string): Store => {
    const { place: _, ...rest } = base;
    return { ...rest, location };
  };
  await runOrThrow(saveState(named("a bucket"))({ step: 1 }));
  await runOrThrow(saveState(named("a bucket"))({ step: 2 }));
  assert.equal(currentRun(named("a bucket"))?.parent?.checkpoint, 1);
  assert.equal(currentRun(named("another bucket")), undefined);
  assert.equal(currentRun(base), undefined);
});
