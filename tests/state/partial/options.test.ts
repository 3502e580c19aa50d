/**
 * Partial and modified restores: the options take effect and are reported, and every difference that they do not name is still an error.
 *
 * @module
 */
import {
  type Capturable,
  captureState,
  directory,
  explain,
  id,
  Loader,
  loadState,
  memory,
  type Parts,
  type Problem,
  readSnapshot,
  restoreInto,
  type RestoreOptions,
  resume,
  Rng,
  runOrThrow,
  saveState,
  type Selection,
  type Snapshot,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { here, run, there } from "../../support/children.ts";
import { allOrNothing, exact, idOf, left, right } from "../../support/laws.ts";
import { torture } from "../../support/torture.ts";

const { dense, dropout } = tf.layers;

before(async () => void await tf.setBackend("cpu"));

// --- restoring and observing

/** A restore that must succeed: the components and the report. */
function restored<C extends Capturable<C>>(
  live: C,
  selection: Selection,
  snapshot: Snapshot<unknown>,
): readonly [C, Parts] {
  const reports: Parts[] = [];
  const result = right(restoreInto(live, { ...selection, onReport: ({ parts }) => reports.push(parts) })(snapshot)());
  assert.equal(reports.length, 1);
  return [result, reports[0] as Parts];
}

/** The problems of a restore that must fail and change nothing, as "path kind". */
async function refused(live: object, selection: Selection, snapshot: Snapshot<unknown>): Promise<readonly string[]> {
  const onReport = (): never => assert.fail("a restore that failed was reported");
  const error = await allOrNothing(live, restoreInto(live, { ...selection, onReport })(snapshot));
  return (error as { readonly problems: readonly Problem[] }).problems.map(({ path, kind }) => `${path} ${kind}`)
    .sort();
}

function weightsOf(layer: tf.layers.Layer | undefined): string {
  return exact(layer?.getWeights());
}

const nothing: Parts = { restored: [], kept: [], skipped: [], renamed: [], converted: [] };

// --- components

/** Components that may be missing, kept or skipped. */
const names = ["a", "b", "c", "d", "e"] as const;

test("keep and skip: for random components, the named ones are reported, and all other differences are errors", () =>
  fc.assert(
    fc.asyncProperty(
      fc.subarray([...names]),
      fc.subarray([...names]),
      fc.subarray([...names]),
      fc.subarray([...names]),
      async (saved, lived, keep, skip) => {
        const make = (of: readonly string[], value: number): Record<string, tf.Variable> =>
          Object.fromEntries(of.map((name) => [name, tf.variable(tf.scalar(value))]));
        using snapshot = captureState(make(saved, 1));
        const live = make(lived, 2);
        const kept = keep.filter((name) => lived.includes(name));
        const skipped = skip.filter((name) => saved.includes(name) && !kept.includes(name));
        const selection = { keep: kept, skip: skipped };
        const wrong = [
          ...lived.filter((name) => !kept.includes(name) && (!saved.includes(name) || skipped.includes(name)))
            .map((name) => `${name} missing`),
          ...saved.filter((name) => !lived.includes(name) && !skipped.includes(name)).map((name) => `${name} extra`),
        ].sort();
        if (wrong.length > 0) assert.deepEqual(await refused(live, selection, snapshot), wrong);
        else {
          const [result, parts] = restored(live, selection, snapshot);
          for (const name of lived) {
            assert.equal(result[name], live[name]);
            assert.equal(live[name]?.dataSync()[0], kept.includes(name) ? 2 : 1);
          }
          assert.deepEqual(parts, {
            ...nothing,
            restored: lived.filter((name) => !kept.includes(name)),
            kept,
            skipped,
          });
        }
        tf.disposeVariables();
      },
    ),
    { numRuns: 25 * torture },
  ));

test("only: the named parts are restored, all others are kept, and the report lists both", async () => {
  const make = (seed: number): { rng: Rng.Rng; v: tf.Variable; t: tf.Tensor; step: number } => ({
    rng: Rng.make(seed),
    v: tf.variable(tf.scalar(seed)),
    t: tf.tensor1d([seed]),
    step: seed,
  });
  using snapshot = captureState({ ...make(1), old: 1 });
  const live = { ...make(2), best: 5 };
  const [result, parts] = restored(live, { only: ["v", "step"] }, snapshot);
  assert.deepEqual([result.v.dataSync()[0], result.step, result.best, result.t.dataSync()[0]], [1, 1, 5, 2]);
  assert.equal(result.v, live.v);
  assert.deepEqual(result.rng, Rng.make(2));
  assert.deepEqual(parts, {
    ...nothing,
    restored: ["v", "step"],
    kept: ["rng", "t", "best"],
    skipped: ["old"],
  });
  assert.deepEqual(await refused(live, { only: ["best"] }, snapshot), ["best missing"]);
});

test("report: without options, every component is listed as restored", () => {
  using snapshot = captureState({ step: 1, "a/b": 2 });
  assert.deepEqual(restored({ step: 0, "a/b": 0 }, {}, snapshot)[1], { ...nothing, restored: ["step", "a~1b"] });
});

test("options: a name that matches nothing is an error", async () => {
  using snapshot = captureState({ v: tf.variable(tf.scalar(1)), list: [1, 2], step: 1 });
  const live = { v: tf.variable(tf.scalar(2)), list: [3, 4], step: 0 };
  const selections: readonly (readonly [Selection, readonly string[]])[] = [
    [{ keep: ["list/7"] }, ["list/7 missing"]],
    [{ only: ["v", "list/x"] }, ["list/x missing"]],
    [{ skip: ["old"] }, ["old missing"]],
    [{ rename: { old: "v" } }, ["old missing"]],
    [{ rename: { v: "list/9" } }, ["list/9 missing"]],
    [{ convert: ["v"] }, ["v dtype"]],
    [{ convert: ["step/x"] }, ["step/x missing"]],
  ];
  for (const [selection, wrong] of selections) assert.deepEqual(await refused(live, selection, snapshot), wrong);
});

test("options: naming one part twice, by its name and by its path, is an error", async () => {
  const build = (...names: readonly string[]): tf.LayersModel =>
    tf.sequential({ layers: ["first", ...names].map((name) => dense({ units: 2, inputShape: [2], name })) });
  using snapshot = captureState({ model: build("a", "b") });
  const live = { model: build("x", "b") };
  const selections: readonly (readonly [Selection, readonly string[]])[] = [
    [{ only: ["model/layers/2"], keep: ["model/b"] }, ["model/layers/2 name"]],
    [{ rename: { "model/a": "model/x" }, keep: ["model/layers/1"] }, ["model/layers/1 name"]],
    [{ rename: { "model/a": "model/x" }, skip: ["model/layers/1"] }, ["model/layers/1 name"]],
    [
      { rename: { "model/a": "model/x", "model/b": "model/layers/1" }, keep: ["model/layers/2"] },
      ["model/layers/1 name"],
    ],
  ];
  for (const [selection, wrong] of selections) assert.deepEqual(await refused(live, selection, snapshot), wrong);
});

test("options: a layer whose name is also the path of another part must be named by its path", async () => {
  const build = (): tf.LayersModel => {
    const inner = tf.sequential({ layers: [dense({ units: 2, inputShape: [2], name: "a" })], name: "inner" });
    return tf.sequential({ layers: [inner, dense({ units: 2, name: "head" })] });
  };
  using snapshot = captureState({ model: build() });
  assert.deepEqual(await refused({ model: build() }, { keep: ["model/inner"] }, snapshot), ["model/inner name"]);
  for (
    const [name, path] of [["model/layers/0", "model/layers/0"], ["model/inner/a", "model/layers/0/layers/0"]] as const
  ) {
    const live = { model: build() };
    const kept = weightsOf(live.model.layers[0]);
    assert.deepEqual(restored(live, { keep: [name] }, snapshot)[1].kept, [path]);
    assert.equal(weightsOf(live.model.layers[0]), kept);
  }
});

test("options: a wrong option is a TypeError at once", () => {
  const live = { v: 1, w: 2 };
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ only: "v" }, /options\.only to be an array/],
    [{ keep: [1] }, /options\.keep\[0\]/],
    [{ skip: [""] }, /options\.skip\[0\]/],
    [{ keep: ["v", "v"] }, /each part once in options\.keep, found "v" twice/],
    [{ only: ["x"] }, /"x" to name a live component/],
    [{ keep: ["x/y"] }, /"x\/y" to name a live component/],
    [{ convert: ["x"] }, /"x" to name a live component/],
    [{ rename: { a: "x" } }, /"x" to name a live component/],
    [{ rename: ["a"] }, /options\.rename to be a record/],
    [{ rename: { a: "v", b: "v" } }, /each live name once in options\.rename, found "v" twice/],
    [{ rename: { a: 1 } }, /live names in options\.rename/],
    [{ only: ["v"], keep: ["v"] }, /only one of options\.only, options\.keep and options\.rename/],
    [{ keep: ["v"], rename: { a: "v" } }, /only one of options\.only, options\.keep and options\.rename/],
  ];
  for (const [given, message] of wrong) {
    const options = given as RestoreOptions;
    assert.throws(
      () => restoreInto(live, options),
      (error) => error instanceof TypeError && message.test(error.message),
    );
    assert.throws(() => loadState(memory(), options)(live), TypeError);
    assert.throws(() => resume(memory(), options)(live), TypeError);
  }
});

