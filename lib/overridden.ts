/**
 * What a restore overrides: plain data that a script has otherwise than the snapshot, which wins.
 *
 * @module
 */
import { isPlainRecord } from "./rules.ts";
import { join } from "./state_tree.ts";
import { isTypedArray, type TypedArray } from "./tensor.ts";

// --- types

/** A value that a restore replaced by the saved one. */
export interface Overridden {
  /** Where, as errors name it: `optimizer/config/learningRate`, `schedule/steps`, `model/layers/0/flags/trainable_`. */
  readonly path: string;
  /** What the script had, as plain data of the report's own; undefined where it had nothing of this name. */
  readonly live: unknown;
  /** What the snapshot had, which was restored; undefined where it had nothing of this name, which is gone. */
  readonly saved: unknown;
}

// --- constructors

/** A copy of plain data, or undefined where a part is no plain data. */
function copyOf(value: unknown): unknown {
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (isTypedArray(value)) return value.slice();
  if (Array.isArray(value)) return Array.from(value, copyOf);
  if (!isPlainRecord(value)) return undefined;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copyOf(part)]));
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
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (isTypedArray(a)) return isTypedArray(b) && sameNumbers(a, b);
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!same(a[i], b[i])) return false;
    return true;
  }
  if (!isPlainRecord(a) || !isPlainRecord(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]));
}

/**
 * Every place at which plain data differs: by name in records, by place in arrays of as many records or arrays, and as a whole in all other
 * arrays.
 *
 * @param live What the script has.
 * @param saved What the snapshot has.
 * @param path Where they are.
 */
export function overridden(live: unknown, saved: unknown, path: string): readonly Overridden[] {
  if (isPlainRecord(live) && isPlainRecord(saved)) {
    return [...new Set([...Object.keys(saved), ...Object.keys(live)])].flatMap((name) =>
      overridden(own(live, name), own(saved, name), join(path, name))
    );
  }
  if (same(live, saved)) return [];
  if (Array.isArray(live) && Array.isArray(saved) && live.length === saved.length) {
    const parts = live.every((item, i) => isContainer(item) && isContainer(saved[i]));
    if (parts) return live.flatMap((item, i) => overridden(item, saved[i], join(path, i)));
  }
  const [before, now] = [copyOf(live), copyOf(saved)];
  return before === undefined && now === undefined ? [] : [{ path, live: before, saved: now }];
}

function own(of: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(of, name) ? of[name] : undefined;
}

/** Of what `fit` overrides, what a script had set: not the training's own components, nor fields of callbacks that were not set yet. */
export function setByScript(found: readonly Overridden[]): readonly Overridden[] {
  return found.filter(({ path, live }) => {
    const [component] = path.split("/");
    return component !== "fit" && component !== "logs" && (component !== "callbacks" || (live ?? null) !== null);
  });
}
