/**
 * The sweep of `examples/sweep.ts` by four workers, half of them in Bun and half in Deno, which are killed at random.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { id, readSnapshot, release } from "@dogear/dogear";
import { lease, s3 } from "@dogear/dogear/s3";
import { bun, deno } from "./runtimes.ts";
import { newLocation, setS3Environment, sharedS3Server, testOnS3 } from "../support/s3_server.ts";
import { torture } from "../support/torture.ts";

const server = sharedS3Server();
const sweep = fileURLToPath(new URL("../../examples/sweep.ts", import.meta.url));
const names = [0.3, 0.1, 0.03, 0.01].flatMap((rate) => [4, 8, 16].map((units) => `rate=${rate}-units=${units}`));

interface Ended {
  readonly code: number | null;
  readonly finished: readonly string[];
}

/** Runs a worker to its end, or kills it a moment after it has begun a trial. */
function work(runtime: "bun" | "deno", url: string, isKilled: () => boolean): Promise<Ended> {
  const [program, ...flags] = runtime === "bun" ? [bun()] : [deno(), "run", "--allow-all", "--no-check"];
  const child = spawn(program!, [...flags, sweep, url, "1"], { stdio: ["ignore", "pipe", "pipe"] });
  const finished: string[] = [];
  let errors = "";
  child.stderr.on("data", (data) => errors += data);
  createInterface(child.stdout).on("line", (line) => {
    if (line.startsWith("finished ")) finished.push(line.slice("finished ".length));
    if (line.startsWith("begin ") && isKilled()) setTimeout(() => child.kill("SIGKILL"), 300 * Math.random());
  });
  return new Promise((resolve) =>
    child.on("close", (code, signal) => {
      // A worker that was too slow to renew its lease is refused, as it must be.
      assert.ok(code === 0 || signal === "SIGKILL" || /another process/.test(errors), errors);
      resolve({ code, finished });
    })
  );
}

/** The digests of the final states of all trials. */
function ids(url: string): Promise<readonly (readonly [string, string])[]> {
  return Promise.all(names.map(async (name) => {
    const snapshot = await readSnapshot(s3(`${url}/${name}`));
    const digest = await id(snapshot);
    release(snapshot)();
    return [name, digest] as const;
  }));
}

testOnS3(
  "sweep: workers killed at random train every trial once to its end, with the bits of an undisturbed sweep",
  async () => {
    setS3Environment(await server());
    const [undisturbed, killed] = [newLocation(), newLocation()];
    let kills = 3 * torture;
    const finished: string[] = [];
    const untilDone = async (runtime: "bun" | "deno"): Promise<void> => {
      for (;;) {
        const ended = await work(runtime, killed, () => Math.random() < 0.6 && kills-- > 0);
        finished.push(...ended.finished);
        if (ended.code === 0) return;
      }
    };
    await Promise.all([
      work("bun", undisturbed, () => false),
      ...(["bun", "deno", "bun", "deno"] as const).map(untilDone),
    ]);
    assert.equal(new Set(finished).size, finished.length, "a trial was finished twice");
    assert.deepEqual(await ids(killed), await ids(undisturbed));
    for (const name of names) assert.equal((await lease(killed, name))._tag, "Finished", name);
  },
);

test("sweep: the example has at most 60 lines", () => {
  assert.ok(readFileSync(sweep, "utf8").trimEnd().split("\n").length <= 60);
});
