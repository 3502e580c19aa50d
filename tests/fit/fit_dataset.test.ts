/**
 * `fitDataset` compared with tfjs's: the same bits and the same calls. Killed trainings compared with uninterrupted ones, on all sorts of datasets.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import { type DogearError, explain, fitDataset, type FitOptions, memory, runOrThrow } from "../../mod.ts";
import { networks, objects, type Outcome, outcome, swapped, telling, type Told } from "../support/fits.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-fit-dataset-"));
after(() => rm(scratch, { recursive: true, force: true }));

await tf.setBackend("cpu");

// --- datasets

/** A function that makes a dataset, and arguments for it. */
interface Case {
  readonly data: () => tf.data.Dataset<tf.TensorContainer>;
  readonly args?: Omit<Args, "epochs">;
  readonly validation?: () => tf.data.Dataset<tf.TensorContainer> | tf.Tensor[];
}

type Args = tf.ModelFitDatasetArgs<tf.TensorContainer>;

interface Row {
  readonly xs: readonly number[];
  readonly ys: readonly number[];
}

const rows: readonly Row[] = Array.from({ length: 17 }, (_, i) => ({
  xs: [i / 17, (i * 7 % 17) / 17, (i * i % 17) / 17, 1],
  ys: [0, 1, 2].map((c) => Number(i % 3 === c)),
}));

function array(): tf.data.Dataset<tf.TensorContainer> {
  return tf.data.array(rows as unknown as tf.TensorContainer[]);
}

function column(name: "xs" | "ys"): tf.data.Dataset<tf.TensorContainer> {
  return array().map((row) => (row as unknown as Row)[name] as unknown as tf.TensorContainer);
}

const file = join(scratch, "rows.csv");
await writeFile(file, ["a,b,c,d,label", ...rows.map(({ xs, ys }) => [...xs, ys.indexOf(1)].join(","))].join("\n"));

function csv(): tf.data.Dataset<tf.TensorContainer> {
  return tf.data.csv(`file://${file}`, { columnConfigs: { label: { isLabel: true } } }).map((row) => {
    const { xs, ys } = row as unknown as Record<"xs" | "ys", Record<string, number>>;
    return { xs: Object.values(xs), ys: [0, 1, 2].map((c) => Number(ys["label"] === c)) } as tf.TensorContainer;
  });
}

const cases: Readonly<Record<string, Case>> = {
  "in order": { data: () => array().batch(4) },
  "shuffled": { data: () => array().shuffle(6, "s").batch(4), args: { classWeight: { 0: 1, 1: 3, 2: 0.5 } } },
  "shuffled, repeated, without batchesPerEpoch": { data: () => array().shuffle(6, "s").repeat(2).batch(5) },
  "shuffled, repeated, prefetched, with batchesPerEpoch": {
    data: () => array().shuffle(6, "s").repeat().batch(4).prefetch(3),
    args: { batchesPerEpoch: 3 },
  },
  "that runs out": { data: () => array().shuffle(6, "s").batch(4), args: { batchesPerEpoch: 3 } },
  "zipped, skipped and taken": {
    data: () =>
      tf.data.zip({ xs: column("xs"), ys: column("ys") }).skip(2).take(12).shuffle(5, "z").batch(4).prefetch(2),
  },
  "from csv": { data: () => csv().shuffle(5, "c").batch(4) },
  "from a generator, filtered and mapped asynchronously": {
    data: () =>
      tf.data.generator(function* () {
        yield* rows as unknown as tf.TensorContainer[];
      }).filter((row) => (row as unknown as Row).xs[0]! < 0.8).mapAsync((row) => Promise.resolve(row)).batch(4),
  },
  "with a shuffled dataset to validate on": {
    data: () => array().shuffle(6, "s").batch(6),
    args: { validationBatches: 3, initialEpoch: 1 },
    validation: () => array().shuffle(4, "v").repeat(2).batch(3),
  },
  "that is also validated on, out of one shuffle": (() => {
    let shuffled: tf.data.Dataset<tf.TensorContainer>;
    return {
      data: () => (shuffled = array().shuffle(17, "both")).take(12).batch(4),
      validation: () => shuffled.skip(12).batch(2),
    };
  })(),
  "with tensors to validate on": {
    data: () => array().batch(6),
    args: { validationBatchSize: 3 },
    validation: () => [tf.ones([7, 4]), tf.ones([7, 3])],
  },
};

// --- trainings

type Train = (model: tf.LayersModel, data: tf.data.Dataset<tf.TensorContainer>, args: Args) => Promise<tf.History>;

async function trained(
  train: Train,
  { data, args, validation }: Case,
  told: Told,
  epochs: number,
  crashAt?: number,
): Promise<Outcome> {
  const model = networks[0]!.build();
  const [custom, stopping] = objects(telling(told, crashAt), 100);
  const dataset = data();
  const history = await train(model, dataset, {
    epochs,
    ...args,
    ...(validation && { validationData: validation() as [tf.Tensor, tf.Tensor] }),
    callbacks: [custom, stopping],
  });
  return await outcome(model, history, told, stopping);
}

