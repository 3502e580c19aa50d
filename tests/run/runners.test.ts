/**
 * Saves and loads with any store: capture, results, runs, errors, and what is loaded.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import {
  captureState,
  directory,
  type DogearError,
  type Entry,
  explain,
  id,
  list,
  Loader,
  loadState,
  memory,
  readSnapshot,
  type Report,
  restoreState,
  resume,
  Retention,
  runOrThrow,
  type Saved,
  saver,
  saveState,
  type Store,
  train,
  version,
  writeSnapshot,
} from "../../mod.ts";
import { readManifest } from "../../lib/checkpoint/read.ts";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import type { StoreFailed } from "../../lib/errors/errors.ts";
import type { Manifest } from "../../lib/checkpoint/manifest.ts";
import { type OpenPart, storeFailed } from "../../lib/store/store.ts";
import { here, run, start, there } from "../support/children.ts";
import type { Said } from "../programs/line.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-runners-"));
after(() => rm(scratch, { recursive: true, force: true }));

await tf.setBackend("cpu");

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

async function left(task: TE.TaskEither<DogearError, unknown>): Promise<DogearError> {
  const result = await task();
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

function manifest(store: Store, checkpoint: number): Promise<Manifest> {
  return runOrThrow(readManifest(store, checkpoint));
}

async function steps(store: Store): Promise<readonly (number | null)[]> {
  return (await runOrThrow(list(store))).entries.map(({ step }) => step);
}

/** A store whose saves wait until the test releases them. It counts the saves in flight, and their maximum. */
interface Gate {
  readonly store: Store;
  readonly open: () => void;
  readonly most: () => number;
}

function gated(inner: Store): Gate {
  let [open, underWay, most] = [(): void => {}, 0, 0];
  const opened = new Promise<void>((resolve) => open = resolve);
  const store: Store = {
    ...inner,
    begin: async () => {
      most = Math.max(most, ++underWay);
      await opened;
      const begun = await inner.begin();
      if (begun._tag === "Left") return begun;
      const { commit } = begun.right;
      return E.right({
        ...begun.right,
        commit: (bytes) => async () => {
          const committed = await commit(bytes)();
          underWay--;
          return committed;
        },
      });
    },
  };
  return { store, open, most: () => most };
}

/** A store that fails the saves with these numbers, counted from 0. */
function failing(inner: Store, ...failures: readonly number[]): Store {
  let count = 0;
  return {
    ...inner,
    begin: async () => {
      const save = count++;
      if (failures.includes(save)) return E.left(storeFailed("write", `save ${save}`, "ENOSPC", "no space left"));
      return await inner.begin();
    },
  };
}

// --- capture

test("saveState: captures each time it is run, not when it is built", async () => {
  const store = memory();
  const w = tf.variable(tf.scalar(1));
  const save = saveState(store)({ w, history: [1] });
  w.assign(tf.scalar(2));
  await runOrThrow(save);
  w.assign(tf.scalar(3));
  await runOrThrow(save);
  for (const checkpoint of [0, 1]) {
    const loaded = await runOrThrow(loadState(store, { checkpoint })({ w, history: [] }));
    assert.equal(loaded.w.dataSync()[0], 2 + checkpoint);
  }
});

test("saveState: without await it saves the state at the call, and frees it in the end", async () => {
  const w = tf.variable(tf.tensor([1, 2, 3]));
  const history = [1];
  const { store, open } = gated(memory());
  const saving = saveState(store)({ w, history })();
  w.assign(tf.tensor([4, 5, 6]));
  history.push(2);
  w.dispose();
  open();
  assert.equal((await saving)._tag, "Right");
  using read = await runOrThrow(readSnapshot(store));
  const restored = restoreState(read);
  assert(restored._tag === "Right");
  const { w: saved, ...rest } = restored.right as { readonly w: tf.Variable; readonly history: number[] };
  assert.deepEqual([[...saved.dataSync()], rest.history], [[1, 2, 3], [1]]);
  saved.dispose();
});

test("saveState: saves without await are committed in the order in which they were run", async () => {
  const store = directory(place(), { keep: Retention.latest(1) });
  // Later saves are shorter, so they would finish first.
  const save = (step: number): Promise<Saved> =>
    runOrThrow(saveState(store)({ step, filling: new Uint8Array(step === 11 ? 0 : 400_000 / (step + 1)) }));
  const saved = await Promise.all(Array.from({ length: 12 }, (_, step) => save(step)));
  assert.deepEqual(saved.map(({ step, checkpoint }) => [step, checkpoint]), saved.map((_, i) => [i, i]));
  assert.equal((await runOrThrow(list(store))).entries.at(-1)?.step, 11);
});

