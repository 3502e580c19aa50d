/**
 * A training's steps one by one, each state shown: as `train` takes them, from the beginning, from a checkpoint, or from nothing.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Watch } from "../ambient.ts";
import type { LoaderError, LoadError, StepFailed } from "../errors.ts";
import * as Loader from "../loader.ts";
import { loadState } from "../loading.ts";
import { isPlainRecord, shown } from "../rules.ts";
import type { Codecs } from "../codecs.ts";
import type { Store } from "../store.ts";
import { onDevice } from "../tfjs/device.ts";
import { cursorIn, loaderError } from "../train.ts";

// --- types

/** A training, as it is given to `train`, with the function that builds its components. */
export interface Training<C extends object, A> {
  /** Builds the components a run starts with, new ones each time. */
  readonly fresh: () => C | Promise<C>;
  /** One step: the state after a batch. */
  readonly step: (state: C, batch: A) => C | Promise<C>;
  readonly loader: Loader.Loader<A>;
  /**
   * The name of the component that is the cursor.
   * @default "cursor"
   */
  readonly cursor?: string;
  /** Codecs for components of the user's own types. */
  readonly codecs?: Codecs;
}

/** Shown each state with the number of batches before it; whether to go on. */
export type Visit<C> = (state: C, step: number) => Promise<boolean>;

// --- constructors

/** The name of a training's cursor. */
export function cursorName(training: { readonly cursor?: string }): string {
  return training.cursor ?? "cursor";
}

// --- combinators

/** A turn of the event loop, in which what a step has not awaited goes on. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/**
 * Takes a state on, step by step.
 *
 * @param training The training.
 * @param watch In place while the user's own code runs.
 * @param range From after how many batches, until after how many.
 * @param visit Shown the state after each step.
 * @returns For a state, the last one; it ends early if the data does.
 */
export function walk<C extends object, A>(
  training: Training<C, A>,
  watch: Pick<Watch, "during">,
  [from, until]: readonly [from: number, until: number],
  visit: Visit<C>,
): (state: C) => TaskEither<LoaderError | StepFailed, C> {
  const name = cursorName(training);
  return (initial) => async () => {
    let state = initial;
    const items = Loader.from(cursorIn(initial, name))(training.loader)[Symbol.asyncIterator]();
    try {
      for (let at = from; at < until; at++) {
        const item = await watch.during(() => items.next());
        if (item.done === true) break;
        const [batch, cursor] = item.value;
        try {
          const next: unknown = await onDevice(() => watch.during(() => training.step(state, batch)));
          if (!isPlainRecord(next)) {
            throw new TypeError(`Expected the step to return the next state, found ${shown(next)}`);
          }
          state = { ...next as C, [name]: cursor };
        } catch (cause) {
          return E.left({ _tag: "StepFailed", cause, at });
        }
        if (!await visit(state, at + 1)) break;
        await turn();
      }
      return E.right(state);
    } catch (thrown) {
      const error = loaderError(thrown);
      if (error === undefined) throw thrown;
      return E.left(error);
    } finally {
      await items.return?.();
    }
  };
}

/**
 * Restores the newest checkpoint of a store into fresh components, shows the state, and takes it on as {@link walk} does.
 *
 * @param store Where the checkpoint is.
 * @param built Told of fresh components.
 */
export function walkFrom<C extends object, A>(
  store: Store,
  training: Training<C, A>,
  watch: Pick<Watch, "during">,
  [from, until]: readonly [from: number, until: number],
  visit: Visit<C>,
  built: (fresh: C) => void = () => {},
): TaskEither<LoadError | LoaderError | StepFailed, C> {
  return async () => {
    const fresh = await watch.during(training.fresh);
    built(fresh);
    const loaded = await loadState(store, { codecs: training.codecs ?? {} })(fresh as never)();
    if (E.isLeft(loaded)) return loaded;
    const state = loaded.right as unknown as C;
    return await visit(state, from) ? await walk(training, watch, [from, until], visit)(state)() : E.right(state);
  };
}
