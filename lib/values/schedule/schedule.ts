/**
 * Learning-rate schedules as immutable values: plain data that gives the rate of the next step.
 *
 * Every runtime gives the same rate, a float32. The first step costs as much as the millionth.
 *
 * @example
 * ```ts
 * import { pipe, Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * let schedule = pipe(Schedule.cosine({ base: 1e-3, steps: 1000 }), Schedule.warmup(10));
 * for (let step = 0; step < 10; step++) schedule = Schedule.next(schedule);
 * assert.equal(Schedule.rate(schedule), Math.fround(1e-3));
 * ```
 *
 * @module
 */
import type * as t from "io-ts";
import { checkCurried, demand, foundOrAwait, ifGiven, integer, must, plainCodec, shown } from "../../validation/mod.ts";
import { argumentsOf, isSchedule, type Kinds, type Of, rateType, type Schedule, scheduleType } from "./kinds.ts";
import { exactRate } from "./rates.ts";

// --- types

export type { Kinds, Of, Schedule } from "./kinds.ts";

// --- constructors

/** The values of fields that older checkpoints lack. A schedule leaves them out, so that it equals the saved one. */
const implied: Readonly<Record<string, unknown>> = { anneal: "cos", threePhase: false, thresholdMode: "rel" };

/** A copy of plain data without implied fields, frozen at every depth. */
function deepFrozen<A>(value: A): A {
  if (typeof value !== "object" || value === null) return value;
  const copy: unknown = Array.isArray(value) ? value.map(deepFrozen) : Object.fromEntries(
    Object.entries(value).filter(([name, field]) => field !== undefined && implied[name] !== field)
      .map(([name, field]) => [name, deepFrozen(field)]),
  );
  return Object.freeze(copy) as A;
}

/** A schedule before its first step; bad or unknown arguments are a `TypeError`. */
function scheduleOf<K extends keyof Kinds>(kind: K, args: Kinds[K]): Schedule {
  const schedule = { _tag: "Schedule", kind, step: 0, ...args };
  demand(kind, scheduleType, schedule);
  return deepFrozen(schedule as Schedule);
}

/**
 * A constant rate.
 *
 * @param args `base`: the rate.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Schedule.rate(Schedule.constant({ base: 0.5 })), 0.5);
 * ```
 */
export function constant(args: { readonly base: number }): Schedule {
  return scheduleOf("constant", argumentsOf("constant", args));
}

/**
 * A rate that is multiplied by a factor every few steps.
 *
 * @param args `base`: the first rate; `every`: the number of steps between two changes; `factor`: from 0, usually below 1.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const halving = Schedule.step({ base: 1, every: 2, factor: 0.5 });
 * assert.equal(Schedule.rate(Schedule.next(Schedule.next(halving))), 0.5);
 * ```
 */
export function step(args: { readonly base: number; readonly every: number; readonly factor: number }): Schedule {
  return scheduleOf("step", argumentsOf("step", args));
}

/**
 * A rate that is multiplied by a factor at each milestone.
 *
 * @param args `base`: the first rate; `milestones`: numbers of steps, in any order, where a repeated one counts twice; `factor`: from 0.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.multiStep({ base: 1, milestones: [1, 80], factor: 0.5 });
 * assert.equal(Schedule.rate(Schedule.next(schedule)), 0.5);
 * ```
 */
export function multiStep(
  args: { readonly base: number; readonly milestones: readonly number[]; readonly factor: number },
): Schedule {
  return scheduleOf("multiStep", argumentsOf("multiStep", args));
}

/**
 * A rate that is multiplied by a factor at every step.
 *
 * @param args `base`: the first rate; `factor`: from 0.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.exponential({ base: 1, factor: 0.5 });
 * assert.equal(Schedule.rate(Schedule.next(Schedule.next(schedule))), 0.25);
 * ```
 */
export function exponential(args: { readonly base: number; readonly factor: number }): Schedule {
  return scheduleOf("exponential", argumentsOf("exponential", args));
}

