/**
 * Snapshots: the state of a training run as an immutable value. Start reading here.
 *
 * - {@link captureState} turns named components into a tree. Plain data becomes plain nodes; any other object is captured by the first of the
 *   `kinds` (`kinds.ts`) or of the user's codecs (`codecs.ts`) that recognises it. Tensors are held by reference, so no data is copied.
 * - {@link restoreState} builds new objects from the tree. {@link restoreInto} writes it into live objects. If only some parts are wanted, the
 *   saved tree is first merged into the tree of the live objects.
 * - {@link id} is a digest of the tree, {@link diff} compares two trees, and {@link release} frees what a snapshot holds.
 *
 * The work on trees is in `state/`, what is special to TensorFlow.js in `tfjs/`. A checkpoint is a snapshot in a store; see `run/`.
 *
 * Laws:
 * - *round trip*: `restoreState(captureState(c))` is observably `c`: every later step gives the same bits;
 * - *no trace*: capturing changes nothing, and uses no memory except what it keeps from being freed;
 * - *immutable*: training never changes a snapshot, and two restores of one snapshot are independent;
 * - *all or nothing*: a restore that fails leaves every live object bit for bit as it was;
 * - *canonical*: the same state has the same {@link id}.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as tf from "@tensorflow/tfjs";
import {
  type Codec,
  codecRules,
  type Codecs,
  encodingValues,
  type NoCodecs,
  type Options,
  ownCodecs,
  type Restored,
} from "./codecs.ts";
import {
  capture,
  type Differences,
  differences,
  type Encoded,
  type Held,
  type Overridden,
  type OwnCodecs,
  restore,
  segment,
  stateId,
} from "./state/mod.ts";
import { explain, mismatch, type RestoreError } from "./errors/mod.ts";
import type { IOEither } from "fp-ts/lib/IOEither.js";
import { awaitable, type AwaitableIO, type AwaitableIOEither, type AwaitableTask } from "./task.ts";
import {
  checkSelection,
  isPartial,
  merge,
  type Merged,
  noParts,
  type RestoredParts,
  type Selection,
  selectionNames,
} from "./state/partial/mod.ts";
import type { Given } from "./capturable.ts";
import { kinds } from "./kinds.ts";
import {
  aFunction,
  checkCurried,
  checkOptionNames,
  checkOptions,
  demandEach,
  foundOrAwait,
  ifGiven,
  isPlainRecord,
  type OptionRules,
} from "./validation/mod.ts";
import { disposeOnFailure, memoryProblem } from "./tfjs/mod.ts";

// --- types

/** Records the type of the captured components; no snapshot has this property. */
declare const Captured: unique symbol;

/** The state of named components at one moment, as an immutable value. */
export interface Snapshot<out C> {
  /** Tells a snapshot from other values. */
  readonly _tag: "Snapshot";
  /**
   * The type of the captured components. No value has this property.
   *
   * @internal
   */
  readonly [Captured]?: () => C;
  /** The tree of the captured components. */
  readonly encoded: Encoded;
  /** The arrays that the tree refers to. */
  readonly hold: Hold;
  /** Releases the snapshot at the end of a `using` block. */
  [Symbol.dispose](): void;
}

/**
 * The arrays that a snapshot keeps from being freed, until it is released.
 *
 * @internal
 */
interface Hold {
  released: boolean;
  readonly arrays: readonly Held[];
}

/** Options of restoring into live components. */
export interface RestoreOptions<K extends Codecs = NoCodecs, T extends Codec = never> extends Options<K, T>, Selection {
  /**
   * Receives, after a successful restore, what was done with each part, and the plain values of the script that the restore replaced
   * ({@link Overridden}).
   */
  readonly onReport?: (report: { readonly parts: RestoredParts; readonly overridden: readonly Overridden[] }) => void;
}

const intoRules: OptionRules<Omit<RestoreOptions, keyof Selection>> = { ...codecRules, onReport: ifGiven(aFunction) };

// --- constructors

function releaseArrays(hold: Hold): void {
  if (hold.released) return;
  hold.released = true;
  for (const array of hold.arrays) array.home.release(array);
}

