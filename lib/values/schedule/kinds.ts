/**
 * The kinds of schedules: the fields of each, their io-ts types, and what a script chose of a schedule.
 *
 * @module
 */
import * as RR from "fp-ts/lib/ReadonlyRecord.js";
import * as t from "io-ts";
import { tagOf } from "../../errors/mod.ts";
import {
  aBoolean,
  checkOptionNames,
  dependent,
  exactRecord,
  finite,
  ifGiven,
  integer,
  isPlainRecord,
  listOf,
  must,
  oneOf,
  orNull,
  type Plain,
  refine,
  tagged,
} from "../../validation/mod.ts";

// --- types

/** The fields of each kind besides `kind` and `step`; its constructor documents them. */
export interface Kinds {
  /** Of `Schedule.constant`. */
  readonly constant: { readonly base: number };
  /** Of `Schedule.step`. */
  readonly step: { readonly base: number; readonly every: number; readonly factor: number };
  /** Of `Schedule.multiStep`. */
  readonly multiStep: { readonly base: number; readonly milestones: readonly number[]; readonly factor: number };
  /** Of `Schedule.exponential`. */
  readonly exponential: { readonly base: number; readonly factor: number };
  /** Of `Schedule.cosine`. */
  readonly cosine: { readonly base: number; readonly steps: number; readonly final: number };
  /** Of `Schedule.linear`. */
  readonly linear: { readonly base: number; readonly steps: number; readonly final: number };
  /** Of `Schedule.polynomial`. */
  readonly polynomial: {
    readonly base: number;
    readonly steps: number;
    readonly power: number;
    readonly final: number;
  };
  /** Of `Schedule.oneCycle`. */
  readonly oneCycle: {
    readonly peak: number;
    readonly steps: number;
    readonly rise: number;
    readonly initial: number;
    readonly final: number;
    /** Absent: `"cos"`. */
    readonly anneal?: "cos" | "linear" | undefined;
    /** Absent: false. */
    readonly threePhase?: boolean | undefined;
  };
  /** Of `Schedule.plateau`. */
  readonly plateau: {
    readonly base: number;
    readonly factor: number;
    readonly patience: number;
    readonly threshold: number;
    /** Absent: `"rel"`. */
    readonly thresholdMode?: "rel" | "abs" | undefined;
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
  /** Of `Schedule.warmup`. */
  readonly warmup: { readonly steps: number; readonly from: number; readonly then: Schedule };
  /** The remaining schedules; the first is in use. */
  readonly sequence: { readonly parts: readonly { readonly schedule: Schedule; readonly steps: number }[] };
  /** Of `Schedule.product`. */
  readonly product: { readonly factors: readonly Schedule[] };
}

/** A schedule of one kind, and the number of steps taken in it. */
export type Of<K extends keyof Kinds> = Kinds[K] & {
  readonly _tag: "Schedule";
  readonly kind: K;
  readonly step: number;
};

/** A learning-rate schedule and the position of a run in it: frozen plain data, safe in JSON. */
export type Schedule = { readonly [K in keyof Kinds]: Of<K> }[keyof Kinds];

/** The kinds that hold no other schedule. */
type Simple = Exclude<keyof Kinds, "warmup" | "sequence" | "product">;

type ScheduleFields<Fields> = { readonly [F in keyof Fields]-?: Plain<Fields[F]> };

// --- checks

/** A learning rate. */
export const rateType: Plain<number> = refine(
  t.number,
  "a rate, which is a number from 0 that float32 can hold",
  (rate) => rate >= 0 && Number.isFinite(Math.fround(rate)),
);

const positive = finite("a finite number from 0", (x) => x >= 0);
const count = integer(0);
const steps = integer(1);
const fractionTo = (end: number): Plain<number> => finite(`a fraction from 0 to ${end}`, (x) => x >= 0 && x <= end);

/** Of each kind that holds no other schedule, the fields that its constructor sets. */
const chosen: { readonly [K in Simple]: ScheduleFields<Omit<Kinds[K], keyof typeof counted>> } = {
  constant: { base: rateType },
  step: { base: rateType, every: steps, factor: positive },
  multiStep: { base: rateType, milestones: listOf(count), factor: positive },
  exponential: { base: rateType, factor: positive },
  cosine: { base: rateType, steps, final: rateType },
  linear: { base: rateType, steps, final: rateType },
  polynomial: { base: rateType, steps, power: positive, final: rateType },
  oneCycle: {
    peak: rateType,
    steps: integer(2),
    rise: fractionTo(1),
    initial: rateType,
    final: rateType,
    anneal: ifGiven(oneOf("cos", "linear")),
    threePhase: ifGiven(aBoolean),
  },
  plateau: {
    base: rateType,
    factor: finite("a number from 0 and below 1", (x) => x >= 0 && x < 1),
    patience: count,
    threshold: positive,
    thresholdMode: ifGiven(oneOf("rel", "abs")),
    mode: oneOf("min", "max"),
    cooldown: count,
    final: rateType,
  },
};

/** The fields of a plateau that steps change. */
const counted = { reductions: count, best: orNull(finite("a finite number", () => true)), bad: count, cooling: count };

/** The arguments of a constructor, after a check of their names. */
export function argumentsOf<A extends object>(kind: Simple, args: A): A {
  checkOptionNames(`Schedule.${kind}`, args, chosen[kind]);
  return args;
}

/** The schedules of one kind, from the types of the fields that only this kind has. */
function ofKind<K extends keyof Kinds>(kind: K, fields: ScheduleFields<Kinds[K]>): Plain<Of<K>> {
  return exactRecord({ _tag: oneOf("Schedule"), kind: oneOf(kind), step: count, ...fields }) as t.Mixed as Plain<Of<K>>;
}

/** The kinds that hold no other schedule. */
const simpleKinds = {
  ...RR.mapWithIndex((kind: Simple, fields) => ofKind(kind, fields as never) as t.Mixed as Plain<Schedule>)(chosen),
  oneCycle: dependent(
    ofKind("oneCycle", chosen.oneCycle),
    ({ threePhase }) => ({ rise: fractionTo(threePhase === true ? 0.5 : 1) }),
  ),
  plateau: dependent(
    ofKind("plateau", { ...chosen.plateau, ...counted }),
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
    product: ofKind("product", {
      factors: refine(listOf(inner), "an array of two or more schedules", ({ length }) => length > 1),
    }),
  });
}

