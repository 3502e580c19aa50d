import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { pipe } from "fp-ts/lib/function.js";
import type { LoaderError } from "../../lib/errors/errors.ts";
import * as Loader from "../../lib/loader/loader.ts";
import * as Rng from "../../lib/values/rng.ts";

const { skip } = Loader;

async function items<A>(loader: Loader.Loader<A>, most = Infinity): Promise<readonly A[]> {
  const all: A[] = [];
  for await (const [item] of Loader.iterate(loader)) {
    if (all.push(item) >= most) break;
  }
  return all;
}

async function rejection(loader: Loader.Loader<unknown>): Promise<LoaderError> {
  const error = await items(loader).then(() => undefined, (error) => error);
  assert.ok(error instanceof Error, `Expected a rejection with an Error, found ${String(error)}`);
  return error.cause as LoaderError;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const later = <A>(xs: readonly A[]): Loader.Loader<A> => Loader.fromIterable(() => xs);
const kinds = [(xs: readonly number[]) => Loader.fromArray(xs), (xs: readonly number[]) => later(xs)];
const lists = fc.array(fc.nat(50), { maxLength: 12 });

/** Compares a loader with a list, over an array and a stream, for one epoch and for two. */
function like(
  put: (loader: Loader.Loader<number>) => Loader.Loader<unknown>,
  expected: (xs: readonly number[]) => readonly unknown[],
): Promise<void> {
  return Promise.resolve(fc.assert(
    fc.asyncProperty(lists, fc.constantFrom(...kinds), async (xs, of) => {
      const once = expected(xs);
      assert.deepStrictEqual(await items(put(of(xs))), once);
      assert.deepStrictEqual(await items(pipe(put(of(xs)), Loader.repeat(2))), [...once, ...once]);
    }),
    { numRuns: 40 },
  ));
}

function windows<A>(xs: readonly A[], n: number, stride: number): readonly (readonly A[])[] {
  return range(xs.length).filter((i) => i % stride === 0 && i + n <= xs.length).map((i) => xs.slice(i, i + n));
}

test("regroup: filter, unbatch and window give the items that lists give, over an array and a stream", async () => {
  await like(Loader.filter((x) => x % 3 > 0), (xs) => xs.filter((x) => x % 3 > 0));
  await like(Loader.filter((x) => Promise.resolve(x % 3 > 0)), (xs) => xs.filter((x) => x % 3 > 0));
  await like((xs) => pipe(xs, Loader.batch(3), Loader.unbatch), (xs) => xs);
  await like(
    (xs) => pipe(xs, Loader.map((x) => range(x % 4)), Loader.unbatch),
    (xs) => xs.flatMap((x) => range(x % 4)),
  );
  for (const [n, stride] of [[1, 1], [3, 1], [3, 2], [4, 4]] as const) {
    await like(Loader.window(n, { stride }), (xs) => windows(xs, n, stride));
  }
});

test("combine: zip, concat and mix give the items that lists give, over arrays and streams", async () => {
  await like((xs) => Loader.zip([xs, pipe(xs, Loader.map(String))]), (xs) => xs.map((x) => [x, String(x)]));
  await like(
    (xs) => Loader.zip({ x: xs, i: pipe(later(["a"]), Loader.repeat()) }),
    (xs) => xs.map((x) => ({ x, i: "a" })),
  );
  await like((xs) => Loader.concat([xs, Loader.fromArray([7]), xs]), (xs) => [...xs, 7, ...xs]);
  await like(
    (xs) => pipe([xs, pipe(Loader.fromArray([-1]), Loader.repeat())], Loader.mix([1, 2])),
    (xs) => xs.flatMap((x, i) => i === 0 ? [-1, x, -1] : [-1, x, -1]).concat([-1]),
  );
});

test("mix: in every round each loader has exactly as many items as its weight, for any weights", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
    fc.nat(20),
    async (weights, start) => {
      const round = weights.reduce((a, b) => a + b);
      const mixed = pipe(weights.map((_, k) => pipe(Loader.fromArray([k]), Loader.repeat())), Loader.mix(weights));
      assert.equal(Loader.length(mixed), Infinity);
      const seen = await items(pipe(mixed, skip(start * round)), round);
      assert.deepStrictEqual(weights.map((_, k) => seen.filter((x) => x === k).length), weights);
      assert.deepStrictEqual(await items(pipe(mixed, Loader.take(round))), seen);
    },
  ));
});

test("mix: an item among 10^12 is found by its number, and no other is read", async () => {
  let reads = 0;
  const of = (name: string): Loader.Loader<string> =>
    Loader.fromIndexed({ length: 1e12, at: (i) => (reads++, `${name}${i}`) });
  const mixed = pipe([of("a"), of("b")], Loader.mix([7, 3]));
  assert.match(await Loader.at(1e12)(mixed), /^[ab]/);
  const ten = await items(pipe(mixed, skip(1e12)), 10);
  assert.deepStrictEqual(ten.filter((x) => x.startsWith("a")), range(7).map((i) => `a${7e11 + i}`));
  assert.equal(reads, 11);
});

test("shuffleWindow: each window is a permutation of its items, equal for an array and a stream, and different in each epoch", async () => {
  const orders = await Promise.all(
    kinds.map((of) => items(pipe(of(range(50)), Loader.shuffleWindow(16, 7), Loader.repeat(2)))),
  );
  assert.deepStrictEqual(orders[0], orders[1]);
  for (const epoch of [0, 1]) {
    for (const [first, size] of [[0, 16], [16, 16], [32, 16], [48, 2]] as const) {
      const window = orders[0]!.slice(50 * epoch + first, 50 * epoch + first + size);
      assert.deepStrictEqual(window.toSorted((a, b) => a - b), range(size).map((i) => first + i));
    }
  }
  assert.notDeepStrictEqual(orders[0]!.slice(0, 16), orders[0]!.slice(50, 66));
  assert.notDeepStrictEqual(orders[0]!.slice(0, 16), orders[0]!.slice(16, 32).map((x) => x - 16));
});

