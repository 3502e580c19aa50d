/**
 * Law *old or new* when the daemons of the object store are killed: what was acknowledged is there when they run again.
 *
 * @module
 */
import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import { httpBucket } from "../../lib/store/s3/http_bucket.ts";
import { settingsOf } from "../../lib/store/s3/options.ts";
import { storeOn } from "../../lib/store/s3/s3_store.ts";
import { runOrThrow, saveState } from "../../mod.ts";
import { stateAt } from "../programs/saves.ts";
import { wholeSteps } from "../support/killed_saves.ts";
import { bucket, credentials, startS3Server, testOnS3 } from "../support/s3_server.ts";
import { torture } from "../support/torture.ts";

testOnS3(
  "old or new: the server is killed at any moment, no acknowledged save is lost and the next ones succeed",
  async () => {
    const server = await startS3Server("bluestore");
    try {
      // It tries again until the server runs, and soon then.
      const limits = { attempts: 1000, firstWait: 50, longestWait: 200 };
      const store = storeOn(
        httpBucket(settingsOf(bucket, { endpoint: server.endpoint, credentials }, limits)),
        "killed",
      );
      const acknowledged: number[] = [];
      let isOver = false;
      const saving = (async () => {
        for (let step = 1; !isOver; step++) {
          await runOrThrow(saveState(store)(stateAt(step)));
          acknowledged.push(step);
        }
      })();
      for (let round = 0; round < torture; round++) {
        const before = acknowledged.length;
        while (acknowledged.length < before + 3) await Promise.race([wait(5), saving]);
        await wait(100 * Math.random());
        await server.crash();
        await server.restart();
      }
      isOver = true;
      await saving;
      assert.deepEqual(await wholeSteps(store), acknowledged);
    } finally {
      await server.stop();
    }
  },
);
