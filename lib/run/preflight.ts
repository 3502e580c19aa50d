/**
 * Compares a checkpoint's manifest with live components before any tensor data is read.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { type Codec, type Codecs, type Options, ownCodecs } from "../codecs.ts";
import { arraysOf, type Encoded, type Held, isDType, problemsOfRestore, segment } from "../state/mod.ts";
import { type Mismatch, mismatch, type ProblemKind } from "../errors/mod.ts";
import { isPartial, merge, type Selection } from "../state/partial/mod.ts";
import { kinds } from "../kinds.ts";
import { captureState } from "../snapshot.ts";
import { disposeOnFailure } from "../tfjs/mod.ts";

// --- constructors

/** Problems that cannot be found without the data, or that its absence causes, unless they are of two plain values. */
const needData: readonly ProblemKind[] = ["length", "memory", "value", "format", "digest"];

/** The tensors of components by path. */
function tensorsIn({ components }: Encoded): ReadonlyMap<string, Held> {
  const arrays = components.flatMap(([name, node]) => arraysOf(node, segment(name)));
  return new Map(arrays.map(([path, { held }]) => [path, held] as const).filter(([, held]) => isDType(held.element)));
}

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
  { codecs = {}, types = [], convert, ...selection }: Options<Codecs, Codec> & Selection,
  saved: Encoded,
): Mismatch | undefined {
  // Whether a conversion changes a value depends on the data.
  if (convert !== undefined) return undefined;
  const own = ownCodecs({ codecs, types });
  const captured = E.tryCatch(() => captureState(live, own), E.toError);
  if (E.isLeft(captured)) return undefined;
  using snapshot = captured.right;
  if (!hasOtherTensor(snapshot.encoded, saved)) return undefined;
  const { encoded, problems } = isPartial(selection)
    ? merge(saved, snapshot.encoded, kinds, selection)
    : { encoded: saved, problems: [] };
  const found = disposeOnFailure(
    () => problemsOfRestore(encoded, { kinds, own, live: live as Record<string, unknown>, problems }),
    () => true,
  );
  const certain = found.filter(({ kind, saved }) =>
    !needData.includes(kind) || saved === "expected" || (kind === "length" && saved === "found")
  );
  return certain.some(({ kind }) => kind === "shape" || kind === "dtype") ? mismatch(certain) : undefined;
}
