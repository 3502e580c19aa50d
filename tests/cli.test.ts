/**
 * The command line on real stores: what it says to the letter, what it says to machines, what it changes, and how it ends.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import { cp, link, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { PassThrough } from "node:stream";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import {
  diff,
  directory,
  type Entry,
  fromJsonLines,
  list,
  Loader,
  readSnapshot,
  Rng,
  runOrThrow,
  saveState,
  type Store,
  version,
} from "../mod.ts";
import { main } from "../lib/cli/commands.ts";
import { statistics } from "../lib/cli/statistics.ts";
import { printer, type Terminal, terminal } from "../lib/cli/terminal.ts";
import {
  bar,
  bytesText,
  cut,
  jsonText,
  numberText,
  plainText,
  progressText,
  spanText,
  table,
  widthOf,
} from "../lib/cli/text.ts";
import { progressAt } from "../lib/progress.ts";
import { decodeHeader } from "../lib/safetensors.ts";
import { heldBytes } from "../lib/tensor.ts";
import { bun, deno, isBun } from "./gate/runtimes.ts";

const torture = Number(process.env["DOGEAR_TORTURE"] ?? 1);

const scratch = await mkdtemp(join(tmpdir(), "dogear-cli-"));
after(() => rm(scratch, { recursive: true, force: true }));

await tf.setBackend("cpu");

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

// --- running it

interface Ended {
  readonly code: number;
  readonly text: string;
  readonly said: string;
}

/** Runs a command line in this process, on a terminal that only collects. */
async function dogear(...words: readonly string[]): Promise<Ended> {
  const [lines, said]: [string[], string[]] = [[], []];
  const out: Terminal = {
    width: 80,
    print: async (some) => {
      for await (const line of some) lines.push(line);
    },
    say: (text) => void said.push(text),
    draw: () => () => {},
    paint: (_, word) => word,
  };
  const code = await main(words, out);
  return { code, text: lines.join("\n"), said: said.join("\n") };
}

// deno-lint-ignore no-explicit-any -- what a machine reads has no type until it is looked at
async function json(...words: readonly string[]): Promise<{ readonly code: number; readonly value: any }> {
  const { code, text } = await dogear(...words, "--json");
  return { code, value: JSON.parse(text) };
}

const entry = fileURLToPath(new URL("../lib/cli.ts", import.meta.url));
const command: readonly string[] = isBun ? [bun(), entry] : [deno(), "run", "-A", "--no-check", entry];

// --- stores

/** A run of three checkpoints: a model, an optimizer, a generator, plain data. */
async function trained(): Promise<{ readonly path: string; readonly store: Store }> {
  const path = place();
  const store = directory(path);
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 4, inputShape: [2], name: "first" }),
      tf.layers.dense({ units: 1, name: "last" }),
    ],
  });
  const values = [-2, 0, 0, NaN, Infinity, 6];
  const w = tf.variable(tf.tensor1d(values));
  for (const step of [10, 20, 30]) {
    // What has not changed would be shared.
    w.assign(tf.tensor1d(values));
    model.setWeights(model.getWeights().map((weight, i) => tf.fill(weight.shape, step + i)));
    const state = { model, w, rng: Rng.make(step), note: { text: "a\u001b[31mb", "c/d": [1n, -0] }, step };
    await runOrThrow(saveState(store, { metrics: { loss: 1 / step, accuracy: 0.5 } })(state));
  }
  return { path, store };
}

const { path: run, store: runStore } = await trained();

/** A copy of the run, to be damaged. */
async function copied(): Promise<string> {
  const path = place();
  await cp(run, path, { recursive: true });
  return path;
}

async function flip(path: string, at = -1): Promise<void> {
  const bytes = await readFile(path);
  bytes[at < 0 ? bytes.length + at : at]! ^= 1;
  await writeFile(path, bytes);
}

function inside(path: string, checkpoint: number, name = ""): string {
  return join(path, "checkpoints", `checkpoint_${checkpoint}`, name);
}

/** A store of many checkpoints, all of them links to the first. */
async function many(count: number): Promise<string> {
  const path = place();
  const state = { w: Float32Array.of(1), step: 0 };
  const { location } = await runOrThrow(saveState(directory(path), { metrics: { loss: 0.5 } })(state));
  for (let n = 1; n < count; n++) symlinkSync(location, inside(path, n), "junction");
  return path;
}

/** Text in which what differs from run to run is the same: ages and names of runs. */
function steady(text: string): string {
  return text.replace(/ {2}[ \d]{3}\d s {2}/g, "   {age}  ").replace(/ [0-9a-f]{8} /g, " {run}... ");
}

// --- ls

test("ls: a table of a fixed width, the newest first", async () => {
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
    ].join("\n"),
  );
  assert.ok(text.split("\n").every((line) => line.length <= 80));
});

test("ls --json: what list says, and sharing and verdict beside it", async () => {
  const { code, value } = await json("ls", run);
  const entries = (await runOrThrow(list(runStore))).entries;
  const checkpoints = entries.toReversed().map((one) => ({ ...one, shared: 0, verdict: "complete", error: null }));
  assert.equal(code, 0);
  assert.deepEqual(value, { runs: [{ location: run, checkpoints }] });
});

