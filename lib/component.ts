/**
 * Kinds: how each sort of component becomes a state tree and comes back.
 *
 * Laws a kind keeps, and the tests of every kind carry their names:
 * - *round trip*: restoring what was encoded, afresh or into a live value, is observably the value;
 * - *no trace*: encoding changes nothing;
 * - *all or nothing*: everything that can fail happens before the first commit.
 *
 * A value is encoded by the first kind that recognises it. Plain data (scalars, typed arrays, arrays, records) needs no kind: the walks
 * that apply kinds at any depth, `encode.ts` and `decode.ts`, know it themselves.
 *
 * @module
 */
import type * as t from "io-ts";
import type { Problem, ProblemKind } from "./errors.ts";
import { shown } from "./rules.ts";
import { entry, kindOf, type Named, type Node, type StateTree } from "./state_tree.ts";
import type { Held } from "./tensor.ts";

// --- types

/** The user's own codecs, by component name. */
export type Codecs = { readonly [name: string]: Codec };
/** One of the user's own codecs. */
// deno-lint-ignore no-explicit-any -- a codec's type is invariant, so `unknown` would refuse every codec there is
export type Codec = t.Type<any, StateTree>;

/** The way from a component to a part of it: one name, or several. */
export type PartPath = string | number | readonly (string | number)[];

/** One place of a capture under way. */
export interface Site {
  /** Encodes a part of the value, whatever kind it is of. */
  readonly part: (step: PartPath, value: unknown) => Node;
  /** Encodes plain data in the value's stead. */
  readonly plain: (value: unknown) => Node;
  /** A node for an array that is now held. */
  readonly hold: (held: Held, name?: string) => Node;
  /** The names that owners gave to their parts before anything was encoded. */
  readonly names: ReadonlyMap<object, string>;
  /** A record of fields that is encoded after everything else, so that what it shares with another component is state of that one. */
  readonly deferred: (step: PartPath, entries: (site: Site) => readonly Named[]) => Node;
  /** Whether this is within fields, where kinds with `isField` are known. */
  readonly fields: boolean;
  /** Whether an object has been encoded. */
  readonly isCaptured: (object: object) => boolean;
  /** Refuses the value, or what is at a path below it. */
  readonly refuse: (expected: string, found: string, at?: string) => never;
}

/** One place of a restore under way: problems are collected, and commits run only if there are none. */
export interface Target {
  /** Whether live objects are built from the snapshot, not given. */
  readonly fresh: boolean;
  readonly problem: (kind: ProblemKind, expected: string, found: string, at?: string) => void;
  /** Restores a part into its live counterpart; the thunk gives the part after the commit. `adopt` takes an object shared with an earlier one. */
  readonly part: (step: PartPath, live: unknown, node: Node, adopt?: (shared: unknown) => void) => () => unknown;
  /** A part restored with no live counterpart: a value, or a fresh object. */
  readonly value: (step: PartPath, node: Node) => () => unknown;
  /** Plain data and tensors from a tree, at once. */
  readonly plain: (node: Node) => unknown;
  /** The object that a part is, built if it has not been: only for kinds that build. */
  readonly object: (step: PartPath, node: Node) => unknown;
  /** Whether a live object was built in this restore and holds its state already. */
  readonly built: (live: object) => boolean;
  /** A tensor made for a value; a codec that does not put it into its own lets it go. */
  readonly made: <A>(tensor: A, discard: () => void) => A;
  /** What to do when the restore is over, whether or not it failed. */
  readonly after: (run: () => void) => void;
  /** What to do if nothing failed; must not fail. */
  readonly commit: (run: () => void) => void;
  /** Reports plain data that the live value has otherwise than the snapshot, and that is restored. */
  readonly overrides: (at: string, live: unknown, saved: unknown) => void;
  /** Restores fields after everything else. Within them, what has no live counterpart is created, and what only the live side has is no problem. */
  readonly deferred: (step: PartPath, run: (target: Target) => void) => void;
  /** What to do after all commits, when objects have their names and order; must not fail. */
  readonly finish: (run: () => void) => void;
  /** Whether this is within fields. */
  readonly fields: boolean;
  /** Whether an object, live or restored, belongs to a part that is not within fields. */
  readonly isUsedElsewhere: (object: object) => boolean;
  /** Every live or built object that has been restored. */
  readonly objects: () => Iterable<object>;
  /** The live containers that restored ones were put into, in all fields. */
  readonly refilled: Map<unknown, unknown>;
}

