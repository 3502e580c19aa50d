/**
 * Law *old or new*, on disks that fail during a save: the save returns an error value, committed checkpoints are unchanged, and when the disk
 * works again, the same run saves through the same store.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import * as TE from "fp-ts/lib/TaskEither.js";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../lib/store/directory/file_system.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { errorCodeOf } from "../../lib/store/directory/system_errors.ts";
import { storeFailed } from "../../lib/store/store.ts";
import { explain, list, readSnapshot, restoreState, resume, Retention, runOrThrow, saveState } from "../../mod.ts";
import { type State, stateAt } from "../programs/saves.ts";
import { has, needs } from "../support/portable.ts";
import { fault, type Operation, watched } from "../support/watched_disk.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-faults-"));
await chmod(scratch, 0o755);
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

// --- faults

/** A fault of a disk, and its repair. */
interface Fault {
  readonly break: () => void;
  readonly mend: () => void;
  /** The codes with which a save may fail. */
  readonly codes: readonly string[];
  /** The file system with the fault, if it is not the local one. */
  readonly disk?: FileSystem;
  /** Whether the temporary folder cannot be removed during the fault. */
  readonly keepsFolder?: boolean;
  /** Whether the fault loses the older checkpoints. */
  readonly loses?: true;
}

/** A disk on which, from some moment, every write fails with one code. */
function failing(code: string): Fault {
  let broken = false;
  const writes: readonly Operation["name"][] = ["makeFolder", "create", "write", "sync", "rename", "syncFolder"];
  const disk = watched(
    localFileSystem,
    (operation) => broken && writes.includes(operation.name) ? fault(operation, code) : undefined,
  );
  return { break: () => void (broken = true), mend: () => void (broken = false), codes: [code], disk };
}

function mount(path: string, ...options: readonly string[]): boolean {
  return has("mounts") && spawnSync("mount", [...options, path]).status === 0;
}

/** Other data fills the file system of the folder. If no file system can be mounted, writes fail as if it was full. */
function full(path: string): Fault {
  if (!mount(path, "-t", "tmpfs", "-o", "size=4m", "tmpfs")) return failing("ENOSPC");
  const filler = join(path, "filler");
  return {
    break: () => {
      try {
        for (let i = 0;; i++) writeFileSync(filler, new Uint8Array(4096), { flag: "a" });
      } catch (cause) {
        assert.equal(Object(cause).code, "ENOSPC");
      }
    },
    mend: () => rmSync(filler, { force: true }),
    codes: ["ENOSPC"],
  };
}

/** The folders are not writable. Since root may write nevertheless, the process changes its user. */
function closed(path: string): Fault {
  const all = (mode: number): void => {
    const checkpoints = join(path, "checkpoints");
    const saving = readdirSync(checkpoints).filter((name) => name.startsWith(".saving-"));
    for (const folder of [...saving.map((name) => join(checkpoints, name)), checkpoints]) chmodSync(folder, mode);
  };
  const isRoot = process.getuid?.() === 0;
  return {
    break: () => {
      all(0o555);
      if (isRoot) process.seteuid?.(65534);
    },
    mend: () => {
      if (isRoot) process.seteuid?.(0);
      all(0o755);
    },
    codes: ["EACCES"],
    keepsFolder: true,
  };
}

/** Another program removes the folder. */
function vanished(path: string): Fault {
  return {
    break: () => rmSync(join(path, "checkpoints"), { recursive: true }),
    mend: () => {},
    codes: ["ENOENT"],
    loses: true,
  };
}

const faults: Readonly<Record<string, (path: string) => Fault>> = {
  "a disk that is full": full,
  "folders without write permission": closed,
  "a folder that is removed": vanished,
  "a disk with I/O errors": () => failing("EIO"),
  "a disk that becomes read-only": () => failing("EROFS"),
};

for (const [name, make] of Object.entries(faults)) {
  (make === closed ? needs("file permissions") : test)(
    `old or new: ${name}, from any operation of a save on`,
    async () => {
      let [failed, moments] = [0, 0];
      for (let moment = 0; moment === moments; moment++) {
        const path = place();
        await mkdir(path);
        const trouble = make(path);
        try {
          const store = directoryOn(trouble.disk ?? localFileSystem)(path, { keep: Retention.latest(2) });
          const read = async (): Promise<number> => {
            using snapshot = await runOrThrow(readSnapshot(store));
            const state = restoreState(snapshot);
            assert(state._tag === "Right");
            const { step } = state.right as State;
            assert.deepEqual(state.right, stateAt(step));
            return step;
          };
          for (const step of [1, 2]) await runOrThrow(saveState(store)(stateAt(step)));
          let pieces = 0;
          const onProgress = (): void => {
            if (pieces++ !== moment) return;
            moments++;
            trouble.break();
          };
          const saved = await saveState(store, { onProgress })(stateAt(3))();
          if (pieces <= moment) break;
          if (saved._tag === "Left") {
            failed++;
            assert.equal(saved.left._tag, "StoreFailed");
            assert.ok(
              saved.left._tag === "StoreFailed" && trouble.codes.includes(saved.left.code),
              explain(saved.left),
            );
          }
          // Reading works during the fault.
          const before = trouble.loses ? [] : [1, 2];
          const found = (await runOrThrow(list(store))).entries.map(({ step }) => step);
          assert.deepEqual(found, saved._tag === "Left" ? before : [...before, 3].slice(-2));
          if (found.length > 0) assert.equal(await read(), found.at(-1));
          trouble.mend();
          for (const step of [4, 5]) await runOrThrow(saveState(store)(stateAt(step)));
          assert.equal(await read(), 5);
          assert.deepEqual((await runOrThrow(list(store))).entries.map(({ step }) => step), [4, 5]);
          // What could not be removed when the save failed belongs to this process, and is no orphan until it ends.
          const names = (await readdir(join(path, "checkpoints"))).filter((name) => !name.startsWith("checkpoint_"));
          assert.equal(names.length, trouble.keepsFolder === true && saved._tag === "Left" ? 1 : 0);
        } finally {
          trouble.mend();
          if (has("mounts")) spawnSync("umount", ["-l", path]);
        }
      }
      assert.ok(failed > 3, `${failed} saves failed`);
    },
  );
}

