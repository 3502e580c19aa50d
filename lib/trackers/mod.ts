/**
 * Trackers: what receives the metrics of a training.
 *
 * @module
 */
export { jsonLines } from "./json_lines.ts";
export type { Tracker, TrackerStart } from "./tracker.ts";
export { tensorBoard } from "./tensor_board.ts";
