/**
 * The checkpoint with the best value of a metric: which one it is, for the library, the command line and retention alike.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import {
  type CheckpointReference,
  directory,
  type DogearError,
  type Entry,
  explain,
  list,
  loadState,
  memory,
  pipe,
  readSnapshot,
  readTensor,
  type Report,
  restoreInto,
  resume,
  Retention,
  runOrThrow,
  saveState,
  type Store,
} from "../../mod.ts";
import { findCheckpoint } from "../../lib/cli/reference.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-best-"));
after(() => rm(scratch, { recursive: true, force: true }));

const lowest = { best: "loss", mode: "min" } as const;

async function left(task: TE.TaskEither<unknown, unknown>): Promise<DogearError> {
  const result = await task();
  return result._tag === "Left" ? result.left as DogearError : assert.fail("Expected a left, found a right");
}

/** A store with a checkpoint for each loss; its step is its number. */
async function saved(losses: readonly number[], store: Store = memory()): Promise<Store> {
  for (const [step, loss] of losses.entries()) await saveState(store, { metrics: { loss, other: 0 } })({ step });
  return store;
}

/** Damages a file of a checkpoint in a directory. */
async function damage({ location }: Store, checkpoint: number, name: string): Promise<void> {
  const path = join(location, "checkpoints", `checkpoint_${checkpoint}`, name);
  const bytes = await readFile(path);
  bytes[bytes.length - 3]! ^= 1;
  await writeFile(path, bytes);
}

const losses = fc.array(fc.constantFrom(NaN, 1, 2, 0, -0, Infinity, -Infinity, 1e-9), { minLength: 1, maxLength: 8 });

test("best: what is loaded is what Retention.best keeps, NaN never, of equals the newest", async () => {
  await fc.assert(
    fc.asyncProperty(losses, fc.constantFrom("min", "max"), async (values, mode) => {
      const store = await saved(values);
      const { entries } = await list(store);
      const checkpoint = { best: "loss", mode };
      if (values.every(Number.isNaN)) {
        assert.equal((await left(loadState(store, { checkpoint })({ step: -1 })))._tag, "NoCheckpoint");
        return;
      }
      const { step } = await loadState(store, { checkpoint })({ step: -1 });
      const sign = mode === "min" ? 1 : -1;
      const best = values.filter((value) => !Number.isNaN(value)).sort((a, b) =>
        a === b ? 0 : a < b ? -sign : sign
      )[0]!;
      assert.equal(step, values.findLastIndex((value) => value === best));
      const kept = Retention.best(1, "loss", mode)(entries, 0).keep;
      assert.deepEqual(kept, [...new Set([step, values.length - 1])]);
      // The best of those that retention keeps is the best of all.
      const few = Retention.best(2, "loss", mode)(entries, 0).keep.map((n) => entries[n] as Entry);
      assert.deepEqual(Retention.best(1, "loss", mode)(few, 0).keep, kept);
    }),
    { numRuns: 40 },
  );
});

test("best: the command line finds the same checkpoint", async () => {
  const location = join(scratch, "cli");
  await saved([3, 1, 1, 2, NaN], directory(location));
  const checkpoint = { metric: "loss", mode: "min" } as const;
  const found = await runOrThrow(findCheckpoint({ text: "", run: location, checkpoint }));
  assert.equal(found.checkpoint, 2);
  assert.equal((await loadState(directory(location), { checkpoint: lowest })({ step: 0 })).step, 2);
});

test("best: only checkpoints of the run of the newest count", async () => {
  const store = await saved([0, 1], directory(join(scratch, "runs")));
  await saveState(store, { fork: true, metrics: { loss: 9 } })({ step: 2 });
  const checkpoint = { metric: "loss", mode: "min" } as const;
  assert.equal((await runOrThrow(findCheckpoint({ text: "", run: store.location, checkpoint }))).checkpoint, 2);
  assert.deepEqual(await loadState(store, { checkpoint: lowest })({ step: 0 }), { step: 2 });
});

test("best: loading one that is not the newest begins a new run, as loading by number does; reading does not", async () => {
  for (const checkpoint of [lowest, 1] satisfies CheckpointReference[]) {
    const store = await saved([2, 1, 3]);
    const runs = async (): Promise<readonly string[]> => (await list(store)).entries.map(({ run }) => run);
    await readSnapshot(store, { checkpoint });
    await saveState(store)({ step: 3 });
    assert.equal(new Set(await runs()).size, 1);
    await loadState(store, { checkpoint })({ step: 0 });
    await saveState(store)({ step: 2 });
    const [first, ...others] = await runs();
    assert.deepEqual(others.map((run) => run === first), [true, true, true, false]);
  }
  const store = await saved([2, 1]);
  await loadState(store, { checkpoint: lowest })({ step: 0 });
  await saveState(store)({ step: 2 });
  assert.equal(new Set((await list(store)).entries.map(({ run }) => run)).size, 1);
});

test("best: readTensor reads its tensors", async () => {
  const store = memory();
  for (const loss of [2, 1, 3]) await saveState(store, { metrics: { loss } })({ w: Float32Array.of(loss) });
  const { values } = await readTensor(store, { path: "w", checkpoint: lowest });
  assert.deepEqual(values, Float32Array.of(1));
  const checkpoint = { best: "los", mode: "min" } as const;
  assert.equal((await left(readTensor(store, { path: "w", checkpoint })))._tag, "NoCheckpoint");
});

