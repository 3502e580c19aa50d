/**
 * Law *one line of history*: a save follows the newest checkpoint of its run, or is refused and writes and removes nothing. A fork is asked for,
 * and begins a new run. The law holds in one process and in several, wherever each of them pauses or is killed.
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { readSummary } from "../../lib/checkpoint/entries.ts";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { newLocationState } from "../../lib/store/location.ts";
import { currentRun } from "../../lib/checkpoint/current_run.ts";
import type { Store } from "../../lib/store/store.ts";
import {
  captureState,
  directory,
  explain,
  type LoadError,
  loadState,
  memory,
  type Overtaken,
  readSnapshot,
  resume,
  Retention,
  type SaveError,
  saver,
  saveState,
  train,
  writeSnapshot,
} from "../../mod.ts";
import * as Loader from "../../lib/loader/loader.ts";
import { here, type Runtime, start, there } from "../support/children.ts";
import { needs } from "../support/portable.ts";
import { blank, machine, type Schedule } from "../support/simulated_disk.ts";
import { linux, type Profile, savingProfiles } from "../support/profiles.ts";
import { fault, watched } from "../support/watched_disk.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-history-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

function right<A>(result: E.Either<SaveError | LoadError, A>): A {
  return result._tag === "Right" ? result.right : assert.fail(explain(result.left));
}

function left(result: E.Either<SaveError | LoadError, unknown>): SaveError | LoadError {
  return result._tag === "Left" ? result.left : assert.fail(`Expected a left, found ${JSON.stringify(result.right)}`);
}

const fresh = { step: 0, who: "" };

async function save(store: Store, step: number, options: { readonly fork?: boolean } = {}): Promise<number> {
  return right(await saveState(store, options)({ step, who: "" })()).checkpoint;
}

interface Told {
  readonly checkpoint: number;
  readonly run: string;
  readonly parent: number | null;
  readonly step: number | null;
}

/** What the checkpoints of a store say of themselves. */
async function told(store: Store): Promise<readonly Told[]> {
  return await Promise.all(
    right(await store.list()).map(async (checkpoint) => {
      const { run, parent, step } = right(await readSummary(store, checkpoint)());
      return { checkpoint, run, parent, step };
    }),
  );
}

/** Sees that each checkpoint of a run goes after the one before it. */
function isOneLine(all: readonly Told[], from: number | null = null): void {
  all.forEach(({ parent }, i) => assert.equal(parent, i === 0 ? from : all[i - 1]!.checkpoint, JSON.stringify(all)));
}

// --- one place, several processes

/** Makes values of one place, each as another process would have it. */
type Processes = (keep?: Retention.Retention) => Store;

const places: Readonly<Record<string, () => Processes>> = {
  directory: () => {
    const path = place();
    return (keep) => directoryOn({ ...localFileSystem })(path, keep && { keep });
  },
  memory: () => {
    const base = memory();
    return (keep) => {
      const own = newLocationState();
      return { ...base, place: () => own, ...(keep && { keep }) };
    };
  },
};

