/**
 * Law *old or new*, with SIGKILL: processes that only save are killed at any moment, in Bun and in Deno. Orphans of killed saves are removed;
 * the save of a running process is not.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { directory, list, runOrThrow, saveState } from "../../mod.ts";
import { stateAt } from "../programs/saves.ts";
import { here, start, there } from "../support/children.ts";
import { kill, type KilledRun, knowsProcesses, orphansIn, saveTogether, wholeSteps } from "../support/killed_saves.ts";
import { torture } from "../support/torture.ts";
import { needs } from "../support/portable.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-killed-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

// --- killed

const kills = 4 * torture;

test(`old or new: a loop of saves that keeps 1, 2 or all checkpoints is killed ${kills} times at any moment`, async () => {
  const runs = new Map(
    [1, 2, 0].map((keep): [number, KilledRun] => [keep, { path: place(), keep, newest: 0, count: 0 }]),
  );
  let [halfway, longest] = [0, 0];
  // A few more kills, in case each of those came between two saves.
  for (let i = 0; i < kills || (halfway === 0 && i < kills + 50); i++) {
    const before = runs.get([1, 2, 0][i % 3] ?? 0) ?? assert.fail();
    const { path, keep } = before;
    const killed = await kill(i % 2 === 0 ? here : there, before);
    longest = Math.max(longest, killed.newest - before.newest);
    if ((await orphansIn(path).catch(() => [])).length > 0) halfway++;
    // Keeping all checkpoints would fill the disk.
    const full = keep === 0 && killed.count > 100;
    if (full) await rm(path, { recursive: true });
    runs.set(keep, full ? { path, keep, newest: 0, count: 0 } : killed);
  }
  console.log(`${halfway} of ${kills} kills were in the middle of a save, ${longest} saves the most between two`);
  assert.ok(longest > 0, "nothing was saved");
  assert.ok(halfway > 0, "no save was killed halfway");
  for (const { path } of runs.values()) {
    await runOrThrow(saveState(directory(path))(stateAt(0)));
    assert.deepEqual(knowsProcesses ? await orphansIn(path) : [], []);
  }
});

// --- two processes

test("two processes save into one store in loops, each keeping two: no number is used twice, and retention applies per run", async () => {
  await saveTogether(place(), [here, there], 15 * Math.min(torture, 4));
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
