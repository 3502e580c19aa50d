/**
 * `dogear ls`.
 */
import assert from "node:assert/strict";
import { cp, link, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { directory, list, runOrThrow, saveState } from "../../mod.ts";
import { bytesText } from "../../lib/cli/format.ts";
import { widthOf } from "../../lib/terminal/mod.ts";
import {
  copied,
  dogear,
  dogearWithin,
  flip,
  inside,
  json,
  place,
  run,
  runStore,
  steady,
} from "../support/command_line.ts";

test("ls: a table of 80 columns, newest first", async () => {
  const { code, text, said } = await dogear("ls", run);
  assert.deepEqual([code, said], [0, ""]);
  const size = async (n: number): Promise<string> => bytesText((await runOrThrow(list(runStore))).entries[n]!.bytes);
  assert.equal(
    steady(text),
    [
      "checkpoint     age  step  metrics               size  shared  run       verdict",
      `         2   {age}    30  loss 0.03333, ac…  ${await size(2)}     0 B  {run}...  complete`,
      `         1   {age}    20  loss 0.05, accur…  ${await size(1)}     0 B  {run}...  complete`,
      `         0   {age}    10  loss 0.1, accura…  ${await size(0)}     0 B  {run}...  complete`,
      "",
      "metric    curve  first     last    least  greatest",
      "loss      █▃▁      0.1  0.03333  0.03333       0.1",
      "accuracy  ▄▄▄      0.5      0.5      0.5       0.5",
    ].join("\n"),
  );
  assert.ok(text.split("\n").every((line) => line.length <= 80));
});

test("ls, prune: a narrow terminal shows fewer columns, none of them cut short", async () => {
  const headings = async (width: number, ...words: readonly string[]): Promise<readonly string[]> => {
    const lines = (await dogearWithin(width, ...words)).text.split("\n");
    const table = lines.slice(0, 4);
    assert.ok(table.every((line) => line.length <= width), table.join("\n"));
    if (words[0] === "ls") assert.ok(table.slice(1).every((line) => line.endsWith("complete")));
    return lines[0]!.trim().split(/ +/);
  };
  assert.deepEqual(await headings(60, "ls", run), ["checkpoint", "age", "step", "metrics", "size", "verdict"]);
  assert.deepEqual(await headings(40, "ls", run), ["checkpoint", "step", "metrics", "verdict"]);
  assert.deepEqual(await headings(20, "ls", run), ["checkpoint", "verdict"]);
  assert.deepEqual(await headings(34, "prune", run, "--latest", "1"), ["checkpoint", "step", "would", "why"]);
});

test("ls: the metrics of the newest run's checkpoints are sparklines in a terminal alone", async () => {
  const path = place();
  const store = directory(path);
  const hostile = `\u001b[31m精度\u202e${"e\u0301".repeat(30)}`;
  for (let step = 0; step < 40; step++) {
    const metrics = { loss: step === 20 ? NaN : 1 / (step + 1), ...(step % 4 === 3 && { val_loss: step }), once: 1 };
    const { once: _, ...twice } = metrics;
    await runOrThrow(saveState(store, { metrics: { ...(step === 0 ? metrics : twice), [hostile]: step } })({ step }));
  }
  const lines = (await dogearWithin(100, "ls", path)).text.split("\n").slice(41);
  assert.match(lines[1]!, /^metric +curve +first +last +least +greatest$/);
  const row = (name: string): string => lines.find((line) => line.startsWith(name))!;
  // 40 checkpoints in 24 columns: means of one or two, a gap where none has the metric, and a NaN that no mean hides.
  assert.match(row("loss"), /^loss +█[▁-▆]+×▁+ +1 +0\.025 +0\.025 +1$/);
  assert.match(row("val_loss"), /^val_loss +[▁-█ ]+█ +3 +39 +3 +39$/);
  assert.equal(row("once"), undefined);
  for (const width of [20, 40, 60, 80, 120]) {
    const { text } = await dogearWithin(width, "ls", path);
    assert.ok(text.split("\n").slice(41).every((line) => widthOf(line) <= width), text);
    assert.doesNotMatch(text.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
  }
  assert.equal((await dogearWithin(Infinity, "ls", path)).text.split("\n").length, 41);
  // A fork is a run of its own.
  const forked = await copied();
  await runOrThrow(saveState(directory(forked), { metrics: { loss: 5 } })({ step: 1 }));
  await runOrThrow(saveState(directory(forked), { metrics: { loss: 6 } })({ step: 2 }));
  assert.match((await dogear("ls", forked)).text, /\nloss +▁█ +5 +6 +5 +6$/);
});

test("ls: --json prints the entries of list, with shared bytes and verdict", async () => {
  const { code, value } = await json("ls", run);
  const entries = (await runOrThrow(list(runStore))).entries;
  const checkpoints = entries.toReversed().map((one) => ({
    note: null,
    ...one,
    shared: 0,
    verdict: "complete",
    error: null,
  }));
  assert.equal(code, 0);
  assert.deepEqual(value, { runs: [{ location: run, checkpoints }] });
});

test("ls, inspect: a note is shown, cut to the width by ls, and never raw", async () => {
  const path = await copied();
  const hostile = `\u001b[31mred\u202e\n${"wide ".repeat(30)}end`;
  const store = directory(path);
  await runOrThrow(saveState(store, { note: hostile })({ step: 40 }));
  await runOrThrow(
    saveState(store, { note: { lr: 1e-3, seed: -0, "a\tb": "x\ny", ok: true, none: null, data: "b c, d" } })({
      step: 50,
    }),
  );
  const { text } = await dogear("ls", path);
  const lines = text.split("\n");
  // A note has a line of its own.
  assert.equal(lines.length, 8);
  assert.ok(lines.every((line) => line.length <= 80), text);
  assert.equal(lines[2], String.raw`            lr 0.001, seed -0, "a\tb" "x\ny", ok true, none null, data "b c, d"`);
  assert.match(lines[4]!, /^ {12}\\x1b\[31mred\\u202e\\x0awide .*…$/);
  assert.equal(lines[4]!.length, 80);
  assert.deepEqual(lines.flatMap((line) => /^ {9}(\d) /.exec(line)?.[1] ?? []), ["4", "3", "2", "1", "0"]);
  const unprintable = /[\p{Cc}\p{Cf}]/u;
  const joined = (lines: string): string => lines.replaceAll("\n", "");
  for (
    const [number, whole] of [[3, /^note {8}\\x1b\[31mred\\u202e\\x0awide .* end$/m], [
      4,
      /^note {8}lr 0.001, seed -0, "a\\tb" "x\\ny", ok true, none null, data "b c, d"$/m,
    ]] as const
  ) {
    const shown = await dogear("inspect", `${path}@${number}`);
    assert.match(shown.text, whole);
    assert.doesNotMatch(joined(shown.text + text), unprintable);
    const raw = (await dogear("inspect", `${path}@${number}`, "--json")).text;
    assert.doesNotMatch(joined(raw), unprintable);
    assert.deepEqual(
      JSON.parse(raw).note,
      number === 3 ? hostile : { lr: 1e-3, seed: "-0", "a\tb": "x\ny", ok: true, none: null, data: "b c, d" },
    );
  }
  const { runs: [{ checkpoints }] } = (await json("ls", path)).value;
  assert.deepEqual(checkpoints.map(({ note }: { note: unknown }) => note === null), [false, false, true, true, true]);
});

test("ls: shared bytes are those of hard-linked files", async () => {
  const path = await copied();
  const names = ["model.safetensors", "state/w.safetensors"];
  await cp(inside(path, 2, "snapshot.json"), inside(path, 1, "snapshot.json"));
  for (const name of names) {
    await rm(inside(path, 1, name));
    await link(inside(path, 2, name), inside(path, 1, name));
  }
  const { value } = await json("ls", path, "--verify");
  const { runs: [{ checkpoints }] } = value as { runs: [{ checkpoints: { shared: number; verdict: string }[] }] };
  const lengths = await Promise.all(names.map(async (name) => (await readFile(inside(path, 1, name))).length));
  const both = lengths.reduce((sum, length) => sum + length, 0);
  assert.deepEqual(checkpoints.map(({ shared, verdict }) => [shared, verdict]), [
    [both, "verified"],
    [both, "verified"],
    [0, "verified"],
  ]);
  assert.match((await dogear("prune", path, "--latest", "1")).text, /\nWould remove 2 checkpoints, at least /);
});

test("ls: lists each reference: all of a run, or one checkpoint", async () => {
  const numbers = async (...words: readonly string[]): Promise<unknown> => {
    const { runs } = (await json("ls", ...words)).value as {
      runs: { location: string; checkpoints: { checkpoint: number }[] }[];
    };
    return runs.map(({ location, checkpoints }) => [location, ...checkpoints.map(({ checkpoint }) => checkpoint)]);
  };
  const other = await copied();
  assert.deepEqual(await numbers(run, other), [[run, 2, 1, 0], [other, 2, 1, 0]]);
  assert.deepEqual(await numbers(`${run}@0`, "@latest", other, "@best:loss:max"), [
    [run, 0],
    [run, 2],
    [other, 2, 1, 0],
    [other, 0],
  ]);
  // A run's folder may be called checkpoints, or like a checkpoint.
  for (const named of [join(place(), "checkpoints"), `${place()}@1`]) {
    await cp(run, named, { recursive: true });
    assert.deepEqual(await numbers(`${named}/`), [[named, 2, 1, 0]]);
  }
  assert.deepEqual([(await dogear("ls", `${run}@7`)).code, (await dogear("ls", `${run}@7`)).text], [2, ""]);
  const { text } = await dogear("ls", run, other);
  assert.deepEqual(text.split("\n").filter((line) => line.startsWith("/")), [run, other]);
});

test("ls: of a folder of runs it lists the runs", async () => {
  const folder = place();
  for (const name of ["b", "a"]) await cp(run, join(folder, name), { recursive: true });
  await mkdir(join(folder, "empty"));
  await writeFile(join(folder, "notes.txt"), "");
  const { code, text, said } = await dogear("ls", folder);
  assert.deepEqual([code, said], [0, ""]);
  const runs = text.split("\n").filter((line) => line.startsWith("/"));
  assert.deepEqual(runs.sort(), [join(folder, "a"), join(folder, "b")]);
});

test("ls: an empty folder lists nothing, a missing folder is an error", async () => {
  const empty = place();
  await mkdir(empty);
  const { code, said, text } = await dogear("ls", empty);
  assert.deepEqual([code, text.split("\n").length], [0, 1]);
  assert.match(said, /holds no checkpoint/);
  assert.deepEqual((await json("ls", empty)).value, { runs: [{ location: empty, checkpoints: [] }] });
  for (const none of [join(empty, "none"), inside(run, 0, "snapshot.json"), ""]) {
    const { code, said, text } = await dogear("ls", none);
    assert.deepEqual([code, text], [2, ""]);
    assert.match(
      said,
      none === "" ? /^Expected RUN or RUN@CHECKPOINT/ : /^Expected the folder of a run, found no folder/,
    );
  }
});

test("ls: damage that it looks for is in the verdict and the exit code", async () => {
  const verdicts = async (path: string, ...words: readonly string[]): Promise<unknown> => {
    const { code, value } = await json("ls", path, ...words);
    const { runs: [{ checkpoints }] } = value as { runs: [{ checkpoints: { verdict: string }[] }] };
    return [code, ...checkpoints.map(({ verdict }) => verdict)];
  };
  const flipped = await copied();
  await flip(inside(flipped, 1, "model.safetensors"));
  assert.deepEqual(await verdicts(flipped), [0, "complete", "complete", "complete"]);
  assert.deepEqual(await verdicts(flipped, "--verify"), [1, "verified", "damaged", "verified"]);
  const [cut, missing, manifest, newer] = [await copied(), await copied(), await copied(), await copied()];
  await truncate(inside(cut, 2, "model.safetensors"), 100);
  await rm(inside(missing, 0, "state/w.safetensors"));
  await flip(inside(manifest, 1, "snapshot.json"), 300);
  await writeFile(inside(newer, 1, "snapshot.json"), '{"format":"dogear/2"}');
  assert.deepEqual(await verdicts(cut), [1, "damaged", "complete", "complete"]);
  assert.deepEqual(await verdicts(missing), [1, "complete", "complete", "damaged"]);
  assert.deepEqual(await verdicts(manifest), [1, "complete", "damaged", "complete"]);
  assert.deepEqual(await verdicts(newer), [0, "complete", "newer", "complete"]);
  await rm(inside(missing, 1, "snapshot.json"));
  assert.deepEqual(await verdicts(missing), [1, "complete", "damaged", "damaged"]);
});
