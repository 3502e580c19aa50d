import assert from "node:assert/strict";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { pipe } from "fp-ts/lib/function.js";
import type { LoaderError } from "../../lib/errors/errors.ts";
import * as Loader from "../../lib/loader/loader.ts";
import { permutation } from "../../lib/values/permutation.ts";
import { torture } from "../support/torture.ts";

const { skip } = Loader;

type Pairs<A> = readonly (readonly [A, Loader.Cursor])[];

/** At most `most` items of an iteration, each with its cursor. */
async function collect<A>(xs: AsyncIterable<readonly [A, Loader.Cursor]>, most = Infinity): Promise<Pairs<A>> {
  const pairs: (readonly [A, Loader.Cursor])[] = [];
  if (most === 0) return pairs;
  for await (const pair of xs) {
    pairs.push(pair);
    if (pairs.length === most) break;
  }
  return pairs;
}

async function items<A>(loader: Loader.Loader<A>, most = Infinity): Promise<readonly A[]> {
  return (await collect(Loader.iterate(loader), most)).map(([item]) => item);
}

async function rejection(xs: AsyncIterable<unknown>): Promise<LoaderError> {
  const error = await collect(xs as AsyncIterable<readonly [unknown, Loader.Cursor]>).then(() => undefined, (e) => e);
  assert.ok(error instanceof Error, `Expected a rejection with an Error, found ${String(error)}`);
  return error.cause as LoaderError;
}

function throughJson(cursor: Loader.Cursor): Loader.Cursor {
  return JSON.parse(JSON.stringify(cursor));
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

// --- a model of every pipeline: lists without arithmetic

interface Item {
  readonly value: unknown;
  /** Samples consumed by all ranks, over all epochs, after this item. */
  readonly end: number;
}

interface Model {
  readonly epochs: number;
  readonly pass: (epoch: number) => Generator<Item>;
}

type Kind = "array" | "indexed" | "iterable" | "async iterable" | "dataset";

/** A named pipeline: a function that builds it, and its model. */
interface Pipeline {
  readonly name: string;
  readonly length: number;
  readonly stream: boolean;
  readonly build: () => Loader.Loader<unknown>;
  readonly model: Model;
}

const sources: Readonly<Record<Kind, (length: number) => Loader.Loader<unknown>>> = {
  array: (length) => Loader.fromArray(range(length)),
  indexed: (length) => Loader.fromIndexed({ length, at: (i) => i % 2 === 0 ? Promise.resolve(i) : i }),
  iterable: (length) => Loader.fromIterable(() => range(length)),
  "async iterable": (length) =>
    Loader.fromIterable(async function* () {
      await Promise.resolve();
      yield* range(length);
    }),
  dataset: (length) =>
    Loader.fromDataset({
      iterator: () => {
        const xs = range(length)[Symbol.iterator]();
        return Promise.resolve({ next: () => Promise.resolve(xs.next()) });
      },
    }),
};

function samples(length: number, value: (epoch: number, i: number) => unknown): Model {
  return {
    epochs: 1,
    *pass(epoch) {
      for (let i = 0; i < length; i++) yield { value: value(epoch, i), end: epoch * length + i + 1 };
    },
  };
}

/** Each item after the next one is known; the last item ends where its pass ends. */
function* rolled(xs: Iterable<Item | { readonly end: number }>): Generator<Item> {
  let [held, end]: [Item | undefined, number] = [undefined, 0];
  for (const x of xs) {
    if ("value" in x) {
      if (held !== undefined) yield held;
      held = x;
    }
    end = x.end;
  }
  if (held !== undefined) yield { ...held, end };
}

interface Step {
  readonly name: string;
  readonly put: (loader: Loader.Loader<unknown>) => Loader.Loader<unknown>;
  readonly model: (inner: Model, length: number) => Model;
}

const steps = {
  map: (): Step => ({
    name: "map",
    put: Loader.map((x) => [x]),
    model: (inner) => ({
      ...inner,
      *pass(epoch) {
        for (const { value, end } of inner.pass(epoch)) yield { value: [value], end };
      },
    }),
  }),
  batch: (n: number, dropLast: boolean): Step => ({
    name: `batch(${n}${dropLast ? ", dropLast" : ""})`,
    put: Loader.batch(n, { dropLast }),
    model: (inner) => ({
      ...inner,
      *pass(epoch) {
        yield* rolled(function* () {
          let group: unknown[] = [];
          let last = 0;
          for (const { value, end } of inner.pass(epoch)) {
            [group, last] = [[...group, value], end];
            yield group.length === n ? { value: group, end } : { end };
            if (group.length === n) group = [];
          }
          if (group.length > 0 && !dropLast) yield { value: group, end: last };
        }());
      },
    }),
  }),
  shard: (rank: number, world: number): Step => ({
    name: `shard(${rank}/${world})`,
    put: Loader.shard({ rank, world }),
    model: (inner) => ({
      ...inner,
      *pass(epoch) {
        let group: Item[] = [];
        const own = (): Item[] => group.slice(rank, rank + 1).map(({ value }) => ({ value, end: group.at(-1)!.end }));
        for (const item of inner.pass(epoch)) {
          group.push(item);
          if (group.length < world) continue;
          yield* own();
          group = [];
        }
        yield* own();
      },
    }),
  }),
  take: (n: number): Step => ({
    name: `take(${n})`,
    put: Loader.take(n),
    model: (inner, length) => {
      function* first(epoch: number): Generator<Item> {
        let i = 0;
        if (n > 0) {
          for (const item of inner.pass(epoch)) {
            yield item;
            if (++i === n) return;
          }
        }
      }
      function* pass(epoch: number): Generator<Item> {
        if (inner.epochs > 1) yield* first(epoch);
        else {yield* [...first(epoch)].map((item, i, { length: n }) =>
            i + 1 < n ? item : { ...item, end: (epoch + 1) * length }
          );}
      }
      const touched = [...pass(0)].reduce((epochs, { end }) => Math.max(epochs, Math.ceil(end / length)), 1);
      return { ...inner, epochs: touched, pass };
    },
  }),
  skip: (n: number): Step => ({
    name: `skip(${n})`,
    put: (loader) => skip(n)(loader),
    model: (inner) => ({
      ...inner,
      *pass(epoch) {
        let i = 0;
        for (const item of inner.pass(epoch)) if (i++ >= n) yield item;
      },
    }),
  }),
  repeat: (n: number): Step => ({
    name: `repeat(${n})`,
    put: Loader.repeat(n),
    model: (inner) =>
      inner.epochs === Infinity ? inner : {
        epochs: n * inner.epochs,
        *pass(epoch) {
          for (let k = 0; k < n; k++) {
            let any = false;
            for (const item of inner.pass(epoch + k * inner.epochs)) {
              any = true;
              yield item;
            }
            if (!any) return;
          }
        },
      },
  }),
};

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.constant(steps.map()),
  fc.tuple(fc.integer({ min: 1, max: 4 }), fc.boolean()).map(([n, dropLast]) => steps.batch(n, dropLast)),
  fc.tuple(fc.nat(3), fc.nat(3)).map(([a, b]) => steps.shard(Math.min(a, b), Math.max(a, b) + 1)),
  fc.nat(7).map(steps.take),
  fc.nat(5).map(steps.skip),
  fc.constantFrom(1, 2, 3, Infinity).map(steps.repeat),
);

