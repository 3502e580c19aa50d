/**
 * Saves in the background: each save captures at once and writes while the training continues. One save is in flight at a time.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { captured, type SaveError, toError } from "../errors/mod.ts";
import { type Awaitable, awaitable, type AwaitableIO } from "../task.ts";
import { aFunction, checkOptions, ifGiven, oneOf, type OptionRules } from "../validation/mod.ts";
import { labelRules, type Saved, type SaveOptions, saveRules, writeTraining } from "./save.ts";
import { scheduler } from "./scheduler.ts";
import type { Given } from "../capturable.ts";
import type { Codec, Codecs, NoCodecs, Options } from "../codecs.ts";
import { captureState, release } from "../snapshot.ts";
import { checkStore, type Store } from "../store/mod.ts";

// --- types

/** The options of a {@link saver}. */
export interface SaverOptions<K extends Codecs = NoCodecs, T extends Codec = never> extends SaveOptions<K, T> {
  /**
   * What to do with a save that comes while another is in flight: `wait` for it, `skip` the new one, or write only the `latest` one afterwards.
   * @default "wait"
   */
  readonly whenBusy?: "wait" | "skip" | "latest";
  /** Receives each committed save. */
  readonly onSaved?: (saved: Saved) => void;
}

/** Saves in the background. */
export interface Saver<K extends Codecs = NoCodecs, T extends Codec = never> {
  /**
   * Captures when it is run, and resolves when the write has begun. The left is the error of an earlier save, which is given once; then nothing
   * is written.
   */
  readonly save: <C extends Given<C, K, T>>(
    components: C,
    options?: Pick<SaveOptions<K, T>, "step" | "metrics" | "note">,
  ) => Awaitable<SaveError, void>;
  /** Whether a save is in flight. */
  readonly busy: AwaitableIO<boolean>;
  /** Resolves when no save is in flight and a mirror has uploaded the newest, with the saves since the last drain or the first error among them. All drains that wait get that error. */
  readonly drain: Awaitable<SaveError, readonly Saved[]>;
}

/** The types of the options of {@link saver} that {@link SaveOptions} does not have. */
export const backgroundRules: OptionRules<Pick<SaverOptions, "whenBusy" | "onSaved">> = {
  whenBusy: ifGiven(oneOf("wait", "skip", "latest")),
  onSaved: ifGiven(aFunction),
};

// --- constructors

/**
 * Saves in the background: a save captures at once and is written while the training continues. One save is in flight at a time.
 *
 * @param store The store.
 * @param options As for {@link saveState}, and what to do with a save that comes while another is in flight.
 * @returns `save`, whose left is the error of an earlier save; `busy`; and `drain`, to run at the end.
 *
 * @example
 * ```ts
 * import { memory, saver } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const { save, drain } = saver(memory());
 * for (let step = 0; step < 3; step++) await save({ step });
 * assert.deepEqual((await drain).map((saved) => saved.step), [0, 1, 2]);
 * ```
 */
export function saver<K extends Codecs = NoCodecs, T extends Codec = never>(
  store: Store,
  options: SaverOptions<K, T> = {},
): Saver<K, T> {
  return saverFor(store, options);
}

/** {@link saver} for one of several trainings that share a location, each with its own run. */
export function saverFor<K extends Codecs = NoCodecs, T extends Codec = never>(
  store: Store,
  options: SaverOptions<K, T>,
  training?: string,
): Saver<K, T> {
  checkStore(store, "saver(store)");
  checkOptions("saver", options, { ...saveRules, ...backgroundRules });
  const { whenBusy = "wait", onSaved, codecs, types, ...labels } = options;
  const { submit, busy, drain } = scheduler<SaveError, Saved>(whenBusy, onSaved);
  return {
    save: (components, more = {}) =>
      awaitable(async (): Promise<E.Either<SaveError, void>> => {
        checkOptions("save", more, labelRules);
        const write = writeTraining(store, { ...labels, ...more }, training);
        return await submit(() =>
          pipe(
            captured(store.location, () => captureState(components, { codecs, types } as Options<K, T>)),
            E.map((snapshot) => ({ run: withoutExceptions(store, write(snapshot)), release: release(snapshot) })),
          )
        );
      }),
    busy: awaitable(busy),
    drain: awaitable(async () => {
      const saved = await drain();
      const safe = await store.drain?.() ?? E.right(undefined);
      return E.isRight(saved) && E.isLeft(safe) ? safe : saved;
    }),
  };
}

/** A background save must not reject, because no caller waits for it: an exception is a failure of the store. */
function withoutExceptions(store: Store, save: TaskEither<SaveError, Saved>): TaskEither<SaveError, Saved> {
  return () =>
    save().catch((cause: unknown) => {
      const { name, message } = toError(cause);
      return E.left({ _tag: "StoreFailed", operation: "save", path: store.location, code: name, message });
    });
}
