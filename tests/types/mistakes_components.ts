/**
 * Components that cannot be captured. Each comment has what compilers show first.
 *
 * @module
 */
import {
  type Capturable,
  captureState,
  codecOf,
  fit,
  fitDataset,
  Loader,
  loadState,
  memory,
  pipe,
  restoreInto,
  resume,
  Rng,
  saver,
  saveState,
  type Snapshot,
  train,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";

const store = memory();

class Counter {
  count = 1;
  next(): void {}
}
class Hidden {
  #count = 1;
  get count(): number {
    return this.#count;
  }
}
interface Best {
  readonly loss: number;
  readonly epochs: { readonly at: number }[];
}
interface Optional {
  readonly loss?: number;
}
interface Tree {
  readonly value: number;
  readonly left: Tree | null;
  readonly right: Tree | null;
}
interface Box<A> {
  readonly value: A;
  readonly inner: Box<Box<A>> | null;
}
interface WithFunction {
  readonly step: number;
  readonly best: Best | null;
  readonly onEnd: () => void;
}
interface WithMap {
  readonly deep: { readonly seen: Map<string, number> | null };
}
class OwnOptimizer extends tf.SGDOptimizer {
  seen = new Map<string, number>();
}

declare const best: Best;
declare const optional: Optional;
declare const tree: Tree;
declare const box: Box<number>;
declare const withFunction: WithFunction;
declare const withMap: WithMap;
declare const anything: unknown;
// deno-lint-ignore no-explicit-any -- it passes
declare const any: any;
declare const some: object;
declare const json: { readonly [name: string]: unknown };
declare const numbers: Record<string, number>;
declare const dataset: tf.data.Dataset<tf.TensorContainer>;

// --- what can be captured passes

const good = {
  ...{ best, tree, box, anything, any, some, json, numbers },
  model: tf.sequential(),
  layer: tf.layers.dense({ units: 1 }),
  optimizers: [tf.train.adam(), new OwnOptimizer(1)],
  variable: tf.variable(tf.scalar(1)),
  rng: Rng.make(1),
  bytes: new Float32Array(2),
  pair: [1, "a"] as readonly [number, string],
  never: [],
  big: 1n,
  literal: "a" as "a" | "b" | null,
};
/** The type is the components' own. */
function captured(): Snapshot<typeof good> {
  return captureState(good);
}
captured();
saveState(store)(json);
pipe(resume(store)(good), TE.flatMap((state) => saveState(store)(state)));
pipe(resume(store)(good), TE.flatMap(saveState(store)));
const counter = codecOf("Counter", Counter, ({ count }) => count, () => new Counter());
const hidden = codecOf("Hidden", Hidden, ({ count }) => count, () => new Hidden());
const dates = codecOf("Date", Date, Number, (n) => new Date(n));
saveState(store, { types: [counter, hidden, dates] })({ all: [new Counter(), { deep: new Hidden() }, new Date()] });
saveState(store, { codecs: { a: counter }, types: [hidden] })({ a: new Counter(), b: new Hidden() });
fit({ to: store, with: { seen: new Map([["a", new Set([1])]]), hidden: new Hidden() }, types: [hidden] });

/** A function of the user's own that takes any components. */
async function saveAll<S extends Capturable<S>>(state: S): Promise<S> {
  await saveState(store)(state);
  return await resume(store)(state);
}
saveAll(good).then((state: typeof good) => state);

// --- what cannot, does not

// @ts-expect-error: Type '() => number' is not assignable to type 'CannotCapture<"a function or a method: a class needs
captureState({ step: 1, onEnd: () => 1 });
// @ts-expect-error: Types of property 'onEnd' are incompatible. Type '() => void' is not assignable to type 'CannotCapture<
captureState(withFunction);
// @ts-expect-error: Types of property 'next' are incompatible. Type '() => void' is not assignable to type 'CannotCapture<
captureState({ counter: new Counter() });
// @ts-expect-error: in type 'Hidden' but required in type 'CannotCapture<"an instance of a class: give it a codec
captureState({ step: 1, hidden: new Hidden() });
// @ts-expect-error: in type 'Map<string, number>' but required in type 'CannotCapture<"an instance of a class
captureState({ step: 1, deep: [{ seen: new Map<string, number>() }] });
// @ts-expect-error: The types of 'deep.seen' are incompatible between these types.
captureState(withMap);
// @ts-expect-error: in type 'Date' but required in type 'CannotCapture<
captureState({ at: new Date() });
// @ts-expect-error: in type 'Promise<number>' but required in type 'CannotCapture<
captureState({ best: Promise.resolve(1) });
// @ts-expect-error: in type 'ArrayBuffer' but required in type 'CannotCapture<
captureState({ buffer: new ArrayBuffer(8) });
// @ts-expect-error: Type 'symbol' is not assignable to type 'CannotCapture<"a symbol">'
captureState({ id: Symbol("id") });
// @ts-expect-error: Type 'undefined' is not assignable to type 'CannotCapture<"undefined: write null">'
captureState({ best: undefined });
// @ts-expect-error: Type 'undefined' is not assignable to type 'number | CannotCapture<"undefined: write null">'
captureState({ best: 1 as number | undefined });
// @ts-expect-error: Type 'Optional' is not assignable to type 'Capturable<Optional, never, never>'. Types of property 'loss' are
captureState({ optional });
// @ts-expect-error: never>>, never>'. Type 'Optional' is not assignable to type 'Capturable<Optional, never, never>'. Types of property 'loss'
captureState(optional);
// @ts-expect-error: Type 'number' is not assignable to type 'CannotCapture<"an optional field: write null where it is absent">'
saveState(store)(optional);
// @ts-expect-error: Type 'number' is not assignable to type 'MustBe<"a record of components by name, such as { step: 1 }">'
captureState(5);
// @ts-expect-error: Type 'string' is not assignable to type 'MustBe<"a record of components by name, such as { step: 1 }">'
loadState(store)("step");
// @ts-expect-error: Type 'Dataset<TensorContainer>' is not assignable to type
captureState({ dataset });
// @ts-expect-error: in type 'Hidden' but required in type 'CannotCapture<
captureState({ a: new Counter(), b: new Hidden() }, { types: [counter] });
// @ts-expect-error: Type '() => number' is not assignable to type 'CannotCapture<
restoreInto({ onEnd: () => 1 });
// @ts-expect-error: Type '() => number' is not assignable to type 'CannotCapture<
saveState(store)({ onEnd: () => 1 });
// @ts-expect-error: Types of property 'onEnd' are incompatible.
saveState(store)(withFunction);
// @ts-expect-error: Types of property 'onEnd' are incompatible.
pipe(withFunction, saveState(store));
// @ts-expect-error: Types of property 'onEnd' are incompatible.
pipe(TE.right(withFunction), TE.flatMap(saveState(store)));
// @ts-expect-error: Type '() => number' is not assignable to type 'CannotCapture<
resume(store)({ onEnd: () => 1 });
// @ts-expect-error: Type 'undefined' is not assignable to type 'CannotCapture<
loadState(store)({ best: undefined });
// @ts-expect-error: Type '() => number' is not assignable to type 'CannotCapture<
saver(store).save({ onEnd: () => 1 });
// @ts-expect-error: Type '() => number' is not assignable to type 'CannotCapture<
fit({ to: store, with: { onEnd: () => 1 } });
// @ts-expect-error: in type 'Hidden' but required in type 'CannotCapture<
fitDataset({ to: store, with: { hidden: new Hidden() } });

// --- steps

const loader = pipe(Loader.fromArray([1, 2, 3]), Loader.batch(2));
interface State {
  readonly cursor: Loader.Cursor;
  readonly n: number;
}
// @ts-expect-error: Type 'number[]' is not assignable to type 'string[]'
train({ loader, step: (state: State, _batch: string[]) => state });
// @ts-expect-error: Property 'n' is missing in type
train({ loader, step: (state: State, _batch: number[]) => ({ cursor: state.cursor }) });
