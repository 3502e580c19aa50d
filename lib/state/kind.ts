/**
 * Kinds: the handlers of each sort of component, which capture it as a state tree and restore it.
 *
 * A value is captured by the first kind that recognises it. Plain data (scalars, typed arrays, lists, records) needs no kind: capture and
 * restore handle it themselves, and call kinds at any depth.
 *
 * Laws of every kind:
 * - *round trip*: restoring what was captured, fresh or into a live value, is observably the value;
 * - *no trace*: capturing changes nothing;
 * - *all or nothing*: everything that can fail happens before the first commit.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import * as t from "io-ts";
import { type Problem, type ProblemKind, tagOf, toError } from "../errors/mod.ts";
import { shown } from "../validation/mod.ts";
import { entry, isCase, kindOf, type Named, type Node, type StateTree } from "./tree.ts";
import type { Held } from "./array.ts";

// --- types

/** The user's own codecs, by component name. */
// deno-lint-ignore no-explicit-any -- a codec's type is invariant, so `unknown` would refuse every codec there is
export type Codecs = { readonly [name: string]: t.Type<any, StateTree> };

/** One of the user's own codecs. */
export type Codec = Codecs[string];

/** All of the user's own codecs. */
export interface OwnCodecs {
  /** By the name of the component that they are for. */
  readonly codecs: Codecs;
  /** For the values that their `is` recognises, anywhere. No two have one name. */
  readonly types: readonly Codec[];
}

/** The path from a value to a part of it: one name, or several. */
export type PartPath = string | number | readonly (string | number)[];

/** What a kind uses to capture a value. */
export interface Site {
  /** Captures a part of the value, of any kind. */
  readonly part: (part: PartPath, value: unknown) => Node;
  /** Captures plain data in place of the value. */
  readonly plain: (value: unknown) => Node;
  /** The node of an array. The capture releases the array if it fails. */
  readonly hold: (held: Held, name?: string) => Node;
  /** The names that owners give to their parts. They are known before anything is captured. */
  readonly names: ReadonlyMap<object, string>;
  /** A record of fields. It is captured after everything else, so that what another component owns becomes a reference here. */
  readonly deferred: (part: PartPath, entries: (site: Site) => readonly Named[]) => Node;
  /** Whether the value is within fields, where kinds with `isField` apply. */
  readonly fields: boolean;
  /** Whether an object has been captured. */
  readonly isCaptured: (object: object) => boolean;
  /** Rejects the value, or what is at a path below it. */
  readonly refuse: (expected: string, found: string, at?: string) => never;
}

/** What a kind uses to restore a value. It plans: it reports problems and collects commits, which run only if no problem was reported. */
export interface Target {
  /** Whether components are built from the snapshot, not restored into live ones. */
  readonly fresh: boolean;
  /** Reports a problem of the value, or of what is at a path below it. */
  readonly problem: (kind: ProblemKind, expected: string, found: string, at?: string, remedy?: string) => void;
  /** Reports that the live value, or what is at a path below it, differs from the saved one. */
  readonly differs: (kind: ProblemKind, live: string, saved: string, at?: string) => void;
  /** Reports a problem that a part has found, at its path below the value. */
  readonly pass: (problem: Problem) => void;
  /** Restores a part into its live counterpart. The thunk gives the part after the commit. `adopt` receives an object that the snapshot shares. */
  readonly part: (part: PartPath, live: unknown, node: Node, adopt?: (shared: unknown) => void) => () => unknown;
  /** Restores a part without a live counterpart: a value, or a fresh object. */
  readonly value: (part: PartPath, node: Node) => () => unknown;
  /** Plain data and tensors from a tree, at once. */
  readonly plain: (node: Node) => unknown;
  /** The object of a part, built if it has not been; only for kinds that build. */
  readonly object: (part: PartPath, node: Node) => unknown;
  /** Whether this restore built an object, which therefore has its state already. */
  readonly built: (live: object) => boolean;
  /** Registers a tensor made for a value. If a user's codec does not put it into its own value, it is discarded. */
  readonly made: <A>(tensor: A, discard: () => void) => A;
  /** Registers what runs at the end of the restore, whether it failed or not. */
  readonly after: (run: () => void) => void;
  /** Registers a change of a live object. It runs if there is no problem, and must not fail. */
  readonly commit: (run: () => void) => void;
  /** Reports plain data of the live value that differs from the saved data, which replaces it. */
  readonly overrides: (at: string, live: unknown, saved: unknown) => void;
  /** Restores fields after everything else. In fields, what has no live counterpart is created, and what only the live side has is no problem. */
  readonly deferred: (part: PartPath, run: (target: Target) => void) => void;
  /** Registers what runs after all commits, when objects have their names and order. It must not fail. */
  readonly finish: (run: () => void) => void;
  /** Whether the value is within fields. */
  readonly fields: boolean;
  /** Whether an object, live or restored, also belongs to a part that is not within fields. */
  readonly isUsedElsewhere: (object: object) => boolean;
  /** Every live or built object that has been restored. */
  readonly objects: () => Iterable<object>;
  /** The live containers that restored ones were put into, in all fields. */
  readonly refilled: Map<unknown, unknown>;
}