test("shuffleWindow: with shard, a change of the number of ranks in mid-epoch keeps the order without ranks", async () => {
  const data = (): Loader.Loader<number> => pipe(later(range(40)), Loader.shuffleWindow(8, 1));
  const order = await items(data());
  const rank = (rank: number, world: number): Loader.Loader<number> => pipe(data(), Loader.shard({ rank, world }));
  const seen: number[][] = [];
  let cursor = Loader.start(data());
  for (const r of range(4)) {
    const own: number[] = [];
    for await (const [x, after] of Loader.iterate(rank(r, 4))) {
      if (own.push(x) === 3) {
        cursor = after;
        break;
      }
    }
    seen.push(own);
  }
  const first = range(3).flatMap((i) => seen.map((own) => own[i]!));
  const rest: number[][] = [];
  for (const r of range(3)) {
    const own: number[] = [];
    for await (const [x] of Loader.from(JSON.parse(JSON.stringify(cursor)))(rank(r, 3))) own.push(x);
    rest.push(own);
  }
  const last = range(10).flatMap((i) => rest.flatMap((own) => own[i] ?? []));
  assert.deepStrictEqual([...first, ...last], order);
});

test("window: windows are samples: shuffled, batched and sharded, each comes once an epoch", async () => {
  const data = pipe(Loader.fromArray(range(20)), Loader.window(4, { stride: 4 }), Loader.shuffle(3));
  const seen = (await Promise.all(
    [0, 1].map((rank) => items(pipe(data, Loader.shard({ rank, world: 2 }), Loader.batch(2)))),
  )).flat(2);
  assert.deepStrictEqual(seen.map(([x]) => x!).toSorted((a, b) => a - b), [0, 4, 8, 12, 16]);
});

test("filter: a resume over random access reads and tests nothing again, and over a stream it tests nothing again", async () => {
  let [reads, tests] = [0, 0];
  const even = (x: number): boolean => (tests++, x % 2 === 0);
  const indexed = pipe(Loader.fromIndexed({ length: 1e12, at: (i) => (reads++, i) }), Loader.filter(even));
  const stream = pipe(
    Loader.fromIterable(function* () {
      for (let i = 0; i < 1e3; i++) yield (reads++, i);
    }),
    Loader.filter(even),
  );
  for (const [loader, pulled] of [[indexed, 1], [stream, 200]] as const) {
    let cursor = Loader.start(loader);
    for await (const [x, after] of Loader.iterate(loader)) {
      cursor = after;
      if (x === 198) break;
    }
    [reads, tests] = [0, 0];
    for await (const [x] of Loader.from(JSON.parse(JSON.stringify(cursor)))(loader)) {
      assert.equal(x, 200);
      break;
    }
    assert.ok(reads <= pulled + 1 && tests <= 2, `read ${reads}, tested ${tests}`);
  }
});

test("cache: every item is computed once, for any epochs, order and position of a resume", async () => {
  for (const of of kinds) {
    let computed = 0;
    const data = pipe(
      of(range(9)),
      Loader.map((x) => Promise.resolve((computed++, x * x))),
      Loader.cache,
      Loader.repeat(3),
    );
    assert.deepStrictEqual(await items(data), [0, 1, 2].flatMap(() => range(9).map((x) => x * x)));
    assert.equal(computed, 9);
    assert.equal(await Loader.at(13)(data), 16);
    assert.equal(computed, 9);
  }
  const kept = (): Loader.Loader<number> =>
    pipe(Loader.fromArray(range(9)), Loader.shuffle(1), Loader.cache, Loader.repeat(2));
  const whole = await items(kept());
  assert.deepStrictEqual(whole.slice(9), whole.slice(0, 9));
  assert.deepStrictEqual(await items(pipe(kept(), skip(11))), whole.slice(11), "resumed in the second pass");
});

// --- randomness

test("mapRandom: the result depends on seed, epoch and sample only, not on order, batches, ranks or prefetching", async () => {
  const noisy = pipe(
    Loader.fromIndexed({ length: 24, at: (i) => Promise.resolve(i) }),
    Loader.mapRandom((x, rng) => [x, Rng.float(rng)[0]] as const, { seed: 5, concurrency: 3 }),
  );
  const expected = [0, 1].map((epoch) =>
    new Map(
      range(24).map((x) => [x, Rng.float(Rng.make(JSON.stringify(["dogear/sample/1", "integer", "5", epoch, x])))[0]]),
    )
  );
  const pipelines: readonly Loader.Loader<readonly (readonly [number, number])[]>[] = [
    pipe(noisy, Loader.batch(24), Loader.repeat(2)),
    pipe(noisy, Loader.shuffle(1), Loader.batch(5), Loader.repeat(2)),
    pipe(
      noisy,
      Loader.shuffle("2"),
      Loader.shard({ rank: 1, world: 3 }),
      Loader.batch(2),
      Loader.prefetch(4),
      Loader.repeat(2),
    ),
    pipe(noisy, Loader.shuffleWindow(5, 1), Loader.batch(7), Loader.repeat(2)),
    pipe(
      Loader.fromArray(range(24)),
      Loader.shuffle(9),
      Loader.mapRandom((x, rng) => [x, Rng.float(rng)[0]] as const, { seed: 5 }),
      Loader.batch(4),
      Loader.repeat(2),
    ),
  ];
  for (const loader of pipelines) {
    for await (const [batch, { epoch, position }] of Loader.iterate(loader)) {
      const at = position === 0 ? epoch - 1 : epoch;
      for (const [x, noise] of batch) assert.equal(noise, expected[at]!.get(x));
    }
  }
  assert.notEqual(expected[0]!.get(3), expected[1]!.get(3));
  const [x, noise] = await Loader.at(24 + 7)(pipe(noisy, Loader.repeat(2)));
  assert.deepStrictEqual([x, noise], [7, expected[1]!.get(7)]);
});

