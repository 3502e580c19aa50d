/**
 * What the laws are tried on: generators of plain data and tensors, and models of every shape that tfjs builds.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { type DType, type TypedArray, type TypedArrayName, typedView } from "../../lib/state/array.ts";
import type { Subject } from "./laws.ts";

// --- plain data

/** Names that a careless record would lose, mistake or follow. */
const names: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom("__proto__", "", "a/b", "~", "~1", "~ud800", "0", "10", "01", "-1", "constructor", "toString", "is"),
  fc.constantFrom("\ud800", "\udc00x", "../..", "a\0b", "\u0301", "e\u0301", "\u00e9", "🏃"),
  fc.string({ maxLength: 4 }),
);

const strings: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 8 }),
  // Lone surrogates among them.
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 4 }).map((units) => String.fromCharCode(...units)),
);

const numbers: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 5e-324, -5e-324, 2 ** -1022, 2 ** 53, 1e21, 0.1 + 0.2),
);

const scalars: fc.Arbitrary<unknown> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  numbers,
  fc.bigInt(),
  strings,
);

const arrayNames: readonly TypedArrayName[] = [
  "Float32Array",
  "Float64Array",
  "Int8Array",
  "Int16Array",
  "Int32Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Uint16Array",
  "Uint32Array",
  "BigInt64Array",
  "BigUint64Array",
];

/** Typed arrays of every class over any bytes, those of NaNs with payloads among them, at any offset of their buffer. */
export const typedArrays: fc.Arbitrary<TypedArray> = fc.tuple(
  fc.constantFrom(...arrayNames),
  fc.uint8Array({ maxLength: 32 }),
  fc.integer({ min: 0, max: 2 }),
).map(([name, bytes, offset]) => {
  const buffer = new Uint8Array((bytes.length + offset) * 8);
  buffer.set(bytes, offset * 8);
  return typedView(name, buffer.subarray(offset * 8, offset * 8 + (bytes.length & ~7)));
});

function records(of: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  return fc.array(fc.tuple(names, of), { maxLength: 4 }).map(Object.fromEntries);
}

/** Plain data at any depth. */
export const plainData: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  data: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalars,
    typedArrays,
    fc.array(tie("data"), { maxLength: 4 }),
    records(tie("data")),
  ),
})).data;

/** Components' names: any that a component may have. */
export const componentNames: fc.Arbitrary<string> = names.filter((name) => name !== "" && name.isWellFormed());

// --- tensors

function bytesToTensor(dtype: DType, shape: number[], bytes: Uint8Array): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const floats = (offset: number): Float32Array => {
    const view = new Uint8Array(4 * size);
    view.forEach((_, i) => view[i] = bytes[(i + offset) % bytes.length] ?? 0);
    return new Float32Array(view.buffer);
  };
  switch (dtype) {
    case "float32":
      return tf.tensor(floats(0), shape, dtype);
    case "int32":
      return tf.tensor(new Int32Array(floats(0).buffer), shape, dtype);
    case "bool":
      return tf.tensor(new Uint8Array(size).map((_, i) => (bytes[i % bytes.length] ?? 0) & 1), shape, dtype);
    case "complex64":
      return tf.tidy(() => tf.complex(tf.tensor(floats(0), shape), tf.tensor(floats(1), shape)));
    case "string": {
      const strings = Array.from({ length: size }, (_, i) => bytes.slice(i % 3, i % 7));
      return tf.tensor(strings as never, shape, dtype);
    }
  }
}

/** What a tensor is made from, so that it can be made again. */
export interface TensorSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Tensors of all dtypes and any bytes: scalars, empty ones, NaNs with payloads, strings that are not UTF-8. */
export const tensors: fc.Arbitrary<TensorSpec> = fc.record({
  dtype: fc.constantFrom<DType>("float32", "int32", "bool", "complex64", "string"),
  shape: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 24 }),
    // Not-a-numbers, quiet and signalling, with payloads; minus zero; the smallest subnormal.
    fc.constant(new Uint8Array(Buffer.from("0100c07f0100807fffffffff0000008001000000", "hex"))),
  ),
});

