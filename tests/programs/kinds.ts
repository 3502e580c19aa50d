/**
 * Thirteen kinds of network, six more with masks, and tfjs's seven optimizers: what is trained, in each pairing, by one loop.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

// --- types

/** A kind of network: how it is built, and what it sees of samples that are numbers. */
export interface Network {
  readonly build: () => tf.LayersModel;
  readonly inputs: (samples: readonly number[]) => tf.Tensor | tf.Tensor[];
}

// --- data

/** How many samples a batch has; a stateful network is built for as many. */
export const batchSize = 4;

/** So many numbers in [-1, 1) for each sample, as a tensor of a shape. */
function features(shape: readonly number[], salt = 1): (samples: readonly number[]) => tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return (samples) =>
    tf.tensor(
      samples.flatMap((k) => Array.from({ length: size }, (_, i) => ((k + salt) * (2 * i + 3) * 7 % 16) / 8 - 1)),
      [samples.length, ...shape],
    );
}

/** What a network is to say of each sample. */
export function targets(samples: readonly number[]): tf.Tensor2D {
  return tf.tensor2d(samples.map((k) => [(k * 5 % 8) / 8]));
}

// --- networks

const { layers } = tf;

function chain(...parts: readonly tf.layers.Layer[]): tf.LayersModel {
  return tf.sequential({ layers: [...parts, layers.dense({ units: 1 })] });
}

/** Two inputs through one shared layer, each attending to the other, and two outputs. */
function attention(): tf.LayersModel {
  const [a, b] = [tf.input({ shape: [3, 4] }), tf.input({ shape: [3, 4] })];
  const shared = layers.dense({ units: 4, activation: "tanh" });
  const [query, key] = [shared.apply(a), shared.apply(b)] as tf.SymbolicTensor[];
  const scores = layers.dot({ axes: 2 }).apply([query!, key!]) as tf.SymbolicTensor;
  const weights = layers.activation({ activation: "softmax" }).apply(scores) as tf.SymbolicTensor;
  const context = layers.dot({ axes: 1 }).apply([weights, key!]) as tf.SymbolicTensor;
  const joined = layers.concatenate().apply([query!, context]) as tf.SymbolicTensor;
  const flat = layers.flatten().apply(joined) as tf.SymbolicTensor;
  const outputs = [1, 2].map(() => layers.dense({ units: 1 }).apply(flat) as tf.SymbolicTensor);
  return tf.model({ inputs: [a, b], outputs });
}

/** A model in a model, with a leaky activation that learns and weights that constraints would not let be set. */
function nested(): tf.LayersModel {
  const inner = tf.sequential({
    layers: [
      layers.dense({ units: 4, inputShape: [4], kernelConstraint: "unitNorm" }),
      layers.prelu({ alphaInitializer: "glorotUniform" }),
    ],
  });
  const input = tf.input({ shape: [4] });
  const added = layers.add().apply([input, inner.apply(input) as tf.SymbolicTensor]) as tf.SymbolicTensor;
  return tf.model({ inputs: input, outputs: layers.dense({ units: 1 }).apply(added) as tf.SymbolicTensor });
}

/** Every kind by its name. */
export const networks: Readonly<Record<string, Network>> = {
  dense: {
    build: () => chain(layers.dense({ units: 6, activation: "tanh", inputShape: [4] })),
    inputs: features([4]),
  },
  "2-d convolution": {
    build: () =>
      chain(
        layers.conv2d({ filters: 2, kernelSize: 3, activation: "relu", inputShape: [6, 6, 1] }),
        layers.maxPooling2d({ poolSize: 2 }),
        layers.flatten(),
      ),
    inputs: features([6, 6, 1]),
  },
  "1-d convolution": {
    build: () =>
      chain(
        layers.conv1d({ filters: 3, kernelSize: 3, activation: "sigmoid", inputShape: [6, 2] }),
        layers.globalAveragePooling1d(),
      ),
    inputs: features([6, 2]),
  },
  "separable and depthwise": {
    build: () =>
      chain(
        layers.separableConv2d({ filters: 2, kernelSize: 2, depthMultiplier: 2, inputShape: [5, 5, 2] }),
        layers.depthwiseConv2d({ kernelSize: 2, activation: "elu" }),
        layers.flatten(),
      ),
    inputs: features([5, 5, 2]),
  },
  "batch normalization": {
    build: () =>
      chain(
        layers.dense({ units: 5, useBias: false, inputShape: [4] }),
        layers.batchNormalization(),
        layers.activation({ activation: "softsign" }),
      ),
    inputs: features([4]),
  },
  "layer normalization": {
    build: () => chain(layers.dense({ units: 5, inputShape: [4] }), layers.layerNormalization()),
    inputs: features([4]),
  },
  "LSTM, stateful": {
    build: () => chain(layers.lstm({ units: 3, stateful: true, batchInputShape: [batchSize, 3, 2] })),
    inputs: features([3, 2]),
  },
  GRU: {
    build: () => chain(layers.gru({ units: 3, recurrentDropout: 0.25, inputShape: [3, 2] })),
    inputs: features([3, 2]),
  },
  bidirectional: {
    build: () =>
      chain(
        layers.bidirectional({ layer: layers.lstm({ units: 2, returnSequences: true }), inputShape: [3, 2] }),
        layers.timeDistributed({ layer: layers.dense({ units: 2 }) }),
        layers.flatten(),
      ),
    inputs: features([3, 2]),
  },
  embedding: {
    build: () =>
      chain(layers.embedding({ inputDim: 8, outputDim: 3, inputLength: 4 }), layers.globalAveragePooling1d()),
    // A sample may contain a word more than once: gradients of one row are added.
    inputs: (samples) => tf.tensor2d(samples.map((k) => [k % 8, (3 * k) % 8, k % 8, (k + 1) % 8])),
  },
  "attention, two inputs and outputs": {
    build: attention,
    inputs: (samples) => [features([3, 4])(samples), features([3, 4], 5)(samples)],
  },
  "dropout and noise": {
    build: () =>
      chain(
        layers.dense({ units: 6, inputShape: [4] }),
        layers.gaussianNoise({ stddev: 0.1 }),
        layers.dropout({ rate: 0.25 }),
        layers.alphaDropout({ rate: 0.1 }),
        layers.gaussianDropout({ rate: 0.1 }),
      ),
    inputs: features([4]),
  },
  "nested, PReLU, constraints": { build: nested, inputs: features([4]) },
};

