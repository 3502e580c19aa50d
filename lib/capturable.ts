/**
 * What can be captured, as a type: a component that a capture would refuse is a compile error that names the field and the remedy.
 *
 * Types cannot tell everything that a capture refuses. Values of type `unknown`, `any` or `object` pass, and so does an instance of a class
 * that has public fields alone; a capture finds these when it runs.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type * as t from "io-ts";
import type { Decoded } from "./codecs.ts";
import type { Loader } from "./loader/mod.ts";
import type { Scalar, TypedArray } from "./state/mod.ts";
import type { Rng, Scaler, Schedule } from "./values/mod.ts";

// --- types

/** Named parts of a training run: a record, or a value of an `interface`. */
export type Components = object;

/** The type of a component that cannot be captured: no value has it, and compilers print what is wrong. */
export interface CannotCapture<Found extends string> {
  /** What is wrong with the component. */
  readonly "cannot be captured": Found;
}

/** Any object. The `valueOf` of a number, string or boolean gives no object; compilers then print what is expected. */
interface MustBe<Expected extends string> {
  readonly valueOf: (mustBe?: Expected) => object;
}

/** What is captured without a codec, apart from lists and records. */
type Known =
  | Scalar
  | TypedArray
  | tf.Tensor
  | tf.Optimizer
  | tf.LayersModel
  | tf.layers.Layer
  | Rng.Rng
  | Loader.Cursor
  | Schedule.Schedule
  | Scaler.Scaler;

type AnyFunction = ((...args: never) => unknown) | (abstract new (...args: never) => unknown);

// deno-lint-ignore no-explicit-any -- a map accepts keys, so that only `any` accepts the keys of every map
export type MapOrSet = ReadonlyMap<any, unknown> | ReadonlySet<any>;

/** Classes of the language: their private fields are not in their types. */
type BuiltIn =
  | MapOrSet
  | Date
  | RegExp
  | Error
  | PromiseLike<unknown>
  | WeakKey & { readonly [Symbol.toStringTag]: string };

/** The same fields as a record: a class with private fields does not accept it. */
type Fields<V> = { [P in keyof V]: V[P] };

type NeedsCodec = "an instance of a class: give it a codec in options.types, see codecOf";

/** @internal */
type Part<V, T> = unknown extends V ? V
  : V extends Known | T ? V
  : V extends undefined ? CannotCapture<"undefined: write null">
  : V extends symbol ? CannotCapture<"a symbol">
  : V extends AnyFunction ? CannotCapture<"a function or a method: a class needs a codec in options.types, see codecOf">
  : V extends readonly unknown[]
    ? number extends V["length"] ? readonly Part<V[number], T>[] : { readonly [P in keyof V]: Part<V[P], T> }
  : V extends BuiltIn ? CannotCapture<NeedsCodec>
  : Fields<V> extends V ? Capturable<V, never, T>
  : CannotCapture<NeedsCodec>;

/**
 * Whether a named field may be absent; an index signature is no such field.
 *
 * @internal
 */
type MayBeAbsent<V, P extends keyof V> = Record<never, never> extends Record<P, 1> ? false
  : Record<never, never> extends Pick<V, P> ? true
  : false;

/**
 * The components `C` as far as they can be captured: what cannot has the type {@link CannotCapture}. An optional field also has `undefined`,
 * without which compilers advise to add it. A function that takes any components has the constraint `<C extends Capturable<C>>`.
 *
 * @typeParam Coded The names of the components that have codecs of their own.
 * @typeParam T The types of values that are recognised by codecs at any depth.
 */
export type Capturable<C, Coded = never, T = never> = {
  readonly [P in keyof C]: P extends Coded ? C[P]
    : MayBeAbsent<C, P> extends true ? CannotCapture<"an optional field: write null where it is absent"> | undefined
    : Part<C[P], T>;
};

/** The values of codecs. */
export type ValueOf<T> = T extends t.Type<infer A, infer _O, infer _I> ? A : never;

/**
 * What the components `C` must be, with the codecs `K` by component name and `T` for values at any depth.
 *
 * @internal
 */
export type Given<C, K, T> =
  & MustBe<"a record of components by name, such as { step: 1 }">
  & ([keyof K] extends [never] ? unknown : Decoded<K>)
  & Capturable<C, keyof K, ValueOf<T>>;
