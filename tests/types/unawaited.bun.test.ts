/**
 * A forgotten `await` is found by the rule `no-floating-promises` of typescript-eslint with `checkThenables`, here in oxlint's port of it, which
 * needs no second version of TypeScript.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { root } from "../gate/runtimes.ts";

mkdirSync(join(root, ".tmp"), { recursive: true });
const folder = mkdtempSync(join(root, ".tmp", "unawaited-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const file = join("tests", "types", "unawaited.ts");

/** The lines of the file where the rule finds something. */
function found(checkThenables: boolean): readonly number[] {
  const config = join(folder, `${checkThenables}.json`);
  const rules = { "typescript/no-floating-promises": ["error", { checkThenables }] };
  writeFileSync(config, JSON.stringify({ categories: { correctness: "off" }, plugins: ["typescript"], rules }));
  const oxlint = join(root, "node_modules", "oxlint", "bin", "oxlint");
  const args = [oxlint, "--type-aware", "-c", config, "--format", "unix", file];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  assert.match(stdout, /problems?\s*$/, stdout + stderr);
  return [...stdout.matchAll(/unawaited\.ts:(\d+):\d+: .*no-floating-promises/g)].map(([, line]) => Number(line));
}

const lines = readFileSync(join(root, file), "utf8").split("\n");
const linesWith = (comment: RegExp): readonly number[] => lines.flatMap((line, i) => comment.test(line) ? [i + 1] : []);

test("awaitable: no-floating-promises finds each forgotten await, of every kind of task, and nothing else", () => {
  assert.deepEqual(found(true), linesWith(/\/\/ forgotten/));
});

test("awaitable: without checkThenables it finds promises alone", () => {
  assert.deepEqual(found(false), linesWith(/\/\/ forgotten, a promise$/));
});
