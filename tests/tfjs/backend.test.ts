/**
 * Snapshots on every backend and between backends: exact values, a warning if further steps may differ, and no backend broken.
 *
 * @module
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import {
  captureState,
  exactBackend,
  explain,
  id,
  loadState,
  memory,
  readSnapshot,
  type Report,
  restoreInto,
  restoreState,
  runOrThrow,
  saveState,
} from "../../mod.ts";
import { type Backend, backends, testOn, useBackend, type WebGPU } from "../support/backends.ts";
import { idOf, left, observed, right } from "../support/laws.ts";

before(() => useBackend("cpu"));

const pairs = backends.flatMap((from) => backends.map((to) => [from, to] as const));

function webgpu(): WebGPU {
  return tf.backend() as unknown as WebGPU;
}

// --- values

const words = new Uint32Array([0x7fc00001, 0x7f800001, 0xffc12345, 0x80000000, 1, 0x807fffff, 0x7f800000, 0x3f800000]);

/** A tensor of every dtype of a backend, with bits that a conversion to numbers loses. */
function everyDtype(backend: Backend): Record<string, tf.Tensor> {
  const float = (): Float32Array => new Float32Array(words.slice().buffer);
  const plain = {
    float32: tf.tensor(float(), [2, 4]),
    int32: tf.tensor(new Int32Array([-(2 ** 31), 2 ** 31 - 1, 0, -1]), [4], "int32"),
    bool: tf.tensor(new Uint8Array([1, 0, 1]), [3], "bool"),
    string: tf.tensor(["", "dog", "ear \u{1f436}"]),
    empty: tf.zeros([0, 3]),
    scalar: tf.scalar(-0),
  };
  return backend === "wasm" ? plain : { ...plain, complex64: tf.complex(tf.tensor(float()), tf.tensor(float())) };
}

/** Uploads tensors to the GPU, from which they are read in another way. */
function upload(tensors: Readonly<Record<string, tf.Tensor>>): void {
  for (const { dtype, dataId, size } of Object.values(tensors)) {
    if (size > 0 && dtype !== "string" && dtype !== "complex64") webgpu().uploadToGPU(dataId);
  }
}

for (const [from, to] of pairs) {
  testOn(from === "webgpu" ? from : to, `round trip: every dtype, saved on ${from} and restored on ${to}`, async () => {
    await useBackend(from);
    const state = everyDtype(to === "wasm" ? "wasm" : from);
    if (from === "webgpu") upload(state);
    const store = memory();
    await runOrThrow(saveState(store)(state));
    const expected = await idOf(state);
    await useBackend(to);
    const reports: Report[] = [];
    using snapshot = await runOrThrow(readSnapshot(store, { onReport: (report) => reports.push(report) }));
    const restored = right(restoreState(snapshot)) as typeof state;
    if (to === "webgpu") upload(restored);
    assert.equal(await idOf(restored), expected);
    assert.deepEqual(reports[0]?.mayDiffer.length, from === to ? 0 : 1);
    if (from !== to) assert.match(reports[0]?.mayDiffer[0] ?? "", new RegExp(`^backend: ${from}.* ${to}`));
    tf.dispose([state, restored]);
  });
}

for (const [from, to] of pairs) {
  if (from === to) continue;
  testOn(from === "webgpu" ? from : to, `immutable: captured on ${from}, then moved to ${to}`, async () => {
    await useBackend(from);
    const w = tf.variable(tf.tensor([1, 2, 3]));
    using snapshot = captureState({ w });
    const expected = await id(snapshot)();
    await useBackend(to);
    tf.tidy(() => w.assign(w.mul(2)));
    assert.equal(await id(snapshot)(), expected);
    const store = memory();
    await runOrThrow(saveState(store)({ w }));
    assert.deepEqual([...await right(restoreState(snapshot)).w.data()], [1, 2, 3]);
    assert.deepEqual([...await (await runOrThrow(loadState(store)({ w }))).w.data()], [2, 4, 6]);
    tf.disposeVariables();
  });
}

