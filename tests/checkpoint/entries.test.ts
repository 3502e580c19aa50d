/**
 * Entries, listing, verification and progress: what is read of a store with many checkpoints.
 */
import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { Buffer } from "node:buffer";
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import fc from "fast-check";
import {
  directory,
  list,
  loadState,
  plan,
  readSnapshot,
  restoreState,
  Retention,
  runOrThrow,
  saveState,
} from "../../mod.ts";
import { candidates } from "../../lib/checkpoint/entries.ts";
import { readCheckpoint } from "../../lib/checkpoint/read.ts";
import { inOrder } from "../../lib/checkpoint/in_order.ts";
import { verifyCheckpoint } from "../../lib/checkpoint/verify.ts";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../lib/store/directory/file_system.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { meter, type Progress, progressAt } from "../../lib/store/progress.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-catalogue-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

const { location: template } = await runOrThrow(saveState(directory(place()))({ step: 5 }));

/** A folder of these checkpoints, all the same one: links to it, for there may be many. */
async function folderOf(numbers: readonly number[]): Promise<string> {
  const path = place();
  await mkdir(join(path, "checkpoints"), { recursive: true });
  for (const number of numbers) symlinkSync(template, join(path, "checkpoints", `checkpoint_${number}`), "junction");
  return path;
}

/** A disk that counts what it is asked. */
function counting(): FileSystem & { readonly asked: Record<"status" | "names" | "open", number> } {
  const asked = { status: 0, names: 0, open: 0 };
  return {
    ...localFileSystem,
    status: (path) => (asked.status++, localFileSystem.status(path)),
    names: (path) => (asked.names++, localFileSystem.names(path)),
    open: (path) => (asked.open++, localFileSystem.open(path)),
    asked,
  };
}

// --- the newest

test("entries: the newest checkpoint is found with a number of operations that does not grow with the store", async () => {
  const many = await folderOf(Array.from({ length: 300 }, (_, n) => n));
  const few = await folderOf([0, 1, 2]);
  const [ofMany, ofFew] = [counting(), counting()];
  for (const [disk, path] of [[ofMany, many], [ofFew, few]] as const) {
    await runOrThrow(readSnapshot(directoryOn(disk)(path)));
    assert.deepEqual(await runOrThrow(loadState(directoryOn(disk)(path))({ step: 0 })), { step: 5 });
  }
  assert.deepEqual(ofMany.asked, ofFew.asked);
});

test("entries: a later save reads only its own checkpoints, also with a retention policy", async () => {
  const path = await folderOf(Array.from({ length: 300 }, (_, n) => n));
  const disk = counting();
  const store = directoryOn(disk)(path, { keep: Retention.latest(1000) });
  await runOrThrow(loadState(store)({ step: 0 }));
  await runOrThrow(saveState(store)({ step: 6 }));
  const before = { ...disk.asked };
  await runOrThrow(saveState(store)({ step: 7 }));
  const more = { status: disk.asked.status - before.status, open: disk.asked.open - before.open };
  assert.ok(more.status < 20 && more.open < 5, JSON.stringify(more));
});

test("entries: a folder that only has a checkpoint's name is ignored, a partly removed checkpoint is not", async () => {
  const path = await folderOf([3, 7]);
  const inside = join(path, "checkpoints");
  await mkdir(join(inside, "checkpoint_5"));
  await mkdir(join(inside, "checkpoint_8"));
  await writeFile(join(inside, "checkpoint_9"), "a file");
  await mkdir(join(inside, "checkpoint_010"));
  const store = directory(path);
  assert.deepEqual(await runOrThrow(candidates(store)), [3, 5, 7]);
  assert.deepEqual(await runOrThrow(store.list), [3, 7]);
  assert.deepEqual((await runOrThrow(list(store))).entries.map(({ checkpoint }) => checkpoint), [3, 7]);
  assert.deepEqual(restoreState(await runOrThrow(readSnapshot(store))), E.right({ step: 5 }));
  const planned = await runOrThrow(plan(directory(path))(Retention.latest(1)));
  assert.deepEqual([planned.keep.length, planned.remove.map(({ checkpoint }) => checkpoint)], [1, [3]]);
  for (const checkpoint of [5, 8, 9]) {
    const none = await loadState(store, { checkpoint })({ step: 0 })();
    assert.deepEqual(none, E.left({ _tag: "NoCheckpoint", location: path, checkpoint, available: [3, 7] }));
  }
  // Newer than every other, and no manifest in it.
  await writeFile(join(inside, "checkpoint_8", "model.safetensors"), "");
  const damaged = await readSnapshot(store)();
  assert.ok(E.isLeft(damaged) && damaged.left._tag === "Damaged" && damaged.left.checkpoint === 8);
  assert.equal(damaged.left.older, 7);
  const kept: number[] = [];
  await runOrThrow(readSnapshot(store, { fallback: true, onReport: ({ checkpoint }) => kept.push(checkpoint) }));
  assert.deepEqual(kept, [7]);
});