/** So many steps of two numbers for each sample, one of the steps all zeros: what `masking` leaves out. */
function gaps(shape: readonly number[]): (samples: readonly number[]) => tf.Tensor {
  return (samples) =>
    tf.tidy(() => {
      const steps = shape[0] as number;
      const kept = tf.tensor(
        samples.flatMap((k) => Array.from({ length: steps }, (_, i) => i === k % steps ? 0 : 1)),
        [samples.length, steps, ...shape.slice(1).map(() => 1)],
      );
      // Never 0 where it is not masked.
      return features(shape)(samples).add(1.0625).mul(kept);
    });
}

/** Words of which some are 0: what `embedding({ maskZero: true })` leaves out. */
function words(samples: readonly number[]): tf.Tensor {
  return tf.tensor2d(samples.map((k) => [1 + k % 7, 0, 1 + (3 * k) % 7, k % 2]));
}

const masking = (): tf.layers.Layer => layers.masking({ maskValue: 0, inputShape: [3, 2] });
const embedding = (): tf.layers.Layer =>
  layers.embedding({ inputDim: 8, outputDim: 3, inputLength: 4, maskZero: true });

/** Every recurrent layer behind a mask, by its name: what WebGPU does not transpose. */
export const masked: Readonly<Record<string, Network>> = {
  "masked simple RNN": { build: () => chain(masking(), layers.simpleRNN({ units: 3 })), inputs: gaps([3, 2]) },
  "masked GRU, words": { build: () => chain(embedding(), layers.gru({ units: 3 })), inputs: words },
  "masked LSTM, stateful": {
    build: () =>
      chain(
        layers.masking({ maskValue: 0, batchInputShape: [batchSize, 3, 2] }),
        layers.lstm({ units: 3, stateful: true }),
      ),
    inputs: gaps([3, 2]),
  },
  "masked bidirectional": {
    build: () => chain(masking(), layers.bidirectional({ layer: layers.gru({ units: 2 }), mergeMode: "sum" })),
    inputs: gaps([3, 2]),
  },
  "masked LSTM, words": { build: () => chain(embedding(), layers.lstm({ units: 3 })), inputs: words },
  "masked convolutional LSTM": {
    build: () =>
      chain(
        layers.masking({ maskValue: 0, inputShape: [3, 4, 4, 1] }),
        layers.convLstm2d({ filters: 1, kernelSize: 2, padding: "same" }),
        layers.flatten(),
      ),
    inputs: gaps([3, 4, 4, 1]),
  },
};

const rate = 0.02;

/**
 * tfjs's optimizers, with the options that give them the most state; but RMSProp is not centered, for tfjs then subtracts epsilon under a
 * root, and a weight whose gradient is 0 is NaN from its first step.
 */
export const optimizers: Readonly<Record<string, () => tf.Optimizer>> = {
  sgd: () => tf.train.sgd(rate),
  momentum: () => tf.train.momentum(rate, 0.9, true),
  adagrad: () => tf.train.adagrad(rate),
  adadelta: () => tf.train.adadelta(rate, 0.9),
  adam: () => tf.train.adam(rate),
  adamax: () => tf.train.adamax(rate, 0.9, 0.999, 1e-8, 0.01),
  rmsprop: () => tf.train.rmsprop(rate, 0.9, 0.5),
};
