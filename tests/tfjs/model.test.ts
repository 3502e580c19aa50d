import { captureState, directory, memory, restoreInto, restoreState, Rng } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  backInto,
  canonical,
  idOf,
  immutable,
  left,
  moveCounters,
  noTrace,
  right,
  roundTrip,
  throughStore,
} from "../support/laws.ts";
import { models, modelSubject, small, trainModels } from "../support/samples.ts";
import { triedHere } from "../support/torture.ts";

let scratch = "";
before(async () => {
  await tf.setBackend("cpu");
  scratch = await mkdtemp(join(tmpdir(), "dogear-models-"));
});
after(() => rm(scratch, { recursive: true, force: true }));

function predict({ model }: { readonly model: tf.LayersModel }): void {
  tf.tidy(() => void model.predict(tf.ones([2, 3, 2])));
}

for (const name of triedHere(Object.keys(models))) {
  describe(name, () => {
    const subject = modelSubject(name);
    test("round trip", () => roundTrip(subject));
    // Predictions change the states of stateful layers, and tfjs keeps the states of every training step until a reset.
    const used = name.startsWith("a stateful") ? { ...subject, train: predict } : subject;
    test("round trip into a model that has trained on", () => backInto(used));
    test("no trace", () => noTrace(subject));
    test("immutable", () => immutable(subject));
    test("canonical", () => canonical(subject));
    test("round trip through memory", () => throughStore(memory(), subject));
    test("round trip through a folder", () => throughStore(directory(join(scratch, name)), subject));
  });
}

// --- models that can only be restored into a live one

/** A user-defined loss. */
function squared(target: tf.Tensor, output: tf.Tensor): tf.Tensor {
  return target.sub(output).square().mean();
}

function halved(target: tf.Tensor, output: tf.Tensor): tf.Tensor {
  return squared(target, output).div(2);
}

function compiledWith(loss: tf.ModelCompileArgs["loss"], metrics: tf.ModelCompileArgs["metrics"] = []): object {
  const model = small();
  model.compile({ optimizer: "adam", loss, metrics });
  return { model };
}

test("nothing silent: a loss or metric that is a function needs a live model with a function of the same name", async () => {
  const state = compiledWith(squared, [halved, "mse"]);
  await trainModels(state);
  using snapshot = captureState(state);
  const { problems } = left(restoreState(snapshot)) as { readonly problems: readonly unknown[] };
  const remedy =
    "A checkpoint holds no code. Load it into a model that is compiled with this function, or load the model alone: " +
    "loadModel(store, { compile: false })";
  assert.deepEqual(problems, [
    {
      path: "model/compile/loss",
      kind: "config",
      expected: "the name of a loss or metric",
      found: "the function squared",
      remedy,
    },
    {
      path: "model/compile/metrics",
      kind: "config",
      expected: "the name of a loss or metric",
      found: "the function halved",
      remedy,
    },
  ]);
  const live = compiledWith(squared, [halved, "mse"]);
  assert.equal(await idOf(right(restoreInto(live)(snapshot)())), await idOf(state));
  assert.deepEqual(await trainModels(live), await trainModels(state));
  for (const other of [compiledWith(halved, [halved, "mse"]), compiledWith(squared, [halved, squared])]) {
    assert.equal(left(restoreInto(other)(snapshot)())._tag, "Mismatch");
  }
});

/** A layer of a class that is not registered. */
class Unknown extends tf.layers.Layer {
  static readonly className = "Unknown";
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor | tf.Tensor[] {
    return inputs;
  }
}

test("nothing silent: a fresh restore names every layer of an unregistered class; such layers can be restored in place", async () => {
  const make = (): { model: tf.LayersModel } => ({
    model: tf.sequential({
      layers: [tf.layers.dense({ units: 1, inputShape: [1] }), new Unknown({}), new Unknown({ name: "mine" })],
    }),
  });
  const state = make();
  using snapshot = captureState(state);
  const { numTensors } = tf.memory();
  const { problems } = left(restoreState(snapshot)) as { readonly problems: readonly { readonly path: string }[] };
  assert.deepEqual(problems.map(({ path }) => path), ["model/layers/1", "model/layers/2"]);
  assert.equal(tf.memory().numTensors, numTensors);
  assert.equal(await idOf(right(restoreInto(make())(snapshot)())), await idOf(state));
});

