/**
 * The file system of this machine, for Bun, Deno and Node.
 *
 * In Deno, files are written and folders listed with Deno's own functions: its `node:fs` writes on the main thread, and its asynchronous
 * listing of 10,000 names takes 20 to 40 ms of the main thread, the synchronous one 7.
 *
 * @module
 */

import { realpathSync } from "node:fs";
import * as fs from "node:fs/promises";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import * as TE from "fp-ts/lib/TaskEither.js";
import { deno, type DenoRuntime, isGranted, isReadable } from "./deno_runtime.ts";
import { meaningOf } from "./answers.ts";
import type { FileStatus, FileSystem, ReadableFile, WritableFile } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { processId, processStatus } from "./process_identity.ts";
import { storeFailed } from "../mod.ts";

// --- errors

/** The end of Deno's message for an error without a class or code, such as `EDQUOT`. */
const osError = / \(os error (\d+)\)$/;

/** The system's sentence without the code, the call and the path, which are fields of the failure. */
function sentenceOf(cause: unknown): string {
  const { message }: { message?: unknown } = Object(cause);
  return String(message).replace(/^E[A-Z0-9]+: /, "").replace(/, [a-z]+( '.*)?$/s, "").replace(osError, "");
}

/**
 * The system's code of an exception from the file system.
 *
 * @param cause The exception.
 * @returns Such as `ENOSPC`; `EUNKNOWN` if it has none.
 */
export function errorCodeOf(cause: unknown): string {
  const { code, name, message }: { code?: unknown; name?: unknown; message?: unknown } = Object(cause);
  if (typeof code === "string") return code;
  if (name === "NotCapable") return "EACCES";
  const number = process.platform === "win32" ? undefined : osError.exec(String(message))?.[1];
  const known = Object.entries(constants.errno).find(([, value]) => value === Number(number));
  return known?.[0] ?? "EUNKNOWN";
}

function systemCall<A>(operation: string, path: string, run: () => Promise<A>): TE.TaskEither<StoreFailed, A> {
  return TE.tryCatch(run, (cause) => storeFailed(operation, path, errorCodeOf(cause), sentenceOf(cause)));
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

// --- files

async function createWithNode(path: string): Promise<WritableFile> {
  const file = await fs.open(path, "wx");
  return {
    write: (bytes) =>
      systemCall("write", path, async () => (await file.write(bytes, 0, bytes.length, null)).bytesWritten),
    flush: systemCall("sync", path, () => file.datasync()),
    sync: systemCall("sync", path, () => file.sync()),
    close: systemCall("close", path, () => file.close()),
  };
}

async function createWithDeno({ open }: DenoRuntime, path: string): Promise<WritableFile> {
  const file = await open(path, { write: true, createNew: true });
  // Operations on one handle of Deno run one at a time, so a flush during writes needs a second handle.
  let second: fs.FileHandle | undefined;
  return {
    write: (bytes) => systemCall("write", path, () => file.write(bytes)),
    flush: systemCall("sync", path, async () => await (second ??= await fs.open(path, "r")).datasync()),
    sync: systemCall("sync", path, () => file.sync()),
    close: systemCall("close", path, async () => {
      file.close();
      await second?.close();
    }),
  };
}

async function openFile(path: string): Promise<ReadableFile> {
  // Checked before it is opened: opening a pipe waits for a writer.
  if (!(await fs.stat(path)).isFile()) throw systemError("EINVAL", "not a regular file");
  const file = await fs.open(path, "r");
  const { size } = await file.stat();
  // Operations on one handle of Deno run one at a time, so concurrent reads need a second handle.
  let second: Promise<fs.FileHandle> | undefined;
  let busy = false;
  const read = async (into: Uint8Array, position: number): Promise<number> => {
    // If the file has been removed, only the first handle can read it.
    if (deno !== undefined && busy) second ??= fs.open(path, "r").catch(() => file);
    const isFirst = !busy;
    busy = true;
    try {
      const handle = isFirst ? file : await second ?? file;
      return (await handle.read(into, 0, into.length, position)).bytesRead;
    } finally {
      if (isFirst) busy = false;
    }
  };
  return {
    bytes: size,
    read: (into, position) => systemCall("read", path, () => read(into, position)),
    close: systemCall("close", path, async () => {
      await file.close();
      const other = await second;
      if (other !== file) await other?.close();
    }),
  };
}

// --- folders and paths

async function statusOf(path: string): Promise<FileStatus> {
  const found = await fs.stat(path);
  const kind = found.isFile() ? "file" : found.isDirectory() ? "folder" : "other";
  return { kind, bytes: found.size, links: found.nlink, modified: found.mtimeMs };
}

async function linkTarget(path: string): Promise<string> {
  if (!isGranted({ name: "read", path })) throw systemError("EACCES", "not permitted");
  return await fs.readlink(path);
}

async function namesIn(path: string): Promise<readonly string[]> {
  return deno === undefined ? await fs.readdir(path) : Array.from(deno.readDirSync(path), ({ name }) => name);
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return; // Windows cannot open folders, and does not need to.
  if (!isReadable(path)) throw systemError("EACCES", "not permitted");
  const folder = await fs.open(path, "r");
  try {
    await folder.sync();
  } catch (cause) {
    // Some file systems do not support fsync of a folder.
    if (meaningOf("syncFolder", { code: errorCodeOf(cause) }) !== "unsupported") throw cause;
  } finally {
    await folder.close();
  }
}

async function mountinfo(): Promise<string> {
  const isKnown = process.platform === "linux" && isGranted({ name: "read", path: "/proc" });
  return isKnown ? await fs.readFile("/proc/self/mountinfo", "utf8").catch(() => "") : "";
}

/** The path after following links. Names that do not exist or are not readable are appended to the real path of the folder above. */
function realPath(path: string): string {
  if (!isReadable(path)) return path;
  try {
    return realpathSync(path);
  } catch {
    const above = dirname(path);
    return above === path ? path : join(realPath(above), basename(path));
  }
}

// --- constructors

/** The file system of this machine. */
export const localFileSystem: FileSystem = {
  platform: process.platform,
  makeFolder: (path) => systemCall("create folder", path, () => fs.mkdir(path)),
  create: (path) =>
    systemCall("create", path, () => deno === undefined ? createWithNode(path) : createWithDeno(deno, path)),
  open: (path) => systemCall("open", path, () => openFile(path)),
  status: (path) => systemCall("look at", path, () => statusOf(path)),
  linkTarget: (path) => systemCall("look at", path, () => linkTarget(path)),
  names: (path) => systemCall("list", path, () => namesIn(path)),
  link: (from, to) => systemCall("link", to, () => fs.link(from, to)),
  rename: (from, to) => systemCall("rename", to, () => fs.rename(from, to)),
  removeFile: (path) => systemCall("remove", path, () => fs.unlink(path)),
  removeFolder: (path) => systemCall("remove", path, () => fs.rmdir(path)),
  syncFolder: (path) => systemCall("sync", path, () => syncFolder(path)),
  realPath,
  mountinfo,
  processId,
  processStatus: (id) => () => processStatus(id),
};
