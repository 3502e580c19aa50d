/**
 * The state of a training by `fit` or `fitDataset`: what it consists of, how it is captured, and how it is restored into live objects.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import { type FitError, mismatch, type Problem } from "./errors.ts";
import type { Report } from "./loading.ts";
import { setByScript } from "./overridden.ts";
import { aligned, assign, isInPlace, liveAt, refiller, withoutMaps } from "./refilling.ts";
import {
  alignedMemories,
  areNames,
  configurationsOf,
  memoriesOf,
  nodeOf,
  recall,
  type Valueless,
} from "./remembering.ts";
import type * as Rng from "./rng.ts";
import { isPlainRecord } from "./rules.ts";
import {
  captureState,
  type Codecs,
  id,
  release,
  restoreInto,
  restoreState,
  type Snapshot,
  snapshotOf,
} from "./snapshot.ts";
import { isBranch, join, type Node } from "./state_tree.ts";
import type { Callbacks, Logs, Trainer } from "./tfjs/training.ts";

// --- types

/** The components of the script's own, and their codecs. */
export interface Own {
  readonly with?: object;
  readonly codecs?: Codecs;
}

/** The position of a training. */
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
export interface Saved {
  readonly terms: Terms;
  readonly at: Position;
  /** The order of the samples, which each epoch shuffles further. */
  readonly order: Int32Array | null;
  /** A checksum of all the data that was read, where data is read one after the other. */
  readonly read: number;
  /** The fields of callbacks that have no value; not there in a checkpoint of version 0.1.0. */
  readonly fields?: readonly Valueless[];
}

/** A training under way; what changes while it runs is written here, and read at each save. */
export interface Run {
  at: Position;
  rng: Rng.Rng;
  order: Int32Array | null;
  read: number;
  /** The logs of the epoch's end, so far. */
  logs: Logs;
  /** The callback that is being called. */
  calling?: string | undefined;
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
  /** Before the first epoch: opens the data and reads up to the position of the training. */
  readonly open: (run: Run) => Promise<Either<FitError, void>>;
  /** What an epoch begins with, after the callbacks. */
  readonly begin: (run: Run) => void;
  /** The batches of an epoch that are left; `after` is to be called after each. */
  readonly epoch: (
    run: Run,
    after: () => Promise<Either<FitError, void>>,
  ) => Promise<Either<FitError, void>>;
}

/** What a restore says of what it replaced. */
type Differs = Pick<Report, "parts" | "overridden">;

// --- capture and restore

/** All that a training is, by component. */
export function stateOf(job: Job, run: Run, { with: own = {}, codecs = {} }: Own): object {
  const { model, callbacks, terms, trainer, params } = job;
  const { logger, history } = callbacks;
  const begun = run.at.batch > 0;
  const at: Position = { ...run.at, stopping: trainer.stopTraining_ };
  const { values, names } = memoriesOf(callbacks, params, trainer, model);
  return {
    model,
    rng: run.rng,
    fit: { terms, at, order: run.order, read: run.read, fields: names } satisfies Saved,
    logs: {
      seen: begun ? logger.seen ?? 0 : 0,
      // Once an epoch has ended they are disposed of.
      totals: begun ? { ...logger.totals } : {},
      epoch: begun ? { ...run.logs } : {},
      epochs: [...history.epoch],
      history: Object.fromEntries(Object.entries(history.history).map(([name, values]) => [name, [...values]])),
    },
    callbacks: values,
    ...convertedOwn(own, codecs),
  };
}

/** The components of the script's own, in a form that can be captured. */
function convertedOwn(own: object, codecs: Codecs): Record<string, unknown> {
  const made = new Map<object, unknown>();
  return Object.fromEntries(
    Object.entries(own).map((
      [name, value],
    ) => [name, Object.hasOwn(codecs, name) ? value : withoutMaps(value, join("", name), made)]),
  );
}

/** Whether a value holds what is restored in place, at any depth. */
function isLive(value: unknown): boolean {
  if (Array.isArray(value) || isPlainRecord(value)) return Object.values(value).some(isLive);
  return isInPlace(value);
}

/**
 * Digests of what a training begins with, by component; of what is in `with`, only the models, optimizers and variables. It is also seen
 * here that all of it can be captured.
 */