for (const [name, make] of Object.entries(places)) {
  test(`one line of history: a process that is behind is Overtaken, and writes and removes nothing (${name})`, async () => {
    const open = make();
    await save(open(), 1);
    const [ahead, behind] = [open(Retention.latest(2)), open(Retention.latest(1))];
    for (const store of [ahead, behind]) assert.equal(right(await resume(store)(fresh)()).step, 1);
    for (let step = 2; step <= 100; step++) await save(ahead, step);
    const before = await told(ahead);
    assert.deepEqual(before.map(({ step }) => step), [99, 100]);
    for (const step of [2, 3, 200]) {
      const refused = left(await saveState(behind)({ step, who: "behind" })()) as Overtaken;
      assert.deepEqual([refused._tag, refused.checkpoint, refused.step], ["Overtaken", 99, 100]);
      assert.match(refused.by, /^(bun|deno|node) \S+ at \d{4}-\d\d-\d\dT/);
      assert.match(
        explain(refused),
        /Another process has saved checkpoint 99 .*a separate store: another folder or prefix$/,
      );
      assert.deepEqual(await told(open()), before);
    }
    // The one ahead is not disturbed, and a load brings the other one back.
    await save(ahead, 101);
    assert.equal(right(await loadState(behind)(fresh)()).step, 101);
    await save(behind, 102);
    assert.equal(left(await saveState(ahead)({ step: 102, who: "" })())._tag, "Overtaken");
  });

  test(`one line of history: a process that found no checkpoint does not begin a run where another has begun one (${name})`, async () => {
    for (const find of [resume, loadState]) {
      const open = make();
      const [first, second] = [open(), open()];
      for (const store of [first, second]) await find(store)(fresh)();
      for (const step of [0, 1]) await save(first, step);
      const before = await told(open());
      isOneLine(before);
      for (const step of [0, 2]) {
        const refused = left(await saveState(second)({ step, who: "" })()) as Overtaken;
        assert.deepEqual([refused._tag, refused.checkpoint, refused.step], ["Overtaken", 1, 1]);
        assert.deepEqual(await told(open()), before);
      }
      // A fork begins a run, and so does a save of a process that has not looked.
      await save(second, 0, { fork: true });
      await save(open(), 0);
      const all = await told(open());
      assert.equal(new Set(all.map(({ run }) => run)).size, 3);
      assert.deepEqual(all.slice(2).map(({ parent }) => parent), [null, null]);
    }
  });

  test(`one line of history: a checkpoint that reused the number of the removed parent, or a lower one, overtakes (${name})`, async () => {
    for (const removed of [[2], [2, 1]]) {
      const open = make();
      const [mine, other] = [open(), open()];
      await save(mine, 1);
      if (removed.length === 1) await save(mine, 2);
      right(await resume(other)(fresh)());
      for (const step of removed.length === 1 ? [3] : [2, 3]) await save(mine, step);
      for (const checkpoint of removed) right(await mine.remove(checkpoint)());
      // Saves are distinguished by their times in milliseconds.
      await new Promise((resolve) => setTimeout(resolve, 5));
      await save(other, 3);
      const before = await told(open());
      const refused = left(await saveState(mine)({ step: 4, who: "" })()) as Overtaken;
      assert.deepEqual([refused._tag, refused.checkpoint], ["Overtaken", removed.at(-1)]);
      assert.deepEqual(await told(open()), before);
      await save(other, 4);
    }
  });

  test(`one line of history: another run's checkpoint under the removed parent's number does not overtake (${name})`, async () => {
    const open = make();
    const [mine, other] = [open(), open()];
    for (const step of [1, 2]) await save(mine, step);
    right(await mine.remove(1)());
    await save(other, 0);
    // A component `step` may go back, as the state of the parent is gone.
    await save(mine, 1);
    await save(mine, 2);
    const all = await told(open());
    assert.deepEqual(all.map(({ checkpoint, parent }) => [checkpoint, parent]), [[0, null], [1, null], [2, null], [
      3,
      2,
    ]]);
    assert.deepEqual([0, 1, 2, 3].map((i) => all[i]!.run === all[0]!.run), [true, false, true, true]);
  });

  test(`fork: begins one new run, whose parent is the last checkpoint (${name})`, async () => {
    const open = make();
    await save(open(), 1);
    const [ahead, behind] = [open(), open(Retention.latest(2))];
    for (const store of [ahead, behind]) right(await resume(store)(fresh)());
    for (const step of [2, 3]) await save(ahead, step);
    assert.equal(left(await saveState(behind)({ step: 2, who: "" })())._tag, "Overtaken");
    for (const step of [2, 3, 4]) await save(behind, step, { fork: true });
    await save(behind, 5);
    const all = await told(open());
    const [first, other] = [...new Set(all.map(({ run }) => run))];
    isOneLine(all.filter(({ run }) => run === first));
    assert.deepEqual(all.filter(({ run }) => run === first).map(({ step }) => step), [1, 2, 3]);
    assert.deepEqual(all.filter(({ run }) => run === other).map(({ step, parent }) => [step, parent]), [[4, 4], [
      5,
      5,
    ]]);

    // Where the fork has been resumed and carried on elsewhere, asking again makes another one.
    const twin = open();
    right(await resume(twin)(fresh)());
    await save(twin, 6);
    assert.equal(left(await saveState(behind)({ step: 6, who: "" })())._tag, "Overtaken");
    const forked = await save(behind, 6, { fork: true });
    const third = (await told(open())).find(({ checkpoint }) => checkpoint === forked);
    assert.equal(third?.parent, 6);
    assert.ok(![first, other].includes(third.run));
  });

  test(`fork: is an option of saver, writeSnapshot and train (${name})`, async () => {
    const open = make();
    await save(open(), 0);
    const loader = Loader.fromArray([1, 2, 3]);
    const ways: Readonly<Record<string, (store: Store) => Promise<E.Either<unknown, unknown>>>> = {
      saver: async (store) => {
        const { save, drain } = saver(store, { fork: true });
        for (const step of [1, 2]) await save({ step, who: "" })();
        return await drain();
      },
      writeSnapshot: async (store) => {
        using snapshot = captureState({ step: 1, who: "" });
        const write = writeSnapshot(store, { fork: true })(snapshot);
        return await pipe(write, TE.flatMap(() => write))();
      },
      train: (store) =>
        train<{ readonly cursor: Loader.Cursor; readonly step: number }, number>({
          loader,
          step: (state) => ({ ...state, step: state.step + 1 }),
          save: { to: store, every: 2, fork: true },
        })({ cursor: Loader.start(loader), step: 0 })(),
    };
    for (const [way, forks] of Object.entries(ways)) {
      const [store, twin] = [open(), open()];
      const { step } = right(await loadState(store, { checkpoint: 0 })(fresh)());
      assert.equal(step, 0);
      const line = currentRun(store);
      right(await resume(twin)(fresh)());
      const before = (await told(twin)).length;
      assert.equal((await forks(store))._tag, "Right", way);
      const forked = (await told(twin)).slice(before);
      assert.ok(forked.length >= 2, way);
      assert.equal(new Set(forked.map(({ run }) => run)).size, 1, way);
      isOneLine(forked, 0);
      assert.notEqual(forked[0]?.run, line?.isNew === true ? undefined : line?.run, way);
    }
  });

  test(`load: an older checkpoint by number begins a new run, the newest of its run does not (${name})`, async () => {
    const open = make();
    const first = open();
    for (let step = 0; step < 6; step++) await save(first, step);
    const other = open();
    await save(other, 0);
    const [{ run: old }] = await told(first) as [Told];
    for (const [checkpoint, forks] of [[3, true], [5, false]] as const) {
      const store = open(Retention.latest(2));
      assert.equal(right(await loadState(store, { checkpoint })(fresh)()).step, checkpoint);
      const numbers = [await save(store, checkpoint + 1), await save(store, checkpoint + 2)];
      const all = await told(store);
      const own = all.filter((one) => numbers.includes(one.checkpoint));
      assert.deepEqual(own.map(({ run }) => run === old), [!forks, !forks]);
      isOneLine(own, checkpoint);
    }
    // Retention has pruned the run that was carried on alone.
    const all = await told(first);
    assert.deepEqual(all.filter(({ run }) => run === old).map(({ step }) => step), [6, 7]);
    assert.equal(all.filter(({ run }) => run !== old).length, 3);
  });

  test(`readSnapshot: does not change the current run; a fresh start begins a new one (${name})`, async () => {
    const open = make();
    const first = open();
    for (const step of [5, 6, 7]) await save(first, step);
    using snapshot = right(await readSnapshot(first, { checkpoint: 0 })());
    const back = left(await writeSnapshot(first)(snapshot)());
    assert.deepEqual(back, { _tag: "StepWentBack", step: 5, parent: 2, parentStep: 7 });
    await save(first, 8);
    const second = open();
    using _ = right(await readSnapshot(second)());
    await save(second, 0);
    const all = await told(first);
    assert.deepEqual(all.map(({ parent }) => parent), [null, 0, 1, 2, null]);
    assert.equal(new Set(all.map(({ run }) => run)).size, 2);
  });
}