function pipelineOf(
  kind: Kind,
  length: number,
  [low, high]: readonly [number, number],
  seed: string | null,
  chain: readonly Step[],
): Pipeline {
  const stream = kind !== "array" && kind !== "indexed";
  const split = [steps.take(high), steps.skip(low)];
  const shuffled = !stream && seed !== null;
  const [from, to] = [Math.min(low, high, length), Math.min(high, length)];
  const first = shuffled
    ? samples(length, (epoch, i) => i < from || i >= to ? i : from + permutation(seed, epoch, to - from).at(i - from))
    : samples(length, (_, i) => i);
  const all = [...split, ...chain];
  return {
    name: `${kind} of ${length}${shuffled ? " shuffled" : ""} | ${all.map(({ name }) => name).join(" | ")}`,
    length,
    stream,
    build: () => {
      const part = split.reduce((loader, step) => step.put(loader), sources[kind](length));
      return chain.reduce((loader, step) => step.put(loader), shuffled ? Loader.shuffle(seed)(part) : part);
    },
    model: all.reduce((model, step) => step.model(model, length), first),
  };
}

const anyPipeline: fc.Arbitrary<Pipeline> = fc.tuple(
  fc.constantFrom<Kind[]>("array", "indexed", "iterable", "async iterable", "dataset"),
  fc.nat(13),
  fc.oneof({ weight: 3, arbitrary: fc.constant([0, 100] as const) }, fc.tuple(fc.nat(4), fc.nat(14))),
  fc.option(fc.string({ maxLength: 2 })),
  fc.array(anyStep, { maxLength: 4 }),
).map((parts) => pipelineOf(...parts));

/** Pipelines whose passes do not end at the end of an epoch, and streams where an item depends on the length. */
const hard: readonly Pipeline[] = [
  pipelineOf("array", 3, [0, 9], "s", [steps.repeat(Infinity), steps.take(4), steps.repeat(3)]),
  pipelineOf("iterable", 3, [0, 9], null, [steps.repeat(Infinity), steps.take(4), steps.repeat(3)]),
  pipelineOf("iterable", 2, [0, 9], null, [steps.repeat(Infinity), steps.take(3), steps.take(1), steps.repeat(3)]),
  pipelineOf("iterable", 5, [0, 9], null, [steps.repeat(Infinity), steps.take(3), steps.take(1), steps.repeat(3)]),
  pipelineOf("iterable", 2, [0, 9], null, [steps.repeat(3), steps.take(5), steps.skip(1), steps.repeat(2)]),
  pipelineOf("iterable", 2, [0, 9], null, [steps.take(3), steps.repeat(Infinity), steps.skip(4)]),
  pipelineOf("dataset", 1, [0, 9], null, [steps.take(2), steps.repeat(3), steps.shard(0, 2)]),
  pipelineOf("dataset", 7, [0, 9], null, [steps.shard(1, 4), steps.batch(2, false), steps.repeat(2)]),
  pipelineOf("array", 11, [2, 9], "s", [
    steps.batch(2, true),
    steps.shard(1, 2),
    steps.repeat(3),
    steps.batch(2, false),
  ]),
];

/** How many items of an endless pipeline are compared. */
const most = 14;

function property(check: (pipeline: Pipeline, n: number) => Promise<void>, runs = 300): Promise<void> {
  return Promise.resolve(fc.assert(
    fc.asyncProperty(anyPipeline, fc.nat(9), async (pipeline, n) => {
      try {
        await check(pipeline, n);
      } catch (error) {
        throw new Error(pipeline.name, { cause: error });
      }
    }),
    { numRuns: runs * torture, examples: hard.map((pipeline) => [pipeline, 4]), includeErrorInReport: true },
  ));
}

