/**
 * Mounts a file system, and runs the laws of `tests/support/killed_saves.ts` on it, within the namespace of `tests/support/mounts.ts`:
 *
 *     on_mount.ts <an empty folder> <kind>                          mounts it, and waits to be killed
 *     on_mount.ts <an empty folder> <kind> <kills> <saves> [law]    runs all laws or one
 *
 * It prints `mounted`, then the name of each law that held. The file system's processes end with it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { directory, explain, runOrThrow, saveState } from "../../mod.ts";
import { here, there } from "../support/children.ts";
import { kill, type KilledRun, readBeside, saveTogether, verify, wholeSteps } from "../support/killed_saves.ts";
import { mount, mountKinds } from "../support/mounts.ts";
import { stateAt } from "./saves.ts";

// --- types

interface Times {
  readonly kills: number;
  /** The saves of each process. */
  readonly saves: number;
}

// --- the laws

type Laws = Readonly<Record<string, (run: KilledRun, times: Times) => Promise<void>>>;

const laws: Laws = {
  kills: async (run, { kills }) => {
    const from = run.newest;
    // A few more kills, in case each came before the first save.
    for (let i = 0; i < kills || (run.newest === from && i < kills + 20); i++) {
      run = await kill(i % 2 === 0 ? here : there, run);
    }
    assert.ok(run.newest > from, "nothing was saved");
  },
  savers: ({ path }, { saves }) => saveTogether(path, [here, there, here, there], saves),
  reader: async ({ path, newest }, { saves }) => {
    const removed = await readBeside(path, here, newest, 2 * saves);
    assert.ok(removed > 0, "no checkpoint was removed while it was read");
  },
};

const lawsOfRefused: Laws = {
  refused: async ({ path, newest }) => {
    const saved = await saveState(directory(path))(stateAt(newest + 1))();
    assert(saved._tag === "Left", "saved, in spite of the mount");
    assert.match(explain(saved.left), /\(EOBJECTSTORE\).* with s3\("s3:/);
    assert.deepEqual(await wholeSteps(directory(path)), Array.from({ length: newest }, (_, i) => i + 1));
  },
};

async function main([scratch = "", name = "", kills = "0", saves = "0", only]: readonly string[]): Promise<void> {
  const kind = mountKinds.find((kind) => kind.name === name) ?? assert.fail(`no kind ${name}`);
  const folders = { below: join(scratch, "below"), mounted: join(scratch, "mounted"), scratch: join(scratch, "more") };
  for (const path of Object.values(folders)) await mkdir(path);
  const chosen = Object.entries(kind.isRefused === true ? lawsOfRefused : laws).filter(([law]) =>
    kills !== "0" && (only ?? law) === law
  );
  const saved = kind.showsBelow ? 3 : 0;
  for (const [law] of chosen) {
    const below = directory(join(folders.below, law));
    for (let step = 1; step <= saved; step++) await runOrThrow(saveState(below)(stateAt(step)));
  }
  await mount(kind, folders);
  process.stdout.write("mounted\n");
  if (chosen.length === 0) await new Promise((done) => setTimeout(done, 60_000));
  for (const [law, holds] of chosen) {
    const path = join(folders.mounted, law);
    await holds({ path, keep: 2, newest: saved, count: saved }, { kills: Number(kills), saves: Number(saves) });
    await verify(path);
    process.stdout.write(`${law}\n`);
  }
}

await main(process.argv.slice(2));
process.exit(0);
