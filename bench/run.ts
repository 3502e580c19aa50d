/**
 * Runs benchmarks in every runtime, one after another.
 *
 *     bun run bench                     all of them
 *     bun run bench save load           those whose names begin with one of these
 *     bun run bench save --only node    in one runtime
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { bun, deno, root } from "../tests/gate/runtimes.ts";

const { values: { only }, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: "string" } } });
const parts = ["run.ts", "rounds.ts", "scene.ts"];
const benches = readdirSync(join(root, "bench")).filter((file) => file.endsWith(".ts") && !parts.includes(file))
  .filter((file) => positionals.length === 0 || positionals.some((name) => file.startsWith(name)));

function call(program: string, ...args: readonly string[]): void {
  const { status } = spawnSync(program, args, { cwd: root, stdio: "inherit", env: { ...process.env, NO_COLOR: "1" } });
  if (status !== 0) process.exitCode = 1;
}

const runtimes: Readonly<Record<string, (file: string) => void>> = {
  bun: (file) => call(bun(), `bench/${file}`),
  deno: (file) => call(deno(), "run", "-A", "--no-check", "--v8-flags=--expose-gc", `bench/${file}`),
  // Node 20 does not run TypeScript: the benchmark is bundled and uses the built package.
  node: (file) => {
    call(bun(), "build", `bench/${file}`, "--target=node", "--packages=external", "--outdir=dist/bench");
    call("node", `dist/bench/${file.replace(/\.ts$/, ".js")}`);
  },
};
call(bun(), "run", "build");
for (const file of benches) {
  for (const [runtime, run] of Object.entries(runtimes)) {
    if (only !== undefined && only !== runtime) continue;
    process.stdout.write(`\n${file} in ${runtime}\n`);
    run(file);
  }
}
