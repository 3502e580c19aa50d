/**
 * Saves: a state captured and committed to a store.
 *
 * Law *old or new*: if a save fails or is killed at any moment, the store holds the newest committed checkpoint whole.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import {
  afterOf,
  beginRun,
  candidates,
  type Committed,
  type Continued,
  continueRun,
  entriesOf,
  inTurn,
  type ManifestSummary,
  type NotRemoved,
  rememberEntry,
  type Removal,
  retain,
  setCurrentRun,
  unlisted,
  writeCheckpoint,
} from "../checkpoint/mod.ts";
import { aNote, checkStore, copyOfNote, type Entry, type Note, type Progress, type Store } from "../store/mod.ts";
import { environment } from "./environment.ts";
import { captured, guarded, orDeviceFailed, type SaveError, theirs } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import {
  aBoolean,
  aFunction,
  checkCurried,
  checkOptions,
  ifGiven,
  must,
  type OptionRules,
  recordOf,
} from "../validation/mod.ts";
import type { Given } from "../capturable.ts";
import { type Codec, codecRules, type Codecs, type NoCodecs, type Options } from "../codecs.ts";
import { captureState, checkSnapshot, id, type Snapshot } from "../snapshot.ts";

// --- types

/** The options of a save. */
export interface SaveOptions<K extends Codecs = NoCodecs, T extends Codec = never> extends Options<K, T> {
  /**
   * The step that the checkpoint records.
   * @default the component `step`, if it is a number
   */
  readonly step?: number;
  /**
   * Numbers by which checkpoints can be chosen and kept.
   * @default {}
   */
  readonly metrics?: Readonly<Record<string, number>>;
  /**
   * A few words on the checkpoint, or a flat record of plain values such as hyperparameters: `"lr 1e-3, seed 7"` or `{ lr: 1e-3, seed: 7 }`, of at
   * most 4096 bytes as JSON. `list` gives it and `dogear ls` shows it. It is no state: no restore reads it.
   * @default none
   */
  readonly note?: Note;
  /**
   * Whether to record the state's {@link id} in the manifest, which reads every byte once more.
   * @default false
   */
  readonly id?: boolean;
  /**
   * Whether to begin a new run whose parent is the checkpoint that this process loaded or saved last at the location. Only the first save starts
   * the new run: later saves of the process stay in it, until it loads again, its `step` goes back, or another process saves in the new run. A restart
   * does not look for the new run: `resume` loads the newest checkpoint of the store. So two processes that may restart need two stores.
   * @default false
   */
  readonly fork?: boolean;
  /** Receives, after each piece, the bytes written, the total, the rate, and the seconds left. */
  readonly onProgress?: (progress: Progress) => void;
}

/** A committed save. */
export interface Saved {
  /** The number of the new checkpoint. */
  readonly checkpoint: number;
  /** Its training step; null if it has none. */
  readonly step: number | null;
  /** Its metrics, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /**
   * The note that the save gave.
   * @default none
   */
  readonly note?: Note;
  /** The bytes that were written for it. */
  readonly bytesWritten: number;
  /** The bytes that it consists of; files that did not change since the last save are reused, not written. */
  readonly bytesTotal: number;
  /** How long the save took. */
  readonly seconds: number;
  /** The checkpoints that retention removed after the commit. */
  readonly removed: readonly number[];
  /** The checkpoints that retention could not remove, with the reasons; the next save tries again. */
  readonly notRemoved: readonly NotRemoved[];
  /**
   * Notes in full sentences, such as that no checkpoint of the run has a metric of the retention policy.
   * @default none
   */
  readonly notes?: readonly string[];
  /**
   * A digest of the whole checkpoint, to pin or sign it: the SHA-256, in hexadecimal, of its manifest `snapshot.json`, which holds the SHA-256 of
   * every other file. `dogear verify --expect DIGEST` checks it, with every byte.
   * @default only in stores made with `{ digest: "sha256" }`
   */
  readonly digest?: string;
  /** The checkpoint's location in the store, as messages show it. */
  readonly location: string;
}

/** The options of {@link writeSnapshot}. */
export type WriteOptions = Omit<SaveOptions, keyof Options>;

/** The name of a training of `fit` and `fitDataset` without a name. Its checkpoints do not record it. */
export const defaultTraining = "fit";

// A step or metric that is no number could be written, but not read.
const aNumber = must("a number", (value) => typeof value === "number");
const aMetric = must("a number, or NaN if it has no value", aNumber.is);

