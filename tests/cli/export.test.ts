/**
 * `dogear export`.
 */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { directory, runOrThrow, saveState } from "../../mod.ts";
import { decodeHeader } from "../../lib/checkpoint/safetensors.ts";
import { copied, dogear, flip, inside, json, place, run } from "../support/command_line.ts";
import { torture } from "../support/torture.ts";

/** The tensors of an exported folder, by name. */
async function loaded(folder: string, files: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>> {
  const found = new Map<string, readonly number[]>();
  for (const file of files) {
    const bytes = new Uint8Array(await readFile(join(folder, file)));
    const header = decodeHeader(bytes, bytes.length);
    assert.ok(header._tag === "Right");
    assert.deepEqual(header.right.metadata, [["format", "pt"]]);
    for (const { name, begin, end, dtype } of header.right.tensors) {
      assert.equal(dtype, "F32");
      assert.ok(!found.has(name));
      const { dataStart } = header.right;
      found.set(name, [...new Float32Array(bytes.slice(dataStart + begin, dataStart + end).buffer)]);
    }
  }
  return found;
}

const weights: ReadonlyMap<string, readonly number[]> = new Map([
  ["first/kernel", Array.from({ length: 8 }, () => 30)],
  ["first/bias", Array.from({ length: 4 }, () => 31)],
  ["last/kernel", Array.from({ length: 4 }, () => 32)],
  ["last/bias", [33]],
]);

test("export: writes safetensors in one file, or in shards with an index", async () => {
  await fc.assert(
    fc.asyncProperty(fc.option(fc.integer({ min: 1, max: 100 })), async (most) => {
      const folder = join(place(), "deep");
      const { code, value } = await json(
        "export",
        run,
        "--out",
        folder,
        ...(most === null ? [] : ["--max-shard-size", `${most}`]),
      );
      assert.equal(code, 0);
      const { files } = value as { files: { name: string; bytes: number }[] };
      const names = (await readdir(folder)).sort();
      assert.deepEqual(files.map(({ name }) => name).sort(), names);
      const shards = names.filter((name) => name.endsWith(".safetensors"));
      assert.deepEqual(await loaded(folder, shards), new Map([...weights].filter(([name]) => weights.has(name))));
      const total = [...weights.values()].flat().length * 4;
      if (most === null || most >= total) return assert.deepEqual(names, ["model.safetensors"]);
      const index = JSON.parse(await readFile(join(folder, "model.safetensors.index.json"), "utf8"));
      assert.equal(index.metadata.total_size, total);
      assert.deepEqual(Object.keys(index.weight_map), [...weights.keys()].sort());
      assert.deepEqual([...new Set(Object.values(index.weight_map))].sort(), shards);
      for (const [i, shard] of shards.entries()) {
        assert.equal(
          shard,
          `model-${`${i + 1}`.padStart(5, "0")}-of-${`${shards.length}`.padStart(5, "0")}.safetensors`,
        );
        const held = await loaded(folder, [shard]);
        for (const name of held.keys()) assert.equal(index.weight_map[name], shard);
        assert.ok(held.size === 1 || [...held.values()].flat().length * 4 <= most);
      }
    }),
    { numRuns: 15 * torture, examples: [[null], [1], [68], [67]] },
  );
});

test("export: a model in several files is listed, verified, compared and exported as one", async () => {
  const path = place();
  const store = directory(path);
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ name: "base", units: 512, inputShape: [512], trainable: false }),
      tf.layers.dense({ name: "head", units: 1 }),
    ],
  });
  await runOrThrow(saveState(store)({ model }));
  const kernel = model.layers[1]?.weights[0];
  (kernel?.read() as tf.Variable).assign(tf.ones([512, 1]));
  const { bytesTotal, bytesWritten } = await runOrThrow(saveState(store)({ model }));
  assert.ok(bytesWritten < bytesTotal / 10);
  const { value: listed } = await json("ls", path);
  const shared = await readFile(inside(path, 1, "model-00001-of-00002.safetensors"));
  const sizes = listed.runs[0].checkpoints.map((one: { shared: number; verdict: string }) => [one.shared, one.verdict]);
  assert.deepEqual(sizes, [[shared.length, "complete"], [shared.length, "complete"]]);
  assert.deepEqual((await json("verify", path)).value.damaged, 0);
  const { code, value } = await json("diff", `${path}@0`, "@1");
  assert.equal(code, 1);
  assert.deepEqual(value.differences.map((one: { path: string }) => one.path), ["model/layers/1/weights/kernel/value"]);
  assert.equal((await json("inspect", `${path}@1`, "model/base/kernel")).code, 0);
  const folder = join(place(), "whole");
  assert.equal((await dogear("export", `${path}@1`, "--out", folder)).code, 0);
  const whole = await loaded(folder, ["model.safetensors"]);
  assert.deepEqual([...whole.keys()].sort(), ["base/bias", "base/kernel", "head/bias", "head/kernel"]);
  assert.deepEqual(whole.get("head/kernel"), Array.from({ length: 512 }, () => 1));
  // Damage of a shared file is damage of both checkpoints.
  await flip(inside(path, 1, "model-00001-of-00002.safetensors"));
  assert.deepEqual((await json("verify", path)).value.damaged, 2);
});

