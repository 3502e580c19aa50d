/**
 * `dogear cp`.
 */
import assert from "node:assert/strict";
import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "node:test";
import { directory, list, runOrThrow, saveState, type Store } from "../../mod.ts";
import { bytesText } from "../../lib/cli/format.ts";
import { bucketStore, copied, dogear, flip, inside, json, place, run, runStore, url } from "../support/command_line.ts";

/** What `list` says of a store, and that every byte verifies. */
async function whole(path: string, store: Store): Promise<unknown> {
  assert.equal((await dogear("verify", path)).code, 0);
  return await runOrThrow(list(store));
}

test("cp: a run goes from a folder to a bucket, to a bucket and back to a folder, and is the same", async () => {
  const [bucket, other, back] = [url(), url(), place()];
  const expected = await runOrThrow(list(runStore));
  const total = expected.entries.reduce((sum, { bytes }) => sum + bytes, 0);
  const { code, text, said } = await dogear("cp", run, bucket);
  assert.deepEqual([code, said], [0, ""]);
  assert.equal(
    text,
    [
      "checkpoint     size  result",
      ...expected.entries.map(({ bytes }, i) => `         ${i}  ${bytesText(bytes)}  copied`),
      `Copied 3 checkpoints, ${bytesText(total)}`,
    ].join("\n"),
  );
  for (const [from, to] of [[bucket, other], [other, back]] as const) {
    assert.equal((await dogear("cp", from, to)).code, 0);
  }
  for (
    const [path, store] of [[bucket, bucketStore(bucket)], [other, bucketStore(other)], [
      back,
      directory(back),
    ]] as const
  ) {
    assert.deepEqual(await whole(path, store), expected);
    const { value } = await json("diff", `${run}@1`, `${path}@1`);
    assert.equal(value.equal, true);
  }
});

test("cp: what is there is skipped, and a run that has gone on is carried on", async () => {
  const [from, to] = [await copied(), place()];
  assert.equal((await dogear("cp", `${from}@0`, to)).code, 0);
  assert.equal((await dogear("cp", from, to)).code, 0);
  await runOrThrow(saveState(directory(from))({ step: 40 }));
  const { code, value } = await json("cp", from, to);
  assert.equal(code, 0);
  const results = value.checkpoints.map((
    { checkpoint, result }: { checkpoint: number; result: string },
  ) => [checkpoint, result]);
  assert.deepEqual(results, [...[0, 1, 2].map((n) => [n, "already there"]), [3, "copied"]]);
  assert.deepEqual(await whole(to, directory(to)), await whole(from, directory(from)));
  assert.match((await dogear("cp", from, to)).text, /\nCopied 0 checkpoints, 0 B; 4 were there already$/);
});

test("cp: gaps that retention has left stay gaps, and numbers go on after the copy", async () => {
  const [from, to] = [await copied(), url()];
  await rm(inside(from, 0), { recursive: true });
  assert.equal((await dogear("cp", from, to)).code, 0);
  assert.deepEqual(await runOrThrow(bucketStore(to).list), [1, 2]);
  assert.equal((await runOrThrow(saveState(bucketStore(to))({ step: 1 }))).checkpoint, 3);
});

test("cp: a damaged checkpoint is not copied, the others are, and the exit code is 1", async () => {
  const [from, to] = [await copied(), url()];
  await flip(inside(from, 1, "model.safetensors"));
  const { code, text, said } = await dogear("cp", from, to);
  assert.equal(code, 1);
  assert.match(text, /\n +0 .* copied\n +1 +not copied\n +2 .* copied\nCopied 2 checkpoints/);
  assert.match(said, /^Checkpoint 1 is damaged\.\n {2}model\.safetensors: expected CRC-32/);
  assert.deepEqual(await runOrThrow(bucketStore(to).list), [0, 2]);
});

test("cp: nothing is overwritten, and no copy gets another number", async () => {
  const [from, to] = [await copied(), url()];
  await runOrThrow(saveState(bucketStore(to))({ step: 1 }));
  const first = await dogear("cp", `${from}@0`, to);
  assert.equal(first.code, 2);
  assert.match(
    first.said,
    /^Cannot copy to .*@0 \(ETAKEN\): it is another checkpoint\..* numbers only grow: copy to another place/,
  );
  const rest = await json("cp", from, to);
  assert.equal(rest.code, 2);
  assert.deepEqual(rest.value.checkpoints.map(({ result }: { result: string }) => result), [
    "not copied",
    "copied",
    "copied",
  ]);
  assert.equal(rest.value.checkpoints[0].error.code, "ETAKEN");
  // Of several checkpoints it is said once.
  const all = place();
  const others = directory(all);
  for (const step of [1, 2, 3]) await runOrThrow(saveState(others)({ step }));
  const refused = await dogear("cp", from, all);
  assert.equal(refused.said.match(/ETAKEN/g)?.length, 1, refused.said);
  assert.match(refused.said, /the lowest number first\. It is the same with 2 more checkpoints$/);
  const late = place();
  await dogear("cp", `${from}@latest`, late);
  const { said } = await dogear("cp", `${from}@0`, late);
  assert.match(
    said,
    /ETAKEN\): .* has this run up to checkpoint 2\. Older checkpoints cannot be added there: to have them too, copy the run to another place$/,
  );
});

test("cp: an error that the next checkpoint would meet too ends it, and says so", async () => {
  const file = join(place(), "file");
  const target = join(inside(run, 0), "copies");
  const { code, said, text } = await dogear("cp", run, target);
  assert.equal(code, 2);
  assert.match(text, /\n +0 +not copied\nCopied 0 checkpoints, 0 B$/);
  assert.match(said, /\n2 further checkpoints were not tried: run it again to continue$/);
  assert.equal((await dogear("cp", file, place())).code, 2);
});

test("cp: a folder of runs, or a prefix of them, is no target", async () => {
  const from = await copied();
  for (const runs of [place(), url()]) {
    const [first, second] = [`${runs}/first`, `${runs}/second`];
    assert.equal((await dogear("cp", from, first)).code, 0);
    const { code, said, text } = await dogear("cp", from, runs);
    assert.deepEqual([code, text], [2, ""]);
    assert.match(said, /^Expected a run to copy to, found .*, which holds runs such as .*first\. Write /);
    assert.ok(said.endsWith(`. Write ${runs}/${basename(from)}`), said);
    assert.equal((await dogear("cp", from, second)).code, 0);
    // A run stays a target, also if it has other runs inside of it.
    assert.equal((await dogear("cp", from, `${first}/inner`)).code, 0);
    assert.equal((await dogear("cp", from, first)).code, 0);
  }
});

test("cp: wrong words are errors", async () => {
  const empty = place();
  await mkdir(empty);
  for (
    const [words, expected] of [
      [[], /Expected RUN or RUN@CHECKPOINT, and where to copy it to/],
      [[run], /and where to copy it to/],
      [[run, "12", place()], /written after its run: .*@12/],
      [[run, `${place()}@3`], /Expected a run to copy to, found the checkpoint .*: a copy keeps its number/],
      [[run, "@latest"], /Expected a run to copy to/],
      [[empty, place()], /holds no checkpoint/],
      [[`${run}@7`, place()], /has no checkpoint 7/],
      [[run, "gs://bucket/run"], /write s3:\/\//],
      [["s3://bucket//x", place()], /a segment is empty/],
    ] as const
  ) {
    const { code, said, text } = await dogear("cp", ...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.match(said, expected);
  }
});
