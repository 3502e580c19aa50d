/**
 * The object store of the tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { here, start } from "./children.ts";
import { needs } from "./portable.ts";

needs("S3 server")("S3 server: it ends with the process that started it, even one that is killed", async () => {
  const child = start(here, "s3_server_owner.ts", [], { onLine: () => child.kill("SIGKILL") });
  const { signal, lines, errors } = await child.ended;
  assert.equal(signal, "SIGKILL", errors);
  const [, endpoint = "", folder = ""] = lines[0]?.split(" ") ?? [];
  assert.notEqual(folder, "");
  for (let i = 0; i < 200 && existsSync(folder); i++) await wait(20);
  assert.ok(!existsSync(folder), `Expected ${folder} to be removed`);
  await assert.rejects(fetch(endpoint));
});
