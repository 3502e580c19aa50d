/**
 * The classic training script, as one `train` and as a loop by hand: short, and killed ten times at random moments it ends with the same bits.
 *
 * With torture 1 Bun kills the one and Deno the other; from torture 2 on each kills both. Runs are resumed in the two runtimes alternately.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { directory, id, list, readSnapshot } from "../../mod.ts";
import { type Ending, here, type Runtime, start, there } from "../support/children.ts";
import { isTriedHere } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-classic-"));
after(() => rm(scratch, { recursive: true, force: true }));

/** A run of an example: how it ended, and the milliseconds until each of its lines. */
type Leg = Ending & { readonly times: readonly number[] };

/** Runs an example to its end, or kills it so many milliseconds after so many lines, or at the next line if that comes earlier. */
async function leg(runtime: Runtime, file: string, folder: string, after = Infinity, wait = 0): Promise<Leg> {
  const [began, times]: [number, number[]] = [performance.now(), []];
  const kill = (): void => child.kill("SIGKILL");
  const onLine = (): void => {
    times.push(performance.now() - began);
    if (times.length === after) setTimeout(kill, wait);
    if (times.length === after + 1) kill();
  };
  const child = start(runtime, `../../examples/${file}`, [folder], { onLine });
  if (after === 0) setTimeout(kill, wait);
  return { ...await child.ended, times };
}

/** The id of the newest state of a run, and the metrics of its checkpoints. */
async function left(folder: string): Promise<readonly unknown[]> {
  const store = directory(folder);
  using snapshot = await readSnapshot(store);
  const { entries } = await list(store);
  return [await id(snapshot), entries.map(({ metrics }) => metrics)];
}

for (const [n, [file, most]] of ([["classic.ts", 40], ["classic.loop.ts", 60]] as const).entries()) {
  test(`${file}: at most ${most} lines`, async () => {
    const text = await readFile(new URL(`../../examples/${file}`, import.meta.url), "utf8");
    assert.ok(text.trimEnd().split("\n").length <= most);
  });

  if (!isTriedHere(n)) continue;

  test(`same bits: ${file}, killed at ten random moments, ends as it does uninterrupted`, async () => {
    const [whole, killed] = ["whole", "killed"].map((name) => join(scratch, file, name)) as [string, string];
    const { lines, code, errors, times } = await leg(here, file, whole);
    assert.equal(code, 0, errors);
    assert.ok(18 <= lines.length && lines.length < 60, `stopped early after ${lines.length - 1} epochs`);
    const between = (times.at(-1)! - times[0]!) / lines.length;
    // On a busy machine ten kills may all come before the end of the first epoch is saved.
    const isBegun = async (): Promise<boolean> =>
      (await list(directory(killed))).entries.some(({ metrics }) => Object.keys(metrics).length > 0);
    for (let kill = 0; kill < 10 || (kill < 40 && !await isBegun()); kill++) {
      // While it starts, and in its first, second or third epoch: it must not end before the last kill.
      const after = kill % 3;
      const wait = Math.random() * (after === 0 ? times[0]! : between);
      const { signal, errors } = await leg([here, there][kill % 2]!, file, killed, after, wait);
      assert.equal(signal, "SIGKILL", errors);
    }
    const end = await leg(here, file, killed);
    assert.equal(end.code, 0, end.errors);
    assert.ok(end.lines.length < lines.length, "no kill came after a save");
    assert.deepEqual(end.lines, lines.slice(-end.lines.length));
    assert.deepEqual(await left(killed), await left(whole));
  });
}
