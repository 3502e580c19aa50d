/**
 * Kills every program ten times at random moments, resumes it in Bun and Deno in turn, and shows that it ends with the same bits.
 *
 *     bun examples/kill.ts [program] [kills]   all and 10 by default; in Deno: deno run -A examples/kill.ts
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { changes, kill, programs } from "../tests/support/killing.ts";

const words = process.argv.slice(2);
const isNumber = (word: string): boolean => /^\d+$/.test(word);
const kills = words.find(isNumber) ?? "10";
const only = words.find((word) => !isNumber(word));
const killed = programs.filter(({ name }) => name === (only ?? name));
if (killed.length === 0) {
  throw new Error(`Expected a program: ${programs.map(({ name }) => name).join(", ")}, found ${only}`);
}
const folder = await mkdtemp(join(tmpdir(), "dogear-kill-"));
try {
  console.log("program  lines  uninterrupted     killed            killed at (%)");
  for (const program of killed) {
    const ended = await kill(program, Number(kills), folder);
    const same = ended.id === ended.whole;
    if (!same) process.exitCode = 1;
    const cells = [
      program.name.padEnd(7),
      String(await changes(program)).padStart(5),
      ended.whole.slice(0, 16),
      ended.id.slice(0, 16),
      ended.kills.join(" "),
      same ? "the same bits" : "NOT the same bits",
    ];
    console.log(cells.join("  "));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
