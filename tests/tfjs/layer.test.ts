/**
 * Every layer class of tfjs, field by field: an instance with every argument set is restored with every field equal.
 *
 * The classes are read from `tf.layers`, and the arguments are those that each constructor reads. A new argument has no value here, so the
 * test fails.
 *
 * @module
 */
import {
  captureState,
  memory,
  readSnapshot,
  restoreInto,
  restoreState,
  Rng,
  runOrThrow,
  saveState,
} from "@dogear/dogear";
import type { Snapshot } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { idOf, left, moveCounters, right } from "../support/laws.ts";

before(() => tf.setBackend("cpu").then(() => undefined));

type Args = Readonly<Record<string, unknown>>;
type Factory = (args: Args) => tf.layers.Layer;

const { layers: L, initializers, regularizers, constraints } = tf;

const factories = Object.entries(L as unknown as Readonly<Record<string, Factory>>)
  .filter(([name, factory]) => typeof factory === "function" && !/^[A-Z]/.test(name) && name !== "input");

function regularizerOf(n: number): readonly unknown[] {
  return [
    regularizers.l1l2({ l1: n, l2: n / 2 }),
    regularizers.l2({ l2: n }),
    regularizers.l1({ l1: n }),
    "l1l2",
    null,
  ];
}

function initializersOf(seed: number): readonly unknown[] {
  return [
    initializers.randomNormal({ mean: 1, stddev: 2, seed }),
    initializers.heNormal({ seed }),
    initializers.orthogonal({ gain: 2, seed }),
    initializers.varianceScaling({ scale: 2, mode: "fanOut", distribution: "uniform", seed }),
    initializers.constant({ value: seed }),
    "ones",
  ];
}

const constraintsOf: readonly unknown[] = [
  constraints.maxNorm({ maxValue: 3, axis: 1 }),
  constraints.minMaxNorm({ minValue: 0.1, maxValue: 2, rate: 0.5, axis: 1 }),
  constraints.unitNorm({ axis: 1 }),
  "nonNeg",
  null,
];

const flag: readonly boolean[] = [true, false];

