/**
 * Compares a checkpoint's manifest with live components before any tensor data is read.
 *
 * @module
 */
import type { Codec, Codecs, Options } from "../codecs.ts";
import { type Mismatch, mismatch } from "../errors/mod.ts";
import type { Encoded } from "../state/mod.ts";
import type { Selection } from "../state/partial/mod.ts";
import { foresee, isCertain, tensorsIn } from "./foresee.ts";

// --- constructors

/** Whether a tensor has another dtype or shape than the one at the same live path. */
function hasOtherTensor(live: Encoded, saved: Encoded): boolean {
  const tensors = tensorsIn(live);
  return [...tensorsIn(saved)].some(([path, { element, shape }]) => {
    const other = tensors.get(path);
    return other !== undefined && (other.element !== element || String(other.shape) !== String(shape));
  });
}

// --- restore

/**
 * The mismatch that a load would end with, if the shape or dtype of a tensor differs: every difference that can be found without the data.
 *
 * @param live The live components.
 * @param options The options of the load.
 * @param saved The saved components; their arrays have no data.
 */
export function preflight(
  live: object,
  options: Options<Codecs, Codec> & Selection,
  saved: Encoded,
): Mismatch | undefined {
  // Whether a conversion changes a value depends on the data.
  if (options.convert !== undefined) return undefined;
  const found = foresee(live, options, saved, (live) => hasOtherTensor(live, saved));
  const certain = (found?.problems ?? []).filter(isCertain);
  return certain.some(({ kind }) => kind === "shape" || kind === "dtype") ? mismatch(certain) : undefined;
}
