/**
 * The trainings of a store by name: how a save knows its training, and what this process has done of each.
 *
 * @module
 */
import type { Store } from "./store.ts";

// --- types

const name: unique symbol = Symbol("training");

/** Options of a save that belongs to a training; internal, so that a user's misspelled option is never taken for it. */
export interface OfTraining {
  readonly [name]?: string;
}

/** What this process has done of a training. */
export interface Training {
  /** Digests of what it began with, by component. */
  readonly beginning: Readonly<Record<string, string>>;
  readonly state: "running" | "complete" | "broken off";
  /** In a few words, for the message about a second one. */
  readonly words: string;
}

// --- constructors

/** The training that `fit` and `fitDataset` mean when they are given no name. Its checkpoints do not record it. */
export const defaultTraining = "fit";

/** Options that make a save belong to a training. */
export function asTraining(training: string | undefined): OfTraining {
  return training === undefined ? {} : { [name]: training };
}

/** The training that a save belongs to, if any. */
export function trainingOf(options: object): string | undefined {
  return (options as OfTraining)[name];
}

const located = new Map<string, Map<string, Training>>();
const inMemory = new WeakMap<Store, Map<string, Training>>();

/** The trainings of this process at the location of a store, by name; a store in memory is a location by itself. */
export function trainingsAt(store: Store): Map<string, Training> {
  const { location } = store;
  const known = location === "memory" ? inMemory.get(store) : located.get(location);
  if (known !== undefined) return known;
  const made = new Map<string, Training>();
  if (location === "memory") inMemory.set(store, made);
  else located.set(location, made);
  return made;
}
