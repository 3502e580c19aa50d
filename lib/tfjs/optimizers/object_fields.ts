/**
 * The fields of objects of user-defined classes as state: plain data, tensors, variables, other components, and the values of `field_kinds.ts`.
 *
 * Fields are captured and restored last, so that a field that refers to a model's variable is stored as a reference to the model.
 * A restored container is copied into the live one, so that closures over the live one see the restored content.
 *
 * Laws: *round trip*, *canonical*, *all or nothing*.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isTypedArray, type Named, type Node, type Site, type Target } from "../../state/mod.ts";
import { isPlainRecord } from "../../validation/mod.ts";
import { recordEntries, registeredVariable } from "../mod.ts";
import { isGeneratedWeightName, isPlainData, reportRemoved } from "./field_kinds.ts";
import { isOptimizer, optimizerClassOf } from "./optimizer_class.ts";

// --- types

type ObjectFields = Record<string, unknown>;

// --- capture and restore

/**
 * Encodes the fields of an object, after everything else has been encoded.
 *
 * @param object The object.
 * @param skip Names of fields that are encoded elsewhere.
 * @param site The object's site.
 * @returns A record of the fields. Symbols, accessors and fields that are not enumerable are refused.
 */
export function encodeFields(object: object, skip: ReadonlySet<string | symbol>, site: Site): Node {
  return site.deferred(
    "fields",
    (at) =>
      ownFieldNames(object, at).filter((name) => !skip.has(name)).map((name): Named => [
        name,
        at.part(name, (object as ObjectFields)[name]),
      ]),
  );
}

/** The names of an object's own fields; refuses fields that cannot be read and set. */
function ownFieldNames(object: object, site: Site): readonly string[] {
  return Reflect.ownKeys(object).map((name) => {
    const { enumerable, get, set } = Object.getOwnPropertyDescriptor(object, name) as PropertyDescriptor;
    if (typeof name === "symbol") return site.refuse("fields with names that are strings", `the field ${String(name)}`);
    if (get !== undefined || set !== undefined) {
      return site.refuse("a field that holds a value", "an accessor", name);
    }
    return enumerable ? name : site.refuse("a field that is enumerable", "one that is not", name);
  });
}

/**
 * Restores fields into a live object. Variables are assigned in place, missing fields are created, and fields that only the live object
 * has are deleted and their tensors disposed. Functions are left alone.
 *
 * @param state What {@link encodeFields} returned.
 * @param object The live object.
 * @param skip Names of fields that are restored elsewhere.
 * @param target The object's target.
 */
export function restoreFields(state: Node, object: object, skip: ReadonlySet<string | symbol>, target: Target): void {
  const fields = object as ObjectFields;
  target.deferred("fields", (at) => {
    const parts = recordEntries(state).map(([name, node]) =>
      [name, at.part(name, Object.hasOwn(fields, name) ? fields[name] : undefined, node)] as const
    );
    const names = new Set(parts.map(([name]) => name));
    const own = (): readonly string[] => Object.keys(fields).filter((name) => !skip.has(name));
    for (const name of own()) {
      if (Object.getOwnPropertyDescriptor(fields, name)?.writable !== true) {
        at.problem("config", "a field that can be set", "one that is fixed", name);
      }
      if (!names.has(name) && isPlainData(fields[name])) reportRemoved(at, name, fields[name]);
    }
    target.finish(() => {
      const [oldObjects, newObjects] = [new Set<object>(), new Set<object>()];
      const oldTensors = tensorsInFields(own().map((name) => fields[name]), oldObjects);
      for (const [name, part] of parts) fields[name] = refill(fields[name], part(), at);
      for (const name of own()) if (!names.has(name) && typeof fields[name] !== "function") delete fields[name];
      const newTensors = tensorsInFields(own().map((name) => fields[name]), newObjects);
      for (const tensor of newTensors) if (!(tensor instanceof tf.Variable)) tf.keep(tensor);
      for (const tensor of oldTensors) if (!newTensors.has(tensor) && isOwned(tensor, at)) tensor.dispose();
      for (const old of oldObjects) {
        const isReplaced = isOptimizer(old) && !newObjects.has(old) && !at.isUsedElsewhere(old);
        if (isReplaced && optimizerClassOf(old).exact) old.dispose();
      }
    });
  });
}

/**
 * Whether only the live object held a tensor, so that it can be disposed: no other component has it, it is not trained, and it is not a
 * layer's weight. A slot is named after a weight, but its name continues after that of a registered variable.
 */
