/**
 * The runners: the pure captures and restores carried out on a store.
 *
 * Laws: *old or new*: whatever happens while one saves, the store holds the newest committed checkpoint whole; *all or nothing*: a load
 * that fails changes no live object; *nothing silent*: only an empty store starts afresh.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { randomUUID } from "node:crypto";
import { type Progress, readCheckpoint, type ReadError, readManifest, writeCheckpoint } from "./checkpoint.ts";
import { type LoadError, type SaveError, type StoreFailed, toError } from "./errors.ts";
import type { Environment, Manifest, Summary } from "./manifest.ts";
import type { Entry } from "./retention.ts";
import {
  captureState,
  type Codecs,
  type Components,
  type Decoded,
  id,
  type NoCodecs,
  type Options,
  release,
  type Restored,
  restoreInto,
  type Snapshot,
  snapshotOf,
} from "./snapshot.ts";
import type { Store } from "./store.ts";

// --- types

/** What a save may say. */
export interface SaveOptions<K extends Codecs = NoCodecs> extends Options<K> {
  /**
   * The step the checkpoint is of.
   * @default the component `step`, if it is a number
   */
  readonly step?: number;
  /**
   * Numbers to choose checkpoints by.
   * @default {}
   */
  readonly metrics?: Readonly<Record<string, number>>;
  /**
   * Whether to record the state's {@link id} in the manifest, which reads every byte once more.
   * @default false
   */
  readonly id?: boolean;
  /** Told how many bytes of how many are written, after each piece. */
  readonly onProgress?: (progress: Progress) => void;
}

/** A save that is committed. */
export interface Saved {
  readonly checkpoint: number;
  readonly step: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  /** Bytes written for it. */
  readonly bytesWritten: number;
  /** Bytes it consists of. */
  readonly bytesTotal: number;
  readonly seconds: number;
  /** Checkpoints that retention removed after the commit. */
  readonly removed: readonly number[];
  /** Where it is. */
  readonly location: string;
}

/** What there is to say about a load beside its result. */
export interface Report {
  readonly checkpoint: number;
  readonly run: string;
  readonly step: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  /** Newer checkpoints that were passed over, and why. */
  readonly skipped: readonly { readonly checkpoint: number; readonly error: LoadError }[];
  /** The environment that saved, and this one; further steps may differ in their bits where the backend or tfjs does. */
  readonly saved: Environment;
  readonly current: Environment;
}

/** What a load may ask for. */
export interface LoadOptions<K extends Codecs = NoCodecs> extends Options<K> {
  /**
   * The checkpoint to load.
   * @default the newest
   */
  readonly checkpoint?: number;
  /**
   * Whether an older checkpoint will do when the newest is damaged.
   * @default false
   */
  readonly fallback?: boolean;
  /** Told what there is to say beside the result, before the task resolves. */
  readonly onReport?: (report: Report) => void;
  /** Told how many bytes of how many are read, after each piece. */
  readonly onProgress?: (progress: Progress) => void;
}

/** How a {@link saver} behaves. */
export interface SaverOptions<K extends Codecs = NoCodecs> extends SaveOptions<K> {
  /**
   * What to do with a save that comes while one is in flight: let training `wait`, `skip` it, or write the `latest` one afterwards.
   * @default "wait"
   */
  readonly whenBusy?: "wait" | "skip" | "latest";
  /** Told of each save once it is committed. */
  readonly onSaved?: (saved: Saved) => void;
}

/** Saves beside training. */
export interface Saver<K extends Codecs = NoCodecs> {
  /** Captures when run and resolves once the write has begun; an earlier save's error comes from here. */
  readonly save: <C extends Components & Decoded<K>>(
    components: C,
    options?: Pick<SaveOptions<K>, "step" | "metrics">,
  ) => TaskEither<SaveError, void>;
  /** Resolves once nothing is in flight, with the saves since the last drain, or the first error among them. */
  readonly drain: TaskEither<SaveError, readonly Saved[]>;
}

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
  return { dogear: version, tfjs: tf.version["tfjs"], runtime, backend: tf.getBackend() };
}

/** The run that saves through a store: a random name made with a fresh state, carried on by loading. */
const runs = new WeakMap<Store, { readonly run: string; readonly parent: number | null }>();

/** Entries of committed checkpoints, which do not change. */
const catalogues = new WeakMap<Store, Map<number, Entry>>();

function entryOf(checkpoint: number, manifest: Manifest): Entry {
  const { step, metrics, time, files, run } = manifest;
  return { checkpoint, step, metrics, time, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0), run };
}

