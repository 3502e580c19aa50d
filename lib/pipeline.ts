/**
 * Loaders are built here: a source, and the arithmetic of the combinators put over it. Nothing is read.
 *
 * @module
 */
import * as Plans from "./plan.ts";
import type { Plan } from "./plan.ts";
import { demand, integer, must, shown } from "./rules.ts";
import type { Seed } from "./seed.ts";
import * as Sources from "./source.ts";
import type { Dataset, Range, Source } from "./source.ts";

// --- types

/** A sequence of items that are computed one at a time, and that can be entered at any of them. */
export interface Loader<out A> {
  readonly _tag: "Loader";
  readonly source: Source;
  /** Where the items lie in a source whose epochs have this many samples. */
  readonly plan: (length: number) => Plan<A>;
  /** The samples of a pass as long as the items are single samples, else null. */
  readonly range: Range | null;
}

/** What {@link skip} takes. */
export type Skippable = Loader<unknown> | Iterable<unknown> | AsyncIterable<unknown>;

/** What {@link skip} gives: more of the same. */
export type Skipped<L> = L extends Loader<infer A> ? Loader<A>
  : L extends Iterable<infer A> ? Iterable<A>
  : L extends AsyncIterable<infer A> ? AsyncIterable<A>
  : never;

// --- constructors

function loaderOf<A>(source: Source, plan: (length: number) => Plan<A>, range: Range | null): Loader<A> {
  return Object.freeze({ _tag: "Loader", source, plan, range: range && Object.freeze(range) });
}

/** A loader of a source's single samples, which are `A`s because the caller's source says so. */
function samplesOf<A>(source: Source): Loader<A> {
  const plan = Plans.samples as (length: number) => Plan<A>;
  return loaderOf(source, plan, source.length === null ? null : { low: 0, high: source.length });
}

const aFunction = must("a function", (value) => typeof value === "function");
const textIfGiven = must("a string", (value) => value === undefined || typeof value === "string");

/**
 * A loader of the items of an array.
 *
 * The fingerprint covers the length and the content: up to 4,096 items spread evenly, 64 to 1,024 values of each. Tensors
 * and class instances count as items, but not what is in them.
 *
 * @param xs An array or typed array. It is not copied: it must stay as it is.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Loader.length(Loader.fromArray(Float32Array.of(1, 2, 3))), 3);
 * ```
 */
export function fromArray<A>(xs: ArrayLike<A>): Loader<A> {
  const listed = (value: unknown): boolean =>
    Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  demand("the data of Loader.fromArray", must("an array or a typed array", listed), xs);
  return samplesOf(Sources.arraySource(xs));
}

/**
 * A loader of samples that are fetched by index, such as records of a file.
 *
 * @param source `length`: how many samples there are. `at`: the sample at an index from 0, or a promise of it; the samples
 * of one batch are asked for together. `fingerprint`: anything that names this data and no other, such as a digest or a
 * version; without it only a change of length is noticed.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const squares = Loader.fromIndexed({ length: 1e12, at: (i) => Promise.resolve(i * i) });
 * assert.equal(await Loader.at(3)(squares), 9);
 * ```
 */
export function fromIndexed<A>(
  source: { readonly length: number; readonly at: (index: number) => A | Promise<A>; readonly fingerprint?: string },
): Loader<A> {
  demand("length of Loader.fromIndexed", integer(0), source.length);
  demand("at of Loader.fromIndexed", aFunction, source.at);
  demand("fingerprint of Loader.fromIndexed", textIfGiven, source.fingerprint);
  return samplesOf(Sources.indexedSource(source.length, (index) => source.at(index), source.fingerprint));
}

/**
 * A loader of a stream that is opened anew for each epoch.
 *
 * Samples are pulled one at a time; skipped ones are pulled and dropped, and nothing is computed from them. Nothing is pulled
 * ahead either: the cursor after a last item may stand at the end of its epoch, where others stand at the start of the next.
 * Once an epoch was read to its end, all others must have as many samples. The iterator is closed when the iteration is left.
 *
 * @param open Gives an iterable, sync or async, for the epoch with this number, counted from 0. It must give the same
 * samples for the same epoch, in a new process too.
 * @param options `fingerprint`: anything that names this data and no other.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * function* lines(): Generator<string> {
 *   yield* ["a", "b", "c"];
 * }
 * const seen: string[] = [];
 * for await (const [line] of Loader.iterate(pipe(Loader.fromIterable(lines), Loader.repeat(2)))) seen.push(line);
 * assert.equal(seen.join(""), "abcabc");
 * ```
 */
export function fromIterable<A>(
  open: (epoch: number) => Iterable<A> | AsyncIterable<A>,
  options: { readonly fingerprint?: string } = {},
): Loader<A> {
  demand(
    "the source of Loader.fromIterable",
    must("a function that gives an iterable for each epoch", isFunction),
    open,
  );
  demand("fingerprint of Loader.fromIterable", textIfGiven, options.fingerprint);
  return samplesOf(Sources.iterableSource(open, options.fingerprint));
}

