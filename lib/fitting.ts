/**
 * What `fit` and `fitDataset` share: their options, trainings by name, and the loop over epochs.
 *
 * The loop is tfjs's, callback for callback. What it keeps to itself is state here: the order of the data, the position in it, the running
 * totals of the epoch, the history, what callbacks remember, and the generator that random numbers come from.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { crc32 } from "node:zlib";
import { type FitError, mismatch, type Problem, type StepFailed } from "./errors.ts";
import { beginningOf, type Job, objections, restored, type Run, savedIn, stateOf } from "./fit_state.ts";
import type { Report } from "./loading.ts";
import * as Rng from "./rng.ts";
import { checkMisspelt, checkOptionNames, type OptionNames } from "./option_names.ts";
import { aBoolean, aFunction, demand, ifGiven, isPlainRecord, must } from "./rules.ts";
import { checkPolicy, policyNames, type SavePoints, savePoints, type SavePolicy, type Signal } from "./save_points.ts";
import { type Seed, seedText } from "./seed.ts";
import { release } from "./snapshot.ts";
import { onDevice } from "./tfjs/device.ts";
import { hold } from "./tfjs/tensor_data.ts";
import { type Callbacks, checkCallbacks } from "./tfjs/training.ts";
import { type FoundTraining, newestOf } from "./training_checkpoints.ts";
import { defaultTraining, type Training, trainingsAt } from "./trainings.ts";

// --- types

/** How a training by `fit` or `fitDataset` is made resumable. */
export interface FitOptions extends Omit<SavePolicy<never>, "metrics"> {
  /**
   * The name of the training. A store holds one training by each name: a script with several (transfer learning, then fine-tuning; a sweep; a
   * loop over `epochs: 1`) gives each its own.
   * @default "fit"
   */
  readonly name?: string;
  /**
   * Save after every so many batches, counted from the start of the training. With neither `every` nor `seconds`, or with `metrics`, each
   * epoch is saved at its end.
   * @default never
   */
  readonly every?: number;
  /**
   * Where the random numbers come from that tfjs takes from `Math.random`: dropout, noise, the shuffle.
   * @default 0
   */
  readonly seed?: Seed;
  /**
   * Components of the script's own to save along, under their names: models, optimizers, tensors, plain data, what a callback counts in. It
   * is captured as it is at each save. When resumed, the restored values are put into this very object, and restored contents into its very
   * arrays, records, typed arrays, Maps and Sets, at any depth, so that functions that hold these see them; a tensor is replaced where it is.
   * @default {}
   */
  readonly with?: object;
  /**
   * Numbers to choose checkpoints by, from the logs of an epoch. Only checkpoints at the end of an epoch have them, because they belong to the
   * weights at that moment; a checkpoint has none if `onEpochEnd` or `onTrainEnd` changed the weights after they were measured.
   */
  readonly metrics?: (logs: Readonly<Record<string, number>>) => Readonly<Record<string, number>>;
  /**
   * Signals on which to save and stop after the batch.
   * @default []
   */
  readonly stopOn?: readonly Signal[];
  /**
   * Whether an older checkpoint will do when the newest is damaged.
   * @default false
   */
  readonly fallback?: boolean;
  /**
   * Whether `fitDataset` may train on data that cannot be read again as it was, such as a shuffle without a seed. Then a resumed training
   * continues from its checkpoint with other data than it would have had: its bits differ from those of a training that was not interrupted.
   * @default false
   */
  readonly inexact?: boolean;
  /** Receives a report of the checkpoint that is resumed from. */
  readonly onReport?: (report: Report) => void;
}

const fitNames = {
  ...policyNames,
  name: true,
  seed: true,
  with: true,
  stopOn: true,
  fallback: true,
  inexact: true,
  onReport: true,
} satisfies OptionNames<FitOptions>;

// --- constructors

const components: readonly string[] = ["model", "rng", "fit", "logs", "callbacks"];

