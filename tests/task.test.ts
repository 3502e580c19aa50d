/**
 * Laws of tasks: awaiting one is running it, each await runs it anew, and nothing runs when it is only built.
 *
 * @module
 */
import {
  captureState,
  diff,
  fit,
  fitDataset,
  id,
  list,
  Loader,
  loadModel,
  loadState,
  memory,
  pipe,
  plan,
  prune,
  readSnapshot,
  readTensor,
  release,
  restoreInto,
  resume,
  Retention,
  runOrThrow,
  saver,
  saveState,
  setLearningRate,
  train,
  writeSnapshot,
} from "@dogear/dogear";
import { fromCsv, fromFolder, fromJsonLines, fromLines, fromNpy, fromParquet } from "@dogear/dogear/data";
import { proveResume } from "@dogear/dogear/prove";
import * as tf from "@tensorflow/tfjs";
import * as A from "fp-ts/lib/Array.js";
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { awaitable } from "../lib/task.ts";

const missing = "/nonexistent/dogear";

/** Every effect of every entry, built and not run. */
function everyEffect(): readonly (readonly [name: string, effect: PromiseLike<unknown> & (() => unknown)])[] {
  const [store, snapshot, optimizer] = [memory(), captureState({ step: 1 }), tf.train.sgd(0.1)];
  const loader = pipe(Loader.fromArray([1, 2]), Loader.batch(1));
  const state = { cursor: Loader.start(loader) };
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
  const [x, saving] = [tf.ones([2, 1]), saver(store)];
  const dataset = tf.data.array([1, 2]).map((n) => ({ xs: [n], ys: [n] })).batch(1);
  return [
    ["saveState", saveState(store)({ step: 1 })],
    ["loadState", loadState(store)({ step: 1 })],
    ["resume", resume(store)({ step: 1 })],
    ["readSnapshot", readSnapshot(store)],
    ["loadModel", loadModel(store)],
    ["readTensor", readTensor(store, { path: "step" })],
    ["writeSnapshot", writeSnapshot(store)(snapshot)],
    ["list", list(store)],
    ["plan", plan(store)(Retention.latest(1))],
    ["prune", prune(store)({ _tag: "Plan", keep: [], remove: [], verified: [], notes: [] })],
    ["train", train({ loader, step: (s: typeof state) => s })(state)],
    ["fit", fit({ to: store })(model, x, x, { verbose: 0 })],
    ["fitDataset", fitDataset({ to: store })(model, dataset, { epochs: 1, verbose: 0 })],
    ["save of saver", saving.save({ step: 1 })],
    ["drain of saver", saving.drain],
    ["busy of saver", saving.busy],
    ["id", id(snapshot)],
    ["diff", diff(snapshot, snapshot)],
    ["restoreInto", restoreInto({ step: 0 })(snapshot)],
    ["release", release(snapshot)],
    ["setLearningRate", setLearningRate(optimizer, 1)],
    ["proveResume", proveResume({ loader, fresh: () => state, step: (s: typeof state) => s })],
    ["fromLines", fromLines(missing)],
    ["fromJsonLines", fromJsonLines(missing)],
    ["fromCsv", fromCsv(missing)],
    ["fromNpy", fromNpy(missing)],
    ["fromFolder", fromFolder(missing)],
    ["fromParquet", fromParquet(missing)],
  ];
}

test("task: every effect of every entry can be called and awaited", async () => {
  for (const [name, effect] of everyEffect()) {
    assert.equal(typeof effect, "function", name);
    assert.equal(typeof effect.then, "function", name);
    assert.ok(!Object.keys(effect).includes("then"), `${name}: then is not listed`);
  }
  const [store, optimizer] = [memory(), tf.train.adam(0.1)];
  assert.equal((await saveState(store)({ step: 1 })).checkpoint, 0);
  assert.deepEqual(await loadState(store)({ step: 0 }), { step: 1 });
  assert.equal((await list(store)).entries.length, 1);
  await setLearningRate(optimizer, 0.5);
  assert.equal((optimizer as unknown as { learningRate: number }).learningRate, 0.5);
  const snapshot = captureState({ a: 1 });
  assert.deepEqual(await restoreInto({ a: 2 })(snapshot), { a: 1 });
  assert.equal(await id(snapshot), await id(snapshot)());
  assert.deepEqual(await diff(snapshot, snapshot), []);
  await release(snapshot);
  await assert.rejects(async () => await restoreInto({ a: 2 })(snapshot), /released/);
});

