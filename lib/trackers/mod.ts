/**
 * Trackers: what receives the metrics of a training.
 *
 * @module
 */
export { jsonLines } from "./json_lines.ts";
export type { Tracker, TrackerStart } from "./tracker.ts";
