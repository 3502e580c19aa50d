/**
 * Law *nothing silent*: a path in or near a run's folder is an error that names the run. Nothing is created there, and no run starts afresh.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import * as TE from "fp-ts/lib/TaskEither.js";
import { directoryOn } from "../../../lib/store/directory/directory.ts";
import { localFileSystem } from "../../../lib/store/directory/local_file_system.ts";
import { fromCsv, fromFolder, fromLines, fromNpy } from "@dogear/dogear/data";
import { storeFailed } from "../../../lib/store/store.ts";
import {
  directory,
  type DogearError,
  explain,
  list,
  loadState,
  plan,
  readSnapshot,
  resume,
  Retention,
  runOrThrow,
  saver,
  saveState,
  type Store,
} from "../../../mod.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-run-folder-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
async function run(): Promise<string> {
  const path = join(scratch, `${made++}`, "digits");
  for (const step of [900, 901]) await runOrThrow(saveState(directory(path))({ step }));
  return path;
}

/** The error of every runner with a store, which must be the same. */
async function refusal(store: Store): Promise<string> {
  const { save, drain } = saver(store);
  await runOrThrow(save({ step: 1 }));
  const tasks: readonly TE.TaskEither<DogearError, unknown>[] = [
    resume(store)({ step: 0 }),
    loadState(store)({ step: 0 }),
    loadState(store, { checkpoint: 0 })({ step: 0 }),
    readSnapshot(store),
    saveState(store)({ step: 1 }),
    list(store),
    plan(store)(Retention.latest(1)),
    drain,
  ];
  const said = new Set<string>();
  for (const task of tasks) {
    const result = await task();
    said.add(result._tag === "Left" ? explain(result.left) : "no error");
  }
  assert.equal(said.size, 1, [...said].join("\n"));
  return [...said].join();
}

test("directory: a path to the folder of checkpoints or into it is an error that names the run, and nothing is created", async () => {
  const path = await run();
  const checkpoints = join(path, "checkpoints");
  const before = (await readdir(path, { recursive: true })).sort();
  for (
    const wrong of [
      checkpoints,
      `${checkpoints}/`,
      join(checkpoints, "checkpoint_0"),
      join(checkpoints, "checkpoint_1", "state"),
      join(checkpoints, "checkpoint_1", "snapshot.json"),
      join(checkpoints, "checkpoint_99"),
      join(checkpoints, "checkpoint_0", "checkpoints"),
      join(checkpoints, ".saving-unknown.1.0-0123456789ab"),
      join(checkpoints, ".number-12", "mine"),
    ]
  ) {
    const said = await refusal(directory(wrong));
    assert.ok(said.includes(` of the run ${path}. Open that folder`), said);
    const number = /checkpoint_(\d+)/.exec(wrong)?.[1];
    if (number !== undefined) assert.ok(said.includes(`{ checkpoint: ${number} }`), said);
  }
  assert.deepEqual((await readdir(path, { recursive: true })).sort(), before);
});

test("directory: a link into a checkpoint is an error, like the path that it leads to", async () => {
  const path = await run();
  const link = join(scratch, "into");
  await symlink(join(path, "checkpoints", "checkpoint_0"), link, "junction");
  const before = (await readdir(path, { recursive: true })).sort();
  for (const wrong of [join(link, "mine"), join(link, "mine", "deeper")]) {
    assert.match(await refusal(directory(wrong)), /it is inside checkpoint 0 of the run/);
  }
  assert.deepEqual((await readdir(path, { recursive: true })).sort(), before);
});

test("paths: a URL and a path of the shell are TypeErrors that say what to write, for stores and for data", () => {
  const remedies: Readonly<Record<string, RegExp>> = {
    "s3://bucket/prefix": /found "s3:.*a URL is no path; .* the store s3\(\), and download data$/,
    "GS://a": /a URL is no path/,
    "https://a.b/c": /a URL is no path/,
    "file:///tmp/run": /use fileURLToPath/,
    "~/runs": /only a shell replaces "~": write the whole path/,
    "~": /only a shell/,
    "~\\runs": /only a shell/,
    "": /write it as a string/,
  };
  for (const [path, message] of Object.entries(remedies)) {
    for (const open of [directory, fromLines, fromCsv, fromFolder, fromNpy]) {
      assert.throws(() => open(path), { name: "TypeError", message });
    }
  }
  assert.throws(
    () => directory(new URL("file:///tmp/run") as unknown as string),
    /found an instance of URL: use fileURLToPath/,
  );
  for (const path of ["C:\\runs", "a:b", "c:/runs", "runs://x".slice(5), "~runs", "\\\\server\\share"]) {
    assert.equal(directory(path)._tag, "Store");
  }
});

