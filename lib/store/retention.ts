/**
 * Retention policies: pure functions that decide which checkpoints of a catalogue to keep.
 *
 * Laws: a policy either keeps or removes each checkpoint of the catalogue. It always keeps the newest, which has the highest number. The
 * order of the catalogue does not matter.
 *
 * @example
 * ```ts
 * import { list, memory, Retention, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * // The best two by loss, every hundredth step, and always the newest.
 * const store = memory({ keep: Retention.any(Retention.best(2, "loss", "min"), Retention.every(100)) });
 * for (const loss of [0.5, 0.1, 0.2, 0.4]) await saveState(store, { metrics: { loss } })({ step: 1 });
 * const { entries } = await list(store);
 * assert.deepEqual(entries.map(({ checkpoint }) => checkpoint), [1, 2, 3]);
 * ```
 *
 * @module
 */
import {
  allUnranked,
  type Decision,
  decisionOf,
  type Entry,
  ranked,
  type Retention,
  type Unranked,
} from "./decision.ts";
import { millisecondsOf, type Span, spanInWords } from "./span.ts";
import {
  aBoolean,
  aFunction,
  checkCurried,
  checkOptions,
  demand,
  ifGiven,
  integer,
  listOf,
  must,
  oneOf,
  type OptionRules,
} from "../validation/mod.ts";

export type { Decision, Entry, Retention, Span };

// --- types

/** The options of {@link best}. */
export interface BestOptions {
  /**
   * Whether to keep the checkpoints whose metric was not measured, those that do not have it. One that has NaN was measured.
   * @default false
   */
  readonly keepUnmeasured?: boolean;
}

const bestRules: OptionRules<BestOptions> = { keepUnmeasured: ifGiven(aBoolean) };

/** The numbers that a policy keeps, and the metrics by which it could not rank. */
interface KeptNumbers extends Unranked {
  readonly keep: Iterable<number>;
}

// --- constructors

const entriesRule = must("an array of entries", (u) => Array.isArray(u) && u.every((one) => Object(one) === one));

/** The policy that keeps the numbers that a function gives, and the newest checkpoint. */
function keeping(kept: (catalogue: readonly Entry[], now: number) => KeptNumbers): Retention {
  return (catalogue, now) => {
    demand("the catalogue of a retention policy", entriesRule, catalogue);
    const numbers = numbersOf(catalogue).toSorted((a, b) => a - b);
    const { keep: named, ...unranked } = kept(catalogue, now);
    const keep = new Set([...named, ...numbers.slice(-1)]);
    const decision = { keep: numbers.filter((n) => keep.has(n)), remove: numbers.filter((n) => !keep.has(n)) };
    return { ...decision, ...unranked };
  };
}

function numbersOf(catalogue: readonly Entry[]): readonly number[] {
  return catalogue.map(({ checkpoint }) => checkpoint);
}

/** The decisions of several policies. */
function decisions(policies: readonly Retention[], catalogue: readonly Entry[], now: number): {
  readonly kept: readonly (readonly number[])[];
  readonly unranked: Unranked;
} {
  const each = policies.map((policy) => decisionOf(policy, catalogue, now));
  return { kept: each.map(({ keep }) => keep), unranked: allUnranked(each) };
}

/** Orders entries newest first. */
function newer(a: Entry, b: Entry): number {
  return b.checkpoint - a.checkpoint;
}

/**
 * Keeps the newest checkpoints, those with the highest numbers.
 *
 * @param n The number of checkpoints to keep, an integer from 1.
 * @returns The policy.
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
  checkCurried(arguments, 1, "Retention.latest(n)(catalogue)");
  demand("n of Retention.latest", integer(1), n);
  return keeping((catalogue) => ({ keep: numbersOf([...catalogue].sort(newer).slice(0, n)) }));
}

/**
 * Keeps the checkpoints with the best values of a metric, and the newest checkpoint.
 *
 * A checkpoint without the metric, or with NaN, is never among the best. Of equal values, the newer checkpoint is better. If no checkpoint
 * has a number for the metric, all are kept, so that a misspelled name removes nothing. The decision lists the metric in `unknownMetrics`, or
 * in `nanMetrics` if it was NaN each time.
 *
 * @param n The number of best checkpoints to keep, an integer from 1.
 * @param metric The name of the metric, as in the option `metrics` of the save.
 * @param mode Whether lower (`"min"`) or higher (`"max"`) values are better.
 * @param options Whether to keep the checkpoints without the metric, too.
 * @returns The policy.
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
export function best(n: number, metric: string, mode: "min" | "max", options: BestOptions = {}): Retention {
  checkCurried(arguments, 4, "Retention.best(n, metric, mode, options)(catalogue)");
  demand("n of Retention.best", integer(1), n);
  const name = must("the name of a metric", (value) => typeof value === "string" && value !== "");
  demand("metric of Retention.best", name, metric);
  demand("mode of Retention.best", oneOf("min", "max"), mode);
  checkOptions("Retention.best", options, bestRules);
  const { keepUnmeasured = false } = options;
  return keeping((catalogue) => {
    const measured = ranked(catalogue, metric, mode);
    const without = catalogue.filter(({ metrics }) => !Object.hasOwn(metrics, metric));
    if (catalogue.length > 0 && measured.length === 0) {
      const why = without.length === catalogue.length ? "unknownMetrics" : "nanMetrics";
      return { keep: numbersOf(catalogue), [why]: [metric] };
    }
    return { keep: numbersOf([...measured.slice(0, n), ...keepUnmeasured ? without : []]) };
  });
}

/**
 * Keeps the checkpoints whose training step is a multiple of a number, and the newest checkpoint. A checkpoint without a step is not kept.
 *
 * @param n The interval in steps, an integer from 1.
 * @returns The policy.
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
  checkCurried(arguments, 1, "Retention.every(n)(catalogue)");
  demand("n of Retention.every", integer(1), n);
  return keeping((catalogue) => ({ keep: numbersOf(catalogue.filter(({ step }) => step !== null && step % n === 0)) }));
}

/**
 * Keeps the checkpoints with these training steps, and the newest checkpoint.
 *
 * @param pinned The steps, whole numbers from 0. A step that no checkpoint has keeps nothing.
 * @returns The policy.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const saved = (step: number, checkpoint: number): Entry => ({ checkpoint, step, metrics: {}, time: 0, bytes: 0, run: "a" });
 * const policy = Retention.any(Retention.latest(1), Retention.steps([1000, 5000]));
 * assert.deepEqual(policy([500, 1000, 1500, 2000].map(saved), 0), { keep: [1, 3], remove: [0, 2] });
 * ```
 */
