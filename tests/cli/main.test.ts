/**
 * The command line as a whole: help, exit codes, output streams, processes.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { PassThrough, Writable } from "node:stream";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { directory, runOrThrow, saveState, version } from "../../mod.ts";
import { commands, runCommand } from "../../lib/cli/run_command.ts";
import { printer, terminal } from "../../lib/cli/terminal.ts";
import { progressAt } from "../../lib/store/progress.ts";
import { copied, dogear, flip, inside, json, place, run } from "../support/command_line.ts";
import { has, needs } from "../support/portable.ts";
import { bun, deno, isBun } from "../gate/runtimes.ts";

test("arguments: unknown commands, options and words are errors; every command has a help text", async () => {
  for (
    const words of [
      ["nope"],
      ["toString"],
      ["ls", "--nope"],
      ["ls", run, "--verify=x"],
      ["inspect", `${run}@1`, "w", "x"],
      ["export", run],
    ]
  ) {
    const { code, text, said } = await dogear(...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.match(said, words.length === 1 ? /dogear --help/ : new RegExp(`\nUsage: dogear ${words[0]} `));
  }
  assert.equal((await dogear()).code, 2);
  for (const word of ["--version", "-v"]) assert.deepEqual(await dogear(word), { code: 0, text: version, said: "" });
  const general = await dogear("--help");
  assert.equal(general.code, 0);
  for (const name of ["ls", "inspect", "verify", "diff", "prune", "export", "cp", "index", "serve"]) {
    assert.match(general.text, new RegExp(`^  ${name} `, "m"));
    for (const help of ["--help", "-h"]) {
      const { code, text } = await dogear(name, help);
      assert.equal(code, 0);
      assert.ok(text.startsWith(`Usage: dogear ${name} `));
    }
  }
});

test("arguments: help and --json may come before the command, other options may not", async () => {
  const help = await dogear("prune", "--help");
  for (const words of [["help", "prune"], ["--help", "prune"], ["-h", "prune"], ["help", "prune", "--latest", "1"]]) {
    assert.deepEqual(await dogear(...words), help, words.join(" "));
  }
  assert.deepEqual(await dogear("help"), await dogear("--help"));
  assert.deepEqual(await dogear("--json", "ls", run), await dogear("ls", run, "--json"));
  assert.equal(
    (await dogear("--verify", "ls", run)).said,
    'Expected a command before its options, found "--verify": write dogear ls --verify. More: dogear ls --help',
  );
  assert.match((await dogear("--nope")).said, /write dogear COMMAND --nope\. More: dogear --help$/);
  assert.match((await dogear("help", "prnue")).said, /^Expected a command, found "prnue"\. Did you mean prune\?/);
  assert.match((await dogear("train")).said, /found "train"\. The commands: ls, plot, .* More: dogear --help$/);
});

test("help: every command has two examples or more that it accepts, and alone it fits on a screen", async () => {
  for (const { name, examples, check } of commands) {
    assert.ok(examples.length > 1, name);
    for (const [args] of examples) {
      const [typed = ""] = args.split(/ [>|] /);
      assert.ok(check(typed.split(" "))._tag === "Right", `${name} ${args}`);
    }
  }
  assert.equal(commands.find(({ name }) => name === "cp")!.check(["one"])._tag, "Left");
  const { text } = await dogear();
  assert.ok(text.split("\n").length < 24, text);
  for (const { name } of commands) assert.match(text, new RegExp(`^  dogear ${name} \\S`, "m"));
});

test("output: with --json an error is a JSON document on standard output", async () => {
  const { code, value } = await json("inspect", `${run}@99`);
  const { error } = value as { error: { _tag: string; message: string } };
  assert.deepEqual([code, error._tag], [2, "NoCheckpoint"]);
  assert.match(error.message, / has no checkpoint 99\. It has checkpoints 0, 1, 2/);
});

test("output: no command prints a control character from a checkpoint's names", async () => {
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
      ["diff", `${path}@0`, "@1"],
      ["prune", path, "--best", `1:${evil}:min`],
      ["prune", path, "--best", "1:\u202e:min"],
      ["export", `${path}@0`, "--out", join(path, "out"), "--component", "w"],
      ["export", `${path}@0`, "--out", join(path, "other"), "--component", evil],
    ]
  ) {
    for (const json of [[], ["--json"]]) {
      const { text } = await dogear(...words, ...json);
      const seen = text.split("\n").join("");
      assert.ok(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(seen), `${words[0]}: ${JSON.stringify(text)}`);
    }
  }
});

test("printer: a closed pipe ends the listing without an error", async () => {
  const stream = new PassThrough({ highWaterMark: 100 });
  let made = 0;
  function* lines(): Generator<string> {
    for (; made < 1_000_000; made++) yield `line ${made}`;
  }
  stream.once("data", () => stream.destroy());
  await printer(stream)(lines());
  assert.ok(made < 1000, `${made} lines were made`);
  const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error("disk full")) });
  await assert.rejects(printer(broken)(["line"]), /disk full/);
});

test("progress bar: drawn on a terminal only, ten times a second at most, erased at the end", async () => {
  const drawn = async (isTerminal: boolean): Promise<string> => {
    const [output, errors] = [new PassThrough(), new PassThrough()];
    let text = "";
    errors.on("data", (chunk) => text += chunk);
    const about = { isTerminal, columns: 60 };
    const draw = terminal({}, { ...about, stream: output }, { ...about, stream: errors }).draw("checking");
    for (let bytes = 1; bytes < 100; bytes++) draw(progressAt(bytes, 100, 1));
    draw();
    await new Promise((resolve) => setTimeout(resolve));
    return text;
  };
  assert.equal(await drawn(false), "");
  const line = "checking [-----------------] 1 B of 100 B  1 B/s  99 s left";
  assert.equal(await drawn(true), `\r${line}\x1b[K\r\x1b[K`);
});

test("colours: only on a terminal, and not with NO_COLOR or TERM=dumb", async () => {
  const ls = async (isTerminal: boolean, environment: Readonly<Record<string, string>>): Promise<string> => {
    const stream = new PassThrough();
    let text = "";
    stream.on("data", (chunk) => text += chunk);
    const output = { stream, isTerminal, columns: 80 };
    assert.equal(await runCommand(["ls", "--verify", run], terminal(environment, output)), 0);
    await new Promise((resolve) => setTimeout(resolve));
    return text;
  };
  const plain = await ls(false, {});
  assert.ok(!plain.includes("\x1b"));
  assert.equal((await ls(true, {})).split("\x1b[32mverified\x1b[39m\n").length, 4);
  for (const environment of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
    assert.ok(!(await ls(true, environment)).includes("\x1b"));
  }
});

const entry = fileURLToPath(new URL("../../lib/cli/main.ts", import.meta.url));
const command: readonly string[] = isBun ? [bun(), entry] : [deno(), "run", "-A", "--no-check", entry];

/** A run of many checkpoints, all of them links to the first. */
async function many(count: number): Promise<string> {
  const path = place();
  const state = { w: Float32Array.of(1), step: 0 };
  const { location } = await runOrThrow(saveState(directory(path), { metrics: { loss: 0.5 } })(state));
  for (let n = 1; n < count; n++) symlinkSync(location, inside(path, n), "junction");
  return path;
}

