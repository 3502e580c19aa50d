/**
 * What `fit` and `fitDataset` share: the state of a training under way, how it is saved and found again, and the loop over epochs.
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
import { runs } from "./catalogue.ts";
import { type FitError, mismatch, type Problem, type StepFailed } from "./errors.ts";
import { readSnapshot, type Report } from "./loading.ts";
import * as Rng from "./rng.ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import { aBoolean, aFunction, demand, ifGiven, isPlainRecord, must } from "./rules.ts";
import { checkPolicy, policyNames, type SavePoints, savePoints, type SavePolicy, type Signal } from "./save_points.ts";
import { type Seed, seedText } from "./seed.ts";
import { release, restoreInto, restoreState, type Snapshot, snapshotOf } from "./snapshot.ts";
import { type Callbacks, type Logs, memoryOf, type Trainer } from "./tfjs/training.ts";
import { hold } from "./tfjs/tensor.ts";

// --- types

/** How a training by `fit` or `fitDataset` is made resumable. */
export interface FitOptions extends Omit<SavePolicy<never>, "metrics"> {
  /**
   * Save after every so many batches, counted from the start of the training. With neither `every` nor `seconds`, each epoch is saved at its
   * end.
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
   * is captured as it is at each save; when resumed, the restored values are put into this very object.
   * @default {}
   */
  readonly with?: object;
  /** Numbers to choose checkpoints by, from the logs of the last epoch that ended; from `{}` before the first. */
  readonly metrics?: (logs: Readonly<Record<string, number>>) => Readonly<Record<string, number>>;
  /**
   * Signals on which to save and stop after the batch.
   * @default []
   */
  readonly stopOn?: readonly Signal[];
  /**
   * Whether to go on from an older checkpoint when the newest is damaged.
   * @default false
   */
  readonly fallback?: boolean;
  /** Told of the checkpoint that is resumed from. */
  readonly onReport?: (report: Report) => void;
}

const fitNames = {
  ...policyNames,
  seed: true,
  with: true,
  stopOn: true,
  fallback: true,
  onReport: true,
} satisfies OptionNames<FitOptions>;

/** Where a training stands. */
export interface Position {
  readonly epoch: number;
  /** Batches done of the epoch; at 0 it has not begun. */
  readonly batch: number;
  /** Batches done since the start. */
  readonly step: number;
  /** Whether `stopTraining` was set. */
  readonly stopping: boolean;
  readonly done: boolean;
}

/** What must be the same when a training is resumed, in words. */
export type Terms = Readonly<Record<string, null | boolean | number | string | readonly string[]>>;

/** The component `fit`: everything but tensors, which are in others. */
interface Saved {
  readonly terms: Terms;
  readonly at: Position;
  /** The order of the samples, which each epoch shuffles further. */
  readonly order: Int32Array | null;
  /** A checksum of all the data that was read, where data is read one after the other. */
  readonly read: number;
}

/** A training under way; what changes as it goes on is written here, and read at each save. */
export interface Run {
  at: Position;
  rng: Rng.Rng;
  order: Int32Array | null;
  read: number;
  /** What the epoch's end will tell, so far. */
  logs: Logs;
}

/** One training, as `fit` or `fitDataset` sets it up. */
export interface Job {
  readonly model: tf.LayersModel;
  readonly trainer: Trainer;
  readonly callbacks: Callbacks;
  readonly params: Readonly<Record<string, unknown>>;
  readonly terms: Terms;
  readonly first: number;
  readonly epochs: number;
  readonly order: Int32Array | null;
  /** Before the first epoch: opens the data and reads on to where the training stands. */
  readonly open: (run: Run) => Promise<Either<FitError, void>>;
  /** What an epoch begins with, after the callbacks. */
  readonly begin: (run: Run) => void;
  /** The batches of an epoch that are left; `after` is to be called after each. */
  readonly epoch: (
    run: Run,
    after: () => Promise<Either<FitError, void>>,
  ) => Promise<Either<FitError, void>>;
}

// --- constructors

const components: readonly string[] = ["model", "rng", "fit", "logs", "callbacks"];

