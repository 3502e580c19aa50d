/**
 * The tracker `jsonLines`: what is in its file after a start, for the same run, for another, and where it cannot log.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";
import { explain, type StoreFailed } from "../../mod.ts";
import { logTo } from "../../lib/trackers/json_lines.ts";
import { localLogFiles, type LogFile, type LogFiles } from "../../lib/trackers/log_file.ts";
import { histogramOf } from "../../lib/logs/mod.ts";
import { jsonLines } from "../../lib/trackers/mod.ts";
import { storeFailed } from "../../lib/store/mod.ts";
import { pointsOf } from "../support/simulated_logs.ts";
import { needs } from "../support/portable.ts";
import { isTriedHere } from "../support/torture.ts";

await tf.setBackend("cpu");
const scratch = mkdtempSync(join(tmpdir(), "dogear-trackers-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
let folders = 0;
const folder = (): string => join(scratch, `${folders++}`);

const run = "8f14e45f-ceea-467f-a8f1-3b2c1d0e9a77";
const other = "1679091c-5a88-4faf-9b5c-0d1e2f3a4b5c";
const parent = { run, checkpoint: 7, step: 21 };

function text(path: string): string {
  return readFileSync(path, "utf8").replaceAll(/"time":\d+/g, '"time":0');
}

function points(path: string) {
  return pointsOf(readFileSync(path));
}

/** Logs `loss` at steps in one process. */
async function logged(path: string, run: string | null, from: number, to: number): Promise<void> {
  const log = jsonLines(path);
  await log.start({ step: from, run });
  for (let step = from + 1; step <= to; step++) log.log({ loss: 1 / step }, step);
  await log.close();
}

/** The failure with which a promise rejects. */
async function failure(promise: Promise<void>): Promise<StoreFailed> {
  const error = await promise.then(() => assert.fail("it resolved"), (error: Error) => error);
  const cause = error.cause as StoreFailed;
  assert.equal(cause._tag, "StoreFailed", error.stack);
  assert.equal(error.message, explain(cause));
  return cause;
}

test("jsonLines: the first line names the run, and each log is a line", async () => {
  const path = join(folder(), "deep", "er", "log.jsonl");
  const log = jsonLines(path);
  await log.start({ step: 21, run: other, parent });
  log.log({ loss: 0.5, lr: NaN, up: Infinity, down: -Infinity, zero: -0 }, 22);
  log.histogram("weights", [1, 1, -2], 22);
  await log.close();
  await log.close();
  const { limits, counts } = histogramOf([1, 1, -2]);
  assert.deepEqual(text(path).split("\n"), [
    `{"format":"dogear-log/1","run":"${other}","parent":{"run":"${run}","checkpoint":7,"step":21}}`,
    '{"step":22,"time":0,"values":{"loss":0.5,"lr":"NaN","up":"Infinity","down":"-Infinity","zero":-0}}',
    '{"step":22,"time":0,"histogram":{"name":"weights","min":-2,"max":1,"num":3,"sum":0,"sumSquares":6,"nan":0,"infinite":0,' +
    `"limits":[${limits}],"counts":[${counts}]}}`,
    "",
  ]);
});

test("jsonLines: a resumed run finds its file cut at its step, durably before it logs", async () => {
  const path = join(folder(), "log.jsonl");
  await logged(path, run, 0, 9);
  const whole = text(path);
  const log = jsonLines(path);
  await log.start({ step: 4, run });
  assert.deepEqual(points(path).map(([step]) => step), [1, 2, 3, 4]);
  await log.close();
  await logged(path, run, 4, 9);
  assert.equal(text(path), whole);
});

test("jsonLines: cut after any number of bytes, a log of its run is resumed", async () => {
  const path = join(folder(), "log.jsonl");
  await logged(path, run, 0, 3);
  const whole = readFileSync(path);
  for (let bytes = 0; bytes <= whole.length; bytes++) {
    if (!isTriedHere(bytes)) continue;
    writeFileSync(path, whole.subarray(0, bytes));
    const last = pointsOf(whole.subarray(0, bytes)).length;
    await logged(path, run, last, 3);
    assert.equal(text(path), whole.toString().replaceAll(/"time":\d+/g, '"time":0'), `${bytes} bytes`);
  }
});

