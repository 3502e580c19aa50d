/**
 * The examples that check themselves, in a short form, and what the demonstration shows.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { barLine, names, nextCommands, summary } from "../../examples/demo_screen.ts";
import { sqlite } from "../../examples/sqlite_store.ts";
import { storeLaws } from "../../lib/store/contract/mod.ts";
import { bun, deno, isBun, root } from "./runtimes.ts";
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

const half = { step: 141, steps: 376, epoch: "3/8", loss: "0.4321" };

test("demo: at 60 and 80 columns each training has a bar with its step and its loss, none wider than the terminal", () => {
  for (const columns of [60, 80]) {
    const lines = names.map((name) => barLine(name, half, columns - 1));
    for (const [i, line] of lines.entries()) {
      assert.ok(line.length < columns, line);
      assert.match(line, new RegExp(`^${names[i]!} +\\[#+-+\\]  141/376  loss 0\\.4321$`));
    }
    // The bars are below each other, before the first loss too.
    const start = barLine("killed", { ...half, step: 0, loss: "" }, columns - 1);
    assert.deepEqual([...lines, start].map((line) => line.indexOf("/376")), Array(4).fill(lines[0]!.indexOf("/376")));
  }
});

test("demo: at every width a number is whole or left out", () => {
  for (let width = 0; width <= 100; width++) {
    for (const loss of ["", "0.4321", "1.234e-10", "123456789012345"]) {
      const line = barLine("uninterrupted", { ...half, loss }, width);
      assert.ok(line.length <= width, line);
      const found = line.replace(/\[[#-]+\]/, "").split(/ +/).filter((word) => /\d/.test(word));
      assert.ok(found.every((word) => word === "141/376" || word === loss), line);
      assert.ok(width < 7 || line.includes("141/376"), line);
    }
  }
});

test("demo: the end says which trainings are equal, in at most 60 columns", () => {
  const [one, other] = ["c912ec3e0ea066eb".repeat(4), "cb08348f6ceef8ec".repeat(4)];
  const ending = (id: string) => ({ steps: 376, accuracy: "91.9 %", id });
  const endOf = (killed: string, cold: string) =>
    summary({ uninterrupted: ending(one), killed: ending(killed), cold: { ...ending(cold), steps: 156 } });
  const { isProved, lines } = endOf(one, other);
  assert.ok(isProved);
  assert.equal(
    lines.join("\n"),
    `training                  steps  accuracy  id of its end
uninterrupted               376    91.9 %  c912ec3e0ea0
killed twice and resumed    376    91.9 %  c912ec3e0ea0
started cold                156    91.9 %  cb08348f6cee

Killed twice and resumed = uninterrupted:
  same weights, id c912ec3e0ea0
Started cold: different, as it should be.
  It trained as many steps as the last resume, from nothing.

The id is the SHA-256 of all that was trained: weights,
optimizer, random numbers, position in the data.`,
  );
  assert.ok(lines.every((line) => line.length <= 60));
  assert.deepEqual([endOf(other, other).isProved, endOf(one, one).isProved], [false, false]);
});

// The demo starts Bun and Deno itself.
if (isBun) {
  test("demo: piped it writes plain lines, replaces the runs of the last one, and its commands work on those that it keeps", () => {
    const folder = join(scratch, "demo");
    mkdirSync(join(folder, "killed"), { recursive: true });
    writeFileSync(join(folder, "killed", "log.jsonl"), "of another demo");
    const start = (...words: readonly string[]) => spawnSync(bun(), words, { cwd: root, encoding: "utf8" });
    const demo = start("examples/demo.ts", folder, "--steps", "40");
    assert.equal(demo.status, 0, demo.stdout + demo.stderr);
    assert.doesNotMatch(demo.stdout, /[^\n -~]/);
    assert.match(demo.stdout, /^Replacing the runs of the last demo: \S+killed\n/);
    assert.equal(demo.stdout.match(/^ {2}Killed after step \d+ of 40, in (?:Bun|Deno)$/gm)?.length, 2);
    const commands = nextCommands(folder, "bun").flatMap((line) =>
      /^ {2}bun run dogear (?!serve)/.test(line) ? [line.trim().split(" ").slice(3)] : []
    );
    assert.equal(commands.length, 5);
    for (const words of commands) {
      const { status, stdout, stderr } = start("lib/cli/main.ts", ...words);
      assert.equal(status, words.includes(`${folder}/cold`) ? 1 : 0, `${words.join(" ")}\n${stdout}${stderr}`);
    }
  });
}
