/**
 * `fit` compared with tfjs's `model.fit`: the same bits and the same calls. Killed trainings compared with uninterrupted ones.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import {
  captureState,
  directory,
  type DogearError,
  explain,
  fit,
  type FitOptions,
  id,
  list,
  loadState,
  memory,
  type Report,
  Rng,
  runOrThrow,
  saveState,
  trainOnBatch,
} from "../../mod.ts";
import { here, run, start, there } from "../support/children.ts";
import {
  type Network,
  networks,
  objects,
  type Outcome,
  outcome,
  samples,
  swapped,
  telling,
  type Told,
} from "../support/fits.ts";
import { needs } from "../support/portable.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-fit-"));
after(() => rm(scratch, { recursive: true, force: true }));

await tf.setBackend("cpu");

// --- trainings

async function ours(
  { build, x, y, args }: Network,
  options: FitOptions,
  more: tf.ModelFitArgs,
  crashAt = Infinity,
  patience = 100,
): Promise<Outcome> {
  const told: Told = { calls: [] };
  const [custom, stopping] = objects(telling(told, crashAt), patience);
  const model = build();
  const training = fit({ ...options, with: told });
  const history = await runOrThrow(training(model, x() as tf.Tensor, y() as tf.Tensor, {
    ...args,
    ...more,
    callbacks: [custom, stopping],
  }));
  return await outcome(model, history, told, stopping);
}

async function theirs(
  { build, x, y, args }: Network,
  seed: number,
  more: tf.ModelFitArgs,
  patience = 100,
): Promise<Outcome> {
  const told: Told = { calls: [] };
  const [custom, stopping] = objects(telling(told), patience);
  const model = build();
  const history = await swapped(
    seed,
    () => model.fit(x(), y(), { ...args, ...more, callbacks: [custom, stopping] }),
  );
  return await outcome(model, history, told, stopping);
}

async function left(task: ReturnType<ReturnType<typeof fit>>): Promise<DogearError> {
  const result = await task();
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

const first = networks[0] as Network;

// --- the same as tfjs

test("same bits: fit gives the bits and the calls of model.fit, for all arguments", async () => {
  const more = fc.record({
    network: fc.nat(networks.length - 1),
    epochs: fc.integer({ min: 0, max: 3 }),
    batchSize: fc.integer({ min: 1, max: samples + 2 }),
    shuffle: fc.option(fc.boolean(), { nil: undefined }),
    validation: fc.constantFrom("none", "split", "data"),
    initialEpoch: fc.option(fc.nat(2), { nil: undefined }),
    validationSteps: fc.option(fc.constant(3), { nil: undefined }),
    patience: fc.integer({ min: 1, max: 3 }),
    seed: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(more, async ({ network: n, validation, batchSize, patience, seed, ...rest }) => {
      const network = networks[n] as Network;
      const stateful = network.args?.batchSize !== undefined;
      const args = {
        ...JSON.parse(JSON.stringify(rest)),
        ...(stateful ? {} : { batchSize }),
        ...(validation === "split" ? { validationSplit: stateful ? 0.4 : 0.3 } : {}),
        ...(validation === "data" ? { validationData: [network.x(), network.y()] } : {}),
      } as tf.ModelFitArgs;
      assert.deepEqual(
        await ours(network, { to: memory(), seed }, args, Infinity, patience),
        await theirs(network, seed, args, patience),
      );
    }),
    { numRuns: Math.round(5 * Math.sqrt(torture)) },
  );
});

test("fit: onYield, arguments of callbacks and data as records by name work as in tfjs", async () => {
  const network = networks[2] as Network;
  const [a, b] = network.x() as tf.Tensor[];
  const [p, q] = network.y() as tf.Tensor[];
  const calls = async (train: (model: tf.LayersModel, args: tf.ModelFitArgs) => Promise<unknown>): Promise<unknown> => {
    const told: Told = { calls: [] };
    const onYield = (...args: readonly unknown[]): void => void told.calls.push(`yield ${JSON.stringify(args)}`);
    let now = 0;
    const clock = { nowFunc: () => now += 100, nextFrameFunc: () => Promise.resolve() };
    await train(network.build(), {
      epochs: 2,
      batchSize: 7,
      yieldEvery: 250,
      callbacks: [{ ...telling(told), ...clock, onYield }, { onBatchEnd: () => void told.calls.push("another") }],
    });
    return told.calls;
  };
  const data = [{ a: a as tf.Tensor, b: b as tf.Tensor }, { p: p as tf.Tensor, q: q as tf.Tensor }] as const;
  assert.deepEqual(
    await calls((model, args) => runOrThrow(fit({ to: memory(), seed: 3 })(model, ...data, args))),
    await calls((model, args) => swapped(3, () => model.fit(...data, args))),
  );
});

test("fit: what tfjs rejects is rejected with its own error, and the model can then be trained", async () => {
  const { build, x, y } = first;
  const bad: readonly (readonly [object, unknown?, unknown?])[] = [
    [{ batchSize: 0 }],
    [{ batchSize: 1.5 }],
    [{ shuffle: "batch" }],
    [{ sampleWeight: tf.ones([samples]) }],
    [{ validationData: [1] }],
    [{ validationData: [x(), y(), y()] }],
    [{ classWeight: { 0: 1 } }],
    [{}, tf.ones([3, 5])],
    [{}, [x(), x()]],
    [{}, x(), tf.ones([samples, 2])],
    [{}, x(), tf.ones([7, 3])],
    [{ yieldEvery: "never", callbacks: { onYield: () => {} } }],
  ];
  for (const [args, badX = x(), badY = y()] of bad) {
    const model = build();
    const message = await model.fit(badX as tf.Tensor, badY as tf.Tensor, args as tf.ModelFitArgs).then(
      () => assert.fail("tfjs does not refuse it"),
      (error: Error) => error.message,
    );
    const training = fit({ to: memory() });
    await assert.rejects(training(model, badX as tf.Tensor, badY as tf.Tensor, args as tf.ModelFitArgs), { message });
    await runOrThrow(training(model, x() as tf.Tensor, y() as tf.Tensor, { epochs: 1 }));
  }
  await assert.rejects(fit({ to: memory() })(tf.sequential(), tf.ones([1]), tf.ones([1])), /needs to be compiled/);
  const model = build();
  const running = fit({ to: memory() })(model, x() as tf.Tensor, y() as tf.Tensor)();
  await assert.rejects(fit({ to: memory() })(model, x() as tf.Tensor, y() as tf.Tensor), /another fit\(\) call/);
  await running;
});

// --- killed trainings

for (const network of networks) {
  test(`same bits: ${network.name}, killed at every call and resumed, ends like an uninterrupted training`, async () => {
    const more = {
      epochs: 3,
      validationSplit: 0.2,
      ...(network.args?.batchSize === undefined ? { batchSize: 7 } : {}),
    };
    const straight = await ours(network, { to: memory(), seed: 1 }, more);
    const cold = await ours(network, { to: memory(), seed: 2 }, more);
    assert.notDeepEqual(cold, straight);
    const moments = straight.calls.length;
    const stride = Math.max(1, Math.round(28 / Math.sqrt(torture)));
    for (let crashAt = 1 + Math.floor(Math.random() * stride); crashAt <= moments; crashAt += stride) {
      const to = memory();
      const every = 1 + crashAt % 3;
      await assert.rejects(ours(network, { to, every, seed: 1 }, more, crashAt), /crash/);
      // Killed a second time, in the resumed training.
      await ours(network, { to, every, seed: 1 }, more, crashAt % 5 + 2).catch(() => {});
      assert.deepEqual(await ours(network, { to, every, seed: 1 }, more), straight, `killed at call ${crashAt}`);
    }
  });
}

test("same bits: EarlyStopping stops a killed and resumed training at the same epoch", async () => {
  const more = { epochs: 30, batchSize: 7 };
  const straight = await ours(first, { to: memory() }, more, Infinity, 2);
  assert.ok(straight.epochs.length > 3 && straight.epochs.length < 30, `it stopped after ${straight.epochs.length}`);
  for (const fraction of [0.4, 0.97]) {
    const to = memory();
    const crashAt = Math.floor(straight.calls.length * fraction);
    await assert.rejects(ours(first, { to }, more, crashAt, 2), /crash/);
    assert.deepEqual(await ours(first, { to }, more, Infinity, 2), straight);
    assert.deepEqual(await ours(first, { to }, more, Infinity, 2), straight, "once complete");
  }
});

test("same bits: stopTraining is set within an epoch, and the training is killed before the epoch ends", async () => {
  const data = [first.x() as tf.Tensor, first.y() as tf.Tensor] as const;
  type Train = (model: tf.LayersModel, args: tf.ModelFitArgs) => Promise<tf.History>;
  const stopped = async (train: Train, told: Told, crash = false): Promise<Outcome> => {
    const model = first.build();
    const config = telling(told);
    let epochs = 0;
    const callbacks: tf.CustomCallbackArgs = {
      ...config,
      onBatchEnd: (batch, logs) => {
        if (batch === 1 && told.calls.length > 10) (model as tf.Sequential).stopTraining = true;
        return config.onBatchEnd?.(batch, logs);
      },
      onEpochEnd: (epoch, logs) => {
        if (crash && ++epochs === 2) assert.fail("crash");
        return config.onEpochEnd?.(epoch, logs);
      },
    };
    const history = await train(model, { epochs: 5, batchSize: 5, validationSplit: 0.2, callbacks });
    return await outcome(model, history, told);
  };
  const expected = await stopped((model, args) => swapped(6, () => model.fit(...data, args)), { calls: [] });
  assert.deepEqual(expected.epochs, [0, 1]);
  const to = memory();
  const mine = (told: Told): Train => (model, args) =>
    runOrThrow(fit({ to, every: 1, seed: 6, with: told })(model, ...data, args));
  const [killed, again] = [{ calls: [] }, { calls: [] }];
  await assert.rejects(stopped(mine(killed), killed, true), /crash/);
  assert.deepEqual(await stopped(mine(again), again), expected);
});

test("same bits: killed by SIGKILL in one runtime and resumed in the other", async () => {
  const [, straight = "none"] =
    /^done (\w+)$/.exec((await run(here, "fit.ts", [join(scratch, "straight")])).at(-1) ?? "") ?? [];
  for (let round = 0; round < Math.min(2, torture); round++) {
    const path = join(scratch, `killed-${round}`);
    for (const [runtime, saves] of [[here, 3], [there, 4]] as const) {
      let count = saves + Math.floor(Math.random() * 4);
      const child = start(runtime, "fit.ts", [path], {
        onLine: () => {
          if (--count === 0) child.kill("SIGKILL");
        },
      });
      const { signal, errors } = await child.ended;
      assert.equal(signal, "SIGKILL", errors);
    }
    assert.equal((await run(here, "fit.ts", [path])).at(-1), `done ${straight}`);
  }
});

needs("POSIX signals")(
  "stopOn: a signal saves and stops after the batch, and the training resumes from there",
  async () => {
    const to = memory();
    const straight = await ours(first, { to: memory() }, { epochs: 2, batchSize: 7 });
    const told: Told = { calls: [] };
    const config = telling(told);
    const signalling: tf.CustomCallbackArgs = {
      ...config,
      onBatchEnd: async (batch, logs) => {
        if (batch === 1) {
          // A signal takes time to arrive, and a listener alone does not keep the process alive.
          let received = false;
          process.once("SIGUSR2", () => received = true);
          process.kill(process.pid, "SIGUSR2");
          while (!received) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        await config.onBatchEnd?.(batch, logs);
      },
    };
    const stopped = await left(
      fit({ to, every: 1000, stopOn: ["SIGUSR2"], with: told })(
        first.build(),
        first.x() as tf.Tensor,
        first.y() as tf.Tensor,
        {
          ...first.args,
          epochs: 2,
          batchSize: 7,
          callbacks: objects(signalling, 100),
        },
      ),
    );
    assert.ok(stopped._tag === "Stopped" && stopped.checkpoint === 1, explain(stopped));
    assert.deepEqual(await ours(first, { to }, { epochs: 2, batchSize: 7 }), straight);
  },
);

// --- ambient randomness

test("same bits: other code that calls Math.random in timers and callbacks changes nothing, and sees none of the training's draws", async () => {
  const more = { epochs: 3, batchSize: 4, validationSplit: 0.2 };
  const straight = await ours(first, { to: memory() }, more);
  const outer = Math.random;
  let foreign = 0;
  const counted = (): number => {
    foreign++;
    return outer();
  };
  Math.random = counted;
  const timer = setInterval(() => Math.random(), 0);
  let going = true;
  const microtasks = async (): Promise<void> => {
    while (going) {
      Math.random();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const drawing = microtasks();
  try {
    assert.deepEqual(await ours(first, { to: memory(), every: 2 }, more), straight);
  } finally {
    going = false;
    await drawing;
    clearInterval(timer);
    assert.equal(Math.random, counted);
    Math.random = outer;
  }
  assert.ok(foreign > 0, "nothing drew");
});

test("same bits: trainOnBatch gives the bits of tfjs from a generator, whatever else calls Math.random", async () => {
  for (const { name, build, x, y, args } of networks) {
    const [a, b] = [build(), build()];
    const part = (data: tf.Tensor | tf.Tensor[]): tf.Tensor =>
      (Array.isArray(data)
        ? data.map((t) => t.slice(0, args?.batchSize ?? 5))
        : data.slice(0, args?.batchSize ?? 5)) as tf.Tensor;
    const [px, py] = [part(x()), part(y())];
    const expected = await swapped(4, async () => {
      const losses: unknown[] = [];
      for (let i = 0; i < 4; i++) losses.push(await a.trainOnBatch(px, py));
      return losses;
    });
    let rng = Rng.make(4);
    let tensors = NaN;
    for (let i = 0; i < 4; i++) {
      // The first step creates the slots of the optimizer.
      if (i === 1) tensors = tf.memory().numTensors;
      const step = trainOnBatch(b, px, py)(rng)();
      Math.random();
      const [loss, next] = await step;
      assert.deepEqual(loss, expected[i]);
      rng = next;
    }
    // A stateful layer keeps the states of all steps until it is reset.
    if (!name.includes("stateful")) assert.equal(tf.memory().numTensors, tensors, name);
    using one = captureState({ model: a });
    using other = captureState({ model: b });
    assert.equal(await id(other)(), await id(one)());
  }
});

// --- resuming

test("epochs: more epochs than before train only the rest, with the same bits; a complete training calls nothing", async () => {
  const to = memory();
  const straight = await ours(first, { to: memory() }, { epochs: 5 });
  await ours(first, { to }, { epochs: 2 });
  const told: Told = { calls: [] };
  const counts: string[] = [];
  const config = { ...telling(told), onTrainBegin: () => void counts.push("onTrainBegin") };
  const again = (epochs: number) =>
    fit({ to, with: told })(first.build(), first.x() as tf.Tensor, first.y() as tf.Tensor, {
      ...first.args,
      epochs,
      callbacks: objects(config, 100),
    });
  const before = await runOrThrow(again(2));
  assert.deepEqual([before.epoch, counts], [[0, 1], []]);
  const after = await runOrThrow(again(5));
  assert.deepEqual([after.epoch, after.history], [straight.epochs, straight.history]);
  assert.deepEqual(counts, ["onTrainBegin"]);
  assert.deepEqual(told.calls.filter((call) => !call.startsWith("onTrainEnd")), straight.calls.slice(0, -1));
});

test("every: by default each epoch and the end are saved, with metrics from the logs of the last epoch", async () => {
  const to = memory();
  const metrics = ({ loss = NaN }: Readonly<Record<string, number>>): Record<string, number> => ({ loss });
  const { history } = await ours(first, { to, metrics }, { epochs: 3, batchSize: 10 });
  const { entries } = await runOrThrow(list(to));
  assert.deepEqual(entries.map(({ step }) => step), [0, 2, 4, 6]);
  assert.deepEqual(entries.map(({ metrics }) => metrics["loss"]), [undefined, ...(history as { loss: number[] }).loss]);
});

test("callbacks: fields of callbacks and components of with are restored after onTrainBegin has set them", async () => {
  class Count extends tf.Callback {
    batches = 0;
    best: number | null = null;
    average: tf.Variable = tf.variable(tf.scalar(0));
    later?: string;
    onDone = (): void => {};
    #own = new Map();
    override async onTrainBegin(): Promise<void> {
      this.batches = -100;
      (this as unknown as { model: tf.LayersModel }).model.layers[1]?.weights[0]?.write(tf.zeros([4, 6]));
      this.#own.set("a", 1);
      await Promise.resolve();
    }
    override async onBatchEnd(): Promise<void> {
      this.batches++;
      this.best = this.best === null ? 1 : this.best * 2;
      this.average.assign(tf.scalar(this.batches));
      this.later = `after ${this.batches}`;
      await Promise.resolve();
    }
  }
  const train = async (to: FitOptions["to"], extra: { sum: number }, crashAt = Infinity): Promise<Count> => {
    const count = new Count();
    const config = { onBatchEnd: () => void (extra.sum++ === crashAt - 1 && assert.fail("crash")) };
    await runOrThrow(
      fit({ to, every: 1, with: { extra } })(first.build(), first.x() as tf.Tensor, first.y() as tf.Tensor, {
        batchSize: 4,
        epochs: 2,
        callbacks: [count, new tf.CustomCallback(config)],
      }),
    );
    return count;
  };
  const [to, extra] = [memory(), { sum: 0 }];
  const straight = await train(memory(), { sum: 0 });
  await assert.rejects(train(to, { sum: 0 }, 8), /crash/);
  const resumed = await train(to, extra);
  assert.equal(extra.sum, 10);
  const seen = ({ batches, best, later, average }: Count): unknown => [batches, best, later, average.dataSync()[0]];
  assert.deepEqual(seen(resumed), seen(straight));
  assert.deepEqual(seen(resumed), [-90, 512, "after -90", -90]);
});

// --- bad input

test("nothing silent: all differences in data and arguments are listed, and the model is unchanged", async () => {
  const to = memory();
  const { build, x, y } = first;
  const args = { epochs: 3, batchSize: 7 };
  await runOrThrow(fit({ to })(build(), x() as tf.Tensor, y() as tf.Tensor, args));
  const changed = x() as tf.Tensor;
  (changed.dataSync() as Float32Array)[11]! += 1e-7;
  const cases: readonly (readonly [readonly string[], tf.Tensor, tf.Tensor, tf.ModelFitArgs, FitOptions?])[] = [
    [["fit/data"], changed, y() as tf.Tensor, args],
    [["fit/data"], x() as tf.Tensor, (y() as tf.Tensor).reverse(0), args],
    [["fit/data"], (x() as tf.Tensor).slice(0, 10), (y() as tf.Tensor).slice(0, 10), args],
    [["fit/batchSize", "fit/shuffle"], x() as tf.Tensor, y() as tf.Tensor, { epochs: 3, shuffle: false }],
    [["fit/validation"], x() as tf.Tensor, y() as tf.Tensor, { ...args, validationSplit: 0.1 }],
    [["fit/classWeight"], x() as tf.Tensor, y() as tf.Tensor, { ...args, classWeight: { 0: 1, 1: 1, 2: 1 } }],
    [["fit/initialEpoch"], x() as tf.Tensor, y() as tf.Tensor, { ...args, initialEpoch: 1 }],
    [["fit/epochs"], x() as tf.Tensor, y() as tf.Tensor, { ...args, epochs: 2 }],
    [["fit/seed"], x() as tf.Tensor, y() as tf.Tensor, args, { to, seed: 9 }],
    [
      ["fit/callbacks"],
      x() as tf.Tensor,
      y() as tf.Tensor,
      { ...args, callbacks: [tf.callbacks.earlyStopping({ monitor: "loss" })] },
    ],
  ];
  for (const [paths, badX, badY, bad, options = { to }] of cases) {
    const model = build();
    using before = captureState({ model });
    const error = await left(fit(options)(model, badX, badY, bad));
    assert.ok(error._tag === "Mismatch", explain(error));
    assert.deepEqual(error.problems.map(({ path }) => path), paths);
    assert.match(explain(error), /in the checkpoint, .+ in this call/);
    using now = captureState({ model });
    assert.equal(await id(now)(), await id(before)());
  }
  const wider = tf.sequential({ layers: [tf.layers.dense({ units: 3, inputShape: [4] })] });
  wider.compile({ optimizer: "adam", loss: "categoricalCrossentropy" });
  const named = async (x: tf.Tensor, y: tf.Tensor): Promise<readonly string[] | null> =>
    explain(await left(fit({ to })(build(), x, y, args))).match(/\b[xy](?= float32\[[^;]* in the checkpoint)/g);
  assert.deepEqual(await named(changed, y() as tf.Tensor), ["x"]);
  assert.deepEqual(await named(x() as tf.Tensor, (y() as tf.Tensor).reverse(0)), ["y"]);
  assert.deepEqual(await named(changed, (y() as tf.Tensor).reverse(0)), ["x", "y"]);
  const other = await left(fit({ to })(wider, x() as tf.Tensor, y() as tf.Tensor, args));
  assert.ok(other._tag === "Mismatch" && other.problems.some(({ path }) => path.startsWith("model")), explain(other));
});

test("nothing silent: a checkpoint of another loop, a failing batch, and wrong options and callbacks are errors", async () => {
  const { build, x, y } = first;
  const [data, targets] = [x() as tf.Tensor, y() as tf.Tensor];
  const foreign = memory();
  await runOrThrow(saveState(foreign)({ step: 1 }));
  const error = await left(fit({ to: foreign })(build(), data, targets));
  assert.match(explain(error), /of another training loop.*\n.*give this call a name/);
  const failed = await left(
    fit({ to: memory() })(build(), data, targets, { epochs: 1, batchSize: 5, callbacks: telling({ calls: [] }, 5) }),
  );
  assert.ok(failed._tag === "StepFailed" && failed.at === 1, explain(failed));
  class Holding extends tf.Callback {
    stream = new WeakMap();
  }
  const holding = { epochs: 1, callbacks: [new Holding()] };
  await assert.rejects(
    fit({ to: memory() })(build(), data, targets, holding),
    /TypeError: Cannot capture callbacks\/0\/stream/,
  );
  for (
    const bad of [
      {},
      { to: 1 },
      { to: memory(), every: 0 },
      { to: memory(), seconds: -1 },
      { to: memory(), whenBusy: "?" },
      {
        to: memory(),
        stopOn: ["SIGKILL"],
      },
      { to: memory(), with: { model: 1 } },
      { to: memory(), with: 1 },
    ]
  ) {
    assert.throws(() => fit(bad as unknown as FitOptions), TypeError);
  }
  const metrics = (logs: Readonly<Record<string, number>>) => ({ val_loss: logs["val_loss"] as number });
  await assert.rejects(
    fit({ to: memory(), metrics })(build(), data, targets, { epochs: 1 })(),
    /^TypeError: Expected metrics\.val_loss to be a number, or NaN if it has no value, found undefined$/,
  );
  const to = memory();
  await runOrThrow(fit({ to })(build(), data, targets, { epochs: 1 }));
  const only = await loadState(to)({ model: build() })();
  assert.ok(only._tag === "Left", "it is a training, not a model alone");
});

test("fallback: a damaged newest checkpoint is an error; with fallback, the older one leads to the same bits", async () => {
  const { build, x, y } = first;
  const args = { epochs: 3, batchSize: 8, verbose: 0 } as const;
  const [folder, straight] = [await mkdtemp(join(scratch, "damaged-")), build()];
  const train = (
    model: tf.LayersModel,
    options: Omit<FitOptions, "to">,
    more: tf.ModelFitArgs,
  ): ReturnType<ReturnType<typeof fit>> =>
    fit({ to: directory(folder), every: 2, ...options })(model, x() as tf.Tensor, y() as tf.Tensor, {
      ...args,
      ...more,
    });
  await runOrThrow(fit({ to: memory() })(straight, x() as tf.Tensor, y() as tf.Tensor, args));
  await runOrThrow(train(build(), {}, { epochs: 2 }));
  const saved = (await runOrThrow(list(directory(folder)))).entries.map(({ checkpoint }) => checkpoint);
  const [older, newest] = saved.slice(-2) as [number, number];
  const file = join(folder, "checkpoints", `checkpoint_${newest}`, "model.safetensors");
  const bytes = await readFile(file);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(file, bytes);

  const error = await left(train(build(), {}, {}));
  assert.ok(
    error._tag === "Damaged" && error.older === older && /Nothing was changed.*fallback: true/s.test(explain(error)),
    explain(error),
  );
  const [model, reports] = [build(), [] as Report[]];
  await runOrThrow(train(model, { fallback: true, onReport: (report) => reports.push(report) }, {}));
  assert.deepEqual(reports.map(({ checkpoint, skipped }) => [checkpoint, skipped.length]), [[older, 1]]);
  assert.equal(await id(captureState({ model }))(), await id(captureState({ model: straight }))());
});

test("no trace: no tensor is left after a complete, a resumed and a failed training", async () => {
  const { build, x, y } = first;
  const [data, targets, flat] = [x() as tf.Tensor, y() as tf.Tensor, tf.ones([samples])];
  const args = { epochs: 2, batchSize: 7, validationSplit: 0.2, classWeight: { 0: 1, 1: 1, 2: 1 } };
  const model = build();
  await runOrThrow(fit({ to: memory() })(model, data, targets, args));
  const before = tf.memory().numTensors;
  await runOrThrow(fit({ to: memory() })(model, data, targets, args));
  const to = memory();
  for (const crashAt of [3, 8, 5]) {
    const callbacks = telling({ calls: [] }, crashAt);
    await left(fit({ to, every: 1 })(model, data, targets, { ...args, callbacks }));
  }
  await runOrThrow(fit({ to, every: 1 })(model, data, targets, args));
  assert.equal(tf.memory().numTensors, before);
  const line = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  line.compile({ optimizer: "sgd", loss: "meanSquaredError" });
  const between = tf.memory().numTensors;
  await runOrThrow(fit({ to: memory() })(line, flat, flat, { epochs: 1 }));
  assert.equal(tf.memory().numTensors, between);
});

test("nothing silent: an option of fit among the arguments of tfjs is a TypeError that says where it belongs", () => {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
  const [x, y] = [tf.ones([2, 1]), tf.ones([2, 1])];
  for (const args of [{ trackers: [] }, { progress: true }, { to: memory() }]) {
    const expected = { name: "TypeError", message: new RegExp(`option ${Object.keys(args)[0]} in the first call`) };
    assert.throws(() => fit({ to: memory() })(model, x, y, { epochs: 1, ...args } as tf.ModelFitArgs), expected);
  }
});
