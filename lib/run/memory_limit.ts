/**
 * The memory that this process may use.
 *
 * @module
 */
import { totalmem } from "node:os";
import process from "node:process";

/** The memory that this process may use, in bytes: the machine's, or the limit of its container. */
export function memoryLimit(): number {
  const { constrainedMemory } = process as { readonly constrainedMemory?: () => number };
  const limit = constrainedMemory?.call(process) ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
