/**
 * The hint in an error about a misspelt name.
 *
 * @module
 */
import { closestMatch } from "leven";

// --- constructors

/** ` Did you mean NAME?`, if one of the known names differs from the wanted one in few characters or begins with it, otherwise nothing. */
export function didYouMean(wanted: string, known: readonly string[]): string {
  const lower = wanted.toLowerCase();
  const near = closestMatch(lower, known.map((name) => name.toLowerCase()), {
    maxDistance: Math.ceil(wanted.length / 3),
  });
  const found = known.find((name) => name.toLowerCase() === near) ??
    (wanted.length > 1 ? known.find((name) => name.toLowerCase().startsWith(lower)) : undefined);
  return found === undefined ? "" : ` Did you mean ${found}?`;
}