test("ls: what hard links share is told", async () => {
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

test("ls: run folders, the folder of the checkpoints, one of these and numbers lead to the same", async () => {
  const numbers = async (...words: readonly string[]): Promise<unknown> => {
    const { runs } = (await json("ls", ...words)).value as {
      runs: { location: string; checkpoints: { checkpoint: number }[] }[];
    };
    return runs.map(({ location, checkpoints }) => [location, ...checkpoints.map(({ checkpoint }) => checkpoint)]);
  };
  const other = await copied();
  assert.deepEqual(await numbers(run, other), [[run, 2, 1, 0], [other, 2, 1, 0]]);
  assert.deepEqual(await numbers(join(run, "checkpoints")), [[run, 2, 1, 0]]);
  assert.deepEqual(await numbers(inside(run, 1)), [[run, 1]]);
  assert.deepEqual(await numbers(run, "0", "latest", other, "1"), [[run, 2, 0], [other, 1]]);
  const named = join(place(), "checkpoints");
  await cp(run, named, { recursive: true });
  assert.deepEqual(await numbers(named), [[named, 2, 1, 0]]);
  assert.deepEqual([(await dogear("ls", run, "7")).code, (await dogear("ls", run, "7")).text], [2, ""]);
  const { text } = await dogear("ls", run, other);
  assert.deepEqual(text.split("\n").filter((line) => line.startsWith("/")), [run, other]);
});

test("ls: a folder without checkpoints says so, a folder that is none is an error", async () => {
  const empty = place();
  await mkdir(empty);
  const { code, said, text } = await dogear("ls", empty);
  assert.deepEqual([code, text.split("\n").length], [0, 1]);
  assert.match(said, /holds no checkpoint/);
  assert.deepEqual((await json("ls", empty)).value, { runs: [{ location: empty, checkpoints: [] }] });
  for (const none of [join(empty, "none"), inside(run, 0, "snapshot.json"), ""]) {
    const { code, said, text } = await dogear("ls", none);
    assert.deepEqual([code, text], [2, ""]);
    assert.match(said, /^Expected a run folder, found no folder/);
  }
});

test("ls: damage is seen as far as it is looked for, and is the exit code", async () => {
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

// --- inspect

test("inspect: a checkpoint and its components", async () => {
  const { code, text } = await dogear("inspect", run, "1");
  assert.equal(code, 0);
  const [about, components] = text.split("\n\n") as [string, string];
  assert.match(
    about,
    /^checkpoint {2}1 in .*\nsaved .* by dogear .*\nrun .*, after checkpoint 0\nstep {8}20\nmetrics {5}loss 0.05/,
  );
  assert.equal(
    components,
    [
      "component  kind         tensors  elements  files",
      "model      LayersModel        4        17  model.safetensors",
      "w          Variable           1         6  state/w.safetensors",
      "rng        Rng                0         0",
      "note       record             0         0",
      "step       number             0         0",
    ].join("\n"),
  );
  const { value } = await json("inspect", run);
  const { checkpoint, step, parent, components: found } = value;
  assert.deepEqual([checkpoint, step, parent], [2, 30, 1]);
  assert.deepEqual(found[1], { name: "w", kind: "Variable", tensors: 1, elements: 6, files: ["state/w.safetensors"] });
});

test("inspect: a tensor: shape, range, mean, NaN count, histogram", async () => {
  const expected = [
    "dtype       float32",
    "shape       [6]",
    "file        state/w.safetensors",
    "elements    6",
    "range       -2 to 6",
    "mean        1, standard deviation 3",
    "NaN         1",
    "infinite    1",
    "zero        2",
    "",
    "  -2 to -1.2  ###############                 1",
    "-1.2 to -0.4                                  0",
    " -0.4 to 0.4  ##############################  2",
    "  0.4 to 1.2                                  0",
    "    1.2 to 2                                  0",
    "    2 to 2.8                                  0",
    "  2.8 to 3.6                                  0",
    "  3.6 to 4.4                                  0",
    "  4.4 to 5.2                                  0",
    "    5.2 to 6  ###############                 1",
  ].join("\n");
  assert.deepEqual(await dogear("inspect", run, "w/value"), { code: 0, text: expected, said: "" });
  assert.ok((await dogear("inspect", run, "0", "w")).text.endsWith(expected));
  const { value } = await json("inspect", run, "latest", "w/value");
  const { statistics: found, parts } = value;
  const { histogram, ...rest } = found;
  assert.deepEqual(rest, {
    of: "elements",
    count: 6,
    nan: 1,
    infinite: 1,
    zeros: 2,
    min: -2,
    max: 6,
    mean: 1,
    deviation: 3,
  });
  assert.equal(histogram.length, 10);
  assert.deepEqual(parts, [{ path: "w/value", dtype: "float32", shape: [6], file: "state/w.safetensors" }]);
});

test("inspect: a tensor goes by its path or by the name other tools know", async () => {
  const byName = await dogear("inspect", run, "model/last/kernel");
  const byPath = await dogear("inspect", run, "model/layers/1/weights/kernel/value");
  assert.equal(byName.code, 0);
  assert.equal(byName.text, byPath.text);
  assert.match(byName.text, /shape {7}\[4, 1\]\n[^]*range {7}32 to 32\n/);
  const component = await dogear("inspect", run, "model");
  assert.match(component.text, /\nmodel\/layers\/0\/weights\/kernel\/value +float32 +\[2, 4\] first\/kernel\n/);
});

test("inspect: plain data to its leaves, and nothing in it speaks to the terminal", async () => {
  const { text } = await dogear("inspect", run, "note");
  assert.equal(
    text,
    [
      "path         type    value",
      'note/text    string  "a\\u001b[31mb"',
      "note/c~1d/0  bigint  1n",
      "note/c~1d/1  number  -0",
    ].join("\n"),
  );
  assert.equal((await dogear("inspect", run, "note/text")).text.split("\n")[1], 'note/text  string  "a\\u001b[31mb"');
  const { value } = await json("inspect", run, "note/c~1d/0");
  assert.deepEqual(value.parts, [{ path: "note/c~1d/0", kind: "bigint", value: "1" }]);
});

test("inspect: a path that leads nowhere names the components; damaged numbers are not shown", async () => {
  const { code, said } = await dogear("inspect", run, "nope/x");
  assert.equal(code, 2);
  assert.match(said, /found "nope\/x": its components are model, w, rng, note, step$/);
  const path = await copied();
  await flip(inside(path, 2, "state/w.safetensors"));
  const damaged = await dogear("inspect", path, "w");
  assert.deepEqual([damaged.code, damaged.text], [1, ""]);
  assert.match(damaged.said, /state\/w\.safetensors: digest/);
  assert.equal((await dogear("inspect", path, "model/last/kernel")).code, 0);
});

test("statistics: every number is counted once, wherever it is", () => {
  const numbers = fc.oneof(fc.float(), fc.constantFrom(NaN, Infinity, -Infinity, 0, -0, 3.4e38, -3.4e38));
  fc.assert(
    fc.property(fc.array(numbers, { maxLength: 50 }), (given) => {
      const array = Float32Array.from(given);
      const found = statistics(
        heldBytes("float32", [array.length], new Uint8Array(array.buffer)),
        new Uint8Array(array.buffer),
      );
      const finite = [...array].filter(Number.isFinite);
      assert.equal(found.count, array.length);
      assert.equal(found.nan, [...array].filter(Number.isNaN).length);
      assert.equal(found.infinite, array.length - finite.length - found.nan);
      assert.equal(found.zeros, finite.filter((x) => x === 0).length);
      assert.equal(found.histogram.reduce((sum, { count }) => sum + count, 0), finite.length);
      if (finite.length === 0) return assert.ok(Number.isNaN(found.min) && found.histogram.length === 0);
      assert.deepEqual([found.min + 0, found.max + 0], [Math.min(...finite) + 0, Math.max(...finite) + 0]);
      const mean = finite.reduce((sum, x) => sum + x, 0) / finite.length;
      assert.ok(Math.abs(found.mean - mean) <= 1e-9 * Math.max(1, Math.abs(found.max), Math.abs(found.min)));
      const edges = found.histogram.flatMap(({ from, to }) => [from, to]);
      assert.ok(edges.every((edge, i) => Number.isFinite(edge) && (i === 0 || edges[i - 1]! <= edge)));
      assert.deepEqual([edges[0]! + 0, edges.at(-1)! + 0], [found.min + 0, found.max + 0]);
    }),
    { numRuns: 300 * torture },
  );
  const strings = statistics(heldBytes("string", [2], new Uint8Array()), Uint8Array.of(1, 0, 0, 0, 65, 0, 0, 0, 0));
  assert.deepEqual([strings.of, strings.min, strings.max], ["lengths of strings in bytes", 0, 1]);
  const both = Float32Array.of(3, 4);
  const complex = statistics(heldBytes("complex64", [1], new Uint8Array()), new Uint8Array(both.buffer));
  assert.deepEqual([complex.of, complex.min, complex.max], ["real and imaginary parts", 3, 4]);
});

// --- verify

test("verify: every byte, and what is damaged by name", async () => {
  const fine = await dogear("verify", run);
  assert.deepEqual([fine.code, fine.said], [0, ""]);
  assert.match(fine.text, /^checkpoint +size {2}verdict\n +0 .* verified\n +1 .* verified\n +2 .* verified$/);
  const path = await copied();
  await flip(inside(path, 1, "model.safetensors"));
  await rm(inside(path, 2, "state/w.safetensors"));
  const { code, said } = await dogear("verify", path);
  assert.equal(code, 1);
  assert.match(
    said,
    /^Checkpoint 1 is damaged.*\n {2}model\.safetensors: digest: expected CRC-32 .*\n[^]*Checkpoint 2 is damaged.*\n {2}state\/w/,
  );
  assert.equal((await dogear("verify", path, "0")).code, 0);
  const { value } = await json("verify", path, "0", "1");
  const { checkpoints, verified, damaged } = value;
  assert.deepEqual([verified, damaged], [1, 1]);
  assert.deepEqual(checkpoints.map(({ error }: { error: { _tag: string } | null }) => error?._tag), [
    undefined,
    "Damaged",
  ]);
  const several = await dogear("verify", run, path);
  assert.equal(several.code, 1);
  assert.equal(several.text.split("\n").length, 7);
  assert.ok(several.said.startsWith(`${path}: Checkpoint 1`));
});

test("verify: where there is nothing to verify nothing is well", async () => {
  const empty = place();
  await mkdir(empty);
  for (const words of [[empty], [run, "7"]]) assert.equal((await dogear("verify", ...words)).code, 2);
});

// --- diff

test("diff: two checkpoints tensor by tensor, as the library compares them", async () => {
  const { code, value } = await json("diff", run, "0", "2");
  const [left, right] = [0, 2].map((checkpoint) => readSnapshot(runStore, { checkpoint }));
  const expected = await diff(await runOrThrow(left!), await runOrThrow(right!))();
  assert.equal(code, 1);
  assert.deepEqual(value, {
    left: { location: run, checkpoint: 0 },
    right: { location: run, checkpoint: 2 },
    equal: false,
    differences: JSON.parse(JSON.stringify(expected)),
  });
  const { text } = await dogear("diff", run, "0", "latest");
  const lines = text.split("\n");
  assert.deepEqual(lines[0]?.split(/ {2,}/), ["path", "differs in", "left", "right", "elements", "by at most"]);
  assert.ok(lines.some((line) => /^model\/layers\/0\/weights\/kernel\/value +value +8 +20$/.test(line)), text);
  assert.ok(lines.some((line) => /^step +value +10 +30 +1 +20$/.test(line)));
  assert.equal(lines.at(-1), `${expected.length} differences`);
});

test("diff: equal checkpoints are equal, in one folder or two", async () => {
  const other = await copied();
  for (const words of [[run, "1", "1"], [run, other], [run, "1", other, "1"], [inside(run, 2), other]]) {
    assert.deepEqual(await dogear("diff", ...words), { code: 0, text: "equal, by bits", said: "" });
  }
  assert.equal((await dogear("diff", run, "1", other)).code, 1);
  for (const words of [[run], [run, "1"], [run, "0", "1", "2"], [run, "0", "9"]]) {
    assert.equal((await dogear("diff", ...words)).code, 2, words.join(" "));
  }
  await flip(inside(other, 2, "state/w.safetensors"));
  const damaged = await dogear("diff", run, other);
  assert.deepEqual([damaged.code, damaged.text], [1, ""]);
  assert.match(damaged.said, /^Checkpoint 2 is damaged/);
});

// --- prune

test("prune: shows what would go and why, and removes it when told to", async () => {
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

test("prune: the last checkpoint that verifies stays, and a run by itself goes by the start of its name", async () => {
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

test("prune: nothing goes for a metric that no checkpoint has, and the names there are are said", async () => {
  const path = await copied();
  for (const words of [["--best", "1:los:min"], ["--best", "1:los:min", "--latest", "1"]]) {
    const { code, text, said } = await dogear("prune", path, ...words, "--yes");
    assert.equal(code, 0);
    assert.match(text, /best 1 los min: no such metric.*\nRemoved 0 checkpoints, 0 B$/s);
    assert.match(said, /"los" of the retention policy.*The metrics of the run are: "loss", "accuracy"$/);
    const { value } = await json("prune", path, ...words);
    assert.deepEqual([value.removed, value.notRemoved, value.notes.length], [[], [], 1]);
  }
  assert.deepEqual(await runOrThrow(directory(path).list), [0, 1, 2]);
});

test("prune: a policy that is none is refused before anything is looked at", async () => {
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
      ["--latest", "1", "3"],
      ["--latest", "1", run],
    ]
  ) {
    const { code, said, text } = await dogear("prune", run, ...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.match(said, /Expected|argument/, words.join(" "));
  }
  assert.equal((await dogear("prune", run, "--best", "1:val:loss:min", "--every", "10")).code, 0);
});

// --- export

/** The tensors of an exported folder, by name. */
async function loaded(folder: string, files: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>> {
  const found = new Map<string, readonly number[]>();
  for (const file of files) {
    const bytes = new Uint8Array(await readFile(join(folder, file)));
    const header = decodeHeader(bytes, bytes.length);
    assert.ok(header._tag === "Right");
    assert.deepEqual(header.right.metadata, [["format", "pt"]]);
    for (const { name, begin, end, dtype } of header.right.tensors) {
      assert.equal(dtype, "F32");
      assert.ok(!found.has(name));
      const { dataStart } = header.right;
      found.set(name, [...new Float32Array(bytes.slice(dataStart + begin, dataStart + end).buffer)]);
    }
  }
  return found;
}

const weights: ReadonlyMap<string, readonly number[]> = new Map([
  ["first/kernel", Array.from({ length: 8 }, () => 30)],
  ["first/bias", Array.from({ length: 4 }, () => 31)],
  ["last/kernel", Array.from({ length: 4 }, () => 32)],
  ["last/bias", [33]],
]);

test("export: the weights as other tools load them, in one file or in shards with an index", async () => {
  await fc.assert(
    fc.asyncProperty(fc.option(fc.integer({ min: 1, max: 100 })), async (most) => {
      const folder = join(place(), "deep");
      const { code, value } = await json(
        "export",
        run,
        folder,
        ...(most === null ? [] : ["--max-shard-size", `${most}`]),
      );
      assert.equal(code, 0);
      const { files } = value as { files: { name: string; bytes: number }[] };
      const names = (await readdir(folder)).sort();
      assert.deepEqual(files.map(({ name }) => name).sort(), names);
      const shards = names.filter((name) => name.endsWith(".safetensors"));
      assert.deepEqual(await loaded(folder, shards), new Map([...weights].filter(([name]) => weights.has(name))));
      const total = [...weights.values()].flat().length * 4;
      if (most === null || most >= total) return assert.deepEqual(names, ["model.safetensors"]);
      const index = JSON.parse(await readFile(join(folder, "model.safetensors.index.json"), "utf8"));
      assert.equal(index.metadata.total_size, total);
      assert.deepEqual(Object.keys(index.weight_map), [...weights.keys()].sort());
      assert.deepEqual([...new Set(Object.values(index.weight_map))].sort(), shards);
      for (const [i, shard] of shards.entries()) {
        assert.equal(
          shard,
          `model-${`${i + 1}`.padStart(5, "0")}-of-${`${shards.length}`.padStart(5, "0")}.safetensors`,
        );
        const held = await loaded(folder, [shard]);
        for (const name of held.keys()) assert.equal(index.weight_map[name], shard);
        assert.ok(held.size === 1 || [...held.values()].flat().length * 4 <= most);
      }
    }),
    { numRuns: 15 * torture, examples: [[null], [1], [68], [67]] },
  );
});

test("a model that is split over files is listed, verified, compared and exported as one", async () => {
  const path = place();
  const store = directory(path);
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ name: "base", units: 512, inputShape: [512], trainable: false }),
      tf.layers.dense({ name: "head", units: 1 }),
    ],
  });
  await runOrThrow(saveState(store)({ model }));
  const kernel = model.layers[1]?.weights[0];
  (kernel?.read() as tf.Variable).assign(tf.ones([512, 1]));
  const { bytesTotal, bytesWritten } = await runOrThrow(saveState(store)({ model }));
  assert.ok(bytesWritten < bytesTotal / 10);
  const { value: listed } = await json("ls", path);
  const shared = await readFile(inside(path, 1, "model-00001-of-00002.safetensors"));
  const sizes = listed.runs[0].checkpoints.map((one: { shared: number; verdict: string }) => [one.shared, one.verdict]);
  assert.deepEqual(sizes, [[shared.length, "complete"], [shared.length, "complete"]]);
  assert.deepEqual((await json("verify", path)).value.damaged, 0);
  const { code, value } = await json("diff", path, "0", "1");
  assert.equal(code, 1);
  assert.deepEqual(value.differences.map((one: { path: string }) => one.path), ["model/layers/1/weights/kernel/value"]);
  assert.equal((await json("inspect", path, "1", "model/base/kernel")).code, 0);
  const folder = join(place(), "whole");
  assert.equal((await dogear("export", path, "1", folder)).code, 0);
  const whole = await loaded(folder, ["model.safetensors"]);
  assert.deepEqual([...whole.keys()].sort(), ["base/bias", "base/kernel", "head/bias", "head/kernel"]);
  assert.deepEqual(whole.get("head/kernel"), Array.from({ length: 512 }, () => 1));
  // One damaged file is damage of both that share it.
  await flip(inside(path, 1, "model-00001-of-00002.safetensors"));
  assert.deepEqual((await json("verify", path)).value.damaged, 2);
});

test("export: nothing is written over without --force, and then nothing stale is left", async () => {
  const folder = place();
  assert.equal((await dogear("export", run, folder, "--max-shard-size", "20")).code, 0);
  await writeFile(join(folder, "config.json"), "{}");
  const before = await readdir(folder);
  assert.ok(before.length > 3);
  for (const words of [[run, folder], [run, "1", folder], [run, folder, "--max-shard-size", "20"]]) {
    const { code, said } = await dogear("export", ...words);
    assert.equal(code, 2);
    assert.match(said, /add --force$/);
  }
  assert.deepEqual(await readdir(folder), before);
  assert.equal((await dogear("export", run, "0", folder, "--force")).code, 0);
  assert.deepEqual((await readdir(folder)).sort(), ["config.json", "model.safetensors"]);
  assert.deepEqual((await loaded(folder, ["model.safetensors"])).get("last/bias"), [13]);
});

test("export: nothing is written where no folder was named: a checkpoint is never taken for one, nor left out", async () => {
  const folder = place();
  await mkdir(folder);
  const before = process.cwd();
  const path = await copied();
  await symlink(join(path, "checkpoints"), join(folder, "link"), "junction");
  process.chdir(folder);
  try {
    for (
      const words of [
        [],
        [path],
        [path, "2"],
        [path, "latest"],
        [path, "latest~1"],
        [path, "@2"],
        [`${path}@2`],
        [path, "best:loss:min"],
        ["2"],
        [path, "2", `${path}@1`],
        [path, "--out", ""],
        [path, "--out", "2"],
        [path, "--out", "@2"],
        [path, "2", "a", "--out", "b"],
        // Two runs, and no folder.
        [path, run],
        [path, "2", run],
        // What is committed is never written to, not even when it is named and forced.
        ...[
          "checkpoints",
          "checkpoints/checkpoint_1",
          "checkpoints/checkpoint_1/state",
          "checkpoints/new",
          "checkpoints/../checkpoints/new",
        ]
          .flatMap((
            inner,
          ) => [[path, "--out", `${path}/${inner}`, "--force"], [path, "2", `${path}/${inner}`, "--force"]]),
        [path, "--out", "link/new", "--force"],
      ]
    ) {
      const { code, text, said } = await dogear("export", ...words);
      assert.deepEqual([code, text], [2, ""], words.join(" "));
      assert.match(said, /^Expected (a folder to write to|one folder to write to).*/, words.join(" "));
    }
    assert.deepEqual(await readdir(folder), ["link"]);
    assert.equal((await dogear("verify", path)).code, 0);
    assert.equal((await dogear("export", path, "1", "--out", "./71")).code, 0);
    assert.equal((await dogear("export", `${path}@1`, "--out", "a")).code, 0);
    assert.equal((await dogear("export", path, "--out", "b")).code, 0);
    assert.equal((await dogear("export", path, "1", "c")).code, 0);
    const weights = async (name: string): Promise<string> =>
      (await readFile(join(name, "model.safetensors"))).toString("hex");
    assert.equal(await weights("a"), await weights("71"));
    assert.equal(await weights("a"), await weights("c"));
    assert.notEqual(await weights("a"), await weights("b"));
  } finally {
    process.chdir(before);
  }
});

test("references: a run and a checkpoint in one word, by number, from the newest back, by the best of a metric", async () => {
  const { location } = runStore;
  const at = async (...words: readonly string[]): Promise<unknown> => {
    const { code, value } = await json("inspect", ...words);
    return code === 0 ? value.checkpoint : value.error.message;
  };
  assert.deepEqual(
    await Promise.all(
      ["0", "2", "latest", "latest~0", "latest~2", "best:loss:min", "best:loss:max", "best:accuracy:max"].map((ref) =>
        at(`${location}@${ref}`)
      ),
    ),
    [0, 2, 2, 2, 0, 2, 0, 2],
  );
  assert.equal(await at(location, "latest~1"), 1);
  assert.match(`${await at(`${location}@7`)}`, /Expected checkpoint 7/);
  assert.match(`${await at(`${location}@latest~3`)}`, /found 3 in/);
  assert.match(
    `${await at(`${location}@best:los:min`)}`,
    /"los", found none in .*: the metrics there are: "loss", "accuracy"$/,
  );
  assert.match(`${await at(`${location}@nonsense`)}`, /found no folder/);
  assert.equal((await json("inspect", `${location}@1`, "model")).value.location, runStore.locationOf(1));
  for (
    const words of [[`${location}@0`, `${location}@2`], [`${location}@0`, "@2"], [`${location}@0`, "2"], [
      location,
      "0",
      "@latest",
    ]]
  ) {
    const { code, value } = await json("diff", ...words);
    assert.deepEqual([code, value.left.checkpoint, value.right.checkpoint], [1, 0, 2]);
  }
  assert.deepEqual(
    (await json("verify", `${location}@1`)).value.checkpoints.map(({ checkpoint }: Entry) => checkpoint),
    [1],
  );
  // A folder that has such a name is a folder.
  const path = `${place()}@1`;
  await cp(run, path, { recursive: true });
  assert.equal(await at(path), 2);
  assert.equal(await at(`${path}@0`), 0);
});

test("export: a component without names for its tensors has their paths; what has none, or is damaged, is refused", async () => {
  const folder = place();
  assert.equal((await dogear("export", run, folder, "--component", "w")).code, 0);
  assert.deepEqual([...(await loaded(folder, ["model.safetensors"])).keys()], ["value"]);
  const none = place();
  for (const [component, found] of [["rng", "no tensor in it"], ["nope", "no such component"]] as const) {
    const { code, said } = await dogear("export", run, none, "--component", component);
    assert.equal(code, 2);
    assert.ok(said.includes(found) && said.includes("model, w, rng"), said);
  }
  for (const size of ["0", "x", "5 apples", "0.1"]) {
    assert.equal((await dogear("export", run, none, "--max-shard-size", size)).code, 2);
  }
  const path = await copied();
  await flip(inside(path, 2, "model.safetensors"));
  assert.equal((await dogear("export", path, none)).code, 1);
  await assert.rejects(readdir(none));
  assert.equal((await dogear("export", path, "1", none, "--max-shard-size", "5GB")).code, 0);
});

// --- words

test("index: the index of a file is built once and kept beside it, with a bar", async () => {
  const folder = place();
  await mkdir(folder);
  const [lines, csv] = [join(folder, "reviews.jsonl"), join(folder, "people.csv")];
  await writeFile(lines, Array.from({ length: 2000 }, (_, i) => `{"stars":${i % 5}}\n`).join(""));
  await writeFile(csv, 'name,says\nAda,"one\ntwo"\nBo,three\n');
  const first = await json("index", lines, csv);
  assert.deepEqual(first, {
    code: 0,
    value: {
      files: [
        { path: lines, records: 2000, bytes: 24_000, kept: true },
        { path: csv, records: 3, bytes: 33, kept: true },
      ],
    },
  });
  const built = await readFile(`${lines}.index`);
  const again = await dogear("index", lines);
  assert.match(again.text, /reviews\.jsonl +2000 +23\.4 KiB/);
  assert.deepEqual(await readFile(`${lines}.index`), built);
  assert.equal(Loader.length(await runOrThrow(fromJsonLines(lines))), 2000);
  const drawn: number[] = [];
  const screen = { width: 80, print: async () => {}, say: () => {}, paint: (_: unknown, word: string) => word };
  await rm(`${lines}.index`);
  await main(["index", lines], {
    ...screen,
    draw: () => (progress) => void (progress && drawn.push(progress.bytes / progress.total)),
  });
  assert.equal(drawn.at(-1), 1);
});

test("index: a file that cannot be read is an error, an index that cannot be kept is told", async () => {
  const folder = place();
  await mkdir(folder);
  assert.equal((await dogear("index")).code, 2);
  const none = await dogear("index", join(folder, "none.txt"));
  assert.deepEqual([none.code, none.text], [2, ""]);
  assert.match(none.said, /none\.txt.*ENOENT/s);
  const path = join(folder, "a.txt");
  await writeFile(path, "a\nb");
  await writeFile(`${path}.index`, "somebody else's");
  const kept = await dogear("index", path);
  assert.equal(kept.code, 0);
  assert.match(kept.said, /a\.txt\.index could not be written/);
  assert.equal(await readFile(`${path}.index`, "utf8"), "somebody else's");
  await writeFile(join(folder, "b.csv"), 'a,"b\n');
  assert.match((await dogear("index", join(folder, "b.csv"))).said, /quotation mark/);
});

test("words that say nothing are told so, and every command says what it does", async () => {
  for (
    const words of [["nope"], ["toString"], ["ls", "--nope"], ["ls", run, "--verify=x"], [
      "inspect",
      run,
      "1",
      "w",
      "x",
    ], ["export", run]]
  ) {
    const { code, text, said } = await dogear(...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.notEqual(said, "");
  }
  assert.equal((await dogear()).code, 2);
  assert.deepEqual(await dogear("--version"), { code: 0, text: version, said: "" });
  const general = await dogear("--help");
  assert.equal(general.code, 0);
  for (const name of ["ls", "inspect", "verify", "diff", "prune", "export"]) {
    assert.match(general.text, new RegExp(`^  ${name} `, "m"));
    for (const help of ["--help", "-h"]) {
      const { code, text } = await dogear(name, help);
      assert.equal(code, 0);
      assert.ok(text.startsWith(`dogear ${name} `));
    }
  }
});

test("a machine is told of an error where it reads", async () => {
  const { code, value } = await json("inspect", run, "99");
  const { error } = value as { error: { _tag: string; message: string } };
  assert.deepEqual([code, error._tag], [2, "NoCheckpoint"]);
  assert.match(error.message, /^Expected checkpoint 99, but .* holds checkpoints 0, 1, 2/);
});

// --- text

test("text: bytes, spans, numbers, bars", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 1048575, 1048576, 2 ** 50].map(bytesText), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "1.0 MiB",
    "1.0 MiB",
    "1024.0 TiB",
  ]);
  assert.deepEqual([-5, 0, 119, 120, 7199, 7200, 172800, Infinity].map(spanText), [
    "0 s",
    "0 s",
    "119 s",
    "2 min",
    "119 min",
    "2 h",
    "2 d",
    "?",
  ]);
  assert.deepEqual([0.123456, 1e-9, 123456, -0, NaN, Infinity, 1.5].map(numberText), [
    "0.1235",
    "1e-9",
    "123456",
    "-0",
    "NaN",
    "Infinity",
    "1.5",
  ]);
  assert.deepEqual([0, 0.5, 1, 2, -1].map((part) => bar(part, 4)), ["[----]", "[##--]", "[####]", "[####]", "[----]"]);
  assert.equal(
    progressText(progressAt(3 * 2 ** 20, 12 * 2 ** 20, 2)),
    "[#####---------------] 3.0 MiB of 12.0 MiB  1.5 MiB/s  6 s left",
  );
});

