/**
 * The plan of a restore, node by node: objects in place, values anew, references to what an earlier path restored.
 *
 * {@link restoreNode} returns each node's value as a `Lazy`, because live objects have their state only after the commit. Kinds call back
 * through the {@link Target} of their path.
 *
 * @module
 */
import type { Lazy } from "fp-ts/lib/function.js";
import { type AnyKind, codecPrefix, describeNode, type PartPath, type Target, withArticle } from "./kind.ts";
import { compareLive, type Destination, isDeferred, report, type RestoreContext, topLevel } from "./restore_context.ts";
import { restorePlain } from "./restore_plain.ts";
import { noLiveValue } from "./restore_strategy.ts";
import { holdsComponents, isBranch, isCase, join, kindOf, type Node } from "./tree.ts";

// --- constructors

/** A thunk that runs at most once. */
function memoized<A>(thunk: Lazy<A>): Lazy<A> {
  let value: { readonly of: A } | undefined;
  return () => (value ??= { of: thunk() }).of;
}

/**
 * What a kind uses to restore a value.
 *
 * @param context The restore in progress.
 * @param path The path of the value.
 * @param inFields Whether the value is within fields.
 * @param partsInFields Whether its parts are: those of an object belong to its kind, not to the fields around it.
 */
export function targetAt(
  context: RestoreContext,
  path: string,
  inFields: boolean,
  partsInFields: boolean = inFields,
): Target {
  const { actions, fields, objects, strategy, tensors } = context;
  const below = (part: PartPath): string =>
    typeof part === "object" ? part.reduce<string>(join, path) : join(path, part);
  const at = (partPath: string, live: unknown): Destination => ({
    ...topLevel(partPath, live),
    inFields: partsInFields,
  });
  return {
    fresh: strategy.isFresh,
    problem: (kind, expected, found, sub) => report(context, sub ? `${path}/${sub}` : path, kind, expected, found),
    part: (part, live, node, adopt) => restoreNode(context, node, at(below(part), live), adopt),
    value: (part, node) => restoreNode(context, node, at(below(part), noLiveValue)),
    plain: (node) => restoreNode(context, node, at(path, noLiveValue))(),
    object: (part, node) => objectAt(context, isCase(node, "shared") ? node.path : below(part), partsInFields),
    built: (object) => objects.built.has(object),
    made: (tensor, discard) => {
      tensors.push({ path, value: tensor, discard });
      return tensor;
    },
    after: (run) => void actions.cleanups.push(run),
    commit: (run) => void actions.commits.push(run),
    overrides: (sub, live, saved) => compareLive(context, at(sub === "" ? path : `${path}/${sub}`, live), live, saved),
    deferred: (part, run) => {
      const deferredPath = below(part);
      fields.queue.push({ path: deferredPath, run: () => run(targetAt(context, deferredPath, true)) });
    },
    finish: (run) => void actions.finishes.push(run),
    fields: inFields,
    isUsedElsewhere: (object) => fields.usedElsewhere.has(object),
    objects: () => objects.paths.keys(),
    refilled: fields.refilled,
  };
}

// --- capture and restore

/** The live or built object of a path; it is built here if its kind builds objects and nothing has built it yet. */
export function objectAt(context: RestoreContext, path: string, inFields: boolean): object | undefined {
  const { byPath, built } = context.objects;
  const existing = byPath.get(path);
  if (existing !== undefined) return existing;
  const node = context.nodes.get(path);
  if (!isCase(node, "kind")) return undefined;
  const object = context.kinds.get(node.kind)?.build?.(node.state, targetAt(context, path, inFields));
  if (object === undefined) return undefined;
  built.add(object);
  byPath.set(path, object);
  return object;
}

/**
 * Plans the restore of a node and everything in it.
 *
 * @param context The restore in progress; receives problems and actions.
 * @param node The saved node.
 * @param to Where to.
 * @param adopt Puts a shared object in the place of the live one, if the node is a reference and the live object may be replaced.
 * @returns The value, once the restore is committed.
 */
export function restoreNode(
  context: RestoreContext,
  node: Node,
  to: Destination,
  adopt?: (shared: unknown) => void,
): Lazy<unknown> {
  const at = to.inFields && (to.live === undefined || to.live === null) ? { ...to, live: noLiveValue } : to;
  const { byPath } = context.values;
  if (at.inFields && byPath.has(at.path)) return restoreShared(context, at.path, at, adopt);
  if (isBranch(node)) {
    if (node.is === "shared") return restoreShared(context, node.path, at, adopt);
    if (node.is === "aside") return restoreNode(context, node.state, at, adopt);
  }
  const value = memoized(restoreUnshared(context, node, at));
  byPath.set(at.path, value);
  return value;
}

