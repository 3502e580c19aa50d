/**
 * Lazy loaders over arrays, indexed sources and streams: plain values, composed by functions, resumable at every item.
 *
 * A loader computes an item when it is asked for and never ahead. Each item comes with the cursor after it, and from that
 * cursor {@link from} gives the rest: the items and the cursors of a run that never stopped. A cursor counts source
 * samples, not items, so it also fits a loader that batches or shards the same data in another way.
 *
 * @module
 */
import { check, codec, type Cursor, cursorOf } from "./cursor.ts";
import { checkOptionNames } from "./option_names.ts";
import { changed, checked, type Loader, planned } from "./pipeline.ts";
import { isWhole, origin, repeat as repeating, skip as skipping } from "./plan.ts";
import { demand, integer, must } from "./rules.ts";
import { items, mismatched, type Start } from "./walk.ts";

export { check, codec, type Cursor };
export {
  batch,
  map,
  mapRandom,
  prefetch,
  progress,
  repeat,
  shard,
  type Share,
  shuffle,
  skip,
  type Skippable,
  type Skipped,
  take,
} from "./combinators.ts";
export { type Body, fromBody } from "./body.ts";
export { collate, type Collated } from "./collate.ts";
export { concat, mix, type Parts, zip, type Zipped } from "./join.ts";
export {
  fromArray,
  fromDataset,
  fromIndexed,
  fromIterable,
  fromRows,
  fromTensor,
  length,
  type Loader,
  type Progress,
} from "./pipeline.ts";
export { cache, filter, shuffleWindow, unbatch, window } from "./select.ts";
export type { Dataset } from "./source.ts";

// --- constructors

/** The cursor of a place in a loader's source; a stream's length is known once an epoch has been read to its end. */
function cursorAt({ source }: Loader<unknown>, { place, length, mark }: Start): Cursor {
  const { seed, fingerprint } = source;
  const { epoch, position } = place;
  return cursorOf({ seed, epoch, position, length, fingerprint, ...(mark === undefined ? {} : { mark }) });
}

/** The samples in an epoch, as far as a loader knows. */
function known({ source }: Loader<unknown>): number | null {
  return source.length === Infinity ? null : source.length;
}

// --- capture and restore

/**
 * The cursor before a loader's first item.
 *
 * For a stream, what is skipped is taken to lie in its first epoch, whose length nobody knows yet.
 *
 * @param loader The loader.
 *
 * @example
 * ```ts
 * import { Loader, pipe, skip } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.batch(2));
 * assert.equal(Loader.start(loader).position, 0);
 * assert.equal(Loader.start(pipe(loader, skip(2))).position, 4);
 * ```
 */
export function start(loader: Loader<unknown>): Cursor {
  const { source, plan } = checked("Loader.start", loader);
  return cursorAt(loader, { place: plan(source.length ?? Infinity).after(origin, 0), length: known(loader) });
}

/**
 * A loader's items, each with the cursor after it.
 *
 * @param loader The loader; it may be iterated any number of times, and each time gives the order of epoch 0, unless told otherwise.
 * @param options `epoch`: the number of a pass, an integer from 0, 0 by default: the items and cursors that `repeat` gives for it. So a loop
 * over epochs of your own has another order in each. To resume it in the middle of one, use `from` with the loader repeated up to the end of
 * that epoch: `Loader.from(cursor)(pipe(loader, Loader.repeat(epoch + 1)))`. A `TypeError` from 1 on for a loader that never ends, and
 * for a stream whose pass is cut in the middle of an epoch. Of a `tf.data.Dataset`, which has one order for each iterator, use `repeat`.
 * @returns An async iterable. It rejects, as `runOrThrow` does, with the cause `SourceFailed` when the source or a mapped
 * function throws, and `CursorMismatch` when an epoch of a stream is longer or shorter than one before it.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const seen: unknown[] = [];
 * for await (const [batch, cursor] of Loader.iterate(pipe(Loader.fromArray([1, 2, 3]), Loader.batch(2)))) {
 *   seen.push([batch, cursor.epoch, cursor.position]);
 * }
 * assert.deepEqual(seen, [[[1, 2], 0, 2], [[3], 1, 0]]);
 *
 * const shuffled = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6, 7, 8]), Loader.shuffle(7));
 * const order: number[] = [];
 * for (let epoch = 0; epoch < 2; epoch++) {
 *   for await (const [x] of Loader.iterate(shuffled, { epoch })) order.push(x);
 * }
 * const repeated: number[] = [];
 * for await (const [x] of Loader.iterate(pipe(shuffled, Loader.repeat(2)))) repeated.push(x);
 * assert.deepEqual(order, repeated);
 * assert.notDeepEqual(order.slice(0, 8), order.slice(8));
 * ```
 */
