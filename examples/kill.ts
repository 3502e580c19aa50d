/**
 * Kills every program ten times at random moments, resumes it in Bun and Deno in turn, and shows that it ends with the same bits.
 *
 *     bun examples/kill.ts [kills] [program]   10 and all by default; in Deno: deno run -A examples/kill.ts
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { changes, kill, programs } from "../tests/support/killing.ts";

const [kills = "10", only = ""] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), "dogear-kill-"));
try {
  console.log("program  lines  uninterrupted     killed            killed at (%)");
  for (const program of programs.filter(({ name }) => name.startsWith(only))) {
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
