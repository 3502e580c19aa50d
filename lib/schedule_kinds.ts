/**
 * The kinds of schedule: what each holds, and the rule it keeps.
 *
 * @module
 */
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import { integer, listOf, must, oneOf, record, refined, type Rule, shown } from "./rules.ts";

// --- types

/** What each kind of schedule holds besides its name and the number of steps taken; its constructor says what the fields mean. */
export interface Kinds {
  readonly constant: { readonly base: number };
  readonly step: { readonly base: number; readonly every: number; readonly factor: number };
  readonly multiStep: { readonly base: number; readonly milestones: readonly number[]; readonly factor: number };
  readonly exponential: { readonly base: number; readonly factor: number };
  readonly cosine: { readonly base: number; readonly steps: number; readonly final: number };
  readonly linear: { readonly base: number; readonly steps: number; readonly final: number };
  readonly oneCycle: {
    readonly peak: number;
    readonly steps: number;
    readonly rise: number;
    readonly initial: number;
    readonly final: number;
  };
  readonly plateau: {
    readonly base: number;
    readonly factor: number;
    readonly patience: number;
    readonly threshold: number;
    readonly mode: "min" | "max";
    readonly cooldown: number;
    readonly final: number;
    /** How many times the rate has been reduced. */
    readonly reductions: number;
    /** The best metric so far, `null` before the first. */
    readonly best: number | null;
    /** How many steps in a row have brought no improvement. */
    readonly bad: number;
    /** How many steps of the cooldown are left. */
    readonly cooling: number;
  };
  readonly warmup: { readonly steps: number; readonly from: number; readonly then: Schedule };
  /** What is left, the schedule in use first. */
  readonly sequence: { readonly parts: readonly { readonly schedule: Schedule; readonly steps: number }[] };
}

/** A schedule of one kind, and the steps taken in it. */
export type Of<K extends keyof Kinds> = Kinds[K] & {
  readonly _tag: "Schedule";
  readonly kind: K;
  readonly step: number;
};

/** A learning-rate schedule and where a run stands in it: frozen plain data, safe in JSON. */
export type Schedule = { readonly [K in keyof Kinds]: Of<K> }[keyof Kinds];

/** The fields in which a schedule counts its steps. */
type Counted = "reductions" | "best" | "bad" | "cooling";

/** What constructors take, by name. */
type Args = { readonly [K in Exclude<keyof Kinds, "warmup" | "sequence">]: OptionNames<Omit<Kinds[K], Counted>> };

const args: Args = {
  constant: { base: true },
  step: { base: true, every: true, factor: true },
  multiStep: { base: true, milestones: true, factor: true },
  exponential: { base: true, factor: true },
  cosine: { base: true, steps: true, final: true },
  linear: { base: true, steps: true, final: true },
  oneCycle: { peak: true, steps: true, rise: true, initial: true, final: true },
  plateau: { base: true, factor: true, patience: true, threshold: true, mode: true, cooldown: true, final: true },
};
// --- what a script chose

/** A schedule without its position: only what its constructor was given. */
function withoutPosition(s: Schedule): unknown {
  if (s.kind === "plateau") {
    const { _tag, step: _step, reductions: _reductions, best: _best, bad: _bad, cooling: _cooling, ...chosen } = s;
    return chosen;
  }
  const { _tag, step: _step, ...chosen } = s;
  if (chosen.kind === "warmup") return { ...chosen, then: withoutPosition(chosen.then) };
  if (chosen.kind !== "sequence") return chosen;
  return {
    ...chosen,
    parts: chosen.parts.map((part) => ({ ...part, schedule: withoutPosition(part.schedule) })),
  };
}

/** What steps make of a schedule: itself, and what is left of a composition after each of its parts. */
function forms(s: Schedule): readonly Schedule[] {
  if (s.kind === "warmup") return [s, ...forms(s.then)];
  if (s.kind !== "sequence") return [s];
  const [head, second, ...rest] = s.parts;
  if (head === undefined || second === undefined) return [s];
  return [
    ...forms(head.schedule).map((schedule) => ({ ...s, parts: [{ ...head, schedule }, second, ...rest] })),
    ...forms(rest.length === 0 ? second.schedule : { ...s, parts: [second, ...rest] }),
  ];
}

/**
 * What a script chose of two schedules, wherever a run is in them: the same for two positions of one schedule.
 *
 * @param live The script's.
 * @param saved The snapshot's, in which a composition may be past some of its parts, or the live one is.
 * @returns Both without positions: of the live one what steps make of it, in the form nearest to the saved one.
 */
