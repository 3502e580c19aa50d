/**
 * Loads checkpoints: the newest one of a store, every byte checked, into live components or as a snapshot.
 *
 * Laws: *all or nothing*: a load that fails changes no live object; *nothing silent*: `resume` begins with the fresh components only if the store is empty.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import {
  beginFirstRun,
  beginRun,
  candidates,
  type CheckpointReading,
  type CheckpointReference,
  type CurrentRun,
  type Environment,
  firstThatVerifies,
  isGone,
  type Loaded,
  noCheckpoint,
  numbersToTry,
  readCheckpoint,
  readEntry,
  recordSkipped,
  referenceRule,
  savesFinished,
  setCurrentRun,
} from "../checkpoint/mod.ts";
import type { Encoded, Overridden } from "../state/mod.ts";
import { environment, mayDiffer, memoryLimit } from "./environment.ts";
import { guarded, type LoadError, type Mismatch, ofRestore, theirs } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import {
  aBoolean,
  aFunction,
  checkCurried,
  checkOptionNames,
  checkOptions,
  demandEach,
  ifGiven,
  type OptionRules,
} from "../validation/mod.ts";
import { checkStore, type Progress, type Store } from "../store/mod.ts";
import { noParts, type RestoredParts, type Selection, selectionNames } from "../state/partial/mod.ts";
import {
  type Codec,
  codecRules,
  type Codecs,
  type NoCodecs,
  type Options,
  ownCodecs,
  type Restored,
} from "../codecs.ts";
import type { Given } from "../capturable.ts";
import { preflight } from "./preflight.ts";
import { withAdvice } from "./advice.ts";
import { captureState, release, restoreInto, type Snapshot, snapshotOf } from "../snapshot.ts";

// --- types

/** What a load reports in addition to its result. */
export interface Report {
  /** The number of the checkpoint that was loaded. */
  readonly checkpoint: number;
  /** The run that saved it. */
  readonly run: string;
  /** Its training step; null if it has none. */
  readonly step: number | null;
  /** Its metrics, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Checkpoints that were skipped, and why: newer ones or, with `best`, better ones and those whose metrics cannot be read. */
  readonly skipped: readonly { readonly checkpoint: number; readonly error: LoadError }[];
  /** The environment that saved: versions, runtime, backend. */
  readonly saved: Environment;
  /** The environment of this process. */
  readonly current: Environment;
  /**
   * Why further steps may give other bits than in the run that saved, as sentences: another backend, other WebGPU settings, or another version
   * of tfjs. The restored state itself is exact.
   */
  readonly mayDiffer: readonly string[];
  /** What was done with the parts of the components; empty if the checkpoint was read as a snapshot. */
  readonly parts: RestoredParts;
  /**
   * Every plain value, learning rate, beta, schedule and flag of the script that the checkpoint replaced. A change on purpose has to be kept
   * with `keep`, or made again after loading. What training changes anyway is not listed: weights and other tensors, accumulators, generators,
   * cursors, the position of a schedule, the counts of an optimizer or a scaler. Plain data such as `step` or a history is listed: records by
   * name, other data as a whole. Empty if nothing differs, or if the checkpoint was read as a snapshot.
   */
  readonly overridden: readonly Overridden[];
  /**
   * Of `fit` and `fitDataset`: the paths of objects in `with` in whose place there are new ones, such as instances of your classes and tensors. A
   * function that refers to the old object itself does not see the restored state; one that reads it from the record `with` does.
   */
  readonly replaced?: readonly string[];
}

/** The options of a load. */
export interface LoadOptions<K extends Codecs = NoCodecs, T extends Codec = never> extends Options<K, T>, Selection {
  /**
   * The checkpoint to load: its number, or `{ best: "val_loss", mode: "min" }` for the one with the best value of a metric, in the run of the
   * newest checkpoint. Of equal values that is the newest, which `Retention.best` keeps.
   * @default the newest
   */
  readonly checkpoint?: CheckpointReference;
  /**
   * Whether to load another checkpoint if the wanted one is damaged: the next older, or with `best` the next best.
   * @default false
   */
  readonly fallback?: boolean;
  /** Receives the report before the task resolves. */
  readonly onReport?: (report: Report) => void;
  /** Receives, after each piece, the bytes read, the total, the rate, and the seconds left. */
  readonly onProgress?: (progress: Progress) => void;
}

/** The options of {@link readSnapshot}. */
export type ReadOptions = Omit<LoadOptions, keyof Options | keyof Selection>;