test("save: no trace: nothing is held after any save, committed, failed, skipped or replaced", async () => {
  const numDataIds = tf.backend().numDataIds();
  const [w, optimizer] = [tf.tidy(() => tf.variable(tf.tensor([1, 2, 3]))), tf.train.adam()];
  const components = { w, optimizer, step: 1 };
  const before = tf.memory();
  for (const whenBusy of ["wait", "skip", "latest"] as const) {
    const store = failing(memory(), 0, 2);
    const { save, drain } = saver(store, { whenBusy });
    await Promise.all(Array.from({ length: 6 }, () => save(components)()));
    while ((await drain())._tag === "Left");
    assert.deepEqual(tf.memory(), before, whenBusy);
  }
  await saveState(failing(memory(), 0))(components)();
  await runOrThrow(saveState(memory(), { id: true })(components));
  await assert.rejects(saveState(memory())({ ...components, wrong: (() => 1) as unknown })(), TypeError);
  assert.deepEqual(tf.memory(), before);
  w.dispose();
  optimizer.dispose();
  assert.equal(tf.backend().numDataIds(), numDataIds);
});

// --- the result of a save

test("Saved: has number, step, metrics, bytes, seconds, what was removed, and the location", async () => {
  const path = place();
  const store = directory(path, { keep: Retention.latest(1) });
  const state = { w: tf.tensor([1, 2, 3]), step: 7 };
  await runOrThrow(saveState(store)({ ...state, w: tf.tensor([4, 5, 6]) }));
  const progress: number[] = [];
  const saved = await runOrThrow(
    saveState(store, { metrics: { loss: 0.5 }, onProgress: ({ bytes, total }) => progress.push(bytes / total) })(state),
  );
  const { seconds, bytesWritten, bytesTotal, ...rest } = saved;
  const location = join(path, "checkpoints", "checkpoint_1");
  assert.deepEqual(rest, { checkpoint: 1, step: 7, metrics: { loss: 0.5 }, removed: [0], notRemoved: [], location });
  assert.ok(seconds > 0 && seconds < 60);
  const { files } = await manifest(store, 1);
  const bytes = [
    ...await Promise.all(files.map(({ name }) => readFile(join(location, name)))),
    await readFile(join(location, "snapshot.json")),
  ].reduce((sum, { length }) => sum + length, 0);
  assert.deepEqual([bytesWritten, bytesTotal], [bytes, bytes]);
  assert.equal(progress.at(-1), 1);
  assert.deepEqual(progress, progress.toSorted((a, b) => a - b));
});

test("Saved: the step is the option, else the component `step` if it is a number, else null", async () => {
  const store = memory();
  const saves = [
    saveState(store)({ step: 3 }),
    saveState(store, { step: 9 })({ step: 3 }),
    saveState(store)({ other: 3 }),
    saveState(store)({ step: "third" }),
    saveState(store)({ step: NaN }),
    saveState(store)({ step: 3n }),
  ];
  for (const save of saves) await runOrThrow(save);
  assert.deepEqual(await steps(store), [3, 9, null, null, NaN, null]);
});

test("metrics: any numbers under any names come back", async () => {
  const store = memory();
  const metrics = Object.fromEntries([
    ["nan", NaN],
    ["infinity", Infinity],
    ["least", -Infinity],
    ["zero", -0],
    ["tiny", 5e-324],
    ["__proto__", 1],
    ["constructor", 2],
    ["", 3],
    ["ein Maß/\ud800", 0.1],
  ]);
  const saved = await runOrThrow(saveState(store, { metrics })({}));
  const [entry] = (await runOrThrow(list(store))).entries;
  assert.deepEqual(saved.metrics, metrics);
  assert.deepEqual(Object.entries(entry!.metrics), Object.entries(metrics));
});

test("metrics: a metric or step that is not a number is a TypeError before anything is written", async () => {
  const store = memory();
  for (const wrong of [undefined, null, "0.5", 1n, [1], Float32Array.of(1), tf.scalar(1)]) {
    const metrics = { loss: wrong } as unknown as Record<string, number>;
    await assert.rejects(
      async () => await saveState(store, { metrics })({})(),
      /Expected metrics\.loss to be a number/,
    );
    await assert.rejects(async () => await saver(store).save({}, { metrics })(), TypeError);
  }
  await assert.rejects(async () => await saveState(store, { step: "3" as unknown as number })({})(), TypeError);
  assert.deepEqual(await runOrThrow(list(store)), { entries: [], damaged: [] });
});

