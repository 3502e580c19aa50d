/**
 * Law *old or new* on a real object store: answers lost before and after they are applied, bodies cut, refusals, silence, killed and preempted clients, and several at
 * once.
 *
 * @module
 */
import assert from "node:assert/strict";
import { httpBucket } from "../../lib/store/s3/http_bucket.ts";
import { s3 } from "../../lib/store/s3/mod.ts";
import { settingsOf } from "../../lib/store/s3/options.ts";
import { storeOn } from "../../lib/store/s3/s3_store.ts";
import { explain, list, readSnapshot, restoreState, runOrThrow, saveState, type Store } from "../../mod.ts";
import { type Chances, chaosProxy, usualChances } from "../support/chaos_proxy.ts";
import { here, run, type Runtime, start, there } from "../support/children.ts";
import type { Said, Shown } from "../programs/line.ts";
import type { State as Preempted } from "../programs/preempted.ts";
import { kill, type KilledRun, saveTogether } from "../support/killed_saves.ts";
import type { Test } from "../support/portable.ts";
import { bucket, credentials, newLocation, setS3Environment, sharedS3Server, testOnS3 } from "../support/s3_server.ts";
import { isTriedHere, torture, triedHere } from "../support/torture.ts";

const server = sharedS3Server();

// --- states

interface State {
  readonly step: number;
  readonly model: Float32Array;
}

/** Every 7th state is so large that it is written in pieces. */
function stateAt(step: number): State {
  return { step, model: new Float32Array(step % 7 === 3 ? 1_500_000 : 5000).fill(step) };
}

/** The step of a checkpoint, the newest by default, every byte of which was compared. */
async function wholeStep(store: Store, checkpoint?: number): Promise<number> {
  using snapshot = await runOrThrow(readSnapshot(store, checkpoint === undefined ? {} : { checkpoint }));
  const restored = restoreState(snapshot);
  assert(restored._tag === "Right");
  const { step, model } = restored.right as State;
  assert.ok(model.every((value) => value === step), `step ${step} is torn`);
  return step;
}

// --- lost answers

/** A store that waits less than usual before it tries again, and gives up sooner. */
function impatient(endpoint: string, location: string): Store {
  const limits = { attempts: 5, firstWait: 10, longestWait: 100 };
  const options = { endpoint, credentials, partSize: 5 * 2 ** 20, timeout: 500 };
  return storeOn(httpBucket(settingsOf(bucket, options, limits)), location.slice(`s3://${bucket}/`.length));
}

/** What was said of a line of saves: the checkpoints of those that were committed, and the messages of those that failed. */
interface Told {
  readonly committed: ReadonlyMap<number, number>;
  readonly failed: ReadonlyMap<number, string>;
  /** Loads that failed. */
  readonly unread: number;
}

/** Saves one state after another through a faulty connection, and loads the newest after each. */
async function saveAndLoad(connect: () => Store, steps: number): Promise<Told> {
  const store = connect();
  const committed = new Map<number, number>();
  const failed = new Map<number, string>();
  let unread = 0;
  for (let step = 1; step <= steps; step++) {
    const saved = await saveState(store)(stateAt(step))();
    if (saved._tag === "Right") committed.set(step, saved.right.checkpoint);
    else {
      assert.equal(saved.left._tag, "StoreFailed", explain(saved.left));
      failed.set(step, explain(saved.left));
    }
    try {
      const loaded = await wholeStep(connect());
      assert.ok(loaded <= step && loaded >= Math.max(...committed.keys()), `${loaded} is the newest after ${step}`);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      unread += 1;
    }
  }
  return { committed, failed, unread };
}

/** Checks what a store holds: each save that was committed once, under its number, and no other twice; all of it whole, in one line. */
async function checkHeld(store: Store, { committed, failed }: Told): Promise<void> {
  const { entries, damaged } = await runOrThrow(list(store));
  assert.deepEqual(damaged, []);
  const steps = entries.map(({ step }) => step ?? NaN);
  assert.deepEqual(steps, [...new Set(steps)].sort((a, b) => a - b));
  for (const { checkpoint, step } of entries) assert.equal(await wholeStep(store, checkpoint), step);
  for (const [step, checkpoint] of committed) {
    assert.equal(entries.find((entry) => entry.checkpoint === checkpoint)?.step, step);
  }
  for (const step of steps) assert.ok(committed.has(step) || failed.has(step));
}

