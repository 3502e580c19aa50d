/**
 * The runs by which *same bits* is proved: small networks, but everything a run can carry decides their next bits.
 *
 * Dropout draws from `rng`, batch normalisation moves its averages, optimizers accumulate and change their rate on the way, and a loader
 * shuffles each epoch anew. All of it is in the state; a run that forgets any of it ends with other bits.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { Loader, pipe, Rng, Scaler, Schedule, setLearningRate } from "../../mod.ts";

// --- types

/** One sample: four features and a target. */
interface Sample {
  readonly x: readonly number[];
  readonly y: number;
}

/** What every run carries. */
interface Common {
  readonly cursor: Loader.Cursor;
  readonly step: number;
}

/** The start and the step of a run; a step disposes of the tensors that it replaces. */
export interface Run<S extends Common = Common> {
  readonly make: () => S;
  readonly step: (state: S, batch: readonly Sample[]) => S | Promise<S>;
}

interface Trained extends Common {
  readonly model: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
  readonly rng: Rng.Rng;
}

// --- data

/** How many steps a whole run has: five epochs. */
export const total = 25;

const batchSize = 3;

const samples = Array.from({ length: 15 }, (_, i): Sample => {
  const x = [1, 3, 7, 11].map((factor) => ((i + 1) * factor % 16) / 8 - 1);
  return { x, y: (x[0]! + x[1]! * x[2]! - x[3]!) / 2 };
});

/** The data of every run, for ever. */
export const batches: Loader.Loader<readonly Sample[]> = pipe(
  Loader.fromArray(samples),
  Loader.shuffle(7),
  Loader.batch(batchSize),
  Loader.repeat(),
);

function tensors(batch: readonly Sample[]): { readonly x: tf.Tensor2D; readonly y: tf.Tensor2D } {
  return { x: tf.tensor2d(batch.map(({ x }) => [...x])), y: tf.tensor2d(batch.map(({ y }) => [y])) };
}

// --- parts of runs

const { batchNormalization, dense, dropout, lstm } = tf.layers;

function network(): tf.Sequential {
  return tf.sequential({
    layers: [
      dense({ units: 4, activation: "softsign", useBias: false, inputShape: [4] }),
      batchNormalization(),
      dropout({ rate: 0.25 }),
      dense({ units: 1 }),
    ],
  });
}

/** The start of a run that trains one model by one optimizer. */
function begin(optimizer: () => tf.Optimizer, build: () => tf.LayersModel = network): Trained {
  const [model, rng] = Rng.withRandom(Rng.make(42))(build);
  return { model, optimizer: optimizer(), rng, cursor: Loader.start(batches), step: 0 };
}

function variablesOf(model: tf.LayersModel): tf.Variable[] {
  return model.trainableWeights.map((weight) => weight.read() as tf.Variable);
}

function lossOf(model: tf.LayersModel, batch: readonly Sample[]): tf.Scalar {
  const { x, y } = tensors(batch);
  const [, ...shape] = model.inputs[0]!.shape as number[];
  return tf.losses.meanSquaredError(
    y,
    model.apply(x.reshape([batch.length, ...shape]), { training: true }) as tf.Tensor,
  );
}

/** One step of a model by its optimizer, and the loss before it. */
function trained<S extends Trained>(state: S, batch: readonly Sample[]): readonly [S, loss: number] {
  const { model, optimizer } = state;
  const [loss, rng] = Rng.withRandom(state.rng)(() =>
    tf.tidy(() => optimizer.minimize(() => lossOf(model, batch), true, variablesOf(model))!.dataSync()[0]!)
  );
  return [{ ...state, rng, step: state.step + 1 }, loss];
}

/** A run whose optimizer changes its rate on the way. */
function byOptimizer(make: () => tf.Optimizer, build?: () => tf.LayersModel): Run<Trained> {
  return {
    make: () => begin(make, build),
    step: (state, batch) => {
      if (state.step === 5) setLearningRate(state.optimizer, 0.02)();
      return trained(state, batch)[0];
    },
  };
}

/** Gradients by the names of the model's variables. */
function gradientsOf(state: Trained, loss: () => tf.Scalar): readonly [tf.NamedTensorMap, Rng.Rng] {
  return Rng.withRandom(state.rng)(() => {
    const { value, grads } = tf.variableGrads(loss, variablesOf(state.model));
    value.dispose();
    return grads;
  });
}

// --- runs

const rate = 0.05;

