/**
 * Validation: what an argument or a decoded value must be, checked in one way for both.
 *
 * A wrong argument is the caller's mistake and throws a `TypeError`; a wrong stored value is a left of its codec. Both give the same sentences.
 *
 * Read `types`, then `option_names`, `curried`, then `data_codec`.
 *
 * Promises: every objection is listed, each with its path; a misspelled option is answered with the nearest name, arguments of
 * the next call with how to write both calls.
 *
 * @module
 */
export * from "./types.ts";
export { checkCurried } from "./curried.ts";
export { checkLocalPath } from "./local_path.ts";
export { type DataCodec, dataCodec, decodeWith, type StandardSchema } from "./data_codec.ts";
export {
  checkMisspelt,
  checkOptionNames,
  checkOptions,
  demandEach,
  type OptionNames,
  type OptionRules,
} from "./option_names.ts";
