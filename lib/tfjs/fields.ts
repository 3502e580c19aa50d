/**
 * The fields of objects of the user's own classes as state: plain data, tensors, variables, other components, and what
 * {@link fieldKinds} knows.
 *
 * Fields are captured and restored after everything else: a reference to a model's variable is a reference to that model.
 *
 * Laws: *round trip*, *canonical*, *all or nothing*; live containers are refilled, so that closures that hold them see what was restored.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Site, Target } from "../component.ts";
import { isPlainRecord } from "../rules.ts";
import { isBranch, type Named, type Node } from "../state_tree.ts";
import { isTypedArray } from "../tensor.ts";
import { isData, isLayerName, overridesPart, registered } from "./field_kinds.ts";
import { classOf, isOptimizer } from "./optimizer_class.ts";

// --- types

type Fields = Record<string, unknown>;

// --- capture and restore

/**
 * The fields of an object, as they are when everything else has been encoded.
 *
 * @param object The object.
 * @param skip Names of fields that are encoded otherwise.
 * @param site Where it is.
 */
export function encodeFields(object: object, skip: ReadonlySet<string>, site: Site): Node {
  return site.deferred("fields", (at) =>
    ownNames(object, at).filter((name) => !skip.has(name)).map((name): Named => [
      name,
      at.part(name, (object as Fields)[name]),
    ]));
}

/** The names of an object's own fields, all of which can be read and set. */
function ownNames(object: object, site: Site): readonly string[] {
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
 * Restores what {@link encodeFields} gave into a live object: variables take their values in place, what the live one does not have is
 * created, what only it has is removed and disposed of. Functions are left as they are.
 */
export function restoreFields(
  state: Node,
  object: object,
  skip: ReadonlySet<string>,
  target: Target,
): void {
  const fields = object as Fields;
  target.deferred("fields", (at) => {
    const saved = isBranch(state) && state.is === "record" ? state.entries : [];
    const parts = saved.map(([name, node]) =>
      [name, at.part(name, Object.hasOwn(fields, name) ? fields[name] : undefined, node)] as const
    );
    const names = new Set(parts.map(([name]) => name));
    const own = (): readonly string[] => Object.keys(fields).filter((name) => !skip.has(name));
    for (const name of own()) {
      if (Object.getOwnPropertyDescriptor(fields, name)?.writable !== true) {
        at.problem("config", "a field that can be set", "one that is fixed", name);
      }
    }
    for (const name of own()) if (!names.has(name) && isData(fields[name])) overridesPart(at, name, fields[name]);
    target.finish(() => {
      const [was, is] = [new Set<object>(), new Set<object>()];
      const before = tensorsIn(own().map((name) => fields[name]), was);
      for (const [name, part] of parts) fields[name] = refill(fields[name], part(), at);
      for (const name of own()) if (!names.has(name) && typeof fields[name] !== "function") delete fields[name];
      const after = tensorsIn(own().map((name) => fields[name]), is);
      for (const tensor of after) if (!(tensor instanceof tf.Variable)) tf.keep(tensor);
      for (const tensor of before) if (!after.has(tensor) && isOwned(tensor, at)) tensor.dispose();
      for (const one of was) {
        if (isOptimizer(one) && classOf(one).exact && !is.has(one) && !at.isUsedElsewhere(one)) one.dispose();
      }
    });
  });
}

/** Whether a tensor that a live object no longer holds was its alone: not trained, not a layer's (whose accumulators are named after it), not another component. */
function isOwned(tensor: tf.Tensor, target: Target): boolean {
  if (tensor.isDisposed || target.isUsedElsewhere(tensor)) return false;
  if (!(tensor instanceof tf.Variable)) return true;
  const isAfter = [...tensor.name.matchAll(/\//g)].some(({ index }) => registered(tensor.name.slice(0, index)));
  return !tensor.trainable && (isAfter || !isLayerName(tensor.name));
}

// --- combinators

/** Every tensor and variable in data, also in Maps, Sets and optimizers. */
export function tensorsIn(
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
  for (const part of parts) tensorsIn(part, seen, found);
  return found;
}

/** A restored value in the live container of its sort, if there is one, for a closure may hold that: at most one value in each. */
function refill(live: unknown, next: unknown, target: Target): unknown {
  const { refilled } = target;
  if (typeof next !== "object" || next === null || target.isUsedElsewhere(next)) return next;
  if (refilled.has(next)) return refilled.get(next);
  const free = typeof live === "object" && live !== null && live !== next && !refilled.has(live) &&
    !target.isUsedElsewhere(live) &&
    Object.getPrototypeOf(live) === Object.getPrototypeOf(next) && Object.isExtensible(live) && !Object.isSealed(live);
  const into = <A extends object>(own: A): A => {
    const found = (free ? live : own) as A;
    refilled.set(own, found).set(found, found);
    return found;
  };
  if (Array.isArray(next)) {
    const was = Array.isArray(live) ? live.slice() : [];
    const found = into(next);
    const items = next.map((item, i) => refill(was[i], item, target));
    found.length = 0;
    for (const item of items) found.push(item);
    return found;
  }
  if (next instanceof Map) {
    const was = new Map(live instanceof Map ? live : []);
    const found = into(next);
    const items = [...next].map(([key, value]) => [key, refill(was.get(key), value, target)] as const);
    found.clear();
    for (const [key, value] of items) found.set(key, value);
    return found;
  }
  if (next instanceof Set) {
    const [items, found] = [[...next], into(next)];
    found.clear();
    for (const item of items) found.add(item);
    return found;
  }
  if (isTypedArray(next)) {
    if (!free || (live as typeof next).length !== next.length) return next;
    (into(next) as Uint8Array).set(next as Uint8Array);
    return live;
  }
  if (!isPlainRecord(next) || "_tag" in next) return next;
  const was = { ...(isPlainRecord(live) ? live : {}) };
  const found = into(next);
  const items = Object.entries(next).map(([key, value]) => [key, refill(was[key], value, target)] as const);
  for (const key of Object.keys(found)) delete found[key];
  for (const [key, value] of items) {
    // A name may be that of a setter, `__proto__`.
    Object.defineProperty(found, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return found;
}
