/**
 * `dogear prune --orphans`, and what `dogear verify` says of orphans.
 */
import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { directory, runOrThrow } from "../../mod.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { bytesText } from "../../lib/cli/format.ts";
import { here, start } from "../support/children.ts";
import { copied, dogear, inside, json, place, run } from "../support/command_line.ts";
import { knowsProcesses, orphansIn, wholeSteps } from "../support/killed_saves.ts";

/** Leaves in a run what a dead process would: a removal of 500 bytes and a save of 3,000. */
async function leaveOrphans(path: string): Promise<readonly string[]> {
  const [machine] = (await localFileSystem.processId()).split(".");
  const names = ["removing", "saving"].map((purpose) => `.${purpose}-${machine}.999999999.1-0123456789ab`);
  for (const [i, name] of names.entries()) {
    await mkdir(join(path, "checkpoints", name));
    await writeFile(join(path, "checkpoints", name, "model.safetensors"), new Uint8Array(i === 0 ? 500 : 3000));
  }
  return names;
}

const where = { skip: !knowsProcesses };

test(
  "prune --orphans: shows what a dead process has left, removes it with --yes, and keeps a live save",
  where,
  async () => {
    const path = await copied();
    // Its beginning would remove them.
    const live = await runOrThrow(directory(path).begin);
    const [removing, saving] = await leaveOrphans(path);
    const [liveName] = (await orphansIn(path)).filter((name) => name !== removing && name !== saving);
    await runOrThrow(live.put("model.safetensors", [new Uint8Array(2000)]));
    const dry = await dogear("prune", path, "--orphans");
    assert.deepEqual([dry.code, dry.said], [0, ""]);
    const lines = dry.text.split("\n");
    assert.match(lines[0]!, /^would +kind +size +age +orphan$/);
    const rows = lines.slice(1, -1).sort();
    assert.equal(rows.length, 3);
    assert.match(rows[0]!, /^keep: live +unfinished save +2\.0 KiB +\d s +checkpoints\/\.saving-/);
    assert.match(rows[1]!, /^remove +removed checkpoint +500 B +\d s +checkpoints\/\.removing-/);
    assert.match(rows[2]!, /^remove +unfinished save +2\.9 KiB +\d s +checkpoints\/\.saving-/);
    assert.ok(lines.every((line) => line.length <= 80));
    assert.equal(lines.at(-1), `Would remove 2 orphans, ${bytesText(3500)}: run it again with --yes`);
    assert.equal((await orphansIn(path)).length, 3);

    const { code, value } = await json("prune", path, "--orphans", "--yes");
    assert.deepEqual([code, value.dryRun, value.location], [0, false, path]);
    const at = (name = ""): string => join(path, "checkpoints", name);
    assert.deepEqual(value.removed.toSorted(), [at(removing), at(saving)]);
    assert.deepEqual(
      value.orphans.map(({ name, action, isLive }: Record<string, unknown>) => [name, action, isLive]),
      [at(removing), at(saving), at(liveName)].sort().map((
        name,
      ) => [name, name === at(liveName) ? "keep" : "remove", name === at(liveName)]),
    );
    assert.deepEqual(await orphansIn(path), [liveName]);
    assert.deepEqual(await runOrThrow(directory(path).list), [0, 1, 2]);
    await live.abort();
    assert.equal((await dogear("prune", path, "--orphans")).text, "Nothing to remove");
    assert.equal((await dogear("prune", path, "--orphans", "--yes")).text, "Removed 0 orphans, 0 B");
  },
);

test("verify: says what killed saves have left of a whole run, and that is no damage", where, async () => {
  const path = await copied();
  const names = await leaveOrphans(path);
  const { code, said, text } = await dogear("verify", path);
  assert.equal(code, 0);
  assert.equal((await dogear("verify", run)).text, text);
  assert.equal(
    said,
    `Killed saves have left something in ${path} (2 orphans, ${
      bytesText(3500)
    }): dogear prune ${path} --orphans shows and removes it`,
  );
  const { value } = await json("verify", path, run);
  assert.deepEqual(
    value.orphans.map(({ location, name, bytes }: Record<string, unknown>) => [location, name, bytes]),
    names.map((name, i) => [path, join(path, "checkpoints", name), i === 0 ? 500 : 3000]),
  );
  assert.deepEqual((await json("verify", `${path}@0`)).value.orphans, []);
  assert.equal((await dogear("verify", `${path}@0`)).said, "");
});

test("prune --orphans: what a killed process has left is removed, and every checkpoint is whole", where, async () => {
  const path = place();
  let lines = 0;
  const child = start(here, "saves.ts", [path, "0", "1e9"], {
    onLine: () => {
      if (lines++ === 4) setTimeout(() => child.kill("SIGKILL"), Math.random() * 10);
    },
  });
  await child.ended;
  const steps = await wholeSteps(directory(path));
  const left = await orphansIn(path);
  const { code, value } = await json("prune", path, "--orphans", "--yes");
  assert.deepEqual([code, value.removed.length], [0, left.length]);
  assert.deepEqual(await orphansIn(path), []);
  assert.deepEqual(await wholeSteps(directory(path)), steps);
});

test("prune --orphans: takes no policy, and no checkpoint", async () => {
  for (
    const [words, expected] of [
      [["--latest", "1"], /Expected --orphans alone or with --yes, found --latest/],
      [["--run", "a"], /found --run: run prune twice/],
      [["@1"], /Expected one run/],
    ] as const
  ) {
    const { code, said } = await dogear("prune", run, "--orphans", ...words);
    assert.equal(code, 2);
    assert.match(said, expected);
  }
  assert.ok((await readdir(inside(run, 0))).length > 0);
});