// --- changes during training

/** Its trained weights violate its constraint, because tfjs never applies constraints in training. */
function constrained(): { readonly model: tf.LayersModel } {
  const [model] = Rng.withRandom(Rng.make(5))(() =>
    tf.sequential({
      layers: [
        tf.layers.dense({ units: 3, inputShape: [2], activation: "tanh", kernelConstraint: "unitNorm" }),
        tf.layers.dropout({ rate: 0.25, seed: 3 }),
        tf.layers.dense({ units: 1 }),
      ],
    })
  );
  model.compile({ optimizer: tf.train.adam(0.05), loss: "meanSquaredError" });
  return { model };
}

/** The last layer is frozen before step 3 and thawed before step 5. The same optimizer, with slots by position, continues. */
async function tuned({ model }: { readonly model: tf.LayersModel }, from: number, to: number): Promise<string> {
  const [x, y] = [tf.tensor2d([[1, 2], [3, -1]]), tf.tensor2d([[1], [0]])];
  for (let step = from; step < to; step++) {
    if (step === 3 || step === 5) {
      model.layers[2]!.trainable = step === 5;
      model.compile({ optimizer: model.optimizer, loss: step === 3 ? "meanAbsoluteError" : "meanSquaredError" });
    }
    await model.trainOnBatch(x, y);
  }
  tf.dispose([x, y]);
  return await idOf({ model });
}

test("same bits: layers are frozen and thawed during training, and the model is compiled again with the same optimizer", async () => {
  const whole = await tuned(constrained(), 0, 8);
  for (let step = 0; step <= 8; step++) {
    const state = constrained();
    await tuned(state, 0, step);
    using snapshot = captureState(state);
    assert.equal(await tuned(right(restoreState(snapshot)), step, 8), whole, `restored after step ${step}`);
    const live = constrained();
    // The live model must be compiled with the loss of that step: another one is an error.
    if (step > 3 && step <= 5) live.model.compile({ optimizer: live.model.optimizer, loss: "meanAbsoluteError" });
    assert.equal(
      await tuned(right(restoreInto(live)(snapshot)()), step, 8),
      whole,
      `into a live one after step ${step}`,
    );
  }
  assert.notEqual(await tuned(constrained(), 1, 8), whole);
});

// --- layers as components

describe("a layer that was never called", () => {
  const subject = { make: () => ({ layers: [tf.layers.dense({ units: 2, name: "a" }), tf.layers.flatten()] }) };
  test("round trip", () => roundTrip(subject));
  test("canonical", () => canonical(subject));
});

describe("a random layer, which increments its seed", () => {
  const image = tf.ones([1, 4, 8, 1]);
  const draw = ({ layer }: { layer: tf.layers.Layer }): unknown => (layer.apply(image) as tf.Tensor).shape;
  const subject = {
    make: () => ({ layer: tf.layers.randomWidth({ factor: 0.9, seed: 3 } as never) }),
    train: draw,
    probe: (state: { layer: tf.layers.Layer }) => Array.from({ length: 8 }, () => draw(state)),
  };
  test("round trip", () => roundTrip(subject));
  test("immutable", () => immutable(subject));
});

// --- names

test("canonical: generated names are not state, the user's names are", async () => {
  const named = (model: string | undefined, layer: string | undefined, start: string | undefined): object => {
    const x = tf.input({ shape: [2], ...(start === undefined ? {} : { name: start }) });
    const y = tf.layers.dense({ units: 1, kernelInitializer: "ones", ...(layer === undefined ? {} : { name: layer }) });
    const outputs = y.apply(x) as tf.SymbolicTensor;
    return { model: tf.model({ inputs: x, outputs, ...(model === undefined ? {} : { name: model }) }) };
  };
  const unnamed = await idOf(named(undefined, undefined, undefined));
  moveCounters();
  assert.equal(await idOf(named(undefined, undefined, undefined)), unnamed);
  const given = [
    named("mine", undefined, undefined),
    named("model_1", undefined, undefined),
    named(undefined, "dense1", undefined),
    named(undefined, "dense_1", undefined),
    named(undefined, "dense_Flatten1", undefined),
    named(undefined, "Dense", undefined),
    named(undefined, undefined, "image"),
    named(undefined, undefined, "image_input"),
    named(undefined, undefined, "input_1"),
  ];
  const digests = await Promise.all(given.map((state) => idOf(state)));
  assert.equal(new Set([unnamed, ...digests]).size, given.length + 1);
});

