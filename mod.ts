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
export type { Difference, Differences } from "./lib/state/mod.ts";
export { directory } from "./lib/store/directory/mod.ts";
export type { DogearError } from "./lib/errors/mod.ts";
export { explain, runOrThrow } from "./lib/errors/mod.ts";
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
} from "./lib/errors/mod.ts";
export { fit } from "./lib/fit/mod.ts";
export { fitDataset } from "./lib/fit/mod.ts";
export type { FitOptions } from "./lib/fit/mod.ts";
export { Loader } from "./lib/loader/mod.ts";
export { skip } from "./lib/loader/mod.ts";
export { Retention } from "./lib/store/mod.ts";
export type { Entry } from "./lib/store/mod.ts";
export { Rng } from "./lib/values/mod.ts";
export { list } from "./lib/checkpoint/mod.ts";
export { version } from "./lib/checkpoint/mod.ts";
export type { Listed } from "./lib/checkpoint/mod.ts";
export { plan, prune } from "./lib/checkpoint/mod.ts";
export type { Kept, NotRemoved, Plan, PruneOptions, Reason, Removal } from "./lib/checkpoint/mod.ts";
export { loadState, readSnapshot, resume } from "./lib/run/mod.ts";
export type { LoadOptions, Report } from "./lib/run/mod.ts";
export { saveState, writeSnapshot } from "./lib/run/mod.ts";
export type { Saved, SaveOptions } from "./lib/run/mod.ts";
export { saver } from "./lib/run/mod.ts";
export type { Saver, SaverOptions } from "./lib/run/mod.ts";
export { Scaler } from "./lib/values/mod.ts";
export { Schedule } from "./lib/values/mod.ts";
export { captureState, diff, id, release, restoreInto, restoreState } from "./lib/snapshot.ts";
export type { Overridden } from "./lib/state/mod.ts";
export type { RestoredParts as Parts, Selection } from "./lib/state/partial/mod.ts";
export type { Codecs, Decoded, NoCodecs, Options, Restored } from "./lib/codecs.ts";
export type { Components, RestoreOptions, Snapshot } from "./lib/snapshot.ts";
export type { StateTree } from "./lib/state/mod.ts";
export { memory } from "./lib/store/mod.ts";
export type { Store } from "./lib/store/mod.ts";
export { exactBackend, type Settings } from "./lib/tfjs/mod.ts";
export { setLearningRate } from "./lib/tfjs/optimizers/mod.ts";
export { type Batch, trainOnBatch } from "./lib/tfjs/mod.ts";
export { train } from "./lib/run/mod.ts";
export type { TrainOptions } from "./lib/run/mod.ts";
export type { SavePolicy } from "./lib/run/mod.ts";
export type { Signal } from "./lib/run/mod.ts";
export type { Progress } from "./lib/store/mod.ts";
