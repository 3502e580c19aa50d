/**
 * `dogear ls`.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cp, link, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { directory, type Entry, list, pipe, runOrThrow, saveState, type Store } from "../../mod.ts";
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import type { CheckpointStatus } from "../../lib/cli/checkpoint_status.ts";
import { pasted } from "../../lib/cli/nearby.ts";
import { openRun, runsAt } from "../../lib/cli/reference.ts";
import { bytesText, timeText } from "../../lib/cli/format.ts";
import { sorted } from "../../lib/cli/sorting.ts";
import { widthOf } from "../../lib/cli/text_width.ts";
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
import { needs } from "../support/portable.ts";
import { torture } from "../support/torture.ts";

test("ls: a table of 80 columns, newest first", async () => {
  const { code, text, said } = await dogear("ls", run);
  assert.deepEqual([code, said], [0, ""]);
  const size = async (n: number): Promise<string> => bytesText((await runOrThrow(list(runStore))).entries[n]!.bytes);
  assert.equal(
    steady(text),
    [
      "checkpoint     age   time  step  metrics                size  run       verdict",
      `         2   {age}  {now}    30  loss 0.03333 …      ${await size(2)}  {run}...  complete`,
      `         1   {age}  {now}    20  loss 0.05 …         ${await size(1)}  {run}...  complete`,
      `         0   {age}  {now}    10  loss 0.1 …          ${await size(0)}  {run}...  complete`,
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
  assert.deepEqual(await headings(60, "ls", run), ["checkpoint", "age", "time", "step", "metrics", "verdict"]);
  assert.deepEqual(await headings(40, "ls", run), ["checkpoint", "metrics", "verdict"]);
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
    // A long note has several lines.
    assert.match(shown.text.replace(/\n {12}/g, " "), whole);
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

test("ls: of a folder of runs it lists each with its newest checkpoint, the latest first", async () => {
  const folder = place();
  for (const name of ["b", "a", "c@1"]) await cp(run, join(folder, name), { recursive: true });
  await mkdir(join(folder, "empty"));
  await writeFile(join(folder, "notes.txt"), "");
  await runOrThrow(saveState(directory(join(folder, "b")), { metrics: { loss: 5 } })({ step: 7 }));
  await runOrThrow(saveState(directory(join(folder, "new")), { metrics: { loss: 6 } })({ step: 1 }));
  const { code, text, said } = await dogear("ls", folder);
  assert.deepEqual([code, said], [0, ""]);
  const [headings = "", ...lines] = text.split("\n");
  assert.match(headings, /^run +kept +newest +age +time +step +metrics +size +verdict$/);
  assert.match(lines[0]!, /^new +1 +0 /);
  assert.match(lines[1]!, /^b +4 +3 +\d+ s +\d\d:\d\d +7 +loss 5 +[\d.]+ K?i?B +complete$/);
  assert.match(lines[2]!, /^a +3 +2 +\d+ s +\d\d:\d\d +30 +loss 0\.03333,? .*complete$/);
  assert.match(lines[3]!, /^c@1 +3 +2 /);
  assert.deepEqual(lines.slice(4), [
    "",
    `one run  dogear ls ${join(folder, "new")}`,
    `all      dogear ls ${folder} --all`,
  ]);
  assert.equal((await dogearWithin(Infinity, "ls", folder)).text.split("\n").length, 5);
  const whole = (await dogear("ls", folder, "--all")).text.split("\n").filter((line) => line.startsWith("/"));
  assert.deepEqual(whole, ["a", "b", "c@1", "new"].map((name) => join(folder, name)));
  const { runs } = (await json("ls", folder)).value as { runs: { location: string; checkpoints: unknown[] }[] };
  assert.deepEqual(runs.map(({ location, checkpoints }) => [location, checkpoints.length]), [
    [join(folder, "a"), 3],
    [join(folder, "b"), 4],
    [join(folder, "c@1"), 3],
    [join(folder, "new"), 1],
  ]);
  // What it does not look at, it does not judge.
  await flip(inside(join(folder, "a"), 2, "snapshot.json"), 300);
  assert.deepEqual([(await dogear("ls", folder)).code, (await dogear("ls", join(folder, "b"), "--all")).code], [1, 0]);
  await rm(join(folder, "a", "checkpoints", "checkpoint_2"), { recursive: true });
  assert.equal((await dogear("ls", folder)).code, 0);
});

test("ls: 60 columns hold run, newest, age, step, first metric and verdict, uncut", async () => {
  const folder = place();
  for (const name of ["digits", "digits-2"]) await cp(run, join(folder, name), { recursive: true });
  const lines = (await dogearWithin(60, "ls", folder)).text.split("\n").slice(0, 3);
  assert.match(lines[0]!, /^run +newest +age +(time +)?step +metrics +verdict$/);
  for (const line of lines.slice(1)) assert.match(line, /^digits.* 2 .* s .* 30 +loss 0\.03333 … +complete$/);
  assert.ok(lines.every((line) => line.length <= 60));
  const metrics = { val_accuracy: 0.91234, val_loss: 1.2345, loss: 0.1 };
  await runOrThrow(saveState(directory(join(folder, "digits")), { metrics })({ step: 1_234_567 }));
  const { text } = await dogearWithin(60, "ls", join(folder, "digits"));
  assert.match(text, /\n +3 +0 s +1234567 +val_accuracy 0\.9123 … +complete\n/);
});

/** What an error proposes to paste after the name of the command. */
function proposed(said: string, command: string): readonly string[] {
  const start = `  dogear ${command} `;
  return said.split("\n").filter((line) => line.startsWith(start)).map((line) => line.slice(start.length));
}

