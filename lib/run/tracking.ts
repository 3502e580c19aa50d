/**
 * The trackers of one training: what each receives, in which order, and what becomes of their failures.
 *
 * A tracker starts when the name of the run is known, is flushed before each save, and is closed at the end. So whatever was logged up to the step
 * of a checkpoint is durable before the checkpoint exists, and a tracker that drops the rest at `start` keeps the law *same curves*.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type CurrentRun, type RunOptions, settleRun } from "../checkpoint/mod.ts";
import type { StepFailed, StepWentBack, StoreFailed } from "../errors/mod.ts";
import type { Store } from "../store/mod.ts";
import type { Tracker, TrackerStart } from "../trackers/mod.ts";
import {
  checkMisspelt,
  demand,
  demandEach,
  ifGiven,
  integer,
  listOf,
  must,
  type OptionNames,
  type OptionRules,
} from "../validation/mod.ts";

// --- types

/** Where a training logs its numbers. */
export interface TrackingOptions {
  /**
   * Receives the numbers, such as `[jsonLines("runs/digits/log.jsonl")]` of `@dogear/dogear/trackers`. Each tracker is for one training, and is closed
   * at its end. What is logged before a checkpoint is durable before the checkpoint exists.
   * @default []
   */
  readonly trackers?: readonly Tracker[];
  /**
   * The number of batches between two logs, counted from the start of the data.
   * @default 1
   */
  readonly logEvery?: number;
}

/** Which run a training is in. */
export interface TrackedRun extends RunOptions {
  /** The store that it saves to; without one the run has no name. */
  readonly to: Store | undefined;
  /** The component `step` of its state, null if it has none that is a number. */
  readonly step?: number | null;
}

type Values = Readonly<Record<string, number>>;

/** The trackers of one training. */
export interface Tracking {
  /** Whether there is a tracker. */
  readonly isWanted: boolean;
  /** Whether a log is due after so many batches since the start of the data. */
  readonly isDue: (batches: number) => boolean;
  /** Starts the trackers at the position of the training. */
  readonly start: (batches: number, run: TrackedRun) => TE.TaskEither<StepFailed | StoreFailed | StepWentBack, void>;
  /** Logs numbers after so many batches. */
  readonly log: (values: Values, batches: number) => E.Either<StepFailed, void>;
  /** Makes durable what was logged. Call it before each save. */
  readonly flush: TE.TaskEither<StepFailed, void>;
  /** Runs the training, and closes the trackers, however it ends. */
  readonly around: <L, A>(training: TE.TaskEither<L, A>) => TE.TaskEither<L | StepFailed, A>;
}

// --- constructors

const methods: OptionNames<Tracker> = { log: true, close: true, start: true, flush: true, histogram: true };

const aTracker = must("a tracker, such as jsonLines(path): an object with the functions log and close", (value) => {
  const one: Partial<Record<keyof Tracker, unknown>> = Object(value);
  const isOptional = (method: unknown): boolean => method === undefined || typeof method === "function";
  return typeof one.log === "function" && typeof one.close === "function" &&
    [one.start, one.flush, one.histogram].every(isOptional);
});

/** The types of the options. */
export const trackingRules: OptionRules<TrackingOptions> = {
  trackers: ifGiven(listOf(aTracker, "an array, such as [jsonLines(path)]")),
  logEvery: ifGiven(integer(1)),
};

/** The trackers that a training has been given. */
const given = new WeakSet<Tracker>();

/** Checks the options; wrong ones are a `TypeError`. */
export function checkTracking(options: TrackingOptions): void {
  demandEach(trackingRules, options);
  const { trackers = [] } = options;
  for (const tracker of trackers) checkMisspelt("a tracker", tracker, methods);
  demand("trackers", must("different trackers", () => new Set(trackers).size === trackers.length), trackers);
}

/** The position of a run, as trackers receive it. */
function startOf(step: number, { run, parent, step: own }: CurrentRun): TrackerStart {
  const isFork = parent !== null && parent.run !== run;
  return { step, run, parent: isFork ? { run: parent.run, checkpoint: parent.checkpoint, step: own ?? step } : null };
}

/**
 * The trackers of one training.
 *
 * @param options The options, which have been checked.
 */
export function trackingOf({ trackers = [], logEvery = 1 }: TrackingOptions): Tracking {
  let [at, isStarted] = [0, false];
  /** The promises that the `log` of trackers has returned and that are not settled. */
  const logging = new Set<Promise<void>>();
  /** The first rejection among them. */
  let rejected: { readonly cause: unknown } | undefined;

  const failed = (cause: unknown): StepFailed => ({ _tag: "StepFailed", cause, at, by: "trackers" });
  /** Calls a method of each tracker, one after another. */
  const each = (call: (tracker: Tracker) => Promise<void> | undefined): TE.TaskEither<StepFailed, void> =>
    TE.tryCatch(async () => {
      for (const tracker of trackers) await call(tracker);
    }, failed);
  /** Waits for the logs of trackers that log asynchronously. */
  const logged: TE.TaskEither<StepFailed, void> = async () => {
    await Promise.all(logging);
    return rejection();
  };
  const rejection = (): E.Either<StepFailed, void> => {
    const first = rejected;
    rejected = undefined;
    return first === undefined ? E.right(undefined) : E.left(failed(first.cause));
  };
  const close = async (): Promise<E.Either<StepFailed, void>> => {
    let result = await logged();
    for (const tracker of trackers) {
      const closed = await TE.tryCatch(async () => await tracker.close(), failed)();
      if (E.isRight(result)) result = closed;
    }
    return result;
  };

  return {
    isWanted: trackers.length > 0,
    isDue: (batches) => trackers.length > 0 && batches % logEvery === 0,
    start: (batches, { to, step = null, ...run }) => async () => {
      if (trackers.length === 0) return E.right(undefined);
      [at, isStarted] = [batches, true];
      const position = to && await settleRun(to, step, run);
      if (position !== undefined && E.isLeft(position)) return position;
      const start = position ? startOf(batches, position.right) : { step: batches, run: null, parent: null };
      return await each((tracker) => tracker.start?.(start))();
    },
    log: (values, batches) => {
      at = batches;
      return E.tryCatch(() => {
        for (const tracker of trackers) {
          const result: unknown = tracker.log(values, batches);
          if (typeof Object(result).then !== "function") continue;
          const pending = Promise.resolve(result).then(() => {}, (cause) => void (rejected ??= { cause }));
          logging.add(pending);
          void pending.finally(() => logging.delete(pending));
        }
        if (rejected !== undefined) throw rejected.cause;
      }, failed) as E.Either<StepFailed, void>;
    },
    flush: async () =>
      isStarted ? await pipe(logged, TE.flatMap(() => each((tracker) => tracker.flush?.())))() : E.right(undefined),
    around: (training) => async () => {
      const again = trackers.find((tracker) => given.has(tracker));
      if (again !== undefined) {
        throw new TypeError("Expected new trackers for each training, found one that another has closed: make it anew");
      }
      for (const tracker of trackers) given.add(tracker);
      let result;
      try {
        result = await training();
      } catch (thrown) {
        await close();
        throw thrown;
      }
      const closed = await close();
      return E.isRight(result) && E.isLeft(closed) ? closed : result;
    },
  };
}
