/**
 * The run that this process continues at a location: its name, the checkpoint that the next save follows, and the order of saves.
 *
 * A run belongs to the location, not to the store value. Several trainings can share a location; each has a run under its own name.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { perLocation, type Store } from "../store/mod.ts";

// --- types

/** The checkpoint that a save follows. Its number alone does not identify it: the number of a newest checkpoint that was removed by hand is used again. */
export interface Parent {
  readonly checkpoint: number;
  /** The run of that checkpoint: another one than the current run after a fork. */
  readonly run: string;
  /** When it was saved, in milliseconds since 1970. */
  readonly time: number;
}

/** A save whose commit failed, and which may have made a checkpoint nevertheless. */
export interface UncertainSave {
  readonly time: number;
  readonly step: number | null;
}

/** A run and the position that this process has reached in it. */
export interface CurrentRun {
  readonly run: string;
  /** The checkpoint that this process loaded or saved last, null before the first. */
  readonly parent: Parent | null;
  /** The component `step` of the parent, null if it has none that is a number. */
  readonly step: number | null;
  /**
   * Whether the run has no checkpoint yet, because this process began it.
   * @default false
   */
  readonly isNew?: boolean;
  /**
   * The checkpoints at the location when a load found none to continue from. Then the first save of the run must find no other one to continue from.
   * @default no load came before the run
   */
  readonly others?: readonly number[];
  /**
   * Whether this process began the run as a fork.
   * @default false
   */
  readonly isFork?: boolean;
  /**
   * Whether the commit of the parent failed after its rename, so that the parent may not be durable.
   * @default false
   */
  readonly isDoubtful?: boolean;
  /**
   * The saves since the parent whose commits failed.
   * @default none
   */
  readonly uncertain?: readonly UncertainSave[];
}

// --- constructors

const runsAt = perLocation(() => new Map<string, CurrentRun>());
const skippedAt = perLocation(() => new Map<number, number>());
const turnAt = perLocation((): { last: Promise<unknown> } => ({ last: Promise.resolve() }));

/**
 * A new run.
 *
 * @param from The position that it forks from; without one it begins with a fresh state.
 */
export function beginRun(from?: CurrentRun): CurrentRun {
  const { parent, step } = from ?? { parent: null, step: null };
  return { run: randomUUID(), parent, step, isNew: true, ...(from && { isFork: true }) };
}

/** A new run, of a process whose load found no checkpoint to continue from, but perhaps those of other trainings. */
export function beginFirstRun(others: readonly number[] = []): CurrentRun {
  return { ...beginRun(), others };
}

// --- combinators

/**
 * The run that this process continues at a location.
 *
 * @param store Any store of the location.
 * @param training The name of a training; the run of saves without a training has the empty name.
 * @returns Undefined if this process has neither loaded nor saved there.
 */
export function currentRun(store: Store, training: string = ""): CurrentRun | undefined {
  return runsAt(store).get(training);
}

/** Whether a run is that of a training of this process at a location. */
export function isOwnRun(store: Store, run: string): boolean {
  return [...runsAt(store).values()].some((own) => own.run === run);
}

/**
 * Records where a run is after a load or a save.
 *
 * @param store Any store of the location.
 * @param run The position.
 * @param training As for {@link currentRun}.
 */
export function setCurrentRun(store: Store, run: CurrentRun, training: string = ""): void {
  runsAt(store).set(training, run);
}

/** Records that a load skipped a damaged checkpoint, so that saves of its run may follow an older one. */
export function recordSkipped(store: Store, checkpoint: number, time: number): void {
  skippedAt(store).set(checkpoint, time);
}

/** Whether a load skipped this checkpoint, which was saved at this time. */
export function wasSkipped(store: Store, checkpoint: number, time: number): boolean {
  return skippedAt(store).get(checkpoint) === time;
}

/** Resolves when the saves that have been started at a location are finished. */
export async function savesFinished(store: Store): Promise<void> {
  await turnAt(store).last;
}

/** Runs a save after those that were started before at its location: the commit gives the number, and the highest number is the newest. */
export function inTurn<A>(store: Store, save: () => Promise<A>): Promise<A> {
  const turn = turnAt(store);
  const saved = turn.last.then(save);
  turn.last = saved.catch(() => {});
  return saved;
}
