/**
 * A save (checksums, fsync of files and folders, rename) against the same bytes in plain sequential writes and one fsync; and a load, every
 * byte checked, against reading the same files.
 *
 *     bun bench/save.ts          (DOGEAR_BENCH_MIB=512 by default)
 *
 * @module
 */
import { directory, loadState, Retention, runOrThrow, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { compare } from "./rounds.ts";

const mebi = 2 ** 20;
const total = Number(process.env["DOGEAR_BENCH_MIB"] ?? 512) * mebi;
const count = 200;
await tf.setBackend("cpu");
const folder = await mkdtemp(join(process.env["DOGEAR_BENCH_FOLDER"] ?? tmpdir(), "dogear-bench-"));
try {
  const weights = Array.from({ length: count }, (_, i) => tf.variable(tf.fill([Math.floor(total / count / 4)], i)));
  const state = { weights, step: 0 };
  const store = directory(join(folder, "run"), { keep: Retention.latest(1) });
  const plain = join(folder, "plain");
  const view = new Uint8Array(8 * mebi).fill(7);
  const writePlain = async (): Promise<void> => {
    const file = await open(plain, "w");
    for (let left = total; left > 0; left -= view.byteLength) {
      await file.write(view, 0, Math.min(left, view.byteLength));
    }
    await file.sync();
    await file.close();
  };
  await compare(
    { name: `save ${total / mebi} MiB in ${count} tensors`, run: () => runOrThrow(saveState(store)(state)) },
    { name: "plain writes and one fsync", run: writePlain, after: () => rm(plain) },
  );
  const saved = await runOrThrow(saveState(store)(state));
  await compare(
    { name: "load and check it into a live model", run: () => runOrThrow(loadState(store)(state)) },
    { name: "read the same file", run: () => readFile(join(saved.location, "state", "weights.safetensors")) },
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
