/**
 * What runners know of a store: the entries of its checkpoints.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type ReadError, readSummary } from "./checkpoint.ts";
import type { LoadError, StoreFailed } from "./errors.ts";
import { guarded } from "./guard.ts";
import type { Summary } from "./manifest.ts";
import type { Entry } from "./retention.ts";
import { placeOf } from "./runs.ts";
import { checkStore, type Store } from "./store.ts";

// --- constructors

/** This release. */
export const version = "0.1.0";

/** Entries of committed checkpoints, which do not change, by places: a relative path may lead to another folder by now. */
const catalogues = new WeakMap<object, Map<number, Entry>>();

/** The entries that are known of a store's place. */
function knownOf(store: Store): Map<number, Entry> {
  const place = placeOf(store);
  const known = catalogues.get(place) ?? new Map<number, Entry>();
  catalogues.set(place, known);
  return known;
}

/** What a catalogue says of a checkpoint. */
export function entryOf(checkpoint: number, summary: Summary & { readonly bytes: number }): Entry {
  const { step, metrics, time, bytes, files, run } = summary;
  return { checkpoint, step, metrics, time, bytes: files.reduce((sum, file) => sum + file.bytes, bytes), run };
}

// --- capture and restore

/** The entry of one checkpoint, read anew: it may have been removed by hand, and its number have been given again, or be damaged by now. */
export function readEntry(store: Store, checkpoint: number): TaskEither<ReadError, Entry> {
  return pipe(readSummary(store, checkpoint), TE.map((summary) => entryOf(checkpoint, summary)));
}

/** What a store holds. */
export interface Listed {
  /** An entry for each checkpoint whose manifest can be read, oldest first. */
  readonly entries: readonly Entry[];
  /** The numbers of the others, ascending, each with the reason: a damaged manifest, a later format, what the store refused. */
  readonly damaged: readonly { readonly checkpoint: number; readonly error: LoadError }[];
}

/**
 * The checkpoints of a store, oldest first.
 *
 * @param store Which.
 * @returns An entry for each that can be read, and the numbers of those that cannot, with the reason; its left is `StoreFailed`, where the
 *   store as a whole cannot be listed. Only manifests are read: to check every byte, `dogear verify`.
 *
 * @example
 * ```ts
 * import { list, memory, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await runOrThrow(saveState(store)({ step: 7 }));
 * const { entries, damaged } = await runOrThrow(list(store));
 * assert.deepEqual(entries.map(({ checkpoint, step }) => [checkpoint, step]), [[0, 7]]);
 * assert.deepEqual(damaged, []);
 * ```
 */
export function list(store: Store): TaskEither<StoreFailed, Listed> {
  checkStore(store);
  return guarded("list", store.location, async () => {
    const numbers = await candidates(store)();
    if (E.isLeft(numbers)) return numbers;
    const entries: Entry[] = [];
    const damaged: { readonly checkpoint: number; readonly error: LoadError }[] = [];
    const passed: number[] = [];
    for await (const [checkpoint, entry] of inOrder(numbers.right, (n) => readEntry(store, n)())) {
      if (E.isRight(entry)) entries.push(entry.right);
      else if (entry.left._tag === "NoCheckpoint") passed.push(checkpoint);
      else damaged.push({ checkpoint, error: entry.left });
    }
    const doubtful = [...passed, ...damaged.map(({ checkpoint }) => checkpoint)];
    return await isGone(store, doubtful) ? await list(store)() : E.right({ entries, damaged });
  });
}

// --- combinators

/** The numbers that may have a checkpoint, ascending; the last is the newest checkpoint's. */
export function candidates(store: Store): TaskEither<StoreFailed, readonly number[]> {
  return store.candidates ?? store.list;
}

/** How many checkpoints are looked at side by side. */
const sideBySide = 16;

/** What each item comes to, in the order of the items, some under way at a time; no more are held than that. */
export async function* inOrder<A, B>(
  items: Iterable<A>,
  run: (item: A) => Promise<B>,
): AsyncGenerator<readonly [A, B]> {
  const underWay: Promise<readonly [A, B]>[] = [];
  for (const item of items) {
    underWay.push(run(item).then((result) => [item, result] as const));
    const first = underWay.length < sideBySide ? undefined : underWay.shift();
    if (first !== undefined) yield await first;
  }
  for (const next of underWay) yield await next;
}

/**
 * The entries of those of these checkpoints whose manifests can be read, in their order; what is known is not read again.
 *
 * @param store Which.
 * @param checkpoints All that the store has: what is known of others is forgotten, and all where a known one was newer: the place was emptied.
 * @param run Only those of this run.
 */
export async function entriesOf(
  store: Store,
  checkpoints: readonly number[],
  run?: string,
): Promise<readonly Entry[]> {
  const known = knownOf(store);
  const entries: Entry[] = [];
  const unknown: number[] = [];
  let there = 0;
  // Of many checkpoints one loop takes a third of the time that several functions of arrays do.
  for (const checkpoint of checkpoints) {
    const entry = known.get(checkpoint);
    if (entry === undefined) {
      unknown.push(checkpoint);
      continue;
    }
    there++;
    if (run === undefined || entry.run === run) entries.push(entry);
  }
  if (there < known.size) {
    forgetOthers(known, checkpoints);
    return await entriesOf(store, checkpoints, run);
  }
  if (unknown.length === 0) return entries;
  let read = 0;
  for await (const [checkpoint, entry] of inOrder(unknown, (n) => readEntry(store, n)())) {
    if (E.isLeft(entry)) continue;
    known.set(checkpoint, entry.right);
    read++;
  }
  if (read === 0) return entries;
  return checkpoints.flatMap((checkpoint) => known.get(checkpoint) ?? [])
    .filter((entry) => run === undefined || entry.run === run);
}

/** Forgets the entries of checkpoints that are gone; all of them where one was newer than what is there. */
function forgetOthers(known: Map<number, Entry>, checkpoints: readonly number[]): void {
  const [there, newest] = [new Set(checkpoints), checkpoints.at(-1) ?? -1];
  const emptied = [...known.keys()].some((checkpoint) => checkpoint > newest);
  for (const checkpoint of known.keys()) if (emptied || !there.has(checkpoint)) known.delete(checkpoint);
}

/** Whether one of these checkpoints has been removed since it was listed: the retention of a run that goes on does so once there is a newer one. */
export async function isGone(store: Store, checkpoints: readonly number[]): Promise<boolean> {
  if (checkpoints.length === 0) return false;
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return false;
  const there = new Set(numbers.right);
  return !checkpoints.every((checkpoint) => there.has(checkpoint));
}

/** Knows the entry of a checkpoint that was committed just now; another one may have had its number, and have been removed by hand. */
export function knowEntry(store: Store, entry: Entry): void {
  knownOf(store).set(entry.checkpoint, entry);
}

/** Forgets the entry of a checkpoint that was removed. */
export function forgetEntry(store: Store, checkpoint: number): void {
  knownOf(store).delete(checkpoint);
}
