/**
 * All states that a crash can leave while the store's own code saves on a simulated disk.
 *
 * The power fails after each of its operations. From every state that the disk may then be in, the store's own code loads every checkpoint
 * and saves again. The contents of temporary folders do not matter, because reading them throws. Of all other states, each is tried once.
 *
 * @module
 */

import type { Either } from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import assert from "node:assert/strict";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import type { FileSystem, ProcessStatus } from "../../lib/store/directory/file_system.ts";
import { readSummary } from "../../lib/checkpoint/entries.ts";
import type { StoreFailed } from "../../lib/errors/errors.ts";
import { digester, type PartDigest } from "../../lib/store/digest.ts";
import { type Saving, type Store, storeFailed } from "../../lib/store/store.ts";
import {
  loadState,
  readSnapshot,
  restoreState,
  type Retention,
  type Saved,
  type SaveError,
  saveState,
} from "../../mod.ts";
import { blank, type Image, imageOf, machine, remains, type Schedule, stateOf, type Tree } from "./simulated_disk.ts";
import { linux, type Profile } from "./profiles.ts";
import { torture } from "./torture.ts";

// --- the state

interface Trained {
  readonly step: number;
  readonly model: Float32Array;
  readonly rng: Uint8Array;
}

/** The state at a step. The model never changes. */
export function stateAt(step: number): Trained {
  return { step, model: Float32Array.of(1, 2, 3, 4), rng: Uint8Array.of(step, 1, 2, 3, 4, 5, 6, 7) };
}

/** The folder of the run. */
export const path: string = "/runs/digits";
/** The folder of its checkpoints. */
export const folder: string = `${path}/checkpoints`;

/** Whether a folder with this name belongs to an unfinished save or removal. */
function isUnfinished(name: string): boolean {
  return /^\.(saving|removing)-/.test(name);
}

