/**
 * The hint in an error about a misspelt name.
 *
 * @module
 */
import { nearest } from "../errors/mod.ts";

// --- constructors

/**
 * The known name that was probably meant: one that differs in at most a third of the letters, or else one that begins with the wanted name.
 * Case does not matter.
 */
export function nearestName(wanted: string, known: readonly string[]): string | undefined {
  const lower = wanted.toLowerCase();
  return nearest(wanted, known, () => Math.ceil(wanted.length / 3)) ??
    (wanted.length > 1 ? known.find((name) => name.toLowerCase().startsWith(lower)) : undefined);
}

/** ` Did you mean NAME?`, if there is a {@link nearestName}, otherwise nothing. */
export function didYouMean(wanted: string, known: readonly string[]): string {
  const found = nearestName(wanted, known);
  return found === undefined ? "" : ` Did you mean ${found}?`;
}
