/**
 * The state of a training by `fit` or `fitDataset`: what it consists of, how it is captured, and how it is restored into live objects.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type FitError, mismatch, type Problem } from "../errors/mod.ts";
import { type Beginning, isBeginning } from "./followed_trainings.ts";
import type { FitOptions, RestoreBest } from "./options.ts";
import type { Report } from "../run/mod.ts";
import { copyOfData, isSameData, join, problemsOfRestore, setByScript } from "../state/mod.ts";
import { withoutMaps } from "./plain_maps.ts";
import { aligned, assign, isInPlace, isSameKind, liveAt, refiller, valueAt } from "./refill.ts";
import {
  areFieldNames,
  componentNode,
  configurationsOf,
  fieldsOfCallbacks,
  fieldsOfNoCallback,
  type FieldsWithoutValue,
  restoreCallbackFields,
} from "./callback_fields.ts";
import type { Rng } from "../values/mod.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { captureState, id, release, restoreInto, restoreState, type Snapshot, snapshotOf } from "../snapshot.ts";
import { type Callbacks, callbacksOf, disposeOnFailure, type Logs, type Trainer } from "../tfjs/mod.ts";
import { kinds } from "../kinds.ts";
import { ownCodecs } from "../codecs.ts";

// --- types

/** The user's own components and their codecs. */
type OwnComponents = Pick<FitOptions, "with" | "codecs" | "types">;

/** The position of a training. */
export interface Position {
  readonly epoch: number;
  /** Batches done in this epoch; at 0 it has not begun. */
  readonly batch: number;
  /** Batches done since the start. */
  readonly step: number;
  /** Whether `stopTraining` was set. */
  readonly stopping: boolean;
  readonly done: boolean;
}

/** What must be the same when a training is resumed, as text. */
export type Terms = Readonly<Record<string, null | boolean | number | string | readonly string[]>>;

/** Checksums of what a dataset gave to train on and to validate on. */
export interface DataChecksums {
  readonly data: number;
  readonly validation: number;
}

/** The component `fit` of a checkpoint: all of the loop's own state except tensors, which are in other components. */
export interface SavedTraining {
  readonly terms: Terms;
  readonly at: Position;
  /** The order of the samples, which each epoch shuffles further. */
  readonly order: Int32Array | null;
  /** A checksum of all data read so far, if the data is a dataset. */
  readonly read: number;
  /** The same for training and validation apart; missing in checkpoints of earlier versions. */
  readonly reads?: DataChecksums;
  /** Fields of callbacks that have no value; missing in checkpoints of version 0.1.0. */
  readonly fields?: readonly FieldsWithoutValue[];
  /** The option of this name, if it was given. */
  readonly restoreBest?: RestoreBest;
  /** What the training began with; missing in checkpoints of earlier versions. */
  readonly began?: Beginning;
}

/** The best epoch so far, with the option `restoreBest`. */
export interface BestEpoch {
  readonly value: number;
  readonly logs: Readonly<Record<string, number>>;
  /** The model's weights when the logs were measured, before `onEpochEnd`. */
  readonly weights: readonly tf.Tensor[];
  /** The weights after the last epoch, once the model has those of the best one. */
  readonly last: readonly tf.Tensor[];
}

/** The state of a running training. The loop updates it; each save reads it. */
export interface TrainingState {
  at: Position;
  rng: Rng.Rng;
  order: Int32Array | null;
  /** A checksum of all data read so far. */
  dataCrc: number;
  reads?: DataChecksums | undefined;
  /** What the training began with; undefined if its checkpoint does not have it. */
  began: Beginning | undefined;
  /** The logs for the end of the current epoch, so far. */
  logs: Logs;
  /** The best epoch so far, with the option `restoreBest`. */
  best?: BestEpoch | undefined;
  /** The metrics of the next checkpoint. */
  metrics: Readonly<Record<string, number>>;
  /** Whether the logs of the batch after so many are wanted by trackers or shown, and those of the last batch if they were. */
  readonly isLogged: (batches: number) => boolean;
  batchLogs: Readonly<Record<string, number>>;
  /** The logs of the last epoch that has ended, if they are shown. */
  epochLogs: Readonly<Record<string, number>>;
  /** The method of a callback that is being called. */
  calling?: string | undefined;
}

