/**
 * Entries: what a manifest says of its checkpoint, read once and remembered at the location.
 *
 * This is the only reader of manifest summaries. A committed checkpoint never changes, so an entry stays valid until its checkpoint is removed.
 * The number of a checkpoint that was removed by hand can be used again, so a removal and a commit read the entries that they depend on again.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { decodeManifestOf, type ReadError } from "./read.ts";
import { checkStore, type Entry, perLocation, type Store } from "../store/mod.ts";
import { guarded, type LoadError, type StoreFailed } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import { inOrder } from "./in_order.ts";
import { decodeSummary, type ManifestSummary } from "./manifest.ts";

// --- types

/** A summary as it was read, with the length of its manifest. */
export type SummaryRead = ManifestSummary & { readonly bytes: number };

/** What a store holds. */
export interface Listed {
  /** An entry for each checkpoint whose manifest can be read, oldest first. */
  readonly entries: readonly Entry[];
  /** The numbers of the other checkpoints, ascending, each with its error: damage, a later format, or a failure of the store. */
  readonly damaged: readonly { readonly checkpoint: number; readonly error: LoadError }[];
}

/** A remembered entry. */
interface RememberedEntry {
  readonly entry: Entry;
  /** The training that saved it, undefined for the default one. */
  readonly training: string | undefined;
}

// --- constructors

const entriesAt = perLocation(() => new Map<number, RememberedEntry>());

/** The entry that a summary gives. */
export function entryOf(checkpoint: number, summary: SummaryRead): Entry {
  const { step, metrics, time, files, run, note } = summary;
  const bytes = files.reduce((sum, file) => sum + file.bytes, summary.bytes);
  return { checkpoint, step, metrics, time, bytes, run, ...(note !== undefined && { note }) };
}

/** Remembers the entry of a checkpoint that was committed just now, in place of any earlier checkpoint with its number. */
export function rememberEntry(store: Store, entry: Entry, training: string | undefined): void {
  entriesAt(store).set(entry.checkpoint, { entry, training });
}

/** Forgets the entry of a checkpoint. */
export function forgetEntry(store: Store, checkpoint: number): void {
  entriesAt(store).delete(checkpoint);
}

// --- capture and restore

/**
 * Reads what a checkpoint says of itself, without its state.
 *
 * @param store The store.
 * @param checkpoint Its number.
 */
export function readSummary(store: Store, checkpoint: number): TE.TaskEither<ReadError, SummaryRead> {
  return decodeManifestOf(store, checkpoint, decodeSummary);
}

/** Reads the entry of one checkpoint from its manifest, even if an entry of its number is remembered. */
export function readEntry(store: Store, checkpoint: number): TE.TaskEither<ReadError, Entry> {
  return pipe(readSummary(store, checkpoint), TE.map((summary) => entryOf(checkpoint, summary)));
}

/**
 * The checkpoints of a store, oldest first.
 *
 * @param store The store.
 * @returns An entry for each checkpoint that can be read, and the numbers of those that cannot, each with its error. The left is `StoreFailed` if
 *   the store cannot be listed. Only manifests are read: `dogear verify` checks every byte.
 *
 * @example
 * ```ts
 * import { list, memory, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await saveState(store)({ step: 7 });
 * const { entries, damaged } = await list(store);
 * assert.deepEqual(entries.map(({ checkpoint, step }) => [checkpoint, step]), [[0, 7]]);
 * assert.deepEqual(damaged, []);
 * ```
 */
export function list(store: Store): Awaitable<StoreFailed, Listed> {
  checkStore(store, "list(store)");
  const read = pipe(candidates(store), TE.flatMap((numbers) => listThese(store, numbers)));
  return awaitable(guarded("list", store.location, read));
}

