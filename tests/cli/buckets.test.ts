/**
 * The command line on runs in a bucket.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runOrThrow, saveState } from "../../mod.ts";
import { bucketStore, dogear, inside, json, place, run, simulation, steady, url } from "../support/command_line.ts";

/** The run in a bucket. */
const there = url();
assert.equal((await dogear("cp", run, there)).code, 0);

/** A run of one component in the bucket. */
async function small(at: string, steps: number): Promise<string> {
  for (let step = 0; step < steps; step++) {
    await runOrThrow(saveState(bucketStore(at), { metrics: { "a@b": step } })({ w: Float32Array.of(step), step }));
  }
  return at;
}

test("buckets: every command says of a run in a bucket what it says of the same run in a folder", async () => {
  const same = async (words: readonly string[], at: (run: string) => readonly string[]): Promise<void> => {
    const [folder, bucket] = [await dogear(...words, ...at(run)), await dogear(...words, ...at(there))];
    const text = (one: string): string => steady(one).replaceAll(run, "RUN").replaceAll(there, "RUN");
    assert.deepEqual([bucket.code, text(bucket.text), bucket.said], [folder.code, text(folder.text), folder.said]);
  };
  await same(["ls"], (path) => [path]);
  await same(["ls", "--verify"], (path) => [`${path}@0`, "@best:loss:min"]);
  await same(["verify"], (path) => [path]);
  await same(["inspect"], (path) => [`${path}@latest~1`]);
  await same(["inspect"], (path) => [`${path}@1`, "model/first/kernel"]);
  await same(["diff"], (path) => [`${path}@0`, "@best:loss:min"]);
  await same(["prune", "--latest", "1"], (path) => [path]);
  const { code } = await dogear("diff", `${run}@2`, `${there}@2`);
  assert.equal(code, 0);
});

test("buckets: weights are exported as from a folder, and only to a folder", async () => {
  const [a, b] = [place(), place()];
  await dogear("export", `${run}@1`, "--out", a);
  await dogear("export", `${there}@1`, "--out", b);
  assert.deepEqual(await readFile(join(a, "model.safetensors")), await readFile(join(b, "model.safetensors")));
  const { code, said } = await dogear("export", run, "--out", "s3://bucket/weights");
  assert.equal(code, 2);
  assert.match(said, /^Expected a folder to write to, found a URL: write to a folder/);
});

test("buckets: prune removes from a bucket", async () => {
  const at = await small(url(), 3);
  const { code, text } = await dogear("prune", at, "--latest", "1", "--yes");
  assert.equal(code, 0);
  assert.match(text, /\nRemoved 2 checkpoints/);
  assert.deepEqual(await runOrThrow(bucketStore(at).list), [2]);
});

test("buckets: data of killed saves is shown and removed after a day, and what is younger stays", async () => {
  const at = await small(url(), 2);
  const prefix = at.replace("s3://bucket/", "");
  const day = 86_400_000;
  const leave = (number: string, age: number): string => {
    const folder = `${prefix}/data/${number.padStart(16, "0")}-${"0123456789abcdef".repeat(2)}`;
    simulation.objects.set(`${folder}/model.safetensors`, {
      bytes: new Uint8Array(300),
      modified: simulation.now - age,
    });
    return folder;
  };
  const [old, young] = [leave("2", 2 * day), leave("3", day / 2)];
  const verified = await dogear("verify", at);
  assert.equal(verified.code, 0);
  const remedy = `dogear prune ${at} --orphans shows and removes it`;
  assert.equal(verified.said, `Killed saves have left something in ${at} (1 orphan, 300 B): ${remedy}`);
  assert.match(
    (await dogear("prune", at, "--orphans")).text,
    /\nWould remove 1 orphan, 300 B: run it again with --yes$/,
  );
  const { code, value } = await json("prune", at, "--orphans", "--yes");
  assert.equal(code, 0);
  assert.equal(value.removed.length, 1);
  const actions = value.orphans.map(({ action, isLive }: Record<string, unknown>) => [action, isLive]);
  assert.deepEqual(actions.sort(), [["keep", true], ["remove", false]]);
  const left = [...simulation.objects.keys()];
  assert.deepEqual([old, young].map((folder) => left.some((key) => key.startsWith(folder))), [false, true]);
  assert.equal((await dogear("verify", at)).code, 0);
});

