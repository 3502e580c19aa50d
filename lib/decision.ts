/**
 * What a retention policy is given, and what it decides.
 *
 * @module
 */
import { shown } from "./rules.ts";

// --- types

/** What a catalogue says of one checkpoint. */
export interface Entry {
  readonly checkpoint: number;
  /** The training step it was saved at, `null` if the run counts none. */
  readonly step: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  /** When it was committed, in milliseconds since 1970. */
  readonly time: number;
  /** What it takes up, in bytes. */
  readonly bytes: number;
  /** The run that saved it. */
  readonly run: string;
}

/** The numbers of the checkpoints that stay and of those that go, each in ascending order. */
export interface Decision {
  readonly keep: readonly number[];
  readonly remove: readonly number[];
  /**
   * Metrics that the policy asks for and no checkpoint of the catalogue has: nothing is removed on their account.
   * @default none
   */
  readonly unknownMetrics?: readonly string[];
}

/** A policy: a pure function of the catalogue and the present time, in milliseconds since 1970. */
export type Retention = (catalogue: readonly Entry[], now: number) => Decision;

// --- combinators

const isNumbers = (u: unknown): boolean => Array.isArray(u) && u.every((one) => typeof one === "number");
const isStrings = (u: unknown): boolean => Array.isArray(u) && u.every((one) => typeof one === "string");

/**
 * What a policy decides: one of the user's own may answer with anything, which is a `TypeError`.
 *
 * @param policy The policy, which gets a copy of the catalogue.
 * @param catalogue The entries it judges.
 * @param now The present time.
 * @returns Its decision; what it both keeps and removes is kept.
 */
export function decisionOf(policy: Retention, catalogue: readonly Entry[], now: number): Decision {
  const found: unknown = policy([...catalogue], now);
  const { keep, remove, unknownMetrics = [] } = Object(found);
  if (!isNumbers(keep) || !isNumbers(remove)) {
    throw new TypeError(
      `Expected a retention policy to give { keep, remove }, arrays of checkpoints' numbers, found ${shown(found)}`,
    );
  }
  if (!isStrings(unknownMetrics)) {
    throw new TypeError(
      `Expected unknownMetrics of a retention policy to be an array of names, found ${shown(unknownMetrics)}`,
    );
  }
  const kept = new Set(keep);
  return { keep, remove: remove.filter((n: number) => !kept.has(n)), unknownMetrics };
}