/** One run for each of tfjs's optimizers, and for each that a flag makes another one. */
const optimizers: Readonly<Record<string, () => tf.Optimizer>> = {
  sgd: () => tf.train.sgd(rate),
  momentum: () => tf.train.momentum(rate, 0.9),
  nesterov: () => tf.train.momentum(rate, 0.9, true),
  adagrad: () => tf.train.adagrad(rate),
  adadelta: () => tf.train.adadelta(rate, 0.9),
  adam: () => tf.train.adam(rate),
  "adamax with decay": () => tf.train.adamax(rate, 0.9, 0.999, 1e-8, 0.01),
  rmsprop: () => tf.train.rmsprop(rate),
  "rmsprop with momentum": () => tf.train.rmsprop(rate, 0.9, 0.5),
  "rmsprop, centered": () => tf.train.rmsprop(rate, 0.9, 0.5, 1e-12, true),
};

/** A model that is compiled, and owns its optimizer; a layer that was frozen then stays so when it is thawed, until it is compiled again. */
const compiled: Run<Common & { readonly model: tf.LayersModel }> = {
  make: () => {
    // What a compiled model draws it draws asynchronously, so its dropout has a seed.
    const [model] = Rng.withRandom(Rng.make(42))(() =>
      tf.sequential({
        layers: [
          dense({ units: 4, activation: "relu", inputShape: [4] }),
          batchNormalization(),
          dropout({ rate: 0.25, seed: 3 }),
          dense({ units: 1 }),
        ],
      })
    );
    model.layers[0]!.trainable = false;
    model.compile({ optimizer: "adam", loss: "meanSquaredError", metrics: ["mae"] });
    return { model, cursor: Loader.start(batches), step: 0 };
  },
  step: async (state, batch) => {
    if (state.step === 5) state.model.layers[0]!.trainable = true;
    const { x, y } = tensors(batch);
    await state.model.trainOnBatch(x, y);
    tf.dispose([x, y]);
    return { ...state, step: state.step + 1 };
  },
};

/** A recurrent model that remembers from batch to batch, with weights that its constraints would not let be set. */
function remembering(): tf.LayersModel {
  return tf.sequential({
    layers: [
      lstm({
        units: 3,
        stateful: true,
        batchInputShape: [batchSize, 2, 2],
        kernelConstraint: "maxNorm",
        recurrentConstraint: "unitNorm",
      }),
      batchNormalization(),
      dropout({ rate: 0.25 }),
      dense({ units: 1, kernelConstraint: tf.constraints.maxNorm({ maxValue: 0.5 }) }),
    ],
  });
}

/** Variables with no model, found by the optimizer itself among all there are. */
const variables: Run<Common & Readonly<Record<"w" | "b" | "v", tf.Variable>> & { readonly optimizer: tf.Optimizer }> = {
  make: () => {
    const w = tf.variable(tf.tensor2d([0.1, -0.2, 0.3, -0.4], [4, 1]));
    const b = tf.variable(tf.scalar(0));
    const v = tf.variable(tf.tensor2d([0.5, 0.25, -0.125, -0.5], [4, 1]));
    // In another order than the one in which the optimizer meets them.
    return { optimizer: tf.train.adam(rate), b, v, w, cursor: Loader.start(batches), step: 0 };
  },
  step: (state, batch) => {
    const { w, b, v, optimizer } = state;
    tf.tidy(() => {
      const { x, y } = tensors(batch);
      optimizer.minimize(() => tf.losses.meanSquaredError(y, x.matMul(w).add(b).mul(x.matMul(v).add(1))));
    });
    return { ...state, step: state.step + 1 };
  },
};

/** A generator and a discriminator, each with an optimizer, and the model of both through which the generator learns. */
const gan: Run<
  & Common
  & Readonly<Record<"generator" | "discriminator" | "combined", tf.LayersModel>>
  & Readonly<Record<"generating" | "discriminating", tf.Optimizer>>
  & { readonly rng: Rng.Rng }
> = {
  make: () => {
    const [models, rng] = Rng.withRandom(Rng.make(42))(() => {
      const generator = tf.sequential({
        layers: [dense({ units: 4, activation: "relu", inputShape: [2] }), batchNormalization(), dense({ units: 4 })],
      });
      const discriminator = tf.sequential({
        layers: [
          dense({ units: 4, activation: "relu", inputShape: [4] }),
          dropout({ rate: 0.25 }),
          dense({ units: 1 }),
        ],
      });
      const outputs = discriminator.apply(generator.outputs) as tf.SymbolicTensor;
      // In another order than the one in which they came to be.
      return { combined: tf.model({ inputs: generator.inputs, outputs }), discriminator, generator };
    });
    return {
      ...models,
      generating: tf.train.adam(rate, 0.5),
      discriminating: tf.train.rmsprop(rate / 2),
      rng,
      cursor: Loader.start(batches),
      step: 0,
    };
  },
  step: (state, batch) => {
    const { generator, discriminator, combined, generating, discriminating } = state;
    const [draws, drawn] = Rng.floats(2 * batchSize)(state.rng);
    const [, rng] = Rng.withRandom(drawn)(() =>
      tf.tidy(() => {
        const noise = tf.tensor2d([...draws], [batchSize, 2]);
        const fakes = generator.predict(noise) as tf.Tensor;
        const verdict = (model: tf.LayersModel, input: tf.Tensor, wanted: number): tf.Scalar =>
          (model.apply(input, { training: true }) as tf.Tensor).sub(wanted).square().mean();
        discriminating.minimize(
          () => verdict(discriminator, tensors(batch).x, 1).add(verdict(discriminator, fakes, 0)),
          false,
          variablesOf(discriminator),
        );
        generating.minimize(() => verdict(combined, noise, 1), false, variablesOf(generator));
      })
    );
    return { ...state, rng, step: state.step + 1 };
  },
};