test("task: awaiting is runOrThrow, for values, lefts and exceptions", async () => {
  const left = { _tag: "NoCheckpoint", location: "runs/x", available: [] } as const;
  const boom = new RangeError("boom");
  const tasks: readonly TE.TaskEither<unknown, unknown>[] = [
    TE.right(1),
    TE.right(undefined),
    TE.right({ _tag: "Left", left: 1 }),
    TE.left(left),
    TE.left(boom),
    TE.left("text"),
    () => Promise.reject(boom),
    () => {
      throw boom;
    },
  ];
  const outcome = (run: () => PromiseLike<unknown>) =>
    (async () => await run())().then((value) => ({ value }), (thrown: Error) => ({
      thrown: thrown.constructor,
      message: thrown.message,
      cause: thrown.cause,
    }));
  for (const task of tasks) {
    assert.deepEqual(await outcome(() => awaitable(task)), await outcome(() => runOrThrow(task)));
  }
});

test("task: nothing runs when it is only built, each call and each await runs it anew", async () => {
  let runs = 0;
  const task = awaitable(() => Promise.resolve(E.right(++runs)));
  await new Promise((done) => setTimeout(done));
  assert.equal(runs, 0);
  assert.deepEqual([await task, await task, await task()], [1, 2, E.right(3)]);
  const store = memory();
  for (const [, effect] of everyEffect()) void effect;
  const save = saveState(store)({ step: 1 });
  assert.equal((await list(store)).entries.length, 0);
  await save;
  await save;
  assert.equal((await list(store)).entries.length, 2);
});

test("task: what a combinator returns is a plain function, which runOrThrow runs and await does not", async () => {
  const store = memory();
  const pipeline = pipe(saveState(store)({ step: 1 }), TE.map(({ step }) => step));
  assert.equal(await pipeline, pipeline);
  assert.equal((await list(store)).entries.length, 0);
  assert.equal(await runOrThrow(pipeline), 1);
});

test("task: it composes with fp-ts and with promises", async () => {
  const store = memory();
  const state = await pipe(
    saveState(store)({ step: 1 }),
    TE.flatMap(() => saveState(store)({ step: 2 })),
    TE.flatMap(() => loadState(store)({ step: 0 })),
    runOrThrow,
  );
  assert.deepEqual(state, { step: 2 });
  const saves = await Promise.all([saveState(store)({ step: 3 }), saveState(store)({ step: 4 })]);
  assert.deepEqual(saves.map(({ checkpoint }) => checkpoint), [2, 3]);
  const sequence = A.sequence(TE.ApplicativeSeq)([saveState(store)({ step: 5 }), saveState(store)({ step: 6 })]);
  assert.deepEqual((await runOrThrow(sequence)).map(({ checkpoint }) => checkpoint), [4, 5]);
  const notation = pipe(
    TE.Do,
    TE.bind("saved", () => saveState(store)({ step: 7 })),
    TE.bindW("loaded", ({ saved: { checkpoint } }) => loadState(store, { checkpoint })({ step: 0 })),
  );
  assert.deepEqual((await runOrThrow(notation)).loaded, { step: 7 });
});

test("task: what is thrown has the sentence, the error, the exception of the user and his line", async () => {
  const loader = pipe(Loader.fromArray([1]), Loader.batch(1));
  const broken = train({
    loader,
    step: (): { cursor: Loader.Cursor } => {
      throw new RangeError("mine");
    },
  });
  const thrown = await (async () => await broken({ cursor: Loader.start(loader) }))().catch((error: Error) => error);
  assert.ok(thrown instanceof Error);
  assert.match(thrown.message, /step failed after 0 batches: RangeError: mine/);
  const { _tag, cause } = thrown.cause as { readonly _tag: string; readonly cause: unknown };
  assert.equal(_tag, "StepFailed");
  assert.ok(cause instanceof RangeError);
  async function userFunction(): Promise<unknown> {
    return await loadState(memory())({ step: 0 });
  }
  const missed = await userFunction().catch((error: Error) => error);
  assert.match(String((missed as Error).stack), /holds no checkpoint[^]*userFunction/);
});
