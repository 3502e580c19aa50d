/**
 * The heart: a training run captured as an immutable value, and brought back from it.
 *
 * Laws:
 * - *round trip*: `restoreState(captureState(c))` is observably `c`: every later step gives the same bits;
 * - *no trace*: capturing changes nothing, and costs no memory but what it keeps from being freed;
 * - *immutable*: training on never changes a snapshot, and two restores of one are independent;
 * - *all or nothing*: a restore that fails leaves every live object bit for bit as it was;
 * - *canonical*: the same state has the same {@link id}.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { IO } from "fp-ts/lib/IO.js";
import type { IOEither } from "fp-ts/lib/IOEither.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as tf from "@tensorflow/tfjs";
import * as t from "io-ts";
import { type Differences, differences } from "./compare.ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import { aFunction, demand, ifGiven, ioTs, isPlainRecord, must, shown } from "./rules.ts";
import { problemsOfRestore, restore } from "./decode.ts";
import { capture, type Encoded } from "./encode.ts";
import { graft, type Grafted } from "./graft.ts";
import { kinds } from "./kinds.ts";
import { asks, checkSelection, noParts, type Parts, type Selection, selectionNames } from "./selection.ts";
import { type Mismatch, mismatch, type RestoreError } from "./errors.ts";
import { explain } from "./explain.ts";
import type { Overridden } from "./overridden.ts";
import { stateId } from "./state_id.ts";
import { isBranch, type Node, nodesByPath, segment, type StateTree } from "./state_tree.ts";
import { type Held, isDType } from "./tensor.ts";
import { roomProblem } from "./tfjs/backend.ts";
import { undoing, valuesIn } from "./tfjs/tensor.ts";

// --- types

/** A record of named parts of a training run; an `interface` will do. */
export type Components = object;

/** The user's own codecs, by component name. */
// deno-lint-ignore no-explicit-any -- a codec's type is invariant, so `unknown` would refuse every codec there is
export type Codecs = { readonly [name: string]: t.Type<any, StateTree> };

/** No codecs: the default. */
export type NoCodecs = Readonly<Record<never, never>>;

/** What codecs decode to. */
export type Decoded<K> = { readonly [P in keyof K]: K[P] extends t.Type<infer A, infer _O, infer _I> ? A : never };

/** The type of components after a restore: a component with a codec has the codec's type. */
export type Restored<C, K> = [keyof K] extends [never] ? C
  : { [P in keyof C]: P extends keyof K ? Decoded<K>[P] : C[P] };

/** Options of capturing and restoring. */
export interface Options<K extends Codecs = NoCodecs> {
  /**
   * Codecs for components of the user's own types, by component name.
   * @default {}
   */
  readonly codecs?: K;
}

/** Options of restoring into live components. */
export interface RestoreOptions<K extends Codecs = NoCodecs> extends Options<K>, Selection {
  /**
   * Receives, after a restore that succeeds, what became of each part; and what the script had otherwise than the snapshot, which won
   * ({@link Overridden}).
   */
  readonly onReport?: (report: { readonly parts: Parts; readonly overridden: readonly Overridden[] }) => void;
}

/** What a snapshot holds until it is released. */
interface Hold {
  released: boolean;
  readonly arrays: readonly Held[];
}

declare const Captured: unique symbol;

/** The state of named components at one instant, as an immutable value. */
export interface Snapshot<out C> {
  readonly _tag: "Snapshot";
  readonly [Captured]?: () => C;
  /** The encoded components. */
  readonly encoded: Encoded;
  readonly hold: Hold;
  /** Releases it, so that `using` works. */
  [Symbol.dispose](): void;
}

const codecNames = { codecs: true } satisfies OptionNames<Options>;
const intoNames = { ...codecNames, ...selectionNames, onReport: true } satisfies OptionNames<RestoreOptions>;

// --- constructors

/** Sees that codecs are codecs of io-ts, by component name. */
export function checkCodecs(codecs: Codecs | undefined): void {
  if (codecs === undefined) return;
  demand("codecs", must("a record of codecs by component name", isPlainRecord), codecs);
  for (const [name, codec] of Object.entries(codecs)) demand(`codecs.${name}`, ioTs("is", "validate", "encode"), codec);
}