/** Values for every argument, by name: first a value that is no default, then values of other forms. */
const values: Readonly<Record<string, readonly unknown[]>> = {
  // All layers.
  name: ["mine", "other"],
  trainable: [false, true],
  batchInputShape: [[2, 4, 4], undefined, [null, 3]],
  inputShape: [undefined, [4, 4], undefined],
  batchSize: [undefined, 3],
  dtype: ["int32", "float32", undefined],
  inputDType: ["bool", undefined],
  weights: [undefined],
  sparse: [true, false],
  // Weights.
  units: [3, 1],
  filters: [2, 3],
  kernelSize: [2, 1],
  depthMultiplier: [2, 1],
  strides: [2, 1],
  padding: ["same", "valid"],
  dataFormat: ["channelsFirst", "channelsLast"],
  dilationRate: [1, 2],
  activation: ["relu", "tanh", "softmax"],
  recurrentActivation: ["tanh", "sigmoid"],
  useBias: [false, true],
  kernelInitializer: initializersOf(1),
  biasInitializer: initializersOf(2),
  recurrentInitializer: initializersOf(3),
  depthwiseInitializer: initializersOf(4),
  pointwiseInitializer: initializersOf(5),
  embeddingsInitializer: initializersOf(6),
  alphaInitializer: initializersOf(7),
  betaInitializer: initializersOf(8),
  gammaInitializer: initializersOf(9),
  movingMeanInitializer: initializersOf(10),
  movingVarianceInitializer: initializersOf(11),
  kernelRegularizer: regularizerOf(0.1),
  biasRegularizer: regularizerOf(0.2),
  activityRegularizer: regularizerOf(0.3),
  recurrentRegularizer: regularizerOf(0.4),
  depthwiseRegularizer: regularizerOf(0.5),
  pointwiseRegularizer: regularizerOf(0.6),
  embeddingsRegularizer: regularizerOf(0.7),
  alphaRegularizer: regularizerOf(0.8),
  betaRegularizer: regularizerOf(0.9),
  gammaRegularizer: regularizerOf(1.1),
  kernelConstraint: constraintsOf,
  biasConstraint: constraintsOf.toReversed(),
  recurrentConstraint: constraintsOf,
  depthwiseConstraint: constraintsOf,
  pointwiseConstraint: constraintsOf.toReversed(),
  embeddingsConstraint: constraintsOf,
  alphaConstraint: constraintsOf,
  betaConstraint: constraintsOf,
  gammaConstraint: constraintsOf.toReversed(),
  // Recurrent layers.
  dropout: [0.25, 0],
  recurrentDropout: [0.125, 0],
  dropoutFunc: [undefined],
  implementation: [2, 1],
  resetAfter: [false],
  unitForgetBias: [true, false],
  returnSequences: flag,
  returnState: flag,
  goBackwards: flag,
  stateful: flag,
  unroll: flag,
  mergeMode: ["sum", "concat", null],
  cell: [
    L.stackedRNNCells(
      { cells: [L.gruCell({ units: 2, name: "g" }), L.lstmCell({ units: 1 })], name: "stack" } as never,
    ),
    [L.gruCell({ units: 2, name: "g", kernelConstraint: "nonNeg" }), L.lstmCell({ units: 1 })],
    L.lstmCell({ units: 2, trainable: false }),
  ],
  cells: [[L.gruCell({ units: 2, name: "g", dropout: 0.5 }), L.simpleRNNCell({ units: 1 })], [
    L.lstmCell({ units: 1 }),
  ]],
  layer: [L.gru({ units: 2, name: "inner", returnSequences: true, kernelConstraint: "nonNeg" }), L.lstm({ units: 1 })],
  // Other layers.
  inputDim: [5, 6],
  outputDim: [6, 7],
  inputLength: [7, undefined, [2, 3]],
  maskZero: flag,
  rate: [0.75, 0],
  noiseShape: [[1, 2], undefined],
  seed: [9, undefined],
  n: [3, 1],
  targetShape: [[4, 4], [null, 2]],
  dims: [[2, 1], [1]],
  maskValue: [7, 0],
  cropping: [1, [1, 2], [[1, 0], [2, 1]]],
  size: [[3, 4]],
  interpolation: ["bilinear", "nearest"],
  stddev: [0.7, 0],
  axis: [1, 2],
  momentum: [0.3, 0],
  epsilon: [0.01, 0],
  center: [false, true],
  scale: [false, true],
  poolSize: [3, 1],
  alpha: [0.4, 0],
  theta: [0.6, 0],
  maxValue: [6, 0, null],
  sharedAxes: [[1], 2, null],
  axes: [1, [1, 2]],
  normalize: flag,
  numTokens: [4],
  outputMode: ["oneHot", "count", undefined],
  height: [3],
  width: [2],
  offset: [2, 0],
  cropToAspectRatio: flag,
  factor: [[0.1, 0.2], 0.5],
};

function functional(): tf.LayersModel {
  const [x, y] = [tf.input({ shape: [2] }), L.dense({ units: 2, name: "middle" })];
  const middle = y.apply(x) as tf.SymbolicTensor;
  return tf.model({
    inputs: x,
    outputs: L.add().apply([middle, y.apply(middle) as tf.SymbolicTensor]) as tf.SymbolicTensor,
  });
}

/** Arguments that a class takes in another form, or not at all. */
const special: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  separableConv2d: { kernelInitializer: [undefined], kernelRegularizer: [undefined], kernelConstraint: [undefined] },
  elu: { alpha: [1] },
  rescaling: { scale: [3, 0.5] },
  zeroPadding2d: { padding: [[[1, 2], [3, 4]], 2, [1, 2]] },
  convLstm2d: { unroll: [false] },
  timeDistributed: {
    layer: [
      L.dense({ units: 2, name: "inner", inputDim: 3 }),
      L.depthwiseConv2d({ kernelSize: 2, depthwiseConstraint: "nonNeg", depthwiseRegularizer: "l1l2" }),
      L.alphaDropout({ rate: 0.5, noiseShape: [1, 2] }),
      tf.sequential({
        layers: [L.separableConv2d({ filters: 1, kernelSize: 1, depthMultiplier: 3, inputShape: [2, 2, 1] })],
      }),
      L.rnn({ cell: L.stackedRNNCells({ cells: [L.gruCell({ units: 1 })], name: "within" } as never) }),
      functional(),
    ],
  },
  inputLayer: { batchInputShape: [[2, 4, 4]], inputShape: [undefined], batchSize: [undefined] },
};

