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
   * The checkpoint of another run that this one forked from, null if it did not.
   * @default null
   */
  readonly parent?: { readonly run: string; readonly checkpoint: number; readonly step: number | null } | null;
}

/** Receives the metrics of a training. Any object with `log` and `close` is one. */
export interface Tracker {
  /** Logs numbers at a step: the number of batches since the start of the data. */
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
  /** Called once, at the end of the training. */
  readonly close: () => Promise<void>;
}