test("loader: every pipeline gives the items that lists give, and each cursor counts the samples consumed", async () => {
  await property(async ({ build, model, length }) => {
    const expected: Item[] = [];
    for (const item of model.pass(0)) {
      if (expected.push(item) === most) break;
    }
    const found = await collect(Loader.iterate(build()), most);
    assert.deepStrictEqual(found.map(([value]) => value), expected.map(({ value }) => value));
    for (const [i, [, cursor]] of found.entries()) {
      const end = cursor.epoch * length + cursor.position;
      // Before an epoch of a stream was read to its end, a dropped tail is unknown.
      if (cursor.length === null) assert.ok(end <= expected[i]!.end);
      else assert.equal(end, expected[i]!.end);
    }
  }, 1000);
});

test("loader: same bits: from any cursor, through JSON, a new loader gives the same items and cursors", async () => {
  await property(async ({ build }) => {
    const whole = await collect(Loader.iterate(build()), most);
    const cursors = [Loader.start(build()), ...whole.map(([, cursor]) => cursor)];
    for (const [i, cursor] of cursors.entries()) {
      const rest = await collect(Loader.from(throughJson(cursor))(build()), most - i);
      assert.deepStrictEqual(rest, whole.slice(i));
    }
  });
});

test("skip: skip(0) = id, skip(a) ∘ skip(b) = skip(a + b), skip(n) yields what dropping n yields", async () => {
  await property(async ({ build }, n) => {
    const whole = await collect(Loader.iterate(build()), most);
    const rest = await collect(Loader.iterate(pipe(build(), skip(n))), Math.max(0, most - n));
    assert.deepStrictEqual(rest, whole.slice(n));
    for (const a of range(n + 1)) {
      const twice = pipe(build(), skip(a), skip(n - a));
      assert.deepStrictEqual(await collect(Loader.iterate(twice), Math.max(0, most - n)), rest);
      assert.deepStrictEqual(Loader.start(twice), Loader.start(pipe(build(), skip(n))));
    }
  }, 60);
});

test("skip: the cursor after n items is the cursor of skip(n)", async () => {
  await property(async ({ build, stream }, n) => {
    const whole = await collect(Loader.iterate(build()), n);
    if (whole.length < n) return;
    const after = n === 0 ? Loader.start(build()) : whole[n - 1]![1];
    // The length of a stream's epochs is unknown before one was read.
    if (stream && after.length !== null) return;
    assert.deepStrictEqual(Loader.start(pipe(build(), skip(n))), after);
  });
});

test("loader: at(n) is the n-th item, and length is the number of items", async () => {
  await property(async ({ build, stream }, n) => {
    const whole = await items(build(), most);
    if (n < whole.length) assert.deepStrictEqual(await Loader.at(n)(build()), whole[n]);
    else await assert.rejects(Loader.at(n)(build()), TypeError);
    const length = Loader.length(build());
    if (stream) assert.equal(length, null);
    else assert.equal(Math.min(length!, most), whole.length);
  }, 60);
});

test("loader: loaders and cursors are frozen, and an iteration changes neither", async () => {
  await property(async ({ build }) => {
    const loader = build();
    const [first, second] = [await collect(Loader.iterate(loader), 5), await collect(Loader.iterate(loader), 5)];
    assert.deepStrictEqual(first, second);
    assert.ok(Object.isFrozen(loader) && first.every(([, cursor]) => Object.isFrozen(cursor)));
  }, 30);
});

// --- another batch size, another number of ranks

test("shard: after a change of the batch size and the number of ranks in mid-epoch, each sample comes once an epoch", async () => {
  const size = fc.integer({ min: 1, max: 5 });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 60 }),
      size,
      size,
      size,
      size,
      fc.nat(9),
      async (length, b1, w1, b2, w2, k) => {
        const data = (): Loader.Loader<number> => pipe(Loader.fromArray(range(length)), Loader.shuffle("run"));
        const ranks = (world: number, size: number): Loader.Loader<number[]>[] =>
          range(world).map((rank) => pipe(data(), Loader.shard({ rank, world }), Loader.batch(size), Loader.repeat(2)));
        const before = Math.min(k, Math.floor(length / (w1 * b1)));
        const seen = await Promise.all(ranks(w1, b1).map((loader) => collect(Loader.iterate(loader), before)));
        const cursors = seen.map((pairs) => pairs.at(-1)?.[1] ?? Loader.start(data()));
        cursors.forEach((cursor) => assert.deepStrictEqual(cursor, cursors[0]));
        const rest = await Promise.all(ranks(w2, b2).map((loader) => collect(Loader.from(cursors[0]!)(loader))));
        const all = [...seen, ...rest].flat(1).flatMap(([batch]) => batch);
        assert.deepStrictEqual(all.toSorted((a, b) => a - b), range(2 * length).map((i) => Math.floor(i / 2)));
      },
    ),
    { numRuns: 100 * torture },
  );
});

test("shard: without batches, a change of the number of ranks does not change the shuffled order", async () => {
  const data = pipe(Loader.fromArray(range(24)), Loader.shuffle(1));
  const order = await items(data);
  const ranks = (world: number): Loader.Loader<number>[] =>
    range(world).map((rank) => pipe(data, Loader.shard({ rank, world })));
  const seen = await Promise.all(ranks(4).map((loader) => collect(Loader.iterate(loader), 3)));
  const rest = await Promise.all(ranks(3).map((loader) => collect(Loader.from(seen[0]![2]![1])(loader))));
  const interleaved = (lists: readonly Pairs<number>[]): readonly number[] =>
    lists[0]!.flatMap((_, i) => lists.map((pairs) => pairs[i]![0]));
  assert.deepStrictEqual([...interleaved(seen), ...interleaved(rest)], order);
});

// --- small examples

const sixteen = (): Loader.Loader<number[]> => pipe(Loader.fromArray(range(16)), Loader.batch(4));
const streamed = (): Loader.Loader<number[]> => pipe(Loader.fromIterable(() => range(16)), Loader.batch(4));
const lastTwo = [[8, 9, 10, 11], [12, 13, 14, 15]];

