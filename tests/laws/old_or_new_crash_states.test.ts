/**
 * Law *old or new*, in every state that a crash can leave.
 *
 * The store's own code saves on a simulated disk. The power fails after each of its operations. From every state that the disk may then be in, the
 * store's own code loads every checkpoint and saves again. The contents of temporary folders do not matter, because reading them throws. Of
 * all other states, each is tried once.
 */

import type { Either } from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import type { FileSystem, ProcessStatus } from "../../lib/store/directory/file_system.ts";
import { readSummary } from "../../lib/checkpoint/entries.ts";
import type { StoreFailed } from "../../lib/errors/errors.ts";
import { digester, type PartDigest } from "../../lib/store/digest.ts";
import { type Saving, type Store, storeFailed } from "../../lib/store/store.ts";
import { loadState, readSnapshot, restoreState, Retention, type Saved, type SaveError, saveState } from "../../mod.ts";
import {
  blank,
  type Image,
  imageOf,
  machine,
  remains,
  type Schedule,
  stateOf,
  type Tree,
} from "../support/simulated_disk.ts";
import { type Answer, fault, type Operation, watched } from "../support/watched_disk.ts";
import { torture } from "../support/torture.ts";

// --- the state

interface Trained {
  readonly step: number;
  readonly model: Float32Array;
  readonly rng: Uint8Array;
}

/** The state at a step. The model never changes. */
function stateAt(step: number): Trained {
  return { step, model: Float32Array.of(1, 2, 3, 4), rng: Uint8Array.of(step, 1, 2, 3, 4, 5, 6, 7) };
}

const path = "/runs/digits";
const folder = `${path}/checkpoints`;

/** Whether a folder with this name belongs to an unfinished save or removal. */
function isUnfinished(name: string): boolean {
  return /^\.(saving|removing)-/.test(name);
}

function right<A>(result: Either<unknown, A>): A {
  return result._tag === "Right" ? result.right : assert.fail(JSON.stringify(result.left));
}

/** Loads a whole checkpoint, and returns its step. */
async function load(store: Store, checkpoint: number): Promise<number> {
  using snapshot = right(await readSnapshot(store, { checkpoint })());
  const state = right(restoreState(snapshot)) as Trained;
  assert.deepEqual(state, stateAt(state.step));
  return state.step;
}

/** A store that links the model of a checkpoint instead of writing it again. */
function linking(from: number): (store: Store) => Store {
  const name = "model.safetensors";
  const link = (saving: Saving): Saving => ({
    ...saving,
    put: (part, chunks) =>
      part !== name ? saving.put(part, chunks) : pipe(
        saving.reuse(name, { checkpoint: from, name }),
        TE.flatMap((linked): TE.TaskEither<StoreFailed, PartDigest> => async () => {
          assert.ok(linked);
          const digest = digester();
          for await (const chunk of chunks) digest.update(chunk);
          return { _tag: "Right", right: digest.result() };
        }),
      ),
  });
  return (store) => ({ ...store, begin: pipe(store.begin, TE.map(link)) });
}

const nothing = TE.right(undefined);

// --- crashes

/** The requirements after a crash. */
interface Law {
  /** The step of each checkpoint that must exist. */
  readonly kept: ReadonlyMap<number, number>;
  /** All steps that may be found. */
  readonly steps: readonly number[];
}

/** A process of a scenario. */
interface Process {
  /** Its store; with a mutation, a broken one. */
  readonly store: Store;
  /** Saves the state at a step to the store, or to a store made from it. */
  readonly save: (step: number, through?: (store: Store) => Store) => Promise<Either<SaveError, Saved>>;
}

/** An action of one or more processes. */
type Action = (process: (name: string) => Process) => Promise<void>;

interface Scenario {
  /**
   * The state after an earlier crash.
   * @default a blank disk
   */
  readonly start?: State;
  /** The retention policy of all stores. */
  readonly keep?: Retention.Retention;
  /** The action before, whose results are durable. */
  readonly before?: Action;
  /** The action in which the power fails. */
  readonly during: Action;
  /**
   * The status that processes have for each other.
   * @default "alive"
   */
  readonly status?: ProcessStatus;
  /** The orders in which concurrent operations are executed. */
  readonly schedules?: () => Iterable<() => Schedule>;
}

/** A way to break the protocol. */
interface Mutation {
  readonly disk?: (disk: FileSystem, process: string) => FileSystem;
  readonly store?: (store: Store) => Store;
}

