/**
 * The law *one line of history*: a save follows the newest checkpoint of its run or is refused. A fork is asked for, and begins a new run.
 *
 * A save asks twice. Before it writes, {@link continueRun} reads the parent's manifest and gives the position to continue from. At its commit,
 * the store calls {@link afterOf}'s `check`, which finds a checkpoint of the run that another process has saved since. Where a load found no
 * checkpoint, it finds any that another process has saved since: of two processes that begin at once, one begins the run.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { candidates, readSummary, type SummaryRead } from "./entries.ts";
import type { Overtaken, StepWentBack, StoreFailed } from "../errors/mod.ts";
import type { FileEntry } from "./manifest.ts";
import {
  beginRun,
  type CurrentRun,
  currentRun,
  isOwnRun,
  type Parent,
  setCurrentRun,
  wasSkipped,
} from "./current_run.ts";
import type { CommitCondition, Store } from "../store/mod.ts";

// --- types

/** Which run a save is for. */
export interface RunOptions {
  /** Whether to begin a new run at the checkpoint that was loaded or saved last. */
  readonly fork?: boolean | undefined;
  /** The name of one of several trainings that share the location. */
  readonly training?: string | undefined;
}

/** The position that a save continues from. */
export interface Continued {
  readonly run: CurrentRun;
  /** The parent's number for the manifest, null if that number is another checkpoint's by now. */
  readonly parent: number | null;
  /** The files of the parent, none if it is not the checkpoint that this process loaded or saved. */
  readonly files: readonly FileEntry[];
  /** Whether the parent was removed, and its number may be another checkpoint's. */
  readonly isParentGone: boolean;
}

/** What a save finds under its parent's number. */
type FoundParent =
  | { readonly is: "present"; readonly files: readonly FileEntry[] }
  /** Damaged, or not readable now: it is taken for the parent. */
  | { readonly is: "unreadable" }
  | { readonly is: "removed"; readonly available: readonly number[] }
  | { readonly is: "another checkpoint" };

/** Errors of a manifest that this process may not read. It is another user's, and so of another run. */
const forbidden = ["EACCES", "EPERM"];

// --- combinators

/** Reads the parent's manifest: its number alone does not show that it is still the checkpoint that was loaded or saved. */
async function findParent(store: Store, { checkpoint, run, time }: Parent): Promise<FoundParent> {
  const summary = await readSummary(store, checkpoint)();
  if (E.isLeft(summary)) {
    return summary.left._tag === "NoCheckpoint"
      ? { is: "removed", available: summary.left.available }
      : { is: "unreadable" };
  }
  const isParent = summary.right.run === run && summary.right.time === time;
  return isParent ? { is: "present", files: summary.right.files } : { is: "another checkpoint" };
}

/** Moves a run to the checkpoint that one of its failed commits made, if one did. */
async function resolveUncertain(store: Store, run: CurrentRun): Promise<E.Either<StoreFailed, CurrentRun>> {
  const { uncertain = [], ...rest } = run;
  if (uncertain.length === 0) return E.right(run);
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return numbers;
  for (const checkpoint of numbers.right.toReversed()) {
    if (checkpoint <= (run.parent?.checkpoint ?? -1)) break;
    const summary = await readSummary(store, checkpoint)();
    if (E.isLeft(summary) || summary.right.run !== run.run) continue;
    const made = uncertain.find(({ time }) => time === summary.right.time);
    if (made === undefined) continue;
    const parent: Parent = { checkpoint, run: run.run, time: made.time };
    return E.right({ ...rest, isNew: false, isDoubtful: true, parent, step: made.step });
  }
  // One of them may be committed later.
  return E.right(run);
}

/**
 * The position that a save continues from.
 *
 * @param store The store to save to.
 * @param step The component `step` of the state to save.
 * @param options Which run.
 * @returns The position; `StepWentBack` if `step` is below the parent's without a load in between; or the store's failure.
 */
