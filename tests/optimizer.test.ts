import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import {
  captureState,
  explain,
  fit,
  fitDataset,
  memory,
  restoreInto,
  restoreState,
  Rng,
  runOrThrow,
  setLearningRate,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import {
  allOrNothing,
  backInto,
  canonical,
  idOf,
  immutable,
  left,
  noTrace,
  right,
  roundTrip,
  type Subject,
  throughStore,
} from "./laws.ts";
import { AdamW, DecayingSGD, LionByPosition, LionOfTensors, Lookahead, optimizers } from "./optimizer_classes.ts";

before(async () => void await tf.setBackend("cpu"));

// --- what is trained

interface State {
  readonly optimizer: tf.Optimizer;
  readonly a: tf.Variable;
  readonly b: tf.Variable;
}

/** Two variables without names and an optimizer, which comes first: what it refers to is another component's. */
function bare(make: () => tf.Optimizer): () => State {
  return () => ({
    optimizer: make(),
    a: tf.variable(tf.tensor1d([1, -2, 3])),
    b: tf.variable(tf.tensor2d([[0.5], [2]])),
  });
}

function step({ optimizer, a, b }: State): void {
  optimizer.minimize(() => a.square().sum().add(b.sub(0.25).square().sum().mul(2)).asScalar(), false, [a, b]);
}

interface Compiled {
  readonly model: tf.LayersModel;
}

function compiled(make: () => tf.Optimizer): () => Compiled {
  return () => {
    const [model] = Rng.withRandom(Rng.make(5))(() =>
      tf.sequential({
        layers: [
          tf.layers.dense({ units: 3, activation: "tanh", inputShape: [2] }),
          tf.layers.batchNormalization(),
          tf.layers.dense({ units: 1, name: "head" }),
        ],
      })
    );
    model.compile({ optimizer: make(), loss: "meanSquaredError" });
    return { model };
  };
}

const x = (): tf.Tensor => tf.tensor2d([[0, 1], [1, 0.5], [-1, 2], [0.3, 0.2]]);
const y = (): tf.Tensor => tf.tensor2d([[1], [-1], [0.5], [2]]);

async function epoch({ model }: Compiled): Promise<void> {
  const [xs, ys] = [x(), y()];
  await model.trainOnBatch(xs, ys);
  tf.dispose([xs, ys]);
}

/** Every variable's bits, in words. */
function bits(state: State | Compiled): string {
  const tensors = "model" in state ? state.model.getWeights() : [state.a, state.b];
  return tensors.map((tensor) => [...new Uint32Array(tensor.dataSync().slice().buffer)].join()).join(";");
}

// --- laws

/** Saved at every step, and resumed afresh, into a new live one and into a trained one: each ends as the uninterrupted run. */
async function sameBits<S extends State | Compiled>(
  make: () => S,
  train: (state: S) => unknown,
  steps: number,
): Promise<void> {
  const whole = make();
  for (let i = 0; i < steps; i++) await train(whole);
  const expected = bits(whole);
  const run = make();
  for (let i = 0; i <= steps; i++) {
    using snapshot = captureState(run);
    const warm = make();
    for (let k = 0; k < 2; k++) await train(warm);
    for (const resumed of [restoreState(snapshot), restoreInto(make())(snapshot)(), restoreInto(warm)(snapshot)()]) {
      const state = right(resumed) as S;
      for (let k = i; k < steps; k++) await train(state);
      assert.equal(bits(state), expected, `resumed at step ${i}`);
    }
    await train(run);
  }
}

for (const [name, make] of Object.entries(optimizers)) {
  describe(`optimizers of the user's own: ${name}`, () => {
    const cases: Readonly<Record<string, Subject>> = {
      "with bare variables": { make: bare(make), train: step, probe: (state: State) => [step(state), bits(state)] },
      "in a compiled model": { make: compiled(make), train: epoch },
    };
    for (const [where, subject] of Object.entries(cases)) {
      test(`same bits at every step, ${where}`, () =>
        sameBits(subject.make as () => State, subject.train as (state: State) => unknown, 7));
      test(`round trip, ${where}`, () => roundTrip(subject));
      test(`back from later, ${where}`, () => backInto(subject));
      test(`no trace, ${where}`, () => noTrace(subject));
      test(`immutable, ${where}`, () => immutable(subject));
      test(`canonical, ${where}`, async () => {
        const make = (): object => {
          const made = subject.make();
          for (let i = 0; i < 2; i++) subject.train?.(made);
          return made;
        };
        if (where === "with bare variables") await canonical({ ...subject, make });
      });
      test(`round trip through a store, ${where}`, () => throughStore(memory(), subject));
    }
  });
}
