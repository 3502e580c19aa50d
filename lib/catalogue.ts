/**
 * What runners know of a store: the entries of its checkpoints.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type ReadError, readSummary } from "./checkpoint.ts";
import type { LoadError, StoreFailed } from "./errors.ts";
import { guarded } from "./guard.ts";
import type { Summary } from "./manifest.ts";
import type { Entry } from "./retention.ts";
import { checkStore, type Store } from "./store.ts";

// --- constructors

/** This release. */
export const version = "0.1.0";

/** Entries of committed checkpoints, which do not change. */
const catalogues = new WeakMap<Store, Map<number, Entry>>();

/** The entries that are known of a store. */
function knownOf(store: Store): Map<number, Entry> {
  const known = catalogues.get(store) ?? new Map<number, Entry>();
  catalogues.set(store, known);
  return known;
}

/** What a catalogue says of a checkpoint. */
export function entryOf(checkpoint: number, summary: Summary & { readonly bytes: number }): Entry {
  const { step, metrics, time, bytes, files, run } = summary;
  return { checkpoint, step, metrics, time, bytes: files.reduce((sum, file) => sum + file.bytes, bytes), run };
}

// --- capture and restore

/** The entry of one checkpoint. */
export function readEntry(store: Store, checkpoint: number): TaskEither<ReadError, Entry> {
  return async () => {
    const known = knownOf(store);
    const entry = known.get(checkpoint);
    if (entry !== undefined) return E.right(entry);
    const summary = await readSummary(store, checkpoint)();
    if (E.isLeft(summary)) return summary;
    const made = entryOf(checkpoint, summary.right);
    known.set(checkpoint, made);
    return E.right(made);
  };
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
 * The entries of those of these checkpoints whose manifests can be read, in their order; what is known is not waited for.
 *
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
  // Of many checkpoints one loop takes a third of the time that several functions of arrays do.
  for (const checkpoint of checkpoints) {
    const entry = known.get(checkpoint);
    if (entry === undefined) unknown.push(checkpoint);
    else if (run === undefined || entry.run === run) entries.push(entry);
  }
  if (unknown.length === 0) return entries;
  const before = known.size;
  for await (const _ of inOrder(unknown, (n) => readEntry(store, n)())) { /* each is known once it has been read */ }
  return known.size === before ? entries : await entriesOf(store, checkpoints.filter((n) => known.has(n)), run);
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
  const known = catalogues.get(store) ?? new Map<number, Entry>();
  catalogues.set(store, known.set(entry.checkpoint, entry));
}

/** Forgets the entry of a checkpoint that was removed. */
export function forgetEntry(store: Store, checkpoint: number): void {
  knownOf(store).delete(checkpoint);
}
