/**
 * The user's own codecs: their types, the options that take them, and codecs of classes.
 *
 * @module
 */
import * as t from "io-ts";
import type { Codec, Codecs, OwnCodecs, StateTree } from "./state/mod.ts";
import {
  aFunction,
  aName,
  codecWith,
  demand,
  ifGiven,
  listOfNamed,
  must,
  type OptionRules,
  recordOf,
  shown,
} from "./validation/mod.ts";
import { variablesToTensors } from "./tfjs/mod.ts";

// --- types

export type { Codec, Codecs };

/** No codecs: the default. */
export type NoCodecs = Readonly<Record<never, never>>;

/** The types that codecs decode to. */
export type Decoded<K> = { readonly [P in keyof K]: K[P] extends t.Type<infer A, infer _O, infer _I> ? A : never };

/** The type of components after a restore: a component with a codec has the type of the codec. */
export type Restored<C, K> = [keyof K] extends [never] ? C
  : { [P in keyof C]: P extends keyof K ? Decoded<K>[P] : C[P] };

/** Options of capturing and restoring. */
export interface Options<K extends Codecs = NoCodecs, T extends Codec = never> {
  /**
   * Codecs for components of your own types, by component name. They decide the type of the restored component.
   * @default {}
   */
  readonly codecs?: K;
  /**
   * Codecs for values of your own types, wherever they are. A value is captured by the first codec whose `is` accepts it. What the toolkit
   * captures by itself goes first: models, layers, optimizers, tensors and the toolkit's own values. {@link codecOf} makes a codec of a class.
   * @default []
   */
  readonly types?: readonly T[];
}

// --- constructors

/** What captures and restores: it decodes and encodes. */
const aCodec = codecWith("is", "validate", "encode");

/** The types of the options `codecs` and `types`. */
export const codecRules: OptionRules<Options> = {
  codecs: ifGiven(recordOf(aCodec, "a record of codecs by component name")),
  types: ifGiven(listOfNamed(aCodec, "an array of codecs with different names", (codec) => (codec as Codec).name)),
};

/** The user's codecs in options. */
export function ownCodecs({ codecs = {}, types = [] }: Options<Codecs, Codec>): OwnCodecs {
  return { codecs, types };
}

/** Codecs that encode variables as tensors: what a codec encodes is a value. */
export function encodingValues({ codecs, types }: OwnCodecs): OwnCodecs {
  const encoding = (codec: Codec): Codec =>
    new t.Type(codec.name, codec.is, codec.validate, (value) => variablesToTensors(codec.encode(value)) as StateTree);
  return {
    codecs: Object.fromEntries(Object.entries(codecs).map(([name, codec]) => [name, encoding(codec)])),
    types: types.map(encoding),
  };
}

/**
 * The codec of a class, for `options.types` and `options.codecs`: from a class to plain data and back.
 *
 * @param name Its name in checkpoints. Keep it when the class is renamed.
 * @param Class The class. Instances of subclasses are not its values: give each class a codec.
 * @param toPlain A value as plain data, tensors, and values of other codecs; variables are saved as their tensors. The same state must give
 *   the same data. Give the value's own tensors, not copies such as `tensor.clone()`: a restore sees from them which tensors the value holds.
 *   The value still owns them afterwards.
 * @param fromPlain The value of such data. It may keep the tensors that it receives: the value then owns them. A restore disposes those that
 *   the value does not hold. If `toPlain` gives copies, a restore cannot see that and disposes none: if `fromPlain` copies too, each restore
 *   leaks the tensors that it received. An error that it throws, or a result of another class, is a `Mismatch` at the
 *   value's path.
 * @returns The codec. A restore makes a new value, which is in the result: a live instance is not changed.
 *
 * Law *round trip*: one object under two names, also inside `toPlain`, comes back as one. An object that contains itself is a `TypeError`.
 *
 * @example
 * ```ts
 * import { captureState, codecOf, restoreState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * class Vocabulary {
 *   constructor(readonly words: ReadonlyMap<string, number>) {}
 * }
 * const types = [codecOf("Vocabulary", Vocabulary, ({ words }) => [...words], (words) => new Vocabulary(new Map(words)))];
 * const vocabulary = new Vocabulary(new Map([["dog", 0], ["ear", 1]]));
 * using snapshot = captureState({ text: { vocabulary, length: 7 } }, { types });
 * assert.deepEqual(restoreState(snapshot, { types }), { _tag: "Right", right: { text: { vocabulary, length: 7 } } });
 * ```
 */
export function codecOf<A extends object, P>(
  name: string,
  Class: { readonly prototype: A },
  toPlain: (value: A) => P,
  fromPlain: (plain: P) => A,
): t.Type<A, StateTree> {
  demand("the name of codecOf", aName, name);
  demand("the Class of codecOf", must("a class", (u) => typeof u === "function" && isObject(u.prototype)), Class);
  demand("toPlain of codecOf", aFunction, toPlain);
  demand("fromPlain of codecOf", aFunction, fromPlain);
  const is = (u: unknown): u is A => isObject(u) && Object.getPrototypeOf(u) === Class.prototype;
  return new t.Type<A, StateTree>(
    name,
    is,
    (plain, context) => {
      const value: unknown = fromPlain(plain as P);
      return is(value) ? t.success(value) : t.failure(plain, context, `what fromPlain returned: ${shown(value)}`);
    },
    (value) => toPlain(value) as StateTree,
  );
}

function isObject(u: unknown): u is object {
  return typeof u === "object" && u !== null;
}