test("id: is in the manifest only on request", async () => {
  const store = memory();
  const state = { w: tf.tensor([1, 2, 3]), step: 1 };
  await runOrThrow(saveState(store)(state));
  await runOrThrow(saveState(store, { id: true })(state));
  using snapshot = captureState(state);
  assert.equal((await manifest(store, 0)).id, undefined);
  assert.equal((await manifest(store, 1)).id, await id(snapshot)());
});

test("save: what cannot be captured is a TypeError with its path, a released snapshot is Released", async () => {
  const store = memory();
  await assert.rejects(saveState(store)({ a: { b: (() => 1) as unknown } })(), /a\/b/);
  await assert.rejects(saver(store).save({ a: { b: (() => 1) as unknown } })(), /a\/b/);
  const snapshot = captureState({});
  snapshot[Symbol.dispose]();
  assert.deepEqual(await left(writeSnapshot(store)(snapshot)), { _tag: "Released" });
  assert.deepEqual(await runOrThrow(list(store)), { entries: [], damaged: [] });
});

// --- in the background

test("saver: with wait, one save is in flight, the next waits for it, and all are written", async () => {
  for (const waiting of [true, false]) {
    const { store, open, most } = gated(memory());
    const { save, drain } = saver(store);
    const order: string[] = [];
    const saves = [0, 1, 2, 3].map((step) => () => save({ step })().then(() => order.push(`began ${step}`)));
    const first = saves[0]!();
    if (waiting) await first;
    const rest = saves.slice(1).map((save) => save());
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(order, ["began 0"]);
    open();
    await Promise.all(rest);
    const saved = await runOrThrow(drain);
    assert.equal(most(), 1);
    assert.deepEqual(saved.map(({ step }) => step), [0, 1, 2, 3]);
    assert.deepEqual(await steps(store), [0, 1, 2, 3]);
    assert.deepEqual(await runOrThrow(drain), []);
  }
});

test("saver: with skip, a save during another one is not written", async () => {
  const { store, open, most } = gated(memory());
  const { save, drain } = saver(store, { whenBusy: "skip" });
  for (const step of [0, 1, 2]) await runOrThrow(save({ step }));
  open();
  assert.deepEqual((await runOrThrow(drain)).map(({ step }) => step), [0]);
  await runOrThrow(save({ step: 3 }));
  assert.deepEqual((await runOrThrow(drain)).map(({ step }) => step), [3]);
  assert.equal(most(), 1);
});

test("saver: with latest, only the last of the saves during another one is written, as captured", async () => {
  const { store, open, most } = gated(memory());
  const { save, drain } = saver(store, { whenBusy: "latest" });
  const live = { list: [0], step: 0 };
  for (const step of [0, 1, 2, 3]) {
    live.step = step;
    await runOrThrow(save(live, { metrics: { step } }));
    live.list.push(step);
  }
  open();
  assert.deepEqual((await runOrThrow(drain)).map(({ metrics }) => metrics), [{ step: 0 }, { step: 3 }]);
  assert.deepEqual(await runOrThrow(loadState(store)({ list: [], step: 0 })), { list: [0, 0, 1, 2], step: 3 });
  assert.equal(most(), 1);
});

test("saver: an error comes from the next save, which is not written, or from drain; none is lost", async () => {
  const store = memory();
  const { save, drain } = saver(failing(store, 0, 2, 3));
  await runOrThrow(save({ step: 0 }));
  assert.match(explain(await left(save({ step: 1 }))), /save 0.*ENOSPC/);
  for (const step of [2, 3]) await runOrThrow(save({ step }));
  assert.match(explain(await left(drain)), /save 2/);
  assert.deepEqual((await runOrThrow(drain)).map(({ step }) => step), [2]);
  await runOrThrow(save({ step: 4 }));
  assert.match(explain(await left(drain)), /save 3/);
  assert.deepEqual(await runOrThrow(drain), []);
  assert.deepEqual(await steps(store), [2]);
});

test("saver: an error comes from all drains that wait for it, and from no later one", async () => {
  const { save, drain } = saver(failing(memory(), 0));
  await runOrThrow(save({ step: 0 }));
  const drained = await Promise.all([drain(), drain(), drain()]);
  assert.deepEqual(drained.map(({ _tag }) => _tag), ["Left", "Left", "Left"]);
  assert.deepEqual(await runOrThrow(drain), []);
  await runOrThrow(save({ step: 1 }));
  const both = await Promise.all([drain(), drain()]);
  assert.deepEqual(both.map(({ _tag }) => _tag), ["Right", "Right"]);
  const thrower = saver(memory(), {
    onSaved: () => {
      throw new RangeError("the user's own");
    },
  });
  await runOrThrow(thrower.save({ step: 0 }));
  const settled = await Promise.allSettled([thrower.drain(), thrower.drain()]);
  assert.deepEqual(settled.map(({ status }) => status), ["rejected", "rejected"]);
});

