/**
 * `accumulateGrads`: what one gradient of the mean loss is, and no tensor besides it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { accumulateGrads } from "../../mod.ts";

await tf.setBackend("cpu");

test("accumulateGrads: the mean loss and its gradients, whatever the micro-batches, and no other tensor is left", () => {
  const numbers = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 4 });
  const [w, b] = [tf.variable(tf.tensor1d([1, -2]), true, "gw"), tf.variable(tf.scalar(0.5), true, "gb")];
  fc.assert(fc.property(fc.array(numbers, { minLength: 1, maxLength: 5 }), (micros) => {
    // The second variable is used by some micro-batches only.
    const loss = (xs: readonly number[]): tf.Scalar => {
      const error = tf.outerProduct(tf.tensor1d([...xs]), w).square().mean();
      return (xs.length > 2 ? error.mul(b) : error) as tf.Scalar;
    };
    const before = tf.memory().numTensors;
    const { value, grads } = accumulateGrads(micros)(loss);
    assert.equal(tf.memory().numTensors, before + 1 + Object.keys(grads).length);
    const each = tf.tidy(() =>
      micros.map((xs) => {
        const one = tf.variableGrads(() => loss(xs));
        const of = (name: string): number[] => [...one.grads[name]?.dataSync() ?? [0]];
        return { value: one.value.dataSync()[0]!, gw: of("gw"), gb: of("gb") };
      })
    );
    const mean = (of: (one: typeof each[0]) => number): number =>
      each.reduce((sum, one) => sum + of(one), 0) / each.length;
    const near = (found: number, expected: number): void =>
      assert.ok(Math.abs(found - expected) <= 1e-5 * (1 + Math.abs(expected)), `${found}, ${expected}`);
    near(value.dataSync()[0]!, mean(({ value }) => value));
    [0, 1].forEach((i) => near(grads["gw"]!.dataSync()[i]!, mean(({ gw }) => gw[i]!)));
    near(grads["gb"]?.dataSync()[0] ?? 0, mean(({ gb }) => gb[0]!));
    tf.dispose([value, grads]);
  }));
  tf.dispose([w, b]);
});

test("accumulateGrads: no micro-batch, or a loss that is no function, is a TypeError; what the loss throws leaves no tensor", () => {
  assert.throws(
    () => accumulateGrads([]),
    /^TypeError: Expected the micro-batches of accumulateGrads to be an array of at least one/,
  );
  assert.throws(
    () => accumulateGrads([1])(1 as never),
    /^TypeError: Expected the loss of accumulateGrads to be a function/,
  );
  const w = tf.variable(tf.scalar(1), true, "gt");
  const before = tf.memory().numTensors;
  const loss = (x: number): tf.Scalar => x === 3 ? assert.fail("mine") : w.mul(x);
  assert.throws(() => tf.tidy(() => accumulateGrads([1, 2, 3])(loss)), /mine/);
  assert.equal(tf.memory().numTensors, before);
  w.dispose();
});