/** A state that a crash may leave. */
interface State {
  readonly tree: Tree;
  /** The steps of the checkpoints, all of which load. */
  readonly found: ReadonlyMap<number, number>;
  /** What failed. */
  readonly trouble?: string;
}

/** The result of an exploration. */
interface Explored {
  readonly points: number;
  /** The number of states, counted for each crash point. */
  readonly outcomes: number;
  /** The states that a reader can tell apart. */
  readonly states: readonly State[];
  /** Violations of the law, with their states. */
  readonly broken: readonly string[];
}

/** Starts again after a crash: every checkpoint loads, the next save succeeds, and it removes the orphans. */
async function recover(tree: Tree): Promise<State> {
  const statusOf = () => "unknown" as const;
  const disk = machine(imageOf(tree), { clock: 2 * 3_600_000, statusOf }).process("later");
  const open = (path: string): ReturnType<FileSystem["open"]> => {
    assert.ok(!path.split("/").some(isUnfinished), `${path} was read`);
    return disk.open(path);
  };
  const store = directoryOn({ ...disk, open })(path);
  const found = new Map<number, number>();
  try {
    const listed = right(await store.list());
    for (const checkpoint of listed) found.set(checkpoint, await load(store, checkpoint));
    const newest = new Map<string, number>();
    for (const checkpoint of listed) {
      const { run, parent } = right(await readSummary(store, checkpoint)());
      assert.equal(parent, newest.get(run) ?? parent, `${checkpoint} is not after the newest of its run`);
      newest.set(run, checkpoint);
    }
    const next = right(await saveState(store)(stateAt(100))()).checkpoint;
    assert.ok(next > Math.max(-1, ...listed));
    assert.equal(await load(store, next), 100);
    const names = right(await disk.names(folder)());
    assert.deepEqual([...names].sort(), [...listed, next].map((number) => `checkpoint_${number}`).sort());
    return { tree, found };
  } catch (cause) {
    return { tree, found, trouble: (cause as Error).message };
  }
}

/** The violation of the law in a state. */
function violation({ found, trouble }: State, { kept, steps }: Law): string | undefined {
  if (trouble !== undefined) return trouble;
  const lost = [...kept].find(([checkpoint, step]) => found.get(checkpoint) !== step);
  if (lost !== undefined) return `${lost[0]} is lost`;
  const invented = [...found.values()].find((step) => !steps.includes(step));
  return invented === undefined ? undefined : `step ${invented} was never saved`;
}

/** Executes operations in the order of their requests, but an `fsync` only if nothing else waits. */
function late(): Schedule {
  return (waiting) => Math.max(0, waiting.findIndex(({ operation }) => operation !== "sync"));
}

/** An object that delegates to one of two, chosen at each use. */
function either<A extends object>(which: () => boolean, yes: A, no: A): A {
  return new Proxy(no, { get: (_, name) => Reflect.get(which() ? yes : no, name) });
}

/** A store that reports each commit that resolves, and each removal that begins. */
function reporting(
  store: Store,
  committed: (checkpoint: number) => void,
  removed: (checkpoint: number) => void,
): Store {
  const report = (saving: Saving): Saving => ({
    ...saving,
    commit: (manifest, after) =>
      pipe(saving.commit(manifest, after), TE.map((checkpoint) => (committed(checkpoint), checkpoint))),
  });
  return {
    ...store,
    begin: pipe(store.begin, TE.map(report)),
    remove: (checkpoint) => {
      removed(checkpoint);
      return store.remove(checkpoint);
    },
  };
}

