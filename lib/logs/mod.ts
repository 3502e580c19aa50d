/**
 * Logs: the formats of curves and histograms on a disk.
 *
 * Read `metric_log`, the JSON Lines that `jsonLines` writes and the command line reads; then `histogram` and `event_file`. Nothing here uses a disk or
 * TensorFlow.js.
 *
 * Promises: *same bits*: the same values give the same bytes in every runtime; a reader copes with every input.
 *
 * @module
 */
export {
  headerLine,
  type HistogramLine,
  histogramLine,
  logFormat,
  type LoggedHistogram,
  type LoggedValues,
  type LogHeader,
  type LogLine,
  logMark,
  type LogParent,
  type LogReader,
  logReader,
  type LogRecord,
  longestLine,
  recordOf,
  valuesLine,
} from "./metric_log.ts";
export { type Histogram, histogramOf } from "./histogram.ts";
export {
  type EventContent,
  eventFileName,
  type EventNames,
  eventReader,
  eventRecord,
  isEventFile,
  parseEventFileName,
  runDigits,
  taggedName,
} from "./event_file.ts";
