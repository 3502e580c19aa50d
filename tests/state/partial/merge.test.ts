/**
 * Order in partial restores: parts on both sides must be in the same order, whatever else is kept, skipped, renamed or converted.
 *
 * @module
 */
import { captureState, type Problem, restoreInto, type Selection, type Snapshot } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { allOrNothing, idOf, right } from "../../support/laws.ts";
import { torture } from "../../support/torture.ts";

const { dense } = tf.layers;

before(async () => void await tf.setBackend("cpu"));

/** The problems of a restore that must fail and change nothing, as "path kind". */
async function refused(live: object, selection: Selection, snapshot: Snapshot<unknown>): Promise<readonly string[]> {
  const error = await allOrNothing(live, restoreInto(live, selection)(snapshot));
  return (error as { readonly problems: readonly Problem[] }).problems.map(({ path, kind }) => `${path} ${kind}`)
    .sort();
}

// --- random models

/** A call of a layer in a model: its name, and the layers or the input that it is called on. */
interface Called {
  readonly name: string;
  readonly on: readonly string[];
  /** The name of the layer that adds several inputs. */
  readonly sum?: string;
}

/** All layers have one class, configuration and shape, so that they differ only by their order. */
function layerNamed(name: string): tf.layers.Layer {
  return dense({ units: 2, inputShape: [2], name });
}

const shapes: Readonly<Record<string, (layers: readonly Called[]) => object>> = {
  sequential: (layers) => tf.sequential({ layers: layers.map(({ name }) => layerNamed(name)) }),
  chain: (layers) => {
    const x = tf.input({ shape: [2] });
    const outputs = layers.reduce((at, { name }) => layerNamed(name).apply(at) as tf.SymbolicTensor, x);
    return tf.model({ inputs: x, outputs });
  },
  graph: (layers) => {
    const x = tf.input({ shape: [2] });
    const made = new Map<string, tf.SymbolicTensor>();
    for (const { name, on, sum = "" } of layers) {
      const inputs = on.map((other) => made.get(other) ?? x);
      const input = inputs.length > 1
        ? tf.layers.add({ name: sum }).apply(inputs) as tf.SymbolicTensor
        : inputs[0] ?? x;
      made.set(name, layerNamed(name).apply(input) as tf.SymbolicTensor);
    }
    const used = new Set(layers.flatMap(({ on }) => on));
    return tf.model({ inputs: x, outputs: layers.flatMap(({ name }) => used.has(name) ? [] : made.get(name) ?? []) });
  },
  nested: (layers) =>
    tf.sequential({
      layers: [dense({ units: 2, inputShape: [2] }), shapes["sequential"]?.(layers) as tf.Sequential],
    }),
  records: (layers) => layers.map(({ name }, i) => ({ name, w: tf.variable(tf.scalar(i)), rate: i })),
};

/** The prefix of layer names in options, where it is not `model/`. */
const within: Readonly<Record<string, string>> = { nested: "model/layers/1/" };

/** Inserts a layer after another one. */
function inserted(layers: readonly Called[], name: string, at: number): readonly Called[] {
  const before = layers[at]?.name ?? "";
  const moved = (on: readonly string[]): readonly string[] => on.map((other) => other === before ? name : other);
  return [
    ...layers.slice(0, at + 1),
    { name, on: [before] },
    ...layers.slice(at + 1).map((layer) => ({ ...layer, on: moved(layer.on) })),
  ];
}

function renamed(layers: readonly Called[], names: Readonly<Record<string, string>>): readonly Called[] {
  const to = (name: string): string => names[name] ?? name;
  return layers.map(({ name, on, ...rest }) => ({ ...rest, name: to(name), on: on.map(to) }));
}

interface Case {
  readonly saved: readonly Called[];
  readonly live: readonly Called[];
  readonly selection: Selection;
}

type Names = readonly string[];

/** One use of each option: how the models differ, and the options that allow it. */
const uses: Readonly<
  Record<string, (layers: readonly Called[], at: number, path: (name: string, of: Names) => string) => Case>