/**
 * A loader of the elements of a `tf.data.Dataset`.
 *
 * Resuming makes one iterator for every earlier epoch and reads none of them, because tf.data's seeded shuffle takes one
 * order from its seed per iterator; so give each run a dataset of its own, and its `shuffle` a seed that is not 0. Elements
 * that are skipped are disposed.
 *
 * @param dataset The dataset. Every epoch must have the same number of elements, once one was read to its end.
 * @param options `fingerprint`: anything that names this data and no other.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const loader = Loader.fromDataset(tf.data.array([1, 2, 3, 4]).shuffle(4, "7"));
 * assert.equal(typeof await Loader.at(2)(loader), "number");
 * ```
 */
export function fromDataset<A>(dataset: Dataset<A>, options: { readonly fingerprint?: string } = {}): Loader<A> {
  const iterates = (value: unknown): boolean => isFunction((value as Dataset<A> | undefined)?.iterator);
  demand("the source of Loader.fromDataset", must("a tf.data.Dataset", iterates), dataset);
  demand("fingerprint of Loader.fromDataset", textIfGiven, options.fingerprint);
  return samplesOf(Sources.datasetSource(dataset, options.fingerprint));
}

// --- combinators

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function isLoader(value: unknown): value is Loader<unknown> {
  return typeof value === "object" && value !== null && "_tag" in value && value._tag === "Loader";
}

/** The loader, or a `TypeError` for what is none. */
export function checked<A>(name: string, loader: Loader<A>): Loader<A> {
  if (isLoader(loader)) return loader;
  throw new TypeError(
    `Expected ${name} to be given a loader, found ${shown(loader)}: make one with Loader.fromArray or its like`,
  );
}

/** The loader with another arithmetic over the same source. */
export function planned<A, B>(
  name: string,
  combinator: (plan: Plan<A>) => Plan<B>,
  range: (range: Range) => Range | null = () => null,
): (loader: Loader<A>) => Loader<B> {
  return (loader) => {
    const { source, plan } = checked(name, loader);
    return loaderOf(source, (length) => combinator(plan(length)), loader.range && range(loader.range));
  };
}

/**
 * Each item through a function.
 *
 * @param f What to compute, or a promise of it; it is called only for items that are asked for, those of one batch together.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(await Loader.at(2)(pipe(Loader.fromArray([1, 2, 3]), Loader.map((x) => x * x))), 9);
 * ```
 */
export function map<A, B>(f: (item: A) => B | Promise<B>): (loader: Loader<A>) => Loader<B> {
  demand("f of Loader.map", aFunction, f);
  return planned("Loader.map", Plans.map(f), (range) => range);
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
    const { source, plan, range } = checked("Loader.shuffle", loader);
    if (source._tag === "Stream") {
      throw new TypeError(
        "Expected Loader.shuffle to be given random access, found a stream: use Loader.fromArray or Loader.fromIndexed, " +
          "or shuffle in the stream itself, such as by dataset.shuffle(buffer, seed)",
      );
    }
    if (range === null) {
      throw new TypeError(
        "Expected Loader.shuffle to be given single samples in the source's order, found a loader that is batched, sharded, " +
          "repeated or shuffled: put one Loader.shuffle right after the source",
      );
    }
    return loaderOf(shuffled(range)(source), plan, null);
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
  return (loader) => planned("Loader.batch", Plans.batch(n, options.dropLast ?? false))(loader);
}

/**
 * One rank's share: items `rank`, `rank + world`, `rank + 2 world` and so on.
 *
 * Cursors count what all ranks consumed, so after equally many items all ranks have equal ones, and a run may go on with
 * another number of ranks. Where the items do not come out even, the first ranks have one more: drop the rest by `take` or
 * `dropLast` if every rank must have as many.
 *
 * @param place `rank`: an integer from 0, below `world`. `world`: how many ranks there are, an integer from 1.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const second = pipe(Loader.fromArray([10, 11, 12, 13]), Loader.shard({ rank: 1, world: 2 }), Loader.batch(2));
 * assert.deepEqual(await Loader.at(0)(second), [11, 13]);
 * ```
 */
export function shard(place: { readonly rank: number; readonly world: number }): <A>(loader: Loader<A>) => Loader<A> {
  const { rank, world } = place;
  demand("world of Loader.shard", integer(1), world);
  demand("rank of Loader.shard", integer(0, world - 1), rank);
  return (loader) => planned("Loader.shard", Plans.shard(rank, world))(loader);
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
  return (loader) => planned("Loader.take", Plans.take(n), narrowed)(loader);
}

/**
 * Passes over the data one after another, each epoch in its own order if it is shuffled.
 *
 * @param epochs How many, an integer from 1; without end by default. An empty loader ends at once all the same.
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
  return (loader) => planned("Loader.repeat", Plans.repeat(epochs))(loader);
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
    return planned("skip", Plans.skip(n), narrowed)(xs);
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