// --- a backbone into a new head

interface Classifier {
  readonly model: tf.LayersModel;
  readonly step: number;
}

const shapes: Readonly<Record<string, (classes: number, names: readonly [string, string]) => tf.LayersModel>> = {
  sequential: (units, [body, head]) =>
    tf.sequential({
      layers: [
        dense({ units: 4, inputShape: [3] }),
        dense({ units: 4, name: body }),
        dropout({ rate: 0 }),
        dense({ units, name: head }),
      ],
    }),
  functional: (units, [body, head]) => {
    const x = tf.input({ shape: [3] });
    const inner = dense({ units: 4, name: body }).apply(dense({ units: 4 }).apply(x)) as tf.SymbolicTensor;
    const sum = tf.layers.add().apply([inner, dense({ units: 4 }).apply(x) as tf.SymbolicTensor]);
    return tf.model({ inputs: x, outputs: dense({ units, name: head }).apply(sum) as tf.SymbolicTensor });
  },
  nested: (units, [body, head]) => {
    const layers = [dense({ units: 4, inputShape: [3] }), dense({ units: 4 })];
    return tf.sequential({ layers: [tf.sequential({ layers, name: body }), dense({ units, name: head })] });
  },
};

/** Trains a classifier for one step of its own optimizer, and returns the loss. */
async function fit(model: tf.LayersModel): Promise<number> {
  const [x, y] = [tf.linspace(-1, 1, 6).reshape([2, 3]), tf.ones([2, model.outputShape[1] as number])];
  const loss = await model.trainOnBatch(x, y) as number;
  tf.dispose([x, y]);
  return loss;
}