// --- one process

for (
  const [name, make] of Object.entries({
    directory: () => ((path) => () => directory(path))(place()),
    memory: () => ((store) => () => store)(memory()),
  })
) {
  test(`StepWentBack: a save whose step is below the parent's is refused, with the remedy (${name})`, async () => {
    const open = make();
    for (const step of [3, 5, 5]) await save(open(), step);
    const before = await told(open());
    isOneLine(before);
    await loadState(open())(fresh)();
    for (const step of [0, 4]) {
      const refused = left(await saveState(open())({ step, who: "" })());
      assert.deepEqual(refused, { _tag: "StepWentBack", step, parent: 2, parentStep: 5 });
      assert.match(explain(refused), /the result of loadState or resume.*fork: true/);
      assert.deepEqual(await told(open()), before);
    }
    const { save: later, drain } = saver(open());
    right(await later({ step: 0, who: "" })());
    assert.equal(left(await drain())._tag, "StepWentBack");
    // A state without a numeric step is not compared. A partial load continues from its own step.
    right(await saveState(open(), { step: 1 })({ who: "" })());
    right(await saveState(open())({ step: 9, who: "" })());
    assert.equal(right(await loadState(open(), { keep: ["step"] })({ step: 2, who: "" })()).step, 2);
    await save(open(), 3);
    // To begin again on purpose is a fork.
    await save(open(), 0, { fork: true });
    await save(open(), 1, { fork: true });
    await save(open(), 0, { fork: true });
    const all = (await told(open())).slice(-3);
    assert.deepEqual(all.map(({ parent, step }) => [parent, step]), [[5, 0], [6, 1], [7, 0]]);
    assert.deepEqual([all[0]!.run === all[1]!.run, all[1]!.run === all[2]!.run], [true, false]);
  });
}

