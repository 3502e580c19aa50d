/**
 * Several named trainings in one store, run again after a kill; second calls of one name; the metrics of checkpoints.
 */
import assert from "node:assert/strict";
import { newLocationState } from "../../lib/store/location.ts";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import {
  captureState,
  type DogearError,
  explain,
  fit,
  fitDataset,
  type FitOptions,
  id,
  list,
  memory,
  readSnapshot,
  restoreState,
  Retention,
  Rng,
  runOrThrow,
  type Store,
} from "../../mod.ts";
import { decodeSummary } from "../../lib/checkpoint/manifest.ts";
import { torture } from "../support/torture.ts";

await tf.setBackend("cpu");

const x = tf.randomNormal([16, 4], 0, 1, "float32", 1);
const y = tf.randomNormal([16, 1], 0, 1, "float32", 2);

function build(seed: string | null = "weights", rate = 0.1): tf.Sequential {
  const layers = (): tf.Sequential =>
    tf.sequential({
      layers: [
        tf.layers.dense({ units: 4, inputShape: [4], trainable: false, name: "base" }),
        tf.layers.dropout({ rate: 0.3 }),
        tf.layers.dense({ units: 1, name: "head" }),
      ],
    });
  const model = seed === null ? layers() : Rng.withRandom(Rng.make(seed))(layers)[0];
  model.compile({ optimizer: tf.train.momentum(rate, 0.9), loss: "meanSquaredError" });
  return model;
}

async function digestOf(model: tf.LayersModel): Promise<string> {
  using snapshot = captureState({ model });
  return await id(snapshot)();
}

/** A callback that throws after so many batches, counted over all trainings of a script. */
function crashing(after: number): () => tf.CustomCallbackArgs {
  let count = 0;
  return () => ({ onBatchEnd: () => void (++count === after && assert.fail("crash")) });
}

/** A new store with the same checkpoints, as a new process would open it. */
function anew(store: Store): Store {
  return { ...store };
}

/** The same checkpoints, as another process would have them. */
function elsewhere(store: Store): Store {
  const own = newLocationState();
  return { ...store, place: () => own };
}

/** Transfer learning, fine-tuning with other flags and another rate, then rounds between which the script changes the weights. */
async function script(to: Store, crash: () => tf.CustomCallbackArgs, seed?: string | null): Promise<unknown> {
  const model = build(seed);
  const args = (epochs: number): tf.ModelFitArgs => ({ epochs, batchSize: 4, verbose: 0, callbacks: crash() });
  const train = (name: string, epochs: number) =>
    runOrThrow(fit({ to, name, every: 3, seed: 7 })(model, x, y, args(epochs)));
  const histories = [await train("transfer", 2)];
  model.getLayer("base").trainable = true;
  model.compile({ optimizer: tf.train.momentum(0.01, 0.9), loss: "meanSquaredError" });
  histories.push(await train("fine-tuning", 2));
  for (let round = 0; round < 2; round++) {
    histories.push(await train(`round ${round}`, 1));
    model.setWeights(model.getWeights().map((weight) => weight.mul(0.5)));
  }
  const { learningRate } = model.optimizer as unknown as { learningRate: number };
  return [
    histories.map(({ history }) => history),
    learningRate,
    model.getLayer("base").trainable,
    await digestOf(model),
  ];
}

test("same bits: a script with several trainings, killed in any of them and run again, does not repeat the complete ones", async () => {
  const straight = await script(memory(), crashing(-1));
  const batches = 8 + 8 + 4 + 4;
  const stride = Math.max(1, Math.round(13 / torture));
  for (let at = 1 + Math.floor(Math.random() * stride); at <= batches; at += stride) {
    const to = memory();
    await assert.rejects(script(to, crashing(at)), /crash/);
    await assert.rejects(script(anew(to), crashing(Math.min(5, batches - at + 1))), /crash/);
    assert.deepEqual(await script(anew(to), crashing(-1)), straight, `killed at batch ${at}`);
    assert.deepEqual(await script(anew(to), () => ({ onTrainBegin: () => assert.fail("called") })), straight);
  }
});

