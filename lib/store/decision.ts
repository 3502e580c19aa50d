/**
 * The input and output of a retention policy.
 *
 * @module
 */
import type { Note } from "./note.ts";
import { demand, must, shown } from "../validation/mod.ts";

// --- types

/** One checkpoint in a catalogue. */
export interface Entry {
  /** The number of the checkpoint. */
  readonly checkpoint: number;
  /** The training step of the save, `null` if the run does not count steps. */
  readonly step: number | null;
  /** Its metrics, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** The time of the save, in milliseconds since 1970. */
  readonly time: number;
  /** The total size of its files, in bytes. */
  readonly bytes: number;
  /** The run that saved it. */
  readonly run: string;
  /**
   * The note that the save gave.
   * @default none
   */
  readonly note?: Note;
}

/** The numbers of the checkpoints to keep and to remove, each in ascending order. */
export interface Decision {
  /** The numbers to keep. */
  readonly keep: readonly number[];
  /** The numbers to remove. */
  readonly remove: readonly number[];
  /**
   * Metrics that the policy uses and no checkpoint of the catalogue has. Nothing is removed because of them.
   * @default none
   */
  readonly unknownMetrics?: readonly string[];
  /**
   * Metrics that the policy uses and that are NaN in every checkpoint that has them. Nothing is removed because of them.
   * @default none
   */
  readonly nanMetrics?: readonly string[];
}

/** The metrics of a decision by which it could not rank anything. */
export type Unranked = Pick<Decision, "unknownMetrics" | "nanMetrics">;

/** A retention policy: a pure function of the catalogue and the present time, in milliseconds since 1970. */
export type Retention = (catalogue: readonly Entry[], now: number) => Decision;

// --- combinators

/** The entries that have a number for a metric, the best first. NaN is no number. Of equal values, the newer checkpoint is better. */
export function ranked(entries: readonly Entry[], metric: string, mode: "min" | "max"): readonly Entry[] {
  const valueOf = ({ metrics }: Entry): number => Object.hasOwn(metrics, metric) ? metrics[metric]! : NaN;
  const sign = mode === "min" ? 1 : -1;
  return entries
    .map((entry) => ({ entry, value: valueOf(entry) }))
    .filter(({ value }) => !Number.isNaN(value))
    .sort((a, b) => a.value === b.value ? b.entry.checkpoint - a.entry.checkpoint : sign * (a.value < b.value ? -1 : 1))
    .map(({ entry }) => entry);
}

/** What several decisions could not rank by; each metric once, and no field without one. */
export function allUnranked(decisions: readonly Unranked[]): Unranked {
  const each = (["unknownMetrics", "nanMetrics"] as const).map((field) =>
    [field, [...new Set(decisions.flatMap((decision) => decision[field] ?? []))]] as const
  );
  return Object.fromEntries(each.filter(([, metrics]) => metrics.length > 0));
}

const isNumbers = (u: unknown): boolean => Array.isArray(u) && u.every((one) => typeof one === "number");
const names = must("an array of names", (u) => Array.isArray(u) && u.every((one) => typeof one === "string"));

/**
 * Runs a policy and checks its result, because a user's own policy may return anything. A wrong result is a `TypeError`.
 *
 * @param policy The policy. It gets a copy of the catalogue.
 * @param catalogue The entries to decide on.
 * @param now The present time in milliseconds since 1970.
 * @returns The decision. A number in both `keep` and `remove` is kept.
 */
export function decisionOf(policy: Retention, catalogue: readonly Entry[], now: number): Decision {
  const found: unknown = policy([...catalogue], now);
  const { keep, remove, unknownMetrics = [], nanMetrics = [] } = Object(found);
  if (!isNumbers(keep) || !isNumbers(remove)) {
    throw new TypeError(
      `Expected a retention policy to return { keep, remove }, arrays of checkpoint numbers, found ${shown(found)}`,
    );
  }
  demand("unknownMetrics of a retention policy", names, unknownMetrics);
  demand("nanMetrics of a retention policy", names, nanMetrics);
  const kept = new Set(keep);
  return { keep, remove: remove.filter((n: number) => !kept.has(n)), unknownMetrics, nanMetrics };
}
