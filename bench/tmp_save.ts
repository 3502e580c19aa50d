import { directory, Retention, runOrThrow, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
await tf.setBackend("cpu");
const folder = mkdtempSync("/work/bench-");
const mebi = 2 ** 20;
const weights = Array.from({ length: 200 }, (_, i) => tf.variable(tf.fill([Math.floor(512 * mebi / 200 / 4)], i)));
const store = directory(folder, { keep: Retention.latest(1) });
const rs: number[] = [];
for (let i = 0; i < 8; i++) {
  const t = performance.now();
  await runOrThrow(saveState(store)({ weights, step: i }));
  const a = performance.now() - t;
  const r = spawnSync("/tmp/b/plain", [folder + "/plain", String(512 * mebi)], { encoding: "utf8" });
  rmSync(folder + "/plain");
  const b = Number(r.stdout);
  if (i) rs.push(a / b);
  console.log(a.toFixed(0), b.toFixed(0), (a / b).toFixed(2));
}
console.log("median", rs.sort((a, b) => a - b)[3]);
rmSync(folder, { recursive: true });