test("D1: skip: 2 of 4 batches of an indexed source", async () => {
  assert.deepStrictEqual(
    await items(pipe(Loader.fromIndexed({ length: 16, at: (i) => i }), Loader.batch(4), skip(2))),
    lastTwo,
  );
});

test("D2, D4: skip: 2 of 4 batches of a stream", async () => {
  assert.deepStrictEqual(await items(pipe(streamed(), skip(2))), lastTwo);
});

test("D3: skip: 2 of 4 batches of an array", async () => {
  assert.deepStrictEqual(await items(pipe(sixteen(), skip(2))), lastTwo);
});

test("D5, D6: cursor: the position is 0 exactly after the last batch of an epoch, in every pass", async () => {
  const passes = await collect(Loader.iterate(pipe(sixteen(), Loader.repeat(2))));
  assert.deepStrictEqual(passes.map(([, cursor]) => cursor.position === 0), range(8).map((i) => i % 4 === 3));
  assert.deepStrictEqual(passes.map(([, cursor]) => cursor.epoch), [0, 0, 0, 1, 1, 1, 1, 2]);
});

test("D9: shuffle: the same seed gives the same order, another seed another order", async () => {
  const order = (seed: number) => items(pipe(Loader.fromArray(range(6)), Loader.shuffle(seed)));
  assert.deepStrictEqual(await order(21), await order(21));
  assert.notDeepStrictEqual(await order(21), await order(42));
});

test("D10: shuffle: each epoch has another order, and an iterable receives the epoch", async () => {
  const two = await items(pipe(Loader.fromArray(range(40)), Loader.shuffle(3), Loader.repeat(2)));
  assert.notDeepStrictEqual(two.slice(0, 40), two.slice(40));
  const asked = pipe(Loader.fromIterable((epoch) => [epoch, epoch]), Loader.repeat(3));
  assert.deepStrictEqual(await items(asked), [0, 0, 1, 1, 2, 2]);
  assert.deepStrictEqual(await items(pipe(asked, skip(3))), [1, 2, 2]);
});

test("D11, D12: skip: a skip into a later epoch starts in that epoch and stays in it", async () => {
  const later = pipe(sixteen(), Loader.repeat(3), skip(4 + 2));
  assert.equal(Loader.start(later).epoch, 1);
  assert.deepStrictEqual((await collect(Loader.iterate(later), 3)).map(([, { epoch }]) => epoch), [1, 2, 2]);
});

test("D13, D14: from: from the cursor after batch 1, a new loader gives the rest and no more", async () => {
  for (const build of [sixteen, streamed]) {
    const [, [, cursor]] = await collect(Loader.iterate(build()), 2) as [Pairs<number[]>[0], Pairs<number[]>[0]];
    assert.deepStrictEqual((await collect(Loader.from(throughJson(cursor))(build()))).map(([batch]) => batch), lastTwo);
  }
});

test("D15, D16: from: from the cursor after n batches, new loaders of every source give what skip(n) gives", async () => {
  const dataset = (): Loader.Loader<number> => Loader.fromDataset<number>(tf.data.array(range(64)).shuffle(64, "42"));
  const builds: readonly (() => Loader.Loader<number[]>)[] = [
    () => pipe(Loader.fromArray(range(64)), Loader.shuffle(42), Loader.batch(4), Loader.repeat(2)),
    () => pipe(Loader.fromIndexed({ length: 64, at: (i) => i }), Loader.shuffle(42), Loader.batch(4), Loader.repeat(2)),
    () => pipe(Loader.fromIterable(() => range(64)), Loader.batch(4), Loader.repeat(2)),
    () => pipe(dataset(), Loader.batch(4), Loader.repeat(2)),
  ];
  for (const build of builds) {
    for (const n of [8, 16, 24]) {
      const reference = await collect(Loader.iterate(build()));
      const resumed = await collect(Loader.from(throughJson(reference[n - 1]![1]))(build()));
      assert.equal(resumed.length, 32 - n);
      assert.deepStrictEqual(resumed, reference.slice(n));
      assert.deepStrictEqual(await collect(Loader.iterate(pipe(build(), skip(n)))), resumed);
    }
  }
  const epochs = await items(pipe(dataset(), Loader.batch(64), Loader.repeat(2)));
  assert.notDeepStrictEqual(epochs[0], epochs[1]);
});

test("D17: fromDataset: an iteration that is left early leaks no tensor, skipped ones included", async () => {
  const baseline = tf.memory().numTensors;
  const dataset = tf.data.array(range(9)).map((x) => ({ x: tf.tensor1d([x]), y: [tf.scalar(x)] }));
  const pairs = pipe(
    Loader.fromDataset(dataset),
    Loader.batch(2, { dropLast: true }),
    Loader.shard({ rank: 0, world: 2 }),
  );
  for await (const [batch] of Loader.iterate(pipe(pairs, skip(1)))) {
    assert.deepStrictEqual(batch.map(({ x }) => x.dataSync()[0]), [4, 5]);
    tf.dispose(batch);
    break;
  }
  assert.equal(tf.memory().numTensors, baseline);
  for await (const [batch] of Loader.iterate(pairs)) tf.dispose(batch);
  assert.equal(tf.memory().numTensors, baseline);
});

test("D18: skip: a loader of 10 batches without the first 2 has 8, and its cursor is plain JSON", async () => {
  const rest = pipe(Loader.fromArray(range(10)), Loader.batch(1), skip(2));
  assert.equal(Loader.length(rest), 8);
  assert.deepStrictEqual(await items(rest), range(10).slice(2).map((i) => [i]));
  assert.deepStrictEqual(throughJson(Loader.start(rest)), { ...Loader.start(rest) });
});

