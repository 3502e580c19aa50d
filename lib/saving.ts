/**
 * Saving: a state captured and committed to a store, at once or beside the training.
 *
 * Law *old or new*: whatever happens while one saves, the store holds the newest committed checkpoint whole.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { IO } from "fp-ts/lib/IO.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { knowEntry } from "./catalogue.ts";
import { writeCheckpoint } from "./commit.ts";
import { environment } from "./environment.ts";
import type { SaveError } from "./errors.ts";
import { toError } from "./explain.ts";
import { afterOf, type Branch, nextLine } from "./line.ts";
import { captured, guarded, orDeviceFailed, theirs } from "./guard.ts";
import type { Summary } from "./manifest.ts";
import type { Progress } from "./progress.ts";
import { type NotRemoved, retain } from "./pruning.ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import { aBoolean, aFunction, demand, ifGiven, isPlainRecord, must, oneOf } from "./rules.ts";
import { inTurn, type Line, newLine, setLine } from "./runs.ts";
import { type Codecs, codecsOf, type Decoded, type NoCodecs, type Options } from "./codecs.ts";
import { captureState, checkSnapshot, type Components, id, release, type Snapshot } from "./snapshot.ts";
import { checkStore, type Store } from "./store.ts";
import { defaultTraining } from "./trainings.ts";

// --- types

/** What a save may say. */
export interface SaveOptions<K extends Codecs = NoCodecs> extends Options<K> {
  /**
   * The step the checkpoint is of.
   * @default the component `step`, if it is a number
   */
  readonly step?: number;
  /**
   * Numbers to choose checkpoints by.
   * @default {}
   */
  readonly metrics?: Readonly<Record<string, number>>;
  /**
   * Whether to record the state's {@link id} in the manifest, which reads every byte once more.
   * @default false
   */
  readonly id?: boolean;
  /**
   * Whether to begin a new run, whose parent is the checkpoint that this process has loaded or saved last there. Once: further saves of the
   * process stay in the new run, until it loads again, its `step` goes back or another process has saved in it.
   * @default false
   */
  readonly fork?: boolean;
  /** Told after each piece how many bytes of how many are written, how fast, and how long it will take. */
  readonly onProgress?: (progress: Progress) => void;
}

/** A save that is committed. */
export interface Saved {
  readonly checkpoint: number;
  readonly step: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  /** Bytes written for it. */
  readonly bytesWritten: number;
  /** Bytes it consists of. */
  readonly bytesTotal: number;
  readonly seconds: number;
  /** Checkpoints that retention removed after the commit. */
  readonly removed: readonly number[];
  /** Checkpoints that it should have removed and could not, with the reason; the next save tries again. */
  readonly notRemoved: readonly NotRemoved[];
  /**
   * What else there is to say, in a sentence each, such as that the policy asks for a metric that no checkpoint of the run has.
   * @default nothing
   */
  readonly notes?: readonly string[];
  /**
   * One digest of the whole checkpoint, to pin or sign it by: the SHA-256, in hexadecimal, of its manifest `snapshot.json` as committed, which
   * holds the SHA-256 of every other file. `dogear verify --expect DIGEST` checks it, with every byte.
   * @default only in stores made with `{ digest: "sha256" }`
   */
  readonly digest?: string;
  /** Where it is. */
  readonly location: string;
}

/** How a {@link saver} behaves. */
export interface SaverOptions<K extends Codecs = NoCodecs> extends SaveOptions<K> {
  /**
   * What to do with a save that comes while one is in flight: let training `wait`, `skip` it, or write the `latest` one afterwards.
   * @default "wait"
   */
  readonly whenBusy?: "wait" | "skip" | "latest";
  /** Told of each save once it is committed. */
  readonly onSaved?: (saved: Saved) => void;
}

/** Saves beside training. */
export interface Saver<K extends Codecs = NoCodecs> {
  /** Captures when run and resolves once the write has begun; an earlier save's error comes from here, once, and then nothing is written. */
  readonly save: <C extends Components & Decoded<K>>(
    components: C,
    options?: Pick<SaveOptions<K>, "step" | "metrics">,
  ) => TaskEither<SaveError, void>;
  /** Whether a save is in flight. */
  readonly busy: IO<boolean>;
  /** Resolves once nothing is in flight, with the saves since the last drain, or the first error among them, which all drains that wait get. */
  readonly drain: TaskEither<SaveError, readonly Saved[]>;
}