function compiled(model: tf.LayersModel): tf.LayersModel {
  model.compile({ optimizer: "adam", loss: "meanSquaredError" });
  return model;
}

function variablesOf(model: tf.LayersModel): tf.Variable[] {
  return model.trainableWeights.map((weight) => weight.read() as tf.Variable);
}

for (const [shape, build] of Object.entries(shapes)) {
  describe(`a ${shape} model`, () => {
    test("transfer learning: the backbone has the saved bits, the head and the optimizer are new, and training continues", async () => {
      const model = compiled(build(10, ["body", "head"]));
      await fit(model);
      using snapshot = captureState({ model, step: 1 });
      const live: Classifier = { model: compiled(build(3, ["body", "head"])), step: 0 };
      const head = weightsOf(live.model.layers.at(-1));
      const at = `model/layers/${live.model.layers.length - 1}`;

      assert.ok((await refused(live, {}, snapshot)).includes(`${at}/weights/kernel shape`));
      // The slots of the saved optimizer belong to weights that are not restored.
      const only = await refused(live, { keep: ["model/head"] }, snapshot);
      assert.deepEqual(only, ["model/compile/optimizer sharing"]);

      const [{ model: result }, parts] = restored(live, { keep: ["model/head", "model/compile"] }, snapshot);
      assert.equal(result, live.model);
      for (const [i, layer] of model.layers.slice(0, -1).entries()) {
        assert.equal(weightsOf(result.layers[i]), weightsOf(layer));
      }
      assert.equal(weightsOf(result.layers.at(-1)), head);
      const kept = [at, "model/compile"];
      assert.deepEqual(parts, { ...nothing, restored: ["model", "step"], kept });
      const [first, second] = [await fit(result), await fit(result)];
      assert.ok(Number.isFinite(first) && second < first);
    });

    test("only: the layers of a backbone, into a model with more layers on top", () => {
      const model = build(10, ["body", "head"]);
      using snapshot = captureState({ model });
      const live = { model: build(3, ["body", "other"]) };
      const rest = live.model.layers.map(weightsOf);
      restored(live, { only: ["model/body"] }, snapshot);
      const at = live.model.layers.findIndex(({ name }) => name === "body");
      assert.deepEqual(live.model.layers.map(weightsOf), rest.with(at, weightsOf(model.layers[at])));
    });

    test("rename: layers by name, and by position", async () => {
      const model = compiled(build(2, ["body", "head"]));
      await fit(model);
      using snapshot = captureState({ net: model, step: 1 });
      const live = { model: compiled(build(2, ["trunk", "top"])), step: 0 };
      const places = ["body", "head"].map((name) => model.layers.findIndex((layer) => layer.name === name));
      const rename = { net: "model", "net/body": "model/trunk", [`net/layers/${places[1]}`]: "model/top" };
      const some = await refused(live, { rename: { net: "model", "net/body": "model/trunk" } }, snapshot);
      assert.deepEqual(
        some.filter((problem) => !problem.startsWith("model/compile/trained/")),
        [`model/layers/${places[1]} missing`, `net/layers/${places[1]} extra`],
      );
      const [result, parts] = restored(live, { rename }, snapshot);
      assert.deepEqual(parts, {
        ...nothing,
        restored: ["model", "step"],
        renamed: [
          { from: "net", to: "model" },
          ...places.map((i) => ({ from: `net/layers/${i}`, to: `model/layers/${i}` })),
        ],
      });
      // The same network with other names continues with the same bits.
      assert.deepEqual(await fit(result.model), await fit(model));
      assert.deepEqual(result.model.layers.map(weightsOf), model.layers.map(weightsOf));
    });
  });
}

