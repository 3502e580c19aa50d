/**
 * The kinds of schedules: the fields of each, their io-ts types, and what a script chose of a schedule.
 *
 * @module
 */
import * as t from "io-ts";
import {
  checkOptionNames,
  dependent,
  exactRecord,
  finite,
  integer,
  listOf,
  must,
  oneOf,
  type OptionNames,
  orNull,
  type Plain,
  refine,
  tagged,
} from "../validation/mod.ts";

// --- types

/** The fields of each kind besides `kind` and `step`; its constructor documents them. */
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
    /** How often the rate has been reduced. */
    readonly reductions: number;
    /** The best metric so far, `null` before the first. */
    readonly best: number | null;
    /** How many consecutive steps have brought no improvement. */
    readonly bad: number;
    /** How many steps of the cooldown are left. */
    readonly cooling: number;
  };
  readonly warmup: { readonly steps: number; readonly from: number; readonly then: Schedule };
  /** The remaining schedules; the first is in use. */
  readonly sequence: { readonly parts: readonly { readonly schedule: Schedule; readonly steps: number }[] };
}

/** A schedule of one kind, and the number of steps taken in it. */
export type Of<K extends keyof Kinds> = Kinds[K] & {
  readonly _tag: "Schedule";
  readonly kind: K;
  readonly step: number;
};

/** A learning-rate schedule and the position of a run in it: frozen plain data, safe in JSON. */
export type Schedule = { readonly [K in keyof Kinds]: Of<K> }[keyof Kinds];

/** The fields of a plateau that steps change. */
type Counted = "reductions" | "best" | "bad" | "cooling";

/** The names of each constructor's arguments. */
type ArgumentNames = {
  readonly [K in Exclude<keyof Kinds, "warmup" | "sequence">]: OptionNames<Omit<Kinds[K], Counted>>;
};