test("same bits: a model without seeds, killed before its first save point, resumes from its own initial weights", async () => {
  const to = memory();
  const killed = script(to, () => ({ onBatchEnd: () => assert.fail("crash") }), null);
  await assert.rejects(killed, /crash/);
  const restored = restoreState(await runOrThrow(readSnapshot(to, { checkpoint: 0 })));
  assert.ok(restored._tag === "Right");
  const first = await digestOf((restored.right as { model: tf.LayersModel }).model);
  const model = build(null);
  assert.notEqual(await digestOf(model), first);
  const seen: string[] = [];
  const callbacks = { onEpochBegin: async (epoch: number) => void (epoch === 0 && seen.push(await digestOf(model))) };
  await runOrThrow(
    fit({ to: anew(to), name: "transfer", every: 3, seed: 7 })(model, x, y, { epochs: 2, batchSize: 4, callbacks }),
  );
  assert.deepEqual(seen, [first]);
});

test("trainings: each is a separate run, so retention keeps the newest of each; the manifest names all but the default", async () => {
  const to = memory({ keep: Retention.latest(1) });
  const model = build();
  for (const name of ["a", undefined, "b"]) {
    const options = name === undefined ? { to } : { to, name };
    await runOrThrow(fit(options)(model, x, y, { epochs: 2, verbose: 0 }));
  }
  const { entries } = await runOrThrow(list(to));
  assert.equal(entries.length, 3);
  assert.equal(new Set(entries.map(({ run }) => run)).size, 3);
  const names: unknown[] = [];
  for (const { checkpoint } of entries) {
    const manifest = decodeSummary(await runOrThrow(to.manifest(checkpoint)));
    assert.ok(manifest._tag === "Right");
    names.push(manifest.right.training);
  }
  assert.deepEqual(names, ["a", undefined, "b"]);
});

// --- second calls