/** The types of a checkpoint's labels. */
export const labelRules: OptionRules<Pick<SaveOptions, "step" | "metrics" | "note">> = {
  step: ifGiven(aNumber),
  metrics: ifGiven(recordOf(aMetric, "a record of numbers")),
  note: ifGiven(aNote),
};

const writeRules: OptionRules<WriteOptions> = {
  ...labelRules,
  id: ifGiven(aBoolean),
  fork: ifGiven(aBoolean),
  onProgress: ifGiven(aFunction),
};

/** The types of the options of a save. */
export const saveRules: OptionRules<SaveOptions> = { ...writeRules, ...codecRules };

// --- capture

/** The component `step`, null if it is not a number. */
function stepIn(snapshot: Snapshot<unknown>): number | null {
  const component = snapshot.encoded.components.find(([name]) => name === "step")?.[1];
  return typeof component === "number" ? component : null;
}

/**
 * Writes a snapshot as the next checkpoint of a store: write, commit, retain.
 *
 * @param store The store.
 * @param options Step, metrics, a note, whether to record the id.
 * @returns For a snapshot, which the caller still has to release, what was committed. The left is one of:
 *   - `StoreFailed`, also for lack of memory. The store is as before; only if the last operation failed, which makes the commit durable, it may
 *     hold the new checkpoint, too.
 *   - `DeviceFailed`, if a GPU refused an operation or cannot be read.
 *   - `Overtaken`, if another process has saved in the run since this process loaded or saved last, or has begun a run since a load of this
 *     process found no checkpoint. Nothing was written or removed.
 *   - `StepWentBack`, if the component `step` is below that of the checkpoint that was loaded or saved last. Nothing was written or removed.
 *   - `Released`, if the snapshot was released.
 *
 *   An old checkpoint that cannot be removed is no failure: {@link Saved.notRemoved} names it.
 *
 * Laws: *old or new*; *one line of history*: all stores of one location save into one run.
 *
 * @example
 * ```ts
 * import { captureState, memory, readSnapshot, restoreState, writeSnapshot } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * using snapshot = captureState({ step: 5 });
 * const saved = await writeSnapshot(store)(snapshot);
 * assert.deepEqual([saved.checkpoint, saved.step], [0, 5]);
 * assert.deepEqual(restoreState(await readSnapshot(store)), { _tag: "Right", right: { step: 5 } });
 * ```
 */
export function writeSnapshot(
  store: Store,
  options: WriteOptions = {},
): (snapshot: Snapshot<unknown>) => Awaitable<SaveError, Saved> {
  checkCurried(arguments, 2, "writeSnapshot(store, options)(snapshot)");
  checkStore(store, "writeSnapshot(store)(snapshot)");
  checkOptions("writeSnapshot", options, writeRules, "the snapshot comes after it: writeSnapshot(store)(snapshot)");
  const write = writeTraining(store, options);
  return (snapshot) => {
    checkSnapshot("writeSnapshot", snapshot);
    return awaitable(write(snapshot));
  };
}

/** {@link writeSnapshot} for one of several trainings that share a location, each with its own run. */
export function writeTraining(
  store: Store,
  options: WriteOptions,
  training?: string,
): (snapshot: Snapshot<unknown>) => TaskEither<SaveError, Saved> {
  const write = async (snapshot: Snapshot<unknown>, begun: number): Promise<E.Either<SaveError, Saved>> => {
    if (snapshot.hold.released) return E.left({ _tag: "Released" });
    const position = await continueRun(store, stepIn(snapshot), { fork: options.fork, training });
    if (E.isLeft(position)) return position;
    const saved = await writeAt(store, snapshot, position.right, options, begun, training);
    if (E.isRight(saved) || saved.left._tag !== "Overtaken") return saved;
    const { run } = position.right;
    // Not by another process, if a commit of this one that failed was carried out late.
    const late = run.uncertain === undefined
      ? undefined
      : await continueRun(store, stepIn(snapshot), { fork: options.fork, training });
    if (late !== undefined && E.isRight(late) && late.right.run.parent !== run.parent) {
      return await writeAt(store, snapshot, late.right, options, begun, training);
    }
    // A fork that another process continued is forked again.
    if (options.fork !== true) return saved;
    return await writeAt(store, snapshot, { ...position.right, run: beginRun(run) }, options, begun, training);
  };
  return (snapshot) => () =>
    inTurn(store, guarded("save", store.location, orDeviceFailed(() => write(snapshot, performance.now()))));
}