// --- read-ahead

test("map: with concurrency n it runs n calls at a time, starts them in order and keeps the order", async () => {
  let [running, peak] = [0, 0];
  const begun: number[] = [];
  const slow = async (x: number): Promise<number> => {
    begun.push(x);
    peak = Math.max(peak, ++running);
    await new Promise((resolve) => setTimeout(resolve, (7 * x) % 5));
    running--;
    return x;
  };
  for (const put of [Loader.batch(4), Loader.prefetch(0)]) {
    [running, peak] = [0, 0];
    begun.splice(0);
    const seen = await items(pipe(Loader.fromArray(range(20)), Loader.map(slow, { concurrency: 3 }), put));
    assert.deepStrictEqual(seen.flat(), range(20));
    assert.deepStrictEqual([peak, begun], [3, range(20)]);
  }
});

test("prefetch: n further items are in progress, and those of an iteration that is left settle and are released", async () => {
  let [begun, ended] = [0, 0];
  const slow = async (x: number): Promise<number> => {
    begun++;
    await new Promise((resolve) => setTimeout(resolve, 1));
    ended++;
    return x;
  };
  for (const of of kinds) {
    [begun, ended] = [0, 0];
    for await (const [x] of Loader.iterate(pipe(of(range(9)), Loader.map(slow), Loader.prefetch(2)))) {
      assert.ok(x === 0 && begun <= 3);
      break;
    }
    assert.ok(begun === 3 && ended === 3, `begun ${begun}, ended ${ended}`);
  }
});

test("prefetch: an item computed ahead that fails rejects when its turn comes, and not before", async () => {
  const data = pipe(
    Loader.fromArray(range(9)),
    Loader.map((x) => x === 3 ? Promise.reject(new Error("three")) : x),
    Loader.prefetch(8),
  );
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const [x] of Loader.iterate(data)) {
      seen.push(x);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }, /epoch 0 after 3 samples: Error: three/);
  assert.deepStrictEqual(seen, [0, 1, 2]);
});

test("D17: derived source: an iteration that is left closes all inputs and leaks no tensor of tf.data, for every transform", async () => {
  const baseline = tf.memory().numTensors;
  const tensors = (): Loader.Loader<tf.Tensor> =>
    Loader.fromDataset<tf.Tensor>(tf.data.array(range(12)).map((x) => tf.scalar(x)));
  const dispose = (item: unknown): void => tf.dispose(item as tf.TensorContainer);
  const puts: readonly ((loader: Loader.Loader<tf.Tensor>) => Loader.Loader<unknown>)[] = [
    Loader.prefetch(3),
    Loader.shuffleWindow(5, 1),
    Loader.window(3, { stride: 3 }),
    Loader.filter((x) => x.dataSync()[0]! % 2 === 1),
    (loader) => pipe(loader, Loader.batch(3), Loader.unbatch),
    (loader) => Loader.zip([loader, tensors()]),
    (loader) => Loader.concat([loader, tensors()]),
    (loader) => pipe([loader, tensors()], Loader.mix([2, 1])),
  ];
  for (const put of puts) {
    for (const ahead of [0, 2]) {
      for await (const [item] of Loader.iterate(pipe(put(tensors()), skip(1), Loader.prefetch(ahead)))) {
        dispose(item);
        break;
      }
      assert.equal(tf.memory().numTensors, baseline, `${put}`);
      for await (const [item] of Loader.iterate(put(tensors()))) dispose(item);
      assert.equal(tf.memory().numTensors, baseline, `${put} to the end`);
    }
  }
});

test("D17: collate: tensors live for one step: they are disposed when the next is requested, and when prefetched, left or failed", async () => {
  const baseline = tf.memory().numTensors;
  const data = Loader.zip({
    x: Loader.fromTensor(tf.tidy(() => tf.range(0, 24).reshape([12, 2])) as tf.Tensor2D),
    y: Loader.fromArray(range(12)),
  });
  const rows = tf.memory().numTensors;
  for (const ahead of [0, 3]) {
    const batches = pipe(
      data,
      Loader.shuffle(1),
      Loader.batch(5),
      Loader.collate(),
      Loader.prefetch(ahead),
      Loader.repeat(2),
    );
    let steps = 0;
    for await (const [{ x, y }] of Loader.iterate(batches)) {
      assert.deepStrictEqual([x.shape[1], x.shape[0]], [2, y.shape[0]]);
      assert.deepStrictEqual([...x.dataSync()].filter((_, i) => i % 2 === 0).map((v) => v / 2), [...y.dataSync()]);
      assert.equal(tf.memory().numTensors, rows + 2 + Math.min(2 * ahead, 2 * (5 - steps)));
      steps++;
    }
    assert.equal(steps, 6);
    assert.equal(tf.memory().numTensors, rows);
    for await (const _ of Loader.iterate(batches)) break;
    assert.equal(tf.memory().numTensors, rows);
    await assert.rejects(async () => {
      for await (const _ of Loader.iterate(batches)) throw new Error("the step");
    }, /the step/);
    assert.equal(tf.memory().numTensors, rows);
  }
  const slow = pipe(data, Loader.map((row) => Promise.resolve(row)), Loader.batch(2), Loader.collate());
  const iterator = Loader.iterate(slow)[Symbol.asyncIterator]();
  const pending = iterator.next();
  await iterator.return?.();
  assert.deepStrictEqual(await pending, { done: true, value: undefined });
  assert.equal(tf.memory().numTensors, rows, "left while an item was in progress");
  const own = pipe(data, Loader.batch(2), Loader.collate((batch) => tf.tensor1d(batch.map(({ y }) => y)).square()));
  for await (const [y] of Loader.iterate(pipe(own, skip(5)))) assert.deepStrictEqual([...y.dataSync()], [100, 121]);
  const stacked = pipe(
    Loader.fromDataset<{ x: tf.Tensor; y: [tf.Tensor, string] }>(
      tf.data.array([1, 2, 3]).map((x) => ({ x: tf.tensor1d([x, x]), y: [tf.scalar(x), "a"] })) as never,
    ),
    Loader.batch(2),
    Loader.collate(),
    Loader.prefetch(1),
  );
  for await (const [{ x, y: [a, b] }] of Loader.iterate(stacked)) {
    assert.deepStrictEqual([x.shape.length, a.dtype, b.dtype], [2, "float32", "string"]);
  }
  assert.equal(tf.memory().numTensors, rows);
  assert.equal(rows, baseline + 1);
  for (
    const [bad, message] of [
      [[[1, 2], [3]], /2 numbers, found an array of 1 in sample 1/],
      [[1, "a"], /same type as 1/],
      [[Uint32Array.of(1), Uint32Array.of(2)], /an instance of Uint32Array.*map them first/],
      [
        [BigUint64Array.of(1n), BigUint64Array.of(2n)],
        /an instance of BigUint64Array.*map them first/,
      ],
    ] as const
  ) {
    const loader = pipe(Loader.fromArray(bad as readonly unknown[]), Loader.batch(2), Loader.collate());
    await assert.rejects(items(loader), message);
  }
  assert.throws(() => pipe(own, Loader.map((x) => x)), /put Loader.collate last/);
  assert.equal(tf.memory().numTensors, rows);
});