test("saver: what onSaved throws comes once, unchanged, from the next save or drain; later saves work", async () => {
  const numDataIds = tf.backend().numDataIds();
  for (const whenBusy of ["wait", "skip", "latest"] as const) {
    const store = memory();
    const w = tf.tidy(() => tf.variable(tf.scalar(1)));
    const cause = new Error("the user's own");
    const onSaved = ({ step }: Saved): void => {
      if (step === 0 || step === 3) throw cause;
    };
    const { save, drain } = saver(store, { whenBusy, onSaved });
    const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
    await runOrThrow(save({ w, step: 0 }));
    await settled();
    await assert.rejects(save({ w, step: 1 })(), cause);
    for (const step of [2, 3]) {
      await runOrThrow(save({ w, step }));
      await settled();
    }
    await assert.rejects(drain(), cause);
    assert.deepEqual((await runOrThrow(drain)).map(({ step }) => step), [0, 2, 3]);
    assert.deepEqual(await steps(store), [0, 2, 3]);
    w.dispose();
    assert.equal(tf.backend().numDataIds(), numDataIds);
  }
});

test("saver: with any outcomes at any pace, each save is written or gives its error once", async () => {
  const outcome = fc.record({ fails: fc.boolean(), waits: fc.boolean() });
  const modes = fc.constantFrom("wait" as const, "latest" as const, "skip" as const);
  await fc.assert(
    fc.asyncProperty(fc.array(outcome, { maxLength: 8 }), modes, async (outcomes, whenBusy) => {
      const store = memory();
      const failures = outcomes.flatMap(({ fails }, i) => fails ? [i] : []);
      let begun = 0;
      const inner = failing(store, ...failures);
      const { save, drain } = saver({ ...inner, begin: () => (begun++, inner.begin()) }, { whenBusy });
      const results: E.Either<DogearError, unknown>[] = [];
      const pending: Promise<unknown>[] = [];
      for (const [step, { waits }] of outcomes.entries()) {
        const saving = save({ step })().then((result) => results.push(result));
        pending.push(saving);
        if (waits) await saving;
      }
      await Promise.all(pending);
      let drained = await drain();
      for (; drained._tag === "Left"; drained = await drain()) results.push(drained);
      const errors = results.flatMap((result) => result._tag === "Left" ? [explain(result.left)] : []);
      assert.equal(new Set(errors).size, errors.length);
      assert.equal(errors.length + drained.right.length, begun);
      assert.equal((await steps(store)).length, drained.right.length);
    }),
    { numRuns: 20 * torture },
  );
});

// --- runs

test("run: a resumed run keeps its name, and each checkpoint records its parent", async () => {
  const path = place();
  const first = directory(path);
  for (const step of [0, 1]) await runOrThrow(saveState(first)({ step }));
  const second = directory(path);
  await runOrThrow(resume(second)({ step: 0 }));
  await runOrThrow(saveState(second)({ step: 2 }));
  const third = directory(path);
  await runOrThrow(loadState(third, { checkpoint: 0 })({ step: 0 }));
  await runOrThrow(saveState(third)({ step: 1 }));
  const manifests = await Promise.all([0, 1, 2, 3].map((checkpoint) => manifest(third, checkpoint)));
  assert.deepEqual(manifests.map(({ parent }) => parent), [null, 0, 1, 0]);
  const [run, ...others] = manifests.map(({ run }) => run);
  assert.deepEqual(others.map((other) => other === run), [true, true, false]);
});

test("run: two runs in one store have two names, and retention of one never removes the other's checkpoints", async () => {
  const path = place();
  // Like two processes, which share only the folder.
  const [a, b] = [1, 2].map((n) => directoryOn({ ...localFileSystem })(path, { keep: Retention.latest(n) })) as [
    Store,
    Store,
  ];
  for (let step = 0; step < 4; step++) {
    await runOrThrow(saveState(a)({ step }));
    await runOrThrow(saveState(b)({ step }));
  }
  const entries = (await runOrThrow(list(directory(path)))).entries;
  assert.deepEqual(entries.map(({ checkpoint, step }) => [checkpoint, step]), [[5, 2], [6, 3], [7, 3]]);
  const [one, other, same] = entries.map(({ run }) => run);
  assert.ok(one === same && one !== other);
  const again = directory(path, { keep: Retention.latest(1) });
  await runOrThrow(resume(again)({ step: 0 }));
  assert.deepEqual((await runOrThrow(saveState(again)({ step: 4 }))).removed, [5, 7]);
  assert.deepEqual((await runOrThrow(list(again))).entries.map(({ run }) => run), [other, one]);
});

