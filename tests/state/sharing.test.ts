/**
 * Sharing: one object under several names is restored as one object. If that is impossible it is an error; it never becomes two copies.
 */

import { captureState, diff, id, memory, restoreInto, restoreState, Rng } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import {
  allOrNothing,
  canonical,
  exact,
  idOf,
  left,
  right,
  roundTrip,
  type Subject,
  throughStore,
} from "../support/laws.ts";
import { probeModels, sharing, small, trainModels, variableOf } from "../support/samples.ts";
import { triedHere } from "../support/torture.ts";

before(async () => void await tf.setBackend("cpu"));

const { dense, timeDistributed } = tf.layers;

type State = Readonly<Record<string, unknown>>;

function permutations(items: readonly string[]): readonly (readonly string[])[] {
  if (items.length < 2) return [items];
  return items.flatMap((item) => permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]));
}

/** The sharing of objects as text: for each place the first place of its object. */
function shares(state: State): readonly string[] {
  const first = new Map<unknown, string>();
  const places: string[] = [];
  const visit = (value: unknown, place: string): void => {
    if (typeof value !== "object" || value === null) return;
    places.push(`${place} is ${first.get(value) ?? place}`);
    if (first.has(value)) return;
    first.set(value, place);
    if (value instanceof tf.LayersModel) {
      value.layers.forEach((layer, i) => visit(layer, `${place}/layers/${i}`));
      visit(value.optimizer, `${place}/optimizer`);
    } else if (value instanceof tf.layers.Layer) {
      value.weights.map(variableOf).forEach((variable, i) => visit(variable, `${place}/weights/${i}`));
    } else if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) {
      Object.entries(value).forEach(([name, part]) => visit(part, `${place}/${name}`));
    }
  };
  visit(state, "");
  return places;
}

/** Law *round trip*: whatever is shared is shared again, afresh, in live components and through a store. */
async function keepsSharing(subject: Subject): Promise<void> {
  await roundTrip(subject);
  await canonical(subject);
  await throughStore(memory(), subject);
  const state = subject.make();
  using snapshot = captureState(state);
  assert.deepEqual(shares(right(restoreState(snapshot)) as State), shares(state as State));
  assert.deepEqual(shares(right(restoreInto(subject.make())(snapshot)()) as State), shares(state as State));
}

/** The problems of a restore, each as its path and kind. */
function problemsOf(error: unknown): readonly string[] {
  const { problems } = error as { readonly problems: readonly { readonly path: string; readonly kind: string }[] };
  return problems.map(({ path, kind }) => `${path} ${kind}`);
}

// --- what stays shared

for (const order of triedHere(permutations(["first", "second", "layer", "kernel"]))) {
  test(`round trip: two models that share a layer: ${order.join(", ")}`, () =>
    keepsSharing({ make: () => sharing(order), train: trainModels, probe: probeModels }));
}

for (const order of triedHere(permutations(["first", "kernel", "optimizer"]))) {
  test(`round trip: a compiled model, a weight of it and its optimizer: ${order.join(", ")}`, () =>
    keepsSharing({ make: () => sharing(order), train: trainModels, probe: probeModels }));
}

test("round trip: two layers that share a weight", () =>
  keepsSharing({
    make: () => {
      const model = tf.sequential({ layers: [dense({ units: 2, inputShape: [2] }), dense({ units: 2 })] });
      const [a, b] = model.layers.map((layer) => layer as unknown as { readonly kernel: { val: tf.Variable } });
      b?.kernel.val.dispose();
      Object.assign(b?.kernel ?? {}, { val: a?.kernel.val });
      return { model };
    },
    train: trainModels,
    probe: probeModels,
  }));

test("round trip: variables and tensors under several names", () =>
  keepsSharing({
    make: () => {
      const [variable, tensor] = [tf.variable(tf.tensor([1, 2])), tf.tensor([3, 4])];
      return { a: variable, list: [variable, tensor, { tensor }], b: tensor };
    },
    train: ({ a }: { readonly a: tf.Variable }) => tf.tidy(() => a.assign(a.add(1))),
  }));

