/**
 * `dogear verify`.
 */
import assert from "node:assert/strict";
import { mkdir, rm } from "node:fs/promises";
import { test } from "node:test";
import { copied, dogear, flip, inside, json, place, run } from "../support/command_line.ts";

test("verify: reads every byte and names what is damaged", async () => {
  const fine = await dogear("verify", run);
  assert.deepEqual([fine.code, fine.said], [0, ""]);
  assert.match(fine.text, /^checkpoint +size {2}verdict\n +0 .* verified\n +1 .* verified\n +2 .* verified$/);
  const path = await copied();
  await flip(inside(path, 1, "model.safetensors"));
  await rm(inside(path, 2, "state/w.safetensors"));
  const { code, said } = await dogear("verify", path);
  assert.equal(code, 1);
  assert.match(
    said,
    /^Checkpoint 1 is damaged.*\n {2}model\.safetensors: expected CRC-32 .*\n[^]*Checkpoint 2 is damaged.*\n {2}state\/w/,
  );
  assert.equal((await dogear("verify", `${path}@0`)).code, 0);
  const { value } = await json("verify", `${path}@0`, "@1");
  const { checkpoints, verified, damaged } = value;
  assert.deepEqual([verified, damaged], [1, 1]);
  assert.deepEqual(checkpoints.map(({ error }: { error: { _tag: string } | null }) => error?._tag), [
    undefined,
    "Damaged",
  ]);
  const several = await dogear("verify", run, path);
  assert.equal(several.code, 1);
  assert.equal(several.text.split("\n").length, 7);
  assert.ok(several.said.startsWith(`${path}: Checkpoint 1`));
});

test("verify: a run without checkpoints is an error", async () => {
  const empty = place();
  await mkdir(empty);
  for (const words of [[empty], [`${run}@7`]]) assert.equal((await dogear("verify", ...words)).code, 2);
});
