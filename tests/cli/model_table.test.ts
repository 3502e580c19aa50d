/**
 * The table of a model's layers, against what tfjs says of the live model; and the rates that a schedule will give.
 */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { test } from "node:test";
import { captureState, pipe, Schedule } from "../../mod.ts";
import { type LayerRow, type ModelTable, modelTables } from "../../lib/cli/model_table.ts";
import type { Node } from "../../lib/state/mod.ts";
import { after, rateCurve } from "../../lib/cli/serve/schedule_curve.ts";

await tf.setBackend("cpu");

function tablesOf(state: Record<string, unknown>): readonly ModelTable[] {
  using snapshot = captureState(state as { readonly model: tf.LayersModel });
  return modelTables(snapshot.encoded.components);
}

function tableOf(model: tf.LayersModel): ModelTable {
  const [table, ...others] = tablesOf({ model });
  assert.equal(others.length, 0);
  return table!;
}

/** What tfjs says of a layer, in a row of the table. */
function liveRow(layer: tf.layers.Layer): readonly unknown[] {
  return [layer.getClassName(), layer.outputShape, layer.countParams()];
}

const rowOf = ({ type, shape, parameters }: LayerRow): readonly unknown[] => [type, shape, parameters];

/** Layers after an input of a shape. */
const chains: readonly (readonly [shape: readonly number[], layers: readonly (() => tf.layers.Layer)[]])[] = [
  [[8, 8, 2], [
    () => tf.layers.conv2d({ filters: 3, kernelSize: [3, 2], strides: 2, padding: "same", name: "mine" }),
    () => tf.layers.batchNormalization(),
    () => tf.layers.upSampling2d({ size: [3, 2] }),
    () => tf.layers.zeroPadding2d({ padding: [[1, 2], [0, 3]] }),
    () => tf.layers.cropping2D({ cropping: [[1, 0], [1, 1]] }),
    () => tf.layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2 }),
    () => tf.layers.separableConv2d({ filters: 5, kernelSize: 3, padding: "same" }),
    () => tf.layers.conv2dTranspose({ filters: 2, kernelSize: 3, strides: 2 }),
    () => tf.layers.averagePooling2d({ poolSize: [2, 3], strides: [1, 2] }),
    () => tf.layers.dropout({ rate: 0.1 }),
    () => tf.layers.globalMaxPooling2d({}),
    () => tf.layers.dense({ units: 7, useBias: false }),
  ]],
  [[2, 9, 9], [() => tf.layers.conv2d({ filters: 4, kernelSize: 3, dilationRate: 2, dataFormat: "channelsFirst" })]],
  [[6, 6, 6, 1], [
    () => tf.layers.conv3d({ filters: 2, kernelSize: 2 }),
    () => tf.layers.maxPooling3d({ poolSize: [2, 2, 1] }),
    () => tf.layers.flatten(),
    () => tf.layers.repeatVector({ n: 3 }),
    () => tf.layers.permute({ dims: [2, 1] }),
    () => tf.layers.reshape({ targetShape: [-1, 2] }),
    () => tf.layers.globalAveragePooling1d(),
    () => tf.layers.activation({ activation: "relu" }),
  ]],
  [[12], [
    () => tf.layers.embedding({ inputDim: 20, outputDim: 6 }),
    () => tf.layers.conv1d({ filters: 4, kernelSize: 3, strides: 2, padding: "causal" }),
    () => tf.layers.maxPooling1d({ poolSize: 2 }),
    () => tf.layers.bidirectional({ layer: tf.layers.gru({ units: 3, returnSequences: true }), mergeMode: "concat" }),
    () => tf.layers.timeDistributed({ layer: tf.layers.dense({ units: 4 }) }),
    () =>
      tf.layers.rnn({
        cell: [tf.layers.lstmCell({ units: 2 }), tf.layers.gruCell({ units: 5 })],
        returnSequences: true,
      }),
    () => tf.layers.bidirectional({ layer: tf.layers.simpleRNN({ units: 3 }), mergeMode: "sum" }),
    () => tf.layers.layerNormalization(),
    () => tf.layers.prelu(),
  ]],
  [[4, 8, 8, 1], [() => tf.layers.convLstm2d({ filters: 2, kernelSize: 3, padding: "same" }) as tf.layers.Layer]],
];