test("D7, D8: cursor: after a resume too the position is 0 exactly after the last batch of an epoch", async () => {
  for (const of of kinds) {
    const batches = pipe(batched(16, 4, of), Loader.repeat(3));
    const positions: number[] = [];
    for await (const [, cursor] of Loader.iterate(batches)) {
      if (cursor.epoch === 0 && cursor.position === 8) {
        for await (const [, { position }] of Loader.from(JSON.parse(JSON.stringify(cursor)))(batches)) {
          positions.push(position);
        }
      }
    }
    // Nothing is pulled ahead: the end of a stream's epoch is known only after the next sample was requested.
    assert.deepStrictEqual(
      positions,
      of === kinds[0] ? [12, 0, 4, 8, 12, 0, 4, 8, 12, 0] : [12, 16, 4, 8, 12, 0, 4, 8, 12, 0],
    );
  }
});

test("progress: the function receives every item, counted from the loader's start, and the length once it is known", async () => {
  const said: (readonly [number, number | null])[] = [];
  const data = (of: typeof kinds[0]): Loader.Loader<number[]> =>
    pipe(
      of(range(10)),
      Loader.progress(({ done, total }) => said.push([done, total])),
      Loader.batch(4),
      Loader.repeat(2),
    );
  const [, second] = await (async () => {
    const cursors: Loader.Cursor[] = [];
    for await (const [, cursor] of Loader.iterate(data(kinds[0]!))) cursors.push(cursor);
    return cursors;
  })();
  assert.deepStrictEqual(said.splice(0), range(6).map((i) => [i + 1, 6]));
  for await (const _ of Loader.from(second!)(data(kinds[0]!)));
  assert.deepStrictEqual(said.splice(0), range(4).map((i) => [i + 3, 6]));
  await items(data(kinds[1]!));
  assert.deepStrictEqual(said, [[1, null], [2, null], [3, 6], [4, 6], [5, 6], [6, 6]]);
});

// --- small examples

function ranks<A>(loader: Loader.Loader<A>, share: Omit<Loader.Share, "rank">): Promise<readonly (readonly A[])[]> {
  return Promise.all(range(share.world).map((rank) => items(pipe(loader, Loader.shard({ rank, ...share })))));
}

const batched = (n: number, size: number, of = kinds[0]!, dropLast = false): Loader.Loader<number[]> =>
  pipe(of(range(n)), Loader.batch(size, { dropLast }));

test("D19: shard: evenBatches, dropLast and splitBatches give what Accelerate gives, over arrays and streams", async () => {
  for (const of of kinds) {
    const last = async (n: number, size: number, share: Partial<Loader.Share>): Promise<unknown> =>
      (await ranks(batched(n, size, of), { world: 2, evenBatches: true, ...share })).map((own) => own.at(-1));
    const of21 = await ranks(batched(21, 3, of), { world: 2, evenBatches: true });
    assert.deepStrictEqual(of21.map((own) => [own.length, own.at(-1)]), [[4, [18, 19, 20]], [4, [0, 1, 2]]]);
    assert.deepStrictEqual(await last(22, 3, {}), [[18, 19, 20], [21, 0, 1]]);
    assert.deepStrictEqual(await last(20, 3, {}), [[18, 19, 0], [1, 2, 3]]);
    assert.deepStrictEqual(await ranks(batched(2, 3, of), { world: 2, evenBatches: true }), [[[0, 1, 0]], [[1, 0, 1]]]);
    for (const evenBatches of [false, true]) {
      const dropped = await ranks(batched(21, 3, of), { world: 2, evenBatches, dropLast: true });
      assert.deepStrictEqual(dropped.map((own) => own.length), [3, 3]);
      assert.deepStrictEqual(dropped.map((own) => own.at(-1)), [[12, 13, 14], [15, 16, 17]]);
    }
    assert.deepStrictEqual(
      await ranks(batched(21, 3, of, true), { world: 2, evenBatches: true }),
      await ranks(batched(21, 3, of), { world: 2, dropLast: true }),
    );
    const uneven = await ranks(batched(20, 3, of), { world: 2 });
    assert.deepStrictEqual(uneven.map((own) => [own.length, own.at(-1)]), [[4, [18, 19]], [3, [15, 16, 17]]]);
    assert.deepStrictEqual(await last(22, 4, { splitBatches: true }), [[20, 21], [0, 1]]);
    assert.deepStrictEqual(await last(21, 4, { splitBatches: true }), [[20, 0], [1, 2]]);
    const split = await ranks(batched(21, 4, of), { world: 2, splitBatches: true });
    assert.deepStrictEqual(split.map((own) => own.flat().length), [11, 10]);
  }
  const split = { rank: 0, world: 2, splitBatches: true };
  assert.throws(() => pipe(batched(9, 3), Loader.shard(split)), /a multiple of 2, found batches of 3/);
  assert.throws(() => pipe(Loader.fromArray([1]), Loader.shard(split)), /splitBatches .*found no batch size/);
});

