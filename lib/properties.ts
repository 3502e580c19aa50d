/**
 * What an object has besides its plain data: properties that a walk over names or items does not meet.
 *
 * @module
 */
import { inspect } from "node:util";
import type { TypedArray } from "./tensor.ts";

// --- constructors

/** The lengths up to which all names of an array, and of a typed array, are listed; of a million items that takes half a second in Bun. */
const listed = { array: 64, typedArray: 256 } as const;

/** A text of all properties but the items; it takes the same time for any length, and calls nothing of the value's own. */
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

/** The summaries of arrays without names beside their items, one of each class: the last. */
const bare = new Map<unknown, { readonly length: number; readonly text: string }>();

/** Whether a long array seems to have items alone. Of a typed array, a summary of what is not enumerable takes too long in Deno. */
function isBare(value: readonly unknown[] | TypedArray): boolean {
  const [isArray, { length }] = [Array.isArray(value), value];
  const { constructor } = Object.getPrototypeOf(value) as object;
  let known = bare.get(constructor);
  if (known?.length !== length) {
    const like = isArray
      ? Object.defineProperty([], "length", { value: length })
      : new (constructor as unknown as new (...view: unknown[]) => object)(
        (value as TypedArray).buffer,
        (value as TypedArray).byteOffset,
        length,
      );
    known = { length, text: summary(like, isArray) };
    bare.set(constructor, known);
  }
  return Object.getOwnPropertySymbols(value).length === 0 && summary(value, isArray) === known.text;
}

function isIndex(name: PropertyKey): boolean {
  return typeof name === "string" && /^(?:0|[1-9]\d*)$/.test(name) && Number(name) < 2 ** 32 - 1;
}

// --- combinators

/**
 * A property of an array or typed array beside its items, or an item that is computed or not enumerable.
 *
 * @param value The array, of its class itself and not of a subclass.
 * @returns The property's name, or undefined if there is none.
 */
export function beside(value: readonly unknown[] | TypedArray): PropertyKey | undefined {
  const isArray = Array.isArray(value);
  const long = value.length > (isArray ? listed.array : listed.typedArray);
  if (long && isBare(value)) return undefined;
  return Reflect.ownKeys(value).find((name) => {
    if (isArray && name === "length") return false;
    if (!isIndex(name)) return true;
    return isArray && !long && hidden(value, name) !== undefined;
  });
}

/** Why a property is no plain data, if it is none. */
export function hidden(value: object, name: PropertyKey): string | undefined {
  if (typeof name === "symbol") return "a symbol as a name";
  const property = Object.getOwnPropertyDescriptor(value, name);
  if (property !== undefined && !("value" in property)) return "an accessor, whose value is computed";
  return property?.enumerable === false ? "a property that is not enumerable" : undefined;
}
