/**
 * `dogear plot`.
 */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { directory, runOrThrow, saveState } from "../../mod.ts";
import { headerLine, valuesLine } from "../../lib/logs/mod.ts";
import { widthOf } from "../../lib/cli/text_width.ts";
import { bucketStore, copied, dogear, dogearWithin, json, place, run, url } from "../support/command_line.ts";

/** Writes a log with a curve of 1 / step. */
async function logAt(path: string, name: string | null, metrics: readonly string[], steps = 100): Promise<void> {
  const lines = Array.from(
    { length: steps },
    (_, i) =>
      valuesLine({
        step: i + 1,
        time: 0,
        values: Object.fromEntries(metrics.map((one, k) => [one, (k + 1) / (i + 1)])),
      }),
  );
  await writeFile(path, headerLine({ run: name, parent: null }) + lines.join(""));
}

test("plot: a metric of checkpoints against their steps, with axes and a line about it", async () => {
  const { code, text, said } = await dogear("plot", run, "loss", "--height", "8");
  assert.deepEqual([code, said], [0, ""]);
  const lines = text.split("\n");
  assert.equal(lines.length, 11);
  assert.match(lines[0]!, /^ {4}0\.1 ┤⠉/);
  assert.match(lines[5]!, /^0\.03333 ┤.*⣀/);
  assert.match(lines[7]!, /^ {9}10 +20 +30$/);
  assert.match(lines[10]!, /^\S+ +[0-9a-f]{8} +loss +3 +0\.03333 at 30 +0\.03333 at 30 +0\.1 at 10$/);
  assert.doesNotMatch(text, /\bA\b/);
});

test("plot: --json has every point; --from and --to cut them", async () => {
  const { value } = await json("plot", run, "loss", "--with", "accuracy", "--from", "15", "--to", "20");
  assert.deepEqual(value.curves.map(({ line: _, ...curve }: { line: string }) => curve), [
    { run, location: run, metric: "loss", source: "checkpoints", steps: [20], values: [0.05] },
    { run, location: run, metric: "accuracy", source: "checkpoints", steps: [20], values: [0.5] },
  ]);
  const none = await dogear("plot", run, "loss", "--from", "100");
  assert.deepEqual([none.code, none.text], [2, ""]);
  assert.match(none.said, /^Expected points with --from 100, found none: the steps are 10 to 30$/);
});

test("plot: a log in the folder of a run is preferred to its checkpoints; forks and runs are curves of their own", async () => {
  const path = await copied();
  const { value: { runs: [{ checkpoints: [{ run: name }] }] } } = await json("ls", path);
  await logAt(join(path, "log.jsonl"), name, ["loss"]);
  await logAt(join(path, "log-fork.jsonl"), "fork", ["loss"], 50);
  await writeFile(join(path, "notes.jsonl"), "{}\n");
  const { value } = await json("plot", path, run, "loss");
  const about = value.curves.map((
    { source, line, steps, values }: { source: string; line: string; steps: number[]; values: number[] },
  ) => [source, line === name, steps.length, values.at(-1)]);
  assert.deepEqual(about, [["log", false, 50, 1 / 50], ["log", true, 100, 1 / 100], ["checkpoints", true, 3, 1 / 30]]);
  // Metrics that no log has come from the checkpoints.
  assert.equal((await json("plot", path, "accuracy")).value.curves[0].source, "checkpoints");
  const { text } = await dogear("plot", path, run, "loss", "--log-scale");
  for (const mark of ["A", "B", "C"]) assert.match(text, new RegExp(`^${mark} {2}`, "m"));
});

test("plot: --log reads a log elsewhere, with and without a run", async () => {
  const path = place();
  await logAt(path, null, ["lr", "val/loss"]);
  const { value } = await json("plot", "--log", path, "lr");
  assert.deepEqual([value.curves.length, value.curves[0].steps.length, value.curves[0].line], [1, 100, ""]);
  assert.equal((await json("plot", run, "--log", path, "loss", "--with", "lr")).value.curves.length, 2);
  const bad = await dogear("plot", "--log", join(path, "none"), "lr");
  assert.deepEqual(bad.code, 2);
  assert.match(bad.said, /^Expected a log of jsonLines at --log, found /);
});

test("plot: of a folder of runs it draws each, and says which has no such metric", async () => {
  const folder = place();
  await mkdir(folder);
  for (const [name, metric] of [["a", "loss"], ["b", "loss"], ["c", "cost"]] as const) {
    await runOrThrow(saveState(directory(join(folder, name)), { metrics: { [metric]: 1 } })({ step: 1 }));
  }
  const { code, text, said } = await dogear("plot", folder, "loss");
  assert.deepEqual([code, said], [0, `${join(folder, "c")} has no metric "loss"`]);
  assert.equal(text.split("\n").filter((line) => /^[A-Z] {2}/.test(line)).length, 2);
});

test("plot: a run in a bucket", async () => {
  const at = url();
  for (const step of [1, 2, 3]) {
    await runOrThrow(saveState(bucketStore(at), { metrics: { loss: step === 2 ? NaN : step } })({ step }));
  }
  const { value } = await json("plot", at, "loss");
  assert.deepEqual(value.curves[0].values, [1, "NaN", 3]);
  assert.match((await dogear("plot", at, "loss")).text, /×/);
});

test("plot: a metric that does not exist is answered with those that do", async () => {
  const misspelt = await dogear("plot", run, "los");
  assert.deepEqual([misspelt.code, misspelt.text], [2, ""]);
  assert.match(misspelt.said, /: "accuracy", "loss", found "los"\. Did you mean loss\?$/);
  assert.match((await dogear("plot", run, "\u001b[2J")).said, /found "\\u001b\[2J"$/);
  const empty = place();
  await mkdir(empty);
  assert.match(
    (await dogear("plot", empty, "loss")).said,
    /^Expected a run with metrics, found none in .*: give fit, train or saveState `metrics`, or .* a tracker such as jsonLines$/,
  );
});

test("plot: arguments that cannot be meant are errors", async () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /^Expected RUN and METRIC, such as runs\/digits loss, found none/],
    [[run], /^Expected RUN and METRIC, .* found only /],
    [[`${run}@2`, "loss"], /^Expected RUN, found .*leave the checkpoint out/],
    [[run, "loss", "--from", "x"], /^Expected a number at --from, found "x"/],
    [[run, "loss", "--height", "2"], /^Expected --height with 3 or more, found 2/],
    [[join(run, "none"), "loss"], /^Expected the folder of a run, found no folder/],
  ];
  for (const [words, message] of wrong) {
    const { code, said, text } = await dogear("plot", ...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.match(said, message);
  }
});

test("plot: no line is wider than the terminal, whatever the names", async () => {
  const folder = join(place(), "実験\u202e精度👍".repeat(4));
  const name = `\u001b[31m精度\u202e${"e\u0301".repeat(30)}`;
  for (const step of [1, 2]) {
    await runOrThrow(saveState(directory(folder), { metrics: { [name]: step / 3 } })({ step }));
  }
  for (const width of [20, 40, 60, 80, 120]) {
    const { code, text, said } = await dogearWithin(width, "plot", folder, name);
    assert.deepEqual([code, said], [0, ""]);
    for (const line of text.split("\n")) assert.ok(widthOf(line) <= width, `${width}: ${line}`);
    assert.doesNotMatch(text.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
  }
});