export const readRules: OptionRules<ReadOptions> = {
  checkpoint: ifGiven(referenceRule),
  fallback: ifGiven(aBoolean),
  onReport: ifGiven(aFunction),
  onProgress: ifGiven(aFunction),
};
const loadRules: OptionRules<Omit<LoadOptions, keyof Selection>> = { ...readRules, ...codecRules };

/** Checks the arguments of a load into live components; a wrong one is a `TypeError`. */
function checkLoad(of: string, store: Store, options: LoadOptions<Codecs, Codec>): void {
  checkStore(store, `${of}(store)(components)`);
  const names = { ...loadRules, ...selectionNames };
  checkOptionNames(of, options, names, `the components come after it: ${of}(store)(components)`);
  demandEach(loadRules, options);
}

// --- restore

/** A checkpoint read as a snapshot. */
export interface LoadedSnapshot {
  readonly snapshot: Snapshot<unknown>;
  readonly report: Report;
  /** The position of its run, from which the next save continues. */
  readonly run: CurrentRun;
}

/** The position of a run after a load: if a checkpoint was asked for and its run has a newer one, a new run begins. */
async function runAfter(store: Store, { run, parent, step }: CurrentRun, isAskedFor: boolean): Promise<CurrentRun> {
  const loaded: CurrentRun = { run, parent, step };
  const numbers = isAskedFor ? await candidates(store)() : E.right([]);
  if (E.isLeft(numbers) || parent === null) return loaded;
  for (const newer of numbers.right.filter((n) => n > parent.checkpoint).toReversed()) {
    const entry = await readEntry(store, newer)();
    if (E.isRight(entry) && entry.right.run === run) return beginRun(loaded);
  }
  return loaded;
}

/** An error of a restore, with the checkpoint if it is a mismatch. */
function ofCheckpoint(error: LoadError, checkpoint: number): LoadError {
  return error._tag === "Mismatch" ? { ...error, checkpoint } : error;
}

/** The runtime that saved, if data differs and this is another one: it may compute other data. */
function otherRuntime({ problems }: Mismatch, { saved, current }: Report): Pick<Mismatch, "savedBy"> {
  const [before, now] = [saved, current].map(({ runtime }) => runtime.split(" ")[0]);
  return before !== now && problems.some(({ kind }) => kind === "data") ? { savedBy: saved.runtime } : {};
}

/** Whether a load found a store without checkpoints. */
function isEmpty(error: LoadError): boolean {
  return error._tag === "NoCheckpoint" && error.available.length === 0;
}

function loadedSnapshot(checkpoint: number, { manifest, encoded }: Loaded, skipped: Report["skipped"]): LoadedSnapshot {
  const { run, step, metrics, time, environment: saved } = manifest;
  const current = environment();
  const facts = { checkpoint, run, step, metrics, skipped, saved, current, mayDiffer: mayDiffer(saved, current) };
  const report: Report = { ...facts, parts: noParts, overridden: [] };
  return { snapshot: snapshotOf(encoded, []), report, run: { run, parent: { checkpoint, run, time }, step: null } };
}

/**
 * Reads the wanted checkpoint of a store, or with `fallback` the first undamaged one of those that come after it.
 *
 * @param store The store.
 * @param options Which checkpoint, and whether to fall back.
 * @param reading What to read of it, and what to find before any tensor is read.
 */
export function readWanted(
  store: Store,
  options: ReadOptions,
  reading: Pick<CheckpointReading, "foresee" | "part"> = {},
): TE.TaskEither<LoadError, LoadedSnapshot> {
  const { checkpoint: asked, fallback = false, onProgress = () => {} } = options;
  const again = (): Promise<E.Either<LoadError, LoadedSnapshot>> => readWanted(store, options, reading)();
  const how = { ...reading, onProgress: theirs(onProgress), memoryLimit: memoryLimit() };
  return async () => {
    const found = await numbersToTry(store, options)();
    if (E.isLeft(found)) return found;
    const { wanted, others } = found.right;
    const skipped = [...found.right.skipped];
    const order = fallback ? pipe(others, TE.map((numbers) => [wanted, ...numbers])) : TE.right([wanted]);
    const numbers = await order();
    if (E.isLeft(numbers)) return numbers;
    for (const checkpoint of numbers.right) {
      const read = await readCheckpoint(store, checkpoint, how)();
      if (E.isRight(read)) return E.right(loadedSnapshot(checkpoint, read.right, skipped));
      const error = read.left;
      if (error._tag === "NoCheckpoint" && checkpoint === asked) return await noCheckpoint(store, checkpoint)();
      // Retention removed it meanwhile: a newer one exists.
      if (await isGone(store, [checkpoint])) return await again();
      if (error._tag === "NoCheckpoint") continue;
      if (error._tag !== "Damaged") return E.left(ofCheckpoint(error, checkpoint));
      skipped.push({ checkpoint, error });
      if (fallback) await skipDamaged(store, checkpoint);
    }
    const [first] = skipped;
    if (first === undefined) return await again();
    const older = fallback ? E.right([]) : await others();
    if (E.isLeft(older)) return older;
    return E.left({ ...first.error, older: await firstThatVerifies(store, older.right) });
  };
}

