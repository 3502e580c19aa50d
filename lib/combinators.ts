/**
 * What is put over a loader one at a time, as arithmetic: mapping, order, groups, shares, parts and passes. Nothing is read.
 *
 * @module
 */
import type { Loader, Progress } from "./pipeline.ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import { chained, changed, checked, isLoader, planned, unowned } from "./pipeline.ts";
import * as Plans from "./plan.ts";
import { make, type Rng } from "./rng.ts";
import { aBoolean, aFunction, demand, ifGiven, integer, shown } from "./rules.ts";
import { type Seed, seedText } from "./seed.ts";
import * as Sources from "./source.ts";
import type { Range } from "./source.ts";

// --- types

/** What {@link skip} takes. */
export type Skippable = Loader<unknown> | Iterable<unknown> | AsyncIterable<unknown>;

/** What {@link skip} gives: more of the same. */
export type Skipped<L> = L extends Loader<infer A> ? Loader<A>
  : L extends Iterable<infer A> ? Iterable<A>
  : L extends AsyncIterable<infer A> ? AsyncIterable<A>
  : never;

/** A rank's place among its likes, and what becomes of a last round that does not come out even. */
export interface Share {
  /** This rank: an integer from 0, below `world`. */
  readonly rank: number;
  /** How many ranks there are, an integer from 1. */
  readonly world: number;
  /** Fill the last round with the first items of the pass, so that all ranks have as many; false by default. */
  readonly evenBatches?: boolean;
  /** Deal out each batch among the ranks instead of whole batches in turn; false by default. */
  readonly splitBatches?: boolean;
  /** Leave out a last round in which not every rank has a whole item; false by default. */
  readonly dropLast?: boolean;
}

const shareNames: OptionNames<Share> = {
  rank: true,
  world: true,
  evenBatches: true,
  splitBatches: true,
  dropLast: true,
};

// --- combinators

/**
 * Each item through a function.
 *
 * @param f What to compute, or a promise of it; it is called only for items that are asked for, those of one batch together.
 * @param options `concurrency`: at most this many calls at a time, an integer from 1; as many items may be under way before
 * they are asked for. Without it all of one item run at once, and nothing ahead. The order is kept either way.
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
  demand("f of Loader.map", aFunction, f);
  checkOptionNames("Loader.map", options, { concurrency: true });
  const { concurrency } = options;
  if (concurrency === undefined) return mapped("Loader.map", Plans.map(f));
  demand("concurrency of Loader.map", integer(1), concurrency);
  const few = limited(concurrency, f);
  return mapped("Loader.map", Plans.map(few), concurrency - 1);
}

function mapped<A, B>(
  name: string,
  combinator: (plan: Plans.Plan<A>) => Plans.Plan<B>,
  ahead = 0,
): (loader: Loader<A>) => Loader<B> {
  const put = planned(name, combinator, ({ range, ahead: before }) => ({ range, ahead: Math.max(before, ahead) }));
  return (loader) => put(unowned(name, loader));
}

/** A function of which at most so many calls run at a time, in the order in which they were made. */
function limited<A, B>(most: number, f: (item: A) => B | Promise<B>): (item: A) => Promise<B> {
  const waiting: (() => void)[] = [];
  let free = most;
  return async (item) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await f(item);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}