/** The entry of one checkpoint. */
function readEntry(store: Store, checkpoint: number): TaskEither<ReadError, Entry> {
  return async () => {
    const known = catalogues.get(store) ?? new Map<number, Entry>();
    catalogues.set(store, known);
    const entry = known.get(checkpoint);
    if (entry !== undefined) return E.right(entry);
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return manifest;
    const made = entryOf(checkpoint, manifest.right);
    known.set(checkpoint, made);
    return E.right(made);
  };
}

// --- capture

/** Removes what retention does not keep, of this run only; what cannot be read is not proved ours, and stays. */
async function retain(store: Store, run: string): Promise<E.Either<StoreFailed, readonly number[]>> {
  if (store.keep === undefined) return E.right([]);
  const listed = await store.list();
  if (E.isLeft(listed)) return listed;
  const catalogue: Entry[] = [];
  for (const checkpoint of listed.right) {
    const entry = await readEntry(store, checkpoint)();
    if (E.isRight(entry) && entry.right.run === run) catalogue.push(entry.right);
  }
  const { remove } = store.keep(catalogue, Date.now());
  for (const checkpoint of remove) {
    const removed = await store.remove(checkpoint)();
    if (E.isLeft(removed)) return removed;
    catalogues.get(store)?.delete(checkpoint);
  }
  return E.right(remove);
}

function stepOf(snapshot: Snapshot<unknown>, step: number | undefined): number | null {
  if (step !== undefined) return step;
  const component = snapshot.encoded.components.find(([name]) => name === "step")?.[1];
  return typeof component === "number" ? component : null;
}

/**
 * Writes a snapshot as the next checkpoint of a store: write, commit, retain.
 *
 * @param store Where to.
 * @param options Step, metrics, whether to record the id.
 * @returns For a snapshot, which stays the caller's to release, what was committed; or `StoreFailed`, and then the store holds what it held,
 *   or `Released`.
 *
 * Law *old or new*.
 *
 * @example
 * ```ts
 * import { captureState, memory, readSnapshot, restoreState, runOrThrow, writeSnapshot } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * using snapshot = captureState({ step: 5 });
 * const saved = await runOrThrow(writeSnapshot(store)(snapshot));
 * assert.deepEqual([saved.checkpoint, saved.step], [0, 5]);
 * assert.deepEqual(restoreState(await runOrThrow(readSnapshot(store))), { _tag: "Right", right: { step: 5 } });
 * ```
 */
export function writeSnapshot(
  store: Store,
  options: Omit<SaveOptions, "codecs"> = {},
): (snapshot: Snapshot<unknown>) => TaskEither<SaveError, Saved> {
  return (snapshot) => async () => {
    if (snapshot.hold.released) return E.left({ _tag: "Released" });
    const begun = performance.now();
    const { run, parent } = runs.get(store) ?? { run: randomUUID(), parent: null };
    runs.set(store, { run, parent });
    const [step, metrics] = [stepOf(snapshot, options.step), options.metrics ?? {}];
    const summary: Omit<Summary, "files"> = {
      run,
      step,
      metrics,
      time: Date.now(),
      parent,
      environment: environment(),
      ...(options.id === true ? { id: await id(snapshot)() } : {}),
    };
    const committed = await writeCheckpoint(store, snapshot.encoded, summary, options.onProgress)();
    if (E.isLeft(committed)) return committed;
    const { checkpoint, bytesWritten, bytesTotal } = committed.right;
    runs.set(store, { run, parent: checkpoint });
    const removed = await retain(store, run);
    if (E.isLeft(removed)) return removed;
    const seconds = (performance.now() - begun) / 1000;
    const location = store.locationOf(checkpoint);
    return E.right({ checkpoint, step, metrics, bytesWritten, bytesTotal, seconds, removed: removed.right, location });
  };
}

/**
 * Saves components as the next checkpoint of a store: capture, write, commit, retain.
 *
 * @param store Where to.
 * @param options Step, metrics, codecs, whether to record the id.
 * @returns For components, a task that captures when it is run, and resolves after commit and retention; without `await` it writes beside
 *   the training. Its left is `StoreFailed`, and then the store holds what it held. What cannot be captured rejects with the `TypeError` of
 *   {@link captureState}.
 *
 * Law *old or new*.
 *
 * @example
 * ```ts
 * import { memory, resume, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await runOrThrow(saveState(store, { metrics: { loss: 0.5 } })({ step: 1 }));
 * assert.deepEqual(await runOrThrow(resume(store)({ step: 0 })), { step: 1 });
 * ```
 */
export function saveState<K extends Codecs = NoCodecs>(
  store: Store,
  options: SaveOptions<K> = {},
): <C extends Components & Decoded<K>>(components: C) => TaskEither<SaveError, Saved> {
  return (components) => async () => {
    const snapshot = captureState(components, options);
    try {
      return await writeSnapshot(store, options)(snapshot)();
    } finally {
      release(snapshot)();
    }
  };
}

