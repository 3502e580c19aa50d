/**
 * Names that data goes by: tfjs feeds a model by the names of its inputs and outputs.
 *
 * @module
 */
import { captureState, memory, readSnapshot, restoreInto, restoreState, runOrThrow, saveState } from "@dogear/dogear";
import type { Snapshot } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { idOf, left, moveCounters, right } from "./laws.ts";

before(() => tf.setBackend("cpu").then(() => undefined));

const L = tf.layers;

interface State {
  readonly model: tf.LayersModel;
}

async function read<C extends object>(state: C): Promise<Snapshot<C>> {
  const store = memory();
  await runOrThrow(saveState(store)(state));
  return await runOrThrow(readSnapshot(store)) as Snapshot<C>;
}

function compiled(model: tf.LayersModel): State {
  model.compile({ optimizer: tf.train.sgd(0.01), loss: "meanSquaredError" });
  return { model };
}

/** Two inputs, of which the second counts ten times, and two outputs; the names are given, or made up in the order asked for. */
function twoByTwo(names: readonly (string | undefined)[], reversed = false): State {
  const given = (i: number): object => names[i] === undefined ? {} : { name: names[i] };
  const order = reversed ? [1, 0] : [0, 1];
  const inputs: tf.SymbolicTensor[] = [];
  for (const i of order) inputs[i] = tf.input({ shape: [1], ...given(i) });
  const sum = L.concatenate().apply(
    [inputs[0], L.rescaling({ scale: 10 } as never).apply(inputs[1] as never)] as never,
  );
  const heads: tf.layers.Layer[] = [];
  for (const i of order) heads[i] = L.dense({ units: 1, kernelInitializer: "ones", ...given(i + 2) });
  return compiled(tf.model({ inputs, outputs: heads.map((head) => head.apply(sum) as tf.SymbolicTensor) }));
}

/** A loss by names, which is another one where two of them are exchanged. */
async function lossOf({ model }: State, inputs: readonly string[], outputs: readonly string[]): Promise<unknown> {
  const by = (names: readonly string[], values: readonly number[]): never =>
    Object.fromEntries(names.map((name, i) => [name, tf.tensor2d([[values[i] ?? 0]])])) as never;
  return await model.trainOnBatch(by(inputs, [1, 2]), by(outputs, [3, -4]));
}

const forms: Readonly<Record<string, () => State>> = {
  "made up by tfjs": () => twoByTwo([]),
  "made up in another order than the model's": () => twoByTwo([], true),
  "given in tfjs's own form, in another order": () => twoByTwo(["input2", "input1", "dense_Dense2", "dense_Dense1"]),
  "given": () => twoByTwo(["image", "meta", "left", "right"]),
  "given in part": () => twoByTwo(["input7", undefined, undefined, "out"]),
};

for (const [form, make] of Object.entries(forms)) {
  describe(`names of inputs and outputs that were ${form}`, () => {
    test("same bits: a model that is built afresh takes the data by the same names", async () => {
      const state = make();
      const { inputNames, outputNames } = state.model;
      const snapshot = await read(state);
      moveCounters();
      const fresh = [right(restoreState(snapshot)), right(restoreState(captureState(right(restoreState(snapshot)))))];
      for (const restored of fresh) {
        assert.deepEqual([restored.model.inputNames, restored.model.outputNames], [inputNames, outputNames]);
      }
      const id = await idOf(state);
      const loss = await lossOf(state, inputNames, outputNames);
      for (const restored of fresh) {
        assert.equal(await idOf(restored), id);
        assert.deepEqual(await lossOf(restored, inputNames, outputNames), loss);
      }
    });
    test("round trip: into a live model that was made alike, however far tfjs had counted", async () => {
      const snapshot = await read(make());
      moveCounters();
      const live = make();
      const names = [...live.model.inputNames, ...live.model.outputNames];
      right(restoreInto(live)(snapshot)());
      assert.deepEqual([...live.model.inputNames, ...live.model.outputNames], names);
      tf.input({ shape: [1] });
      right(restoreInto(make())(snapshot)());
    });
  });
}