test("current run: belongs to the location: all stores of one folder save into one run, which retention prunes", async () => {
  const path = place();
  await mkdir(path);
  await symlink(path, `${path}-link`, "junction");
  await mkdir(`${path}-other`);
  const keep = Retention.latest(2);
  const ways = [path, `${path}/`, relative(process.cwd(), path), `${path}-link`, `${path}-other/../${made - 1}`];
  let step = 0;
  for (const resumed of ways) {
    assert.equal(right(await resume(directory(resumed, { keep }))(fresh)()).step, step);
    for (const saved of ways) await save(directory(saved, { keep }), ++step);
  }
  const all = await told(directory(path));
  assert.deepEqual(all.map(({ checkpoint }) => checkpoint), [step - 2, step - 1]);
  isOneLine(all, step - 3);
  const cwd = process.cwd();
  process.chdir(path);
  try {
    assert.deepEqual(currentRun(directory(".")), currentRun(directory(path)));
    assert.equal(currentRun(directory("..")), undefined);
  } finally {
    process.chdir(cwd);
  }
  assert.equal(currentRun(directory(`${path}-other`)), undefined);
});

test("current run: saves through several stores of one folder are committed in the order in which they are run", async () => {
  const path = place();
  await Promise.all(Array.from({ length: 12 }, (_, step) => save(directory(path), step)));
  const all = await told(directory(path));
  isOneLine(all);
  assert.deepEqual(all.map(({ step }) => step), Array.from({ length: 12 }, (_, step) => step));
  // A load that is run after a save sees it, though nothing waited for it.
  const saving = save(directory(path), 12);
  assert.equal(right(await loadState(directory(path))(fresh)()).step, 12);
  await saving;
});

test("retention: the policy of the store that saves applies", async () => {
  const path = place();
  for (const step of [1, 2, 3]) await save(directory(path), step);
  await save(directory(path, { keep: Retention.latest(2) }), 4);
  await save(directory(path), 5);
  assert.deepEqual((await told(directory(path))).map(({ step }) => step), [3, 4, 5]);
});

test("current run: after all checkpoints were removed by hand, a save begins a new run", async () => {
  const path = place();
  for (const step of [5, 6]) await save(directory(path), step);
  const [{ run }] = await told(directory(path)) as [Told];
  await rm(path, { recursive: true });
  assert.equal(right(await resume(directory(path))(fresh)()), fresh);
  await save(directory(path), 0);
  const [begun] = await told(directory(path)) as [Told];
  assert.equal(begun.parent, null);
  assert.notEqual(begun.run, run);
});

// --- damage and failures

/** Changes the last byte of a file of a checkpoint. */
async function damage(path: string, checkpoint: number, file: string): Promise<void> {
  const at = join(path, "checkpoints", `checkpoint_${checkpoint}`, file);
  const bytes = await readFile(at);
  bytes[bytes.length - 2]! ^= 1;
  await writeFile(at, bytes);
}

for (const file of ["state/w.safetensors", "snapshot.json"]) {
  test(`fallback: a run continues past a damaged newest checkpoint, which does not overtake it: ${file}`, async () => {
    const path = place();
    const state = (step: number): object => ({ step, w: Float32Array.of(step) });
    for (const step of [1, 2, 3]) right(await saveState(directory(path))(state(step))());
    await damage(path, 2, file);
    const later = directoryOn({ ...localFileSystem })(path);
    assert.equal(left(await loadState(later)(state(0))())._tag, "Damaged");
    right(await loadState(later, { fallback: true })(state(0))());
    for (const step of [3, 4]) right(await saveState(later)(state(step))());
    const whole = await Promise.all([0, 1, 3, 4].map((checkpoint) => readSummary(later, checkpoint)()));
    const all = whole.map(right);
    assert.deepEqual(all.map(({ parent }) => parent), [null, 0, 1, 3]);
    assert.equal(new Set(all.map(({ run }) => run)).size, 1);
  });
}

