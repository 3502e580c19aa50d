/**
 * Hold, read, restore and release on tfjs-node's backend.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  captureState,
  diff,
  id,
  loadState,
  memory,
  readSnapshot,
  release,
  type Report,
  restoreInto,
  restoreState,
  runOrThrow,
  saveState,
} from "../../mod.ts";
import { idOf, right } from "../support/laws.ts";
import { isReal, type NodeBackend, useTensorFlow } from "../support/tfjs_node.ts";

const words = new Uint32Array([0x7fc00001, 0x7f800001, 0xffc12345, 0x80000000, 1, 0x807fffff, 0x7f800000, 0x3f800000]);
const floats = (): Float32Array => new Float32Array(words.slice().buffer);

function everyDtype(): Record<string, tf.Tensor> {
  return {
    float32: tf.tensor(floats(), [2, 4]),
    int32: tf.tensor(new Int32Array([-(2 ** 31), 2 ** 31 - 1, 0, -1]), [4], "int32"),
    bool: tf.tensor(new Uint8Array([1, 0, 1]), [3], "bool"),
    string: tf.tensor(["", "dog", "ear \u{1f436}"]),
    empty: tf.tensor(new Float32Array(0), [0, 3]),
    scalar: tf.scalar(-0),
    complex64: tf.tidy(() => tf.complex(tf.tensor(floats()), tf.tensor(floats()))),
  };
}

/** Every reference that the backend counts, and what its native code has. */
function counts(backend: NodeBackend): readonly number[] {
  return [backend.numDataIds(), backend.binding.tensors.size, tf.memory().numTensors];
}

const of = isReal ? "tfjs-node's own class" : "a class with tfjs-node's interface";

test(`round trip, no trace: every dtype, kept and in native code, ${of}`, async () => {
  await tf.setBackend("cpu");
  const ids = await Promise.all(Object.values(everyDtype()).map((tensor) => idOf({ tensor })));
  const store = memory();
  await runOrThrow(saveState(store)(everyDtype()));
  const backend = await useTensorFlow();
  for (const native of [false, true]) {
    const before = counts(backend);
    const state = everyDtype();
    // As the inputs of an operation.
    if (native) backend.getInputTensorIds(Object.values(state));
    const made = counts(backend);
    const snapshot = captureState(state);
    const whole = await id(snapshot)();
    assert.equal(whole, await id(await runOrThrow(readSnapshot(store)))(), "as on cpu");
    const each = await Promise.all(Object.values(state).map((tensor) => idOf({ tensor })));
    assert.deepEqual(each, ids);
    assert.deepEqual(counts(backend), made);
    // Restored from what is held, and from a checkpoint.
    const held = right(restoreState(snapshot));
    assert.equal(await idOf(held), whole);
    await runOrThrow(saveState(store)(state));
    const told: Report[] = [];
    const saved = await runOrThrow(readSnapshot(store, { onReport: (report) => told.push(report) }));
    assert.deepEqual([told[0]?.saved.backend, told[0]?.mayDiffer], ["tensorflow", []]);
    const back = right(restoreState(saved)) as typeof state;
    assert.equal(await idOf(back), whole);
    assert.deepEqual(await diff(saved, snapshot)(), []);
    tf.dispose([state, held]);
    assert.equal(await id(snapshot)(), whole, "held");
    release(snapshot)();
    tf.dispose(back);
    assert.deepEqual(counts(backend), before);
  }
});

test(`round trip: a checkpoint of tensorflow on cpu and back, with what may differ said, ${of}`, async () => {
  await useTensorFlow();
  const store = memory();
  const live = { w: tf.variable(tf.tensor(floats()), true, "w"), step: 3 };
  await runOrThrow(saveState(store)(live));
  const whole = await idOf(live);
  await tf.setBackend("cpu");
  live.w.dispose();
  const fresh = { w: tf.variable(tf.zeros([8]), true, "w"), step: 0 };
  const told: Report[] = [];
  const loaded = await runOrThrow(loadState(store, { onReport: (report) => told.push(report) })(fresh));
  assert.equal(await idOf(loaded), whole);
  assert.deepEqual(told[0]?.mayDiffer, ["backend: tensorflow when it was saved, cpu now"]);
  loaded.w.dispose();
});

test(`immutable: variables assigned after a capture, restored in place, ${of}`, async () => {
  const backend = await useTensorFlow();
  const before = counts(backend);
  const w = tf.tidy(() => tf.variable(tf.tensor(floats())));
  const optimizer = tf.train.adam(0.1);
  const snapshot = captureState({ w, optimizer, step: 1 });
  const whole = await id(snapshot)();
  const next = tf.tensor(new Float32Array(8));
  w.assign(next);
  next.dispose();
  assert.notEqual(await idOf({ w, optimizer, step: 1 }), whole);
  right(restoreInto({ w, optimizer, step: 0 })(snapshot)());
  assert.equal(await idOf({ w, optimizer, step: 1 }), whole);
  release(snapshot)();
  w.dispose();
  optimizer.dispose();
  assert.deepEqual(counts(backend), before);
});

test(`nothing silent: int64 values are refused by their path when they are captured, ${of}`, async () => {
  const backend = await useTensorFlow();
  const { TF_INT64 } = backend.binding;
  const native = backend.binding.createTensor([2], TF_INT64, new BigInt64Array([1n, 2n ** 40n]));
  const wide = backend.createOutputTensor({ id: native, shape: [2], dtype: TF_INT64 });
  const refused = /^TypeError: Cannot capture data\/wide: expected a tensor of a dtype.*int64.*toInt/;
  assert.throws(() => captureState({ data: { wide } }), (thrown) => refused.test(String(thrown)));
  await assert.rejects(saveState(memory())({ data: { wide } })(), (thrown) => refused.test(String(thrown)));
});