test("keep: unnamed layers are matched in their order around a kept one", () => {
  const build = (units: number, added: boolean): { model: tf.LayersModel } => ({
    model: tf.sequential({
      layers: [
        dense({ units: 4, inputShape: [4] }),
        ...(added ? [dense({ units: 4 })] : []),
        dense({ units: 4 }),
        dense({ units }),
      ],
    }),
  });
  const saved = build(2, false);
  using snapshot = captureState(saved);
  const bits = saved.model.layers.map(weightsOf);
  // A replaced head.
  const live = build(3, false);
  const head = weightsOf(live.model.layers[2]);
  restored(live, { keep: ["model/layers/2"] }, snapshot);
  assert.deepEqual(live.model.layers.map(weightsOf), [bits[0], bits[1], head]);
  // An added head.
  const more = build(2, true);
  const fresh = weightsOf(more.model.layers[1]);
  restored(more, { keep: ["model/layers/1"] }, snapshot);
  assert.deepEqual(more.model.layers.map(weightsOf), [bits[0], fresh, bits[1], bits[2]]);
});

test("nothing silent: restored layers that are connected in another way are an error, whatever else is kept", async () => {
  const build = (crossed: boolean, units: number): { model: tf.LayersModel } => {
    const [x, y] = [tf.input({ shape: [3] }), tf.input({ shape: [3] })];
    const [a, b] = [dense({ units: 3, name: "a" }), dense({ units: 3, name: "b" })];
    const [one, two] = crossed ? [y, x] : [x, y];
    const both = tf.layers.concatenate({ name: "both" }).apply([
      a.apply(one) as tf.SymbolicTensor,
      b.apply(two) as tf.SymbolicTensor,
    ]) as tf.SymbolicTensor;
    const extra = units === 3 ? dense({ units: 6, name: "extra" }).apply(both) : both;
    const outputs = dense({ units, name: "head" }).apply(extra) as tf.SymbolicTensor;
    return { model: tf.model({ inputs: [x, y], outputs }) };
  };
  const saved = build(false, 2);
  using snapshot = captureState(saved);
  const keep = ["model/head", "model/extra"];
  restored(build(false, 3), { keep }, snapshot);
  assert.deepEqual(await refused(build(true, 3), { keep }, snapshot), ["model/graph config"]);
});

