/**
 * Runs a prepared training by `fit` or `fitDataset`: finds its checkpoint, begins or resumes it, trains the remaining epochs, and finishes it.
 *
 * The callbacks are called in the order in which tfjs calls them. What tfjs keeps in local variables of its loop is captured state here: the
 * order of the data, the position, the running totals of the epoch, the history and the random generator.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { eqStrict } from "fp-ts/lib/Eq.js";
import { pipe } from "fp-ts/lib/function.js";
import * as RA from "fp-ts/lib/ReadonlyArray.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type FitError, mismatch, ofRestore, orDeviceFailed, type Problem } from "../errors/mod.ts";
import {
  checkMetric,
  continueFromLast,
  discardBest,
  keepingBest,
  readLogs,
  restoreBestProblems,
  takeBest,
} from "./best_weights.ts";
import { beginningOf, type CalledBeginning, followedProblems, recordEnd } from "./followed_trainings.ts";
import { type FitOptions, trainingName } from "./options.ts";
import {
  componentsOf,
  initialDigests,
  type PreparedTraining,
  restoreProblems,
  restoreTraining,
  savedTraining,
  termProblems,
  type TrainingState,
} from "./training_state.ts";
import { Rng } from "../values/mod.ts";
import {
  type ProgressDisplay,
  progressDisplay,
  type SavePoints,
  savePoints,
  type Tracking,
  trackingOf,
} from "../run/mod.ts";
import { type Trainer, trainerOf } from "../tfjs/mod.ts";
import { repeatedCall, type TrainingRecord, trainingsAt } from "./repeated_call.ts";
import { type FoundTraining, newestOf } from "./training_checkpoints.ts";
import { showBatch, showEpoch, showResumed, showStart } from "./shown_progress.ts";
import { logBatch, logEpoch } from "./tracked_logs.ts";
import { calling, tryStep } from "./user_calls.ts";

// --- types

/** A training under way. */
interface TrainingRun {
  readonly options: FitOptions;
  readonly training: PreparedTraining;
  readonly state: TrainingState;
  readonly points: SavePoints<object>;
  readonly tracking: Tracking;
  readonly display: ProgressDisplay;
  /** The components to save, as they are now. */
  readonly components: () => object;
  /** Why this process may not train again under this name. */
  readonly repeated: readonly Problem[];
  readonly beginning: CalledBeginning;
}

// --- constructors

function startTrainingRun(
  options: FitOptions,
  training: PreparedTraining,
  tracking: Tracking,
  repeated: readonly Problem[],
  beginning: CalledBeginning,
): TrainingRun {
  const display = progressDisplay(options);
  const state: TrainingState = {
    at: { epoch: training.first, batch: 0, step: 0, stopping: false, done: false },
    rng: Rng.make(options.seed ?? 0),
    order: training.order,
    dataCrc: 0,
    began: { weights: beginning.weights, after: beginning.after },
    logs: {},
    metrics: {},
    isLogged: (batches) => tracking.isDue(batches) || display.isDue(),
    batchLogs: {},
    epochLogs: {},
  };
  const policy = { ...options, onSaved: display.receiving(options.onSaved), metrics: () => state.metrics };
  const flush = display.beforeSave(tracking.flush);
  return {
    options,
    training,
    state,
    points: savePoints<object>(policy, options.stopOn ?? [], trainingName(options), flush),
    tracking,
    display,
    components: () => componentsOf(training, state, options),
    repeated,
    beginning,
  };
}

// --- the checks of a call

/** The error of a call that does not continue this training. */
function otherTraining(options: FitOptions, problems: readonly Problem[], checkpoint?: number): FitError {
  const at = checkpoint === undefined ? {} : { checkpoint };
  return { ...mismatch(problems), training: { name: trainingName(options), location: options.to.location, ...at } };
}

/** That error if there are problems. */
function checkContinues(...call: Parameters<typeof otherTraining>): TE.TaskEither<FitError, void> {
  return call[1].length === 0 ? TE.right(undefined) : TE.left(otherTraining(...call));
}

