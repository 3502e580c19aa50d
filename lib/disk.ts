/**
 * The few things a store asks of a disk, as values; and the disk of the machine.
 *
 * The protocol that makes a folder crash-safe is written over {@link Disk}, so that it can be run over a disk that
 * loses power at any operation. Every operation answers a `StoreFailed` with the system's code, never an exception.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import * as fs from "node:fs/promises";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "./errors.ts";
import { storeFailed } from "./store.ts";

// --- types

/** A new file, open for writing from its start. */
export interface NewFile {
  /** Writes some of these bytes after those before, and says how many; the bytes must stay as they are until then. */
  readonly write: (bytes: Uint8Array) => TE.TaskEither<StoreFailed, number>;
  /** Brings what has been written so far to the disk, while more may be written. */
  readonly flush: TE.TaskEither<StoreFailed, void>;
  /** Makes all that has been written durable. */
  readonly sync: TE.TaskEither<StoreFailed, void>;
  readonly close: TE.TaskEither<StoreFailed, void>;
}

/** A file, open for reading. */
export interface OldFile {
  readonly bytes: number;
  /** Reads some bytes from this position, and says how many: 0 at the end. */
  readonly read: (into: Uint8Array, position: number) => TE.TaskEither<StoreFailed, number>;
  readonly close: TE.TaskEither<StoreFailed, void>;
}

/** What a path leads to. */
export interface Status {
  readonly kind: "file" | "folder" | "other";
  readonly bytes: number;
  /** How many paths lead to it. */
  readonly links: number;
  /** When it was last written to, in milliseconds of the disk's clock. */
  readonly modified: number;
}

/** What is known of who wrote something. */
export type Fate = "alive" | "dead" | "unknown";

/** A disk, and the processes that write to it. Paths are absolute. */
export interface Disk {
  /** Makes a folder in one that is there; `EEXIST` if anything has that path. */
  readonly makeFolder: (path: string) => TE.TaskEither<StoreFailed, void>;
  /** Makes a file; `EEXIST` if anything has that path. */
  readonly create: (path: string) => TE.TaskEither<StoreFailed, NewFile>;
  /** Opens a regular file; `EINVAL` for anything else. */
  readonly open: (path: string) => TE.TaskEither<StoreFailed, OldFile>;
  /** What is at a path, or at the end of the links there. */
  readonly status: (path: string) => TE.TaskEither<StoreFailed, Status>;
  /** Where a symbolic link leads; `EINVAL` for anything else that is there. Without this, no link is looked for. */
  readonly target?: (path: string) => TE.TaskEither<StoreFailed, string>;
  /** The names in a folder, in any order. */
  readonly names: (path: string) => TE.TaskEither<StoreFailed, readonly string[]>;
  /** Gives a file a second path. */
  readonly link: (from: string, to: string) => TE.TaskEither<StoreFailed, void>;
  /** Gives another path; `ENOTEMPTY` or the like if a folder with anything in it has that one. */
  readonly rename: (from: string, to: string) => TE.TaskEither<StoreFailed, void>;
  /** Removes a file or link; `EISDIR`, `EPERM` or `ENOTEMPTY` for a folder. */
  readonly removeFile: (path: string) => TE.TaskEither<StoreFailed, void>;
  /** Removes an empty folder. */
  readonly removeFolder: (path: string) => TE.TaskEither<StoreFailed, void>;
  /** Makes the entries of a folder durable: which names it has, and what they lead to. */
  readonly syncFolder: (path: string) => TE.TaskEither<StoreFailed, void>;
  /**
   * The path that links lead to, as far as anything is there.
   * @default the path itself
   */
  readonly realPath?: (path: string) => string;
  /** A name for this process, of letters, digits and dots. */
  readonly writer: Task<string>;
  /** What has become of the process of that name. */
  readonly fateOf: (writer: string) => Task<Fate>;
}

// --- constructors

/**
 * What is used of Deno where it is the runtime: its `node:fs` writes on the main thread, its own files do not; and to list 10,000 names, its
 * asynchronous functions take 20 to 40 ms of the main thread, piece by piece, where this takes 7 at once.
 */
interface DenoRuntime {
  readonly open: (path: string, options: { readonly write: true; readonly createNew: true }) => Promise<DenoFile>;
  readonly readDirSync: (path: string) => Iterable<{ readonly name: string }>;
  readonly permissions: { readonly querySync: (permission: Permission) => { readonly state: string } };
}

