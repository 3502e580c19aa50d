/**
 * Validation: what an argument or a decoded value must be, checked in one way for both.
 *
 * A wrong argument is the caller's mistake and throws a `TypeError`; a wrong stored value is a left of its codec. Both give the same sentences.
 *
 * Promises: every objection is listed, each with its path; a misspelled option is answered with the nearest name.
 *
 * @module
 */
export {
  aBoolean,
  aFunction,
  aName,
  aString,
  codecWith,
  demand,
  dependent,
  exactRecord,
  finite,
  ifGiven,
  integer,
  isPlainRecord,
  listOf,
  must,
  oneOf,
  orNull,
  type Plain,
  recordOf,
  refine,
  type Rule,
  shown,
  tagged,
} from "./types.ts";
export { plainCodec } from "./plain_codec.ts";
export {
  checkMisspelt,
  checkOptionNames,
  checkOptions,
  demandEach,
  type OptionNames,
  type OptionRules,
} from "./option_names.ts";