/** User-defined layers whose class names resemble counters. */
const odd = ["Block2", "My_Layer", "_Private", "lower", "A", "Conv2D3x3", "HTTPLayer"].map((className) =>
  class extends tf.layers.Layer {
    static readonly className = className;
  }
);

test("canonical: generated names of any class are distinguished from the user's", async () => {
  for (const Odd of odd) {
    const first = new Odd({});
    moveCounters();
    const later = Array.from({ length: 12 }, () => new Odd({})).at(-1) as tf.layers.Layer;
    assert.notEqual(first.name, later.name);
    assert.equal(await idOf({ layer: later }), await idOf({ layer: first }), later.name);
    assert.notEqual(await idOf({ layer: new Odd({ name: `${Odd.className}1` }) }), await idOf({ layer: first }));
  }
});

/** Cells that keep the dropout masks of their first call. */
const maskedCells: Readonly<Record<string, () => Parameters<typeof tf.layers.rnn>[0]["cell"]>> = {
  "a simple cell": () => tf.layers.simpleRNNCell({ units: 3, dropout: 0.5 }),
  "a cell of gates": () => tf.layers.gruCell({ units: 3, recurrentDropout: 0.5 }),
  "cells on each other": () => [
    tf.layers.gruCell({ units: 3, dropout: 0.5 }),
    tf.layers.lstmCell({ units: 2, recurrentDropout: 0.5 }),
  ],
};

for (const [name, cell] of Object.entries(maskedCells)) {
  test(`round trip: the dropout masks of ${name}, afresh and into a live model`, () => {
    const build = (): tf.LayersModel =>
      tf.sequential({ layers: [tf.layers.rnn({ cell: cell(), inputShape: [4, 2] })] });
    const x = tf.range(0, 16).reshape([2, 4, 2]);
    const step = (model: tf.LayersModel, rng: Rng.Rng): readonly [readonly number[], Rng.Rng] =>
      Rng.withRandom(rng)(() => tf.tidy(() => [...(model.apply(x, { training: true }) as tf.Tensor).dataSync()]));
    const [model, rng] = Rng.withRandom(Rng.make(1))(build);
    const [, trained] = step(model, rng);
    using snapshot = captureState({ model });
    const [live] = Rng.withRandom(Rng.make(2))(build);
    step(live, Rng.make(3));
    const fresh = right(restoreState(snapshot)).model;
    right(restoreInto({ model: live })(snapshot)());
    const expected = step(model, trained);
    assert.deepEqual(step(fresh, trained), expected);
    assert.deepEqual(step(live, trained), expected);
    assert.notDeepEqual(step(build(), trained), expected);
  });
}

test("round trip: arguments that tfjs omits from a layer's config", () => {
  const build = (noiseShape: number[]): { readonly model: tf.LayersModel } => ({
    model: tf.sequential({ layers: [tf.layers.alphaDropout({ rate: 0.5, noiseShape, inputShape: [4] })] }),
  });
  const apply = ({ model }: { readonly model: tf.LayersModel }): readonly number[] =>
    Rng.withRandom(Rng.make(1))(
      () => [...(model.apply(tf.ones([4, 4]), { training: true }) as tf.Tensor).dataSync()],
    )[0];
  const state = build([4, 1]);
  using snapshot = captureState(state);
  assert.deepEqual(apply(right(restoreState(snapshot))), apply(state));
  left(restoreInto(build([1, 4]))(snapshot)());
});
