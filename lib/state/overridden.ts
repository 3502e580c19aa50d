/**
 * The plain data that a restore overrides: where a script's value differs from the saved one, which replaces it.
 *
 * @module
 */
import { isPlainRecord } from "../validation/mod.ts";
import { join } from "./tree.ts";
import { isTypedArray, type TypedArray } from "./array.ts";

// --- types

/** A value that a restore replaced by the saved one. */
export interface Overridden {
  /** Where, as errors name it: `optimizer/config/learningRate`, `schedule/steps`, `model/layers/0/flags/trainable_`. */
  readonly path: string;
  /** A copy of the script's value; undefined if it had none. */
  readonly live: unknown;
  /** A copy of the saved value, which was restored; undefined if the snapshot had none, so that the script's value is gone. */
  readonly saved: unknown;
}

// --- constructors

/** A copy of plain data. Parts that are not plain data become undefined. */
export function copyOfData(value: unknown): unknown {
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (isTypedArray(value)) return value.slice();
  if (Array.isArray(value)) return Array.from(value, copyOfData);
  if (!isPlainRecord(value)) return undefined;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copyOfData(part)]));
}

// --- combinators

function isContainer(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function sameNumbers(a: TypedArray, b: TypedArray): boolean {
  if (a.constructor !== b.constructor || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}

/** Whether two values are the same plain data, by bits. */
export function isSameData(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (isTypedArray(a)) return isTypedArray(b) && sameNumbers(a, b);
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!isSameData(a[i], b[i])) return false;
    return true;
  }
  if (!isPlainRecord(a) || !isPlainRecord(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && isSameData(a[name], b[name]));
}

/**
 * Every path at which plain data differs. Records are compared name by name. Lists of records or lists are compared item by item if they have
 * the same length; all other lists are compared as a whole.
 *
 * @param live The script's value.
 * @param saved The saved value.
 * @param path The path of both.
 */
export function overridden(live: unknown, saved: unknown, path: string): readonly Overridden[] {
  if (isPlainRecord(live) && isPlainRecord(saved)) {
    return [...new Set([...Object.keys(saved), ...Object.keys(live)])].flatMap((name) =>
      overridden(ownValue(live, name), ownValue(saved, name), join(path, name))
    );
  }
  if (isSameData(live, saved)) return [];
  if (Array.isArray(live) && Array.isArray(saved) && live.length === saved.length) {
    const parts = live.every((item, i) => isContainer(item) && isContainer(saved[i]));
    if (parts) return live.flatMap((item, i) => overridden(item, saved[i], join(path, i)));
  }
  const [before, now] = [copyOfData(live), copyOfData(saved)];
  return before === undefined && now === undefined ? [] : [{ path, live: before, saved: now }];
}

function ownValue(of: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(of, name) ? of[name] : undefined;
}

/** Of what `fit` overrides, what the script had set: no component of `fit` itself, and no callback field that was not set yet. */
export function setByScript(found: readonly Overridden[]): readonly Overridden[] {
  return found.filter(({ path, live }) => {
    const [component] = path.split("/");
    return component !== "fit" && component !== "logs" && (component !== "callbacks" || (live ?? null) !== null);
  });
}