/**
 * Each sample through a function that may be random: its generator belongs to the seed, the epoch and the sample alone.
 *
 * So what a sample becomes depends neither on the order of the samples, nor on the batch size, the number of ranks or what is
 * computed ahead, and any sample of any past step can be made again alone. It comes before `batch`; before `shuffle`
 * or after it is the same.
 *
 * @param f What to compute from a sample and its generator, or a promise of it. How many numbers it draws is its own affair.
 * @param options `seed`: a safe integer, a bigint or a string, 0 by default; `concurrency` as in {@link map}.
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
  f: (sample: A, rng: Rng) => B | Promise<B>,
  options: { readonly seed?: Seed; readonly concurrency?: number } = {},
): (loader: Loader<A>) => Loader<B> {
  demand("f of Loader.mapRandom", aFunction, f);
  checkOptionNames("Loader.mapRandom", options, { seed: true, concurrency: true });
  const { seed = 0, concurrency } = options;
  const words = seedText(seed);
  const random = (sample: A, epoch: number, index: number): B | Promise<B> =>
    f(sample, make(JSON.stringify(["dogear/sample/1", ...words, epoch, index])));
  const put = ((): (loader: Loader<A>) => Loader<B> => {
    if (concurrency === undefined) return mapped("Loader.mapRandom", Plans.placed(random));
    demand("concurrency of Loader.mapRandom", integer(1), concurrency);
    const few = limited(concurrency, ([sample, epoch, index]: [A, number, number]) => random(sample, epoch, index));
    const placed = Plans.placed<A, B>((...place) => few(place));
    return mapped("Loader.mapRandom", placed, concurrency - 1);
  })();
  return (loader) => {
    if (checked("Loader.mapRandom", loader).single) return put(loader);
    throw new TypeError(
      "Expected Loader.mapRandom to be given single samples, found groups: put it before Loader.batch",
    );
  };
}

/**
 * The samples in an order of its own for each epoch, with random access and no table.
 *
 * It mixes single samples: it comes after a source, `map`, and the `take` and `skip` that split data into parts, and before
 * `batch`, `shard` and `repeat`. A stream is a `TypeError`: it has no random access.
 *
 * @param seed A safe integer, a bigint of any size or a string. Every epoch's order is a function of it, the epoch and how
 * many samples there are; seed 1 in epoch 1 is not seed 2 in epoch 0.
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
  const shuffled = Sources.shuffled(seed);
  return (loader) => {
    const { source, range } = checked("Loader.shuffle", loader);
    if (source._tag === "Stream") {
      throw new TypeError(
        "Expected Loader.shuffle to be given random access, found a stream: use Loader.fromArray or Loader.fromIndexed, " +
          "or Loader.shuffleWindow, or shuffle in the stream itself, such as by dataset.shuffle(buffer, seed)",
      );
    }
    if (range === null) {
      throw new TypeError(
        "Expected Loader.shuffle to be given single samples in the source's order, found a loader that is batched, sharded, " +
          "repeated, shuffled or without end: put one Loader.shuffle right after the source",
      );
    }
    return changed(loader, { source: shuffled(range)(source), range: null, groups: null });
  };
}

/**
 * Groups of items, as arrays of their own.
 *
 * The last group of a pass is shorter if the items do not come out even; after `repeat`, groups reach across epochs instead.
 *
 * @param n Items in a group, an integer from 1.
 * @param options `dropLast`: leave a shorter last group out, false by default.
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
  demand("n of Loader.batch", integer(1), n);
  checkOptionNames("Loader.batch", options, { dropLast: true });
  const { dropLast = false } = options;
  demand("dropLast of Loader.batch", aBoolean, dropLast);
  const put = Plans.deal({ size: n, round: n, offset: 0, even: false, drop: dropLast });
  return <A>(loader: Loader<A>) =>
    planned<A, A[]>("Loader.batch", put, ({ plan, chain, ahead }) => ({
      single: false,
      chain: chained(chain, `batch(${n}${dropLast ? ",drop" : ""})`),
      groups: { size: n, dropLast, plan },
      ahead: Math.ceil(ahead / n),
    }))(unowned("Loader.batch", loader));
}

/**
 * One rank's share: items `rank`, `rank + world`, `rank + 2 world` and so on; right after `batch`, those are batches.
 *
 * Cursors count what all ranks consumed, so after equally many items all ranks have equal ones, and a run may go on with
 * another number of ranks and another batch size: of the samples left, each comes once, in the order without ranks. Where the
 * items do not come out even, the first ranks have one more, unless an option says otherwise; the options mean what
 * Accelerate's of these names do. Over several epochs, `repeat` comes first: shares of unequal lengths that are repeated each would
 * drift apart.
 *
 * @param share The rank, the number of ranks, and: `evenBatches` fills the last round with the first samples of the pass, which
 * come twice then; `splitBatches` deals each batch out among the ranks, so that its size is that of all of them together;
 * `dropLast` leaves out a round that is not whole. A `TypeError` where `splitBatches` does not follow a `batch` whose size is a
 * multiple of `world`, and where a stream cannot give samples twice.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const data = Loader.fromArray([10, 11, 12, 13, 14]);
 * assert.deepEqual(await Loader.at(0)(pipe(data, Loader.shard({ rank: 1, world: 2 }), Loader.batch(2))), [11, 13]);
 * const even = pipe(data, Loader.batch(2), Loader.shard({ rank: 1, world: 2, evenBatches: true }));
 * assert.deepEqual(await Loader.at(0)(even), [12, 13]);
 * ```
 */