/** Runs a shell line in the folder of the run, with `dogear` as the command line in this runtime. */
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

needs("a POSIX shell")("process: lists 3,000 checkpoints, and a closed pipe is no error", async () => {
  const path = await many(3000);
  const { out, err } = shell(`{ dogear ls '${path}'; echo "ended $?" >&2; } | head -n 1`);
  assert.match(out, /^checkpoint +age +time +step .*verdict\n$/);
  assert.equal(err.trim(), "ended 0");
  const { runs: [{ checkpoints }] } = JSON.parse(shell(`dogear ls --json '${path}'`).out);
  assert.deepEqual(checkpoints.map(({ checkpoint }: { checkpoint: number }) => 2999 - checkpoint), [
    ...Array(3000).keys(),
  ]);
});

needs("a POSIX shell")("process: exit codes, and errors on standard error only", async () => {
  const path = await copied();
  await flip(inside(path, 1, "model.safetensors"));
  const { out, err } = shell(
    `dogear verify '${path}' >/dev/null; echo $?; dogear diff @0 @0 >/dev/null; echo $?; dogear diff @0 @1 >/dev/null; echo $?; dogear nope; echo $?; ` +
      "dogear ls > /dev/full; echo $?",
  );
  assert.deepEqual(out.trim().split("\n").slice(0, 4), ["1", "0", "1", "2"]);
  if (has("/dev/full")) assert.equal(out.trim().split("\n")[4], "2");
  assert.match(err, /Checkpoint 1 is damaged[^]*found "nope"/);
  assert.ok(!/\n\s+at /.test(err), err);
});