/** The codecs alone of what a runner was told. */
export function codecsOf<K extends Codecs>({ codecs }: Options<K>): Options<K> {
  checkCodecs(codecs);
  return codecs === undefined ? {} : { codecs };
}

/** Sees that this is a snapshot; it is a `TypeError` if not. */
export function checkSnapshot(name: string, snapshot: Snapshot<unknown>): void {
  if (Object(snapshot)._tag === "Snapshot" && Object(snapshot.hold) === snapshot.hold) return;
  throw new TypeError(
    `Expected ${name} to be given a snapshot of captureState or readSnapshot, found ${shown(snapshot)}`,
  );
}

/** The codecs, to which a variable in what they encode is a tensor. */
function valued(codecs: Codecs): Codecs {
  const one = ([name, codec]: readonly [string, Codecs[string]]): readonly [string, Codecs[string]] => [
    name,
    new t.Type(codec.name, codec.is, codec.validate, (value) => valuesIn(codec.encode(value)) as StateTree),
  ];
  return Object.fromEntries(Object.entries(codecs).map(one));
}

/** Lets go of what a forgotten snapshot holds, some time after it was collected. */
const forgotten = new FinalizationRegistry<Hold>(letGo);

function letGo(hold: Hold): void {
  if (hold.released) return;
  hold.released = true;
  for (const array of hold.arrays) array.home.release(array);
}

/** A snapshot of encoded components, which owns what they hold. */
export function snapshotOf<C>(encoded: Encoded, arrays: readonly Held[]): Snapshot<C> {
  const hold: Hold = { released: false, arrays };
  const snapshot: Snapshot<C> = Object.freeze({
    _tag: "Snapshot",
    encoded,
    hold,
    [Symbol.dispose]: () => letGo(hold),
  });
  forgotten.register(snapshot, hold);
  return snapshot;
}

// --- capture and restore

/**
 * Captures named components as an immutable value: synchronous, O(number of tensors), and no tensor data is copied on any backend.
 *
 * @param components A record of models, optimizers, variables, tensors, the toolkit's own values and plain data, at any depth.
 * @param options Codecs for components of the user's own types.
 * @returns The snapshot; it holds tfjs buffers until it is released.
 * @throws TypeError naming the path of what cannot be captured: a function, a symbol, undefined, an instance of a class that no codec
 *   knows, a cycle, a property that is computed or not enumerable, a name beside the items of an array, a second view of the same bytes, a
 *   disposed tensor, a component name that is empty or has a lone surrogate.
 * @throws Error with the cause `DeviceFailed` where WebGPU is known to have refused the operation that a tensor comes from.
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
export function captureState<C extends Components & Decoded<K>, K extends Codecs = NoCodecs>(
  components: C,
  options: Options<K> = {},
): Snapshot<Restored<C, K>> {
  checkOptionNames("captureState", options, codecNames);
  checkCodecs(options.codecs);
  const held: Held[] = [];
  // Tensors that a codec makes to encode are let go at the end; what is held stays.
  tf.engine().startScope("captureState");
  try {
    return snapshotOf(capture(components, kinds, valued(options.codecs ?? {}), held), held);
  } finally {
    tf.engine().endScope();
  }
}

function decode(
  snapshot: Snapshot<unknown>,
  codecs: Codecs,
  live?: Record<string, unknown>,
  { encoded, problems }: Pick<Grafted, "encoded" | "problems"> = { encoded: snapshot.encoded, problems: [] },
  overrides?: Overridden[],
): Either<RestoreError, Record<string, unknown>> {
  if (snapshot.hold.released) return E.left({ _tag: "Released" });
  const full = roomProblem(encoded, live === undefined);
  if (full !== undefined) return E.left(mismatch([full]));
  const restored = undoing(
    () => restore(encoded, { kinds, codecs, live, problems, overrides }),
    E.isLeft,
  );
  return pipe(restored, E.mapLeft(mismatch));
}

/**
 * What is known to be wrong with a state for live components from its manifest alone: where the shape or dtype of a tensor differs, everything
 * that can be known without the bytes.
 *
 * @param live The live components.
 * @param options As for {@link restoreInto}.
 * @param encoded The state, whose arrays have no bytes.
 */
