/**
 * What this process has done of each training at a location, by name.
 *
 * @module
 */
import { placeOf } from "./runs.ts";
import type { Store } from "./store.ts";

// --- types

/** What this process has done of a training. */
export interface TrainingRecord {
  /** Digests of the components that it began with, by name. */
  readonly beginning: Readonly<Record<string, string>>;
  readonly state: "running" | "complete" | "broken off";
  /** The state in words, for the message about a second call. */
  readonly words: string;
}

// --- constructors

/** The name of a training of `fit` and `fitDataset` without a name. Its checkpoints do not record it. */
export const defaultTraining = "fit";

const known = new WeakMap<object, Map<string, TrainingRecord>>();

/** The trainings of this process at the location of a store, by name. */
export function trainingsAt(store: Store): Map<string, TrainingRecord> {
  const place = placeOf(store);
  const trainings = known.get(place) ?? new Map<string, TrainingRecord>();
  known.set(place, trainings);
  return trainings;
}
