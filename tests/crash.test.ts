/**
 * Law *old or new*, in every state that a crash can leave: the store's own program runs on a simulated disk, the power goes after each of
 * its operations, and the store's own code reads whatever may then be left, and goes on from it.
 *
 * What is in leftovers is not told apart, as nobody reads it: reading it throws. All other states are tried, each once.
 */

import type { Either } from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import assert from "node:assert/strict";
import { posix } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { directoryOn } from "../lib/directory.ts";
import type { FileSystem, ProcessStatus } from "../lib/disk.ts";
import { readSummary } from "../lib/catalogue.ts";
import type { StoreFailed } from "../lib/errors.ts";
import { digester, type PartDigest } from "../lib/digest.ts";
import { type Saving, type Store, storeFailed } from "../lib/store.ts";
import { loadState, readSnapshot, restoreState, Retention, type Saved, type SaveError, saveState } from "../mod.ts";
import { blank, type Image, imageOf, machine, remains, type Schedule, stateOf, type Tree } from "./simulated_disk.ts";
import { type Answer, fault, type Operation, watched } from "./watched_disk.ts";

const torture = Number(process.env["DOGEAR_TORTURE"] ?? 1);

// --- what is saved

interface Trained {
  readonly step: number;
  readonly model: Float32Array;
  readonly rng: Uint8Array;
}

/** The state at a step; its model never changes. */
function stateAt(step: number): Trained {
  return { step, model: Float32Array.of(1, 2, 3, 4), rng: Uint8Array.of(step, 1, 2, 3, 4, 5, 6, 7) };
}

const path = "/runs/digits";
const folder = `${path}/checkpoints`;

/** Whether a folder of this name is what a save or a removal has left. */
function isLeftover(name: string): boolean {
  return /^\.(saving|removing)-/.test(name);
}

function right<A>(result: Either<unknown, A>): A {
  return result._tag === "Right" ? result.right : assert.fail(JSON.stringify(result.left));
}

/** The step of a checkpoint, read whole by the code that loads. */
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

// --- what crashes

/** What must hold after a crash. */
interface Law {
  /** The step of each checkpoint that must be there. */
  readonly kept: ReadonlyMap<number, number>;
  /** Every step that may be found. */
  readonly steps: readonly number[];
}

/** A process of a scenario. */
interface Process {
  /** Its one store; with a mutation, a broken one. */
  readonly store: Store;
  /** Saves the state at a step through the store, or through what is made of it. */
  readonly save: (step: number, through?: (store: Store) => Store) => Promise<Either<SaveError, Saved>>;
}

/** Something that processes do. */
type Deed = (process: (name: string) => Process) => Promise<void>;

interface Scenario {
  /** What an earlier crash has left; a blank disk if not said. */
  readonly start?: State;
  /** The retention policy of all its stores. */
  readonly keep?: Retention.Retention;
  /** What is done before, all of it durable. */
  readonly before?: Deed;
  /** What the power goes in. */
  readonly during: Deed;
  /**
   * What processes know of each other.
   * @default "alive"
   */
  readonly fate?: ProcessStatus;
  /** In which orders operations that wait at the same time are done. */
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
  /** The steps of the checkpoints in it, all of which load whole. */
  readonly found: ReadonlyMap<number, number>;
  /** What went wrong there. */
  readonly trouble?: string;
}

/** What was tried. */
interface Explored {
  readonly points: number;
  /** How many states may be left, those after different points counted each. */
  readonly outcomes: number;
  /** Those that differ to a reader. */
  readonly states: readonly State[];
  /** Where the law does not hold, and why. */
  readonly broken: readonly string[];
}