/** Runs a scenario once. Returns the disk after each operation, with the requirements if the power fails then. */
async function crashesIn(
  { start, keep, status = "alive", before, during }: Scenario,
  mutation: Mutation,
  schedule: Schedule,
): Promise<readonly (readonly [Image, Law])[]> {
  const crashes: (readonly [Image, Law])[] = [];
  const kept = new Map(start?.found);
  const steps = [...kept.values()];
  let crashing = false;
  const crash = (): void => {
    if (crashing) crashes.push([simulated.image(), { kept: new Map(kept), steps: [...steps] }]);
  };
  const simulated = machine(start === undefined ? blank : imageOf(start.tree), {
    schedule: (waiting) => crashing ? schedule(waiting) : 0,
    changed: crash,
    statusOf: () => status,
  });

  const begin = (name: string): Process => {
    let step = 0;
    const committed = (checkpoint: number): void => {
      assert.ok(!kept.has(checkpoint), `${checkpoint} was given twice`);
      kept.set(checkpoint, step);
      crash();
    };
    // A checkpoint that is being removed may be lost. The newest may not.
    const removed = (checkpoint: number): void => {
      if (checkpoint < Math.max(...kept.keys())) kept.delete(checkpoint);
    };
    const disk = simulated.process(name);
    const own = directoryOn(either(() => crashing, mutation.disk?.(disk, name) ?? disk, disk));
    const sound = reporting(own(path, keep && { keep }), committed, removed);
    const store = either(() => crashing, mutation.store?.(sound) ?? sound, sound);
    const save: Process["save"] = (now, through = (same) => same) => {
      steps.push(step = now);
      return saveState(through(store))(stateAt(step))();
    };
    return { store, save };
  };
  const processes = new Map<string, Process>();
  const processOf = (name: string): Process => {
    const process = processes.get(name) ?? begin(name);
    processes.set(name, process);
    return process;
  };

  await before?.(processOf);
  simulated.settle();
  crashing = true;
  crash();
  await during(processOf);
  crash();
  return crashes;
}

/**
 * Crashes a scenario after each operation, in every possible way.
 *
 * @param known States by key. Scenarios whose processes make the same files in the same order can share it.
 */
async function explore(
  scenario: Scenario,
  mutation: Mutation = {},
  known: Map<string, State> = new Map(),
): Promise<Explored> {
  const points = new Set<string>();
  const states = new Map<string, State>();
  const broken: string[] = [];
  let outcomes = 0;
  for (const schedule of scenario.schedules?.() ?? [late]) {
    for (const [image, law] of await crashesIn(scenario, mutation, schedule())) {
      const lawful = JSON.stringify([[...law.kept], law.steps]);
      const point = `${stateOf(image)} ${lawful}`;
      if (points.has(point)) continue;
      points.add(point);
      for (const { key, tree } of remains(image, isUnfinished)) {
        outcomes++;
        const state = known.get(key) ?? await recover(tree);
        known.set(key, state);
        states.set(key, state);
        const why = violation(state, law);
        if (why !== undefined) broken.push(`${why} after ${lawful}: ${key}`);
      }
    }
  }
  return { points: points.size, outcomes, states: [...states.values()], broken };
}

// --- every state

/** A process, and how many operations it executes before it is paused. */
type Turn = readonly [process: string, operations: number];

/** Executes one turn after the other, then operations as they come; `over` is called if the first process ends within its turn. */
function inTurns(turns: readonly Turn[], over: () => void): Schedule {
  const left = turns.map(([process, operations]) => ({ process, operations }));
  return (waiting) => {
    for (const turn of left) {
      const own = waiting.filter(({ process }) => process === turn.process);
      const next = own[late()(own)];
      if (turn.operations-- > 0 && next !== undefined) return waiting.indexOf(next);
      if (turn === left[0] && turn.operations >= 0) over();
      turn.operations = 0;
    }
    return late()(waiting);
  };
}

/**
 * Pauses one of two equal processes before each of its operations, or at some distance apart, while the other runs to its end. With more torture
 * it pauses before other operations too, while the other runs for some operations.
 */
function* interrupted(apart = 1): Generator<() => Schedule> {
  for (let k = 0; k < Math.ceil(torture / 2); k++) {
    let over = false;
    for (let i = k % apart; !over; i += apart) {
      const turns: readonly Turn[] = [["a", i], ["b", k === 0 ? Infinity : (7 * k + i) % 50], ["a", Infinity]];
      yield () => inTurns(turns, () => over = true);
    }
  }
}

/** A process saves the state at a step. */
function saves(name: string, step: number, through?: (store: Store) => Store): Action {
  return async (process) => void right(await process(name).save(step, through));
}

/** A process loads the newest checkpoint, and so continues its run. */
function loads(name: string): Action {
  return async (process) => void right(await loadState(process(name).store)(stateAt(0))());
}

/** A process saves the state at a step, or is overtaken. */
function savesOrNot(name: string, step: number): Action {
  return async (process) => {
    const saved = await process(name).save(step);
    if (saved._tag === "Left") assert.equal(saved.left._tag, "Overtaken", JSON.stringify(saved.left));
  };
}

/** A process removes a checkpoint. */
function removes(name: string, checkpoint: number): Action {
  return async (process) => right(await process(name).store.remove(checkpoint)());
}