const rounds = 6;

/** An instance made with the n-th value of each argument, and the names of the arguments that its constructor read. */
function instance(name: string, factory: Factory, n: number): readonly [tf.layers.Layer, ReadonlySet<string>] {
  const table = { ...values, ...special[name] };
  const args = Object.fromEntries(Object.entries(table).map(([arg, forms]) => [arg, forms[n % forms.length]]));
  const read = new Set<string>();
  const seen = new Proxy(args, {
    get: (of, arg) => {
      read.add(String(arg));
      return of[String(arg)];
    },
  });
  return [factory(seen), read];
}

/** Fields that are not state: counters, the call graph, and what tfjs leaves in a config that it has read. */
const passing = new Set([
  "id",
  "inboundNodes",
  "outboundNodes",
  "_addedWeightNames",
  "customObjects",
  "_trainableWeights",
  "_nonTrainableWeights",
]);

/** tfjs's names for initializers of VarianceScaling, which it does not build by their own class names. */
const helpers = /^(GlorotNormal|GlorotUniform|HeNormal|HeUniform|LeCunNormal|LeCunUniform)$/;

function classNameOf(object: object): string {
  return object.constructor.name.replace(helpers, "VarianceScaling");
}

function isMadeUp(name: string): boolean {
  return /_[A-Z]\w*\d+\/\w+$|_[A-Z]\w*\d+(_input)?$|^(input|model|sequential_)\d+$/.test(name);
}

/** Every difference between two objects, field by field. */
function differences(a: unknown, b: unknown, path: string, seen: Set<unknown> = new Set()): readonly string[] {
  if (Object.is(a, b) || (typeof a === "function" && typeof b === "function")) return [];
  if (typeof a === "string" && typeof b === "string" && isMadeUp(a) && isMadeUp(b)) return [];
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return [`${path}: ${a} -> ${b}`];
  if (seen.has(a)) return [];
  seen.add(a);
  if (a instanceof tf.Tensor || a instanceof tf.SymbolicTensor || "originalName" in a) return [];
  if (classNameOf(a) !== classNameOf(b)) return [`${path}: ${classNameOf(a)} -> ${classNameOf(b)}`];
  if (a instanceof tf.LayersModel && b instanceof tf.LayersModel) {
    return differences(a.layers, b.layers, `${path}.layers`, seen);
  }
  const [left, right] = [a, b] as readonly Readonly<Record<string, unknown>>[] as [Args, Args];
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].filter((name) => !passing.has(name))
    .flatMap((name) => differences(left[name], right[name], `${path}.${name}`, seen));
}

for (const [name, factory] of factories) {
  test(`round trip: every field of ${name} is restored, with every argument set`, async () => {
    for (let n = 0; n < rounds; n++) {
      const [layer, read] = instance(name, factory, n);
      const unset = [...read].filter((arg) => !Object.hasOwn(values, arg));
      assert.deepEqual(unset, [], "Expected a value in this test for every argument that a constructor reads");
      const snapshot = captureState({ layer });
      const fresh = right(restoreState(snapshot)).layer;
      assert.deepEqual(differences(layer, fresh, name), [], `form ${n}`);
      const again = captureState({ layer: fresh });
      assert.equal(await idOf({ layer: fresh }), await idOf({ layer }));
      // The restored layer also restores into the captured one.
      right(restoreInto({ layer })(again)());
      right(restoreInto({ layer: instance(name, factory, n)[0] })(snapshot)());
    }
  });
}

