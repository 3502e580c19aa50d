/**
 * The file plan: files that did not change since the last save are reused, and the checkpoint is the same otherwise.
 */
import {
  captureState,
  diff,
  directory,
  loadState,
  memory,
  pipe,
  readSnapshot,
  Retention,
  runOrThrow,
  type Saved,
  saveState,
  type Store,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import * as TE from "fp-ts/lib/TaskEither.js";
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readManifest } from "../../lib/checkpoint/read.ts";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { decodeHeader } from "../../lib/checkpoint/safetensors.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-layout-"));
after(() => rm(scratch, { recursive: true, force: true }));
before(async () => void await tf.setBackend("cpu"));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

const mebi = 2 ** 20;

/** A large base that does not train, under a small head that does. */
function fineTuned(): { readonly model: tf.Sequential; readonly optimizer: tf.Optimizer } {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ name: "base", units: 512, inputShape: [1024], trainable: false }),
      tf.layers.batchNormalization({ name: "norm", trainable: false }),
      tf.layers.dense({ name: "head", units: 4 }),
    ],
  });
  return { model, optimizer: tf.train.adam() };
}

function trainHead({ model, optimizer }: ReturnType<typeof fineTuned>): void {
  const head = model.layers[2]?.trainableWeights.map((weight) => weight.read() as tf.Variable) ?? [];
  optimizer.minimize(
    () => tf.tidy(() => tf.sum(model.predict(tf.ones([1, 1024])) as tf.Tensor).square() as tf.Scalar),
    false,
    head,
  );
}

async function filesOf(saved: Saved): Promise<readonly string[]> {
  const names = await readdir(saved.location, { recursive: true, withFileTypes: true });
  return names.filter((entry) => entry.isFile()).map((entry) => entry.name).sort();
}

async function assertSame(store: Store, state: object): Promise<void> {
  using live = captureState(state);
  using saved = await runOrThrow(readSnapshot(store));
  assert.deepEqual(await diff(live, saved)(), []);
}

test("file plan: a base that does not train is written once, and its file is linked into each later checkpoint", async () => {
  const path = place();
  const store = directory(path, { keep: Retention.latest(1) });
  const state = fineTuned();
  const first = await runOrThrow(saveState(store)(state));
  assert.equal(first.bytesWritten, first.bytesTotal);
  for (let step = 0; step < 3; step++) {
    trainHead(state);
    const saved = await runOrThrow(saveState(store)(state));
    assert.ok(saved.bytesWritten < 0.06 * saved.bytesTotal, `${saved.bytesWritten} of ${saved.bytesTotal} bytes`);
    assert.deepEqual(await filesOf(saved), [
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "optimizer.safetensors",
      "snapshot.json",
    ]);
    const sizes = await Promise.all(
      (await filesOf(saved)).map(async (name) =>
        (await stat(join(saved.location, name.startsWith("optimizer") ? `state/${name}` : name))).size
      ),
    );
    assert.equal(sizes.reduce((a, b) => a + b), saved.bytesTotal);
    await assertSame(store, state);
  }
});

test("file plan: the index names the file of each weight, in the format of Hugging Face's readers", async () => {
  const saved = await runOrThrow(saveState(directory(place()))(fineTuned()));
  const index = JSON.parse(await readFile(join(saved.location, "model.safetensors.index.json"), "utf8"));
  assert.deepEqual(Object.keys(index), ["metadata", "weight_map"]);
  const found: Record<string, string> = {};
  let total = 0;
  for (const file of new Set<string>(Object.values(index.weight_map))) {
    const bytes = await readFile(join(saved.location, file));
    const header = decodeHeader(bytes, bytes.byteLength);
    assert.ok(header._tag === "Right");
    for (const { name, begin, end } of header.right.tensors) {
      found[name] = file;
      total += end - begin;
    }
  }
  assert.deepEqual(index, { metadata: { total_size: total }, weight_map: found });
  assert.deepEqual(Object.keys(index.weight_map), Object.keys(found).sort());
  assert.equal(index.weight_map["base/kernel"], "model-00001-of-00002.safetensors");
  // Small tensors, and those that change without being trained, are in the file of the head.
  assert.equal(index.weight_map["norm/moving_mean"], index.weight_map["head/kernel"]);
});

