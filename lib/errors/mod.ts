/**
 * Errors: every failure of the toolkit as a plain tagged value, the sentence for each, and the exception for each.
 *
 * Read `errors` for the values and their unions, then `explain` for the sentences, with `mismatch`, `restore_advice` and `problem_lines` for those of what does not fit, then
 * `guard`, which turns a failed allocation or a failed GPU into an error value. `nearest` finds the name that a misspelt one means. `printable` makes
 * text safe for a terminal.
 *
 * Promises: the unions are closed; an error names the path it is about; `explain` says what was expected, what was found and what to do.
 *
 * @module
 */
export * from "./errors.ts";
export { explain, explainTo, sentenceIfKnown, toError } from "./explain.ts";
export { nearest } from "./nearest.ts";
export { adviceOf } from "./restore_advice.ts";
export { hexCode, printable, printableLines, unprintable } from "./printable.ts";
export { captured, guarded, isAllocation, orDeviceFailed, theirs } from "./guard.ts";
