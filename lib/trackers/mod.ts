/**
 * Trackers: what receives the metrics of a training.
 *
 * Read `tracker`, the interface; then `json_lines` with `open_log`, which finds and cuts the file of a run, and `tensor_board`. `buffered_file` writes both
 * in the background, `log_file` is what a log needs of a disk, `inputs` checks what trackers receive.
 *
 * Promises: *same curves*: the points of a run that was killed and resumed are those of one that never stopped.
 *
 * @module
 */
export { jsonLines } from "./json_lines.ts";
export type { Tracker, TrackerStart } from "./tracker.ts";
export { tensorBoard } from "./tensor_board.ts";
