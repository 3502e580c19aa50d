/**
 * Clear answers: what a code means is looked up, what is unclear is looked at, what passes is waited for.
 */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { withClearAnswers } from "../../../lib/store/directory/clear_answers.ts";
import { directoryOn } from "../../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../../lib/store/directory/file_system.ts";
import { removeTree } from "../../../lib/store/directory/folder_ops.ts";
import { localFileSystem } from "../../../lib/store/directory/local_file_system.ts";
import type { StoreFailed } from "../../../lib/errors/errors.ts";
import type { Store } from "../../../lib/store/store.ts";
import { explain, list, Retention, runOrThrow, type Saved, saveState } from "../../../mod.ts";
import { folder, path, stateAt } from "../../support/crashes.ts";
import { needs } from "../../support/portable.ts";
import { blank, machine } from "../../support/simulated_disk.ts";
import { type Answer, fault, type Operation, watched } from "../../support/watched_disk.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-answers-"));
after(() => rm(scratch, { recursive: true, force: true }));

// --- disks

/** A simulated disk of a system, and how long it was waited for. */
function disk(platform: NodeJS.Platform, ask: (operation: Operation) => Answer = () => undefined) {
  const clock = { waited: 0 };
  const wait = (milliseconds: number) => Promise.resolve(void (clock.waited += milliseconds));
  const raw = watched({ ...machine(blank).process("a"), platform, wait }, ask);
  return { raw, clear: withClearAnswers(raw), hasty: withClearAnswers(raw, false), clock };
}

/** Fails operations of one name with one code, as often as given. */
function failing(name: Operation["name"], code: string, times = Infinity, at = ""): (operation: Operation) => Answer {
  let left = times;
  return (operation) =>
    operation.name === name && operation.path.includes(at) && left-- > 0 ? fault(operation, code) : undefined;
}

async function answer(task: TE.TaskEither<StoreFailed, unknown>): Promise<string> {
  const result = await task();
  return E.isLeft(result) ? result.left.code : "done";
}

const unclear = ["EPERM", "EACCES", "EBUSY"] as const;
/** With EXDEV, which mergerfs answers for a folder that is not empty too. */
const unclearRename = [...unclear, "EXDEV"] as const;

// --- unclear answers

test("rename: a code that may mean anything means taken only if the new path exists", async () => {
  for (const platform of ["linux", "darwin", "win32"] as const) {
    for (const code of unclearRename) {
      const { clear, raw } = disk(platform, failing("rename", code));
      for (const name of ["/from", "/to"]) assert.equal(await answer(raw.makeFolder(name)), "done");
      assert.equal(await answer(clear.rename("/from", "/to")), "EEXIST");
      assert.equal(await answer(clear.rename("/from", "/free")), code);
    }
  }
});

test("rename: on Windows tried again for seconds, elsewhere for a moment, and not at all if the new path exists", async () => {
  for (
    const [platform, kind, waited] of [
      ["win32", "clear", 2550],
      ["win32", "hasty", 61],
      ["linux", "clear", 61],
      ["linux", "hasty", 0],
      ["darwin", "clear", 61],
    ] as const
  ) {
    const made = disk(platform, failing("rename", "EACCES"));
    for (const name of ["/from", "/to"]) assert.equal(await answer(made.raw.makeFolder(name)), "done");
    assert.equal(await answer(made[kind].rename("/from", "/to")), "EEXIST");
    assert.equal(made.clock.waited, 0);
    assert.equal(await answer(made[kind].rename("/from", "/free")), "EACCES");
    assert.equal(made.clock.waited, waited);
  }
  const { clear, raw, clock } = disk("win32", failing("rename", "EBUSY", 3));
  assert.equal(await answer(raw.makeFolder("/from")), "done");
  assert.equal(await answer(clear.rename("/from", "/to")), "done");
  assert.equal(clock.waited, 70);
});

test("rename: what is in the way and gone at the look is no failure", async () => {
  const made = disk("linux", failing("rename", "EPERM", 1));
  assert.equal(await answer(made.raw.makeFolder("/from")), "done");
  assert.equal(await answer(made.clear.rename("/from", "/to")), "done");
});

