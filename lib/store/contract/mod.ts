/**
 * User-defined stores: the interface, the steps of a save, checks, digests, and the laws as checks. The entry `@dogear/dogear/store`.
 *
 * A store implements {@link Store}. Its `begin` returns `savingOf` of four steps. `storeLaws` checks it. `examples/sqlite_store.ts` is a
 * whole store.
 *
 * Promises: a store that breaks a law of this list is reported with the law, what was expected and what was found.
 *
 * @example
 * ```ts
 * import { memory } from "@dogear/dogear";
 * import { storeLaws } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * const [first] = storeLaws(memory); // in a test file: for (const { law, check } of storeLaws(make)) test(law, check);
 * assert(first !== undefined);
 * await first.check();
 * ```
 *
 * @module
 */

// Read `laws` first; then `checkpoint_laws`, `part_laws` and `argument_laws`, written with `expect`.
export type {
  Chunks,
  CommitCondition,
  OpenPart,
  Orphan,
  Orphans,
  PartDigest,
  PartLocation,
  PartStatus,
} from "../mod.ts";
export type { Digester, LocationState, Saving, Store, StoreOptions, StoreWriter } from "../mod.ts";
export { checkedChunk, checkRange, checkStoreOptions, digester, ofCheckpoint, ofPart } from "../mod.ts";
export { numberTaken, savingOf, storeFailed } from "../mod.ts";
export { type StoreLaw, type StoreLawOptions, storeLaws } from "./laws.ts";
