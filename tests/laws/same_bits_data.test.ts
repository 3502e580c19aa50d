/**
 * Law *same bits*, of the data alone: resumed at any of three places, with any of four loaders, in a new process of the other runtime,
 * a run sees what an uninterrupted one sees.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Loader } from "../../mod.ts";
import { here, run, there } from "../support/children.ts";
import { type Item, loaders, places } from "../programs/cases.ts";

const folder = await mkdtemp(join(tmpdir(), "dogear-cases-"));
after(() => rm(folder, { recursive: true, force: true }));

async function uninterrupted(build: () => Loader.Loader<number[]>): Promise<readonly Item[]> {
  const items: Item[] = [];
  for await (const item of Loader.iterate(build())) items.push(item);
  return items;
}

test("same bits: 12 of 12 resumes are exact, in samples and cursors, to the end of the last epoch", async () => {
  await run(here, "cases.ts", ["save", folder]);
  let exact = 0;
  for (const [place, step] of Object.entries(places)) {
    const lines = await run(there, "cases.ts", ["resume", folder, place]);
    assert.equal(lines.length, Object.keys(loaders).length);
    for (const line of lines) {
      const resumed: { readonly name: string; readonly step: number; readonly left: readonly Item[] } = JSON.parse(
        line,
      );
      const all = await uninterrupted(loaders[resumed.name]!);
      assert.equal(all.length, 4 * 16);
      assert.equal(resumed.step, step);
      assert.deepEqual(resumed.left, JSON.parse(JSON.stringify(all.slice(step))), `${resumed.name}, ${place}`);
      exact++;
    }
  }
  assert.equal(exact, 12);
});

test("the four loaders give every sample once an epoch, each epoch in another order", async () => {
  for (const build of Object.values(loaders)) {
    const samples = (await uninterrupted(build)).flatMap(([batch]) => batch);
    const epochs = [0, 1, 2, 3].map((epoch) => samples.slice(64 * epoch, 64 * (epoch + 1)));
    for (const epoch of epochs) assert.equal(new Set(epoch).size, 64);
    assert.equal(new Set(epochs.map(String)).size, 4);
  }
});

test("same bits: every source, saved by 1, 2 or 4 ranks and resumed by as many, fewer or more in the other runtime, is exact", async () => {
  const lines = await run(here, "table.ts", []);
  const [, exact, all] = /^(\d+) of (\d+) exact$/.exec(lines.at(-1)!) ?? [];
  assert.ok(Number(all) >= 15 * 7 * 3, lines.join("\n"));
  assert.equal(exact, all, lines.filter((line) => line.includes("WRONG")).join("\n"));
});