/** Half of all answers are lost. */
const worse: Chances = { ...usualChances, "lost before": 0.2, "lost after": 0.25 };

const connections = [["three", usualChances], ["five", worse]] as const;

for (const [title, chances] of triedHere(connections)) {
  testOnS3(
    `old or new: ${title} of ten answers of the server are lost, and every save is committed once or fails`,
    async () => {
      const endpoint = await server();
      const proxy = await chaosProxy(endpoint, 1, chances);
      try {
        await Promise.all(Array.from({ length: 2 }, async () => {
          const location = newLocation();
          const told = await saveAndLoad(() => impatient(proxy.endpoint, location), 5 * torture);
          await checkHeld(s3(location, { endpoint, credentials }), told);
        }));
        for (const fault of ["lost before", "lost after"] as const) assert.ok((proxy.counts.get(fault) ?? 0) > 0);
      } finally {
        await proxy.stop();
      }
    },
  );
}

// --- killed clients

testOnS3(
  "old or new: a client is killed at any moment, and another one resumes from its newest checkpoint",
  async () => {
    setS3Environment(await server());
    const path = newLocation();
    let killed: KilledRun = { path, keep: 2, newest: 0, count: 0 };
    for (let i = 0; i < 3 * torture; i++) killed = await kill([here, there][i % 2]!, killed);
    assert.ok(killed.newest > 0);
  },
);

testOnS3("old or new: processes of both runtimes save into one location at once", async () => {
  setS3Environment(await server());
  await saveTogether(newLocation(), [here, there], 8 * torture);
});

/** Runs `tests/programs/line.ts` to its end, and gives the state that it showed last. */
async function lineShown(runtime: Runtime, ...args: readonly string[]): Promise<Shown | undefined> {
  const lines = (await run(runtime, "line.ts", args)).map((line): Said => JSON.parse(line));
  return lines.at(-1)?.shown;
}

const ofOneRuntime: Test = isTriedHere(0) ? testOnS3 : () => {};
const ofTheOther: Test = isTriedHere(1) ? testOnS3 : () => {};

ofOneRuntime("same bits: a training in a bucket is killed, and resumed in the other runtime", async () => {
  setS3Environment(await server());
  const [whole, killed] = [newLocation(), newLocation()];
  const expected = await lineShown(here, `store=${whole}`, "resume", "train=40", "show");
  assert.equal(expected?.step, 40);
  for (let i = 0; i < torture; i++) {
    let steps = 3 + Math.floor(12 * Math.random());
    const child = start(here, "line.ts", [`store=${killed}`, "keep=2", "every=3", "pause=10", "resume", "train=40"], {
      onLine: () => {
        if (steps-- === 0) child.kill("SIGKILL");
      },
    });
    await child.ended;
  }
  assert.deepEqual(await lineShown(there, `store=${killed}`, "keep=2", "resume", "train=40", "show"), expected);
});

// --- preempted clients

/** The seconds that a scheduler waits between SIGTERM and SIGKILL. */
const grace = 30;

ofTheOther(
  "preemption: SIGTERM at any moment ends a training with 75 within the grace period, and saves its last step",
  async () => {
    setS3Environment(await server());
    const path = newLocation();
    const mebibytes = torture > 1 ? 512 : 24;
    let newest = 0;
    for (let i = 0; i < Math.min(3, torture); i++) {
      let sent = NaN;
      const child = start(i % 2 === 0 ? here : there, "preempted.ts", [path, `${mebibytes}`], {
        onLine: (line) => {
          if (!line.startsWith("from ")) return;
          setTimeout(() => {
            sent = performance.now();
            child.kill("SIGTERM");
          }, 500 * Math.random());
        },
      });
      const { code, signal, lines, errors } = await child.ended;
      assert.deepEqual([code, signal], [75, null], errors);
      assert.ok(performance.now() - sent < 1000 * grace, `it took ${performance.now() - sent} ms`);
      assert.equal(lines[0], `from ${newest}`);
      using snapshot = await runOrThrow(readSnapshot(s3(path)));
      const restored = restoreState(snapshot);
      assert(restored._tag === "Right");
      const { step, model } = restored.right as Preempted;
      assert.equal(step, Number(lines.at(-1)?.replace("from ", "")));
      assert.ok(model.length === 2 ** 18 * mebibytes && model.every((value) => value === step));
      newest = step;
    }
  },
);
