/**
 * A folder with a real server behind it: upload, resume on an empty disk, another machine, a server that is gone for a while.
 *
 * @module
 */
import assert from "node:assert/strict";
import * as E from "fp-ts/lib/Either.js";
import { mirrored, s3 } from "../../../lib/store/s3/mod.ts";
import { list, memory, resume, Retention, runOrThrow, saveState, type Store } from "../../../mod.ts";
import { afresh, type Switch, switched } from "../../support/mirrors.ts";
import { credentials, newLocation, sharedS3Server, testOnS3 } from "../../support/s3_server.ts";

const server = sharedS3Server();

const weights = (step: number): object => ({ step, w: Float32Array.of(step, 2, 3) });

testOnS3("mirror on s3: uploads, resumes without a disk, survives failures, and sees another machine", async () => {
  const url = newLocation();
  const endpoint = await server();
  const remote = (): Store => afresh(s3(url, { endpoint, credentials, keep: Retention.latest(2) }));
  const on: Switch = {};
  const store = mirrored(memory({ keep: Retention.latest(1) }), switched(remote(), on), { onFailed: () => {} });
  for (let step = 0; step < 3; step++) await runOrThrow(saveState(store)(weights(step)));
  assert.deepEqual(await store.drain(), E.right(undefined));
  on.fails = true;
  for (let step = 3; step < 5; step++) await runOrThrow(saveState(store)(weights(step)));
  assert.equal((await store.drain())._tag, "Left");
  on.fails = false;
  assert.deepEqual(await store.drain(), E.right(undefined));
  assert.equal((await list(remote())).entries.at(-1)?.step, 4);
  assert.equal((await runOrThrow(remote().list)).length, 2);
  const there = mirrored(memory(), remote());
  assert.deepEqual(await resume(there)(weights(-1)), weights(4));
  assert.equal((await runOrThrow(saveState(there)(weights(5)))).checkpoint, 5);
  assert.deepEqual(await there.drain(), E.right(undefined));
  await runOrThrow(saveState(store)(weights(5)));
  const drained = await store.drain();
  assert.equal(E.isLeft(drained) && drained.left._tag, "Overtaken");
  assert.deepEqual(await resume(store)(weights(-1)), weights(5));
});
