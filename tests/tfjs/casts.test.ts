/**
 * Tensors that share data with tensors of another dtype or shape: on cpu, a cast that loses nothing shares the data.
 */
import {
  captureState,
  diff,
  id,
  loadState,
  memory,
  readSnapshot,
  restoreState,
  Retention,
  runOrThrow,
  saveState,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { test } from "node:test";
import "@tensorflow/tfjs-backend-wasm";

/** Tensors made by casts and by operations that share their input's data. */
const casts: Readonly<Record<string, () => tf.Tensor>> = {
  "integers as floats": () => tf.tensor([1, 2, -3], [3], "int32").toFloat(),
  "truth values as floats": () => tf.tensor([0.2, 0.7, 0.9]).greater(0.5).toFloat(),
  "truth values as integers": () => tf.tensor([true, false], [2], "bool").toInt(),
  "truth values as integers as floats": () => tf.tensor([true, false], [2], "bool").toInt().toFloat(),
  "a cast in another shape": () => tf.tensor([1, 2, 3, 4], [4], "int32").toFloat().reshape([2, 2]),
  "a cast of many elements": () => tf.range(0, 100_000, 1, "int32").toFloat(),
  "no cast": () => tf.tensor([0.5, -0]),
  "floats as integers": () => tf.tensor([1.5, -2.5]).toInt(),
};

for (const backend of ["cpu", "wasm"] as const) {
  for (const [name, make] of Object.entries(casts)) {
    test(`round trip, canonical: ${name}, on ${backend}`, async () => {
      await tf.setBackend(backend);
      const cast = make();
      const [store, state] = [memory({ keep: Retention.latest(1) }), { cast, v: tf.variable(cast) }];
      const values = [...await cast.data()];
      await runOrThrow(saveState(store)(state));
      const fresh = { cast: tf.zerosLike(cast), v: tf.variable(tf.zerosLike(cast)) };
      const loaded = await runOrThrow(loadState(store)(fresh));
      assert.deepEqual([...await loaded.cast.data()], values);
      assert.deepEqual([...await loaded.v.data()], values);
      using live = captureState(state);
      using saved = await runOrThrow(readSnapshot(store));
      assert.deepEqual(await diff(live, saved)(), []);
      assert.equal(await id(live)(), await id(saved)());
      const again = restoreState(live);
      assert.ok(again._tag === "Right");
      assert.deepEqual([...await again.right.cast.data()], values);
    });
  }
}

test("canonical: data shared under two dtypes is captured as two tensors", async () => {
  await tf.setBackend("cpu");
  const integers = tf.tensor([1, 2], [2], "int32");
  const state = { integers, floats: integers.toFloat() };
  const apart = { integers: tf.tensor([1, 2], [2], "int32"), floats: tf.tensor([1, 2]) };
  assert.equal(await id(captureState(state))(), await id(captureState(apart))());
});
