/**
 * The loop of a training: batches from a cursor on, steps, the ends of epochs. `train` saves around it, and a proof records in it.
 *
 * Law *same bits*: after a batch that ends an epoch, `onEpochEnd` has been called before the caller receives the state. So a state at the end of
 * an epoch is always one after `onEpochEnd`, and a resume from there does not call it again.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { LoaderError, StepFailed } from "../errors/mod.ts";
import {
  completeEpochs,
  completeEpochsSeen,
  itemsBefore,
  Loader,
  needsNext,
  placeOf,
  readFrom,
} from "../loader/mod.ts";
import { onDevice } from "../tfjs/mod.ts";
import { foundOrAwait, isAwaited, isPlainRecord, shown } from "../validation/mod.ts";

// --- types

/** Where a batch is in the data of a training. */
export interface BatchPosition {
  /** The epoch of the batch, from 0: that of its first sample, where batches span epochs. */
  readonly epoch: number;
  /** The number of the batch in its epoch, from 0. */
  readonly batch: number;
  /** The cursor after the batch. */
  readonly cursor: Loader.Cursor;
}

/** The functions of a training, and its data. */
export interface TrainingSteps<S extends object, A> {
  /** The batches. */
  readonly loader: Loader.Loader<A>;
  /** One step: gives the state after a batch. It may be asynchronous. It disposes the tensors that it does not return. */
  readonly step: (state: S, batch: A, at: BatchPosition) => S | Promise<S>;
  /**
   * Gives the state after an epoch, counted from 0: evaluates, tells a plateau schedule the loss, remembers the best so far. It is called once for
   * each epoch, after its last batch and before a save that is due there, however often the run is killed. Where `Loader.take` after
   * `repeat` ends the data inside an epoch, or anywhere in the first epoch of a stream, that epoch has no end. Neither has one that ends because a
   * resume changed the batch size or `take`, or one that was trained without `onEpochEnd`.
   * @default the state as it is
   */
  readonly onEpochEnd?: (state: S, epoch: number) => S | Promise<S>;
  /**
   * Whether to end as if the data had ended, such as `(state) => state.waited >= 5`. It is asked before each step, the first too.
   * @default the end of the data
   */
  readonly until?: (state: S) => boolean;
}

/** What a training has done. */
export interface TrainingProgress {
  /** Batches since the start of the data. */
  readonly batches: number;
  /** The epoch of the last batch. */
  readonly epoch: number;
  /** How many epochs are complete. */
  readonly epochs: number;
}

/** What a loop reports to. */
export interface LoopListener<S, L> {
  /** Receives the state after each step and the end of its epoch; whether to continue. */
  readonly after: (state: S, progress: TrainingProgress) => Promise<E.Either<L, boolean>>;
  /** Whether epochs matter to it. */
  readonly countsEpochs?: boolean;
  /** Runs the user's own code. */
  readonly around?: <B>(run: () => B | PromiseLike<B>) => B | PromiseLike<B>;
}

// --- constructors

/** The cursor in a component of a state; any other value is a `TypeError`. */
export function cursorIn(state: object, name: string): Loader.Cursor {
  const cursor: unknown = Object.hasOwn(Object(state), name) ? (state as Record<string, unknown>)[name] : undefined;
  if (Loader.codec.is(cursor)) return cursor;
  const expected = `Expected the component ${JSON.stringify(name)} to be a cursor`;
  if (isAwaited(state)) throw new TypeError(`${expected}, found no components but ${foundOrAwait(state)}`);
  const remedy = "put Loader.start(loader) there, or name another in options.cursor";
  throw new TypeError(`${expected}, found ${foundOrAwait(cursor, remedy)}`);
}

// --- combinators

/** Runs a function of the user; what it throws is `StepFailed` with these fields. */
async function tried<B>(
  run: () => B | PromiseLike<B>,
  failed: Omit<StepFailed, "_tag" | "cause">,
): Promise<E.Either<StepFailed, B>> {
  try {
    return E.right(await onDevice(async () => await run()));
  } catch (cause) {
    return E.left({ _tag: "StepFailed", cause, ...failed });
  }
}

