/**
 * Where the code of this library is, to tell it from the user's in a stack.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

// --- constructors

/** The folders of this library: `lib` in the source; in the package `dist`, and `lib`, which source maps name. None in a bundle elsewhere. */
function foldersOf(url: string): readonly string[] {
  const folder = /^.*\/lib\/(?=run\/own_code\.ts$)|^.*\/@dogear\/dogear\/(?:[^/]+\/)?dist\//.exec(url)?.[0];
  if (folder === undefined) return [];
  return folder.endsWith("/dist/") ? [folder, folder.replace(/dist\/$/, "lib/")] : [folder];
}

/** The folders of this library, as stacks write them: as URLs and as paths. Empty in a bundle that a user made. */
export const ownFolders: readonly string[] = foldersOf(import.meta.url).flatMap((folder) =>
  folder.startsWith("file:") ? [folder, fileURLToPath(folder)] : [folder]
);