test("round trip: complex64 captured on cpu can be read while wasm is in use, and a restore on wasm is refused", async () => {
  await useBackend("cpu");
  const state = { z: tf.complex([1, 2], [3, 4]), nested: { w: tf.scalar(1) } };
  using snapshot = captureState(state);
  const expected = await id(snapshot)();
  const store = memory();
  await useBackend("wasm");
  assert.equal(await id(snapshot)(), expected);
  await runOrThrow(saveState(store)(state));
  using saved = await runOrThrow(readSnapshot(store));
  const before = tf.memory().numTensors;
  assert.deepEqual(left(restoreState(saved)), {
    _tag: "Mismatch",
    problems: [{
      path: "z",
      kind: "dtype",
      expected: "a dtype that the backend wasm has",
      found: "complex64",
      remedy: "Restore on the cpu or webgpu backend",
    }],
  });
  assert.equal(tf.memory().numTensors, before);
  assert.equal(await idOf(right(restoreState(snapshot)) as object), expected);
});

// --- the memory of wasm

interface Wasm {
  wasm: { _malloc: (bytes: number) => number; readonly _free: (address: number) => void };
}

/** Runs on wasm with a limit of further bytes of memory. */
function withRoom<A>(room: number, run: () => A): A {
  const { wasm } = tf.backend() as unknown as Wasm;
  const { _malloc, _free } = wasm;
  const sizes = new Map<number, number>();
  let left = room;
  Object.assign(wasm, {
    _malloc: (bytes: number): number => {
      if (bytes > left) return 0;
      const address = _malloc(bytes);
      sizes.set(address, bytes);
      left -= bytes;
      return address;
    },
    _free: (address: number): void => {
      left += sizes.get(address) ?? 0;
      sizes.delete(address);
      _free(address);
    },
  });
  try {
    return run();
  } finally {
    Object.assign(wasm, { _malloc, _free });
  }
}

test("all or nothing: a restore for which wasm has too little memory is an error, and wasm keeps working", async () => {
  await useBackend("wasm");
  const units = 600;
  const bytes = 4 * (units * units + units);
  const make = (): { readonly model: tf.LayersModel; readonly extra: tf.Tensor } => ({
    model: tf.sequential({
      layers: [tf.layers.dense({ units, inputShape: [units], kernelInitializer: "ones", biasInitializer: "ones" })],
    }),
    extra: tf.zeros([3]),
  });
  const [state, live] = [make(), make()];
  const store = memory();
  await runOrThrow(saveState(store)(state));
  using snapshot = await runOrThrow(readSnapshot(store));
  const seen = await observed(live);
  const spare = 2 ** 20;
  for (const room of [0, spare, spare + bytes - 1, spare + bytes + 11]) {
    const error = withRoom(room, () => left(restoreInto(live)(snapshot)()));
    assert.equal(error._tag, "Mismatch");
    assert.match(explain(error), new RegExp(`${bytes + 12} bytes free in the memory of the wasm backend.*\n.*cpu`));
    assert.deepEqual(await observed(live), seen);
  }
  // A fresh model allocates initial weights first.
  const tooLittle = withRoom(spare + 2 * bytes + 11, () => left(restoreState(snapshot)));
  assert.match(JSON.stringify(tooLittle), /"kind":"memory"/);
  const fresh = withRoom(spare + 2 * bytes + 12, () => right(restoreState(snapshot)) as typeof live);
  const into = withRoom(spare + bytes + 12, () => right(restoreInto(live)(snapshot)()) as typeof live);
  for (const restored of [fresh, into]) assert.equal(await idOf(restored), await id(snapshot)());
  assert.equal((await (fresh.model.predict(tf.ones([1, units])) as tf.Tensor).data())[0], units + 1);
  tf.disposeVariables();
});

// --- WebGPU

testOn("cpu", "exactBackend: cpu has no settings, and its name has none", async () => {
  const store = memory();
  await runOrThrow(saveState(store)({ w: tf.scalar(1) }));
  const told: Report[] = [];
  (await runOrThrow(readSnapshot(store, { onReport: (report) => told.push(report) })))[Symbol.dispose]();
  assert.deepEqual([told[0]?.saved.backend, told[0]?.mayDiffer], ["cpu", []]);
});

