/**
 * Loading: the newest checkpoint of a store, every byte checked, into live components or as a snapshot.
 *
 * Laws: *all or nothing*: a load that fails changes no live object; *nothing silent*: only an empty store starts afresh.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { candidates, isGone, readEntry } from "./catalogue.ts";
import { readCheckpoint, readSummary, verifyCheckpoint } from "./checkpoint.ts";
import type { Damaged, LoadError, Mismatch } from "./errors.ts";
import type { Encoded } from "./encode.ts";
import { environment, mayDiffer } from "./environment.ts";
import { guarded, theirs } from "./guard.ts";
import type { Environment } from "./manifest.ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import type { Overridden } from "./overridden.ts";
import type { Progress } from "./progress.ts";
import { aBoolean, aFunction, demand, ifGiven, integer } from "./rules.ts";
import { checkCodecs, type Codecs, type Decoded, type NoCodecs, type Options, type Restored } from "./codecs.ts";
import { preflight } from "./preflight.ts";
import { type Components, restoreInto, type Snapshot, snapshotOf } from "./snapshot.ts";
import { type Line, newLine, passOver, setLine, turnOf } from "./runs.ts";
import { noParts, type RestoredParts, type Selection, selectionNames } from "./selection.ts";
import { checkStore, type Store } from "./store.ts";

// --- types

/** What there is to say about a load beside its result. */
export interface Report {
  readonly checkpoint: number;
  readonly run: string;
  readonly step: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  /** Newer checkpoints that were passed over, and why. */
  readonly skipped: readonly { readonly checkpoint: number; readonly error: LoadError }[];
  /** The environment that saved, and this one. */
  readonly saved: Environment;
  readonly current: Environment;
  /**
   * Why further steps may have other bits than those of the run that saved, in a sentence each: another backend, other settings of WebGPU or
   * another version of tfjs. What was restored is exact all the same.
   */
  readonly mayDiffer: readonly string[];
  /** What became of the parts of the components: empty where the checkpoint was read as a snapshot. */
  readonly parts: RestoredParts;
  /**
   * Every plain value, learning rate, beta, schedule and flag that the script had otherwise than the checkpoint, which won: what to keep
   * with `keep` or to set again after loading, if it was changed on purpose. What training moves by nature is not in it: weights and other
   * tensors, accumulators, generators, cursors, the position of a schedule, the counts of an optimizer or a scaler. Plain data is, whatever it
   * is for, as `step` and a history are: by name in records, otherwise as a whole. Empty where nothing differs, and where the checkpoint was
   * read as a snapshot.
   */
  readonly overridden: readonly Overridden[];
}

/** What a load may ask for. */
export interface LoadOptions<K extends Codecs = NoCodecs> extends Options<K>, Selection {
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
  /** Told after each piece how many bytes of how many are read, how fast, and how long it will take. */
  readonly onProgress?: (progress: Progress) => void;
}

/** What reading a snapshot may ask for. */
type ReadOptions = Omit<LoadOptions, "codecs" | keyof Selection>;

const readNames = { checkpoint: true, fallback: true, onReport: true, onProgress: true } satisfies OptionNames<
  ReadOptions
>;
const loadNames = { ...readNames, ...selectionNames, codecs: true } satisfies OptionNames<LoadOptions>;

/** Sees that a load was asked for something that there can be. */
function checkRead(options: ReadOptions): void {
  demand("checkpoint", ifGiven(integer(0)), options.checkpoint);
  demand("fallback", ifGiven(aBoolean), options.fallback);
  demand("onReport", ifGiven(aFunction), options.onReport);
  demand("onProgress", ifGiven(aFunction), options.onProgress);
}

/** As {@link checkRead}, of a load into live components. */
function checkLoad(of: string, store: Store, options: LoadOptions<Codecs>): void {
  checkStore(store);
  checkOptionNames(of, options, loadNames, `the components come after it: ${of}(store)(components)`);
  checkRead(options);
  checkCodecs(options.codecs);
}

// --- restore

/** The first of these checkpoints that verifies. */
async function firstThatVerifies(store: Store, checkpoints: readonly number[]): Promise<number | null> {
  for (const checkpoint of checkpoints) {
    if (E.isRight(await verifyCheckpoint(store, checkpoint)())) return checkpoint;
  }
  return null;
}

/**
 * Where a run has come to by a load: on purpose from an older checkpoint, a new one begins.
 *
 * @param store Where it was loaded from.
 * @param loaded The checkpoint.
 * @param onPurpose Whether it was asked for by its number.
 */
export async function lineAfter(
  store: Store,
  { run, checkpoint }: Pick<Report, "run" | "checkpoint">,
  onPurpose: boolean,
): Promise<Line> {
  const line: Line = { run, parent: checkpoint, step: null };
  const numbers = onPurpose ? await candidates(store)() : E.right([]);
  if (E.isLeft(numbers)) return line;
  for (const newer of numbers.right.filter((n) => n > checkpoint).toReversed()) {
    const entry = await readEntry(store, newer)();
    if (E.isRight(entry) && entry.right.run === run) return newLine(line);
  }
  return line;
}

interface Found {
  readonly snapshot: Snapshot<unknown>;
  readonly report: Report;
}

/** That there is no such checkpoint, and which ones there are. */
function none(store: Store, checkpoint: number): TaskEither<LoadError, never> {
  return async () => {
    const listed = await store.list();
    if (E.isLeft(listed)) return listed;
    return E.left({ _tag: "NoCheckpoint", location: store.location, checkpoint, available: listed.right });
  };
}