test("model table: types, output shapes and parameters are those of the live layers", () => {
  for (const [inputShape, layers] of chains) {
    const input = tf.input({ shape: [...inputShape] });
    let output = input as tf.SymbolicTensor;
    for (const make of layers) output = make().apply(output) as tf.SymbolicTensor;
    const model = tf.model({ inputs: input, outputs: output });
    const table = tableOf(model);
    assert.deepEqual(table.layers.map(rowOf), model.layers.map(liveRow));
    assert.deepEqual(table.parameters, model.countParams());
    const sequential = tf.sequential();
    layers.forEach((make, i) => {
      const layer = make();
      sequential.add(
        i === 0 ? tf.sequential({ layers: [tf.layers.inputLayer({ inputShape: [...inputShape] }), layer] }) : layer,
      );
    });
    assert.deepEqual(
      tableOf(sequential).layers.filter(({ depth }) => depth === 0).map(rowOf),
      sequential.layers.map(liveRow),
    );
    model.dispose();
  }
});

test("model table: merged branches, a layer that is called twice, frozen layers, names of the user and of tfjs", () => {
  const [a, b] = [tf.input({ shape: [3, 4], name: "a" }), tf.input({ shape: [3, 4] })];
  const shared = tf.layers.dense({ units: 4, name: "shared" });
  const [x, y] = [shared.apply(a), shared.apply(b)] as [tf.SymbolicTensor, tf.SymbolicTensor];
  const sum = tf.layers.add().apply([x, y]) as tf.SymbolicTensor;
  const joined = tf.layers.concatenate({ axis: 1 }).apply([sum, x, y]) as tf.SymbolicTensor;
  const dot = tf.layers.dot({ axes: 2 }).apply([joined, y]) as tf.SymbolicTensor;
  const frozen = tf.layers.dense({ units: 2, trainable: false });
  const model = tf.model({ inputs: [a, b], outputs: frozen.apply(dot) as tf.SymbolicTensor });
  const table = tableOf(model);
  // A layer with several calls has one row, with the shape of the first.
  const live = model.layers.map((
    layer,
  ) => [layer.getClassName(), layer === shared ? [null, 3, 4] : layer.outputShape, layer.countParams()]);
  assert.deepEqual(table.layers.map(rowOf), live);
  assert.deepEqual([table.parameters, table.trainable], [20 + 8, 20]);
  const names = table.layers.map(({ name }) => name);
  assert.ok(names.includes("a") && names.includes("shared") && names.includes("concatenate"));
  assert.deepEqual(table.layers.find(({ type, trainable }) => type === "Dense" && trainable === 0)?.parameters, 8);
});

test("model table: nested models follow their row, weights in two models are counted in each, and unknown layers are ?", () => {
  class Odd extends tf.layers.Layer {
    static readonly className: string = "Odd";
    override computeOutputShape(shape: tf.Shape): tf.Shape {
      return [shape[0]!, 99];
    }
    override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
      const [x] = Array.isArray(inputs) ? inputs : [inputs];
      return tf.zeros([x!.shape[0]!, 99]);
    }
  }
  tf.serialization.registerClass(Odd);
  const inner = tf.sequential({
    layers: [tf.layers.dense({ units: 3, inputShape: [2] }), tf.layers.dense({ units: 4 })],
  });
  const head = tf.layers.dense({ units: 1 });
  const one = tf.sequential({ layers: [inner, head] });
  const odd = tf.sequential({
    layers: [tf.layers.dense({ units: 2, inputShape: [2] }), new Odd({}), tf.layers.dense({ units: 1 })],
  });
  const [first, second] = tablesOf({ one, two: { inner }, odd });
  assert.deepEqual(first!.layers.map(({ type, depth }) => [type, depth]), [["Sequential", 0], ["Dense", 1], [
    "Dense",
    1,
  ], ["Dense", 0]]);
  assert.deepEqual([first!.name, first!.parameters, first!.trainable], ["one", 9 + 16 + 5, 30]);
  assert.deepEqual(second!.layers.map(({ type, shape }) => [type, shape]), [["Dense", [null, 2]], ["Odd", "?"], [
    "Dense",
    "?",
  ]]);
  assert.equal(second!.parameters, 6 + 100);
});