/** How a kind supports partial restores: how parts of its state, saved or live, are named and fit together. */
export interface PartsOf {
  /** The paths of the parts that have a name besides their path. `follow` gives the state of a part that may be a reference. */
  readonly named?: (
    state: Node,
    name: string,
    follow: (part: Node) => Node,
  ) => readonly (readonly (string | number)[])[];
  /** The path of a list that refers to other parts, whether those are restored or kept. */
  readonly refers?: readonly string[];
  /**
   * Fits a merged state to the live one after items of a list moved. `positions` maps each saved item to its live position. The problem says
   * which items both sides have in a different order. Undefined if only the order of the list matters.
   */
  readonly moved?: (
    state: Node,
    saved: Node,
    live: Node,
    list: string,
    positions: ReadonlyMap<number, number>,
  ) =>
    | { readonly state: Node; readonly problem?: Pick<Problem, "expected" | "found"> & { readonly at: string } }
    | undefined;
  /** The part that is restored after everything else, because it refers to other components ({@link Site.deferred}). */
  readonly deferred?: string;
  /** The shape of the value, if training changes the value. */
  readonly trained?: (state: Node) => readonly number[] | undefined;
  /** The shapes of the variables that the state belongs to by position. */
  readonly belongs?: (state: Node) => readonly (readonly number[])[];
}

/** Why a codec rejects a value; of a user's codec, with more for the problem. */
type Failure = t.ValidationError & Pick<Problem, "remedy" | "cause">;

/** How one sort of component is captured and restored. */
export interface Kind<A> {
  /** The name in the snapshot. */
  readonly name: string;
  readonly is: (u: unknown) => u is A;
  /** For a kind that applies within fields only ({@link Site.deferred}): whether it captures a value there. */
  readonly isField?: (u: unknown, site: Site) => boolean;
  /** Why a value that resembles this kind cannot be captured; undefined if it does not resemble it. */
  readonly rejection?: (u: object) => string | undefined;
  /** Names the parts of a value. It runs on every value before any is captured, so that a part that is captured first has its owner's name. */
  readonly nameParts?: (value: A, names: Map<object, string>) => void;
  readonly encode: (value: A, site: Site) => Node;
  /** Builds a fresh object to restore into. A kind without it is of values, which a restore replaces. */
  readonly build?: (state: Node, target: Target) => A | undefined;
  /** Whether a live object is of the class of a state. */
  readonly ofClass?: (state: Node, live: A) => boolean;
  /** Whether building an object builds the components in it, so that none of them can be built separately. */
  readonly buildsParts?: boolean;
  /** Plans the restore of a state into a live object, or makes the value that replaces `live`, which is undefined if there is none. */
  readonly restore: (state: Node, target: Target, live: A | undefined) => () => A;
  /** The paths of objects in the order in which the objects were created, if that order is state. */
  readonly order?: (paths: ReadonlyMap<object, string>) => readonly string[];
  /** Puts restored objects into that order. */
  readonly reorder?: (objects: readonly object[]) => void;
  /** Support for partial restores. */
  readonly parts?: PartsOf;
}

// deno-lint-ignore no-explicit-any -- a kind is invariant in its value
export type AnyKind = Kind<any>;

// --- constructors

/** The prefix of the names of the user's codecs in a snapshot. */
export const codecPrefix = "codec:";

