/**
 * Sorting of checkpoints, and the choice of their metrics, as `--sort` and `--metric` ask for it.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { type Usage, usage } from "./arguments.ts";
import type { CheckpointStatus } from "./checkpoint_status.ts";
import { didYouMean } from "./suggestion.ts";

// --- types

/** An order of checkpoints: by one of {@link sortKeys}, or by a metric. */
export interface SortOrder {
  readonly key: string;
  readonly order: "asc" | "desc";
}

// --- parsing

/** The keys that are no metrics. */
export const sortKeys: readonly string[] = ["checkpoint", "time", "step", "size"];

/** Parses `KEY` or `KEY:asc`: greatest first, unless the order is given. */
export function parseSort(text: string): E.Either<Usage, SortOrder> {
  const [, key = text, order = "desc"] = /^(.*):(asc|desc)$/s.exec(text) ?? [];
  if (key === "") return usage(`Expected KEY, KEY:asc or KEY:desc for --sort, found ${JSON.stringify(text)}`);
  return E.right({ key, order: order === "asc" ? "asc" : "desc" });
}

/** The most names that an error shows. */
const mostNames = 20;

/** Checks that some checkpoint has a metric. */
export function checkMetric(
  option: string,
  name: string,
  statuses: readonly CheckpointStatus[],
  others: readonly string[] = [],
): E.Either<Usage, unknown> {
  const metrics = [...new Set(statuses.flatMap(({ entry }) => Object.keys(entry?.metrics ?? {})))].sort();
  const known = [...others, ...metrics];
  if (known.includes(name)) return E.right(undefined);
  const more = known.length > mostNames ? `, and ${known.length - mostNames} more` : "";
  const names = known.slice(0, mostNames).map((one) => JSON.stringify(one)).join(", ");
  const there = names === "" ? " The checkpoints have no metrics" : ` There are ${names}${more}`;
  const expected = `Expected ${
    others.length > 0 ? `${others.join(", ")} or ` : ""
  }a metric of a checkpoint for ${option}`;
  const [, key = ""] = /^(.*):[^:]*$/s.exec(name) ?? [];
  const meant = known.includes(key) ? ` An order is written ${key}:asc or ${key}:desc.` : didYouMean(name, known);
  return usage(`${expected}, found ${JSON.stringify(name)}.${meant}${there}`);
}

// --- combinators

/** The value of a checkpoint for a key; undefined if it has none. */
function valueOf({ checkpoint, entry }: CheckpointStatus, key: string): number | undefined {
  if (key === "checkpoint") return checkpoint;
  if (entry === null) return undefined;
  if (key === "time") return entry.time;
  if (key === "step") return entry.step ?? undefined;
  if (key === "size") return entry.bytes;
  return Object.hasOwn(entry.metrics, key) ? entry.metrics[key] : undefined;
}

/** Numbers in order, then NaN, then what has no value. */
function compared(a: number | undefined, b: number | undefined, sign: 1 | -1): number {
  const rank = (value: number | undefined): number => value === undefined ? 2 : Number.isNaN(value) ? 1 : 0;
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return rank(a) > 0 || a === b ? 0 : a! < b! ? -sign : sign;
}

/** Items in an order of their checkpoints. Equal ones, and those without a value, which come last, keep their order. */
export function sorted<A>(
  items: readonly A[],
  { key, order }: SortOrder,
  of: (item: A) => CheckpointStatus,
): readonly A[] {
  const sign = order === "asc" ? 1 : -1;
  return items.toSorted((a, b) => compared(valueOf(of(a), key), valueOf(of(b), key), sign));
}

/** A checkpoint with the metrics that are asked for, in their order. Without such, with all, and first the one that sorts. */
export function withMetrics(
  status: CheckpointStatus,
  asked: readonly string[],
  sort: SortOrder | undefined,
): CheckpointStatus {
  const { entry } = status;
  if (entry === null || (asked.length === 0 && sort === undefined)) return status;
  const names = asked.length > 0 ? asked : [...sort === undefined ? [] : [sort.key], ...Object.keys(entry.metrics)];
  const own = names.filter((name) => Object.hasOwn(entry.metrics, name)).map((name) =>
    [name, entry.metrics[name]!] as const
  );
  return { ...status, entry: { ...entry, metrics: Object.fromEntries(own) } };
}
