/**
 * What a load with some options would do, without doing it.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { type Codec, type Codecs, type Options, ownCodecs } from "../codecs.ts";
import {
  arraysOf,
  type Encoded,
  entry,
  type Held,
  isCase,
  isDType,
  nodesByPath,
  problemsOfRestore,
  segment,
} from "../state/mod.ts";
import type { Mismatch, Problem, ProblemKind } from "../errors/mod.ts";
import { isPartial, merge, type Selection } from "../state/partial/mod.ts";
import { kinds } from "../kinds.ts";
import { captureState } from "../snapshot.ts";
import { disposeOnFailure } from "../tfjs/mod.ts";

// --- types

/** What a load would do. */
export interface Foreseen {
  readonly problems: readonly Problem[];
  /** The saved parts whose tensors it would not restore. */
  readonly unused: Mismatch["unused"];
}

// --- constructors

/** Problems that cannot be found without the data, or that its absence causes, unless they are of two plain values. */
const needData: readonly ProblemKind[] = ["length", "memory", "value", "format", "digest"];

/** The tensors of components by path. */
export function tensorsIn({ components }: Encoded): ReadonlyMap<string, Held> {
  const arrays = components.flatMap(([name, node]) => arraysOf(node, segment(name)));
  return new Map(arrays.map(([path, { held }]) => [path, held] as const).filter(([, held]) => isDType(held.element)));
}

/** The saved parts with tensors that a merged tree does not have: layers by the names that the user gave, optimizers, components. */
function unusedParts(saved: Encoded, merged: Encoded): Mismatch["unused"] {
  const [all, restored] = [tensorsIn(saved), new Set(tensorsIn(merged).values())];
  const unused = [...all].filter(([, held]) => !restored.has(held));
  if (unused.length === 0) return undefined;
  if (unused.length === all.size) return "all";
  const nodes = nodesByPath(saved.components);
  const partOf = (path: string): string => {
    const [, part = segment(path.split("/")[0]!), list] = /^((.*)\/layers\/\d+|.*\/compile\/optimizer)\//.exec(path) ??
      [];
    const node = nodes.get(part);
    const name = list !== undefined && isCase(node, "kind") ? entry(node.state, "name") : undefined;
    return typeof name === "string" ? `${list}/${segment(name)}` : part;
  };
  return [...new Set(unused.map(([path]) => partOf(path)))];
}

// --- restore

/** What a load with these options would do; undefined if the live components cannot be captured. Nothing is changed. */
export function foresee(
  live: object,
  { codecs = {}, types = [], ...selection }: Options<Codecs, Codec> & Selection,
  saved: Encoded,
  isRelevant: (live: Encoded) => boolean = () => true,
): Foreseen | undefined {
  const own = ownCodecs({ codecs, types });
  const captured = E.tryCatch(() => captureState(live, own), E.toError);
  if (E.isLeft(captured)) return undefined;
  using snapshot = captured.right;
  if (!isRelevant(snapshot.encoded)) return undefined;
  const { encoded, problems } = isPartial(selection)
    ? merge(saved, snapshot.encoded, kinds, selection)
    : { encoded: saved, problems: [] };
  const found = disposeOnFailure(
    () => problemsOfRestore(encoded, { kinds, own, live: live as Record<string, unknown>, problems }),
    () => true,
  );
  return { problems: found, unused: unusedParts(saved, encoded) };
}

/** Whether a problem of a load is one without the data of arrays, too. */
export function isCertain({ kind, saved }: Problem): boolean {
  return !needData.includes(kind) || saved === "expected" || (kind === "length" && saved === "found");
}
