/** The tracker of TensorBoard, read back by a reader that was written from the description of the format. */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { eventFileName, histogramOf } from "../../lib/logs/mod.ts";
import { tensorBoard } from "../../lib/trackers/mod.ts";
import { backends, testOn, useBackend } from "../support/backends.ts";
import { type Curves, curvesIn, eventFilesIn, type ReadHistogram } from "../support/event_reader.ts";
import { torture } from "../support/torture.ts";

const scratch = mkdtempSync(join(tmpdir(), "dogear-tensorboard-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;
const place = (): string => join(scratch, String(made++));

const run = "3f2a9c04-0000-4000-8000-000000000000";
const other = "77777777-0000-4000-8000-000000000000";

await useBackend("cpu");

/** What the reader finds of a histogram. */
function read(values: ArrayLike<number>): ReadHistogram {
  const { nan: _, infinite: __, ...kept } = histogramOf(values);
  return kept;
}

test("tensorBoard: what was logged is in the file after flush, in new folders too", async () => {
  const folder = join(place(), "a", "b");
  const log = tensorBoard(folder);
  await log.start({ step: 0, run });
  log.log({ loss: 0.5, "a/b": NaN }, 1);
  log.histogram("w", [1, 2, NaN], 1);
  log.log({ loss: 0.25 }, 2);
  await log.flush();
  const expected: Curves = new Map<string, [number, number | ReadHistogram][]>([
    ["loss", [[1, 0.5], [2, 0.25]]],
    ["a/b", [[1, NaN]]],
    ["w", [[1, read([1, 2, NaN])]]],
  ]);
  assert.deepEqual(curvesIn(folder), expected);
  await log.close();
  await log.close();
  assert.deepEqual(curvesIn(folder), expected);
  assert.equal(eventFilesIn(folder).length, 1);
});

test("tensorBoard: records are written without a flush, at 64 KiB and after a second", async () => {
  const folder = place();
  const log = tensorBoard(folder);
  await log.start({ step: 0 });
  for (let step = 1; step <= 2500; step++) log.log({ loss: step }, step);
  const written = async (least: number): Promise<number> => {
    for (;;) {
      const found = curvesIn(folder).get("loss")?.length ?? 0;
      if (found >= least) return found;
      await new Promise((done) => setTimeout(done, 10));
    }
  };
  assert.ok(await written(1) < 2500, "the rest waits for more");
  assert.equal(await written(2500), 2500);
  await log.close();
});

/** A process: after how many batches it is killed, how many bytes are lost, after how many batches it saves, and whether it logs the last epoch. */
type Process = readonly [batches: number, lost: number, every: number, endsEpoch: boolean];

/** The curves of a training of so many steps in some processes. */
async function curvesOf(steps: number, processes: readonly Process[]): Promise<Curves> {
  const folder = place();
  let saved = 0;
  for (const [batches, lost, every, endsEpoch] of processes) {
    const log = tensorBoard(folder);
    await log.start({ step: saved, run });
    // As `fit` does: an epoch is logged after the save at its end, and again by a process that resumes there.
    const logEpoch = (step: number): void => {
      if (step === 0 || step % 4 !== 0) return;
      log.log({ epoch: step }, step);
      log.histogram("epochs", [step], step);
    };
    const last = Math.min(steps, saved + batches);
    let durable = 0;
    if (endsEpoch || last > saved) logEpoch(saved);
    for (let step = saved + 1; step <= last; step++) {
      log.log({ loss: Math.fround(1 / step), step }, step);
      if (step % 3 === 0) log.histogram("w", [step, -step], step);
      if (step % every === 0 || step === steps) {
        await log.flush();
        saved = step;
        durable = statSync(eventFilesIn(folder).at(-1)!).size;
      }
      if (endsEpoch || step < last) logEpoch(step);
    }
    await log.close();
    const path = eventFilesIn(folder).at(-1)!;
    truncateSync(path, Math.max(durable, statSync(path).size - lost));
  }
  return curvesIn(folder);
}

test("tensorBoard: same curves, whenever it is killed and whatever bytes are lost", async () => {
  const process = fc.tuple(fc.nat(20), fc.nat(400), fc.integer({ min: 1, max: 10 }), fc.boolean());
  // The second saves where the first has logged an epoch, and is killed before it logs it.
  const purged: readonly Process[] = [[9, 0, 10, true], [8, 0, 8, false]];
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 30 }), fc.array(process, { maxLength: 6 }), async (steps, processes) => {
      const last: Process = [steps, 0, 7, true];
      assert.deepEqual(await curvesOf(steps, [...processes, last]), await curvesOf(steps, [last]));
    }),
    {
      numRuns: 15 * torture,
      examples: [[20, [[6, 0, 7, true], [13, 30, 7, true], [3, 0, 7, true]]], [20, [...purged]]],
    },
  );
});

test("tensorBoard: a new file comes after the others, whatever the clock says", async () => {
  const folder = place();
  mkdirSync(folder);
  writeFileSync(join(folder, eventFileName(9_000_000_000, "3f2a9c04")), "");
  for (const step of [0, 1, 2]) {
    const log = tensorBoard(folder);
    await log.start({ step, run });
    await log.close();
  }
  assert.deepEqual(readdirSync(folder).sort(), [0, 1, 2, 3].map((i) => eventFileName(9_000_000_000 + i, "3f2a9c04")));
});