/** Releases the arrays of snapshots that were garbage collected without a release. */
const unreachable = new FinalizationRegistry<Hold>(releaseArrays);

/** A snapshot of captured components. It owns the arrays that they hold. */
export function snapshotOf<C>(encoded: Encoded, arrays: readonly Held[]): Snapshot<C> {
  const hold: Hold = { released: false, arrays };
  const snapshot: Snapshot<C> = Object.freeze({
    _tag: "Snapshot",
    encoded,
    hold,
    [Symbol.dispose]: () => releaseArrays(hold),
  });
  unreachable.register(snapshot, hold);
  return snapshot;
}

/** Rejects with a `TypeError` what is not a snapshot. */
export function checkSnapshot(name: string, snapshot: Snapshot<unknown>): void {
  if (Object(snapshot)._tag === "Snapshot" && Object(snapshot.hold) === snapshot.hold) return;
  throw new TypeError(
    `Expected ${name} to be given a snapshot of captureState or readSnapshot, found ${foundOrAwait(snapshot)}`,
  );
}

// --- capture

/**
 * Captures named components as an immutable value. It is synchronous, takes O(number of tensors), and copies no tensor data on any backend.
 *
 * @param components A record of models, optimizers, variables, tensors, values of this toolkit and plain data, at any depth.
 * @param options Codecs of your own types: `types` for values at any depth, `codecs` for components by name.
 * @returns The snapshot. It holds tfjs buffers until it is released.
 * @throws TypeError naming the path of what cannot be captured: a function, a symbol, undefined, an instance of a class without a codec, a
 *   cycle, a computed or non-enumerable property, a named property of an array, a second view of the same bytes, a disposed tensor, a
 *   component name that is empty or has a lone surrogate.
 * @throws Error with the cause `DeviceFailed` if WebGPU is known to have rejected the operation that computed a tensor.
 *
 * Laws: *no trace*, *immutable*, *round trip*.
 *
 * @example
 * ```ts
 * import { captureState, restoreState } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const state = { w: tf.variable(tf.scalar(1)), step: 3 };
 * using snapshot = captureState(state);
 * state.w.assign(tf.scalar(2));
 * const restored = restoreState(snapshot);
 * assert(restored._tag === "Right");
 * assert.equal(restored.right.w.dataSync()[0], 1);
 * assert.equal(restored.right.step, 3);
 * ```
 */
export function captureState<C extends Given<C, K, T>, K extends Codecs = NoCodecs, T extends Codec = never>(
  components: C,
  options: Options<K, T> = {},
): Snapshot<Restored<C, K>> {
  checkOptions("captureState", options, codecRules);
  const held: Held[] = [];
  // Disposes of the tensors that codecs make while they encode; held data stays.
  tf.engine().startScope("captureState");
  try {
    return snapshotOf(capture(components, kinds, encodingValues(ownCodecs(options)), held), held);
  } finally {
    tf.engine().endScope();
  }
}

// --- restore

type Restoring<A = Record<string, unknown>> = E.Either<RestoreError, A>;

/** Does something with the tree of a snapshot, unless the snapshot was released. */
function withEncoded<A>(snapshot: Snapshot<unknown>, run: (encoded: Encoded) => Restoring): Restoring<A> {
  return (snapshot.hold.released ? E.left({ _tag: "Released" }) : run(snapshot.encoded)) as Restoring<A>;
}

/**
 * Restores a tree, into live components if there are any, otherwise as new objects. On failure, disposes of the tensors that were made for it.
 *
 * @param problems What the merge of a partial restore has already found.
 * @param overrides Receives what the restore replaces.
 */
function restoreTree(
  encoded: Encoded,
  own: OwnCodecs,
  live?: Record<string, unknown>,
  problems: Merged["problems"] = [],
  overrides?: Overridden[],
): Restoring {
  const full = memoryProblem(encoded, live === undefined);
  if (full !== undefined) return E.left(mismatch([full]));
  const restored = disposeOnFailure(() => restore(encoded, { kinds, own, live, problems, overrides }), E.isLeft);
  return pipe(restored, E.mapLeft(mismatch));
}

