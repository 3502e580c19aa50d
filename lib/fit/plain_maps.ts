/**
 * Maps and Sets as plain data, so that they can be captured, and back.
 *
 * @module
 */
import { isPlainRecord } from "../validation/mod.ts";
import { join } from "../state/mod.ts";

// --- types

/** A Map or a Set as plain data. */
interface Tagged {
  readonly _tag: string;
  readonly items: readonly unknown[];
}

// --- constructors

export const mapTag = "dogear/Map";
const setTag = "dogear/Set";

/** Whether a value is a Map or a Set as plain data. */
export function isTagged(value: unknown): value is Tagged {
  return isPlainRecord(value) && (value["_tag"] === mapTag || value["_tag"] === setTag) &&
    Array.isArray(value["items"]);
}

// --- capture

function captureError(path: string, expected: string, found: string): TypeError {
  return new TypeError(`Cannot capture ${path}: expected ${expected}, found ${found}`);
}

/** Rejects a Map or Set that has more than its items, which would be lost: a subclass, or properties. */
function checkOnlyItems(value: ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>, path: string): void {
  const [kind, prototype] = value instanceof Map ? ["Map", Map.prototype] : ["Set", Set.prototype];
  if (Object.getPrototypeOf(value) !== prototype) {
    const found = `an instance of ${value.constructor.name}, which extends ${kind}`;
    throw captureError(path, `a ${kind}, or plain data`, found);
  }
  const names = Reflect.ownKeys(value).map(String);
  if (names.length > 0) {
    throw captureError(path, `a ${kind} of items alone`, `one with names beside its items: ${names}`);
  }
}

/** In `made`, marks a Map or Set that is being converted. */
const unfinished = {};

/**
 * A value with its Maps and Sets, at any depth, as plain data. A value without any is returned as it is.
 *
 * @param path Its path, for errors.
 * @param made The values converted so far, so that shared ones stay shared.
 */
export function withoutMaps(value: unknown, path: string, made: Map<object, unknown>): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (made.has(value)) return made.get(value);
  const isMapOrSet = value instanceof Map || value instanceof Set;
  if (!isMapOrSet && !Array.isArray(value) && !isPlainRecord(value)) return value;
  if (isMapOrSet) checkOnlyItems(value, path);
  // The capture rejects an array or record that contains itself, with its path.
  made.set(value, isMapOrSet ? unfinished : value);
  if (isTagged(value)) {
    throw captureError(path, "another _tag", `${value._tag}, which is how a Map or a Set is saved`);
  }
  const result = mapParts(value, path, (part, at) => {
    const inner = withoutMaps(part, at, made);
    if (inner === unfinished) {
      throw captureError(at, "data without a cycle", "a Map or Set that it is itself a part of");
    }
    return inner;
  });
  made.set(value, result);
  return result;
}

/** A container with its parts converted, or the container itself if no part changed. */
function mapParts(value: object, path: string, convert: (part: unknown, path: string) => unknown): object {
  if (value instanceof Map) {
    const items = [...value].map((pair, i) => pair.map((part, side) => convert(part, `${path}/items/${i}/${side}`)));
    return { _tag: mapTag, items };
  }
  if (value instanceof Set) {
    return { _tag: setTag, items: [...value].map((item, i) => convert(item, `${path}/items/${i}`)) };
  }
  // The capture rejects holes, and properties other than the items.
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

/** The inverse of {@link withoutMaps}. */
export function withMaps(value: unknown, made: Map<object, unknown>): unknown {
  if (typeof value !== "object" || value === null || !(Array.isArray(value) || isPlainRecord(value))) return value;
  if (made.has(value)) return made.get(value);
  const convert = (part: unknown): unknown => withMaps(part, made);
  const result = !isTagged(value)
    ? mapParts(value, "", convert)
    : value._tag === mapTag
    ? new Map(value.items.map(convert) as [unknown, unknown][])
    : new Set(value.items.map(convert));
  made.set(value, result);
  return result;
}