/** Restores a node that is no reference, by its kind or as plain data. */
function restoreUnshared(context: RestoreContext, node: Node, at: Destination): Lazy<unknown> {
  const isKind = isCase(node, "kind");
  const kindName = isKind ? node.kind : kindOf(node) === "Tensor" ? "Tensor" : undefined;
  if (kindName === undefined) {
    if (!checkReplaceable(context, node, at)) return () => at.live;
    context.values.live.set(at.path, at.live);
    return restorePlain(context, node, at, restoreNode);
  }
  const kind = context.kinds.get(kindName);
  if (kind === undefined) {
    report(context, at.path, "kind", "a kind of this version, or one of options.codecs", describeNode(node));
    return () => null;
  }
  const state = isKind ? node.state : node;
  return kind.build === undefined ? restoreValue(context, kind, state, at) : restoreObject(context, kind, state, at);
}

/** Restores a state into a live object, or into a fresh one where the strategy builds objects. */
function restoreObject(context: RestoreContext, kind: AnyKind, state: Node, at: Destination): Lazy<unknown> {
  const { objects, strategy, problems } = context;
  const { path, live, inFields } = at;
  // The constructor of a fresh object may have put an object of another class into its field.
  const isOtherClass = inFields && strategy.isFresh && kind.is(live) && kind.ofClass?.(state, live) === false;
  const object = live !== noLiveValue && !isOtherClass
    ? live
    : strategy.builds(inFields)
    ? objectAt(context, path, inFields)
    : undefined;
  if (object === undefined) {
    const problem = strategy.noObject(kind.name, problems.list);
    if (problem !== undefined) report(context, path, problem.kind, problem.expected, problem.found);
    return () => null;
  }
  if (!kind.is(object)) {
    const found = context.liveValues.describe(object);
    report(context, path, "kind", `${withArticle(kind.name)}, as in the snapshot`, found);
    return () => object;
  }
  const found = otherUse(context, object as object, path);
  if (found !== undefined) {
    report(context, path, "sharing", "a separate object, as in the snapshot", found);
    return () => object;
  }
  objects.byPath.set(path, object as object);
  objects.paths.set(object as object, path);
  if (!inFields) context.fields.usedElsewhere.add(object);
  return kind.restore(state, targetAt(context, path, inFields, false), object);
}

/** Where else an object is used, if the snapshot has a separate object there; undefined if it has not. */
function otherUse({ objects }: RestoreContext, object: object, path: string): string | undefined {
  const other = objects.paths.get(object);
  if (other !== undefined && other !== path) return `the same object as ${other}`;
  const owner = objects.byPath.get(path);
  return owner !== undefined && owner !== object ? "a second object" : undefined;
}

/** Restores a state as a new value, checked against the live one. */
export function restoreValue(context: RestoreContext, kind: AnyKind, state: Node, at: Destination): Lazy<unknown> {
  const { path, live, inFields } = at;
  const isLive = live !== noLiveValue && live !== null;
  if (isLive && !kind.is(live)) {
    const found = context.liveValues.describe(live);
    report(context, path, "kind", `${withArticle(kind.name)}, as in the snapshot`, found);
    return () => live;
  }
  if (!inFields) context.fields.usedElsewhere.add(live);
  return kind.restore(state, targetAt(context, path, inFields), isLive ? live : undefined);
}

/** The value at the path that a reference refers to; a live object at the reference must be the same object. */
function restoreShared(
  context: RestoreContext,
  path: string,
  at: Destination,
  adopt: ((shared: unknown) => void) | undefined,
): Lazy<unknown> {
  const node = context.nodes.get(path) ?? null;
  // Deferred fields may contain what an earlier reference needs.
  const value = context.values.byPath.get(path) ??
    (isDeferred(context, path) ? restoreNode(context, node, { ...at, path }) : undefined);
  if (value === undefined) {
    report(context, at.path, "sharing", "a reference to an earlier object of the snapshot", `a reference to ${path}`);
    return () => null;
  }
  const object = context.objects.byPath.get(path);
  const livePlain = context.values.live.get(path);
  const isOther = object === undefined
    ? at.live !== livePlain && context.liveValues.holdsObjects(at.live)
    : at.live !== object;
  if (at.live !== noLiveValue && isOther) {
    if (!context.strategy.acceptsUnshared(object, adopt, at.inFields)) {
      report(context, at.path, "sharing", `the same object as ${path}, as in the snapshot`, "a different object");
    }
  } else if (object === undefined && checkReplaceable(context, node, at)) {
    // Live data that is shared as in the snapshot was compared at the earlier path.
    if (at.live !== livePlain && !holdsComponents(node)) compareLive(context, at, at.live, value());
  }
  if (!at.inFields || isDeferred(context, path)) return value;
  return () => {
    const found = value();
    context.fields.usedElsewhere.add(found);
    return found;
  };
}

/** Reports a live value that the saved one may not replace. Both must be of one kind, or one is null: a `best` before the first evaluation. */
function checkReplaceable(context: RestoreContext, node: Node, { path, live, inFields }: Destination): boolean {
  const { kinds, liveValues } = context;
  const name = kindOf(node);
  if (live === noLiveValue || live === null || name.startsWith(codecPrefix)) return true;
  const kind = kinds.get(name);
  const fits = kind !== undefined
    ? kind.is(live)
    : node === null
    ? inFields || !liveValues.isComponent(live)
    : liveValues.kind(live) === name;
  if (!fits) report(context, path, "kind", `${describeNode(node)}, as in the snapshot`, liveValues.describe(live));
  return fits;
}
