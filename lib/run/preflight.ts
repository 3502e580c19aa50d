/**
 * Compares a checkpoint's manifest with live components before any tensor data is read.
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
import { adviceOf, type Mismatch, mismatch, type Problem, type ProblemKind } from "../errors/mod.ts";
import { isPartial, merge, type Selection, selectionNames } from "../state/partial/mod.ts";
import { kinds } from "../kinds.ts";
import { captureState } from "../snapshot.ts";
import { disposeOnFailure } from "../tfjs/mod.ts";

// --- types

/** What a load would do. */
interface Foreseen {
  readonly problems: readonly Problem[];
  /** The saved parts whose tensors it would not restore. */
  readonly unused: Mismatch["unused"];
}

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

/** The saved parts with tensors that a merged tree does not have: layers by the names that the user gave, optimizers, components. */
function unusedParts(saved: Encoded, merged: Encoded): Mismatch["unused"] {
  const [all, restored] = [tensorsIn(saved), new Set(tensorsIn(merged).values())];
  const unused = [...all].filter(([, held]) => !restored.has(held));
  if (unused.length === 0) return undefined;
  if (unused.length === all.size) return "all";
  const nodes = nodesByPath(saved.components);
  const partOf = (path: string): string => {
    const [, part = segment(path.split("/")[0]!), list] = /^((.*?)\/layers\/\d+|.*\/compile\/optimizer)\//.exec(path) ??
      [];
    const node = nodes.get(part);
    const name = list !== undefined && isCase(node, "kind") ? entry(node.state, "name") : undefined;
    return typeof name === "string" ? `${list}/${segment(name)}` : part;
  };
  return [...new Set(unused.map(([path]) => partOf(path)))];
}

// --- restore

/** What a load with these options would do; undefined if the live components cannot be captured. Nothing is changed. */
function foresee(
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
function isCertain({ kind, saved }: Problem): boolean {
  return !needData.includes(kind) || saved === "expected" || (kind === "length" && saved === "found");
}

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

/** How often the advice on a mismatch is tried. */
const mostTrials = 4;

/**
 * A mismatch of a load with the options that the load was given, and with what would not fit with the options that its sentence advises: so the
 * sentence advises options with which the components load.
 *
 * @param error The mismatch.
 * @param live The live components.
 * @param options The options of the load.
 * @param saved The saved components, with or without the data of their arrays.
 */
export function withAdvice(
  error: Mismatch,
  live: object,
  { codecs = {}, types = [], ...selection }: Options<Codecs, Codec> & Selection,
  saved: Encoded,
): Mismatch {
  const passed = Object.entries(selection).filter(([name, parts]) => name in selectionNames && parts !== undefined);
  let advised: Mismatch = { ...error, ...isPartial(selection) && { options: Object.fromEntries(passed) } };
  for (let trial = 0; trial < mostTrials; trial++) {
    const advice = adviceOf(advised);
    if (advice === undefined) break;
    const known = new Set([...advised.problems, ...advised.following ?? []].map(nameOf));
    // Options that contradict each other throw.
    const foreseen = E.tryCatch(() => foresee(live, { codecs, types, ...advice }, saved), E.toError);
    if (E.isLeft(foreseen) || foreseen.right === undefined) break;
    const { problems, unused } = foreseen.right;
    const following = problems.filter((one) => isCertain(one) && !known.has(nameOf(one)));
    if (following.length === 0) {
      // Converted tensors are restored as others.
      const isUnused = unused !== undefined && advice["convert"] === undefined;
      const isPartlySolved = problems.some(isCertain);
      return { ...advised, ...isUnused && { unused }, ...isPartlySolved && { isPartlySolved } };
    }
    advised = { ...advised, following: [...advised.following ?? [], ...following] };
  }
  return advised;
}

/** What is the same for two problems that are one. */
function nameOf({ kind, path, expected, found }: Problem): string {
  return [kind, path, expected, found].join("\n");
}
