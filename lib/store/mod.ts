/**
 * Stores: where checkpoints go. A store is named byte streams and one atomic commit.
 *
 * Read `store` for the interface, its laws and the steps of a save; then `saving`, which keeps a save's steps in order; `memory`, the smallest store; then `retention`, the policies that decide which checkpoints stay.
 *
 * Promises: *old or new*: a reader sees a committed checkpoint whole or not at all.
 *
 * @module
 */
export type {
  Chunks,
  CommitCondition,
  OpenPart,
  Orphan,
  Orphans,
  PartLocation,
  PartStatus,
  Saving,
  Store,
  StoreOptions,
} from "./store.ts";
export { manifestName, mostManifestBytes, numberTaken, storeFailed, tooLong } from "./store.ts";
export { checkedChunk, checkRange, checkStore, checkStoreOptions, isPartName, ofCheckpoint, ofPart } from "./checks.ts";
export { savingOf, type StoreWriter } from "./saving.ts";
export { type Digester, digester, type PartDigest, sha256Of } from "./digest.ts";
export { type Located, type LocationState, newLocationState, perLocation } from "./location.ts";
export { memory } from "./memory.ts";
export { decisionOf, type Entry, ranked } from "./decision.ts";
export { aNote, copyOfNote, type Note } from "./note.ts";
export { millisecondsOf, type Span, spanInWords } from "./span.ts";
export * as Retention from "./retention.ts";
export { meter, type Progress } from "./progress.ts";
