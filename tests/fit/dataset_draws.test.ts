/**
 * Random draws in the functions of datasets, in every composition: killed at any batch and resumed, a training ends like an uninterrupted one.
 * Shuffles without a seed are errors before anything is trained.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import {
  type DogearError,
  explain,
  fitDataset,
  type FitOptions,
  list,
  memory,
  type Report,
  runOrThrow,
} from "../../mod.ts";
import { torture } from "../support/torture.ts";

await tf.setBackend("cpu");

// --- trainings

// deno-lint-ignore no-explicit-any -- elements of data sets are rows of numbers here, which tfjs types as containers
type Data = any;

interface Row {
  readonly xs: readonly number[];
  readonly ys: readonly number[];
}

const rows: readonly Row[] = Array.from({ length: 9 }, (_, i) => ({ xs: [i / 9], ys: [2 * i / 9] }));

function plain(): Data {
  return tf.data.array(rows as Data);
}

function noisy(row: Data): Data {
  return { xs: [row.xs[0] + Math.random()], ys: row.ys };
}

async function noisyLater(row: Data): Promise<Data> {
  const first = Math.random();
  await Promise.resolve();
  const second = Math.random();
  await new Promise((resolve) => setTimeout(resolve, second < 0.5 ? 1 : 0));
  return { xs: [row.xs[0] + first + second + Math.random()], ys: row.ys };
}

/** The batches, losses and weights of a training. */
async function trained(
  options: Omit<FitOptions, "to"> & { readonly to: FitOptions["to"] },
  data: Data,
  args: object,
  crashAt = -1,
): Promise<readonly [batches: number, history: unknown, weights: unknown]> {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1], kernelInitializer: "ones" })] });
  model.compile({ optimizer: tf.train.sgd(0.1), loss: "meanSquaredError" });
  let count = 0;
  const callbacks = { onBatchEnd: () => void (++count === crashAt && assert.fail("crash")) };
  const { history } = await runOrThrow(fitDataset(options)(model, data, { epochs: 2, verbose: 0, callbacks, ...args }));
  return [count, history, model.getWeights().map((weight) => [...weight.dataSync()])];
}

/** Checks that trainings on the same data, made again, end alike, also if killed at a batch. */
async function repeats(data: () => Data, args: () => object, at: number): Promise<unknown> {
  const straight = await trained({ to: memory(), seed: 1 }, data(), args());
  assert.deepEqual(await trained({ to: memory(), seed: 1 }, data(), args()), straight, "a second time");
  const to = memory();
  const crash = Math.min(at, straight[0]);
  await assert.rejects(trained({ to, seed: 1, every: 1 }, data(), args(), crash), /crash/);
  const [, ...resumed] = await trained({ to, seed: 1, every: 1 }, data(), args());
  assert.deepEqual(resumed, straight.slice(1), `killed at batch ${crash}`);
  return straight;
}

// --- compositions

const compositions: Readonly<Record<string, () => Data>> = {
  map: () => plain().map(noisy),
  "concatenate, in both parts": () =>
    plain().map(noisy).concatenate(plain().map(noisy)).concatenate(plain().map(noisy)),
  "zip of zips": () =>
    tf.data.zip({
      a: tf.data.zip([plain().map(noisy), plain()] as Data),
      b: plain().map(noisy),
    } as Data).map(({ a, b }: Data) => ({ xs: a[0].xs, ys: [b.xs[0]] })),
  "mapAsync that waits, prefetched": () => plain().mapAsync(noisyLater).prefetch(3),
  "a filter, repeated, shuffled": () => plain().filter(() => Math.random() < 0.7).repeat(2).map(noisy).shuffle(4, "s"),
  "a generator that draws": () =>
    tf.data.generator(function* () {
      for (let i = 0; i < 9; i++) yield noisy(rows[i]);
    } as Data),
  "a generator that waits, prefetched": () =>
    tf.data.generator(
      (async function* () {
        for (let i = 0; i < 9; i++) yield await noisyLater(rows[i]);
      }) as Data,
    ).prefetch(4),
  "a generator that interleaves two data sets": () =>
    tf.data.generator(
      (async function* () {
        const [a, b] = [await plain().map(noisy).iterator(), await plain().mapAsync(noisyLater).iterator()];
        for (;;) {
          const [one, other] = [await a.next(), await b.next()];
          if (one.done || other.done) return;
          yield Math.random() < 0.5 ? one.value : other.value;
        }
      }) as Data,
    ),
  "a generator that flattens": () =>
    tf.data.generator(
      (async function* () {
        for (let i = 0; i < 3; i++) {
          const inner: Data[] = [];
          await plain().take(3).map(noisy).forEachAsync((row: Data) => void inner.push(row));
          yield* inner;
        }
      }) as Data,
    ),
  "a function": () => {
    let count = 0;
    return tf.data.func((() => ({ value: count++ < 9 ? noisy(rows[0]) : null, done: count > 9 })) as Data);
  },
};

for (const [name, data] of Object.entries(compositions)) {
  test(`same bits: random draws of a dataset: ${name}`, async () => {
    const args = name === "a function" ? { epochs: 1 } : {};
    const straight = await repeats(() => data().batch(2), () => args, 3);
    assert.notDeepEqual(await trained({ to: memory(), seed: 2 }, data().batch(2), args), straight, "the seed decides");
  });
}