test("removal: whatever unlink answers for a folder, the tree is removed, without waiting", async () => {
  for (const code of [...unclear, "EISDIR", "ENOTEMPTY"]) {
    for (const platform of ["linux", "win32"] as const) {
      const made = disk(platform, (operation) => {
        const isFolder = operation.name === "removeFile" && !operation.path.endsWith("file");
        return isFolder ? fault(operation, code) : undefined;
      });
      for (const name of ["/a", "/a/b"]) assert.equal(await answer(made.raw.makeFolder(name)), "done");
      assert.equal(await answer(made.raw.create("/a/b/file")), "done");
      assert.equal(await answer(removeTree(made.clear, "/a")), "done");
      assert.equal(await answer(made.raw.status("/a")), "ENOENT");
      assert.equal(made.clock.waited, 0);
    }
  }
});

needs("symbolic links")(
  "removal: of a link that cannot be removed, the folder it leads to keeps its files",
  async () => {
    const [tree, kept] = [join(scratch, "tree"), join(scratch, "kept")];
    for (const one of [tree, kept]) await mkdir(one);
    await writeFile(join(kept, "mine"), "mine");
    await symlink(kept, join(tree, "link"));
    const removeFile: FileSystem["removeFile"] = (at) =>
      at.endsWith("link") ? TE.left(fault({ name: "removeFile", path: at }, "EPERM")) : localFileSystem.removeFile(at);
    const clear = withClearAnswers({ ...localFileSystem, removeFile });
    assert.equal(await answer(removeTree(clear, tree)), "EPERM");
    assert.equal(await readFile(join(kept, "mine"), "utf8"), "mine");
    assert.equal(await answer(removeTree(withClearAnswers(localFileSystem), tree)), "done");
    assert.deepEqual(await readdir(scratch), ["kept"]);
  },
);

test("removal: a file that cannot be removed does not keep the others", async () => {
  const made = disk("linux", failing("removeFile", "EBUSY", Infinity, "/a/used"));
  assert.equal(await answer(made.raw.makeFolder("/a")), "done");
  for (const name of ["/a/used", "/a/x", "/a/y"]) assert.equal(await answer(made.raw.create(name)), "done");
  assert.equal(await answer(removeTree(made.clear, "/a")), "EBUSY");
  assert.deepEqual(await made.raw.names("/a")(), E.right(["used"]));
});

// --- other answers

test("ESTALE: asked once more, then the path is missing", async () => {
  const operations: readonly (readonly [Operation["name"], (fs: FileSystem) => TE.TaskEither<StoreFailed, unknown>])[] =
    [
      ["makeFolder", (fs) => fs.makeFolder("/new")],
      ["create", (fs) => fs.create("/new")],
      ["open", (fs) => fs.open("/a/file")],
      ["status", (fs) => fs.status("/a")],
      ["names", (fs) => fs.names("/a")],
      ["link", (fs) => fs.link("/a/file", "/new")],
      ["rename", (fs) => fs.rename("/a", "/new")],
      ["removeFile", (fs) => fs.removeFile("/a/file")],
      ["removeFolder", (fs) => fs.removeFolder("/b")],
      ["syncFolder", (fs) => fs.syncFolder("/a")],
    ];
  for (const [name, run] of operations) {
    for (const [times, expected] of [[1, "done"], [2, "ENOENT"]] as const) {
      let [left, count] = [0, 0];
      const { raw, clear } = disk("linux", (operation) => {
        if (operation.name === name) count++;
        return operation.name === name && left-- > 0 ? fault(operation, "ESTALE") : undefined;
      });
      for (const at of ["/a", "/b"]) assert.equal(await answer(raw.makeFolder(at)), "done");
      assert.equal(await answer(raw.create("/a/file")), "done");
      [left, count] = [times, 0];
      assert.equal(await answer(run(clear)), expected, name);
      assert.equal(count, 2);
    }
  }
});