/** A schedule of any kind, and those inside it. */
export const scheduleType: Plain<Schedule> = scheduleAt(0);

const kinds: ReadonlySet<unknown> = new Set([...Object.keys(simpleKinds), "warmup", "sequence", "product"]);

/** Whether a value claims to be a schedule. It reads two fields only, since every step calls it. */
export function isSchedule(value: unknown): value is Schedule {
  return tagOf(value) === "Schedule" && kinds.has((value as Schedule).kind);
}

// --- what a script chose

/** The names of the fields that steps change, and the tag. */
const position: ReadonlySet<string> = new Set(["_tag", "step", ...Object.keys(counted)]);

/** A schedule without its position: only the arguments of its constructor. */
function withoutPosition(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPosition);
  if (!isPlainRecord(value)) return value;
  const settings = Object.entries(value).filter(([name]) => !position.has(name));
  return Object.fromEntries(settings.map(([name, setting]) => [name, withoutPosition(setting)]));
}

/** The settings of schedules as text. */
function settingsText(value: unknown): string {
  return JSON.stringify(withoutPosition(value));
}

/** What remains of a sequence when its first part has ended. */
function afterFirst({ parts: [, second, ...rest], ...sequence }: Of<"sequence">): Schedule {
  return rest.length === 0 ? second!.schedule : { ...sequence, parts: [second!, ...rest] };
}

/** Whether one schedule has the settings of another at some later step of it, when some parts of its compositions have ended. */
function leadsTo(from: Schedule, to: Schedule): boolean {
  if (settingsText(from) === settingsText(to)) return true;
  switch (from.kind) {
    case "warmup":
      return leadsTo(from.then, to);
    case "sequence": {
      if (leadsTo(afterFirst(from), to)) return true;
      if (to.kind !== "sequence") return false;
      const [[head, ...others], [toHead, ...toOthers]] = [from.parts, to.parts];
      return head!.steps === toHead!.steps && leadsTo(head!.schedule, toHead!.schedule) &&
        settingsText(others) === settingsText(toOthers);
    }
    case "product":
      return to.kind === "product" && from.factors.length === to.factors.length &&
        from.factors.every((factor, i) => leadsTo(factor, to.factors[i]!));
    default:
      return false;
  }
}

/** A schedule, and those that it can end as. */
function ends(s: Schedule): readonly Schedule[] {
  if (s.kind === "warmup") return [s, ...ends(s.then)];
  return s.kind === "sequence" ? [s, ...ends(s.parts.at(-1)!.schedule)] : [s];
}

/**
 * The settings of two schedules without their positions, for comparison: equal for two positions of one schedule.
 *
 * @param live The schedule of the script.
 * @param saved The schedule of the snapshot. Some parts of a composition may have ended in one of the two.
 * @returns Both settings, or nulls if they are the same. Of the live schedule, the remainder of the saved one's kind if there is one.
 */
export function settingsOf(live: Schedule, saved: Schedule): readonly [live: unknown, saved: unknown] {
  if (leadsTo(live, saved) || leadsTo(saved, live)) return [null, null];
  const nearest = ends(live).find(({ kind }) => kind === saved.kind) ?? live;
  return [withoutPosition(nearest), withoutPosition(saved)];
}
