/**
 * Lazy loaders over arrays, indexed sources and streams: immutable values, composed by functions, resumable at every item.
 *
 * A loader computes an item when it is requested, and none ahead unless `prefetch` or `concurrency` say so. Each item comes with the cursor
 * after it. From that cursor {@link from} gives the rest: the items and cursors of a run that never stopped. A cursor counts source samples,
 * not items, so it also fits a loader that batches or shards the same data differently.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.shuffle(7), Loader.batch(2), Loader.repeat(3));
 * let last = Loader.start(batches);
 * for await (const [batch, cursor] of Loader.iterate(batches)) {
 *   assert.equal(batch.length, 2);
 *   last = cursor; // saved with the rest of the state
 *   if (cursor.epoch === 1) break;
 * }
 * const rest: number[][] = [];
 * for await (const [batch] of Loader.from(last)(batches)) rest.push(batch);
 * assert.equal(rest.length, 6);
 * ```
 *
 * @module
 */
import { check, codec, type Cursor } from "./cursor.ts";
import { checkLoader, type Loader, withPlan } from "./types.ts";
import { checkCurried, checkOptionNames, demand, integer, must } from "../validation/mod.ts";
import { repeatPasses, skipItems, spansWholeEpochs } from "./index_plan.ts";
import { startOfPass } from "./derived_source.ts";
import { iterateFrom, readFrom, startCursor } from "./resume.ts";

export { check, codec, type Cursor };
export type { Loader, LoaderProgress as Progress } from "./types.ts";
export type { Dataset } from "./source.ts";
export { fromArray, fromDataset, fromIndexed, fromIterable, fromRows, fromTensor, length } from "./from_memory.ts";
export { type Body, fromBody } from "./from_body.ts";
export { batchesPerEpoch, isEpochEnd, progressAt } from "./epochs.ts";
export { batch, map, mapRandom, prefetch, progress, repeat, shuffle, skip, take } from "./transforms.ts";
export type { Skippable, Skipped } from "./transforms.ts";
export { shard, type Share } from "./shard.ts";
export { concat, type LoaderParts as Parts, mix, zip, type Zipped } from "./combine.ts";
export { cache, filter, shuffleWindow, unbatch, window } from "./regroup.ts";
export { collate, type Collated } from "./collate.ts";

// --- capture and restore

/**
 * The cursor before a loader's first item.
 *
 * For a stream, the skipped samples are assumed to be in its first epoch, whose length is not known yet.
 *
 * @param loader The loader.
 * @returns The cursor; a `TypeError` for another value.
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
  return startCursor(checkLoader("Loader.start", loader));
}

/**
 * A loader's items, each with the cursor after it.
 *
 * @param loader The loader. It can be iterated any number of times; without `epoch` each time in the order of epoch 0.
 * @param options `epoch`: the number of a pass, an integer from 0, 0 by default. The items and cursors are those that `repeat` gives for that
 * pass, so your own loop over epochs has another order in each. To resume such a loop in the middle of an epoch, use `from` with the loader
 * repeated up to the end of that epoch: `Loader.from(cursor)(pipe(loader, Loader.repeat(epoch + 1)))`. From 1 on it is a `TypeError` for an
 * endless loader, and for a stream whose pass is cut in the middle of an epoch. For a `tf.data.Dataset`, which has one order for each
 * iterator, use `repeat`.
 * @returns An async iterable. It rejects, as `runOrThrow` does, with the cause `SourceFailed` when the source or a mapped function throws,
 * and `CursorMismatch` when an epoch of a stream is longer or shorter than one before it.
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
  checkLoader("Loader.iterate", loader);
  checkOptionNames("Loader.iterate", options, { epoch: true });
  const { epoch = 0 } = options;
  demand("epoch of Loader.iterate", integer(0), epoch);
  const passes = epoch === 0 ? loader : withPlan<A, A>(loader, repeatPasses(epoch + 1));
  const at = { epoch: epoch === 0 ? 0 : epoch * epochsInPass(loader, epoch), position: 0 };
  return { [Symbol.asyncIterator]: () => iterateFrom(passes, () => ({ ...startOfPass(loader), at })) };
}

/** How many epochs of its source a pass of a loader spans; a `TypeError` if that is not a fixed number. */
function epochsInPass({ source, plan }: Loader<unknown>, epoch: number): number {
  const { epochs } = plan(source.length ?? Infinity);
  const found = epochs === Infinity
    ? "one that never ends: give its repeat a number of epochs, or leave it out"
    : source._tag === "Stream" && !spansWholeEpochs(plan)
    ? "a stream cut in the middle of an epoch: put take before repeat"
    : undefined;
  if (found === undefined) return epochs;
  throw new TypeError(
    `Expected epoch ${epoch} of Loader.iterate to be that of a loader whose passes can be counted, found ${found}`,
  );
}

/**
 * A loader's items from a cursor on: the items and cursors that a run without interruption has after it.
 *
 * The loader may batch, shard or repeat differently than the one that made the cursor, as long as its source and shuffle are the same: each
 * sample after the cursor comes exactly once. A loader that ends before the cursor, such as one with fewer epochs, gives nothing. Law: same
 * bits.
 *
 * @param cursor A cursor of {@link start} or of an iteration.
 * @returns A function from a loader to the async iterable of {@link iterate}. It rejects with the cause `CursorMismatch`, which lists every
 * difference, when the data is not the data of the cursor.
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
  checkCurried(arguments, 1, "Loader.from(cursor)(loader)");
  demand("the cursor of Loader.from", must("a cursor of Loader.start or of an iteration", codec.is), cursor);
  return (loader) => {
    checkLoader("Loader.from", loader);
    return { [Symbol.asyncIterator]: () => readFrom(loader, cursor) };
  };
}

// --- combinators

/**
 * One item by its number, for questions such as: which batch did step 41,203 see?
 *
 * @param n The item's number from 0, counted across epochs where the loader repeats.
 * @returns A function from a loader to a promise of the item; you own tensors of `collate`. The promise rejects with a `TypeError` if the
 * loader has no such item, and otherwise as {@link iterate} does.
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
  checkCurried(arguments, 1, "Loader.at(n)(loader)");
  demand("n of Loader.at", integer(0), n);
  return async <A>(loader: Loader<A>): Promise<A> => {
    // The iteration ends before the caller has the item, so it must not dispose the item, and need not compute others ahead.
    const rest = withPlan<A, A>(checkLoader("Loader.at", loader), skipItems(n), { owned: false, ahead: 0 });
    for await (const [item] of iterate(rest)) return item;
    throw new TypeError(`Expected n of Loader.at to be below the number of items, found ${n}: count from 0`);
  };
}