/** Restores a tree into live components and reports it. A partial restore first merges the tree into that of the live components. */
function restoreLive(
  encoded: Encoded,
  live: Record<string, unknown>,
  { codecs = {}, types = [], onReport, ...selection }: RestoreOptions<Codecs, Codec>,
): Restoring {
  const own: OwnCodecs = { codecs, types };
  const restoreMerged = ({ encoded, problems, parts }: Merged): Restoring => {
    const overridden: Overridden[] = [];
    const restored = restoreTree(encoded, own, live, problems, onReport && overridden);
    if (E.isRight(restored)) onReport?.({ parts, overridden });
    return restored;
  };
  if (!isPartial(selection)) {
    return restoreMerged({ encoded, problems: [], parts: { ...noParts, restored: Object.keys(live).map(segment) } });
  }
  const captured = E.tryCatch(() => captureState(live, own), E.toError);
  if (E.isLeft(captured)) {
    const expected = "components in your script that can be captured, because some of them are kept";
    const remedy = "Leave out what cannot be captured, or pass a codec for it";
    return E.left(mismatch([{ path: "", kind: "kind", expected, found: captured.left.message, remedy }]));
  }
  using snapshot = captured.right;
  return restoreMerged(merge(encoded, snapshot.encoded, kinds, selection));
}

/**
 * Builds new, independent components from a snapshot.
 *
 * @param snapshot A snapshot of {@link captureState} or `readSnapshot`.
 * @param options The codecs that it was captured with.
 * @returns The components; or a `Mismatch` with everything that cannot be rebuilt (a layer class that is not registered, a custom loss,
 *   sharing inside a wrapper); or `Released`.
 *
 * Laws: *round trip*, *immutable*: two restores share nothing that training changes.
 *
 * @example
 * ```ts
 * import { captureState, restoreState, Rng } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * using snapshot = captureState({ rng: Rng.make(42), history: [0.5] });
 * const [a, b] = [restoreState(snapshot), restoreState(snapshot)];
 * assert.deepEqual(a, b);
 * ```
 */
export function restoreState<C, K extends Codecs = NoCodecs, T extends Codec = never>(
  snapshot: Snapshot<C>,
  options: Options<K, T> = {},
): E.Either<RestoreError, Restored<C, K>> {
  checkSnapshot("restoreState", snapshot);
  checkOptions("restoreState", options, codecRules);
  return withEncoded(snapshot, (encoded) => restoreTree(encoded, ownCodecs(options)));
}

/**
 * Restores a snapshot into live components: models, optimizers and variables in place, everything else as new values.
 *
 * The snapshot of a checkpoint, by number or the best, is that of `readSnapshot`.
 *
 * @param live The components as a script builds them, with the captured names. The result has a new tensor in place of a live one, which
 *   stays yours to dispose of, and a new instance in place of one of your own types.
 * @param options The codecs of the capture, which parts to restore ({@link Selection}), and a callback for the report.
 * @returns For a snapshot, an effect that returns the components, in the snapshot's order of names; or a `Mismatch` with every difference
 *   (missing or extra components, kinds, classes, configurations, dtypes, shapes, sharing, data of another length); or `Released`.
 *
 * Law *all or nothing*: after a left, every live object is bit for bit as it was.
 *
 * @example
 * ```ts
 * import { captureState, restoreInto } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const live = { w: tf.variable(tf.scalar(1)) };
 * using snapshot = captureState(live);
 * live.w.assign(tf.scalar(2));
 * assert.equal(restoreInto(live)(snapshot)()._tag, "Right");
 * assert.equal(live.w.dataSync()[0], 1);
 *
 * // Resumes with another learning rate, and with a component that the snapshot does not have.
 * using run = captureState({ optimizer: tf.train.adam(0.1), step: 7 });
 * const changed = { optimizer: tf.train.adam(0.01), step: 0, best: Infinity };
 * const restored = restoreInto(changed, {
 *   keep: ["optimizer/learningRate", "best"],
 *   onReport: ({ parts }) => assert.deepEqual(parts.kept, ["optimizer/config/learningRate", "best"]),
 * })(run)();
 * assert(restored._tag === "Right");
 * assert.equal(restored.right.step, 7);
 * ```
 */
