/**
 * Recognises mounts of object stores, on which no checkpoint is safe.
 *
 * They offer an object store as a file system, and keep its limits: a folder is renamed file by file or not at all, or the answer comes
 * before the upload. No answer of an operation shows this, so it is read from the list of mounts, which Linux alone has as a file.
 *
 * Sources: the documentation of gcsfuse (semantics), BlobFuse2 (limitations), Mountpoint for Amazon S3 (semantics), s3fs (limitations),
 * goofys, geesefs, ossfs, cosfs (forks of s3fs) and rclone (mount, VFS file caching). Of rclone, lost uploads were seen.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { storeFailed } from "../mod.ts";

// --- types

/** A mounted file system. */
export interface Mount {
  /** Its type, such as `ext4` or `fuse.sshfs`. */
  readonly type: string;
  /** What is mounted: a device, or what the program says. */
  readonly source: string;
}

const byFile = "renames a folder file by file, so that a crash leaves half of a checkpoint";
const never = "cannot rename folders";
const early = "confirms writes before they are uploaded, so that a crash loses saved checkpoints";

/** Why a checkpoint is not safe, by the name of the program. */
const objectStores: Readonly<Record<string, string>> = {
  gcsfuse: byFile,
  blobfuse: byFile,
  blobfuse2: byFile,
  s3fs: byFile,
  goofys: byFile,
  geesefs: byFile,
  ossfs: byFile,
  cosfs: byFile,
  "mountpoint-s3": never,
  rclone: early,
};

// --- the list of mounts

/** A path in the list, where spaces, tabs, newlines and backslashes are octal numbers. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/**
 * The mount that holds a path.
 *
 * @param path An absolute path without links.
 * @param mountinfo The text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
 * @returns The mount; undefined if the text has none.
 */
export function mountOf(path: string, mountinfo: string): Mount | undefined {
  let [found, length]: [Mount | undefined, number] = [undefined, 0];
  for (const line of mountinfo.split("\n")) {
    // Optional fields end with a hyphen.
    const [before, after] = line.split(" - ", 2);
    const [type, source] = after?.split(" ") ?? [];
    const point = before?.split(" ")[4];
    if (type === undefined || source === undefined || point === undefined) continue;
    const at = unescaped(point);
    const isAbove = at === "/" || path === at || path.startsWith(`${at}/`);
    // Of two mounts at one path, the later one hides the other.
    if (isAbove && at.length >= length) [found, length] = [{ type, source: unescaped(source) }, at.length];
  }
  return found;
}

/** The program of an object store's mount. Some programs name themselves as the source only. */
function programOf({ type, source }: Mount): string | undefined {
  const program = type === "fuse" ? source : type.startsWith("fuse.") ? type.slice("fuse.".length) : "";
  return Object.hasOwn(objectStores, program) ? program : undefined;
}

// --- combinators

/**
 * Refuses a path on the mount of an object store.
 *
 * @param fs The file system.
 * @param path An absolute path.
 */
export function checkMount(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, void> {
  return async () => {
    const mount = mountOf(fs.realPath?.(path) ?? path, await fs.mountinfo?.() ?? "");
    const program = mount && programOf(mount);
    if (program === undefined) return E.right(undefined);
    const message = `it is on a mount by ${program}, which ${objectStores[program]}`;
    return E.left(storeFailed("save in", path, "EOBJECTSTORE", message));
  };
}