/** Why this call may not begin, with every difference that the checkpoint shows in place of "another". */
function repeatedProblems({ options, training, state, repeated }: TrainingRun, snapshot: FoundTraining["snapshot"]) {
  if (repeated.length === 0) return repeated;
  const problems = restoreProblems(training, state, snapshot, options);
  return repeated.flatMap((one): readonly Problem[] => {
    const inside = problems.filter(({ path }) => path === one.path || path.startsWith(`${one.path}/`));
    return inside.length > 0 && one.remedy === undefined ? inside : [one, ...inside];
  });
}

// --- begin

/** What tfjs calls at the start of a training. */
async function callStart({ training: { trainer, params, callbacks: { list, history } }, state }: TrainingRun) {
  await calling(state, "setParams", () => list.setParams(params as never));
  await calling(state, "setModel", () => list.setModel(trainer as never));
  trainer.history = history;
  await calling(state, "onTrainBegin", () => list.onTrainBegin());
  trainer.stopTraining_ = false;
}

/** The error of a call, which names the training if it is a mismatch. */
function named(options: FitOptions, checkpoint?: number): (error: FitError) => FitError {
  return (error) =>
    error._tag === "Mismatch" && error.training === undefined
      ? otherTraining(options, error.problems, checkpoint)
      : error;
}

/** Begins a training that has no checkpoint. */
function beginFresh(run: TrainingRun): TE.TaskEither<FitError, void> {
  const { options, training, state, points, components, repeated } = run;
  return pipe(
    checkContinues(options, repeated),
    TE.flatMap((): TE.TaskEither<FitError, void> => tryStep(state, () => callStart(run))),
    TE.flatMap(() => training.open(state)),
    // The initial state is saved too, so that random initial weights are never lost.
    TE.flatMap(() => () => points.finish(components, 0, true)),
    TE.mapLeft(named(options)),
  );
}

const otherData = "The dataset gave other data up to this checkpoint than was trained on, which inexact: true allows";

/** Restores a training from its checkpoint; whether it is complete. */
function beginResumed(run: TrainingRun, { snapshot, report }: FoundTraining): TE.TaskEither<FitError, boolean> {
  const { options, training, state, display, beginning } = run;
  const { checkpoint } = report;
  const isComplete = (): boolean => state.at.done && (state.at.stopping || training.epochs <= state.at.epoch);
  const open = pipe(
    training.open(state),
    TE.flatMap((): TE.TaskEither<FitError, void> => tryStep(state, () => callStart(run))),
  );
  return pipe(
    TE.fromEither(savedTraining(snapshot)),
    TE.tap((saved) => {
      const terms = termProblems(saved, training, snapshot);
      const problems = [...terms, ...restoreBestProblems(options.restoreBest, training, saved)];
      return checkContinues(options, problems, checkpoint);
    }),
    TE.tap(() => checkContinues(options, repeatedProblems(run, snapshot), checkpoint)),
    TE.tap(({ began }) => {
      return checkContinues(options, followedProblems(trainingName(options), began, beginning), checkpoint);
    }),
    TE.tapIO(({ at, read, reads, began }) => () => void Object.assign(state, { at, dataCrc: read, reads, began })),
    TE.bindTo("saved"),
    TE.let("whole", isComplete),
    TE.tap(({ whole }) => whole ? TE.right(undefined) : open),
    TE.bind("restored", ({ saved }) => TE.fromEither(restoreTraining(training, state, saved, snapshot, options))),
    TE.mapLeft(named(options, checkpoint)),
    TE.map(({ saved, whole, restored }) => {
      if (whole) training.trainer.history = training.callbacks.history;
      // The metrics of the checkpoint hold until the weights change.
      if (state.at.batch === 0) state.metrics = report.metrics;
      if (!whole) continueFromLast(training, state);
      const mayDiffer = state.dataCrc === saved.read ? report.mayDiffer : [...report.mayDiffer, otherData];
      showResumed(display, training, state, checkpoint, whole);
      options.onReport?.({ ...report, ...restored, mayDiffer });
      return whole;
    }),
  );
}

/** Begins or resumes a training; whether it is complete already. */
function beginTraining(run: TrainingRun, found: FoundTraining | undefined): TE.TaskEither<FitError, boolean> {
  return found === undefined ? pipe(beginFresh(run), TE.map(() => false)) : async () => {
    using _ = found.snapshot;
    return await beginResumed(run, found)();
  };
}

// --- epochs

