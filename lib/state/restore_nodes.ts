/**
 * The plan of a restore, node by node: objects in place, values and plain data anew, references to what an earlier path restored.
 *
 * {@link restoreNode} returns each node's value as a `Lazy`, because live objects have their state only after the commit. Kinds call back
 * through the {@link Target} of their path.
 *
 * @module
 */
import { identity, type Lazy } from "fp-ts/lib/function.js";
import * as E from "fp-ts/lib/Either.js";
import {
  type AnyKind,
  type Codec,
  codecKind,
  codecNamed,
  codecPrefix,
  codecRemedies,
  describeNode,
  type PartPath,
  type Target,
  thrownByCodec,
  withArticle,
} from "./kind.ts";
import { describeLive, holdsObjects, isComponent, liveKindOf } from "./live_value.ts";
import {
  compareLive,
  type Destination,
  isDeferred,
  noLiveValue,
  report,
  type RestoreContext,
  topLevel,
} from "./restore_context.ts";
import { holdsComponents, isBranch, isCase, isScalar, isWithin, join, kindOf, type Named, type Node } from "./tree.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { isDType, typedView } from "./array.ts";

// --- types

/** Puts a shared object in the place of the live one. */
type Adopt = (shared: unknown) => void;

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
  const { actions, fields, objects, tensors } = context;
  const below = (part: PartPath): string =>
    typeof part === "object" ? part.reduce<string>(join, path) : join(path, part);
  const at = (sub: string | undefined): string => sub ? `${path}/${sub}` : path;
  const destination = (partPath: string, live: unknown): Destination => ({
    ...topLevel(partPath, live),
    inFields: partsInFields,
  });
  return {
    fresh: context.live === undefined,
    problem: (kind, expected, found, sub, remedy) =>
      report(context, at(sub), kind, expected, found, remedy === undefined ? {} : { remedy }),
    differs: (kind, live, saved, sub) => report(context, at(sub), kind, live, saved, { saved: "found" }),
    pass: ({ path: sub, kind, expected, found, ...more }) => report(context, at(sub), kind, expected, found, more),
    part: (part, live, node, adopt) => restoreNode(context, node, destination(below(part), live), adopt),
    value: (part, node) => restoreNode(context, node, destination(below(part), noLiveValue)),
    plain: (node) => restoreNode(context, node, destination(path, noLiveValue))(),
    object: (part, node) => objectAt(context, isCase(node, "shared") ? node.path : below(part), partsInFields),
    built: (object) => objects.built.has(object),
    made: (tensor, discard) => {
      tensors.push({ path, value: tensor, discard });
      return tensor;
    },
    after: (run) => void actions.cleanups.push(run),
    commit: (run) => void actions.commits.push(run),
    overrides: (sub, live, saved) => compareLive(context, destination(at(sub), live), live, saved),
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
  const [existing, node] = [byPath.get(path), context.nodes.get(path)];
  if (existing !== undefined || !isCase(node, "kind")) return existing;
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
export function restoreNode(context: RestoreContext, node: Node, to: Destination, adopt?: Adopt): Lazy<unknown> {
  const at = to.inFields && (to.live === undefined || to.live === null) ? { ...to, live: noLiveValue } : to;
  const { byPath } = context.values;
  if (at.inFields && byPath.has(at.path)) return restoreShared(context, at.path, at, adopt);
  if (isCase(node, "shared")) return restoreShared(context, node.path, at, adopt);
  if (isCase(node, "aside")) return restoreNode(context, node.state, at, adopt);
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
    return restorePlain(context, node, at);
  }
  const kind = context.kinds.get(kindName);
  if (kind === undefined) {
    reportUnknown(context, kindName, at.path);
    return () => null;
  }
  const state = isKind ? node.state : node;
  const type = context.types.get(kindName);
  if (type !== undefined) return restoreCoded(context, type, state, at);
  return kind.build === undefined ? restoreValue(context, kind, state, at) : restoreObject(context, kind, state, at);
}