/** Writes a snapshot as the next checkpoint of a run, and records the run's new position. */
async function writeAt(
  store: Store,
  snapshot: Snapshot<unknown>,
  position: Continued,
  options: WriteOptions,
  begun: number,
  training: string | undefined,
): Promise<E.Either<SaveError, Saved>> {
  const { run, isFork = false, uncertain = [] } = position.run;
  const [ownStep, metrics] = [stepIn(snapshot), options.metrics ?? {}];
  const step = options.step ?? ownStep;
  const noted = options.note !== undefined && { note: copyOfNote(options.note) };
  const named = training === defaultTraining ? undefined : training;
  const summary: Omit<ManifestSummary, "files"> = {
    run,
    step,
    metrics,
    time: Date.now(),
    parent: position.parent,
    environment: environment(),
    ...(options.id === true && { id: await id(snapshot)() }),
    ...(named !== undefined && { training: named }),
    ...noted,
  };
  const { time } = summary;
  const committed = await writeCheckpoint(store, snapshot.encoded, summary, {
    after: afterOf(store, position, training === undefined ? undefined : { name: named }),
    parentFiles: position.files,
    onProgress: theirs(options.onProgress ?? (() => {})),
  })();
  if (E.isLeft(committed)) {
    if (committed.left._tag === "StoreFailed") {
      setCurrentRun(store, { ...position.run, uncertain: [...uncertain, { time, step: ownStep }] }, training);
    }
    return committed;
  }
  const { checkpoint, bytesWritten, bytesTotal, digest } = committed.right;
  setCurrentRun(store, { run, parent: { checkpoint, run, time }, step: ownStep, isFork }, training);
  const entry: Entry = { checkpoint, step, metrics, time, bytes: bytesTotal, run, ...noted };
  rememberEntry(store, entry, named);
  const { removed, notRemoved, notes } = await retainRun(store, entry, committed.right);
  const seconds = (performance.now() - begun) / 1000;
  const written = { checkpoint, step, metrics, bytesWritten, bytesTotal, seconds, removed, notRemoved };
  const more = { ...noted, ...(notes.length > 0 && { notes }), ...(digest && { digest }) };
  return E.right({ ...written, ...more, location: store.locationOf(checkpoint) });
}

/** Applies the store's retention policy to the run that saved. */
async function retainRun(store: Store, { checkpoint, run }: Entry, { seen }: Committed): Promise<Removal> {
  if (store.keep === undefined) return { removed: [], notRemoved: [], notes: [] };
  const numbers = seen === undefined ? await candidates(store)() : E.right(seen);
  if (E.isLeft(numbers)) return unlisted(numbers.left);
  return await retain(store, store.keep, await entriesOf(store, numbers.right, run), checkpoint);
}

/**
 * Saves components as the next checkpoint of a store: capture, write, commit, retain.
 *
 * @param store The store.
 * @param options Step, metrics, a note, codecs, whether to record the id.
 * @returns For components, a task that captures when it is run and resolves after commit and retention. To write in the background, start it
 *   without awaiting: `const saving = saveState(store)(state)()`, and await `saving` later. The left is that of {@link writeSnapshot}. A component
 *   that cannot be captured rejects with the `TypeError` of {@link captureState}. Saves to one store are committed in the order in which they are run.
 *
 * Law *old or new*.
 *
 * @example
 * ```ts
 * import { memory, resume, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await saveState(store, { metrics: { loss: 0.5 } })({ step: 1 });
 * assert.deepEqual(await resume(store)({ step: 0 }), { step: 1 });
 * ```
 */
export function saveState<K extends Codecs = NoCodecs, T extends Codec = never>(
  store: Store,
  options: SaveOptions<K, T> = {},
): <C extends Given<C, K, T>>(components: C) => Awaitable<SaveError, Saved> {
  checkCurried(arguments, 2, "saveState(store, options)(components)");
  checkStore(store, "saveState(store)(components)");
  checkOptions("saveState", options, saveRules, "the components come after it: saveState(store)(components)");
  const { codecs, types, ...labels } = options;
  const write = writeTraining(store, labels);
  return (components) =>
    awaitable(async (): Promise<E.Either<SaveError, Saved>> => {
      const snapshot = captured(store.location, () => captureState(components, { codecs, types } as Options<K, T>));
      if (E.isLeft(snapshot)) return snapshot;
      using held = snapshot.right;
      return await write(held)();
    });
}
