/**
 * Checkpoints: a snapshot as bytes in a store, and back: safetensors files, the manifest, the entries of a store, the line of a run.
 *
 * Bytes out: `tensor_names`, `file_plan`, `safetensors`, `manifest_tree`, `manifest`, `write`. Bytes in: `migrations`, `manifest`, `json_scanner`, `tensor_files`,
 * `read`, `verify`, `copy`; one tensor alone: `lazy_checkpoint`, `parts`, `read_tensor`. Between checkpoints: `entries`, `best`, `current_run`, `lineage`, `prune`.
 *
 * Promises: *nothing silent*: every byte that is read is checked against its digest. *One line of history*. *No code*: nothing in a checkpoint is executed.
 *
 * @module
 */
export { modelFile, modelIndex, shardName, specOf } from "./tensor_names.ts";
export { encodeIndex } from "./file_plan.ts";
export { encodeHeader } from "./safetensors.ts";
export type { Stored } from "./manifest_tree.ts";
export { decodeSummary, type Environment, type FileEntry, type Manifest, type ManifestSummary } from "./manifest.ts";
export { version } from "./version.ts";
export { type Committed, writeCheckpoint } from "./write.ts";
export { notAFile, readHeader } from "./tensor_files.ts";
export { bestFirst, type CheckpointReference, noCheckpoint, numbersToTry, referenceRule } from "./best.ts";
export { type CheckpointReading, type Loaded, readCheckpoint, type ReadError, readManifest } from "./read.ts";
export { type LazyCheckpoint, withCheckpoint } from "./lazy_checkpoint.ts";
export { findPart, heldOf, leavesOf, namesMeant, type Part, someOf, tensorNames } from "./parts.ts";
export { readTensor, type ReadTensorOptions, type TensorData } from "./read_tensor.ts";
export { firstThatVerifies, verifyCheckpoint } from "./verify.ts";
export { type Copied, copyCheckpoint, type CopyError, type CopyOptions } from "./copy.ts";
export { inOrder } from "./in_order.ts";
export { candidates, isGone, list, type Listed, readEntry, readSummary, type SummaryRead } from "./entries.ts";
export { entriesOf, entryOf, forgetOthers, rememberEntry, trainingOf } from "./entries.ts";
export {
  beginFirstRun,
  beginRun,
  type CurrentRun,
  currentRun,
  inTurn,
  recordSkipped,
  savesFinished,
  setCurrentRun,
} from "./current_run.ts";
export { afterOf, type Continued, continueRun, overtakenBy, type RunOptions, settleRun } from "./lineage.ts";
export { plan, prune, retain, unlisted } from "./prune.ts";
export type { Kept, NotRemoved, Plan, PruneOptions, Reason, Removal } from "./prune.ts";
