/**
 * Retention carried out: what a policy would remove from a store and why, and the removal.
 *
 * Laws, whatever the policy says:
 * - a checkpoint is judged beside those of its own run alone; one whose manifest cannot be read is nobody's, and stays;
 * - the newest checkpoint of a run stays, and one that verifies: where none does, nothing of the run goes;
 * - what goes is looked at again just before, and stays if it is not what was judged;
 * - a checkpoint that cannot be removed keeps no other from being removed, and is reported with the reason;
 * - nothing is removed on the strength of a metric that no checkpoint of the run has.
 *
 * A save needs to read nothing for that: the checkpoint it has just made durable stays. Retention never makes a committed save a failure.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { candidates, entriesOf, forgetEntry, inOrder, readEntry } from "./catalogue.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import type { Damaged, LoadError, StoreFailed } from "./errors.ts";
import type { Progress } from "./progress.ts";
import { decisionOf, type Entry, type Retention } from "./decision.ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import { aFunction, aName, demand, ifGiven, must } from "./rules.ts";
import { checkStore, type Store } from "./store.ts";

// --- types

/**
 * Why a checkpoint stays: the `policy` keeps it; it is the `newest` of its run; it is the newest of its run that `verifies`, for nothing
 * that the policy keeps does; of its run `none verifies`; it is of `another run` than the one asked for; its manifest is `unreadable`.
 */
export type Reason = "policy" | "newest" | "verifies" | "none verifies" | "another run" | "unreadable";

/** A checkpoint that stays. */
export interface Kept {
  readonly checkpoint: number;
  /** What the catalogue says of it; null where its manifest cannot be read. */
  readonly entry: Entry | null;
  readonly why: Reason;
}

/** What a policy would do to a store: nothing has been removed. */
export interface Plan {
  readonly _tag: "Plan";
  /** What stays, in ascending order. */
  readonly keep: readonly Kept[];
  /** What the policy does not keep and goes, in ascending order. */
  readonly remove: readonly Entry[];
  /** Of each run that loses something, the newest checkpoint that stays and verifies. */
  readonly verified: readonly Entry[];
  /** What else there is to say, in a sentence each: metrics that the policy asks for and a run does not have. */
  readonly notes: readonly string[];
}

/** A checkpoint that should have been removed and could not be. */
export interface NotRemoved {
  readonly checkpoint: number;
  /** Why, in words. */
  readonly reason: string;
}

/** What became of the checkpoints that were to be removed. */
export interface Removal {
  /** The numbers of those that were removed. */
  readonly removed: readonly number[];
  /** Those that could not be: a later save, or another `prune`, tries again. */
  readonly notRemoved: readonly NotRemoved[];
  /** What else there is to say, in a sentence each. */
  readonly notes: readonly string[];
}

/** How a plan is made and carried out. */
export interface PruneOptions {
  /**
   * The run to prune, by the name in its entries.
   * @default every run of the store, each by itself
   */
  readonly run?: string;
  /** Told after each piece of a checkpoint that is verified. */
  readonly onProgress?: (progress: Progress) => void;
  /** Receives what {@link prune} removed, and what it could not remove and why, before the task resolves. */
  readonly onReport?: (removal: Removal) => void;
}

const pruneNames = { run: true, onProgress: true, onReport: true } satisfies OptionNames<PruneOptions>;

// --- constructors

const quoted = (names: Iterable<string>): string => [...names].map((name) => JSON.stringify(name)).join(", ");

/** What is to be said of the metrics that a policy asks for and a run does not have. */
function notesOn(unknown: readonly string[], entries: readonly Entry[]): readonly string[] {
  // A single checkpoint stays in any case, and its run may record the metric from its first evaluation on.
  if (unknown.length === 0 || entries.length < 2) return [];
  const known = new Set(
    entries.flatMap(({ metrics }) => Object.keys(metrics).filter((name) => !Number.isNaN(metrics[name]))),
  );
  const [what, which] = unknown.length === 1 ? ["the metric", "it"] : ["the metrics", "them"];
  return [
    `Expected a checkpoint of run ${entries[0]?.run} with a number for ${what} ${
      quoted(unknown)
    } of the retention policy, found none: ` +
    `nothing was removed on the strength of ${which}. ` +
    (known.size === 0
      ? "No checkpoint of the run has a number for any metric"
      : `The metrics there are: ${quoted(known)}`),
  ];
}