> = {
  "a kept layer": (layers, at, path) => ({
    saved: layers,
    live: layers,
    selection: { keep: [path(layers[at]?.name ?? "", layers.map(({ name }) => name))] },
  }),
  "an added layer, kept": (layers, at, path) => {
    const live = inserted(layers, "added", at);
    return { saved: layers, live, selection: { keep: [path("added", live.map(({ name }) => name))] } };
  },
  "a removed layer, skipped": (layers, at, path) => {
    const saved = inserted(layers, "removed", at);
    return { saved, live: layers, selection: { skip: [path("removed", saved.map(({ name }) => name))] } };
  },
  "a renamed layer": (layers, at, path) => {
    const name = layers[at]?.name ?? "";
    const live = renamed(layers, { [name]: "other" });
    const [from, to] = [path(name, layers.map((layer) => layer.name)), path("other", live.map((layer) => layer.name))];
    return { saved: layers, live, selection: { rename: { [from]: to } } };
  },
  "a part of a layer, kept": (layers, at, path) => {
    const one = path(layers[at]?.name ?? "", layers.map(({ name }) => name));
    // Items of a list are named by their position.
    return {
      saved: layers,
      live: layers,
      selection: { keep: [`${one}${/\/\d+$/.test(one) ? "/rate" : "/weights/bias"}`] },
    };
  },
  "nothing of it": (layers) => ({ saved: layers, live: layers, selection: {} }),
  "only some layers": (layers, at, path) => {
    const names = layers.map(({ name }) => name);
    return {
      saved: layers,
      live: layers,
      selection: { only: names.slice(0, at + 1).map((name) => path(name, names)) },
    };
  },
};

/** Differences in another component, and the options that allow them. */
const asides: readonly (readonly [saved: object, live: object, Selection])[] = [
  [{ seen: 0 }, { seen: 1 }, { keep: ["seen"] }],
  [{}, { best: 1 }, { keep: ["best"] }],
  [{ old: 1 }, {}, { skip: ["old"] }],
  [{ old: 1 }, { best: 1 }, { rename: { old: "best" } }],
  [{ t: tf.tensor1d([1], "int32") }, { t: tf.tensor1d([1]) }, { convert: ["t"] }],
];

const layersOf: fc.Arbitrary<readonly Called[]> = fc.array(
  fc.array(fc.nat(4), { minLength: 1, maxLength: 2 }),
  { minLength: 2, maxLength: 4 },
).map((inputs) =>
  inputs.map((on, i) => ({
    name: `n${i}`,
    sum: `sum${i}`,
    on: i === 0 ? [] : [...new Set(on.map((k) => `n${k % i}`))],
  }))
);

test("nothing silent: with any options, two exchanged layers are an error, and none if they are not exchanged", () =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(shapes)),
      fc.constantFrom(...Object.keys(uses)),
      fc.constantFrom(...asides),
      layersOf,
      fc.nat(3),
      fc.tuple(fc.nat(3), fc.nat(3)),
      async (shape, use, [savedToo, liveToo, aside], layers, at, [a, b]) => {
        const build = shapes[shape] as (layers: readonly Called[]) => object;
        const prefix = within[shape] ?? "model/";
        const path = (name: string, names: Names): string =>
          `${prefix}${shape === "records" ? names.indexOf(name) : name}`;
        const { saved, live, selection } = uses[use]?.(layers, at % layers.length, path) as Case;
        // Each option once; `only` needs no other.
        const apart = !("only" in selection) && !Object.keys(aside).some((key) => key in selection);
        const [more, rest] = apart ? [savedToo, liveToo] : [{}, {}];
        const options: Selection = apart ? { ...aside, ...selection } : selection;
        using snapshot = captureState({ model: build(saved), ...more });
        const target = { model: build(live), ...rest };
        right(restoreInto(target, options)(snapshot)());

        const both = live.filter(({ name }) => name !== "added").map(({ name }) => name);
        const [one, two] = [both[a % both.length] ?? "", both[b % both.length] ?? ""];
        // A list of plain records is data, restored by position, unless an option names something in it.
        if (one === two || (shape === "records" && use === "nothing of it")) return;
        // Names stay; paths with positions follow their layers.
        const exchanged = renamed(live, { [one]: two, [two]: one });
        const moved = shape === "records"
          ? (text: string): string => {
            const [place, ...below] = text.slice(prefix.length).split("/");
            const name = live[Number(place)]?.name ?? "";
            return [path(name, exchanged.map((layer) => layer.name)), ...below].join("/");
          }
          : (text: string): string => text;
        const adapted: Selection = shape !== "records" ? options : {
          ...options,
          ...options.keep && { keep: options.keep.map((text) => text.startsWith(prefix) ? moved(text) : text) },
          ...options.only && { only: options.only.map(moved) },
          ...options.rename && {
            rename: Object.fromEntries(
              Object.entries(options.rename).map(([from, to]) => [from, to.startsWith(prefix) ? moved(to) : to]),
            ),
          },
        };
        const other = { model: build(exchanged), ...rest };
        const wrong = await refused(other, adapted, snapshot);
        assert.ok(wrong.some((problem) => problem.startsWith("model")), wrong.join());
        tf.disposeVariables();
      },
    ),
    { numRuns: 60 * torture },
  ));