/** Starts again after a crash: all that is there loads whole, the next save works, and it sweeps what the crash has left. */
async function recover(tree: Tree): Promise<State> {
  const fateOf = () => "unknown" as const;
  const disk = machine(imageOf(tree), { clock: 2 * 3_600_000, fateOf }).process("later");
  const open = (path: string): ReturnType<FileSystem["open"]> => {
    assert.ok(!path.split("/").some(isLeftover), `${path} was read`);
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

/** Why the law does not hold in a state. */
function violation({ found, trouble }: State, { kept, steps }: Law): string | undefined {
  if (trouble !== undefined) return trouble;
  const lost = [...kept].find(([checkpoint, step]) => found.get(checkpoint) !== step);
  if (lost !== undefined) return `${lost[0]} is lost`;
  const invented = [...found.values()].find((step) => !steps.includes(step));
  return invented === undefined ? undefined : `step ${invented} was never saved`;
}

/** One after the other as they are asked for, but a `fsync` only when nothing else waits. */
function late(): Schedule {
  return (waiting) => Math.max(0, waiting.findIndex(({ operation }) => operation !== "sync"));
}

/** One value or another, as it is used. */
function either<A extends object>(which: () => boolean, yes: A, no: A): A {
  return new Proxy(no, { get: (_, name) => Reflect.get(which() ? yes : no, name) });
}

/** A store that tells of its promises: each commit that resolves, and each removal that begins. */
function telling(store: Store, committed: (checkpoint: number) => void, removed: (checkpoint: number) => void): Store {
  const tell = (saving: Saving): Saving => ({
    ...saving,
    commit: (manifest, after) =>
      pipe(saving.commit(manifest, after), TE.map((checkpoint) => (committed(checkpoint), checkpoint))),
  });
  return {
    ...store,
    begin: pipe(store.begin, TE.map(tell)),
    remove: (checkpoint) => {
      removed(checkpoint);
      return store.remove(checkpoint);
    },
  };
}

/** Goes through a scenario once: the disk after each operation, and what must hold if the power goes then. */
async function crashesIn(
  { start, keep, fate = "alive", before, during }: Scenario,
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
    fateOf: () => fate,
  });

  const begin = (name: string): Process => {
    let step = 0;
    const committed = (checkpoint: number): void => {
      assert.ok(!kept.has(checkpoint), `${checkpoint} was given twice`);
      kept.set(checkpoint, step);
      crash();
    };
    // Whoever removes a checkpoint lets go of it, but never of the newest.
    const removed = (checkpoint: number): void => {
      if (checkpoint < Math.max(...kept.keys())) kept.delete(checkpoint);
    };
    const disk = simulated.process(name);
    const own = directoryOn(either(() => crashing, mutation.disk?.(disk, name) ?? disk, disk));
    const sound = telling(own(path, keep && { keep }), committed, removed);
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
 * Crashes a scenario after each operation in every way there is.
 *
 * @param known States by their keys, which scenarios may share whose processes make the same files in the same order.
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
      for (const { key, tree } of remains(image, isLeftover)) {
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

/** A process, and how many operations of it are done before it is held up. */
type Turn = readonly [process: string, operations: number];

/** One turn after the other, then each as it comes; `over` is told if the first process ends within its turn. */
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
 * One of two processes that do the same is held up at each of its operations, or at some that are so far apart, while the other runs to its
 * end; with more torture again at others, while the other runs for some operations.
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
function saves(name: string, step: number, through?: (store: Store) => Store): Deed {
  return async (process) => void right(await process(name).save(step, through));
}

/** A process loads the newest checkpoint, so that it goes on with its run. */
function loads(name: string): Deed {
  return async (process) => void right(await loadState(process(name).store)(stateAt(0))());
}

/** A process saves the state at a step, or is overtaken; in the end one of two must have saved. */
function savesOrNot(name: string, step: number): Deed {
  return async (process) => {
    const saved = await process(name).save(step);
    if (saved._tag === "Left") assert.equal(saved.left._tag, "Overtaken", JSON.stringify(saved.left));
  };
}

/** A process removes a checkpoint. */
function removes(name: string, checkpoint: number): Deed {
  return async (process) => right(await process(name).store.remove(checkpoint)());
}

function inTurn(...deeds: readonly Deed[]): Deed {
  return async (process) => {
    for (const deed of deeds) await deed(process);
  };
}

function together(...deeds: readonly Deed[]): Deed {
  return async (process) => void await Promise.all(deeds.map((deed) => deed(process)));
}

const scenarios = {
  "a first save, whose folders are not there": { during: saves("a", 1) },
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
  "two saves at once of runs that keep one each": {
    keep: Retention.latest(1),
    before: inTurn(saves("a", 1), saves("b", 2)),
    during: together(saves("a", 3), saves("b", 4)),
    schedules: () => interrupted(7),
  },
} satisfies Readonly<Record<string, Scenario>>;

/** Sees that no state broke the law, and writes down what was tried, for who runs this file alone. */
function holds(name: string, all: readonly Explored[]): void {
  for (const { broken } of all) assert.deepEqual(broken, []);
  const sum = (count: (one: Explored) => number): number => all.reduce((total, one) => total + count(one), 0);
  const counts = [sum(({ points }) => points), sum(({ outcomes }) => outcomes), sum(({ states }) => states.length)];
  console.log(`${counts.map((n) => String(n).padStart(7)).join("")}  crash points, outcomes, states: ${name}`);
  assert.ok(counts.every((n) => n > 10));
}

/** A disk like overlayfs: a folder that is there already, in a lower layer, cannot be renamed. */
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
  test(`old or new: whatever a crash leaves of ${name}`, async () =>
    holds(name, [await explore(scenario, { disk: layered })]));
}

for (const [name, scenario] of Object.entries(scenarios)) {
  test(`old or new: whatever a crash leaves of ${name}`, async () => holds(name, [await explore(scenario)]));
}

test("old or new: whatever a crash leaves of a save into whatever a crash has left", async () => {
  const explored: Explored[] = [];
  const known = new Map<string, State>();
  for (const start of (await explore(scenarios["a save that keeps only itself"])).states) {
    explored.push(await explore({ start, during: saves("c", 9) }, {}, known));
  }
  holds("a save into whatever a crash has left", explored);
});

/**
 * Processes save at once, each keeping one checkpoint: the numbers that they are given, in ascending order.
 *
 * @param plan The steps that each process saves.
 * @param schedule In which order their operations are done.
 * @param beside What else goes on.
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

test("no number twice and none left out, wherever two saves stand still while another process saves and keeps one", async () => {
  for (let [i, over] = [0, false]; !over; i++) {
    for (let j = 0; j < 60; j += Math.ceil(6 / torture)) {
      const turns: readonly Turn[] = [["a", i], ["c", j], ["b", Infinity], ["c", Infinity], ["a", Infinity]];
      const numbers = await numbersOf({ a: [1], b: [2, 3, 4], c: [5] }, inTurns(turns, () => over = true));
      assert.deepEqual(numbers, [0, 1, 2, 3, 4], `after ${i} and ${j} operations`);
    }
  }
});

test("no number twice, whoever stands still wherever, and though somebody makes folders with their names", async () => {
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
  /** How many operations fail, one after the other. */
  readonly operations: number;
  /** The process that saves next. */
  readonly next: string;
  readonly keep?: Retention.Retention;
}

const failures: Readonly<Record<string, Failure>> = {
  "an operation of a save fails, and the process saves again": { operations: 1, next: "a" },
  "every operation of a save fails from one on, and the process saves again": { operations: Infinity, next: "a" },
  "a process is killed in a save, and another one saves": {
    operations: Infinity,
    next: "b",
    keep: Retention.latest(1),
  },
};

for (const [name, { operations, next, keep }] of Object.entries(failures)) {
  test(`old or new: ${name}, whatever a crash leaves at any moment`, async () => {
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
        await explore({ ...(keep && { keep }), before: saves("a", 1), during, fate: "dead" }, {
          disk: (disk, process) => process === "a" ? watched(disk, fails) : disk,
        }),
      );
    }
    holds(name, explored);
  });
}