test("text: columns stand under each other, and no line of a table is longer than it may be", async () => {
  const character = fc.string({ minLength: 1, maxLength: 1 });
  const unit = fc.oneof({ weight: 50, arbitrary: character }, fc.constantFrom("\x1b", "\n", "\x9b"));
  const cells = fc.tuple(...[40, 8, 5].map((maxLength) => fc.string({ maxLength, unit })));
  await fc.assert(
    fc.asyncProperty(fc.array(cells, { minLength: 1, maxLength: 30 }), async (rows) => {
      const lines: string[] = [];
      const columns = [{ name: "name", flexible: true }, { name: "n", right: true }, { name: "last" }];
      for await (const line of table(columns, rows, 60)) lines.push(line);
      assert.equal(lines.length, rows.length + 1);
      assert.ok(lines.every((line) => !/\p{Cc}/u.test(line) && line === line.trimEnd()));
      const at = lines[0]!.indexOf("n", 4);
      // Escapes make a cell longer than what it shows.
      if (rows.flat().every((cell) => !/\p{Cc}/u.test(cell))) {
        assert.ok(lines.every((line) => line.length <= 60));
        for (const [i, [, middle = ""]] of rows.entries()) {
          assert.equal(lines[i + 1]!.slice(0, at + 1).padEnd(at + 1).slice(at + 1 - middle.length), middle);
        }
      }
    }),
    { numRuns: 100 * torture },
  );
});