/**
 * Saves beside training: a save captures at once, and is written while training goes on; one is in flight at a time.
 *
 * @param store Where to.
 * @param options As for {@link saveState}, and what to do when a save comes while one is in flight.
 * @returns `save`, whose left is the error of an earlier save, and `drain`, to be run at the end.
 *
 * @example
 * ```ts
 * import { memory, runOrThrow, saver } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const { save, drain } = saver(memory());
 * for (let step = 0; step < 3; step++) await runOrThrow(save({ step }));
 * assert.deepEqual((await runOrThrow(drain)).map((saved) => saved.step), [0, 1, 2]);
 * ```
 */
export function saver<K extends Codecs = NoCodecs>(store: Store, options: SaverOptions<K> = {}): Saver<K> {
  type Job = { readonly snapshot: Snapshot<unknown>; readonly options: SaveOptions<K> };
  const results: E.Either<SaveError, Saved>[] = [];
  let inFlight: Promise<void> | undefined;
  let pending: Job | undefined;
  const start = (job: Job): void => {
    const writing = async (): Promise<void> => {
      try {
        const saved = await writeSnapshot(store, job.options)(job.snapshot)();
        results.push(saved);
        if (E.isRight(saved)) options.onSaved?.(saved.right);
      } catch (cause) {
        const { name, message } = toError(cause);
        results.push(E.left({ _tag: "StoreFailed", operation: "save", path: store.location, code: name, message }));
      } finally {
        release(job.snapshot)();
      }
      inFlight = undefined;
      const next = pending;
      pending = undefined;
      if (next !== undefined) start(next);
    };
    inFlight = writing();
  };
  /** The first error there is, given once. */
  const failure = (): E.Either<SaveError, void> => {
    const i = results.findIndex(E.isLeft);
    const failed = i < 0 ? undefined : results.splice(i, 1)[0];
    return failed !== undefined && E.isLeft(failed) ? failed : E.right(undefined);
  };
  const settled = async (): Promise<void> => {
    while (inFlight !== undefined) await inFlight;
  };
  return {
    save: (components, more = {}) => async () => {
      const busy = inFlight !== undefined;
      if (busy && options.whenBusy === "skip") return failure();
      const job: Job = { snapshot: captureState(components, options), options: { ...options, ...more } };
      if (busy && options.whenBusy === "latest") {
        if (pending !== undefined) release(pending.snapshot)();
        pending = job;
        return failure();
      }
      await settled();
      const failed = failure();
      if (E.isLeft(failed)) {
        release(job.snapshot)();
        return failed;
      }
      start(job);
      return failed;
    },
    drain: async () => {
      await settled();
      const failed = failure();
      if (E.isLeft(failed)) return failed;
      return E.right(results.splice(0).flatMap((saved) => E.isRight(saved) ? [saved.right] : []));
    },
  };
}

// --- restore

/** The newest checkpoint older than one that verifies. */
async function olderThan(store: Store, checkpoint: number, listed: readonly number[]): Promise<number | undefined> {
  for (const older of listed.filter((n) => n < checkpoint).toReversed()) {
    if (E.isRight(await readCheckpoint(store, older)())) return older;
  }
  return undefined;
}

interface Found {
  readonly snapshot: Snapshot<unknown>;
  readonly report: Report;
}

function find(store: Store, options: Omit<LoadOptions, "codecs">): TaskEither<LoadError, Found> {
  return async () => {
    const listed = await store.list();
    if (E.isLeft(listed)) return listed;
    const available = listed.right;
    const wanted = options.checkpoint ?? available.at(-1);
    if (wanted === undefined || !available.includes(wanted)) {
      const asked = wanted === undefined ? {} : { checkpoint: wanted };
      return E.left({ _tag: "NoCheckpoint", location: store.location, ...asked, available });
    }
    const skipped: { readonly checkpoint: number; readonly error: LoadError }[] = [];
    const candidates = options.fallback === true ? available.filter((n) => n <= wanted).toReversed() : [wanted];
    for (const checkpoint of candidates) {
      const read = await readCheckpoint(store, checkpoint, options.onProgress)();
      if (E.isRight(read)) {
        const { manifest, encoded } = read.right;
        const { run, step, metrics } = manifest;
        const report = { checkpoint, run, step, metrics, skipped, saved: manifest.environment, current: environment() };
        return E.right({ snapshot: snapshotOf(encoded, []), report });
      }
      if (read.left._tag !== "Damaged") return read;
      skipped.push({ checkpoint, error: read.left });
    }
    const [first] = skipped;
    if (first === undefined || first.error._tag !== "Damaged") {
      return E.left({ _tag: "NoCheckpoint", location: store.location, available });
    }
    const older = options.fallback === true ? undefined : await olderThan(store, wanted, available);
    return E.left({ ...first.error, ...(older === undefined ? {} : { older }) });
  };
}