// --- optimizers

/** A model, and an optimizer that is a separate component. */
function trained(units: number, rate: number, make: (rate: number) => tf.Optimizer): Pair {
  const model = tf.sequential({
    layers: [dense({ units: 3, inputShape: [3], name: "body" }), dense({ units, name: "head" })],
  });
  return step({ model, optimizer: make(rate) });
}

interface Pair {
  readonly model: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
}

function step<S extends Pair>(state: S): S {
  const { model, optimizer } = state;
  tf.tidy(() => {
    const loss = (): tf.Scalar => (model.apply(tf.ones([2, 3])) as tf.Tensor).square().mean();
    optimizer.minimize(loss, false, variablesOf(model));
  });
  return state;
}

const optimizers: Readonly<Record<string, (rate: number) => tf.Optimizer>> = {
  sgd: tf.train.sgd,
  momentum: (rate) => tf.train.momentum(rate, 0.9),
  adagrad: tf.train.adagrad,
  adadelta: tf.train.adadelta,
  adam: tf.train.adam,
  adamax: tf.train.adamax,
  rmsprop: tf.train.rmsprop,
};

for (const [name, make] of Object.entries(optimizers)) {
  test(`keep: ${name} is restored except its learning rate, and trains with the live one`, async () => {
    const saved = trained(1, 0.1, make);
    using snapshot = captureState(saved);
    const live = trained(1, 0.01, make);
    restored(live, { keep: ["optimizer/learningRate"] }, snapshot);
    // The same as changing the rate after a whole restore.
    const other = trained(1, 0.1, make);
    right(restoreInto(other)(snapshot)());
    const fields = other.optimizer as unknown as { setLearningRate?: (rate: number) => void; learningRate: number };
    fields.learningRate = 0.01;
    fields.setLearningRate?.(0.01);
    assert.equal(await idOf(step(live)), await idOf(step(other)));
    assert.notEqual(await idOf(live), await idOf(step(saved)));
  });
}

test("keep: an optimizer whose variables have changed is an error unless it is kept", async () => {
  using snapshot = captureState(trained(10, 0.1, tf.train.adam));
  const live = { ...trained(3, 0.1, tf.train.adam), optimizer: tf.train.adam(0.1) };
  assert.deepEqual(await refused(live, { keep: ["model/head"] }, snapshot), ["optimizer sharing"]);
  const [result] = restored(live, { keep: ["model/head", "optimizer"] }, snapshot);
  step(result);
  // A new head of the same shape counts as changed, and so does a model with one layer less.
  assert.deepEqual(await refused(trained(10, 0.1, tf.train.adam), { keep: ["model/head"] }, snapshot), [
    "optimizer sharing",
  ]);
  const less = { ...live, model: tf.sequential({ layers: [dense({ units: 3, inputShape: [3], name: "body" })] }) };
  assert.deepEqual(await refused(less, { skip: ["model/head"] }, snapshot), ["optimizer sharing"]);
});

test("only: an optimizer alone, or one of two models with its optimizer", async () => {
  const make = (): object => {
    const [a, b] = [trained(1, 0.1, tf.train.adam), trained(2, 0.1, tf.train.adam)];
    return { a: a.model, b: b.model, adamA: a.optimizer, adamB: b.optimizer, rng: Rng.make("one") };
  };
  const saved = make();
  using snapshot = captureState(saved);
  for (const only of [["adamA"], ["a", "adamA"], ["b", "adamB", "rng"]]) {
    const live = make();
    using earlier = captureState(live);
    const [, parts] = restored(live, { only }, snapshot);
    assert.deepEqual(parts.restored, Object.keys(live).filter((name) => only.includes(name)));
    const part = (state: object, of: readonly string[]): object =>
      Object.fromEntries(Object.entries(state).filter(([name]) => of.includes(name)));
    assert.equal(await idOf(part(live, only)), await idOf(part(saved, only)));
    // The kept parts are unchanged.
    const [again] = [make()];
    right(restoreInto(again)(earlier)());
    assert.equal(await idOf(part(live, parts.kept)), await idOf(part(again, parts.kept)));
  }
});

