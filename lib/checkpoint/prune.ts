/**
 * Pruning: what a retention policy would remove from a store and why, and the removal.
 *
 * Guarantees for every policy:
 * - A policy applies to each run separately. A checkpoint with an unreadable manifest belongs to no run and is kept.
 * - The newest checkpoint of a run is kept, and one that verifies. If none verifies, nothing of the run is removed.
 * - Each checkpoint is read again just before its removal, and kept if it is not the one that was judged.
 * - A checkpoint that cannot be removed is reported; the others are removed nevertheless.
 * - Nothing is removed because of a metric that no checkpoint of the run has.
 *
 * Retention after a save verifies nothing, because it keeps the checkpoint that the save made durable. It never fails the save.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as RA from "fp-ts/lib/ReadonlyArray.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { forgetEntry, list, type Listed, readEntry } from "./entries.ts";
import { checkStore, decisionOf, type Entry, type Progress, type Retention, type Store } from "../store/mod.ts";
import { type LoadError, nearest, type Problem, type StoreFailed } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import {
  aFunction,
  aName,
  checkCurried,
  checkOptionNames,
  demand,
  ifGiven,
  must,
  type OptionNames,
} from "../validation/mod.ts";
import { verifyCheckpoint } from "./verify.ts";

// --- types

/**
 * Why a checkpoint is kept: the `policy` keeps it; it is the `newest` of its run; it is the newest of its run that `verifies`, and nothing that the
 * policy keeps does; `none verifies` of its run; it belongs to `another run` than the one to prune; its manifest is `unreadable`.
 */
export type Reason = "policy" | "newest" | "verifies" | "none verifies" | "another run" | "unreadable";

/** A checkpoint that is kept. */
export interface Kept {
  /** The number of the checkpoint. */
  readonly checkpoint: number;
  /** Its entry; null if its manifest cannot be read. */
  readonly entry: Entry | null;
  /** Why it is kept. */
  readonly why: Reason;
}

/** What a policy would do to a store. A plan removes nothing. */
export interface Plan {
  /** Tells a plan from other values. */
  readonly _tag: "Plan";
  /** The checkpoints to keep, in ascending order. */
  readonly keep: readonly Kept[];
  /** The checkpoints to remove, in ascending order. */
  readonly remove: readonly Entry[];
  /** For each run that loses a checkpoint, the newest checkpoint that is kept and verifies. */
  readonly verified: readonly Entry[];
  /** Notes in full sentences: metrics of the policy that a run does not have. */
  readonly notes: readonly string[];
}

/** A checkpoint that could not be removed. */
export interface NotRemoved {
  /** The number of the checkpoint. */
  readonly checkpoint: number;
  /** The reason, as a sentence. */
  readonly reason: string;
}

/** What a removal did. */
export interface Removal {
  /** The checkpoints that were removed. */
  readonly removed: readonly number[];
  /** The checkpoints that could not be removed; a later save or `prune` tries again. */
  readonly notRemoved: readonly NotRemoved[];
  /** Notes in full sentences. */
  readonly notes: readonly string[];
}

/** The options of {@link plan} and {@link prune}. */
export interface PruneOptions {
  /**
   * The name of the run to prune.
   * @default every run of the store, each separately
   */
  readonly run?: string;
  /** Receives the progress after each piece of a checkpoint that is verified. */
  readonly onProgress?: (progress: Progress) => void;
  /** Receives what {@link prune} removed and could not remove, before the task resolves. */
  readonly onReport?: (removal: Removal) => void;
}

const pruneNames = { run: true, onProgress: true, onReport: true } satisfies OptionNames<PruneOptions>;

// --- constructors

const quoted = (names: Iterable<string>): string => [...names].map((name) => JSON.stringify(name)).join(", ");