test("jsonLines: at the step where it starts, a name is not logged twice", async () => {
  const path = join(folder(), "log.jsonl");
  await logged(path, run, 0, 2);
  const log = jsonLines(path);
  await log.start({ step: 2, run });
  log.log({ loss: 9 }, 2);
  log.log({ loss: 9, mae: 3 }, 2);
  log.histogram("loss", [1], 2);
  await log.flush();
  log.log({ loss: 8 }, 3);
  log.log({ loss: 8 }, 3);
  await log.close();
  assert.deepEqual(points(path).map(([step, name]) => [step, name.split(" ")[0]]), [
    ...[[1, "loss"], [2, "loss"], [2, "mae"], [2, "loss"]],
    ...[[3, "loss"], [3, "loss"]],
  ]);
});

test("jsonLines: another run leaves the file as it is, and logs beside it", async () => {
  const at = folder();
  const path = join(at, "train.log.jsonl");
  await logged(path, run, 0, 5);
  const first = readFileSync(path);
  await logged(path, other, 3, 6);
  await logged(path, other, 4, 7);
  // The same first characters.
  await logged(path, `${other.slice(0, 8)}-x/..`, 0, 1);
  await logged(path, null, 0, 1);
  assert.deepEqual(readFileSync(path), first);
  assert.deepEqual(readdirSync(at).sort(), [
    "train.log-1679091c-x%2F...jsonl",
    "train.log-1679091c.jsonl",
    "train.log-unnamed.jsonl",
    "train.log.jsonl",
  ]);
  assert.deepEqual(
    points(join(at, "train.log-1679091c.jsonl")).map(([step]) => step),
    [4, 5, 6, 7],
  );
});

test("jsonLines: without start, the first log starts it at the step before its own", async () => {
  const path = join(folder(), "log.jsonl");
  await logged(path, null, 0, 5);
  const log = jsonLines(path);
  log.log({ loss: 7 }, 3);
  await log.close();
  assert.deepEqual(points(path).map(([step, , value]) => [step, value]), [[1, 1], [2, 0.5], [3, 7]]);
  const again = jsonLines(path);
  again.log({ loss: 1 }, 0);
  await again.close();
  assert.deepEqual(points(path), [[0, "loss", 1]]);
});

test("jsonLines: a file that is no log is refused, and left as it is", async () => {
  const contents: readonly (string | Uint8Array)[] = [
    "loss,acc\n1,2\n",
    '{"loss":1}\n',
    '{"format":"dogear-log/2","run":null,"parent":null}\n',
    '{"format":"dogear-log/1","run":7,"parent":null}\n{"step":1,"time":1,"values":{"a":1}}\n',
    '\ufeff{"format":"dogear-log/1","run":null,"parent":null}\n',
    "\n",
    new Uint8Array(1000),
    new Uint8Array(3_000_000).fill(97),
  ];
  for (const content of contents) {
    const at = folder();
    mkdirSync(at);
    const path = join(at, "log.jsonl");
    writeFileSync(path, content);
    const log = jsonLines(path);
    const failed = await failure(log.start({ step: 0 }));
    assert.deepEqual([failed.code, failed.path], ["ENOTLOG", path]);
    await failure(log.close());
    assert.deepEqual(readFileSync(path), Buffer.from(content));
    assert.deepEqual(readdirSync(at), ["log.jsonl"]);
  }
});

test("jsonLines: where it cannot log, the failure says why and what to do, also for a first log without start", async () => {
  const at = folder();
  mkdirSync(at);
  writeFileSync(join(at, "file"), "");
  for (const [path, code] of [[at, "EISDIR"], [join(at, "file", "log.jsonl"), "ENOTDIR"]] as const) {
    assert.equal((await failure(jsonLines(path).start({ step: 0 }))).code, code);
    const log = jsonLines(path);
    log.log({ loss: 1 }, 1);
    await setTimeout(1);
    assert.equal((await failure(log.flush())).code, code);
    assert.equal((await failure(log.close())).code, code);
  }
});

needs("/dev/full")("jsonLines: a device is no file", async () => {
  assert.equal((await failure(jsonLines("/dev/full").start({ step: 0 }))).code, "EINVAL");
});

/** The files of this machine on a disk with room for so many bytes. */
function filling(room: number): LogFiles {
  let left = room;
  return {
    ...localLogFiles,
    create: (path) =>
      TE.map((file: LogFile) => ({
        ...file,
        write: (bytes: Uint8Array, position: number) => {
          if (left === 0) return TE.left(storeFailed("write", path, "ENOSPC", "no space left on device"));
          const piece = bytes.subarray(0, left);
          left -= piece.length;
          return file.write(piece, position);
        },
      }))(localLogFiles.create(path)),
  };
}

