/**
 * Shared by the benchmarks: a temporary folder, tensors, the plain writes to compare a save with, and a model to train.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

export const mebi: number = 2 ** 20;

/** Runs in a new temporary folder, inside `DOGEAR_BENCH_FOLDER` if that is set. It must be on a disk, not in memory. */
export async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(process.env["DOGEAR_BENCH_FOLDER"] ?? tmpdir(), "dogear-bench-"));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Sets the backend. */
export async function useBackend(name: "cpu" | "wasm"): Promise<void> {
  const wasm = createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(`${dirname(wasm)}/`);
  if (!await tf.setBackend(name)) throw new Error(`Expected the backend ${name}, found none`);
}

/** Variables of this many bytes in total. */
export function variables(bytes: number, count: number): readonly tf.Variable[] {
  return Array.from({ length: count }, (_, i) => tf.variable(tf.fill([Math.floor(bytes / count / 4)], i)));
}

/** A model of this many bytes, in dense layers of equal size. The first `frozen` layers do not train. */
export function denseModel(bytes: number, layers: number, frozen = 0): tf.Sequential {
  const units = Math.floor(Math.sqrt(bytes / layers / 4));
  return tf.sequential({
    layers: Array.from(
      { length: layers },
      (_, i) => tf.layers.dense({ units, inputShape: [units], kernelInitializer: "zeros", trainable: i >= frozen }),
    ),
  });
}

/** Compiles the plain writes in C. Without a C compiler it uses `dd`, which must also produce its zeros. */
export function plainWrites(folder: string): (path: string, bytes: number) => number {
  const program = join(folder, "plain");
  try {
    execFileSync("cc", ["-O2", join(process.cwd(), "bench", "plain.c"), "-o", program]);
    return (path, bytes) => Number(execFileSync(program, [path, String(bytes)], { encoding: "utf8" }));
  } catch {
    return (path, bytes) => {
      const begun = performance.now();
      execFileSync("dd", ["if=/dev/zero", `of=${path}`, `bs=${bytes}`, "count=1", "conv=fsync", "status=none"]);
      return performance.now() - begun;
    };
  }
}
