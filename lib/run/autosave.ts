/**
 * Automatic saves of a training loop: when it saves, and how a signal stops it.
 *
 * Law *same bits*: `every` counts from the start of the data, so it does not matter where a run was killed.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { SaveError, Stopped } from "../errors/mod.ts";
import { aBoolean, aFunction, demand, ifGiven, listOf, oneOf, type OptionNames, shown } from "../validation/mod.ts";
import { type Saver, saverFor, whenBusyNames } from "./saver.ts";
import type { Saved } from "./save.ts";
import { listenForSignals, type Signal, signals } from "./signals.ts";
import { checkCodecs, type Codecs } from "../codecs.ts";
import { checkStore, type Store } from "../store/mod.ts";

// --- types

/** When and where a loop saves. */
export interface SavePolicy<S> {
  readonly to: Store;
  /**
   * The number of batches between saves, counted from the start of the data, so that it does not matter where a run was killed.
   * @default never
   */
  readonly every?: number;
  /**
   * The seconds between saves.
   * @default never
   */
  readonly seconds?: number;
  /**
   * What to do when a save is due while another is in flight: `wait` for it, `skip` the new one, or write only the `latest` one afterwards. The
   * state at the end or at a signal is saved in any case.
   * @default "wait"
   */
  readonly whenBusy?: "wait" | "skip" | "latest";
  /** Numbers by which checkpoints can be chosen and kept. */
  readonly metrics?: (state: S) => Readonly<Record<string, number>>;
  /** Codecs for components of your own types. */
  readonly codecs?: Codecs;
  /**
   * Whether to begin a new run at the checkpoint that this process loaded or saved last at the location. It forks once.
   * @default false
   */
  readonly fork?: boolean;
  /** Receives each committed save. */
  readonly onSaved?: (saved: Saved) => void;
}

/** The names of the options of a policy. */
export const policyNames: OptionNames<SavePolicy<unknown>> = {
  to: true,
  fork: true,
  every: true,
  seconds: true,
  whenBusy: true,
  metrics: true,
  codecs: true,
  onSaved: true,
};

/** The saves of one loop. */
export interface SavePoints<S> {
  /**
   * Call it after each step. It lets the event loop turn once, then saves if the policy or the caller says that a save is due. The left is
   * `Stopped` when the state has been committed after a signal.
   */
  readonly after: (state: () => S, count: number, due?: boolean) => Promise<Either<SaveError | Stopped, void>>;
  /** Call it at the end. It saves the state if it changed since the last save, and waits until everything is committed. */
  readonly finish: (state: () => S, count: number, changed?: boolean) => Promise<Either<SaveError, void>>;
  /** Call it when a step has failed. It waits for the save in flight. */
  readonly drain: () => Promise<void>;
  /** Stops listening for signals. */
  readonly close: () => void;
}

/** Saves a loop's state, and knows whether that is due. */
interface Autosaver<S> {
  /** Records that the state changed. */
  readonly changed: () => void;
  readonly hasChanged: () => boolean;
  /** Whether a save is due after so many batches. */
  readonly isDue: (count: number, asked: boolean) => boolean;
  /** Saves the state in the background. */
  readonly save: (state: S, count: number) => TaskEither<void>;
  /** Waits for the saves in flight; gives the number of the newest checkpoint that they made. */
  readonly drain: TaskEither<number | undefined>;
}

type TaskEither<A> = TE.TaskEither<SaveError, A>;

// --- constructors

function checkPositive(name: string, value: number | undefined, isWhole: boolean): void {
  if (value === undefined || (typeof value === "number" && value > 0 && (!isWhole || Number.isSafeInteger(value)))) {
    return;
  }
  throw new TypeError(
    `Expected ${name} to be ${isWhole ? "a whole number of batches" : "a number of seconds"} above 0, found ${
      shown(value)
    }`,
  );
}