export function right<A>(result: Either<unknown, A>): A {
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
export function linking(from: number): (store: Store) => Store {
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

/** A task that does nothing. */
export const nothing: TE.TaskEither<never, undefined> = TE.right(undefined);

// --- crashes

/** The requirements after a crash. */
interface Law {
  /** The step of each checkpoint that must exist. */
  readonly kept: ReadonlyMap<number, number>;
  /** All steps that may be found. */
  readonly steps: readonly number[];
}

/** A process of a scenario. */
export interface Process {
  /** Its store; with a mutation, a broken one. */
  readonly store: Store;
  /** Saves the state at a step to the store, or to a store made from it. */
  readonly save: (step: number, through?: (store: Store) => Store) => Promise<Either<SaveError, Saved>>;
}

/** An action of one or more processes. */
export type Action = (process: (name: string) => Process) => Promise<void>;

export interface Scenario {
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
  /**
   * The system of the disk.
   * @default a local Linux disk
   */
  readonly profile?: Profile;
  /** The orders in which concurrent operations are executed. */
  readonly schedules?: () => Iterable<() => Schedule>;
}

/** A way to break the protocol. */
export interface Mutation {
  readonly disk?: (disk: FileSystem, process: string) => FileSystem;
  readonly store?: (store: Store) => Store;
}

/** A state that a crash may leave. */
export interface State {
  readonly tree: Tree;
  /** The steps of the checkpoints, all of which load. */
  readonly found: ReadonlyMap<number, number>;
  /** What failed. */
  readonly trouble?: string;
}

/** The result of an exploration. */
export interface Explored {
  /** The number of crash points that were tried. */
  readonly points: number;
  /** The number of states, counted for each crash point. */
  readonly outcomes: number;
  /** The states that a reader can tell apart. */
  readonly states: readonly State[];
  /** Violations of the law, with their states. */
  readonly broken: readonly string[];
}

/** Starts again after a crash: every checkpoint loads, the next save succeeds, and it removes the orphans. */
async function recover(tree: Tree, profile: Profile): Promise<State> {
  const statusOf = () => "unknown" as const;
  const disk = machine(imageOf(tree), { clock: 2 * 3_600_000, statusOf, profile }).process("later");
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
  { start, keep, status = "alive", profile = linux, before, during }: Scenario,
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
    profile,
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
 * A scenario with several schedules, or after an earlier crash, leaves thousands of states. With less than torture 4 it crashes after each
 * third operation only, and of the states that it then leaves each third is tried.
 *
 * @param known States by key. Scenarios whose processes make the same files in the same order can share it.
 * @param enough Whether to end at this violation. By default all are searched for.
 */
export async function explore(
  scenario: Scenario,
  mutation: Mutation = {},
  known: Map<string, State> = new Map(),
  enough: (why: string) => boolean = () => false,
): Promise<Explored> {
  const apart = torture >= 4 || (scenario.schedules === undefined && scenario.start === undefined) ? 1 : 3;
  const points = new Set<string>();
  /** The states that were met, and whether they are tried. */
  const met = new Map<string, boolean>();
  const states = new Map<string, State>();
  const broken: string[] = [];
  let outcomes = 0;
  const explored = (): Explored => ({
    points: Math.floor(points.size / apart),
    outcomes,
    states: [...states.values()],
    broken,
  });
  for (const schedule of scenario.schedules?.() ?? [late]) {
    for (const [image, law] of await crashesIn(scenario, mutation, schedule())) {
      const lawful = JSON.stringify([[...law.kept], law.steps]);
      const point = `${stateOf(image)} ${lawful}`;
      if (points.has(point)) continue;
      points.add(point);
      if (points.size % apart !== 0) continue;
      for (const { key, tree } of remains(image, isUnfinished)) {
        const tried = met.get(key) ?? met.size % apart === 0;
        met.set(key, tried);
        if (!tried) continue;
        outcomes++;
        const state = known.get(key) ?? await recover(tree, scenario.profile ?? linux);
        known.set(key, state);
        states.set(key, state);
        const why = violation(state, law);
        if (why === undefined) continue;
        broken.push(`${why} after ${lawful}: ${key}`);
        if (enough(why)) return explored();
      }
    }
  }
  return explored();
}

// --- schedules and actions

/** A process, and how many operations it executes before it is paused. */
export type Turn = readonly [process: string, operations: number];

/** Executes one turn after the other, then operations as they come; `over` is called if the first process ends within its turn. */
export function inTurns(turns: readonly Turn[], over: () => void): Schedule {
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
export function* interrupted(apart = 1): Generator<() => Schedule> {
  for (let k = 0; k < Math.min(3, Math.ceil(torture / 2)); k++) {
    let over = false;
    for (let i = k % apart; !over; i += apart) {
      const turns: readonly Turn[] = [["a", i], ["b", k === 0 ? Infinity : (7 * k + i) % 50], ["a", Infinity]];
      yield () => inTurns(turns, () => over = true);
    }
  }
}

/** A process saves the state at a step. */
export function saves(name: string, step: number, through?: (store: Store) => Store): Action {
  return async (process) => void right(await process(name).save(step, through));
}

/** A process loads the newest checkpoint, and so continues its run. */
export function loads(name: string): Action {
  return async (process) => void right(await loadState(process(name).store)(stateAt(0))());
}

/** A process saves the state at a step, or is overtaken. */
export function savesOrNot(name: string, step: number): Action {
  return async (process) => {
    const saved = await process(name).save(step);
    if (saved._tag === "Left") assert.equal(saved.left._tag, "Overtaken", JSON.stringify(saved.left));
  };
}

/** A process removes a checkpoint. */
export function removes(name: string, checkpoint: number): Action {
  return async (process) => right(await process(name).store.remove(checkpoint)());
}

export function inTurn(...actions: readonly Action[]): Action {
  return async (process) => {
    for (const action of actions) await action(process);
  };
}

export function together(...actions: readonly Action[]): Action {
  return async (process) => void await Promise.all(actions.map((action) => action(process)));
}

/** Asserts that no state violates the law, and prints how much was tried. */
export function holds(name: string, all: readonly Explored[]): void {
  for (const { broken } of all) assert.deepEqual(broken, []);
  const sum = (count: (one: Explored) => number): number => all.reduce((total, one) => total + count(one), 0);
  const counts = [sum(({ points }) => points), sum(({ outcomes }) => outcomes), sum(({ states }) => states.length)];
  console.log(`${counts.map((n) => String(n).padStart(7)).join("")}  crash points, outcomes, states: ${name}`);
  assert.ok(counts.every((n) => n > 10));
}

/** A disk like overlayfs: a folder of a lower layer cannot be renamed. */
export function layered(disk: FileSystem): FileSystem {
  return {
    ...disk,
    rename: (from, to) =>
      /checkpoint_[0-9]+$/.test(from)
        ? TE.left(storeFailed("rename", to, "EXDEV", "another layer"))
        : disk.rename(from, to),
  };
}