export function iterate<A>(
  loader: Loader<A>,
  options: { readonly epoch?: number } = {},
): AsyncIterable<readonly [A, Cursor]> {
  checked("Loader.iterate", loader);
  checkOptionNames("Loader.iterate", options, { epoch: true });
  const { epoch = 0 } = options;
  demand("epoch of Loader.iterate", integer(0), epoch);
  const passes = epoch === 0 ? loader : planned<A, A>("Loader.iterate", repeating(epoch + 1))(loader);
  const place = { epoch: epoch * epochsOf(loader, epoch), position: 0 };
  return { [Symbol.asyncIterator]: () => resumed(passes, () => ({ place, length: known(loader) })) };
}

/** How many epochs of its source a pass of a loader spans, where that must be known. */
function epochsOf({ source, plan }: Loader<unknown>, epoch: number): number {
  if (epoch === 0) return 0;
  const { epochs } = plan(source.length ?? Infinity);
  const found = epochs === Infinity
    ? "one that never ends: give its repeat a number of epochs, or leave it out"
    : source._tag === "Stream" && !isWhole(plan)
    ? "a stream cut in the middle of an epoch: put take before repeat"
    : undefined;
  if (found === undefined) return epochs;
  throw new TypeError(
    `Expected epoch ${epoch} of Loader.iterate to be that of a loader whose passes can be counted, found ${found}`,
  );
}

/**
 * A loader's items from a cursor on: what a run that never stopped would see after it, and the same cursors.
 *
 * The loader may batch, shard or repeat otherwise than the one that made the cursor, as long as its source and shuffle are
 * the same: of the samples after the cursor, each one comes exactly once. A loader that ends before the cursor, such as
 * one with fewer epochs, has nothing left to give.
 *
 * @param cursor A cursor of {@link start} or of an iteration.
 * @returns A function to the async iterable of {@link iterate}. It rejects with the cause `CursorMismatch`, listing every
 * difference, when the data is not the data the cursor was made on.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const data = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6, 7]), Loader.shuffle(42));
 * const seen: number[] = [];
 * let cursor = Loader.start(data);
 * for await (const [batch, after] of Loader.iterate(pipe(data, Loader.batch(3)))) {
 *   seen.push(...batch);
 *   cursor = after;
 *   break;
 * }
 * for await (const [batch] of Loader.from(cursor)(pipe(data, Loader.batch(2)))) seen.push(...batch);
 * assert.deepEqual(seen.toSorted(), [1, 2, 3, 4, 5, 6, 7]);
 * ```
 */
export function from(cursor: Cursor): <A>(loader: Loader<A>) => AsyncIterable<readonly [A, Cursor]> {
  demand("the cursor of Loader.from", must("a cursor of Loader.start or of an iteration", codec.is), cursor);
  return (loader) => {
    checked("Loader.from", loader);
    return { [Symbol.asyncIterator]: () => resumed(loader, () => entered(loader, cursor)) };
  };
}

function resumed<A>(loader: Loader<A>, from: () => Start): AsyncIterator<readonly [A, Cursor], undefined> {
  return items(loader, from, (item, after) => [item, cursorAt(loader, after)] as const);
}

/** Where a loader is entered for a cursor, if its data is that of the cursor. */
function entered(loader: Loader<unknown>, cursor: Cursor): Start {
  const begin = start(loader);
  const problems = check(begin, cursor);
  if (problems.length > 0) throw mismatched(problems);
  const { epoch, position, length, mark } = cursor;
  // A stream is entered at its own start from the front: how far a skip reaches is known only by reading.
  const atStart = begin.epoch === epoch && begin.position === position;
  return { place: atStart ? origin : { epoch, position }, length, mark };
}

// --- combinators

/**
 * One item: which batch did step 41,203 see?
 *
 * @param n The item's number from 0, counted across epochs where the loader repeats.
 * @returns A promise; tensors of `collate` are the caller's own. It rejects with a `TypeError` if the loader has no such item, else as
 * {@link iterate} does.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2), Loader.repeat());
 * assert.deepEqual(await Loader.at(41_203)(batches), [3, 4]);
 * ```
 */
export function at(n: number): <A>(loader: Loader<A>) => Promise<A> {
  demand("n of Loader.at", integer(0), n);
  return async <A>(loader: Loader<A>): Promise<A> => {
    // The iteration is over before the caller has the item, so it may own none, and compute none ahead.
    const given = changed<A>(planned<A, A>("Loader.at", skipping(n))(loader), { owned: false, ahead: 0 });
    for await (const [item] of iterate(given)) return item;
    throw new TypeError(`Expected n of Loader.at to be below the number of items, found ${n}: count from 0`);
  };
}