test("one line of history: a save that failed after its rename is the parent of the next", async () => {
  const path = place();
  let renamed = false;
  let failing = false;
  const disk = watched(localFileSystem, (operation) => {
    if (operation.name === "rename" && /checkpoint_\d+$/.test(operation.path)) renamed = failing;
    return renamed && operation.name === "syncFolder" ? fault(operation, "EIO") : undefined;
  });
  const store = directoryOn(disk)(path);
  for (const [step, fails] of [[1, true], [2, false], [3, true], [4, true], [5, false]] as const) {
    [failing, renamed] = [fails, false];
    assert.equal((await saveState(store)({ step, who: "" })())._tag, fails ? "Left" : "Right");
  }
  const all = await told(directory(path));
  assert.deepEqual(all.map(({ step }) => step), [1, 2, 3, 4, 5]);
  isOneLine(all);
  assert.equal(new Set(all.map(({ run }) => run)).size, 1);
});

test("one line of history: a newer manifest that cannot be read fails the save, one without permission does not", async () => {
  for (const [code, tag] of [["EIO", "Left"], ["EACCES", "Right"]] as const) {
    const path = place();
    const disk = watched(
      localFileSystem,
      (operation) =>
        operation.name === "open" && /checkpoint_1.snapshot.json$/.test(operation.path)
          ? fault(operation, code)
          : undefined,
    );
    const store = directoryOn(disk)(path);
    await save(store, 1);
    await save(directoryOn({ ...localFileSystem })(path), 1);
    assert.equal((await saveState(store)({ step: 2, who: "" })())._tag, tag);
  }
});

// --- what a save costs

test("save: lists its folder twice and reads the manifests of its parent and of what it removes, no others", async () => {
  const at = place();
  const others = directoryOn({ ...localFileSystem })(at);
  for (let step = 0; step < 20; step++) await save(others, step);
  for (const keep of [undefined, Retention.latest(3)]) {
    let [listings, manifests] = [0, 0];
    const disk = watched(localFileSystem, ({ name, path }) => {
      if (name === "names" && path === join(at, "checkpoints")) listings++;
      if (name === "open" && path.endsWith("snapshot.json")) manifests++;
      return undefined;
    });
    const store = directoryOn(disk)(at, keep && { keep });
    for (let step = 0; step < 5; step++) await save(store, step);
    [listings, manifests] = [0, 0];
    await save(store, 5);
    assert.equal(listings, 2);
    // The parent's, and with retention that of the checkpoint to remove.
    assert.equal(manifests, keep === undefined ? 1 : 2);
  }
});

needs("Deno")(
  "save: Deno is asked for permissions of a constant number of paths, because it remembers each",
  async () => {
    const { permissions } = Reflect.get(globalThis, "Deno") as {
      permissions: { querySync: (asked: object) => unknown };
    };
    const asked = new Set<string>();
    const { querySync } = permissions;
    permissions.querySync = (permission) => {
      asked.add(JSON.stringify(permission));
      return querySync.call(permissions, permission);
    };
    try {
      const store = directory(place(), { keep: Retention.latest(1) });
      for (let step = 0; step < 5; step++) right(await saveState(store)({ step, w: Float32Array.of(step) })());
      assert.ok(asked.size > 0 && ![...asked].some((permission) => permission.includes(".saving-")), [...asked].join());
    } finally {
      delete (permissions as { querySync?: unknown }).querySync;
      if (permissions.querySync === undefined) permissions.querySync = querySync;
    }
  },
);

// --- two processes at once, wherever each is held up

/** A process, and how many operations of it are done before it is held up. */
type Turn = readonly [process: string, operations: number];

/** One turn after the other, then each operation as it comes. */
function inTurns(turns: readonly Turn[]): Schedule {
  const left = turns.map(([process, operations]) => ({ process, operations }));
  return (waiting) => {
    for (const turn of left) {
      const next = waiting.findIndex(({ process }) => process === turn.process);
      if (turn.operations-- > 0 && next >= 0) return next;
      turn.operations = 0;
    }
    return 0;
  };
}