/** What {@link writeSnapshot} may be told. */
const writeNames = { step: true, metrics: true, id: true, fork: true, onProgress: true } satisfies OptionNames<
  Omit<SaveOptions, "codecs">
>;
const saveNames = { ...writeNames, codecs: true } satisfies OptionNames<SaveOptions>;
const saverNames = { ...saveNames, whenBusy: true, onSaved: true } satisfies OptionNames<SaverOptions>;
const eachNames = { step: true, metrics: true } satisfies OptionNames<Pick<SaveOptions, "step" | "metrics">>;

// --- capture

const aNumber = must("a number", (value) => typeof value === "number");

/** Sees that what a checkpoint is to say of itself are numbers: anything else could be written, and never be read again. */
function checkNumbers({ step, metrics, id, onProgress, fork }: Omit<SaveOptions, "codecs">): void {
  demand("id", ifGiven(aBoolean), id);
  demand("fork", ifGiven(aBoolean), fork);
  demand("onProgress", ifGiven(aFunction), onProgress);
  if (step !== undefined) demand("step", aNumber, step);
  if (metrics === undefined) return;
  demand("metrics", must("a record of numbers", isPlainRecord), metrics);
  for (const [name, value] of Object.entries(metrics)) demand(`metrics.${name}`, aNumber, value);
}

/** The component `step`, if it is a number. */
function stepIn(snapshot: Snapshot<unknown>): number | null {
  const component = snapshot.encoded.components.find(([name]) => name === "step")?.[1];
  return typeof component === "number" ? component : null;
}

/**
 * Writes a snapshot as the next checkpoint of a store: write, commit, retain.
 *
 * @param store Where to.
 * @param options Step, metrics, whether to record the id.
 * @returns For a snapshot, which stays the caller's to release, what was committed; or `StoreFailed`, and then the store holds what it held
 *   (if the operation was the last one, to make the commit durable, the new one beside it; lack of memory is one, too), `DeviceFailed` where a
 *   GPU refused what was to be saved or cannot be read, or `Released`; or `Overtaken`, if another process has saved in the run since this one
 *   loaded or saved last there, or `StepWentBack`, if the component `step` is below that of the checkpoint loaded or saved last there: then
 *   nothing was written and nothing removed. An older checkpoint that cannot be removed is no failure: {@link Saved.notRemoved} names it.
 *
 * Laws: *old or new*; *one line of history*: all stores of one place, in this process, save into one run.
 *
 * @example
 * ```ts
 * import { captureState, memory, readSnapshot, restoreState, runOrThrow, writeSnapshot } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * using snapshot = captureState({ step: 5 });
 * const saved = await runOrThrow(writeSnapshot(store)(snapshot));
 * assert.deepEqual([saved.checkpoint, saved.step], [0, 5]);
 * assert.deepEqual(restoreState(await runOrThrow(readSnapshot(store))), { _tag: "Right", right: { step: 5 } });
 * ```
 */
export function writeSnapshot(
  store: Store,
  options: Omit<SaveOptions, "codecs"> = {},
): (snapshot: Snapshot<unknown>) => TaskEither<SaveError, Saved> {
  checkStore(store);
  checkOptionNames("writeSnapshot", options, writeNames, "the snapshot comes after it: writeSnapshot(store)(snapshot)");
  const write = writeTraining(store, options);
  return (snapshot) => {
    checkSnapshot("writeSnapshot", snapshot);
    return write(snapshot);
  };
}

/** {@link writeSnapshot} for one of several trainings that share a place, each a run of its own. */
function writeTraining(
  store: Store,
  options: Omit<SaveOptions, "codecs">,
  training?: string,
): (snapshot: Snapshot<unknown>) => TaskEither<SaveError, Saved> {
  checkStore(store);
  checkNumbers(options);
  const branch: Branch = { fork: options.fork, training };
  const write = async (snapshot: Snapshot<unknown>, begun: number): Promise<E.Either<SaveError, Saved>> => {
    if (snapshot.hold.released) return E.left({ _tag: "Released" });
    const line = await nextLine(store, stepIn(snapshot), branch);
    if (E.isLeft(line)) return line;
    const saved = await writeAfter(store, snapshot, line.right, options, begun, training);
    // A fork is in nobody's way.
    return options.fork === true && E.isLeft(saved) && saved.left._tag === "Overtaken"
      ? await writeAfter(store, snapshot, newLine(line.right), options, begun, training)
      : saved;
  };
  return (snapshot) => () =>
    inTurn(store, guarded("save", store.location, orDeviceFailed(() => write(snapshot, performance.now()))));
}