test("entries: a store with only empty folders is empty", async () => {
  const path = await folderOf([]);
  await mkdir(join(path, "checkpoints", "checkpoint_4"));
  assert.deepEqual(await runOrThrow(candidates(directory(path))), []);
  assert.deepEqual(await runOrThrow(list(directory(path))), { entries: [], damaged: [] });
  const none = await readSnapshot(directory(path))();
  assert.ok(E.isLeft(none) && none.left._tag === "NoCheckpoint" && none.left.available.length === 0);
});

test("entries: candidates include the newest checkpoint, whatever is removed meanwhile", async () => {
  const path = await folderOf([0, 1, 2, 3]);
  const inside = join(path, "checkpoints");
  let first = true;
  const disk: FileSystem = {
    ...localFileSystem,
    names: (of) => async () => {
      const names = await localFileSystem.names(of)();
      if (first && of === inside) {
        first = false;
        // Listed without 4, looked at without 3: only another look shows what there is.
        symlinkSync(template, join(inside, "checkpoint_4"), "junction");
        await rm(join(inside, "checkpoint_3"));
      }
      return names;
    },
  };
  assert.deepEqual(await runOrThrow(candidates(directoryOn(disk)(path))), [0, 1, 2, 4]);
  assert.ok((await readdir(inside)).includes("checkpoint_4"));
});

// --- verifying

test("verify: a checkpoint loads if and only if it verifies, with the same list of problems", async () => {
  const store = directory(place(), { digest: "sha256" });
  const state = { w: tf.tensor(["a", "bcd"]), x: tf.tensor2d([[1, 2], [3, 4]]), y: new Float64Array(9), step: 1 };
  const { location } = await runOrThrow(saveState(store)(state));
  const files = ["snapshot.json", "state/w.safetensors", "state/x.safetensors", "state/y.safetensors"];
  const harm = fc.record({ file: fc.constantFrom(...files), at: fc.nat(2000), cut: fc.boolean() });
  const same = async (): Promise<boolean> => {
    const [loaded, verified] = [await readCheckpoint(store, 0)(), await verifyCheckpoint(store, 0)()];
    assert.deepEqual(E.isLeft(verified) && verified.left, E.isLeft(loaded) && loaded.left);
    return E.isRight(verified);
  };
  assert.ok(await same());
  await fc.assert(
    fc.asyncProperty(harm, async ({ file, at, cut }) => {
      const whole = await readFile(join(location, file));
      const harmed = Buffer.from(whole);
      harmed[at % whole.length]! ^= 1 << (at % 8);
      await writeFile(join(location, file), cut ? whole.subarray(0, at % whole.length) : harmed);
      const fine = await same();
      await writeFile(join(location, file), whole);
      assert.ok(!fine);
    }),
    { numRuns: 60 * torture },
  );
  assert.ok(await same());
});

// --- side by side, and progress

test("inOrder: results come in the order of the items, at most 16 in progress", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(3), { maxLength: 60, size: "max" }), async (delays) => {
      let [underWay, most] = [0, 0];
      const seen: number[] = [];
      const run = async (i: number): Promise<number> => {
        most = Math.max(most, ++underWay);
        for (let k = 0; k < delays[i]!; k++) await Promise.resolve();
        underWay--;
        return i * 2;
      };
      for await (const [i, twice] of inOrder(delays.keys(), run)) seen.push(i === twice / 2 ? i : NaN);
      assert.deepEqual(seen, [...delays.keys()]);
      assert.ok(most <= 16);
    }),
    { numRuns: 50 * torture },
  );
});

test("progress: the rate is bytes by time, and the time left is that of the rest at this rate", () => {
  assert.deepEqual(progressAt(30, 120, 2), { bytes: 30, total: 120, seconds: 2, rate: 15, left: 6 });
  assert.deepEqual(progressAt(0, 120, 0), { bytes: 0, total: 120, seconds: 0, rate: 0, left: Infinity });
  assert.deepEqual(progressAt(120, 120, 0), { bytes: 120, total: 120, seconds: 0, rate: 0, left: 0 });
  assert.deepEqual(progressAt(0, 0, 1), { bytes: 0, total: 0, seconds: 1, rate: 0, left: 0 });
  let now = 1000;
  const told: Progress[] = [];
  const advance = meter(100, (progress) => told.push(progress), () => now);
  for (const bytes of [10, 40, 50]) {
    now += 500;
    advance(bytes);
  }
  assert.deepEqual(told, [progressAt(10, 100, 0.5), progressAt(50, 100, 1), progressAt(100, 100, 1.5)]);
});