/** What a policy says of one run's entries, none of which may be missing. */
function judged(policy: Retention, entries: readonly Entry[], now: number): Pick<Plan, "keep" | "remove" | "notes"> {
  const { remove, unknownMetrics = [] } = decisionOf(policy, entries, now);
  const gone = new Set(remove);
  const newest = entries.at(-1);
  return {
    notes: notesOn(unknownMetrics, entries),
    keep: entries.flatMap((entry): Kept[] => {
      const { checkpoint } = entry;
      if (!gone.has(checkpoint)) return [{ checkpoint, entry, why: "policy" }];
      return entry === newest ? [{ checkpoint, entry, why: "newest" }] : [];
    }),
    remove: entries.filter((entry) => gone.has(entry.checkpoint) && entry !== newest),
  };
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

/** What is to be done to one run: never away with its last checkpoint that verifies. */
async function planRun(
  store: Store,
  policy: Retention,
  entries: readonly Entry[],
  onProgress: PruneOptions["onProgress"],
): Promise<Omit<Plan, "_tag">> {
  const { keep, remove, notes } = judged(policy, entries, Date.now());
  if (remove.length === 0) return { keep, remove, verified: [], notes };
  const kept = await newestVerified(store, keep.flatMap(({ entry }) => entry ?? []), onProgress);
  if (kept !== undefined) return { keep, remove, verified: [kept], notes };
  const spared = await newestVerified(store, remove, onProgress);
  const stay = remove.filter((entry) => spared === undefined || entry === spared).map((entry): Kept => ({
    checkpoint: entry.checkpoint,
    entry,
    why: spared === undefined ? "none verifies" : "verifies",
  }));
  return spared === undefined
    ? { keep: [...keep, ...stay], remove: [], verified: [], notes }
    : { keep: [...keep, ...stay], remove: remove.filter((entry) => entry !== spared), verified: [spared], notes };
}

/**
 * What a retention policy would remove from a store, and why the rest stays; nothing is removed.
 *
 * It reads every manifest, and of each run that would lose something one checkpoint whole, or more until one verifies.
 *
 * @param store Which.
 * @param options The run to prune, whom to tell of the progress.
 * @returns For a policy, the plan; its left is `StoreFailed`.
 *
 * @example
 * ```ts
 * import { memory, pipe, plan, prune, Retention, runOrThrow, saveState } from "@dogear/dogear";
 * import * as TE from "fp-ts/lib/TaskEither.js";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * for (const step of [10, 20, 30]) await runOrThrow(saveState(store)({ step }));
 * const planned = await runOrThrow(plan(store)(Retention.latest(1)));
 * assert.deepEqual(planned.remove.map(({ checkpoint }) => checkpoint), [0, 1]);
 * assert.deepEqual(planned.keep.map(({ checkpoint, why }) => [checkpoint, why]), [[2, "policy"]]);
 * assert.deepEqual(await pipe(plan(store)(Retention.latest(1)), TE.flatMap(prune(store)), runOrThrow), [0, 1]);
 * ```
 */
export function plan(store: Store, options: PruneOptions = {}): (policy: Retention) => TaskEither<LoadError, Plan> {
  checkStore(store);
  checkOptionNames("plan", options, pruneNames);
  demand("run of plan", ifGiven(aName), options.run);
  demand("onProgress of plan", ifGiven(aFunction), options.onProgress);
  return (policy) => {
    demand("the policy of plan", aFunction, policy);
    return planned(store, policy, options);
  };
}

/** The plan of a policy, whose arguments were looked at. */
function planned(store: Store, policy: Retention, options: PruneOptions): TaskEither<LoadError, Plan> {
  return async () => {
    const numbers = await candidates(store)();
    if (E.isLeft(numbers)) return numbers;
    const keep: Kept[] = [];
    const runs = new Map<string, Entry[]>();
    for await (const [checkpoint, entry] of inOrder(numbers.right, (n) => readEntry(store, n)())) {
      if (E.isRight(entry)) {
        const { run } = entry.right;
        if (options.run !== undefined && options.run !== run) {
          keep.push({ checkpoint, entry: entry.right, why: "another run" });
        } else {
          const entries = runs.get(run) ?? [];
          entries.push(entry.right);
          runs.set(run, entries);
        }
      } else if (entry.left._tag !== "NoCheckpoint") keep.push({ checkpoint, entry: null, why: "unreadable" });
    }
    const parts: Omit<Plan, "_tag">[] = [];
    for (const entries of runs.values()) parts.push(await planRun(store, policy, entries, options.onProgress));
    const ascending = (a: Pick<Kept, "checkpoint">, b: Pick<Kept, "checkpoint">): number => a.checkpoint - b.checkpoint;
    return E.right({
      _tag: "Plan",
      keep: keep.concat(parts.flatMap(({ keep }) => keep)).sort(ascending),
      remove: parts.flatMap(({ remove }) => remove).sort(ascending),
      verified: parts.flatMap(({ verified }) => verified),
      notes: parts.flatMap(({ notes }) => notes),
    });
  };
}

// --- combinators

/** What becomes of one checkpoint that is to go: it is removed, it could not be, or it is another by now. */
type Fate = "removed" | "another" | StoreFailed;

/** Removes a checkpoint if it is the one that was judged: somebody may have removed that by hand, and another have saved under its number. */
async function removeJudged(
  store: Store,
  judged: Entry,
): Promise<{ readonly fate: Fate; readonly left?: StoreFailed }> {
  const { checkpoint } = judged;
  forgetEntry(store, checkpoint);
  const found = await readEntry(store, checkpoint)();
  if (E.isLeft(found) && found.left._tag === "StoreFailed") return { fate: found.left };
  if (E.isLeft(found) || found.right.run !== judged.run || found.right.time !== judged.time) return { fate: "another" };
  const removed = await store.remove(checkpoint)();
  if (E.isRight(removed)) {
    forgetEntry(store, checkpoint);
    return { fate: "removed" };
  }
  // It may have failed after the checkpoint was gone, on what is left of it.
  const there = await store.manifest(checkpoint)();
  if (E.isRight(there) || there.left._tag !== "NoCheckpoint") return { fate: removed.left };
  forgetEntry(store, checkpoint);
  return { fate: "removed", left: removed.left };
}

/** Removes one judged checkpoint after the other; one that cannot be removed keeps no other from it. */
async function removeAll(store: Store, entries: readonly Entry[]): Promise<Removal> {
  const removed: number[] = [];
  const notRemoved: NotRemoved[] = [];
  const notes: string[] = [];
  for (const entry of entries) {
    const { checkpoint } = entry;
    const { fate, left } = await removeJudged(store, entry);
    if (fate === "removed") removed.push(checkpoint);
    else if (fate !== "another") notRemoved.push({ checkpoint, reason: reasonOf(fate) });
    if (left !== undefined) {
      notes.push(
        `Checkpoint ${checkpoint} is removed, but not all of its files: ${reasonOf(left)}. A later save tries again`,
      );
    }
  }
  return { removed, notRemoved, notes };
}

function reasonOf({ operation, path, code, message }: StoreFailed): string {
  return `cannot ${operation} ${path} (${code}): ${message}`;
}

/**
 * Carries out a plan, once it has seen again that what it leaves of each run verifies.
 *
 * @param store The store that was planned for.
 * @param options Whom to tell of the progress, and what receives the report: which checkpoints could not be removed, and why.
 * @returns For a plan, the numbers of the checkpoints that were removed: those of the plan that are still what they were, and that the store
 *   lets be removed. Its left is why the checkpoint that was to stay no longer verifies, and then nothing was removed; or `StoreFailed`.
 *
 * @example
 * ```ts
 * import { list, memory, plan, prune, Retention, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * for (const step of [10, 20, 30]) await runOrThrow(saveState(store)({ step }));
 * const planned = await runOrThrow(plan(store)(Retention.every(20)));
 * assert.deepEqual(await runOrThrow(prune(store)(planned)), [0]);
 * assert.deepEqual((await runOrThrow(list(store))).entries.map(({ step }) => step), [20, 30]);
 * ```
 */
export function prune(
  store: Store,
  options: Pick<PruneOptions, "onProgress" | "onReport"> = {},
): (plan: Plan) => TaskEither<LoadError, readonly number[]> {
  checkStore(store);
  checkOptionNames("prune", options, { onProgress: true, onReport: true });
  demand("onProgress of prune", ifGiven(aFunction), options.onProgress);
  demand("onReport of prune", ifGiven(aFunction), options.onReport);
  return (made) => {
    demand("the plan of prune", must("one that plan made", (u) => Object(u)._tag === "Plan"), made);
    const { remove, verified } = made;
    const witnesses = new Map(verified.map((entry) => [entry.run, entry]));
    const going = new Set(remove.map(({ checkpoint }) => checkpoint));
    for (const { run, checkpoint } of remove) {
      const witness = witnesses.get(run);
      if (witness === undefined || going.has(witness.checkpoint)) {
        throw new TypeError(
          `Expected a plan that leaves run ${run} a verified checkpoint, found none beside ${checkpoint}`,
        );
      }
    }
    return async () => {
      for (const { checkpoint, run } of verified) {
        const manifest = await verifyCheckpoint(store, checkpoint, options.onProgress)();
        if (E.isLeft(manifest)) return manifest;
        if (manifest.right.run !== run) return E.left(anotherRun(checkpoint, run, manifest.right.run));
      }
      const removal = await removeAll(store, remove);
      options.onReport?.(removal);
      return E.right(removal.removed);
    };
  };
}

function anotherRun(checkpoint: number, expected: string, found: string): Damaged {
  return {
    _tag: "Damaged",
    checkpoint,
    problems: [{ path: "snapshot.json", kind: "value", expected: `run ${expected}`, found }],
  };
}

const nothing: Removal = { removed: [], notRemoved: [], notes: [] };

/**
 * Applies a store's own policy after a save, to the run that saved; it never fails, for the save is committed.
 *
 * @param store Where to.
 * @param run The run.
 * @param newest The checkpoint it has just made durable, which stays.
 * @param seen The numbers that may have a checkpoint, where the save has seen them.
 * @returns What was removed, what could not be and why, and what else there is to say.
 */
export async function retain(
  store: Store,
  run: string,
  newest: number,
  seen?: readonly number[],
): Promise<Removal> {
  if (store.keep === undefined) return nothing;
  const failed = (why: string): Removal => ({ ...nothing, notes: [`Retention removed nothing: ${why}`] });
  const numbers = seen === undefined ? await candidates(store)() : E.right(seen);
  if (E.isLeft(numbers)) return failed(reasonOf(numbers.left));
  const entries = await entriesOf(store, numbers.right, run);
  const { keep } = store;
  const decision = E.tryCatch(() => decisionOf(keep, entries, Date.now()), E.toError);
  if (E.isLeft(decision)) return failed(`the policy threw ${decision.left.name}: ${decision.left.message}`);
  const { remove, unknownMetrics = [] } = decision.right;
  const gone = new Set(remove);
  // Another process may have saved a newer one of the same run.
  const stays = new Set([newest, entries.at(-1)?.checkpoint]);
  const going = entries.filter(({ checkpoint }) => gone.has(checkpoint) && !stays.has(checkpoint));
  const removal = await removeAll(store, going);
  return { ...removal, notes: [...notesOn(unknownMetrics, entries), ...removal.notes] };
}
