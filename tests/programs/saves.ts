/**
 * A run that does nothing but save, as fast as it can, from where it last was or as a run of its own:
 *
 *     saves.ts <folder or s3 URL> <how many checkpoints to keep, 0 for all> <to this step> [afresh]
 *
 * It prints `from <step>` before its first save and `saved <step> <checkpoint>` after each.
 *
 * @module
 */
import process from "node:process";
import { resume, Retention, runOrThrow, saveState } from "../../mod.ts";
import { storeAt } from "../support/stores.ts";

// --- types

/** A state all of whose bytes follow from its step. */
export interface State {
  readonly step: number;
  readonly model: Float32Array;
  readonly optimizer: Float64Array;
  readonly rng: Uint8Array;
  /** It never changes, so that each save links it. */
  readonly table: Float32Array;
}

// --- the run

/** The state at a step. */
export function stateAt(step: number): State {
  return {
    step,
    model: new Float32Array(30_000).map((_, i) => step + i),
    optimizer: new Float64Array(20_000).map((_, i) => step * i),
    rng: new Uint8Array(200).fill(step % 251),
    table: new Float32Array(1000).fill(1),
  };
}

async function main([path = "", keep = "0", to = "0", afresh]: readonly string[]): Promise<void> {
  const store = storeAt(path, keep === "0" ? {} : { keep: Retention.latest(Number(keep)) });
  const { step: from } = afresh === undefined ? await runOrThrow(resume(store)(stateAt(0))) : stateAt(0);
  process.stdout.write(`from ${from}\n`);
  for (let step = from + 1; step <= Number(to); step++) {
    const { checkpoint } = await runOrThrow(saveState(store)(stateAt(step)));
    process.stdout.write(`saved ${step} ${checkpoint}\n`);
  }
}

if (import.meta.main) await main(process.argv.slice(2));
