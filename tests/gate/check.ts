/**
 * What can be checked without running the code: format, lint, types in both compilers, and what would be published.
 * Every step runs, whatever the ones before it found.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { bun, deno, root } from "./runtimes.ts";

const sources = ["mod.ts", "lib", "tests", "examples", "bench", "docs/site"].filter((path) =>
  existsSync(join(root, path))
);
// The page is for browsers, whose types Deno's check lacks: tsc checks it apart.
const modules = sources.map((path) => path.endsWith(".ts") ? path : `${path}/**/*.ts`);
const steps: readonly (readonly [name: string, program: string, ...args: readonly string[]])[] = [
  ["format", deno(), "fmt", "--check"],
  ["lint", deno(), "lint"],
  ["types in tsc", bun(), join("node_modules", "typescript", "bin", "tsc")],
  [
    "types of the page",
    bun(),
    join("node_modules", "typescript", "bin", "tsc"),
    "-p",
    join("lib", "cli", "serve", "page"),
  ],
  ["types in Deno", deno(), "check", ...modules],
  ["publish, dry run", deno(), "publish", "--dry-run", "--allow-dirty"],
];

let failures = 0;
for (const [name, program, ...args] of steps) {
  const started = performance.now();
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (status !== 0) {
    failures += 1;
    console.log(`\n${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`.trimEnd());
  }
  console.log(`${name.padEnd(20)} ${(status === 0 ? "ok" : "failed").padEnd(8)} ${seconds.padStart(6)} s`);
}
process.exitCode = failures === 0 ? 0 : 1;