test("text: a character of two columns counts as two, one that is put over another as none, and a cell is cut between two", async () => {
  const widths = {
    abc: 3,
    "日本": 4,
    "ｱ": 1,
    "Ａ": 2,
    "한글": 4,
    "e\u0301": 1,
    "👍": 2,
    "🇩🇪": 2,
    "é…·": 3,
    "𠮷": 2,
    "": 0,
  };
  for (const [text, width] of Object.entries(widths)) assert.equal(widthOf(text), width, text);
  assert.deepEqual([5, 4, 3, 2, 1].map((width) => cut("日本語", width)), ["日本…", "日…", "日…", "…", "…"]);
  const lines: string[] = [];
  const columns = [{ name: "metrics", flexible: true }, { name: "n", right: true }, { name: "last" }];
  const rows = [["精度 0.91", "1", "x"], ["accuracy 0.92", "22", "x"], ["一二三四五六七八九十", "3", "x"], [
    "e\u0301👍",
    "4",
    "x",
  ]];
  for await (const line of table(columns, rows, 24)) lines.push(line);
  assert.deepEqual(lines.slice(1).map((line) => widthOf(line)), [24, 24, 24, 24].map(() => widthOf(lines[1]!)));
  assert.deepEqual(
    lines.slice(1).map((line) => widthOf(line.slice(0, line.lastIndexOf("x")))),
    lines.slice(1).map(() => widthOf(lines[0]!) - 4),
  );
  assert.ok(lines.every((line) => widthOf(line) <= 24));
});

