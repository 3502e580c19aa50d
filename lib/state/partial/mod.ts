/**
 * Partial restore: merges a saved state tree into a captured live tree, for warm starts that load some parts, keep others or convert them.
 *
 * Read `options` and `trees`, then the steps `resolve`, `match`, `merge` and `check`.
 *
 * Promises: an option that matches nothing is an error; what was kept, skipped, renamed or converted is reported; everything else stays strict.
 *
 * @module
 */
export { checkSelection, isPartial, noParts, type RestoredParts, type Selection, selectionNames } from "./options.ts";
export { merge, type Merged } from "./merge.ts";