/** The tensor of a spec. */
export function tensorOf({ dtype, shape, bytes }: TensorSpec): tf.Tensor {
  return bytesToTensor(dtype, [...shape], bytes);
}

// --- models

type LayerArgs = ConstructorParameters<typeof tf.layers.Layer>[0];

/** A layer of the user's own, with a configuration of its own. */
export class Affine extends tf.layers.Layer {
  static readonly className = "Affine";
  readonly factors: Float32Array;
  private scale: tf.LayerVariable | undefined;

  constructor(args: { readonly factors?: ArrayLike<number> } & Record<string, unknown>) {
    super(args as LayerArgs);
    this.factors = Float32Array.from(args.factors ?? [1]);
  }

  override build(shape: tf.Shape): void {
    this.scale = this.addWeight("scale", [shape.at(-1) ?? null], "float32", tf.initializers.ones());
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [input] = [inputs].flat();
    if (input === undefined || this.scale === undefined) throw new Error("Expected one input of a built layer");
    return tf.tidy(() => input.mul(this.scale?.read() as tf.Tensor).mul(this.factors[0] ?? 1));
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), factors: this.factors as never };
  }
}
tf.serialization.registerClass(Affine);

/** A layer of the user's own that holds others in its fields, one of them in a list. */
class Tower extends tf.layers.Layer {
  static readonly className = "Tower2";
  readonly first: tf.layers.Layer = tf.layers.dense({ units: 2 });
  readonly rest: readonly tf.layers.Layer[] = [tf.layers.dense({ units: 2 }), tf.layers.dense({ units: 2 })];

  override build(shape: tf.Shape): void {
    for (const layer of [this.first, ...this.rest]) {
      layer.build(shape);
      this.trainableWeights = [...this.trainableWeights, ...layer.trainableWeights];
    }
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const first = this.first.apply(inputs) as tf.Tensor;
    return this.rest.reduce((x, layer) => layer.apply(x) as tf.Tensor, first);
  }
}
tf.serialization.registerClass(Tower);

function filled({ shape }: tf.SymbolicTensor): tf.Tensor {
  const sizes = shape.map((dim) => dim ?? 2);
  return tf.tensor(Float32Array.from({ length: sizes.reduce((a, b) => a * b, 1) }, (_, i) => i % 3 % 2), sizes);
}

function modelsIn(components: object): readonly tf.LayersModel[] {
  return Object.values(components).flatMap((value) => value instanceof tf.LayersModel ? [value] : []);
}

/** The core variable of a layer's weight. */
export function variableOf(weight: tf.LayerVariable): tf.Variable {
  return (weight as unknown as { readonly val: tf.Variable }).val;
}

function weightsOf(model: tf.LayersModel): readonly unknown[] {
  return model.layers.flatMap((layer) => layer.weights).map(variableOf).map((variable) => [
    variable.trainable,
    variable.shape,
    variable.dataSync(),
  ]);
}

/** Trains every model of some components by one batch, or moves its weights if it is not compiled. */
export async function trainModels(components: object): Promise<readonly unknown[]> {
  const losses: unknown[] = [];
  for (const model of modelsIn(components)) {
    if (model.optimizer === undefined) {
      for (const variable of model.weights.map(variableOf)) tf.tidy(() => variable.assign(variable.add(0.25)));
    } else {
      const [xs, ys] = [model.inputs.map(filled), model.outputs.map(filled)];
      // A critic that is frozen inside another model is thawed for its own training.
      const { trainable } = model;
      if (!trainable) model.trainable = true;
      losses.push(await model.trainOnBatch(xs, ys));
      if (!trainable) model.trainable = false;
      tf.dispose([xs, ys]);
    }
  }
  return losses;
}