test("E1, E2, E3, E4: repeat: step n of a run is batch n % length of epoch n / length", () => {
  const epoch = pipe(Loader.fromArray(range(50)), Loader.shuffle(1), Loader.batch(8));
  const length = Loader.length(epoch)!;
  for (const step of [0, 2, 6, 7, 9, 20]) {
    const { epoch: at, position } = Loader.start(pipe(epoch, Loader.repeat(3), skip(step)));
    assert.deepStrictEqual([at, position], [Math.floor(step / length), (step % length) * 8]);
  }
});

test("L1, L2: from: from the cursor after batch 2 of 8, an array and a stream give the 5 unseen batches", async () => {
  const mapped = (): Loader.Loader<number[]> => pipe(Loader.fromArray(range(32)), Loader.shuffle(5), Loader.batch(4));
  const iterable = (): Loader.Loader<number[]> => pipe(Loader.fromIterable(() => range(32)), Loader.batch(4));
  for (const build of [mapped, iterable]) {
    const whole = await collect(Loader.iterate(build()));
    const resumed = await collect(Loader.from(throughJson(whole[2]![1]))(build()));
    assert.equal(resumed.length, 5);
    assert.deepStrictEqual(resumed, whole.slice(3));
  }
});

test("P1, P2: shuffle: three epochs have the same order again, and another order with another seed", async () => {
  const epochs = (seed: number) => items(pipe(Loader.fromArray(range(20)), Loader.shuffle(seed), Loader.repeat(3)));
  assert.deepStrictEqual(await epochs(42), await epochs(42));
  assert.notDeepStrictEqual(await epochs(42), await epochs(43));
});

// --- laziness: only requested items are computed

test("loader: nothing is read before the first item is requested, and each item only when it is requested", async () => {
  const calls: string[] = [];
  const logged = (name: string) => (i: number): number => {
    calls.push(`${name} ${i}`);
    return i;
  };
  const build = (source: Loader.Loader<number>): Loader.Loader<number[]> =>
    pipe(source, Loader.map(logged("map")), Loader.batch(2), Loader.repeat());
  const indexed = build(Loader.fromIndexed({ length: 100, at: logged("read") }));
  const stream = build(Loader.fromIterable(function* () {
    for (let i = 0;; i++) yield logged("read")(i);
  }));
  for (const loader of [indexed, stream]) {
    const iterator = Loader.iterate(loader)[Symbol.asyncIterator]();
    Loader.start(loader);
    assert.deepStrictEqual(calls.splice(0), []);
    await iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepStrictEqual(calls.splice(0).toSorted(), ["map 0", "map 1", "read 0", "read 1"]);
    await iterator.next();
    assert.deepStrictEqual(calls.splice(0).toSorted(), ["map 2", "map 3", "read 2", "read 3"]);
    await iterator.return?.();
    assert.deepStrictEqual(calls, []);
  }
});

test("skip: over 10^9 shuffled batches of 10^12 samples it reads nothing, and the next batch reads only its own samples", async () => {
  let [reads, maps] = [0, 0];
  const loader = pipe(
    Loader.fromIndexed({ length: 1e12, at: (i) => (reads++, Promise.resolve(i)) }),
    Loader.shuffle(7),
    Loader.map((i) => (maps++, i)),
    Loader.batch(32),
    Loader.repeat(),
  );
  const rest = pipe(loader, skip(1e9), Loader.shard({ rank: 1, world: 2 }), skip(1e9));
  assert.equal(Loader.start(rest).position, 3e9 * 32);
  assert.deepStrictEqual([reads, maps], [0, 0]);
  const [batch] = await items(rest, 1);
  assert.deepStrictEqual([reads, maps, batch?.length], [32, 32, 32]);
  assert.deepStrictEqual(await Loader.at(3e9 + 1)(loader), batch);
  const order = permutation(7, 0, 1e12);
  assert.deepStrictEqual(batch, range(32).map((i) => order.at((3e9 + 1) * 32 + i)));
  assert.equal(Loader.start(pipe(loader, skip(1e15))).epoch, 32_000);
});

test("skip: skipped samples of a stream and those of other ranks are pulled, but not mapped", async () => {
  let [pulled, mapped] = [0, 0];
  const stream = pipe(
    Loader.fromIterable(function* () {
      for (let i = 0; i < 100; i++) yield (pulled++, i);
    }),
    Loader.map((i) => (mapped++, i)),
    Loader.shard({ rank: 1, world: 2 }),
    Loader.batch(5),
  );
  assert.deepStrictEqual(await items(pipe(stream, skip(3)), 1), [[31, 33, 35, 37, 39]]);
  assert.deepStrictEqual([pulled, mapped], [40, 5]);
});

test("fromIterable: the iterator is closed when the iteration is left, cut by take or fails, but not when it ended", async () => {
  let [opened, closed] = [0, 0];
  const source = (length: number): Loader.Loader<number> =>
    Loader.fromIterable(() => {
      let i = 0;
      opened++;
      return {
        [Symbol.iterator]: () => ({
          next: () => i < length ? { done: false, value: i++ } : { done: true, value: undefined },
          return: () => (closed++, { done: true, value: undefined }),
        }),
      } as Iterable<number>;
    });
  const counts = (): number[] => [opened, closed].map((n) => (([opened, closed] = [0, 0]), n));
  await items(pipe(source(9), Loader.repeat()), 14);
  assert.deepStrictEqual(counts(), [2, 1]);
  await items(pipe(source(9), Loader.take(3), Loader.repeat(4)));
  assert.deepStrictEqual(counts(), [4, 4]);
  await items(pipe(source(9), Loader.repeat(2)));
  assert.deepStrictEqual(counts(), [2, 0]);
  const failing = pipe(source(9), Loader.map(() => assert.fail("no")));
  assert.equal((await rejection(Loader.iterate(failing)))._tag, "SourceFailed");
  assert.deepStrictEqual(counts(), [1, 1]);
});

