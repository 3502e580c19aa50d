/**
 * Fifty saves and restores in every way, and with more torture two hundred, leave all of `tf.memory()` as it was, on every backend.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import * as tf from "@tensorflow/tfjs";
import {
  captureState,
  directory,
  loadState,
  memory,
  readSnapshot,
  restoreState,
  Retention,
  Rng,
  runOrThrow,
  saveState,
  type Store,
} from "../../mod.ts";
import { backends, testOn } from "../support/backends.ts";
import { right } from "../support/laws.ts";
import { torture } from "../support/torture.ts";

const cycles = Math.min(200, 50 * torture);

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "dogear-leaks-"));
});
after(() => rm(folder, { recursive: true, force: true }));

interface State {
  readonly model: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
  readonly w: tf.Variable;
  readonly average: tf.Tensor;
  readonly rng: Rng.Rng;
  readonly step: number;
}

/** A model that remembers, whose compiled optimizer is another component, too. */
function make(): State {
  const [model, rng] = Rng.withRandom(Rng.make(1))(() =>
    tf.sequential({
      layers: [
        tf.layers.lstm({ units: 3, stateful: true, batchInputShape: [2, 3, 2] }),
        tf.layers.batchNormalization(),
        tf.layers.dense({ units: 1 }),
      ],
    })
  );
  const w = tf.variable(tf.ones([3]));
  model.compile({ optimizer: tf.train.momentum(0.1, 0.9), loss: "meanSquaredError" });
  return { model, optimizer: tf.train.adam(), w, average: tf.zeros([2]), rng, step: 0 };
}

async function train({ model, optimizer, w }: State): Promise<void> {
  const [x, y] = [tf.ones([2, 3, 2]), tf.ones([2, 1])];
  await model.trainOnBatch(x, y);
  tf.tidy(() => void optimizer.minimize(() => w.square().sum().asScalar(), false, [w]));
  tf.dispose([x, y]);
}

/** Disposes of a whole state, also of what tfjs never disposes of: recurrent states, and momentum's own learning rate. */
function dispose({ model, optimizer, w, average }: State): void {
  const states = model.layers.flatMap((layer) => (layer as unknown as { states_?: tf.Tensor[] }).states_ ?? []);
  const { c } = model.optimizer as unknown as { readonly c: tf.Tensor };
  model.layers.forEach((layer) => layer.dispose());
  model.optimizer.dispose();
  optimizer.dispose();
  tf.dispose([states, c, w, average]);
}

/** All of `tf.memory()` once nothing is pending on a GPU; the pool of freed buffers there is tfjs's own and grows with use. */
async function settled({ w }: State): Promise<object> {
  await w.data();
  const { numBytesAllocatedInGPU: _, ...counts } = tf.memory() as tf.MemoryInfo & { numBytesAllocatedInGPU?: number };
  return { ...counts, numDataIds: tf.backend().numDataIds() };
}

/** Saved, loaded into what trains, and restored afresh and disposed of. */
async function cycle(store: Store, live: State): Promise<State> {
  await runOrThrow(saveState(store)(live));
  const loaded = await runOrThrow(loadState(store)(live)) as State;
  // A live tensor is the caller's own, and replaced in the result.
  live.average.dispose();
  using snapshot = await runOrThrow(readSnapshot(store));
  dispose(right(restoreState(snapshot)) as State);
  using held = captureState(loaded);
  dispose(right(restoreState(held)));
  return loaded;
}

for (const backend of backends) {
  testOn(backend, `no trace: ${cycles} saves and restores of every sort leave tf.memory() as it was`, async () => {
    const keep = Retention.latest(1);
    const stores = [memory({ keep }), directory(join(folder, backend), { keep })];
    let state = make();
    const turn = async (k: number): Promise<void> => {
      state = await cycle(stores[k % stores.length]!, state);
    };
    for (let k = 0; k < 2; k++) {
      await train(state);
      await turn(k);
    }
    const before = await settled(state);
    for (let k = 0; k < cycles; k++) await turn(k);
    assert.deepEqual(await settled(state), before);
    dispose(state);
  });
}