export async function beginningOf(
  job: Job,
  { with: own = {}, codecs = {} }: Own,
): Promise<Readonly<Record<string, string>>> {
  const { model, callbacks, trainer, params } = job;
  const memories = memoriesOf(callbacks, params, trainer, model);
  release(captureState({ model, callbacks: memories.values, ...convertedOwn(own, codecs) }, { codecs } as object))();
  const live = Object.fromEntries(
    Object.entries(convertedOwn(own, codecs)).filter(([name, value]) => !Object.hasOwn(codecs, name) && isLive(value)),
  );
  const made = configurationsOf(callbacks);
  const digests: Record<string, string> = {};
  for (const [name, value] of Object.entries({ model, callbacks: { ...memories, made }, ...live })) {
    using part = captureState({ [name]: value });
    digests[name] = await id(part)();
  }
  return digests;
}

/** The component `fit` alone, with nothing restored. */
export function savedIn(snapshot: Snapshot<unknown>): Either<FitError, Saved> {
  const fit = snapshot.encoded.components.filter(([name]) => name === "fit");
  const restored = restoreState(snapshotOf<{ fit?: Saved }>({ components: fit, order: [] }, []));
  if (E.isLeft(restored)) return restored;
  const { fit: saved } = restored.right;
  const whole = isPlainRecord(saved) && isPlainRecord(saved.terms) && isPlainRecord(saved.at);
  if (whole && (saved.fields === undefined || areNames(saved.fields))) return E.right(saved);
  const problem: Problem = {
    path: "fit",
    kind: "missing",
    expected: "a checkpoint of fit or fitDataset",
    found: "one of another loop",
  };
  return E.left(mismatch([problem]));
}

/** What forbids to resume a saved training under these terms. */
export function objections({ terms, at }: Saved, job: Job): readonly Problem[] {
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

/** The logs of a training as they are restored. */
interface SavedLogs {
  readonly seen: number;
  readonly totals: Logs;
  readonly epoch: Logs;
  readonly epochs: number[];
  readonly history: Record<string, (number | tf.Scalar)[]>;
}

/** Whether saved plain data is of the kind that a live value is of: what it replaces is then reported. */
function isAlike(value: unknown, node: Node | undefined): boolean {
  if (typeof node !== "object" || node === null) return typeof value === typeof node;
  return Array.isArray(node) ? Array.isArray(value) : isBranch(node) && node.is === "record" && isPlainRecord(value);
}

/**
 * A snapshot restored into the live objects of a training, over what their start has set.
 *
 * @param onParts Receives what the restore reports.
 */
export function restored(
  job: Job,
  run: Run,
  saved: Saved,
  snapshot: Snapshot<unknown>,
  { with: own = {}, codecs = {} }: Own,
  onParts: (report: Differs) => void,
): Either<FitError, void> {
  const { model, callbacks, trainer, params } = job;
  const { components } = snapshot.encoded;
  const memories = memoriesOf(callbacks, params, trainer, model).values;
  const converted = convertedOwn(own, codecs);
  const all = { model, callbacks: memories, ...converted };
  const shared = (path: string): unknown => path === "model/compile/optimizer" ? trainer.optimizer : liveAt(all, path);
  const live = {
    model,
    rng: run.rng,
    fit: null,
    logs: null,
    callbacks: alignedMemories(memories, nodeOf(components, "callbacks"), shared),
    ...Object.fromEntries(
      Object.entries(converted).map(([name, value]) => {
        const node = nodeOf(components, name);
        const as = node === undefined || Object.hasOwn(codecs, name);
        return [
          name,
          as ? value : aligned(value, node, isInPlace(value) || isAlike(value, node) ? "fixed" : "free", shared),
        ];
      }),
    ),
  };
  const onReport = ({ parts, overridden }: Differs): void => onParts({ parts, overridden: setByScript(overridden) });
  const result = restoreInto<Record<string, unknown>>(live, { codecs, onReport } as object)(snapshot)();
  if (E.isLeft(result)) return result;
  const { model: _, rng, fit: _fit, logs, callbacks: values, ...rest } = result.right as {
    rng: Rng.Rng;
    logs: SavedLogs;
    callbacks: readonly Record<string, unknown>[];
  } & Record<string, unknown>;
  Object.assign(run, { at: { ...saved.at, done: false }, rng, order: saved.order, read: saved.read, logs: logs.epoch });
  Object.assign(callbacks.logger, { seen: logs.seen, totals: logs.totals });
  Object.assign(callbacks.history, { epoch: logs.epochs, history: logs.history });
  const refill = refiller();
  recall(callbacks, values, saved.fields, refill);
  for (const [name, value] of Object.entries(rest)) {
    assign(own, name, refill((own as Record<string, unknown>)[name], value));
  }
  trainer.stopTraining_ = saved.at.stopping;
  return E.right(undefined);
}