test("batch: the samples of one batch are requested together, and come in order", async () => {
  let [running, peak] = [0, 0];
  const loader = pipe(
    Loader.fromIndexed({
      length: 8,
      at: async (i) => {
        peak = Math.max(peak, ++running);
        await new Promise((resolve) => setTimeout(resolve, 8 - i));
        running--;
        return i;
      },
    }),
    Loader.batch(4),
  );
  assert.deepStrictEqual(await items(loader), [[0, 1, 2, 3], [4, 5, 6, 7]]);
  assert.equal(peak, 4);
});

// --- skip on iterables

test("skip: skips an iterable and an async iterable lazily, as often as it can be iterated, and closes it when left", async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.nat()), fc.nat(9), fc.nat(9), async (xs, a, b) => {
    const later = {
      async *[Symbol.asyncIterator]() {
        await Promise.resolve();
        yield* xs;
      },
    };
    const [sync, async] = [pipe(xs, skip(a), skip(b)), pipe(later, skip(a), skip(b))];
    for (const _ of [1, 2]) {
      assert.deepStrictEqual([...sync], xs.slice(a + b));
      const seen: number[] = [];
      for await (const x of async) seen.push(x);
      assert.deepStrictEqual(seen, xs.slice(a + b));
    }
  }));
  const log: string[] = [];
  const generator = function* (): Generator<number> {
    try {
      for (let i = 0;; i++) yield (log.push(`pull ${i}`), i);
    } finally {
      log.push("close");
    }
  };
  const rest = pipe({ [Symbol.iterator]: generator }, skip(2));
  assert.deepStrictEqual(log, []);
  for (const x of rest) {
    assert.equal(x, 2);
    break;
  }
  assert.deepStrictEqual(log, ["pull 0", "pull 1", "pull 2", "close"]);
});

test("types: the item type of a pipeline is inferred", async () => {
  const batches = pipe(
    Loader.fromArray(["a"]),
    Loader.shuffle(1),
    Loader.map((s) => Promise.resolve({ s })),
    Loader.batch(2),
    skip(0),
  );
  const typed: Loader.Loader<{ s: string }[]> = batches;
  const numbers: Iterable<number> = pipe([1, 2], skip(1));
  const later: AsyncIterable<string> = pipe(
    (async function* () {
      yield await Promise.resolve("a");
    })(),
    skip(0),
  );
  const floats: Loader.Loader<number> = Loader.fromArray(new Float32Array(1));
  const elements: Loader.Loader<number> = Loader.fromDataset(tf.data.array([1]));
  const tensors: Loader.Loader<tf.Tensor1D> = Loader.fromDataset(tf.data.array([1]).map((x) => tf.tensor1d([x])));
  const fetched: Loader.Loader<bigint> = Loader.fromIndexed({ length: 1, at: () => Promise.resolve(1n) });
  assert.ok([typed, floats, elements, tensors, fetched].every(({ _tag }) => _tag === "Loader"));
  assert.deepStrictEqual([[...numbers], await items(typed)], [[2], [[{ s: "a" }]]]);
  for await (const s of later) assert.equal(s, "a");
});

// --- errors

test("start: the start of any source is position 0 of epoch 0, empty or not", () => {
  for (const length of [0, 3]) {
    const { epoch, position } = Loader.start(pipe(Loader.fromArray(range(length)), Loader.batch(2), Loader.repeat()));
    assert.deepStrictEqual([epoch, position], [0, 0]);
  }
});

test("loader: an empty source ends at once, also repeated without end, skipped or resumed", async () => {
  for (const kind of ["array", "indexed", "iterable", "async iterable", "dataset"] as const) {
    for (const put of [Loader.batch(2), Loader.repeat(), Loader.shard({ rank: 0, world: 2 }), skip(3)]) {
      const loader = pipe(sources[kind](0), put, Loader.repeat());
      assert.deepStrictEqual(await items(loader), []);
      assert.deepStrictEqual(await collect(Loader.from(Loader.start(loader))(loader)), []);
    }
  }
  const dropped = pipe(Loader.fromArray([1, 2]), Loader.batch(3, { dropLast: true }), Loader.repeat());
  assert.deepStrictEqual(await items(dropped), []);
  const nothing = pipe(Loader.fromIterable(() => [1, 2]), Loader.take(0), Loader.repeat());
  assert.deepStrictEqual(await items(nothing), []);
});

test("repeat: a stream whose first epoch is empty and a later one is not is rejected with CursorMismatch", async () => {
  for (const full of [1, 2]) {
    for (const repeat of [Loader.repeat(3), Loader.repeat()]) {
      const loader = pipe(Loader.fromIterable((epoch) => epoch === full ? [1, 2] : []), repeat);
      const expected = { path: "length", kind: "length", expected: "0", found: `at least 1 in epoch ${full}` };
      await assert.rejects(items(loader), { cause: { _tag: "CursorMismatch", problems: [expected] } });
      await assert.rejects(items(pipe(loader, Loader.batch(2))), {
        cause: { _tag: "CursorMismatch", problems: [expected] },
      });
      await assert.rejects(items(pipe(loader, skip(1))), { cause: { _tag: "CursorMismatch", problems: [expected] } });
    }
  }
  assert.deepStrictEqual(await items(Loader.fromIterable((epoch) => epoch === 1 ? [1] : [])), []);
});

