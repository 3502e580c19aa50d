/**
 * How scripts end with `runMain`: in processes of their own, by what they write and by their exit codes.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { directory, Loader, loadState, memory, runMain, saveState } from "../../mod.ts";
import * as TE from "fp-ts/lib/TaskEither.js";
import process from "node:process";
import { bun, deno } from "../gate/runtimes.ts";
import { here, start } from "../support/children.ts";
import { needs } from "../support/portable.ts";

const folder = mkdtempSync(join(tmpdir(), "dogear-main-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The user's line in `main.ts`, in a stack; a fp-ts function and the step may be between. */
const own = /^ {4}at myOwnLine \(.*tests\/programs\/main\.ts:\d+:\d+\)$/m;
const because = /^Caused by Error: \\x1b\[31mwhy$/m;

/** What each script writes: its first line whole, and what its stack shows. */
const endings: Readonly<Record<string, readonly [code: number, text: string, ...stack: readonly RegExp[]]>> = {
  right: [0, ""],
  empty: [
    1,
    "memory holds no checkpoint. Save one first, or use resume, which begins with what you pass if the store is empty",
  ],
  step: [
    1,
    "The training step failed after 0 batches: RangeError: mine. The last checkpoint is intact. Fix the step and run again: it continues from there",
    own,
    because,
  ],
  data: [
    1,
    "The data failed in epoch 0 after 0 samples: RangeError: mine. The last checkpoint is intact: fix the source and run again",
    own,
    because,
  ],
  exception: [1, "RangeError: mine", own, because],
  left: [1, "RangeError: mine", own, because],
  awaited: [
    1,
    "memory holds no checkpoint. Save one first, or use resume, which begins with what you pass if the store is empty",
  ],
  mistake: [
    1,
    'TypeError: Expected the store to be a store such as directory("runs/digits"), found "runs/x": ' +
    'write saveState(directory("runs/x"))(components)',
    /^ {4}at .*tests\/programs\/main\.ts:\d+:\d+\)?$/m,
  ],
  argument: [
    1,
    "TypeError: Expected a task such as saveState(store)(state), found something else",
    /^ {4}at .*tests\/programs\/main\.ts:\d+:\d+\)?$/m,
  ],
  foreign: [1, "The script failed with { _tag: 'HttpError', status: 500, headers: { 'a\\x07': [ 'b' ] } }"],
  message: [1, "HttpError: gone\\u202e\nfor good"],
  text: [1, "no luck"],
  nothing: [1, "The script failed with undefined"],
  hostile: [1, "The script failed with a value that cannot be shown"],
  main: [0, ""],
  value: [0, ""],
  mainEmpty: [
    1,
    "memory holds no checkpoint. Save one first, or use resume, which begins with what you pass if the store is empty",
  ],
  mainThrows: [1, "RangeError: mine", own, because],
  mainLeft: [
    1,
    "memory holds no checkpoint. Save one first, or use resume, which begins with what you pass if the store is empty",
  ],
  forgotten: [
    1,
    "TypeError: Expected a task such as saveState(store)(state), found a function that gives another function: nothing was done",
    /^ {4}at .*tests\/programs\/main\.ts:\d+:\d+\)?$/m,
  ],
  notAwaited: [
    1,
    "TypeError: Expected a task such as saveState(store)(state), found something else",
    /^ {4}at .*tests\/programs\/main\.ts:\d+:\d+\)?$/m,
  ],
  alike: [1, "The script failed with { _tag: 'Damaged' }"],
};

test("runMain: one sentence, the user's own lines and no others, the exit code", async () => {
  const { code, errors } = await start(here, "main.ts", ["all"]).ended;
  assert.equal(code, 1, errors);
  const found = errors.split(/^== /m).slice(1).map((part) => /^(\w+)\n([^]*)-> (\d)\n$/.exec(part)!);
  assert.deepEqual(found.map(([, name]) => name), Object.keys(endings));
  for (const [, name = "", written = "", code] of found) {
    const [expected, text, ...stack] = endings[name]!;
    assert.equal(Number(code), expected, name);
    const lines = written.split("\n");
    const count = text.split("\n").length;
    assert.equal(lines.slice(0, count).join("\n"), text, name);
    stack.forEach((line) => assert.match(written, line, name));
    if (stack.length === 0) assert.equal(written, text === "" ? "" : `${text}\n`, name);
    assert.doesNotMatch(written, /\/lib\/(run|loader|errors|task)|node:internal|ext:/, name);
  }
});

test("runMain: the exit code is the process's, and stays as it is after a success", async () => {
  const [right, timer] = [start(here, "main.ts", ["right"]), start(here, "main.ts", ["timer"])];
  const { code, errors } = await right.ended;
  assert.deepEqual([code, errors], [3, ""]);
  const ended = await timer.ended;
  assert.deepEqual([ended.code, ended.lines, ended.errors], [1, ["resolved with 1"], "no luck\n"]);
});

needs("bash")("runMain: a closed standard error changes nothing else", () => {
  const program = fileURLToPath(new URL("../programs/main.ts", import.meta.url));
  const [file, ...flags] = here === "bun" ? [bun()] : [deno(), "run", "--allow-all", "--no-check"];
  for (const closed of ["2>&-", "2> >(exec 0<&-)"]) {
    const { status, stdout, error } = spawnSync(
      "bash",
      ["-c", `"$@" ${closed}`, "bash", file!, ...flags, program, "timer"],
      { encoding: "utf8", timeout: 60_000 },
    );
    assert.deepEqual([status, stdout, error], [1, "resolved with 1\n", undefined], closed);
  }
});

needs("POSIX signals")(
  "runMain: 75 if a signal stopped the training and it was saved, 1 if nothing was saved; the run is resumable",
  async () => {
    const path = join(folder, "stopped");
    const stopped = async (name: string, path: string): Promise<readonly unknown[]> => {
      const child = start(here, "main.ts", [name, path], { onLine: () => child.kill("SIGTERM") });
      const { code, signal, errors, lines } = await child.ended;
      assert.deepEqual(lines, ["begun"]);
      return [code, signal, errors];
    };
    const [saved, unsaved, main] = await Promise.all([
      stopped("stopped", path),
      stopped("unsaved", path),
      stopped("mainStopped", `${path}-main`),
    ]);
    for (const [code, signal, errors] of [saved, main]) {
      assert.deepEqual([code, signal], [75, null]);
      assert.match(
        String(errors),
        /^Training was stopped by SIGTERM and saved as checkpoint \d: run it again to continue\n$/,
      );
    }
    assert.deepEqual(unsaved, [1, null, "Training was stopped by SIGTERM, and nothing was saved\n"]);
    const { sum } = await loadState(directory(path))({ cursor: Loader.start(Loader.fromArray([1, 2, 3])), sum: 0 });
    assert.ok(sum > 0);
  },
);

test("runMain: it resolves whatever happens, and nothing runs before", async () => {
  const store = memory();
  await runMain(saveState(store)({ step: 1 }));
  assert.deepEqual(await loadState(store)({ step: 0 }), { step: 1 });
  assert.ok(!process.exitCode);
  let ran = 0;
  await runMain(() => {
    ran++;
    return TE.right(1)();
  });
  assert.equal(ran, 1);
});
