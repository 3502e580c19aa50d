/**
 * Data files read by offset: a file that is open while it is used, a scanner for line ends, and an index that finds record n without reading
 * the others.
 *
 * Read `data_file`, then `newline_scanner`, then `record_index`.
 *
 * It is apart from the loaders over these files so that the command line can build an index without loading TensorFlow.js.
 *
 * Promises: a file that is truncated or changed while it is read is an error; a saved index that no longer fits its file is not used.
 *
 * @module
 */
export {
  dataError,
  dataFailure,
  type DataFile,
  isGzip,
  keepRecent,
  readingData,
  sampleDigest,
  useFile,
} from "./data_file.ts";
export { countRecords, type Keep, loadIndex, recordReader, splitLines } from "./record_index.ts";
