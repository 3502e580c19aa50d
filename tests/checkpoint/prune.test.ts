/**
 * Pruning: with any policy, damage and runs, a plan lists what is removed, and each run keeps its last checkpoint that verifies.
 */
import assert from "node:assert/strict";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import {
  directory,
  type Entry,
  list,
  loadState,
  memory,
  type Plan,
  plan,
  prune,
  type Removal,
  Retention,
  runOrThrow,
  saveState,
  type Store,
} from "../../mod.ts";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../lib/store/directory/file_system.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { retain } from "../../lib/checkpoint/prune.ts";
import { type LocationState, newLocationState } from "../../lib/store/location.ts";
import { currentRun, setCurrentRun } from "../../lib/checkpoint/current_run.ts";
import { storeFailed } from "../../lib/store/store.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-pruning-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

// --- stores with damage

type Damage = "none" | "bytes" | "manifest" | "newer";

/** The same store, some of whose checkpoints are not what was committed. */
function damaged(store: Store, damages: ReadonlyMap<number, Damage>): Store {
  return {
    ...store,
    manifest: (checkpoint) =>
      pipe(
        store.manifest(checkpoint),
        TE.map((bytes) => {
          if (damages.get(checkpoint) === "manifest") bytes[bytes.length >> 1]! ^= 1;
          if (damages.get(checkpoint) === "newer") return new TextEncoder().encode('{"format":"dogear/2"}');
          return bytes;
        }),
      ),
    open: (checkpoint, name) =>
      pipe(
        store.open(checkpoint, name),
        TE.map((part) => ({
          ...part,
          read: (into: Uint8Array, position: number) =>
            pipe(
              part.read(into, position),
              TE.map(() => {
                if (damages.get(checkpoint) === "bytes" && into.length > 0) into[into.length - 1]! ^= 1;
              }),
            ),
        })),
      ),
  };
}

interface Made {
  readonly run: number;
  readonly step: number;
  readonly loss: number;
  readonly damage: Damage;
}

/** A store of these checkpoints, and the names of its runs. */
async function storeOf(all: readonly Made[]): Promise<{ readonly store: Store; readonly runs: readonly string[] }> {
  const base = memory();
  // As if of two processes, each with a run of its own.
  const values = [newLocationState(), newLocationState()].map((state) => ({ ...base, place: () => state }));
  for (const { run, step, loss } of all) {
    const store = values[run]!;
    await runOrThrow(saveState(store, { metrics: { loss } })({ w: Float32Array.of(step, loss), step }));
    // As if it had been loaded by who counts anew: the steps may come in any order.
    setCurrentRun(store, { ...currentRun(store)!, step: null });
  }
  const entries = (await runOrThrow(list(base))).entries;
  const runs = [0, 1].map((run) => entries[all.findIndex((one) => one.run === run)]?.run ?? "none");
  return { store: damaged({ ...base }, new Map(all.map(({ damage }, n) => [n, damage]))), runs };
}

const damages = fc.oneof(
  { weight: 3, arbitrary: fc.constant("none" as const) },
  { weight: 2, arbitrary: fc.constant("bytes" as const) },
  fc.constantFrom("manifest" as const, "newer" as const),
);
const someMade = fc.array(
  fc.record({ run: fc.nat(1), step: fc.nat(9), loss: fc.constantFrom(0, 1, 2, NaN), damage: damages }),
  { maxLength: 9 },
);
/** Keeps the given checkpoints, possibly none. */
const own = (kept: readonly number[]): Retention.Retention => (catalogue) => ({
  keep: catalogue.map(({ checkpoint }) => checkpoint).filter((n) => kept.includes(n)),
  remove: catalogue.map(({ checkpoint }) => checkpoint).filter((n) => !kept.includes(n)),
});
const somePolicy: fc.Arbitrary<Retention.Retention> = fc.oneof(
  fc.integer({ min: 1, max: 4 }).map(Retention.latest),
  fc.integer({ min: 1, max: 3 }).map((n) => Retention.best(n, "loss", "min")),
  fc.integer({ min: 1, max: 4 }).map(Retention.every),
  fc.subarray([0, 1, 2, 3, 4, 5, 6, 7, 8]).map(own),
);

