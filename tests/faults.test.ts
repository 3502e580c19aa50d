/**
 * Law *old or new*, on disks that fail in the middle of a save: it answers with an error value, what was committed before is as it was, and
 * once the disk is well again the same run saves through the same store.
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
import { directoryOn } from "../lib/directory.ts";
import type { FileSystem } from "../lib/disk.ts";
import { errorCodeOf, localFileSystem } from "../lib/local_file_system.ts";
import { storeFailed } from "../lib/store.ts";
import { explain, list, readSnapshot, restoreState, resume, Retention, runOrThrow, saveState } from "../mod.ts";
import { type State, stateAt } from "./programs/saves.ts";
import { fault, type Operation, watched } from "./watched_disk.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-faults-"));
await chmod(scratch, 0o755);
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

// --- what goes wrong

/** A fault of a disk, and its mending. */
interface Fault {
  readonly break: () => void;
  readonly mend: () => void;
  /** What a save may then say. */
  readonly codes: readonly string[];
  /** The disk to which this happens, if it is not the machine's own. */
  readonly disk?: FileSystem;
  /** Whether it takes the older checkpoints, too. */
  readonly loses?: true;
}

/** A disk that fails from a moment on with one code, whatever is to be written. */
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
  return spawnSync("mount", [...options, path]).status === 0;
}

/** Something else fills the file system that the folder is on; where none can be mounted, it says that it is full. */
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

/** The folders that are written to are closed to writing; for root, who may write all the same, the process is another user's meanwhile. */
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
  };
}

/** Somebody removes the folder. */
function vanished(path: string): Fault {
  return {
    break: () => rmSync(join(path, "checkpoints"), { recursive: true }),
    mend: () => {},
    codes: ["ENOENT"],
    loses: true,
  };
}

const faults: Readonly<Record<string, (path: string) => Fault>> = {
  "a disk that something else has filled": full,
  "folders that are closed to writing": closed,
  "a folder that somebody removes": vanished,
  "a disk with input/output errors": () => failing("EIO"),
  "a disk that has become read-only": () => failing("EROFS"),
};

for (const [name, make] of Object.entries(faults)) {
  test(`old or new: ${name}, at any moment of a save`, async () => {
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
          assert.ok(saved.left._tag === "StoreFailed" && trouble.codes.includes(saved.left.code), explain(saved.left));
        }
        // It can be read while the disk is broken.
        const before = trouble.loses ? [] : [1, 2];
        const found = (await runOrThrow(list(store))).entries.map(({ step }) => step);
        assert.deepEqual(found, saved._tag === "Left" ? before : [...before, 3].slice(-2));
        if (found.length > 0) assert.equal(await read(), found.at(-1));
        trouble.mend();
        for (const step of [4, 5]) await runOrThrow(saveState(store)(stateAt(step)));
        assert.equal(await read(), 5);
        assert.deepEqual((await runOrThrow(list(store))).entries.map(({ step }) => step), [4, 5]);
        // What could not be removed when the save failed is this process's, and stays while it lives.
        const names = (await readdir(join(path, "checkpoints"))).filter((name) => !name.startsWith("checkpoint_"));
        assert.equal(names.length, name.includes("closed") && saved._tag === "Left" ? 1 : 0);
      } finally {
        trouble.mend();
        spawnSync("umount", ["-l", path]);
      }
    }
    assert.ok(failed > 3, `${failed} saves failed`);
  });
}

test("a file system that is read-only between two saves: the error says so, and the run saves once it is not", async () => {
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
    assert.match(explain(saved.left), /EROFS.*that file system is read-only/);
    assert.deepEqual((await runOrThrow(list(store))).entries.map(({ step }) => step), [1]);
    trouble.mend();
    await runOrThrow(saveState(store)(stateAt(3)));
    assert.deepEqual((await runOrThrow(list(store))).entries.map(({ step }) => step), [1, 3]);
  } finally {
    if (mounted) spawnSync("umount", ["-l", path]);
  }
});

test("a code is found in whatever a runtime throws: a disk whose quota is used up gets the advice of a full one", () => {
  const thrown = (fields: object): Error => Object.assign(new Error("FileSystem quota exceeded (os error 122)"), fields);
  if (process.platform === "linux") assert.equal(errorCodeOf(thrown({})), "EDQUOT");
  assert.equal(errorCodeOf(thrown({ code: "ENOSPC" })), "ENOSPC");
  assert.equal(errorCodeOf(thrown({ name: "NotCapable" })), "EACCES");
  assert.equal(errorCodeOf(new Error("no number")), "EUNKNOWN");
  assert.equal(errorCodeOf(undefined), "EUNKNOWN");
  for (const code of ["EDQUOT", "ENOSPC"]) {
    assert.match(explain(storeFailed("write", "it", code, "full")), /free some space/);
  }
});

test("checkpoints in a lower layer of an overlay are removed in place, and a save into it is no failure", async () => {
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
  // Without the right to mount, a disk that answers as an overlay does.
  const old = new Set([0, 1].map((n) => join(run(lower), "checkpoints", `checkpoint_${n}`)));
  const rename: FileSystem["rename"] = (from, to) =>
    old.has(from) ? TE.left(storeFailed("rename", to, "EXDEV", "cross-device link")) : localFileSystem.rename(from, to);
  const disk: FileSystem = mounted ? machineDisk : { ...localFileSystem, rename };
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
