/**
 * Runs that go on from their snapshots alone: nothing here builds a model, an optimizer or a loader, or knows how any was built.
 *
 *     alone.ts <folder>   restores every run of which there is a store in the folder, trains it on and prints its id
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { captureState, directory, id, pipe, readSnapshot, restoreState, Rng, runOrThrow } from "../../mod.ts";

type Parts = Readonly<Record<string, unknown>>;

function ofClass<A>(state: Parts, is: (part: unknown) => part is A): readonly A[] {
  return Object.values(state).filter(is);
}

const isModel = (part: unknown): part is tf.LayersModel => part instanceof tf.LayersModel;
const isOptimizer = (part: unknown): part is tf.Optimizer => typeof part === "object" && part instanceof tf.Optimizer;
const isVariable = (part: unknown): part is tf.Variable => part instanceof tf.Variable;

function variablesOf(model: tf.LayersModel): tf.Variable[] {
  return model.trainableWeights.map((weight) => weight.read() as tf.Variable);
}

function inputOf(model: tf.LayersModel): tf.Tensor {
  const shape = (model.inputs[0] as tf.SymbolicTensor).shape.map((size) => size ?? 2);
  return tf.linspace(-1, 1, tf.util.sizeFromShape(shape)).reshape(shape);
}

function lossOf(model: tf.LayersModel): tf.Scalar {
  return (model.apply(inputOf(model), { training: true }) as tf.Tensor).square().mean();
}

/** How many accumulators an optimizer keeps of each sort. */
function slotsOf(optimizer: tf.Optimizer): number {
  return Math.max(...Object.values(optimizer).map((field) => Array.isArray(field) ? field.length : 0));
}

/** Three steps of everything that a state can train: compiled models by themselves, others and bare variables by its optimizers. */
export async function goOn(state: Parts): Promise<string> {
  let rng = (state["rng"] ?? Rng.make(1)) as Rng.Rng;
  for (let step = 0; step < 3; step++) {
    for (const model of ofClass(state, isModel).filter((model) => model.optimizer)) {
      const [x, y] = [inputOf(model), tf.ones([2, 1])];
      await model.trainOnBatch(x, y);
      tf.dispose([x, y]);
    }
    for (const optimizer of ofClass(state, isOptimizer)) {
      const [models, slots] = [ofClass(state, isModel), slotsOf(optimizer)];
      const model = models.find((model) => slots === 0 || model.trainableWeights.length === slots);
      [, rng] = Rng.withRandom(rng)(() =>
        tf.tidy(() => {
          if (model !== undefined) optimizer.minimize(() => lossOf(model), false, variablesOf(model));
          else optimizer.minimize(() => tf.addN(ofClass(state, isVariable).map((v) => v.square().sum())).asScalar());
        })
      );
    }
  }
  return await id(captureState({ ...state, rng }))();
}

if (import.meta.main) {
  const folder = process.argv[2] ?? "";
  await tf.setBackend("cpu");
  for (const name of (await readdir(folder)).sort()) {
    const state = await pipe(
      readSnapshot(directory(join(folder, name))),
      TE.flatMap((snapshot) => TE.fromEither(restoreState(snapshot))),
      runOrThrow,
    );
    process.stdout.write(`${JSON.stringify([name, await goOn(state as Parts)])}\n`);
    tf.disposeVariables();
  }
}
