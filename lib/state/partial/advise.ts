/**
 * Foresees the second round of a restore that does not fit: the optimizers whose accumulators do not fit either, once the parts are kept that
 * the sentence of the error advises to keep.
 *
 * @module
 */
import type { AnyKind, Encoded } from "../mod.ts";
import { optionsAdvised, type Problem } from "../../errors/mod.ts";
import { merge } from "./merge.ts";
import { isPartial, type Selection } from "./options.ts";

// --- combinators

/**
 * The problems of a restore, with those that its advised options would lead to, so that one sentence advises all options at once.
 *
 * @param problems What the restore has found.
 * @param saved The saved components; their arrays may have no data.
 * @param live The captured live components.
 * @param selection The options that the restore was given.
 */
export function withAdvised(
  problems: readonly Problem[],
  saved: Encoded,
  live: Encoded,
  kinds: readonly AnyKind[],
  { only, keep = [], skip = [], rename = {} }: Selection,
): readonly Problem[] {
  const advised = optionsAdvised(problems);
  if (!isPartial({ keep: advised.keep, skip: advised.skip })) return problems;
  const known = new Set(problems.map(({ path }) => path));
  const later = merge(saved, live, kinds, {
    ...(only && { only }),
    keep: [...new Set([...keep, ...advised.keep])],
    skip: [...new Set([...skip, ...advised.skip])],
    rename: { ...rename, ...advised.rename },
  }).problems;
  const slots = later.filter(({ path, kind, saved, remedy }) =>
    kind === "sharing" && saved === undefined && remedy === undefined && !known.has(path)
  );
  return [...problems, ...slots];
}
