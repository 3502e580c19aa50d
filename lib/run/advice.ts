/**
 * Tries the options that the sentence of a mismatch advises, and adds what they would lead to, so that the advice is complete.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Codec, Codecs, Options } from "../codecs.ts";
import { adviceOf, type Mismatch, type Problem } from "../errors/mod.ts";
import type { Encoded } from "../state/mod.ts";
import { isPartial, type Selection, selectionNames } from "../state/partial/mod.ts";
import { foresee, isCertain } from "./foresee.ts";

// --- constructors

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