function isOwned(tensor: tf.Tensor, target: Target): boolean {
  if (tensor.isDisposed || target.isUsedElsewhere(tensor)) return false;
  if (!(tensor instanceof tf.Variable)) return true;
  const isSlot = [...tensor.name.matchAll(/\//g)].some(({ index }) => registeredVariable(tensor.name.slice(0, index)));
  return !tensor.trainable && (isSlot || !isGeneratedWeightName(tensor.name));
}

// --- combinators

/** All tensors and variables in a value, including those in Maps, Sets and optimizers. */
export function tensorsInFields(
  value: unknown,
  seen: Set<object> = new Set(),
  found: Set<tf.Tensor> = new Set(),
): ReadonlySet<tf.Tensor> {
  if (typeof value !== "object" || value === null || seen.has(value)) return found;
  seen.add(value);
  if (value instanceof tf.Tensor) return found.add(value);
  const parts = Array.isArray(value) || value instanceof Set
    ? value
    : value instanceof Map
    ? [...value].flat()
    : isPlainRecord(value) || value instanceof tf.Optimizer
    ? Object.values(value)
    : [];
  for (const part of parts) tensorsInFields(part, seen, found);
  return found;
}

/** A container that is filled with what was restored: the live one if it can be reused, otherwise the restored one. */
type Reuse = <A extends object>(restored: A) => A;

/**
 * Copies a restored value into the live container of the same class, because a closure may hold the live one.
 *
 * @param live The live value.
 * @param restored The restored value.
 * @param target Remembers which live containers were used: each takes one restored value.
 * @returns The live container, or the restored value if there is none to reuse.
 */
function refill(live: unknown, restored: unknown, target: Target): unknown {
  const { refilled } = target;
  if (typeof restored !== "object" || restored === null || target.isUsedElsewhere(restored)) return restored;
  if (refilled.has(restored)) return refilled.get(restored);
  const isReusable = typeof live === "object" && live !== null && live !== restored && !refilled.has(live) &&
    !target.isUsedElsewhere(live) && Object.getPrototypeOf(live) === Object.getPrototypeOf(restored) &&
    Object.isExtensible(live) && !Object.isSealed(live);
  const reuse: Reuse = <A extends object>(value: A): A => {
    const container = (isReusable ? live : value) as A;
    refilled.set(value, container).set(container, container);
    return container;
  };
  if (Array.isArray(restored)) return refillArray(live, restored, reuse, target);
  if (restored instanceof Map) return refillEntries(live, restored, reuse, target);
  if (restored instanceof Set) {
    const [items, set] = [[...restored], reuse(restored)];
    set.clear();
    for (const item of items) set.add(item);
    return set;
  }
  if (isTypedArray(restored)) {
    if (!isReusable || (live as typeof restored).length !== restored.length) return restored;
    (reuse(restored) as Uint8Array).set(restored as Uint8Array);
    return live;
  }
  return isPlainRecord(restored) && !("_tag" in restored) ? refillEntries(live, restored, reuse, target) : restored;
}

function refillArray(live: unknown, restored: readonly unknown[], reuse: Reuse, target: Target): unknown[] {
  const old = Array.isArray(live) ? live.slice() : [];
  const array = reuse(restored as unknown[]);
  const items = restored.map((item, i) => refill(old[i], item, target));
  array.length = 0;
  for (const item of items) array.push(item);
  return array;
}

/** Refills a Map or a record. */
function refillEntries<A extends object>(live: unknown, restored: A, reuse: Reuse, target: Target): A {
  const entriesOf = (u: unknown): readonly (readonly [unknown, unknown])[] =>
    restored instanceof Map ? (u instanceof Map ? [...u] : []) : isPlainRecord(u) ? Object.entries(u) : [];
  const old = new Map(entriesOf(live));
  const container = reuse(restored);
  const entries = entriesOf(restored).map(([key, value]) => [key, refill(old.get(key), value, target)] as const);
  if (container instanceof Map) {
    container.clear();
    for (const [key, value] of entries) container.set(key, value);
    return container;
  }
  for (const key of Object.keys(container)) Reflect.deleteProperty(container, key);
  for (const [key, value] of entries) {
    // Not by assignment: the key may be `__proto__`, which has a setter.
    Object.defineProperty(container, key as string, { value, writable: true, enumerable: true, configurable: true });
  }
  return container;
}