if (backends.includes("webgpu")) {
  testOn(
    "webgpu",
    "nothing silent: without its exact settings a report says that further steps may differ",
    async () => {
      const store = memory();
      await runOrThrow(saveState(store)({ w: tf.scalar(1) }));
      const reportNow = async (): Promise<Report> => {
        const told: Report[] = [];
        (await runOrThrow(readSnapshot(store, { onReport: (report) => told.push(report) })))[Symbol.dispose]();
        return told[0]!;
      };
      try {
        assert.deepEqual((await reportNow()).mayDiffer, []);
        tf.env().set("WEBGPU_CPU_FORWARD", true);
        const { saved, current, mayDiffer } = await reportNow();
        assert.equal(saved.backend, "webgpu WEBGPU_CPU_FORWARD=false WEBGPU_MATMUL_PROGRAM_TYPE=3");
        assert.equal(current.backend, "webgpu WEBGPU_CPU_FORWARD=true WEBGPU_MATMUL_PROGRAM_TYPE=3");
        assert.equal(mayDiffer.length, 2);
        assert.match(mayDiffer[1]!, /exactBackend\(\)/);
      } finally {
        assert.deepEqual(exactBackend(), { WEBGPU_CPU_FORWARD: false, WEBGPU_MATMUL_PROGRAM_TYPE: 3 });
      }
    },
  );

  testOn(
    "webgpu",
    "same bits: under the exact settings, the bits do not depend on whether a small tensor is on the GPU",
    async () => {
      const run = async (saveAt: number): Promise<string> => {
        const store = memory();
        // On the GPU from the start: a slice of a tensor that is too large for the CPU.
        let v: tf.Variable = tf.variable(tf.tidy(() => tf.linspace(-1, 1, 1500).mul(2).slice(500, 500)));
        for (let step = 0; step < 6; step++) {
          if (step === saveAt) {
            await runOrThrow(saveState(store)({ v }));
            v.dispose();
            v = (await runOrThrow(loadState(store)({ v: tf.variable(tf.zeros([500])) as tf.Variable }))).v;
          }
          tf.tidy(() => v.assign(v.add(v.exp().mul(0.3))));
        }
        const digest = await idOf({ v });
        v.dispose();
        return digest;
      };
      assert.equal(await run(3), await run(-1));
      assert.equal(await run(1), await run(-1));
    },
  );

  testOn("webgpu", "same bits: the exact settings sum a large inner product in one order", async () => {
    const [a, b] = [tf.randomNormal([64, 4096], 0, 1, "float32", 1), tf.randomNormal([4096, 64], 0, 1, "float32", 2)];
    const digests = new Set<string>();
    for (let k = 0; k < 5; k++) digests.add(await idOf({ product: tf.matMul(a, b) }));
    assert.equal(digests.size, 1);
    tf.dispose([a, b]);
  });

  testOn(
    "webgpu",
    "immutable, no trace: a capture is read from the data that it holds while training continues",
    async () => {
      const w = tf.variable(tf.linspace(0, 1, 2000));
      const step = (): void => void tf.tidy(() => w.assign(w.mul(1.5).add(1)));
      step();
      const expected = await idOf({ w });
      const { numTensors, numBytesInGPU } = tf.memory() as tf.MemoryInfo & { readonly numBytesInGPU: number };
      const snapshot = captureState({ w });
      assert.equal(tf.memory().numTensors, numTensors);
      const digest = id(snapshot)();
      for (let k = 0; k < 5; k++) step();
      assert.equal(await digest, expected);
      assert.equal(await id(snapshot)(), expected);
      assert.notEqual(await idOf({ w }), expected);
      assert.equal(webgpu().tensorMap.get(w.dataId).values ?? null, null, "reading keeps no copy in memory");
      snapshot[Symbol.dispose]();
      await w.data();
      assert.deepEqual(tf.memory().numTensors, numTensors);
      assert.equal((tf.memory() as unknown as { numBytesInGPU: number }).numBytesInGPU, numBytesInGPU);
      w.dispose();
    },
  );
}
