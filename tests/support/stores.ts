/**
 * Stores by their paths, for programs that tests start.
 *
 * @module
 */
import { s3 } from "../../lib/store/s3/mod.ts";
import type { StoreOptions } from "../../lib/store/mod.ts";
import { directory, type Store } from "../../mod.ts";

/** The store in a folder, or at a URL of a bucket whose server and keys are in the environment. */
export function storeAt(path: string, options: StoreOptions = {}): Store {
  return path.startsWith("s3://") ? s3(path, options) : directory(path, options);
}