test("text and JSON: what a terminal may obey is written as its code, and JSON means the same", () => {
  const obeyed = "a\x1b[2J\x7f\x9b\u00ad\u061c\u200b\u202e\u2028\u2029\u2066\ufeff\u{e0041}\ud800";
  const dangerous = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
  assert.equal(
    plainText(obeyed),
    "a\\x1b[2J\\x7f\\x9b\\xad\\u061c\\u200b\\u202e\\u2028\\u2029\\u2066\\ufeff\\u{e0041}\\ud800",
  );
  const value = { [obeyed]: [obeyed, 1n, -0, NaN, "日本 👍"] };
  assert.ok(!dangerous.test(jsonText(value)));
  assert.deepEqual(JSON.parse(jsonText(value)), { [obeyed]: [obeyed, "1", "-0", "NaN", "日本 👍"] });
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.ok(!dangerous.test(plainText(text)) && !dangerous.test(jsonText(text)));
      assert.equal(JSON.parse(jsonText(text)), text);
    }),
    { numRuns: 300 * torture },
  );
});

test("no command writes a character that a terminal may obey, whatever names a checkpoint has", async () => {
  const path = join(place(), "run\u202e");
  const evil = "evil\u202egnp\u2028\x9b";
  const store = directory(path);
  for (const step of [1, 2]) {
    await runOrThrow(
      saveState(store, { metrics: { [evil]: step } })({ [evil]: { [evil]: evil }, w: Float32Array.of(step) }),
    );
  }
  for (
    const words of [
      ["ls", path],
      ["ls", path, place()],
      ["inspect", path],
      ["inspect", path, evil],
      ["inspect", path, "w"],
      ["inspect", path, "none\u202e"],
      ["verify", path],
      ["diff", path, "0", "1"],
      ["prune", path, "--best", `1:${evil}:min`],
      ["prune", path, "--best", "1:\u202e:min"],
      ["export", path, "0", join(path, "out"), "--component", "w"],
      ["export", path, "0", join(path, "other"), "--component", evil],
    ]
  ) {
    for (const json of [[], ["--json"]]) {
      const { text } = await dogear(...words, ...json);
      const seen = text.split("\n").join("");
      assert.ok(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(seen), `${words[0]}: ${JSON.stringify(text)}`);
    }
  }
});

