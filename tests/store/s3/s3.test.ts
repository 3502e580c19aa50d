/**
 * The store on a real server: the laws of stores, and what the functions of runs do with it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { storeLaws } from "../../../lib/store/contract/mod.ts";
import { s3 } from "../../../lib/store/s3/mod.ts";
import {
  list,
  Loader,
  loadState,
  pipe,
  plan,
  prune,
  readSnapshot,
  resume,
  Retention,
  runOrThrow,
  saveState,
  type Store,
  train,
} from "../../../mod.ts";
import type { StoreOptions } from "../../../lib/store/mod.ts";
import { stateAt } from "../../programs/saves.ts";
import { run, there } from "../../support/children.ts";
import { credentials, newLocation, setS3Environment, sharedS3Server, testOnS3 } from "../../support/s3_server.ts";

const server = sharedS3Server();

async function newStore(options: StoreOptions = {}): Promise<Store> {
  return s3(newLocation(), { endpoint: await server(), credentials, ...options });
}

/** A location as another process opens it. */
async function reopened({ location }: Store): Promise<Store> {
  return s3(location, { endpoint: await server(), credentials });
}

for (const { law, check } of storeLaws(newStore, { reopen: reopened })) testOnS3(`s3: ${law}`, check);

testOnS3("s3: a training saves, resumes, is listed and pruned, as in any store", async () => {
  const store = await newStore({ keep: Retention.latest(4) });
  const loader = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.batch(1));
  const fresh = { sum: 0, cursor: Loader.start(loader) };
  type State = typeof fresh;
  const step = (state: State, [n = 0]: number[]): State => ({ ...state, sum: state.sum + n });
  const done = await runOrThrow(train<State, number[]>({ loader, step, save: { to: store, every: 1 } })(fresh));
  assert.equal(done.sum, 21);
  const again = await reopened(store);
  assert.equal((await runOrThrow(resume(again)(fresh))).sum, 21);
  const { entries } = await runOrThrow(list(again));
  assert.deepEqual(entries.map(({ checkpoint }) => checkpoint), [3, 4, 5, 6]);
  assert.equal((await runOrThrow(loadState(again, { checkpoint: 4 })(fresh))).sum, 10);
  assert.deepEqual(await runOrThrow(prune(again)(await runOrThrow(plan(again)(Retention.latest(1))))), [3, 4, 5]);
  assert.deepEqual((await runOrThrow(list(store))).entries.map(({ checkpoint }) => checkpoint), [6]);
  using snapshot = await runOrThrow(readSnapshot(store));
  assert.ok(snapshot);
});

testOnS3("s3: one line of history, also when another process in another runtime has continued the run", async () => {
  setS3Environment(await server());
  const location = newLocation();
  const store = s3(location);
  await runOrThrow(saveState(store)(stateAt(1)));
  await run(there, "saves.ts", [location, "0", "3"]);
  const overtaken = await saveState(store)(stateAt(2))();
  assert(overtaken._tag === "Left" && overtaken.left._tag === "Overtaken");
  const forked = await runOrThrow(saveState(store, { fork: true })(stateAt(2)));
  assert.equal(forked.checkpoint, 3);
  const { entries } = await runOrThrow(list(await reopened(store)));
  assert.deepEqual(entries.map(({ step }) => step), [1, 2, 3, 2]);
  assert.deepEqual(entries.map(({ run }) => run === entries[0]?.run), [true, true, true, false]);
});