export async function continueRun(
  store: Store,
  step: number | null,
  { fork = false, training }: RunOptions,
): Promise<E.Either<StoreFailed | StepWentBack, Continued>> {
  const current = currentRun(store, training);
  const fresh: Continued = { run: { ...beginRun(), isFork: fork }, parent: null, files: [], isParentGone: false };
  if (current === undefined) return E.right(fresh);
  const found = current.parent === null ? undefined : await findParent(store, current.parent);
  // All checkpoints were removed by hand.
  if (found?.is === "removed" && found.available.length === 0) return E.right(fresh);
  const isGone = found?.is === "removed" || found?.is === "another checkpoint";
  const resolved = await resolveUncertain(store, current);
  if (E.isLeft(resolved)) return resolved;
  const run = resolved.right;
  const isSameParent = run.parent === current.parent;
  const continued = {
    parent: found?.is === "another checkpoint" && isSameParent ? null : run.parent?.checkpoint ?? null,
    files: found?.is === "present" && isSameParent ? found.files : [],
    isParentGone: isGone && isSameParent,
  };
  const isBack = step !== null && run.step !== null && step < run.step && !isGone;
  if (fork && (isBack || run.isFork !== true)) return E.right({ ...continued, run: beginRun(run) });
  if (!isBack) return E.right({ ...continued, run });
  return E.left({ _tag: "StepWentBack", step, parent: run.parent?.checkpoint ?? 0, parentStep: run.step });
}

/**
 * The run that the next save will be in. A new run is begun now, if the save were to begin one, so that its name is known before.
 *
 * @param store The store to save to.
 * @param step The component `step` of the state.
 * @param options Which run.
 */
export async function settleRun(
  store: Store,
  step: number | null,
  options: RunOptions,
): Promise<E.Either<StoreFailed | StepWentBack, CurrentRun>> {
  const position = await continueRun(store, step, options);
  if (E.isLeft(position)) return position;
  const { run } = position.right;
  // A fork whose step went back begins there: the save would begin another.
  const begun = { ...run, step: run.step === null || step === null ? run.step : Math.min(run.step, step) };
  setCurrentRun(store, begun, options.training);
  return E.right(begun);
}

/** A check of a commit: fails with the newest of the checkpoints that overtake the save. */
function refusing(
  store: Store,
  overtakes: (checkpoint: number, summary: SummaryRead) => boolean,
): CommitCondition["check"] {
  return (checkpoints) => async () => {
    for (const checkpoint of checkpoints.toReversed()) {
      const summary = await readSummary(store, checkpoint)();
      if (E.isRight(summary)) {
        if (overtakes(checkpoint, summary.right)) return E.left(overtakenBy(checkpoint, summary.right));
      } else if (summary.left._tag === "StoreFailed" && !forbidden.includes(summary.left.code)) {
        return E.left(summary.left);
      }
      // A checkpoint whose manifest cannot be decoded belongs to no run.
    }
    return E.right(undefined);
  };
}

/**
 * What the commit of a save must check.
 *
 * @param store The store to save to.
 * @param position The position that the save continues from.
 * @param training The recorded name of the training, if the save is of one of several. Without it, a run continues from any checkpoint.
 * @returns Undefined for a new run without a load or a failed commit before it, which no other process can have.
 */
export function afterOf(
  store: Store,
  { run: current, isParentGone }: Continued,
  training?: { readonly name: string | undefined },
): CommitCondition | undefined {
  const { run, parent, others, isNew = false, isDoubtful = false, uncertain = [] } = current;
  if (parent === null && others !== undefined) {
    const isOfTraining = ({ training: name }: SummaryRead): boolean => training === undefined || training.name === name;
    const check = refusing(store, (_, summary) => isOfTraining(summary) && !isOwnRun(store, summary.run));
    return {
      // Two first saves at once are rivals, as those of one run are.
      key: `first ${training?.name ?? ""}`,
      parent: -1,
      check: (checkpoints) => check(checkpoints.filter((checkpoint) => !others.includes(checkpoint))),
    };
  }
  // A failed commit of this process may have begun the run.
  if ((isNew || parent === null) && uncertain.length === 0) return undefined;
  // Whether a checkpoint is of this run and was saved after the parent.
  const check = refusing(
    store,
    (checkpoint, { run: itsRun, time }) =>
      itsRun === run && !wasSkipped(store, checkpoint, time) &&
      // After a removal by hand, another process may have used the parent's number again, or a lower one.
      (parent === null || checkpoint >= parent.checkpoint || time > parent.time),
  );
  const above = isParentGone ? -1 : parent?.checkpoint ?? -1;
  return {
    key: run,
    parent: above,
    isDoubtful,
    check: (checkpoints) => check(checkpoints.filter((checkpoint) => checkpoint > above)),
  };
}

/** The error of a save that a checkpoint overtakes. */
export function overtakenBy(checkpoint: number, { step, time, environment }: SummaryRead): Overtaken {
  return { _tag: "Overtaken", checkpoint, step, by: `${environment.runtime} at ${new Date(time).toISOString()}` };
}