// --- terminals and processes

/** A pager's words that the shell is to run: what it is given goes to a file. */
async function paged(
  pager: string,
  lines: number,
  rows = 10,
): Promise<{ readonly direct: string; readonly asked: number }> {
  const stream = new PassThrough();
  let [direct, asked] = ["", 0];
  stream.on("data", (chunk) => direct += chunk);
  function* some(): Generator<string> {
    for (let i = 0; i < lines; i++) {
      asked++;
      yield `line ${i}`.padEnd(100);
    }
  }
  await printer({ stream, isTerminal: true, columns: 80, rows }, { ...process.env, PAGER: pager })(some());
  await new Promise((resolve) => setTimeout(resolve));
  return { direct, asked };
}

test("a listing that does not fit on the terminal goes through the pager, another goes by itself", async () => {
  const file = place();
  assert.equal((await paged(`cat > '${file}'`, 3000)).direct, "");
  assert.equal((await readFile(file, "utf8")).split("\n").length, 3001);
  await rm(file);
  assert.equal((await paged(`cat > '${file}'`, 9)).direct.split("\n").length, 10);
  await assert.rejects(readFile(file));
  assert.equal((await paged("cat", 3000)).direct.split("\n").length, 3001);
  assert.equal((await paged("", 3000)).direct.split("\n").length, 3001);
});

