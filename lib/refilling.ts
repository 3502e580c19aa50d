/**
 * Objects that user code refers to, as state: Maps and Sets as plain data, and restored contents put back into the very arrays, records, typed
 * arrays, Maps and Sets that closures hold.
 *
 * Law *same bits*: what a closure sees after a restore is what it saw when the state was captured.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isPlainRecord } from "./rules.ts";
import { entry, isBranch, join, type Node, unwrap } from "./state_tree.ts";
import { isTypedArray } from "./tensor.ts";

// --- types

type Fields = Record<string, unknown>;

/** How a live value must match a saved one: in a `fixed` place kinds and shapes must agree, in `free` ones anything may have changed. */
type Place = "fixed" | "free";

// --- constructors

const [mapTag, setTag] = ["dogear/Map", "dogear/Set"];

function isTagged(value: unknown): value is { readonly _tag: string; readonly items: readonly unknown[] } {
  return isPlainRecord(value) && (value["_tag"] === mapTag || value["_tag"] === setTag) &&
    Array.isArray(value["items"]);
}

// --- capture

function refusal(path: string, expected: string, found: string): TypeError {
  return new TypeError(`Cannot capture ${path}: expected ${expected}, found ${found}`);
}

/** Sees that a Map or Set is nothing but its items: what a class of the user's or a name adds would be lost. */
function checkPlain(value: ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>, path: string): void {
  const [kind, prototype] = value instanceof Map ? ["Map", Map.prototype] : ["Set", Set.prototype];
  if (Object.getPrototypeOf(value) !== prototype) {
    throw refusal(path, `a ${kind}, or plain data`, `an instance of ${value.constructor.name}, which extends ${kind}`);
  }
  const names = Reflect.ownKeys(value).map(String);
  if (names.length > 0) throw refusal(path, `a ${kind} of items alone`, `one with names beside its items: ${names}`);
}

/**
 * A value whose Maps and Sets, at any depth, are records that can be captured; what holds none is the value itself.
 *
 * @param path Its path, for errors.
 * @param made What was converted before, so that what is shared stays so.
 */
export function withoutMaps(value: unknown, path: string, made: Map<object, unknown>): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (made.has(value)) return made.get(value);
  const plain = Array.isArray(value) || isPlainRecord(value);
  const kept = value instanceof Map || value instanceof Set;
  if (!plain && !kept) return value;
  if (kept) checkPlain(value, path);
  // An array or record that is a part of itself is refused by the capture, with its path.
  made.set(value, kept ? partOfItself : value);
  if (isTagged(value)) {
    throw refusal(path, "another _tag", `${value._tag}, which is how a Map or a Set is saved`);
  }
  const result = converted(value, path, (part, at) => {
    const inner = withoutMaps(part, at, made);
    if (inner === partOfItself) throw refusal(at, "data without a cycle", "a Map or Set that it is itself a part of");
    return inner;
  });
  made.set(value, result);
  return result;
}

/** What stands for a Map or Set while it is converted. */
const partOfItself = {};

function converted(value: object, path: string, convert: (part: unknown, path: string) => unknown): object {
  if (value instanceof Map) {
    const items = [...value].map((pair, i) => pair.map((part, side) => convert(part, `${path}/items/${i}/${side}`)));
    return { _tag: mapTag, items };
  }
  if (value instanceof Set) {
    return { _tag: setTag, items: [...value].map((item, i) => convert(item, `${path}/items/${i}`)) };
  }
  // Holes and names beside the items are the capture's to refuse.
  if (Array.isArray(value)) {
    const items = value.map((item, i) => convert(item, `${path}/${i}`));
    return items.every((item, i) => Object.is(item, value[i])) ? value : items;
  }
  const entries = Object.entries(value).map(([name, part]) => [name, convert(part, join(path, name)), part] as const);
  return entries.every(([, part, before]) => Object.is(part, before))
    ? value
    : Object.fromEntries(entries.map(([name, part]) => [name, part]));
}

// --- restore