interface DenoFile {
  readonly write: (bytes: Uint8Array) => Promise<number>;
  readonly sync: () => Promise<void>;
  readonly close: () => void;
}

type Permission = { readonly name: "read"; readonly path: string } | { readonly name: "run" };

const deno: DenoRuntime | undefined = Reflect.get(globalThis, "Deno");

/** Whether this may be done without a question at the user's terminal, which Deno would ask. */
function granted(permission: Permission): boolean {
  return deno === undefined || deno.permissions.querySync(permission).state === "granted";
}

/**
 * Whether a path may be read without a question. The folders above it are asked for first: Deno keeps in mind each path that was ever asked for,
 * and the name of a save's folder is never used again.
 */
function readable(path: string): boolean {
  if (deno === undefined) return true;
  const above = dirname(path);
  return (above !== path && readable(above)) || granted({ name: "read", path });
}

function attempt<A>(operation: string, path: string, run: () => Promise<A>): TE.TaskEither<StoreFailed, A> {
  return TE.tryCatch(run, (cause) => {
    const { message }: { message?: unknown } = Object(cause);
    // The system's sentence alone: the code, the call and the path around it are in the error already.
    const sentence = String(message).replace(/^E[A-Z0-9]+: /, "").replace(/, [a-z]+( '.*)?$/s, "").replace(osError, "");
    return storeFailed(operation, path, codeOf(cause), sentence);
  });
}

/** How Deno tells the number of an error that it has no class or code for, such as `EDQUOT`. */
const osError = / \(os error (\d+)\)$/;

/**
 * The system's code of what an operation threw.
 *
 * @param cause The exception.
 * @returns Such as `ENOSPC`; `EUNKNOWN` where none can be found.
 */
export function codeOf(cause: unknown): string {
  const { code, name, message }: { code?: unknown; name?: unknown; message?: unknown } = Object(cause);
  if (typeof code === "string") return code;
  if (name === "NotCapable") return "EACCES";
  const number = process.platform === "win32" ? undefined : osError.exec(String(message))?.[1];
  const known = Object.entries(constants.errno).find(([, value]) => value === Number(number));
  return known?.[0] ?? "EUNKNOWN";
}

async function createNode(path: string): Promise<NewFile> {
  const file = await fs.open(path, "wx");
  return {
    write: (bytes) => attempt("write", path, async () => (await file.write(bytes, 0, bytes.length, null)).bytesWritten),
    flush: attempt("sync", path, () => file.datasync()),
    sync: attempt("sync", path, () => file.sync()),
    close: attempt("close", path, () => file.close()),
  };
}

async function createDeno({ open }: DenoRuntime, path: string): Promise<NewFile> {
  const file = await open(path, { write: true, createNew: true });
  // Operations on one of Deno's files wait for each other, so flushing beside writing takes a second one.
  let second: fs.FileHandle | undefined;
  return {
    write: (bytes) => attempt("write", path, () => file.write(bytes)),
    flush: attempt("sync", path, async () => await (second ??= await fs.open(path, "r")).datasync()),
    sync: attempt("sync", path, () => file.sync()),
    close: attempt("close", path, async () => {
      file.close();
      await second?.close();
    }),
  };
}

async function openNode(path: string): Promise<OldFile> {
  // Looked at before it is opened: opening a pipe would wait for a writer for ever.
  if (!(await fs.stat(path)).isFile()) throw Object.assign(new Error("not a regular file"), { code: "EINVAL" });
  const file = await fs.open(path, "r");
  const { size } = await file.stat();
  // Operations on one of Deno's files wait for each other, so reading at two places at once takes a second one.
  let second: Promise<fs.FileHandle> | undefined;
  let busy = false;
  const read = async (into: Uint8Array, position: number): Promise<number> => {
    // A file that was removed meanwhile is still there for who has it open.
    if (deno !== undefined && busy) second ??= fs.open(path, "r").catch(() => file);
    const own = !busy;
    busy = true;
    try {
      const from = own ? file : await second ?? file;
      return (await from.read(into, 0, into.length, position)).bytesRead;
    } finally {
      if (own) busy = false;
    }
  };
  return {
    bytes: size,
    read: (into, position) => attempt("read", path, () => read(into, position)),
    close: attempt("close", path, async () => {
      await file.close();
      const other = await second;
      if (other !== file) await other?.close();
    }),
  };
}

async function targetOf(path: string): Promise<string> {
  if (!granted({ name: "read", path })) throw Object.assign(new Error("not permitted"), { code: "EACCES" });
  return await fs.readlink(path);
}

async function namesIn(path: string): Promise<readonly string[]> {
  return deno === undefined ? await fs.readdir(path) : Array.from(deno.readDirSync(path), ({ name }) => name);
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return; // Folders cannot be opened there, and need not be.
  if (!readable(path)) throw Object.assign(new Error("not permitted"), { code: "EACCES" });
  const folder = await fs.open(path, "r");
  try {
    await folder.sync();
  } catch (cause) {
    // Some file systems have no such operation on folders.
    if (Object(cause).code !== "EINVAL") throw cause;
  } finally {
    await folder.close();
  }
}

/** The name of a system that cannot be told apart from others without doubt: every one but Linux with its `/proc`. */
const unknown = "unknown";

/** The running system, told apart from every other host, boot and process namespace. */
async function machine(): Promise<string> {
  if (!granted({ name: "read", path: "/proc" })) return unknown;
  const facts = await Promise.all([
    fs.readFile("/proc/sys/kernel/hostname", "utf8"),
    fs.readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    fs.readlink("/proc/self/ns/pid"),
  ]).catch(() => undefined);
  return facts === undefined ? unknown : createHash("sha256").update(facts.join("\n")).digest("hex").slice(0, 8);
}

/** When a process started, in ticks since boot: with its number, no other process of this boot has both. */
async function started(pid: number): Promise<string | undefined> {
  const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is the program's name in brackets, and may hold anything; the third is the state, the 22nd the start.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? "exited" : fields[19];
}

async function nameThisProcess(): Promise<string> {
  const where = await machine();
  const start = where === unknown ? undefined : await started(process.pid);
  // Without its start it would be taken for another process of that number, and for dead.
  return start === undefined ? `${unknown}.${process.pid}.0` : `${where}.${process.pid}.${start}`;
}

let thisProcess: Promise<string> | undefined;

function writer(): Promise<string> {
  return thisProcess ??= nameThisProcess();
}

async function fateOf(name: string): Promise<Fate> {
  const [where, pid, start] = name.split(".");
  const here = (await writer()).split(".")[0];
  if (where === unknown || where !== here) return "unknown";
  const found = await started(Number(pid));
  if (found !== undefined) return found === start ? "alive" : "dead";
  // The process table may hide other users' processes; the kernel still knows of them.
  if (!granted({ name: "run" })) return "unknown";
  try {
    process.kill(Number(pid), 0);
    return "alive";
  } catch (cause) {
    return Object(cause).code === "ESRCH" ? "dead" : "alive";
  }
}

/** The path that links lead to; of what is not there, or may not be looked at, the path under the folder that is. */
function realPath(path: string): string {
  if (!readable(path)) return path;
  try {
    return realpathSync(path);
  } catch {
    const above = dirname(path);
    return above === path ? path : join(realPath(above), basename(path));
  }
}

/** The machine's own disk. */
export const machineDisk: Disk = {
  makeFolder: (path) => attempt("create folder", path, () => fs.mkdir(path)),
  create: (path) => attempt("create", path, () => deno === undefined ? createNode(path) : createDeno(deno, path)),
  open: (path) => attempt("open", path, () => openNode(path)),
  status: (path) =>
    attempt("look at", path, async () => {
      const found = await fs.stat(path);
      const kind = found.isFile() ? "file" : found.isDirectory() ? "folder" : "other";
      return { kind, bytes: found.size, links: found.nlink, modified: found.mtimeMs };
    }),
  target: (path) => attempt("look at", path, () => targetOf(path)),
  names: (path) => attempt("list", path, () => namesIn(path)),
  link: (from, to) => attempt("link", to, () => fs.link(from, to)),
  rename: (from, to) => attempt("rename", to, () => fs.rename(from, to)),
  removeFile: (path) => attempt("remove", path, () => fs.unlink(path)),
  removeFolder: (path) => attempt("remove", path, () => fs.rmdir(path)),
  syncFolder: (path) => attempt("sync", path, () => syncFolder(path)),
  realPath,
  writer,
  fateOf: (name) => () => fateOf(name),
};
