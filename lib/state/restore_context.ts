/**
 * The context of one restore: what it was asked to do, the snapshot's nodes, and what the plan has collected so far.
 *
 * A restore first plans: it walks the snapshot, checks it against the live values, collects problems and commits, and changes nothing. Only a
 * plan without problems is committed. {@link RestoreContext} is made once per restore; its collections are grouped by purpose.
 *
 * @module
 */
import type { Lazy } from "fp-ts/lib/function.js";
import type { Encoded } from "./capture.ts";
import { type AnyKind, type Codec, codecKind, codecPrefix, type Codecs, type OwnCodecs } from "./kind.ts";
import type { Problem, ProblemKind } from "../errors/mod.ts";
import { type Overridden, overridden } from "./overridden.ts";
import { isCase, type Node, nodesByPath, outerPaths } from "./tree.ts";

// --- types

/** Marks that there is no live value: the restore makes a fresh one. */
export const noLiveValue: unique symbol = Symbol("noLiveValue");

/** What to restore into, and how. */
export interface RestoreRequest {
  /** The kinds, in the order in which they are tried. */
  readonly kinds: readonly AnyKind[];
  /** The user's codecs. */
  readonly own: OwnCodecs;
  /** The live components to restore into; without them the components are built. */
  readonly live?: Readonly<Record<string, unknown>> | undefined;
  /** Problems found earlier, which are listed with those of the restore. */
  readonly problems?: readonly Problem[];
  /** Receives the plain data that the live components have otherwise, before anything changes. */
  readonly overrides?: Overridden[] | undefined;
}

/** Where a node is restored to. */
export interface Destination {
  readonly path: string;
  /** The live value there, or {@link noLiveValue}. */
  readonly live: unknown;
  /** Whether this is within fields ({@link Target.deferred}). */
  readonly inFields: boolean;
  /** Whether this is part of plain data that is compared with the live one as a whole. */
  readonly isCompared: boolean;
}

/** One restore in progress. */
export interface RestoreContext {
  readonly encoded: Encoded;
  readonly nodes: ReadonlyMap<string, Node>;
  /** The paths that references refer to. */
  readonly sharedPaths: ReadonlySet<string>;
  readonly kinds: ReadonlyMap<string, AnyKind>;
  /** The kinds that recognise live values, in the order in which they are tried. */
  readonly liveKinds: readonly AnyKind[];
  /** The user's codecs by component name. */
  readonly codecs: Codecs;
  /** The user's own types, by the names of their kinds. */
  readonly types: ReadonlyMap<string, Codec>;
  /** The live components; undefined if all components are built. */
  readonly live: Readonly<Record<string, unknown>> | undefined;
  /** Receives the plain data that the live components have otherwise; undefined if no report was asked for. */
  readonly overrides: Overridden[] | undefined;
  /** The problems found so far, each once. */
  readonly problems: { readonly list: Problem[]; readonly keys: Set<string> };
  /** What runs after the plan. */
  readonly actions: {
    /** Changes of live objects. They run only if the plan has no problem, and must not fail. */
    readonly commits: (() => void)[];
    /** Changes that need all commits done, and the objects named and ordered. */
    readonly finishes: (() => void)[];
    /** What runs at the end of the restore, whether it failed or not. */
    readonly cleanups: (() => void)[];
  };
  /** The live and built objects that the snapshot's objects are restored into. */
  readonly objects: {
    readonly byPath: Map<string, object>;
    /** The path of each object that its kind has restored. */
    readonly paths: Map<object, string>;
    /** The objects that this restore built. */
    readonly built: Set<object>;
  };
  /** The values at each path, which references refer to, and the live plain data at the same paths. */
  readonly values: { readonly byPath: Map<string, Lazy<unknown>>; readonly live: Map<string, unknown> };
  /** The tensors that the restore made. */
  readonly tensors: { readonly path: string; readonly value: unknown; readonly discard: () => void }[];
  /** Fields of optimizers and callbacks, which are restored last: by then everything they may refer to is restored. */
  readonly fields: {
    readonly queue: { readonly path: string; readonly run: () => void }[];
    /** Values that also belong to a part outside of fields. */
    readonly usedElsewhere: Set<unknown>;
    /** The live containers that restored ones were put into. */
    readonly refilled: Map<unknown, unknown>;
  };
}

// --- constructors

/** The context of a restore that has not begun. */
export function restoreContext(
  encoded: Encoded,
  { kinds: toolkit, own: { codecs, types }, live, problems = [], overrides }: RestoreRequest,
): RestoreContext {
  // Objects may be needed before the walk reaches them.
  const nodes = nodesByPath(encoded.components);
  const kinds = [...toolkit, ...types.map(codecKind)];
  return {
    encoded,
    nodes,
    sharedPaths: new Set([...nodes.values()].flatMap((node) => isCase(node, "shared") ? [node.path] : [])),
    // Of two kinds with one name the first counts.
    kinds: new Map(kinds.toReversed().map((kind) => [kind.name, kind])),
    liveKinds: kinds.filter(({ isField }) => !isField),
    codecs,
    types: new Map(types.map((codec) => [codecPrefix + codec.name, codec])),
    live,
    overrides: live && overrides,
    problems: { list: [...problems], keys: new Set() },
    actions: { commits: [], finishes: [], cleanups: [] },
    objects: { byPath: new Map(), paths: new Map(), built: new Set() },
    values: { byPath: new Map(), live: new Map() },
    tensors: [],
    fields: { queue: [], usedElsewhere: new Set(), refilled: new Map() },
  };
}

/** A component's destination: nothing encloses it. */
export function topLevel(path: string, live: unknown): Destination {
  return { path, live, inFields: false, isCompared: false };
}

// --- combinators

/** Adds a problem, unless this restore has reported it already: what is on one side only is reported once at each path. */
export function report(
  { problems }: RestoreContext,
  path: string,
  kind: ProblemKind,
  expected: string,
  found: string,
  more: Pick<Problem, "saved" | "remedy" | "cause"> = {},
): void {
  const key = JSON.stringify(kind === "extra" ? [kind, path] : [kind, path, expected, found]);
  if (!problems.keys.has(key)) problems.list.push({ path, kind, expected, found, ...more });
  problems.keys.add(key);
}

/** Records where live plain data differs from the saved data that replaces it. */
export function compareLive(context: RestoreContext, at: Destination, live: unknown, saved: unknown): void {
  if (context.overrides === undefined || at.isCompared || live === noLiveValue) return;
  context.overrides.push(...overridden(live, saved, at.path));
}

/** Whether building the object that encloses a path builds the object there, too. */
export function isBuiltByParent({ nodes, kinds }: RestoreContext, path: string): boolean {
  return outerPaths(path).some((outer) => {
    const node = nodes.get(outer);
    return isCase(node, "kind") && kinds.get(node.kind)?.buildsParts;
  });
}

/** Whether a path is within fields whose restore is deferred. */
export function isDeferred({ fields }: RestoreContext, path: string): boolean {
  return fields.queue.some((field) => path.startsWith(`${field.path}/`));
}

/** Ends a failed restore: cleans up, the latest first. */
export function cleanUp({ actions }: RestoreContext): void {
  for (const run of actions.cleanups.toReversed()) run();
}
