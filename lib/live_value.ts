/**
 * Questions about live values that a snapshot is restored into: what they are, and whether they hold more than plain data.
 *
 * @module
 */
import { type AnyKind, type Codec, withArticle } from "./component.ts";
import { isPlainRecord, shown } from "./rules.ts";
import { isTypedArray } from "./tensor.ts";

// --- types

/** What can be asked of a live value. */
export interface LiveValues {
  /** A value in words for messages: its kind, or why the kind that it resembles does not accept it. */
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
 * The questions, answered by these kinds.
 *
 * @param kinds The kinds that recognise live values, in the order in which they are asked.
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

/** Every object in plain data, tensors among them. */
function objectsIn(tree: unknown, into: Set<unknown>): Set<unknown> {
  if (typeof tree !== "object" || tree === null || into.has(tree)) return into;
  into.add(tree);
  if (Array.isArray(tree) || isPlainRecord(tree)) { for (const part of Object.values(tree)) objectsIn(part, into); }
  return into;
}

/**
 * What a codec of the user's encodes a value to, asked twice.
 *
 * @returns The objects of the first answer, and the tensors that are in one answer alone: the codec encodes copies, and does not tell which
 *   tensors its value holds.
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