test("entries: a policy never gets the entry of an earlier checkpoint with the same number", async () => {
  const store = memory();
  for (const step of [0, 1]) await runOrThrow(saveState(store)({ step }));
  assert.deepEqual(await steps(store), [0, 1]);
  await runOrThrow(store.remove(1));
  await runOrThrow(saveState(store)({ step: 2 }));
  assert.deepEqual(await steps(store), [0, 2]);
});

// --- loading

/** Flips a bit in the last byte of a checkpoint's file. */
async function damage(store: Store, checkpoint: number, name = "snapshot.json"): Promise<void> {
  const path = join(store.locationOf(checkpoint), name);
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
}

test("load: nothing silent: a damaged newest checkpoint is an error that names the older one that verifies", async () => {
  const store = directory(place());
  const live = { w: tf.variable(tf.tensor([0, 0])), step: 0 };
  for (const step of [0, 1, 2, 3]) {
    live.w.assign(tf.tensor([step, step]));
    await runOrThrow(saveState(store)({ ...live, step }));
  }
  await damage(store, 3, "state/w.safetensors");
  await damage(store, 2);
  for (const task of [loadState(store)(live), resume(store)(live), readSnapshot(store)]) {
    const error = await left(task);
    assert(error._tag === "Damaged");
    assert.deepEqual([error.checkpoint, error.older], [3, 1]);
    assert.deepEqual(error.problems.map(({ path, kind }) => [path, kind]), [["state/w.safetensors", "digest"]]);
    assert.match(explain(error), /Checkpoint 1 verifies\. Use it: \{ fallback: true \}/);
  }
  assert.deepEqual([...live.w.dataSync()], [3, 3]);

  const reports: Report[] = [];
  const loaded = await runOrThrow(resume(store, { fallback: true, onReport: (report) => reports.push(report) })(live));
  assert.deepEqual([loaded.step, [...loaded.w.dataSync()]], [1, [1, 1]]);
  assert.equal(loaded.w, live.w);
  const [{ checkpoint, skipped }] = reports as [Report];
  assert.deepEqual([checkpoint, skipped.map(({ checkpoint, error }) => [checkpoint, error._tag])], [
    1,
    [[3, "Damaged"], [2, "Damaged"]],
  ]);

  assert.equal((await runOrThrow(loadState(store, { checkpoint: 0 })(live))).step, 0);
  const older = await left(loadState(store, { checkpoint: 2 })(live));
  assert.deepEqual(older._tag === "Damaged" && [older.checkpoint, older.older], [2, 1]);
  assert.equal((await runOrThrow(saveState(store)({ ...live, step: 9 }))).checkpoint, 4);
  assert.equal((await runOrThrow(resume(store)(live))).step, 9);
});

test("load: nothing silent: a store with only damaged checkpoints is an error, also with fallback", async () => {
  const store = directory(place());
  for (const step of [0, 1]) {
    await runOrThrow(saveState(store)({ step }));
    await damage(store, step);
  }
  for (const options of [{}, { fallback: true }]) {
    const error = await left(resume(store, options)({ step: 0 }));
    assert.deepEqual(error._tag === "Damaged" && [error.checkpoint, error.older], [1, null]);
  }
});

test("load: nothing silent: a checkpoint that does not fit is never skipped, by resume or fallback", async () => {
  const store = memory();
  await runOrThrow(saveState(store)({ step: 0 }));
  await runOrThrow(saveState(store)({ step: 0, more: 1 }));
  for (const options of [{}, { fallback: true }]) {
    const error = await left(resume(store, options)({ step: 0 }));
    assert.deepEqual(error._tag === "Mismatch" && error.problems.map(({ path }) => path), ["more"]);
  }
});

test("load: NoCheckpoint for an empty store, and for an unknown number with the known ones", async () => {
  const path = place();
  const store = directory(path);
  const none = { _tag: "NoCheckpoint", location: path, available: [] };
  assert.deepEqual(await left(loadState(store)({})), none);
  assert.deepEqual(await left(readSnapshot(store)), none);
  assert.deepEqual(await left(resume(store, { checkpoint: 3 })({})), { ...none, checkpoint: 3 });
  await runOrThrow(saveState(store)({}));
  for (const task of [loadState(store, { checkpoint: 3 })({}), resume(store, { checkpoint: 3 })({})]) {
    assert.deepEqual(await left(task), { ...none, checkpoint: 3, available: [0] });
  }
});

