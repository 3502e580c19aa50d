/**
 * What the compilers say about mistakes. Both check `mistakes_*.ts` with each `@ts-expect-error` taken out; its text must be in the first
 * message for the line below it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { deno, root } from "../gate/runtimes.ts";

// --- types

interface Shown {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

interface Expected extends Shown {
  readonly code: string;
}

// --- the mistakes

mkdirSync(join(root, ".tmp"), { recursive: true });
const folder = mkdtempSync(join(root, ".tmp", "mistakes-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const source = join(root, "tests", "types");
const files = readdirSync(source).filter((name) => name.startsWith("mistakes_"));
const expected: readonly Expected[] = files.flatMap((file) => {
  const lines = readFileSync(join(source, file), "utf8").split("\n");
  writeFileSync(join(folder, file), lines.map((line) => line.replace("@ts-expect-error", "here")).join("\n"));
  return lines.flatMap((line, i) => {
    const message = /^ *\/\/ @ts-expect-error: (.*)/.exec(line)?.[1];
    return message === undefined ? [] : [{ file, line: i + 2, message, code: lines[i + 1]?.trim() ?? "" }];
  });
});

/** The first message for each line, as one line of text. */
function firstOfEach(shown: readonly Shown[]): ReadonlyMap<string, string> {
  const first = shown.toReversed().map(({ file, line, message }) => [`${file}:${line}`, message] as const);
  return new Map(first.map(([at, message]) => [at, message.replaceAll(/\s+/g, " ")]));
}

// --- the compilers

function run(program: string, ...args: readonly string[]): string {
  const env = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
  const { stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: "utf8", env });
  return stdout + stderr;
}

function inTsc(): readonly Shown[] {
  const compilerOptions = { declaration: false, isolatedDeclarations: false };
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions, include: ["*.ts"] }),
  );
  const output = run(process.execPath, join(root, "node_modules", "typescript", "bin", "tsc"), "-p", ".");
  return [...output.matchAll(/^([\w.]+)\((\d+),\d+\): error TS\d+: (.*(?:\n {2}.*)*)/gm)]
    .map(([, file = "", line, message = ""]) => ({ file, line: Number(line), message }));
}

function inDeno(): readonly Shown[] {
  const output = run(deno(), "check", ...files);
  return [...output.matchAll(/^TS\d+ \[ERROR\]: ([\s\S]*?)^ *at file:\/\/.*\/([\w.]+):(\d+):\d+/gm)]
    .map(([, message = "", file = "", line]) => ({ file, line: Number(line), message }));
}

for (const [compiler, check] of [["tsc", inTsc], ["Deno", inDeno]] as const) {
  test(`mistakes: in ${compiler} the first message names what is wrong, and nothing else is an error`, () => {
    const shown = firstOfEach(check());
    const wrong = expected.flatMap(({ file, line, message, code }) => {
      const found = shown.get(`${file}:${line}`) ?? "no error";
      return found.includes(message) ? [] : [`${file}:${line} ${code}\n    expected ${message}\n    found ${found}`];
    });
    const lines = new Set(expected.map(({ file, line }) => `${file}:${line}`));
    const others = [...shown].filter(([at]) => !lines.has(at)).map(([at, message]) => `${at} ${message}`);
    assert.deepEqual([...wrong, ...others], []);
  });
}
