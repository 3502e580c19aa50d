/**
 * `dogear diff`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diff, readSnapshot, runOrThrow } from "../../mod.ts";
import { copied, dogear, flip, inside, json, run, runStore } from "../support/command_line.ts";

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