export function foreseen(
  live: object,
  { codecs = {}, convert, ...selection }: Options<Codecs> & Selection,
  encoded: Encoded,
): Mismatch | undefined {
  if (convert !== undefined) return undefined;
  const captured = E.tryCatch(() => captureState(live, { codecs }), E.toError);
  if (E.isLeft(captured)) return undefined;
  using kept = captured.right;
  const held = (node: Node | undefined): Held | undefined =>
    node !== undefined && isBranch(node) && node.is === "array" && isDType(node.held.element) ? node.held : undefined;
  const ours = nodesByPath(kept.encoded.components);
  const differs = [...nodesByPath(encoded.components)].some(([path, node]) => {
    const [a, b] = [held(ours.get(path)), held(node)];
    return a !== undefined && b !== undefined && (a.element !== b.element || String(a.shape) !== String(b.shape));
  });
  if (!differs) return undefined;
  const grafted = asks(selection) ? graft(encoded, kept.encoded, kinds, selection) : { encoded, problems: [] };
  const { problems } = grafted;
  const found = undoing(
    () => problemsOfRestore(grafted.encoded, { kinds, codecs, live: live as Record<string, unknown>, problems }),
    () => true,
  );
  // What only the bytes can tell is not asked yet.
  const known = found.filter(({ kind }) => !["length", "memory", "value", "format", "digest"].includes(kind));
  return known.some(({ kind }) => kind === "shape" || kind === "dtype") ? mismatch(known) : undefined;
}

/** Restores into live components what is selected of a snapshot, and tells what became of the rest. */
function decodeParts(
  snapshot: Snapshot<unknown>,
  live: Record<string, unknown>,
  { codecs = {}, onReport, ...selection }: RestoreOptions<Codecs>,
): Either<RestoreError, Record<string, unknown>> {
  if (snapshot.hold.released) return E.left({ _tag: "Released" });
  const overridden: Overridden[] = [];
  const overrides = onReport && overridden;
  if (!asks(selection)) {
    const restored = decode(snapshot, codecs, live, undefined, overrides);
    const parts = { ...noParts, restored: Object.keys(live).map(segment) };
    if (E.isRight(restored)) onReport?.({ parts, overridden });
    return restored;
  }
  const captured = E.tryCatch(() => captureState(live, { codecs }), E.toError);
  if (E.isLeft(captured)) {
    const expected = "live components that can be captured, for some of them are to be kept";
    return E.left(mismatch([{ path: "", kind: "kind", expected, found: captured.left.message }]));
  }
  using kept = captured.right;
  const grafted = graft(snapshot.encoded, kept.encoded, kinds, selection);
  const restored = decode(snapshot, codecs, live, grafted, overrides);
  if (E.isRight(restored)) onReport?.({ parts: grafted.parts, overridden });
  return restored;
}