// --- objects shared by restored and kept parts

test("sharing: one object cannot be both restored and kept", async () => {
  const make = (): { optimizer: tf.Optimizer; model: tf.LayersModel } => {
    const model = compiled(tf.sequential({ layers: [dense({ units: 1, inputShape: [3] })] }));
    return { optimizer: model.optimizer, model };
  };
  const saved = make();
  await fit(saved.model);
  using snapshot = captureState(saved);
  using reversed = captureState({ model: saved.model, optimizer: saved.optimizer });
  for (const each of [snapshot, reversed]) {
    assert.deepEqual(await refused(make(), { keep: ["optimizer"] }, each), ["model/compile/optimizer sharing"]);
    const { model, optimizer } = make();
    assert.deepEqual(await refused({ model, optimizer }, { only: ["model"] }, each), ["optimizer sharing"]);
    restored(make(), { only: ["model", "optimizer"] }, each);
    restored(make(), { keep: ["optimizer", "model/compile"] }, each);
  }
  // The live side has two models; the saved one is restored into the named one.
  const { model } = make();
  const [result] = restored({ model, optimizer: tf.train.adam(1) }, { only: ["model"] }, snapshot);
  assert.equal(await idOf({ model: result.model }), await idOf({ model: saved.model }));
});

test("sharing: a model is restored although the saved model that shares its layers is skipped", () => {
  const body = dense({ units: 2, inputShape: [3] });
  const generator = tf.sequential({ layers: [body] });
  const both = tf.sequential({ layers: [generator, dense({ units: 1 })] });
  using snapshot = captureState({ both, generator, v: tf.variable(tf.scalar(1)) });
  const live = { generator: tf.sequential({ layers: [dense({ units: 2, inputShape: [3] })] }) };
  const [, parts] = restored(live, { only: ["generator"] }, snapshot);
  assert.deepEqual(parts, { ...nothing, restored: ["generator"], skipped: ["both", "v"] });
  assert.equal(weightsOf(live.generator.layers[0]), weightsOf(body));
  restored(live, { skip: ["both", "v"] }, snapshot);
});

test("sharing: restored parts share the same objects in any order of their names", async () => {
  const w = tf.variable(tf.scalar(1));
  using snapshot = captureState({ a: w, b: [w], c: 0 });
  const v = tf.variable(tf.scalar(2));
  const [result] = restored({ b: [v], x: 1, a: v }, { keep: ["x"], skip: ["c"] }, snapshot);
  assert.equal(result.b[0], result.a);
  assert.equal(v.dataSync()[0], 1);
  const [x, y] = [tf.variable(tf.scalar(2)), tf.variable(tf.scalar(2))];
  assert.deepEqual(await refused({ b: [x], a: y }, { skip: ["c"] }, snapshot), ["a sharing"]);
});

// --- other dtypes

