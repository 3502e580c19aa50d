/**
 * Loaders: lazy, composable reading of samples that resumes at any item from a plain cursor.
 *
 * Read `cursor` and `index_plan` for the arithmetic; `source`, `fingerprint` and `shuffle` for the data; `types`, `from_memory`, `byte_lines` and
 * `from_body` for loaders; `transforms` and `shard` for what is put over them; `stream_reader` and `iterate` for reading; `epochs` for questions
 * about a cursor. Then `derived_source` with
 * `combine` and `regroup`, and `columns` with `collate`, and `resume` for cursors. `loader` is the public namespace.
 *
 * Promises: the items and cursors from a cursor on are those of a run that never stopped; data other than the cursor's is an error that lists
 * the differences; `skip(n)` yields what dropping n items yields, and reads none of them where the source has random access.
 *
 * @module
 */
export * as Cursor from "./cursor.ts";
export { linesIn } from "./byte_lines.ts";
export { consecutive, randomAccess } from "./source.ts";
export { loaderOf } from "./types.ts";
export { skip } from "./transforms.ts";
export * as Loader from "./loader.ts";
export { iterate } from "./loader.ts";
export { completeEpochs, completeEpochsSeen, epochsOf, itemsBefore, needsNext, placeOf } from "./epochs.ts";
export { readFrom } from "./resume.ts";