/**
 * Half a cosine from one rate to another, which then stays (Loshchilov and Hutter, "SGDR", 2017, without restarts).
 *
 * @param args `base`: the first rate; `steps`: the number of steps to the final rate; `final`: the last rate, default 0.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.cosine({ base: 1, steps: 2 });
 * assert.equal(Schedule.rate(Schedule.next(schedule)), 0.5);
 * ```
 */
export function cosine(args: { readonly base: number; readonly steps: number; readonly final?: number }): Schedule {
  return scheduleOf("cosine", { final: 0, ...argumentsOf("cosine", args) });
}

/**
 * A straight line from one rate to another, which then stays.
 *
 * @param args `base`: the first rate; `steps`: the number of steps to the final rate; `final`: the last rate, default 0.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.linear({ base: 1, steps: 4 });
 * assert.equal(Schedule.rate(Schedule.next(schedule)), 0.75);
 * ```
 */
export function linear(args: { readonly base: number; readonly steps: number; readonly final?: number }): Schedule {
  return scheduleOf("linear", { final: 0, ...argumentsOf("linear", args) });
}

/**
 * A power of a straight line from one rate to another, which then stays.
 *
 * The rates equal those of PyTorch's `PolynomialLR`, whose final rate is 0.
 *
 * @param args `base`: the first rate; `steps`: the number of steps to the final rate; `power`: the exponent, from 0, default 1; `final`:
 *   the last rate, default 0.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.polynomial({ base: 1, steps: 4, power: 2 });
 * assert.equal(Schedule.rate(Schedule.next(schedule)), 0.75 ** 2);
 * ```
 */
export function polynomial(
  args: { readonly base: number; readonly steps: number; readonly power?: number; readonly final?: number },
): Schedule {
  return scheduleOf("polynomial", { power: 1, final: 0, ...argumentsOf("polynomial", args) });
}

/**
 * Up to a peak, then down to far below the first rate (Smith and Topin, "Super-convergence", 2018).
 *
 * The rates equal those of PyTorch's `OneCycleLR`: step `rise * steps - 1` has the peak, step `steps - 1` the final rate, which then stays.
 *
 * @param args `peak`: the highest rate; `steps`: of the whole cycle, at least 2; `rise`: the fraction of steps up to the peak, default 0.3;
 *   `initial`: the first rate, default `peak / 25`; `final`: the last rate, default `initial / 10_000`; `anneal`: half cosines (`"cos"`, the
 *   default) or straight lines (`"linear"`); `threePhase`: if true, the rate first falls to `initial`, in as many steps as it rose, and then
 *   to `final`; default false. With three phases `rise` is at most 0.5.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Schedule.rate(Schedule.oneCycle({ peak: 1, steps: 100 })), Math.fround(1 / 25));
 * ```
 */
export function oneCycle(args: {
  readonly peak: number;
  readonly steps: number;
  readonly rise?: number;
  readonly initial?: number;
  readonly final?: number;
  readonly anneal?: "cos" | "linear";
  readonly threePhase?: boolean;
}): Schedule {
  demand("oneCycle.peak", rateType, argumentsOf("oneCycle", args).peak);
  const { peak, initial = peak / 25 } = args;
  demand("oneCycle.initial", rateType, initial);
  return scheduleOf("oneCycle", { rise: 0.3, initial, final: initial / 10_000, ...args });
}

/**
 * A rate that is multiplied by a factor when a metric has stopped improving.
 *
 * A metric improves if it beats the best so far by more than a margin: `threshold` times the magnitude of that best, or `threshold` itself.
 * The rates equal those of PyTorch's `ReduceLROnPlateau` with `eps=0`. A metric that is NaN or infinite (a loss that diverged) is no error:
 * it counts as no improvement.
 *
 * @param args `base`: the first rate; `factor`: below 1; `patience`: how many steps without improvement to accept; `threshold`: default
 *   1e-4; `thresholdMode`: relative to the best (`"rel"`, the default) or absolute (`"abs"`); `mode`: whether lower (`"min"`, the default) or higher is better; `cooldown`: how many steps after a reduction do not count as
 *   bad, default 0; `final`: the lowest rate, default 0.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.plateau({ base: 1, factor: 0.5, patience: 0 });
 * const better = Schedule.next(Schedule.next(schedule, 3), 2);
 * assert.equal(Schedule.rate(better), 1);
 * assert.equal(Schedule.rate(Schedule.next(better, 2)), 0.5);
 * ```
 */