const path = "/runs/digits";

/** Processes that have resumed one run save at once, each until it is overtaken; who was not, and what there is. */
async function race(
  savers: Readonly<Record<string, number>>,
  schedule: Schedule,
  keep?: Retention.Retention,
  isEmpty = false,
  profile: Profile = linux,
): Promise<{ readonly winners: readonly string[]; readonly all: readonly Told[]; readonly saved: readonly Told[] }> {
  let racing = false;
  const simulated = machine(blank, { schedule: (waiting) => racing ? schedule(waiting) : 0, profile });
  const open = (name: string): Store => directoryOn(simulated.process(name))(path, keep && { keep });
  if (!isEmpty) await save(open("before"), 0);
  const stores = Object.keys(savers).map((name) => [name, open(name)] as const);
  for (const [, store] of stores) right(await resume(store)(fresh)());
  racing = true;
  const saved: Told[] = [];
  const winners: string[] = [];
  await Promise.all(stores.map(async ([name, store]) => {
    for (let step = 1; step <= savers[name]!; step++) {
      const before = currentRun(store)!;
      const result = await saveState(store)({ step, who: name })();
      if (E.isLeft(result)) {
        assert.equal(result.left._tag, "Overtaken", explain(result.left));
        return;
      }
      saved.push({
        checkpoint: result.right.checkpoint,
        run: before.run,
        parent: before.parent?.checkpoint ?? null,
        step,
      });
      // What others have committed is not for this one to remove.
      assert.ok(result.right.removed.every((removed) => removed < result.right.checkpoint));
    }
    winners.push(name);
  }));
  return { winners, all: await told(open("later")), saved: saved.toSorted((a, b) => a.checkpoint - b.checkpoint) };
}

test("one line of history: of two concurrent saves of a run one is made, wherever either pauses", async () => {
  for (let i = 6; i < 34; i++) {
    for (let j = 12 + i % 3; j < 36; j += Math.ceil(6 / torture)) {
      const { winners, all } = await race({ a: 1, b: 1 }, inTurns([["a", i], ["b", j], ["a", Infinity]]));
      assert.equal(winners.length, 1, `after ${i} and ${j} operations: ${winners}`);
      assert.equal(all.length, 2);
      isOneLine(all);
    }
  }
});

test("one line of history: of two processes that resumed an empty store and save at once, one begins, wherever either pauses", async () => {
  for (let i = 0; i < 34; i++) {
    for (let j = i % 3; j < 36; j += Math.ceil(6 / torture)) {
      const turns = inTurns([["a", i], ["b", j], ["a", Infinity]]);
      const { winners, all } = await race({ a: 1, b: 1 }, turns, undefined, true);
      assert.equal(winners.length, 1, `after ${i} and ${j} operations: ${winners}`);
      assert.deepEqual(all.map(({ checkpoint, parent }) => [checkpoint, parent]), [[all[0]!.checkpoint, null]]);
    }
  }
});

test("one line of history: of three processes that resumed an empty store, one continues, wherever each pauses", async () => {
  const turns = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(60)), { maxLength: 16 });
  await fc.assert(
    fc.asyncProperty(turns, async (turns) => {
      const { winners, all } = await race({ a: 1, b: 3, c: 2 }, inTurns(turns), undefined, true);
      assert.equal(winners.length, 1, `${winners}`);
      isOneLine(all);
      assert.equal(new Set(all.map(({ run }) => run)).size, 1);
    }),
    { numRuns: 20 * torture },
  );
});

test("one line of history: a save that loses one number to several other savers tries again", async () => {
  for (let i = 0; i < 12; i++) {
    for (const held of ["b", "c"]) {
      const { winners } = await race({ a: 1, b: 3, c: 2 }, inTurns([[held, i]]));
      assert.equal(winners.length, 1, `${held} after ${i} operations`);
    }
  }
});

test("one line of history: of three concurrent savers of a run one remains, wherever each pauses, on every system", async () => {
  const systems = fc.constantFrom(...Object.keys(savingProfiles));
  const turns = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(60)), { maxLength: 16 });
  await fc.assert(
    fc.asyncProperty(turns, fc.boolean(), systems, async (turns, pruned, system) => {
      const keep = pruned ? Retention.latest(2) : undefined;
      const { winners, all, saved } = await race(
        { a: 1, b: 3, c: 2 },
        inTurns(turns),
        keep,
        false,
        savingProfiles[system],
      );
      assert.equal(winners.length, 1, `${winners}`);
      isOneLine([{ ...saved[0]!, checkpoint: 0, parent: null }, ...saved]);
      const newest = saved.slice(-2).map(({ checkpoint }) => checkpoint);
      assert.deepEqual(all.slice(-newest.length).map(({ checkpoint }) => checkpoint), newest);
    }),
    { numRuns: 40 * torture },
  );
});

