/**
 * Loaders: lazy, composable reading of samples that resumes at any item from a plain cursor.
 *
 * Read `cursor` and `index_plan` for the arithmetic, `types` and `source` for the data, then `transforms`, then `iterate`. `Loader` is the public namespace.
 *
 * Promises: *skip*: `skip(n)` yields what dropping n yields and reads none of it where the source has random access; the cursor after n items is the cursor of `skip(n)`.
 *
 * @module
 */
export * as Cursor from "./cursor.ts";
export { loaderOf } from "./types.ts";
export { consecutive, randomAccess } from "./source.ts";
export * as Loader from "./loader.ts";
export { iterate } from "./loader.ts";
export { skip } from "./transforms.ts";
