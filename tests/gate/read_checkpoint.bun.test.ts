/**
 * `docs/read_checkpoint.py`, the Python reader of the guide to the format: it reads what is saved, and no damaged byte.
 *
 * @module
 */
import { directory, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { needs } from "../support/portable.ts";
import { root } from "./runtimes.ts";

const script = join(root, "docs/read_checkpoint.py");
const scratch = mkdtempSync(join(tmpdir(), "dogear-python-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

function read(folder: string) {
  return spawnSync("python3", [script, folder], { encoding: "utf8" });
}

async function saved(): Promise<string> {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3], kernelInitializer: "ones" })] });
  const shared = tf.variable(tf.tensor2d([[1, -2], [0.5, 4]]));
  const plain = { none: null, yes: true, count: 2n ** 64n, "": [-0, -Infinity, 0.1, "a\u2028"], ["__proto__"]: 1 };
  const arrays = {
    doubles: new Float64Array([0.1, -1]),
    longs: new BigInt64Array([-(2n ** 62n)]),
    bytes: new Uint8ClampedArray([255]),
    bools: tf.tensor([true, false]),
    complex: tf.complex([1, 2], [3, 4]),
    words: tf.tensor(["ab", "c"]),
    empty: tf.zeros([0, 3]),
  };
  const state = { model, optimizer: tf.train.adam(), shared, again: shared, plain, arrays, step: 7 };
  return (await saveState(directory(join(scratch, "run")))(state)).location;
}

test("docs/read_checkpoint.py: at most 30 lines, and the standard library alone", () => {
  const text = readFileSync(script, "utf8");
  assert.ok(text.trimEnd().split("\n").length <= 30);
  assert.deepEqual(text.match(/^\s*(?:import|from) .*$/gm), ["import json, sys, zlib"]);
});

needs("Python 3.10")("docs/read_checkpoint.py: reads every sort of value, and finds every damaged file", async () => {
  const folder = await saved();
  const { status, stdout, stderr } = read(folder);
  assert.equal(status, 0, stderr);
  const { model, optimizer, shared, again, plain, arrays, step } = JSON.parse(
    stdout.replace("-Infinity", '"-Infinity"'),
  );
  assert.equal(step, 7);
  assert.deepEqual(again, { shared: "shared" });
  assert.deepEqual(shared.state.value, { dtype: "float32", shape: [2, 2], values: [1, -2, 0.5, 4] });
  assert.deepEqual(plain[""], [-0, "-Infinity", 0.1, "a\u2028"]);
  assert.match(stdout, /"count": 18446744073709551616\b/);
  assert.deepEqual(Object.keys(plain), ["none", "yes", "count", "", "__proto__"]);
  assert.equal(optimizer.state.class, "Adam");
  const kernel = model.state.layers[0].state.weights.kernel.state.value;
  assert.deepEqual(kernel, { dtype: "float32", shape: [3, 2], values: [1, 1, 1, 1, 1, 1] });
  assert.deepEqual(Object.fromEntries(Object.entries(arrays).map(([name, one]) => [name, Object(one).values])), {
    doubles: [0.1, -1],
    longs: [-4611686018427387904],
    bytes: [255],
    bools: [1, 0],
    complex: [1, 3, 2, 4],
    words: [2, 0, 0, 0, 0x61, 0x62, 1, 0, 0, 0, 0x63],
    empty: [],
  });
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((one) => /\.\w+$/.test(one))) {
    const [path, bytes] = [join(folder, name), readFileSync(join(folder, name))];
    const changed = Uint8Array.from(bytes);
    changed[bytes.length - 3]! ^= 1;
    writeFileSync(path, changed);
    const { status, stderr } = read(folder);
    assert.notEqual(status, 0, name);
    assert.match(stderr, /is damaged|JSONDecodeError/, name);
    writeFileSync(path, bytes);
  }
});