/** Reports a kind that this restore does not know. */
function reportUnknown(context: RestoreContext, kind: string, path: string): void {
  if (!kind.startsWith(codecPrefix)) {
    const remedy = "Update @dogear/dogear";
    return report(context, path, "kind", "a kind of this version", `the kind ${kind}`, { remedy });
  }
  const name = kind.slice(codecPrefix.length);
  // io-ts names a codec of a record by its fields.
  const option = /^\w+$/.test(name)
    ? `{ types: [codecOf(${JSON.stringify(name)}, …)] }`
    : `{ codecs: { ${path.split("/")[0]}: … } }`;
  const others = [...context.types.values()].map((codec) => codec.name);
  const renamed = others.length === 0
    ? ""
    : `. If its class was renamed, codecOf keeps the old name ${JSON.stringify(name)}`;
  const remedy = `Pass the codec that it was saved with: ${option}${renamed}`;
  const found = others.length === 0 ? "none" : `only ${others.map(codecNamed).join(", ")}`;
  report(context, path, "kind", codecNamed(name), found, { remedy });
}

/** Restores a state into a live object, or into a fresh one where the strategy builds objects. */
function restoreObject(context: RestoreContext, kind: AnyKind, state: Node, at: Destination): Lazy<unknown> {
  const { objects, problems } = context;
  const { path, live, inFields } = at;
  const isFresh = context.live === undefined;
  // The constructor of a fresh object may have put an object of another class into its field.
  const isOtherClass = inFields && isFresh && kind.is(live) && kind.ofClass?.(state, live) === false;
  const isInPlace = live !== noLiveValue && !isOtherClass;
  // A script cannot create an optimizer's fields before it trains, so that they are built in a live one, too.
  const object = isInPlace ? live : isFresh || inFields ? objectAt(context, path, inFields) : undefined;
  if (object === undefined) {
    const name = withArticle(kind.name);
    if (!isFresh) report(context, path, "extra", "nothing", name, { saved: "found" });
    // A kind that cannot build an object usually reports why.
    else if (problems.list.length === 0) report(context, path, "class", `${name} that can be built`, "one that cannot");
    return () => null;
  }
  if (!checkKind(context, kind, object, path)) return () => object;
  const found = otherUse(context, object as object, path);
  if (found !== undefined) {
    report(context, path, "sharing", "a separate object", found, { saved: "expected" });
    return () => object;
  }
  objects.byPath.set(path, object as object);
  objects.paths.set(object as object, path);
  if (!inFields) context.fields.usedElsewhere.add(object);
  return kind.restore(state, targetAt(context, path, inFields, false), object);
}

/** Reports a live value that is not of the saved kind. */
function checkKind(context: RestoreContext, kind: AnyKind, live: unknown, path: string): boolean {
  if (kind.is(live)) return true;
  const found = describeLive(context.liveKinds, live);
  report(context, path, "kind", withArticle(kind.name), found, { saved: "expected" });
  return false;
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
  if (isLive && !checkKind(context, kind, live, path)) return () => live;
  if (!inFields) context.fields.usedElsewhere.add(live);
  return kind.restore(state, targetAt(context, path, inFields), isLive ? live : undefined);
}

/**
 * Restores a value by the user's codec. The codec decodes from tensors that the restore made; the commit discards those that its value does
 * not hold and that no other component shares.
 *
 * @param isChecked Whether the live value must be one of the codec's.
 */