test("round trip: the tests above cover every layer class of tfjs", () => {
  const classes = new Set(factories.map(([name, factory]) => instance(name, factory, 0)[0].getClassName()));
  assert.ok(classes.size >= 58, `${classes.size}`);
});

test("round trip: a functional model in a wrapper, whose config names layers by generated names", async () => {
  const make = (): { readonly model: tf.LayersModel } => ({
    model: tf.sequential({ layers: [L.timeDistributed({ layer: functional(), inputShape: [3, 2] } as never)] }),
  });
  const state = make();
  const outputs = (
    { model }: { readonly model: tf.LayersModel },
  ): readonly number[] => [...(model.predict(tf.ones([1, 3, 2])) as tf.Tensor).dataSync()];
  moveCounters();
  for (
    const restored of [right(restoreState(captureState(state))), right(restoreInto(make())(captureState(state))())]
  ) {
    assert.equal(await idOf(restored), await idOf(state));
    assert.deepEqual(outputs(restored), outputs(state));
  }
});

// --- layers that have not been called

async function read<C extends object>(state: C): Promise<Snapshot<C>> {
  const store = memory();
  await runOrThrow(saveState(store)(state));
  return await runOrThrow(readSnapshot(store)) as Snapshot<C>;
}

describe("a layer that has not been called", () => {
  const first = (layer: tf.layers.Layer): readonly number[] =>
    Rng.withRandom(Rng.make(3))(() => [...(layer.apply(tf.ones([1, 3])) as tf.Tensor).dataSync()])[0];
  test("same bits: a fresh one draws the same weights as the captured one", async () => {
    for (const kernelInitializer of [undefined, "ones", initializers.constant({ value: 3 })] as never[]) {
      const make = (): { readonly layer: tf.layers.Layer } => ({ layer: L.dense({ units: 2, kernelInitializer }) });
      const snapshot = await read(make());
      assert.deepEqual(first(right(restoreState(snapshot)).layer), first(make().layer));
    }
  });
  test("nothing silent: another initializer in the live one is an error, because it decides the weights", async () => {
    const make = (kernelInitializer: string): { readonly layer: tf.layers.Layer } => ({
      layer: L.dense({ units: 2, kernelInitializer: kernelInitializer as never }),
    });
    const snapshot = await read(make("ones"));
    right(restoreInto(make("ones"))(snapshot)());
    left(restoreInto(make("zeros"))(snapshot)());
    // Once a layer has its weights, its initializers have no effect.
    const called = (initializer: string): ReturnType<typeof make> => {
      const state = make(initializer);
      first(state.layer);
      return state;
    };
    right(restoreInto(called("zeros"))(await read(called("ones")))());
  });
  test("round trip: the option `weights`", async () => {
    const make = (n: number): { readonly layer: tf.layers.Layer } => ({
      layer: L.dense({ units: 1, weights: [tf.fill([3, 1], n), tf.tensor1d([0.5])] }),
    });
    const snapshot = await read(make(4));
    assert.deepEqual(first(right(restoreState(snapshot)).layer), [12.5]);
    const live = make(5);
    right(restoreInto(live)(snapshot)());
    assert.deepEqual(first(live.layer), [12.5]);
    const without = { layer: L.dense({ units: 1, kernelInitializer: "glorotNormal" }) };
    right(restoreInto(without)(snapshot)());
    assert.deepEqual(first(without.layer), [12.5]);
    assert.notEqual(await idOf(make(4)), await idOf(make(5)));
  });
});

// --- user-defined activations and layers

const Activation = Object.getPrototypeOf(
  (L.activation({ activation: "relu", name: "x" }) as unknown as { readonly activation: object }).activation
    .constructor,
) as new () => { apply: (x: tf.Tensor) => tf.Tensor };

/** An activation with an argument, which tfjs omits from the layer's config. */
class Scaled extends Activation {
  static readonly className = "scaledActivation";
  readonly factor: number;
  constructor(args: { readonly factor?: number } = {}) {
    super();
    this.factor = args.factor ?? 1;
    this.apply = (x) => tf.mul(x, this.factor);
  }
  getConfig(): object {
    return { factor: this.factor };
  }
}
tf.serialization.registerClass(Scaled as never);