/** Records a damaged checkpoint that a load skips: it does not overtake the run that the load continues. */
export async function skipDamaged(store: Store, checkpoint: number): Promise<void> {
  const entry = await readEntry(store, checkpoint)();
  if (E.isRight(entry)) recordSkipped(store, checkpoint, entry.right.time);
}

/**
 * Loads the newest checkpoint of a store: only models, optimizers and variables are restored in place, everything else is in the result.
 *
 * Train on with the result: `state = await loadState(store)(state)`. A generator, cursor, schedule, step or history that was passed in is a value
 * and does not change, so a call whose result is dropped leaves a state that is half restored. A save of a state whose component `step` is still
 * below that of the checkpoint is refused with `StepWentBack`; nothing else can tell at run time, but a linter can. ESLint's
 * `@typescript-eslint/no-floating-promises` with `checkThenables: true` finds a call that is not awaited. Its `no-restricted-syntax` finds an
 * awaited one whose result is dropped, with the selector
 * `ExpressionStatement > AwaitExpression > CallExpression[callee.callee.name=/^(loadState|resume)$/]`. Every byte of the checkpoint is checked.
 *
 * @param store The store.
 * @param options Which checkpoint, whether to fall back to another one, codecs, which differences to accept, and callbacks.
 * @returns For live components, the restored ones, as {@link restoreInto} gives them. After an error no live object has changed. The left is one of:
 *   - `NoCheckpoint`, if the store is empty, or has no such checkpoint. If none has the metric, it names the metrics there are.
 *   - `Damaged`, with every problem and the next checkpoint that verifies: an older one, or with `best` the next best. With `best` also if the
 *     metrics of another checkpoint cannot be read, since that could be the best.
 *   - `NewerFormat`, if a later version of this package saved it.
 *   - `Mismatch`, with every difference; if shapes differ, before any tensor is read.
 *   - `StoreFailed`; its code is `ENOMEM` if the memory cannot hold the tensors.
 *
 * The next save continues the run of the checkpoint. If you named the checkpoint, by number or as the best, and its run has a newer one,
 * the next save begins a new run.
 *
 * Laws: *all or nothing*, *nothing silent*, *one line of history*.
 *
 * @example
 * ```ts
 * import { loadState, memory, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * for (const [i, loss] of [0.3, 0.1, 0.2].entries()) await saveState(store, { metrics: { loss } })({ step: i });
 * assert.deepEqual(await loadState(store)({ step: 9 }), { step: 2 });
 * assert.deepEqual(await loadState(store, { checkpoint: 0 })({ step: 9 }), { step: 0 });
 * assert.deepEqual(await loadState(store, { checkpoint: { best: "loss", mode: "min" } })({ step: 9 }), { step: 1 });
 *
 * // `keep` keeps a component that the checkpoint does not have.
 * const state = await loadState(store, { keep: ["best"] })({ step: 0, best: Infinity });
 * assert.deepEqual(state, { step: 2, best: Infinity });
 *
 * // What the checkpoint replaced in the script is reported.
 * await loadState(store, {
 *   onReport: ({ overridden }) => assert.deepEqual(overridden, [{ path: "step", live: 9, saved: 2 }]),
 * })({ step: 9 });
 * ```
 */