/**
 * The kind of the immutable values of an io-ts codec.
 *
 * @param name The kind's name in the snapshot.
 * @param codec The codec, to and from plain data and tensors.
 * @param tag The `_tag` of its values, if they have one. A value with that tag that the codec rejects is an error, not plain data.
 * @param check The differences because of which a saved value may not replace a live one.
 * @param chosen The settings of a live and a saved value that a script chooses and training does not change, as plain data to compare.
 */
export function valueKind<A>(
  name: string,
  codec: t.Type<A, unknown>,
  tag?: string,
  check: (live: A, saved: A) => readonly Problem[] = () => [],
  chosen: (live: A, saved: A) => readonly [live: unknown, saved: unknown] = () => [null, null],
): Kind<A> {
  return {
    name,
    is: (u): u is A => (tag === undefined || tagOf(u) === tag) && codec.is(u),
    ...(tag === undefined ? {} : { rejection: (u) => tagOf(u) === tag ? `a malformed ${name}` : undefined }),
    encode: (value, site) => site.plain(codec.encode(value)),
    restore: (state, target, live) => {
      const tree = target.plain(state);
      const decoded = codec.decode(tree);
      if (decoded._tag === "Left") {
        for (const { context, message, value, ...more } of decoded.left as readonly Failure[]) {
          const path = context.slice(1).map((c) => c.key).filter((key) => key !== "").join("/");
          target.pass({ path, kind: "value", expected: `a ${codec.name}`, found: message ?? shown(value), ...more });
        }
        return () => tree as A;
      }
      if (live !== undefined) {
        check(live, decoded.right).forEach(target.pass);
        target.overrides("", ...chosen(live, decoded.right));
      }
      return () => decoded.right;
    },
  };
}

/** A user's codec in messages, where its name alone could be read as that of a class. */
export function codecNamed(name: string): string {
  return `the codec named ${JSON.stringify(name)}`;
}

/** What to do about a user's codec that fails, and about what it threw. */
export const codecRemedies = {
  decode: (name: string): string =>
    `Correct ${codecNamed(name)}: its decode (with codecOf, fromPlain) must accept what was saved`,
  encode: (name: string): string =>
    `Correct ${codecNamed(name)}: its encode (with codecOf, toPlain) must accept what it decoded`,
};

/** What a user's codec threw, in a message. */
export function thrownByCodec(cause: unknown): string {
  return `what the codec threw: ${toError(cause).message}`;
}

/** The kind of the values of a user's codec. What the codec throws while it decodes is a problem of the value. */
export function codecKind(codec: Codec): AnyKind {
  const name = `value of ${codecNamed(codec.name)}`;
  const remedy = codecRemedies.decode(codec.name);
  const validate: Codec["validate"] = (value, context) => {
    try {
      return E.mapLeft((errors: t.Errors) => errors.map((one): Failure => ({ ...one, remedy })))(
        codec.validate(value, context),
      );
    } catch (cause) {
      const failure: Failure = { value, context, message: thrownByCodec(cause), remedy, cause };
      return E.left([failure]);
    }
  };
  return valueKind(codecPrefix + codec.name, new t.Type(name, codec.is, validate, codec.encode));
}

// --- combinators

/** A scalar entry of a record, of the given type; otherwise reports a problem and returns undefined. */
export function scalar<T extends "boolean" | "number" | "string">(
  state: Node,
  name: string,
  type: T,
  target: Target,
): (T extends "boolean" ? boolean : T extends "number" ? number : string) | undefined {
  const node = entry(state, name);
  // deno-lint-ignore valid-typeof -- the type is one of three literals
  if (typeof node === type) return node as never;
  target.problem("format", `a ${type}`, node === undefined ? "nothing" : `a ${kindOf(node)}`, name);
  return undefined;
}

/** A node in words, for messages. */
export function describeNode(node: Node): string {
  if (typeof node !== "object" && typeof node !== "string") return String(shown(node));
  if (isCase(node, "shared")) return `the same object as ${node.path}`;
  const kind = kindOf(node);
  if (kind.startsWith(codecPrefix)) return `what ${codecNamed(kind.slice(codecPrefix.length))} encodes`;
  return kind === "null" ? kind : withArticle(kind);
}

/** A word with its article; of the kind of a user's codec, the codec's name. */
export function withArticle(kind: string): string {
  const word = kind.startsWith(codecPrefix) ? kind.slice(codecPrefix.length) : kind;
  return `${/^([aeio]|Rng)/i.test(word) ? "an" : "a"} ${word}`;
}