test("fsync: of a folder it is done without where there is none; of a file its lack is an error that says so", async () => {
  for (const code of ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOTTY", "ENOSYS"]) {
    const folders = directoryOn(disk("darwin", failing("syncFolder", code)).raw)(path);
    assert.equal((await runOrThrow(saveState(folders)(stateAt(1)))).checkpoint, 0);
    const files = directoryOn(disk("darwin", failing("sync", code)).raw)(path);
    const failed = await saveState(files)(stateAt(1))();
    assert(E.isLeft(failed));
    assert.match(explain(failed.left), new RegExp(`${code}.*cannot make a file durable: save to a local disk`));
    assert.deepEqual((await runOrThrow(list(files))).entries, []);
  }
});

// --- saves

async function saves(store: Store, from: number, to: number): Promise<Saved> {
  let last: Saved | undefined;
  for (let step = from; step <= to; step++) last = await runOrThrow(saveState(store)(stateAt(step)));
  return last ?? assert.fail();
}

const stepsOf = async (store: Store) => (await runOrThrow(list(store))).entries.map(({ step }) => step);

test("commit: on Windows a scanner that has the new files open for a moment does not fail the save", async () => {
  for (const code of unclear) {
    const made = disk("win32", failing("rename", code, 5, "checkpoint_0"));
    await saves(directoryOn(made.raw)(path), 1, 1);
    assert.equal(made.clock.waited, 310);
  }
});

test("commit: a number that is taken is found by a look, on Windows and sshfs", async () => {
  for (const code of unclear) {
    const made = disk("win32");
    const raw: FileSystem = {
      ...made.raw,
      rename: (from, to) =>
        pipe(
          made.raw.status(to),
          TE.matchE(
            () => made.raw.rename(from, to),
            () => TE.left(fault({ name: "rename", path: to }, code)),
          ),
        ),
    };
    const stores = ["a", "b", "c", "d"].map(() => directoryOn(raw)(path));
    const saved = await Promise.all(stores.map((store) => saves(store, 1, 3)));
    assert.equal(Math.max(...saved.map(({ checkpoint }) => checkpoint)), 11);
    assert.equal((await stepsOf(directoryOn(raw)(path))).length, 12);
    assert.equal((await raw.names(folder)() as E.Right<readonly string[]>).right.length, 12);
  }
});

test("commit: when the answer to the rename is lost, the save is committed", async () => {
  for (const code of ["ENOENT", "EIO", "ETIMEDOUT", "ESTALE", "EPERM"]) {
    for (const at of ["checkpoint_1", ".number-1", ".removing"]) {
      let lost = 0;
      const made = disk(
        "linux",
        (operation) =>
          operation.name === "rename" && operation.path.includes(at) && lost++ === 0
            ? { after: fault(operation, code) }
            : undefined,
      );
      const store = directoryOn(made.raw)(path, { keep: Retention.latest(1) });
      const { checkpoint, removed, notes } = await saves(store, 1, 2);
      assert.ok(lost > 0);
      assert.deepEqual([checkpoint, removed, notes, await stepsOf(store)], [1, [0], undefined, [2]], `${code} ${at}`);
      await saves(store, 3, 3);
      assert.deepEqual(await made.raw.names(folder)(), E.right(["checkpoint_2"]));
    }
  }
});

test("commit: another save with the same manifest is not taken for this one", async () => {
  const made = disk("linux");
  const other = directoryOn(made.raw)(path);
  const manifest = new TextEncoder().encode("{}");
  const stolen = watched(made.raw, async (operation) => {
    if (operation.name !== "rename" || !operation.path.endsWith("checkpoint_0")) return undefined;
    // Another save is faster, without regard to the reservation.
    await made.raw.makeFolder(operation.path)();
    const file = await made.raw.create(join(operation.path, "snapshot.json"))();
    assert(E.isRight(file));
    await file.right.write(manifest)();
    return undefined;
  });
  const saving = E.toUnion(await directoryOn(stolen)(path).begin());
  assert("commit" in saving);
  assert.deepEqual(await saving.commit(manifest)(), E.right(1));
  assert.deepEqual(await other.list(), E.right([0, 1]));
});