test("buckets: ls lists the runs below a prefix, one without any, and a bucket as a whole", async () => {
  const prefix = `${url()}@home`;
  for (const name of ["b@2", "a", "data"]) await small(`${prefix}/${name}`, 1);
  const runs = async (at: string): Promise<unknown> => {
    const { value } = await json("ls", at);
    return value.runs.map(({ location, checkpoints }: { location: string; checkpoints: readonly unknown[] }) => [
      location,
      checkpoints.length,
    ]);
  };
  assert.deepEqual(await runs(`${prefix}/`), [[`${prefix}/a`, 1], [`${prefix}/b@2`, 1]]);
  assert.match((await dogear("ls", `${prefix}/`)).text, /^run +kept .*\n(a|b@2) +1 +0 /);
  await small("s3://bucket", 1);
  assert.deepEqual(await runs("s3://bucket@0"), [["s3://bucket", 1]]);
});

test("buckets: a place without a run is exit code 2, and the runs nearby are found with few requests", async () => {
  const prefix = url();
  for (const name of ["digits", "mnist"]) await small(`${prefix}/runs/${name}`, 1);
  for (let i = 0; i < 2000; i++) {
    const key = `${prefix.replace("s3://bucket/", "")}/photos/${i}/a.jpg`;
    simulation.objects.set(key, { bytes: new Uint8Array(1), modified: simulation.now });
  }
  for (let i = 0; i < 20; i++) {
    const key = `${prefix.replace("s3://bucket/", "")}/many/a${i}/b/c.jpg`;
    simulation.objects.set(key, { bytes: new Uint8Array(1), modified: simulation.now });
  }
  await small(`${prefix}/many/letters`, 1);
  const requests = (): number => [...simulation.counts.values()].reduce((sum, count) => sum + count, 0);
  const ls = (name: string): string => `\n  dogear COMMAND ${prefix}/runs/${name}`;
  for (
    const [at, remedy] of [
      [`${prefix}/runs/digtis`, `. Did you mean ${prefix}/runs/digits?${ls("digits")}`],
      [`${prefix}/rnus/digits/`, `. Did you mean ${prefix}/runs/digits?${ls("digits")}`],
      [`${prefix}/many/lettres`, `. Did you mean ${prefix}/many/letters?\n  dogear COMMAND ${prefix}/many/letters`],
      [`${prefix}/elsewhere`, `. Runs nearby:${ls("digits")}${ls("mnist")}`],
      [`${prefix}`, `. Runs in it:${ls("digits")}${ls("mnist")}`],
    ] as const
  ) {
    for (const command of ["ls", "inspect"]) {
      const before = requests();
      const { code, text, said } = await dogear(command, at);
      assert.deepEqual([code, text], [2, ""]);
      const remedies = remedy.replaceAll("COMMAND", command);
      assert.equal(said, `Expected the URL of a run, found no checkpoint at ${at}${remedies}`);
      assert.ok(requests() - before < 60, `${command} ${at}: ${requests() - before} requests`);
    }
  }
  // Its first save has begun.
  const begun = `${prefix}/runs/new`;
  const key = `${begun.replace("s3://bucket/", "")}/data/${"0".repeat(16)}-${
    "0123456789abcdef".repeat(2)
  }/model.safetensors`;
  simulation.objects.set(key, { bytes: new Uint8Array(1), modified: simulation.now });
  const { code, said } = await dogear("ls", begun);
  assert.deepEqual([code, said], [0, `${begun} is a run without a checkpoint: its first save has not ended`]);
});

test("buckets: errors speak of a URL, and never show the keys in it", async () => {
  for (
    const [words, expected] of [
      [["ls", `${there}@nonsense`], /found "nonsense"\. A prefix of this name is written s3:.*@nonsense\/\n/],
      [["inspect", `${there}@9`], /^s3:\/\/.* has no checkpoint 9\. It has checkpoints 0, 1, 2$/],
      [["inspect", url()], /found no checkpoint at s3:.*\n {2}dogear inspect s3:/],
      [["verify", "s3://bucket/a/../b"], /^Expected a URL such as .*name no folder/],
      [["ls", "https://host/bucket"], /write s3:\/\/bucket\/prefix/],
      [["ls", "s3://AKIA:secret@bucket/run"], /set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/],
      [["ls", "s3://AKIA:secret@bucket"], /^Expected a number, latest/],
      [["ls", `${there}`, inside(run, 0)], /which is in checkpoint 0 of the run/],
    ] as const
  ) {
    const { code, said, text } = await dogear(...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.match(said, expected);
    assert.doesNotMatch(said, /secret/);
  }
});