function inTurn(...actions: readonly Action[]): Action {
  return async (process) => {
    for (const action of actions) await action(process);
  };
}

function together(...actions: readonly Action[]): Action {
  return async (process) => void await Promise.all(actions.map((action) => action(process)));
}

const scenarios = {
  "a first save, which makes the folders": { during: saves("a", 1) },
  "a later save": { before: saves("a", 1), during: saves("a", 2) },
  "a save that links a file": { before: saves("a", 1), during: saves("a", 2, linking(0)) },
  "a save that links a file, and the removal of the one it links": {
    before: saves("a", 1),
    during: inTurn(saves("a", 2, linking(0)), removes("a", 0)),
  },
  "a save that keeps only itself": { keep: Retention.latest(1), before: saves("a", 1), during: saves("a", 2) },
  "two saves that keep two": {
    keep: Retention.latest(2),
    before: inTurn(saves("a", 1), saves("a", 2)),
    during: inTurn(saves("a", 3), saves("a", 4)),
  },
  "two first saves at once": { during: together(saves("a", 1), saves("b", 2)), schedules: interrupted },
  "two later saves at once": {
    before: saves("a", 1),
    during: together(saves("a", 2), saves("b", 3)),
    schedules: interrupted,
  },
  "two saves at once of one run": {
    before: inTurn(saves("a", 1), loads("b")),
    during: together(savesOrNot("a", 2), savesOrNot("b", 3)),
    schedules: () => interrupted(3),
  },
  "two saves at once of two runs, keeping one checkpoint each": {
    keep: Retention.latest(1),
    before: inTurn(saves("a", 1), saves("b", 2)),
    during: together(saves("a", 3), saves("b", 4)),
    schedules: () => interrupted(7),
  },
} satisfies Readonly<Record<string, Scenario>>;

/** Asserts that no state violates the law, and prints how much was tried. */
function holds(name: string, all: readonly Explored[]): void {
  for (const { broken } of all) assert.deepEqual(broken, []);
  const sum = (count: (one: Explored) => number): number => all.reduce((total, one) => total + count(one), 0);
  const counts = [sum(({ points }) => points), sum(({ outcomes }) => outcomes), sum(({ states }) => states.length)];
  console.log(`${counts.map((n) => String(n).padStart(7)).join("")}  crash points, outcomes, states: ${name}`);
  assert.ok(counts.every((n) => n > 10));
}

/** A disk like overlayfs: a folder of a lower layer cannot be renamed. */
function layered(disk: FileSystem): FileSystem {
  return {
    ...disk,
    rename: (from, to) =>
      /checkpoint_[0-9]+$/.test(from)
        ? TE.left(storeFailed("rename", to, "EXDEV", "another layer"))
        : disk.rename(from, to),
  };
}

for (
  const [name, scenario] of Object.entries(
    {
      "saves that keep one, and remove in place": {
        keep: Retention.latest(1),
        before: saves("a", 1),
        during: inTurn(saves("a", 2), saves("a", 3)),
      },
      "a removal in place, while another process saves": {
        before: inTurn(saves("a", 1), saves("a", 2)),
        during: together(removes("a", 0), saves("b", 3)),
        schedules: interrupted,
      },
    } satisfies Readonly<Record<string, Scenario>>,
  )
) {
  test(`old or new: every state after a crash in ${name}`, async () =>
    holds(name, [await explore(scenario, { disk: layered })]));
}

for (const [name, scenario] of Object.entries(scenarios)) {
  test(`old or new: every state after a crash in ${name}`, async () => holds(name, [await explore(scenario)]));
}

test("old or new: every state after a crash in a save, from every state after an earlier crash", async () => {
  const explored: Explored[] = [];
  const known = new Map<string, State>();
  for (const start of (await explore(scenarios["a save that keeps only itself"])).states) {
    explored.push(await explore({ start, during: saves("c", 9) }, {}, known));
  }
  holds("a save from every state after an earlier crash", explored);
});

/**
 * Runs processes that save concurrently, each keeping one checkpoint. Returns the numbers of their checkpoints in ascending order.
 *
 * @param plan The steps to save, by process.
 * @param schedule The order of their operations.
 * @param beside Another program that uses the disk.
 */
