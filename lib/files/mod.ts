/**
 * Data files read by offset: an open file that notices changes, a scanner for line ends, and the index that finds record n without reading the others.
 *
 * It is apart from the loaders over these files so that the command line can build an index without loading TensorFlow.js.
 *
 * Promises: a file that changed since it was indexed is an error; an index is a function of the file's bytes alone.
 *
 * @module
 */
export {
  checkPath,
  dataError,
  dataFailure,
  type DataFile,
  keepRecent,
  readingData,
  sampleDigest,
  useFile,
} from "./file_handle.ts";
export { countRecords, type Keep, loadIndex, recordReader, splitLines } from "./record_index.ts";
