/**
 * The option `restoreBest` of `fit` and `fitDataset`: the weights of the best epoch, and nothing else changed, also when killed and resumed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import {
  type DogearError,
  explain,
  fit,
  fitDataset,
  type FitOptions,
  list,
  loadModel,
  memory,
  type RestoreBest,
  Retention,
  type Store,
} from "../../mod.ts";
import { layerFields } from "../../lib/tfjs/private_fields.ts";
import { networks } from "../support/fits.ts";
import { torture, triedHere } from "../support/torture.ts";

await tf.setBackend("cpu");

const network = networks[0]!;
const [x, y] = [network.x() as tf.Tensor, network.y() as tf.Tensor];
const lowest: RestoreBest = { metric: "val_loss", mode: "min" };
const labels = (logs: Readonly<Record<string, number>>): Record<string, number> => ({ val_loss: logs["val_loss"]! });

type Weights = readonly (readonly number[])[];

/** How often callbacks are called and when one throws, and what changes the training. */
interface Course {
  readonly epochs?: number;
  readonly crashAt?: number;
  /** In place of the logged value of each epoch. */
  readonly values?: readonly number[];
  readonly stopAfter?: number;
  readonly onTrainEnd?: (model: tf.LayersModel) => void;
  readonly byDataset?: boolean;
}

interface Result {
  readonly weights: Weights;
  readonly optimizer: Weights;
  readonly history: unknown;
  /** The weights at the end of each epoch of this process, before anything in `onEpochEnd` changes them. */
  readonly epochs: readonly Weights[];
  readonly calls: number;
}

function weightsOf(model: tf.LayersModel): Weights {
  return layerFields(model).weights.map(({ val }) => [...val.dataSync()]);
}

async function trained(
  options: FitOptions,
  { epochs = 4, crashAt = Infinity, values = [], stopAfter = Infinity, onTrainEnd, byDataset = false }: Course = {},
): Promise<Result> {
  const model = network.build();
  const seen: Weights[] = [];
  let calls = 0;
  const call = (): void => void (++calls === crashAt && assert.fail("crash"));
  const callbacks: tf.CustomCallbackArgs = {
    onBatchEnd: call,
    onEpochEnd: (epoch, logs) => {
      seen[epoch] = weightsOf(model);
      if (values[epoch] !== undefined) logs!["val_loss"] = values[epoch];
      if (epoch + 1 >= stopAfter) (model as tf.Sequential).stopTraining = true;
      call();
    },
    onTrainEnd: () => {
      onTrainEnd?.(model);
      call();
    },
  };
  const data = (from: number, to: number): tf.data.Dataset<tf.TensorContainer> =>
    tf.data.array((x.arraySync() as number[][]).map((xs, i) => ({ xs, ys: (y.arraySync() as number[][])[i]! })))
      .skip(from).take(to - from).batch(7);
  const { history } =
    await (byDataset
      ? fitDataset(options)(model, data(0, 16), { epochs, verbose: 0, callbacks, validationData: data(16, 20) })
      : fit(options)(model, x, y, { epochs, batchSize: 7, validationSplit: 0.2, verbose: 0, callbacks }));
  const optimizer = (await model.optimizer.getWeights()).map(({ tensor }) => [...tensor.dataSync()]);
  return { weights: weightsOf(model), optimizer, history, epochs: seen, calls };
}