test("jsonLines: a full disk rejects the flush, and the run is resumed when there is room", async () => {
  for (let room = 0; room < 200; room += 13) {
    const path = join(folder(), "log.jsonl");
    const log = logTo(filling(room), path);
    const started = await log.start({ step: 0, run }).then(() => true, () => false);
    if (started) {
      for (const step of [1, 2, 3]) log.log({ loss: 1 / step }, step);
      assert.equal((await failure(log.flush())).code, "ENOSPC");
    }
    await failure(log.close());
    const kept = points(path).length;
    await logged(path, run, kept, 3);
    assert.deepEqual(points(path), [[1, "loss", 1], [2, "loss", 1 / 2], [3, "loss", 1 / 3]]);
  }
});

test("jsonLines: a process that is resumed elsewhere meanwhile does not write into the other's log", async () => {
  const path = join(folder(), "log.jsonl");
  const log = jsonLines(path);
  await log.start({ step: 0, run });
  for (const step of [1, 2, 3]) log.log({ loss: 1 / step }, step);
  await log.flush();
  await logged(path, run, 1, 2);
  log.log({ loss: 1 / 4 }, 4);
  const failed = await failure(log.flush());
  assert.deepEqual([failed.code, failed.remedy], ["ECHANGED", "Stop one of the two processes"]);
  await failure(log.close());
  assert.deepEqual(points(path), [[1, "loss", 1], [2, "loss", 1 / 2]]);
});

test("jsonLines: 64 KiB are written without a flush, and fewer within about a second", async () => {
  const path = join(folder(), "log.jsonl");
  const log = jsonLines(path);
  await log.start({ step: 0 });
  log.log({ ["x".repeat(70_000)]: 1 }, 1);
  for (let waited = 0; points(path).length === 0; waited++) {
    assert.ok(waited < 500, "it was not written");
    await setTimeout(2);
  }
  log.log({ y: 1 }, 2);
  for (let waited = 0; points(path).length === 1; waited++) {
    assert.ok(waited < 100, "it was not written");
    await setTimeout(50);
  }
  await log.close();
});

test("jsonLines: a tensor may be disposed of after its histogram, and none is kept", async () => {
  const path = join(folder(), "log.jsonl");
  const log = jsonLines(path);
  await log.start({ step: 0 });
  const before = tf.memory().numTensors;
  const tensor = tf.tensor2d([[1, 2], [3, NaN]]);
  log.histogram("t", tensor, 1);
  tensor.dispose();
  assert.equal(tf.memory().numTensors, before);
  await log.close();
  const { limits, sum } = histogramOf([1, 2, 3, NaN]);
  assert.deepEqual(points(path), [[1, `t ${limits}`, sum]]);
});

test("jsonLines: a second start, a log after close, and wrong arguments are a TypeError", async () => {
  const path = join(folder(), "log.jsonl");
  const log = jsonLines(path);
  const wrong = (run: () => unknown, message: RegExp) =>
    assert.rejects(async () => await run(), (error) => error instanceof TypeError && message.test(error.message));
  await wrong(() => log.start({ step: -1 }), /start|step/);
  await wrong(() => log.start({ step: 0, run: "" }), /run/);
  await wrong(() => log.start({ step: 0, ruin: run } as never), /did you mean `run`/);
  await wrong(() => log.log({ loss: "1" } as never, 1), /values of log\.loss to be a number/);
  await wrong(() => log.log(1 as never, 1), /values of log/);
  await wrong(() => log.log({ loss: 1 }, 1.5), /step of log/);
  await wrong(() => log.histogram("", [1], 1), /name of histogram/);
  await wrong(() => log.histogram("a", ["1"] as never, 1), /values of histogram/);
  await log.start({ step: 0, run });
  await wrong(() => log.start({ step: 0, run }), /one training/);
  await log.close();
  await wrong(() => log.log({ loss: 1 }, 1), /closed one \(train and fit close theirs at the end\): make another with/);
  await wrong(() => log.flush(), /closed/);
  await wrong(() => log.start({ step: 0, run }), /closed/);
  await jsonLines(join(folder(), "log.jsonl")).close();
});