test("a file system that is read-only between two saves: the error says so, and the run saves when it is writable again", async () => {
  const path = place();
  await mkdir(path);
  const mounted = mount(path, "-t", "tmpfs", "-o", "size=4m", "tmpfs");
  const trouble: Fault = mounted
    ? {
      break: () => assert.ok(mount(path, "-o", "remount,ro")),
      mend: () => assert.ok(mount(path, "-o", "remount,rw")),
      codes: ["EROFS"],
    }
    : failing("EROFS");
  try {
    const store = directoryOn(trouble.disk ?? localFileSystem)(path);
    await runOrThrow(saveState(store)(stateAt(1)));
    trouble.break();
    const saved = await saveState(store)(stateAt(2))();
    assert(saved._tag === "Left");
    assert.match(explain(saved.left), /EROFS.*That file system is read-only/);
    assert.deepEqual((await runOrThrow(list(store))).entries.map(({ step }) => step), [1]);
    trouble.mend();
    await runOrThrow(saveState(store)(stateAt(3)));
    assert.deepEqual((await runOrThrow(list(store))).entries.map(({ step }) => step), [1, 3]);
  } finally {
    if (mounted) spawnSync("umount", ["-l", path]);
  }
});

test("errorCodeOf: finds the code in the exceptions of every runtime; EDQUOT has the remedy of a full disk", () => {
  const thrown = (fields: object): Error =>
    Object.assign(new Error("FileSystem quota exceeded (os error 122)"), fields);
  if (process.platform === "linux") assert.equal(errorCodeOf(thrown({})), "EDQUOT");
  assert.equal(errorCodeOf(thrown({ code: "ENOSPC" })), "ENOSPC");
  assert.equal(errorCodeOf(thrown({ name: "NotCapable" })), "EACCES");
  assert.equal(errorCodeOf(new Error("no number")), "EUNKNOWN");
  assert.equal(errorCodeOf(undefined), "EUNKNOWN");
  for (const code of ["EDQUOT", "ENOSPC"]) {
    assert.match(explain(storeFailed("write", "it", code, "full")), /[Ff]ree some space/);
  }
});

test("overlayfs: checkpoints of a lower layer are removed in place, and saves succeed", async () => {
  const base = place();
  const [lower, upper, work, merged] = ["l", "u", "w", "m"].map((name) => join(base, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const folder of [lower, upper, work, merged]) await mkdir(folder, { recursive: true });
  const run = (folder: string): string => join(folder, "run");
  const before = directoryOn(localFileSystem)(run(lower));
  for (const step of [1, 2]) await runOrThrow(saveState(before)(stateAt(step)));
  const mounted = mount(
    merged,
    "-t",
    "overlay",
    "-o",
    `lowerdir=${lower},upperdir=${upper},workdir=${work}`,
    "overlay",
  );
  // Without permission to mount, a disk that fails as an overlay does.
  const old = new Set([0, 1].map((n) => join(run(lower), "checkpoints", `checkpoint_${n}`)));
  const rename: FileSystem["rename"] = (from, to) =>
    old.has(from) ? TE.left(storeFailed("rename", to, "EXDEV", "cross-device link")) : localFileSystem.rename(from, to);
  const disk: FileSystem = mounted ? localFileSystem : { ...localFileSystem, rename };
  const path = run(mounted ? merged : lower);
  try {
    const store = directoryOn(disk)(path, { keep: Retention.latest(1) });
    await runOrThrow(resume(store)(stateAt(0)));
    const saved = await runOrThrow(saveState(store)(stateAt(3)));
    assert.deepEqual([saved.checkpoint, saved.removed, saved.notRemoved, saved.notes], [2, [0, 1], [], undefined]);
    assert.deepEqual(await readdir(join(path, "checkpoints")), ["checkpoint_2"]);
    assert.deepEqual((await runOrThrow(saveState(store)(stateAt(4)))).removed, [2]);
    assert.deepEqual(await readdir(join(path, "checkpoints")), ["checkpoint_3"]);
    assert.deepEqual(await runOrThrow(resume(store)(stateAt(0))), stateAt(4));
  } finally {
    if (mounted) spawnSync("umount", ["-l", merged]);
  }
});