test("resume: on an empty store gives the fresh components themselves, without a report or a folder", async () => {
  const path = place();
  const fresh = { step: 0, w: tf.variable(tf.scalar(1)) };
  assert.equal(await runOrThrow(resume(directory(path), { onReport: () => assert.fail() })(fresh)), fresh);
  await assert.rejects(readFile(path), /ENOENT/);
});

test("report: comes before the task resolves, with run, step, metrics and both environments", async () => {
  const path = place();
  await run(there, "line.ts", [`store=${path}`, "save"]);
  const store = directory(path);
  const order: unknown[] = [];
  const loading = readSnapshot(store, { onReport: (report) => order.push(report) });
  const snapshot = await runOrThrow(loading).then((snapshot) => (order.push("resolved"), snapshot));
  snapshot[Symbol.dispose]();
  const [report, resolved] = order as [Report, string];
  assert.equal(resolved, "resolved");
  const { saved, current, run: name, ...rest } = report;
  const parts = { restored: [], kept: [], skipped: [], renamed: [], converted: [] };
  assert.deepEqual(rest, { checkpoint: 0, step: 0, metrics: {}, skipped: [], mayDiffer: [], parts, overridden: [] });
  assert.equal(name, (await manifest(store, 0)).run);
  assert.match(saved.runtime, new RegExp(`^${there} \\d+\\.`));
  assert.match(current.runtime, new RegExp(`^${here} \\d+\\.`));
  for (const environment of [saved, current]) {
    assert.deepEqual({ ...environment, runtime: "" }, { dogear: version, tfjs: "4.22.0", runtime: "", backend: "cpu" });
  }
});

test("load: a checkpoint that is removed during the load is replaced by the newer one", async () => {
  const inner = memory({ keep: Retention.latest(1) });
  for (const step of [0, 1]) await runOrThrow(saveState(inner)({ w: tf.tensor([step]), step }));
  for (const method of ["manifest", "open"] as const) {
    let overtaken = false;
    const overtake = async (): Promise<void> => {
      if (overtaken) return;
      overtaken = true;
      const [step] = await steps(inner);
      await runOrThrow(saveState(inner)({ w: tf.tensor([step! + 1]), step: step! + 1 }));
    };
    const store: Store = {
      ...inner,
      manifest: (n) => async () => {
        if (method === "manifest") await overtake();
        return await inner.manifest(n)();
      },
      open: (n, name) => async () => {
        if (method === "open") await overtake();
        return await inner.open(n, name)();
      },
    };
    const [before] = await steps(inner);
    const loaded = await runOrThrow(loadState(store)({ w: tf.tensor([0]), step: 0 }));
    assert.deepEqual([loaded.step, [...loaded.w.dataSync()]], [before! + 1, [before! + 1]]);
    overtaken = false;
    const [{ checkpoint }] = (await runOrThrow(list(inner))).entries as [Entry];
    assert.match((await left(readSnapshot(store, { checkpoint })))._tag, /^(NoCheckpoint|Damaged)$/);
    overtaken = false;
    const [newest] = await steps(inner);
    assert.deepEqual(await steps(store), [method === "manifest" ? newest! + 1 : newest]);
  }
});

// --- other processes

