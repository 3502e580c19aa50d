/**
 * The training loop as a value: it iterates a loader, runs steps, sets the cursor, saves, and stops on a signal between two steps.
 *
 * Laws: *same bits*: what a run trains, and at which steps it saves, does not depend on where it was killed; *old or new*: the partial work of a
 * step that fails is not saved.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { LoaderError, StepFailed, TrainError } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import { Loader } from "../loader/mod.ts";
import {
  aFunction,
  aName,
  checkMisspelt,
  checkOptionNames,
  demand,
  isPlainRecord,
  type OptionNames,
  shown,
} from "../validation/mod.ts";
import { checkPolicy, policyRules, savePoints, type SavePolicy } from "./autosave.ts";
import type { Signal } from "./signals.ts";
import { onDevice } from "../tfjs/mod.ts";

// --- types

/** The options of {@link train}. */
export interface TrainOptions<S extends object, A> {
  readonly loader: Loader.Loader<A>;
  /** One step: gives the state after a batch. It may be asynchronous. It disposes the tensors that it does not return. */
  readonly step: (state: S, batch: A) => S | Promise<S>;
  /**
   * The name of the cursor's component.
   * @default "cursor"
   */
  readonly cursor?: string;
  /** When and where to save. A checkpoint's step is the component `step`, or the number of batches so far. */
  readonly save?: SavePolicy<S>;
  /**
   * Signals on which to save and stop after the current step.
   * @default []
   */
  readonly stopOn?: readonly Signal[];
}

const trainNames = { loader: true, step: true, cursor: true, save: true, stopOn: true } satisfies OptionNames<
  TrainOptions<object, unknown>
>;

// --- constructors

/** The cursor in a component of a state; any other value is a `TypeError`. */
export function cursorIn(state: object, name: string): Loader.Cursor {
  const cursor: unknown = Object.hasOwn(Object(state), name) ? (state as Record<string, unknown>)[name] : undefined;
  if (Loader.codec.is(cursor)) return cursor;
  const remedy = "put Loader.start(loader) there, or name another in options.cursor";
  throw new TypeError(`Expected the component ${JSON.stringify(name)} to be a cursor: ${remedy}`);
}

// --- combinators

/**
 * Runs one step of a training.
 *
 * @param step Gives the state after a batch.
 * @param cursor The cursor after that batch, under the name of its component.
 * @param at The number of batches before it.
 * @returns The next state with its cursor, or `StepFailed`.
 */
export function takeStep<S extends object>(
  step: () => S | Promise<S>,
  cursor: Readonly<Record<string, Loader.Cursor>>,
  at: number,
): TaskEither<StepFailed, S> {
  return async () => {
    try {
      const next: unknown = await onDevice(step);
      if (!isPlainRecord(next)) throw new TypeError(`Expected the step to return the next state, found ${shown(next)}`);
      return E.right({ ...next as S, ...cursor });
    } catch (cause) {
      return E.left({ _tag: "StepFailed", cause, at });
    }
  };
}

/** Runs a loop over a loader's items. An error of the data, with which the iteration rejects, is a left. */
export function orLoaderError<L, A>(loop: TaskEither<L, A>): TaskEither<L | LoaderError, A> {
  return async () => {
    try {
      return await loop();
    } catch (thrown) {
      const error = Object(Object(thrown).cause) as LoaderError;
      if (error._tag !== "CursorMismatch" && error._tag !== "SourceFailed") throw thrown;
      return E.left(error);
    }
  };
}

/**
 * Trains on a loader: the training loop as a value.
 *
 * @param options The loader, the step, and when and where to save. After each step the component `cursor` is set; nothing else is changed.
 * @returns For a state, usually from {@link resume}, a task of the state at the end of the data, saved if `save` is given. The process is never
 *   ended. A state without a cursor is a `TypeError`. The left is one of:
 *   - `Stopped` after a signal, with the checkpoint that holds the state.
 *   - `StepFailed`, if a step throws or WebGPU refuses one of its operations.
 *   - `CursorMismatch` or `SourceFailed`, from the data.
 *   - An error of a save.
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
export function train<S extends object, A>(options: TrainOptions<S, A>): (state: S) => Awaitable<TrainError, S> {
  // `proveResume` takes the exports of a module, which may have further names.
  const check = typeof Object(options).fresh === "function" ? checkMisspelt : checkOptionNames;
  check("train", options, trainNames);
  const { loader, step, save, cursor: name = "cursor", stopOn = [] } = options;
  Loader.iterate(loader);
  demand("step of train", aFunction, step);
  demand("cursor of train", aName, name);
  if (save !== undefined) checkOptionNames("save of train", save, { to: true, ...policyRules });
  checkPolicy(save, stopOn, "save.");
  return (initial) =>
    awaitable(async (): Promise<E.Either<TrainError, S>> => {
      const start = cursorIn(initial, name);
      const points = savePoints(save, stopOn);
      const loop = orLoaderError<TrainError, S>(async () => {
        const { source, plan } = loader;
        let [state, count] = [initial, plan(source.length ?? start.length ?? Infinity).count(start)];
        for await (const [batch, cursor] of Loader.from(start)(loader)) {
          const next = await takeStep(() => step(state, batch), { [name]: cursor }, count)();
          if (E.isLeft(next)) return next;
          state = next.right;
          count++;
          const saved = await points.after(() => state, count);
          if (E.isLeft(saved)) return saved;
        }
        return pipe(await points.finish(() => state, count), E.map(() => state));
      });
      try {
        return await loop();
      } finally {
        await points.drain();
        points.close();
      }
    });
}
