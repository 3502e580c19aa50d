/**
 * Runners: the effects that save, load and train.
 *
 * Read `save`, then `load` with `preflight`, `foresee` and `advice`, and `load_model`; then `saver`, which saves in the background, with its `scheduler`; then `autosave`, which decides
 * when a loop saves, with `signals`; then `training_loop`, `tracking` and `train`. `environment` is what a checkpoint records of the process; `run_main` with
 * `own_code` is the end of a script.
 *
 * Promises: an effect does nothing until it is run; a failed save leaves the last checkpoint intact; no function exits the process.
 *
 * @module
 */
export { defaultTraining, type Saved, type SaveOptions, saveState, type WriteOptions, writeSnapshot } from "./save.ts";
export {
  type LoadedSnapshot,
  type LoadOptions,
  loadState,
  type ReadOptions,
  readSnapshot,
  readWanted,
  type Report,
  resume,
  skipDamaged,
} from "./load.ts";
export { loadModel, type LoadModelOptions } from "./load_model.ts";
export { type Saver, saver, type SaverOptions } from "./saver.ts";
export { checkPolicy, policyRules, type SavePoints, savePoints, type SavePolicy } from "./autosave.ts";
export type { Signal } from "./signals.ts";
export { type BatchPosition, runTraining, type TrainingSteps } from "./training_loop.ts";
export { checkTracking, type Tracking, trackingOf, type TrackingOptions, trackingRules } from "./tracking.ts";
export { train, type TrainOptions, type TrainSavePolicy } from "./train.ts";
export {
  checkProgress,
  type ProgressDisplay,
  progressDisplay,
  type ProgressOptions,
  type ProgressPosition,
  progressRules,
  type ProgressStream,
  type ShowsProgress,
} from "./progress.ts";
export { environment } from "./environment.ts";
export { ownFolders } from "./own_code.ts";
export { runMain } from "./run_main.ts";