test("round trip: the arguments of an activation of a layer, of a cell and of a layer in a wrapper", async () => {
  const activation = (factor: number): never => new Scaled({ factor }) as never;
  const make = (factor: number): Readonly<Record<string, tf.LayersModel>> => ({
    plain: tf.sequential({ layers: [L.dense({ units: 1, inputShape: [2], activation: activation(factor) })] }),
    cell: tf.sequential({ layers: [L.simpleRNN({ units: 1, inputShape: [3, 2], activation: activation(factor) })] }),
    wrapped: tf.sequential({
      layers: [
        L.timeDistributed({
          layer: L.dense({ units: 1, activation: activation(factor) }),
          inputShape: [3, 2],
        } as never),
      ],
    }),
  });
  const outputs = (state: Readonly<Record<string, tf.LayersModel>>): readonly unknown[] =>
    Object.values(state).map((
      model,
    ) => [...(model.predict(tf.ones(model.inputs[0]!.shape.map((dim) => dim ?? 1))) as tf.Tensor).dataSync()]);
  const state = make(3);
  const fresh = right(restoreState(await read(state)));
  assert.deepEqual(outputs(fresh), outputs(state));
  assert.equal(await idOf(fresh), await idOf(state));
  left(restoreInto(make(2))(captureState(state))());
});

test("same bits: a variable in a field of a user-defined layer that is not a weight", () => {
  class Averaging extends tf.layers.Layer {
    static readonly className = "Averaging";
    readonly mean: tf.Variable = tf.variable(tf.zeros([2]), false);
    override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
      return tf.tidy(() => {
        const x = [inputs].flat()[0] as tf.Tensor;
        this.mean.assign(this.mean.mul(0.5).add(x.mean(0).mul(0.5)));
        return x.sub(this.mean);
      });
    }
  }
  tf.serialization.registerClass(Averaging);
  const make = (): { readonly model: tf.Sequential; readonly mean: tf.Variable } => {
    const layer = new Averaging({ inputShape: [2] } as never);
    return { model: tf.sequential({ layers: [layer] }), mean: layer.mean };
  };
  const predict = ({ model }: { readonly model: tf.LayersModel }): number[] =>
    tf.tidy(() => Array.from((model.predict(tf.tensor2d([[3, 5]])) as tf.Tensor).dataSync()));
  for (const alone of [true, false]) {
    const part = (state: ReturnType<typeof make>): ReturnType<typeof make> =>
      alone ? { model: state.model } as never : { mean: state.mean, model: state.model };
    const [state, live] = [make(), make()];
    predict(state);
    const snapshot = captureState(part(state));
    const next = predict(state);
    right(restoreInto(part(live))(snapshot)());
    assert.deepEqual(predict(live), next);
    const fresh = right(restoreState(snapshot));
    assert.deepEqual(predict(fresh), next);
    if (!alone) assert.equal(fresh.mean, (fresh.model.layers[0] as Averaging).mean);
  }
});

test("nothing silent: if a model cannot be built, the error names the layers whose getConfig may omit arguments", () => {
  class Shapeless extends tf.layers.Layer {
    static readonly className = "Shapeless";
    override getConfig(): tf.serialization.ConfigDict {
      return { name: this.name };
    }
  }
  tf.serialization.registerClass(Shapeless);
  const model = tf.sequential({ layers: [new Shapeless({ inputShape: [2] } as never)] });
  const { problems } = left(restoreState(captureState({ model }))) as unknown as { readonly problems: unknown };
  const [problem, ...others] = problems as { readonly path: string; readonly remedy: string }[];
  assert.deepEqual([problem?.path, others], ["model", []]);
  assert.match(problem?.remedy ?? "", /getConfig and fromConfig of Shapeless/);
});

// --- arguments of user-defined layers that their getConfig omits