/** What `fit` and `fitDataset` set up in the same way. */
export interface Setup {
  readonly model: tf.LayersModel;
  readonly trainer: Trainer;
  readonly callbacks: Callbacks;
  /** One step of the optimizer on the tensors of a batch: the loss and the metrics. */
  readonly step: ReturnType<Trainer["makeTrainFunction"]>;
  /** The names of the loss and the metrics. */
  readonly labels: readonly string[];
  /** The first epoch. */
  readonly first: number;
  readonly epochs: number;
}

/** A training that is ready to run. */
export interface PreparedTraining extends Setup {
  /** What callbacks receive as `params`. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly terms: Terms;
  readonly order: Int32Array | null;
  /** How many batches an epoch has; null if that is unknown. */
  readonly perEpoch: number | null;
  /** Before the first epoch: opens the data, and reads it up to the position of the training. */
  readonly open: (state: TrainingState) => TaskEither<FitError, void>;
  /** At the start of an epoch, after the callbacks. */
  readonly beginEpoch: (state: TrainingState) => void;
  /** Trains on the remaining batches of an epoch, and runs `afterBatch` after each. */
  readonly trainBatches: (state: TrainingState, afterBatch: TaskEither<FitError, void>) => TaskEither<FitError, void>;
}

/** The part of a report that a restore fills in. */
type RestoreReport = Pick<Report, "parts" | "overridden" | "replaced">;

/** The component `logs` of a checkpoint. */
interface SavedLogs {
  readonly seen: number;
  readonly totals: Logs;
  readonly epoch: Logs;
  readonly epochs: number[];
  readonly history: Record<string, (number | tf.Scalar)[]>;
  readonly best?: BestEpoch;
}

// --- constructors

/** The setup of a training from the arguments that `fit` and `fitDataset` share. */
export function setUp(
  model: tf.LayersModel,
  trainer: Trainer,
  args: Pick<tf.ModelFitArgs, "callbacks" | "yieldEvery" | "verbose" | "initialEpoch"> & { readonly epochs: number },
): Setup {
  return {
    model,
    trainer,
    step: trainer.makeTrainFunction(),
    labels: trainer.getDedupedMetricsNames(),
    callbacks: callbacksOf(trainer, args),
    first: args.initialEpoch ?? 0,
    epochs: args.epochs,
  };
}

/** The names of the loss and the metrics, with those of the validation. */
export function metricNames({ labels }: Setup, validates: boolean): readonly string[] {
  return validates ? [...labels, ...labels.map((label) => `val_${label}`)] : labels;
}

/** The terms that `fit` and `fitDataset` share. */
export function commonTerms(
  { first, callbacks }: Setup,
  { classWeight }: Pick<tf.ModelFitArgs, "classWeight">,
  { seed = 0 }: FitOptions,
): Terms {
  return {
    initialEpoch: first,
    classWeight: JSON.stringify(classWeight ?? null),
    seed: String(seed),
    callbacks: callbacks.own.map((callback) => callback.constructor.name),
  };
}

// --- capture

/** The components of a training. */
export function componentsOf(
  training: PreparedTraining,
  state: TrainingState,
  { with: own = {}, codecs = {}, restoreBest }: OwnComponents & Pick<FitOptions, "restoreBest">,
): object {
  const { model, callbacks: { logger, history }, terms, trainer } = training;
  // At the end of an epoch tfjs disposes of the totals.
  const [{ seen = 0, totals = {} }, epoch] = state.at.batch > 0 ? [logger, state.logs] : [{}, {}];
  const at: Position = { ...state.at, stopping: trainer.stopTraining_ };
  const { values, names } = fieldsOfCallbacks(training);
  return {
    model,
    rng: state.rng,
    fit: {
      terms,
      at,
      order: state.order,
      read: state.dataCrc,
      ...(state.reads && { reads: state.reads }),
      fields: names,
      ...(restoreBest && { restoreBest }),
      ...(state.began && { began: state.began }),
    } satisfies SavedTraining,
    logs: {
      seen,
      totals: { ...totals },
      epoch: { ...epoch },
      epochs: [...history.epoch],
      history: Object.fromEntries(Object.entries(history.history).map(([name, values]) => [name, [...values]])),
      ...(state.best && { best: state.best }),
    },
    callbacks: values,
    ...capturable(own, codecs),
  };
}

/** The user's own components in a form that can be captured: Maps and Sets as plain data. */
function capturable(own: object, codecs: NonNullable<OwnComponents["codecs"]>): Record<string, unknown> {
  const made = new Map<object, unknown>();
  return Object.fromEntries(
    Object.entries(own).map(([name, value]) => [
      name,
      Object.hasOwn(codecs, name) ? value : withoutMaps(value, join("", name), made),
    ]),
  );
}

