/**
 * Law *old or new* on a real object store: answers lost before and after they are applied, bodies cut, refusals, silence, and killed clients.
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
import { here, there } from "../support/children.ts";
import { kill, type KilledRun } from "../support/killed_saves.ts";
import { bucket, credentials, newLocation, setS3Environment, sharedS3Server, testOnS3 } from "../support/s3_server.ts";
import { torture } from "../support/torture.ts";

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

for (const [title, chances, saves] of [["three", usualChances, 12], ["five", worse, 8]] as const) {
  testOnS3(
    `old or new: ${title} of ten answers of the server are lost, and every save is committed once or fails`,
    async () => {
      const endpoint = await server();
      const proxy = await chaosProxy(endpoint, saves, chances);
      try {
        await Promise.all(Array.from({ length: 4 }, async () => {
          const location = newLocation();
          const told = await saveAndLoad(() => impatient(proxy.endpoint, location), saves / 4 * torture);
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