/** Multiplies by a factor that the inherited getConfig omits. */
class Scale extends L.Layer {
  static readonly className: string = "Scale";
  readonly factor: number;
  readonly shifts: readonly number[];
  readonly table: Float32Array;
  cache: string | null = null;
  constructor(args: { readonly factor?: number; readonly shifts?: readonly number[]; readonly table?: Float32Array }) {
    super(args as never);
    this.factor = args.factor ?? 1;
    this.shifts = args.shifts ?? [0];
    this.table = args.table ?? new Float32Array([1]);
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.mul([inputs].flat()[0] as tf.Tensor, this.factor);
  }
}

/** Also keeps the factor in its config. */
class ConfiguredScale extends Scale {
  static override readonly className: string = "ConfiguredScale";
  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), factor: this.factor };
  }
}

/** A dense layer with a factor that the inherited getConfig omits. */
class ScaledDense extends (Object.getPrototypeOf(L.dense({ units: 1, name: "d" })).constructor as typeof L.Layer) {
  static readonly className = "ScaledDense";
  readonly factor: number;
  constructor(args: { readonly factor?: number; readonly units: number }) {
    super(args as never);
    this.factor = args.factor ?? 1;
  }
}
for (const Class of [Scale, ConfiguredScale, ScaledDense]) tf.serialization.registerClass(Class as never);

const shape = { inputShape: [2] } as const;

/** The path and texts of each problem of a fresh restore. */
function freshProblems(components: object): readonly string[] {
  const { problems } = left(restoreState(captureState(components))) as unknown as {
    readonly problems: readonly { readonly path: string; readonly found: string; readonly remedy?: string }[];
  };
  return problems.map(({ path, found, remedy }) => `${path}: ${found}. ${remedy}`);
}

test("nothing silent: an argument that the getConfig of a user-defined layer omits is an error in a fresh restore", async () => {
  const modelWith = (layer: tf.layers.Layer): tf.Sequential => tf.sequential({ layers: [layer] });
  const cases = [
    [
      "layers/0/fields/factor",
      /^model\/layers\/0\/fields\/factor: 1 after building it from its config. Let getConfig of Scale return factor/,
      modelWith(new Scale({ ...shape, factor: 3 })),
    ],
    ["layers/0/fields/shifts", /Scale/, modelWith(new Scale({ ...shape, shifts: [0, 1] }))],
    ["layers/0/fields/table", /Scale/, modelWith(new Scale({ ...shape, table: new Float32Array([2]) }))],
    ["layers/0/fields/factor", /ScaledDense/, modelWith(new ScaledDense({ ...shape, units: 2, factor: 3 } as never))],
    [
      "layers/0/layers/layer/fields/factor",
      /Scale/,
      modelWith(L.timeDistributed({ layer: new Scale({ factor: 3 }), inputShape: [3, 2] })),
    ],
  ] as const;
  for (const [path, message, model] of cases) {
    const [problem, ...others] = freshProblems({ model });
    assert.deepEqual(others, []);
    assert.ok(problem?.startsWith(`model/${path}: `), problem);
    assert.match(problem ?? "", message);
    right(restoreInto({ model })(captureState({ model }))());
  }
  const store = memory();
  await runOrThrow(saveState(store)({ model: modelWith(new Scale({ ...shape, factor: 3 })) }));
  using snapshot = await runOrThrow(readSnapshot(store));
  left(restoreState(snapshot));
});

test("round trip: user-defined layers with defaults, with arguments in their getConfig, or with shared data in fields", async () => {
  const table = new Float32Array([1]);
  for (
    const layer of [
      new Scale(shape as never),
      new Scale({ ...shape, table }),
      new ConfiguredScale({ ...shape, factor: 3 }),
      new ScaledDense({ ...shape, units: 2 } as never),
    ]
  ) {
    const state = { model: tf.sequential({ layers: [layer] }), table };
    const restored = right(restoreState(captureState(state)));
    assert.equal(await idOf(restored), await idOf(state));
    assert.equal((restored.model.layers[0] as Scale).factor, (layer as Scale).factor);
  }
});
