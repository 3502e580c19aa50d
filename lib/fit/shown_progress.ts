/**
 * What `fit` and `fitDataset` show of their progress: the logs of the last batch, and those of the last epoch that it has none for.
 *
 * @module
 */
import * as RA from "fp-ts/lib/ReadonlyArray.js";
import { readLogs } from "./best_weights.ts";
import type { ProgressDisplay, ProgressPosition } from "../run/mod.ts";
import type { PreparedTraining, TrainingState } from "./training_state.ts";

/** Where a training is. */
function positionOf({ first, epochs, perEpoch }: PreparedTraining, state: TrainingState): ProgressPosition {
  const { epoch, batch } = state.at;
  return {
    // Between two epochs it is the one that has ended.
    epoch: Math.max(first + 1, batch > 0 ? epoch + 1 : epoch),
    epochs,
    total: perEpoch === null ? null : perEpoch * (epochs - first),
    // Named in the order of a batch's logs, which have no `val_loss`.
    metrics: { ...state.batchLogs, ...state.epochLogs, ...state.batchLogs },
  };
}

/** Says which checkpoint a training resumes from, or that it is complete, and why if it has fewer epochs than the call. */
export function showResumed(
  display: ProgressDisplay,
  { epochs }: PreparedTraining,
  { at }: TrainingState,
  checkpoint: number,
  isComplete: boolean,
): void {
  const isStopped = at.stopping && at.epoch < epochs;
  const stopped = `: a callback stopped it in epoch ${at.epoch} of ${epochs}, which more epochs do not resume`;
  display.say(
    isComplete
      ? `complete since checkpoint ${checkpoint}${isStopped ? stopped : ""}`
      : `resumed from checkpoint ${checkpoint}`,
  );
}

/** Shows where a training begins. */
export function showStart(display: ProgressDisplay, training: PreparedTraining, state: TrainingState): void {
  display.begin(state.at.step, () => positionOf(training, state));
}

/** Shows the last batch, if it is due. */
export function showBatch(display: ProgressDisplay, training: PreparedTraining, state: TrainingState): void {
  display.after(state.at.step, () => positionOf(training, state));
}

/** Keeps the logs of the epoch that has ended, to show them. */
export async function showEpoch({ isWanted }: ProgressDisplay, state: TrainingState): Promise<void> {
  if (!isWanted) return;
  const logs = Object.entries(await readLogs(state.logs));
  const isOfBatches = ([name]: readonly [string, number]): boolean => !name.startsWith("val_");
  // tfjs gives those of the validation first.
  const { left, right } = RA.partition(isOfBatches)(logs);
  [state.epochLogs, state.batchLogs] = [Object.fromEntries([...right, ...left]), {}];
}
