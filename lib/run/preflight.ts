/**
 * Compares a checkpoint's manifest with live components before any tensor data is read.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Codecs, Options } from "../codecs.ts";
import { type Encoded, type Held, isBranch, isDType, type Node, nodesByPath, problemsOfRestore } from "../state/mod.ts";
import { type Mismatch, mismatch, type ProblemKind } from "../errors/mod.ts";
import { isPartial, merge, type Selection } from "../state/partial/mod.ts";
import { kinds } from "../kinds.ts";
import { captureState } from "../snapshot.ts";
import { disposeOnFailure } from "../tfjs/mod.ts";

// --- constructors

/** Problems that cannot be found without the data, or that its absence causes. */
const needData: readonly ProblemKind[] = ["length", "memory", "value", "format", "digest"];

function heldTensor(node: Node | undefined): Held | undefined {
  return node !== undefined && isBranch(node) && node.is === "array" && isDType(node.held.element)
    ? node.held
    : undefined;
}

/** Whether a tensor has another dtype or shape than the one at the same live path. */
function hasOtherTensor(live: Encoded, saved: Encoded): boolean {
  const nodes = nodesByPath(live.components);
  return [...nodesByPath(saved.components)].some(([path, node]) => {
    const [a, b] = [heldTensor(nodes.get(path)), heldTensor(node)];
    return a !== undefined && b !== undefined && (a.element !== b.element || String(a.shape) !== String(b.shape));
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
  { codecs = {}, convert, ...selection }: Options<Codecs> & Selection,
  saved: Encoded,
): Mismatch | undefined {
  // Whether a conversion changes a value depends on the data.
  if (convert !== undefined) return undefined;
  const captured = E.tryCatch(() => captureState(live, { codecs }), E.toError);
  if (E.isLeft(captured)) return undefined;
  using snapshot = captured.right;
  if (!hasOtherTensor(snapshot.encoded, saved)) return undefined;
  const { encoded, problems } = isPartial(selection)
    ? merge(saved, snapshot.encoded, kinds, selection)
    : { encoded: saved, problems: [] };
  const found = disposeOnFailure(
    () => problemsOfRestore(encoded, { kinds, codecs, live: live as Record<string, unknown>, problems }),
    () => true,
  );
  const certain = found.filter(({ kind }) => !needData.includes(kind));
  return certain.some(({ kind }) => kind === "shape" || kind === "dtype") ? mismatch(certain) : undefined;
}