test("a pager that is left ends the listing, and that is no error", async () => {
  const file = place();
  const { asked, direct } = await paged(`head -n 1 > '${file}'`, 1_000_000);
  assert.equal(direct, "");
  assert.ok(asked < 1_000_000, `${asked} lines were asked for`);
  assert.equal((await readFile(file, "utf8")).trimEnd(), "line 0");
});

test("a bar is drawn on a terminal alone, not more often than it can be seen, and gone at the end", async () => {
  const drawn = async (isTerminal: boolean): Promise<string> => {
    const [output, errors] = [new PassThrough(), new PassThrough()];
    let text = "";
    errors.on("data", (chunk) => text += chunk);
    const about = { isTerminal, columns: 60, rows: 24 };
    const draw = terminal({}, { ...about, stream: output }, { ...about, stream: errors }).draw("checking");
    for (let bytes = 1; bytes < 100; bytes++) draw(progressAt(bytes, 100, 1));
    draw();
    await new Promise((resolve) => setTimeout(resolve));
    return text;
  };
  assert.equal(await drawn(false), "");
  const line = "checking [--------------------] 1 B of 100 B  1 B/s  99 s left".slice(0, 59);
  assert.equal(await drawn(true), `\r${line}\x1b[K\r\x1b[K`);
});

