/**
 * The tests of tfjs-node's backend once more in Node, where it belongs: bundled, for Node runs no TypeScript.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { bun, node, root } from "../gate/runtimes.ts";
import { needs } from "../support/portable.ts";

const scratch = mkdtempSync(join(tmpdir(), "dogear-tfjs-node-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const found = node();

needs("Node")("round trip, no trace, nothing silent: tfjs-node's backend in Node", () => {
  symlinkSync(join(root, "node_modules"), join(scratch, "node_modules"), "junction");
  const bundle = join(scratch, "tfjs_node.mjs");
  const run = (program: string, ...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
    return stdout;
  };
  const outside = ["@tensorflow", "fp-ts", "io-ts"].flatMap((name) => ["--external", name, "--external", `${name}/*`]);
  run(bun(), "build", "tests/runtimes/tfjs_node.test.ts", "--target", "node", "--outfile", bundle, ...outside);
  assert.match(run(found ?? "node", bundle), /# pass [4-9]\n# fail 0|pass [4-9]\n.*fail 0/);
});
