/**
 * The store of a run: a folder, or a URL of an object store.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { resolve } from "node:path";
import { toError } from "../errors/mod.ts";
import { directory } from "../store/directory/mod.ts";
import type { Store } from "../store/mod.ts";
import { type CommandTask, usageError } from "./arguments.ts";

// --- types

/** Makes the store at a URL. An exception says what is wrong with the URL. */
export type OpenUrl = (url: string) => Promise<Store>;

// --- constructors

/** Whether a run is a URL. No folder of Windows is: their drives have one letter. */
export function isUrl(run: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(run);
}

/** Makes the store of an object store. It is loaded only for this, because most command lines name folders. */
export const openUrl: OpenUrl = async (url) => (await import("../store/s3/mod.ts")).s3(url);

/**
 * The store of a run, which need not exist.
 *
 * @param run The path of its folder, or its URL.
 * @param open Makes the store at a URL.
 */
export function storeAt(run: string, open: OpenUrl): CommandTask<Store> {
  if (!isUrl(run)) return TE.right(directory(resolve(run)));
  return pipe(TE.tryCatch(() => open(run), toError), TE.mapLeft(({ message }) => usageError(message)));
}
