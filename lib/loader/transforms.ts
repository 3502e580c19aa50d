/**
 * Loader transforms that only change index arithmetic: map, mapRandom, shuffle, batch, take, repeat, prefetch, progress, skip.
 *
 * None of them reads a sample.
 *
 * @module
 */
import {
  checkLoader,
  checkUnowned,
  isLoader,
  type Loader,
  type LoaderProgress,
  withFields,
  withPlan,
} from "./types.ts";
import {
  aBoolean,
  aFunction,
  checkCurried,
  checkOptionNames,
  demand,
  foundOrAwait,
  integer,
} from "../validation/mod.ts";
import { groupsOf, type IndexPlan, mapItems, mapSamples, repeatPasses, skipItems, takeItems } from "./index_plan.ts";
import { make, type Rng, type Seed, seedText } from "../values/mod.ts";
import { shuffleRange } from "./shuffle.ts";

// --- types

/** What {@link skip} accepts. */
export type Skippable = Loader<unknown> | Iterable<unknown> | AsyncIterable<unknown>;

/** What {@link skip} returns: a value of the same sort as its input. */
export type Skipped<L> = L extends Loader<infer A> ? Loader<A>
  : L extends Iterable<infer A> ? Iterable<A>
  : L extends AsyncIterable<infer A> ? AsyncIterable<A>
  : never;

// --- combinators

/**
 * Applies a function to each item.
 *
 * @param f Computes the new item, or a promise of it. It is called only for requested items; the calls for one batch start together.
 * @param options `concurrency`: the most calls that run at a time, an integer from 1; up to `concurrency - 1` items are then computed before they
 * are requested. By default all calls of one item run at once, and none ahead. The order of the items is kept either way.
 * @returns A function from loader to loader; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(await Loader.at(2)(pipe(Loader.fromArray([1, 2, 3]), Loader.map((x) => x * x))), 9);
 * ```
 */
export function map<A, B>(
  f: (item: A) => B | Promise<B>,
  options: { readonly concurrency?: number } = {},
): (loader: Loader<A>) => Loader<B> {
  checkCurried(arguments, 2, "Loader.map(f, options)(loader)");
  demand("f of Loader.map", aFunction, f);
  checkOptionNames("Loader.map", options, { concurrency: true });
  return withMapping("Loader.map", f, mapItems, options.concurrency);
}

/** Maps items one to one. With a `concurrency` of n, up to n - 1 items are computed before they are requested. */
function withMapping<A, B, Args extends readonly unknown[]>(
  name: string,
  f: (...args: Args) => B | Promise<B>,
  planOf: (f: (...args: Args) => B | Promise<B>) => (plan: IndexPlan<A>) => IndexPlan<B>,
  concurrency: number | undefined,
): (loader: Loader<A>) => Loader<B> {
  if (concurrency !== undefined) demand(`concurrency of ${name}`, integer(1), concurrency);
  const transform = planOf(concurrency === undefined ? f : limitConcurrency(concurrency, f));
  return (loader) =>
    withPlan(checkUnowned(name, loader), transform, {
      range: loader.range,
      ahead: Math.max(loader.ahead, (concurrency ?? 1) - 1),
    });
}

/** A function of which at most `most` calls run at a time; the calls start in the order in which they were made. */
function limitConcurrency<Args extends readonly unknown[], B>(
  most: number,
  f: (...args: Args) => B | Promise<B>,
): (...args: Args) => Promise<B> {
  const waiting: (() => void)[] = [];
  let free = most;
  return async (...args) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await f(...args);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}

