/**
 * What each operation of a file system may answer, and what it means: the one table of error codes.
 *
 * Systems, runtimes and file systems answer the same question with different codes. Each caller of an operation looks up the
 * meaning here. A code that is not in the table is a failure.
 *
 * | meaning | says |
 * |---|---|
 * | `taken` | the new path exists |
 * | `missing` | the path does not exist |
 * | `below file` | there is a file where the path needs a folder |
 * | `folder` | the path is a folder |
 * | `unsupported` | this file system cannot do it |
 * | `forbidden` | this process may not do it |
 * | `unclear` | only a look at the path shows it: the path is taken or a folder; or another program uses it, on Windows; or this process may not do it |
 * | `stale` | the server has lost the handle of the path: asked again, it finds the path or says that it is missing |
 *
 * `clear_answers` asks again and looks, so that behind it there is neither `unclear` nor `stale`.
 *
 * Sources: the manual pages of Linux and macOS; libuv `src/win/error.c`, which Node and Bun use on Windows; Deno `core/error_codes.rs` and
 * `ext/node/ops/winerror.rs`; sshfs `sftp_error_to_errno`. *Seen* is what a test on that file system has answered.
 *
 * @module
 */

import type { FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";

// --- types

/** An operation of a file system, or of a file open for writing. */
export type Operation =
  | Exclude<keyof FileSystem, "platform" | "wait" | "realPath" | "mountinfo" | "processId" | "processStatus">
  | "sync";

/** The meaning of an answer. */
export type Meaning =
  | "taken"
  | "missing"
  | "below file"
  | "folder"
  | "unsupported"
  | "forbidden"
  | "unclear"
  | "stale";

type Answers = Readonly<Record<string, Meaning>>;

// --- the table

/** The answers of every operation, unless the operation has its own. */
const everyOperation: Answers = {
  ENOENT: "missing", // Windows: ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, also for a path below a file
  ENOTDIR: "below file", // Linux, macOS
  ESTALE: "stale", // NFS: errno(3), and "A10" of the Linux NFS FAQ; FUSE: a node that the program has forgotten
};

/** Windows answers ERROR_ACCESS_DENIED (EPERM in older libuv and in Deno, EACCES in newer libuv and Deno's node:fs) to much that it does not do. */
const denied: Answers = {
  EPERM: "unclear",
  EACCES: "unclear",
  EBUSY: "unclear", // Windows: ERROR_SHARING_VIOLATION, another program has it open; SMB on Linux: STATUS_SHARING_VIOLATION
};

const answers: Readonly<Record<Operation, Answers>> = {
  makeFolder: {
    ...denied, // sshfs: SSH_FX_FAILURE is EPERM, also for a path that exists; Windows: the root of a drive
    EEXIST: "taken", // mkdir(2); Windows: ERROR_ALREADY_EXISTS
  },
  create: {
    EEXIST: "taken", // open(2) with O_EXCL; Windows: ERROR_FILE_EXISTS
  },
  open: {},
  status: {},
  linkTarget: {
    EACCES: "forbidden", // readlink(2); Deno without permission to read
  },
  names: {},
  link: {
    // A file that cannot be linked is written instead, for each code. Seen: EIO (rclone), EPERM (FAT, exFAT by FUSE), EXDEV (mergerfs).
    // Read: EISDIR (ERROR_INVALID_FUNCTION on FAT in Windows), EMLINK, UNKNOWN (the 1,024th link on NTFS), ENOTSUP (macOS), ENOSYS (FUSE).
    EEXIST: "taken", // link(2); Windows: ERROR_ALREADY_EXISTS
  },
  rename: {
    ...denied, // Windows: onto a folder, ERROR_ACCESS_DENIED; seen on sshfs: EPERM onto a folder that is not empty
    EEXIST: "taken", // rename(2), a folder that is not empty: xfs, btrfs; Windows: ERROR_ALREADY_EXISTS
    ENOTEMPTY: "taken", // rename(2), a folder that is not empty: ext4, APFS; Windows: ERROR_DIR_NOT_EMPTY
    ENOTDIR: "taken", // rename(2), a folder onto a file
    EXDEV: "unsupported", // overlayfs: a folder of a lower layer; mergerfs: a folder of another branch, and also onto a folder that is not empty
    ENOSYS: "unsupported", // FUSE: a program without rename, such as mountpoint-s3
    ENOTSUP: "unsupported", // FUSE programs over object stores
    EOPNOTSUPP: "unsupported", // the same number as ENOTSUP on Linux; another on macOS
  },
  removeFile: {
    ...denied, // unlink(2) of a folder: EPERM on macOS and in POSIX; Windows: ERROR_ACCESS_DENIED; EBUSY while another program has it open
    EISDIR: "folder", // unlink(2) on Linux
    ENOTEMPTY: "folder", // FUSE programs that remove files and folders with one call
  },
  removeFolder: {
    ...denied, // Windows: another program has it open
  },
  syncFolder: {
    EINVAL: "unsupported", // fsync(2), a file system without it; macOS: F_FULLFSYNC on macFUSE
    ENOTSUP: "unsupported", // macOS: F_FULLFSYNC on SMB
    EOPNOTSUPP: "unsupported", // the same number as ENOTSUP on Linux; another on macOS
    ENOTTY: "unsupported", // macOS: fcntl(2), a command that the file system does not know
    ENOSYS: "unsupported", // FUSE: a program without fsyncdir
    EBADF: "unsupported", // AIX and some SMB servers: the handle of a folder is not writable
    EISDIR: "unsupported", // FUSE programs with fsync for files alone
    EACCES: "forbidden", // open(2), a folder that this process may not read
    EPERM: "forbidden", // the same on sshfs and SMB
    EROFS: "forbidden", // a read-only file system
  },
  sync: {
    EINVAL: "unsupported", // fsync(2); macOS: F_FULLFSYNC on macFUSE, without the plain fsync that libuv tries next
    ENOTSUP: "unsupported", // macOS: F_FULLFSYNC on SMB, likewise
    EOPNOTSUPP: "unsupported", // as above
    ENOTTY: "unsupported", // as above
    ENOSYS: "unsupported", // FUSE: a program without fsync; the Linux kernel hides it
  },
};

// --- combinators

/** The code that is the plainest for a meaning: `clear_answers` gives it when it has looked. */
export const plainCode = { taken: "EEXIST", missing: "ENOENT", folder: "EISDIR", belowFile: "ENOTDIR" } as const;

/** The meaning of the code of an operation; undefined if it is a failure and nothing else. */
export function meaningOf(operation: Operation, { code }: Pick<StoreFailed, "code">): Meaning | undefined {
  const own = answers[operation];
  return Object.hasOwn(own, code) ? own[code] : Object.hasOwn(everyOperation, code) ? everyOperation[code] : undefined;
}

/** Whether a failure of one of some operations has this meaning. */
export function means(meaning: Meaning, ...operations: readonly Operation[]): (failed: StoreFailed) => boolean {
  return (failed) => operations.some((operation) => meaningOf(operation, failed) === meaning);
}

/** Whether a failure of one of some operations says that there is no such path: it is missing, or below a file. */
export function isAbsent(...operations: readonly Operation[]): (failed: StoreFailed) => boolean {
  const [isMissing, isBelowFile] = [means("missing", ...operations), means("below file", ...operations)];
  return (failed) => isMissing(failed) || isBelowFile(failed);
}

/** All codes of the table, by operation. */
export const knownCodes: readonly (readonly [operation: Operation, code: string])[] =
  (Object.keys(answers) as Operation[])
    .flatMap((operation) =>
      Object.keys({ ...everyOperation, ...answers[operation] }).map((code) => [operation, code] as const)
    );
