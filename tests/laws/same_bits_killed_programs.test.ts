/**
 * Programs as people write them with tfjs, made resumable by a few lines: killed at random, each ends with the same bits.
 *
 * With torture 1 Bun and Deno share the programs out; from torture 2 on each kills all of them.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { changedLines, changes, kill, plain, programs } from "../support/killing.ts";
import { isTriedHere, torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-programs-"));
after(() => rm(scratch, { recursive: true, force: true }));

test("a changed or added line counts once", () => {
  assert.equal(changedLines("a\nb\nc", "a\nb\nc"), 0);
  assert.equal(changedLines("a\nb\nc", "a\nB\nc"), 1);
  assert.equal(changedLines("a\nb\nc", "x\na\nc"), 2);
  assert.equal(changedLines("a\nb\nc\nd", "a\nx\ny\nd"), 2);
  assert.equal(changedLines("a\nb\nc\nd", "a\nd\ne\nf"), 4);
});

for (const [n, program] of programs.entries()) {
  if (!isTriedHere(n)) continue;
  const kills = Math.min(4, torture);

  test(`${program.name}: resumable by ${program.changed} changed lines`, async () => {
    assert.equal(await changes(program), program.changed);
  });

  test(`${program.name}: trains without dogear, too`, async () => {
    assert.equal((await plain(program, 1))[0] ?? program.every, program.every);
  });

  test(`same bits: ${program.name}, killed at random ${kills} times, ends as it does uninterrupted`, async () => {
    const { id, whole, saved, next } = await kill(program, kills, scratch);
    assert.match(whole, /^[0-9a-f]{64}$/);
    assert.equal(id, whole);
    const { every } = program;
    assert.equal(next, every * (1 + Math.floor(saved / every)), "it did not go on from its newest checkpoint");
  });
}
