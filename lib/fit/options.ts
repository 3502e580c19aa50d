/**
 * The options of `fit` and `fitDataset`, and their checks.
 *
 * @module
 */
import type { Capturable, Components, MapOrSet, ValueOf } from "../capturable.ts";
import type { Codec, Codecs, Options } from "../codecs.ts";
import { isImmutable, valueKindOf } from "./refill.ts";
import {
  checkPolicy,
  checkProgress,
  checkTracking,
  defaultTraining,
  policyRules,
  progressRules,
  type Report,
  type SavePolicy,
  type ShowsProgress,
  type Signal,
  type TrackingOptions,
  trackingRules,
} from "../run/mod.ts";
import { withArticle } from "../state/mod.ts";
import {
  aBoolean,
  aFunction,
  aName,
  checkOptionNames,
  demand,
  demandEach,
  exactRecord,
  ifGiven,
  isPlainRecord,
  must,
  oneOf,
  type OptionRules,
  refine,
  shown,
} from "../validation/mod.ts";
import { type Seed, seedText } from "../values/mod.ts";

// --- types

/** The metric of {@link FitOptions.restoreBest}, and whether lower (`"min"`) or higher (`"max"`) values are better. */
export interface RestoreBest {
  /** The name of the metric, as tfjs logs it. */
  readonly metric: string;
  /** Whether the lowest or the highest value is the best. */
  readonly mode: "min" | "max";
}

/**
 * What the components in `with` must be: Maps and Sets can be captured, too.
 *
 * @internal
 */
export type GivenWith<W, K, T> =
  & Components
  & Capturable<W, keyof K, ValueOf<T> | MapOrSet>;

/** How `fit` and `fitDataset` save and resume a training. */
export interface FitOptions<W extends object = object, K extends Codecs = Codecs, T extends Codec = Codec>
  extends Omit<SavePolicy<never>, "metrics" | "when" | keyof Options>, Options<K, T>, TrackingOptions, ShowsProgress {
  /**
   * The name of the training. A store can hold several trainings, each with its own name: transfer learning and fine-tuning, a sweep, or a
   * loop over `epochs: 1`.
   * @default "fit"
   */
  readonly name?: string;
  /**
   * Save every so many batches, counted from the start of the training. Each epoch is also saved at its end if `metrics` is given, or neither
   * `every` nor `seconds` is.
   * @default never
   */
  readonly every?: number;
  /**
   * The seed of everything that tfjs draws from `Math.random`: dropout, noise, the shuffle.
   * @default 0
   */
  readonly seed?: Seed;
  /**
   * Your own components to save with the training, by name: models, optimizers, tensors, plain data such as a callback's counters. A value that
   * never changes cannot be refilled and is a `TypeError`: a number, a string, a boolean, null, a schedule, a generator, a scaler, a cursor, or what
   * is frozen. Pass an object that holds it. They are captured at each save. A resumed training writes the restored values into this same object, and into the same arrays, records, typed
   * arrays, Maps and Sets at any depth, so that functions that refer to them see the restored contents. Tensors are replaced, and instances of your
   * own classes, which need a codec in `types`: read them from this object. The report lists their paths in `replaced`.
   * @default {}
   */
  readonly with?: W;
  /**
   * Metrics of a checkpoint, computed from the logs of an epoch. Only checkpoints at the end of an epoch have metrics, because they describe
   * the weights at that moment. A checkpoint has none if `onEpochEnd` or `onTrainEnd` changed the weights after they were measured.
   */
  readonly metrics?: (logs: Readonly<Record<string, number>>) => Readonly<Record<string, number>>;
  /**
   * Ends the training with the weights of the epoch with the best value of a metric in its logs, such as `val_loss`, as Keras's
   * `restore_best_weights` does. `onTrainEnd` and the last checkpoint have these weights, and the metrics of that epoch. Everything else (the
   * history, the optimizer, the callbacks) is as after the last epoch. Of equal values the later epoch is the best; NaN never is, and if no epoch
   * has a number, the weights stay those of the last.
   *
   * The best weights so far are saved with the training, which takes the memory and bytes of the weights once more. A complete training also
   * holds those of the last epoch, from which a call with more epochs continues.
   * @default the weights of the last epoch
   */
  readonly restoreBest?: RestoreBest;
  /**
   * Signals that save and stop the training after the current batch. A second one ends the process at once and unsaved. The same one
   * within a tenth of a second counts as one with the first.
   *
   * Windows delivers only `SIGINT`, at Ctrl+C, and `SIGHUP`, some seconds before a closed console ends the process; signals with neither are a
   * `TypeError` there. Another process can only end the training at once, and in Deno so may Ctrl+C: save with `every` or `seconds`.
   * @default []
   */
  readonly stopOn?: readonly Signal[];
  /**
   * Whether to resume from an older checkpoint if the newest is damaged.
   * @default false
   */
  readonly fallback?: boolean;
  /**
   * Whether `fitDataset` may train on data that cannot be replayed, such as a shuffle without a seed. A resumed training then continues on
   * other data, so its bits differ from those of an uninterrupted one.
   * @default false
   */
  readonly inexact?: boolean;
  /** Receives a report about the checkpoint that the training resumes from. */
  readonly onReport?: (report: Report) => void;
}