async function left(options: FitOptions, args: tf.ModelFitArgs = {}): Promise<DogearError> {
  const more = { epochs: 3, batchSize: 7, validationSplit: 0.2, verbose: 0 as const, callbacks: {}, ...args };
  const result = await fit(options)(network.build(), x, y, more)();
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

/** What is the same with and without the option. */
function others({ optimizer, history, epochs, calls }: Result): unknown {
  return { optimizer, history, epochs, calls };
}

for (const byDataset of triedHere([false, true])) {
  const by = byDataset ? "fitDataset" : "fit";
  const values = [4, 1, 1, 3];

  test(`restoreBest: ${by} ends with the weights of the best epoch, and changes nothing else`, async () => {
    const plain = await trained({ to: memory() }, { byDataset, values });
    const cases: readonly (readonly [readonly number[], RestoreBest["mode"], number])[] = [
      [values, "min", 2],
      [values, "max", 0],
      [[NaN, Infinity, NaN, NaN], "min", 1],
      [[NaN, NaN, NaN, NaN], "min", 3],
    ];
    for (const [values, mode, best] of cases) {
      const found = await trained({ to: memory(), restoreBest: { metric: "val_loss", mode } }, { byDataset, values });
      assert.deepEqual(found.weights, plain.epochs[best], `${values} ${mode}`);
      if (!values.some(Number.isNaN)) assert.deepEqual(others(found), others(plain));
    }
  });

  test(`restoreBest: same bits: ${by} killed at any call and resumed, with retention of the newest alone`, async () => {
    // The best epoch is the first, so that most kills come after it.
    const early = [1, 4, 3, 2];
    const straight = await trained({ to: memory(), restoreBest: lowest }, { byDataset, values: early });
    const stride = Math.max(1, Math.round(7 / torture));
    for (let crashAt = 1 + Math.floor(Math.random() * stride); crashAt <= straight.calls; crashAt += stride) {
      const options = { to: memory({ keep: Retention.latest(1) }), every: 1 + crashAt % 3, restoreBest: lowest };
      await assert.rejects(trained(options, { byDataset, values: early, crashAt }), /crash/);
      await trained(options, { byDataset, values: early, crashAt: crashAt % 4 + 1 }).catch(() => {});
      for (const again of ["resumed", "complete"]) {
        const found = await trained(options, { byDataset, values: early });
        const { weights, optimizer, history } = straight;
        assert.deepEqual([found.weights, found.optimizer, found.history], [weights, optimizer, history], again);
        if (again === "complete") assert.equal(found.calls, 0);
      }
    }
  });
}

test("restoreBest: same bits: more epochs than before continue from the last epoch, and may find a better one", async () => {
  const spoil = (model: tf.LayersModel): void => model.setWeights(model.getWeights().map((weight) => weight.mul(2)));
  const cases: readonly (readonly [readonly number[], Course])[] = [
    [[1, 3, 2, 4], {}],
    [[2, 4, 1, 5], { onTrainEnd: spoil }],
    [[NaN, NaN, NaN, 1], {}],
  ];
  for (const [values, course] of cases) {
    const straight = await trained({ to: memory(), restoreBest: lowest }, { values });
    const to = memory();
    for (const epochs of [1, 2]) await trained({ to, restoreBest: lowest }, { ...course, values, epochs });
    const { weights, optimizer, history } = await trained({ to, restoreBest: lowest }, { values });
    assert.deepEqual([weights, optimizer, history], [straight.weights, straight.optimizer, straight.history]);
  }
});

test("restoreBest: a training that callbacks stop ends with its best weights, also if it stops within its first epoch", async () => {
  const values = [1, 2, 3];
  const found = await trained({ to: memory(), restoreBest: lowest }, { epochs: 9, values, stopAfter: 3 });
  assert.deepEqual(found.weights, found.epochs[0]);
  const model = network.build() as tf.Sequential;
  const callbacks = { onBatchEnd: () => void (model.stopTraining = true) };
  const args = { epochs: 3, batchSize: 7, validationSplit: 0.2, verbose: 0, callbacks } as const;
  const { epoch } = await fit({ to: memory(), restoreBest: lowest })(model, x, y, args);
  assert.deepEqual(epoch, [0]);
});

test("restoreBest: onTrainEnd and the last checkpoint have the best weights, labelled with the metrics of their epoch", async () => {
  const to = memory();
  const values = [3, 1, 4];
  let atEnd: Weights = [];
  const onTrainEnd = (model: tf.LayersModel): void => void (atEnd = weightsOf(model));
  const { epochs, weights } = await trained({ to, restoreBest: lowest, metrics: labels }, {
    epochs: 3,
    values,
    onTrainEnd,
  });
  assert.deepEqual([weights, atEnd], [epochs[1], epochs[1]]);
  const { entries } = await list(to);
  assert.deepEqual(entries.map(({ metrics }) => metrics["val_loss"]), [undefined, 3, 1, 1]);
  for (const checkpoint of [{ best: "val_loss", mode: "min" }, 2, 3] as const) {
    assert.deepEqual(weightsOf(await loadModel(to, { checkpoint })), weights);
  }
});

test("restoreBest: the best weights are those that were measured, whatever onEpochEnd makes of them", async () => {
  const model = network.build();
  const seen: Weights[] = [];
  const callbacks: tf.CustomCallbackArgs = {
    onEpochEnd: (epoch) => {
      seen[epoch] = weightsOf(model);
      model.setWeights(model.getWeights().map((weight) => weight.mul(1.5)));
    },
  };
  const options = { to: memory(), restoreBest: { metric: "loss", mode: "min" } as const };
  const { history } = await fit(options)(model, x, y, { epochs: 3, verbose: 0, callbacks });
  const losses = history["loss"] as number[];
  assert.deepEqual(weightsOf(model), seen[losses.lastIndexOf(Math.min(...losses))]);
});

test("restoreBest: a metric that the model does not have is a TypeError before anything is saved, unless a callback may log it", async () => {
  const [to, restoreBest, monitor] = [memory(), { metric: "val_los", mode: "min" }, "val_loss"] as const;
  const rejected = async (byDataset: boolean, own: Pick<tf.ModelFitArgs, "callbacks">, validates: boolean) => {
    const data = tf.data.zip({ xs: tf.data.array([[1]]), ys: tf.data.array([[1]]) }).batch(1);
    const args = { epochs: 1, verbose: 0 as const, ...own };
    const task = byDataset
      ? fitDataset({ to, restoreBest })(network.build(), data, validates ? { ...args, validationData: data } : args)
      : fit({ to, restoreBest })(network.build(), x, y, validates ? { ...args, validationSplit: 0.2 } : args);
    const names = validates ? '"loss", "acc", "val_loss", "val_acc"' : '"loss", "acc"';
    await assert.rejects(async () => await task, {
      name: "TypeError",
      message: `Expected restoreBest.metric to be one of ${names}, found "val_los"`,
    });
  };
  for (const byDataset of [false, true]) {
    for (const validates of [false, true]) {
      await rejected(byDataset, {}, validates);
      for (const callbacks of [{}, { onBatchEnd: () => {} }, [tf.callbacks.earlyStopping({ monitor })]]) {
        await rejected(byDataset, { callbacks }, validates);
      }
    }
  }
  assert.deepEqual((await list(to)).entries, []);
  const own: tf.CustomCallbackArgs = { onEpochEnd: (_, logs) => void (logs!["val_los"] = 1) };
  await fit({ to, restoreBest })(network.build(), x, y, { epochs: 1, verbose: 0, callbacks: own });
});

test("restoreBest: a metric that the first epoch does not log is an error with those there are, and can be corrected", async () => {
  const to = memory();
  const callbacks: tf.CustomCallbackArgs = { onEpochEnd: () => {} };
  const error = await left({ to, every: 1, restoreBest: { metric: "val_los", mode: "min" } }, { callbacks });
  assert.ok(error._tag === "StepFailed" && error.by === "restoreBest" && error.epoch === 0, JSON.stringify(error));
  assert.equal(
    explain(error),
    "The option restoreBest failed in epoch 0 (counted from 0), after 3 batches in all: TypeError: Expected restoreBest.metric " +
      'to be one of "loss", "acc", "val_loss", "val_acc", found "val_los". The last checkpoint is intact: fix the option and run again',
  );
  const found = await trained({ to, every: 1, restoreBest: lowest }, { epochs: 3 });
  const straight = await trained({ to: memory(), restoreBest: lowest }, { epochs: 3 });
  assert.deepEqual(found.weights, straight.weights);
});

test("restoreBest: once an epoch is complete, another value of the option is an error that names it", async () => {
  const killed = async (restoreBest: RestoreBest | undefined): Promise<Store> => {
    const to = memory();
    await assert.rejects(trained({ to, ...(restoreBest && { restoreBest }) }, { crashAt: 6 }), /crash/);
    return to;
  };
  for (
    const [before, now] of [[lowest, undefined], [undefined, lowest], [lowest, { ...lowest, mode: "max" }]] as const
  ) {
    const error = await left({ to: await killed(before), ...(now && { restoreBest: now }) }, { callbacks: {} });
    assert.ok(error._tag === "Mismatch", explain(error));
    assert.deepEqual(error.problems.map(({ path }) => path), ["fit/restoreBest"]);
  }
});

test("restoreBest: no trace: no tensor is left after a complete, a killed, a resumed and a repeated training", async () => {
  const args = { batchSize: 7, validationSplit: 0.2, verbose: 0 as const };
  const epochs = [2, 2, 2, 3];
  const models = epochs.map(() => network.build());
  for (const model of models) await fit({ to: memory() })(model, x, y, { ...args, epochs: 1 });
  const before = [tf.memory().numTensors, tf.memory().numBytes];
  const to = memory();
  let count = 0;
  const callbacks: tf.CustomCallbackArgs = { onBatchEnd: () => void (++count === 5 && assert.fail("crash")) };
  for (const [i, model] of models.entries()) {
    const more = { ...args, epochs: epochs[i]!, callbacks };
    const { _tag } = await fit({ to, every: 1, restoreBest: lowest })(model, x, y, more)();
    assert.equal(_tag, i === 0 ? "Left" : "Right");
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], before);
  }
});