test("best: a snapshot of it is restored into live components", async () => {
  const store = await saved([2, 1, 3]);
  const restored = await runOrThrow(
    pipe(readSnapshot(store, { checkpoint: lowest }), TE.flatMapIOEither(restoreInto({ step: 0 }))),
  );
  assert.deepEqual(restored, { step: 1 });
});

test("best: resume takes the fresh components if the store is empty, and only then", async () => {
  const fresh = { step: 0 };
  const store = memory();
  assert.equal(await resume(store, { checkpoint: lowest })(fresh), fresh);
  assert.equal((await left(resume(store, { checkpoint: 0 })(fresh)))._tag, "NoCheckpoint");
  await saveState(store)({ step: 1 });
  assert.equal((await left(resume(store, { checkpoint: lowest })(fresh)))._tag, "NoCheckpoint");
});

test("best: a metric that no checkpoint has is an error with those there are", async () => {
  const store = await saved([1, 2]);
  const reference = { best: "los", mode: "min" } as const;
  for (const load of [loadState, resume]) {
    const error = await left(load(store, { checkpoint: reference })({ step: 0 }));
    assert.deepEqual(error, {
      _tag: "NoCheckpoint",
      location: "memory",
      available: [0, 1],
      metric: { name: "los", available: ["loss", "other"] },
    });
    assert.equal(
      explain(error),
      'No checkpoint in the newest run of memory has the metric "los". They have "loss", "other"',
    );
  }
  const bare = memory();
  await saveState(bare)({ step: 0 });
  const error = await left(readSnapshot(bare, { checkpoint: reference }));
  assert.match(explain(error), /They were saved without metrics$/);
  assert.match(explain(await left(readSnapshot(memory(), { checkpoint: reference }))), /holds no checkpoint/);
});

for (const name of ["state/w.safetensors", "snapshot.json"]) {
  test(`best: if ${name} of it is damaged, that is an error, or with fallback the next best is loaded`, async () => {
    const store = directory(join(scratch, name.slice(-4)));
    for (const [step, loss] of [2, 3, 1, 4].entries()) {
      await saveState(store, { metrics: { loss } })({ step, w: Float32Array.of(step) });
    }
    await damage(store, 2, name);
    const again = directory(store.location);
    const live = { step: 0, w: Float32Array.of(0) };
    const error = await left(loadState(again, { checkpoint: lowest })(live));
    assert.ok(error._tag === "Damaged" && error.checkpoint === 2 && error.older === 0, JSON.stringify(error));
    let report: Report | undefined;
    const onReport = (found: Report): void => void (report = found);
    const state = await loadState(again, { checkpoint: lowest, fallback: true, onReport })(live);
    assert.equal(state.step, 0);
    assert.deepEqual(report?.skipped.map(({ checkpoint }) => checkpoint), [2]);
    await damage(store, 0, "state/w.safetensors");
    await damage(store, 1, "state/w.safetensors");
    await damage(store, 3, "state/w.safetensors");
    const none = await left(loadState(again, { checkpoint: lowest, fallback: true })(live));
    assert.ok(none._tag === "Damaged" && none.older === null, JSON.stringify(none));
  });
}

test("best: with fallback, damaged manifests are the error if no checkpoint with the metric can be read", async () => {
  const store = directory(join(scratch, "manifests"));
  for (const metrics of [{}, { loss: 1 }]) await saveState(store, { metrics })({ step: 1 });
  for (const checkpoint of [1, 0]) {
    await damage(store, checkpoint, "snapshot.json");
    const again = directory(store.location);
    const error = await left(loadState(again, { checkpoint: lowest, fallback: true })({ step: 0 }));
    assert.equal(error._tag, "Damaged", `${checkpoint}: ${JSON.stringify(error)}`);
  }
});

test("best: a reference of a wrong form is a TypeError at the call", () => {
  const forms: readonly (readonly [unknown, RegExp])[] = [
    [{ best: "loss" }, /Expected checkpoint\.mode to be .+, found no such field/],
    [{ mode: "min" }, /Expected checkpoint\.best to be .+, found no such field/],
    [{ best: "loss", mode: "least" }, /Expected checkpoint\.mode to be "min" or "max", found "least"/],
    [{ best: "", mode: "min" }, /Expected checkpoint\.best to be a string that is not empty/],
    [{ best: "loss", mode: "min", last: 1 }, /Expected no field "last" in checkpoint/],
    ["best", /Expected checkpoint to be the number of a checkpoint, or \{ best, mode \}.*, found "best"/],
    [-1, /Expected checkpoint to be the number of a checkpoint, or \{ best, mode \}.*, found -1/],
  ];
  for (const [checkpoint, message] of forms) {
    for (const load of [loadState, resume, readSnapshot] as readonly ((store: Store, options: object) => unknown)[]) {
      assert.throws(
        () => load(memory(), { checkpoint }),
        (error) => error instanceof TypeError && message.test(error.message),
      );
    }
  }
});