test("load: old or new: during saves with latest(1), a list or load gives a whole checkpoint, never an older one than before", async () => {
  const path = place();
  const child = start(there, "line.ts", [
    `store=${path}`,
    "keep=1",
    "every=1",
    "pause=1",
    `train=${80 * Math.min(torture, 5)}`,
  ]);
  let over = false;
  void child.ended.then(() => over = true);
  const store = directory(path);
  let [loads, last] = [0, -1];
  while (!over) {
    const read = await readSnapshot(store, {
      onReport: ({ step }) => {
        assert.ok(step !== null && step >= last);
        last = step;
        loads++;
      },
    })();
    if (read._tag === "Right") read.right[Symbol.dispose]();
    else assert.equal(read.left._tag === "NoCheckpoint" && last < 0, true, explain(read.left));
    const newest = (await steps(store)).at(-1) ?? -1;
    assert.ok(newest >= last);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { code, errors } = await child.ended;
  assert.equal(code, 0, errors);
  assert.ok(loads > 5);
});

test("save: two runs that save to one folder at once both finish, with whole checkpoints and unique numbers", async () => {
  const path = place();
  const args = [`store=${path}`, "keep=3", "every=1", "train=40", "show"];
  const outputs = await Promise.all([run(here, "line.ts", args), run(there, "line.ts", args)]);
  const said = outputs.map((lines) => lines.map((text): Said => JSON.parse(text)));
  assert.deepEqual(said[0]!.at(-1), said[1]!.at(-1));
  const numbers = said.flat().flatMap(({ saved }) => saved?.checkpoint ?? []).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: 82 }, (_, i) => i));
  const store = directory(path);
  const entries = (await runOrThrow(list(store))).entries;
  const byRun = Object.values(Object.groupBy(entries, ({ run }) => run)).map((own) => own!.map(({ step }) => step));
  assert.deepEqual(byRun, [[38, 39, 40], [38, 39, 40]]);
  for (const { checkpoint } of entries) (await runOrThrow(readSnapshot(store, { checkpoint })))[Symbol.dispose]();
});

test("save: a run without a tfjs backend is saved, and loads in another process", async () => {
  const path = place();
  await run(there, "cases.ts", ["save", path]);
  const store = directory(join(path, "array, start of epoch 2"));
  const backends: string[] = [];
  using _ = await runOrThrow(readSnapshot(store, { onReport: ({ saved }) => backends.push(saved.backend) }));
  assert.deepEqual(backends, ["none"]);
});

// --- disks

test("save: old or new: a full disk is StoreFailed and loses no checkpoint; later saves work", async () => {
  const keep = Retention.latest(1);
  for (const make of [() => memory({ keep }), () => directory(place(), { keep })]) {
    for (const failure of ["put", "commit"] as const) {
      const inner = make();
      let full = false;
      const store: Store = {
        ...inner,
        location: inner.location,
        begin: async () => {
          const begun = await inner.begin();
          if (begun._tag === "Left" || !full) return begun;
          const saving = begun.right;
          const fail = async (): Promise<E.Either<ReturnType<typeof storeFailed>, never>> => {
            await saving.abort();
            return E.left(storeFailed("write", "the disk", "ENOSPC", "no space left on device"));
          };
          return E.right(failure === "put" ? { ...saving, put: () => fail } : { ...saving, commit: () => fail });
        },
      };
      const w = tf.variable(tf.scalar(0));
      for (const step of [1, 2, 3, 4]) {
        w.assign(tf.scalar(step));
        full = step === 2 || step === 3;
        const saved = await saveState(store)({ w, step })();
        assert.equal(saved._tag, full ? "Left" : "Right");
        if (saved._tag === "Left") {
          assert.match(explain(saved.left), /ENOSPC.*Earlier checkpoints are intact\. Free some space/);
        }
        const loaded = await runOrThrow(loadState(inner)({ w: tf.variable(tf.scalar(0)), step: 0 }));
        assert.deepEqual([loaded.step, loaded.w.dataSync()[0]], full ? [1, 1] : [step, step]);
      }
    }
  }
});

test("save: on a read-only disk it is StoreFailed and changes nothing; loads work", async () => {
  const path = place();
  await runOrThrow(saveState(directory(path))({ step: 1 }));
  const refuse = (path: string): TE.TaskEither<StoreFailed, never> =>
    TE.left(storeFailed("create folder", path, "EROFS", "read-only file system"));
  const store = directoryOn({ ...localFileSystem, makeFolder: refuse, create: refuse, rename: refuse })(path);
  assert.match(explain(await left(saveState(store)({ step: 2 }))), /EROFS.*That file system is read-only/);
  assert.deepEqual(await runOrThrow(resume(store)({ step: 0 })), { step: 1 });
  assert.deepEqual(await steps(store), [1]);
});

test("save: a checkpoint that cannot be removed is reported, and the save succeeds", async () => {
  const inner = memory({ keep: Retention.latest(1) });
  const broken = { ...inner, remove: () => () => Promise.resolve(E.left(storeFailed("remove", "it", "EACCES", "no"))) };
  await runOrThrow(saveState(broken)({ step: 0 }));
  const saved = await runOrThrow(saveState(broken)({ step: 1 }));
  assert.deepEqual([saved.checkpoint, saved.removed], [1, []]);
  assert.deepEqual(saved.notRemoved, [{ checkpoint: 0, reason: "cannot remove it (EACCES): no" }]);
  assert.deepEqual(await steps(inner), [0, 1]);
  assert.equal((await runOrThrow(resume(inner)({ step: 0 }))).step, 1);
});