/** What is to go, said in another way than the code does. */
function model(all: readonly Made[], entries: readonly Entry[], policy: Retention.Retention, run?: number): number[] {
  const readable = (n: number): boolean => all[n]!.damage === "none" || all[n]!.damage === "bytes";
  return [0, 1].filter((one) => run === undefined || one === run).flatMap((one) => {
    const mine = entries.filter(({ checkpoint }) => readable(checkpoint) && all[checkpoint]!.run === one);
    const refused = policy(mine, 0).remove.filter((n) => n !== mine.at(-1)?.checkpoint);
    const whole = mine.map(({ checkpoint }) => checkpoint).filter((n) => all[n]!.damage === "none");
    if (whole.some((n) => !refused.includes(n))) return refused;
    const spared = Math.max(...whole);
    return whole.length === 0 ? [] : refused.filter((n) => n !== spared);
  }).sort((a, b) => a - b);
}

// --- laws

test("plan: lists what the policy removes, never the last checkpoint of a run that verifies", async () => {
  await fc.assert(
    fc.asyncProperty(someMade, somePolicy, fc.option(fc.nat(1), { nil: undefined }), async (all, policy, run) => {
      const { store, runs } = await storeOf(all);
      const before = all.map((_, n) => n);
      const entries = before.map((checkpoint): Entry => ({
        checkpoint,
        step: all[checkpoint]!.step,
        metrics: { loss: all[checkpoint]!.loss },
        time: 0,
        bytes: 0,
        run: "",
      }));
      const expected = model(all, entries, policy, run);
      const planned = await runOrThrow(plan(store, run === undefined ? {} : { run: runs[run]! })(policy));
      const going = planned.remove.map(({ checkpoint }) => checkpoint);
      assert.deepEqual(going, expected);
      assert.deepEqual(planned.keep.map(({ checkpoint }) => checkpoint), before.filter((n) => !going.includes(n)));
      assert.deepEqual(await runOrThrow(store.list), before);
      assert.deepEqual(await runOrThrow(prune(store)(planned)), expected);
      assert.deepEqual(await runOrThrow(store.list), before.filter((n) => !expected.includes(n)));
      for (const one of [0, 1]) {
        const whole = before.filter((n) => all[n]!.run === one && all[n]!.damage === "none");
        assert.ok(
          whole.length === 0 || whole.some((n) => !expected.includes(n)),
          `run ${one} has nothing left that verifies`,
        );
      }
    }),
    { numRuns: 100 * torture },
  );
});

test("plan: says why each checkpoint is kept", async () => {
  const all = (["none", "manifest", "bytes", "none", "bytes"] as const).map((damage, n) => ({
    run: n === 3 ? 1 : 0,
    step: n,
    loss: 0,
    damage,
  }));
  const { store, runs } = await storeOf(all);
  const why = async (policy: Retention.Retention, run?: string): Promise<readonly unknown[]> => {
    const { keep, remove } = await runOrThrow(plan(store, run === undefined ? {} : { run })(policy));
    return [...keep.map(({ checkpoint, why }) => [checkpoint, why]), ...remove.map(({ checkpoint }) => checkpoint)];
  };
  assert.deepEqual(await why(Retention.latest(1)), [
    [0, "verifies"],
    [1, "unreadable"],
    [3, "policy"],
    [4, "policy"],
    2,
  ]);
  assert.deepEqual(await why(own([])), [[0, "verifies"], [1, "unreadable"], [3, "newest"], [4, "newest"], 2]);
  assert.deepEqual(await why(own([2]), runs[0]), [
    [0, "verifies"],
    [1, "unreadable"],
    [2, "policy"],
    [3, "another run"],
    [4, "newest"],
  ]);
  const ruined = await storeOf(all.map((one, n) => ({ ...one, damage: n === 3 ? "none" : "bytes" })));
  const { keep, remove } = await runOrThrow(plan(ruined.store)(Retention.latest(1)));
  assert.deepEqual(keep.map(({ why }) => why), ["none verifies", "none verifies", "none verifies", "policy", "policy"]);
  assert.deepEqual(remove, []);
});

test("prune: removes nothing if a checkpoint that the plan keeps no longer verifies", async () => {
  const { store } = await storeOf([0, 1, 2].map((step) => ({ run: 0, step, loss: 0, damage: "none" })));
  const planned = await runOrThrow(plan(store)(Retention.latest(1)));
  for (const damage of ["bytes", "manifest", "newer"] as const) {
    const result = await prune(damaged(store, new Map([[2, damage]])))(planned)();
    assert.ok(E.isLeft(result) && result.left._tag === (damage === "newer" ? "NewerFormat" : "Damaged"));
  }
  await runOrThrow(store.remove(2));
  const gone = await prune(store)(planned)();
  assert.ok(E.isLeft(gone) && gone.left._tag === "NoCheckpoint");
  assert.deepEqual(await runOrThrow(store.list), [0, 1]);
});