/** The types of the options that a {@link SavePolicy} does not have, except those of the seed and the signals. */
const fitRules: OptionRules<Omit<FitOptions, keyof SavePolicy<never> | "seed" | "stopOn">> = {
  name: ifGiven(must("a non-empty name", aName.is)),
  fallback: ifGiven(aBoolean),
  inexact: ifGiven(aBoolean),
  onReport: ifGiven(aFunction),
  restoreBest: ifGiven(
    refine(
      exactRecord({ metric: aName, mode: oneOf("min", "max") }),
      'an object such as { metric: "val_loss", mode: "min" }',
      () => true,
    ),
  ),
  with: ifGiven(must("a record of named components", isPlainRecord)),
  ...trackingRules,
  ...progressRules,
};

/** The types of the options of a {@link SavePolicy}. The state of `fit` is its own, so that no predicate on it is taken. */
const { when: _when, ...savingRules } = policyRules;

// --- constructors

/** Names of components that `fit` saves itself. */
const reserved: readonly string[] = ["model", "rng", "fit", "logs", "callbacks"];

/** Rejects, with a `TypeError`, options that are given with the arguments of tfjs. */
export function checkPlace(of: string, args: object): void {
  const ours = ["to", "trackers", "progress", "logEvery", "every", "seconds", "stopOn", "restoreBest"] as const;
  const found = ours.find((name: keyof FitOptions) => Object.hasOwn(Object(args), name));
  if (found === undefined) return;
  throw new TypeError(
    `Expected the option ${found} in the first call, ${of}({ to, ${found} })(model, …), found it in the second`,
  );
}

/** The name of a training. */
export function trainingName({ name = defaultTraining }: FitOptions): string {
  return name;
}

/**
 * Rejects wrong options with a `TypeError`.
 *
 * @param options What the user gave.
 * @param of The function that takes them, for the message.
 */
export function checkFitOptions(options: FitOptions, of: string): void {
  checkOptionNames(of, options, { to: true, ...savingRules, seed: true, stopOn: true, ...fitRules });
  const { stopOn = [], seed, with: own = {} } = options;
  checkPolicy(options, stopOn);
  if (seed !== undefined) seedText(seed);
  demandEach(fitRules, options);
  checkTracking(options);
  checkProgress(options);
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(own))) {
    demand("a name in with", must(`none of ${reserved.join(", ")}`, () => !reserved.includes(name)), name);
    const found = notRefilled(value);
    if (found === undefined) continue;
    const remedy = `pass an object that holds it, such as with: { mine } where mine.${name} is changed`;
    throw new TypeError(`Expected with.${name} to be an object, found ${found}, which cannot be refilled: ${remedy}`);
  }
}

/**
 * What a value in `with` is, if a resumed training cannot put the saved one into the user's variable, and its report would not list it as
 * replaced: a value that never changes.
 */
function notRefilled(value: unknown): string | undefined {
  if (value === null) return "null";
  if (["number", "string", "boolean", "bigint"].includes(typeof value)) return `${shown(value)}, a ${typeof value}`;
  // An accessor has no value here: its setter refills what it reads.
  if (!isImmutable(value)) return undefined;
  const kind = valueKindOf(value);
  return kind === undefined ? `${shown(value)} that is frozen` : withArticle(kind);
}
