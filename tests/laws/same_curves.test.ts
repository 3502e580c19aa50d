/**
 * Law *same curves*: the points of a run that was killed and resumed are those of one that never stopped: names, steps and values, point by point.
 *
 * In memory, processes are killed at every operation: of the log, of a save, and at each step. On a disk, programs are killed by SIGKILL.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { fit, fitDataset, Loader, memory, pipe, resume, Retention, saveState, type Store, train } from "../../mod.ts";
import { logTo } from "../../lib/trackers/json_lines.ts";
import { type Disk, disk, type Point, pointsOf, type Process } from "../support/simulated_logs.ts";
import { headerLine, logReader, valuesLine } from "../../lib/logs/mod.ts";
import { type Curves, curvesIn } from "../support/event_reader.ts";
import { here, run, start, there } from "../support/children.ts";
import { isTriedHere, torture } from "../support/torture.ts";

await tf.setBackend("cpu");

/** A training as a process: whether it was completed. */
type Training = (process: Process, store: Store) => Promise<boolean>;

const path = "/run/log.jsonl";

/** Runs a training again and again until it is complete; each process but the last dies after some operations. */
async function untilComplete(training: Training, lives: readonly number[], chance: () => number) {
  const [logs, store] = [disk(), memory({ keep: Retention.latest(2) })];
  for (const operations of lives) {
    const process = logs.start(operations, chance);
    if (await training(process, process.open(store))) return logs;
  }
  const process = logs.start(Infinity, chance);
  assert.ok(await training(process, process.open(store)));
  return logs;
}

/** The points of the only log on a disk. */
function points({ files }: Disk): readonly Point[] {
  assert.deepEqual([...files.keys()], [path]);
  return pointsOf(files.get(path)!);
}

const chances = (numbers: readonly number[]) => {
  let i = 0;
  return () => numbers[i++ % numbers.length] ?? 0;
};

/** Kills a training at each of its operations, or at random ones, and compares its points. */
async function sameCurves(training: (options: Options) => Training, runs: number): Promise<void> {
  const lives = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 });
  const chance = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(lives, chance, options, async (lives, numbers, options) => {
      const whole = points(await untilComplete(training(options), [], () => 0.999));
      assert.ok(whole.length > 0);
      const killed = points(await untilComplete(training(options), lives, chances(numbers)));
      assert.deepEqual(killed, whole);
    }),
    { numRuns: runs },
  );
}

interface Options {
  readonly every: number;
  readonly logEvery: number;
  readonly whenBusy: "wait" | "skip" | "latest";
  readonly hasStep: boolean;
}

const options = fc.record<Options>({
  every: fc.integer({ min: 1, max: 6 }),
  logEvery: fc.integer({ min: 1, max: 3 }),
  whenBusy: fc.constantFrom("wait", "skip", "latest"),
  hasStep: fc.boolean(),
});

const loader = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6, 7]), Loader.shuffle(3), Loader.batch(2), Loader.repeat(3));

function trained({ every, logEvery, whenBusy, hasStep }: Options): Training {
  return async (process, store) => {
    const fresh = { sum: 0, ends: 0, step: hasStep ? 0 : null, cursor: Loader.start(loader) };
    const resumed = await resume(store)(fresh)();
    if (resumed._tag === "Left") return false;
    const done = await train({
      loader,
      step: (state: typeof fresh, batch) => {
        process.live();
        const step = state.step === null ? null : state.step + 1;
        return { ...state, step, sum: state.sum * 1.01 + (batch[0] ?? 0) };
      },
      onEpochEnd: (state) => ({ ...state, ends: state.ends + 1 }),
      metrics: ({ sum, ends }) => ({ sum, ends, ...(ends === 2 && { late: NaN }) }),
      logEvery,
      trackers: [logTo(process.files, path)],
      save: { to: store, every, whenBusy },
    })(resumed.right)();
    return done._tag === "Right";
  };
}

test("same curves: train, killed at any operation", async () => {
  await sameCurves(trained, 12 * torture);
});

/** Kills a training at each of its operations in turn, without and with a loss of power. */
async function killedAtEach(training: Training, operations: number, chances: readonly number[]): Promise<void> {
  const whole = points(await untilComplete(training, [], () => 0.999));
  for (let life = 1; life <= operations; life++) {
    for (const [n, chance] of chances.entries()) {
      if (!isTriedHere(life + n)) continue;
      assert.deepEqual(points(await untilComplete(training, [life], () => chance)), whole, `${life} operations`);
    }
  }
}

test("same curves: train, killed at each operation", async () => {
  await killedAtEach(trained({ every: 3, logEvery: 1, whenBusy: "wait", hasStep: false }), 60, [0, 0.4, 0.999]);
});

const samples = tf.randomNormal([10, 2], 0, 1, "float32", 1);
const targets = tf.randomNormal([10, 1], 0, 1, "float32", 2);

function model(): tf.LayersModel {
  const layer = tf.layers.dense({ units: 1, inputShape: [2], kernelInitializer: "ones" });
  const network = tf.sequential({ layers: [layer] });
  network.compile({ optimizer: tf.train.adam(0.1), loss: "meanSquaredError", metrics: ["mae"] });
  return network;
}

