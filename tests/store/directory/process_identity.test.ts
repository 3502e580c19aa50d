/**
 * Process identities: containers, which are namespaces of Linux, are told apart.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { localFileSystem } from "../../../lib/store/directory/local_file_system.ts";
import { needs } from "../../support/portable.ts";

const program = fileURLToPath(new URL("../../programs/identity.ts", import.meta.url));
const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-check"] : [];

/** The identity of a process in new namespaces, and what it says of these identities. */
function inNamespaces(namespaces: readonly string[], ids: readonly string[]): readonly string[] {
  const args = [...namespaces, "--fork", process.execPath, ...flags, program, ...ids];
  const { stdout, stderr, status } = spawnSync("unshare", args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout.trim().split("\n");
}

const own = await localFileSystem.processId();
const [machine] = own.split(".");

needs("namespaces")(
  "processId: a container with its own /proc is another machine, whose processes are unknown here",
  async () => {
    const [id = "", status] = inNamespaces(["--pid", "--mount-proc"], [own]);
    assert.match(id, /^[0-9a-f]{8}\.1\.\d+$/);
    assert.notEqual(id.split(".")[0], machine);
    assert.deepEqual([status, await localFileSystem.processStatus(id)()], ["unknown", "unknown"]);
  },
);

needs("namespaces")(
  "processId: with the /proc of another namespace it takes no start time of another process",
  async () => {
    const [id = "", status] = inNamespaces(["--pid"], [own]);
    assert.match(id, /^unknown\.\d+\.0$/);
    assert.deepEqual([status, await localFileSystem.processStatus(id)()], ["unknown", "unknown"]);
  },
);

needs("namespaces")(
  "processStatus: a clock namespace, in which start times are others, takes no running process for dead",
  () => {
    const [, status] = inNamespaces(["--time", "--boottime", "100000"], [own]);
    assert.equal(status, "unknown");
    assert.deepEqual(inNamespaces(["--uts"], [own])[1], "alive");
  },
);
