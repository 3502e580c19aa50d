/**
 * Save points: when a loop that trains saves, and how it stops on a signal.
 *
 * Law *same bits*: `every` counts from the start of the data, so that where a run was killed does not change at which steps it saves.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import process from "node:process";
import type { SaveError, Stopped } from "./errors.ts";
import type { OptionNames } from "./option_names.ts";
import { aBoolean, aFunction, demand, ifGiven, listOf, oneOf, shown } from "./rules.ts";
import { type Saved, saverFor } from "./saving.ts";
import { checkCodecs, type Codecs } from "./codecs.ts";
import { checkStore, type Store } from "./store.ts";

// --- types

/** A signal of the operating system, such as `SIGTERM`. */
export type Signal = (typeof signals)[number];

const signals = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"] as const;

/** When and where to save. */
export interface SavePolicy<S> {
  readonly to: Store;
  /**
   * Save after every so many batches, counted from the start of the data, so that save points do not depend on where a run was killed.
   * @default never
   */
  readonly every?: number;
  /**
   * Save when so many seconds have passed since the last save.
   * @default never
   */
  readonly seconds?: number;
  /**
   * What to do when a save comes due while one is in flight: let training `wait`, `skip` it, or write the `latest` one afterwards. The state at
   * the end, or at a signal, is saved whatever this says.
   * @default "wait"
   */
  readonly whenBusy?: "wait" | "skip" | "latest";
  /** Numbers to choose checkpoints by. */
  readonly metrics?: (state: S) => Readonly<Record<string, number>>;
  /** Codecs for components of the user's own types. */
  readonly codecs?: Codecs;
  /**
   * Whether to begin a new run at the checkpoint that this process has loaded or saved last there, once.
   * @default false
   */
  readonly fork?: boolean;
  /** Told of each save once it is committed. */
  readonly onSaved?: (saved: Saved) => void;
}

/** The names of what a policy says. */
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

/** What a loop tells of its steps. */
export interface SavePoints<S> {
  /**
   * After a step: a turn of the event loop, then a save if one is due, by the policy or because the loop says so; `Stopped` once the state is
   * committed after a signal.
   */
  readonly after: (state: () => S, count: number, due?: boolean) => Promise<Either<SaveError | Stopped, void>>;
  /** At the end: the state saved unless it is, and whatever is in flight committed. */
  readonly finish: (state: () => S, count: number, changed?: boolean) => Promise<Either<SaveError, void>>;
  /** When a step has failed: waits for what is in flight. */
  readonly drain: () => Promise<void>;
  /** Stops listening for signals. */
  readonly close: () => void;
}

// --- constructors

function positive(name: string, value: number | undefined, whole: boolean): void {
  if (value === undefined || (typeof value === "number" && value > 0 && (!whole || Number.isSafeInteger(value)))) {
    return;
  }
  throw new TypeError(
    `Expected ${name} to be ${whole ? "a whole number of batches" : "a number of seconds"} above 0, found ${
      shown(value)
    }`,
  );
}

/** Sees that a policy and signals are what they must be, each named as the user knows it. */
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
    if (save.whenBusy !== undefined) demand(`${prefix}whenBusy`, oneOf("wait", "skip", "latest"), save.whenBusy);
  }
  demand("a signal of stopOn", listOf(oneOf(...signals)), stopOn);
  positive(`${prefix}every`, save?.every, true);
  positive(`${prefix}seconds`, save?.seconds, false);
}

/** A turn of the event loop, in which signals and the writing of saves come to their own. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Listens for one signal, until it comes or `close`: a second one has its usual effect, which ends a step that hangs. */
function listen(
  signals: readonly Signal[],
): { readonly received: () => Signal | undefined; readonly close: () => void } {
  let received: Signal | undefined;
  const listeners = signals.map((signal) =>
    [signal, (): void => {
      received ??= signal;
      close();
    }] as const
  );
  for (const [signal, listener] of listeners) process.on(signal, listener);
  function close(): void {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
  return { received: () => received, close };
}

// --- combinators

/**
 * The save points of one loop, which listens for signals until it is closed.
 *
 * @param save When and where to, or undefined: then nothing is saved, and a signal stops all the same.
 * @param stopOn The signals.
 * @param training The name of one of several trainings that share the place, each a run of its own.
 */
export function savePoints<S extends object>(
  save: SavePolicy<S> | undefined,
  stopOn: readonly Signal[],
  training?: string,
): SavePoints<S> {
  let [unsaved, lastSave] = [false, performance.now()];
  const saving = save &&
    saverFor(save.to, {
      codecs: save.codecs ?? {},
      whenBusy: save.whenBusy === "latest" ? "latest" : "wait",
      ...(save.fork !== undefined && { fork: save.fork }),
      ...(save.onSaved && { onSaved: save.onSaved }),
    }, training);
  const commit = async (state: S, count: number): Promise<Either<SaveError, void>> => {
    if (saving === undefined) return E.right(undefined);
    [unsaved, lastSave] = [false, performance.now()];
    const metrics = save?.metrics && { metrics: save.metrics(state) };
    const counted = typeof (state as { readonly step?: unknown }).step === "number" ? {} : { step: count };
    return await saving.save(state, { ...counted, ...metrics })();
  };
  /** The state saved, whatever is in flight committed: the newest checkpoint, if any. */
  const settle = async (
    state: () => S,
    count: number,
    changed: boolean,
  ): Promise<Either<SaveError, number | undefined>> => {
    if (changed) {
      const committed = await commit(state(), count);
      if (E.isLeft(committed)) return committed;
    }
    const drained = saving === undefined ? E.right([]) : await saving.drain();
    return E.isLeft(drained) ? drained : E.right(drained.right.at(-1)?.checkpoint);
  };
  const heard = listen(stopOn);
  return {
    after: async (state, count, asked = false) => {
      unsaved = true;
      await turn();
      const left = save?.whenBusy === "skip" && saving?.busy() === true;
      const due = asked || (save?.every !== undefined && count % save.every === 0) ||
        (save?.seconds !== undefined && performance.now() - lastSave >= save.seconds * 1000);
      if (due && !left) {
        const committed = await commit(state(), count);
        if (E.isLeft(committed)) return committed;
      }
      const signal = heard.received();
      if (signal === undefined) return E.right(undefined);
      const settled = await settle(state, count, unsaved);
      if (E.isLeft(settled)) return settled;
      return E.left({
        _tag: "Stopped",
        signal,
        ...(settled.right === undefined ? {} : { checkpoint: settled.right }),
      });
    },
    finish: async (state, count, changed = unsaved) => {
      const settled = await settle(state, count, changed);
      return E.isLeft(settled) ? settled : E.right(undefined);
    },
    drain: async () => void await saving?.drain(),
    close: heard.close,
  };
}