async function numbersOf(
  plan: Readonly<Record<string, readonly number[]>>,
  schedule: Schedule,
  beside: (disk: FileSystem) => Promise<unknown> = () => Promise.resolve(),
): Promise<readonly number[]> {
  const simulated = machine(blank, { schedule });
  const numbers: number[] = [];
  const save = async (name: string, steps: readonly number[]): Promise<void> => {
    const store = directoryOn(simulated.process(name))(path, { keep: Retention.latest(1) });
    for (const step of steps) numbers.push(right(await saveState(store)(stateAt(step))()).checkpoint);
  };
  await Promise.all([
    beside(simulated.process("user")),
    ...Object.entries(plan).map(([name, steps]) => save(name, steps)),
  ]);
  const left = right(await simulated.process("later").names(folder)());
  assert.deepEqual(left.filter((name) => !/^checkpoint_/.test(name)), []);
  return numbers.sort((a, b) => a - b);
}

test("numbers: unique and consecutive when two writers pause at any point while a third saves with latest(1)", async () => {
  for (let [i, over] = [0, false]; !over; i++) {
    for (let j = 0; j < 60; j += Math.ceil(6 / torture)) {
      const turns: readonly Turn[] = [["a", i], ["c", j], ["b", Infinity], ["c", Infinity], ["a", Infinity]];
      const numbers = await numbersOf({ a: [1], b: [2, 3, 4], c: [5] }, inTurns(turns, () => over = true));
      assert.deepEqual(numbers, [0, 1, 2, 3, 4], `after ${i} and ${j} operations`);
    }
  }
});

test("numbers: unique when any writers pause at any point, and when another program makes folders with their names", async () => {
  const turns = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d", "user"), fc.nat(60)), { maxLength: 16 });
  await fc.assert(
    fc.asyncProperty(turns, fc.array(fc.nat(5), { maxLength: 3 }), async (turns, taken) => {
      const intrude = async (disk: FileSystem): Promise<void> => {
        for (const number of taken) await disk.makeFolder(`${folder}/checkpoint_${number}`)();
      };
      const plan = { a: [1, 2], b: [3, 4, 5], c: [6, 7], d: [8] };
      const numbers = await numbersOf(plan, inTurns(turns, () => {}), intrude);
      assert.equal(new Set(numbers).size, numbers.length, `${numbers}`);
      if (taken.length === 0) assert.equal(numbers.at(-1), numbers.length - 1, `${numbers}`);
    }),
    { numRuns: 200 * torture },
  );
});

interface Failure {
  /** How many consecutive operations fail. */
  readonly operations: number;
  /** The process that saves next. */
  readonly next: string;
  readonly keep?: Retention.Retention;
}

const failures: Readonly<Record<string, Failure>> = {
  "one operation of a save fails, and the process saves again": { operations: 1, next: "a" },
  "all operations of a save fail from one on, and the process saves again": { operations: Infinity, next: "a" },
  "a process is killed during a save, and another one saves": {
    operations: Infinity,
    next: "b",
    keep: Retention.latest(1),
  },
};

for (const [name, { operations, next, keep }] of Object.entries(failures)) {
  test(`old or new: every state after a crash when ${name}`, async () => {
    const explored: Explored[] = [];
    for (let first = 0, over = false; !over; first += Math.ceil(36 / torture ** 2)) {
      let [i, mended] = [0, false];
      const fails = (operation: Operation): Answer => {
        const place = i++ - first;
        return mended || place < 0 || place >= operations ? undefined : fault(operation, "EIO");
      };
      const during = inTurn(
        async (process) => {
          over = (await process("a").save(2))._tag === "Right" && i <= first;
          mended = next === "a";
        },
        saves(next, 3),
      );
      explored.push(
        await explore({ ...(keep && { keep }), before: saves("a", 1), during, status: "dead" }, {
          disk: (disk, process) => process === "a" ? watched(disk, fails) : disk,
        }),
      );
    }
    holds(name, explored);
  });
}

// --- broken protocols

/** A disk on which paths are replaced. */
function redirected(disk: FileSystem, to: (path: string) => string): FileSystem {
  return {
    ...disk,
    makeFolder: (path) => disk.makeFolder(to(path)),
    create: (path) => disk.create(to(path)),
    open: (path) => disk.open(to(path)),
    status: (path) => disk.status(to(path)),
    names: (path) => disk.names(to(path)),
    link: (from, path) => disk.link(to(from), to(path)),
    rename: (from, path) => disk.rename(to(from), to(path)),
    removeFile: (path) => disk.removeFile(to(path)),
    removeFolder: (path) => disk.removeFolder(to(path)),
    syncFolder: (path) => disk.syncFolder(to(path)),
  };
}

