/**
 * Trackers: what receives the metrics of a training.
 *
 * @module
 */
export type { Tracker, TrackerStart } from "./tracker.ts";
export { tensorBoard } from "./tensor_board.ts";