test("export: replaces weights only with --force, and leaves no stale shard", async () => {
  const folder = place();
  assert.equal((await dogear("export", run, "--out", folder, "--max-shard-size", "20")).code, 0);
  await writeFile(join(folder, "config.json"), "{}");
  const before = await readdir(folder);
  assert.ok(before.length > 3);
  for (const words of [[run], [`${run}@1`], [run, "--max-shard-size", "20"]]) {
    const { code, said } = await dogear("export", ...words, "--out", folder);
    assert.equal(code, 2);
    assert.match(said, /add --force$/);
  }
  assert.deepEqual(await readdir(folder), before);
  assert.equal((await dogear("export", `${run}@0`, "--out", folder, "--force")).code, 0);
  assert.deepEqual((await readdir(folder)).sort(), ["config.json", "model.safetensors"]);
  assert.deepEqual((await loaded(folder, ["model.safetensors"])).get("last/bias"), [13]);
});

test("export: writes only to the folder of --out, never into checkpoints", async () => {
  const folder = place();
  await mkdir(folder);
  const before = process.cwd();
  const path = await copied();
  await symlink(join(path, "checkpoints"), join(folder, "link"), "junction");
  process.chdir(folder);
  try {
    for (
      const words of [
        [],
        [path],
        [`${path}@2`],
        [path, "2"],
        [path, "latest"],
        [path, "weights"],
        [path, "--out", ""],
        [path, "--out", "2"],
        [path, "--out", "@2"],
        [path, "2", "--out", "b"],
        [path, "a", "--out", "b"],
        [path, run, "--out", "b"],
        // Nothing is written into checkpoints, not even with --force.
        ...[
          "checkpoints",
          "checkpoints/checkpoint_1",
          "checkpoints/checkpoint_1/state",
          "checkpoints/new",
          "checkpoints/../checkpoints/new",
        ].map((inner) => [path, "--out", `${path}/${inner}`, "--force"]),
        [path, "--out", "link/new", "--force"],
      ]
    ) {
      const { code, text, said } = await dogear("export", ...words);
      assert.deepEqual([code, text], [2, ""], words.join(" "));
      assert.match(said, /^Expected (a folder to write to|one checkpoint)/, words.join(" "));
    }
    assert.deepEqual(await readdir(folder), ["link"]);
    assert.equal((await dogear("verify", path)).code, 0);
    assert.equal((await dogear("export", `${path}@1`, "--out", "./71")).code, 0);
    assert.equal((await dogear("export", `${path}@1`, "--out", "a")).code, 0);
    assert.equal((await dogear("export", path, "--out", "b")).code, 0);
    const weights = async (name: string): Promise<string> =>
      (await readFile(join(name, "model.safetensors"))).toString("hex");
    assert.equal(await weights("a"), await weights("71"));
    assert.notEqual(await weights("a"), await weights("b"));
  } finally {
    process.chdir(before);
  }
});

test("export: names tensors by path if they have no names; rejects components without tensors and damage", async () => {
  const folder = place();
  assert.equal((await dogear("export", run, "--out", folder, "--component", "w")).code, 0);
  assert.deepEqual([...(await loaded(folder, ["model.safetensors"])).keys()], ["value"]);
  const none = place();
  for (
    const [component, found] of [
      ["rng", 'no tensor in "rng". Those with tensors are model, w'],
      ["nope", 'no component "nope". Those with tensors are model, w'],
      ["modle", 'no component "modle". Did you mean model?'],
    ] as const
  ) {
    const { code, said } = await dogear("export", run, "--out", none, "--component", component);
    assert.equal(code, 2);
    assert.ok(said.endsWith(found), said);
  }
  for (const size of ["0", "x", "5 apples", "0.1"]) {
    assert.equal((await dogear("export", run, "--out", none, "--max-shard-size", size)).code, 2);
  }
  const path = await copied();
  await flip(inside(path, 2, "model.safetensors"));
  assert.equal((await dogear("export", path, "--out", none)).code, 1);
  await assert.rejects(readdir(none));
  assert.equal((await dogear("export", `${path}@1`, "--out", none, "--max-shard-size", "5GB")).code, 0);
});
