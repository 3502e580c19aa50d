/**
 * `Scaler`: scaling, overflow, updates, its codec and its arguments, on cpu and wasm.
 *
 * A title that begins with a code, such as `O1`, is the counterpart of a test of Hugging Face Accelerate; `peers.test.ts` lists them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import * as Scaler from "../../lib/values/scaler.ts";
import { torture } from "../support/torture.ts";

async function isOverflow(scaler: Scaler.Scaler, grads: Scaler.Gradients): Promise<boolean> {
  const unscaled = Scaler.unscale(scaler)(grads);
  const [value] = await unscaled.overflow.data();
  tf.dispose([unscaled.overflow, ...Object.values(unscaled.grads)]);
  return value === 1;
}

const anyScaler = fc.tuple(
  fc.record({
    scale: fc.constantFrom(1, 65536, 3, 2 ** -120, 2 ** 120),
    growthFactor: fc.constantFrom(2, 1.5, 2 ** 20),
    backoffFactor: fc.constantFrom(0.5, 0.3, 2 ** -20),
    growthInterval: fc.integer({ min: 1, max: 4 }),
  }),
  fc.array(fc.boolean(), { maxLength: 40 }),
).map(([options, overflows]) => overflows.reduce((s, overflow) => Scaler.update(overflow)(s), Scaler.make(options)));

for (const backend of ["cpu", "wasm"]) {
  describe(`on ${backend}`, () => {
    let tensors = 0;
    before(async () => {
      await tf.setBackend(backend);
      await tf.ready();
      tensors = tf.memory().numTensors;
    });
    after(() => tf.setBackend("cpu"));

    test("O1: unscale: finite gradients are no overflow, NaN is one, and finite ones after it are none", async () => {
      const scaler = Scaler.make();
      const kernel = tf.ones([5]);
      const bad = [NaN, Infinity, -Infinity].map((x) => tf.tensor1d([1, 1, x, 1, 1]));
      assert.equal(await isOverflow(scaler, { kernel }), false);
      for (const grad of bad) {
        assert.equal(await isOverflow(scaler, { kernel: grad }), true);
        assert.equal(await isOverflow(scaler, { kernel, bias: grad }), true);
        assert.equal(await isOverflow(scaler, [grad, kernel]), true);
      }
      assert.equal(await isOverflow(scaler, { kernel }), false);
      tf.dispose([kernel, ...bad]);
      assert.equal(tf.memory().numTensors, tensors);
    });

    test("unscale: the largest float32, an empty and a missing gradient are no overflow", async () => {
      const scaler = Scaler.make({ scale: 1 });
      const grads = [tf.tensor2d([[3.4e38, -3.4e38], [1e-45, -0]]), tf.tensor1d([]), tf.zeros([0, 3]), tf.scalar(0)];
      assert.equal(await isOverflow(scaler, grads), false);
      assert.equal(await isOverflow(scaler, []), false);
      assert.equal(await isOverflow(scaler, {}), false);
      assert.equal(await isOverflow(Scaler.make({ scale: 2 ** -10 }), grads), true, "divided beyond float32");
      tf.dispose(grads);
      assert.equal(tf.memory().numTensors, tensors);
    });

    test("unscale: it undoes scales that are powers of two exactly, in new tensors under the same names", async () => {
      const scaler = Scaler.make({ scale: 2 ** 16 });
      const values = [1, -3.5, Math.fround(0.1), Math.fround(1e-20)];
      const scaled = { kernel: tf.tensor2d(values.map((x) => x * 2 ** 16), [2, 2]), bias: tf.tensor1d([2 ** 16]) };
      const held = tf.memory().numTensors;
      const { grads, overflow } = Scaler.unscale(scaler)(scaled);
      assert.equal(tf.memory().numTensors, held + 3);
      assert.deepEqual(Object.keys(grads), ["kernel", "bias"]);
      assert.deepEqual([grads.kernel.shape, overflow.shape, overflow.dtype], [[2, 2], [], "bool"]);
      assert.deepEqual([...await grads.kernel.data()], values);
      assert.deepEqual([...await grads.bias.data()], [1]);
      const listed = Scaler.unscale(scaler)([scaled.bias, scaled.kernel]);
      assert.deepEqual([listed.grads.length, ...await listed.grads[0]!.data()], [2, 1]);
      tf.dispose([scaled.kernel, scaled.bias, grads.kernel, grads.bias, overflow, listed.overflow, ...listed.grads]);
      assert.equal(tf.memory().numTensors, tensors);
    });

    test("scale: unscaled gradients of the scaled loss equal those of the loss", async () => {
      const w = tf.tidy(() => tf.variable(tf.tensor1d([1, 2, -3])));
      const loss = () => tf.sum(tf.square(w)) as tf.Scalar;
      const scaler = Scaler.make();
      const plain = tf.variableGrads(loss, [w]);
      const scaled = tf.variableGrads(() => Scaler.scale(scaler)(loss()), [w]);
      const { grads, overflow } = Scaler.unscale(scaler)(scaled.grads);
      assert.equal((await scaled.value.data())[0], 14 * 65536);
      assert.deepEqual(await grads[w.name]!.data(), await plain.grads[w.name]!.data());
      tf.dispose([w, plain.value, scaled.value, overflow]);
      tf.dispose([plain.grads, scaled.grads, grads]);
      assert.equal(tf.memory().numTensors, tensors);
    });
  });
}

test("make: the defaults are those of PyTorch's GradScaler", () => {
  assert.deepEqual(Scaler.make(), {
    _tag: "Scaler",
    scale: 65536,
    growthFactor: 2,
    backoffFactor: 0.5,
    growthInterval: 2000,
    tracker: 0,
  });
});

test("update: it grows after growthInterval consecutive finite steps, shrinks at once, and then counts from 0", () => {
  let scaler = Scaler.make({ scale: 8, growthFactor: 4, backoffFactor: 0.25, growthInterval: 3 });
  const states = [false, false, true, false, false, false, false, true, true].map((overflow) => {
    scaler = Scaler.update(overflow)(scaler);
    return [scaler.scale, scaler.tracker];
  });
  assert.deepEqual(states, [[8, 1], [8, 2], [2, 0], [2, 1], [2, 2], [8, 0], [8, 1], [2, 0], [0.5, 0]]);
});

test("update: the scale remains a normal float32 number however often it grows or shrinks", () => {
  fc.assert(
    fc.property(anyScaler, ({ scale }) => {
      assert.ok(scale >= 2 ** -126 && Number.isFinite(Math.fround(scale)) && Math.fround(1 / scale) > 0);
    }),
    { numRuns: 200 * torture },
  );
  const run = (n: number, overflow: boolean) => {
    let scaler = Scaler.make({ growthInterval: 1 });
    for (let i = 0; i < n; i++) scaler = Scaler.update(overflow)(scaler);
    return scaler.scale;
  };
  assert.equal(run(1000, false), 2 ** 127);
  assert.equal(run(1000, true), 2 ** -126);
});

test("round trip: the decoded scaler is equal, frozen and continues as the uninterrupted one", () => {
  fc.assert(
    fc.property(anyScaler, fc.array(fc.boolean()), (scaler, overflows) => {
      assert.ok(Scaler.codec.is(scaler) && Object.isFrozen(scaler));
      const decoded = Scaler.codec.decode(JSON.parse(JSON.stringify(Scaler.codec.encode(scaler))));
      assert.ok(E.isRight(decoded) && Object.isFrozen(decoded.right));
      assert.deepEqual(decoded.right, scaler);
      const on = (s: Scaler.Scaler) => overflows.reduce((s, overflow) => Scaler.update(overflow)(s), s);
      assert.deepEqual(on(decoded.right), on(scaler));
    }),
    { numRuns: 200 * torture },
  );
  assert.equal(Scaler.codec.name, "Scaler");
});

test("nothing silent: the codec rejects impossible scalers, with every reason", () => {
  const scaler = Scaler.make();
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [null, /plain object/],
    [{ ...scaler, _tag: "Schedule" }, /Scaler\._tag/],
    [{ ...scaler, scale: NaN }, /Scaler\.scale .*found NaN/],
    [{ ...scaler, scale: 0 }, /Scaler\.scale/],
    [{ ...scaler, scale: 1e39 }, /Scaler\.scale/],
    [{ ...scaler, scale: "65536" }, /Scaler\.scale/],
    [{ ...scaler, growthFactor: 1 }, /Scaler\.growthFactor/],
    [{ ...scaler, growthFactor: Infinity }, /Scaler\.growthFactor/],
    [{ ...scaler, backoffFactor: 1 }, /Scaler\.backoffFactor/],
    [{ ...scaler, growthInterval: 0 }, /Scaler\.growthInterval/],
    [{ ...scaler, tracker: 0.5 }, /Scaler\.tracker/],
    [{ ...scaler, tracker: 2000 }, /Scaler\.tracker .*below growthInterval/],
    [{ ...scaler, extra: 1 }, /no field "extra"/],
    [{ _tag: "Scaler", scale: 1 }, /Scaler\.growthFactor to be .+, found no such field/],
  ];
  for (const [value, reason] of refused) {
    assert.ok(!Scaler.codec.is(value), String(reason));
    const decoded = Scaler.codec.decode(value);
    assert.ok(E.isLeft(decoded), String(reason));
    assert.match(decoded.left.map((error) => error.message).join("\n"), reason);
  }
});

test("bad input: wrong arguments are a TypeError that names them", () => {
  assert.throws(() => Scaler.make({ scale: -1 }), { name: "TypeError", message: /scaler\.scale .*found -1/ });
  assert.throws(() => Scaler.make({ growthInterval: 1.5 }), { name: "TypeError", message: /growthInterval/ });
  assert.throws(() => Scaler.make({ scale: 1, ...{ interval: 5 } }), {
    name: "TypeError",
    message: /found `interval`: did you mean `growthInterval`\?/,
  });
  assert.throws(() => Scaler.update(1 as unknown as boolean), { name: "TypeError", message: /overflow/ });
});
