/**
 * Laws of runs of `tests/programs/saves.ts` in a folder of any file system, or in a bucket: killed at any moment, several at once, and with a reader beside them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import type { OpenPart } from "../../lib/store/mod.ts";
import { directory, list, readSnapshot, restoreState, runOrThrow, type Store } from "../../mod.ts";
import { type State, stateAt } from "../programs/saves.ts";
import { here, run, type Runtime, start, there } from "./children.ts";
import { storeAt } from "./stores.ts";

// --- types

/** A run that is killed again and again. */
export interface KilledRun {
  readonly path: string;
  /** How many checkpoints it keeps, 0 for all. */
  readonly keep: number;
  /** The step of its newest checkpoint, 0 without one. */
  readonly newest: number;
  /** How many checkpoints it has. */
  readonly count: number;
}

// --- constructors

/** Whether the system tells if a process has ended. Elsewhere an orphan stays for an hour. */
export const knowsProcesses: boolean = !(await localFileSystem.processId()).startsWith("unknown");

// --- combinators

/** The names in the folder of the checkpoints that are not checkpoints. */
export async function orphansIn(path: string): Promise<readonly string[]> {
  return (await readdir(join(path, "checkpoints"))).filter((name) => !name.startsWith("checkpoint_"));
}

/** The steps of the checkpoints of a store, after loading each and comparing every byte. */
export async function wholeSteps(store: Store): Promise<readonly number[]> {
  const steps: number[] = [];
  const { entries, damaged } = await runOrThrow(list(store));
  assert.deepEqual(damaged, []);
  for (const { checkpoint, step } of entries) {
    using snapshot = await runOrThrow(readSnapshot(store, { checkpoint }));
    const state = restoreState(snapshot);
    assert(state._tag === "Right");
    assert.deepEqual(state.right, stateAt(step ?? -1));
    steps.push((state.right as State).step);
  }
  return steps;
}

/** Kills a run shortly after a few saves. Returns the step from which it started, and the last step that it reported as saved. */
async function killOnce(
  runtime: Runtime,
  { path, keep }: KilledRun,
): Promise<{ readonly from: number; readonly saved: number }> {
  let saves = Math.floor(Math.random() * 6);
  const child = start(runtime, "saves.ts", [path, `${keep}`, "1e9"], {
    onLine: () => {
      if (saves-- === 0) setTimeout(() => child.kill("SIGKILL"), Math.random() * 20);
    },
  });
  const { signal, code, lines, errors } = await child.ended;
  assert.equal(signal, "SIGKILL", `${runtime} ended by itself with ${code}:\n${errors}`);
  const [from = NaN] = lines.slice(0, 1).map((line) => Number(line.split(" ")[1]));
  // The kill may have cut off the last line.
  const saved = lines.flatMap((line) => /^saved (\d+) \d+$/.exec(line)?.[1] ?? []).map(Number);
  return { from, saved: saved.at(-1) ?? from };
}

/** Resumes a run, kills it at any moment, and checks that the store has the newest checkpoint whole and those that retention keeps. */
export async function kill(runtime: Runtime, killed: KilledRun): Promise<KilledRun> {
  const { path, keep, newest, count } = killed;
  const { from, saved } = await killOnce(runtime, killed);
  assert.equal(from, newest, "it did not resume from the newest");
  const steps = await wholeSteps(storeAt(path));
  const found = steps.at(-1) ?? 0;
  assert.ok(found === saved || found === saved + 1, `step ${saved} was saved, ${found} is the newest`);
  // A run killed between a commit and its retention leaves one checkpoint more. A reported save has removed those of earlier kills.
  if (keep > 0) assert.ok(steps.length <= (saved > from ? keep : count) + 1, `${steps} of ${saved} and ${count}`);
  else assert.deepEqual(steps, Array.from(steps, (_, i) => found - steps.length + 1 + i));
  return { path, keep, newest: found, count: steps.length };
}

