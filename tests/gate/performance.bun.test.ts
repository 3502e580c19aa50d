/**
 * Each figure of `docs/performance.md` names the bench that prints it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./runtimes.ts";

test("performance: each row of figures ends with the command of a bench that exists", () => {
  const [, figures = ""] = /^## Figures$(.*?)^## /ms.exec(readFileSync(join(root, "docs/performance.md"), "utf8")) ??
    [];
  const rows = figures.split("\n").filter((line) => line.startsWith("|") && !/^\|(---| work )/.test(line));
  assert.ok(rows.length > 10);
  for (const row of rows) {
    const [, bench] = /\| `bun run bench (\w+)` \|$/.exec(row) ?? [];
    assert.ok(bench !== undefined && existsSync(join(root, `bench/${bench}.ts`)), row);
  }
});