test("ls: a place without a run is exit code 2, with what was found and the runs nearby", async () => {
  const root = place();
  const at = (...names: readonly string[]): string => join(root, ...names);
  await cp(run, at("runs", "digits"), { recursive: true });
  await cp(run, at("deep", "a", "my run's"), { recursive: true });
  await mkdir(at("runs", "empty"));
  await mkdir(at("nowhere", "b"), { recursive: true });
  await writeFile(at("notes.txt"), "");
  await writeFile(at("runs", "digits", "log.jsonl"), "");
  const digits = at("runs", "digits");
  const spaced = `'${at("deep", "a", "my run")}'\\''s'`;
  const expected = "^Expected the folder of a run, found ";
  for (
    const [path, found, remedies] of [
      [at("runs", "empty"), /the folder ".*empty", which holds no checkpoint\. Runs nearby:\n/, [digits]],
      [at(), /the folder ".*", which holds no checkpoint\. Runs in it:\n/, [digits, spaced]],
      [at("runs", "digtis"), /no folder ".*digtis"\. Did you mean .*runs\/digits\?\n/, [digits]],
      [at("rnus", "digits"), /no folder ".*digits"\. Did you mean .*runs\/digits\?\n/, [digits]],
      [at("notes.txt"), /the file ".*notes.txt"\. Runs nearby:\n/, [digits, spaced]],
      [at("runs", "digits", "log.jsonl"), /the file ".*log.jsonl"\. Runs nearby:\n/, [digits]],
      [inside(run, 0, "snapshot.json"), /the file ".*", which is in checkpoint 0 of the run .*: write .*@0$/, []],
    ] as const
  ) {
    for (const command of ["ls", "inspect", "verify"]) {
      const { code, text, said } = await dogear(command, path);
      assert.deepEqual([code, text], [2, ""], `${command} ${path}`);
      assert.match(said, new RegExp(expected + found.source), `${command} ${path}`);
      assert.deepEqual(proposed(said, command), remedies);
    }
  }
  // The whole command line is repeated, with the checkpoint and the other words.
  const typed = [
    [["inspect", `${at("runs", "digtis")}@1`, "it's"], [`${digits}@1 'it'\\''s'`]],
    [["diff", `${run}@0`, `${at("runs", "digtis")}@latest~1`], [`${run}@0 ${digits}@latest~1`]],
    [["prune", "--best", "1:loss:min", at("runs", "digtis")], [`--best 1:loss:min ${digits}`]],
    [["cp", at("runs", "empty"), at("copies")], [`${digits} ${at("copies")}`]],
  ] as const;
  for (const [words, remedies] of typed) {
    assert.deepEqual(proposed((await dogear(...words)).said, words[0]), remedies, words.join(" "));
  }
  // Nothing near.
  const empty = join(place(), "a", "b", "c", "d", "e");
  await mkdir(empty, { recursive: true });
  assert.match(
    (await dogear("ls", join(empty, "f"))).said,
    /found no folder ".*f": give the path that the run saves to$/,
  );
  assert.match((await dogear("ls", "")).said, /^Expected RUN or RUN@CHECKPOINT/);
  assert.equal((await json("ls", empty)).value.error._tag, "Usage");
});