// --- two processes at once, in Bun and in Deno

interface Line {
  readonly resumed?: number;
  readonly saved?: number;
  readonly step?: number;
  readonly refused?: string;
}

/** Starts twins of one run together and waits for their ends; the first may be killed once it has saved so often. */
async function twins(
  runtimes: readonly Runtime[],
  at: string,
  kills = Infinity,
): Promise<readonly (readonly Line[])[]> {
  const go = `${at}.go`;
  await rm(go, { force: true });
  let [resumed, seen] = [0, 0];
  const children = runtimes.map((runtime, i) => {
    const child = start(runtime, "twin.ts", [at, "3", "12", go], {
      onLine: (line) => {
        if ("resumed" in JSON.parse(line) && ++resumed === runtimes.length) void writeFile(go, "");
        if ("saved" in JSON.parse(line) && i === 0 && seen++ === kills) child.kill("SIGKILL");
      },
    });
    return child;
  });
  const endings = await Promise.all(children.map(({ ended }) => ended));
  endings.forEach(({ code, signal, errors }, i) => {
    assert.ok(code === 0 || (i === 0 && kills < Infinity && signal === "SIGKILL"), errors);
  });
  return endings.map(({ lines }) => lines.filter((line) => line.endsWith("}")).map((line): Line => JSON.parse(line)));
}

test("one line of history: of a job that is started twice, in Bun and in Deno, one continues, and the other removes nothing", async () => {
  const at = place();
  right(await saveState(directory(at))({ step: 0, who: 0, weights: new Float64Array(200) })());
  for (let round = 0; round < 2 * Math.min(torture, 4); round++) {
    const killed = round % 2 === 1;
    const lines = await twins(round % 4 < 2 ? [here, there] : [there, here], at, killed ? 1 : Infinity);
    const saved = lines.map((all) => all.flatMap(({ saved, step }) => saved === undefined ? [] : [[saved, step!]]));
    const refused = lines.map((all) => all.some(({ refused }) => refused === "Overtaken"));
    // One of them saves all it has to; the other, unless it was killed, is overtaken, having saved or not.
    const all = saved.flat().sort(([a], [b]) => a! - b!);
    assert.deepEqual(new Set(all.map(([checkpoint]) => checkpoint)).size, all.length);
    assert.ok(refused.filter((yes) => yes).length <= 1, JSON.stringify(lines));
    if (!killed) assert.equal(refused.filter((yes) => yes).length, 1, JSON.stringify(lines));
    const entries = await told(directory(at));
    const last = entries.at(-1)!;
    assert.ok(last.checkpoint >= all.at(-1)![0]!);
    // The line: steps rise by one from checkpoint to checkpoint.
    const own = entries.filter(({ run }) => run === last.run);
    assert.equal(new Set(entries.map(({ run }) => run)).size, 1);
    own.forEach(({ step }, i) => assert.equal(step, own[0]!.step! + i));
    own.slice(1).forEach(({ parent }, i) => assert.equal(parent, own[i]!.checkpoint));
  }
  assert.deepEqual(
    (await readdir(join(at, "checkpoints"))).filter((name) => !name.startsWith("checkpoint_")).length <= 4,
    true,
  );
});

test("one line of history: of a job that is started twice on an empty folder, in Bun and in Deno, one begins the run", async () => {
  for (let round = 0; round < torture; round++) {
    const at = place();
    const lines = await twins(round % 2 === 0 ? [here, there] : [there, here], at);
    const saved = lines.map((all) => all.filter(({ saved }) => saved !== undefined).length);
    const refused = lines.map((all) => all.some(({ refused }) => refused === "Overtaken"));
    assert.deepEqual(saved.map((count) => count === 0), refused, JSON.stringify(lines));
    assert.equal(refused.filter((yes) => yes).length, 1, JSON.stringify(lines));
    const entries = await told(directory(at));
    isOneLine(entries, entries[0]!.parent);
    assert.equal(new Set(entries.map(({ run }) => run)).size, 1);
  }
});