/** Notes on the metrics of a policy that a run does not have, and on those that are NaN. */
function metricNotes(
  { unknownMetrics = [], nanMetrics = [] }: Retention.Decision,
  entries: readonly Entry[],
): readonly string[] {
  const [first] = entries;
  // A single checkpoint is kept in any case, and its run may record the metric later.
  if (first === undefined || entries.length < 2) return [];
  const nan = nanMetrics.map((name) =>
    `The metric ${
      JSON.stringify(name)
    } of the retention policy is NaN in every checkpoint of run ${first.run} that has it, ` +
    "so the policy best keeps everything"
  );
  return unknownMetrics.length === 0 ? nan : [unknownMetricNote(unknownMetrics, first.run, entries), ...nan];
}

function unknownMetricNote(unknown: readonly string[], run: string, entries: readonly Entry[]): string {
  const names = new Set(
    entries.flatMap(({ metrics }) => Object.keys(metrics).filter((name) => !Number.isNaN(metrics[name]))),
  );
  const what = unknown.length === 1 ? "the metric" : "the metrics";
  const expected = `Expected a checkpoint of run ${run} with a number for ${what} ${quoted(unknown)}`;
  const found = "found none, so the policy best keeps everything";
  const others = names.size === 0
    ? "No checkpoint of the run has a number for any metric"
    : `The metrics of the run are: ${quoted(names)}`;
  const near = unknown.flatMap((name) => nearest(name, [...names], (letters) => Math.ceil(letters / 3)) ?? []);
  const meant = near.length === 0 ? "" : `Did you mean ${quoted(near)}? `;
  return `${expected} of the retention policy, ${found}. ${meant}${others}`;
}

/** The newest of these entries whose checkpoint verifies. */
async function newestVerified(
  store: Store,
  entries: readonly Entry[],
  onProgress: PruneOptions["onProgress"],
): Promise<Entry | undefined> {
  for (const entry of entries.toReversed()) {
    if (E.isRight(await verifyCheckpoint(store, entry.checkpoint, onProgress)())) return entry;
  }
  return undefined;
}

/** The plan for one run, which keeps its newest checkpoint, and one that verifies. */
async function planRun(
  store: Store,
  policy: Retention.Retention,
  entries: readonly Entry[],
  onProgress: PruneOptions["onProgress"],
): Promise<Omit<Plan, "_tag">> {
  const decision = decisionOf(policy, entries, Date.now());
  const unwanted = new Set(decision.remove);
  const newest = entries.at(-1);
  const isUnwanted = (entry: Entry): boolean => unwanted.has(entry.checkpoint) && entry !== newest;
  const { left: keep, right: remove } = RA.partition(isUnwanted)(entries);
  const notes = metricNotes(decision, entries);
  const kept = keep.map((entry) => keptEntry(entry, unwanted.has(entry.checkpoint) ? "newest" : "policy"));
  if (remove.length === 0) return { keep: kept, remove, verified: [], notes };
  const witness = await newestVerified(store, keep, onProgress);
  if (witness !== undefined) return { keep: kept, remove, verified: [witness], notes };
  const spared = await newestVerified(store, remove, onProgress);
  if (spared === undefined) {
    const all = remove.map((entry) => keptEntry(entry, "none verifies"));
    return { keep: [...kept, ...all], remove: [], verified: [], notes };
  }
  const others = remove.filter((entry) => entry !== spared);
  return { keep: [...kept, keptEntry(spared, "verifies")], remove: others, verified: [spared], notes };
}

/**
 * Plans what a retention policy would remove from a store, and why the rest is kept. Nothing is removed.
 *
 * It reads every manifest. For each run that would lose a checkpoint it verifies one checkpoint, or more until one verifies.
 *
 * @param store The store.
 * @param options The run to prune, and a callback for the progress.
 * @returns For a policy, the plan. The left is `StoreFailed`.
 *
 * @example
 * ```ts
 * import { memory, pipe, plan, prune, Retention, runOrThrow, saveState } from "@dogear/dogear";
 * import * as TE from "fp-ts/lib/TaskEither.js";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * for (const step of [10, 20, 30]) await saveState(store)({ step });
 * const planned = await plan(store)(Retention.latest(1));
 * assert.deepEqual(planned.remove.map(({ checkpoint }) => checkpoint), [0, 1]);
 * assert.deepEqual(planned.keep.map(({ checkpoint, why }) => [checkpoint, why]), [[2, "policy"]]);
 * assert.deepEqual(await pipe(plan(store)(Retention.latest(1)), TE.flatMap(prune(store)), runOrThrow), [0, 1]);
 * ```
 */
