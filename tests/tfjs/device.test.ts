/**
 * A device that rejects operations, or is lost: an error that names the kernel, and no save of data that was not computed.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  captureState,
  diff,
  explain,
  fit,
  id,
  Loader,
  memory,
  pipe,
  readSnapshot,
  restoreInto,
  restoreState,
  Rng,
  runOrThrow,
  saver,
  saveState,
  train,
  trainOnBatch,
} from "../../mod.ts";
import { proveResume } from "../../lib/prove/prove.ts";
import { backends, testOn } from "../support/backends.ts";
import { left, right } from "../support/laws.ts";

// --- the end of wasm's memory

for (
  const [name, answer] of [["no block", 0], ["a block that ends past the memory", (2 ** 32 - 2 ** 19) | 0]] as const
) {
  testOn(
    "wasm",
    `all or nothing: if wasm's allocator answers with ${name}, nothing is restored and no memory stays allocated`,
    async () => {
      const store = memory();
      const live = { w: tf.variable(tf.fill([2 ** 18], 1)) };
      await runOrThrow(saveState(store)(live));
      tf.tidy(() => live.w.assign(live.w.mul(2)));
      using snapshot = await runOrThrow(readSnapshot(store));
      const { wasm } = tf.backend() as unknown as {
        wasm: { _malloc: (bytes: number) => number; _free: (address: number) => void };
      };
      const { _malloc, _free } = wasm;
      const [taken, freed]: [number[], number[]] = [[], []];
      let calls = 0;
      Object.assign(wasm, {
        // The first block is the spare memory.
        _malloc: (bytes: number): number => {
          const address = calls++ === 0 ? _malloc(bytes) : answer;
          if (address !== 0) taken.push(address);
          return address;
        },
        _free: (address: number): void => {
          freed.push(address);
          if (address !== answer) _free(address);
        },
      });
      try {
        for (const restored of [restoreState(snapshot), restoreInto(live)(snapshot)()]) {
          const error = left(restored);
          assert.deepEqual(error._tag === "Mismatch" && error.problems.map(({ kind }) => kind), ["memory"]);
          assert.deepEqual(freed, taken);
          calls = 0;
        }
      } finally {
        Object.assign(wasm, { _malloc, _free });
      }
      assert.deepEqual([...live.w.dataSync().slice(0, 2)], [2, 2]);
      right(restoreInto(live)(snapshot)());
      assert.deepEqual([...live.w.dataSync().slice(0, 2)], [1, 1]);
      tf.disposeVariables();
    },
  );
}

// --- programs that WebGPU rejects

/** WebGPU rejects tfjs's program that transposes int32 tensors of rank 3. Each order of the axes has a separate program. */
function refused(order: readonly number[] = [1, 0, 2]): tf.Tensor {
  return tf.tidy(() => tf.transpose(tf.tensor([1, 0, 1, 0, 1, 0], [2, 3, 1], "int32"), [...order]));
}

function masked(recurrent: tf.layers.Layer = tf.layers.simpleRNN({ units: 2 })): tf.LayersModel {
  const layers = [tf.layers.masking({ maskValue: 0, inputShape: [3, 2] }), recurrent, tf.layers.dense({ units: 1 })];
  const model = tf.sequential({ layers });
  model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
  return model;
}

const x = (): tf.Tensor => tf.tensor([1, 2, 0, 0, 3, 0.5, 0, 0, 0.1, 0.2, 0, 0], [2, 3, 2]);
const y = (): tf.Tensor => tf.ones([2, 1]);

const names = /WebGPU refused the kernel TransposeProgram of tfjs/;

/** Checks that other work is unaffected: trains and saves a model of dense layers. */
async function well(): Promise<void> {
  const layers = [tf.layers.dense({ units: 2, inputShape: [3] }), tf.layers.dense({ units: 1 })];
  const model = tf.sequential({ layers });
  model.compile({ optimizer: "adam", loss: "meanSquaredError" });
  await runOrThrow(fit({ to: memory() })(model, tf.ones([4, 3]), tf.ones([4, 1]), { epochs: 2, verbose: 0 }));
  const once = await id(captureState({ model }))();
  assert.equal(await id(captureState({ model }))(), once);
}