function ours(options: FitOptions, of: Case, crashAt?: number, epochs = 3): Promise<Outcome> {
  const told: Told = { calls: [] };
  const train = fitDataset({ ...options, with: told });
  return trained((model, data, args) => runOrThrow(train(model, data, args)), of, told, epochs, crashAt);
}

function theirs(seed: number, of: Case): Promise<Outcome> {
  return trained((model, data, args) => swapped(seed, () => model.fitDataset(data, args)), of, { calls: [] }, 3);
}

/** Runs without printing warnings about data that has run out, and returns them. */
async function silent<A>(run: () => Promise<A>): Promise<readonly [A, readonly string[]]> {
  const warnings: string[] = [];
  const { warn } = console;
  console.warn = (message: string) => void (message.includes("batchesPerEpoch") && warnings.push(message));
  try {
    return [await run(), warnings];
  } finally {
    console.warn = warn;
  }
}

// --- compared with tfjs, and killed

for (const [name, of] of Object.entries(cases)) {
  test(`same bits: a dataset ${name} gives the bits of tfjs, also when killed at any call and resumed`, async () => {
    const [expected, warned] = await silent(() => theirs(3, of));
    const [straight, also] = await silent(() => ours({ to: memory(), seed: 3 }, of));
    assert.deepEqual(straight, expected);
    assert.deepEqual(also, warned);
    const moments = straight.calls.length;
    const stride = Math.max(1, Math.round(50 / torture));
    for (let crashAt = 1 + Math.floor(Math.random() * stride); crashAt <= moments; crashAt += stride) {
      const [to, every] = [memory(), 1 + crashAt % 2];
      await silent(async () => {
        await assert.rejects(ours({ to, every, seed: 3 }, of, crashAt), /crash/);
        assert.deepEqual(await ours({ to, every, seed: 3 }, of), straight, `killed at call ${crashAt}`);
        assert.deepEqual(await ours({ to, every, seed: 3 }, of), straight, "once complete");
      });
    }
  });
}

test("epochs: more epochs than before train only the rest, with the same bits", async () => {
  const of = cases["shuffled, repeated, prefetched, with batchesPerEpoch"] as Case;
  const to = memory();
  await ours({ to }, of, undefined, 1);
  const [grown, straight] = [await ours({ to }, of, undefined, 3), await ours({ to: memory() }, of, undefined, 3)];
  assert.deepEqual([grown.model, grown.history], [straight.model, straight.history]);
});

test("same bits: a killed training on a dataset whose functions call Math.random, while timers call it too", async () => {
  const of: Case = {
    data: () =>
      tf.data.generator(function* () {
        for (;;) yield { ...rows[Math.floor(Math.random() * rows.length)] } as unknown as tf.TensorContainer;
      }).map((row) => {
        const { xs, ys } = row as unknown as Row;
        return { xs: xs.map((x) => x + Math.random()), ys } as unknown as tf.TensorContainer;
      }).filter(() => Math.random() < 0.7).take(20).repeat().batch(4).prefetch(2),
    args: { batchesPerEpoch: 4 },
  };
  const straight = await ours({ to: memory() }, of);
  assert.notDeepEqual(await ours({ to: memory(), seed: 1 }, of), straight);
  const timer = setInterval(() => Math.random(), 0);
  try {
    for (const crashAt of [6, 15, 24]) {
      const to = memory();
      await assert.rejects(ours({ to, every: 1 }, of, crashAt), /crash/);
      assert.deepEqual(await ours({ to, every: 1 }, of), straight);
    }
  } finally {
    clearInterval(timer);
  }
});

// --- bad input