/** Reads the entries of these checkpoints; lists the store again if one of those that cannot be read has been removed meanwhile. */
function listThese(store: Store, checkpoints: readonly number[]): TE.TaskEither<StoreFailed, Listed> {
  return async () => {
    const entries: Entry[] = [];
    const unread: { readonly checkpoint: number; readonly error: LoadError }[] = [];
    for await (const [checkpoint, entry] of inOrder(checkpoints, (n) => readEntry(store, n)())) {
      if (E.isRight(entry)) entries.push(entry.right);
      else unread.push({ checkpoint, error: entry.left });
    }
    if (await isGone(store, unread.map(({ checkpoint }) => checkpoint))) return await list(store)();
    return E.right({ entries, damaged: unread.filter(({ error }) => error._tag !== "NoCheckpoint") });
  };
}

// --- combinators

/** The numbers that may have a checkpoint, ascending; the last one is the newest checkpoint's. */
export function candidates(store: Store): TE.TaskEither<StoreFailed, readonly number[]> {
  return store.candidates ?? store.list;
}

/** Whether one of these checkpoints has been removed since it was listed. Retention does so, when a newer one exists. */
export async function isGone(store: Store, checkpoints: readonly number[]): Promise<boolean> {
  if (checkpoints.length === 0) return false;
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return false;
  const present = new Set(numbers.right);
  return !checkpoints.every((checkpoint) => present.has(checkpoint));
}

/**
 * The entries of checkpoints, in their order, without those whose manifests cannot be read. Remembered entries are not read again.
 *
 * @param store The store.
 * @param checkpoints All numbers of the store. Entries of other numbers are forgotten; if one of those is higher than all of these, the location was
 *   emptied and everything is forgotten.
 * @param run The run whose entries are wanted; all runs by default.
 */
export async function entriesOf(store: Store, checkpoints: readonly number[], run?: string): Promise<readonly Entry[]> {
  const remembered = entriesAt(store);
  const entries: Entry[] = [];
  const unknown: number[] = [];
  // One loop takes a third of the time of array functions, where there are many checkpoints.
  for (const checkpoint of checkpoints) {
    const entry = remembered.get(checkpoint)?.entry;
    if (entry === undefined) unknown.push(checkpoint);
    else if (run === undefined || entry.run === run) entries.push(entry);
  }
  if (checkpoints.length - unknown.length < remembered.size) {
    forgetOthers(store, checkpoints);
    return await entriesOf(store, checkpoints, run);
  }
  if (unknown.length === 0) return entries;
  let read = 0;
  for await (const [, entry] of inOrder(unknown, (n) => remember(store, n))) if (E.isRight(entry)) read++;
  if (read === 0) return entries;
  return checkpoints.flatMap((checkpoint) => remembered.get(checkpoint)?.entry ?? [])
    .filter((entry) => run === undefined || entry.run === run);
}

/** Reads and remembers the entry of a checkpoint. */
async function remember(store: Store, checkpoint: number): Promise<E.Either<ReadError, RememberedEntry>> {
  return await pipe(
    readSummary(store, checkpoint),
    TE.map((summary) => ({ entry: entryOf(checkpoint, summary), training: summary.training })),
    TE.tapIO((remembered) => () => entriesAt(store).set(checkpoint, remembered)),
  )();
}

/** The name of the training that saved a checkpoint, undefined for the default one. It is read once. */
export async function trainingOf(
  store: Store,
  checkpoint: number,
): Promise<E.Either<ReadError, Pick<RememberedEntry, "training">>> {
  const remembered = entriesAt(store).get(checkpoint);
  return remembered === undefined ? await remember(store, checkpoint) : E.right(remembered);
}

/**
 * Forgets the entries of all but these checkpoints.
 *
 * @param store The store.
 * @param checkpoints All numbers of the store, ascending. If a remembered number is higher, the location was emptied and everything is forgotten.
 */
export function forgetOthers(store: Store, checkpoints: readonly number[]): void {
  const remembered = entriesAt(store);
  const [present, newest] = [new Set(checkpoints), checkpoints.at(-1) ?? -1];
  const emptied = [...remembered.keys()].some((checkpoint) => checkpoint > newest);
  for (const checkpoint of remembered.keys()) {
    if (emptied || !present.has(checkpoint)) remembered.delete(checkpoint);
  }
}
