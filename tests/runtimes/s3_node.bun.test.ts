/**
 * The tests of the store on an object store, in Node.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { after } from "node:test";
import { bun, node, root } from "../gate/runtimes.ts";
import { needs } from "../support/portable.ts";
import { endpointVariable, sharedS3Server } from "../support/s3_server.ts";

const server = sharedS3Server();
const scratch = mkdtempSync(join(tmpdir(), "dogear-node-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
symlinkSync(join(root, "node_modules"), join(scratch, "node_modules"), "junction");

/** The files, and the titles of the tests in them that start no other program. */
const files: Readonly<Record<string, RegExp>> = {
  "store/s3/s3.test.ts": /^s3: (?!one line of history)/,
  "store/s3/s3_refusals.test.ts": /./,
  "laws/old_or_new_object_store.test.ts": /answers/,
};

/** Makes one file for Node of a test and what it imports. */
function bundled(file: string): string {
  const path = join(scratch, `${basename(file, ".ts")}.mjs`);
  const options = ["--target=node", "--packages=external", `--outfile=${path}`];
  const { status, stderr } = spawnSync(bun(), ["build", join(root, "tests", file), ...options], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return path;
}

for (const [file, titles] of Object.entries(files)) {
  needs("S3 server", "Node")(`Node: tests/${file}`, async () => {
    const args = ["--test", `--test-name-pattern=${titles.source}`, "--test-reporter=tap", bundled(file)];
    const env = { ...process.env, [endpointVariable]: await server() };
    const child = spawn(node() ?? "node", args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => output += data);
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.equal(code, 0, output);
    const passed = Number(/^# pass (\d+)$/m.exec(output)?.[1] ?? 0);
    assert.ok(passed > 0, output);
  });
}