function fitted(by: "fit" | "fitDataset"): (options: Options) => Training {
  return ({ every, logEvery, whenBusy }) => async (process, to) => {
    const options = { to, every, logEvery, whenBusy, trackers: [logTo(process.files, path)] };
    const callbacks = { onBatchEnd: () => process.live(), onEpochEnd: () => process.live() };
    const data = () =>
      tf.data.zip({
        xs: tf.data.array(samples.arraySync() as number[][]),
        ys: tf.data.array(targets.arraySync() as number[][]),
      }).batch(4);
    const done = by === "fit"
      ? await fit(options)(model(), samples, targets, { epochs: 3, batchSize: 3, validationSplit: 0.2, callbacks })()
      : await fitDataset(options)(model(), data() as tf.data.Dataset<tf.TensorContainer>, {
        epochs: 3,
        callbacks,
        verbose: 0,
      })();
    return done._tag === "Right";
  };
}

test("same curves: fit, killed at each operation, also between the last batch of an epoch and its end", async () => {
  await killedAtEach(fitted("fit")({ every: 3, logEvery: 1, whenBusy: "wait", hasStep: false }), 40, [0.999]);
});

test("same curves: fit, killed at any operation", async () => {
  await sameCurves(fitted("fit"), 5 * torture);
});

test("same curves: fitDataset, killed at any operation", async () => {
  await sameCurves(fitted("fitDataset"), 5 * torture);
});

function byHand({ every }: Options): Training {
  return async (process, store) => {
    try {
      let state = await resume(store)({ step: 0, sum: 0 });
      const log = logTo(process.files, path);
      await log.start({ step: state.step });
      while (state.step < 20) {
        process.live();
        state = { step: state.step + 1, sum: state.sum + 1 / (state.step + 1) };
        log.log({ sum: state.sum }, state.step);
        if (state.step % 4 === 0) log.histogram("sums", [state.sum, -1], state.step);
        if (state.step % every !== 0) continue;
        await log.flush();
        await saveState(store)(state);
      }
      await log.close();
      return true;
    } catch {
      return false;
    }
  };
}

test("same curves: a loop by hand, killed at any operation", async () => {
  await sameCurves(byHand, 12 * torture);
});

// --- programs on a disk

const scratch = await mkdtemp(join(tmpdir(), "dogear-curves-"));
after(() => rm(scratch, { recursive: true, force: true }));

/** What TensorBoard shows of a folder: the curves of its first run, and those of another run. */
function curvesOf(folder: string, run: string | undefined): readonly Curves[] {
  const [first, other] = [join(folder, "tensorboard"), join(folder, "tensorboard", `${run?.slice(0, 8)}`)];
  return existsSync(other) ? [curvesIn(first), curvesIn(other)] : [curvesIn(first)];
}

/** The log of a run in a folder, its curves in TensorBoard, and the names of all logs there. */
async function logOf(folder: string, run: string | undefined) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".jsonl")).sort();
  for (const name of names) {
    const bytes = await readFile(join(folder, name));
    const [header] = logReader()(bytes);
    assert.ok(header?.record?._tag === "Header");
    if (header.record.run === run || (header.record.run === null && names.length === 1)) {
      return { points: pointsOf(bytes), names, curves: curvesOf(folder, run) };
    }
  }
  throw new Error(`no log of ${run} among ${names.join(", ")}`);
}

/** Runs a program and kills it, again and again, each time after some batches. Then runs it to its end, and uninterrupted in another folder. */
async function killed(kind: string, folders: readonly [killed: string, whole: string], kills: number) {
  for (let i = 0; i < kills; i++) {
    const after = 1 + Math.floor(Math.random() * 12);
    const child = start([here, there][i % 2]!, "curves.ts", [kind, "2", folders[0]], {
      onLine: (line) => {
        const batches = Number(/^step (\d+)/.exec(line)?.[1]);
        if (batches % after === 0) void setTimeout(Math.random() * 5).then(() => child.kill("SIGKILL"));
      },
    });
    const { code, signal, errors } = await child.ended;
    assert.ok(code === 0 || signal === "SIGKILL", errors);
  }
  const lines = await run([here, there][kills % 2]!, "curves.ts", [kind, "0", ...folders]);
  const runs = lines.flatMap((line) => /^run (.*)/.exec(line)?.[1] ?? []);
  return await Promise.all(folders.map((folder, i) => logOf(folder, runs[i])));
}

for (const [n, kind] of ["train", "fit", "beside", "fitDataset", "fork", "by hand"].entries()) {
  if (!isTriedHere(n)) continue;
  test(`same curves: a program (${kind}), killed ${2 * torture} times`, async () => {
    const folders = [join(scratch, `${kind} killed`), join(scratch, `${kind} whole`)] as const;
    const old = `${headerLine({ run: "old", parent: null })}${valuesLine({ step: 9, time: 1, values: { sum: 1 } })}`;
    for (const folder of kind === "beside" ? folders : []) {
      await mkdir(folder);
      await writeFile(join(folder, "log.jsonl"), old);
    }
    const [found, whole] = await killed(kind, folders, 2 * torture);
    assert.ok(found !== undefined && whole !== undefined && whole.points.length > 20);
    assert.deepEqual(found.points, whole.points);
    assert.ok(whole.curves.every(({ size }) => size > 0) && whole.curves.length === (kind === "fork" ? 2 : 1));
    assert.deepEqual(found.curves, whole.curves);
    // A fork that was killed before its first save is no run.
    if (kind !== "fork") assert.equal(found.names.length, whole.names.length);
    const first = await Promise.all(folders.map((folder) => readFile(join(folder, "log.jsonl"))));
    if (kind === "beside") assert.equal(first.join(""), old + old);
    if (kind === "fork") assert.deepEqual(pointsOf(first[0]!), pointsOf(first[1]!));
  });
}
