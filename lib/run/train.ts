/**
 * The training loop as a value: it iterates a loader, runs steps, sets the cursor, saves, and stops on a signal between two steps.
 *
 * Laws: *same bits*: what a run trains, and at which steps it saves, does not depend on where it was killed; *old or new*: the partial work of a
 * step that fails is not saved.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import { checkPolicy, policyRules, type SavePoints, savePoints, type SavePolicy } from "./autosave.ts";
import {
  checkProgress,
  loaderPosition,
  type ProgressDisplay,
  progressDisplay,
  progressRules,
  type ShowsProgress,
} from "./progress.ts";
import { labelRules, type Saved } from "./save.ts";
import type { Signal } from "./signals.ts";
import { checkTracking, type Tracking, trackingOf, type TrackingOptions, trackingRules } from "./tracking.ts";
import { cursorIn, runTraining, type TrainingSteps } from "./training_loop.ts";
import { type CurrentRun, currentRun, savesFinished } from "../checkpoint/mod.ts";
import type { SaveError, StepFailed, Stopped, TrainError } from "../errors/mod.ts";
import { completeEpochs, itemsBefore, Loader } from "../loader/mod.ts";
import { perLocation } from "../store/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import {
  aFunction,
  aName,
  checkCurried,
  checkMisspelt,
  checkOptionNames,
  demand,
  demandEach,
  ifGiven,
  integer,
  isPlainRecord,
  type OptionRules,
} from "../validation/mod.ts";

// --- types

/** When and where {@link train} saves. */
export interface TrainSavePolicy<S> extends SavePolicy<S> {
  /**
   * The number of whole epochs between saves, counted from the start of the data.
   * @default never
   */
  readonly epochs?: number;
}

/** The options of {@link train}. */
export interface TrainOptions<S extends object, A, N extends string = "cursor">
  extends TrainingSteps<S, A>, TrackingOptions, ShowsProgress {
  /**
   * The name of the cursor's component.
   * @default "cursor"
   */
  readonly cursor?: N;
  /**
   * When and where to save. The state before the first batch of a new run is saved too, and the state at the end or at a signal; without
   * `every`, `epochs`, `seconds` or `when` nothing else is. A checkpoint's step is the component `step`, or the number of batches so far.
   */
  readonly save?: TrainSavePolicy<S>;
  /**
   * The numbers of a state. They are logged to the trackers after every `logEvery` batches, of the state after `onEpochEnd`, at the number of
   * batches since the start of the data.
   *
   * Checkpoints can be chosen and kept by them, unless `save.metrics` gives others. They label only checkpoints of the weights they were
   * measured on. With `onEpochEnd`, a checkpoint inside an epoch has only those that have changed since the last `onEpochEnd`, such as the loss of
   * the step: a metric that `onEpochEnd` measures does not label the weights of the next epoch.
   * @default none
   */
  readonly metrics?: (state: S) => Readonly<Record<string, number>>;
  /**
   * Signals on which to save and stop after the current step. A second one ends the process at once and unsaved. The same one within a
   * tenth of a second counts as one with the first.
   *
   * Windows delivers only `SIGINT`, at Ctrl+C, and `SIGHUP`, some seconds before a closed console ends the process; signals with neither are a
   * `TypeError` there. Another process can only end the training at once, and in Deno so may Ctrl+C: save with `every` or `seconds`.
   * @default []
   */
  readonly stopOn?: readonly Signal[];
}

/** The types of the options, except the loader's and those of the policy and the signals. */
const trainRules: OptionRules<Omit<TrainOptions<object, unknown>, "loader" | "save" | "stopOn">> = {
  step: aFunction,
  onEpochEnd: ifGiven(aFunction),
  until: ifGiven(aFunction),
  cursor: ifGiven(aName),
  metrics: ifGiven(aFunction),
  ...trackingRules,
  ...progressRules,
};

/** The trainings of this process at a location. */
interface Trainings {
  isRunning: boolean;
  /** The checkpoint that the last one saved after a batch, and its step. */
  last?: { readonly step: number; readonly parent: CurrentRun["parent"] };
}

