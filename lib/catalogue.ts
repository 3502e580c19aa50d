/**
 * What runners know of a store: which run saves through it, and the entries of its checkpoints.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type ReadError, readSummary } from "./checkpoint.ts";
import type { LoadError } from "./errors.ts";
import type { Environment, Summary } from "./manifest.ts";
import type { Entry } from "./retention.ts";
import type { Store } from "./store.ts";

// --- constructors

/** This release. */
export const version = "0.1.0";

/** What this process is. */
export function environment(): Environment {
  const { Bun, Deno, process } = globalThis as {
    readonly Bun?: { readonly version: string };
    readonly Deno?: { readonly version: { readonly deno: string } };
    readonly process?: { readonly version: string };
  };
  const runtime = Bun ? `bun ${Bun.version}` : Deno ? `deno ${Deno.version.deno}` : `node ${process?.version.slice(1)}`;
  // tfjs has no backend before its first operation, whatever its types say; a run of plain data never has one.
  const backend = (tf.getBackend() as string | undefined) ?? "none";
  return { dogear: version, tfjs: tf.version["tfjs"], runtime, backend };
}

/** The run that saves through a store: a random name made with a fresh state, carried on by loading. */
export const runs: WeakMap<Store, { readonly run: string; readonly parent: number | null }> = new WeakMap();

/** Entries of committed checkpoints, which do not change. */
const catalogues = new WeakMap<Store, Map<number, Entry>>();

function entryOf(checkpoint: number, summary: Summary & { readonly bytes: number }): Entry {
  const { step, metrics, time, bytes, files, run } = summary;
  return { checkpoint, step, metrics, time, bytes: files.reduce((sum, file) => sum + file.bytes, bytes), run };
}

// --- capture and restore

/** The entry of one checkpoint. */
export function readEntry(store: Store, checkpoint: number): TaskEither<ReadError, Entry> {
  return async () => {
    const known = catalogues.get(store) ?? new Map<number, Entry>();
    catalogues.set(store, known);
    const entry = known.get(checkpoint);
    if (entry !== undefined) return E.right(entry);
    const summary = await readSummary(store, checkpoint)();
    if (E.isLeft(summary)) return summary;
    const made = entryOf(checkpoint, summary.right);
    known.set(checkpoint, made);
    return E.right(made);
  };
}

/**
 * The checkpoints of a store, oldest first.
 *
 * @param store Which.
 * @returns An entry for each; its left is `StoreFailed`, or what is wrong with a manifest.
 *
 * @example
 * ```ts
 * import { list, memory, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await runOrThrow(saveState(store)({ step: 7 }));
 * assert.deepEqual((await runOrThrow(list(store))).map(({ checkpoint, step }) => [checkpoint, step]), [[0, 7]]);
 * ```
 */
export function list(store: Store): TaskEither<LoadError, readonly Entry[]> {
  return async () => {
    const listed = await store.list();
    if (E.isLeft(listed)) return listed;
    const entries: Entry[] = [];
    for (const checkpoint of listed.right) {
      const entry = await readEntry(store, checkpoint)();
      if (E.isRight(entry)) entries.push(entry.right);
      else return await isGone(store, checkpoint) ? await list(store)() : entry;
    }
    return E.right(entries);
  };
}

/** Whether a checkpoint has been removed since it was listed: the retention of a run that goes on does so once there is a newer one. */
export async function isGone(store: Store, checkpoint: number): Promise<boolean> {
  const listed = await store.list();
  return E.isRight(listed) && !listed.right.includes(checkpoint);
}

/** Knows the entry of a checkpoint that was committed just now; another one may have had its number, and have been removed by hand. */
export function knowEntry(store: Store, entry: Entry): void {
  const known = catalogues.get(store) ?? new Map<number, Entry>();
  catalogues.set(store, known.set(entry.checkpoint, entry));
}

/** Forgets the entry of a checkpoint that was removed. */
export function forgetEntry(store: Store, checkpoint: number): void {
  catalogues.get(store)?.delete(checkpoint);
}
