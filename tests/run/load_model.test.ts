/**
 * A model loaded alone, without live objects: the same model, nothing else in memory, and no change of the current run.
 */
import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import {
  captureState,
  directory,
  explain,
  id,
  list,
  loadModel,
  type LoadModelOptions,
  memory,
  readSnapshot,
  type Report,
  restoreState,
  saveState,
  type Store,
} from "../../mod.ts";
import { isTriedHere } from "../support/torture.ts";
import { models, probeModels, small, trainModels, variableOf } from "../support/samples.ts";

const scratch = mkdtempSync(join(tmpdir(), "dogear-load-model-"));
after(() => rm(scratch, { recursive: true, force: true }));
await tf.setBackend("cpu");

/** The sentence of a load that fails. */
async function sentence(store: Store, options: LoadModelOptions = {}): Promise<string> {
  const result = await loadModel(store, options)();
  return result._tag === "Left" ? explain(result.left) : assert.fail("Expected a left, found a right");
}

function compiled(model: tf.LayersModel, loss: tf.ModelCompileArgs["loss"] = "meanSquaredError"): tf.LayersModel {
  model.compile({ optimizer: "adam", loss });
  return model;
}

const counts = (): readonly number[] => [tf.memory().numTensors, tf.memory().numBytes];

/** A checkpoint restored whole. */
async function restored(store: Store): Promise<Record<string, unknown>> {
  const whole = restoreState(await readSnapshot(store));
  return whole._tag === "Right" ? whole.right as Record<string, unknown> : assert.fail(explain(whole.left));
}

async function idOf(components: object): Promise<string> {
  using snapshot = captureState(components);
  return await id(snapshot);
}

function predict(model: tf.LayersModel): unknown {
  const inputs = model.inputs.map(({ shape }) => tf.ones(shape.map((size) => size ?? 2)));
  return tf.tidy(() => [model.predict(inputs)].flat().map((output) => output.dataSync()));
}

// Those that share parts with other components, each in one of the runtimes, and a few others.
const several = Object.keys(models).filter((what) => Object.keys(models[what]!()).length > 1);
const others = ["a compiled sequential model", "a sequential model in a functional one", "layers of the user's own"];
for (const [i, what] of [...several, ...others].entries()) {
  if (!isTriedHere(i)) continue;
  test(`loadModel: round trip: ${what}`, async () => {
    const made = models[what]!();
    await trainModels(made);
    const entries = Object.entries(made);
    for (const components of entries.length > 1 ? [entries, entries.toReversed()] : [entries]) {
      const store = memory();
      await saveState(store)({ step: 1, ...Object.fromEntries(components) });
      for (const [name, value] of components) {
        if (!(value instanceof tf.LayersModel)) continue;
        const whole = (await restored(store))[name] as tf.LayersModel;
        const [loaded, bare] = [await loadModel(store, { name }), await loadModel(store, { name, compile: false })];
        assert.equal(await idOf({ [name]: loaded }), await idOf({ [name]: whole }), name);
        assert.equal(bare.optimizer, undefined);
        const [expected, ...found] = [whole, loaded, bare].map(predict);
        assert.deepEqual(found, [expected, expected], name);
        assert.deepEqual(await probeModels({ [name]: loaded }), await probeModels({ [name]: whole }), name);
      }
    }
  });
}

test("loadModel: round trip: variables keep the order in which they were made, also those of shared layers", async () => {
  const [a, b] = [tf.layers.dense({ units: 3, inputShape: [2] }), tf.layers.dense({ units: 1 })];
  b.build([null, 3]);
  a.build([null, 2]);
  const model = tf.sequential({ layers: [a, b] });
  const twin = tf.model({ inputs: model.inputs, outputs: model.outputs });
  const store = memory();
  await saveState(store)({ model, twin });
  // The functional model lists its input first.
  for (const [name, layers] of [["model", [1, 1, 0, 0]], ["twin", [2, 2, 1, 1]]] as const) {
    using snapshot = captureState({ [name]: await loadModel(store, { name }) });
    const [, paths = []] = snapshot.encoded.order.find(([kind]) => kind === "Variable") ?? [];
    assert.deepEqual(paths.map((path) => Number(path.split("/")[2])), layers);
  }
});