async function left(options: FitOptions, of: Case, epochs = 3): Promise<DogearError> {
  const [custom] = objects(telling({ calls: [] }), 1);
  const { data, args } = of;
  const result = await fitDataset(options)(networks[0]!.build(), data(), { epochs, ...args, callbacks: [custom] })();
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

test("nothing silent: a shuffle without a seed and changed data are errors", async () => {
  const unseeded = (): tf.data.Dataset<tf.TensorContainer> => array().shuffle(17).batch(4);
  const zero = (): tf.data.Dataset<tf.TensorContainer> => array().shuffle(17, 0 as unknown as string).batch(4);
  const other = [unseeded, zero].map((data) => [data, data] as const);
  const changed = (): tf.data.Dataset<tf.TensorContainer> => array().skip(1).batch(4);
  for (const [before, then] of [...other, [() => array().batch(4), changed] as const]) {
    const to = memory();
    const [custom] = objects(telling({ calls: [] }, 9), 1);
    await fitDataset({ to, every: 1 })(networks[0]!.build(), before(), { epochs: 3, callbacks: [custom] })();
    const error = await left({ to }, { data: then });
    assert.ok(error._tag === "Mismatch" && error.problems[0]?.path === "fit/data", explain(error));
    assert.match(
      explain(error),
      /a seed other than 0 for every shuffle|Give every shuffle of the dataset a seed other than 0/,
    );
  }
});

test("nothing silent: the error of changed data says whether it is trained on or validated on", async () => {
  const data = (skip: number) => array().skip(skip).take(8).batch(4) as tf.data.Dataset<tf.TensorContainer>;
  const to = memory();
  const train = (trainOn: number, validateOn: number, callbacks = {}) =>
    fitDataset({ to, every: 1 })(networks[0]!.build(), data(trainOn), {
      epochs: 3,
      validationData: data(validateOn),
      callbacks,
    })();
  // In the second epoch, after one validation.
  const onBatchEnd = (batch: number): void => void (++batches === 4 && assert.fail(`crash in ${batch}`));
  let batches = 0;
  await train(0, 1, { onBatchEnd });
  for (
    const [trainOn, validateOn, expected] of [
      [0, 2, [[
        "fit/validation",
        /^up to batch 3 the data that was validated on.*, with CRC/,
        /^Pass the validation dataset/,
      ]]],
      [2, 1, [["fit/data", /^up to batch 3 the data that was trained on.*, with CRC/, /^Pass the dataset/]]],
      [2, 2, [["fit/data", /trained on/, /^Pass the dataset/], [
        "fit/validation",
        /validated on/,
        /^Pass the validation/,
      ]]],
    ] as const
  ) {
    const result = await train(trainOn, validateOn, { onBatchEnd: () => {} });
    assert.ok(result._tag === "Left" && result.left._tag === "Mismatch");
    const { problems } = result.left;
    assert.deepEqual(problems.map(({ path }) => path), expected.map(([path]) => path));
    for (const [i, [, found, remedy]] of expected.entries()) {
      assert.match(problems[i]!.expected, found);
      assert.match(problems[i]!.remedy!, remedy);
    }
    assert.doesNotMatch(explain(result.left), /undefined/);
  }
  assert.equal((await train(0, 1, { onBatchEnd: () => {} }))._tag, "Right");
});

test("nothing silent: other arguments, data that throws, and what tfjs rejects are errors", async () => {
  const to = memory();
  const data = (): tf.data.Dataset<tf.TensorContainer> => array().batch(4);
  const [custom] = objects(telling({ calls: [] }), 1);
  await runOrThrow(fitDataset({ to })(networks[0]!.build(), data(), { epochs: 2, callbacks: [custom] }));
  const error = await left({ to, seed: 5 }, { data, args: { batchesPerEpoch: 2 } }, 1);
  assert.ok(error._tag === "Mismatch", explain(error));
  assert.deepEqual(error.problems.map(({ path }) => path), ["fit/batchesPerEpoch", "fit/seed", "fit/epochs"]);
  let count = 0;
  const throwing = (): tf.data.Dataset<tf.TensorContainer> =>
    array().map((row) => {
      if (count++ === 9) throw new Error("no such row");
      return row;
    }).batch(4);
  const failed = await left({ to: memory() }, { data: throwing });
  assert.ok(failed._tag === "SourceFailed" && failed.position === 2 && failed.epoch === 0, explain(failed));
  assert.match(explain(failed), /in epoch 0 after 2 batches/);
  const shapeless = await left({ to: memory() }, { data: () => tf.data.array([1, 2]) });
  assert.ok(shapeless._tag === "StepFailed", explain(shapeless));
  assert.match(explain(shapeless), /objects of the form `\{xs: xVal, ys: yVal\}`/);
  const bad: readonly object[] = [
    {},
    { epochs: 0 },
    { epochs: 1, batchesPerEpoch: 1.5 },
    { epochs: 1, validationSplit: 0.5 },
    { epochs: 1, validationData: data(), validationBatches: 0 },
    { epochs: 1, validationData: [tf.ones([1, 4]), tf.ones([1, 3]), tf.ones([1])] },
  ];
  for (const args of bad) {
    const model = networks[0]!.build();
    const message = await model.fitDataset(data(), args as Args).then(
      () => assert.fail("tfjs does not refuse it"),
      (error: Error) => error.message,
    );
    await assert.rejects(fitDataset({ to: memory() })(model, data(), args as Args), { message });
  }
});

test("no trace: no tensor is left after a killed and resumed training", async () => {
  const data = (): tf.data.Dataset<tf.TensorContainer> => array().shuffle(6, "s").batch(4);
  const model = networks[0]!.build();
  await runOrThrow(fitDataset({ to: memory() })(model, data(), { epochs: 1 }));
  const before = tf.memory().numTensors;
  const to = memory();
  const args = { epochs: 2, validationData: array().batch(4) };
  const [crash] = objects(telling({ calls: [] }, 9), 1);
  await fitDataset({ to, every: 1 })(model, data(), { ...args, callbacks: [crash] })();
  await runOrThrow(fitDataset({ to, every: 1 })(model, data(), args));
  assert.equal(tf.memory().numTensors, before);
});
