/**
 * `dogear prune`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { directory, list, runOrThrow, saveState } from "../../mod.ts";
import { bytesText } from "../../lib/cli/format.ts";
import { copied, dogear, flip, inside, json, run, runStore } from "../support/command_line.ts";

test("prune: shows what it would remove and why, and removes it with --yes", async () => {
  const path = await copied();
  const words = ["prune", path, "--latest", "1", "--best", "1:loss:max"];
  const dry = await dogear(...words);
  assert.equal(dry.code, 0);
  const sizes = (await runOrThrow(list(runStore))).entries.map(({ bytes }) => bytes);
  assert.equal(
    dry.text,
    [
      "checkpoint  step     size  would   why",
      `         0    10  ${bytesText(sizes[0]!)}  keep    best 1 loss max`,
      `         1    20  ${bytesText(sizes[1]!)}  remove  no policy keeps it`,
      `         2    30  ${bytesText(sizes[2]!)}  keep    newest`,
      `Would remove 1 checkpoint, ${bytesText(sizes[1]!)}: run it again with --yes`,
    ].join("\n"),
  );
  assert.deepEqual(await runOrThrow(directory(path).list), [0, 1, 2]);
  const { value } = await json(...words, "--yes");
  const { dryRun, removed, freed, checkpoints } = value;
  assert.deepEqual([dryRun, removed, freed], [false, [1], sizes[1]]);
  assert.deepEqual(checkpoints.map(({ action }: { action: string }) => action), ["keep", "remove", "keep"]);
  assert.deepEqual(await runOrThrow(directory(path).list), [0, 2]);
  assert.match((await dogear(...words)).text, /\nNothing to remove$/);
});

test("prune: keeps the last checkpoint that verifies; --run takes the start of a name", async () => {
  const path = await copied();
  await flip(inside(path, 2, "model.safetensors"));
  await flip(inside(path, 1, "model.safetensors"));
  const spared = await dogear("prune", path, "--latest", "1", "--yes");
  assert.match(spared.text, /\n +0 .* keep +verifies\n +1 .* remove .*\n +2 .* keep +newest\nRemoved 1 checkpoint/);
  assert.deepEqual(await runOrThrow(directory(path).list), [0, 2]);
  const two = await copied();
  await runOrThrow(saveState(directory(two))({ step: 1 }));
  const entries = (await runOrThrow(list(directory(two)))).entries;
  const [first, last] = [entries[0]!.run, entries[3]!.run];
  const { value } = await json("prune", two, "--latest", "1", "--run", last.slice(0, 8));
  const { checkpoints } = value as { checkpoints: { why: string; run: string }[] };
  assert.deepEqual(checkpoints.map(({ why, run }) => [why, run]), [
    ...[0, 1, 2].map(() => ["another run", first]),
    ["newest", last],
  ]);
  assert.equal((await dogear("prune", two, "--latest", "1", "--run", "nobody")).code, 2);
  assert.equal((await dogear("prune", two, "--latest", "1", "--run", "")).code, 2);
  assert.equal((await dogear("prune", run, "--latest", "1", "--run", "")).code, 2);
});

test("prune: removes nothing because of an unknown metric, and names the known ones", async () => {
  const path = await copied();
  for (const words of [["--best", "1:los:min"], ["--best", "1:los:min", "--latest", "1"]]) {
    const { code, text, said } = await dogear("prune", path, ...words, "--yes");
    assert.equal(code, 0);
    assert.match(text, /best 1 los min: no such metric.*\nRemoved 0 checkpoints, 0 B$/s);
    assert.match(
      said,
      /"los" of the retention policy.*\. Did you mean "loss"\? The metrics of the run are: "loss", "accuracy"$/,
    );
    const { value } = await json("prune", path, ...words);
    assert.deepEqual([value.removed, value.notRemoved, value.notes.length], [[], [], 1]);
  }
  assert.deepEqual(await runOrThrow(directory(path).list), [0, 1, 2]);
});

test("prune: --within, --one-per, --steps and --keep-unmeasured are policies, and the reasons that it shows", async () => {
  const path = await copied();
  const why = async (...words: readonly string[]): Promise<unknown> => {
    const { value } = await json("prune", path, ...words);
    return value.checkpoints.map(({ why }: { why: string }) => why);
  };
  const none = "no policy keeps it";
  assert.deepEqual(await why("--within", "1d"), ["within 1d", "within 1d", "newest"]);
  assert.deepEqual(await why("--steps", "10,25"), ["steps 10,25", none, "newest"]);
  await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual(await why("--within", "0.001s"), [none, none, "newest"]);
  // The moments of the saves are rarely in two intervals.
  const [first] = await why("--one-per", "52w") as [string];
  assert.ok([none, "one per 52w"].includes(first));
  await runOrThrow(saveState(directory(path), { fork: true, metrics: {} })({ step: 1 }));
  const { run: forked } = (await runOrThrow(list(directory(path)))).entries[3]!;
  await runOrThrow(saveState(directory(path), { metrics: { loss: 1 } })({ step: 2 }));
  await runOrThrow(saveState(directory(path), { metrics: { loss: 2 } })({ step: 3 }));
  const best = ["--run", forked, "--best", "1:loss:min"];
  assert.deepEqual((await why(...best) as string[]).slice(3), [none, "best 1 loss min", "newest"]);
  const kept = await why(...best, "--keep-unmeasured") as string[];
  assert.deepEqual(kept.slice(3), [...Array(2).fill("best 1 loss min or unmeasured"), "newest"]);
});

test("prune: rejects invalid policies and checkpoints", async () => {
  for (
    const words of [
      [],
      ["--latest", "0"],
      ["--latest", "1.5"],
      ["--latest"],
      ["--every", "x"],
      ["--best", "1:loss"],
      ["--best", "0:loss:min"],
      ["--best", "1:loss:least"],
      ["--within", "7 days"],
      ["--within", "0d"],
      ["--one-per", "hour"],
      ["--steps", "1,,2"],
      ["--steps", ""],
      ["--steps", "99999999999999999999"],
      ["--latest", "1", "--keep-unmeasured"],
      ["--latest", "1", "@2"],
      ["--latest", "1", run],
    ]
  ) {
    const { code, said, text } = await dogear("prune", run, ...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.match(said, /Expected|argument/, words.join(" "));
  }
  assert.equal((await dogear("prune", run, "--best", "1:val:loss:min", "--every", "10")).code, 0);
});
