/**
 * The example that checks itself, in a short form.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { sqlite } from "../../examples/sqlite_store.ts";
import { storeLaws } from "../../lib/store/contract/mod.ts";
import { bun, deno, isBun } from "./runtimes.ts";
import { torture } from "../support/torture.ts";

test("reviews: killed in mid-training and resumed by other numbers of ranks, every sample comes once an epoch, with the same bits", () => {
  const example = fileURLToPath(new URL("../../examples/reviews.ts", import.meta.url));
  const [program, ...flags] = isBun ? [bun()] : [deno(), "run", "--allow-all", "--no-check"];
  const { status, stdout, stderr } = spawnSync(program!, [...flags, example, String(3 + 2 * (torture - 1))], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  assert.equal(stdout.match(/^SIGKILL, /gm)?.length, 3 + 2 * (torture - 1));
  assert.match(stdout, /every review once an epoch, in one order, and the same bits: [0-9a-f]{64}/);
});

const scratch = await mkdtemp(join(tmpdir(), "dogear-sqlite-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
const reopen = ({ location }: { readonly location: string }) => sqlite(location);
for (const { law, check } of storeLaws((options) => sqlite(join(scratch, `${made++}`), options), { reopen })) {
  test(`sqlite: ${law}`, check);
}

test("sqlite: killed during saves, a training resumes, and ends with the same sum", async () => {
  const example = fileURLToPath(new URL("../../examples/sqlite_store.ts", import.meta.url));
  const [program, ...flags] = isBun ? [bun()] : [deno(), "run", "--allow-all", "--no-check"];
  /** Runs the example until it has saved this often, then kills it a moment later; its output. */
  const run = (path: string, saves: number, delay: number): Promise<string> =>
    new Promise((resolve) => {
      const child = spawn(program!, [...flags, example, path], { stdio: ["ignore", "pipe", "inherit"] });
      let output = "";
      child.stdout.on("data", (text) => {
        output += text;
        if (output.split("saved").length > saves) setTimeout(() => child.kill("SIGKILL"), delay);
      });
      child.on("close", () => resolve(output));
    });
  const path = join(scratch, "killed");
  for (let i = 0; i < 3 * torture; i++) await run(path, 5 + 3 * i, i % 5);
  const resumed = await run(path, Infinity, 0);
  const whole = await run(join(scratch, "whole"), Infinity, 0);
  const sum = /^sum .*$/m;
  assert.ok(resumed.split("saved").length < whole.split("saved").length);
  assert.equal(sum.exec(resumed)?.[0], sum.exec(whole)?.[0]);
  assert.match(whole, sum);
});
