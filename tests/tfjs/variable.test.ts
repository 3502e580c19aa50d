import { captureState, diff, restoreInto, restoreState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { before, test } from "node:test";

before(async () => void await tf.setBackend("cpu"));

interface State {
  readonly a: tf.Variable;
  readonly b: tf.Variable;
  readonly optimizer: tf.Optimizer;
}

/** Two variables, made in this order. A step without a list of variables finds them by their order. */
function build(order: string, named: boolean): State {
  const made = Object.fromEntries(
    [...order].map((name, i) => [name, tf.variable(tf.tensor1d([i + 1, i + 2]), true, named ? name : undefined)]),
  );
  return { a: made["a"] as tf.Variable, b: made["b"] as tf.Variable, optimizer: tf.train.adam(0.1) };
}

function step({ a, b, optimizer }: State): void {
  optimizer.minimize(() => tf.tidy(() => a.square().sum().add(b.mul(3).square().sum()).asScalar()));
}

for (const named of [false, true]) {
  for (const order of ["ab", "ba"]) {
    test(`same bits: ${named ? "named" : "unnamed"} variables captured in the order ab and recreated in the order ${order} keep their moments`, async () => {
      const whole = build("ab", named);
      for (let i = 0; i < 3; i++) step(whole);
      const middle = captureState({ b: whole.b, a: whole.a, optimizer: whole.optimizer });
      for (let i = 0; i < 3; i++) step(whole);
      const end = captureState(whole);
      tf.disposeVariables();

      const live = build(order, named);
      assert.equal(restoreInto(live)(middle)()._tag, "Right");
      for (let i = 0; i < 3; i++) step(live);
      assert.deepEqual(await diff(end, captureState(live))(), []);
      tf.disposeVariables();

      // A fresh restore makes them in the order of the components, which differs here.
      const fresh = restoreState(middle);
      assert(fresh._tag === "Right");
      for (let i = 0; i < 3; i++) step(fresh.right);
      assert.deepEqual(await diff(end, captureState(fresh.right))(), []);
      tf.disposeVariables();
    });
  }
}
