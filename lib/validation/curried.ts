/**
 * Checks the calls of curried functions, for code that no compiler checks: arguments of the next call would be ignored.
 *
 * @module
 */
import { isPlainRecord, shown } from "./types.ts";

function isReference(value: unknown): boolean {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** Whether a value is no record of options, but perhaps what comes after them. */
function isNoRecord(value: unknown): boolean {
  return isReference(value) && (!isPlainRecord(value) || typeof value["_tag"] === "string");
}

/** Throws a `TypeError` if the value of the next call comes first, as in `Loader.batch(loader, 32)`. */
function checkNotFirst(given: ArrayLike<unknown>, calls: string): void {
  const tag = isReference(given[0]) ? Reflect.get(given[0] as object, "_tag") : undefined;
  if (typeof tag !== "string" || !calls.endsWith(`)(${tag.toLowerCase()})`)) return;
  const [, name, names = "", next] = /^(.*?)\((.*)\)\((.*)\)$/.exec(calls)!;
  const others = Array.from(given).slice(1);
  const own = others.length === 0 || others.some(isReference) ? names : others.map(shown).join(", ");
  throw new TypeError(
    `Expected ${next} in a second call of ${name}, found it in the first: write pipe(${next}, ${name}(${own}))`,
  );
}

/**
 * Throws a `TypeError` if a curried function receives what belongs to its next call: after its own arguments, or in place of `options`. Numbers
 * after them are ignored, because the `map` of an array gives an index. A hot function first compares the length: engines then make no `arguments`.
 *
 * @param given The `arguments` of the call.
 * @param most How many it takes.
 * @param calls How it is called, such as `Loader.batch(n, options)(loader)`.
 */
export function checkCurried(given: ArrayLike<unknown>, most: number, calls: string): void {
  checkNotFirst(given, calls);
  const inOptions = most > 1 && isNoRecord(given[most - 1]) && calls.includes(", options)(");
  if (!inOptions && !isReference(given[most])) return;
  const [, name, names = "", next] = /^(.*?)\((.*)\)\((.*)\)$/.exec(calls)!;
  const own = names.split(", ").slice(0, inOptions ? most - 1 : most);
  const first = `${name}(${own.map((word, i) => isReference(given[i]) ? word : shown(given[i])).join(", ")})`;
  const found = inOptions
    ? `Expected the options of ${name} to be a record of options, found ${shown(given[most - 1])}`
    : `Expected ${next} in a second call of ${name}, found it in the first`;
  throw new TypeError(`${found}: write ${first}(${next})${next === "loader" ? `, or pipe(loader, ${first})` : ""}`);
}