test("file plan: a small model, and one that trains as a whole, is one file", async () => {
  for (
    const model of [
      tf.sequential({ layers: [tf.layers.dense({ units: 3, inputShape: [3], trainable: false })] }),
      tf.sequential({ layers: [tf.layers.dense({ units: 512, inputShape: [1024] })] }),
      tf.sequential({ layers: [tf.layers.dense({ units: 512, inputShape: [1024], trainable: false })] }),
    ]
  ) {
    const saved = await runOrThrow(saveState(directory(place()))({ model }));
    assert.deepEqual(await filesOf(saved), ["model.safetensors", "snapshot.json"]);
  }
});

test("file plan: nothing silent: an index that was changed or removed is damage", async () => {
  const store = directory(place());
  const state = fineTuned();
  const { location } = await runOrThrow(saveState(store)(state));
  const path = join(location, "model.safetensors.index.json");
  const bytes = await readFile(path);
  const damage = async (): Promise<readonly string[]> => {
    const loaded = await loadState(store)(state)();
    assert.ok(loaded._tag === "Left" && loaded.left._tag === "Damaged");
    return loaded.left.problems.map(({ path, kind }) => `${path} ${kind}`);
  };
  for (let at = 0; at < bytes.length; at += 7) {
    await writeFile(path, bytes.map((byte, i) => i === at ? byte ^ 1 : byte));
    assert.deepEqual(await damage(), ["model.safetensors.index.json digest"]);
  }
  await writeFile(path, bytes.subarray(1));
  assert.deepEqual(await damage(), ["model.safetensors.index.json length"]);
  await rm(path);
  assert.deepEqual(await damage(), ["model.safetensors.index.json missing"]);
});

// --- any changes

/** As {@link memory}, but no part of it can be taken over. */
function memoryApart(): Store {
  const store = memory();
  return { ...store, begin: pipe(store.begin, TE.map((saving) => ({ ...saving, reuse: () => TE.right(false) }))) };
}

const stores: Readonly<Record<string, () => Store>> = {
  "a folder": () => directory(place(), { keep: Retention.latest(2) }),
  "a store in memory": memory,
  "a store that cannot take over": memoryApart,
};

for (const [kind, make] of Object.entries(stores)) {
  test(`round trip: whatever changes from save to save, ${kind} gives back each state, and stays in a few files`, () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.boolean(), fc.nat(4)), { minLength: 6, maxLength: 6 }),
        fc.array(fc.array(fc.nat(11), { maxLength: 4 }), { minLength: 1, maxLength: 24 }),
        async (variables, saves) => {
          const store = make();
          const weights = variables.map(([trainable, size], i) =>
            tf.variable(tf.fill([1 + size * 2 ** 17], i), trainable)
          );
          const state = { weights, again: weights[0]!, notes: new Float64Array(3), words: tf.tensor(["a", "bc"]) };
          let count = 0;
          for (const changes of saves) {
            for (const i of changes) {
              const [weight, other] = [weights[i % 6]!, weights[(i + 1) % 6]!];
              if (i < 6) weight.assign(tf.fill(weight.shape, ++count));
              else if (count % 2 === 0) weight.trainable = !weight.trainable;
              else [weights[i % 6], weights[(i + 1) % 6]] = [other, weight];
            }
            state.notes[0] = count;
            const saved = await runOrThrow(saveState(store)(state));
            assert.ok(saved.bytesWritten <= saved.bytesTotal);
            await assertSame(store, state);
            const { files } = await runOrThrow(readManifest(store, saved.checkpoint));
            assert.ok(files.length <= 16 + 2, `${files.length} files`);
            assert.equal(new Set(files.map(({ name }) => name)).size, files.length);
          }
          // Nothing has changed since.
          const last = await runOrThrow(saveState(store)(state));
          const [large, apart] = [weights.some(({ size }) => 4 * size >= mebi), make === memoryApart];
          assert.ok(!large || apart === (last.bytesWritten === last.bytesTotal));
          tf.dispose([weights, state.words]);
        },
      ),
      { numRuns: 4 * torture },
    ));
}