test("round trip: plain data under several names, with and without tensors in it", () =>
  keepsSharing({
    make: () => {
      const [list, bytes, record] = [[1, { two: 2 }], new Float64Array([1, NaN]), { v: tf.variable(tf.scalar(1)) }];
      return { list, again: [list, bytes], bytes, record, holder: { record } };
    },
    train: ({ record }: { readonly record: { readonly v: tf.Variable } }) => {
      tf.tidy(() => record.v.assign(record.v.add(1)));
    },
  }));

test("round trip: data that shares parts so often that its expanded tree would be too large", async () => {
  let data: unknown = [tf.variable(tf.scalar(1)), 1];
  for (let i = 0; i < 100; i++) data = i % 2 === 0 ? [data, data] : { a: data, b: data };
  using snapshot = captureState({ data });
  const again = right(restoreState(snapshot)) as object;
  assert.equal(await idOf(again), await id(snapshot)());
  assert.deepEqual(await diff(snapshot, captureState(again))(), []);
  right(restoreInto({ data })(snapshot)());
});

// --- what is no state

test("canonical: the identity of plain data is not state, the identity of trained objects is", async () => {
  const list = [1, { a: 2 }];
  const apart = { a: [1, { a: 2 }], b: { c: [1, { a: 2 }] } };
  assert.equal(await idOf({ a: list, b: { c: list } }), await idOf(apart));
  assert.deepEqual(await diff(captureState({ a: list, b: { c: list } }), captureState(apart))(), []);

  const [rng, equal] = [Rng.make(1), Rng.make(1)];
  assert.equal(await idOf({ a: rng, b: rng }), await idOf({ a: rng, b: equal }));

  const one = (): tf.Variable => tf.variable(tf.scalar(1));
  const v = one();
  const record = { v };
  assert.equal(await idOf({ a: record, b: record }), await idOf({ a: record, b: { v } }));
  const [shared, separate] = [captureState({ a: v, b: v }), captureState({ a: one(), b: one() })];
  assert.notEqual(await id(shared)(), await id(separate)());
  assert.deepEqual(await diff(shared, separate)(), [
    { path: "b", kind: "value", left: "shared with a", right: "Variable" },
  ]);
  assert.deepEqual(await diff(separate, shared)(), [
    { path: "b", kind: "value", left: "Variable", right: "shared with a" },
  ]);
});

test("canonical: a difference in sharing is reported once at each path that differs", async () => {
  const [v, w] = [tf.variable(tf.scalar(1)), tf.variable(tf.scalar(1))];
  const found = await diff(captureState({ a: v, b: w, c: v, d: w }), captureState({ a: v, b: w, c: w, d: w }))();
  assert.deepEqual(found, [{ path: "c", kind: "value", left: "shared with a", right: "shared with b" }]);
});

// --- live components that share otherwise

const adam = (): tf.Optimizer => tf.train.adam(0.01);

function compiledSmall(optimizer: tf.Optimizer): tf.LayersModel {
  const model = small();
  model.compile({ optimizer, loss: "meanSquaredError" });
  return model;
}

function modelAndOptimizer(own: boolean): object {
  const model = compiledSmall(adam());
  return { model, optimizer: own ? adam() : model.optimizer };
}

function overSteps(layer: tf.layers.Layer): tf.LayersModel {
  return tf.sequential({ layers: [timeDistributed({ layer, inputShape: [3, 2] })] });
}

const variable = (): tf.Variable => tf.variable(tf.scalar(Math.random()));

/** Components that share, the same that do not, and the place of the difference. */
const pairs: Readonly<Record<string, readonly [shared: () => object, apart: () => object, place: string]>> = {
  "a variable": [
    () => {
      const v = variable();
      return { a: v, b: v };
    },
    () => ({ a: variable(), b: variable() }),
    "b",
  ],
  "a list of variables": [
    () => {
      const list = [variable()];
      return { a: list, b: list };
    },
    () => ({ a: [variable()], b: [variable()] }),
    "b",
  ],
  "an optimizer": [() => modelAndOptimizer(false), () => modelAndOptimizer(true), "optimizer"],
  "a layer of two models": [
    () => sharing(["first", "second"]),
    () => ({ ...sharing(["first"]), ...sharing(["second"]) }),
    "second/layers/1",
  ],
  "a layer in two wrappers": [
    () => {
      const layer = dense({ units: 2 });
      return { a: overSteps(layer), b: overSteps(layer) };
    },
    () => ({ a: overSteps(dense({ units: 2 })), b: overSteps(dense({ units: 2 })) }),
    "b/layers/0/layers/layer",
  ],
};

