/**
 * Properties that plain data may not have: computed or hidden ones, and names beside the items of an array.
 *
 * A traversal over names or items would miss them, and a restore would lose them without an error.
 *
 * @module
 */
import { inspect } from "node:util";
import type { TypedArray } from "./array.ts";

// --- constructors

/** The lengths up to which all property names are listed. For a million items a listing takes half a second in Bun. */
const maxListed = { array: 64, typedArray: 256 } as const;

/** A text of all properties except the items. It takes the same time for any length, and calls no code of the value. */
function summary(value: object, showHidden: boolean): string {
  return inspect(value, {
    maxArrayLength: 0,
    depth: 0,
    showHidden,
    customInspect: false,
    getters: false,
    breakLength: Infinity,
  });
}

/** The latest summary per class of an array that has items only. */
const bareSummaries = new Map<unknown, { readonly length: number; readonly text: string }>();

/** Whether a long array has items only. For typed arrays the summary leaves out hidden properties, which take too long in Deno. */
function isBare(value: readonly unknown[] | TypedArray): boolean {
  const [isArray, { length }] = [Array.isArray(value), value];
  const { constructor } = Object.getPrototypeOf(value) as object;
  let expected = bareSummaries.get(constructor);
  if (expected?.length !== length) {
    const like = isArray
      ? Object.defineProperty([], "length", { value: length })
      : new (constructor as unknown as new (...view: unknown[]) => object)(
        (value as TypedArray).buffer,
        (value as TypedArray).byteOffset,
        length,
      );
    expected = { length, text: summary(like, isArray) };
    bareSummaries.set(constructor, expected);
  }
  return Object.getOwnPropertySymbols(value).length === 0 && summary(value, isArray) === expected.text;
}

function isIndex(name: PropertyKey): boolean {
  return typeof name === "string" && /^(?:0|[1-9]\d*)$/.test(name) && Number(name) < 2 ** 32 - 1;
}

// --- combinators

/**
 * Finds a property of an array or typed array beside its items, or an item that is computed or hidden.
 *
 * @param value The array, of its class itself, not of a subclass.
 * @returns The property's name, or undefined if all is plain.
 */
export function beside(value: readonly unknown[] | TypedArray): PropertyKey | undefined {
  const isArray = Array.isArray(value);
  const long = value.length > (isArray ? maxListed.array : maxListed.typedArray);
  if (long && isBare(value)) return undefined;
  return Reflect.ownKeys(value).find((name) =>
    isIndex(name) ? isArray && !long && hidden(value, name) !== undefined : !isArray || name !== "length"
  );
}

/** Why a property is not plain data; undefined if it is. */
export function hidden(value: object, name: PropertyKey): string | undefined {
  if (typeof name === "symbol") return "a symbol as a name";
  const property = Object.getOwnPropertyDescriptor(value, name);
  if (property !== undefined && !("value" in property)) return "an accessor, whose value is computed";
  return property?.enumerable === false ? "a property that is not enumerable" : undefined;
}