test("same bits: datasets to train and validate on that call Math.random, while timers call it too; it is unhooked afterwards", async () => {
  const outer = Math.random;
  const timer = setInterval(() => Math.random(), 0);
  try {
    const data = (): Data => plain().mapAsync(noisyLater).prefetch(2).batch(3);
    await repeats(data, () => ({ validationData: plain().map(noisy).batch(2) }), 2);
    assert.equal(Math.random, outer);
    const broken = plain().mapAsync(() => Promise.reject(new Error("no row"))).batch(2);
    await assert.rejects(trained({ to: memory() }, broken, {}), /no row/);
    assert.equal(Math.random, outer);
  } finally {
    clearInterval(timer);
  }
});

// --- random compositions

type Link = readonly [name: string, of: (data: Data) => Data];

const link: fc.Arbitrary<Link> = fc.constantFrom<Link>(
  ["map", (data) => data.map(noisy)],
  ["mapAsync", (data) => data.mapAsync(noisyLater)],
  ["filter", (data) => data.filter(() => Math.random() < 0.8)],
  ["shuffle", (data) => data.shuffle(4, "s")],
  ["shuffle once", (data) => data.shuffle(3, "t", false)],
  ["repeat", (data) => data.repeat(2)],
  ["prefetch", (data) => data.prefetch(3)],
  ["skip", (data) => data.skip(1)],
  ["take", (data) => data.take(12)],
  ["zip", (data) =>
    tf.data.zip({ a: data, b: plain().repeat(4).map(noisy) } as Data)
      .map(({ a, b }: Data) => ({ xs: [a.xs[0] + b.xs[0]], ys: b.ys }))],
  ["generator", (data) =>
    tf.data.generator(
      (async function* () {
        const iterator = await data.iterator();
        for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
          yield noisy(next.value);
          if (Math.random() < 0.2) yield noisy(rows[0]);
        }
      }) as Data,
    )],
);

test("same bits: random chains of datasets whose functions call Math.random, killed at any batch", async () => {
  const any = fc.record({
    // In Deno, tfjs cannot concatenate repeated or generated datasets.
    concatenated: fc.boolean(),
    links: fc.array(link, { minLength: 1, maxLength: 5 }),
    batch: fc.integer({ min: 2, max: 4 }),
    at: fc.integer({ min: 1, max: 3 }),
    perEpoch: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(any, async ({ concatenated, links, batch, at, perEpoch }) => {
      const data = (): Data => {
        const parts = concatenated
          ? plain().map(noisy).concatenate(plain().map(noisy)).concatenate(plain())
          : plain().repeat(3);
        const chain = links.reduce((data, [, of]) => of(data), parts).batch(batch);
        return perEpoch ? chain.repeat() : chain;
      };
      await repeats(data, () => perEpoch ? { batchesPerEpoch: 3 } : {}, at);
    }),
    { numRuns: 5 * torture },
  );
});

// --- without a seed

async function left(options: FitOptions, data: Data, args: object = {}): Promise<DogearError> {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
  const calls: string[] = [];
  const callbacks = { onBatchBegin: () => void calls.push("trained") };
  const result = await fitDataset(options)(model, data, { epochs: 1, verbose: 0, callbacks, ...args })();
  assert.deepEqual(calls, []);
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

test("nothing silent: a shuffle without a seed anywhere is an error before anything is trained", async () => {
  const unseeded: readonly (() => Data)[] = [
    () => plain().shuffle(4).batch(2),
    () => plain().shuffle(4, 0 as unknown as string).batch(2),
    () => plain().shuffle(4, "").map(noisy).prefetch(2).batch(2),
    () => plain().shuffle(4).repeat().batch(2),
    () => plain().concatenate(plain().shuffle(3)).batch(2),
    () => plain().shuffle(4).shuffle(4, "seed").batch(2),
    () => plain().shuffle(4, undefined, false).skip(1).take(6).filter(() => true).mapAsync((row: Data) => row).batch(2),
    () =>
      tf.data.zip({ xs: plain().map((row: Data) => row.xs), ys: plain().shuffle(3).map((row: Data) => row.ys) }).batch(
        2,
      ),
    () =>
      tf.data.generator(
        (async function* () {
          yield* await plain().shuffle(3).toArray();
        }) as Data,
      ).batch(2),
  ];
  for (const data of unseeded) {
    const error = await left({ to: memory() }, data(), { batchesPerEpoch: 2 });
    assert.ok(error._tag === "Mismatch" && error.problems[0]?.path === "fit/data", explain(error));
    assert.match(
      explain(error),
      /a shuffle without a seed\nGive every shuffle .*a seed other than 0.*inexact: true/,
    );
  }
  const validation = await left({ to: memory() }, plain().batch(2), { validationData: plain().shuffle(3).batch(2) });
  assert.match(explain(validation), /a shuffle without a seed/);
  await trained({ to: memory() }, plain().shuffle(4, "seed").concatenate(plain().shuffle(3, "other")).batch(2), {});
});

test("inexact: data without a seed is allowed, and a resumed training reports that it continues on other data", async () => {
  const to = memory();
  const reports: Report[] = [];
  const options = { to, every: 1, inexact: true, onReport: (report: Report) => void reports.push(report) };
  await assert.rejects(trained(options, plain().shuffle(9).batch(2), {}, 4), /crash/);
  await trained(options, plain().map((row: Data) => ({ ...row, xs: [9] })).shuffle(9).batch(2), {});
  assert.match(
    reports.at(-1)?.mayDiffer.join() ?? "",
    /gave other data up to this checkpoint than was trained on, which inexact: true allows/,
  );
  assert.ok((await runOrThrow(list(to))).entries.length > 4);
});
