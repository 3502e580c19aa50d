/**
 * What makes files and folders durable: the calls on each system and runtime, and what their errors mean.
 */

import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import * as E from "fp-ts/lib/Either.js";
import { explain } from "../../../lib/errors/explain.ts";
import { fullSyncFrom, type Host, syncFile, syncFolder, thisHost } from "../../../lib/store/directory/durable.ts";
import { fileSystemOf, localFileSystem } from "../../../lib/store/directory/local_file_system.ts";
import { needs } from "../../support/portable.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-durable-"));
after(() => rm(scratch, { recursive: true, force: true }));

const platforms = ["linux", "darwin", "win32"] as const;
const runtimes = ["bun", "deno", "node"] as const;
/** Codes of a call that the file system does not have, on macOS's SMB and FUSE and elsewhere. */
const unsupported: readonly string[] = ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOTTY", "ENOSYS"];
const failures: readonly string[] = ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "ESTALE", "EUNKNOWN"];

function thrown(code: string | undefined): void {
  if (code !== undefined) throw Object.assign(new Error("failed"), { code });
}

function promised<A>(run: () => A): Promise<A> {
  return new Promise((resolve) => resolve(run()));
}

/** The calls for one file or folder, and the code that came back; the runtime's `fsync` and `F_FULLFSYNC` may fail. */
async function calls(
  what: "file" | "folder",
  { platform, runtime }: Omit<Host, "fullSync">,
  fail: { readonly fsync?: string; readonly full?: string } = {},
): Promise<readonly [calls: string, code: string | undefined, message: string]> {
  const made: string[] = [];
  const file = {
    fd: 7,
    sync: () => {
      made.push("fsync");
      return promised(() => thrown(fail.fsync));
    },
    close: () => promised(() => void made.push("close")),
  };
  const fullSync = (fd: number): void => (made.push(`full ${fd}`), thrown(fail.full));
  const host = { platform, runtime, fullSync };
  const open = () => promised(() => (made.push("open"), file));
  const run = what === "file" ? syncFile(file, host) : syncFolder(open, host);
  const cause: unknown = await run.then(() => undefined, (cause: unknown) => cause);
  const { code, message = "" }: { code?: string; message?: string } = Object(cause);
  return [made.join(" "), code, message];
}

test("durable: F_FULLFSYNC follows in Bun on macOS alone, and Windows opens no folder", async () => {
  for (const platform of platforms) {
    for (const runtime of runtimes) {
      const text = `${runtime} on ${platform}`;
      const full = platform === "darwin" && runtime === "bun" ? " full 7" : "";
      assert.deepEqual(await calls("file", { platform, runtime }), [`fsync${full}`, undefined, ""], text);
      const [made, code] = await calls("folder", { platform, runtime });
      assert.deepEqual([made, code], [platform === "win32" ? "" : `open fsync${full} close`, undefined], text);
    }
  }
});

test("durable: a failed fsync of a file is always an error, and in Deno on macOS names the remedy if it is missing", async () => {
  for (const platform of platforms) {
    for (const runtime of runtimes) {
      for (const fsync of [...unsupported, ...failures]) {
        const [made, code, message] = await calls("file", { platform, runtime }, { fsync });
        assert.deepEqual([made, code], ["fsync", fsync]);
        const isMissing = platform === "darwin" && runtime === "deno" && unsupported.includes(fsync);
        assert.equal(message.includes("run in Bun or Node, or save to a local disk"), isMissing, `${runtime} ${fsync}`);
      }
    }
  }
});

test("durable: a failed fsync of a folder gives the system's code, and the folder is closed", async () => {
  for (const platform of ["linux", "darwin"] as const) {
    for (const runtime of runtimes) {
      for (const fsync of [...unsupported, "EBADF", ...failures]) {
        const [made, code] = await calls("folder", { platform, runtime }, { fsync });
        assert.deepEqual([made, code], ["open fsync close", fsync]);
      }
    }
  }
});

test("durable: in Bun on macOS a missing F_FULLFSYNC leaves it at fsync, any other failure of it is an error", async () => {
  const bun = { platform: "darwin", runtime: "bun" } as const;
  for (const full of [...unsupported, ...failures]) {
    const expected = failures.includes(full) ? full : undefined;
    assert.deepEqual((await calls("file", bun, { full })).slice(0, 2), ["fsync full 7", expected]);
    assert.deepEqual((await calls("folder", bun, { full })).slice(0, 2), ["open fsync full 7 close", expected]);
  }
});

test("durable: the local file system syncs files and folders in this way", async () => {
  const full: number[] = [];
  const fs = fileSystemOf({ platform: "darwin", runtime: "bun", fullSync: (fd) => (full.push(fd), thrown("EIO")) });
  const path = join(scratch, "wired");
  const file = await fs.create(path)();
  assert(E.isRight(file));
  // Deno's own files have no descriptor.
  const expected = thisHost.runtime === "deno" ? undefined : "EIO";
  const synced = await file.right.sync();
  assert.equal(E.isLeft(synced) ? synced.left.code : undefined, expected);
  assert(E.isRight(await file.right.close()));
  const folder = await fs.syncFolder(scratch)();
  assert(E.isLeft(folder) && folder.left.code === "EIO");
  assert.match(explain(folder.left), /^Cannot sync /);
  assert(full.every((fd) => Number.isInteger(fd) && fd > 2) && full.length === (expected === undefined ? 1 : 2));
});

needs("fcntl")(
  "durable: F_FULLFSYNC is called with the file, and its error read, through bun:ffi; Node and Deno load without it",
  () => {
    const [library, errno] = process.platform === "darwin"
      ? ["libSystem.B.dylib", "__error"] as const
      : ["libc.so.6", "__errno_location"] as const;
    if (thisHost.runtime !== "bun") return assert.throws(() => fullSyncFrom(library, errno), { code: "ENOSYS" });
    const fullSync = fullSyncFrom(library, errno);
    const fd = openSync(join(scratch, "full"), "w");
    // Linux has no such command, and says so of an open file only.
    if (process.platform === "linux") assert.throws(() => fullSync(fd), { code: "EINVAL" });
    else fullSync(fd);
    closeSync(fd);
    assert.throws(() => fullSync(fd), { code: "EBADF" });
  },
);

needs("/proc")(
  "durable: a flush during writes never uses a handle that is open for reading only, which Windows refuses",
  async () => {
    const path = join(scratch, "flushed");
    const file = await localFileSystem.create(path)();
    assert(E.isRight(file));
    assert(E.isRight(await file.right.write(new Uint8Array(10))()));
    assert(E.isRight(await file.right.flush()));
    const modes: number[] = [];
    for (const fd of await readdir("/proc/self/fd")) {
      if (await readlink(`/proc/self/fd/${fd}`).catch(() => "") !== path) continue;
      const [, flags = ""] = /flags:\s+(\d+)/.exec(await readFile(`/proc/self/fdinfo/${fd}`, "utf8")) ?? [];
      modes.push(Number.parseInt(flags, 8) & 3);
    }
    assert(E.isRight(await file.right.close()));
    assert.ok(modes.length > 0 && !modes.includes(0), String(modes));
  },
);
