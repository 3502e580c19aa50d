/**
 * Restores values into the arrays, records, typed arrays, Maps and Sets that user code refers to.
 *
 * A restore makes new containers. A function that closes over the old ones would not see them, so their contents are written into the old ones.
 *
 * Law *same bits*: after a restore, a closure sees what it saw when the state was captured.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { kinds } from "../kinds.ts";
import { isTagged, mapTag, withMaps } from "./plain_maps.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { entry, isBranch, isTypedArray, join, type Node, unwrap } from "../state/mod.ts";

// --- types

/** Refills a part of a container: the live part, the restored one, and its name or index. */
type RefillPart = (live: unknown, part: unknown, name: unknown) => unknown;

type Fields = Record<string, unknown>;

/** Finds the live object at the path of an object that is saved earlier in the tree, if it is restored in place. */
type FindShared = (path: string) => unknown;

// --- restore

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Whether a value is restored in place. */
export function isInPlace(value: unknown): boolean {
  // tfjs's own test for an optimizer reads properties of any argument.
  if (!isObject(value)) return false;
  return value instanceof tf.Variable || value instanceof tf.Optimizer || value instanceof tf.layers.Layer;
}

/** The kind of a value of the toolkit that is plain data, such as a schedule; undefined for another value. */
export function valueKindOf(value: unknown): string | undefined {
  if (!isPlainRecord(value) || typeof value["_tag"] !== "string") return undefined;
  return kinds.find(({ name, is }) => name === value["_tag"] && is(value))?.name;
}

/** Whether a value never changes: it is one of the toolkit, or a frozen array or record. A frozen Map or Set still changes. */
export function isImmutable(value: unknown): boolean {
  if (!Array.isArray(value) && !isPlainRecord(value)) return false;
  return Object.isFrozen(value) || valueKindOf(value) !== undefined;
}

/** Whether a live value and a saved node are plain data of the same kind, so that replacing it is reported. */
export function isSameKind(value: unknown, node: Node | undefined): boolean {
  if (typeof node !== "object" || node === null) return typeof value === typeof node;
  return Array.isArray(node) ? Array.isArray(value) : isBranch(node) && node.is === "record" && isPlainRecord(value);
}

/**
 * A live value in the form of a saved one, so that a restore into it accepts containers whose contents differ: what is restored in place stays,
 * what may be replaced by another kind is null.
 *
 * @param live The live value, with its Maps and Sets as plain data.
 * @param node The saved value.
 * @param match Whether the kinds of the two must be the `same`, or may be `any`.
 * @param shared Finds live objects for references.
 */
export function aligned(live: unknown, node: Node, match: "same" | "any", shared: FindShared): unknown {
  const saved = unwrap(node);
  const other = match === "same" ? live ?? null : null;
  const alignPart = (part: unknown, of: Node): unknown =>
    aligned(part, of, match === "same" && isSameKind(part, of) ? "same" : "any", shared);
  if (Array.isArray(saved)) {
    if (!Array.isArray(live)) return other;
    const extra = live.slice(saved.length).filter(isInPlace);
    return [...live.slice(0, saved.length).map((item, i) => alignPart(item, saved[i] as Node)), ...extra];
  }
  if (!isBranch(saved)) return other;
  if (saved.is === "shared") return shared(saved.path) ?? (isInPlace(live) ? live : other);
  if (saved.is === "kind") return live ?? null;
  if (saved.is !== "record") return other;
  const isMap = isTagged(live) && live._tag === mapTag && entry(saved, "_tag") === mapTag;
  if (isMap) return alignedMap(live, saved, alignPart);
  if (!isPlainRecord(live)) return other;
  const parts = saved.entries.map(([name, child]) =>
    [name, alignPart(Object.hasOwn(live, name) ? live[name] : undefined, child)] as const
  );
  const extra = Object.entries(live).filter(([name, value]) => entry(saved, name) === undefined && isInPlace(value));
  return Object.fromEntries([...parts, ...extra]);
}

/** A live Map with its entries in the saved order of the keys. Keys that are objects are matched by their order. */
function alignedMap(
  live: { readonly items: readonly unknown[] },
  saved: Node,
  alignPart: (part: unknown, of: Node) => unknown,
): unknown {
  const before = live.items as readonly (readonly [unknown, unknown])[];
  const [values, objects] = [new Map(before), before.filter(([key]) => isObject(key))];
  const pairs = entry(saved, "items") as readonly (readonly [Node, Node])[];
  let at = 0;
  const taken = new Set<unknown>();
  const items = pairs.map(([key, value]) => {
    const [own, part] = isObject(key) ? objects[at++] ?? [] : [key, values.get(key)];
    taken.add(own);
    return [alignPart(own, key), alignPart(part, value)];
  });
  const extra = before.filter(([key, value]) => !taken.has(key) && (isInPlace(key) || isInPlace(value)));
  return { _tag: mapTag, items: [...items, ...extra] };
}

