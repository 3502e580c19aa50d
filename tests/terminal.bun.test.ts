/**
 * The command line on a real terminal: Bun can open one, and whatever runs in it cannot tell it from a person's.
 */
import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { directory, runOrThrow, saveState } from "../mod.ts";
import { bun, root } from "./gate/runtimes.ts";

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

/** Runs the command line on a terminal of 80 columns and 20 rows: all that it shows. */
async function shown(words: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const data = (_: unknown, bytes: Uint8Array): void => void (text += decoder.decode(bytes, { stream: true }));
  const env: Record<string, string | undefined> = { ...process.env, TERM: "xterm" };
  delete env["PAGER"];
  delete env["NO_COLOR"];
  const child = runtime.spawn([bun(), join(root, "lib", "cli.ts"), ...words], {
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

test("a short listing goes to the terminal itself, cut to its width, in colours unless NO_COLOR says otherwise", async () => {
  const text = await shown(["ls", path, "--verify"], { PAGER: "false" });
  const lines = text.trimEnd().split("\n");
  assert.equal(lines.length, 2);
  assert.ok(text.includes("\x1b[32mverified\x1b[0m") && lines[0]!.length <= 80 && /loss .*… /.test(lines[1]!), text);
  const plain = await shown(["ls", path, "--verify"], { NO_COLOR: "1" });
  const aged = (listing: string): string => listing.replace(/ +\d+ s /, " {age} ");
  assert.equal(aged(plain), aged(text.replaceAll("\x1b[32m", "").replaceAll("\x1b[0m", "")));
});

test("what is checked shows a bar, which is gone at the end", async () => {
  const text = await shown(["verify", path], { NO_COLOR: "1" });
  assert.match(text, /^\r1 of 1: checkpoint 0 \[-+\] .* of 114\.4 MiB /);
  assert.match(text.split("\r\x1b[K").at(-1)!, /^checkpoint +size {2}verdict\n +0 {2}114\.4 MiB {2}verified\n$/);
});

test("a long listing goes through the pager, and one that is left early ends it", async () => {
  for (let n = 1; n < 3000; n++) symlinkSync(location, join(path, "checkpoints", `checkpoint_${n}`), "junction");
  const file = join(scratch, "paged");
  assert.equal(await shown(["ls", path], { PAGER: `cat > '${file}'` }), "");
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
  assert.equal(lines.length, 3001);
  assert.match(lines[1]!, /^ +2999 /);
  assert.equal((await shown(["ls", path], { PAGER: "head -n 3" })).split("\n").length, 4);
});