export function plateau(args: {
  readonly base: number;
  readonly factor: number;
  readonly patience: number;
  readonly threshold?: number;
  readonly thresholdMode?: "rel" | "abs";
  readonly mode?: "min" | "max";
  readonly cooldown?: number;
  readonly final?: number;
}): Schedule {
  const defaults = { threshold: 1e-4, mode: "min", cooldown: 0, final: 0 } as const;
  const start = { reductions: 0, best: null, bad: 0, cooling: 0 };
  return scheduleOf("plateau", { ...defaults, ...start, ...argumentsOf("plateau", args) });
}

/**
 * A straight line up to the first rate of a schedule, followed by the schedule.
 *
 * @param steps The number of steps of the line; 0 returns the schedule itself.
 * @param from The rate of the first step, default 0.
 *
 * @example
 * ```ts
 * import { pipe, Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = pipe(Schedule.cosine({ base: 1, steps: 100 }), Schedule.warmup(4));
 * assert.equal(Schedule.rate(Schedule.next(schedule)), 0.25);
 * ```
 */
export function warmup(steps: number, from = 0): (schedule: Schedule) => Schedule {
  checkCurried(arguments, 2, "Schedule.warmup(steps, from)(schedule)");
  demand("steps of Schedule.warmup", integer(0), steps);
  demand("from of Schedule.warmup", rateType, from);
  return (schedule) => {
    demand("the schedule of Schedule.warmup", scheduleType, schedule);
    return steps === 0 ? schedule : scheduleOf("warmup", { steps, from, then: schedule });
  };
}

/**
 * Schedules one after another.
 *
 * @param parts Each schedule, and the number of steps to use it for; the last one continues for ever, and its number is ignored.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [high, low] = [Schedule.constant({ base: 1 }), Schedule.constant({ base: 0.5 })];
 * assert.equal(Schedule.rate(Schedule.next(Schedule.sequence([[high, 1], [low, 1]]))), 0.5);
 * ```
 */
export function sequence(parts: readonly (readonly [schedule: Schedule, steps: number])[]): Schedule {
  const some = must("an array of at least one schedule and its steps", (u) => Array.isArray(u) && u.length > 0);
  demand("parts of Schedule.sequence", some, parts);
  for (const [i, part] of parts.entries()) {
    const name = `parts[${i}] of Schedule.sequence`;
    demand(name, must("[schedule, steps]", (u) => Array.isArray(u) && u.length === 2), part);
    demand(`the schedule in ${name}`, scheduleType, part[0]);
    demand(`the steps in ${name}`, integer(1), part[1]);
  }
  const [[only]] = parts as readonly [readonly [Schedule, number]];
  return parts.length === 1
    ? only
    : scheduleOf("sequence", { parts: parts.map(([schedule, steps]) => ({ schedule, steps })) });
}

/**
 * Schedules side by side, whose rates are multiplied.
 *
 * The first one usually gives the rate, and the others factors of it, with 1 as their `base`. PyTorch's `ChainedScheduler` does the same.
 *
 * @param schedules At least one. Each step moves all of them on; a metric is passed to all of them.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [line, drop] = [Schedule.linear({ base: 0.5, steps: 4 }), Schedule.step({ base: 1, every: 1, factor: 0.5 })];
 * assert.equal(Schedule.rate(Schedule.next(Schedule.product([line, drop]))), 0.375 * 0.5);
 * ```
 */
export function product(schedules: readonly Schedule[]): Schedule {
  const some = must("an array of at least one schedule", (u) => Array.isArray(u) && u.length > 0);
  demand("schedules of Schedule.product", some, schedules);
  schedules.forEach((schedule, i) => demand(`schedules[${i}] of Schedule.product`, scheduleType, schedule));
  return schedules.length === 1 ? schedules[0]! : scheduleOf("product", { factors: schedules });
}

// --- capture and restore