test("retention: a checkpoint that a reader has open does not fail the save, and a later save removes it", async () => {
  // Windows: it cannot be renamed away. It is kept whole, and named.
  const held = { is: true };
  const windows = disk(
    "win32",
    (operation) =>
      held.is && operation.name === "rename" && operation.path.includes(".removing")
        ? fault(operation, "EPERM")
        : undefined,
  );
  const store = directoryOn(windows.raw)(path, { keep: Retention.latest(1) });
  const first = await saves(store, 1, 2);
  assert.deepEqual([first.removed, first.notRemoved.map(({ checkpoint }) => checkpoint)], [[], [0]]);
  assert.match(first.notRemoved[0]?.reason ?? "", /\(EPERM\): .*another program .* has it open/);
  assert.deepEqual(await stepsOf(store), [1, 2]);
  held.is = false;
  const later = await saves(store, 3, 3);
  assert.deepEqual([later.removed, later.notRemoved, await stepsOf(store)], [[0, 1], [], [3]]);
  // NFS, FUSE: the open file gets another name in the folder, which cannot be removed. The checkpoint is gone, and a note says so.
  for (const [name, code] of [["removeFolder", "ENOTEMPTY"], ["removeFile", "EBUSY"]] as const) {
    held.is = true;
    let first: string | undefined;
    const nfs = disk("linux", (operation) => {
      const folder = /.*\/\.removing[^/]*(?=(\/model.*)?$)/.exec(operation.path)?.[0];
      if (!held.is || operation.name !== name || folder === undefined) return undefined;
      return (first ??= folder) === folder ? fault(operation, code) : undefined;
    });
    const store = directoryOn(nfs.raw)(path, { keep: Retention.latest(1) });
    const saved = await saves(store, 1, 2);
    assert.deepEqual([saved.removed, saved.notRemoved, await stepsOf(store)], [[0], [], [2]]);
    assert.match(saved.notes?.join() ?? "", /Checkpoint 0 is removed, but not all of its files/);
    // The next save tries again, without a word.
    const { removed, notes } = await saves(store, 3, 3);
    assert.deepEqual([removed, notes], [[1], undefined]);
    held.is = false;
    await saves(store, 4, 4);
    assert.deepEqual(await nfs.raw.names(folder)(), E.right(["checkpoint_3"]));
  }
});

test("orphans: on Windows one that another program uses is not waited for", async () => {
  const made = disk("win32", failing("removeFile", "EBUSY", Infinity, ".removing-x-0/used"));
  await saves(directoryOn(made.raw)(path), 1, 1);
  const orphan = join(folder, ".removing-x-0");
  assert.equal(await answer(made.raw.makeFolder(orphan)), "done");
  assert.equal(await answer(made.raw.create(join(orphan, "used"))), "done");
  await saves(directoryOn(made.raw)(path), 2, 3);
  assert.equal(made.clock.waited, 3 * 61);
  assert.equal(await answer(made.raw.status(orphan)), "done");
});

test("run: a file in the path is named where the system only says that the path is missing", async () => {
  const file = join(scratch, "file");
  await writeFile(file, "mine");
  const likeWindows = <A>(task: TE.TaskEither<StoreFailed, A>): TE.TaskEither<StoreFailed, A> =>
    pipe(task, TE.mapLeft((failed) => failed.code === "ENOTDIR" ? { ...failed, code: "ENOENT" } : failed));
  const { names, status, makeFolder, linkTarget } = localFileSystem;
  assert(linkTarget !== undefined);
  const windows: FileSystem = {
    ...localFileSystem,
    names: (at) => likeWindows(names(at)),
    status: (at) => likeWindows(status(at)),
    makeFolder: (at) => likeWindows(makeFolder(at)),
    linkTarget: (at) => likeWindows(linkTarget(at)),
  };
  for (const at of [file, join(file, "run"), join(file, "a", "b")]) {
    const store = directoryOn(windows)(at);
    for (const result of [await store.list(), await store.begin()]) {
      assert(E.isLeft(result));
      assert.deepEqual([result.left.code, result.left.path, result.left.message], ["ENOTDIR", file, "it is a file"]);
    }
  }
});