/** Sees that options are what they must be. */
export function checkOptions(options: FitOptions, of: string): void {
  checkOptionNames(of, options, fitNames);
  const { stopOn = [] } = options;
  checkPolicy(options, stopOn);
  demand("name", must("a name that is not empty", (name) => typeof name === "string" && name !== ""), nameOf(options));
  if (options.seed !== undefined) seedText(options.seed);
  demand("fallback", ifGiven(aBoolean), options.fallback);
  demand("inexact", ifGiven(aBoolean), options.inexact);
  demand("onReport", ifGiven(aFunction), options.onReport);
  const { with: own = {} } = options;
  demand("with", must("a record of named components", isPlainRecord), own);
  for (const name of Object.keys(own)) {
    const free = must(`none of ${components.join(", ")}`, () => !components.includes(name));
    demand("a name in with", free, name);
  }
}

/**
 * Sees that the arguments of tfjs are a record of which none is misspelt: tfjs ignores what it does not know, and would train on its defaults.
 *
 * @param of The function of tfjs.
 * @param args Its arguments.
 * @param names Those that it knows.
 */
export function checkArguments<A extends { readonly callbacks?: unknown }>(
  of: string,
  args: A,
  names: OptionNames<A>,
): void {
  checkMisspelt(of, args, names);
  checkCallbacks(of, args.callbacks);
}

/** The name of a training. */
export function nameOf({ name = defaultTraining }: FitOptions): string {
  return name;
}

/** A tensor in words that tell it from others: its dtype, its shape, and a checksum of its bytes. */
export async function describe(tensor: tf.Tensor): Promise<string> {
  return `${tensor.dtype}[${tensor.shape}] with CRC ${(await checksum([tensor], 0)).toString(16).padStart(8, "0")}`;
}

/** The CRC-32 of tensors' bytes after others. */
export async function checksum(tensors: readonly tf.Tensor[], before: number): Promise<number> {
  let crc = before;
  for (const tensor of tensors) {
    const held = hold(tensor);
    try {
      crc = crc32(held.home.peek(held) ?? await held.home.read(held), crc);
    } finally {
      held.home.release(held);
    }
  }
  return crc;
}

/** Draws what a synchronous thunk takes from `Math.random` from the training's generator. */
export function drawing<A>(run: Run, thunk: () => A): A {
  const [value, rng] = Rng.withRandom(run.rng)(thunk);
  run.rng = rng;
  return value;
}

/** One part of a step: what it throws is the step's failure, or that of the callback that was being called. */
export async function attempt<A>(run: Run, part: () => A | Promise<A>): Promise<Either<StepFailed, A>> {
  try {
    return E.right(await onDevice(part));
  } catch (cause) {
    const { at: { step, epoch }, calling } = run;
    run.calling = undefined;
    return E.left({ _tag: "StepFailed", cause, at: step, by: calling ?? "training", epoch });
  }
}

/** Calls a method of all callbacks. */
export async function calling(run: Run, name: string, call: () => void | Promise<void>): Promise<void> {
  run.calling = name;
  await call();
  run.calling = undefined;
}

/** The error of a call for a training that is another one. */
function another(options: FitOptions, problems: readonly Problem[], checkpoint?: number): FitError {
  const at = checkpoint === undefined ? {} : { checkpoint };
  return { ...mismatch(problems), training: { name: nameOf(options), location: options.to.location, ...at } };
}

/** What forbids a second call of a training in this process. */
function repeated(name: string, before: Training | undefined, beginning: Training["beginning"]): readonly Problem[] {
  if (before === undefined || before.state === "broken off") return [];
  const called = JSON.stringify(name);
  if (before.state === "running") {
    const found = `a second call while ${called} is running`;
    return [{ path: "fit/name", kind: "name", expected: "a name for each training", found }];
  }
  const names = [...new Set([...Object.keys(before.beginning), ...Object.keys(beginning)])];
  return names.filter((part) => before.beginning[part] !== beginning[part]).map((part) => ({
    path: part,
    kind: "value",
    expected: `what the training ${called} began with (${before.words}), which is complete in this process`,
    found: "a second call that begins with something else",
  }));
}

// --- combinators

/** The numbers of the last epoch that ended. */
async function lastLogs({ history }: Callbacks): Promise<Readonly<Record<string, number>>> {
  const last = Object.entries(history.history).map(async ([name, values]) => {
    const value = values.at(-1) as number | tf.Tensor;
    return [name, typeof value === "number" ? value : (await value.data())[0] as number] as const;
  });
  return Object.fromEntries(await Promise.all(last));
}

