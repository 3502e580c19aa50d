import { captureState, id, release, restoreInto, restoreState, type StateTree } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import * as t from "io-ts";
import assert from "node:assert/strict";
import { before, test } from "node:test";

before(async () => void await tf.setBackend("cpu"));

/** An average of weights, kept in a separate variable. */
class Average {
  constructor(readonly weights: tf.Variable) {}
}

type Encode = (average: Average) => StateTree;

function codec(encode: Encode, decode: (tensor: tf.Tensor) => tf.Variable): t.Type<Average, StateTree, unknown> {
  return new t.Type<Average, StateTree, unknown>(
    "Average",
    (u): u is Average => u instanceof Average,
    (u, context) => {
      const weights = (u as { readonly weights?: unknown }).weights;
      return weights instanceof tf.Tensor ? t.success(new Average(decode(weights))) : t.failure(u, context);
    },
    encode,
  );
}

const encodings: Readonly<Record<string, Encode>> = {
  "its variable": ({ weights }) => ({ weights }),
  "a copy of it": ({ weights }) => ({ weights: weights.clone() }),
};

for (const [name, encode] of Object.entries(encodings)) {
  test(`round trip, no trace: a codec that encodes ${name}, restored fresh and into live components`, async () => {
    const codecs = { average: codec(encode, (tensor) => tf.variable(tensor)) };
    const state = { average: new Average(tf.variable(tf.tensor([1, 2, 3]))), step: 1 };
    const memory = tf.memory();
    const snapshot = captureState(state, { codecs });
    assert.equal(tf.memory().numTensors, memory.numTensors);
    const live = { average: new Average(tf.variable(tf.zeros([3]))), step: 0 };
    for (const restored of [restoreState(snapshot, { codecs }), restoreInto(live, { codecs })(snapshot)()]) {
      assert(restored._tag === "Right");
      const { weights } = restored.right.average;
      assert.ok(!weights.isDisposed);
      assert.deepEqual([...weights.dataSync()], [1, 2, 3]);
      const again = captureState(restored.right, { codecs });
      assert.equal(await id(again)(), await id(snapshot)());
      release(again)();
    }
    release(snapshot)();
    tf.disposeVariables();
  });
}

test("no trace: tensors that a codec receives and does not keep are disposed", () => {
  const codecs = { average: codec(({ weights }) => ({ weights }), (tensor) => tf.variable(tensor)) };
  const state = { average: new Average(tf.variable(tf.tensor([1, 2, 3]))) };
  const snapshot = captureState(state, { codecs });
  const { numTensors } = tf.memory();
  const restored = restoreState(snapshot, { codecs });
  assert(restored._tag === "Right");
  assert.equal(tf.memory().numTensors, numTensors + 1);
  release(snapshot)();
  tf.disposeVariables();
});