/** What models compute now, and what their layers and weights are after they have trained on. */
export async function probeModels(components: object): Promise<unknown> {
  const predictions = modelsIn(components).map((model) =>
    [model.predict(model.inputs.map(filled))].flat().map((output) => output.dataSync())
  );
  const losses = [await trainModels(components), await trainModels(components)];
  const models = modelsIn(components).map((model) => ({
    trainable: model.trainable,
    layers: model.layers.map((layer) => [layer.getClassName(), layer.trainable, layer.weights.length]),
    names: model.layers.map(({ name }) =>
      /_[A-Z]\w*\d+(_input)?$|^(input|model|sequential_)\d+$/.test(name) ? null : name
    ),
    trained: model.trainableWeights.length,
    weights: weightsOf(model),
    optimizer: model.optimizer?.getConfig(),
  }));
  return { predictions, losses, models };
}

const { dense, input } = tf.layers;

function compiled(model: tf.LayersModel, args: Partial<tf.ModelCompileArgs> = {}): tf.LayersModel {
  model.compile({ optimizer: "adam", loss: "meanSquaredError", ...args });
  return model;
}

function twoByTwo(): tf.LayersModel {
  const [a, b] = [input({ shape: [2] }), input({ shape: [3], name: "side" })];
  const shared = dense({ units: 2, activation: "tanh" });
  const [x, y] = [shared.apply(a), dense({ units: 2 }).apply(b)] as tf.SymbolicTensor[];
  const sum = tf.layers.add().apply([x, y, shared.apply(y as tf.SymbolicTensor)] as tf.SymbolicTensor[]);
  const outputs = ["left", "right"].map((name) => dense({ units: 1, name }).apply(sum) as tf.SymbolicTensor);
  return tf.model({ inputs: [a, b], outputs });
}

const sequence = { inputShape: [3, 2] };

/** A model of two layers. */
export function small(): tf.Sequential {
  return tf.sequential({ layers: [dense({ units: 3, inputShape: [2], activation: "relu" }), dense({ units: 1 })] });
}

function headOf(base: tf.LayersModel): tf.LayersModel {
  const features = base.layers[0]?.output as tf.SymbolicTensor;
  return compiled(tf.model({ inputs: base.inputs, outputs: dense({ units: 2 }).apply(features) as tf.SymbolicTensor }));
}

/** Two models that share a layer, the layer, and its variable, in the order asked for. */
export function sharing(order: readonly string[]): object {
  const [a, b] = [input({ shape: [2] }), input({ shape: [2] })];
  const layer = dense({ units: 2, name: "common" });
  const end = (x: tf.SymbolicTensor): tf.SymbolicTensor =>
    dense({ units: 1 }).apply(layer.apply(x) as tf.SymbolicTensor) as tf.SymbolicTensor;
  const first = compiled(tf.model({ inputs: a, outputs: end(a) }));
  const second = tf.model({ inputs: b, outputs: end(b) });
  const [kernel] = layer.weights.map(variableOf);
  const parts: Record<string, unknown> = { first, second, layer, kernel, optimizer: first.optimizer };
  return Object.fromEntries(order.map((name) => [name, parts[name]]));
}

/** A generator, a discriminator and the two in one model with the discriminator frozen. */
function gan(): object {
  const generator = tf.sequential({ layers: [dense({ units: 3, inputShape: [2] })] });
  const discriminator = compiled(tf.sequential({ layers: [dense({ units: 1, inputShape: [3] })] }), {
    optimizer: tf.train.sgd(0.1),
  });
  discriminator.trainable = false;
  const noise = input({ shape: [2] });
  const verdict = discriminator.apply(generator.apply(noise) as tf.SymbolicTensor) as tf.SymbolicTensor;
  return { generator, discriminator, gan: compiled(tf.model({ inputs: noise, outputs: verdict })) };
}

function inSequence(...layers: readonly tf.layers.Layer[]): object {
  return { model: compiled(tf.sequential({ layers: [...layers] })) };
}