test("convert: values that the other dtype can represent are converted, others are errors", () =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom("float32", "int32", "bool"),
      fc.constantFrom("float32", "int32", "bool"),
      fc.array(fc.constantFrom(0, -0, 1, 2, -7, 0.5, 2 ** 24, 2 ** 24 + 1, 2 ** 31, NaN, Infinity), { maxLength: 3 }),
      async (from, to, numbers) => {
        const make = (values: readonly number[], dtype: string): { v: tf.Variable; list: tf.Tensor[] } => {
          const tensor = tf.tensor1d([...values], dtype as "int32");
          return { v: tf.variable(tensor), list: [tensor] };
        };
        const saved = make(numbers, from);
        using snapshot = captureState(saved);
        const live = make(numbers.map(() => 0), to);
        const values = [...saved.v.dataSync()];
        const holds = (n: number): boolean =>
          to === "float32" ? Object.is(Math.fround(n), n) : Object.is(n | 0, n) && (to === "int32" || n >>> 0 < 2);
        if (from === to) {
          assert.deepEqual(await refused(live, { convert: ["v"] }, snapshot), ["v dtype"]);
        } else if (values.every(holds)) {
          assert.deepEqual(await refused(live, { convert: ["v"] }, snapshot), ["list/0 dtype"]);
          const [result, parts] = restored(live, { convert: ["v", "list"] }, snapshot);
          assert.deepEqual(parts.converted, ["v/value", "list/0"].map((path) => ({ path, from, to })));
          for (const tensor of [result.v, result.list[0]!]) {
            assert.equal(tensor.dtype, to);
            assert.deepEqual([...tensor.dataSync()], values);
          }
        } else {
          const wrong = await refused(live, { convert: ["v", "list"] }, snapshot);
          assert.deepEqual(wrong, ["list/0 value", "v/value value"]);
        }
        tf.disposeVariables();
      },
    ),
    {
      numRuns: 30 * torture,
      examples: [["int32", "bool", [2]], ["float32", "bool", [2]], ["int32", "float32", [2 ** 24 + 1]], [
        "float32",
        "int32",
        [-0],
      ]],
    },
  ));

// --- configuration, names and plain data

test("keep: every path in an error message can be kept", async () => {
  const make = (rate: number, name: string, history: readonly number[]): object => ({
    model: tf.sequential({ layers: [dropout({ rate, inputShape: [2] }), dense({ units: 1, name: "d" })], name }),
    notes: { history, seen: history.length },
  });
  const saved = make(0.5, "one", [1, 2, 3]);
  using snapshot = captureState(saved);
  const live = make(0.25, "two", []);
  assert.deepEqual(await refused(live, {}, snapshot), ["model name", "model/layers/0/config/rate config"]);
  const keep = ["model/name", "model/layers/0/config/rate", "notes/seen"];
  const [result, parts] = restored(live, { keep }, snapshot);
  assert.deepEqual(parts, { ...nothing, restored: ["model", "notes"], kept: keep });
  assert.deepEqual((result as { notes: unknown }).notes, { history: [1, 2, 3], seen: 0 });
});

test("nothing silent: all differences next to kept parts are listed", async () => {
  const make = (units: number, seen: unknown): object => ({
    model: tf.sequential({ layers: [dense({ units, inputShape: [2], name: "a" }), dense({ units: 1, name: "b" })] }),
    cursor: Loader.start(Loader.fromArray([1, 2, units])),
    seen,
    v: tf.variable(tf.zeros([units])),
  });
  using snapshot = captureState(make(2, 1));
  assert.deepEqual(await refused(make(3, "1"), { keep: ["model/b"] }, snapshot), [
    "cursor/fingerprint data",
    "model/layers/0/config/units config",
    "model/layers/0/weights/bias shape",
    "model/layers/0/weights/kernel shape",
    "seen kind",
    "v shape",
  ]);
});

test("nothing silent: live components that cannot be captured are a left, not an exception", () => {
  using snapshot = captureState({ step: 1 });
  const live: object = { step: 0, callback: () => {} };
  assert.match(explain(left(restoreInto(live, { keep: ["callback"] })(snapshot)())), /callback.*a function/);
});

test("only: an item of a list by its position", () => {
  const make = (values: readonly number[]): object => ({ list: values.map((value) => tf.variable(tf.scalar(value))) });
  using snapshot = captureState(make([1, 2]));
  const live = make([3, 4]);
  const [, parts] = restored(live, { only: ["list/1"] }, snapshot);
  assert.equal(exact(live), exact(make([3, 2])));
  assert.deepEqual(parts, { ...nothing, restored: ["list/1"], kept: ["list/0"] });
  using more = captureState({ list: [tf.variable(tf.scalar(5), true, "mine"), tf.variable(tf.scalar(6))] });
  tf.disposeVariables();
  const named = { list: [tf.variable(tf.scalar(7), true, "mine")] };
  assert.deepEqual(restored(named, { only: ["list/0"] }, more)[1], {
    ...nothing,
    restored: ["list/0"],
    skipped: ["list/1"],
  });
});

