/**
 * The training loop as a value: it iterates, steps, keeps the cursor, saves, and stops on a signal at a step's boundary.
 *
 * Laws: *same bits*: where a run was killed changes neither what it trains nor at which steps it saves; *old or new*: a step that fails saves
 * nothing half done.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import process from "node:process";
import type { LoaderError, SaveError, TrainError } from "./errors.ts";
import * as Loader from "./loader.ts";
import { demand, isPlainRecord, oneOf, shown } from "./rules.ts";
import { type Saved, saver } from "./saving.ts";
import type { Codecs } from "./snapshot.ts";
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
  /** Told of each save once it is committed. */
  readonly onSaved?: (saved: Saved) => void;
}

/** What {@link train} needs. */
export interface TrainOptions<S extends object, A> {
  readonly loader: Loader.Loader<A>;
  /** One step: the state after a batch. It may be asynchronous; tensors it does not keep are its own to dispose. */
  readonly step: (state: S, batch: A) => S | Promise<S>;
  /**
   * The name of the component that is the cursor.
   * @default "cursor"
   */
  readonly cursor?: string;
  /** When and where to save; a checkpoint's step is the component `step`, or the number of batches trained on. */
  readonly save?: SavePolicy<S>;
  /**
   * Signals on which to save and stop at the next step's boundary.
   * @default []
   */
  readonly stopOn?: readonly Signal[];
}

// --- constructors

function positive(name: string, value: number | undefined, whole: boolean): void {
  if (value === undefined || (value > 0 && (!whole || Number.isSafeInteger(value)))) return;
  throw new TypeError(
    `Expected ${name} to be ${whole ? "a whole number of batches" : "a number of seconds"} above 0, found ${value}`,
  );
}

/** The cursor that a state holds under a name. */
export function cursorIn(state: object, name: string): Loader.Cursor {
  const cursor: unknown = Object.hasOwn(state, name) ? (state as Record<string, unknown>)[name] : undefined;
  if (Loader.codec.is(cursor)) return cursor;
  throw new TypeError(
    `Expected the component ${
      JSON.stringify(name)
    } to be a cursor: put Loader.start(loader) there, or name another in options.cursor`,
  );
}

/** How many batches of a loader lie before a cursor. */
function batchesBefore(cursor: Loader.Cursor, { source, plan }: Loader.Loader<unknown>): number {
  return plan(source.length ?? cursor.length ?? Infinity).count(cursor);
}

/** A turn of the event loop, in which signals and the writing of saves come to their own. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// --- combinators

/** Listens for signals until `close`. */
function listen(
  signals: readonly Signal[],
): { readonly received: () => Signal | undefined; readonly close: () => void } {
  let received: Signal | undefined;
  const listeners = signals.map((signal) => [signal, (): void => void (received ??= signal)] as const);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return {
    received: () => received,
    close: () => listeners.forEach(([signal, listener]) => process.off(signal, listener)),
  };
}

/** The error of the data in what an iteration rejected with, if it is one. */
export function loaderError(thrown: unknown): LoaderError | undefined {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  const tag = typeof cause === "object" && cause !== null && "_tag" in cause ? cause._tag : undefined;
  return tag === "CursorMismatch" || tag === "SourceFailed" ? cause as LoaderError : undefined;
}

/**
 * Trains through a loader: the loop as a value.
 *
 * @param options The loader, the step, and when and where to save. After each step the component `cursor` is set, and nothing else is touched.
 * @returns For a state, usually from {@link resume}, a task of the state at the end of the data, saved if saving was asked for. Its left is
 *   `Stopped` after a signal, with the checkpoint that holds the state; `StepFailed` when a step throws; `CursorMismatch` or `SourceFailed` from
 *   the data; or a save's error. The process is never ended. A state without a cursor is a `TypeError`.
 *
 * Law *same bits*.
 *
 * @example
 * ```ts
 * import { Loader, memory, pipe, resume, runOrThrow, train } from "@dogear/dogear";
 * import * as TE from "fp-ts/lib/TaskEither.js";
 * import assert from "node:assert/strict";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2), Loader.repeat(3));
 * const store = memory();
 * const done = await pipe(
 *   resume(store)({ sum: 0, cursor: Loader.start(loader) }),
 *   TE.flatMap(train({ loader, step: (state, [a, b = 0]) => ({ ...state, sum: state.sum + a! + b }), save: { to: store, every: 2 } })),
 *   runOrThrow,
 * );
 * assert.equal(done.sum, 30);
 * ```
 */
