/**
 * The command line on a pseudo-terminal, which Bun can open.
 */
import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { directory, runOrThrow, saveState } from "../../mod.ts";
import { bun, root } from "../gate/runtimes.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-terminal-"));
after(() => rm(scratch, { recursive: true, force: true }));

interface Runtime {
  readonly spawn: (command: readonly string[], options: {
    readonly cwd: string;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly terminal: {
      readonly cols: number;
      readonly rows: number;
      readonly data: (of: unknown, bytes: Uint8Array) => void;
    };
  }) => { readonly exited: Promise<number> };
}

const runtime: Runtime = Reflect.get(globalThis as object, "Bun");

/** Everything that the command line writes to a terminal of 80 columns and 20 rows. */
async function shown(words: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const data = (_: unknown, bytes: Uint8Array): void => void (text += decoder.decode(bytes, { stream: true }));
  const env: Record<string, string | undefined> = { ...process.env, TERM: "xterm" };
  delete env["NO_COLOR"];
  const child = runtime.spawn([bun(), join(root, "lib", "cli", "main.ts"), ...words], {
    cwd: root,
    env: { ...env, ...environment },
    terminal: { cols: 80, rows: 20, data },
  });
  assert.equal(await child.exited, 0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  return text.replaceAll("\r\n", "\n");
}

const path = join(scratch, "run");
const { location } = await runOrThrow(
  saveState(directory(path), { metrics: { loss: 0.5, accuracy: 0.25, perplexity: 3 } })({
    w: new Float32Array(3e7),
    step: 1,
  }),
);

test("terminal: a listing is cut to the width, in colours unless NO_COLOR is set", async () => {
  const text = await shown(["ls", path, "--verify"], {});
  const lines = text.trimEnd().split("\n");
  assert.equal(lines.length, 2);
  assert.ok(text.includes("\x1b[32mverified\x1b[39m") && lines[0]!.length <= 80 && /loss .*… /.test(lines[1]!), text);
  const plain = await shown(["ls", path, "--verify"], { NO_COLOR: "1" });
  const aged = (listing: string): string => listing.replace(/ +\d+ s /, " {age} ");
  assert.equal(aged(plain), aged(text.replaceAll("\x1b[32m", "").replaceAll("\x1b[39m", "")));
});

test("terminal: verify draws a progress bar and erases it at the end", async () => {
  const text = await shown(["verify", path], { NO_COLOR: "1" });
  assert.match(text, /^\r1 of 1: checkpoint 0 \[-+\] .* of 114\.4 MiB /);
  assert.match(text.split("\r\x1b[K").at(-1)!, /^checkpoint +size {2}verdict\n +0 {2}114\.4 MiB {2}verified\n$/);
});

test("terminal: a long listing is written whole", async () => {
  for (let n = 1; n < 3000; n++) symlinkSync(location, join(path, "checkpoints", `checkpoint_${n}`), "junction");
  const lines = (await shown(["ls", path], { NO_COLOR: "1" })).trimEnd().split("\n");
  // The checkpoints, then the three metrics.
  assert.equal(lines.length, 3001 + 5);
  assert.match(lines[1]!, /^ +2999 /);
});