/** Runs a part of a training; whether it wrote to no weight. A weight that is written to gets other data. */
function keepsWeights(
  { model }: PreparedTraining,
  part: TE.TaskEither<FitError, void>,
): TE.TaskEither<FitError, boolean> {
  const data = (): readonly unknown[] => model.weights.map((weight) => Reflect.get(weight.read(), "dataId"));
  return async () => {
    const before = data();
    return pipe(await part(), E.map(() => RA.getEq<unknown>(eqStrict).equals(before, data())));
  };
}

/** The rest of the current epoch, up to its `onEpochEnd`. */
function trainEpoch(run: TrainingRun): TE.TaskEither<FitError, void> {
  const { options: { metrics, restoreBest }, training, state, points, components, tracking, display } = run;
  const { callbacks: { list }, trainer } = training;
  const { epoch, batch } = state.at;
  const beginEpoch: TE.TaskEither<FitError, void> = batch > 0 ? TE.right(undefined) : tryStep(state, async () => {
    await calling(state, "onEpochBegin", () => list.onEpochBegin(epoch));
    state.logs = {};
    training.beginEpoch(state);
  });
  const afterBatch: TE.TaskEither<FitError, void> = async () => {
    state.metrics = {};
    state.at = { ...state.at, batch: state.at.batch + 1, step: state.at.step + 1 };
    showBatch(display, training, state);
    const logged = logBatch(tracking, state);
    return E.isLeft(logged) ? logged : await points.after(components, state.at.step);
  };
  const endEpoch = keepsWeights(
    training,
    tryStep(state, () => {
      display.clear();
      return calling(state, "onEpochEnd", () => list.onEpochEnd(epoch, state.logs as never));
    }),
  );
  return pipe(
    beginEpoch,
    TE.flatMap(() => training.trainBatches(state, afterBatch)),
    TE.flatMap(() => keepingBest(restoreBest, training, state, endEpoch)),
    TE.tap((): TE.TaskEither<FitError, void> => logEpoch(tracking, state)),
    TE.tapTask(() => () => showEpoch(display, state)),
    // Metrics of weights that a callback has changed since say nothing of the checkpoint.
    TE.flatMap((isUnchanged): TE.TaskEither<FitError, TrainingState["metrics"]> =>
      tryStep(state, async () => isUnchanged ? metrics?.(await readLogs(state.logs)) ?? {} : {})
    ),
    TE.map((found) => {
      state.metrics = found;
      state.at = { ...state.at, epoch: epoch + 1, batch: 0, stopping: trainer.stopTraining_ };
      state.logs = {};
    }),
  );
}

/** The remaining epochs, each saved at its end if the options say so. */
function trainEpochs(run: TrainingRun): TE.TaskEither<FitError, void> {
  const { options: { metrics, every, seconds }, training, state, points, components } = run;
  const savesEpochs = metrics !== undefined || (every === undefined && seconds === undefined);
  return async () => {
    while (state.at.epoch < training.epochs && !(state.at.batch === 0 && state.at.stopping)) {
      const trained = await trainEpoch(run)();
      if (E.isLeft(trained)) return trained;
      // The end of the training is saved after its `onTrainEnd`.
      if (!savesEpochs || state.at.stopping || state.at.epoch >= training.epochs) continue;
      const saved = await points.after(components, state.at.step, true);
      if (E.isLeft(saved)) return saved;
    }
    return E.right(undefined);
  };
}

// --- finish

/** The end of a training: `onTrainEnd`, then its last checkpoint. */
function finishTraining({ options, training, state, points, components }: TrainingRun): TE.TaskEither<FitError, void> {
  const { list, history } = training.callbacks;
  const best: TE.TaskEither<FitError, void> = tryStep(state, () => {
    takeBest(training, state);
    if (state.best !== undefined) state.metrics = options.metrics?.(state.best.logs) ?? {};
  });
  const end = tryStep(state, async () => {
    await calling(state, "onTrainEnd", () => list.onTrainEnd());
    await history.syncData();
  });
  return pipe(
    best,
    TE.flatMap(() => keepsWeights(training, end)),
    TE.flatMap((isUnchanged) => () => {
      if (!isUnchanged) state.metrics = {};
      state.at = { ...state.at, done: true };
      return points.finish(components, state.at.step, true);
    }),
  );
}