for (const [name, [shared, apart, place]] of Object.entries(pairs)) {
  describe(`nothing silent: ${name}`, () => {
    for (
      const [how, saved, lives] of [["in the snapshot alone", shared, apart], ["live alone", apart, shared]] as const
    ) {
      test(`shared ${how}`, async () => {
        using snapshot = captureState(saved());
        const live = lives();
        const error = await allOrNothing(live, restoreInto(live)(snapshot));
        assert.ok(problemsOf(error).every((problem) => problem.startsWith(place) && problem.endsWith(" sharing")));
      });
    }
  });
}

test("nothing silent: data that the snapshot shares is checked at each of its live paths", () => {
  const list = [1, 2];
  using snapshot = captureState({ a: list, b: { c: list }, d: list });
  const live = { a: [0], b: { c: "text" }, d: { e: tf.variable(tf.scalar(1)) } };
  assert.deepEqual(problemsOf(left(restoreInto(live)(snapshot)())), ["b/c kind", "d sharing"]);
});

// --- what cannot be rebuilt shared

/** A layer in a wrapper that is shared with something outside it. */
const inWrappers: Readonly<Record<string, () => object>> = {
  "a layer of a model": () => {
    const [layer, x] = [dense({ units: 2 }), tf.input({ shape: [2] })];
    const steps = overSteps(layer);
    return { steps, model: tf.model({ inputs: x, outputs: layer.apply(x) as tf.SymbolicTensor }) };
  },
  "a layer of a model, before it": () => {
    const [layer, x] = [dense({ units: 2 }), tf.input({ shape: [2] })];
    const model = tf.model({ inputs: x, outputs: layer.apply(x) as tf.SymbolicTensor });
    return { model, steps: overSteps(layer) };
  },
  "a layer by itself, before it": () => {
    const layer = dense({ units: 2 });
    const steps = overSteps(layer);
    return { layer, steps };
  },
  "a model, before it": () => {
    const model = small();
    return { model, steps: overSteps(model) };
  },
  "a layer of another wrapper": () => {
    const layer = dense({ units: 2 });
    return { a: overSteps(layer), b: overSteps(layer) };
  },
};

for (const [name, make] of Object.entries(inWrappers)) {
  test(`nothing silent: a wrapper's layer that is ${name} is an error in a fresh restore, and is restored into live objects`, async () => {
    const state = make();
    using snapshot = captureState(state);
    const { numTensors } = tf.memory();
    const problems = problemsOf(left(restoreState(snapshot)));
    assert.ok(problems.some((problem) => problem.endsWith(" sharing")), problems.join());
    assert.equal(tf.memory().numTensors, numTensors);
    const live = make();
    assert.equal(await idOf(right(restoreInto(live)(snapshot)()) as object), await id(snapshot)());
    assert.equal(await idOf(live), await id(snapshot)());
  });
}

for (
  const [name, pick] of Object.entries({
    "its layer by itself": (layer: tf.layers.Layer) => ({ layer }),
    "a weight of it": (layer: tf.layers.Layer) => ({ kernel: variableOf(layer.weights[0] as tf.LayerVariable) }),
  })
) {
  for (const after of [true, false]) {
    if (name === "its layer by itself" && !after) continue;
    test(`round trip: a wrapper and, ${after ? "after" : "before"} it, ${name}`, () =>
      keepsSharing({
        make: () => {
          const layer = dense({ units: 2 });
          const steps = overSteps(layer);
          return after ? { steps, ...pick(layer) } : { ...pick(layer), steps };
        },
        train: trainModels,
        probe: probeModels,
      }));
  }
}

test("nothing silent: a layer that was never called is an error that says so", () => {
  using snapshot = captureState({ layer: small().layers[0] as tf.layers.Layer });
  assert.deepEqual(problemsOf(left(restoreState(snapshot))), ["layer missing"]);
  const live = { layer: dense({ units: 3, inputShape: [2], activation: "relu" }) };
  assert.deepEqual(problemsOf(left(restoreInto(live)(snapshot)())), ["layer config"]);
  assert.equal(
    exact(right(restoreInto({ layer: small().layers[0] as tf.layers.Layer })(snapshot)())),
    '{"layer":Dense}',
  );
});