const trainingsAt = perLocation((): Trainings => ({ isRunning: false }));

// --- combinators

/** Rejects wrong options with a `TypeError`. */
function checkTrainOptions<S extends object, A>(options: TrainOptions<S, A, string>): void {
  // `proveResume` takes the exports of a module, which may have further names.
  const check = typeof Object(options).fresh === "function" ? checkMisspelt : checkOptionNames;
  check("train", options, { loader: true, ...trainRules, save: true, stopOn: true });
  const { loader, save, stopOn = [] } = options;
  Loader.iterate(loader);
  demandEach(trainRules, options);
  checkTracking(options);
  checkProgress(options);
  if (save !== undefined) {
    checkOptionNames("save of train", save, { to: true, epochs: true, ...policyRules });
    demand("save.epochs", ifGiven(integer(1)), save.epochs);
  }
  checkPolicy(save, stopOn, "save.");
}

/**
 * Marks that a training saves at a location. A second one at the same time is a `TypeError`: their checkpoints would mix.
 *
 * @returns To be called at its end, with the step of its last checkpoint, 0 if that is the start.
 */
function enter({ to }: TrainSavePolicy<never>): (step: number) => void {
  const trainings = trainingsAt(to);
  if (trainings.isRunning) {
    throw new TypeError(
      `Another train of this process saves to ${to.location}: await it, or give each a store of its own`,
    );
  }
  trainings.isRunning = true;
  return (step) => {
    trainings.isRunning = false;
    if (step > 0) trainings.last = { step, parent: currentRun(to)?.parent ?? null };
  };
}

/**
 * Saves the state before the first batch, unless this process has loaded or saved a checkpoint of the run. If it has saved a later state in the
 * run, a start from the first batch is `StepWentBack`. A component `step` is compared by every save.
 */
async function saveFirst<S extends object>(
  { loader, save }: TrainOptions<S, never, string>,
  points: SavePoints<S>,
  state: S,
  cursor: Loader.Cursor,
): Promise<E.Either<SaveError | StepFailed | Stopped, void>> {
  // The loop reports other data.
  if (save === undefined || Loader.check(Loader.start(loader), cursor).length > 0) return E.right(undefined);
  const { to, fork = false } = save;
  const parent = currentRun(to)?.parent ?? null;
  const { last } = trainingsAt(to);
  const batches = itemsBefore(loader, cursor);
  const hasStep = typeof (state as { readonly step?: unknown }).step === "number";
  const isAgain = !hasStep && batches === 0 && last !== undefined && last.parent === parent;
  if (isAgain && parent !== null && !fork) {
    return E.left({ _tag: "StepWentBack", step: 0, parent: parent.checkpoint, parentStep: last.step });
  }
  return parent === null || isAgain ? await points.after(() => state, batches, true) : E.right(undefined);
}

/** Starts the trackers, when the first save is committed: of two processes that begin at once, only the one that saves starts them. */
async function startTracking<S extends object>(
  { loader, save }: TrainOptions<S, never, string>,
  points: SavePoints<S>,
  state: S,
  cursor: Loader.Cursor,
  tracking: Tracking,
): Promise<E.Either<SaveError | StepFailed, void>> {
  // The loop reports other data.
  if (!tracking.isWanted || Loader.check(Loader.start(loader), cursor).length > 0) return E.right(undefined);
  const batches = itemsBefore(loader, cursor);
  if (save !== undefined) {
    // Without waiting for a mirror.
    await savesFinished(save.to);
    const hasFailed = (currentRun(save.to)?.parent ?? null) === null;
    const first = hasFailed ? await points.finish(() => state, batches, false) : E.right(undefined);
    if (E.isLeft(first)) return first;
  }
  const { step }: { readonly step?: unknown } = state;
  return await tracking.start(batches, {
    to: save?.to,
    fork: save?.fork,
    step: typeof step === "number" ? step : null,
  })();
}

type Metrics = Readonly<Record<string, number>>;