test("directory: a run that was moved into a checkpoint is an error", async () => {
  const path = await run();
  const inner = join(path, "checkpoints", "checkpoint_0");
  await cp(join(path, "checkpoints"), join(scratch, "copy", "checkpoints"), { recursive: true });
  await rename(join(scratch, "copy", "checkpoints"), join(inner, "checkpoints"));
  assert.match(await refusal(directory(inner)), /it is checkpoint 0 of the run/);
});

test("directory: a single checkpoint, and a folder that contains checkpoints or an unfinished save directly, are errors", async () => {
  const path = await run();
  const alone = join(scratch, "alone");
  await cp(join(path, "checkpoints", "checkpoint_0"), alone, { recursive: true });
  assert.match(await refusal(directory(alone)), /alone \(ENOTRUN\): it is a checkpoint\. Open the folder of its run/);
  const link = join(scratch, "newest");
  await symlink(join(path, "checkpoints", "checkpoint_1"), link, "junction");
  assert.match(await refusal(directory(link)), /it is a checkpoint/);
  const flat = join(scratch, "flat");
  await cp(join(path, "checkpoints"), flat, { recursive: true });
  assert.match(
    await refusal(directory(flat)),
    /it contains checkpoint_[01] directly.*Move it to .*flat.checkpoints.checkpoint_[01]/,
  );
  const begun = join(scratch, "begun", "checkpoints");
  await mkdir(join(begun, ".saving-unknown.1.0-0123456789ab"), { recursive: true });
  assert.match(await refusal(directory(begun)), /of the checkpoints of the run .*begun\. Open that folder/);
});

test("directory: a run may be named checkpoints or checkpoint_3", async () => {
  for (
    const name of [
      "checkpoints",
      "checkpoint_3",
      join("checkpoints", "checkpoint_3"),
      join("checkpoints", "checkpoints"),
    ]
  ) {
    const path = join(scratch, "named", `${made++}`, name);
    for (const existing of [false, true]) {
      if (existing) await mkdir(path, { recursive: true });
      const store = directory(existing ? path : `${path}x`);
      assert.deepEqual(await runOrThrow(resume(store)({ step: 0 })), { step: 0 });
      for (const step of [1, 2]) await runOrThrow(saveState(store)({ step }));
      assert.deepEqual(await runOrThrow(resume(directory(store.location))({ step: 0 })), { step: 2 }, basename(name));
    }
  }
});

test("directory: a broken link anywhere in the path is an error that names it; a link to a run is followed", async () => {
  const path = await run();
  const link = join(scratch, "link");
  await symlink(join(scratch, "unmounted"), link, "junction");
  for (const wrong of [link, join(link, "runs", "digits")]) {
    assert.match(
      await refusal(directory(wrong)),
      /link is a symbolic link to .*unmounted, which does not exist \(is a disk not mounted\?\)\. Mount/,
    );
  }
  const inner = join(scratch, "inner");
  await mkdir(inner);
  await symlink(join(scratch, "unmounted"), join(inner, "checkpoints"), "junction");
  assert.match(await refusal(directory(inner)), /inner.checkpoints is a symbolic link/);
  assert.ok(!existsSync(join(scratch, "unmounted")));
  const good = join(scratch, "good");
  await symlink(path, good, "junction");
  assert.deepEqual(await runOrThrow(resume(directory(good))({ step: 0 })), { step: 901 });
  await mkdir(join(scratch, "unmounted"));
  assert.deepEqual(await runOrThrow(resume(directory(link))({ step: 0 })), { step: 0 });
});

test("directory: a file in the path is an error that names the file", async () => {
  const file = join(scratch, "weights.safetensors");
  await writeFile(file, "mine");
  for (const wrong of [file, join(file, "a", "b")]) {
    assert.match(await refusal(directory(wrong)), /weights\.safetensors \(ENOTDIR\): it is a file/);
  }
});

test("explain: EACCES asks for read permission if the operation reads, for write permission if it writes", async () => {
  const path = await run();
  const refused = (at: string) => TE.left(storeFailed("list", at, "EACCES", "permission denied"));
  const names = (at: string) => at.startsWith(path) ? refused(at) : localFileSystem.names(at);
  const read = await resume(directoryOn({ ...localFileSystem, names })(path))({ step: 0 })();
  assert.ok(read._tag === "Left");
  assert.match(explain(read.left), /EACCES.*Give this process permission to read there$/);
  assert.match(
    explain({ _tag: "StoreFailed", operation: "write", path, code: "EACCES", message: "no" }),
    /write permission there/,
  );
});