export function restoreInto<C extends Given<C, K, T>, K extends Codecs = NoCodecs, T extends Codec = never>(
  live: C,
  options: RestoreOptions<K, T> = {},
): (snapshot: Snapshot<unknown>) => AwaitableIOEither<RestoreError, Restored<C, K>> {
  checkCurried(arguments, 2, "restoreInto(live, options)(snapshot)");
  if (!isPlainRecord(live)) {
    throw new TypeError(`Expected a record of named components to restore into, found ${foundOrAwait(live)}`);
  }
  checkOptionNames("restoreInto", options, { ...intoRules, ...selectionNames });
  demandEach(intoRules, options);
  checkSelection(options, live);
  return (snapshot) => {
    checkSnapshot("restoreInto(live)", snapshot);
    const restore: IOEither<RestoreError, Restored<C, K>> = () =>
      withEncoded(snapshot, (encoded) => restoreLive(encoded, live, options));
    return awaitable(restore);
  };
}

// --- combinators

/** The tree of a snapshot; a `TypeError` if the snapshot was released. */
function encodedOrThrow({ hold, encoded }: Snapshot<unknown>): Encoded {
  if (hold.released) throw new TypeError(explain({ _tag: "Released" }));
  return encoded;
}

/**
 * The digest of a state: 64 hexadecimal digits, the same for the same state in every runtime and process.
 *
 * @param snapshot A snapshot. If it is released before the task is done, the task rejects with a `TypeError`.
 * @returns A task, because a GPU is read asynchronously. It rejects with an `Error` with the cause `DeviceFailed` if WebGPU rejected an
 *   operation or cannot be read.
 *
 * Law *canonical*: the digest does not depend on names that tfjs generated, on initializers, on the order of names in a record, or on time and
 * machine.
 *
 * @example
 * ```ts
 * import { captureState, id } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(await id(captureState({ a: 1, b: [0] })), await id(captureState({ b: [0], a: 1 })));
 * assert.notEqual(await id(captureState({ a: 0 })), await id(captureState({ a: -0 })));
 * ```
 */
export function id(snapshot: Snapshot<unknown>): AwaitableTask<string> {
  checkSnapshot("id", snapshot);
  return awaitable(async (): Promise<string> => await stateId(encodedOrThrow(snapshot))());
}

/**
 * Lists where two states differ, by bits.
 *
 * @param a The left snapshot.
 * @param b The right snapshot. If one is released before the task is done, the task rejects with a `TypeError`.
 * @returns A task of the differences, empty if the states are equal. For a tensor they say how many elements differ, and the largest
 *   difference. It rejects as the task of {@link id} does.
 *
 * @example
 * ```ts
 * import { captureState, diff } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const [a, b] = [captureState({ w: tf.tensor([1, 2, 3]) }), captureState({ w: tf.tensor([1, 2, 5]) })];
 * assert.deepEqual(await diff(a, b), [{ path: "w", kind: "value", count: 1, largest: 2 }]);
 * ```
 */
export function diff(a: Snapshot<unknown>, b: Snapshot<unknown>): AwaitableTask<Differences> {
  checkSnapshot("diff, as a,", a);
  checkSnapshot("diff, as b,", b);
  return awaitable(async (): Promise<Differences> => await differences(encodedOrThrow(a), encodedOrThrow(b))());
}

/**
 * Releases what a snapshot holds. Using it afterwards is an error.
 *
 * @param snapshot A snapshot; a second release does nothing. `using` and `snapshot[Symbol.dispose]()` do the same.
 * @returns An effect.
 *
 * Law *no trace*: afterwards `tf.memory()` is as before the capture.
 *
 * @example
 * ```ts
 * import { captureState, release, restoreState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const snapshot = captureState({ step: 1 });
 * release(snapshot)();
 * assert.deepEqual(restoreState(snapshot), { _tag: "Left", left: { _tag: "Released" } });
 * ```
 */
export function release(snapshot: Snapshot<unknown>): AwaitableIO<void> {
  checkSnapshot("release", snapshot);
  return awaitable((): void => releaseArrays(snapshot.hold));
}
