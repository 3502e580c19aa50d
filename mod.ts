/**
 * dogear: capture the whole state of a TensorFlow.js training run as an immutable value, commit it so that no crash can lose it, and
 * resume it with the same bits.
 *
 * The core is pure: {@link captureState} makes a {@link Snapshot} of named components, {@link restoreState} and {@link restoreInto} restore
 * them. Runners do this with a store: {@link saveState}, {@link loadState}, {@link resume}, {@link train}. The namespaces {@link Rng},
 * {@link Loader}, {@link Schedule}, {@link Scaler} and {@link Retention} make the rest of a run plain values.
 *
 * @example
 * ```ts
 * import { Loader, memory, pipe, resume, Rng, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.shuffle(7), Loader.batch(2), Loader.repeat(2));
 * const store = memory();
 * const run = async (stopAfter: number): Promise<number> => {
 *   let state = await resume(store)({ rng: Rng.make(42), cursor: Loader.start(batches), sum: 0 });
 *   for await (const [batch, cursor] of Loader.from(state.cursor)(batches)) {
 *     const [noise, rng] = Rng.float(state.rng);
 *     state = { rng, cursor, sum: state.sum + noise * batch.reduce((a, b) => a + b, 0) };
 *     await saveState(store)(state);
 *     if (--stopAfter === 0) break;
 *   }
 *   return state.sum;
 * };
 * await run(4); // killed after four steps
 * const resumed = await run(Infinity);
 * assert(resumed > 0);
 * ```
 *
 * @module
 */
export { pipe } from "fp-ts/lib/function.js";

// Snapshots
export { captureState, diff, id, release, restoreInto, restoreState } from "./lib/snapshot.ts";
export type { CannotCapture, Capturable, Components } from "./lib/capturable.ts";
export type { RestoreOptions, Snapshot } from "./lib/snapshot.ts";
export { codecOf } from "./lib/codecs.ts";
export type { Codec, Codecs, Decoded, NoCodecs, Options, Restored } from "./lib/codecs.ts";
export type { Difference, Differences, Overridden, StateTree } from "./lib/state/mod.ts";
export type { RestoredParts as Parts, Selection } from "./lib/state/partial/mod.ts";

// Stores
export { directory } from "./lib/store/directory/mod.ts";
export { type Entry, memory, type Note, type Progress, Retention, type Store } from "./lib/store/mod.ts";
export { list, plan, prune, readTensor, version } from "./lib/checkpoint/mod.ts";
export type {
  CheckpointReference,
  Kept,
  Listed,
  NotRemoved,
  Plan,
  PruneOptions,
  ReadTensorOptions,
  Reason,
  Removal,
} from "./lib/checkpoint/mod.ts";
export type { TensorData } from "./lib/checkpoint/mod.ts";

// Runners
export {
  loadModel,
  loadState,
  readSnapshot,
  resume,
  runMain,
  saver,
  saveState,
  train,
  writeSnapshot,
} from "./lib/run/mod.ts";
export type {
  LoadModelOptions,
  LoadOptions,
  Report,
  Saved,
  SaveOptions,
  SavePolicy,
  Saver,
  SaverOptions,
} from "./lib/run/mod.ts";
export type {
  BatchPosition,
  Signal,
  TrackingOptions,
  TrainingSteps,
  TrainOptions,
  TrainSavePolicy,
} from "./lib/run/mod.ts";
export type { ProgressOptions, ProgressStream } from "./lib/run/mod.ts";
export { fit, fitDataset, type FitOptions, type RestoreBest } from "./lib/fit/mod.ts";

// Tasks
export {
  type Awaitable,
  type AwaitableIO,
  type AwaitableIOEither,
  type AwaitableTask,
  runOrThrow,
} from "./lib/task.ts";

// Parts of a run
export { Loader, skip } from "./lib/loader/mod.ts";
export { Rng, Scaler, Schedule } from "./lib/values/mod.ts";
export {
  accumulateGrads,
  type Batch,
  exactBackend,
  type MeanGradients,
  type Settings,
  trainOnBatch,
} from "./lib/tfjs/mod.ts";
export { setLearningRate } from "./lib/tfjs/optimizers/mod.ts";

// Errors
export { explain } from "./lib/errors/mod.ts";
export type {
  CursorMismatch,
  Damaged,
  DataFailed,
  DeviceFailed,
  Divergence,
  DogearError,
  FitError,
  LoaderError,
  LoadError,
  Mismatch,
  NewerFormat,
  NoCheckpoint,
  Overtaken,
  Problem,
  ProblemKind,
  ProcessFailed,
  ProveError,
  Released,
  RestoreError,
  ResumeCause,
  SaveError,
  SourceFailed,
  StepFailed,
  StepWentBack,
  Stopped,
  StoreFailed,
  TrainError,
} from "./lib/errors/mod.ts";