test("file plan: a tensor with the same data in another shape is written", async () => {
  const store = memory();
  const data = tf.zeros([512, 1024]);
  const saved = await runOrThrow(saveState(store)({ data }));
  const reshaped = tf.reshape(data, [1024, 512]);
  await runOrThrow(saveState(store)({ data: reshaped }));
  await assertSame(store, { data: reshaped });
  const again = await runOrThrow(saveState(store)({ data: reshaped }));
  assert.ok(again.bytesWritten < saved.bytesWritten / 10);
});

test("file plan: a file with fewer arrays than the last one of its name is written", async () => {
  const store = memory();
  const data = [4, 4, 1].map((size) => tf.variable(tf.zeros([size * 2 ** 17])));
  for (const changes of [[], [2], [1, 2], [0]]) {
    for (const i of changes) data[i]?.assign(data[i].add(1));
    await runOrThrow(saveState(store)({ data }));
    await assertSame(store, { data });
  }
});

test("file plan: an unchanged file is reused also if its number among the files changes", async () => {
  const store = memory();
  const w = tf.variable(tf.zeros([3]));
  for (const first of [1, tf.ones([2]), null]) {
    await runOrThrow(saveState(store)({ first, w }));
    await assertSame(store, { first, w });
  }
});

test("file plan: a checkpoint with reused files remains whole when the checkpoints that it reused are removed", async () => {
  const store = directory(place(), { keep: Retention.latest(1) });
  const state = fineTuned();
  for (let step = 0; step < 4; step++) {
    trainHead(state);
    const { checkpoint, removed } = await runOrThrow(saveState(store)(state));
    assert.deepEqual(removed, step === 0 ? [] : [checkpoint - 1]);
  }
  await assertSame(store, state);
});

test("file plan: files of another run's checkpoint that reused the parent's number are not reused", async () => {
  const path = place();
  // Another process has nothing in common with this one but the folder.
  const [store, other] = [directory(path), directoryOn({ ...localFileSystem })(path)];
  const state = fineTuned();
  const { location } = await runOrThrow(saveState(store)(state));
  await rm(location, { recursive: true });
  // Even one with the very bytes: equal digests prove nothing.
  await runOrThrow(saveState(other)(state));
  const saved = await runOrThrow(saveState(store)(state));
  assert.deepEqual([saved.checkpoint, saved.bytesWritten], [1, saved.bytesTotal]);
  await assertSame(store, state);
});

test("file plan: a file that was truncated since it was written is written again", async () => {
  const store = directory(place());
  const state = fineTuned();
  const { location } = await runOrThrow(saveState(store)(state));
  const file = join(location, "model-00001-of-00002.safetensors");
  await writeFile(file, (await readFile(file)).subarray(1));
  const saved = await runOrThrow(saveState(store)(state));
  assert.equal(saved.bytesWritten, saved.bytesTotal);
  await assertSame(store, state);
});

test("file plan: files of a removed checkpoint are written again", async () => {
  const store = directory(place());
  const state = fineTuned();
  const { location } = await runOrThrow(saveState(store)(state));
  await rm(location, { recursive: true });
  const saved = await runOrThrow(saveState(store)(state));
  assert.equal(saved.bytesWritten, saved.bytesTotal);
  await assertSame(store, state);
});
