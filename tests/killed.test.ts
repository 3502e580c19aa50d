/**
 * Law *old or new*, by SIGKILL: runs that do nothing but save are killed at any moment, in Bun and in Deno. And what killed saves leave is
 * swept, and never taken for a save that is still under way in another process.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { localFileSystem } from "../lib/local_file_system.ts";
import { directory, list, readSnapshot, restoreState, runOrThrow, saveState, type Store } from "../mod.ts";
import { type Child, here, run, type Runtime, start, there } from "./children.ts";
import { type State, stateAt } from "./programs/saves.ts";

const torture = Number(process.env["DOGEAR_TORTURE"] ?? 1);

const scratch = await mkdtemp(join(tmpdir(), "dogear-killed-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

/** Whether it can be known here that a process is gone; elsewhere what it left stays for an hour. */
const knowsProcesses = !(await localFileSystem.writer()).startsWith("unknown");

async function leftovers(path: string): Promise<readonly string[]> {
  return (await readdir(join(path, "checkpoints"))).filter((name) => !name.startsWith("checkpoint_"));
}

/** The steps of a store's checkpoints, each of which loads with every byte as it must be. */
async function wholeSteps(store: Store): Promise<readonly number[]> {
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

// --- killed

/** Lets a run save a few times and kills it a moment later; where it began, and the last step that it said was saved. */
async function kill(
  runtime: Runtime,
  path: string,
  keep: number,
): Promise<{ readonly from: number; readonly told: number }> {
  let saves = Math.floor(Math.random() * 6);
  const child: Child = start(runtime, "saves.ts", [path, `${keep}`, "1e9"], {
    onLine: () => {
      if (saves-- === 0) setTimeout(() => child.kill("SIGKILL"), Math.random() * 20);
    },
  });
  const { signal, code, lines, errors } = await child.ended;
  assert.equal(signal, "SIGKILL", `${runtime} ended by itself with ${code}:\n${errors}`);
  const [from = NaN] = lines.slice(0, 1).map((line) => Number(line.split(" ")[1]));
  // The kill may have cut the last line off.
  const told = lines.flatMap((line) => /^saved (\d+) \d+$/.exec(line)?.[1] ?? []).map(Number);
  return { from, told: told.at(-1) ?? from };
}

const kills = 6 * torture;

test(`old or new: ${kills} times killed at any moment in a tight loop of saves that keeps 1, 2 or all`, async () => {
  const places = new Map([1, 2, 0].map((keep) => [keep, { path: place(), newest: 0, count: 0 }]));
  let [halfway, longest] = [0, 0];
  // A few kills more, should each have come between two saves.
  for (let i = 0; i < kills || (halfway === 0 && i < kills + 50); i++) {
    const keep = [1, 2, 0][i % 3] ?? 0;
    const { path, newest, count } = places.get(keep) ?? assert.fail();
    const { from, told } = await kill(i % 2 === 0 ? here : there, path, keep);
    assert.equal(from, newest, "it did not go on from the newest");
    const steps = await wholeSteps(directory(path));
    const found = steps.at(-1) ?? 0;
    assert.ok(found === told || found === told + 1, `step ${told} was saved, ${found} is the newest`);
    // Killed between a commit and its retention, a run leaves one more; a save that it told of has removed what earlier kills left.
    if (keep > 0) assert.ok(steps.length <= (told > from ? keep : count) + 1, `${steps} of ${told} and ${count}`);
    else assert.deepEqual(steps, Array.from(steps, (_, i) => found - steps.length + 1 + i));
    longest = Math.max(longest, found - from);
    if ((await leftovers(path).catch(() => [])).length > 0) halfway++;
    // All that is kept would fill the disk.
    const full = keep === 0 && steps.length > 100;
    if (full) await rm(path, { recursive: true });
    places.set(keep, { path, newest: full ? 0 : found, count: steps.length });
  }
  console.log(`${halfway} of ${kills} kills were in the middle of a save, ${longest} saves the most between two`);
  assert.ok(longest > 0, "nothing was saved");
  assert.ok(halfway > 0, "no save was killed halfway");
  for (const { path } of places.values()) {
    await runOrThrow(saveState(directory(path))(stateAt(0)));
    assert.deepEqual(knowsProcesses ? await leftovers(path) : [], []);
  }
});

// --- two processes

test("two runs that save in tight loops into one store, each keeping two: no number twice, and none eats the other's", async () => {
  const path = place();
  const count = 15 * Math.min(torture, 4);
  const outputs = await Promise.all(
    [here, there].map((runtime) => run(runtime, "saves.ts", [path, "2", `${count}`, "afresh"])),
  );
  const saved = outputs.map((lines) =>
    lines.flatMap((line) => {
      const [, step, checkpoint] = /^saved (\d+) (\d+)$/.exec(line) ?? [];
      return step === undefined ? [] : [{ step: Number(step), checkpoint: Number(checkpoint) }];
    })
  );
  const numbers = saved.flat().map(({ checkpoint }) => checkpoint);
  assert.equal(new Set(numbers).size, numbers.length);
  const store = directory(path);
  const kept = saved.flatMap((own) => own.slice(-2)).sort((a, b) => a.checkpoint - b.checkpoint);
  assert.deepEqual(await wholeSteps(store), kept.map(({ step }) => step));
  assert.deepEqual(
    (await runOrThrow(list(store))).entries.map(({ checkpoint }) => checkpoint),
    kept.map(({ checkpoint }) => checkpoint),
  );
  assert.deepEqual(await leftovers(path), []);
});

// --- leftovers

test("a save that stands still in another process is left alone, and goes on; once that process is killed, it is swept", async () => {
  for (const runtime of [here, there]) {
    const path = place();
    const store = directory(path);
    let told = 0;
    const child = start(runtime, "saves.ts", [path, "1", "1e9"], { onLine: () => told++ });
    const saving = async (): Promise<readonly string[]> =>
      (await leftovers(path).catch(() => [])).filter((name) => name.startsWith(".saving-"));
    const wait = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));
    try {
      while (told < 2) await wait(1);
      for (let tries = 0;; tries++) {
        child.kill("SIGSTOP");
        await wait(5);
        if ((await saving()).length > 0) break;
        assert.ok(tries < 1000, "it never stood still in a save");
        child.kill("SIGCONT");
        await wait(Math.random() * 5);
      }
      const before = await saving();
      for (let i = 0; i < 3; i++) await runOrThrow(saveState(store)(stateAt(1_000_000 + i)));
      assert.deepEqual(await saving(), before);
      const newest = (await runOrThrow(list(store))).entries.at(-1)?.step;
      assert.equal(newest, 1_000_002, "a save that stands still is counted");
      const seen = told;
      child.kill("SIGCONT");
      while (told < seen + 3) await wait(1);
    } finally {
      child.kill("SIGKILL");
    }
    const { signal, errors } = await child.ended;
    assert.equal(signal, "SIGKILL", errors);
    await runOrThrow(saveState(store)(stateAt(2_000_000)));
    assert.deepEqual(knowsProcesses ? await leftovers(path) : [], []);
    await wholeSteps(store);
  }
});
