/**
 * What `fit` and `fitDataset` log to trackers: `batch/loss` after a batch, `epoch/loss` and `epoch/val_loss` after an epoch.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { readLogs } from "./best_weights.ts";
import type { StepFailed } from "../errors/mod.ts";
import type { Tracking } from "../run/mod.ts";
import type { Logs } from "../tfjs/mod.ts";
import type { TrainingState } from "./training_state.ts";

// --- constructors

/** Logs with a prefix to their names. */
function named(prefix: string, logs: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(logs).map(([name, value]) => [`${prefix}/${name}`, value]));
}

// --- combinators

/** Reads the logs of a batch before they are disposed of, if trackers want them. */
export async function keepBatchLogs(state: TrainingState, { batch: _, size: _size, ...logs }: Logs): Promise<void> {
  state.batchLogs = state.isLogged(state.at.step + 1) ? await readLogs(logs) : {};
}

/** Logs the last batch, if a log is due. */
export function logBatch({ isDue, log }: Tracking, { at, batchLogs }: TrainingState): E.Either<StepFailed, void> {
  return isDue(at.step) ? log(named("batch", batchLogs), at.step) : E.right(undefined);
}

/** Logs the epoch that has ended. */
export function logEpoch({ isWanted, log }: Tracking, { at, logs }: TrainingState): TaskEither<StepFailed, void> {
  return async () => isWanted ? log(named("epoch", await readLogs(logs)), at.step) : E.right(undefined);
}