test("nothing silent: restoring only weights into unnamed layers of the same shapes in another order is an error", async () => {
  const build = (activations: readonly string[]): object => ({
    model: tf.sequential({
      layers: activations.map((activation) => dense({ units: 2, inputShape: [2], activation: activation as "relu" })),
    }),
  });
  using snapshot = captureState(build(["relu", "tanh", "relu"]));
  const only = [0, 1, 2].map((i) => `model/layers/${i}/weights`);
  assert.deepEqual(await refused(build(["tanh", "relu", "relu"]), { only }, snapshot), ["model/layers config"]);
  assert.deepEqual(await refused(build(["tanh", "relu", "relu"]), { only: only.slice(1) }, snapshot), [
    "model/layers config",
  ]);
  assert.deepEqual(await refused(build(["tanh", "relu", "relu"]), { keep: [`${only[2]}/bias`] }, snapshot), [
    "model/layers/0/config/activation config",
    "model/layers/1/config/activation config",
  ]);
  right(restoreInto(build(["relu", "tanh", "relu"]), { only })(snapshot)());
  // Other activations are an intended change.
  right(restoreInto(build(["relu", "sigmoid", "relu"]), { only })(snapshot)());
});

// --- cells of a layer, and slots of an optimizer

test("nothing silent: stacked cells in another order are an error, whatever else is kept", async () => {
  const build = (names: readonly string[]): object => ({
    model: tf.sequential({
      layers: [
        tf.layers.rnn({
          cell: names.map((name) => tf.layers.simpleRNNCell({ units: 2, name }) as tf.RNN["cell"]),
          inputShape: [3, 2],
          name: "rnn",
        }),
        dense({ units: 1, name: "head" }),
      ],
    }),
  });
  using snapshot = captureState(build(["a", "b"]));
  const cells = "model/rnn/layers/cell/layers/cells";
  const selections: readonly Selection[] = [
    { keep: ["model/rnn/config", `${cells}/0/weights/bias`] },
    { only: [`${cells}/0`, `${cells}/1`] },
    { only: [`${cells}/1/weights`] },
    { rename: { [`${cells}/0`]: `${cells}/1` }, keep: ["model/rnn/config"] },
  ];
  for (const selection of selections) {
    if (selection.rename === undefined) right(restoreInto(build(["a", "b"]), selection)(snapshot)());
    const wrong = await refused(build(["b", "a"]), selection, snapshot);
    if (selection.rename === undefined) {
      assert.ok(wrong.includes("model/layers/0/layers/cell/layers/cells config"), wrong.join());
    } else assert.ok(wrong.length > 0);
  }
});

/** Two branches of equal layers, one with an additional layer without weights. Which branch tfjs lists first depends on that layer. */
function branched(more: boolean): tf.LayersModel {
  const x = tf.input({ shape: [2], name: "x" });
  const [a, b] = ["a", "b"].map((name) => dense({ units: 2, name }).apply(x) as tf.SymbolicTensor);
  const last = more ? tf.layers.activation({ activation: "linear", name: "more" }).apply(a!) : a;
  const both = tf.layers.concatenate({ name: "both" }).apply([b!, last as tf.SymbolicTensor]);
  return tf.model({ inputs: x, outputs: both as tf.SymbolicTensor });
}

function train<S extends { readonly model: tf.LayersModel; readonly adam: tf.Optimizer }>(state: S): S {
  const variables = state.model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  tf.tidy(() => {
    const loss = (): tf.Scalar => (state.model.apply(tf.tensor2d([[1, 2]])) as tf.Tensor).square().mean();
    state.adam.minimize(loss, false, variables);
  });
  return state;
}

test("nothing silent: restoring an optimizer with a model that lists the same layers in another order is an error", async () => {
  const make = (more: boolean): { model: tf.LayersModel; adam: tf.Optimizer } => ({
    model: branched(more),
    adam: tf.train.adam(0.1),
  });
  const named = (model: tf.LayersModel): string =>
    model.layers.flatMap(({ name }) => /^[ab]$/.test(name) ? name : []).join("");
  assert.notEqual(named(branched(false)), named(branched(true)));
  using snapshot = captureState(train(make(false)));
  assert.deepEqual(await refused(make(true), { keep: ["model/more"] }, snapshot), ["adam sharing"]);
  const live = make(true);
  right(restoreInto(live, { keep: ["model/more", "adam"] })(snapshot)());
  train(live);
  using longer = captureState(train(make(true)));
  right(restoreInto(make(true), { keep: ["model/more"] })(longer)());
});