export function shard(share: Share): <A>(loader: Loader<A>) => Loader<A> {
  checkOptionNames("Loader.shard", share, shareNames);
  const { rank, world, evenBatches: even = false, splitBatches: split = false, dropLast = false } = share;
  demand("world of Loader.shard", integer(1), world);
  demand("rank of Loader.shard", integer(0, world - 1), rank);
  for (const name of ["evenBatches", "splitBatches", "dropLast"] as const) {
    demand(`${name} of Loader.shard`, ifGiven(aBoolean), share[name]);
  }
  return <A>(loader: Loader<A>) => {
    const { source, plan, groups } = checked("Loader.shard", loader);
    if (split && (groups === null || groups.size % world !== 0)) {
      throw new TypeError(
        `Expected splitBatches of Loader.shard to follow a Loader.batch whose size is a round multiple of ${world}, found ` +
          (groups === null ? "no batch size right before it" : `batches of ${groups.size}`),
      );
    }
    const drop = dropLast || ((even || split) && (groups?.dropLast ?? false));
    if (even && !drop && source._tag === "Stream" && (source.once || plan(Infinity).epochs > 1)) {
      throw new TypeError(
        "Expected evenBatches of Loader.shard to be given samples that may come twice, found " +
          (source.once
            ? "a stream whose samples belong to their reader"
            : "a stream of several epochs: put repeat after it"),
      );
    }
    const options = [even && !drop && ",even", split && ",split", drop && ",drop"].filter((word) => word !== false);
    const also = ({ chain, ahead }: Loader<A>): Partial<Loader<A>> => ({
      chain: chained(chain, `shard(${rank}/${world}${options.join("")})`),
      ahead: Math.ceil(ahead / (split ? 1 : world)),
    });
    if (groups === null || !(even || split || drop)) {
      return planned<A, A>("Loader.shard", Plans.dealSingle({ round: world, offset: rank, even, drop }), also)(loader);
    }
    const size = split ? groups.size / world : groups.size;
    const share = Plans.deal({ size, round: split ? groups.size : size * world, offset: rank * size, even, drop });
    // The items are groups that `batch` made, so groups of the same things are items.
    return changed<A>(loader, {
      ...also(loader),
      range: null,
      groups: null,
      plan: (length) => share(groups.plan(length)) as Plans.Plan<unknown> as Plans.Plan<A>,
    });
  };
}