/** Whether a value contains an object that is restored in place. */
function holdsInPlace(value: unknown): boolean {
  if (Array.isArray(value) || isPlainRecord(value)) return Object.values(value).some(holdsInPlace);
  return isInPlace(value);
}

/**
 * Digests of what a training begins with, by component; of the user's own components, only of models, optimizers and variables.
 *
 * It rejects with a `TypeError` if something cannot be captured.
 */
export async function initialDigests(
  training: PreparedTraining,
  { with: own = {}, codecs = {}, types = [] }: OwnComponents,
): Promise<Readonly<Record<string, string>>> {
  const { model, callbacks } = training;
  const fields = fieldsOfCallbacks(training);
  const components = capturable(own, codecs);
  release(captureState({ model, callbacks: fields.values, ...components }, { codecs, types } as object))();
  const inPlace = Object.entries(components)
    .filter(([name, value]) => !Object.hasOwn(codecs, name) && holdsInPlace(value));
  const made = configurationsOf(callbacks);
  const digests: Record<string, string> = {};
  for (const [name, value] of [["model", model], ["callbacks", { ...fields, made }], ...inPlace] as const) {
    using part = captureState({ [name]: value }, { types });
    digests[name] = await id(part)();
  }
  return digests;
}

// --- restore

/** The component `fit` of a snapshot. */
export function savedTraining(snapshot: Snapshot<unknown>): E.Either<FitError, SavedTraining> {
  const fit = snapshot.encoded.components.filter(([name]) => name === "fit");
  const restored = restoreState(snapshotOf<{ fit?: SavedTraining }>({ components: fit, order: [] }, []));
  if (E.isLeft(restored)) return restored;
  const { fit: saved } = restored.right;
  const isWhole = isPlainRecord(saved) && isPlainRecord(saved.terms) && isPlainRecord(saved.at);
  const isKnown = isWhole && (saved.fields === undefined || areFieldNames(saved.fields)) && isBeginning(saved.began);
  if (isKnown) return E.right(saved);
  const [expected, found] = ["a checkpoint of fit or fitDataset", "one of another loop"];
  return E.left(mismatch([{ path: "fit", kind: "missing", expected, found }]));
}

/** A term of a training in words. */
function termText(term: unknown): string {
  if (Array.isArray(term)) return term.length === 0 ? "none" : term.map(termText).join(", ");
  return term === null || term === undefined ? "none" : typeof term === "string" ? term : JSON.stringify(term);
}

/** Of two lists of tensors as text, the inputs first, those that differ, each with its name. */
function differing(one: unknown, other: unknown, inputs: number): unknown {
  if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return one;
  const nameOf = (i: number): string => {
    const [name, at, count] = i < inputs ? ["x", i, inputs] : ["y", i - inputs, one.length - inputs];
    return count === 1 ? name : `${name}[${at}]`;
  };
  return one.flatMap((text, i) => text === other[i] ? [] : [`${nameOf(i)} ${text}`]);
}

/** The differences that do not allow this training to resume the one of a snapshot, whose component `fit` is given first. */
export function termProblems(
  { terms, at }: SavedTraining,
  training: PreparedTraining,
  snapshot: Snapshot<unknown>,
): readonly Problem[] {
  const { epochs, first, model, callbacks } = training;
  const begun = at.batch > 0 ? at.epoch + 1 : at.epoch;
  const hasFewer = epochs < begun && begun > first;
  const wanted = Object.entries({ ...training.terms, ...(hasFewer && { epochs }) });
  const saved: Readonly<Record<string, unknown>> = { ...terms, epochs: `${begun} begun` };
  const lost = fieldsOfNoCallback(callbacks, componentNode(snapshot.encoded.components, "callbacks"));
  const [expected, found] = ["none", `an object with ${lost.join(", ")}`];
  const dropped: readonly Problem[] = lost.length === 0
    ? []
    : [{ path: "fit/callbacks", kind: "config", expected, found, saved: "found" }];
  const differences = wanted.map(([name, term]): Problem => {
    const textOf = (one: unknown, other: unknown): string =>
      termText(name === "data" || name === "validation" ? differing(one, other, model.inputs.length) : one);
    return {
      path: `fit/${name}`,
      kind: "config",
      expected: textOf(term, saved[name]),
      found: textOf(saved[name], term),
      saved: "found",
    };
  }).filter(({ expected, found }) => expected !== found);
  return [...differences, ...dropped];
}

