/**
 * Paths on this machine.
 *
 * @module
 */
import { shown } from "./types.ts";

/** What is written instead of a path by mistake, and what to write. */
const mistakes: readonly (readonly [is: (path: unknown) => boolean, remedy: string])[] = [
  [(path) => path instanceof URL || /^file:/i.test(String(path)), "use fileURLToPath of node:url"],
  [
    (path) => /^[a-z][a-z0-9+.-]+:\/\//i.test(String(path)),
    "a URL is no path; for checkpoints in object storage use the store s3(), and download data",
  ],
  [
    (path) => /^~([/\\]|$)/.test(String(path)),
    'only a shell replaces "~": write the whole path, or use homedir() of node:os',
  ],
  [(path) => typeof path !== "string" || path === "" || path.includes("\0"), "write it as a string"],
];

/**
 * Checks that a value can be the path of a file or folder on this machine; any other is a `TypeError` with what to write instead.
 *
 * @param name What the path is called.
 * @param path The value.
 */
export function checkLocalPath(name: string, path: unknown): void {
  const mistake = mistakes.find(([is]) => is(path));
  if (mistake === undefined) return;
  throw new TypeError(`Expected ${name} to be a path on this machine, found ${shown(path)}: ${mistake[1]}`);
}
