/**
 * Where the code of this library is, to tell it from the user's in a stack.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

// --- constructors

/** The folder of this module: `lib` in the source, `dist` in the package. None in a bundle elsewhere. */
function ownFolder(url: string): string | undefined {
  return /^.*\/lib\/(?=run\/own_code\.ts$)|^.*\/@dogear\/dogear\/(?:[^/]+\/)?dist\//.exec(url)?.[0];
}

/** The folder of this library, as stacks write it: as a URL and as a path. Empty in a bundle that a user made. */
export const ownFolders: readonly string[] = (() => {
  const folder = ownFolder(import.meta.url);
  if (folder === undefined) return [];
  return folder.startsWith("file:") ? [folder, fileURLToPath(folder)] : [folder];
})();