export function loadState<K extends Codecs = NoCodecs, T extends Codec = never>(
  store: Store,
  options: LoadOptions<K, T> = {},
): <C extends Given<C, K, T>>(live: C) => Awaitable<LoadError, Restored<C, K>> {
  checkCurried(arguments, 2, "loadState(store, options)(live)");
  checkLoad("loadState", store, options);
  const { checkpoint: _c, fallback: _f, onProgress: _p, ...selected } = options;
  return <C extends Given<C, K, T>>(live: C): Awaitable<LoadError, Restored<C, K>> => {
    let differs: Pick<Report, "parts" | "overridden"> = { parts: noParts, overridden: [] };
    const { onReport, ...others } = selected;
    const into = restoreInto(live, { ...others, ...(onReport && { onReport: (report) => void (differs = report) }) });
    const load = guarded<LoadError, Restored<C, K>>("load", store.location, async () => {
      await savesFinished(store);
      const advised = (error: Mismatch, saved: Encoded): Mismatch => withAdvice(error, live, options, saved);
      const foresee = (saved: Encoded): Mismatch | undefined => {
        const found = preflight(live, options, saved);
        return found && advised(found, saved);
      };
      const found = await readWanted(store, options, { foresee })();
      if (E.isLeft(found)) {
        if (isEmpty(found.left)) setCurrentRun(store, beginFirstRun());
        return E.left(ofRestore(found.left));
      }
      const { snapshot, report } = found.right;
      const run = await runAfter(store, found.right.run, options.checkpoint !== undefined);
      const restored = into(snapshot)();
      if (E.isLeft(restored)) {
        const error = restored.left;
        if (error._tag !== "Mismatch") return E.left(error);
        return E.left(
          ofCheckpoint({ ...advised(error, snapshot.encoded), ...otherRuntime(error, report) }, report.checkpoint),
        );
      }
      const { step } = Object(restored.right);
      setCurrentRun(store, { ...run, step: typeof step === "number" ? step : null });
      if (onReport !== undefined) theirs(onReport)({ ...report, ...differs });
      return restored;
    });
    return awaitable(load);
  };
}

/**
 * Resumes a run: {@link loadState}, or the fresh components themselves if the store is empty.
 *
 * Always train with the result: only models, optimizers and variables are restored in place.
 *
 * @param store The store of the run.
 * @param options As for {@link loadState}.
 * @returns For fresh components, those to train with: the fresh ones only if the store is empty. A damaged checkpoint, one that does not fit, and a
 *   number that does not exist are errors. A component that cannot be captured is a `TypeError`, also in an empty store. If two processes begin in an empty store at
 *   once, the first save of one begins the run, and the other's is `Overtaken`.
 *
 * Laws: *same bits*: a run that is killed at any moment and resumed ends with the same bits as one that never stopped; *nothing silent*.
 *
 * @example
 * ```ts
 * import { memory, resume, Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const fresh = { rng: Rng.make(42), step: 0 };
 * assert.equal(await resume(memory())(fresh), fresh);
 * ```
 */
export function resume<K extends Codecs = NoCodecs, T extends Codec = never>(
  store: Store,
  options: LoadOptions<K, T> = {},
): <C extends Given<C, K, T>>(fresh: C) => Awaitable<LoadError, Restored<C, K>> {
  checkCurried(arguments, 2, "resume(store, options)(fresh)");
  checkLoad("resume", store, options);
  return <C extends Given<C, K, T>>(fresh: C): Awaitable<LoadError, Restored<C, K>> =>
    awaitable(pipe(
      loadState(store, options)(fresh),
      TE.orElse((error) => {
        if (!isEmpty(error) || typeof options.checkpoint === "number") {
          return TE.left(error._tag === "Mismatch" ? { ...error, call: "resume" as const } : error);
        }
        // What could be saved but not resumed is found now, not by the first resume.
        release(captureState(fresh as object, ownCodecs(options)))();
        return TE.right(fresh as unknown as Restored<C, K>);
      }),
    ));
}

/**
 * Reads a checkpoint as a snapshot, without live objects: to fork, compare or restore it.
 *
 * The run that the next save continues stays as it is. To restore the snapshot into live components, pass it on:
 * `pipe(readSnapshot(store, { checkpoint: { best: "val_loss", mode: "min" } }), TE.flatMapIOEither(restoreInto(live)))`.
 *
 * @param store The store.
 * @param options Which checkpoint, whether to fall back to another one, and callbacks.
 * @returns The snapshot, in memory. The left is as for {@link loadState}.
 *
 * @example
 * ```ts
 * import { captureState, diff, memory, readSnapshot, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await saveState(store)({ step: 1 });
 * const differences = await diff(await readSnapshot(store), captureState({ step: 3 }));
 * assert.deepEqual(differences, [{ path: "step", kind: "value", left: 1, right: 3, count: 1, largest: 2 }]);
 * ```
 */
export function readSnapshot(store: Store, options: ReadOptions = {}): Awaitable<LoadError, Snapshot<unknown>> {
  checkStore(store, "readSnapshot(store)");
  checkOptions("readSnapshot", options, readRules);
  const report = TE.tapIO((found: LoadedSnapshot) => () => theirs(options.onReport ?? (() => {}))(found.report));
  const read = pipe(readWanted(store, options), report, TE.map(({ snapshot }) => snapshot));
  return awaitable(guarded("load", store.location, read));
}
