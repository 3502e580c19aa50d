/**
 * Logs: the formats of curves and histograms on a disk.
 *
 * Read `histogram`, then `event_file`. Nothing here uses a disk or TensorFlow.js.
 *
 * Promises: *same bits*: the same values give the same bytes in every runtime.
 *
 * @module
 */
export { type Histogram, histogramOf } from "./histogram.ts";
export {
  type EventContent,
  eventFileName,
  eventRecord,
  isEventFile,
  parseEventFileName,
  runDigits,
} from "./event_file.ts";