test("save: components of any name get separate files, all inside the folder", async () => {
  const long = "n".repeat(299);
  const names = [
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "__proto__",
    "constructor",
    "model",
    "Model",
    "MODEL",
    "state/model",
    "snapshot.json",
    "model.safetensors",
    "con",
    " ",
    "=2e=2e",
    "e\u0301",
    "\u00e9",
    "weights \u{1f4be}",
    `${long}a`,
    `${long}b`,
    "\u0000",
    "a\nb",
  ];
  const componentsOf = (value: (i: number) => number): Record<string, unknown> =>
    Object.fromEntries(names.map((name, i) => [name, { w: tf.variable(tf.scalar(value(i))), i: value(i) }]));
  const path = place();
  const store = directory(path);
  await runOrThrow(saveState(store)(componentsOf((i) => i)));
  const live = componentsOf(() => -1);
  const loaded = await runOrThrow(loadState(store)(live));
  assert.deepEqual(Object.keys(loaded), names);
  for (const [i, name] of names.entries()) {
    const { w, i: number } = loaded[name] as { readonly w: tf.Variable; readonly i: number };
    assert.deepEqual([w.dataSync()[0], number], [i, i], name);
  }
  const { files } = await manifest(store, 0);
  assert.equal(new Set(files.map(({ name }) => name.toLowerCase().normalize())).size, names.length);
  for (const { name } of files) assert.match(name, /^(state\/)?[a-z0-9_=-]{1,150}\.safetensors$/);
});

test("load: all or nothing: files are closed after the last read, however the load ends", async () => {
  const inner = memory();
  const weights = tf.zeros([2 ** 23]);
  await runOrThrow(saveState(inner)({ weights }));
  for (const fault of ["none", "read", "progress"]) {
    let [reads, under, most] = [0, 0, 0];
    const store: Store = {
      ...inner,
      open: (checkpoint, name) =>
        TE.map((part: OpenPart): OpenPart => ({
          ...part,
          read: (into, position) => async () => {
            reads++;
            most = Math.max(most, ++under);
            await new Promise((resolve) => setTimeout(resolve, 5));
            const read = await part.read(into, position)();
            under--;
            return fault === "read" && reads > 3
              ? E.left({ _tag: "StoreFailed", operation: "read", path: name, code: "EIO", message: "no" })
              : read;
          },
          close: async () => {
            assert.equal(under, 0, fault);
            await part.close();
          },
        }))(inner.open(checkpoint, name)),
    };
    const onProgress = (): void => {
      if (fault === "progress" && reads > 3) throw new Error("no more");
    };
    const load = loadState(store, { onProgress })({ weights });
    if (fault === "progress") await assert.rejects(load, /no more/);
    else assert.equal((await load())._tag, fault === "none" ? "Right" : "Left");
    assert(most > 1, "one read at a time");
  }
});

// --- saves that a predicate asks for

test("train, save.when: a batch is saved if the predicate on the state after it says so, in addition to every", async () => {
  const loader = Loader.fromArray([5, 3, 4, 2, 6, 1, 1]);
  const initial = { cursor: Loader.start(loader), loss: Infinity, best: Infinity, step: 0 };
  const step = ({ best, step }: typeof initial, loss: number) => ({
    cursor: initial.cursor,
    loss,
    best: Math.min(best, loss),
    step: step + 1,
  });
  const saved = async (save: object): Promise<readonly (number | null)[]> => {
    const store = memory();
    await runOrThrow(train({ loader, step, save: { to: store, ...save } })(initial));
    return (await runOrThrow(list(store))).entries.map(({ step }) => step).filter((step) => step !== 0);
  };
  const isBest = (state: typeof initial): boolean => state.loss === state.best;
  // The end is saved in any case.
  assert.deepEqual(await saved({ when: isBest }), [1, 2, 4, 6, 7]);
  assert.deepEqual(await saved({ when: isBest, every: 3 }), [1, 2, 3, 4, 6, 7]);
  assert.deepEqual(await saved({ when: () => false }), [7]);
});

test("train, save.when: what is no boolean, such as a promise, is a TypeError that names it", async () => {
  const loader = Loader.fromArray([1]);
  const state = { cursor: Loader.start(loader) };
  const when = (() => Promise.resolve(false)) as unknown as () => boolean;
  const task = train({ loader, step: (s: typeof state) => s, save: { to: memory(), when } })(state);
  await assert.rejects(task(), {
    name: "TypeError",
    message: /save\.when to return a boolean, found a promise$/,
  });
});
