/**
 * Live values that a snapshot is restored into: what kind they are of, and whether they hold more than plain data.
 *
 * Each function receives the kinds that recognise live values, in the order in which they are tried.
 *
 * @module
 */
import { type AnyKind, withArticle } from "./kind.ts";
import { isPlainRecord, shown } from "../validation/mod.ts";
import { isTypedArray } from "./array.ts";

// --- combinators

/** A value in words for messages: its kind, or why the kind that it resembles rejects it. */
export function describeLive(kinds: readonly AnyKind[], value: unknown): string {
  const kind = kinds.find((kind) => kind.is(value));
  if (kind !== undefined) return withArticle(kind.name);
  const reasons = typeof value === "object" && value !== null ? kinds.map((kind) => kind.rejection?.(value)) : [];
  return reasons.find((reason) => reason !== undefined) ?? shown(value);
}

/** Whether a value holds anything but plain data. */
export function isComponent(kinds: readonly AnyKind[], value: unknown): boolean {
  if (typeof value !== "object" || value === null || isTypedArray(value)) return false;
  if (kinds.some((kind) => kind.is(value))) return true;
  if (Array.isArray(value)) return value.some((item) => isComponent(kinds, item));
  return !isPlainRecord(value) || Object.values(value).some((part) => isComponent(kinds, part));
}

/** Whether a value holds anything that is restored in place. */
export function holdsObjects(kinds: readonly AnyKind[], value: unknown): boolean {
  if (typeof value !== "object" || value === null || isTypedArray(value)) return false;
  if (Array.isArray(value)) return value.some((item) => holdsObjects(kinds, item));
  if (isPlainRecord(value)) return Object.values(value).some((part) => holdsObjects(kinds, part));
  return kinds.some((kind) => kind.build !== undefined && kind.is(value));
}

/** The word for what a value is, as `kindOf` has it for a node. */
export function liveKindOf(kinds: readonly AnyKind[], value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  if (isTypedArray(value)) return value.constructor.name;
  if (Array.isArray(value)) return "array";
  return isPlainRecord(value) && !kinds.some((kind) => kind.is(value)) ? "record" : "component";
}
