/**
 * The interface of trackers: what receives the metrics of a training.
 *
 * @module
 */
import type { Tensor } from "@tensorflow/tfjs";

// --- types

/** The position from which a training logs. */
export interface TrackerStart {
  /** The number of batches since the start of the data: 0 for a training that was not resumed. */
  readonly step: number;
  /**
   * The name of the run, null for a training that is not saved.
   * @default null
   */
  readonly run?: string | null;
  /**
   * The checkpoint of another run that this one forks from, and its step. Null for a run that does not fork here, also for a fork that is resumed.
   * @default null
   */
  readonly parent?: { readonly run: string; readonly checkpoint: number; readonly step: number | null } | null;
}

/**
 * Receives the metrics of a training. Any object with `log` and `close` is one.
 *
 * `train`, `fit` and `fitDataset` call `start`, then `log`, with `flush` before each save, and at last `close`. What a method throws, or rejects with, ends
 * the training with `StepFailed` by `trackers`. Law *same curves*: what was logged up to the step of a checkpoint is durable before the checkpoint
 * exists, and each later point is logged again. So the points of a run that was killed and resumed are those of one that never stopped, if `start`
 * drops what was logged after its step. At that step itself a name may come again, with the same value.
 *
 * @example
 * ```ts
 * import { Loader, train } from "@dogear/dogear";
 * import type { Tracker } from "@dogear/dogear/trackers";
 * import assert from "node:assert/strict";
 *
 * // In place of `points`, the client of a service: `await client.log({ ...values, step })`.
 * let points: [step: number, loss: number | undefined][] = [];
 * const tracker: Tracker = {
 *   start: async ({ step }) => void (points = points.filter(([logged]) => logged <= step)),
 *   log: (values, step) => void points.push([step, values["loss"]]),
 *   close: async () => {},
 * };
 * const loader = Loader.fromArray([3, 2, 1]);
 * await train({
 *   loader,
 *   step: (state: { loss: number; cursor: Loader.Cursor }, loss) => ({ ...state, loss }),
 *   metrics: ({ loss }) => ({ loss }),
 *   trackers: [tracker],
 * })({ loss: 0, cursor: Loader.start(loader) });
 * assert.deepEqual(points, [[1, 3], [2, 2], [3, 1]]);
 * ```
 */
export interface Tracker {
  /**
   * Logs numbers at a step: the number of batches since the start of the data. If it returns a promise, the training goes on meanwhile, and waits for it
   * before each `flush` and before `close`.
   */
  readonly log: (values: Readonly<Record<string, number>>, step: number) => void;
  /** Logs the distribution of values at a step. The tensor may be disposed of after the call. */
  readonly histogram?: (name: string, values: Tensor | ArrayLike<number>, step: number) => void;
  /**
   * Called once, before the first log of a training. What was logged after `step` came from a process that was killed, and is no part of the
   * training.
   */
  readonly start?: (at: TrackerStart) => Promise<void>;
  /** Makes what was logged durable. Called before each save. */
  readonly flush?: () => Promise<void>;
  /** Called once, at the end of the training, however it ends. */
  readonly close: () => Promise<void>;
}