/** A disk that skips every operation with a name. */
function without(left: Operation["name"]): (disk: FileSystem) => FileSystem {
  return (disk) => watched(disk, ({ name }) => name === left ? "skip" : undefined);
}

/** Ways to break the protocol, and the violation that must be found. */
const mutations: Readonly<Record<string, Mutation & { readonly of: Scenario; readonly violation: RegExp }>> = {
  "no fsync of files": {
    of: scenarios["a later save"],
    violation: /^1 is lost|^{"_tag":"Damaged","checkpoint":1/,
    disk: without("sync"),
  },
  "the rename comes before the manifest": {
    of: scenarios["a later save"],
    violation: /^{"_tag":"Damaged","checkpoint":1.*the manifest/,
    disk: (disk) => {
      let renamed: readonly [from: string, to: string] | undefined;
      const moved = redirected(
        disk,
        (path) => renamed === undefined ? path : path.replace(...renamed),
      );
      return {
        ...moved,
        // The save must not find its own checkpoint when it searches for the next number.
        names: (path) =>
          pipe(disk.names(path), TE.map((names) => names.filter((name) => `${path}/${name}` !== renamed?.[1]))),
        create: (path) => {
          const own = posix.dirname(path);
          if (posix.basename(path) !== "snapshot.json") return moved.create(path);
          const to = `${folder}/checkpoint_1`;
          return pipe(
            disk.rename(own, to),
            TE.flatMap(() => {
              renamed = [own, to];
              return moved.create(path);
            }),
          );
        },
        rename: (from, to) => from === renamed?.[0] ? nothing : disk.rename(from, to),
      };
    },
  },
  "an old checkpoint is removed in place": {
    of: scenarios["a save that keeps only itself"],
    violation: /^{"_tag":"Damaged","checkpoint":0/,
    disk: (disk) => {
      const old = new Map<string, string>();
      const inPlace = redirected(
        disk,
        (path) => [...old].reduce((path, [removing, checkpoint]) => path.replace(removing, checkpoint), path),
      );
      return {
        ...inPlace,
        rename: (from, to) => {
          if (!posix.basename(to).startsWith(".removing-")) return disk.rename(from, to);
          old.set(to, from);
          return nothing;
        },
      };
    },
  },
  "no fsync of folders": {
    of: scenarios["a later save"],
    violation: /^1 is lost/,
    disk: without("syncFolder"),
  },
  "retention comes before the commit": {
    of: scenarios["two saves that keep two"],
    violation: /^1 is lost/,
    store: (store) => ({
      ...store,
      begin: pipe(
        store.begin,
        TE.map((saving): Saving => ({
          ...saving,
          commit: (manifest, after) =>
            pipe(
              store.list,
              TE.flatMap(TE.traverseSeqArray(store.remove)),
              TE.flatMap((): ReturnType<Saving["commit"]> => saving.commit(manifest, after)),
            ),
        })),
      ),
    }),
  },
};

for (const [name, { of, violation: expected, ...mutation }] of Object.entries(mutations)) {
  test(`a broken protocol is detected: ${name}`, async () => {
    const { broken } = await explore(of, mutation);
    assert.ok(broken.some((why) => expected.test(why)), `found:\n${broken.join("\n")}`);
  });
}

/** Skips one `fsync`, by its position among all, and reports its path. */
function skipping(position: number, onSkip: (path: string) => void): (disk: FileSystem) => FileSystem {
  let i = 0;
  return (disk) =>
    watched(disk, ({ name, path }) => {
      if (!["sync", "syncFolder"].includes(name) || i++ !== position) return undefined;
      onSkip(path);
      return "skip";
    });
}

for (
  const [name, count] of [
    ["a first save, which makes the folders", 9],
    ["a later save", 6],
    ["a save that keeps only itself", 7],
  ] as const
) {
  test(`durability: each of the ${count} fsyncs is necessary in ${name}`, async () => {
    const known = new Map<string, State>();
    for (let place = 0;; place++) {
      let left: string | undefined;
      const { broken } = await explore(scenarios[name], { disk: skipping(place, (path) => left = path) }, known);
      if (left === undefined) return assert.equal(place, count);
      assert.ok(broken.length > 0, `nothing breaks without the fsync of ${left}`);
    }
  });
}