test("prune: a plan without a verified checkpoint to keep is a TypeError", async () => {
  const { store } = await storeOf([0, 1].map((step) => ({ run: 0, step, loss: 0, damage: "none" })));
  const planned = await runOrThrow(plan(store)(Retention.latest(1)));
  const forged: readonly Plan[] = [
    { ...planned, verified: [] },
    { ...planned, verified: planned.remove },
    { ...planned, remove: [...planned.remove, ...planned.verified] },
  ];
  for (const one of forged) assert.throws(() => prune(store)(one), TypeError);
  assert.deepEqual(await runOrThrow(store.list), [0, 1]);
});

test("prune: keeps a checkpoint of another run that reused a number", async () => {
  const path = place();
  const store = directory(path);
  for (const step of [0, 1, 2]) await runOrThrow(saveState(store)({ step }));
  const planned = await runOrThrow(plan(store)(Retention.latest(1)));
  const other = directory(place());
  await runOrThrow(saveState(other)({ step: 9 }));
  await runOrThrow(store.remove(0));
  await cp(other.locationOf(0), store.locationOf(0), { recursive: true });
  assert.deepEqual(await runOrThrow(prune(store)(planned)), [1]);
  assert.deepEqual((await runOrThrow(list(directory(path)))).entries.map(({ step }) => step), [9, 2]);
});

// --- readers

/** A disk that does something before one of its operations that look at files. */
function interrupted(at: number, act: () => Promise<unknown>): FileSystem & { readonly count: () => number } {
  let count = 0;
  const before = <A>(task: TE.TaskEither<never, A> | TE.TaskEither<unknown, A>): typeof task => async () => {
    if (count++ === at) await act();
    return await task() as never;
  };
  return {
    ...localFileSystem,
    status: (path) => before(localFileSystem.status(path)) as ReturnType<FileSystem["status"]>,
    names: (path) => before(localFileSystem.names(path)) as ReturnType<FileSystem["names"]>,
    open: (path) =>
      pipe(
        before(localFileSystem.open(path)) as ReturnType<FileSystem["open"]>,
        TE.map((file) => ({
          ...file,
          read: (into: Uint8Array, position: number) =>
            before(file.read(into, position)) as ReturnType<typeof file.read>,
        })),
      ),
    count: () => count,
  };
}

test("load: a checkpoint removed at any moment is loaded whole, reported as gone, or replaced by a newer one", async () => {
  const begin = async (): Promise<string> => {
    const path = place();
    const store = directory(path);
    for (const step of [0, 1]) {
      await runOrThrow(saveState(store)({ a: Float32Array.of(step), b: Float32Array.of(step), step }));
    }
    return path;
  };
  for (const asked of [{ checkpoint: 0 }, {}]) {
    for (let at = 0;; at++) {
      const path = await begin();
      const disk = interrupted(at, async () => {
        const store = directory(path);
        if ("checkpoint" in asked) {
          const planned = await runOrThrow(plan(store)(Retention.latest(1)));
          assert.deepEqual(await runOrThrow(prune(store)(planned)), [0]);
          return;
        }
        const going = directory(path, { keep: Retention.latest(1) });
        await runOrThrow(loadState(going)({ a: new Float32Array(1), b: new Float32Array(1), step: 9 }));
        const saved = await runOrThrow(saveState(going)({ a: Float32Array.of(2), b: Float32Array.of(2), step: 2 }));
        assert.deepEqual(saved.removed, [0, 1]);
      });
      const live = { a: Float32Array.of(7), b: Float32Array.of(7), step: 7 };
      const loaded = await loadState(directoryOn(disk)(path), asked)(live)();
      if (disk.count() <= at) break;
      if (E.isRight(loaded)) {
        const { a, b, step } = loaded.right;
        assert.deepEqual([a[0], b[0]], [step, step]);
        assert.ok("checkpoint" in asked ? step === 0 : step === 1 || step === 2);
      } else {
        assert.ok("checkpoint" in asked && loaded.left._tag === "NoCheckpoint", JSON.stringify(loaded.left));
        assert.deepEqual(loaded.left.available, [1]);
      }
      assert.deepEqual(live, { a: Float32Array.of(7), b: Float32Array.of(7), step: 7 });
    }
  }
});

