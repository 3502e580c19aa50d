/**
 * The option `restoreBest`: the weights of the best epoch so far, kept in the state of a training.
 *
 * They are saved in its checkpoints, so that neither a kill nor retention loses them. The complete training also keeps the weights of its last
 * epoch, from which a call with more epochs continues.
 *
 * Law: *same bits*: the option changes nothing but the weights that the model ends with.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { FitError, Problem, StepFailed } from "../errors/mod.ts";
import { layerFields, type Logs, mayAddLogs } from "../tfjs/mod.ts";
import { shown } from "../validation/mod.ts";
import type { RestoreBest } from "./options.ts";
import type { PreparedTraining, SavedTraining, TrainingState } from "./training_state.ts";

// --- constructors

/** The variables of a model's weights, also of those that do not train. */
function variablesOf({ model }: PreparedTraining): readonly tf.Variable[] {
  return layerFields(model).weights.map(({ val }) => val);
}

/** The present weights of a model. They share its data, which no later step changes. */
function heldWeights(training: PreparedTraining): readonly tf.Tensor[] {
  return variablesOf(training).map((variable) => variable.clone());
}

/** Disposes of held weights. */
function dispose(weights: readonly tf.Tensor[]): void {
  weights.forEach((tensor) => tensor.dispose());
}

/** Sets the weights of a model. Constraints are not applied to them again, which could change bits. */
function setWeights(training: PreparedTraining, weights: readonly tf.Tensor[]): void {
  variablesOf(training).forEach((variable, i) => variable.assign(weights[i]!));
}

// --- combinators

/** The logs of an epoch as numbers. */
export async function readLogs(logs: Logs): Promise<Readonly<Record<string, number>>> {
  const read = Object.entries(logs).map(async ([name, value]) => {
    return [name, typeof value === "number" ? value : (await value.data())[0] as number] as const;
  });
  return Object.fromEntries(await Promise.all(read));
}

/** Whether a value is the best so far. Of equal values the later is, as for retention; NaN never is. */
function isBest(value: number, best: number, mode: RestoreBest["mode"]): boolean {
  return !Number.isNaN(value) && !(mode === "min" ? value > best : value < best);
}

/** The mistake of a metric that is none of those of the model, nor in the logs. */
function unknownMetric({ params }: PreparedTraining, metric: string, logs: object): TypeError | undefined {
  const names = new Set([...params["metrics"] as readonly string[], ...Object.keys(logs)]);
  if (names.has(metric)) return undefined;
  const known = [...names].map((name) => shown(name)).join(", ");
  return new TypeError(`Expected restoreBest.metric to be one of ${known}, found ${shown(metric)}`);
}

/**
 * Rejects a metric that no epoch will log, with a `TypeError`. Where callbacks may log metrics of their own, only the end of the first epoch
 * tells.
 */
export function checkMetric(training: PreparedTraining, restoreBest: RestoreBest | undefined): void {
  if (restoreBest === undefined || training.callbacks.own.some(mayAddLogs)) return;
  const mistake = unknownMetric(training, restoreBest.metric, {});
  if (mistake !== undefined) throw mistake;
}

/** The error of a metric that the first epoch does not log, though it was complete. */
function notLogged(training: PreparedTraining, { at: { step, epoch } }: TrainingState, metric: string, logs: object) {
  const cause = training.callbacks.history.epoch.length > 1 ? undefined : unknownMetric(training, metric, logs);
  return cause && { _tag: "StepFailed", cause, at: step, by: "restoreBest", epoch } satisfies StepFailed;
}

/** Runs the end of an epoch. If its logs are the best so far, the weights before it are kept. */
export function keepingBest<A>(
  restoreBest: RestoreBest | undefined,
  training: PreparedTraining,
  state: TrainingState,
  end: TaskEither<FitError, A>,
): TaskEither<FitError, A> {
  if (restoreBest === undefined) return end;
  const { metric, mode } = restoreBest;
  return async () => {
    let unused = heldWeights(training);
    try {
      const ended = await end();
      if (E.isLeft(ended)) return ended;
      const logs = await readLogs(state.logs);
      const error = notLogged(training, state, metric, logs);
      if (error !== undefined) return E.left(error);
      const value = logs[metric] ?? NaN;
      if (isBest(value, state.best?.value ?? NaN, mode)) {
        const { weights = [] } = state.best ?? {};
        state.best = { value, logs, weights: unused, last: [] };
        unused = weights;
      }
      return ended;
    } finally {
      dispose(unused);
    }
  };
}

/** Ends a training with the weights of its best epoch, if an epoch had a number for the metric. */
export function takeBest(training: PreparedTraining, state: TrainingState): void {
  if (state.best === undefined) return;
  state.best = { ...state.best, last: heldWeights(training) };
  setWeights(training, state.best.weights);
}

/** Continues a complete training from the weights of its last epoch. */
export function continueFromLast(training: PreparedTraining, state: TrainingState): void {
  if (state.best === undefined || state.best.last.length === 0) return;
  setWeights(training, state.best.last);
  dispose(state.best.last);
  state.best = { ...state.best, last: [] };
  state.metrics = {};
}

/** Disposes of the weights that a training kept. */
export function discardBest({ best }: TrainingState): void {
  dispose([...best?.weights ?? [], ...best?.last ?? []]);
}

/** The difference between the option of a call and that of the training it resumes. Before the end of the first epoch it may change. */
export function restoreBestProblems(
  restoreBest: RestoreBest | undefined,
  { first }: PreparedTraining,
  { at, restoreBest: saved }: SavedTraining,
): readonly Problem[] {
  const text = (option: RestoreBest | undefined): string =>
    option === undefined ? "none" : `${option.metric} (${option.mode})`;
  const [expected, found] = [text(restoreBest), text(saved)];
  if (at.epoch === first || expected === found) return [];
  return [{ path: "fit/restoreBest", kind: "config", expected, found, saved: "found" }];
}
