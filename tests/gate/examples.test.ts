/**
 * The example that checks itself, in a short form.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
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