test("model table: a model that a damaged checkpoint says is in itself, or in its own part, ends the table there", () => {
  const record = (of: Readonly<Record<string, Node>>): Node => ({ is: "record", entries: Object.entries(of) });
  const model = (...layers: readonly string[]): Node => {
    const state = record({ class: "Model", layers: layers.map((path): Node => ({ is: "shared", path })), graph: null });
    return { is: "kind", kind: "LayersModel", state };
  };
  assert.deepEqual(modelTables([["a", model("a")]]).map(({ layers }) => layers), [[]]);
  const [a] = modelTables([["a", model("b")], ["b", model("a", "a")]]);
  assert.deepEqual(a!.layers.map(({ depth }) => depth), [0]);
  // Each is in the one after it.
  const chain = Array.from({ length: 40 }, (_, i): readonly [string, Node] => [`m${i}`, model(`m${i + 1}`)]);
  assert.equal(modelTables(chain)[0]!.layers.length, 32);
});

// --- schedules

const simple = fc.constantFrom(
  Schedule.constant({ base: 0.5 }),
  Schedule.step({ base: 1, every: 3, factor: 0.5 }),
  Schedule.multiStep({ base: 1, milestones: [2, 9, 9], factor: 0.1 }),
  Schedule.exponential({ base: 1, factor: 0.9 }),
  Schedule.cosine({ base: 1, steps: 12, final: 0.1 }),
  Schedule.linear({ base: 1, steps: 7 }),
  Schedule.polynomial({ base: 1, steps: 9, power: 3 }),
  Schedule.oneCycle({ peak: 1, steps: 15 }),
);
const schedules: fc.Arbitrary<Schedule.Schedule> = fc.oneof(
  simple,
  fc.tuple(simple, fc.integer({ min: 1, max: 5 })).map(([schedule, steps]) => pipe(schedule, Schedule.warmup(steps))),
  fc.array(fc.tuple(simple, fc.integer({ min: 1, max: 6 })), { minLength: 2, maxLength: 4 }).map(Schedule.sequence),
  fc.tuple(simple, simple).map((both) => Schedule.product(both)),
);

test("schedule curve: a jump of n steps gives what n steps give", () => {
  fc.assert(fc.property(schedules, fc.nat(10), fc.nat(40), (schedule, done, steps) => {
    let at = schedule;
    for (let i = 0; i < done; i++) at = Schedule.next(at);
    let last = at;
    for (let i = 0; i < steps; i++) last = Schedule.next(last);
    assert.deepEqual(after(at, steps), last);
  }));
});

test("schedule curve: it begins with the next rate, has few points, and ends where the schedule does", () => {
  fc.assert(fc.property(schedules, (schedule) => {
    const { steps, values } = rateCurve(schedule);
    assert.deepEqual([steps[0], values[0]], [0, Schedule.rate(schedule)]);
    assert.ok(steps.length <= 200 && steps.every((step, i) => i === 0 || step > steps[i - 1]!));
    assert.ok(values.every(Number.isFinite));
  }));
  const { values } = rateCurve(Schedule.cosine({ base: 1, steps: 1e6, final: 0.25 }));
  assert.equal(values.at(-1), 0.25);
  assert.equal(
    rateCurve(Schedule.plateau({ base: 1, factor: 0.5, patience: 1 })).values.every((rate) => rate === 1),
    true,
  );
});
