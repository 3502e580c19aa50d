/**
 * Whatever not every system has is named: a test that uses it says so by `needs` or `has` of `tests/support/portable.ts`, so that the rest of
 * the suite runs everywhere.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./runtimes.ts";

// --- what is not portable

const uses: readonly RegExp[] = [
  /\/proc\//,
  /\/dev\/(full|fuse|shm|fd)\b/,
  /process\.kill\(\s*-/,
  /process\.sete?[ug]id/,
  /\b[lf]?chmod(Sync)?\(/,
  // Windows asks for a privilege, but not for a junction.
  /\bsymlink(Sync)?\((?![^;]*"junction"\))/,
  /["'`](sh|bash|mkfifo|u?mount|unshare|nsenter|losetup|chown|chattr)["'`]/,
  /["'`\s](sh|bash) -c\b/,
  /["'`](u?mount|unshare|mkfifo) -/,
  /["']SIG(STOP|CONT|USR1|USR2|HUP|QUIT)["']/,
  // A test that ends at once passes, and nobody learns that it tried nothing. Skipped here, its name does not say why.
  /if \(process\.platform [^)]*\) return;/,
  /\bskip: *process\.platform/,
];

/** A text in which the comments are empty lines. */
function code(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ""));
}

/** The lines of a file that use something without a mark. */
function unmarked(file: string, text: string): readonly string[] {
  if (/^import [^;]*\b(has|needs|skippedIf)\b[^;]*\/portable\.ts";$/m.test(text)) return [];
  const plain = code(text);
  const lines = plain.split("\n");
  return uses.flatMap((use) => [...plain.matchAll(new RegExp(use, "g"))]).map(({ index, 0: found }) => {
    // A match of several lines is said to be at its last one.
    const line = plain.slice(0, index + found.length).split("\n").length;
    return `${file}:${line}: ${lines[line - 1]?.trim()}`;
  });
}

// --- the law

/** Files without a mark: this one and the table itself, and programs whose code is only checked for its types. */
const exempt = /^(gate\/portable\.bun\.test|support\/portable|types\/.*)\.ts$/;

test("portable: what not every system has is used only where it is named", () => {
  const files = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".ts") && !exempt.test(name));
  const faults = files.flatMap((name) => unmarked(`tests/${name}`, readFileSync(join(root, "tests", name), "utf8")));
  assert.ok(
    faults.length === 0,
    `Expected needs("…")("title", …) or has("…") of tests/support/portable.ts, found:\n${faults.join("\n")}`,
  );
});

test("portable: each use is found, and with its line", () => {
  const found = [
    'readdir("/proc/self/fd")',
    "process.kill(\n  -group)",
    "chmodSync(path, 0o555)",
    "await symlink(from, to);",
    'spawnSync("mkfifo", [path])',
    'spawnSync("mount", ["-t", "tmpfs"])',
    'spawnSync("umount", ["-l", path])',
    'spawnSync("unshare", args)',
    'execSync("sh -c true")',
    'spawnSync("sh", ["-c", "true"])',
    'spawnSync("bash", [])',
    'child.kill("SIGSTOP")',
    'if (process.platform !== "linux") return;',
    'test("title", { skip: process.platform === "win32" }, () => {});',
  ];
  for (const line of found) {
    assert.match(unmarked("a.ts", `const a = 1;\n${line}\n`)[0] ?? "", /^a\.ts:[23]: \S/, line);
    const marked = `import { needs } from "../support/portable.ts";\n${line}`;
    assert.deepEqual(unmarked("a.ts", marked), [], line);
  }
  const portable = [
    '// readdir("/proc/self/fd")',
    "/** A mount.\n * `chmod(path)` */",
    'symlinkSync(\n  from,\n  to,\n  "junction");',
    'symlink(from, join(to, "a"), "junction");',
    'const mount = "/dev/sda1";',
    'child.kill("SIGKILL")',
    'import { symlink } from "node:fs/promises";',
  ];
  for (const text of portable) assert.deepEqual(unmarked("a.ts", text), [], text);
});
