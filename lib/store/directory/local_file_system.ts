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
import { basename, dirname, join } from "node:path";
import { deno, type DenoRuntime, isGranted, isReadable } from "./deno_runtime.ts";
import { flushMode, type Host, syncFile, syncFolder, thisHost } from "./durable.ts";
import type { FileStatus, FileSystem, ReadableFile, WritableFile } from "./file_system.ts";
import { processId, processStatus } from "./process_identity.ts";
import { systemCall, systemError } from "./system_errors.ts";

// --- files

async function createWithNode(path: string, host: Host): Promise<WritableFile> {
  const file = await fs.open(path, "wx");
  return {
    write: (bytes) =>
      systemCall("write", path, async () => (await file.write(bytes, 0, bytes.length, null)).bytesWritten),
    flush: systemCall("sync", path, () => file.datasync()),
    sync: systemCall("sync", path, () => syncFile(file, host)),
    close: systemCall("close", path, () => file.close()),
  };
}

async function createWithDeno({ open }: DenoRuntime, path: string, host: Host): Promise<WritableFile> {
  const file = await open(path, { write: true, createNew: true });
  // Operations on one handle of Deno run one at a time, so a flush during writes needs a second handle.
  let second: fs.FileHandle | undefined;
  return {
    write: (bytes) => systemCall("write", path, () => file.write(bytes)),
    flush: systemCall("sync", path, async () => {
      const handle = second ??= await fs.open(path, flushMode);
      await syncFile({ sync: () => handle.datasync() }, host);
    }),
    sync: systemCall("sync", path, () => syncFile(file, host)),
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

async function openFolder(path: string): Promise<fs.FileHandle> {
  if (!isReadable(path)) throw systemError("EACCES", "not permitted");
  return await fs.open(path, "r");
}

async function mountinfo({ platform }: Host): Promise<string> {
  const isKnown = platform === "linux" && isGranted({ name: "read", path: "/proc" });
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

/** The file system of this machine, which makes files durable as a system and runtime do. */
export function fileSystemOf(host: Host): FileSystem {
  return {
    platform: host.platform,
    makeFolder: (path) => systemCall("create folder", path, () => fs.mkdir(path)),
    create: (path) =>
      systemCall(
        "create",
        path,
        () => deno === undefined ? createWithNode(path, host) : createWithDeno(deno, path, host),
      ),
    open: (path) => systemCall("open", path, () => openFile(path)),
    status: (path) => systemCall("look at", path, () => statusOf(path)),
    linkTarget: (path) => systemCall("look at", path, () => linkTarget(path)),
    names: (path) => systemCall("list", path, () => namesIn(path)),
    link: (from, to) => systemCall("link", to, () => fs.link(from, to)),
    rename: (from, to) => systemCall("rename", to, () => fs.rename(from, to)),
    removeFile: (path) => systemCall("remove", path, () => fs.unlink(path)),
    removeFolder: (path) => systemCall("remove", path, () => fs.rmdir(path)),
    syncFolder: (path) => systemCall("sync", path, () => syncFolder(() => openFolder(path), host)),
    realPath,
    mountinfo: () => mountinfo(host),
    processId,
    processStatus: (id) => () => processStatus(id),
  };
}

/** The file system of this machine. */
export const localFileSystem: FileSystem = fileSystemOf(thisHost);