/**
 * Loads the newest checkpoint of a store into live components, every byte checked.
 *
 * @param store Where from.
 * @param options Which checkpoint, whether an older one will do, codecs, whom to tell more.
 * @returns For live components, the restored ones, as {@link restoreInto} gives them; its left is `NoCheckpoint` for an empty store, `Damaged`
 *   (and which older checkpoint verifies), `NewerFormat`, `StoreFailed`, or `Mismatch` with every difference; nothing live has changed then.
 *
 * Laws: *all or nothing*, *nothing silent*.
 *
 * @example
 * ```ts
 * import { loadState, memory, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * for (const step of [1, 2]) await runOrThrow(saveState(store)({ step }));
 * assert.deepEqual(await runOrThrow(loadState(store, { checkpoint: 0 })({ step: 9 })), { step: 1 });
 * ```
 */
export function loadState<K extends Codecs = NoCodecs>(
  store: Store,
  options: LoadOptions<K> = {},
): <C extends Components & Decoded<K>>(live: C) => TaskEither<LoadError, Restored<C, K>> {
  return (live) => {
    const into = restoreInto(live, options);
    return async () => {
      const found = await find(store, options)();
      if (E.isLeft(found)) return found;
      const { snapshot, report } = found.right;
      const restored = into(snapshot)();
      if (E.isLeft(restored)) return restored;
      runs.set(store, { run: report.run, parent: report.checkpoint });
      options.onReport?.(report);
      return restored;
    };
  };
}

/**
 * Resumes a run: {@link loadState}, or the fresh components themselves if the store is empty.
 *
 * @param store Where the run is saved.
 * @param options As for {@link loadState}.
 * @returns For fresh components, what to train with. Only an empty store starts afresh: a damaged checkpoint or one that does not fit is an
 *   error.
 *
 * Laws: *same bits*: a run that was killed anywhere and resumed ends as one that never stopped; *nothing silent*.
 *
 * @example
 * ```ts
 * import { memory, resume, Rng, runOrThrow } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const fresh = { rng: Rng.make(42), step: 0 };
 * assert.equal(await runOrThrow(resume(memory())(fresh)), fresh);
 * ```
 */
export function resume<K extends Codecs = NoCodecs>(
  store: Store,
  options: LoadOptions<K> = {},
): <C extends Components & Decoded<K>>(fresh: C) => TaskEither<LoadError, Restored<C, K>> {
  return <C extends Components & Decoded<K>>(fresh: C): TaskEither<LoadError, Restored<C, K>> => {
    const load = loadState(store, options)(fresh);
    return async () => {
      const loaded = await load();
      const empty = E.isLeft(loaded) && loaded.left._tag === "NoCheckpoint" && loaded.left.available.length === 0;
      return empty && options.checkpoint === undefined ? E.right(fresh as unknown as Restored<C, K>) : loaded;
    };
  };
}

/**
 * Reads a checkpoint as a snapshot, with no live objects: to fork, compare or restore it.
 *
 * @param store Where from.
 * @param options Which checkpoint, whether an older one will do.
 * @returns The snapshot, in memory; or as {@link loadState}.
 *
 * @example
 * ```ts
 * import { captureState, diff, memory, readSnapshot, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await runOrThrow(saveState(store)({ step: 1 }));
 * const differences = await diff(await runOrThrow(readSnapshot(store)), captureState({ step: 3 }))();
 * assert.deepEqual(differences, [{ path: "step", kind: "value", left: 1, right: 3, count: 1, largest: 2 }]);
 * ```
 */
export function readSnapshot(
  store: Store,
  options: Omit<LoadOptions, "codecs"> = {},
): TaskEither<LoadError, Snapshot<unknown>> {
  return async () => {
    const found = await find(store, options)();
    if (E.isLeft(found)) return found;
    options.onReport?.(found.right.report);
    return E.right(found.right.snapshot);
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
      if (E.isLeft(entry)) return entry;
      entries.push(entry.right);
    }
    return E.right(entries);
  };
}

/**
 * Runs a task to its value: the edge of a script.
 *
 * @param task A task of the toolkit, or of a pipeline with errors of its own.
 * @returns A promise that rejects with an `Error` whose message is `explain`'s sentence and whose cause is the error.
 *
 * @example
 * ```ts
 * import { loadState, memory, runOrThrow } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * await assert.rejects(runOrThrow(loadState(memory())({ step: 0 })), /holds no checkpoint/);
 * ```
 */
export async function runOrThrow<A>(task: TaskEither<unknown, A>): Promise<A> {
  const result = await task();
  if (E.isLeft(result)) throw toError(result.left);
  return result.right;
}