async function left(task: ReturnType<ReturnType<typeof fit>>): Promise<DogearError> {
  const result = await task();
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

test("nothing silent: a second call of a name that begins with something else is an error with the first call and the remedy", async () => {
  const args = { epochs: 2, verbose: 0 } as const;
  const changes: readonly ((model: tf.Sequential) => tf.Sequential)[] = [
    (model) => model,
    () => build("other weights"),
    () => build(null),
    () => build("weights", 0.01),
    () => {
      const model = build();
      model.getLayer("base").trainable = true;
      return model;
    },
  ];
  for (const change of changes) {
    const [to, model] = [memory(), build()];
    await runOrThrow(fit({ to })(model, x, y, args));
    const second = change(model);
    const before = await digestOf(second);
    const error = await left(fit({ to })(second, x, y, args));
    assert.ok(error._tag === "Mismatch" && /^model\b/.test(error.problems[0]?.path ?? ""), explain(error));
    assert.equal(
      /For more epochs, raise `epochs` in the call that trained it, and run the script again/.test(explain(error)),
      second === model,
    );
    assert.match(explain(error), /holds a training by the name "fit" \(checkpoint \d+\)/);
    assert.match(explain(error), /another name(?: in this one)?: \{ to, name: "fine-tuning" \}/);
    assert.equal(await digestOf(second), before);
    await runOrThrow(fit({ to, name: "second" })(second, x, y, args));
    // The same training again returns the same history.
    const again = build();
    await runOrThrow(fit({ to })(again, x, y, args));
    assert.equal((await runOrThrow(fit({ to })(build(), x, y, args))).epoch.length, 2);
  }
});

test("nothing silent: callbacks and models in with must be the same in a second call; fit and fitDataset share the names", async () => {
  const args = (patience: number) => ({
    epochs: 2,
    verbose: 0 as const,
    callbacks: tf.callbacks.earlyStopping({ monitor: "loss", patience }),
  });
  const to = memory();
  const shadow = build("shadow");
  await runOrThrow(fit({ to, with: { shadow } })(build(), x, y, args(3)));
  const stopping = await left(fit({ to, with: { shadow } })(build(), x, y, args(4)));
  assert.ok(stopping._tag === "Mismatch" && /^callbacks\b/.test(stopping.problems[0]?.path ?? ""), explain(stopping));
  const other = await left(fit({ to, with: { shadow: build("another") } })(build(), x, y, args(3)));
  assert.ok(other._tag === "Mismatch" && /^shadow\b/.test(other.problems[0]?.path ?? ""), explain(other));
  const data = tf.data.array([1, 2]).map(() => ({ xs: x.slice(0, 4), ys: y.slice(0, 4) }));
  const dataset = await fitDataset({ to })(build(), data, args(3))();
  assert.ok(dataset._tag === "Left" && dataset.left._tag === "Mismatch", "another loop");
  assert.match(explain(dataset.left), /by: fit in the checkpoint, fitDataset in this call/);
});

test("nothing silent: two concurrent calls of one name are an error; after a failed call, a new one is not", async () => {
  const [to, args] = [memory(), { epochs: 2, verbose: 0 as const }];
  const running = fit({ to })(build(), x, y, args)();
  await new Promise((resolve) => setImmediate(resolve));
  const second = await left(fit({ to })(build("other"), x, y, args));
  assert.match(explain(second), /a second call while "fit" is running/);
  assert.equal((await running)._tag, "Right");

  const broken = memory();
  await assert.rejects(runOrThrow(fit({ to: broken })(build(), x, y, { ...args, callbacks: crashing(2)() })), /crash/);
  await runOrThrow(fit({ to: broken })(build(null), x, y, { ...args, callbacks: {} }));
  for (const name of ["", 1, null]) assert.throws(() => fit({ to, name } as unknown as FitOptions), TypeError);
});

test("nothing silent: without a name, a checkpoint of another loop is an error; with a name, it is ignored", async () => {
  const to = memory();
  await runOrThrow(fit({ to, name: "a" })(build(), x, y, { epochs: 1, verbose: 0 }));
  const text = explain(
    await left(fit({ to: anew(to), name: "a" })(build(), x, y, { epochs: 1, batchSize: 8, verbose: 0 })),
  );
  assert.match(
    text,
    /holds a training by the name "a" \(checkpoint 1\).*\n.*batchSize: 32 in the checkpoint, 8 in this call/,
  );
  await runOrThrow(fit({ to: anew(to), name: "b" })(build(), x, y, { epochs: 1, batchSize: 8, verbose: 0 }));
});

// --- trainings that follow others

test("nothing silent: a training that followed another does not continue after another end of it", async () => {
  const train = async (
    to: Store,
    stages: readonly (readonly [name: string, epochs: number])[],
    seed?: string | null,
  ) => {
    const [model, store] = [build(seed), elsewhere(to)];
    for (const [name, epochs] of stages) {
      await runOrThrow(fit({ to: store, name, seed: 7 })(model, x, y, { epochs, batchSize: 4, verbose: 0 }));
    }
    return await digestOf(model);
  };
  const refusal = async (...args: Parameters<typeof train>): Promise<string> => {
    try {
      await train(...args);
    } catch (error) {
      return (error as Error).message;
    }
    return assert.fail("It was not refused");
  };
  const to = memory();
  const end = await train(to, [["a", 2], ["b", 3]]);
  const other = await train(memory(), [["a", 4], ["b", 3]]);
  assert.notEqual(end, other);
  // The same script again, more epochs of the last stage, and a script without the complete stage.
  assert.equal(await train(to, [["a", 2], ["b", 3]]), end);
  assert.equal(await train(to, [["b", 3]]), end);
  // Another order, and another stage before the first.
  assert.match(
    await refusal(to, [["b", 3], ["a", 2]]),
    /follows: none in the checkpoint, "b" after 3 epochs in this call/,
  );
  assert.match(
    await refusal(to, [["0", 1], ["a", 2]]),
    /follows: none in the checkpoint, "0" after 1 epoch in this call/,
  );
  const text = await refusal(to, [["a", 4], ["b", 3]]);
  assert.match(text, /holds a training by the name "b" .* does not continue\. Nothing was changed/);
  assert.match(text, /follows: "a" after 2 epochs in the checkpoint, "a" after 4 epochs in this call/);
  assert.match(text, /another name: \{ to, name: "b-2" \}/);
  assert.match(await refusal(to, [["a", 4], ["b", 6]]), /follows: /);
  assert.equal(await train(to, [["a", 4], ["b-2", 3]]), other);
  assert.equal(await train(to, [["a", 4], ["b-2", 3]]), other);
  // Random initial weights differ in each process, until the first stage restores its own.
  const random = memory();
  const first = await train(random, [["a", 2], ["b", 3]], null);
  assert.equal(await train(random, [["a", 2], ["b", 3]], null), first);
  await train(random, [["a", 2], ["b", 4]], null);
  assert.match(await refusal(random, [["a", 3], ["b", 4]], null), /follows: "a" after 2 epochs/);
});

test("trainings: the epochs of all may grow if the script resets the weights between them, or gives each a new head", async () => {
  const base = tf.layers.dense({ units: 4, inputShape: [4], trainable: false });
  const script = async (to: Store, epochs: number) => {
    const whole = build(null);
    const initial = whole.getWeights().map((weight) => weight.clone());
    for (const name of ["a", "b"]) {
      whole.setWeights(initial);
      await runOrThrow(fit({ to, name })(whole, x, y, { epochs, verbose: 0 }));
    }
    for (const name of ["c", "d"]) {
      const model = tf.sequential({ layers: [base, tf.layers.dense({ units: 1 })] });
      model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
      await runOrThrow(fit({ to, name })(model, x, y, { epochs, verbose: 0 }));
    }
  };
  const to = memory();
  await script(elsewhere(to), 1);
  await script(elsewhere(to), 2);
});

test("trainings: a stage that failed is called again in the same process, after a complete one", async () => {
  const to = memory();
  const model = build();
  const args = { epochs: 2, batchSize: 4, verbose: 0 as const };
  const train = (name: string, callbacks = {}) =>
    runOrThrow(fit({ to, name, every: 1 })(model, x, y, { ...args, callbacks }));
  await train("a");
  await assert.rejects(train("b", crashing(3)()), /crash/);
  await train("b");
});

// --- metrics

test("metrics: only checkpoints of the measured weights have metrics; each epoch is saved at its end, whatever every is", async () => {
  for (const timing of [{ every: 3 }, { seconds: 1000 }]) {
    const to = memory();
    const model = build();
    const metrics = (logs: Readonly<Record<string, number>>): Record<string, number> => ({
      loss: logs["val_loss"] ?? NaN,
    });
    const history = await runOrThrow(
      fit({ to, metrics, ...timing })(model, x, y, { epochs: 3, batchSize: 4, verbose: 0, validationData: [x, y] }),
    );
    const { entries } = await runOrThrow(list(to));
    const labelled = entries.filter(({ metrics }) => "loss" in metrics);
    assert.deepEqual(labelled.map(({ metrics }) => metrics["loss"]), history.history["val_loss"]);
    assert.deepEqual(labelled.map(({ step }) => step), [4, 8, 12]);
    for (const { checkpoint, metrics } of labelled) {
      const restored = restoreState(await runOrThrow(readSnapshot(to, { checkpoint })));
      assert.ok(restored._tag === "Right");
      const { model: saved } = restored.right as { model: tf.LayersModel };
      assert.equal((saved.evaluate(x, y, { batchSize: 4 }) as tf.Scalar).dataSync()[0], metrics["loss"]);
    }
  }
});

test("metrics: weights that a callback has changed since have none", async () => {
  const to = memory();
  const model = build();
  const halve = (epoch: number): void => {
    if (epoch === 1) model.setWeights(model.getWeights().map((weight) => weight.mul(0.5)));
  };
  const metrics = ({ loss = NaN }: Readonly<Record<string, number>>): Record<string, number> => ({ loss });
  await runOrThrow(fit({ to, metrics })(model, x, y, { epochs: 3, verbose: 0, callbacks: { onEpochEnd: halve } }));
  const { entries } = await runOrThrow(list(to));
  assert.deepEqual(entries.map(({ metrics }) => "loss" in metrics), [false, true, false, true]);
});

test("trainings: a new training is found in a store whose checkpoints were deleted by hand", async () => {
  const store = memory();
  const train = async (name: string): Promise<void> => {
    await runOrThrow(fit({ to: store, name, seed: 7 })(build(), x, y, { epochs: 2, batchSize: 4, verbose: 0 }));
  };
  const numbers = async () => (await runOrThrow(list(store))).entries.map(({ checkpoint }) => checkpoint);
  // The second store reads what the first has saved.
  for (const name of ["one", "two"]) await train(name);
  for (const checkpoint of await numbers()) await runOrThrow(store.remove(checkpoint));
  await train("three");
  const saved = await numbers();
  await train("three");
  assert.deepEqual(await numbers(), saved);
});

test("one line of history: of two processes that begin a training of one name at once, one trains; of two names, both", async () => {
  for (const names of [["fit", "fit"], ["a", "a"], ["fit", "a"], ["a", "b"]]) {
    const base = memory();
    const results = await Promise.all(names.map((name) => {
      return fit({ to: elsewhere(base), name })(build(), x, y, { epochs: 2, verbose: 0 })();
    }));
    const outcomes = results.map((result) => result._tag === "Left" ? result.left._tag : "trained").sort();
    assert.deepEqual(outcomes, names[0] === names[1] ? ["Overtaken", "trained"] : ["trained", "trained"], `${names}`);
  }
});
