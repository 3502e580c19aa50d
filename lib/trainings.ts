/**
 * The trainings that `fit` and `fitDataset` have run in this process, by name.
 *
 * @module
 */
import { placeOf } from "./runs.ts";
import type { Store } from "./store.ts";

// --- types

/** The last call of a training in this process. */
export interface TrainingCall {
  /** Digests of what it began with, by component. */
  readonly digests: Readonly<Record<string, string>>;
  readonly status: "running" | "complete" | "failed";
  /** A short description, for the error of a second call. */
  readonly description: string;
}

// --- constructors

/** The default name of a training. The manifests of its checkpoints do not record it. */
export const defaultTraining = "fit";

const callsByPlace = new WeakMap<object, Map<string, TrainingCall>>();

/** The last call of each training of this process in a store, by name. */
export function trainingCalls(store: Store): Map<string, TrainingCall> {
  const place = placeOf(store);
  const calls = callsByPlace.get(place) ?? new Map<string, TrainingCall>();
  callsByPlace.set(place, calls);
  return calls;
}