/** Sees that options are what they must be. */
export function checkOptions(options: FitOptions, of: string): void {
  checkOptionNames(of, options, fitNames);
  const { stopOn = [] } = options;
  checkPolicy(options, stopOn);
  if (options.seed !== undefined) seedText(options.seed);
  demand("fallback", ifGiven(aBoolean), options.fallback);
  demand("onReport", ifGiven(aFunction), options.onReport);
  const { with: own = {} } = options;
  demand("with", must("a record of named components", isPlainRecord), own);
  for (const name of Object.keys(own)) {
    const free = must(`none of ${components.join(", ")}`, () => !components.includes(name));
    demand("a name in with", free, name);
  }
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

/** One part of a step: whatever it throws is the step's failure. */
export async function attempt<A>(run: Run, part: () => A | Promise<A>): Promise<Either<StepFailed, A>> {
  try {
    return E.right(await part());
  } catch (cause) {
    return E.left({ _tag: "StepFailed", cause, at: run.at.step });
  }
}

// --- capture and restore

function remembering({ own }: Callbacks, unknown: "left out" | "null"): readonly Record<string, unknown>[] {
  return own.map((callback) =>
    Object.fromEntries(
      Object.entries(memoryOf(callback)).flatMap(([name, value]) =>
        value !== undefined ? [[name, value]] : unknown === "null" ? [[name, null]] : []
      ),
    )
  );
}

/** All that a training is, by component. */
function stateOf({ model, callbacks, terms, trainer }: Job, run: Run, own: object): object {
  const { logger, history } = callbacks;
  const begun = run.at.batch > 0;
  const at: Position = { ...run.at, stopping: trainer.stopTraining_ };
  return {
    model,
    rng: run.rng,
    fit: { terms, at, order: run.order, read: run.read } satisfies Saved,
    logs: {
      seen: begun ? logger.seen ?? 0 : 0,
      // Once an epoch has ended they are disposed of.
      totals: begun ? { ...logger.totals } : {},
      epoch: begun ? { ...run.logs } : {},
      epochs: [...history.epoch],
      history: Object.fromEntries(Object.entries(history.history).map(([name, values]) => [name, [...values]])),
    },
    callbacks: remembering(callbacks, "left out"),
    ...own,
  };
}

/** The component `fit` alone, with nothing restored. */
function savedIn(snapshot: Snapshot<unknown>): Either<FitError, Saved> {
  const fit = snapshot.encoded.components.filter(([name]) => name === "fit");
  const restored = restoreState(snapshotOf<{ fit?: Saved }>({ components: fit, order: [] }, []));
  if (E.isLeft(restored)) return restored;
  const { fit: saved } = restored.right;
  if (isPlainRecord(saved) && isPlainRecord(saved.terms) && isPlainRecord(saved.at)) return E.right(saved);
  const problem: Problem = {
    path: "fit",
    kind: "missing",
    expected: "a checkpoint of fit or fitDataset",
    found: "one of another loop",
  };
  return E.left(mismatch([problem]));
}

/** What forbids to go on with a saved training under these terms. */
function objections({ terms, at }: Saved, job: Job): readonly Problem[] {
  const problem = (name: string, expected: unknown, found: unknown): Problem => ({
    path: `fit/${name}`,
    kind: "config",
    expected: JSON.stringify(expected),
    found: JSON.stringify(found ?? null),
  });
  const other = Object.entries(job.terms).filter(([name, term]) =>
    JSON.stringify(term) !== JSON.stringify(terms[name] ?? null)
  );
  const begun = at.batch > 0 ? at.epoch + 1 : at.epoch;
  return [
    ...other.map(([name, term]) => problem(name, term, terms[name])),
    ...(job.epochs < begun && begun > job.first ? [problem("epochs", job.epochs, `${begun} begun`)] : []),
  ];
}

/** A snapshot restored into the live objects of a training, over what their start has set. */
function restored(
  job: Job,
  run: Run,
  saved: Saved,
  snapshot: Snapshot<unknown>,
  { with: own = {}, codecs = {} }: FitOptions,
): Either<FitError, void> {
  const { model, callbacks, trainer } = job;
  const live = { model, rng: run.rng, fit: null, logs: null, callbacks: remembering(callbacks, "null"), ...own };
  const result = restoreInto<Record<string, unknown>>(live, { codecs } as object)(snapshot)();
  if (E.isLeft(result)) return result;
  const { model: _, rng, fit: _fit, logs, callbacks: memories, ...rest } = result.right as {
    rng: Rng.Rng;
    logs: {
      seen: number;
      totals: Logs;
      epoch: Logs;
      epochs: number[];
      history: Record<string, (number | tf.Scalar)[]>;
    };
    callbacks: readonly Record<string, unknown>[];
  } & Record<string, unknown>;
  Object.assign(run, { at: { ...saved.at, done: false }, rng, order: saved.order, read: saved.read, logs: logs.epoch });
  Object.assign(callbacks.logger, { seen: logs.seen, totals: logs.totals });
  Object.assign(callbacks.history, { epoch: logs.epochs, history: logs.history });
  callbacks.own.forEach((callback, i) => Object.assign(callback, memories[i]));
  Object.assign(own, rest);
  trainer.stopTraining_ = saved.at.stopping;
  return E.right(undefined);
}

// --- combinators

/** The newest checkpoint, or undefined if there is none. */
async function newest(
  { to, onReport, fallback = false }: FitOptions,
): Promise<Either<FitError, Snapshot<unknown> | undefined>> {
  let report: Report | undefined;
  const read = await readSnapshot(to, { fallback, onReport: (r) => report = r })();
  if (E.isLeft(read)) {
    const empty = read.left._tag === "NoCheckpoint" && read.left.available.length === 0;
    return empty ? E.right(undefined) : read;
  }
  if (report !== undefined) {
    runs.set(to, { run: report.run, parent: report.checkpoint });
    onReport?.(report);
  }
  return read;
}

/** The numbers of the last epoch that ended. */
async function lastLogs({ history }: Callbacks): Promise<Readonly<Record<string, number>>> {
  const last = Object.entries(history.history).map(async ([name, values]) => {
    const value = values.at(-1) as number | tf.Tensor;
    return [name, typeof value === "number" ? value : (await value.data())[0] as number] as const;
  });
  return Object.fromEntries(await Promise.all(last));
}

/** Lets go of what a training that broke off has in its logs. */
function discard({ logger, history }: Callbacks, run: Run): void {
  tf.dispose([logger.totals ?? {}, run.logs, history.history ?? {}] as unknown as tf.TensorContainer);
}

/** What is left of the epoch in which a training stands. */
async function oneEpoch(
  { callbacks: { list }, begin, epoch, trainer }: Job,
  run: Run,
  after: () => Promise<Either<FitError, void>>,
): Promise<Either<FitError, void>> {
  const { at } = run;
  if (at.batch === 0) {
    const begun = await attempt(run, async () => {
      await list.onEpochBegin(at.epoch);
      run.logs = {};
      begin(run);
    });
    if (E.isLeft(begun)) return begun;
  }
  const batches = await epoch(run, after);
  if (E.isLeft(batches)) return batches;
  const ended = await attempt(run, () => list.onEpochEnd(at.epoch, run.logs as never));
  if (E.isLeft(ended)) return ended;
  run.at = { ...run.at, epoch: at.epoch + 1, batch: 0, stopping: trainer.stopTraining_ };
  run.logs = {};
  return E.right(undefined);
}

/**
 * Runs a training to its end, from the newest checkpoint if there is one.
 *
 * The caller holds the model, so that no other training of it begins.
 */
export function conduct(options: FitOptions, job: Job): TaskEither<FitError, tf.History> {
  const { trainer, callbacks: { list, history }, callbacks } = job;
  const { with: own = {}, metrics, seed = 0, every, seconds, stopOn = [] } = options;
  const run: Run = {
    at: { epoch: job.first, batch: 0, step: 0, stopping: false, done: false },
    rng: Rng.make(seed),
    order: job.order,
    read: 0,
    logs: {},
  };
  const state = (): object => stateOf(job, run, own);
  let numbers: Readonly<Record<string, number>> | undefined;
  const told = async (): Promise<void> => void (numbers = metrics?.(await lastLogs(callbacks)));

  const start = async (): Promise<void> => {
    list.setParams({ ...job.params } as never);
    list.setModel(trainer as never);
    trainer.history = history;
    await list.onTrainBegin();
    trainer.stopTraining_ = false;
  };

  /** Goes on from a checkpoint: whether that was all. */
  const goOn = async (snapshot: Snapshot<unknown>): Promise<Either<FitError, boolean>> => {
    const saved = savedIn(snapshot);
    if (E.isLeft(saved)) return saved;
    const problems = objections(saved.right, job);
    if (problems.length > 0) return E.left(mismatch(problems));
    const { at } = saved.right;
    const whole = at.done && (at.stopping || job.epochs <= at.epoch);
    Object.assign(run, { at, read: saved.right.read });
    if (!whole) {
      const begun = await job.open(run);
      if (E.isLeft(begun)) return begun;
      const started = await attempt(run, start);
      if (E.isLeft(started)) return started;
    }
    const back = restored(job, run, saved.right, snapshot, options);
    if (E.isLeft(back)) return back;
    if (whole) trainer.history = history;
    return E.right(whole);
  };

  const train = async (points: SavePoints<object>): Promise<Either<FitError, void>> => {
    const after = (due: boolean): Promise<Either<FitError, void>> => points.after(state, run.at.step, due);
    const eachEpoch = every === undefined && seconds === undefined;
    while (run.at.epoch < job.epochs && !(run.at.batch === 0 && run.at.stopping)) {
      const epoch = await oneEpoch(job, run, () => after(false));
      if (E.isLeft(epoch)) return epoch;
      await told();
      if (eachEpoch && !run.at.stopping && run.at.epoch < job.epochs) {
        const saved = await after(true);
        if (E.isLeft(saved)) return saved;
      }
    }
    const ended = await attempt(run, async () => {
      await list.onTrainEnd();
      await history.syncData();
    });
    if (E.isLeft(ended)) return ended;
    run.at = { ...run.at, done: true };
    return await points.finish(state, run.at.step, true);
  };

  return async () => {
    const found = await newest(options);
    if (E.isLeft(found)) return found;
    const points = savePoints<object>({ ...options, metrics: () => numbers ?? {} }, stopOn);
    let done = false;
    try {
      if (found.right !== undefined) {
        const whole = await goOn(found.right);
        if (E.isLeft(whole) || whole.right) {
          done = true;
          return E.isLeft(whole) ? whole : E.right(history);
        }
        release(found.right)();
      } else {
        const begun = await attempt(run, start);
        if (E.isLeft(begun)) return begun;
        const opened = await job.open(run);
        if (E.isLeft(opened)) return opened;
      }
      await told();
      const result = await train(points);
      done = E.isRight(result);
      return E.isLeft(result) ? result : E.right(history);
    } finally {
      await points.drain();
      points.close();
      if (found.right !== undefined) release(found.right)();
      if (!done) discard(callbacks, run);
    }
  };
}
