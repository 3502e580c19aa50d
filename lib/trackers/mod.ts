/**
 * Trackers: what receives the metrics of a training.
 *
 * Promises: *same curves*: the points of a run that was killed and resumed are those of one that never stopped.
 *
 * @example
 * ```ts
 * import { Loader, memory, pipe, train } from "@dogear/dogear";
 * import { jsonLines } from "@dogear/dogear/trackers";
 * import assert from "node:assert/strict";
 * import { readFileSync } from "node:fs";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2));
 * await train({
 *   loader,
 *   step: (state: { sum: number; cursor: Loader.Cursor }, batch) => ({ ...state, sum: state.sum + batch.length }),
 *   metrics: ({ sum }) => ({ sum }),
 *   trackers: [jsonLines("log.jsonl")],
 *   save: { to: memory() },
 * })({ sum: 0, cursor: Loader.start(loader) });
 * assert.match(readFileSync("log.jsonl", "utf8"), /"sum":4/);
 * ```
 *
 * @module
 */

// Read `tracker`, the interface; then `json_lines` with `open_log`, which finds and cuts the file of a run, and `tensor_board`. `buffered_file` writes both
// in the background, `log_file` is what a log needs of a disk, `inputs` checks what trackers receive.
export { jsonLines } from "./json_lines.ts";
export type { Tracker, TrackerStart } from "./tracker.ts";
export { tensorBoard } from "./tensor_board.ts";
