/**
 * Automatic saves of a training loop: when it saves, and how a signal stops it.
 *
 * Law *same bits*: `every` counts from the start of the data, so it does not matter where a run was killed.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { setImmediate } from "node:timers/promises";
import type { SaveError, StepFailed, Stopped } from "../errors/mod.ts";
import {
  aBoolean,
  aFunction,
  demand,
  demandEach,
  ifGiven,
  listOf,
  must,
  oneOf,
  type OptionRules,
  type Rule,
  shown,
} from "../validation/mod.ts";
import { backgroundRules, saverFor } from "./saver.ts";
import type { Saved } from "./save.ts";
import { checkDelivered, listenForSignals, type Signal, signals } from "./signals.ts";
import { type Codec, codecRules, type Codecs, type Options } from "../codecs.ts";
import { aNote, checkStore, type Note, type Store } from "../store/mod.ts";

// --- types

/** When and where a loop saves. */
export interface SavePolicy<S> extends Options<Codecs, Codec> {
  /** The store. */
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
  /** Whether to save after a batch, given the state after it: in addition to `every` and `seconds`. */
  readonly when?: (state: S) => boolean;
  /** Numbers by which checkpoints can be chosen and kept. */
  readonly metrics?: (state: S) => Readonly<Record<string, number>>;
  /** A few words or hyperparameters on each checkpoint, as for `saveState`. */
  readonly note?: Note;
  /**
   * Whether to begin a new run at the checkpoint that this process loaded or saved last at the location. Only the first save starts the new run.
   * A restart does not look for it: `resume` loads the newest checkpoint of the store. So two processes that may restart need two stores.
   * @default false
   */
  readonly fork?: boolean;
  /** Receives each committed save. */
  readonly onSaved?: (saved: Saved) => void;
}

function above0(expected: string, isNumber: (value: unknown) => boolean): Rule {
  return ifGiven(must(`${expected} above 0`, (value) => isNumber(value) && value as number > 0));
}

/** The types of the options of a policy, except the store. */
export const policyRules: OptionRules<Omit<SavePolicy<unknown>, "to">> = {
  when: ifGiven(aFunction),
  metrics: ifGiven(aFunction),
  note: ifGiven(aNote),
  fork: ifGiven(aBoolean),
  ...codecRules,
  ...backgroundRules,
  every: above0("a whole number of batches", Number.isSafeInteger),
  seconds: above0("a number of seconds", (value) => typeof value === "number"),
};

/** The saves of one loop. */
export interface SavePoints<S> {
  /**
   * Call it after each step. It lets the event loop turn once, then saves if the policy or the caller says that a save is due. The left is
   * `Stopped` after a signal; with a policy the state has been committed.
   */
  readonly after: (
    state: () => S,
    count: number,
    due?: boolean,
  ) => Promise<E.Either<SaveError | StepFailed | Stopped, void>>;
  /** Call it at the end. It saves the state if it changed since the last save, and waits until everything is committed. */
  readonly finish: (
    state: () => S,
    count: number,
    changed?: boolean,
  ) => Promise<E.Either<SaveError | StepFailed, void>>;
  /** Call it when a step has failed. It waits for the save in flight. */
  readonly drain: () => Promise<void>;
  /** Stops listening for signals. */
  readonly close: () => void;
}

// --- constructors

/** Checks a policy and signals; a wrong one is a `TypeError` that names the option as the user wrote it, with its prefix. */
export function checkPolicy(save: SavePolicy<never> | undefined, stopOn: readonly Signal[], prefix = ""): void {
  if (save !== undefined) checkStore(save.to, `${prefix}to`);
  demandEach(policyRules, save ?? {}, prefix);
  if (!Array.isArray(stopOn)) {
    const written = shown(typeof stopOn === "string" ? stopOn : "SIGTERM");
    throw new TypeError(
      `Expected stopOn to be an array of signals, found ${shown(stopOn)}: write stopOn: [${written}]`,
    );
  }
  demand("a signal of stopOn", listOf(oneOf(...signals)), stopOn);
  checkDelivered(stopOn);
}

/**
 * The saves of one loop. It listens for signals until it is closed.
 *
 * @param policy When and where to save. Without one nothing is saved; a signal still stops the loop.
 * @param stopOn The signals.
 * @param training The name of one of several trainings that share the location, each with its own run.
 * @param flush Runs before each save. If it fails, nothing is saved.
 */
export function savePoints<S extends object>(
  policy: SavePolicy<S> | undefined,
  stopOn: readonly Signal[],
  training?: string,
  flush: TE.TaskEither<StepFailed, void> = TE.right(undefined),
): SavePoints<S> {
  const {
    to,
    every,
    seconds = Infinity,
    when,
    whenBusy,
    metrics,
    note,
    codecs = {},
    types = [],
    fork = false,
    onSaved,
  } = policy ?? {};
  const saver = to && saverFor(to, {
    codecs,
    types,
    // With `skip`, no save that is due reaches a busy saver; the last state has to be saved in any case.
    whenBusy: whenBusy === "latest" ? "latest" : "wait",
    fork,
    ...(note !== undefined && { note }),
    ...(onSaved && { onSaved }),
  }, training);
  const listener = listenForSignals(stopOn);
  let [isUnsaved, lastSave] = [false, performance.now()];
  const isDue = (count: number): boolean =>
    (every !== undefined && count % every === 0) || performance.now() - lastSave >= seconds * 1000;
  const isWanted = (state: () => S): boolean => {
    const wanted = when?.(state()) ?? false;
    if (typeof wanted !== "boolean") {
      throw new TypeError(`Expected save.when to return a boolean, found ${shown(wanted)}`);
    }
    return wanted;
  };
  const save = (state: S, count: number): TE.TaskEither<SaveError | StepFailed, void> => {
    if (saver === undefined) return TE.right(undefined);
    [isUnsaved, lastSave] = [false, performance.now()];
    const hasStep = "step" in state && typeof state.step === "number";
    const task = saver.save(state as object, {
      ...(!hasStep && { step: count }),
      ...(metrics && { metrics: metrics(state) }),
    });
    return pipe(flush, TE.flatMap(() => task));
  };
  const drain = saver?.drain ?? TE.right([]);
  /** Saves the state if asked, and waits until everything is committed. */
  const commit = (
    state: () => S,
    count: number,
    isAsked: boolean,
  ): TE.TaskEither<SaveError | StepFailed, readonly Saved[]> =>
    pipe(isAsked ? () => save(state(), count)() : TE.right(undefined), TE.flatMap(() => drain));
  return {
    after: async (state, count, asked = false) => {
      isUnsaved = true;
      // One turn of the event loop, in which signals are delivered and background saves proceed.
      await setImmediate();
      const isSkipped = whenBusy === "skip" && saver?.busy() === true;
      if (!isSkipped && (asked || isDue(count) || isWanted(state))) {
        const saved = await save(state(), count)();
        if (E.isLeft(saved)) return saved;
      }
      const signal = listener.received();
      if (signal === undefined) return E.right(undefined);
      const stop = (saves: readonly Saved[]): E.Either<Stopped, never> => {
        const checkpoint = saves.at(-1)?.checkpoint;
        return E.left({ _tag: "Stopped", signal, ...(checkpoint !== undefined && { checkpoint }) });
      };
      return await pipe(commit(state, count, isUnsaved), TE.flatMapEither(stop))();
    },
    finish: (state, count, changed = isUnsaved) => pipe(commit(state, count, changed), TE.map(() => undefined))(),
    drain: async () => void await drain(),
    close: listener.close,
  };
}