// --- broken protocols

/** A disk on which some paths lead elsewhere. */
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

/** A disk that leaves out every operation of a name. */
function without(left: Operation["name"]): (disk: FileSystem) => FileSystem {
  return (disk) => watched(disk, ({ name }) => name === left ? "leave out" : undefined);
}

/** Ways to break the protocol, and what then comes out. */
const mutations: Readonly<Record<string, Mutation & { readonly of: Scenario; readonly caught: RegExp }>> = {
  "no fsync of files": {
    of: scenarios["a later save"],
    caught: /^1 is lost|^{"_tag":"Damaged","checkpoint":1/,
    disk: without("sync"),
  },
  "the rename before the manifest": {
    of: scenarios["a later save"],
    caught: /^{"_tag":"Damaged","checkpoint":1.*the manifest/,
    disk: (disk) => {
      let renamed: readonly [from: string, to: string] | undefined;
      const moved = redirected(
        disk,
        (path) => renamed === undefined ? path : path.replace(...renamed),
      );
      return {
        ...moved,
        // The save is not to find its own checkpoint where it looks for the next number.
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
  "an old checkpoint unlinked in place": {
    of: scenarios["a save that keeps only itself"],
    caught: /^{"_tag":"Damaged","checkpoint":0/,
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
    caught: /^1 is lost/,
    disk: without("syncFolder"),
  },
  "retention before the commit": {
    of: scenarios["two saves that keep two"],
    caught: /^1 is lost/,
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

for (const [name, { of, caught, ...mutation }] of Object.entries(mutations)) {
  test(`a broken protocol is caught: ${name}`, async () => {
    const { broken } = await explore(of, mutation);
    assert.ok(broken.some((why) => caught.test(why)), `found:\n${broken.join("\n")}`);
  });
}

/** Leaves one `fsync` out, by its place among all of them, and tells of which. */
function lacking(place: number, told: (path: string) => void): (disk: FileSystem) => FileSystem {
  let i = 0;
  return (disk) =>
    watched(disk, ({ name, path }) => {
      if (!["sync", "syncFolder"].includes(name) || i++ !== place) return undefined;
      told(path);
      return "leave out";
    });
}

for (
  const [name, count] of [
    ["a first save, whose folders are not there", 9],
    ["a later save", 6],
    ["a save that keeps only itself", 7],
  ] as const
) {
  test(`every single fsync is needed: of ${count} in ${name}`, async () => {
    const known = new Map<string, State>();
    for (let place = 0;; place++) {
      let left: string | undefined;
      const { broken } = await explore(scenarios[name], { disk: lacking(place, (path) => left = path) }, known);
      if (left === undefined) return assert.equal(place, count);
      assert.ok(broken.length > 0, `nothing breaks without the fsync of ${left}`);
    }
  });
}
