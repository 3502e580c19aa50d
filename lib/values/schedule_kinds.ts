/**
 * The kinds of schedules: the fields of each, their io-ts types, and what a script chose of a schedule.
 *
 * @module
 */
import * as RR from "fp-ts/lib/ReadonlyRecord.js";
import * as t from "io-ts";
import { tagOf } from "../errors/mod.ts";
import {
  checkOptionNames,
  dependent,
  exactRecord,
  finite,
  integer,
  isPlainRecord,
  listOf,
  must,
  oneOf,
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

/** The kinds that hold no other schedule. */
type Simple = Exclude<keyof Kinds, "warmup" | "sequence">;

type ScheduleFields<Fields> = { readonly [F in keyof Fields]: Plain<Fields[F]> };

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

/** Of each kind that holds no other schedule, the fields that its constructor sets. */
const chosen: { readonly [K in Simple]: ScheduleFields<Omit<Kinds[K], keyof typeof counted>> } = {
  constant: { base: rateType },
  step: { base: rateType, every: steps, factor: positive },
  multiStep: { base: rateType, milestones: listOf(count), factor: positive },
  exponential: { base: rateType, factor: positive },
  cosine: { base: rateType, steps, final: rateType },
  linear: { base: rateType, steps, final: rateType },
  oneCycle: {
    peak: rateType,
    steps: integer(2),
    rise: finite("a fraction from 0 to 1", (x) => x >= 0 && x <= 1),
    initial: rateType,
    final: rateType,
  },
  plateau: {
    base: rateType,
    factor: finite("a number from 0 and below 1", (x) => x >= 0 && x < 1),
    patience: count,
    threshold: positive,
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
  });
}

/** A schedule of any kind, and those inside it. */
export const scheduleType: Plain<Schedule> = scheduleAt(0);

const kinds: ReadonlySet<unknown> = new Set([...Object.keys(simpleKinds), "warmup", "sequence"]);

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
