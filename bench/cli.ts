/**
 * The start of the packed command line in Bun, Deno and Node: `dogear --version`, and `dogear ls` on a run of three checkpoints, against an empty
 * script. The time is that of the whole process.
 *
 *     bun bench/cli.ts
 *
 * @module
 */
import { directory, runOrThrow, saveState } from "@dogear/dogear";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bun, deno, node, root } from "../tests/gate/runtimes.ts";
import { compare } from "./rounds.ts";

function run(program: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8", cwd: root });
  if (status !== 0) throw new Error(stderr);
}

const folder = await mkdtemp(join(tmpdir(), "dogear-bench-"));
try {
  const store = directory(join(folder, "run"));
  for (const step of [1, 2, 3]) await runOrThrow(saveState(store)({ w: new Float32Array(1000), step }));
  const [packed, empty] = [join(folder, "dogear.mjs"), join(folder, "empty.mjs")];
  run(bun(), "build", "lib/cli/main.ts", "--target=node", `--outfile=${packed}`);
  await writeFile(empty, "");
  const found = node();
  const runtimes: readonly (readonly [string, string, ...string[]])[] = [
    ["Bun", bun()],
    ["Deno", deno(), "run", "-A"],
    ...(found === undefined ? [] : [["Node", found] as const]),
  ];
  for (const [name, program, ...args] of runtimes) {
    for (const words of [["--version"], ["ls", join(folder, "run")]]) {
      await compare(
        { name: `${name}: dogear ${words[0]}`, run: () => run(program, ...args, packed, ...words) },
        { name: "an empty script", run: () => run(program, ...args, empty) },
        15,
      );
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
