/**
 * What this process has done of each training, and why a second call of one name may not begin.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type { Problem } from "../errors/mod.ts";
import { perLocation } from "../store/mod.ts";
import type { PreparedTraining } from "./training_state.ts";

// --- types

/** What this process has done of a training. */
export interface TrainingRecord {
  /** Digests of the components that it began with, by name. */
  readonly beginning: Readonly<Record<string, string>>;
  readonly state: "running" | "complete" | "broken off";
  /** The training in words, for the message about a second call. */
  readonly words: string;
  readonly model: WeakRef<tf.LayersModel>;
}

// --- constructors

/** The trainings of this process at the location of a store, by name. */
export const trainingsAt: ReturnType<typeof perLocation<Map<string, TrainingRecord>>> = perLocation(() => new Map());

// --- combinators

/** Why a training may not be called again in this process: it is running, or it is complete and began with something else. */
export function repeatedCall(
  name: string,
  before: TrainingRecord | undefined,
  beginning: TrainingRecord["beginning"],
  { model }: PreparedTraining,
): readonly Problem[] {
  if (before === undefined || before.state === "broken off") return [];
  const called = JSON.stringify(name);
  if (before.state === "running") {
    const found = `a second call while ${called} is running`;
    const remedy = "Await the first call before the second";
    return [{ path: "fit/name", kind: "name", expected: "one name for each training", found, remedy }];
  }
  const components = [...new Set([...Object.keys(before.beginning), ...Object.keys(beginning)])];
  return components.filter((component) => before.beginning[component] !== beginning[component]).map((path) => ({
    path,
    kind: "value",
    ...(path === "model" && before.model.deref() === model
      ? {
        expected: "one that has not been trained",
        found: `the model that ${called} has trained in this process (${before.words})`,
        remedy: "For more epochs, raise `epochs` in the call that trained it, and run the script again. " +
          'For another training, give this call another name: { to, name: "fine-tuning" }',
      }
      : { expected: `that of ${called}, which is complete in this process (${before.words})`, found: "another" }),
  }));
}
