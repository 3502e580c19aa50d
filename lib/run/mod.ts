/**
 * Runners: the effects that save, load and train.
 *
 * Read `save` and `load`, then `saver` (saves in the background), then `autosave` and `train`.
 *
 * Promises: an effect does nothing until it is run; a failed save leaves the last checkpoint intact; nothing in here exits the process.
 *
 * @module
 */
export { environment } from "./environment.ts";
export { defaultTraining, type TrainingRecord, trainingsAt } from "./trainings.ts";
export { type Saved, type SaveOptions, saveState, writeSnapshot } from "./save.ts";
export { type Saver, saver, type SaverOptions } from "./saver.ts";
export {
  type LoadedSnapshot,
  type LoadOptions,
  loadState,
  readSnapshot,
  readWanted,
  type Report,
  resume,
  skipDamaged,
} from "./load.ts";
export type { Signal } from "./signals.ts";
export { checkPolicy, policyNames, type SavePoints, savePoints, type SavePolicy } from "./autosave.ts";
export { cursorIn, loaderError, train, type TrainOptions } from "./train.ts";