test("ls: a run whose first save has not ended is a run", async () => {
  const path = place();
  await mkdir(join(path, "checkpoints", ".number-0"), { recursive: true });
  const { code, said, text } = await dogear("ls", path);
  assert.deepEqual([code, said, text], [0, `${path} is a run without a checkpoint: its first save has not ended`, ""]);
  assert.deepEqual((await json("ls", path)).value, { runs: [{ location: path, checkpoints: [] }] });
  assert.match((await dogear("inspect", path)).said, /holds no checkpoint$/);
  // Other tools use that name too.
  await writeFile(join(path, "checkpoints", "model.ckpt"), "");
  assert.equal((await dogear("ls", path)).code, 2);
});

needs("symbolic links", "a POSIX shell")(
  "ls: hostile names cannot control the terminal or the shell, and links lead nowhere",
  async () => {
    const root = place();
    const names = ["\u001b[31mred", "a\nb", "-rf", "$(id)", "a;b", "日本", "~", "\u202e"];
    for (const name of names) await cp(run, join(root, "in", name), { recursive: true });
    await symlink(join(root, "in"), join(root, "in", "loop"));
    await symlink("self", join(root, "self"));
    await symlink(join(root, ".."), join(root, "up"));
    const { code, text } = await dogear("ls", join(root, "in"));
    assert.equal(code, 0);
    assert.equal(text.split("\n").filter((line) => line.endsWith("complete")).length, names.length);
    assert.doesNotMatch(text.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
    const { said } = await dogear("ls", root);
    for (const line of proposed(said, "ls")) {
      // The shell gives the name back.
      const shown = execFileSync("sh", ["-c", `printf %s ${line}`], { encoding: "utf8" });
      assert.ok(names.map((name) => join(root, "in", name)).includes(shown), shown);
    }
    assert.equal(proposed(said, "ls").length, 4);
    const outside = place();
    await mkdir(outside);
    await symlink(root, join(outside, "link"));
    await symlink(outside, join(outside, "loop"));
    assert.doesNotMatch((await dogear("ls", outside)).said, /link|loop/);
  },
);

test("ls: a path is pasted as one word that names it", () => {
  const words = {
    "runs/digits": "runs/digits",
    "-rf": "./-rf",
    "~": "'~'",
    "a@1": "a@1/",
    "a@1/b": "a@1/b",
    "it's": "'it'\\''s'",
  };
  for (const [path, word] of Object.entries(words)) assert.equal(pasted(path), word);
});

test("ls: a run that cannot be read is said, and the others are listed", async () => {
  const left = { _tag: "StoreFailed", operation: "list", path: "x", code: "EACCES", message: "not permitted" } as const;
  const refused: Partial<Store> = { list: () => Promise.resolve(E.left(left)) };
  const stores: Readonly<Record<string, Partial<Store>>> = {
    "s3://bucket/runs": { list: TE.right([]), folders: TE.right(["b", "a", "none"]) },
    "s3://bucket/runs/a": { list: TE.right([3]) },
    "s3://bucket/runs/b": refused,
    "s3://bucket/runs/none": { list: TE.right([]) },
  };
  const open = (url: string): Promise<Store> =>
    Promise.resolve({ ...runStore, candidates: undefined, location: url, ...stores[url] } as Store);
  const at = await runOrThrow(pipe(openRun("s3://bucket/runs", open), TE.flatMap(runsAt(open))));
  assert.deepEqual(at.runs.map(({ text, numbers }) => [text, numbers]), [["s3://bucket/runs/a", [3]]]);
  assert.deepEqual([at.areInside, at.unread], [true, [left]]);
});

test("ls: a folder with many entries takes no longer than looking at each once", async () => {
  const folder = place();
  await cp(run, join(folder, "z"), { recursive: true });
  for (let i = 0; i < 400; i++) writeFileSync(join(folder, `file${i}`), "");
  const begun = performance.now();
  assert.match((await dogear("ls", folder)).text, /\nz +3 +2 /);
  await rm(join(folder, "z"), { recursive: true });
  assert.equal((await dogear("ls", folder)).code, 2);
  assert.ok(performance.now() - begun < 5000 * torture);
});

test("ls: unknown metrics and keys are errors that name those there are", async () => {
  for (
    const [words, expected] of [
      [
        ["--metric", "los"],
        /^Expected a metric of a checkpoint for --metric, found "los"\. Did you mean loss\? There are "accuracy", "loss"$/,
      ],
      [
        ["--sort", "stpe"],
        /^Expected checkpoint, time, step, size or a metric of a checkpoint for --sort, found "stpe"\. Did you mean step\?/,
      ],
      [["--sort", "loss:up"], /found "loss:up"\. An order is written loss:asc or loss:desc\. There are/],
      [["--sort", ":asc"], /^Expected KEY, KEY:asc or KEY:desc for --sort, found ":asc"\n/],
      [["--metric", "loss", "--metric", "__proto__"], /found "__proto__"/],
    ] as const
  ) {
    const { code, text, said } = await dogear("ls", run, ...words);
    assert.deepEqual([code, text], [2, ""]);
    assert.match(said, expected);
  }
  const shown = async (...words: readonly string[]): Promise<string> =>
    (await dogearWithin(Infinity, "ls", run, ...words)).text;
  assert.match(await shown("--metric", "accuracy", "--metric", "loss"), /\n.* accuracy 0\.5, loss 0\.03333 /);
  assert.match(await shown("--metric", "loss"), /\n.* loss 0\.03333 {2}/);
  assert.match(await shown("--sort", "accuracy"), /\n.* accuracy 0\.5, loss 0\.03333 /);
  const { value } = await json("ls", run, "--sort", "loss", "--metric", "loss");
  assert.deepEqual(value.runs[0].checkpoints.map(({ metrics }: { metrics: unknown }) => metrics), [
    { loss: 0.1 },
    { loss: 0.05 },
    { loss: 1 / 30 },
  ]);
  const { text } = await dogear("ls", run, "--sort", "step:asc", "--metric", "loss");
  assert.deepEqual(text.split("\n").slice(1, 4).map((line) => line.trim()[0]), ["0", "1", "2"]);
  assert.match(text, /\nloss +█▃▁ /);
  assert.doesNotMatch(text, /accuracy/);
});

test("sorted: every order is by value, then NaN, then those without a value, and equal ones keep their order", () => {
  const value = fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(NaN, undefined, 0, -0, 1));
  const keys = fc.constantFrom("loss", "step", "size", "time", "checkpoint", "__proto__");
  fc.assert(
    fc.property(fc.array(value), keys, fc.constantFrom("asc", "desc"), (values, key, order) => {
      const statuses = values.map((value, checkpoint): CheckpointStatus => {
        const own = value === undefined ? {} : Object.fromEntries([[key, value]]);
        const at = value ?? 0;
        const entry: Entry = { checkpoint, step: value ?? null, metrics: own, time: at, bytes: at, run: "r" };
        const isUnread = value === undefined && (checkpoint % 2 === 0 || key === "size" || key === "time");
        return { checkpoint, entry: isUnread ? null : entry, shared: 0, verdict: "complete", error: null };
      });
      const indices = sorted(statuses, { key, order }, (one) => one).map(({ checkpoint }) => checkpoint);
      assert.deepEqual(indices.toSorted((a, b) => a - b), values.map((_, i) => i));
      const of = (i: number): number | undefined => key === "checkpoint" ? i : values[i];
      const rank = (value: number | undefined): number => value === undefined ? 2 : Number.isNaN(value) ? 1 : 0;
      for (const [n, i] of indices.entries()) {
        const next = indices[n + 1];
        if (next === undefined) break;
        const [a, b] = [of(i), of(next)];
        assert.ok(rank(a) <= rank(b));
        if (rank(a) === 0 && rank(b) === 0 && a !== b) assert.equal(a! < b!, order === "asc");
        else if (rank(a) === rank(b)) assert.ok(i < next);
      }
    }),
    { numRuns: 200 * torture },
  );
});

test("time: the time of day, with the date from a day on, with the year alone after half a year", () => {
  const at = new Date(2026, 10, 26, 9, 5).getTime();
  const hour = 3_600_000;
  assert.deepEqual([0, 23, 24, 24 * 179, 24 * 181, -5].map((hours) => timeText(at, at + hours * hour)), [
    "09:05",
    "09:05",
    "11-26 09:05",
    "11-26 09:05",
    "2026-11-26",
    "09:05",
  ]);
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