/** What a kind knows of the state of its values, live or saved, where a part of it is restored and another is not. */
export interface PartsOf {
  /** Ways to the parts that go by a name which is no path. `follow` gives the state of a part, wherever it stands. */
  readonly named?: (
    state: Node,
    name: string,
    follow: (part: Node) => Node,
  ) => readonly (readonly (string | number)[])[];
  /** The way to a list that refers to other parts, and takes them as they are, restored or kept. */
  readonly refers?: readonly string[];
  /**
   * A blended state made to fit the live one, of whose list by this name each saved item has the live position given; and where what both
   * sides have is in another order. Undefined where only the order of the list counts.
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
  /** The part that is restored after everything else, for it refers to other components ({@link Site.deferred}). */
  readonly deferred?: string;
  /** The shape, if training changes it. */
  readonly trained?: (state: Node) => readonly number[] | undefined;
  /** The shapes of what the state belongs to by position. */
  readonly belongs?: (state: Node) => readonly (readonly number[])[];
}

/** How one sort of component is captured and restored. */
export interface Kind<A> {
  /** The name that goes into the snapshot. */
  readonly name: string;
  readonly is: (u: unknown) => u is A;
  /** For a kind that is known within fields only (see {@link Site.deferred}): whether it encodes a value there. */
  readonly isField?: (u: unknown, site: Site) => boolean;
  /** Why a value that rejection is one is refused, if it is. */
  readonly rejection?: (u: object) => string | undefined;
  /** Told of every value before any is encoded, so that a part is named after its owner even where it is met first. */
  readonly nameParts?: (value: A, names: Map<object, string>) => void;
  readonly encode: (value: A, site: Site) => Node;
  /** A fresh object to restore into; a kind without it is of values, which restoring replaces. */
  readonly build?: (state: Node, target: Target) => A | undefined;
  /** Whether a live one is of the class of a state. */
  readonly ofClass?: (state: Node, live: A) => boolean;
  /** Whether building one builds the components in it, too, so that none of them can be built by itself. */
  readonly buildsParts?: boolean;
  /** Restores the state into a live object, or makes the value that replaces `live` (`undefined`: there is none). */
  readonly restore: (state: Node, target: Target, live: A | undefined) => () => A;
  /** The order in which objects of this kind came to be, where that is state: of objects with their paths, the paths in that order. */
  readonly order?: (paths: ReadonlyMap<object, string>) => readonly string[];
  /** Brings restored objects into that order. */
  readonly reorder?: (objects: readonly object[]) => void;
  /** How parts of it are told apart and fit together when only some are restored. */
  readonly parts?: PartsOf;
}

// deno-lint-ignore no-explicit-any -- a kind is invariant in its value
export type AnyKind = Kind<any>;

// --- constructors

/** What the names of the user's own kinds begin with in a snapshot. */
export const codecPrefix = "codec:";

/**
 * The kind of immutable values that an io-ts codec knows.
 *
 * @param name The kind's name in the snapshot.
 * @param codec Its codec, to and from plain data and tensors.
 * @param tag The `_tag` its values carry, if they do: a value with that tag which the codec refuses is an error, never plain data.
 * @param check Differences between a live and a saved value that forbid to replace one by the other.
 * @param chosen What of a live and of a saved value a script chose, and training leaves as it is, as plain data to compare.
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
        for (const e of decoded.left) {
          const at = e.context.slice(1).map((c) => c.key).filter((key) => key !== "").join("/");
          target.problem("value", `a ${codec.name}`, e.message ?? shown(e.value), at);
        }
        return () => tree as A;
      }
      if (live !== undefined) {
        for (const p of check(live, decoded.right)) target.problem(p.kind, p.expected, p.found, p.path);
        target.overrides("", ...chosen(live, decoded.right));
      }
      return () => decoded.right;
    },
  };
}

function tagOf(u: unknown): unknown {
  return typeof u === "object" && u !== null && "_tag" in u ? u._tag : undefined;
}

/** The kind of values that one of the user's own codecs knows. */
export function codecKind(codec: Codec): AnyKind {
  return valueKind(codecPrefix + codec.name, codec);
}

// --- combinators

/** A named field of a record state, as a scalar of the type asked for; a problem and undefined if it is not. */
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

/** A node in words: its kind. */
export function describeNode(node: Node): string {
  const kind = kindOf(node);
  if (kind.startsWith(codecPrefix)) return `what the codec ${kind.slice(codecPrefix.length)} encodes`;
  return kind === "null" ? kind : withArticle(kind);
}

/** A word with its article. */
export function withArticle(word: string): string {
  return `${/^[aeio]/i.test(word) ? "an" : "a"} ${word}`;
}