const ignore = (): void => {};

/** Writes a snapshot as the next checkpoint of a line, and moves the line there. */
async function writeAfter(
  store: Store,
  snapshot: Snapshot<unknown>,
  line: Line,
  options: Omit<SaveOptions, "codecs">,
  begun: number,
  training: string | undefined,
): Promise<E.Either<SaveError, Saved>> {
  const { run, parent, isFork = false, doubtful = [] } = line;
  const [own, metrics] = [stepIn(snapshot), options.metrics ?? {}];
  const step = options.step ?? own;
  const summary: Omit<Summary, "files"> = {
    run,
    step,
    metrics,
    time: Date.now(),
    parent,
    environment: environment(),
    ...(options.id === true ? { id: await id(snapshot)() } : {}),
    ...(training === undefined || training === defaultTraining ? {} : { training }),
  };
  const after = afterOf(store, line);
  const committed = await writeCheckpoint(
    store,
    snapshot.encoded,
    summary,
    after,
    theirs(options.onProgress ?? ignore),
  )();
  if (E.isLeft(committed)) {
    if (committed.left._tag === "StoreFailed") {
      setLine(store, { ...line, doubtful: [...doubtful, { time: summary.time, step: own }] }, training);
    }
    return committed;
  }
  const { checkpoint, bytesWritten, bytesTotal, digest, seen } = committed.right;
  setLine(store, { run, parent: checkpoint, step: own, isFork }, training);
  knowEntry(store, { checkpoint, step, metrics, time: summary.time, bytes: bytesTotal, run });
  const { removed, notRemoved, notes } = await retain(store, run, checkpoint, seen);
  const seconds = (performance.now() - begun) / 1000;
  const location = store.locationOf(checkpoint);
  const retained = { removed, notRemoved, ...(notes.length === 0 ? {} : { notes }), ...(digest && { digest }) };
  return E.right({ checkpoint, step, metrics, bytesWritten, bytesTotal, seconds, ...retained, location });
}

/**
 * Saves components as the next checkpoint of a store: capture, write, commit, retain.
 *
 * @param store Where to.
 * @param options Step, metrics, codecs, whether to record the id.
 * @returns For components, a task that captures when it is run, and resolves after commit and retention; without `await` it writes beside
 *   the training. Its left is that of {@link writeSnapshot}. What cannot be captured rejects with the `TypeError` of
 *   {@link captureState}. Saves of one store are committed in the order in which they are run.
 *
 * Law *old or new*.
 *
 * @example
 * ```ts
 * import { memory, resume, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await runOrThrow(saveState(store, { metrics: { loss: 0.5 } })({ step: 1 }));
 * assert.deepEqual(await runOrThrow(resume(store)({ step: 0 })), { step: 1 });
 * ```
 */
export function saveState<K extends Codecs = NoCodecs>(
  store: Store,
  options: SaveOptions<K> = {},
): <C extends Components & Decoded<K>>(components: C) => TaskEither<SaveError, Saved> {
  checkStore(store);
  checkOptionNames("saveState", options, saveNames, "the components come after it: saveState(store)(components)");
  const [{ codecs: _, ...about }, coded] = [options, codecsOf(options)];
  const write = writeSnapshot(store, about);
  return (components) => async () => {
    const snapshot = captured(store.location, () => captureState(components, coded));
    if (E.isLeft(snapshot)) return snapshot;
    try {
      return await write(snapshot.right)();
    } finally {
      release(snapshot.right)();
    }
  };
}

/**
 * Saves beside training: a save captures at once, and is written while training goes on; one is in flight at a time.
 *
 * @param store Where to.
 * @param options As for {@link saveState}, and what to do when a save comes while one is in flight.
 * @returns `save`, whose left is the error of an earlier save; `busy`; and `drain`, to be run at the end.
 *
 * @example
 * ```ts
 * import { memory, runOrThrow, saver } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const { save, drain } = saver(memory());
 * for (let step = 0; step < 3; step++) await runOrThrow(save({ step }));
 * assert.deepEqual((await runOrThrow(drain)).map((saved) => saved.step), [0, 1, 2]);
 * ```
 */
export function saver<K extends Codecs = NoCodecs>(store: Store, options: SaverOptions<K> = {}): Saver<K> {
  return saverFor(store, options);
}