/** The inverse of {@link withoutMaps}, on what a restore gave. */
function withMaps(value: unknown, made: Map<object, unknown>): unknown {
  if (typeof value !== "object" || value === null || !(Array.isArray(value) || isPlainRecord(value))) return value;
  if (made.has(value)) return made.get(value);
  if (!isTagged(value)) {
    const result = converted(value, "", (part) => withMaps(part, made));
    made.set(value, result);
    return result;
  }
  const items = value.items.map((item) => withMaps(item, made));
  const result = value._tag === mapTag ? new Map(items as [unknown, unknown][]) : new Set(items);
  made.set(value, result);
  return result;
}

/** Whether a value is restored in place. */
export function isInPlace(value: unknown): boolean {
  // tfjs's own test for an optimizer looks into what it is given.
  if (typeof value !== "object" || value === null) return false;
  return value instanceof tf.Variable || value instanceof tf.LayersModel || value instanceof tf.Optimizer ||
    value instanceof tf.layers.Layer;
}

/**
 * Live values in the form in which they were saved, so that the contents of containers may differ: what is restored in place stays where it
 * is, everything else is null where it may be replaced.
 *
 * @param live A live value, its Maps and Sets as {@link withoutMaps} gives them.
 * @param node What was saved in its place.
 * @param place What must agree.
 * @param shared The live object at the path of an object that was saved earlier, if it is known.
 */
export function aligned(live: unknown, node: Node, place: Place, shared: (path: string) => unknown): unknown {
  const saved = unwrap(node);
  if (isBranch(saved) && saved.is === "shared") {
    return shared(saved.path) ?? (place === "fixed" || isInPlace(live) ? live ?? null : null);
  }
  if (isBranch(saved) && saved.is === "kind") return live ?? null;
  const below = (part: unknown, of: Node, at: Place): unknown => aligned(part, of, at, shared);
  if (Array.isArray(saved)) {
    if (!Array.isArray(live)) return place === "fixed" ? live ?? null : null;
    const extra = live.slice(saved.length).filter(isInPlace);
    return [...live.slice(0, saved.length).map((item, i) => below(item, saved[i] as Node, "free")), ...extra];
  }
  if (isBranch(saved) && saved.is === "record") {
    if (isTagged(live) && entry(saved, "_tag") === mapTag && live._tag === mapTag) {
      return alignedMap(live, saved, below);
    }
    if (!isPlainRecord(live)) return place === "fixed" ? live ?? null : null;
    const extra = Object.entries(live).filter(([name, value]) => entry(saved, name) === undefined && isInPlace(value));
    const own = saved.entries.map(([name, child]) => [
      name,
      below(Object.hasOwn(live, name) ? live[name] : undefined, child, "free"),
    ]);
    return Object.fromEntries([...own, ...extra]);
  }
  return place === "fixed" ? live ?? null : null;
}

/** The entries of a Map in the order in which they were saved, by their keys; keys that are objects are known by their order. */
function alignedMap(
  live: { readonly items: readonly unknown[] },
  saved: Node,
  below: (part: unknown, of: Node, at: Place) => unknown,
): unknown {
  const before = live.items as readonly (readonly [unknown, unknown])[];
  const [values, objects] = [new Map(before), before.filter(([key]) => isObject(key))];
  const pairs = entry(saved, "items") as readonly (readonly [Node, Node])[];
  let at = 0;
  const taken = new Set<unknown>();
  const items = pairs.map(([key, value]) => {
    const [own, part] = isObject(key) ? objects[at++] ?? [] : [key, values.get(key)];
    taken.add(own);
    return [below(own, key, "free"), below(part, value, "free")];
  });
  const extra = before.filter(([key, value]) => !taken.has(key) && (isInPlace(key) || isInPlace(value)));
  return { _tag: mapTag, items: [...items, ...extra] };
}

/** The object that is restored in place at a path of live values, if there is one. */
export function liveAt(live: unknown, path: string): unknown {
  const names = path.split("/").map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  let value = live;
  for (const name of names) {
    if (!(Array.isArray(value) || isPlainRecord(value)) || !Object.hasOwn(value, name)) return undefined;
    value = (value as Fields)[name];
  }
  return isInPlace(value) ? value : undefined;
}

