/**
 * Mounts of object stores: they are recognised, and nothing is saved on them.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryOn } from "../../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../../lib/store/directory/file_system.ts";
import { localFileSystem } from "../../../lib/store/directory/local_file_system.ts";
import { mountOf } from "../../../lib/store/directory/mounts.ts";
import { explain, list, loadState, resume, saveState } from "../../../mod.ts";
import { objectMounts } from "../../support/profiles.ts";
import { blank, imageOf, type Machine, machine } from "../../support/simulated_disk.ts";

/** The line of a mount, as Linux writes it. */
function line(point: string, type: string, source: string, optional: string = "shared:1 "): string {
  return `36 35 98:0 / ${point} rw,noatime ${optional}- ${type} ${source} rw,user_id=0\n`;
}

const root = line("/", "ext4", "/dev/sda1");

test("mountOf: the innermost mount of a path; of two at one path, the later one", () => {
  const mounts = root + line("/data", "ext4", "/dev/sdb1", "") + line("/data/a\\040b\\134", "fuse.sshfs", "host:") +
    line("/data/twice", "xfs", "/dev/sdc1", "shared:2 master:3 ") + line("/data/twice", "fuse.gcsfuse", "bucket");
  for (
    const [path, type, source] of [
      ["/", "ext4", "/dev/sda1"],
      ["/database", "ext4", "/dev/sda1"],
      ["/data", "ext4", "/dev/sdb1"],
      ["/data/runs/digits", "ext4", "/dev/sdb1"],
      ["/data/a b\\/run", "fuse.sshfs", "host:"],
      ["/data/twice/run", "fuse.gcsfuse", "bucket"],
    ] as const
  ) assert.deepEqual(mountOf(path, mounts), { type, source }, path);
  for (const text of ["", "\n", "nonsense", "1 2 3 - ext4", "a b c d / - \n"]) {
    assert.equal(mountOf("/a", text), undefined);
  }
});

/** A simulated disk with a mount. */
function mounted(type: string, source: string, on: Machine = machine(blank)): FileSystem {
  return { ...on.process("a"), mountinfo: () => Promise.resolve(root + line("/mnt", type, source)) };
}

const refused: readonly (readonly [type: string, source: string, program: string])[] = [
  ["fuse.gcsfuse", "bucket", "gcsfuse"],
  ["fuse", "blobfuse", "blobfuse"],
  ["fuse", "blobfuse2", "blobfuse2"],
  ["fuse.blobfuse2", "container", "blobfuse2"],
  ["fuse", "mountpoint-s3", "mountpoint-s3"],
  ["fuse.s3fs", "s3fs", "s3fs"],
  ["fuse.geesefs", "bucket", "geesefs"],
  ["fuse.ossfs", "ossfs", "ossfs"],
  ["fuse.rclone", "remote:runs", "rclone"],
];

test("old or new: nothing is saved on the mount of an object store, and the error names s3()", async () => {
  for (const [type, source, program] of refused) {
    const simulated = machine(blank);
    const store = directoryOn(mounted(type, source, simulated))("/mnt/run");
    // A resume fails before any training.
    for (const task of [saveState(store)({ step: 1 }), resume(store)({ step: 0 })]) {
      const result = await task();
      assert(result._tag === "Left" && result.left._tag === "StoreFailed", type);
      assert.equal(result.left.code, "EOBJECTSTORE");
      assert.match(
        explain(result.left),
        new RegExp(`: it is on a mount by ${program}, which (renames|cannot|confirms).*s3\\(.*a local disk$`),
      );
    }
    assert.deepEqual([...simulated.image().keys()], ["/"]);
    assert.equal((await saveState(directoryOn(mounted(type, source))("/elsewhere/run"))({ step: 1 })())._tag, "Right");
  }
  for (
    const [type, source] of [["ext4", "rclone"], ["fuse.sshfs", "gcsfuse"], ["nfs4", "s3fs:/"], ["fuse", "constructor"]]
  ) {
    const saved = await saveState(directoryOn(mounted(type!, source!))("/mnt/run"))({ step: 1 })();
    assert.equal(saved._tag, "Right", type);
  }
});

test("old or new: a mount on the folder of the checkpoints alone is refused, too", async () => {
  const simulated = machine(blank);
  const run = simulated.process("a");
  for (const path of ["/run", "/run/checkpoints"]) assert.equal((await run.makeFolder(path)())._tag, "Right");
  const list = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /run/checkpoints rw - fuse.rclone remote: rw\n";
  const store = directoryOn({ ...run, mountinfo: () => Promise.resolve(list) })("/run");
  for (const task of [saveState(store)({ step: 1 }), resume(store)({ step: 0 })]) {
    const result = await task();
    assert.equal(result._tag === "Left" && result.left._tag === "StoreFailed" && result.left.code, "EOBJECTSTORE");
  }
});

test("old or new: checkpoints on the mount of an object store can be loaded, but none can be added", async () => {
  const simulated = machine(blank);
  assert.equal((await saveState(directoryOn(simulated.process("a"))("/mnt/run"))({ step: 3 })())._tag, "Right");
  const store = directoryOn(mounted("fuse.gcsfuse", "bucket", simulated))("/mnt/run");
  assert.deepEqual(await loadState(store)({ step: 0 }), { step: 3 });
  const saved = await saveState(store)({ step: 4 })();
  assert(saved._tag === "Left" && saved.left._tag === "StoreFailed");
  assert.equal(saved.left.code, "EOBJECTSTORE");
  assert.equal((await list(store)).entries.length, 1);
});

test("old or new: a file system without renames refuses the first save, and the error names s3()", async () => {
  const simulated = machine(imageOf(new Map()), { profile: objectMounts["no renames"] });
  const store = directoryOn(simulated.process("a"))("/mnt/run");
  const saved = await saveState(store)({ step: 1 })();
  assert(saved._tag === "Left" && saved.left._tag === "StoreFailed");
  assert.deepEqual([saved.left.operation, saved.left.code], ["rename", "ENOSYS"]);
  assert.match(explain(saved.left), /cannot rename folders.*s3\(.*a local disk$/);
  assert.deepEqual((await list(store)).entries, []);
});

test("mountinfo: this machine's own list has the root, and is empty where the system does not tell", async () => {
  const mounts = await localFileSystem.mountinfo!();
  if (mounts !== "") assert.equal(typeof mountOf("/", mounts)?.type, "string");
});
