/**
 * Completion, in the shells themselves.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { commands } from "../../lib/cli/run_command.ts";
import { dogear, json, place } from "../support/command_line.ts";
import { needs } from "../support/portable.ts";

const folder = place();
for (const name of ["runs/digits", "runs/odd [a] name", "logs"]) mkdirSync(join(folder, name), { recursive: true });
for (const name of ["train.jsonl", "it's $HOME.txt"]) writeFileSync(join(folder, name), "");

/** What a shell prints for a script that is fed to it, in the folder. */
function printed(shell: string, args: readonly string[], input: string): readonly string[] {
  const { stdout, stderr, status } = spawnSync(shell, [...args], { cwd: folder, encoding: "utf8", input });
  assert.deepEqual([status, stderr], [0, ""], stderr);
  return stdout.split("\n").filter((line) => line !== "").sort();
}

async function script(shell: string): Promise<string> {
  const path = join(folder, "..", `completion.${shell}`);
  writeFileSync(path, `${(await dogear("completion", shell)).text}\n`);
  return path;
}

const names = commands.map(({ name }) => name);
const all = [...names, "help", "--help", "--version"].sort();
const ofServe = ["--port", "--log", "--export", "--force", "--json", "--help"].sort();

/** Words of a command line up to the cursor, and what completes the last. */
const cases: readonly (readonly [words: readonly string[], expected: readonly string[]])[] = [
  [[""], all],
  [["pl"], ["plot"]],
  [["--v"], ["--version"]],
  [["help", "in"], ["index", "inspect"]],
  [["--json", "ve"], ["verify"]],
  [["serve", "--"], ofServe],
  [["serve", "runs", "--ex"], ["--export"]],
  [["completion", ""], ["bash", "fish", "zsh"]],
  [["ls", "ru"], ["runs"]],
  [["ls", "runs/"], ["runs/digits", "runs/odd [a] name"]],
  [["ls", "train"], []],
  [["serve", "--log", "tr"], ["train.jsonl"]],
  [["serve", "--port", ""], []],
  [["export", "runs", "--out", "lo"], ["logs"]],
  [["export", "--tensorboard", "tr"], []],
  [["index", "it"], ["it's $HOME.txt"]],
  [["nope", ""], []],
];

needs("bash")("completion: bash completes commands, options, files and folders", async () => {
  const path = await script("bash");
  const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
  const asked = (words: readonly string[]): readonly string[] =>
    printed(
      "bash",
      ["--norc"],
      `source '${path}'; COMP_WORDS=(dogear ${
        words.map(quoted).join(" ")
      }); COMP_CWORD=${words.length}; _dogear; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
  for (const [words, expected] of cases) assert.deepEqual(asked(words), expected, words.join(" "));
  // As bash splits words.
  assert.deepEqual(asked(["serve", "--log", "=", "tr"]), ["train.jsonl"]);
  assert.deepEqual(asked(["serve", "--port", "="]), []);
  assert.deepEqual(asked(["ls", "runs", "@"]), []);
});

needs("fish")("completion: fish completes commands, options, files and folders", async () => {
  const path = await script("fish");
  for (const [words, expected] of cases) {
    const line = ["dogear", ...words].join(" ").replaceAll("'", "\\'");
    const found = printed(
      "fish",
      ["--no-config"],
      `source '${path}'; complete -C '${line.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`,
    );
    assert.deepEqual(found.map((one) => one.split("\t")[0]!.replace(/\/$/, "")), expected, line);
  }
});

needs("zsh")("completion: zsh loads the script, as a line of .zshrc and as a file of $fpath", async () => {
  const path = await script("zsh");
  const loaded = printed(
    "zsh",
    ["-f"],
    `autoload -Uz compinit; compinit -u -D; source '${path}'; print $_comps[dogear]; functions _dogear | wc -l`,
  );
  assert.deepEqual(loaded.at(-1), "_dogear");
  assert.ok(Number(loaded[0]) > names.length);
});

test("completion: every command and option is in each script; other shells are refused", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, text } = await dogear("completion", shell);
    assert.equal(code, 0);
    for (const { name, options } of commands) {
      for (const word of [name, ...Object.keys(options)]) assert.ok(text.includes(word), `${shell}: ${word}`);
    }
    assert.deepEqual((await json("completion", shell)).value, { shell, script: `${text}\n` });
  }
  const { code, said } = await dogear("completion", "bsh");
  assert.deepEqual([code, said.split("\n")[0]], [
    2,
    'Expected a shell: bash, zsh, fish, found "bsh". Did you mean bash?',
  ]);
  assert.match((await dogear("completion")).said, /^Expected a shell: bash, zsh, fish, found none\n/);
});
