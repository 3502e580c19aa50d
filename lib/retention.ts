/**
 * Which checkpoints stay: pure policies over a catalogue, to be composed.
 *
 * Laws: every checkpoint of the catalogue is either kept or removed; the newest, that is the one with the highest number, is always kept; the
 * order of the catalogue plays no part.
 *
 * @module
 */
import { type Decision, decisionOf, type Entry, type Retention } from "./decision.ts";
import { aFunction, demand, integer, must, oneOf } from "./rules.ts";

export type { Decision, Entry, Retention };

// --- constructors

/** Numbers of checkpoints that a policy keeps, and the metrics it did not find. */
interface Kept {
  readonly keep: Iterable<number>;
  readonly unknown?: readonly string[];
}
const entriesRule = must("an array of entries", (u) => Array.isArray(u) && u.every((one) => Object(one) === one));

/** The policy that keeps the checkpoints a function names, and the newest. */
function keeping(kept: (catalogue: readonly Entry[], now: number) => Kept): Retention {
  return (catalogue, now) => {
    demand("the catalogue of a retention policy", entriesRule, catalogue);
    const numbers = catalogue.map(({ checkpoint }) => checkpoint).sort((a, b) => a - b);
    const { keep: named, unknown = [] } = kept(catalogue, now);
    const keep = new Set([...named, ...numbers.slice(-1)]);
    const decision = { keep: numbers.filter((n) => keep.has(n)), remove: numbers.filter((n) => !keep.has(n)) };
    return unknown.length === 0 ? decision : { ...decision, unknownMetrics: [...new Set(unknown)] };
  };
}

function numbersOf(catalogue: readonly Entry[]): readonly number[] {
  return catalogue.map(({ checkpoint }) => checkpoint);
}

/** What several policies decide. */
function decisions(policies: readonly Retention[], catalogue: readonly Entry[], now: number): {
  readonly kept: readonly (readonly number[])[];
  readonly unknown: readonly string[];
} {
  const each = policies.map((policy) => decisionOf(policy, catalogue, now));
  return { kept: each.map(({ keep }) => keep), unknown: each.flatMap(({ unknownMetrics = [] }) => unknownMetrics) };
}

/** Newest first. */
function newer(a: Entry, b: Entry): number {
  return b.checkpoint - a.checkpoint;
}

/**
 * Keeps the newest checkpoints: those with the highest numbers.
 *
 * @param n How many, an integer from 1.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const saved = (checkpoint: number): Entry => ({ checkpoint, step: null, metrics: {}, time: 0, bytes: 0, run: "a" });
 * assert.deepEqual(Retention.latest(2)([8, 9, 10].map(saved), 0), { keep: [9, 10], remove: [8] });
 * ```
 */
export function latest(n: number): Retention {
  demand("n of Retention.latest", integer(1), n);
  return keeping((catalogue) => ({ keep: numbersOf([...catalogue].sort(newer).slice(0, n)) }));
}

/**
 * Keeps the checkpoints with the best metric, and the newest.
 *
 * A checkpoint without the metric, or with NaN for it, is never among the best; of equal ones the newer is better. Where no checkpoint has
 * a number for the metric, all are kept, and the decision names it as unknown: a misspelled name removes nothing.
 *
 * @param n How many of the best, an integer from 1.
 * @param metric The metric's name, as it was given when saving.
 * @param mode Whether less (`"min"`) or more (`"max"`) is better.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const saved = (loss: number, checkpoint: number): Entry => ({ checkpoint, step: null, metrics: { loss }, time: 0, bytes: 0, run: "a" });
 * assert.deepEqual(Retention.best(1, "loss", "min")([0.3, 0.1, 0.2].map(saved), 0), { keep: [1, 2], remove: [0] });
 * ```
 */
export function best(n: number, metric: string, mode: "min" | "max"): Retention {
  demand("n of Retention.best", integer(1), n);
  const name = must("the name of a metric", (value) => typeof value === "string" && value !== "");
  demand("metric of Retention.best", name, metric);
  demand("mode of Retention.best", oneOf("min", "max"), mode);
  const has = ({ metrics }: Entry): boolean => Object.hasOwn(metrics, metric) && !Number.isNaN(metrics[metric]);
  return keeping((catalogue) => {
    if (catalogue.length > 0 && !catalogue.some(has)) return { keep: numbersOf(catalogue), unknown: [metric] };
    const ranked = catalogue
      .filter(has)
      .map((entry) => ({ entry, value: entry.metrics[metric]! }))
      .sort((a, b) => a.value === b.value ? newer(a.entry, b.entry) : (a.value < b.value) === (mode === "min") ? -1 : 1)
      .slice(0, n);
    return { keep: numbersOf(ranked.map(({ entry }) => entry)) };
  });
}

/**
 * Keeps the checkpoints whose training step is a multiple of a number, and the newest; one that was saved without a step is a multiple of none.
 *
 * @param n The distance in steps, an integer from 1.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const saved = (step: number, checkpoint: number): Entry => ({ checkpoint, step, metrics: {}, time: 0, bytes: 0, run: "a" });
 * assert.deepEqual(Retention.every(100)([50, 100, 150].map(saved), 0), { keep: [1, 2], remove: [0] });
 * ```
 */
export function every(n: number): Retention {
  demand("n of Retention.every", integer(1), n);
  return keeping((catalogue) => ({
    keep: numbersOf(catalogue.filter(({ step }) => step !== null && step % n === 0)),
  }));
}

// --- combinators

function checkPolicies(of: string, policies: readonly Retention[]): void {
  policies.forEach((policy, i) => demand(`policy ${i + 1} of ${of}`, aFunction, policy));
}

/**
 * Keeps what any of the policies keeps; without policies, only the newest.
 *
 * @param policies Policies of this module or of your own.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const saved = (step: number, checkpoint: number): Entry => ({ checkpoint, step, metrics: {}, time: 0, bytes: 0, run: "a" });
 * const policy = Retention.any(Retention.latest(2), Retention.every(100));
 * assert.deepEqual(policy([100, 150, 160, 170].map(saved), 0), { keep: [0, 2, 3], remove: [1] });
 * ```
 */
export function any(...policies: readonly Retention[]): Retention {
  checkPolicies("Retention.any", policies);
  return keeping((catalogue, now) => {
    const { kept, unknown } = decisions(policies, catalogue, now);
    return { keep: kept.flat(), unknown };
  });
}

/**
 * Keeps what all of the policies keep, and the newest; without policies, everything.
 *
 * @param policies Policies of this module or of your own.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const saved = (step: number, checkpoint: number): Entry => ({ checkpoint, step, metrics: {}, time: 0, bytes: 0, run: "a" });
 * const policy = Retention.all(Retention.latest(3), Retention.every(100));
 * assert.deepEqual(policy([100, 200, 250, 260].map(saved), 0), { keep: [1, 3], remove: [0, 2] });
 * ```
 */
export function all(...policies: readonly Retention[]): Retention {
  checkPolicies("Retention.all", policies);
  return keeping((catalogue, now) => {
    const { kept, unknown } = decisions(policies, catalogue, now);
    const sets = kept.map((keep) => new Set(keep));
    return { keep: numbersOf(catalogue).filter((n) => sets.every((keep) => keep.has(n))), unknown };
  });
}