test("loadModel: no trace: nothing but the model is allocated, and disposing of it frees all", async () => {
  const store = memory();
  const model = compiled(small());
  await trainModels({ model });
  const head = tf.model({ inputs: model.inputs, outputs: model.layers[0]!.output });
  await saveState(store)({ other: small(), optimizer: model.optimizer, model, head, data: tf.ones([100]) });
  const before = counts();
  for (const name of ["model", "head"]) {
    const loaded = await loadModel(store, { name, compile: false });
    const weights = loaded.weights.map(variableOf);
    assert.equal(tf.memory().numTensors - before[0]!, weights.length);
    weights.forEach((variable) => variable.dispose());
    assert.deepEqual(counts(), before);
  }
  const whole = await loadModel(store);
  assert.ok(whole.optimizer !== undefined);
  // With its optimizer, although the saved model did not own it.
  whole.dispose();
  assert.equal(counts()[0], before[0]);
  // A load that fails leaves nothing.
  await sentence(store, { name: "data" });
  assert.deepEqual(counts(), before);
});

test("loadModel: the checkpoint is the newest, or one by number or the best, with fallback and a report", async () => {
  const store = directory(join(scratch, "which"));
  const model = small();
  const weights: Float32Array[] = [];
  for (const val_loss of [3, 1, 2]) {
    await saveState(store, { metrics: { val_loss } })({ model, step: weights.length });
    weights.push(model.getWeights()[0]!.dataSync().slice() as Float32Array);
    await trainModels({ model });
  }
  const reports: Report[] = [];
  const onReport = (report: Report): void => void reports.push(report);
  const loaded = async (options: LoadModelOptions = {}): Promise<number> => {
    const found = (await loadModel(store, { ...options, onReport })).getWeights()[0]!.dataSync();
    return weights.findIndex((one) => String(one) === String(found));
  };
  const best = { best: "val_loss", mode: "min" } as const;
  assert.deepEqual([await loaded(), await loaded({ checkpoint: 0 }), await loaded({ checkpoint: best })], [2, 0, 1]);
  assert.deepEqual(reports.map(({ checkpoint }) => checkpoint), [2, 0, 1]);
  const path = join(store.location, "checkpoints", "checkpoint_1", "model.safetensors");
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
  assert.match(await sentence(store, { checkpoint: best }), /Checkpoint 1 is damaged/);
  assert.equal(await loaded({ checkpoint: best, fallback: true }), 2);
});

test("loadModel: without compile only the weights' file is read, and each of its bytes is checked", async () => {
  const store = directory(join(scratch, "files"));
  const model = compiled(small());
  await trainModels({ model });
  await saveState(store)({ model, other: tf.ones([4]) });
  const folder = join(store.location, "checkpoints", "checkpoint_0");
  await rm(join(folder, "state", "other.safetensors"));
  await loadModel(store);
  await rm(join(folder, "state", "model.safetensors"));
  assert.match(await sentence(store), /state\/model\.safetensors: expected a file/);
  await loadModel(store, { compile: false });
  const path = join(folder, "model.safetensors");
  const bytes = await readFile(path);
  for (let at = 0; at < bytes.length; at += 7) {
    await writeFile(path, bytes.map((byte, i) => i === at ? byte ^ 1 : byte));
    assert.match(await sentence(store, { compile: false }), /Checkpoint 0 is damaged/);
  }
});

test("loadModel: later saves of the process stay in its run", async () => {
  const store = memory();
  const model = small();
  for (const step of [1, 2]) await saveState(store)({ model, step });
  await loadModel(store, { checkpoint: 0 });
  await saveState(store)({ model, step: 3 });
  assert.equal(new Set((await list(store)).entries.map(({ run }) => run)).size, 1);
});

test("loadModel: a component that is no model is an error with the components there are", async () => {
  const store = memory();
  const generator = small();
  await saveState(store)({ nets: { generator }, best: generator, step: 3, "a/b": "text" });
  assert.match(
    await sentence(store),
    /^This cannot be read from checkpoint 0 of memory\.\n {2}model: expected a component that is a model, found no component of this name\nName the model: \{ name \}\. The components are nets \(record\), best \(LayersModel\), step \(number\), a~1b \(string\)$/,
  );
  assert.match(await sentence(store, { name: "nets/generator" }), /nets~1generator: expected [^]*best \(LayersModel\)/);
  assert.match(
    await sentence(store, { name: "step" }),
    /step: expected a component that is a model, found number/,
  );
  assert.deepEqual((await loadModel(store, { name: "best" })).countParams(), generator.countParams());
  assert.match(await sentence(memory()), /holds no checkpoint/);
});

test("loadModel: a loss that is a function is an error that names the remedy, and compile: false is one", async () => {
  const store = memory();
  function distance(truth: tf.Tensor, guess: tf.Tensor): tf.Tensor {
    return tf.abs(tf.sub(truth, guess)).mean(-1);
  }
  await saveState(store)({ model: compiled(small(), distance) });
  assert.match(
    await sentence(store),
    /model\/compile\/loss: .*the function distance[^]*loadModel\(store, \{ compile: false \}\)/,
  );
  assert.equal((await loadModel(store, { compile: false })).optimizer, undefined);
});