function encoderAndDecoder(): object {
  const [x, y] = [input({ shape: [3, 2] }), input({ shape: [2, 2] })];
  const [, ...states] = tf.layers.lstm({ units: 2, returnState: true }).apply(x) as tf.SymbolicTensor[];
  const decoded = tf.layers.lstm({ units: 2, returnSequences: true }).apply([y, ...states]) as tf.SymbolicTensor;
  const outputs = dense({ units: 1 }).apply(decoded) as tf.SymbolicTensor;
  return { whole: compiled(tf.model({ inputs: [x, y], outputs })), encoder: tf.model({ inputs: x, outputs: states }) };
}

function initialStates(): object {
  const x = input({ shape: [3, 2] });
  const lstm = tf.layers.lstm({ units: 2, returnState: true });
  const [features, ...initialState] = lstm.apply(x) as [tf.SymbolicTensor, ...tf.SymbolicTensor[]];
  const last = tf.layers.lstm({ units: 2 }).apply(x, { initialState } as never) as tf.SymbolicTensor;
  return { model: compiled(tf.model({ inputs: x, outputs: [features, last] })) };
}

function twins(): object {
  const [a, b] = [input({ shape: [2] }), input({ shape: [2] })];
  const tower = small();
  const both = tf.layers.concatenate().apply([tower.apply(a), tower.apply(b)] as tf.SymbolicTensor[]);
  const outputs = dense({ units: 1 }).apply(both) as tf.SymbolicTensor;
  return { whole: compiled(tf.model({ inputs: [a, b], outputs })), tower };
}

