/**
 * References to checkpoints: by number, or by the best value of a metric.
 *
 * Law: of the checkpoints with the best value the newest is meant, which `Retention.best` keeps.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import * as t from "io-ts";
import { candidates, list } from "./entries.ts";
import { firstThatVerifies } from "./verify.ts";
import type { Damaged, LoadError, StoreFailed } from "../errors/mod.ts";
import { ranked, type Store } from "../store/mod.ts";
import { aName, exactRecord, integer, oneOf, type Plain } from "../validation/mod.ts";

// --- types

/** The checkpoint with the best value of a metric, in the run of the newest checkpoint. Of equal values the newest; NaN is never the best. */
export interface BestReference {
  /** The name of the metric, as in the option `metrics` of the save. */
  readonly best: string;
  /** Whether lower (`"min"`) or higher (`"max"`) values are better. */
  readonly mode: "min" | "max";
}

/** A checkpoint, by its number or by the best value of a metric. */
export type CheckpointReference = number | BestReference;

/** A checkpoint that was passed over, and why. */
export interface SkippedCheckpoint {
  readonly checkpoint: number;
  readonly error: Damaged;
}

/** Checkpoints to read, the wanted one first, and those that were passed over. */
export interface NumbersToTry {
  readonly order: readonly number[];
  readonly skipped: readonly SkippedCheckpoint[];
}

/** The checkpoint to read, those to fall back to, the first one first, and those that were passed over. */
export interface WantedNumbers {
  readonly wanted: number;
  readonly others: TE.TaskEither<StoreFailed, readonly number[]>;
  readonly skipped: readonly SkippedCheckpoint[];
}

// --- constructors

/** The type of a reference, for options. */
export const referenceRule: Plain<CheckpointReference> = t.union(
  [integer(0), exactRecord({ best: aName, mode: oneOf("min", "max") })],
  'the number of a checkpoint, or { best, mode } such as { best: "val_loss", mode: "min" }',
);

// --- combinators

/**
 * The checkpoints of the run of the newest checkpoint, the best value of a metric first.
 *
 * @param store The store.
 * @param reference The metric, and whether lower or higher is better.
 * @param fallback Whether to pass over checkpoints whose manifests are damaged. One of them may be the best, so by default that is an error.
 * @returns At least one checkpoint; `NoCheckpoint`, with the metrics there are, if none has a number for it.
 */
export function bestFirst(
  store: Store,
  { best: name, mode }: BestReference,
  fallback: boolean,
): TE.TaskEither<LoadError, NumbersToTry> {
  return async () => {
    const listed = await list(store)();
    if (E.isLeft(listed)) return listed;
    const { entries, damaged } = listed.right;
    const run = entries.filter((entry) => entry.run === entries.at(-1)?.run);
    const order = ranked(run, name, mode).map(({ checkpoint }) => checkpoint);
    const skipped: SkippedCheckpoint[] = [];
    for (const { checkpoint, error } of damaged.toReversed()) {
      if (error._tag !== "Damaged") return E.left(error);
      if (!fallback) return E.left({ ...error, older: await firstThatVerifies(store, order) });
      skipped.push({ checkpoint, error });
    }
    if (order.length > 0) return E.right({ order, skipped });
    if (skipped[0] !== undefined) return E.left({ ...skipped[0].error, older: null });
    const available = [...entries, ...damaged].map(({ checkpoint }) => checkpoint).sort((a, b) => a - b);
    const none = { _tag: "NoCheckpoint", location: store.location, available } as const;
    if (run.length === 0) return E.left(none);
    const metrics = [...new Set(run.flatMap((entry) => Object.keys(entry.metrics)))];
    return E.left({ ...none, metric: { name, available: metrics } });
  };
}

/** The error for a checkpoint that does not exist, or for any, with the numbers of those that do. */
export function noCheckpoint({ list, location }: Store, checkpoint?: number): TE.TaskEither<LoadError, never> {
  const asked = checkpoint === undefined ? {} : { checkpoint };
  return pipe(
    list,
    TE.flatMap((available) => TE.left({ _tag: "NoCheckpoint" as const, location, ...asked, available })),
  );
}

/** The number of the newest checkpoint, undefined if there is none. */
function newestNumber(store: Store): TE.TaskEither<StoreFailed, number | undefined> {
  return store.newest ?? pipe(candidates(store), TE.map((numbers) => numbers.at(-1)));
}

/**
 * The checkpoint that a reference names, by default the newest, and those to fall back to: the older ones, or the next best.
 *
 * @param store The store.
 * @param reference Which checkpoint, and whether another is read if it is damaged.
 * @returns A number that was asked for need not exist.
 */
export function numbersToTry(
  store: Store,
  { checkpoint, fallback = false }: { readonly checkpoint?: CheckpointReference; readonly fallback?: boolean },
): TE.TaskEither<LoadError, WantedNumbers> {
  if (typeof checkpoint === "object") {
    return pipe(
      bestFirst(store, checkpoint, fallback),
      TE.map(({ order, skipped }) => ({ wanted: order[0]!, others: TE.right(order.slice(1)), skipped })),
    );
  }
  // A store that cannot tell the newest by itself lists, which also finds out that a folder is no run.
  const isListed = checkpoint === undefined || store.newest === undefined;
  return pipe(
    isListed ? newestNumber(store) : TE.right<LoadError, number | undefined>(checkpoint),
    TE.map((newest) => checkpoint ?? newest),
    TE.flatMap((wanted): TE.TaskEither<LoadError, WantedNumbers> => {
      // Not listed again: another process may save the first one meanwhile.
      if (wanted === undefined) return TE.left({ _tag: "NoCheckpoint", location: store.location, available: [] });
      const others = pipe(candidates(store), TE.map((numbers) => numbers.filter((n) => n < wanted).toReversed()));
      return TE.right({ wanted, others, skipped: [] });
    }),
  );
}