test("retention: keeps the checkpoint of the save, whatever the policy decides and whatever is damaged", async () => {
  await fc.assert(
    fc.asyncProperty(someMade, somePolicy, async (all, keep) => {
      const { store } = await storeOf(all.map((one) => ({ ...one, run: 0 })));
      const saving = { ...store, keep };
      if (all.some(({ damage }) => damage === "none" || damage === "bytes")) {
        await loadState(saving, { fallback: true })({ w: new Float32Array(2), step: 0 })();
      }
      const { checkpoint, removed } = await runOrThrow(saveState(saving)({ w: new Float32Array(2), step: 99 }));
      assert.ok(!removed.includes(checkpoint));
      assert.deepEqual((await runOrThrow(loadState(saving)({ w: new Float32Array(2), step: 0 }))).step, 99);
      const left = await runOrThrow(store.list);
      for (const [n, { damage }] of all.entries()) {
        if (damage === "manifest" || damage === "newer") assert.ok(left.includes(n), "what cannot be read stays");
      }
    }),
    { numRuns: 60 * torture },
  );
});

test("retention: a policy that keeps nothing removes neither the new checkpoint nor one of another process after it", async () => {
  const store = memory({ keep: (catalogue) => ({ keep: [], remove: catalogue.map(({ checkpoint }) => checkpoint) }) });
  const { keep: _, ...keeping } = store;
  for (const step of [1, 2, 3]) await runOrThrow(saveState(keeping)({ step }));
  const { entries } = await runOrThrow(list(store));
  assert.deepEqual(await retain(store, store.keep!, entries, 1), { removed: [0], notRemoved: [], notes: [] });
  assert.deepEqual((await runOrThrow(list(store))).entries.map(({ checkpoint }) => checkpoint), [1, 2]);
});

test("retention: a checkpoint that cannot be removed is reported, others are removed, and the next save tries again", async () => {
  const inner = memory({ keep: Retention.latest(1) });
  const stuck = new Set<number>();
  const store: Store = {
    ...inner,
    remove: (n) => stuck.has(n) ? TE.left(storeFailed("remove", `it_${n}`, "EBUSY", "in use")) : inner.remove(n),
  };
  const { keep: _, ...keeping } = store;
  for (const step of [0, 1, 2, 3]) await runOrThrow(saveState(keeping)({ step }));
  // Saved through this value, it is of the same run.
  const { run } = (await runOrThrow(list(store))).entries[0]!;
  await runOrThrow(loadState(store)({ step: 0 }));
  stuck.add(0).add(2);
  const report = { checkpoint: 0, reason: "cannot remove it_0 (EBUSY): in use" };
  const planned = await runOrThrow(plan(inner)(Retention.latest(3)));
  const reports: Removal[] = [];
  assert.deepEqual(await runOrThrow(prune(store, { onReport: (removal) => reports.push(removal) })(planned)), []);
  assert.deepEqual(reports, [{ removed: [], notRemoved: [report], notes: [] }]);
  const saved = await runOrThrow(saveState(store)({ step: 4 }));
  assert.deepEqual([saved.checkpoint, saved.removed], [4, [1, 3]]);
  assert.deepEqual(saved.notRemoved, [report, { checkpoint: 2, reason: "cannot remove it_2 (EBUSY): in use" }]);
  stuck.delete(0);
  const next = await runOrThrow(saveState(store)({ step: 5 }));
  assert.deepEqual([next.removed, next.notRemoved.map(({ checkpoint }) => checkpoint)], [[0, 4], [2]]);
  assert.deepEqual((await runOrThrow(list(store))).entries.map((entry) => [entry.checkpoint, entry.run]), [
    [2, run],
    [5, run],
  ]);
});

test("retention: a policy that throws or a store that cannot be listed does not fail the save", async () => {
  const thrown = memory({
    keep: () => {
      throw new RangeError("the policy's own");
    },
  });
  await runOrThrow(saveState(thrown)({ step: 0 }));
  const one = await runOrThrow(saveState(thrown)({ step: 1 }));
  assert.deepEqual([one.removed, one.notes], [[], [
    "Retention removed nothing: the policy threw RangeError: the policy's own",
  ]]);
  const inner = memory({ keep: Retention.latest(1) });
  const unlisted: Store = { ...inner, list: TE.left(storeFailed("list", "it", "EIO", "broken")) };
  const two = await runOrThrow(saveState(unlisted)({ step: 1 }));
  assert.deepEqual([two.checkpoint, two.notes], [0, ["Retention removed nothing: cannot list it (EIO): broken"]]);
});

