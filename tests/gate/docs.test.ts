/**
 * The documentation is true: every `ts` block of a docstring in `lib/` and `mod.ts` and of the README type-checks, and
 * runs, unless it is marked `ts no-run`, as a program of its own in the runtime that runs this test.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type Block, blocks, toModule } from "./blocks.ts";
import { isBun, root } from "./runtimes.ts";

const sources = [
  "README.md",
  "mod.ts",
  ...readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .sort()
    .map((name) => `lib/${name.replaceAll("\\", "/")}`),
].filter((file) => existsSync(join(root, file)));
const found = sources.flatMap((file) => blocks(file, readFileSync(join(root, file), "utf8")));

// Inside the project, so that "@dogear/dogear" is the package itself.
mkdirSync(join(root, ".tmp"), { recursive: true });
const scratch = mkdtempSync(join(root, ".tmp", "docs-"));
const elsewhere = process.cwd();

function moduleOf(block: Block): string {
  return join(scratch, `${block.file}.${block.line}.ts`);
}

before(() => {
  for (const block of found) {
    mkdirSync(dirname(moduleOf(block)), { recursive: true });
    writeFileSync(moduleOf(block), toModule(block));
  }
});

after(() => {
  process.chdir(elsewhere);
  rmSync(scratch, { recursive: true, force: true });
});

test("docs: a block is found in a docstring and in Markdown, with its line and its marks", () => {
  const docstring = "/**\n * Adds.\n *\n * ```ts\n * f(1);\n *\n *   g();\n * ```\n */\nexport const a = 1;\n";
  assert.deepEqual(blocks("a.ts", docstring), [{ file: "a.ts", line: 5, run: true, code: "f(1);\n\n  g();" }]);
  const readme = "# a\n```sh\nls\n```\n```ts no-run\nf();\n```\n";
  assert.deepEqual(blocks("a.md", readme), [{ file: "a.md", line: 6, run: false, code: "f();" }]);
});

test("docs: every source has been searched", () => {
  assert.ok(found.length > 0, `Expected blocks in ${sources.join(", ")}, found none`);
});

// Types are the same in every runtime.
if (isBun) {
  test("docs: every block type-checks", () => {
    const config = join(scratch, "tsconfig.json");
    writeFileSync(
      config,
      JSON.stringify({
        extends: "../../tsconfig.json",
        compilerOptions: { declaration: false, isolatedDeclarations: false, noUnusedLocals: false },
        include: ["**/*.ts"],
      }),
    );
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, "-p", config], { encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
  });
}

for (const block of found.filter(({ run }) => run)) {
  test(`docs: ${block.file}:${block.line} runs`, async () => {
    // A block may write into its current folder.
    process.chdir(mkdtempSync(join(scratch, "run-")));
    await import(pathToFileURL(moduleOf(block)).href);
  });
}
