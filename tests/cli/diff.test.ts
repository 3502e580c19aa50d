/**
 * `dogear diff`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import { diff, directory, readSnapshot, Rng, runOrThrow, saveState } from "../../mod.ts";
import { copied, dogear, flip, inside, json, place, run, runStore } from "../support/command_line.ts";

test("diff: lists the differences that the library finds", async () => {
  const { code, value } = await json("diff", `${run}@0`, "@2");
  const [left, right] = [0, 2].map((checkpoint) => readSnapshot(runStore, { checkpoint }));
  const expected = await diff(await runOrThrow(left!), await runOrThrow(right!))();
  assert.equal(code, 1);
  const { components, ...rest } = value;
  assert.deepEqual(rest, {
    left: { location: run, checkpoint: 0 },
    right: { location: run, checkpoint: 2 },
    equal: false,
    differences: JSON.parse(JSON.stringify(expected)),
  });
  assert.deepEqual(components, [
    { name: "model", equal: false, tensors: 4, differing: 4, values: 0, largest: 20 },
    { name: "w", equal: true, tensors: 1, differing: 0, values: 0, largest: null },
    { name: "rng", equal: false, tensors: 0, differing: 0, values: 0, largest: null },
    { name: "note", equal: true, tensors: 0, differing: 0, values: 0, largest: null },
    { name: "step", equal: false, tensors: 0, differing: 0, values: 1, largest: null },
  ]);
});

test("diff: begins with a line for each component, then tensors by names that inspect takes, then values", async () => {
  const { text } = await dogear("diff", `${run}@0`, "@latest");
  assert.equal(
    text,
    [
      "component  left → right",
      "model      4 of 4 tensors differ, by at most 20",
      "w          equal",
      "rng        differs",
      "note       equal",
      "step       10 → 30",
      "",
      "tensor              differ  by at most",
      "model/first/kernel  8 of 8          20",
      "model/first/bias    4 of 4          20",
      "model/last/kernel   4 of 4          20",
      "model/last/bias     1 of 1          20",
      "",
      "4 numbers in random generators differ too: --all shows them",
    ].join("\n"),
  );
  const all = await dogear("diff", `${run}@0`, "@latest", "--all");
  assert.match(all.text, /^rng\/state\/0 +-?\d+ +-?\d+\nrng\/state\/1/m);
  assert.doesNotMatch(all.text, /--all/);
});

test("diff: components on one side, other kinds, shapes, strings and nested generators have words of their own", async () => {
  const path = place();
  const save = (state: Record<string, unknown>): Promise<unknown> =>
    runOrThrow(saveState(directory(path))(state as Record<string, unknown>));
  const long = "word ".repeat(40);
  const shared = { x: Float32Array.of(1, 2, 3), n: 1 };
  await save({
    gone: 1,
    kind: tf.scalar(1),
    big: Float32Array.of(1, 2),
    mixed: { rng: Rng.make(1), lr: 0.1, w: tf.tensor1d([1, 2, 3]), same: true },
    text: tf.tensor1d(["a", "b"]),
    long,
    shared,
    again: shared,
  });
  await save({
    kind: { one: 1 },
    big: Float32Array.of(1, 2, 3),
    mixed: { rng: Rng.make(2), lr: 0.2, w: tf.tensor1d([1, NaN, 3.5]), same: true, more: null },
    text: tf.tensor1d(["a", "c"]),
    long: `${long}!`,
    shared: { ...shared, n: 2 },
    again: { ...shared, n: 2 },
    new: [1],
  });
  const { code, text } = await dogear("diff", `${path}@0`, "@1");
  assert.equal(code, 1);
  assert.equal(
    text,
    [
      "component  left → right",
      "gone       only on the left",
      "kind       Tensor → record",
      "big        [2] → [3]",
      "mixed      1 of 1 tensor differs, by at most Infinity; 2 values; generators",
      "text       1 of 1 tensor differs",
      'long       "word word word wor… → "word word word wor…',
      "shared     1 value differs",
      "again      1 value differs",
      "new        only on the right",
      "",
      "tensor   differ  by at most",
      "mixed/w  2 of 3    Infinity",
      "text          -           -",
      "",
      "value       left  right",
      "mixed/lr    0.1   0.2",
      "mixed/more  -     null",
      "shared/n    1     2",
      "again/n     1     2",
      "",
      "4 numbers in random generators differ too: --all shows them",
    ].join("\n"),
  );
});

test("diff: equal checkpoints are equal, in one run or two", async () => {
  const other = await copied();
  const equal = "Equal: both checkpoints hold the same state, bit for bit.";
  for (const words of [[`${run}@1`, "@1"], [run, other], [`${run}@1`, `${other}@1`], [`${run}@2`, `${other}@latest`]]) {
    assert.deepEqual(await dogear("diff", ...words), { code: 0, text: equal, said: "" });
  }
  assert.equal((await dogear("diff", `${run}@1`, other)).code, 1);
  for (const words of [[run], [`${run}@1`], [`${run}@0`, "@1", "@2"], [`${run}@0`, "@9"], ["0", "2"]]) {
    assert.equal((await dogear("diff", ...words)).code, 2, words.join(" "));
  }
  await flip(inside(other, 2, "state/w.safetensors"));
  const damaged = await dogear("diff", run, other);
  assert.deepEqual([damaged.code, damaged.text], [1, ""]);
  assert.match(damaged.said, /^Checkpoint 2 is damaged/);
});