/** Disposes of the logs of a training that failed. */
function discardLogs({ training: { callbacks: { logger, history } }, state }: TrainingRun): void {
  tf.dispose([logger.totals ?? {}, state.logs, history.history ?? {}] as unknown as tf.TensorContainer);
}

// --- combinators

/** Runs a training from its checkpoint or from the start. */
function trainFrom(run: TrainingRun, found: FoundTraining | undefined): TE.TaskEither<FitError, tf.History> {
  const { options, state, tracking } = run;
  const tracked: TE.TaskEither<FitError, void> = () =>
    tracking.start(state.at.step, { to: options.to, fork: options.fork, training: trainingName(options) })();
  const start = TE.fromIO<void, FitError>(() => showStart(run.display, run.training, state));
  const epochs = pipe(
    tracked,
    TE.flatMap(() => start),
    TE.flatMap(() => trainEpochs(run)),
    TE.flatMap(() => finishTraining(run)),
  );
  const whole = pipe(
    beginTraining(run, found),
    TE.flatMap((isComplete) => isComplete ? TE.right(undefined) : epochs),
    TE.map(() => run.training.callbacks.history),
  );
  return async () => {
    let isDone = false;
    try {
      const result = await whole();
      isDone = E.isRight(result);
      if (isDone) recordEnd(run.training.model, trainingName(options), state.at.epoch);
      return result;
    } finally {
      await run.points.drain();
      run.points.close();
      run.display.end(isDone);
      discardBest(run.state);
      if (!isDone) discardLogs(run);
    }
  };
}

/**
 * Trains a model that is in no other training.
 *
 * @param isRejected Whether tfjs rejects the arguments.
 * @param callTfjs Calls tfjs with them, so that the user sees its own error.
 * @param train Trains the model.
 */
export function trainModel(
  model: tf.LayersModel,
  isRejected: (trainer: Trainer) => boolean,
  callTfjs: () => Promise<unknown>,
  train: (trainer: Trainer) => Promise<E.Either<FitError, tf.History>>,
): TE.TaskEither<FitError, tf.History> {
  return orDeviceFailed(async () => {
    const trainer = trainerOf(model);
    if (isRejected(trainer)) {
      await callTfjs();
      throw new TypeError("Expected arguments that tfjs 4.22 accepts, found others");
    }
    if (trainer.isTraining) throw new Error("Cannot start training because another fit() call is ongoing.");
    trainer.isTraining = true;
    try {
      return await train(trainer);
    } finally {
      trainer.isTraining = false;
    }
  });
}

/**
 * Runs a training to its end, from its newest checkpoint if it has one.
 *
 * @param options The options of `fit` or `fitDataset`.
 * @param training The prepared training.
 */
export function runTraining(options: FitOptions, training: PreparedTraining): TE.TaskEither<FitError, tf.History> {
  const name = trainingName(options);
  const tracking = trackingOf(options);
  const run = (repeated: readonly Problem[], began: CalledBeginning): TE.TaskEither<FitError, tf.History> =>
    pipe(
      newestOf(options.to, name, options.fallback ?? false),
      TE.mapLeft(ofRestore),
      TE.flatMap((found): TE.TaskEither<FitError, tf.History> =>
        trainFrom(startTrainingRun(options, training, tracking, repeated, began), found)
      ),
    );
  return tracking.around(async () => {
    checkMetric(training, options.restoreBest);
    const beginning = await initialDigests(training, options);
    const began = await beginningOf(training.model);
    const trainings = trainingsAt(options.to);
    const before = trainings.get(name);
    const repeated = repeatedCall(name, before, beginning, training);
    if (before?.state === "running") return E.left(otherTraining(options, repeated));
    // A call that must not begin may still name the checkpoint that it does not continue.
    if (repeated.length > 0) return await run(repeated, began)();
    const epochs = `${training.epochs} ${training.epochs === 1 ? "epoch" : "epochs"}`;
    const words = `by ${training.terms["by"]}, ${epochs}`;
    const record = { beginning, words, model: new WeakRef(training.model) };
    trainings.set(name, { ...record, state: "running" });
    let state: TrainingRecord["state"] = "broken off";
    try {
      const result = await run([], began)();
      if (E.isRight(result)) state = "complete";
      return result;
    } finally {
      trainings.set(name, { ...record, state });
    }
  });
}