/**
 * The metrics that label the checkpoints of a training: what has been measured of their weights.
 *
 * @param measured The user's `metrics`.
 * @param hasEnds Whether there is an `onEpochEnd`. Without one, metrics are those of each state.
 */
function labelsOf<S>(measured: (state: S) => Metrics, hasEnds: boolean) {
  // Nothing has been measured of the state before the first batch.
  let at: "start" | "batch" | "end" = "start";
  let last: Metrics = {};
  return {
    metrics: (state: S): Metrics => {
      if (at !== "batch") return at === "start" ? {} : last;
      const now = measured(state);
      const before: Metrics = Object(last);
      const isNew = ([name, value]: readonly [string, number]): boolean => !Object.is(value, before[name]);
      return hasEnds && isPlainRecord(now) ? Object.fromEntries(Object.entries(now).filter(isNew)) : now;
    },
    /** Receives the state that the training begins with. */
    begin: (state: S): void => {
      try {
        if (hasEnds) last = measured(state);
      } catch {
        // A fresh state may lack what a step gives. Metrics that throw for a later state throw again at its save.
      }
    },
    /** Receives the state after each batch, and whether it is one after `onEpochEnd`. */
    after: (state: S, isEnd: boolean): void => {
      at = hasEnds && isEnd ? "end" : "batch";
      if (at === "end") last = measured(state);
    },
  };
}

/** Logs the metrics of a state, if a log is due. */
function logMetrics<S>(
  { isDue, log }: Tracking,
  metrics: ((state: S) => Metrics) | undefined,
  state: S,
  batches: number,
): E.Either<StepFailed, void> {
  if (metrics === undefined || !isDue(batches)) return E.right(undefined);
  const values = metrics(state);
  demand("what metrics returned", labelRules.metrics, values);
  return values === undefined ? E.right(undefined) : log(values, batches);
}

/** Shows a training: what it reports of each state, and its steps, which may print at the end of an epoch. */
function shown<S extends object, A>(options: TrainOptions<S, A, string>, display: ProgressDisplay) {
  const { loader, onEpochEnd, save, metrics = save?.metrics } = options;
  const name = options.cursor ?? "cursor";
  const position = (state: S, epoch: number) => () => {
    const values = metrics?.(state);
    demand("what metrics returned", labelRules.metrics, values);
    return { ...loaderPosition(loader, cursorIn(state, name), epoch), metrics: values ?? {} };
  };
  return {
    begin: (state: S): void => {
      const cursor = cursorIn(state, name);
      // The loop reports other data.
      if (Loader.check(Loader.start(loader), cursor).length > 0) return;
      display.begin(itemsBefore(loader, cursor), () => ({
        ...loaderPosition(loader, cursor, completeEpochs(loader, cursor)),
        metrics: {},
      }));
    },
    after: (state: S, batches: number, epoch: number): void => display.after(batches, position(state, epoch)),
    steps: onEpochEnd === undefined ? options : {
      ...options,
      onEpochEnd: (state: S, epoch: number): S | Promise<S> => {
        display.clear();
        return onEpochEnd(state, epoch);
      },
    },
  };
}

