/**
 * The trainings of a store by name: what this process has done of each.
 *
 * @module
 */
import { placeOf } from "./runs.ts";
import type { Store } from "./store.ts";

// --- types

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

const known = new WeakMap<object, Map<string, Training>>();

/** The trainings of this process at the place of a store, by name. */
export function trainingsAt(store: Store): Map<string, Training> {
  const place = placeOf(store);
  const trainings = known.get(place) ?? new Map<string, Training>();
  known.set(place, trainings);
  return trainings;
}