/**
 * Applies a random function to each sample, with a generator that depends only on the seed, the epoch and the sample.
 *
 * So the result for a sample does not depend on the order of the samples, the batch size, the number of ranks or prefetching, and any
 * sample of any past step can be computed again. Put it before `batch`; before or after `shuffle` gives the same result.
 *
 * @param f Computes the new sample from a sample and its generator, or a promise of it. It may draw any number of values.
 * @param options `seed`: a safe integer, a bigint or a string, 0 by default. `concurrency`: as in {@link map}.
 * @returns A function from loader to loader; a `TypeError` for a bad argument, or for a loader of groups.
 *
 * @example
 * ```ts
 * import { Loader, pipe, Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const noisy = pipe(Loader.fromArray([10, 20, 30]), Loader.mapRandom((x, rng) => x + Rng.float(rng)[0], { seed: 7 }));
 * const shuffled = pipe(noisy, Loader.shuffle(1));
 * const seen: number[] = [];
 * for await (const [x] of Loader.iterate(shuffled)) seen.push(x);
 * assert.equal(seen.toSorted((a, b) => a - b)[2], await Loader.at(2)(noisy));
 * ```
 */
export function mapRandom<A, B>(
  f: (sample: A, rng: Rng.Rng) => B | Promise<B>,
  options: { readonly seed?: Seed; readonly concurrency?: number } = {},
): (loader: Loader<A>) => Loader<B> {
  checkCurried(arguments, 2, "Loader.mapRandom(f, options)(loader)");
  demand("f of Loader.mapRandom", aFunction, f);
  checkOptionNames("Loader.mapRandom", options, { seed: true, concurrency: true });
  const { seed = 0, concurrency } = options;
  const words = seedText(seed);
  const random = (sample: A, epoch: number, index: number): B | Promise<B> =>
    f(sample, make(JSON.stringify(["dogear/sample/1", ...words, epoch, index])));
  const put = withMapping("Loader.mapRandom", random, mapSamples, concurrency);
  return (loader) => {
    if (checkLoader("Loader.mapRandom", loader).single) return put(loader);
    throw new TypeError(
      "Expected Loader.mapRandom to be given single samples, found groups: put it before Loader.batch",
    );
  };
}

/**
 * Shuffles the samples, in another order for each epoch, with random access and without a table.
 *
 * It shuffles single samples: put it after the source, after `map`, and after the `take` and `skip` that split data into parts; put it
 * before `batch`, `shard` and `repeat`.
 *
 * @param seed A safe integer, a bigint of any size or a string. The order of an epoch is a function of the seed, the epoch and the number of
 * samples; seed 1 in epoch 1 differs from seed 2 in epoch 0.
 * @returns A function from loader to loader; a `TypeError` for a stream, which has no random access, and for a loader that is batched,
 * sharded, repeated, shuffled or endless.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const seen: string[] = [];
 * for await (const [x] of Loader.iterate(pipe(Loader.fromArray(["a", "b", "c"]), Loader.shuffle(7)))) seen.push(x);
 * assert.deepEqual(seen.toSorted(), ["a", "b", "c"]);
 * ```
 */
export function shuffle(seed: Seed): <A>(loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 1, "Loader.shuffle(seed)(loader)");
  const shuffled = shuffleRange(seed);
  return (loader) => {
    const { source, range } = checkLoader("Loader.shuffle", loader);
    if (source._tag === "Stream") {
      throw new TypeError(
        "Expected Loader.shuffle to be given random access, found a stream: use Loader.fromArray or Loader.fromIndexed, " +
          "or Loader.shuffleWindow, or shuffle in the stream itself, such as by dataset.shuffle(buffer, seed); a gzip file has " +
          "random access once it is decompressed",
      );
    }
    if (range === null) {
      throw new TypeError(
        "Expected Loader.shuffle to be given single samples in the source's order, found a loader that is batched, sharded, " +
          "repeated, shuffled or endless: put one Loader.shuffle right after the source",
      );
    }
    return withFields(loader, { source: shuffled(range)(source), range: null, groups: null });
  };
}