/** {@link saver} for one of several trainings that share a place, each a run of its own. */
export function saverFor<K extends Codecs = NoCodecs>(
  store: Store,
  options: SaverOptions<K>,
  training?: string,
): Saver<K> {
  type Job = { readonly snapshot: Snapshot<unknown>; readonly write: TaskEither<SaveError, Saved> };
  checkStore(store);
  checkOptionNames("saver", options, saverNames);
  const { whenBusy = "wait", onSaved, codecs: _, ...about } = options;
  const coded = codecsOf(options);
  checkNumbers(about);
  demand("onSaved", ifGiven(aFunction), onSaved);
  demand("whenBusy", oneOf("wait", "skip", "latest"), whenBusy);
  const results: E.Either<SaveError, Saved>[] = [];
  /** Resolves once all saves that wait have begun, in the order in which they came. */
  let queue: Promise<unknown> = Promise.resolve();
  let inFlight: Promise<void> | undefined;
  let pending: Job | undefined;
  /** What the user's own callback threw: it is given back as it is, the save is committed. */
  let thrown: { readonly cause: unknown } | undefined;
  const start = (job: Job): void => {
    const writing = async (): Promise<void> => {
      try {
        const saved = await job.write();
        results.push(saved);
      } catch (cause) {
        const { name, message } = toError(cause);
        results.push(E.left({ _tag: "StoreFailed", operation: "save", path: store.location, code: name, message }));
      } finally {
        release(job.snapshot)();
      }
      const saved = results.at(-1);
      try {
        if (saved !== undefined && E.isRight(saved)) onSaved?.(saved.right);
      } catch (cause) {
        thrown ??= { cause };
      }
      inFlight = undefined;
      const next = pending;
      pending = undefined;
      if (next !== undefined) start(next);
    };
    inFlight = writing();
  };
  /** Drains that wait: each is told of a failure that is given to another meanwhile. */
  const draining = new Set<(failed: () => E.Either<SaveError, never>) => void>();
  /** The first error there is, given once, and to all drains that wait. */
  const failure = (): E.Either<SaveError, void> => {
    const theirs = thrown;
    thrown = undefined;
    const i = theirs === undefined ? results.findIndex(E.isLeft) : -1;
    const failed = i < 0 ? undefined : results.splice(i, 1)[0];
    if (theirs === undefined && (failed === undefined || E.isRight(failed))) return E.right(undefined);
    const again = (): E.Either<SaveError, never> => {
      if (theirs !== undefined) throw theirs.cause;
      return failed as E.Left<SaveError>;
    };
    for (const tell of draining) tell(again);
    return again();
  };
  const settled = async (): Promise<void> => {
    while (inFlight !== undefined) await inFlight;
  };
  const begin = (job: Job): E.Either<SaveError, void> => {
    let begun = false;
    try {
      const failed = failure();
      if (E.isLeft(failed)) return failed;
      start(job);
      begun = true;
      return failed;
    } finally {
      if (!begun) release(job.snapshot)();
    }
  };
  return {
    save: (components, more = {}) => async () => {
      checkOptionNames("save", more, eachNames);
      const busy = inFlight !== undefined;
      if (busy && whenBusy === "skip") return failure();
      const write = writeTraining(store, { ...about, ...more }, training);
      const taken = captured(store.location, () => captureState(components, coded));
      if (E.isLeft(taken)) return taken;
      const snapshot = taken.right;
      const job: Job = { snapshot, write: write(snapshot) };
      if (whenBusy === "wait") {
        const begun = queue.then(settled).then(() => begin(job));
        // What a callback threw is told to this save alone.
        queue = begun.catch(() => {});
        return await begun;
      }
      if (!busy) return begin(job);
      if (pending !== undefined) release(pending.snapshot)();
      pending = job;
      return failure();
    },
    busy: () => inFlight !== undefined,
    drain: async () => {
      let told: (() => E.Either<SaveError, never>) | undefined;
      const tell = (failed: () => E.Either<SaveError, never>): void => void (told ??= failed);
      draining.add(tell);
      await queue;
      await settled();
      draining.delete(tell);
      if (told !== undefined) return told();
      const failed = failure();
      if (E.isLeft(failed)) return failed;
      return E.right(results.splice(0).flatMap((saved) => E.isRight(saved) ? [saved.right] : []));
    },
  };
}