test("progress: a save and a load report all their bytes", async () => {
  const told: Progress[] = [];
  const onProgress = (progress: Progress): void => void told.push(progress);
  const store = directory(place());
  await runOrThrow(saveState(store, { onProgress })({ w: new Float32Array(1e6), step: 1 }));
  const saved = told.splice(0);
  await runOrThrow(loadState(store, { onProgress })({ w: new Float32Array(1e6), step: 0 }));
  for (const one of [saved, told]) {
    assert.ok(one.every(({ bytes }, i) => bytes > (one[i - 1]?.bytes ?? 0)));
    assert.ok(one.every(({ seconds, rate, left }) => seconds >= 0 && rate >= 0 && left >= 0));
    const { bytes, total, left } = one.at(-1)!;
    assert.deepEqual([bytes, left], [total, 0]);
  }
});

test("list: gives the entries that can be read, and the numbers of the others with their errors", async () => {
  const path = place();
  const store = directory(path);
  for (let step = 0; step < 5; step++) await runOrThrow(saveState(store)({ step, w: new Float32Array(4) }));
  await rm(join(path, "checkpoints/checkpoint_2/snapshot.json"));
  await writeFile(join(path, "checkpoints/checkpoint_3/snapshot.json"), '{"format":"dogear/99"}');
  const { entries, damaged } = await runOrThrow(list(directory(path)));
  assert.deepEqual(entries.map(({ checkpoint, step }) => [checkpoint, step]), [[0, 0], [1, 1], [4, 4]]);
  assert.deepEqual(damaged.map(({ checkpoint, error }) => [checkpoint, error._tag]), [[2, "Damaged"], [
    3,
    "NewerFormat",
  ]]);
  await writeFile(join(path, "checkpoints/checkpoint_4/snapshot.json"), "");
  assert.deepEqual((await runOrThrow(list(directory(path)))).damaged.map(({ checkpoint }) => checkpoint), [2, 3, 4]);
});

test("list: reads again: damage, other checkpoints with known numbers, another folder at a relative path", async () => {
  const path = place();
  const store = directory(path, { keep: Retention.latest(3) });
  const told = async () => {
    const { entries, damaged } = await runOrThrow(list(store));
    return [entries.map(({ checkpoint, step }) => [checkpoint, step]), damaged.map(({ checkpoint }) => checkpoint)];
  };
  for (const step of [0, 1, 2]) await runOrThrow(saveState(store)({ step }));
  await truncate(join(path, "checkpoints", "checkpoint_1", "snapshot.json"), 10);
  assert.deepEqual(await told(), [[[0, 0], [2, 2]], [1]]);
  await rm(path, { recursive: true });
  await runOrThrow(saveState(store)({ step: 7 }));
  assert.deepEqual(await told(), [[[0, 7]], []]);

  const before = process.cwd();
  try {
    const folders = [place(), place()];
    const relative = directory("run", { keep: Retention.latest(1) });
    for (const step of [5, 6, 7]) {
      for (const folder of folders) {
        await mkdir(folder, { recursive: true });
        process.chdir(folder);
        const saved = await runOrThrow(saveState(relative)({ step }));
        assert.deepEqual(saved.removed, step === 5 ? [] : [saved.checkpoint - 1]);
        assert.deepEqual((await runOrThrow(list(relative))).entries.map((entry) => entry.step), [step]);
      }
    }
  } finally {
    process.chdir(before);
  }
});

test("entries: Overtaken depends on what the store holds now, not on remembered entries", async () => {
  const path = place();
  const store = directory(path, { keep: Retention.latest(3) });
  for (const step of [0, 1]) await runOrThrow(saveState(store)({ step }));
  await rm(path, { recursive: true });
  await runOrThrow(saveState(store)({ step: 0 }));
  // Another process continues from there, with a number that this process knew as another run's.
  const elsewhere = directoryOn({ ...localFileSystem })(path);
  await runOrThrow(loadState(elsewhere)({ step: 0 }));
  await runOrThrow(saveState(elsewhere)({ step: 1 }));
  const behind = await saveState(store)({ step: 1 })();
  assert.equal(behind._tag === "Left" && behind.left._tag, "Overtaken");
});