/** Live components in the form of the saved ones, to restore into. */
function liveComponents(
  training: PreparedTraining,
  { rng }: TrainingState,
  snapshot: Snapshot<unknown>,
  { with: own = {}, codecs = {} }: OwnComponents,
): Record<string, unknown> {
  const { components } = snapshot.encoded;
  const { model, trainer } = training;
  const fields = fieldsOfCallbacks(training).values;
  const converted = capturable(own, codecs);
  const all = { model, callbacks: fields, ...converted };
  const shared = (path: string): unknown => path === "model/compile/optimizer" ? trainer.optimizer : liveAt(all, path);
  const saved = componentNode(components, "callbacks");
  const alignedOwn = Object.entries(converted).map(([name, value]) => {
    const node = componentNode(components, name);
    if (node === undefined || Object.hasOwn(codecs, name)) return [name, value];
    return [name, aligned(value, node, isInPlace(value) || isSameKind(value, node) ? "same" : "any", shared)];
  });
  return {
    model,
    rng,
    fit: null,
    logs: null,
    callbacks: Array.isArray(saved) ? saved.map((node, i) => aligned(fields[i] ?? {}, node, "any", shared)) : fields,
    ...Object.fromEntries(alignedOwn),
  };
}

/** What a restore overrides, with the values that the script had: data that is refilled was aligned as null. */
function withLive(
  overridden: Report["overridden"],
  training: PreparedTraining,
  { with: own = {}, codecs = {} }: OwnComponents,
): Report["overridden"] {
  const before = { callbacks: fieldsOfCallbacks(training).values, ...capturable(own, codecs) };
  return overridden.flatMap((one) => {
    if (one.live !== null) return [one];
    const live = copyOfData(valueAt(before, one.path)) ?? null;
    return isSameData(live, one.saved) ? [] : [{ ...one, live }];
  });
}

/** The problems that a restore of a training would have. Nothing is changed. */
export function restoreProblems(
  training: PreparedTraining,
  state: TrainingState,
  snapshot: Snapshot<unknown>,
  options: OwnComponents,
): readonly Problem[] {
  const live = liveComponents(training, state, snapshot, options);
  const request = { kinds, own: ownCodecs(options), live, problems: [] };
  return disposeOnFailure(() => problemsOfRestore(snapshot.encoded, request), () => true);
}

/**
 * Restores a snapshot into the live objects of a training, after the callbacks' `onTrainBegin`.
 *
 * @param saved The component `fit` of the snapshot.
 * @returns What the restore reports.
 */
export function restoreTraining(
  training: PreparedTraining,
  state: TrainingState,
  saved: SavedTraining,
  snapshot: Snapshot<unknown>,
  options: OwnComponents,
): E.Either<FitError, RestoreReport> {
  const { callbacks, trainer } = training;
  const { with: own = {}, codecs = {}, types = [] } = options;
  const live = liveComponents(training, state, snapshot, options);
  let report: RestoreReport | undefined;
  const onReport = (restored: RestoreReport): void => void (report = restored);
  const result = restoreInto<Record<string, unknown>>(live, { codecs, types, onReport } as object)(snapshot)();
  if (E.isLeft(result)) return result;
  const { parts, overridden } = report as unknown as RestoreReport;
  const replacedData = setByScript(withLive(overridden, training, options));
  const { model: _, rng, fit: _fit, logs, callbacks: values, ...rest } = result.right as {
    rng: Rng.Rng;
    logs: SavedLogs;
    callbacks: readonly Record<string, unknown>[];
  } & Record<string, unknown>;
  Object.assign(state, {
    at: { ...saved.at, done: false },
    rng,
    order: saved.order,
    logs: logs.epoch,
    best: logs.best,
  });
  Object.assign(callbacks.logger, { seen: logs.seen, totals: logs.totals });
  Object.assign(callbacks.history, { epoch: logs.epochs, history: logs.history });
  const replaced: string[] = [];
  const refill = refiller(replaced);
  restoreCallbackFields(callbacks, values, saved.fields, refill);
  for (const [name, value] of Object.entries(rest)) {
    assign(own, name, refill(Reflect.get(own, name), value, join("", name)));
  }
  trainer.stopTraining_ = saved.at.stopping;
  return E.right({ parts, overridden: replacedData, replaced });
}