/**
 * Trains on a loader: the training loop as a value.
 *
 * @param options The loader, the step, what to do after each epoch and when to end, when and where to save, and what to log to which trackers. After
 *   each step the component `cursor` is set; nothing else is changed.
 * @returns For a state, usually from {@link resume}, a task of the state at the end of the data, saved if `save` is given. The process is never
 *   ended. A state without a cursor is a `TypeError`. The left is one of:
 *   - `Stopped` after a signal, with the checkpoint that holds the state if `save` is given.
 *   - `StepFailed`, if `step`, `onEpochEnd` or `until` throws, or WebGPU refuses an operation in them, or a tracker throws. The last
 *     checkpoint is intact.
 *   - `CursorMismatch` or `SourceFailed`, from the data.
 *   - An error of a save: `StepWentBack` too where this process has trained in the run and the state is one before the first batch.
 *
 *   `metrics`, `save.when` and `save.onSaved` are not among these: an error that they throw reaches you unchanged.
 *
 *   A second training that saves to the same store at the same time is a `TypeError`: give it a separate store.
 *
 * Laws: *same bits*: steps, ends of epochs and saves are those of a run that was never killed. A state saved at the end of an epoch is one after
 * `onEpochEnd`. In the first epoch of a stream only the next item shows whether it has ended: with `onEpochEnd` or `save.epochs` that item is read
 * before the state is saved. *Same curves*: with trackers that drop what was logged after the position that they start from, as those of
 * `@dogear/dogear/trackers` do, each point is logged once.
 *
 * @example
 * ```ts
 * import { Loader, memory, pipe, resume, train } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2), Loader.repeat(100));
 * const store = memory();
 * const state = await resume(store)({ sum: 0, sums: [0], cursor: Loader.start(loader) });
 * const done = await train({
 *   loader,
 *   step: (s: typeof state, [a, b = 0], at) => ({ ...s, sum: (at.batch === 0 ? 0 : s.sum) + a! + b }),
 *   onEpochEnd: (s) => ({ ...s, sums: [...s.sums, s.sum] }),
 *   until: (s) => s.sums.length > 3,
 *   save: { to: store, epochs: 1 },
 * })(state);
 * assert.deepEqual(done.sums, [0, 10, 10, 10]);
 * ```
 */
export function train<S extends object, A, const N extends string = "cursor">(
  options: TrainOptions<S, A, N>,
): (state: S & { readonly [P in NoInfer<N>]: Loader.Cursor }) => Awaitable<TrainError, NoInfer<S>> {
  checkCurried(arguments, 1, "train(options)(state)");
  checkTrainOptions(options);
  const { loader, save, metrics, stopOn = [] } = options;
  const name: string = options.cursor ?? "cursor";
  const measured = save?.metrics ?? metrics;
  const { epochs: between = Infinity } = save ?? {};
  const trainTracked = (initial: S, tracking: Tracking) => async (): Promise<E.Either<TrainError, S>> => {
    const cursor = cursorIn(initial, name);
    const leave = save && enter(save);
    let savedStep = 0;
    const display = progressDisplay(options);
    const { begin, after, steps } = shown(options, display);
    let isComplete = false;
    const receive = display.receiving(save?.onSaved);
    const onSaved = (saved: Saved): void => {
      savedStep = saved.step ?? 0;
      receive(saved);
    };
    const labels = save && measured && labelsOf(measured, options.onEpochEnd !== undefined);
    const policy = save && { ...save, onSaved, ...(labels && { metrics: labels.metrics }) };
    const points = savePoints<S>(policy, stopOn, undefined, display.beforeSave(tracking.flush));
    const run = runTraining<S, A, SaveError | StepFailed | Stopped>(steps, name, {
      countsEpochs: options.onEpochEnd !== undefined || between !== Infinity,
      after: async (state, { batches, epoch, epochs }) => {
        labels?.after(state, epochs > epoch);
        after(state, batches, epoch);
        const logged = logMetrics(tracking, metrics, state, batches);
        if (E.isLeft(logged)) return logged;
        const isDue = Math.floor(epochs / between) > Math.floor(epoch / between);
        return pipe(await points.after(() => state, batches, isDue), E.map(() => true));
      },
    });
    try {
      const own = { loader, save } as TrainOptions<S, never, string>;
      const begun = await saveFirst(own, points, initial, cursor);
      if (E.isLeft(begun)) return begun;
      const started = await startTracking(own, points, initial, cursor, tracking);
      if (E.isLeft(started)) return started;
      labels?.begin(initial);
      begin(initial);
      const ran = await run(initial)();
      if (E.isLeft(ran)) return ran;
      const [state, batches] = ran.right;
      const finished = await points.finish(() => state, batches);
      isComplete = E.isRight(finished);
      return pipe(finished, E.map(() => state));
    } finally {
      await points.drain();
      points.close();
      display.end(isComplete);
      leave?.(savedStep);
    }
  };
  return (initial) =>
    awaitable(() => {
      const tracking = trackingOf(options);
      return tracking.around(trainTracked(initial, tracking))();
    });
}
