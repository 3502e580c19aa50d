/**
 * Which run a process saves into a place: one line of checkpoints, which goes after the newest one that the process has loaded or saved.
 *
 * A run belongs to the place, not to the store value: all values of one folder save into one run, one after the other.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import type { Store } from "./store.ts";

// --- types

/** Where a run has come to: the next save makes the checkpoint after `parent`. */
export interface Line {
  readonly run: string;
  /** The checkpoint that was loaded or saved last, null before the first. */
  readonly parent: number | null;
  /** The component `step` of that checkpoint, null if it has none that is a number. */
  readonly step: number | null;
  /**
   * Whether the run has no checkpoint yet: it was begun here, by a fresh state or as a fork of the parent's run.
   * @default false
   */
  readonly isNew?: boolean;
  /**
   * Whether the run was begun here as a fork.
   * @default false
   */
  readonly isFork?: boolean;
  /**
   * Whether the commit of the parent failed, though it made a checkpoint, which may not be durable yet.
   * @default false
   */
  readonly isDoubtful?: boolean;
  /**
   * The saves since the parent whose commits failed: any of them may have made a checkpoint all the same.
   * @default none
   */
  readonly doubtful?: readonly { readonly time: number; readonly step: number | null }[];
}

/** What a process knows of a place. */
interface Known {
  /** By the names of trainings; the one without a name has the empty one. */
  readonly lines: Map<string, Line>;
  /** When the damaged checkpoints that loads have passed over were made. */
  readonly passed: Map<number, number>;
  /** The last save that was begun there. */
  turn: Promise<unknown>;
}

// --- constructors

const known = new WeakMap<object, Known>();
const locations = new Map<string, object>();

/**
 * What stands for the place of a store in this process: the same object for all its values.
 *
 * @param store A store; one that says nothing of its place is known by its location.
 */
export function placeOf(store: Store): object {
  if (store.place !== undefined) return store.place();
  const place = locations.get(store.location) ?? {};
  locations.set(store.location, place);
  return place;
}

function knownOf(store: Store): Known {
  const place = placeOf(store);
  const found = known.get(place) ?? { lines: new Map(), passed: new Map(), turn: Promise.resolve() };
  known.set(place, found);
  return found;
}

/** A run that begins here: with a fresh state, or as a fork of what a line has come to. */
export function newLine(from?: Line): Line {
  const { parent, step } = from ?? { parent: null, step: null };
  return { run: randomUUID(), parent, step, isNew: true, ...(from && { isFork: true }) };
}

// --- combinators

/**
 * Where the run of a place has come to in this process.
 *
 * @param store Any value of the place.
 * @param training The name of one of several trainings that share the place, each of which has a run of its own.
 * @returns Undefined if this process has neither loaded from there nor saved.
 */
export function lineOf(store: Store, training: string = ""): Line | undefined {
  return knownOf(store).lines.get(training);
}

/**
 * Moves the run of a place on: after a load or a save.
 *
 * @param store Any value of the place.
 * @param line Where it has come to, or undefined: then the next save begins a run.
 * @param training As for {@link lineOf}.
 */
export function setLine(store: Store, line: Line | undefined, training: string = ""): void {
  const { lines } = knownOf(store);
  if (line === undefined) lines.delete(training);
  else lines.set(training, line);
}

/** Remembers that a load has passed over a damaged checkpoint: it is in no save's way. */
export function passOver(store: Store, checkpoint: number, time: number): void {
  knownOf(store).passed.set(checkpoint, time);
}

/** Whether a load has passed over this very checkpoint. */
export function isPassedOver(store: Store, checkpoint: number, time: number): boolean {
  return knownOf(store).passed.get(checkpoint) === time;
}

/** Resolves once the saves of a place that have been run are over. */
export async function turnOf(store: Store): Promise<void> {
  await knownOf(store).turn;
}

/** One save of a place after the other, in the order in which they are run: a number is given at the commit, and the highest is the newest. */
export function inTurn<A>(store: Store, save: () => Promise<A>): Promise<A> {
  const place = knownOf(store);
  const saved = place.turn.then(save);
  place.turn = saved.catch(() => {});
  return saved;
}