/**
 * Groups of consecutive items, as new arrays.
 *
 * The last group of a pass may be shorter. After `repeat`, groups span epochs instead.
 *
 * @param n Items in a group, an integer from 1.
 * @param options `dropLast`: leave out a shorter last group, false by default.
 * @returns A function from loader to loader; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const data = Loader.fromArray([1, 2, 3]);
 * assert.deepEqual(await Loader.at(1)(pipe(data, Loader.batch(2))), [3]);
 * assert.deepEqual(await Loader.at(1)(pipe(data, Loader.repeat(2), Loader.batch(2))), [3, 1]);
 * ```
 */
export function batch(n: number, options: { readonly dropLast?: boolean } = {}): <A>(loader: Loader<A>) => Loader<A[]> {
  checkCurried(arguments, 2, "Loader.batch(n, options)(loader)");
  demand("n of Loader.batch", integer(1), n);
  checkOptionNames("Loader.batch", options, { dropLast: true });
  const { dropLast = false } = options;
  demand("dropLast of Loader.batch", aBoolean, dropLast);
  const grouped = groupsOf({ size: n, round: n, offset: 0, fill: false, drop: dropLast });
  return <A>(loader: Loader<A>) =>
    withPlan<A, A[]>(checkUnowned("Loader.batch", loader), grouped, {
      single: false,
      chain: `${loader.chain} batch(${n}${dropLast ? ",drop" : ""})`,
      groups: { size: n, dropLast, plan: loader.plan },
      ahead: Math.ceil(loader.ahead / n),
    });
}

/**
 * The first items of each pass.
 *
 * Before `repeat` it shortens every epoch, and the cursor after the last item is at the start of the next epoch. After `repeat` it is a
 * limit of steps, and the cursor stays where the last item ended: with a higher limit the run resumes there.
 *
 * @param n The most items of the loader, an integer from 0.
 * @returns A function from loader to loader; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Loader.length(pipe(Loader.fromArray([1, 2, 3]), Loader.repeat(), Loader.take(100))), 100);
 * ```
 */
export function take(n: number): <A>(loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 1, "Loader.take(n)(loader)");
  demand("n of Loader.take", integer(0), n);
  return <A>(loader: Loader<A>) => {
    const { range, chain } = checkLoader("Loader.take", loader);
    return withPlan<A, A>(loader, takeItems(n), {
      range: range && { ...range, high: Math.min(range.high, range.low + n) },
      chain: `${chain} take(${n})`,
    });
  };
}

/**
 * Several passes over the data one after another. A shuffled loader has another order in each epoch.
 *
 * An empty loader ends at once, even if it is repeated without end. All epochs of a stream must have the same length: where the first is
 * empty, up to 15 more are read, and one that has samples rejects the iteration with `CursorMismatch`.
 *
 * @param epochs The number of passes, an integer from 1; endless by default.
 * @returns A function from loader to loader; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const data = Loader.fromArray([1, 2, 3]);
 * assert.equal(Loader.length(pipe(data, Loader.batch(2), Loader.repeat(5))), 10);
 * assert.equal(await Loader.at(7)(pipe(data, Loader.repeat())), 2);
 * ```
 */
export function repeat(epochs: number = Infinity): <A>(loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 1, "Loader.repeat(epochs)(loader)");
  if (epochs !== Infinity) demand("epochs of Loader.repeat", integer(1), epochs);
  return <A>(loader: Loader<A>) =>
    withPlan<A, A>(checkLoader("Loader.repeat", loader), repeatPasses(epochs), {
      chain: `${loader.chain} repeat(${epochs})`,
    });
}

/**
 * Computes items before they are requested, so that reads and maps run in the background during training.
 *
 * It does not affect cursors, which count only items handed to you: a resumed run sees the same items with any n. When the
 * iteration ends early, tensors that `collate` and `fromDataset` computed ahead are disposed; those of your own `map` are not.
 *
 * @param n The most items computed ahead, an integer from 0.
 * @returns A function from loader to loader; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const begun: number[] = [];
 * const data = pipe(Loader.fromIndexed({ length: 9, at: async (i) => (begun.push(i), i) }), Loader.prefetch(2));
 * for await (const [x, cursor] of Loader.iterate(data)) {
 *   assert.deepEqual([x, cursor.position, begun], [0, 1, [0, 1, 2]]);
 *   break;
 * }
 * ```
 */