test("nothing silent: in place, names that belong to other inputs or outputs are an error at their path", async () => {
  const paths = (live: State, snapshot: Snapshot<State>): readonly string[] => {
    const error = left(restoreInto(live)(snapshot)()) as unknown as {
      readonly problems: readonly { readonly kind: string; readonly path: string }[];
    };
    return error.problems.map(({ kind, path }) => `${path} ${kind}`);
  };
  assert.deepEqual(paths(twoByTwo([], true), await read(twoByTwo([]))), ["model/inputs name", "model/outputs name"]);
  assert.deepEqual(paths(twoByTwo([]), await read(twoByTwo([], true))), ["model/inputs name", "model/outputs name"]);
  const given = await read(twoByTwo(["input2", "input1", "a", "b"]));
  assert.deepEqual(paths(twoByTwo(["input1", "input2", "a", "b"]), given), ["model/inputs name"]);
  assert.deepEqual(paths(twoByTwo([undefined, undefined, "a", "b"]), given), ["model/inputs name"]);
  right(restoreInto(twoByTwo(["input9", "input8", "a", "b"]))(given)());
});

test("canonical: names that tfjs made up are no state, where data goes by them either", async () => {
  const id = await idOf(twoByTwo([]));
  moveCounters();
  tf.input({ shape: [1] });
  assert.equal(await idOf(twoByTwo([])), id);
  assert.notEqual(await idOf(twoByTwo(["image", "meta"])), id);
});

test("round trip: names of models in models, of sequential models, and of models that share layers", async () => {
  const x = tf.input({ shape: [2] });
  const inner = tf.model({ inputs: x, outputs: L.dense({ units: 2 }).apply(x) as tf.SymbolicTensor });
  const [a, b] = [tf.input({ shape: [2] }), tf.input({ shape: [2] })];
  const sum = L.add().apply([inner.apply(a), b] as tf.SymbolicTensor[]) as tf.SymbolicTensor;
  const last = tf.sequential({ layers: [L.dense({ units: 1, inputShape: [2] }), L.dense({ units: 1 })] });
  const whole = tf.model({ inputs: [b, a], outputs: last.apply(sum) as tf.SymbolicTensor });
  const half = tf.model({ inputs: [a, b], outputs: sum });
  last.compile({ optimizer: "sgd", loss: "meanSquaredError" });
  last.predict(tf.ones([1, 2]));
  const state = { whole, half, last, inner };
  const names = (of: typeof state): unknown => Object.values(of).map((model) => [model.inputNames, model.outputNames]);
  const before = names(state);
  const snapshot = await read(state);
  moveCounters();
  for (const fresh of [right(restoreState(snapshot)), right(restoreState(snapshot))]) {
    assert.deepEqual(names(fresh), before);
    assert.equal(await idOf(fresh), await idOf(state));
  }
});

test("round trip: layers made after a restore, and restored models side by side in another one, have names of their own", async () => {
  const make = (): State => {
    for (let i = 0; i < 5; i++) L.dense({ units: 1 });
    const x = tf.input({ shape: [1] });
    // The output's layer is made first, so that another restored layer could be counted up to its name.
    const [out, middle] = [L.dense({ units: 1 }), L.dense({ units: 1 })];
    return compiled(
      tf.model({ inputs: x, outputs: out.apply(middle.apply(x) as tf.SymbolicTensor) as tf.SymbolicTensor }),
    );
  };
  const snapshot = await read(make());
  const [one, two] = [right(restoreState(snapshot)).model, right(restoreState(snapshot)).model];
  const head = L.dense({ units: 1 }).apply(one.outputs[0] as tf.SymbolicTensor) as tf.SymbolicTensor;
  assert.equal(tf.model({ inputs: one.inputs, outputs: head }).layers.length, one.layers.length + 1);
  const x = tf.input({ shape: [1] });
  const both = L.average().apply([one.apply(x), two.apply(x)] as tf.SymbolicTensor[]) as tf.SymbolicTensor;
  assert.equal(tf.model({ inputs: x, outputs: both }).layers.length, 4);
});
