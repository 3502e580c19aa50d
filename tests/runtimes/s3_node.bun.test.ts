/**
 * The tests of the store on an object store, in Node.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after } from "node:test";
import { bun, node, root } from "../gate/runtimes.ts";
import { needs } from "../support/portable.ts";
import { endpointVariable, sharedS3Server } from "../support/s3_server.ts";

const server = sharedS3Server();
const scratch = mkdtempSync(join(tmpdir(), "dogear-node-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
symlinkSync(join(root, "node_modules"), join(scratch, "node_modules"), "junction");

const files: readonly string[] = [
  "store/s3/s3",
  "store/s3/http_bucket",
  "store/s3/request",
  "store/s3/s3_refusals",
  "laws/old_or_new_object_store",
];
/** The titles of the tests in them that start no other program. */
const titles =
  "^(s3: (?!one line of history)|http bucket, real server: |requests: |refusals: |old or new: .* answers )";

/** Makes one program for Node of the files and what they import. */
function bundled(): string {
  const [entry, path] = [join(scratch, "entry.ts"), join(scratch, "s3.test.mjs")];
  writeFileSync(
    entry,
    files.map((name) => `import ${JSON.stringify(join(root, "tests", `${name}.test.ts`))};\n`).join(""),
  );
  // The package says that its modules have no effects, which is not so for tests.
  const options = ["--ignore-dce-annotations", "--target=node", "--packages=external", `--outfile=${path}`];
  const { status, stderr } = spawnSync(bun(), ["build", entry, ...options], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return path;
}

needs("S3 server", "Node")(
  "Node: the store on an object store keeps its laws, through a faulty connection too",
  async () => {
    const args = ["--test", `--test-name-pattern=${titles}`, "--test-reporter=tap", bundled()];
    const env = { ...process.env, [endpointVariable]: await server() };
    const child = spawn(node() ?? "node", args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => output += data);
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.equal(code, 0, output);
    for (const subject of ["s3", "http bucket, real server", "requests", "refusals", "old or new"]) {
      assert.match(
        output,
        new RegExp(`^ *ok \\d+ - ${subject}: `, "m"),
      );
    }
  },
);