/**
 * The codec of {@link Schedule}: it encodes as itself. Decoding rejects missing, unknown and impossible fields, with a message for each.
 * Law: round trip.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.cosine({ base: 1e-3, steps: 285 });
 * assert.deepEqual(Schedule.codec.decode(JSON.parse(JSON.stringify(schedule))), { _tag: "Right", right: schedule });
 * ```
 */
export const codec: t.Type<Schedule, Schedule, unknown> = plainCodec("Schedule", scheduleType, deepFrozen);

// --- combinators

/** The largest float32. */
const largestRate = (2 - 2 ** -23) * 2 ** 127;

/**
 * The rate of the next step.
 *
 * @param schedule The schedule at its position.
 * @returns A float32 value, since optimizers compute in float32: `Math.fround(0.1)` for 0.1. It is the same in every runtime. It is always
 *   finite and at least 0: a rate that grows beyond float32 is the largest float32.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Schedule.rate(Schedule.linear({ base: 0.1, steps: 10 })), Math.fround(0.1));
 * ```
 */
export function rate(schedule: Schedule): number {
  requireSchedule("Schedule.rate", schedule);
  return Math.min(Math.fround(exactRate(schedule)), largestRate);
}

/**
 * The schedule after one step of the optimizer. If the optimizer skips a step (gradients overflowed, or are accumulated), do not call it.
 *
 * @param schedule The schedule, which does not change.
 * @param metric The metric of a {@link plateau}, usually the validation loss: required there (otherwise a `TypeError`), ignored elsewhere.
 *
 * @example
 * ```ts
 * import { Schedule } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const schedule = Schedule.linear({ base: 1, steps: 2 });
 * assert.deepEqual([schedule, Schedule.next(schedule)].map(Schedule.rate), [1, 0.5]);
 * ```
 */
export function next(schedule: Schedule, metric?: number): Schedule {
  requireSchedule("Schedule.next", schedule);
  demand("metric of Schedule.next", metricType, metric);
  const step = schedule.step + 1;
  switch (schedule.kind) {
    case "plateau":
      return Object.freeze({ ...afterMetric(schedule, metric), step });
    case "warmup":
      return step < schedule.steps ? Object.freeze({ ...schedule, step }) : schedule.then;
    case "sequence": {
      const [head, second, ...rest] = schedule.parts;
      if (step === head!.steps) {
        return rest.length === 0
          ? second!.schedule
          : Object.freeze({ ...schedule, step: 0, parts: Object.freeze([second!, ...rest]) });
      }
      const moved = Object.freeze({ ...head!, schedule: next(head!.schedule, metric) });
      return Object.freeze({ ...schedule, step, parts: Object.freeze([moved, second!, ...rest]) });
    }
    case "product": {
      const factors = Object.freeze(schedule.factors.map((factor) => next(factor, metric)));
      return Object.freeze({ ...schedule, step, factors });
    }
    default:
      return Object.freeze({ ...schedule, step });
  }
}

const metricType = ifGiven(must("a number", (value) => typeof value === "number"));

function requireSchedule(name: string, found: unknown): void {
  if (isSchedule(found)) return;
  const remedy = "make one with Schedule.constant or another constructor";
  throw new TypeError(`Expected ${name} to receive a schedule, found ${foundOrAwait(found, remedy)}`);
}

function afterMetric(s: Of<"plateau">, metric: number | undefined): Of<"plateau"> {
  if (typeof metric !== "number") {
    const found = `found ${shown(metric)}: pass it as in next(schedule, validationLoss)`;
    throw new TypeError(`Expected the metric that a plateau schedule watches, ${found}`);
  }
  const margin = s.thresholdMode === "abs" ? s.threshold : s.threshold * Math.abs(s.best ?? 0);
  const better = Number.isFinite(metric) &&
    (s.best === null || (s.mode === "min" ? metric < s.best - margin : metric > s.best + margin));
  const bad = better || s.cooling > 0 ? 0 : s.bad + 1;
  const best = better ? metric : s.best;
  return bad > s.patience
    ? { ...s, best, bad: 0, cooling: s.cooldown, reductions: s.reductions + 1 }
    : { ...s, best, bad, cooling: Math.max(0, s.cooling - 1) };
}