const argumentNames: ArgumentNames = {
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

/** A schedule without its position: only the arguments of its constructor. */
function withoutPosition(s: Schedule): unknown {
  if (s.kind === "plateau") {
    const { _tag, step: _step, reductions: _reductions, best: _best, bad: _bad, cooling: _cooling, ...settings } = s;
    return settings;
  }
  const { _tag, step: _step, ...settings } = s;
  if (settings.kind === "warmup") return { ...settings, then: withoutPosition(settings.then) };
  if (settings.kind !== "sequence") return settings;
  return {
    ...settings,
    parts: settings.parts.map((part) => ({ ...part, schedule: withoutPosition(part.schedule) })),
  };
}

/** A schedule and what remains of it after each part of a composition has ended. */
function remainders(s: Schedule): readonly Schedule[] {
  if (s.kind === "warmup") return [s, ...remainders(s.then)];
  if (s.kind !== "sequence") return [s];
  const [head, second, ...rest] = s.parts;
  if (head === undefined || second === undefined) return [s];
  return [
    ...remainders(head.schedule).map((schedule) => ({ ...s, parts: [{ ...head, schedule }, second, ...rest] })),
    ...remainders(rest.length === 0 ? second.schedule : { ...s, parts: [second, ...rest] }),
  ];
}

/**
 * The settings of two schedules without their positions, for comparison: equal for two positions of one schedule.
 *
 * @param live The schedule of the script.
 * @param saved The schedule of the snapshot. Some parts of a composition may have ended in one of the two.
 * @returns Both settings, or nulls if they are the same. Of the live schedule, the remainder of the saved one's kind if there is one.
 */
export function settingsOf(live: Schedule, saved: Schedule): readonly [live: unknown, saved: unknown] {
  const text = (s: Schedule): string => JSON.stringify(withoutPosition(s));
  const ofLive = remainders(live);
  const isSame = ofLive.some((s) => text(s) === text(saved)) || remainders(saved).some((s) => text(s) === text(live));
  if (isSame) return [null, null];
  const nearest = ofLive.find(({ kind }) => kind === saved.kind) ?? live;
  return [withoutPosition(nearest), withoutPosition(saved)];
}

// --- checks

/** The arguments of a constructor, after a check of their names. */
export function argumentsOf<A extends object>(kind: keyof ArgumentNames, args: A): A {
  checkOptionNames(`Schedule.${kind}`, args, argumentNames[kind]);
  return args;
}

/** A learning rate. */
export const rateType: Plain<number> = refine(
  t.number,
  "a rate, which is a number from 0 that float32 can hold",
  (rate) => rate >= 0 && Number.isFinite(Math.fround(rate)),
);

const positive = finite("a finite number from 0", (x) => x >= 0);
const count = integer(0);
const steps = integer(1);

/** The schedules of one kind, from the types of the fields that only this kind has. */
function ofKind<K extends keyof Kinds>(
  kind: K,
  fields: { readonly [F in keyof Kinds[K]]: Plain<Kinds[K][F]> },
): Plain<Of<K>> {
  return exactRecord({ _tag: oneOf("Schedule"), kind: oneOf(kind), step: count, ...fields }) as t.Mixed as Plain<Of<K>>;
}

/** The kinds that hold no other schedule. */
const simpleKinds = {
  constant: ofKind("constant", { base: rateType }),
  step: ofKind("step", { base: rateType, every: steps, factor: positive }),
  multiStep: ofKind("multiStep", { base: rateType, milestones: listOf(count), factor: positive }),
  exponential: ofKind("exponential", { base: rateType, factor: positive }),
  cosine: ofKind("cosine", { base: rateType, steps, final: rateType }),
  linear: ofKind("linear", { base: rateType, steps, final: rateType }),
  oneCycle: ofKind("oneCycle", {
    peak: rateType,
    steps: integer(2),
    rise: finite("a fraction from 0 to 1", (x) => x >= 0 && x <= 1),
    initial: rateType,
    final: rateType,
  }),
  plateau: dependent(
    ofKind("plateau", {
      base: rateType,
      factor: finite("a number from 0 and below 1", (x) => x >= 0 && x < 1),
      patience: count,
      threshold: positive,
      mode: oneOf("min", "max"),
      cooldown: count,
      final: rateType,
      reductions: count,
      best: orNull(finite("a finite number", () => true)),
      bad: count,
      cooling: count,
    }),
    ({ patience, cooldown }) => ({ bad: integer(0, patience), cooling: integer(0, cooldown) }),
  ),
};

/** Deeper than any composition that a person writes, and shallow enough for every stack. */
const maxNesting = 32;

/** Schedules at a depth of nesting. A composition whose first part is over has been replaced by what follows. */
function scheduleAt(depth: number): Plain<Schedule> {
  const inner: Plain<Schedule> = depth < maxNesting
    ? t.recursion("a schedule", () => scheduleAt(depth + 1))
    : must(`nested at most ${maxNesting} deep`, () => false) as t.Mixed as Plain<Schedule>;
  const part = exactRecord({ schedule: inner, steps });
  return tagged<Schedule>("a schedule", "kind", {
    ...simpleKinds,
    warmup: dependent(
      ofKind("warmup", { steps, from: rateType, then: inner }),
      ({ steps }) => ({ step: integer(0, steps - 1) }),
    ),
    sequence: dependent(
      ofKind("sequence", { parts: refine(listOf(part), "an array of two or more parts", ({ length }) => length > 1) }),
      ({ parts }) => ({ step: integer(0, parts[0]!.steps - 1) }),
    ),
  });
}

/** A schedule of any kind, and those inside it. */
export const scheduleType: Plain<Schedule> = scheduleAt(0);

const kinds: ReadonlySet<unknown> = new Set([...Object.keys(simpleKinds), "warmup", "sequence"]);

/** Whether a value claims to be a schedule. It reads two fields only, since every step calls it. */
export function isSchedule(value: unknown): value is Schedule {
  return typeof value === "object" && value !== null && "_tag" in value && value._tag === "Schedule" &&
    "kind" in value && kinds.has(value.kind);
}