export function chosen(live: Schedule, saved: Schedule): readonly [live: unknown, saved: unknown] {
  const text = (s: Schedule): string => JSON.stringify(withoutPosition(s));
  const [mine, theirs] = [forms(live), forms(saved)];
  if (mine.some((form) => text(form) === text(saved)) || theirs.some((form) => text(form) === text(live))) {
    return [null, null];
  }
  const near = mine.find(({ kind }) => kind === saved.kind) ?? live;
  return [withoutPosition(near), withoutPosition(saved)];
}

// --- rules

/** What a constructor was given, if it has the names that the constructor knows. */
export function known<A extends object>(kind: keyof Args, given: A): A {
  checkOptionNames(`Schedule.${kind}`, given, args[kind]);
  return given;
}

/** The rule for a learning rate. */
export const rateRule: Rule = must(
  "a rate, which is a number from 0 that float32 can hold",
  (value) => typeof value === "number" && value >= 0 && Number.isFinite(Math.fround(value)),
);

function numberRule(expected: string, holds: (value: number) => boolean): Rule {
  return must(expected, (value) => typeof value === "number" && Number.isFinite(value) && holds(value));
}

const factorRule = numberRule("a finite number from 0", (x) => x >= 0);
const count = integer(0);
const steps = integer(1);

/** Deeper than any composition a person writes, and shallow enough for every stack. */
const deepest = 32;

/** The fields of each kind; a schedule inside a schedule keeps the rule `inner`. */
function fields(inner: Rule): Readonly<Record<keyof Kinds, Readonly<Record<string, Rule>>>> {
  return {
    constant: { base: rateRule },
    step: { base: rateRule, every: steps, factor: factorRule },
    multiStep: { base: rateRule, milestones: listOf(count), factor: factorRule },
    exponential: { base: rateRule, factor: factorRule },
    cosine: { base: rateRule, steps, final: rateRule },
    linear: { base: rateRule, steps, final: rateRule },
    oneCycle: {
      peak: rateRule,
      steps: integer(2),
      rise: numberRule("a fraction from 0 to 1", (x) => x >= 0 && x <= 1),
      initial: rateRule,
      final: rateRule,
    },
    plateau: {
      base: rateRule,
      factor: numberRule("a number from 0 and below 1", (x) => x >= 0 && x < 1),
      patience: count,
      threshold: factorRule,
      mode: oneOf("min", "max"),
      cooldown: count,
      final: rateRule,
      reductions: count,
      best: must("a finite number or null", (value) => value === null || Number.isFinite(value)),
      bad: count,
      cooling: count,
    },
    warmup: { steps, from: rateRule, then: inner },
    sequence: { parts: listOf(record({ schedule: inner, steps })) },
  };
}

/** Whether steps can lead here; a composition whose first part is over has been replaced by what follows. */
function reachable(s: Schedule): boolean {
  switch (s.kind) {
    case "plateau":
      return s.bad <= s.patience && s.cooling <= s.cooldown;
    case "warmup":
      return s.step < s.steps;
    case "sequence":
      return s.parts.length > 1 && s.step < s.parts[0]!.steps;
    default:
      return true;
  }
}

function rule(depth: number): Rule {
  return (value, name) => {
    const kind: unknown = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
    const inner = depth < deepest ? rule(depth + 1) : must(`nested at most ${deepest} deep`, () => false);
    const known: Readonly<Record<string, Readonly<Record<string, Rule>>>> = fields(inner);
    if (typeof kind !== "string" || !Object.hasOwn(known, kind)) {
      return [`Expected ${name} to be a schedule of a known kind, found ${shown(kind ?? value)}`];
    }
    const own = record({ _tag: oneOf("Schedule"), kind: oneOf(kind), step: count, ...known[kind] });
    const possible = must(`a ${kind} that steps can lead to`, (found) => reachable(found as Schedule));
    return refined(own, possible)(value, name);
  };
}

const kinds: ReadonlySet<string> = new Set(Object.keys(fields(must("a schedule", () => false))));

/** Whether a value says that it is a schedule, without a look at its fields: what each step can afford. */
export function isSchedule(value: unknown): value is Schedule {
  return typeof value === "object" && value !== null && "_tag" in value && value._tag === "Schedule" &&
    "kind" in value && kinds.has(value.kind as string);
}

/** The rule for a schedule of any kind, and for those inside it. */
export const scheduleRule: Rule = rule(0);