test("nothing silent: restoring only an optimizer next to a model with its layers in another order is an error", async () => {
  const build = (names: readonly string[], own: boolean): object => {
    const model = tf.sequential({ layers: names.map(layerNamed) });
    const adam = tf.train.adam(0.1);
    if (own) model.compile({ optimizer: adam, loss: "meanSquaredError" });
    return own ? { model } : { model, adam };
  };
  for (const own of [false, true]) {
    const saved = build(["a", "b"], own) as { model: tf.LayersModel; adam: tf.Optimizer };
    if (own) await saved.model.trainOnBatch(tf.ones([1, 2]), tf.ones([1, 2]));
    else train(saved);
    using snapshot = captureState(saved);
    const only = [own ? "model/compile/optimizer" : "adam"];
    assert.deepEqual(await refused(build(["b", "a"], own), { only }, snapshot), [`${only} sharing`]);
    right(restoreInto(build(["a", "b"], own), { only })(snapshot)());
    right(restoreInto(build(["c", "d"], own), { only })(snapshot)());
  }
});

test("nothing silent: restoring only the layers of a model into layers that are called in another order is an error", async () => {
  const build = (crossed: boolean): object => {
    const [x, y] = [tf.input({ shape: [2] }), tf.input({ shape: [2] })];
    const [one, two] = crossed ? [y, x] : [x, y];
    const both = [layerNamed("a").apply(one), layerNamed("b").apply(two)] as tf.SymbolicTensor[];
    return { model: tf.model({ inputs: [x, y], outputs: tf.layers.add().apply(both) as tf.SymbolicTensor }) };
  };
  using snapshot = captureState(build(false));
  right(restoreInto(build(false), { only: ["model/layers"] })(snapshot)());
  assert.ok((await refused(build(true), { only: ["model/layers"] }, snapshot)).length > 0);
});

test("order: variables restored next to a kept one get the saved creation order, by which optimizers find their slots", async () => {
  const make = (names: readonly string[]): Record<string, tf.Variable> =>
    Object.fromEntries(names.map((name, i) => [name, tf.variable(tf.scalar(i + 1), name !== "mean")]));
  const step = ({ a, b, adam }: Record<string, unknown>): void =>
    void (adam as tf.Optimizer).minimize(() => (a as tf.Variable).square().add((b as tf.Variable).mul(3)).asScalar());
  tf.disposeVariables();
  const saved = { ...make(["b", "a"]), adam: tf.train.adam(0.1) };
  step(saved);
  using snapshot = captureState(saved);
  step(saved);
  const end = await idOf(saved);
  tf.disposeVariables();
  const live: Record<string, unknown> = { ...make(["mean", "a", "b"]), adam: tf.train.adam(0.1) };
  const { mean: _mean, ...rest } = right(restoreInto(live, { keep: ["mean"] })(snapshot)());
  step(rest);
  assert.equal(await idOf(rest), end);
});

test("nothing silent: a kept optimizer keeps the live order of the variables, and a restored one next to it is an error", async () => {
  const make = (names: readonly string[]): Record<string, tf.Variable | tf.Optimizer> => ({
    ...Object.fromEntries(names.map((name, i) => [name, tf.variable(tf.scalar(i + 1))])),
    adam: tf.train.adam(0.1),
    other: tf.train.adam(0.1),
  });
  const step = (state: Record<string, tf.Variable | tf.Optimizer>, by: "adam" | "other"): void => {
    const [a, b] = [state["a"], state["b"]] as [tf.Variable, tf.Variable];
    (state[by] as tf.Optimizer).minimize(() => a.square().add(b.mul(3)).asScalar());
  };
  tf.disposeVariables();
  const saved = make(["b", "a"]);
  step(saved, "adam");
  using snapshot = captureState(saved);
  tf.disposeVariables();
  const live = make(["a", "b"]);
  step(live, "other");
  assert.deepEqual(await refused(live, { keep: ["other"] }, snapshot), ["adam sharing"]);
  const names = (): string[] => Object.keys(tf.engine().state.registeredVariables);
  const before = names();
  right(restoreInto(live, { keep: ["other", "adam"] })(snapshot)());
  assert.deepEqual(names(), before);
});