if (backends.includes("webgpu")) {
  testOn("webgpu", "nothing silent: outputs of a rejected kernel are not saved, earlier data is", async () => {
    const clean = tf.variable(tf.ones([5]).add(1));
    const store = memory();
    await runOrThrow(saveState(store)({ clean }));
    const garbage = refused();
    const kept = captureState({ garbage });
    const error = left(await saveState(store)({ garbage, clean })());
    assert.deepEqual({ ...error, message: "" }, { _tag: "DeviceFailed", kernel: "TransposeProgram", message: "" });
    assert.match(explain(error), names);
    assert.match(explain(error), /cpu or wasm.*masking/);
    assert.deepEqual(await store.list(), { _tag: "Right", right: [0] });
    // After the device has reported, captures of the data, and of data computed from it, are refused.
    const from = garbage.add(1);
    for (const state of [{ garbage }, { from }, { w: tf.variable(garbage) }]) {
      assert.throws(() => captureState(state), names);
      assert.equal(left(await saveState(store)(state)())._tag, "DeviceFailed");
    }
    await assert.rejects(id(kept)(), (thrown: Error & { cause: { _tag: string } }) => {
      return names.test(thrown.message) && thrown.cause._tag === "DeviceFailed";
    });
    await assert.rejects(diff(kept, captureState({ garbage: tf.ones([3, 2, 1], "int32") }))(), names);
    const behind = saver(store);
    assert.equal(left(await behind.save({ garbage })())._tag, "DeviceFailed");
    // The program throws when it runs again; other programs do not.
    assert.throws(() => refused(), names);
    const once = clean.mul(2);
    assert.deepEqual([...await once.data()], [4, 4, 4, 4, 4]);
    await runOrThrow(saveState(store)({ clean, once }));
    assert.deepEqual(await store.list(), { _tag: "Right", right: [0, 1] });
    await well();
  });

  testOn("webgpu", "nothing silent: fit, train, trainOnBatch and proveResume name a rejected kernel", async () => {
    // At the first run of the program, and again.
    for (let k = 0; k < 2; k++) {
      const layers = tf.layers;
      const fitted = left(await fit({ to: memory() })(masked(layers.gru({ units: 2 })), x(), y(), { verbose: 0 })());
      assert.equal(fitted._tag, "StepFailed");
      assert.match(explain(fitted), names);
      await assert.rejects(trainOnBatch(masked(layers.lstm({ units: 2 })), x(), y())(Rng.make(1))(), names);
      const loader = pipe(Loader.fromArray([1, 2, 3]), Loader.batch(1));
      const fresh = () => ({ cursor: Loader.start(loader), model: masked(), optimizer: tf.train.sgd(0.1), step: 0 });
      const step = <S extends ReturnType<typeof fresh>>(state: S): S => {
        tf.tidy(() =>
          void state.optimizer.minimize(() =>
            tf.losses.meanSquaredError(y(), state.model.apply(x(), { training: true }) as tf.Tensor) as tf.Scalar
          )
        );
        return { ...state, step: state.step + 1 };
      };
      const store = memory();
      const trained = left(await train({ loader, step, save: { to: store, every: 1 } })(fresh())());
      assert.equal(trained._tag, "StepFailed");
      assert.match(explain(trained), names);
      const proved = left(await proveResume({ fresh, loader, step, steps: 2 })());
      assert.equal(proved._tag, "StepFailed");
      assert.match(explain(proved), names);
    }
    await well();
  });

  testOn("webgpu", "nothing silent: an error names the rejected kernel for padding of rank 5", async () => {
    const padded = tf.pad(tf.ones([1, 1, 1, 2, 2]).add(1), [[0, 0], [0, 0], [0, 0], [1, 1], [1, 1]]);
    const error = left(await saveState(memory())({ padded })());
    assert.match(explain(error), /kernel PadProgram/);
    await well();
  });

  testOn("webgpu", "no trace: a rejected program that runs again leaves no data behind", async () => {
    const before = refused([2, 0, 1]);
    await saveState(memory())({ before })();
    before.dispose();
    const { numTensors } = tf.memory();
    const dataIds = tf.backend().numDataIds();
    for (let k = 0; k < 3; k++) assert.throws(() => refused([2, 0, 1]), names);
    assert.equal(tf.memory().numTensors, numTensors);
    await tf.ones([1]).add(1).data();
    assert.ok(tf.backend().numDataIds() <= dataIds + 2);
  });

  testOn("webgpu", "nothing lost: data computed before and after a rejected program can be saved", async () => {
    const w = tf.variable(tf.tidy(() => tf.ones([2000]).add(1)));
    // Submitted, and read only by the user's code.
    await w.data();
    refused([0, 2, 1]);
    await new Promise((resolve) => setTimeout(resolve, 10));
    const next = w.add(1);
    const digest = await id(captureState({ w, next }))();
    assert.equal(await id(captureState({ w, next }))(), digest);
    assert.deepEqual([...(await next.data()).slice(0, 2)], [3, 3]);
    await runOrThrow(saveState(memory())({ w, next }));
    tf.dispose([w, next]);
  });

  // Last, because the device is gone afterwards.
  testOn(
    "webgpu",
    "old or new: a device that is lost in a save is an error, and the older checkpoint whole",
    async () => {
      const w = tf.variable(tf.ones([5]).add(1));
      const store = memory();
      await runOrThrow(saveState(store)({ w, step: 0 }));
      w.assign(w.add(1));
      const snapshot = captureState({ w });
      const saving = saveState(store)({ w, step: 1 })();
      (tf.backend() as unknown as { readonly device: { destroy(): void } }).device.destroy();
      for (const result of [await saving, await saveState(store)({ w, step: 2 })()]) {
        const error = left(result);
        assert.equal(error._tag, "DeviceFailed");
        assert.match(explain(error), /device of the webgpu backend failed.*Earlier checkpoints are intact/);
      }
      await assert.rejects(id(snapshot)(), /device of the webgpu backend failed/);
      assert.deepEqual(await store.list(), { _tag: "Right", right: [0] });
      await tf.setBackend("cpu");
      const { w: back } = right(restoreState(await runOrThrow(readSnapshot(store)))) as { w: tf.Variable };
      assert.deepEqual([...back.dataSync()], [2, 2, 2, 2, 2]);
    },
  );
}