/** Disposes of what a training that broke off has in its logs. */
function discard({ logger, history }: Callbacks, run: Run): void {
  tf.dispose([logger.totals ?? {}, run.logs, history.history ?? {}] as unknown as tf.TensorContainer);
}

/** What the weights of a model are, as long as none is written to. */
function weightsOf({ model }: Job): readonly object[] {
  return model.weights.map((weight) => (weight.read() as tf.Tensor & { readonly dataId: object }).dataId);
}

/** What is left of the epoch of a training; whether the weights at its end are those that its logs were measured on. */
async function oneEpoch(
  job: Job,
  run: Run,
  after: () => Promise<Either<FitError, void>>,
): Promise<Either<FitError, boolean>> {
  const { callbacks: { list }, begin, epoch, trainer } = job;
  const { at } = run;
  if (at.batch === 0) {
    const begun = await attempt(run, async () => {
      await calling(run, "onEpochBegin", () => list.onEpochBegin(at.epoch));
      run.logs = {};
      begin(run);
    });
    if (E.isLeft(begun)) return begun;
  }
  const batches = await epoch(run, after);
  if (E.isLeft(batches)) return batches;
  const weights = weightsOf(job);
  const ended = await attempt(
    run,
    () => calling(run, "onEpochEnd", () => list.onEpochEnd(at.epoch, run.logs as never)),
  );
  if (E.isLeft(ended)) return ended;
  run.at = { ...run.at, epoch: at.epoch + 1, batch: 0, stopping: trainer.stopTraining_ };
  run.logs = {};
  return E.right(same(weights, weightsOf(job)));
}