export function steps(pinned: readonly number[]): Retention {
  checkCurried(arguments, 1, "Retention.steps(pinned)(catalogue)");
  demand("the steps of Retention.steps", listOf(integer(0)), pinned);
  const wanted = new Set<number | null>(pinned);
  return keeping((catalogue) => ({ keep: numbersOf(catalogue.filter(({ step }) => wanted.has(step))) }));
}

/** The length of a span in milliseconds; any other value is a `TypeError`. */
function checkedSpan(of: string, span: Span): number {
  demand(`span of Retention.${of}`, must(spanInWords, (u) => millisecondsOf(u) !== undefined), span);
  return millisecondsOf(span)!;
}

/**
 * Keeps the checkpoints saved within the last span of time, and the newest checkpoint.
 *
 * A checkpoint is judged by the clock of the machine at its save. One whose time is still to come, because the clock was set back, is kept.
 *
 * @param span The span, as text with a unit (`s`, `m`, `h`, `d`, `w`), such as `"12h"` or `"7d"`.
 * @returns The policy. It keeps less as time passes, and never more.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const hour = 3_600_000;
 * const saved = (time: number, checkpoint: number): Entry => ({ checkpoint, step: null, metrics: {}, time, bytes: 0, run: "a" });
 * const policy = Retention.within("7d");
 * assert.deepEqual(policy([0, 24 * hour, 96 * hour].map(saved), 180 * hour), { keep: [1, 2], remove: [0] });
 * ```
 */
export function within(span: Span): Retention {
  checkCurried(arguments, 1, "Retention.within(span)(catalogue)");
  const length = checkedSpan("within", span);
  return keeping((catalogue, now) => ({ keep: numbersOf(catalogue.filter(({ time }) => now - time <= length)) }));
}

/**
 * Keeps at most one checkpoint per interval of time, the newest of each, and the newest checkpoint.
 *
 * Intervals are counted from 1970-01-01 00:00 UTC: `"1h"` is each full hour, `"1d"` each day of UTC, `"1w"` begins on Thursdays. Therefore it
 * makes no difference whether the policy is applied after each save or once in the end.
 *
 * @param span The length of an interval, as text with a unit (`s`, `m`, `h`, `d`, `w`), such as `"1h"`.
 * @returns The policy. To thin out old checkpoints alone, combine it: `Retention.any(Retention.within("1d"), Retention.onePer("1d"))`.
 *
 * @example
 * ```ts
 * import { type Entry, Retention } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const minute = 60_000;
 * const saved = (time: number, checkpoint: number): Entry => ({ checkpoint, step: null, metrics: {}, time, bytes: 0, run: "a" });
 * const policy = Retention.onePer("1h");
 * assert.deepEqual(policy([5 * minute, 50 * minute, 65 * minute].map(saved), 0), { keep: [1, 2], remove: [0] });
 * ```
 */
export function onePer(span: Span): Retention {
  checkCurried(arguments, 1, "Retention.onePer(span)(catalogue)");
  const length = checkedSpan("onePer", span);
  return keeping((catalogue) => {
    const newest = new Map<number, number>();
    for (const { time, checkpoint } of catalogue) {
      const interval = Math.floor(time / length);
      newest.set(interval, Math.max(checkpoint, newest.get(interval) ?? checkpoint));
    }
    return { keep: newest.values() };
  });
}

// --- combinators

function checkPolicies(name: string, policies: readonly Retention[]): void {
  policies.forEach((policy, i) => demand(`policy ${i + 1} of ${name}`, aFunction, policy));
}

/**
 * Keeps each checkpoint that at least one of the policies keeps; without policies, only the newest.
 *
 * @param policies Policies of this module, or your own.
 * @returns The policy.
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
    const { kept, unranked } = decisions(policies, catalogue, now);
    return { keep: kept.flat(), ...unranked };
  });
}

/**
 * Keeps each checkpoint that all of the policies keep, and the newest; without policies, all checkpoints.
 *
 * @param policies Policies of this module, or your own.
 * @returns The policy.
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
    const { kept, unranked } = decisions(policies, catalogue, now);
    const sets = kept.map((keep) => new Set(keep));
    return { keep: numbersOf(catalogue).filter((n) => sets.every((keep) => keep.has(n))), ...unranked };
  });
}