test("colours are for terminals, and for those who want them", async () => {
  const ls = async (isTerminal: boolean, environment: Readonly<Record<string, string>>): Promise<string> => {
    const stream = new PassThrough();
    let text = "";
    stream.on("data", (chunk) => text += chunk);
    const output = { stream, isTerminal, columns: 80, rows: 24 };
    assert.equal(await main(["ls", "--verify", run], terminal(environment, output)), 0);
    await new Promise((resolve) => setTimeout(resolve));
    return text;
  };
  const plain = await ls(false, {});
  assert.ok(!plain.includes("\x1b"));
  assert.equal((await ls(true, {})).split("\x1b[32mverified\x1b[0m\n").length, 4);
  for (const environment of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
    assert.ok(!(await ls(true, environment)).includes("\x1b"));
  }
});

/** A shell line in which \`dogear\` is the command line in this runtime. */
function shell(
  line: string,
  environment: Readonly<Record<string, string>> = {},
): { readonly out: string; readonly err: string } {
  const own = command.map((word) => `'${word}'`).join(" ");
  const { stdout, stderr, status } = spawnSync("sh", ["-c", `dogear() { ${own} "$@"; }; ${line}`], {
    encoding: "utf8",
    cwd: run,
    env: { ...process.env, NO_COLOR: "1", ...environment },
    maxBuffer: 1 << 28,
  });
  assert.equal(status, 0, stderr);
  return { out: stdout, err: stderr };
}

test("a process: a store of 3,000 checkpoints is listed whole, and a reader that leaves is no error", async () => {
  const path = await many(3000);
  const { out, err } = shell(`{ dogear ls '${path}'; echo "ended $?" >&2; } | head -n 1`);
  assert.match(out, /^checkpoint +age +step .*verdict\n$/);
  assert.equal(err.trim(), "ended 0");
  const { runs: [{ checkpoints }] } = JSON.parse(shell(`dogear ls --json '${path}'`).out);
  assert.deepEqual(checkpoints.map(({ checkpoint }: { checkpoint: number }) => 2999 - checkpoint), [
    ...Array(3000).keys(),
  ]);
});

test("a process: exit codes, and errors on standard error alone", async () => {
  const path = await copied();
  await flip(inside(path, 1, "model.safetensors"));
  const { out, err } = shell(
    `dogear verify '${path}' >/dev/null; echo $?; dogear diff 0 0 >/dev/null; echo $?; dogear diff 0 1 >/dev/null; echo $?; dogear nope; echo $?; ` +
      "dogear ls > /dev/full; echo $?",
  );
  assert.deepEqual(out.trim().split("\n").slice(0, 4), ["1", "0", "1", "2"]);
  if (process.platform === "linux") assert.equal(out.trim().split("\n")[4], "2");
  assert.match(err, /Checkpoint 1 is damaged[^]*found "nope"/);
  assert.ok(!/\n\s+at /.test(err), err);
});