export function prefetch(n: number): <A>(loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 1, "Loader.prefetch(n)(loader)");
  demand("n of Loader.prefetch", integer(0), n);
  return (loader) => withFields(loader, { ahead: Math.max(checkLoader("Loader.prefetch", loader).ahead, n) });
}

/**
 * Calls a function at every item of an iteration: for a progress bar, a log, or an estimate of the remaining time.
 *
 * @param watch Receives the {@link LoaderProgress} right before the item is delivered. It counts from the loader's start, after a resume too.
 * @returns A function from loader to loader; a `TypeError` if `watch` is no function.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const said: string[] = [];
 * const data = pipe(Loader.fromArray([1, 2, 3]), Loader.batch(2), Loader.progress(({ done, total }) => said.push(`${done}/${total}`)));
 * for await (const _ of Loader.iterate(data));
 * assert.deepEqual(said, ["1/2", "2/2"]);
 * ```
 */
export function progress(watch: (progress: LoaderProgress) => unknown): <A>(loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 1, "Loader.progress(watch)(loader)");
  demand("the function of Loader.progress", aFunction, watch);
  return (loader) => withFields(checkLoader("Loader.progress", loader), { watch });
}

/**
 * All items except the first n, lazily: of a loader, an iterable or an async iterable.
 *
 * With random access it is arithmetic, O(1) in n. The skipped samples of a stream are pulled, but not mapped or collated. The result of an
 * iterable can be iterated as often as the iterable. Laws: `skip(0) = id`, `skip(a) ∘ skip(b) = skip(a + b)`, `skip(n)` yields what
 * dropping n items yields, and starts at the cursor after n items.
 *
 * @param n The number of items to skip, an integer from 0; beyond the end nothing is left.
 * @returns A function from a loader or an iterable to one of the same sort; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe, skip } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromIndexed({ length: 1e12, at: (i) => i }), Loader.shuffle(7), Loader.batch(32));
 * for await (const [batch] of Loader.iterate(pipe(batches, skip(1e9)))) {
 *   assert.equal(batch.length, 32);
 *   break;
 * }
 * assert.deepEqual([...pipe(["a", "b", "c"], skip(2))], ["c"]);
 * ```
 */
export function skip(n: number): <L extends Skippable>(xs: L) => Skipped<L> {
  checkCurried(arguments, 1, "skip(n)(loader)");
  demand("n of skip", integer(0), n);
  return <L extends Skippable>(xs: L) => skipFrom(n, xs) as Skipped<L>;
}

function skipFrom(n: number, xs: Skippable): Skippable {
  if (isLoader(xs)) {
    const { range, chain } = xs;
    return withPlan(xs, skipItems(n), {
      range: range && { ...range, low: Math.min(range.high, range.low + n) },
      chain: `${chain} skip(${n})`,
    });
  }
  if (Symbol.asyncIterator in Object(xs)) {
    return { [Symbol.asyncIterator]: () => dropFirstAsync(n, xs as AsyncIterable<unknown>) };
  }
  if (Symbol.iterator in Object(xs)) return { [Symbol.iterator]: () => dropFirst(n, xs as Iterable<unknown>) };
  throw new TypeError(`Expected skip to be given a loader or an iterable, found ${foundOrAwait(xs)}`);
}

function* dropFirst<A>(n: number, xs: Iterable<A>): Generator<A, void> {
  let i = 0;
  for (const x of xs) if (i++ >= n) yield x;
}

async function* dropFirstAsync<A>(n: number, xs: AsyncIterable<A>): AsyncGenerator<A, void> {
  let i = 0;
  for await (const x of xs) if (i++ >= n) yield x;
}
