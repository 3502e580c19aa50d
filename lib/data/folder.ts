/**
 * Loaders of a folder of files; each file is a sample.
 *
 * @module
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import type { Awaitable } from "../task.ts";
import type { DataFailed } from "../errors/mod.ts";
import { aName, checkLocalPath, checkOptionNames, demand, ifGiven, listOf } from "../validation/mod.ts";
import { type Loader, loaderOf, randomAccess } from "../loader/mod.ts";
import { dataError, readingData } from "../files/mod.ts";

// --- types

/** A file's path below the folder, with `/` between names, and its bytes. */
export interface FileSample {
  /** The path of the file within the folder. */
  readonly path: string;
  /** What the file holds. */
  readonly bytes: Uint8Array;
}

// --- constructors

/** The names of files and folders that systems make by themselves: of macOS, Windows, NFS, FUSE, ext4 and Synology's servers. */
const ofTheSystem =
  /^(\._.*|\.nfs.*|\.fuse_hidden.*|\.Trash.*|\.DS_Store|\.Spotlight-V100|\.fseventsd|Thumbs\.db|desktop\.ini|\$RECYCLE\.BIN|System Volume Information|lost\+found|@eaDir)$/i;

/**
 * A loader of the files below a folder, sorted by path in code units, so that the order is the same in every runtime and on every disk. Accents may
 * be composed or not (macOS separates them): that is the same path.
 *
 * The fingerprint covers paths and sizes, not the content of the files. A file whose size differs when it is read rejects the iteration.
 * Links are not followed. What systems leave in folders by themselves is no sample: names that begin with `._`, `.nfs`, `.fuse_hidden` or
 * `.Trash`, and `.DS_Store`, `.Spotlight-V100`, `.fseventsd`, `Thumbs.db`, `desktop.ini`, `$RECYCLE.BIN`, `System Volume Information`, `lost+found`,
 * `@eaDir`.
 *
 * @param path The folder.
 * @param options `endings`: only files whose names end with one of these, such as `[".png"]`; all files by default.
 * @returns A task of the loader, or `DataFailed`.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import { fromFolder } from "@dogear/dogear/data";
 * import assert from "node:assert/strict";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 *
 * const folder = mkdtempSync(`${tmpdir()}/dogear-`);
 * writeFileSync(`${folder}/b.txt`, "second");
 * writeFileSync(`${folder}/a.txt`, "first");
 * const files = await fromFolder(folder, { endings: [".txt"] });
 * assert.deepEqual((await Loader.at(1)(files)).path, "b.txt");
 * ```
 */
export function fromFolder(
  path: string,
  options: { readonly endings?: readonly string[] } = {},
): Awaitable<DataFailed, Loader.Loader<FileSample>> {
  checkLocalPath("the path of fromFolder", path);
  checkOptionNames("fromFolder", options, { endings: true });
  demand("endings of fromFolder", ifGiven(listOf(aName)), options.endings);
  const isSample = (name: string): boolean => options.endings?.some((ending) => name.endsWith(ending)) ?? true;
  return readingData(path, async () => {
    const found = (await filesBelow(path, "")).filter(isSample).map((name) => [name.normalize("NFC"), name] as const);
    const paths = found.sort((a, b) => String(a) < String(b) ? -1 : 1).map(([, name]) => name);
    const sizes: number[] = [];
    // A few at a time: the number of requests that a process may have open is limited.
    for (let i = 0; i < paths.length; i += 64) {
      const some = await Promise.all(paths.slice(i, i + 64).map((name) => fs.stat(join(path, name))));
      sizes.push(...some.map(({ size }) => size));
    }
    const hash = createHash("sha256");
    paths.forEach((name, i) => hash.update(`${JSON.stringify(name.normalize("NFC"))}:${sizes[i]};`));
    const at = async (i: number): Promise<FileSample> => {
      const bytes = await fs.readFile(join(path, paths[i]!));
      if (bytes.byteLength === sizes[i]) {
        return { path: paths[i]!, bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
      }
      const [expected, found] = [`${sizes[i]} bytes`, `${bytes.byteLength}`];
      throw dataError(path, { path: paths[i]!, kind: "length", expected, found });
    };
    const fingerprint = `folder:${paths.length}:${hash.digest("hex").slice(0, 32)}`;
    return loaderOf<FileSample>(randomAccess(paths.length, fingerprint, at));
  }, "folder");
}

/** The paths of all files below a folder, relative to `root`. */
async function filesBelow(root: string, folder: string): Promise<readonly string[]> {
  const entries = (await fs.readdir(join(root, folder), { withFileTypes: true }))
    .filter(({ name }) => !ofTheSystem.test(name));
  const paths = await Promise.all(entries.map((entry): Promise<readonly string[]> | readonly string[] => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(root, path) : entry.isFile() ? [path] : [];
  }));
  return paths.flat();
}