test("retention: a policy that answers nonsense removes nothing and does not fail the save", async () => {
  const answers: readonly [string, () => unknown][] = [
    ["nothing", () => undefined],
    ["a number", () => 5],
    ["numbers alone", () => [0]],
    ["a promise", () => Promise.resolve({ keep: [], remove: [0] })],
    ["no array", () => ({ keep: [], remove: 5 })],
    ["strings", () => ({ keep: [], remove: ["0"] })],
    ["what it keeps alone", () => ({ keep: [1] })],
    ["no names", () => ({ keep: [1], remove: [0], unknownMetrics: null })],
    ["names that are none", () => ({ keep: [1], remove: [0], unknownMetrics: [5] })],
    ["no names of NaN", () => ({ keep: [1], remove: [0], nanMetrics: "loss" })],
    ["a field that throws", () => ({
      keep: [],
      get remove() {
        throw new RangeError("its own");
      },
    })],
  ];
  for (const [name, answer] of answers) {
    const policy = answer as Retention.Retention;
    for (const keep of [policy, Retention.any(policy), Retention.all(Retention.latest(1), policy)]) {
      const store = memory({ keep });
      await runOrThrow(saveState(store)({ step: 0 }));
      const saved = await runOrThrow(saveState(store)({ step: 1 }));
      assert.deepEqual([saved.checkpoint, saved.removed], [1, []], name);
      assert.match(
        saved.notes?.join() ?? "",
        /^Retention removed nothing: the policy threw \w+Error: (Expected|its)/,
        name,
      );
      await assert.rejects(plan(store)(keep)(), /Expected|its own/);
    }
  }
});

test("retention: what a policy both keeps and removes is kept, and it cannot change the entries", async () => {
  const store = memory({ keep: () => ({ keep: [0, 1], remove: [0] }) });
  for (const step of [0, 1]) assert.deepEqual((await runOrThrow(saveState(store)({ step }))).removed, []);
  const planned = await runOrThrow(
    plan(store)((catalogue) => {
      (catalogue as unknown[]).length = 0;
      return { keep: [], remove: [] };
    }),
  );
  assert.deepEqual(planned.keep.map(({ checkpoint }) => checkpoint), [0, 1]);
});

test("retention: a metric that no checkpoint of the run has removes nothing, and the note lists the run's metrics", async () => {
  const typo = Retention.best(1, "val_loss", "min");
  for (const keep of [typo, Retention.any(Retention.latest(1), typo), Retention.all(typo, typo)]) {
    const store = memory({ keep });
    const notes: (readonly string[])[] = [];
    for (const [step, valLoss] of [0.9, 0.1, 0.5].entries()) {
      const saved = await runOrThrow(saveState(store, { metrics: { valLoss, 'acc"': 1 } })({ step }));
      assert.deepEqual(saved.removed, []);
      notes.push(saved.notes ?? []);
    }
    assert.deepEqual(notes.map(({ length }) => length), [0, 1, 1]);
    assert.match(
      notes[2]![0]!,
      /"val_loss" of the retention policy, found none, so the policy best keeps everything.*"valLoss", "acc\\""$/,
    );
    const planned = await runOrThrow(plan(store)(keep));
    assert.deepEqual([planned.remove, planned.notes], [[], notes[2]]);
  }
  // Of another run that has the metric, what is not among the best goes.
  const base = memory();
  const places: Record<string, LocationState> = { a: newLocationState(), b: newLocationState() };
  const [a, b] = ["a", "b"].map((location): Store => ({ ...base, location, place: () => places[location]! }));
  for (const val_loss of [1, 2, 3]) await runOrThrow(saveState(a!, { metrics: { val_loss } })({ step: 0 }));
  for (const _ of [1, 2]) await runOrThrow(saveState(b!)({ step: 0 }));
  const planned = await runOrThrow(plan(base)(typo));
  assert.deepEqual(planned.remove.map(({ checkpoint }) => checkpoint), [1]);
  assert.match(planned.notes.join(), /No checkpoint of the run has a number for any metric$/);
  // A metric that is NaN each time is known.
  const diverged = memory({ keep: typo });
  for (const step of [1, 2]) {
    const { notes = [] } = await saveState(diverged, { metrics: { val_loss: NaN } })({ step });
    assert.deepEqual(
      notes.map((note) => note.replace(/run \S+/, "run R")),
      step === 1 ? [] : [
        'The metric "val_loss" of the retention policy is NaN in every checkpoint of run R that has it, so the policy best keeps everything',
      ],
    );
  }
});
