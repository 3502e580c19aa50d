/**
 * Live values that a snapshot is restored into: what kind they are of, and whether they hold more than plain data.
 *
 * @module
 */
import { type AnyKind, type Codec, withArticle } from "./kind.ts";
import { isPlainRecord, shown } from "../validation/mod.ts";
import { isTypedArray } from "./array.ts";

// --- types

/** Queries about a live value. */
export interface LiveValues {
  /** A value in words for messages: its kind, or why the kind that it resembles rejects it. */
  readonly describe: (value: unknown) => string;
  /** Whether a value holds anything but plain data. */
  readonly isComponent: (value: unknown) => boolean;
  /** Whether a value holds anything that is restored in place. */
  readonly holdsObjects: (value: unknown) => boolean;
  /** The word for what a value is, as `kindOf` has it for a node. */
  readonly kind: (value: unknown) => string;
}

// --- constructors

/**
 * Queries that these kinds answer.
 *
 * @param kinds The kinds that recognise live values, in the order in which they are tried.
 */
export function liveValues(kinds: readonly AnyKind[]): LiveValues {
  const isKnown = (value: unknown): boolean => kinds.some((kind) => kind.is(value));
  const describe = (value: unknown): string => {
    const kind = kinds.find((kind) => kind.is(value));
    if (kind !== undefined) return withArticle(kind.name);
    const reasons = typeof value === "object" && value !== null ? kinds.map((kind) => kind.rejection?.(value)) : [];
    return reasons.find((reason) => reason !== undefined) ?? shown(value);
  };
  const isComponent = (value: unknown): boolean => {
    if (typeof value !== "object" || value === null || isTypedArray(value)) return false;
    if (isKnown(value)) return true;
    if (Array.isArray(value)) return value.some(isComponent);
    return isPlainRecord(value) ? Object.values(value).some(isComponent) : true;
  };
  const holdsObjects = (value: unknown): boolean => {
    if (typeof value !== "object" || value === null || isTypedArray(value)) return false;
    if (Array.isArray(value)) return value.some(holdsObjects);
    if (isPlainRecord(value)) return Object.values(value).some(holdsObjects);
    return kinds.some((kind) => kind.build !== undefined && kind.is(value));
  };
  const kind = (value: unknown): string => {
    if (value === null) return "null";
    if (typeof value !== "object") return typeof value;
    if (isTypedArray(value)) return value.constructor.name;
    if (Array.isArray(value)) return "array";
    return isPlainRecord(value) && !isKnown(value) ? "record" : "component";
  };
  return { describe, isComponent, holdsObjects, kind };
}

// --- combinators

/** Adds every object in plain data, tensors included. */
function objectsIn(tree: unknown, into: Set<unknown>): Set<unknown> {
  if (typeof tree !== "object" || tree === null || into.has(tree)) return into;
  into.add(tree);
  if (Array.isArray(tree) || isPlainRecord(tree)) { for (const part of Object.values(tree)) objectsIn(part, into); }
  return into;
}

/**
 * The objects that a user's codec encodes a value to. It encodes twice, to tell the value's own tensors from copies.
 *
 * @returns `kept`: the objects of the first encoding. `copies`: the tensors that only one of the two encodings has; if there are any, the codec
 *   encodes copies, and `kept` does not show which tensors the value holds.
 */
export function encodedObjects(
  codec: Codec,
  value: unknown,
  isTensor: (object: unknown) => boolean,
): { readonly kept: ReadonlySet<unknown>; readonly copies: readonly unknown[] } {
  const [kept, again] = [objectsIn(codec.encode(value), new Set()), objectsIn(codec.encode(value), new Set())];
  const copies = [
    ...[...kept].filter((object) => !again.has(object)),
    ...[...again].filter((object) => !kept.has(object)),
  ];
  return { kept, copies: copies.filter(isTensor) };
}