test("iterate: with epoch, each epoch of a loop has its own order, and resumes in the middle with the repeated loader", async () => {
  const loader = pipe(Loader.fromArray(range(8)), Loader.shuffle(7), Loader.batch(3));
  const whole = await collect(Loader.iterate(pipe(loader, Loader.repeat(3))));
  const epochs = await Promise.all([0, 1, 2].map((epoch) => collect(Loader.iterate(loader, { epoch }))));
  assert.deepStrictEqual(epochs.flat(), whole);
  assert.equal(new Set(epochs.map((epoch) => JSON.stringify(epoch.map(([batch]) => batch)))).size, 3);
  for (const [i, [, cursor]] of whole.entries()) {
    const seen: unknown[] = [];
    for (let { epoch } = cursor; epoch < 3; epoch++) {
      const from = epoch === cursor.epoch ? cursor : { ...cursor, epoch, position: 0 };
      seen.push(...await collect(Loader.from(from)(pipe(loader, Loader.repeat(epoch + 1)))));
    }
    assert.deepStrictEqual(seen, whole.slice(i + 1));
  }
  const rest = await items({ ...pipe(loader, skip(1)) });
  assert.deepStrictEqual(rest, whole.slice(1, 3).map(([batch]) => batch));
  const later = await collect(Loader.iterate(pipe(loader, skip(1)), { epoch: 2 }));
  assert.deepStrictEqual(later, whole.slice(7));
  // A pass of two epochs is one pass.
  const twice = await collect(Loader.iterate(pipe(loader, Loader.repeat(2)), { epoch: 1 }));
  assert.deepStrictEqual(twice.slice(0, 3), whole.slice(6));
  const stream = Loader.fromIterable((epoch) => [10 * epoch, 10 * epoch + 1]);
  assert.deepStrictEqual((await collect(Loader.iterate(stream, { epoch: 3 }))).map(([x]) => x), [30, 31]);
  const bad: readonly (readonly [() => unknown, RegExp])[] = [
    [() => Loader.iterate(loader, { epoch: -1 }), /epoch of Loader\.iterate .*found -1/],
    [() => Loader.iterate(pipe(loader, Loader.repeat()), { epoch: 1 }), /one that never ends/],
    [() => Loader.iterate(pipe(stream, Loader.repeat(3), Loader.take(3)), { epoch: 1 }), /put take before repeat/],
  ];
  for (const [call, message] of bad) assert.throws(call, { name: "TypeError", message });
});

test("skip: beyond the end nothing is left, also after a resume", async () => {
  for (const build of [sixteen, streamed]) {
    for (const n of [4, 5, 2 ** 50]) {
      const rest = pipe(build(), skip(n));
      assert.deepStrictEqual(await items(rest), []);
      assert.deepStrictEqual(await collect(Loader.from(Loader.start(rest))(rest)), []);
    }
  }
});

test("loader: a bad argument is a TypeError at once, with its name and what was found", () => {
  const data = Loader.fromArray([1]);
  const bad: readonly (readonly [() => unknown, RegExp])[] = [
    [() => skip(-1), /n of skip .*found -1/],
    [() => skip(1.5), /found 1.5/],
    [() => skip(NaN), /found NaN/],
    [() => skip(1)(5 as never), /a loader or an iterable, found 5/],
    [() => Loader.batch(0), /n of Loader.batch .*found 0/],
    [() => Loader.batch(Infinity), /found Infinity/],
    [() => Loader.take(-1), /n of Loader.take/],
    [() => Loader.at(0.5), /n of Loader.at/],
    [() => Loader.repeat(0), /epochs of Loader.repeat/],
    [() => Loader.shard({ rank: 2, world: 2 }), /rank of Loader.shard .* from 0 to 1, found 2/],
    [() => Loader.shard({ rank: -1, world: 2 }), /rank of Loader.shard/],
    [() => Loader.shard({ rank: 0, world: 0 }), /world of Loader.shard/],
    [() => Loader.shuffle(0.5), /seed/],
    [() => Loader.map(1 as never), /f of Loader.map/],
    [() => Loader.fromArray(5 as never), /an array or a typed array, found 5/],
    [() => Loader.fromArray("abc"), /an array or a typed array/],
    [() => Loader.fromIndexed({ length: -1, at: (i) => i }), /length of Loader.fromIndexed/],
    [() => Loader.fromIndexed({ length: 1, at: 1 as never }), /at of Loader.fromIndexed/],
    [() => Loader.fromIterable([1] as never), /a function that returns an iterable/],
    [() => Loader.fromDataset([1] as never), /a tf.data.Dataset/],
    [() => Loader.batch(2)([1, 2] as never), /Loader.batch to be given a loader, found an array of 2: make one with/],
    [() => Loader.iterate([1] as never), /a loader/],
    [() => Loader.from({} as never), /a cursor/],
    [() => Loader.from({ ...Loader.start(data), position: 2 }), /a cursor/],
    [() => pipe(Loader.fromIterable(() => [1]), Loader.shuffle(1)), /random access, found a stream: use/],
    [() => pipe(data, Loader.batch(2), Loader.shuffle(1)), /put one Loader.shuffle right after the source/],
    [() => pipe(data, Loader.shuffle(1), Loader.shuffle(1)), /put one Loader.shuffle/],
    [() => pipe(data, Loader.repeat(), Loader.shuffle(1)), /put one Loader.shuffle/],
    [() => Loader.start(pipe(data, Loader.repeat(), Loader.batch(4), skip(2 ** 52))), /before sample 2\^53/],
  ];
  for (const [call, message] of bad) assert.throws(call, { name: "TypeError", message });
});