/** Puts restored values into the live objects that are to hold them; one for all values of a restore, so that what is shared stays so. */
export function refiller(): (live: unknown, restored: unknown) => unknown {
  const made = new Map<object, unknown>();
  const done = new Map<object, unknown>();
  const taken = new Set<object>();
  const refill = (live: unknown, value: unknown): unknown => {
    if (typeof value !== "object" || value === null || value === live) return value;
    const earlier = done.get(value);
    if (earlier !== undefined) return earlier;
    const target = isTarget(live, value) && !taken.has(live) ? live : undefined;
    if (target !== undefined) taken.add(target);
    const result = target ?? value;
    done.set(value, result);
    fill(target, value, refill);
    return result;
  };
  return (live, restored) => refill(live, withMaps(restored, made));
}

/** Whether a live object can hold what was restored. */
function isTarget(live: unknown, value: object): live is object {
  if (typeof live !== "object" || live === null) return false;
  if (live instanceof Map) return value instanceof Map;
  if (live instanceof Set) return value instanceof Set;
  if (isTypedArray(value)) {
    return isTypedArray(live) && live.constructor === value.constructor && live.length === value.length;
  }
  if (Object.isFrozen(live) && !isEmpty(value)) return false;
  return Array.isArray(value) ? Array.isArray(live) : isPlainRecord(value) && isPlainRecord(live);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0;
}

/** Fills a live container, or where there is none the restored one with its parts. */
function fill(target: object | undefined, value: object, refill: (live: unknown, part: unknown) => unknown): void {
  if (isTypedArray(value)) return void (target as Uint8Array | undefined)?.set(value as Uint8Array);
  if (value instanceof Map) {
    const [before, into] = [target as Map<unknown, unknown> | undefined, (target ?? value) as Map<unknown, unknown>];
    // Objects that are keys are known by their order, like the items of a Set.
    const keys = [...before?.keys() ?? []].filter(isObject);
    let at = 0;
    const pairs = [...value].map(([key, part]) => {
      const live = isObject(key) ? keys[at++] : key;
      return [refill(live, key), refill(before?.get(live), part)] as const;
    });
    into.clear();
    for (const [key, part] of pairs) into.set(key, part);
  } else if (value instanceof Set) {
    const before = [...(target ?? []) as Set<unknown>];
    const items = [...value].map((item, i) => refill(before[i], item));
    const into = (target ?? value) as Set<unknown>;
    into.clear();
    for (const item of items) into.add(item);
  } else if (Array.isArray(value)) {
    const before = target as unknown[] | undefined;
    const items = value.map((item, i) => refill(before?.[i], item));
    if (before !== undefined) before.splice(0, before.length, ...items);
    else if (!Object.isFrozen(value)) items.forEach((item, i) => value[i] = item);
  } else if (isPlainRecord(value)) fillRecord(target as Fields | undefined, value, refill);
}

function fillRecord(
  target: Fields | undefined,
  value: Fields,
  refill: (live: unknown, part: unknown) => unknown,
): void {
  const names = Object.keys(value);
  const parts = names.map((name) => [name, refill(target?.[name], value[name])] as const);
  if (target === undefined && Object.isFrozen(value)) return;
  const into = target ?? value;
  // Code that iterates over names sees their order.
  const before = Object.keys(into).filter((name) => Object.hasOwn(value, name));
  const reordered = before.some((name, i) => name !== names[i]);
  for (const name of Object.keys(into)) if (reordered || !Object.hasOwn(value, name)) drop(into, name);
  for (const [name, part] of parts) assign(into, name, part);
}

/** Removes a field, unless it is an accessor. */
function drop(record: Fields, name: string): void {
  if (Object.getOwnPropertyDescriptor(record, name)?.get === undefined) delete record[name];
}

/** Sets a field that has another value; `__proto__` is a name like any other. */
export function assign(record: object, name: string, value: unknown): void {
  const fields = record as Fields;
  if (Object.hasOwn(record, name) && Object.is(fields[name], value)) return;
  if (name !== "__proto__") fields[name] = value;
  else Object.defineProperty(record, name, { value, writable: true, enumerable: true, configurable: true });
}