/**
 * Fresh, independent components from a snapshot.
 *
 * @param snapshot What {@link captureState} or `readSnapshot` gave.
 * @param options The codecs it was captured with.
 * @returns The components; or a `Mismatch` that lists everything that cannot be rebuilt (a layer class that is not registered, a custom
 *   loss, sharing inside a wrapper), or `Released`.
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
export function restoreState<C, K extends Codecs = NoCodecs>(
  snapshot: Snapshot<C>,
  options: Options<K> = {},
): Either<RestoreError, Restored<C, K>> {
  checkSnapshot("restoreState", snapshot);
  checkOptionNames("restoreState", options, codecNames);
  checkCodecs(options.codecs);
  return decode(snapshot, options.codecs ?? {}) as Either<RestoreError, Restored<C, K>>;
}

/**
 * Restores a snapshot into live components: models, optimizers and variables in place, everything else as new values.
 *
 * @param live The components as a script builds them, with the names that were captured. A live tensor is replaced in the result and stays
 *   the caller's to dispose.
 * @param options The codecs it was captured with; what to restore differently, see {@link Selection}; whom to tell more.
 * @returns For a snapshot, an effect that gives the components, in the snapshot's order of names; or a `Mismatch` that lists every
 *   difference (missing or extra components, kinds, classes, configurations, dtypes, shapes, sharing, data of another length), or `Released`.
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
 * // A run that goes on with another learning rate, and with a component that the snapshot does not have.
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
export function restoreInto<C extends Components & Decoded<K>, K extends Codecs = NoCodecs>(
  live: C,
  options: RestoreOptions<K> = {},
): (snapshot: Snapshot<unknown>) => IOEither<RestoreError, Restored<C, K>> {
  if (!isPlainRecord(live)) {
    throw new TypeError(`Expected a record of named components to restore into, found ${shown(live)}`);
  }
  checkOptionNames("restoreInto", options, intoNames);
  checkCodecs(options.codecs);
  demand("onReport", ifGiven(aFunction), options.onReport);
  checkSelection(options, live);
  return (snapshot) => {
    checkSnapshot("restoreInto(live)", snapshot);
    return () => decodeParts(snapshot, live, options) as Either<RestoreError, Restored<C, K>>;
  };
}

// --- combinators

function held(snapshot: Snapshot<unknown>): Encoded {
  if (snapshot.hold.released) throw new TypeError(explain({ _tag: "Released" }));
  return snapshot.encoded;
}

/**
 * The digest of a state: 64 hexadecimal digits that are the same for the same state in every runtime and process.
 *
 * @param snapshot A snapshot that is not released until the task is done; otherwise the task rejects with a `TypeError`.
 * @returns A task, because a GPU is read asynchronously. It rejects with an `Error` that names the cause, a `DeviceFailed`, where WebGPU refused
 *   an operation or cannot be read.
 *
 * Law *canonical*: names that tfjs made up, initializers and the order of names in a record are not in it; nor are time and machine.
 *
 * @example
 * ```ts
 * import { captureState, id } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(await id(captureState({ a: 1, b: [0] }))(), await id(captureState({ b: [0], a: 1 }))());
 * assert.notEqual(await id(captureState({ a: 0 }))(), await id(captureState({ a: -0 }))());
 * ```
 */
export function id(snapshot: Snapshot<unknown>): Task<string> {
  checkSnapshot("id", snapshot);
  return async () => await stateId(held(snapshot))();
}

/**
 * Every place at which two states differ, by bits.
 *
 * @param a A snapshot, the left one.
 * @param b Another, the right one. Neither may be released until the task is done; otherwise it rejects with a `TypeError`.
 * @returns A task of the differences, empty when the states are equal; a tensor's tell how many elements differ and by how much at most. It
 *   rejects as that of {@link id} does.
 *
 * @example
 * ```ts
 * import { captureState, diff } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const [a, b] = [captureState({ w: tf.tensor([1, 2, 3]) }), captureState({ w: tf.tensor([1, 2, 5]) })];
 * assert.deepEqual(await diff(a, b)(), [{ path: "w", kind: "value", count: 1, largest: 2 }]);
 * ```
 */
export function diff(a: Snapshot<unknown>, b: Snapshot<unknown>): Task<Differences> {
  checkSnapshot("diff, as a,", a);
  checkSnapshot("diff, as b,", b);
  return async () => await differences(held(a), held(b))();
}

/**
 * Releases what a snapshot holds; using it afterwards is an error.
 *
 * @param snapshot Any snapshot; releasing one twice does nothing. `using` and `snapshot[Symbol.dispose]()` do the same.
 * @returns An effect.
 *
 * Law *no trace*: afterwards all of `tf.memory()` is as before the capture.
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
export function release(snapshot: Snapshot<unknown>): IO<void> {
  checkSnapshot("release", snapshot);
  return () => letGo(snapshot.hold);
}