test("from: nothing silent: other data rejects with every difference, expected and found", async () => {
  const build = (xs: readonly number[], seed: number): Loader.Loader<number[]> =>
    pipe(Loader.fromArray(xs), Loader.shuffle(seed), Loader.batch(2));
  const saved = (await collect(Loader.iterate(build(range(10), 1)), 2))[1]![1];
  const edited = range(10).map((i) => i === 4 ? 40 : i);
  const paths = async (loader: Loader.Loader<unknown>): Promise<readonly string[]> => {
    const error = await rejection(Loader.from(saved)(loader));
    assert.ok(error._tag === "CursorMismatch");
    return error.problems.map(({ path }) => path);
  };
  assert.deepStrictEqual(await paths(build(range(11), 1)), ["length", "fingerprint"]);
  assert.deepStrictEqual(await paths(build(range(9), 1)), ["length", "fingerprint"]);
  assert.deepStrictEqual(await paths(build(edited, 1)), ["fingerprint"]);
  assert.deepStrictEqual(await paths(build(range(10), 2)), ["seed", "fingerprint"]);
  assert.deepStrictEqual(await paths(Loader.fromArray(range(10))), ["seed", "fingerprint"]);
  assert.deepStrictEqual(await paths(Loader.fromIterable(() => range(10))), ["seed", "fingerprint"]);
  const error = await rejection(Loader.from(saved)(build(range(11), 2)));
  assert.ok(error._tag === "CursorMismatch");
  assert.deepStrictEqual(error.problems.slice(0, 2), [
    { path: "seed", kind: "value", expected: "1", found: "2", saved: "expected" },
    { path: "length", kind: "length", expected: "10", found: "11", saved: "expected" },
  ]);
  const mapped = pipe(build(range(10), 1), Loader.map((xs) => xs.join()), Loader.repeat(3));
  assert.equal((await collect(Loader.from(saved)(mapped))).length, 3 + 2 * 5);
});

test("from: nothing silent: a stream that is shorter or longer than before rejects as soon as it shows", async () => {
  const build = (...lengths: number[]): Loader.Loader<number> =>
    pipe(Loader.fromIterable((epoch) => range(lengths[epoch] ?? lengths.at(-1)!)), Loader.repeat(3));
  const whole = await collect(Loader.iterate(build(8)));
  const problem = async (from: number, length: number): Promise<unknown> => {
    const error = await rejection(Loader.from(whole[from]![1])(build(length)));
    return error._tag === "CursorMismatch" && error.problems;
  };
  const length = { path: "length", kind: "length" };
  assert.deepStrictEqual(await problem(5, 5), [{ ...length, expected: "at least 6", found: "5" }]);
  assert.deepStrictEqual(await problem(9, 5), [{ ...length, expected: "8", found: "5" }]);
  assert.deepStrictEqual(await problem(9, 9), [{ ...length, expected: "8", found: "at least 9" }]);
  for (const lengths of [[4, 5], [4, 3]]) {
    const error = await rejection(Loader.iterate(build(...lengths)));
    assert.equal(error._tag, "CursorMismatch");
  }
  const cut = pipe(build(4, 3), Loader.take(1e3));
  assert.equal((await rejection(Loader.iterate(cut)))._tag, "CursorMismatch");
  const proven = pipe(
    Loader.fromIterable((epoch) => range(epoch === 0 ? 4 : 1)),
    Loader.take(3),
    Loader.repeat(),
    skip(5),
  );
  const error = await rejection(Loader.iterate(proven));
  assert.deepStrictEqual(error, {
    _tag: "CursorMismatch",
    problems: [{ ...length, expected: "at least 3", found: "1" }],
  });
});

test("iterate: a source or a mapped function that throws rejects with the position after the last complete item", async () => {
  const cause = new Error("no such record");
  const fail = (i: number, at: number): number => {
    if (i === at) throw cause;
    return i;
  };
  const streamOf = (open: () => Iterable<number> | AsyncIterable<number>): Loader.Loader<number> =>
    Loader.fromIterable(open);
  const loaders: readonly Loader.Loader<number>[] = [
    Loader.fromIndexed({ length: 9, at: (i) => fail(i, 5) }),
    Loader.fromIndexed({ length: 9, at: (i) => Promise.resolve(i).then((j) => fail(j, 5)) }),
    pipe(Loader.fromArray(range(9)), Loader.map((i) => fail(i, 5))),
    pipe(Loader.fromArray(range(9)), Loader.map((i) => Promise.resolve(i).then((j) => fail(j, 5)))),
    pipe(Loader.fromIndexed({ length: 9, at: (i) => i === 4 ? Promise.reject(cause) : fail(i, 5) })),
    streamOf(function* () {
      for (const i of range(9)) yield fail(i, 5);
    }),
    streamOf(async function* () {
      for (const i of range(9)) yield await Promise.resolve(fail(i, 5));
    }),
    pipe(streamOf(() => range(9)), Loader.map((i) => fail(i, 5))),
  ];
  for (const loader of loaders) {
    const batches = pipe(loader, Loader.batch(4));
    const seen: Loader.Cursor[] = [];
    await assert.rejects(async () => {
      for await (const [, cursor] of Loader.iterate(batches)) seen.push(cursor);
    }, (error: Error) => {
      assert.deepStrictEqual(error.cause, { _tag: "SourceFailed", cause, epoch: 0, position: 4 });
      return true;
    });
    assert.equal(seen.length, 1);
    const places = loader.source.length === null ? /epoch 0 after/ : /epoch 0 after 4 samples/;
    await assert.rejects(Loader.at(1)(batches), { message: places });
  }
  const unopened = Loader.fromIterable(() => 5 as never);
  const error = await rejection(Loader.iterate(unopened));
  assert.ok(error._tag === "SourceFailed" && /an iterable for each epoch, found 5/.test(String(error.cause)));
  const dataset = Loader.fromDataset({ iterator: () => Promise.reject(cause) });
  assert.deepStrictEqual(await rejection(Loader.iterate(dataset)), {
    _tag: "SourceFailed",
    cause,
    epoch: 0,
    position: 0,
  });
});
