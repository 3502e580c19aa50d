/**
 * The user's own codecs: their types, and how a capture uses them.
 *
 * @module
 */
import * as t from "io-ts";
import type { Codecs, StateTree } from "./state/mod.ts";
import { codecWith, ifGiven, recordOf, type Rule } from "./validation/mod.ts";
import { variablesToTensors } from "./tfjs/mod.ts";

// --- types

export type { Codecs };

/** No codecs: the default. */
export type NoCodecs = Readonly<Record<never, never>>;

/** The types that codecs decode to. */
export type Decoded<K> = { readonly [P in keyof K]: K[P] extends t.Type<infer A, infer _O, infer _I> ? A : never };

/** The type of components after a restore: a component with a codec has the type of the codec. */
export type Restored<C, K> = [keyof K] extends [never] ? C
  : { [P in keyof C]: P extends keyof K ? Decoded<K>[P] : C[P] };

/** Options of capturing and restoring. */
export interface Options<K extends Codecs = NoCodecs> {
  /**
   * Codecs for components of your own types, by component name.
   * @default {}
   */
  readonly codecs?: K;
}

// --- constructors

/** The type of the option `codecs`. */
export const codecsRule: Rule = ifGiven(
  recordOf(codecWith("is", "validate", "encode"), "a record of codecs by component name"),
);

/** Codecs that encode variables as tensors: what a codec encodes is a value. */
export function encodingValues(codecs: Codecs): Codecs {
  const encoding = (codec: Codecs[string]): Codecs[string] =>
    new t.Type(codec.name, codec.is, codec.validate, (value) => variablesToTensors(codec.encode(value)) as StateTree);
  return Object.fromEntries(Object.entries(codecs).map(([name, codec]) => [name, encoding(codec)]));
}