test("D20: shard: batches of different sizes stay whole, and the last round is filled with the first batches", async () => {
  const batches = [[0, 1, 2], [3, 4], [5, 6, 7, 8], [9, 10, 11], [12, 13]];
  for (const loader of [Loader.fromArray(batches), later(batches)]) {
    assert.deepStrictEqual((await ranks(loader, { world: 2 })).map(({ length }) => length), [3, 2]);
    const even = await ranks(loader, { world: 2, evenBatches: true });
    assert.deepStrictEqual(even.map(({ length }) => length), [3, 3]);
    assert.deepStrictEqual(even[1]!.at(-1), [0, 1, 2]);
    assert.deepStrictEqual((await ranks(loader, { world: 2, dropLast: true })).map(({ length }) => length), [2, 2]);
  }
  assert.deepStrictEqual(await ranks(Loader.fromArray([[0, 1]]), { world: 3, evenBatches: true }), [
    [[0, 1]],
    [[0, 1]],
    [[0, 1]],
  ]);
});

test("D21: shard: shards of a stream have one length, and interleaved they are the stream, filled from its start unless dropped", async () => {
  for (const n of [5, 21, 22, 24]) {
    for (const [world, size] of [[2, 3], [3, 2], [4, 4]] as const) {
      const round = world * size;
      for (const dropLast of [false, true]) {
        const own = await ranks(batched(n, size, kinds[1]), { world, evenBatches: true, dropLast });
        const rounds = dropLast ? Math.floor(n / round) : Math.ceil(n / round);
        const interleaved = range(rounds).flatMap((k) => own.flatMap((batches) => batches[k]!));
        assert.deepStrictEqual(own.map(({ length }) => length), range(world).map(() => rounds));
        assert.deepStrictEqual(interleaved, range(rounds * round).map((i) => i % n));
      }
    }
  }
});

test("shard: a cursor of 4 ranks resumes with 1, 2, 3 or 8 and other batch sizes: each sample once, in the order without ranks", async () => {
  const data = (): Loader.Loader<number> => pipe(Loader.fromArray(range(96)), Loader.shuffle(11));
  const order = await items(data());
  const share = (rank: number, world: number, size: number): Loader.Loader<number[]> =>
    pipe(data(), Loader.batch(size), Loader.shard({ rank, world }));
  const cursors = await Promise.all(
    range(4).map(async (rank) => {
      for await (const [, cursor] of Loader.iterate(pipe(share(rank, 4, 3), skip(1), Loader.prefetch(3)))) {
        return cursor;
      }
      return assert.fail("no batch");
    }),
  );
  cursors.forEach((cursor) => assert.deepStrictEqual(cursor, cursors[0]));
  assert.equal(cursors[0]!.position, 24);
  for (const [world, size] of [[1, 5], [2, 7], [3, 4], [8, 2], [8, 9]] as const) {
    const rest = await Promise.all(
      range(world).map(async (rank) => {
        const own: number[][] = [];
        for await (const [batch] of Loader.from(cursors[0]!)(share(rank, world, size))) own.push(batch);
        return own;
      }),
    );
    const interleaved = range(96).flatMap((k) => rest.flatMap((own) => own[k] ?? []));
    assert.deepStrictEqual(interleaved, order.slice(24));
  }
});

// --- streams that are read again

test("shard: evenBatches of a stream repeats the first samples of each epoch, also in groups across epochs and after a skip", async () => {
  const even = Loader.shard({ rank: 1, world: 2, evenBatches: true });
  const samples = (epoch: number): number[] => [0, 1, 2].map((i) => epoch * 100 + i);
  const repeated = pipe(Loader.fromIterable(samples), even, Loader.repeat(2));
  const whole = [1, 0, 101, 100];
  const kept = async <A>(loader: Loader.Loader<A>): Promise<A[]> => {
    const seen: A[] = [];
    for await (const [item] of Loader.iterate(loader)) seen.push(item);
    return seen;
  };
  assert.deepStrictEqual(await kept(repeated), whole);
  for (const n of range(5)) assert.deepStrictEqual(await kept(pipe(repeated, skip(n))), whole.slice(n));
  for (const n of range(4)) assert.deepStrictEqual(await Loader.at(n)(repeated), whole[n]);
  assert.deepStrictEqual(await kept(pipe(repeated, Loader.batch(3))), [[1, 0, 101], [100]]);
  assert.deepStrictEqual(await kept(pipe(repeated, Loader.window(2))), [[1, 0], [0, 101], [101, 100]]);
  const doubled = pipe(Loader.fromIterable(samples), Loader.map((x) => 2 * x), even, Loader.repeat(2));
  assert.deepStrictEqual(await Loader.at(3)(doubled), 200);
  const woven = pipe(
    Loader.fromIterable(samples),
    Loader.window(1),
    Loader.shuffleWindow(2, 1),
    even,
    Loader.repeat(2),
  );
  assert.deepStrictEqual(await Loader.at(3)(woven), (await kept(woven))[3]);
  // The number of epochs of such a pass is known only after it was read, so no pass can follow it.
  for (const group of [1, 2]) {
    const limited = pipe(
      Loader.fromIterable(samples),
      Loader.batch(group, { dropLast: true }),
      Loader.repeat(2),
      Loader.take(5),
    );
    assert.throws(() => Loader.concat([limited]), /a stream cut in the middle|one cut in the middle/);
  }
  // The first samples of a pass that reaches into a second epoch are read again.
  const cut = pipe(Loader.fromIterable(samples), Loader.repeat(3), Loader.take(5), even);
  assert.deepStrictEqual(await kept(cut), [1, 100, 0]);
});

