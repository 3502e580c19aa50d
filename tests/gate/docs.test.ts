/**
 * The documentation is true: every `ts` block of a docstring in `lib/` and `mod.ts`, of the README and of the guides in
 * `docs/` type-checks, and runs in the runtime that runs this test, unless it is marked `ts no-run`. Each is a separate
 * program, unless it continues the block before it (see `blocks.ts`).
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
import { blocks, isRun, type Program, programs, toModule } from "./blocks.ts";
import { isBun, root } from "./runtimes.ts";

function filesIn(folder: string, ending: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
}

const sources = ["README.md", "mod.ts", ...filesIn("docs", ".md"), ...filesIn("lib", ".ts")]
  .filter((file) => existsSync(join(root, file)));
const found = programs(sources.flatMap((file) => blocks(file, readFileSync(join(root, file), "utf8"))));

// Inside the project, so that "@dogear/dogear" is the package itself.
mkdirSync(join(root, ".tmp"), { recursive: true });
const scratch = mkdtempSync(join(root, ".tmp", "docs-"));
const elsewhere = process.cwd();

function moduleOf([first]: Program): string {
  return join(scratch, `${first.file}.${first.line}.ts`);
}

before(() => {
  for (const program of found) {
    mkdirSync(dirname(moduleOf(program)), { recursive: true });
    writeFileSync(moduleOf(program), toModule(program));
  }
});

after(() => {
  process.chdir(elsewhere);
  rmSync(scratch, { recursive: true, force: true });
});

test("docs: a block is found in a docstring and in Markdown, with its line and its marks", () => {
  const docstring = "/**\n * Adds.\n *\n * ```ts\n * f(1);\n *\n *   g();\n * ```\n */\nexport const a = 1;\n";
  assert.deepEqual(blocks("a.ts", docstring), [{ file: "a.ts", line: 5, marks: [], code: "f(1);\n\n  g();" }]);
  const readme = "# a\n```sh\nls\n```\n```ts no-run\nf();\n```\n";
  const [block] = blocks("a.md", readme);
  assert.deepEqual(block, { file: "a.md", line: 6, marks: ["no-run"], code: "f();" });
  assert(block !== undefined && !isRun([block]));
});

test("docs: continued blocks are one module, and one that throws must fail with the shown message", () => {
  const guide =
    "```ts\nf();\n```\nthen\n```ts throws\ng();\n```\nsays\n```text\nNo (x):\ntry … again\n```\n```ts\nh();\n```\n";
  const [first, second, ...more] = programs(blocks("a.md", guide));
  assert(first !== undefined && second !== undefined && more.length === 0);
  const [code, call, failing, ending] = toModule(first).split("\n").filter((line) => line !== "");
  assert.deepEqual([code, failing, second[0].code], ["f();", "g();", "h();"]);
  assert.match(call ?? "", /rejects\(async \(\) => \{$/);
  assert.equal(ending, "}, /^\\w*Error: No\\s+\\(x\\):\\s+try\\s+[^]*\\s+again$/);");
  for (
    const wrong of [
      "```ts continued\nf();\n```\n",
      "```ts\nf();\n```\n```ts throws\ng();\n```\n",
      "```ts norun\nf();\n```\n",
      "```ts no-run\nf();\n```\n```ts continued\ng();\n```\n",
    ]
  ) {
    assert.throws(() => programs(blocks("a.md", wrong)), /^Error: a\.md:\d+: /, wrong);
  }
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

for (const program of found.filter(isRun)) {
  test(`docs: ${program[0].file}:${program[0].line} runs`, async () => {
    // A block may write into its current folder.
    process.chdir(mkdtempSync(join(scratch, "run-")));
    await import(pathToFileURL(moduleOf(program)).href);
  });
}