test("order: restored variables get the creation order of the saved ones, by which optimizers find their slots", async () => {
  const make = (order: readonly string[]): Record<string, tf.Variable> =>
    Object.fromEntries(order.map((name, i) => [name, tf.variable(tf.scalar(i + 1))]));
  const train = (state: object): tf.Scalar => {
    const { a, b, adam } = state as { a: tf.Variable; b: tf.Variable; adam: tf.Optimizer };
    return adam.minimize(() => a.square().add(b.mul(3)).asScalar(), true) as tf.Scalar;
  };
  tf.disposeVariables();
  const saved = { ...make(["b", "a"]), adam: tf.train.adam(0.1) };
  train(saved);
  using snapshot = captureState(saved);
  train(saved);
  const end = await idOf(saved);
  tf.disposeVariables();
  const live = { ...make(["a", "b"]), adam: tf.train.adam(0.1), best: 0 };
  const [result] = restored(live, { keep: ["best"] }, snapshot);
  train(result);
  const { best: _best, ...rest } = result;
  assert.equal(await idOf(rest), end);
});

// --- leaks, stores, runtimes

test("no trace: a partial restore creates no tensors except those of its result", async () => {
  const live = trained(3, 0.1, tf.train.adam);
  using snapshot = captureState(trained(10, 0.1, tf.train.adam));
  const digest = await id(snapshot)();
  const options = { keep: ["model/head", "optimizer"] };
  // From here on the live model and the snapshot share data.
  restored(live, options, snapshot);
  const before = tf.memory();
  for (let i = 0; i < 3; i++) restored(live, options, snapshot);
  assert.deepEqual(tf.memory(), before);
  const [all, head] = [live.model.weights.length, live.model.layers[1]!.weights.length];
  live.model.dispose();
  const later = tf.memory();
  assert.equal(before.numTensors - later.numTensors, all);
  // The snapshot still holds the data of the body, and nothing holds that of the head.
  assert.equal(before.numDataBuffers - later.numDataBuffers, head);
  assert.equal(await id(snapshot)(), digest);
});

test("loadState and resume: partial restores from a store are reported; an empty store needs no options", async () => {
  const folder = await mkdtemp(join(tmpdir(), "dogear-selection-"));
  try {
    for (const store of [memory(), directory(folder)]) {
      const fresh = { step: 0, best: 1, v: tf.variable(tf.scalar(0)) };
      const options = { keep: ["best"], rename: { w: "v" } };
      assert.equal(await runOrThrow(resume(store, options)(fresh)), fresh);
      await runOrThrow(saveState(store)({ step: 7, w: tf.variable(tf.scalar(3)) }));
      await assert.rejects(
        runOrThrow(resume(store)(fresh)),
        /best: in your script but not.*\n.*w: in the checkpoint but not/s,
      );
      for (const load of [loadState, resume]) {
        const reports: Parts[] = [];
        const { v, ...rest } = await runOrThrow(
          load(store, { ...options, onReport: ({ parts }) => reports.push(parts) })({ ...fresh }),
        );
        assert.deepEqual([v.dataSync()[0], rest], [3, { step: 7, best: 1 }]);
        assert.deepEqual(reports, [{
          ...nothing,
          restored: ["step", "v"],
          kept: ["best"],
          renamed: [{ from: "w", to: "v" }],
        }]);
      }
      await runOrThrow(readSnapshot(store, { onReport: ({ parts }) => assert.deepEqual(parts, nothing) }));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("both runtimes: a checkpoint saved in one is partially restored in the other with the same bits", async () => {
  const folder = await mkdtemp(join(tmpdir(), "dogear-selection-"));
  try {
    await run(there, "backbone.ts", [folder, "save"]);
    const ids = await Promise.all(
      [here, there].map(async (runtime) => await run(runtime, "backbone.ts", [folder, "load"])),
    );
    assert.deepEqual(ids[0], ids[1]);
    assert.match(ids[0]![0] ?? "", /^[0-9a-f]{64}$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