/** The value at a path of live values. */
export function valueAt(live: unknown, path: string): unknown {
  const names = path.split("/").map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  let value = live;
  for (const name of names) {
    if (!(Array.isArray(value) || isPlainRecord(value)) || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** The object at a path of live values, if it is restored in place. */
export function liveAt(live: unknown, path: string): unknown {
  const value = valueAt(live, path);
  return isInPlace(value) ? value : undefined;
}

/**
 * A function that writes restored values into live objects, and returns the object that then has the contents. One refiller serves a whole
 * restore, so that shared values stay shared. Where it gets the path of a value, it notes the paths of live objects that could not be written
 * into, so that others took their place. Those that never change are not noted.
 */
export function refiller(
  replaced: string[] = [],
): (live: unknown, restored: unknown, path?: string) => unknown {
  const made = new Map<object, unknown>();
  const done = new Map<object, unknown>();
  const taken = new Set<object>();
  const refill = (live: unknown, value: unknown, path: string | undefined): unknown => {
    if (!isObject(value) || value === live) return value;
    const earlier = done.get(value);
    if (earlier !== undefined) return earlier;
    const before = isSameContainer(live, value) && !taken.has(live) ? live : undefined;
    if (before !== undefined) taken.add(before);
    const isValue = isImmutable(live);
    // What is inside a frozen container is written into all the same.
    const target = isValue ? undefined : before;
    if (target === undefined && path !== undefined && isObject(live) && !isValue) replaced.push(path);
    const result = target ?? value;
    done.set(value, result);
    const refillPart: RefillPart = (part, of, name) =>
      refill(part, of, path === undefined ? path : join(path, String(name)));
    fill(target, before, value, refillPart);
    return result;
  };
  return (live, restored, path) => refill(live, withMaps(restored, made), path);
}

/** Whether a live object is a container of the sort of a restored value, and no value of the toolkit. */
function isSameContainer(live: unknown, value: object): live is object {
  if (!isObject(live) || valueKindOf(live) !== undefined) return false;
  if (live instanceof Map) return value instanceof Map;
  if (live instanceof Set) return value instanceof Set;
  if (isTypedArray(value)) {
    return isTypedArray(live) && live.constructor === value.constructor && live.length === value.length;
  }
  return Array.isArray(value) ? Array.isArray(live) : isPlainRecord(value) && isPlainRecord(live);
}

/**
 * Writes restored contents into a live container.
 *
 * @param target The container; without one, the refilled parts are written into the restored container.
 * @param live The container with the live parts: the target, or a frozen one.
 */
function fill(target: object | undefined, live: object | undefined, value: object, refill: RefillPart): void {
  if (isTypedArray(value)) return void (target as Uint8Array | undefined)?.set(value as Uint8Array);
  if (value instanceof Map) {
    const [before, into] = [target as Map<unknown, unknown> | undefined, (target ?? value) as Map<unknown, unknown>];
    // Keys that are objects are matched by their order, like the items of a Set.
    const keys = [...before?.keys() ?? []].filter(isObject);
    let at = 0;
    const pairs = [...value].map(([key, part]) => {
      const live = isObject(key) ? keys[at++] : key;
      return [refill(live, key, key), refill(before?.get(live), part, key)] as const;
    });
    into.clear();
    for (const [key, part] of pairs) into.set(key, part);
  } else if (value instanceof Set) {
    const [before, into] = [[...(target ?? []) as Set<unknown>], (target ?? value) as Set<unknown>];
    const items = [...value].map((item, i) => refill(before[i], item, i));
    into.clear();
    for (const item of items) into.add(item);
  } else if (Array.isArray(value)) {
    const [before, into] = [live as unknown[] | undefined, target as unknown[] | undefined];
    const items = value.map((item, i) => refill(before?.[i], item, i));
    if (into !== undefined) into.splice(0, into.length, ...items);
    else if (!Object.isFrozen(value)) items.forEach((item, i) => value[i] = item);
  } else if (isPlainRecord(value)) fillRecord(target as Fields | undefined, live as Fields | undefined, value, refill);
}

function fillRecord(
  target: Fields | undefined,
  live: Fields | undefined,
  value: Fields,
  refill: RefillPart,
): void {
  const names = Object.keys(value);
  const parts = names.map((name) => [name, refill(live?.[name], value[name], name)] as const);
  if (target === undefined && Object.isFrozen(value)) return;
  const into = target ?? value;
  // The order of names is observable.
  const before = Object.keys(into).filter((name) => Object.hasOwn(value, name));
  const reordered = before.some((name, i) => name !== names[i]);
  for (const name of Object.keys(into)) {
    const isAccessor = Object.getOwnPropertyDescriptor(into, name)?.get !== undefined;
    if ((reordered || !Object.hasOwn(value, name)) && !isAccessor) delete into[name];
  }
  for (const [name, part] of parts) assign(into, name, part);
}

/** Sets a field unless it has this value already; `__proto__` is a name like any other. */
export function assign(record: object, name: string, value: unknown): void {
  const fields = record as Record<string, unknown>;
  if (Object.hasOwn(record, name) && Object.is(fields[name], value)) return;
  if (name !== "__proto__") fields[name] = value;
  else Object.defineProperty(record, name, { value, writable: true, enumerable: true, configurable: true });
}