/** Components with models, by what is special about them. */
export const models: Readonly<Record<string, () => object>> = {
  "a sequential model": () => ({ model: small() }),
  "a compiled sequential model": () => ({ model: compiled(small(), { metrics: ["accuracy"] }) }),
  "a sequential model with a name": () => ({
    model: compiled(tf.sequential({ name: "mine", layers: small().layers })),
  }),
  "a sequential model whose last layer was taken away": () => {
    const model = small();
    model.pop();
    return { model };
  },
  "a functional model of several inputs and outputs": () => ({ model: twoByTwo() }),
  "losses in a list": () => ({ model: compiled(twoByTwo(), { loss: ["meanSquaredError", "meanAbsoluteError"] }) }),
  "losses and metrics by output": () => ({
    model: compiled(twoByTwo(), {
      loss: { left: "meanSquaredError", right: "meanAbsoluteError" },
      metrics: { right: "mse" },
    }),
  }),
  "outputs that are inputs and features, too": () => {
    const x = input({ shape: [2] });
    const features = dense({ units: 2 }).apply(x) as tf.SymbolicTensor;
    const end = dense({ units: 1 }).apply(features) as tf.SymbolicTensor;
    return { model: compiled(tf.model({ inputs: x, outputs: [features, end, x] })) };
  },
  "a sequential model in a functional one": () => {
    const x = input({ shape: [2] });
    return { model: compiled(tf.model({ inputs: x, outputs: small().apply(x) as tf.SymbolicTensor })) };
  },
  "a functional model in a sequential one": () => {
    const x = input({ shape: [2] });
    const inner = tf.model({ inputs: x, outputs: dense({ units: 3 }).apply(x) as tf.SymbolicTensor, name: "inner" });
    return inSequence(inner, dense({ units: 1 }));
  },
  "a sequential model in a sequential one": () => inSequence(small(), dense({ units: 1 })),
  "a model called twice, and by itself": twins,
  "an encoder that hands its states on": encoderAndDecoder,
  "states that a call is given by name": initialStates,
  "layers of the user's own": () =>
    inSequence(dense({ units: 2, inputShape: [2] }), new Affine({ factors: [0.5, NaN] }), new Tower()),
  "a stateful recurrent layer": () =>
    inSequence(tf.layers.lstm({ units: 2, stateful: true, batchInputShape: [2, 3, 2] }), dense({ units: 1 })),
  "a stateful bidirectional layer": () => {
    const layer = tf.layers.lstm({ units: 2, stateful: true }) as tf.RNN;
    return inSequence(tf.layers.bidirectional({ layer, batchInputShape: [2, 3, 2] }), dense({ units: 1 }));
  },
  "a bidirectional layer": () =>
    inSequence(tf.layers.bidirectional({ layer: tf.layers.gru({ units: 2 }) as tf.RNN, ...sequence })),
  "stacked recurrent cells": () =>
    inSequence(tf.layers.rnn({
      cell: [tf.layers.lstmCell({ units: 2 }), tf.layers.simpleRNNCell({ units: 2 })],
      ...sequence,
    })),
  "a layer at every step of a sequence": () =>
    inSequence(
      tf.layers.timeDistributed({ layer: dense({ units: 2, name: "step" }), ...sequence }),
      tf.layers.flatten(),
    ),
  "a model at every step of a sequence": () =>
    inSequence(tf.layers.timeDistributed({ layer: small(), ...sequence }), tf.layers.flatten()),
  "masks": () =>
    inSequence(
      tf.layers.embedding({ inputDim: 4, outputDim: 2, maskZero: true, inputLength: 3 }),
      tf.layers.simpleRNN({ units: 2 }),
    ),
  "moving averages": () =>
    inSequence(
      dense({ units: 2, inputShape: [2] }),
      tf.layers.batchNormalization(),
      tf.layers.prelu(),
      tf.layers.layerNormalization(),
    ),
  "convolutions": () =>
    inSequence(
      tf.layers.conv2d({ filters: 2, kernelSize: 2, inputShape: [4, 4, 1] }),
      tf.layers.separableConv2d({ filters: 2, kernelSize: 2 }),
      tf.layers.depthwiseConv2d({ kernelSize: 2 }),
      tf.layers.reshape({ targetShape: [2] }),
    ),
  "an embedding that chooses its own dtype": () =>
    inSequence(tf.layers.embedding({ inputDim: 2, outputDim: 2, inputLength: 3 }), tf.layers.flatten()),
  "a frozen layer": () => {
    const model = small();
    model.layers.forEach((layer, i) => layer.trainable = i > 0);
    return { model: compiled(model) };
  },
  "a frozen model": () => {
    const model = small();
    model.trainable = false;
    return { model };
  },
  "a layer frozen without compiling again": () => {
    const model = compiled(small());
    model.layers.forEach((layer, i) => layer.trainable = i > 0);
    return { model };
  },
  "regularizers, and constraints that training does not apply": () =>
    inSequence(
      dense({ units: 2, inputShape: [2], kernelConstraint: "unitNorm", biasConstraint: "nonNeg" }),
      dense({ units: 2, kernelRegularizer: tf.regularizers.l1l2({ l1: 0.1, l2: 0.2 }) }),
      tf.layers.dropout({ rate: 0.5, seed: 1 }),
    ),
  "names like those that tfjs makes up": () => ({
    model: tf.sequential({
      name: "model",
      layers: [dense({ units: 2, inputShape: [2], name: "dense1" }), dense({ units: 2, name: "dense_Flatten2" })],
    }),
  }),
  "an input with a name": () => {
    const x = input({ shape: [2], name: "image_input", dtype: "int32" });
    const words = tf.layers.embedding({ inputDim: 3, outputDim: 2 }).apply(x) as tf.SymbolicTensor;
    return { model: tf.model({ inputs: x, outputs: words }) };
  },
  "an optimizer of a model by itself, too": () => {
    const model = compiled(small());
    return { model, optimizer: model.optimizer };
  },
  "an optimizer of two models": () => {
    const optimizer = tf.train.adam(0.1);
    return { a: compiled(small(), { optimizer }), b: compiled(small(), { optimizer }) };
  },
  "a model under two names": () => {
    const model = compiled(small());
    return { online: model, target: model };
  },
  "a model on another's features": () => {
    const base = compiled(small());
    return { base, head: headOf(base) };
  },
  "a model on another's features, before it": () => {
    const base = compiled(small());
    return { head: headOf(base), base };
  },
  "a generator and its critic": gan,
};

/** Models by what is special about them, as a subject of the laws. */
export function modelSubject(name: string): Subject {
  return { make: models[name] ?? small, train: trainModels, probe: probeModels };
}
