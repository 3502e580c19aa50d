/**
 * Law *old or new*, with SIGKILL: processes that only save are killed at any moment, in Bun and in Deno. Orphans of killed saves are removed;
 * the save of a running process is not.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { directory, list, readSnapshot, restoreState, runOrThrow, saveState, type Store } from "../../mod.ts";
import { type Child, here, run, type Runtime, start, there } from "../support/children.ts";
import { type State, stateAt } from "../programs/saves.ts";
import { torture } from "../support/torture.ts";
import { needs } from "../support/portable.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-killed-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

/** Whether the system tells if a process has ended. Elsewhere an orphan stays for an hour. */
const knowsProcesses = !(await localFileSystem.processId()).startsWith("unknown");

async function orphansIn(path: string): Promise<readonly string[]> {
  return (await readdir(join(path, "checkpoints"))).filter((name) => !name.startsWith("checkpoint_"));
}

/** The steps of the checkpoints of a store, after loading each and comparing every byte. */
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

/** Kills a run shortly after a few saves. Returns the step from which it started, and the last step that it reported as saved. */
async function kill(
  runtime: Runtime,
  path: string,
  keep: number,
): Promise<{ readonly from: number; readonly saved: number }> {
  let saves = Math.floor(Math.random() * 6);
  const child: Child = start(runtime, "saves.ts", [path, `${keep}`, "1e9"], {
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

const kills = 4 * torture;

test(`old or new: a loop of saves that keeps 1, 2 or all checkpoints is killed ${kills} times at any moment`, async () => {
  const places = new Map([1, 2, 0].map((keep) => [keep, { path: place(), newest: 0, count: 0 }]));
  let [halfway, longest] = [0, 0];
  // A few more kills, in case each of those came between two saves.
  for (let i = 0; i < kills || (halfway === 0 && i < kills + 50); i++) {
    const keep = [1, 2, 0][i % 3] ?? 0;
    const { path, newest, count } = places.get(keep) ?? assert.fail();
    const { from, saved } = await kill(i % 2 === 0 ? here : there, path, keep);
    assert.equal(from, newest, "it did not resume from the newest");
    const steps = await wholeSteps(directory(path));
    const found = steps.at(-1) ?? 0;
    assert.ok(found === saved || found === saved + 1, `step ${saved} was saved, ${found} is the newest`);
    // A run killed between a commit and its retention leaves one checkpoint more. A reported save has removed those of earlier kills.
    if (keep > 0) assert.ok(steps.length <= (saved > from ? keep : count) + 1, `${steps} of ${saved} and ${count}`);
    else assert.deepEqual(steps, Array.from(steps, (_, i) => found - steps.length + 1 + i));
    longest = Math.max(longest, found - from);
    if ((await orphansIn(path).catch(() => [])).length > 0) halfway++;
    // Keeping all checkpoints would fill the disk.
    const full = keep === 0 && steps.length > 100;
    if (full) await rm(path, { recursive: true });
    places.set(keep, { path, newest: full ? 0 : found, count: steps.length });
  }
  console.log(`${halfway} of ${kills} kills were in the middle of a save, ${longest} saves the most between two`);
  assert.ok(longest > 0, "nothing was saved");
  assert.ok(halfway > 0, "no save was killed halfway");
  for (const { path } of places.values()) {
    await runOrThrow(saveState(directory(path))(stateAt(0)));
    assert.deepEqual(knowsProcesses ? await orphansIn(path) : [], []);
  }
});

// --- two processes

test("two processes save into one store in loops, each keeping two: no number is used twice, and retention applies per run", async () => {
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
  assert.deepEqual(await orphansIn(path), []);
});

// --- orphans

needs("POSIX signals")(
  "orphans: a paused save of another process is kept and can continue; when that process is killed, it is removed",
  async () => {
    for (const runtime of [here, there]) {
      const path = place();
      const store = directory(path);
      let reported = 0;
      const child = start(runtime, "saves.ts", [path, "1", "1e9"], { onLine: () => reported++ });
      const saving = async (): Promise<readonly string[]> =>
        (await orphansIn(path).catch(() => [])).filter((name) => name.startsWith(".saving-"));
      const wait = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));
      try {
        while (reported < 2) await wait(1);
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
        assert.equal(newest, 1_000_002, "a paused save is listed");
        const seen = reported;
        child.kill("SIGCONT");
        while (reported < seen + 3) await wait(1);
      } finally {
        child.kill("SIGKILL");
      }
      const { signal, errors } = await child.ended;
      assert.equal(signal, "SIGKILL", errors);
      await runOrThrow(saveState(store)(stateAt(2_000_000)));
      assert.deepEqual(knowsProcesses ? await orphansIn(path) : [], []);
      await wholeSteps(store);
    }
  },
);
