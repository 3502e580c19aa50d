/**
 * The store on a real server.
 *
 * @module
 */
import assert from "node:assert/strict";
import { runOrThrow } from "../../../lib/task.ts";
import { s3 } from "../../../lib/store/s3/mod.ts";
import { credentials, newLocation, sharedS3Server, testOnS3 } from "../../support/s3_server.ts";

const server = sharedS3Server();

testOnS3("s3: a new location holds nothing", async () => {
  const store = s3(newLocation(), { endpoint: await server(), credentials });
  assert.deepEqual(await runOrThrow(store.list), []);
});