test("mapRandom: below a derived stream it draws new values in each epoch, as over an array", async () => {
  const random = Loader.mapRandom((x: number, rng) => x + Rng.float(rng)[0], { seed: 3 });
  for (
    const put of [
      Loader.filter(() => true),
      Loader.window(1),
      (loader: Loader.Loader<unknown>) => Loader.zip([loader]),
      (loader: Loader.Loader<unknown>) => Loader.concat([loader]),
    ] as readonly ((loader: Loader.Loader<unknown>) => Loader.Loader<unknown>)[]
  ) {
    const [array, stream] = await Promise.all(
      [Loader.fromArray([1, 2]), Loader.fromIterable(() => [1, 2])].map(async (data) => {
        const seen: unknown[] = [];
        for await (const [item] of Loader.iterate(pipe(data, random, put, Loader.repeat(2)))) seen.push(item);
        return seen;
      }),
    );
    assert.deepStrictEqual(stream, array);
    assert.notDeepStrictEqual(stream?.slice(0, 2), stream?.slice(2));
  }
});

test("shard: where another number of ranks resumes at the end of a stream's epoch, the next epoch starts its own first round", async () => {
  for (const [world, size] of [[2, 3], [3, 2], [3, 4], [8, 1]] as const) {
    const rank = (rank: number, world: number, size: number): Loader.Loader<number[]> =>
      pipe(
        later([1, 2, 3, 4]),
        Loader.batch(size),
        Loader.shard({ rank, world, evenBatches: true }),
        Loader.repeat(2),
      );
    const first = await Loader.iterate(rank(0, 2, 2))[Symbol.asyncIterator]().next();
    const [, cursor] = first.value as readonly [number[], Loader.Cursor];
    assert.deepStrictEqual([cursor.position, cursor.length], [4, null]);
    const shares = await Promise.all(
      range(world).map(async (k) => {
        const given: number[][] = [];
        for await (const [batch] of Loader.from(cursor)(rank(k, world, size))) given.push(batch);
        return given;
      }),
    );
    const seen = range(shares[0]!.length).flatMap((i) => shares.flatMap((share) => share[i]!));
    assert.deepStrictEqual(seen, range(Math.ceil(4 / (world * size)) * world * size).map((i) => 1 + i % 4));
  }
});

test("at: the caller owns tensors of collate, and no other tensor is left", async () => {
  const { numTensors } = tf.memory();
  const data = pipe(
    Loader.fromArray([1, 2, 3]),
    Loader.batch(2),
    Loader.prefetch(2),
    Loader.collate(),
    Loader.repeat(3),
  );
  const batch = await Loader.at(2)(data);
  assert.deepStrictEqual([...batch.dataSync()], [1, 2]);
  batch.dispose();
  assert.equal(tf.memory().numTensors, numTensors);
});

test("collate: rows of integers together with rows of fractions are float32, and no field of a later sample is lost", async () => {
  const rows: readonly ArrayLike<number>[] = [Int32Array.of(1), [0.5]];
  const mixed = await Loader.at(0)(pipe(Loader.fromArray(rows as number[][]), Loader.batch(2), Loader.collate()));
  assert.deepStrictEqual([mixed.dtype, ...mixed.dataSync()], ["float32", 1, 0.5]);
  mixed.dispose();
  const uneven = pipe(Loader.fromArray([{ x: 1 }, { x: 1, y: 2 }]), Loader.batch(2), Loader.collate());
  assert.match(String(await items(uneven).catch((error) => error)), /found undefined as the value\.y/);
});

/** The tensor of a batch of these samples: dtype, shape and values. */
async function collatedOf(...samples: readonly unknown[]): Promise<readonly unknown[]> {
  const loader = pipe(Loader.fromArray([samples]), Loader.collate());
  const tensor = await Loader.at(0)(loader as Loader.Loader<tf.Tensor>);
  const { dtype, shape } = tensor;
  const values = [...await tensor.data()];
  tensor.dispose();
  return [dtype, shape, values];
}

/** `Float16Array`, where the runtime has it. */
const Half = (globalThis as unknown as {
  readonly Float16Array?: { from(xs: readonly number[]): Float32Array };
}).Float16Array;

test("collate: every value of each typed array is exact", async () => {
  for (const array of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array]) {
    const [low, high] = [array.of(-(2 ** 31)), array.of(2 ** 31 - 1)].map(([x = 0]) => x) as [number, number];
    const rows = [array.of(low, 1), array.of(2, high)];
    assert.deepStrictEqual(await collatedOf(...rows), ["int32", [2, 2], [low, 1, 2, high]], array.name);
  }
  for (const array of [Float32Array, Float64Array, ...(Half === undefined ? [] : [Half])]) {
    const rows = [array.from([0.5, -0.25]), array.from([NaN, Infinity])];
    assert.deepStrictEqual(await collatedOf(...rows), ["float32", [2, 2], [0.5, -0.25, NaN, Infinity]]);
  }
  if (Half !== undefined) {
    const rows = Loader.fromRows(Half.from([0.5, 1.5, 2.5, 3.5]), 2);
    const [batch] = await items(pipe(rows, Loader.batch(2), Loader.map((rows) => collatedOf(...rows))));
    assert.deepStrictEqual(batch, ["float32", [2, 2], [0.5, 1.5, 2.5, 3.5]]);
    // Float16 holds every int8 exactly, but not every int32.
    assert.deepStrictEqual(await collatedOf(Half.from([0.5]), Int8Array.of(-7)), ["float32", [2, 1], [0.5, -7]]);
  }
  assert.deepStrictEqual(await collatedOf([0.1, 2], [3, 4]), ["float32", [2, 2], [Math.fround(0.1), 2, 3, 4]]);
  assert.deepStrictEqual(await collatedOf(0.1, 16_777_217), ["float32", [2], [Math.fround(0.1), 16_777_216]]);
  assert.deepStrictEqual(await collatedOf(true, false), ["bool", [2], [1, 0]]);
  assert.deepStrictEqual(await collatedOf("a", "é"), ["string", [2], ["a", "é"]]);
  assert.deepStrictEqual(await collatedOf([], []), ["float32", [2, 0], []]);
  assert.deepStrictEqual(await collatedOf(new Int32Array(), new Int32Array()), ["int32", [2, 0], []]);
  assert.deepStrictEqual(await collatedOf(Int32Array.of(2 ** 24), [0.5]), ["float32", [2, 1], [2 ** 24, 0.5]]);
});

