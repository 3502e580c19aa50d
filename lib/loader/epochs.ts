/**
 * Questions about a position in a loader, answered without reading it: is it the end of an epoch, how many items has an epoch, how far is it.
 *
 * An epoch is one pass over the loader's source. A loader that other loaders were combined into, or that was regrouped by reading (`zip`,
 * `filter`, `window`), is a source itself.
 *
 * @module
 */
import { codec, type Cursor } from "./cursor.ts";
import { type IndexPlan, origin } from "./index_plan.ts";
import { isAtEnd } from "./stream_reader.ts";
import { checkLoader, type Loader, type LoaderProgress } from "./types.ts";
import { checkCurried, demand, must } from "../validation/mod.ts";

// --- types

/** Where an item of a loader is. */
export interface ItemPlace {
  /** The epoch of the item's first sample, from 0. */
  readonly epoch: number;
  /** The item's number in its epoch, from 0. */
  readonly item: number;
}

// --- constructors

/** The plan of a loader, with what a cursor knows of the length of an epoch. */
function planAt<A>({ source, plan }: Loader<A>, { length }: Pick<Cursor, "length">): IndexPlan<A> {
  return plan(source.length ?? length ?? Infinity);
}

/** The cursor, or a `TypeError` if it is none of this loader's data. */
function checkCursor(name: string, { source }: Loader<unknown>, cursor: Cursor): Cursor {
  const isOwn = (value: unknown): boolean => codec.is(value) && value.fingerprint === source.fingerprint;
  demand(`the cursor of ${name}`, must(`a cursor on the loader's data, ${source.fingerprint}`, isOwn), cursor);
  return cursor;
}

// --- combinators

/** How many items a run has behind it at a cursor, counted from the loader's start. */
export function itemsBefore(loader: Loader<unknown>, cursor: Cursor): number {
  return planAt(loader, cursor).count(cursor);
}

/**
 * Where the item right after a cursor is.
 *
 * @param before The cursor before the item.
 * @param after The cursor after it, which may know more of the length of an epoch.
 * @param count How many items come before it.
 */
export function placeOf(loader: Loader<unknown>, before: Cursor, after: Cursor, count: number): ItemPlace {
  const plan = planAt(loader, after);
  // How far a skip reaches into a stream shows only once the length is known: a cursor at the start does not have it.
  const epoch = plan.epochAt(count === 0 ? origin : before);
  return { epoch, item: count - itemsBeforeEpoch(plan, epoch) };
}

/** How many items of a plan begin before an epoch. */
function itemsBeforeEpoch(plan: IndexPlan<unknown>, epoch: number): number {
  let count = plan.count({ epoch, position: 0 });
  // A round of ranks that spans epochs counts as begun, even if this rank's item of it is in the later epoch.
  while (count > 0 && count < Infinity && plan.epochAt(plan.after(origin, count - 1)) >= epoch) count--;
  return count;
}

/** How many epochs are complete at a cursor; for a stream whose length it does not know, only those that are known to be. */
export function completeEpochs(loader: Loader<unknown>, cursor: Cursor): number {
  return planAt(loader, cursor).epochAt(cursor);
}

/** How many epochs a loader has; null if a cursor does not know the length of an epoch, or the loader never ends. */
export function epochsOf(loader: Loader<unknown>, cursor: Cursor): number | null {
  const { epochs } = planAt(loader, cursor);
  return (loader.source.length ?? cursor.length) === null || epochs === Infinity ? null : epochs;
}

/** Whether only the next item of a loader shows if its current epoch is complete. */
export function needsNext(loader: Loader<unknown>, cursor: Cursor): boolean {
  return loader.source.length === null && cursor.length === null && !isAtEnd(loader.plan(Infinity), cursor);
}

/**
 * {@link completeEpochs} for a cursor that {@link needsNext}.
 *
 * @param next Where reading resumes after the next item, null if there is none: then the epoch has the samples that were read.
 */
export function completeEpochsSeen(
  loader: Loader<unknown>,
  cursor: Cursor,
  next: Pick<Cursor, "length"> | null,
): number {
  return loader.plan((next === null ? cursor.position : next.length) ?? Infinity).epochAt(cursor);
}

/**
 * Whether the item before a cursor is the last of its epoch: the time to evaluate, in a loop of your own.
 *
 * It is arithmetic and reads nothing. A batch that spans epochs, as after `repeat`, belongs to the epoch of its first sample. Where `take` limits
 * the steps of several epochs, the epoch in which it ends has no end.
 *
 * @param loader The loader that the cursor is of.
 * @returns For a cursor, whether an epoch ends there; false at the start; null as long as a stream has not been read to its end, and the cursor
 *   does not know the length of an epoch. A cursor on other data is a `TypeError`.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4, 5]), Loader.batch(2), Loader.repeat(2));
 * const ends: unknown[] = [];
 * for await (const [, cursor] of Loader.iterate(batches)) ends.push(Loader.isEpochEnd(batches)(cursor));
 * assert.deepEqual(ends, [false, false, true, false, false, true]);
 * ```
 */
export function isEpochEnd(loader: Loader<unknown>): (cursor: Cursor) => boolean | null {
  checkCurried(arguments, 1, "Loader.isEpochEnd(loader)(cursor)");
  checkLoader("Loader.isEpochEnd", loader);
  return (cursor) => {
    checkCursor("Loader.isEpochEnd", loader, cursor);
    const plan = planAt(loader, cursor);
    const count = plan.count(cursor);
    if (count === 0) return false;
    if (plan.epochAt(cursor) > plan.epochAt(plan.after(origin, count - 1))) return true;
    return needsNext(loader, cursor) ? null : false;
  };
}

/**
 * The number of items, usually batches, in an epoch of a loader, after all its transforms.
 *
 * @param loader The loader, with or without `repeat`. If its batches span epochs, those that begin in the first epoch are counted.
 * @returns The number; null for a stream, whose length is unknown until it is read; Infinity for a source that never ends.
 *
 * @example
 * ```ts
 * import { Loader, pipe, Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4, 5]), Loader.batch(2, { dropLast: true }), Loader.repeat(10));
 * assert.deepEqual([Loader.batchesPerEpoch(batches), Loader.length(batches)], [2, 20]);
 * ```
 */
export function batchesPerEpoch(loader: Loader<unknown>): number | null {
  const { source, plan } = checkLoader("Loader.batchesPerEpoch", loader);
  return source.length === null ? null : itemsBeforeEpoch(plan(source.length), 1);
}

/**
 * How far a cursor is, as {@link progress} shows it during an iteration: for a loop of your own, or for a checkpoint that was loaded.
 *
 * @param loader The loader that the cursor is of.
 * @returns For a cursor, the {@link LoaderProgress}. A cursor on other data is a `TypeError`.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4, 5]), Loader.batch(2), Loader.repeat(2));
 * assert.deepEqual(Loader.progressAt(batches)(Loader.start(batches)), { done: 0, total: 6, epoch: 0, position: 0 });
 * ```
 */
export function progressAt(loader: Loader<unknown>): (cursor: Cursor) => LoaderProgress {
  checkCurried(arguments, 1, "Loader.progressAt(loader)(cursor)");
  checkLoader("Loader.progressAt", loader);
  return (cursor) => {
    checkCursor("Loader.progressAt", loader, cursor);
    const isKnown = (loader.source.length ?? cursor.length) !== null;
    const plan = planAt(loader, cursor);
    const { epoch, position } = cursor;
    return { done: plan.count(cursor), total: isKnown ? plan.length(origin) : null, epoch, position };
  };
}
