/**
 * The law *same bits* from process to process: saved in one that is killed, resumed in another, in this runtime and in the other.
 *
 * With torture 1 each run is saved on one backend in Bun and on the other in Deno; from torture 2 on, on both in both.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import { here, run, start, there } from "../support/children.ts";
import { type Ends, whole } from "../programs/prove.ts";
import { runs, total } from "../programs/runs.ts";
import { has } from "../support/portable.ts";
import { isTriedHere, torture } from "../support/torture.ts";

/** Steps in all phases of a run; nineteen shares no factor with the number of its steps. */
function steps(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => (7 + 19 * i) % total);
}

const saves = { cpu: steps(Math.min(torture, 3)), wasm: steps(Math.min(torture, 2)) };

/** The names of the runs that are tried here on a backend. */
function runsOn(backend: string): readonly string[] {
  return Object.keys(runs).filter((_, n) => isTriedHere(n + (backend === "cpu" ? 0 : 1)));
}

async function prove(
  runtime: typeof here,
  backend: string,
  ...args: string[]
): Promise<Readonly<Record<string, Ends>>> {
  const lines = await run(runtime, "prove.ts", [backend, JSON.stringify(runsOn(backend)), ...args]);
  const ends = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Ends);
  return Object.fromEntries(ends.map((end) => [end.name, end]));
}

for (const backend of ["cpu", "wasm"] as const) {
  let expected: Readonly<Record<string, string>> = {};

  test(`same bits: every run ends in ${there} as in ${here}, ${backend}`, async () => {
    await tf.setBackend(backend);
    const ends: Record<string, string> = {};
    for (const name of runsOn(backend)) ends[name] = await whole(runs[name]!);
    expected = ends;
    const others = await prove(there, backend, "whole");
    assert.deepEqual(Object.fromEntries(Object.values(others).map(({ name, id }) => [name, id])), expected);
  });

  for (const step of saves[backend]) {
    test(`same bits: killed in ${here} after step ${step}, resumed in ${here} and ${there}, ${backend}`, async () => {
      const folder = await mkdtemp(join(tmpdir(), "dogear-processes-"));
      try {
        const killed = await start(here, "prove.ts", [
          backend,
          JSON.stringify(runsOn(backend)),
          "until",
          `${step}`,
          folder,
        ])
          .ended;
        if (has("POSIX signals")) assert.equal(killed.signal, "SIGKILL", killed.errors);
        for (const runtime of [here, there]) {
          const found = await prove(runtime, backend, "resume", folder);
          assert.deepEqual(Object.keys(found), runsOn(backend));
          for (const { name, id, alone, cold } of Object.values(found)) {
            assert.equal(id, expected[name], `${name}, restored into live components in ${runtime}`);
            assert.equal(alone, expected[name], `${name}, restored from the checkpoint alone in ${runtime}`);
            assert.notEqual(cold, expected[name], `${name}, cold in ${runtime}`);
          }
        }
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
}