export function restoreCoded(
  context: RestoreContext,
  codec: Codec,
  state: Node,
  at: Destination,
  isChecked: boolean = true,
): Lazy<unknown> {
  compareCoded(context, codec, state, at);
  const before = context.tensors.length;
  const value = restoreValue(context, codecKind(codec), state, isChecked ? at : { ...at, live: noLiveValue });
  // Removed from the list: what encloses this value does not see its tensors.
  const made = context.tensors.splice(before).filter((tensor) => !context.sharedPaths.has(tensor.path));
  if (made.length === 0 || context.problems.list.length > 0) return value;
  // In the plan, because the codec is the user's and may throw. It encodes twice, to tell the value's own tensors from copies.
  const encoded = E.tryCatch(
    () => [objectsIn(codec.encode(value())), objectsIn(codec.encode(value()))] as const,
    identity,
  );
  if (E.isLeft(encoded)) {
    const more = { remedy: codecRemedies.encode(codec.name), cause: encoded.left };
    const expected = `a value that ${codecNamed(codec.name)} encodes`;
    report(context, at.path, "value", expected, thrownByCodec(encoded.left), more);
    return value;
  }
  const [first, second] = encoded.right;
  const copies = [...first, ...second].filter((object) =>
    context.kinds.get("Tensor")?.is(object) === true && !(first.has(object) && second.has(object))
  );
  copies.forEach((copy) => (copy as { dispose(): void }).dispose());
  // Of a codec that encodes copies, the encoding does not show which tensors the value holds.
  const unused = copies.length > 0 ? [] : made.filter((tensor) => !first.has(tensor.value));
  context.actions.commits.push(() => unused.forEach(({ discard }) => discard()));
  return value;
}

/** Every object in plain data, tensors included. */
function objectsIn(tree: unknown, found: Set<unknown> = new Set()): ReadonlySet<unknown> {
  if (typeof tree !== "object" || tree === null || found.has(tree)) return found;
  found.add(tree);
  if (Array.isArray(tree) || isPlainRecord(tree)) Object.values(tree).forEach((part) => objectsIn(part, found));
  return found;
}

/** Compares what a codec encodes a live value to. A live value that it cannot encode is not compared. */
function compareCoded(context: RestoreContext, codec: Codec, state: Node, at: Destination): void {
  if (context.overrides === undefined || at.live === noLiveValue || holdsComponents(state) || !codec.is(at.live)) {
    return;
  }
  const encoded = E.tryCatch(() => codec.encode(at.live) as unknown, E.toError);
  if (E.isRight(encoded)) compareLive(context, at, encoded.right, targetAt(context, at.path, false).plain(state));
}