/** Checks a policy and signals; a wrong one is a `TypeError` that names the option as the user wrote it. */
export function checkPolicy(
  save: SavePolicy<never> | undefined,
  stopOn: readonly Signal[],
  prefix = "",
): void {
  if (save !== undefined) {
    checkStore(save.to, `${prefix}to`);
    demand(`${prefix}metrics`, ifGiven(aFunction), save.metrics);
    demand(`${prefix}onSaved`, ifGiven(aFunction), save.onSaved);
    demand(`${prefix}fork`, ifGiven(aBoolean), save.fork);
    checkCodecs(save.codecs);
    if (save.whenBusy !== undefined) demand(`${prefix}whenBusy`, oneOf(...whenBusyNames), save.whenBusy);
  }
  demand("a signal of stopOn", listOf(oneOf(...signals)), stopOn);
  checkPositive(`${prefix}every`, save?.every, true);
  checkPositive(`${prefix}seconds`, save?.seconds, false);
}

/** One turn of the event loop, in which signals are delivered and background saves proceed. */
function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function saverOf<S>(save: SavePolicy<S>, training: string | undefined): Saver {
  return saverFor(save.to, {
    codecs: save.codecs ?? {},
    // With `skip`, no save that is due reaches a busy saver; the last state has to be saved in any case.
    whenBusy: save.whenBusy === "latest" ? "latest" : "wait",
    ...(save.fork !== undefined && { fork: save.fork }),
    ...(save.onSaved && { onSaved: save.onSaved }),
  }, training);
}

function autosaver<S extends object>(policy: SavePolicy<S> | undefined, training: string | undefined): Autosaver<S> {
  let [unsaved, lastSave] = [false, performance.now()];
  const saver = policy && saverOf(policy, training);
  return {
    changed: () => void (unsaved = true),
    hasChanged: () => unsaved,
    isDue: (count, asked) => {
      if (policy?.whenBusy === "skip" && saver?.busy() === true) return false;
      return asked || (policy?.every !== undefined && count % policy.every === 0) ||
        (policy?.seconds !== undefined && performance.now() - lastSave >= policy.seconds * 1000);
    },
    save: (state, count) => {
      if (saver === undefined) return TE.right(undefined);
      [unsaved, lastSave] = [false, performance.now()];
      const metrics = policy?.metrics && { metrics: policy.metrics(state) };
      const hasStep = typeof (state as { readonly step?: unknown }).step === "number";
      return saver.save(state, { ...(hasStep ? {} : { step: count }), ...metrics });
    },
    drain: saver === undefined ? TE.right(undefined) : pipe(saver.drain, TE.map((saves) => saves.at(-1)?.checkpoint)),
  };
}

// --- combinators

/**
 * The saves of one loop. It listens for signals until it is closed.
 *
 * @param policy When and where to save. Without one nothing is saved; a signal still stops the loop.
 * @param stopOn The signals.
 * @param training The name of one of several trainings that share the location, each with its own run.
 */
export function savePoints<S extends object>(
  policy: SavePolicy<S> | undefined,
  stopOn: readonly Signal[],
  training?: string,
): SavePoints<S> {
  const { changed, hasChanged, isDue, save, drain } = autosaver(policy, training);
  const listener = listenForSignals(stopOn);
  /** Saves the state if it is unsaved, and waits until everything is committed. */
  const commit = (state: () => S, count: number, isUnsaved: boolean): TaskEither<number | undefined> =>
    pipe(isUnsaved ? () => save(state(), count)() : TE.right(undefined), TE.flatMap(() => drain));
  return {
    after: async (state, count, asked = false) => {
      changed();
      await eventLoopTurn();
      if (isDue(count, asked)) {
        const saved = await save(state(), count)();
        if (E.isLeft(saved)) return saved;
      }
      const signal = listener.received();
      if (signal === undefined) return E.right(undefined);
      const stop = (checkpoint: number | undefined): Either<Stopped, never> =>
        E.left({ _tag: "Stopped", signal, ...(checkpoint === undefined ? {} : { checkpoint }) });
      return await pipe(commit(state, count, hasChanged()), TE.flatMapEither(stop))();
    },
    finish: (state, count, isUnsaved = hasChanged()) =>
      pipe(commit(state, count, isUnsaved), TE.map(() => undefined))(),
    drain: async () => void await drain(),
    close: listener.close,
  };
}
