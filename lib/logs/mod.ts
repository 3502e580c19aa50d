/**
 * Formats of logs: what trackers write and the command line reads.
 *
 * `metric_log` is the log of metrics as JSON Lines.
 *
 * Promises: no effects; a reader copes with every input, and a line of another kind does not spoil the others.
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