test("tensorBoard: the files of another run or program stay as they are, and the run gets a subfolder", async () => {
  const folder = place();
  const log = async (name: string | null, step: number): Promise<void> => {
    const tracker = tensorBoard(folder);
    await tracker.start({ step, run: name, parent: name === other ? { run, checkpoint: 3, step: 1 } : null });
    tracker.log({ loss: step }, step + 1);
    await tracker.close();
  };
  await log(run, 0);
  await log(run, 1);
  const before = readFileSync(eventFilesIn(folder)[0]!);
  await log(other, 1);
  await log(other, 2);
  await log(null, 0);
  await log(run, 2);
  assert.deepEqual(curvesIn(join(folder, "77777777")).get("loss"), [[2, 1], [3, 2]]);
  assert.deepEqual(curvesIn(join(folder, "00000000")).get("loss"), [[1, 0]]);
  assert.deepEqual(readFileSync(eventFilesIn(folder)[0]!), before);
  const foreign = place();
  mkdirSync(foreign);
  const name = "events.out.tfevents.1700000000.host.12.0.v2";
  writeFileSync(join(foreign, name), "not ours");
  const tracker = tensorBoard(foreign);
  await tracker.start({ step: 0, run });
  await tracker.close();
  assert.deepEqual(readdirSync(foreign).sort(), ["3f2a9c04", name]);
  assert.equal(readFileSync(join(foreign, name), "utf8"), "not ours");
});

test("tensorBoard: without a start, the first log drops what was logged at its step and above", async () => {
  const folder = place();
  for (const from of [1, 3]) {
    const log = tensorBoard(folder);
    for (let step = from; step < from + 4; step++) log.log({ loss: from }, step);
    await log.close();
  }
  assert.deepEqual(curvesIn(folder).get("loss"), [[1, 1], [2, 1], [3, 3], [4, 3], [5, 3], [6, 3]]);
});

test("tensorBoard: a second start, and a log after close, are mistakes", async () => {
  const log = tensorBoard(place());
  await log.start({ step: 0 });
  await assert.rejects(log.start({ step: 0 }), /^TypeError: Expected a tracker of one training/);
  await log.close();
  assert.throws(() => log.log({ loss: 1 }, 1), /^TypeError: Expected a tracker that is open/);
  assert.throws(() => log.histogram("w", [1], 1), /^TypeError: Expected a tracker that is open/);
  const idle = tensorBoard(place());
  await idle.flush();
  await idle.close();
  assert.throws(() => tensorBoard("s3://bucket/logs"), /^TypeError: Expected the folder of tensorBoard/);
});

test("tensorBoard: a disk that fails rejects start, flush and close with its error, not the log", async () => {
  const folder = place();
  writeFileSync(folder, "a file");
  const log = tensorBoard(folder);
  log.log({ loss: 1 }, 1);
  log.log({ loss: 1 }, 2);
  const isFailed = ({ message, cause }: Error): boolean =>
    message.includes(folder) && (cause as { _tag: string })._tag === "StoreFailed";
  await assert.rejects(log.flush(), isFailed);
  await assert.rejects(log.close(), isFailed);
  await assert.rejects(tensorBoard(folder).start({ step: 0 }), isFailed);
});

for (const backend of backends) {
  testOn(backend, "tensorBoard: histograms of tensors, which may be disposed of at once, leave no trace", async () => {
    const folder = place();
    const log = tensorBoard(folder);
    await log.start({ step: 0 });
    const values = Array.from({ length: 1000 }, (_, i) => Math.fround(Math.sin(i) * 10 ** (i % 7)));
    const variable = tf.tidy(() => tf.variable(tf.tensor1d([1, 2, 3])));
    const before = tf.memory();
    const plain = tf.tensor(values);
    const computed = plain.add(0);
    const integers = tf.tensor1d([3, -1, 2], "int32");
    const flags = tf.tensor1d([true, false], "bool");
    log.histogram("plain", plain, 1);
    log.histogram("computed", computed, 1);
    log.histogram("integers", integers, 1);
    log.histogram("flags", flags, 1);
    log.histogram("variable", variable, 1);
    tf.dispose([plain, computed, integers, flags]);
    const next = tf.tensor1d([4, 5, 6]);
    variable.assign(next);
    next.dispose();
    await log.flush();
    const now = tf.memory();
    assert.deepEqual([now.numTensors, now.numDataBuffers, now.numBytes], [
      before.numTensors,
      before.numDataBuffers,
      before.numBytes,
    ]);
    await log.close();
    const found = curvesIn(folder);
    assert.deepEqual(found.get("plain"), [[1, read(values)]]);
    assert.deepEqual(found.get("computed"), [[1, read(values)]]);
    assert.deepEqual(found.get("integers"), [[1, read([3, -1, 2])]]);
    assert.deepEqual(found.get("flags"), [[1, read([1, 0])]]);
    assert.deepEqual(found.get("variable"), [[1, read([1, 2, 3])]]);
    variable.dispose();
  });
}