/** Several processes save into one store, each a run of its own that keeps two: no save fails, no number is used twice, each keeps its two. */
export async function saveTogether(path: string, runtimes: readonly Runtime[], saves: number): Promise<void> {
  const store = storeAt(path);
  const before = (await runOrThrow(list(store))).entries;
  const outputs = await Promise.all(
    runtimes.map((runtime) => run(runtime, "saves.ts", [path, "2", `${saves}`, "afresh"])),
  );
  const saved = outputs.map((lines) =>
    lines.flatMap((line) => {
      const [, step, checkpoint] = /^saved (\d+) (\d+)$/.exec(line) ?? [];
      return step === undefined ? [] : [{ step: Number(step), checkpoint: Number(checkpoint) }];
    })
  );
  assert.deepEqual(saved.map((own) => own.length), runtimes.map(() => saves));
  const numbers = saved.flat().map(({ checkpoint }) => checkpoint);
  assert.equal(new Set(numbers).size, numbers.length);
  const kept = saved.flatMap((own) => own.slice(-2)).sort((a, b) => a.checkpoint - b.checkpoint);
  assert.deepEqual(
    (await runOrThrow(list(store))).entries.map(({ checkpoint }) => checkpoint),
    [...before, ...kept].map(({ checkpoint }) => checkpoint),
  );
  assert.deepEqual(await wholeSteps(store), [...before, ...kept].map(({ step }) => step));
  if (!path.startsWith("s3://")) assert.deepEqual(await orphansIn(path), []);
}

/** A checkpoint whose parts are open. */
interface OpenCheckpoint {
  readonly step: number;
  readonly parts: readonly OpenPart[];
}

/** The newest checkpoint, with those of its parts that retention has not removed by then; nothing without a checkpoint. */
async function openNewest(store: Store): Promise<OpenCheckpoint | undefined> {
  const entry = (await runOrThrow(list(store))).entries.at(-1);
  if (entry === undefined) return undefined;
  const names = ["model", "state/optimizer", "state/rng", "state/table"].map((name) => `${name}.safetensors`);
  const parts: OpenPart[] = [];
  for (const name of names) {
    const opened = await store.open(entry.checkpoint, name)();
    if (opened._tag === "Right") parts.push(opened.right);
  }
  return { step: entry.step ?? 0, parts };
}

/** All bytes of a part. */
async function bytesOf(part: OpenPart): Promise<Uint8Array> {
  const bytes = new Uint8Array(part.bytes);
  const read = await part.read(bytes, 0)();
  assert(read._tag === "Right", JSON.stringify(read));
  return bytes;
}

/**
 * A run saves and keeps one checkpoint while every part of older ones is open: no save fails, the open parts keep their bytes, and nothing
 * stays after they are closed.
 *
 * @returns How many checkpoints were removed while their parts were open.
 */
export async function readBeside(path: string, runtime: Runtime, from: number, saves: number): Promise<number> {
  const store = directory(path);
  let [isOver, saved, removedOpen] = [false, from, 0];
  const saving = run(runtime, "saves.ts", [path, "1", `${from + saves}`], {
    onLine: (line) => saved = Number(/^saved (\d+)/.exec(line)?.[1] ?? saved),
  }).finally(() => isOver = true);
  const reading = async (): Promise<void> => {
    while (!isOver) {
      const newest = await openNewest(store);
      if (newest === undefined) continue;
      const { step, parts } = newest;
      const before = await Promise.all(parts.map(bytesOf));
      const until = saved + 2;
      while (!isOver && saved < until) await wait(1);
      assert.deepEqual(await Promise.all(parts.map(bytesOf)), before);
      if (parts.length > 0 && saved > step) removedOpen++;
      for (const part of parts) await part.close();
    }
  };
  await Promise.all([saving, reading()]);
  await run(there, "saves.ts", [path, "1", `${from + saves + 1}`]);
  assert.deepEqual(await wholeSteps(store), [from + saves + 1]);
  assert.deepEqual(await orphansIn(path), []);
  return removedOpen;
}

/** `dogear verify` finds every checkpoint whole. */
export async function verify(path: string): Promise<void> {
  await run(here, "../../lib/cli/main.ts", ["verify", path]);
}