test("collate: a function that returns nothing rejects at its first batch, and no tensor is left", async () => {
  const baseline = tf.memory().numTensors;
  for (const f of [() => undefined, () => null, (xs: number[]) => void tf.tensor1d(xs)]) {
    const loader = pipe(Loader.fromArray([1, 2]), Loader.batch(2), Loader.collate(f as unknown as () => tf.Tensor));
    await assert.rejects(Loader.iterate(loader)[Symbol.asyncIterator]().next(), /found (undefined|null): return them/);
  }
  assert.equal(tf.memory().numTensors, baseline);
});

test("collate: a value that no tensor holds rejects with its sample, its index or name, its value and a remedy", async () => {
  const baseline = tf.memory().numTensors;
  const refused: readonly (readonly [samples: readonly unknown[], message: RegExp])[] = [
    [
      [Int32Array.of(1), Int32Array.of(2 ** 24 + 1), [0.5]],
      /value\[0\].*float32 holds, found 16777217 in sample 1: give every/,
    ],
    [[Float32Array.of(0.5, 1), Int32Array.of(0, -16_777_219)], /value\[1\].*found -16777219 in sample 1/],
    [[[1, 2], Int32Array.of(3, 16_777_217)], /value\[1\].*found 16777217 in sample 1/],
    [[[1, 2], [3, 1e39]], /value\[1\].*found 1e\+39 in sample 1: scale it/],
    [[Float64Array.of(-1e39)], /value\[0\].*found -1e\+39 in sample 0/],
    [[1, -3.5e38], /the value of every sample.*found -3.5e\+38 in sample 1/],
    [[{ x: [1] }, { x: [1e300] }], /value\.x\[0\].*found 1e\+300 in sample 1/],
    [[[1, , 3], [1, 2, 3]], /value\[1\].*found a hole in sample 0: fill it/],
    [[[1, 2, 3], [1, 2, ,]], /value\[2\].*found a hole in sample 1/],
    [[[1, undefined, 3]], /value\[1\].*found undefined in sample 0/],
    [[[null, 2]], /value\[0\].*found null in sample 0: fill it/],
    [[[1, 2], [1, null]], /value\[1\].*found null in sample 1/],
    [[[1, 2], [1, "2"]], /value\[1\].*found "2" in sample 1/],
    [[[1, 2], [3]], /2 numbers, found an array of 1 in sample 1: map samples to one size/],
    [[[], [1]], /0 numbers, found an array of 1 in sample 1/],
    [[Float32Array.of(1), Float32Array.of(1, 2)], /1 number, found an instance of Float32Array of 2 in sample 1/],
    [[[1], Uint32Array.of(1)], /an instance of Uint32Array in sample 1/],
    [[1, true], /type as 1, found true in sample 1/],
    [["a", 1], /type as "a", found 1 in sample 1/],
    [[1, , 2], /type as 1, found undefined in sample 1/],
    [[1n], /found 1n as the value of sample 0: map them first/],
    [
      [Uint32Array.of(1)],
      /an instance of Uint32Array as the value of sample 0: map them first, such as to numbers, Int32Array/,
    ],
    [[BigInt64Array.of(1n)], /an instance of BigInt64Array as the value of sample 0: map them first/],
    [[new DataView(new ArrayBuffer(1))], /an instance of DataView/],
    [[undefined], /found undefined as the value/],
    [[[["a"], ["b", "c"]], [["a"], ["b"]]], /type as an array of 2, found an array of 1 in sample 1/],
    [[], /batches, arrays of samples, found an array of 0/],
  ];
  for (const [samples, message] of refused) {
    await assert.rejects(collatedOf(...samples), ({ cause }: Error) => {
      const thrown = (cause as { readonly cause?: unknown }).cause;
      assert.ok(thrown instanceof TypeError);
      assert.match(thrown.message, message);
      return true;
    });
  }
  const tensors = [tf.tensor1d([1]), tf.tensor1d([1, 2]), tf.tensor1d([1], "int32")];
  await assert.rejects(collatedOf(tensors[0], tensors[1]), /tensor float32\[1\], found float32\[2\] in sample 1/);
  await assert.rejects(collatedOf(tensors[0], tensors[2]), /tensor float32\[1\], found int32\[1\] in sample 1/);
  tf.dispose(tensors);
  const unbatched = Loader.fromRows(Float32Array.of(1, 2), 2) as unknown as Loader.Loader<number[]>;
  await assert.rejects(items(pipe(unbatched, Loader.collate())), /Float32Array: put Loader\.batch before it/);
  assert.equal(tf.memory().numTensors, baseline);
});