/**
 * The first items of each pass.
 *
 * Before `repeat` it shortens every epoch, and the cursor after its last item is at the next one. After `repeat` it is a
 * limit of steps, and the cursor stays where it stopped: with a higher limit the run goes on from there.
 *
 * @param n How many items of the loader it is given, an integer from 0.
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
  demand("n of Loader.take", integer(0), n);
  const narrowed = ({ low, high }: Range): Range => ({ low, high: Math.min(high, low + n) });
  return <A>(loader: Loader<A>) =>
    planned<A, A>("Loader.take", Plans.take(n), ({ range, chain }) => ({
      range: range && narrowed(range),
      chain: chained(chain, `take(${n})`),
    }))(loader);
}

/**
 * Passes over the data one after another, each epoch in its own order if it is shuffled.
 *
 * @param epochs How many, an integer from 1; without end by default. An empty loader ends at once all the same. The epochs of a stream
 * must have as many samples, so where its first is empty up to 15 more are looked at, and one that has samples rejects with `CursorMismatch`.
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
  if (epochs !== Infinity) demand("epochs of Loader.repeat", integer(1), epochs);
  return <A>(loader: Loader<A>) =>
    planned<A, A>(
      "Loader.repeat",
      Plans.repeat(epochs),
      ({ chain }) => ({ chain: chained(chain, `repeat(${epochs})`) }),
    )(
      loader,
    );
}

/**
 * Items computed before they are asked for, so that what they wait for happens during training.
 *
 * It never counts: the cursor is what was given out, so a resumed run sees the same items with any n. An iteration that is left
 * lets go of what was computed ahead.
 *
 * @param n How many items, an integer from 0.
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
  demand("n of Loader.prefetch", integer(0), n);
  return <A>(loader: Loader<A>) => {
    const { ahead } = checked("Loader.prefetch", loader);
    return changed<A>(loader, { ahead: Math.max(ahead, n) });
  };
}

/**
 * Tells a function of every item that an iteration gives: a bar, a log, an estimate of the time left.
 *
 * @param watch Called with the {@link Progress} at each item, right before it is given; it counts from the loader's start, after
 * a resume too.
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
export function progress(watch: (progress: Progress) => unknown): <A>(loader: Loader<A>) => Loader<A> {
  demand("the function of Loader.progress", aFunction, watch);
  return <A>(loader: Loader<A>) => changed<A>(checked("Loader.progress", loader), { watch });
}

/**
 * Everything but the first items, lazily: of a loader, an iterable or an async iterable.
 *
 * On random access it is arithmetic, O(1) in n. On a stream the skipped samples are pulled, but nothing is mapped or
 * collated. The result of an iterable may be iterated whenever the iterable may. Laws: `skip(0) = id`,
 * `skip(a) ∘ skip(b) = skip(a + b)`, `skip(n)` yields what dropping n yields, and starts at the cursor after n items.
 *
 * @param n How many items of what it is given, an integer from 0; more than there are leaves nothing.
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
  demand("n of skip", integer(0), n);
  return <L extends Skippable>(xs: L) => skipped(n, xs) as Skipped<L>;
}

function skipped(n: number, xs: Skippable): Skippable {
  if (isLoader(xs)) {
    const narrowed = ({ low, high }: Range): Range => ({ low: Math.min(high, low + n), high });
    return planned<unknown, unknown>("skip", Plans.skip(n), ({ range, chain }) => ({
      range: range && narrowed(range),
      chain: chained(chain, `skip(${n})`),
    }))(xs);
  }
  if (Symbol.asyncIterator in Object(xs)) {
    return { [Symbol.asyncIterator]: () => droppingLater(n, xs as AsyncIterable<unknown>) };
  }
  if (Symbol.iterator in Object(xs)) return { [Symbol.iterator]: () => dropping(n, xs as Iterable<unknown>) };
  throw new TypeError(`Expected skip to be given a loader or an iterable, found ${shown(xs)}`);
}

function* dropping<A>(n: number, xs: Iterable<A>): Generator<A, void> {
  let i = 0;
  for (const x of xs) if (i++ >= n) yield x;
}

async function* droppingLater<A>(n: number, xs: AsyncIterable<A>): AsyncGenerator<A, void> {
  let i = 0;
  for await (const x of xs) if (i++ >= n) yield x;
}