/** Gradients of four micro-batches make one step of the optimizer; a step of the run is one micro-batch. */
const accumulation: Run<Trained & { readonly sums: readonly tf.Tensor[] }> = {
  make: () => {
    const state = begin(() => tf.train.adam(rate));
    return { ...state, sums: variablesOf(state.model).map((variable) => tf.zerosLike(variable)) };
  },
  step: (state, batch) => {
    const micro = 4;
    const [grads, rng] = gradientsOf(state, () => tf.tidy(() => lossOf(state.model, batch)));
    const names = variablesOf(state.model).map(({ name }) => name);
    const sums = tf.tidy(() => {
      const sums = names.map((name, i) => state.sums[i]!.add(grads[name]!));
      if (state.step % micro !== micro - 1) return sums;
      state.optimizer.applyGradients(Object.fromEntries(names.map((name, i) => [name, sums[i]!.div(micro)])));
      return sums.map((sum) => tf.zerosLike(sum));
    });
    tf.dispose([grads, state.sums as tf.Tensor[]]);
    return { ...state, rng, sums, step: state.step + 1 };
  },
};

/** A rate that falls when the loss does not. */
const plateau: Run<Trained & { readonly schedule: Schedule.Schedule }> = {
  make: () => ({
    ...begin(() => tf.train.momentum(rate, 0.9)),
    schedule: Schedule.plateau({ base: rate, factor: 0.5, patience: 3, cooldown: 2 }),
  }),
  step: (state, batch) => {
    setLearningRate(state.optimizer, Schedule.rate(state.schedule))();
    const [next, loss] = trained(state, batch);
    return { ...next, schedule: Schedule.next(state.schedule, loss) };
  },
};

/** A loss scale that grows until the gradients overflow: that step is skipped, and the scale halved. */
const scaling: Run<Trained & { readonly scaler: Scaler.Scaler; readonly skipped: number }> = {
  make: () => ({
    ...begin(() => tf.train.adam(rate)),
    scaler: Scaler.make({ scale: 2 ** 120, growthInterval: 3 }),
    skipped: 0,
  }),
  step: (state, batch) => {
    const [grads, rng] = gradientsOf(
      state,
      () => tf.tidy(() => Scaler.scale(state.scaler)(lossOf(state.model, batch))),
    );
    const unscaled = Scaler.unscale(state.scaler)(grads);
    const overflow = unscaled.overflow.dataSync()[0] === 1;
    if (!overflow) state.optimizer.applyGradients(unscaled.grads);
    tf.dispose([grads, unscaled.grads, unscaled.overflow]);
    const skipped = state.skipped + Number(overflow);
    return { ...state, rng, scaler: Scaler.update(overflow)(state.scaler), skipped, step: state.step + 1 };
  },
};

/** Every run by its name. */
// deno-lint-ignore no-explicit-any -- each run knows its own state
export const runs: Readonly<Record<string, Run<any>>> = {
  ...Object.fromEntries(Object.entries(optimizers).map(([name, make]) => [name, byOptimizer(make)])),
  "adam of a compiled model": compiled,
  "adam over bare variables": variables,
  "a stateful recurrent model": byOptimizer(() => tf.train.adam(rate), remembering),
  "a generator and its discriminator": gan,
  "gradient accumulation": accumulation,
  "a plateau of the loss": plateau,
  "an overflow of the loss scale": scaling,
};

/**
 * Takes a run on by some steps.
 *
 * @param onStep Receives each state after its step.
 */
export async function advance<S extends Common>(
  run: Run<S>,
  from: S,
  steps: number,
  onStep: (state: S) => void = () => {},
): Promise<S> {
  let state = from;
  let left = steps;
  for await (const [batch, cursor] of Loader.from(state.cursor)(batches)) {
    if (left-- === 0) break;
    state = { ...await run.step(state, batch), cursor };
    onStep(state);
  }
  return state;
}