export function plan(
  store: Store,
  options: PruneOptions = {},
): (policy: Retention.Retention) => Awaitable<LoadError, Plan> {
  checkCurried(arguments, 2, "plan(store, options)(policy)");
  checkStore(store, "plan(store)(policy)");
  checkOptionNames("plan", options, pruneNames);
  demand("run of plan", ifGiven(aName), options.run);
  demand("onProgress of plan", ifGiven(aFunction), options.onProgress);
  return (policy) => {
    demand("the policy of plan", aFunction, policy);
    return awaitable(pipe(list(store), TE.flatMapTask((listed) => () => planListed(store, policy, listed, options))));
  };
}

/** The plan of a policy for the checkpoints of a store. */
async function planListed(
  store: Store,
  policy: Retention.Retention,
  { entries, damaged }: Listed,
  { run: only, onProgress }: PruneOptions,
): Promise<Plan> {
  const { left: others, right: own } = RA.partition(({ run }: Entry) => only === undefined || run === only)(entries);
  const plans: Omit<Plan, "_tag">[] = [];
  for (const run of new Set(own.map((entry) => entry.run))) {
    plans.push(await planRun(store, policy, own.filter((entry) => entry.run === run), onProgress));
  }
  const ascending = (a: Pick<Kept, "checkpoint">, b: Pick<Kept, "checkpoint">): number => a.checkpoint - b.checkpoint;
  return {
    _tag: "Plan",
    keep: [
      ...others.map((entry) => keptEntry(entry, "another run")),
      ...damaged.map(({ checkpoint }): Kept => ({ checkpoint, entry: null, why: "unreadable" })),
      ...plans.flatMap(({ keep }) => keep),
    ].sort(ascending),
    remove: plans.flatMap(({ remove }) => remove).sort(ascending),
    verified: plans.flatMap(({ verified }) => verified),
    notes: plans.flatMap(({ notes }) => notes),
  };
}

function keptEntry(entry: Entry, why: Reason): Kept {
  return { checkpoint: entry.checkpoint, entry, why };
}

// --- combinators

/** Removes judged checkpoints one after the other, whether or not others can be removed. */
async function removeEach(store: Store, entries: readonly Entry[]): Promise<Removal> {
  const removed: number[] = [];
  const notRemoved: NotRemoved[] = [];
  const notes: string[] = [];
  for (const { checkpoint, run, time } of entries) {
    forgetEntry(store, checkpoint);
    // The judged checkpoint may have been removed by hand, and its number used again.
    const found = await readEntry(store, checkpoint)();
    const isJudged = E.isRight(found) && found.right.run === run && found.right.time === time;
    const result = isJudged ? await store.remove(checkpoint)() : found;
    if (E.isLeft(result) && result.left._tag === "StoreFailed") {
      const reason = reasonOf(result.left);
      if (isJudged && await isMissing(store, checkpoint)) {
        removed.push(checkpoint);
        notes.push(
          `Checkpoint ${checkpoint} is removed, but not all of its files: ${reason}. A later save tries again`,
        );
      } else notRemoved.push({ checkpoint, reason });
    } else if (isJudged) removed.push(checkpoint);
  }
  return { removed, notRemoved, notes };
}

async function isMissing(store: Store, checkpoint: number): Promise<boolean> {
  const manifest = await store.manifest(checkpoint)();
  return E.isLeft(manifest) && manifest.left._tag === "NoCheckpoint";
}

function reasonOf({ operation, path, code, message }: StoreFailed): string {
  return `cannot ${operation} ${path} (${code}): ${message}`;
}

