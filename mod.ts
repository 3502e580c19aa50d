/**
 * dogear: capture the whole state of a TensorFlow.js training run as an immutable value, commit it so that no crash can lose it, and
 * resume it with the same bits.
 *
 * The heart is pure: {@link captureState} makes a {@link Snapshot} of named components, {@link restoreState} and {@link restoreInto} bring them
 * back. Runners carry it out on a store: {@link saveState}, {@link loadState}, {@link resume}, {@link train}. The namespaces {@link Rng},
 * {@link Loader}, {@link Schedule}, {@link Scaler} and {@link Retention} make the rest of a run plain values, too.
 *
 * @example
 * ```ts
 * import { Loader, memory, pipe, resume, Rng, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.shuffle(7), Loader.batch(2), Loader.repeat(2));
 * const store = memory();
 * const run = async (stopAfter: number): Promise<number> => {
 *   let state = await runOrThrow(resume(store)({ rng: Rng.make(42), cursor: Loader.start(batches), sum: 0 }));
 *   for await (const [batch, cursor] of Loader.from(state.cursor)(batches)) {
 *     const [noise, rng] = Rng.float(state.rng);
 *     state = { rng, cursor, sum: state.sum + noise * batch.reduce((a, b) => a + b, 0) };
 *     await runOrThrow(saveState(store)(state));
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
export type { Difference, Differences } from "./lib/compare.ts";
export { directory } from "./lib/directory.ts";
export type { DogearError } from "./lib/errors.ts";
export { explain, runOrThrow } from "./lib/explain.ts";
export type {
  CursorMismatch,
  Damaged,
  DataFailed,
  DeviceFailed,
  Divergence,
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
} from "./lib/errors.ts";
export { fit } from "./lib/fit.ts";
export { fitDataset } from "./lib/fit_dataset.ts";
export type { FitOptions } from "./lib/fit_options.ts";
export * as Loader from "./lib/loader.ts";
export { skip } from "./lib/loader.ts";
export * as Retention from "./lib/retention.ts";
export type { Entry } from "./lib/decision.ts";
export * as Rng from "./lib/rng.ts";
export { list } from "./lib/catalogue.ts";
export { version } from "./lib/version.ts";
export type { Listed } from "./lib/catalogue.ts";
export { plan, prune } from "./lib/pruning.ts";
export type { Kept, NotRemoved, Plan, PruneOptions, Reason, Removal } from "./lib/pruning.ts";
export { loadState, readSnapshot, resume } from "./lib/loading.ts";
export type { LoadOptions, Report } from "./lib/loading.ts";
export { saveState, writeSnapshot } from "./lib/saving.ts";
export type { Saved, SaveOptions } from "./lib/saving.ts";
export { saver } from "./lib/saver.ts";
export type { Saver, SaverOptions } from "./lib/saver.ts";
export * as Scaler from "./lib/scaler.ts";
export * as Schedule from "./lib/schedule.ts";
export { type CsvOptions, type CsvRecord, fromCsv } from "./lib/sources/csv.ts";
export { type FileSample, fromFolder } from "./lib/sources/folder.ts";
export { fromJsonLines, fromLines, type LinesOptions } from "./lib/sources/lines.ts";
export { fromNpy, type Row } from "./lib/sources/npy.ts";
export { fromParquet, type ParquetOptions } from "./lib/sources/parquet.ts";
export { captureState, diff, id, release, restoreInto, restoreState } from "./lib/snapshot.ts";
export type { Overridden } from "./lib/overridden.ts";
export type { RestoredParts as Parts, Selection } from "./lib/selection.ts";
export type { Codecs, Decoded, NoCodecs, Options, Restored } from "./lib/codecs.ts";
export type { Components, RestoreOptions, Snapshot } from "./lib/snapshot.ts";
export type { StateTree } from "./lib/state_tree.ts";
export { memory } from "./lib/memory.ts";
export type { Store } from "./lib/store.ts";
export { exactBackend, type Settings } from "./lib/tfjs/backend.ts";
export { setLearningRate } from "./lib/tfjs/optimizer.ts";
export { type Batch, trainOnBatch } from "./lib/tfjs/training.ts";
export { proveResume } from "./lib/prove.ts";
export type { Proof, ProveOptions } from "./lib/prove.ts";
export type { Training } from "./lib/prove/walk.ts";
export { train } from "./lib/train.ts";
export type { TrainOptions } from "./lib/train.ts";
export type { SavePolicy } from "./lib/save_points.ts";
export type { Signal } from "./lib/signals.ts";
export type { Progress } from "./lib/progress.ts";