function same(a: readonly object[], b: readonly object[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}

type Numbers = Readonly<Record<string, number>>;

/** The loop over the epochs that are left, and the end. */
async function trainOn(
  options: FitOptions,
  job: Job,
  run: Run,
  points: SavePoints<object>,
  state: () => object,
  label: (numbers: Numbers) => void,
): Promise<Either<FitError, void>> {
  const { callbacks: { list, history }, callbacks } = job;
  const { metrics, every, seconds } = options;
  const eachEpoch = metrics !== undefined || (every === undefined && seconds === undefined);
  const measured = async (): Promise<Numbers> => metrics?.(await lastLogs(callbacks)) ?? {};
  while (run.at.epoch < job.epochs && !(run.at.batch === 0 && run.at.stopping)) {
    const epoch = await oneEpoch(job, run, () => {
      label({});
      return points.after(state, run.at.step);
    });
    if (E.isLeft(epoch)) return epoch;
    const numbers = await attempt(run, async () => epoch.right ? await measured() : {});
    if (E.isLeft(numbers)) return numbers;
    label(numbers.right);
    if (eachEpoch && !run.at.stopping && run.at.epoch < job.epochs) {
      const saved = await points.after(state, run.at.step, true);
      if (E.isLeft(saved)) return saved;
    }
  }
  const weights = weightsOf(job);
  const ended = await attempt(run, async () => {
    await calling(run, "onTrainEnd", () => list.onTrainEnd());
    await history.syncData();
  });
  if (E.isLeft(ended)) return ended;
  if (!same(weights, weightsOf(job))) label({});
  run.at = { ...run.at, done: true };
  return await points.finish(state, run.at.step, true);
}

/**
 * Makes a training ready that has a checkpoint: whether it is complete.
 *
 * @param start Calls what is called at the start of a training.
 */
async function resumed(
  options: FitOptions,
  job: Job,
  run: Run,
  { snapshot, report }: FoundTraining,
  start: () => Promise<void>,
  second: readonly Problem[],
): Promise<Either<FitError, boolean>> {
  const { checkpoint } = report;
  const saved = savedIn(snapshot);
  if (E.isLeft(saved)) return saved;
  const problems = objections(saved.right, job);
  if (problems.length > 0) return E.left(another(options, problems, checkpoint));
  if (second.length > 0) return E.left(another(options, second, checkpoint));
  const { at } = saved.right;
  const whole = at.done && (at.stopping || job.epochs <= at.epoch);
  Object.assign(run, { at, read: saved.right.read });
  if (!whole) {
    const begun = await job.open(run);
    if (E.isLeft(begun)) return begun;
    const started = await attempt(run, start);
    if (E.isLeft(started)) return started;
  }
  const { read } = run;
  let parts: object = {};
  const back = restored(job, run, saved.right, snapshot, options, (of) => parts = of);
  if (E.isLeft(back)) {
    return back.left._tag === "Mismatch" ? E.left(another(options, back.left.problems, checkpoint)) : back;
  }
  const other = read !== run.read;
  run.read = read;
  if (whole) job.trainer.history = job.callbacks.history;
  const mayDiffer = other ? [...report.mayDiffer, inexactly] : report.mayDiffer;
  options.onReport?.({ ...report, ...parts, mayDiffer });
  return E.right(whole);
}

const inexactly =
  "The data set gave other data up to this checkpoint than was trained on, and inexact: true was asked for";

/**
 * Runs a training to its end, from its newest checkpoint if it has one.
 *
 * The caller holds the model, so that no other training of it begins.
 */
export function conduct(options: FitOptions, job: Job): TaskEither<FitError, tf.History> {
  const { trainer, callbacks: { list, history }, callbacks } = job;
  const { seed = 0, stopOn = [], to } = options;
  const name = nameOf(options);
  const run: Run = {
    at: { epoch: job.first, batch: 0, step: 0, stopping: false, done: false },
    rng: Rng.make(seed),
    order: job.order,
    read: 0,
    logs: {},
  };
  const state = (): object => stateOf(job, run, options);
  let numbers: Numbers = {};
  const start = async (): Promise<void> => {
    await calling(run, "setParams", () => list.setParams(job.params as never));
    await calling(run, "setModel", () => list.setModel(trainer as never));
    trainer.history = history;
    await calling(run, "onTrainBegin", () => list.onTrainBegin());
    trainer.stopTraining_ = false;
  };
  const fresh = async (points: SavePoints<object>): Promise<Either<FitError, void>> => {
    const begun = await attempt(run, start);
    if (E.isLeft(begun)) return begun;
    const opened = await job.open(run);
    // Committed before anything is trained: what was drawn for the first weights is never lost.
    return E.isLeft(opened) ? opened : await points.finish(state, 0, true);
  };

  const conducted = async (second: readonly Problem[]): Promise<Either<FitError, tf.History>> => {
    const found = await newestOf(to, name, options.fallback ?? false);
    if (E.isLeft(found)) return found;
    if (found.right === undefined && second.length > 0) return E.left(another(options, second));
    const points = savePoints<object>({ ...options, metrics: () => numbers }, stopOn, name);
    let done = false;
    try {
      if (found.right !== undefined) {
        const whole = await resumed(options, job, run, found.right, start, second);
        if (E.isLeft(whole) || whole.right) {
          done = true;
          return E.isLeft(whole) ? whole : E.right(history);
        }
        const { report } = found.right;
        // What labels the checkpoint labels the state until it changes.
        if (run.at.batch === 0) numbers = report.metrics;
        release(found.right.snapshot)();
      } else {
        const begun = await fresh(points);
        if (E.isLeft(begun)) return begun;
      }
      const result = await trainOn(options, job, run, points, state, (of) => numbers = of);
      done = E.isRight(result);
      return E.isLeft(result) ? result : E.right(history);
    } finally {
      await points.drain();
      points.close();
      if (found.right !== undefined) release(found.right.snapshot)();
      if (!done) discard(callbacks, run);
    }
  };

  return async () => {
    const beginning = await beginningOf(job, options);
    const trainings = trainingsAt(to);
    const before = trainings.get(name);
    const second = repeated(name, before, beginning);
    if (before?.state === "running") return E.left(another(options, second));
    const words = `by ${job.terms["by"]}, ${job.epochs} ${job.epochs === 1 ? "epoch" : "epochs"}`;
    const called = (state: Training["state"]): void => void trainings.set(name, { beginning, words, state });
    if (second.length > 0) return await conducted(second);
    called("running");
    let complete = false;
    try {
      const result = await conducted([]);
      complete = E.isRight(result);
      return result;
    } finally {
      called(complete ? "complete" : "broken off");
    }
  };
}