/** The state that a function of the user returned for a state, with the cursor as a separate component. */
function returnedState<S extends object>(of: string, state: S, returned: unknown, own: Partial<S>): S {
  if (!isPlainRecord(returned)) {
    throw new TypeError(`Expected ${of} to return the next state, found ${shown(returned)}`);
  }
  const next = { ...returned, ...own };
  const lost = Object.keys(state).find((name) => !Object.hasOwn(next, name));
  if (lost === undefined) return next as S;
  throw new TypeError(`Expected ${of} to return the component ${JSON.stringify(lost)} too: return { ...state, … }`);
}

/** Runs a loop over a loader's items. An error of the data, with which the iteration rejects, is a left. */
function orLoaderError<L, A>(loop: TaskEither<L, A>): TaskEither<L | LoaderError, A> {
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

/** The items of a loader from a cursor on, one at a time, and whether an epoch ends after one. */
function epochReader<A>(
  loader: Loader.Loader<A>,
  start: Loader.Cursor,
  around: NonNullable<LoopListener<A, A>["around"]>,
) {
  const items = readFrom(loader, start);
  return {
    next: async (): Promise<IteratorResult<readonly [A, Loader.Cursor], undefined>> => await around(() => items.next()),
    /**
     * How many epochs are complete after the item that ends at a cursor. In the first epoch of a stream only the next item shows it: a state at the
     * end of an epoch must not be saved before its `onEpochEnd`.
     */
    completeEpochs: async (cursor: Loader.Cursor): Promise<number> =>
      needsNext(loader, cursor)
        ? completeEpochsSeen(loader, cursor, await around(() => items.peek()))
        : completeEpochs(loader, cursor),
    close: async (): Promise<void> => void await items.return?.(),
  };
}

/**
 * Runs the steps of a training from a state on, until the data or `until` ends it, or the listener does.
 *
 * @param training The training.
 * @param name The name of the cursor's component, which is set after each step.
 * @param listener Receives each state.
 * @returns For a state, the last one and the number of batches before it; or what failed.
 */
export function runTraining<S extends object, A, L>(
  training: TrainingSteps<S, A>,
  name: string,
  { after, countsEpochs = training.onEpochEnd !== undefined, around = (run) => run() }: LoopListener<S, L>,
): (initial: S) => TaskEither<L | LoaderError | StepFailed, readonly [last: S, batches: number]> {
  const { loader, step, onEpochEnd = (state) => state, until = () => false } = training;
  return (initial) =>
    orLoaderError<L | StepFailed, readonly [S, number]>(async () => {
      let [state, cursor] = [initial, cursorIn(initial, name)];
      let batches = itemsBefore(loader, cursor);
      const reader = epochReader(loader, cursor, around);
      try {
        for (;;) {
          const failed = { at: batches, by: "until", epoch: completeEpochs(loader, cursor) };
          const isOver = await tried(() => around(() => askedBoolean(until(state))), failed);
          if (E.isLeft(isOver)) return isOver;
          if (isOver.right) break;
          const item = await reader.next();
          if (item.done === true) break;
          const [batch, next] = item.value;
          const { epoch, item: number } = placeOf(loader, cursor, next, batches);
          cursor = next;
          const own = { [name]: cursor } as unknown as Partial<S>;
          const take = () => around(() => step(state, batch, { epoch, batch: number, cursor }));
          const stepped = await tried(async () => returnedState("the step", state, await take(), own), { at: batches });
          if (E.isLeft(stepped)) return stepped;
          state = stepped.right;
          batches++;
          const epochs = countsEpochs ? await reader.completeEpochs(cursor) : epoch;
          for (let ended = epoch; ended < epochs; ended++) {
            const end = () => around(() => onEpochEnd(state, ended));
            const next = await tried(async () => returnedState("onEpochEnd", state, await end(), own), {
              at: batches,
              by: "onEpochEnd",
              epoch: ended,
            });
            if (E.isLeft(next)) return next;
            state = next.right;
          }
          const isWanted = await after(state, { batches, epoch, epochs });
          if (E.isLeft(isWanted)) return isWanted;
          if (!isWanted.right) break;
        }
        return E.right([state, batches]);
      } finally {
        await reader.close();
      }
    });
}

function askedBoolean(answer: unknown): boolean {
  if (typeof answer === "boolean") return answer;
  const remedy = "compute what it needs in step or onEpochEnd, and keep it in the state";
  throw new TypeError(`Expected until to return true or false, found ${shown(answer)}: ${remedy}`);
}
