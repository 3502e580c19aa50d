/**
 * What makes a file or folder durable, on each system and runtime: its bytes are on the disk, and a loss of power does not take them back.
 *
 * | system | durable | in the runtimes |
 * |---|---|---|
 * | Linux | `fsync` | all three call it |
 * | macOS | `fcntl(F_FULLFSYNC)`: `fsync` leaves the bytes in the cache of the drive, which writes them in any order | Node and Deno call it in their `fsync`. Bun calls plain `fsync`, so `fcntl` follows through `bun:ffi` |
 * | Windows | `FlushFileBuffers`, on a file opened for writing; folders are not synced | all three call it |
 *
 * SMB and many FUSE file systems have no `F_FULLFSYNC`. For files, libuv (`uv__fs_fsync`), SQLite (`full_fsync`) and Go (issue 64215) call plain
 * `fsync` there, which tells the server or the FUSE program to store the bytes. So do Node, and Bun here. Deno has no call of plain `fsync`, so
 * that a file cannot be made durable: that is an error, which says what to do. Folders need no sync on such file systems: `clear_answers` continues
 * without, as SQLite and PostgreSQL (`fsync_fname_ext`) do.
 *
 * Sources: Apple's manual pages fsync(2) and fcntl(2); libuv `src/unix/fs.c`; Rust `File::sync_all`, which Deno calls (rust-lang/rust 55920);
 * Bun `src/runtime/node/node_fs.rs`, where `fsync` and `fdatasync` are those of libc; Microsoft's page of `FlushFileBuffers`.
 *
 * @module
 */

import { meaningOf } from "./answers.ts";
import { deno } from "./deno_runtime.ts";
import { errorCode, errorCodeOf, systemError } from "./system_errors.ts";

// --- types

/** An open file or folder. */
export interface Syncable {
  /** The descriptor; Deno's own files have none. */
  readonly fd?: number;
  /** The runtime's `fsync`. */
  readonly sync: () => Promise<void>;
}

/** A system and a runtime. */
export interface Host {
  readonly platform: NodeJS.Platform;
  readonly runtime: "bun" | "deno" | "node";
  /** Calls `fcntl(fd, F_FULLFSYNC)`; throws an exception with the system's code. */
  readonly fullSync: (fd: number) => void;
}

/** The part of `bun:ffi` that is used here. */
interface BunFfi {
  readonly dlopen: (library: string, symbols: object) => {
    readonly symbols: Readonly<Record<string, (...args: number[]) => number>>;
  };
  readonly read: { readonly i32: (pointer: number) => number };
}

// --- constructors

/** The command of `fcntl`, from macOS's `<sys/fcntl.h>`. */
const F_FULLFSYNC = 51;

/**
 * `fcntl(fd, F_FULLFSYNC)` from a C library, by Bun's foreign functions.
 *
 * It blocks the thread while the drive writes its cache, some 5 ms. After an `fsync` that is all that is left to do. The third argument of
 * `fcntl` is variable and ignored for this command, so two are passed.
 *
 * @param library The C library.
 * @param errnoName The function in it that gives the address of `errno`.
 */
export function fullSyncFrom(library: string, errnoName: string): (fd: number) => void {
  // Not an import, which Node and Deno could not resolve.
  const { getBuiltinModule }: { readonly getBuiltinModule?: (name: string) => unknown } = process;
  const ffi = getBuiltinModule?.call(process, "bun:ffi") as BunFfi | undefined;
  if (ffi === undefined) throw systemError("ENOSYS", "bun:ffi is missing");
  const { fcntl, [errnoName]: errno } = ffi.dlopen(library, {
    fcntl: { args: ["i32", "i32"], returns: "i32" },
    [errnoName]: { args: [], returns: "ptr" },
  }).symbols;
  return (fd) => {
    if (fcntl!(fd, F_FULLFSYNC) !== -1) return;
    const code = errorCode(ffi.read.i32(errno!()));
    throw systemError(code, `fcntl with F_FULLFSYNC failed with ${code}`);
  };
}

let fullSync: ((fd: number) => void) | undefined;

/** The system and runtime of this process. */
export const thisHost: Host = {
  platform: process.platform,
  runtime: deno !== undefined ? "deno" : process.versions["bun"] !== undefined ? "bun" : "node",
  fullSync: (fd) => (fullSync ??= fullSyncFrom("libSystem.B.dylib", "__error"))(fd),
};

/**
 * How a file is opened a second time, to flush it while the first handle writes: for reading and writing, because Windows flushes only files
 * that are open for writing.
 */
export const flushMode = "r+";

// --- combinators

function isUnsupported(cause: unknown): boolean {
  return meaningOf("sync", { code: errorCodeOf(cause) }) === "unsupported";
}

/** Makes the bytes of an open file durable; rejects with the system's exception. */
export async function syncFile(file: Syncable, { platform, runtime, fullSync }: Host = thisHost): Promise<void> {
  try {
    await file.sync();
  } catch (cause) {
    if (platform !== "darwin" || runtime !== "deno" || !isUnsupported(cause)) throw cause;
    const remedy = "run in Bun or Node, or save to a local disk";
    throw systemError(errorCodeOf(cause), `Deno cannot make a file durable on this file system: ${remedy}`);
  }
  if (platform !== "darwin" || runtime !== "bun" || file.fd === undefined) return;
  try {
    fullSync(file.fd);
  } catch (cause) {
    // Where the file system has no F_FULLFSYNC, the `fsync` before is the most it can do.
    if (!isUnsupported(cause)) throw cause;
  }
}

/**
 * Makes the entries of a folder durable; rejects with the system's exception.
 *
 * @param open Opens the folder. Windows cannot, and need not.
 * @param host The system and runtime.
 */
export async function syncFolder(
  open: () => Promise<Syncable & { readonly close: () => Promise<void> }>,
  host: Host = thisHost,
): Promise<void> {
  if (host.platform === "win32") return;
  const folder = await open();
  try {
    await syncFile(folder, host);
  } finally {
    await folder.close();
  }
}