/**
 * Carries out a plan, after verifying again what it keeps of each run.
 *
 * @param store The store of the plan.
 * @param options Callbacks for the progress and for the report, which says what could not be removed and why.
 * @returns For a plan, the numbers of the checkpoints that were removed. A checkpoint of the plan that is another one by now, or that the store
 *   cannot remove, is kept. The left is `StoreFailed`, or why a checkpoint that the plan keeps no longer verifies; then nothing was removed.
 *
 * @example
 * ```ts
 * import { list, memory, plan, prune, Retention, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * for (const step of [10, 20, 30]) await saveState(store)({ step });
 * const planned = await plan(store)(Retention.every(20));
 * assert.deepEqual(await prune(store)(planned), [0]);
 * assert.deepEqual((await list(store)).entries.map(({ step }) => step), [20, 30]);
 * ```
 */
export function prune(
  store: Store,
  options: Pick<PruneOptions, "onProgress" | "onReport"> = {},
): (plan: Plan) => Awaitable<LoadError, readonly number[]> {
  checkCurried(arguments, 2, "prune(store, options)(plan)");
  checkStore(store, "prune(store)(plan)");
  checkOptionNames("prune", options, { onProgress: true, onReport: true });
  demand("onProgress of prune", ifGiven(aFunction), options.onProgress);
  demand("onReport of prune", ifGiven(aFunction), options.onReport);
  return (made) => {
    demand("the plan of prune", must("one that plan made", (u) => Object(u)._tag === "Plan"), made);
    const { remove, verified } = made;
    const toRemove = new Set(remove.map(({ checkpoint }) => checkpoint));
    const safe = new Set(verified.flatMap(({ run, checkpoint }) => toRemove.has(checkpoint) ? [] : run));
    const unsafe = remove.find(({ run }) => !safe.has(run));
    if (unsafe !== undefined) {
      const found = `one that removes checkpoint ${unsafe.checkpoint} without it`;
      throw new TypeError(
        `Expected a plan that keeps a verified checkpoint of run ${unsafe.run}, found ${found}: make it with plan`,
      );
    }
    return awaitable<LoadError, readonly number[]>(async () => {
      for (const { checkpoint, run } of verified) {
        const manifest = await verifyCheckpoint(store, checkpoint, options.onProgress)();
        if (E.isLeft(manifest)) return manifest;
        const found = manifest.right.run;
        const problem: Problem = { path: "snapshot.json", kind: "value", expected: `run ${run}`, found };
        if (found !== run) return E.left({ _tag: "Damaged", checkpoint, problems: [problem] });
      }
      const removal = await removeEach(store, remove);
      options.onReport?.(removal);
      return E.right(removal.removed);
    });
  };
}

const nothing: Removal = { removed: [], notRemoved: [], notes: [] };

/** The removal of a save whose retention could not list the store. */
export function unlisted(failed: StoreFailed): Removal {
  return { ...nothing, notes: [`Retention removed nothing: ${reasonOf(failed)}`] };
}

/**
 * Applies a policy after a save, to the run that saved. It never fails, because the save is committed.
 *
 * @param store The store.
 * @param keep Its policy.
 * @param entries All entries of the run, oldest first.
 * @param newest The checkpoint that the save has just made durable, which is kept.
 * @returns What was removed, what could not be removed and why, and notes.
 */
export async function retain(
  store: Store,
  keep: Retention.Retention,
  entries: readonly Entry[],
  newest: number,
): Promise<Removal> {
  const decision = E.tryCatch(() => decisionOf(keep, entries, Date.now()), E.toError);
  if (E.isLeft(decision)) {
    const { name, message } = decision.left;
    return { ...nothing, notes: [`Retention removed nothing: the policy threw ${name}: ${message}`] };
  }
  const { remove } = decision.right;
  // Another process may have saved a newer checkpoint of the run.
  const kept = new Set([newest, entries.at(-1)?.checkpoint]);
  const unwanted = new Set(remove.filter((checkpoint) => !kept.has(checkpoint)));
  const removal = await removeEach(store, entries.filter(({ checkpoint }) => unwanted.has(checkpoint)));
  return { ...removal, notes: [...metricNotes(decision.right, entries), ...removal.notes] };
}
