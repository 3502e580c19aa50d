/**
 * What this process has done of each training at a location, by name.
 *
 * @module
 */
import { perLocation, type Store } from "../store/mod.ts";

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

/** The trainings of this process at the location of a store, by name. */
export const trainingsAt: (store: Store) => Map<string, TrainingRecord> = perLocation(() => new Map());