/** What is known to be wrong with a state before any of its data is read. */
type Foresee = (encoded: Encoded) => Mismatch | undefined;

function find(
  store: Store,
  options: ReadOptions,
  foresee: Foresee = () => undefined,
): TaskEither<LoadError, Found> {
  const onProgress = theirs(options.onProgress ?? (() => {}));
  return async () => {
    const numbers = await candidates(store)();
    if (E.isLeft(numbers)) return numbers;
    const wanted = options.checkpoint ?? numbers.right.at(-1);
    if (wanted === undefined) return E.left({ _tag: "NoCheckpoint", location: store.location, available: [] });
    if (!numbers.right.includes(wanted)) return await none(store, wanted)();
    const older = (): readonly number[] => numbers.right.filter((n) => n < wanted).toReversed();
    let newest: Damaged | undefined;
    const skipped: { readonly checkpoint: number; readonly error: LoadError }[] = [];
    for (const checkpoint of options.fallback === true ? [wanted, ...older()] : [wanted]) {
      const read = await readCheckpoint(store, checkpoint, onProgress, foresee)();
      if (E.isRight(read)) {
        const { manifest, encoded } = read.right;
        const { run, step, metrics } = manifest;
        const [saved, current] = [manifest.environment, environment()];
        const further = { saved, current, mayDiffer: mayDiffer(saved, current) };
        const report = { checkpoint, run, step, metrics, skipped, ...further, parts: noParts, overridden: [] };
        return E.right({ snapshot: snapshotOf(encoded, []), report });
      }
      const error = read.left;
      if (await isGone(store, [checkpoint])) return await find(store, options, foresee)();
      if (error._tag === "NoCheckpoint") {
        if (checkpoint === options.checkpoint) return await none(store, checkpoint)();
        // A number that turns out to have none.
        continue;
      }
      if (error._tag !== "Damaged") return read;
      newest ??= error;
      skipped.push({ checkpoint, error });
      const summary = await readSummary(store, checkpoint)();
      if (options.fallback === true && E.isRight(summary)) passOver(store, checkpoint, summary.right.time);
    }
    if (newest === undefined) return await find(store, options, foresee)();
    return E.left({ ...newest, older: options.fallback === true ? null : await firstThatVerifies(store, older()) });
  };
}

/**
 * Loads the newest checkpoint of a store into live components, every byte checked.
 *
 * @param store Where from.
 * @param options Which checkpoint, whether an older one will do, codecs, what to restore differently, whom to tell more.
 * @returns For live components, the restored ones, as {@link restoreInto} gives them; its left is `NoCheckpoint` for an empty store, `Damaged`
 *   (and which older checkpoint verifies), `NewerFormat`, `StoreFailed` (with the code `ENOMEM` where there is no room for its tensors), or `Mismatch`
 *   with every difference, before any data is read if shapes differ; nothing live has changed then.
 *
 * What is saved next there goes after the checkpoint: in its run, or, where it was asked for by number and its run has a newer one, in a new run.
 *
 * Laws: *all or nothing*, *nothing silent*, *one line of history*.
 *
 * @example
 * ```ts
 * import { loadState, memory, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * for (const step of [1, 2]) await runOrThrow(saveState(store)({ step }));
 * assert.deepEqual(await runOrThrow(loadState(store, { checkpoint: 0 })({ step: 9 })), { step: 1 });
 *
 * // A component that was added since is kept as it is, because that is asked for.
 * const state = await runOrThrow(loadState(store, { keep: ["best"] })({ step: 0, best: Infinity }));
 * assert.deepEqual(state, { step: 2, best: Infinity });
 *
 * // What the script had otherwise than the checkpoint, which wins, is reported.
 * await runOrThrow(loadState(store, {
 *   onReport: ({ overridden }) => assert.deepEqual(overridden, [{ path: "step", live: 9, saved: 2 }]),
 * })({ step: 9 }));
 * ```
 */
export function loadState<K extends Codecs = NoCodecs>(
  store: Store,
  options: LoadOptions<K> = {},
): <C extends Components & Decoded<K>>(live: C) => TaskEither<LoadError, Restored<C, K>> {
  checkLoad("loadState", store, options);
  const { checkpoint: _c, fallback: _f, onProgress: _p, ...selected } = options;
  return (live) => {
    let differs: Pick<Report, "parts" | "overridden"> = { parts: noParts, overridden: [] };
    const { onReport, ...others } = selected;
    const into = restoreInto(live, { ...others, ...(onReport && { onReport: (report) => void (differs = report) }) });
    return guarded("load", store.location, async () => {
      await turnOf(store);
      const found = await find(store, options, (encoded) => preflight(live, options, encoded))();
      if (E.isLeft(found)) return found;
      const { snapshot, report } = found.right;
      const line = await lineAfter(store, report, options.checkpoint !== undefined);
      const restored = into(snapshot)();
      if (E.isLeft(restored)) return restored;
      const { step } = Object(restored.right);
      setLine(store, { ...line, step: typeof step === "number" ? step : null });
      if (onReport !== undefined) theirs(onReport)({ ...report, ...differs });
      return restored;
    });
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
  checkLoad("resume", store, options);
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
  options: ReadOptions = {},
): TaskEither<LoadError, Snapshot<unknown>> {
  checkStore(store);
  checkOptionNames("readSnapshot", options, readNames);
  checkRead(options);
  return guarded("load", store.location, async () => {
    const found = await find(store, options)();
    if (E.isLeft(found)) return found;
    if (options.onReport !== undefined) theirs(options.onReport)(found.right.report);
    return E.right(found.right.snapshot);
  });
}
