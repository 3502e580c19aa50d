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
  assert.deepEqual(value, {
    left: { location: run, checkpoint: 0 },
    right: { location: run, checkpoint: 2 },
    equal: false,
    differences: JSON.parse(JSON.stringify(expected)),
  });
  const { text } = await dogear("diff", `${run}@0`, "@latest");
  const lines = text.split("\n");
  assert.deepEqual(lines[0]?.split(/ {2,}/), ["path", "differs in", "left", "right", "elements", "by at most"]);
  assert.ok(lines.some((line) => /^model\/layers\/0\/weights\/kernel\/value +value +8 +20$/.test(line)), text);
  assert.ok(lines.some((line) => /^step +value +10 +30 +1 +20$/.test(line)));
  assert.equal(lines.at(-1), `${expected.length} differences`);
});

test("diff: equal checkpoints are equal, in one run or two", async () => {
  const other = await copied();
  for (const words of [[`${run}@1`, "@1"], [run, other], [`${run}@1`, `${other}@1`], [`${run}@2`, `${other}@latest`]]) {
    assert.deepEqual(await dogear("diff", ...words), { code: 0, text: "equal, by bits", said: "" });
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