/** The value at the path that a reference refers to; a live object at the reference must be the same object. */
function restoreShared(context: RestoreContext, path: string, at: Destination, adopt?: Adopt): Lazy<unknown> {
  const node = context.nodes.get(path) ?? null;
  // Deferred fields may contain what an earlier reference needs.
  const value = context.values.byPath.get(path) ??
    (isDeferred(context, path) ? restoreNode(context, node, { ...at, path }) : undefined);
  if (value === undefined) {
    // What it refers to may be missing because of a problem that is reported already.
    if (context.problems.list.some((one) => isWithin(path, one.path) || isWithin(one.path, path))) return () => null;
    report(context, at.path, "sharing", "a reference to an earlier object of the snapshot", `a reference to ${path}`, {
      remedy: "Restore it together with what it refers to",
    });
    return () => null;
  }
  const object = context.objects.byPath.get(path);
  const livePlain = context.values.live.get(path);
  const isOther = object === undefined
    ? at.live !== livePlain && holdsObjects(context.liveKinds, at.live)
    : at.live !== object;
  if (at.live !== noLiveValue && isOther) {
    // Objects that building made separate adopt what the snapshot shares.
    if (context.live === undefined && object !== undefined && adopt !== undefined) adopt(object);
    else if (context.live !== undefined || !at.inFields) {
      report(context, at.path, "sharing", `the same object as ${path}`, "a separate object", { saved: "expected" });
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
  const { kinds, liveKinds } = context;
  const name = kindOf(node);
  if (live === noLiveValue || live === null || name.startsWith(codecPrefix)) return true;
  const kind = kinds.get(name);
  const fits = kind !== undefined
    ? kind.is(live)
    : node === null
    ? inFields || !isComponent(liveKinds, live)
    : liveKindOf(liveKinds, live) === name;
  if (!fits) report(context, path, "kind", describeNode(node), describeLive(liveKinds, live), { saved: "expected" });
  return fits;
}

// --- plain data

/**
 * Restores plain data: a scalar, list, record or typed array, and the components inside it.
 *
 * Plain data is not restored in place: each restore makes a new value. Where live plain data differs from the saved data, the difference is
 * reported, once for the outermost value that holds no component.
 */
function restorePlain(context: RestoreContext, node: Node, at: Destination): Lazy<unknown> {
  if (context.overrides === undefined || at.isCompared || at.live === noLiveValue || holdsComponents(node)) {
    return restoreData(context, node, at);
  }
  const value = restoreData(context, node, { ...at, isCompared: true });
  compareLive(context, at, at.live, value());
  return value;
}

function restoreData(context: RestoreContext, node: Node, at: Destination): Lazy<unknown> {
  if (isScalar(node)) return () => node;
  if (!isBranch(node)) return restoreList(context, node, at);
  if (node.is === "record") return restoreRecord(context, node.entries, at);
  if (node.is !== "array" || isDType(node.held.element)) return () => null;
  // Plain data may be written to, so each restore copies. It copies in the plan, because the allocation may fail.
  const array = typedView(node.held.element, node.held.resident?.slice() ?? new Uint8Array());
  return () => array;
}

function restoreRecord(context: RestoreContext, entries: readonly Named[], at: Destination): Lazy<unknown> {
  const live = isPlainRecord(at.live) ? at.live : undefined;
  const below = (name: string, value: unknown): Destination => ({ ...at, path: join(at.path, name), live: value });
  const names = new Set(entries.map(([name]) => name));
  const liveOnly = Object.entries(live ?? {}).filter(([name]) => !names.has(name));
  const { liveKinds } = context;
  for (const [name, value] of liveOnly) {
    if (at.inFields || !isComponent(liveKinds, value)) continue;
    report(context, join(at.path, name), "missing", describeLive(liveKinds, value), "nothing", { saved: "found" });
  }
  const parts = entries.map(([name, child]) => {
    const isLive = live !== undefined && Object.hasOwn(live, name);
    const there = below(name, isLive ? live[name] : noLiveValue);
    if (live !== undefined && !isLive && !at.inFields && holdsComponents(child)) {
      report(context, there.path, "extra", "nothing", describeNode(child), { saved: "found" });
    }
    const part = restoreNode(context, child, there);
    if (!isLive && at.live !== noLiveValue && !holdsComponents(child)) compareLive(context, there, undefined, part());
    return [name, part] as const;
  });
  for (const [name, value] of liveOnly) {
    if (!isComponent(liveKinds, value)) compareLive(context, below(name, value), value, undefined);
  }
  return () => Object.fromEntries(parts.map(([name, part]) => [name, part()]));
}

function restoreList(context: RestoreContext, items: readonly Node[], at: Destination): Lazy<unknown> {
  const live: readonly unknown[] = Array.isArray(at.live) ? at.live : [];
  const below = (i: number, value: unknown): Destination => ({ ...at, path: join(at.path, i), live: value });
  const { liveKinds } = context;
  for (let i = items.length; i < live.length; i++) {
    if (at.inFields || !holdsObjects(liveKinds, live[i])) continue;
    report(context, join(at.path, i), "missing", describeLive(liveKinds, live[i]), "nothing", { saved: "found" });
  }
  // A scalar may replace an item of another kind; what is restored in place needs a saved state.
  const parts = items.map((item, i): Lazy<unknown> => {
    if (!isScalar(item) || holdsObjects(liveKinds, live[i])) {
      return restoreNode(context, item, below(i, i < live.length ? live[i] : noLiveValue));
    }
    if (!at.isCompared && at.live !== noLiveValue) compareLive(context, below(i, live[i]), live[i], item);
    return () => item;
  });
  for (let i = items.length; i < live.length; i++) {
    if (!isComponent(liveKinds, live[i])) compareLive(context, below(i, live[i]), live[i], undefined);
  }
  return () => parts.map((part) => part());
}
