/**
 * The naming pass of a capture: the names that kinds give to the parts of their values, such as a layer's name for its weights.
 *
 * It runs before anything is captured, so that a part is named after its owner even where the capture reaches the part first.
 *
 * @module
 */
import type { AnyKind } from "./kind.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { maxDepth } from "./tree.ts";

// --- constructors

/**
 * The names of parts, by the part.
 *
 * @param components The components; plain data is searched for values whose kinds name parts.
 * @param kinds The kinds, in the order in which they are tried.
 */
export function partNames(components: object, kinds: readonly AnyKind[]): ReadonlyMap<object, string> {
  const naming = kinds.filter((kind) => kind.nameParts !== undefined);
  const names = new Map<object, string>();
  const seen = new Set<object>();
  const visit = (value: unknown, depth: number): void => {
    if (typeof value !== "object" || value === null || seen.has(value) || depth > maxDepth) return;
    if (!Array.isArray(value) && !isPlainRecord(value)) {
      return naming.find((kind) => kind.is(value))?.nameParts?.(value, names);
    }
    seen.add(value);
    for (const part of Object.values(value)) visit(part, depth + 1);
  };
  visit(components, 0);
  return names;
}