export function train<S extends object, A>(options: TrainOptions<S, A>): (state: S) => TaskEither<TrainError, S> {
  const { loader, step, save, cursor: name = "cursor", stopOn = [] } = options;
  if (save !== undefined) {
    checkStore(save.to);
    if (save.whenBusy !== undefined) demand("save.whenBusy", oneOf("wait", "skip", "latest"), save.whenBusy);
  }
  for (const signal of stopOn) demand("a signal of stopOn", oneOf(...signals), signal);
  positive("save.every", save?.every, true);
  positive("save.seconds", save?.seconds, false);
  return (initial) => async () => {
    const start = cursorIn(initial, name);
    let [state, count, unsaved, lastSave] = [initial, batchesBefore(start, loader), false, performance.now()];
    const saving = save &&
      saver(save.to, {
        codecs: save.codecs ?? {},
        whenBusy: save.whenBusy === "latest" ? "latest" : "wait",
        ...(save.onSaved && { onSaved: save.onSaved }),
      });
    const commit = async (): Promise<E.Either<SaveError, void>> => {
      if (saving === undefined) return E.right(undefined);
      [unsaved, lastSave] = [false, performance.now()];
      const metrics = save?.metrics && { metrics: save.metrics(state) };
      const counted = typeof (state as { readonly step?: unknown }).step === "number" ? {} : { step: count };
      return await saving.save(state, { ...counted, ...metrics })();
    };
    /** The state saved, whatever is in flight committed: the newest checkpoint, if any. */
    const finish = async (): Promise<E.Either<SaveError, number | undefined>> => {
      if (unsaved) {
        const committed = await commit();
        if (E.isLeft(committed)) return committed;
      }
      const drained = saving === undefined ? E.right([]) : await saving.drain();
      return E.isLeft(drained) ? drained : E.right(drained.right.at(-1)?.checkpoint);
    };
    const signals = listen(stopOn);
    try {
      for await (const [batch, cursor] of Loader.from(start)(loader)) {
        try {
          const next: unknown = await step(state, batch);
          if (!isPlainRecord(next)) {
            throw new TypeError(`Expected the step to return the next state, found ${shown(next)}`);
          }
          state = { ...next as S, [name]: cursor };
        } catch (cause) {
          await saving?.drain();
          return E.left({ _tag: "StepFailed", cause, at: count });
        }
        count++;
        unsaved = true;
        await turn();
        const left = save?.whenBusy === "skip" && saving?.busy() === true;
        const due = (save?.every !== undefined && count % save.every === 0) ||
          (save?.seconds !== undefined && performance.now() - lastSave >= save.seconds * 1000);
        if (due && !left) {
          const committed = await commit();
          if (E.isLeft(committed)) return committed;
        }
        const signal = signals.received();
        if (signal !== undefined) {
          const finished = await finish();
          if (E.isLeft(finished)) return finished;
          return E.left({
            _tag: "Stopped",
            signal,
            ...(finished.right === undefined ? {} : { checkpoint: finished.right }),
          });
        }
      }
      const finished = await finish();
      return E.isLeft(finished) ? finished : E.right(state);
    } catch (thrown) {
      await saving?.drain();
      const error = loaderError(thrown);
      if (error === undefined) throw thrown;
      return E.left(error);
    } finally {
      signals.close();
    }
  };
}