test("derived source: an input that fails, or fails to close, leaves no other input open and no sample undisposed", async () => {
  const { numTensors } = tf.memory();
  let closed = 0;
  const good = Loader.fromIterable(function* () {
    try {
      for (;;) yield 1;
    } finally {
      closed++;
    }
  });
  const stuck = Loader.fromIterable(() => ({
    [Symbol.iterator]: () => ({
      next: () => ({ done: false, value: 1 }),
      return: () => {
        throw new Error("stuck");
      },
    }),
  }));
  await assert.rejects(items(Loader.zip([stuck, good]), 1), /stuck/);
  assert.equal(closed, 1);
  const tensors = Loader.fromDataset(tf.data.generator(
    function* () {
      yield tf.tensor1d([1]);
    } as unknown as () => Iterator<tf.Tensor>,
  ));
  const broken = Loader.fromIterable((): Iterable<number> => {
    throw new Error("broken");
  });
  await assert.rejects(items(Loader.zip([tensors, broken])), /broken/);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(tf.memory().numTensors, numTensors);
});

test("compose: combinations that could not be resumed exactly are rejected: at once by a TypeError, or when it shows", async () => {
  const data = Loader.fromArray([1, 2]);
  const dataset = Loader.fromDataset<number>(tf.data.array([1, 2]));
  const bad: readonly (readonly [() => unknown, RegExp])[] = [
    [() => pipe(data, Loader.filter(() => true), Loader.shuffle(1)), /a stream: use .*shuffleWindow/],
    [
      () => pipe(data, Loader.batch(2), Loader.mapRandom((x) => x)),
      /single samples, found groups: put it before Loader.batch/,
    ],
    [() => Loader.zip([data, Loader.fromArray([1])]), /same number of items, found 2 and 1/],
    [() => Loader.zip([]), /at least one loader/],
    [() => Loader.zip([1] as never), /Loader.zip to be given a loader, found 1/],
    [() => Loader.concat([]), /at least one loader/],
    [() => Loader.mix([0.7, 0.3]), /weights of Loader.mix\[0\] .*found 0.7/],
    [() => pipe([data], Loader.mix([1, 2])), /2 loaders, one for each weight .*found 1/],
    [() => Loader.window(2, { stride: 3 }), /stride of Loader.window .* 1 to 2, found 3/],
    [() => Loader.shuffleWindow(1, 7), /n of Loader.shuffleWindow/],
    [() => Loader.prefetch(-1), /n of Loader.prefetch/],
    [() => Loader.map((x) => x, { concurrency: 0 }), /concurrency of Loader.map/],
    [() => Loader.cache(dataset), /read twice/],
    [() => pipe(dataset, Loader.shard({ rank: 0, world: 2, evenBatches: true })), /read twice/],
    [
      () => pipe(later([1]), Loader.repeat(2), Loader.shard({ rank: 0, world: 2, evenBatches: true })),
      /put repeat after/,
    ],
    [() => pipe(later([1]), Loader.repeat(), Loader.take(3), Loader.filter(() => true)), /put take before repeat/],
  ];
  for (const [call, message] of bad) assert.throws(call, { name: "TypeError", message });
  const uneven = await rejection(Loader.zip({ a: later([1, 2, 3]), b: later([1, 2]) }));
  assert.deepStrictEqual(uneven, {
    _tag: "CursorMismatch",
    problems: [{ path: "zip/a", kind: "length", expected: "2", found: "at least 3" }],
  });
  const odd = pipe(
    Loader.fromIterable((epoch) => range(4).map((i) => i + epoch)),
    Loader.filter((x) => x < 4),
    Loader.repeat(),
  );
  assert.equal((await rejection(odd))._tag, "CursorMismatch");
  assert.match(String(await items(Loader.unbatch(data as never)).catch((error) => error)), /given arrays, found 1/);
});

test("concat: an endless loader before the last is a TypeError", () => {
  const [one, endless] = [Loader.fromArray([1]), pipe(Loader.fromArray([2]), Loader.repeat())];
  assert.throws(
    () => Loader.concat([one, endless, one]),
    /only the last loader .* found an endless one at 1: give its repeat/,
  );
  assert.throws(() => Loader.concat([pipe(later([1]), Loader.repeat()), one]), TypeError);
  assert.equal(Loader.length(Loader.concat([one, endless])), Infinity);
});

test("from: cursors swapped between loaders are rejected with expected and found", async () => {
  const a = pipe(Loader.fromArray([1, 2, 3]), Loader.filter((x) => x > 0));
  const others: readonly Loader.Loader<unknown>[] = [
    Loader.fromArray([1, 2, 3]),
    pipe(Loader.fromArray([1, 2, 4]), Loader.filter((x) => x > 0)),
    pipe(Loader.fromArray([1, 2, 3]), Loader.batch(1), Loader.filter(() => true)),
    pipe(Loader.fromArray([1, 2, 3]), Loader.window(2)),
    pipe(Loader.fromArray([1, 2, 3]), Loader.shuffleWindow(2, 1)),
    Loader.zip([Loader.fromArray([1, 2, 3])]),
  ];
  const loaders = [a, ...others];
  for (const one of loaders) {
    for (const other of loaders) {
      if (one === other) continue;
      await assert.rejects(async () => {
        for await (const _ of Loader.from(Loader.start(one))(other));
      }, (error: Error) => {
        const cause = error.cause as LoaderError;
        assert.ok(cause._tag === "CursorMismatch");
        const [problem] = cause.problems.filter(({ path }) => path === "fingerprint");
        assert.deepStrictEqual(
          [problem?.expected, problem?.found],
          [one, other].map(({ source }) => JSON.stringify(source.fingerprint)),
        );
        return true;
      });
    }
  }
});

test("skip: the rejection of a skipped promise of a stream is ignored", async () => {
  const told: unknown[] = [];
  const tell = (cause: unknown): void => void told.push(cause);
  process.on("unhandledRejection", tell);
  try {
    const promises = Loader.fromIterable(() => [Promise.reject(new Error("passed over")), Promise.resolve(2)]);
    assert.equal(await Loader.at(0)(Loader.skip(1)(promises)), 2);
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(told, []);
  } finally {
    process.off("unhandledRejection", tell);
  }
});
