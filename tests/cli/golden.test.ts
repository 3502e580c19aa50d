/**
 * Every word that the command line prints, at 60, 80 and 120 columns: the help texts, and a session with good calls and usual mistakes.
 *
 * The texts are in `golden/`. `DOGEAR_GOLDEN=write bun run test --only bun cli/golden` writes them anew; `git diff` then shows what changed.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import process from "node:process";
import { PassThrough } from "node:stream";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { commands, runCommand } from "../../lib/cli/run_command.ts";
import { type OpenUrl, openUrl } from "../../lib/cli/stores.ts";
import { terminal } from "../../lib/cli/terminal.ts";
import { widthOf } from "../../lib/cli/text_width.ts";
import { bucketStore } from "../support/command_line.ts";
import { goldenRuns, goldenTime } from "../support/golden_runs.ts";
import { needs } from "../support/portable.ts";

const widths = [60, 80, 120] as const;
const isWritten = process.env["DOGEAR_GOLDEN"] === "write";

// --- running

/** What a command line in a terminal of this width writes, as a session shows it. */
async function shown(line: string, columns: number, open: OpenUrl): Promise<string> {
  const [output, errors] = [new PassThrough(), new PassThrough()];
  const [texts, said]: [string[], string[]] = [[], []];
  output.on("data", (chunk) => texts.push(String(chunk)));
  errors.on("data", (chunk) => said.push(String(chunk)));
  const about = { isTerminal: true, columns };
  const words = line.split(" ").slice(1);
  const out = terminal({ NO_COLOR: "1" }, { ...about, stream: output }, { ...about, stream: errors });
  const code = await runCommand(words, out, open);
  await new Promise((resolve) => setTimeout(resolve));
  // Progress bars have rates in them.
  const pieces = said.join("").split("\x1b[K");
  const messages = pieces.map((piece, i) => i === pieces.length - 1 ? piece : piece.slice(0, piece.indexOf("\r"))).join(
    "",
  );
  return `$ ${line}\n${texts.join("")}${messages === "" ? "" : `[standard error]\n${messages}`}[exit code ${code}]\n`;
}

/** Compares a text with the one in its file, or writes that. No line may be wider than the terminal, unless it is one word or JSON. */
function compare(name: string, width: number, text: string): void {
  const path = fileURLToPath(new URL(`./golden/${name}_${width}.txt`, import.meta.url));
  if (isWritten) writeFileSync(path, text);
  assert.ok(existsSync(path), `${path} is missing: write it with DOGEAR_GOLDEN=write`);
  const [found, expected] = [text.split("\n"), readFileSync(path, "utf8").split("\n")];
  const at = [...found, undefined].findIndex((line, i) => line !== expected[i]);
  const lines = `from line ${at + 1}: expected ${JSON.stringify(expected[at])}, found ${JSON.stringify(found[at])}`;
  assert.ok(
    text === expected.join("\n"),
    `${path} differs ${lines}: look at it, and write it with DOGEAR_GOLDEN=write`,
  );
  const wide = text.split("\n").filter((line) => widthOf(line) > width && /\S\s+\S/.test(line) && !/^[{$]/.test(line));
  assert.deepEqual(wide, [], `lines wider than ${width}`);
}

// --- the help

for (const width of widths) {
  test(`golden: every help text in ${width} columns`, async () => {
    const lines = ["dogear", "dogear --help", ...commands.map(({ name }) => `dogear ${name} --help`)];
    const texts: string[] = [];
    for (const line of lines) texts.push(await shown(line, width, openUrl));
    compare("help", width, texts.join("\n"));
  });
}

// --- the session

const session = [
  "dogear ls runs/digits",
  "dogear ls runs",
  "dogear ls runs/digits --sort loss:asc --metric loss",
  "dogear ls runs/digits --sort los",
  "dogear ls nowhere",
  "dogear ls runs/digits/train.jsonl",
  "dogear ls https://bucket/digits",
  "dogear list runs/digits",
  "dogear ls runs/digits --veriffy",
  "dogear ls runs/digits --out weights",
  "dogear --verify ls runs/digits",
  "dogear ls runs/東京 --verify",
  "dogear plot runs/digits loss --height 6",
  "dogear plot runs/digits los",
  "dogear plot runs/digits",
  "dogear plot runs/digits loss --from",
  "dogear plot runs/digits loss --from 1000",
  "dogear inspect runs/digits",
  "dogear inspect runs/digits model",
  "dogear inspect runs/digits model/hidden",
  "dogear inspect runs/digits@1 model/hidden/kernel",
  "dogear inspect runs/digits modle",
  "dogear inspect runs/digits 1",
  "dogear inspect runs/digits@7",
  "dogear inspect runs/digits@best:los:min",
  "dogear inspect runs/digits@newest",
  "dogear inspect runs/digits/checkpoints/checkpoint_1",
  "dogear verify runs/digits runs/fork",
  "dogear verify runs/東京",
  "dogear verify runs/digits@1 --expect 12",
  "dogear diff runs/digits@0 @2",
  "dogear diff runs/digits@2 @2",
  "dogear diff runs/digits",
  "dogear prune runs/digits --latest 1 --best 1:loss:max",
  "dogear prune runs/digits",
  "dogear prune runs/digits --latest -1",
  "dogear prune runs/digits --latest 1 --latest 2",
  "dogear export runs/digits --out weights",
  "dogear export runs/digits --out weights",
  "dogear export runs/digits",
  "dogear export runs/digits@1 --tensorboard logs",
  "dogear export runs/fork --tensorboard logs --force",
  "dogear export runs --tensorboard other",
  "dogear export runs/digits --out other --component modle",
  "dogear cp runs/digits copies/digits",
  "dogear cp runs/digits copies/digits",
  "dogear cp runs/digits s3://bucket/digits",
  "dogear cp runs/digits",
  "dogear cp runs copies/all",
  "dogear prune copies/digits --latest 1 --yes",
  "dogear prune runs/digits --best 1:los:min",
  "dogear prune copies/digits --orphans",
  "dogear prune copies/digits@2 --latest 1",
  "dogear index reviews.jsonl",
  "dogear index missing.jsonl",
  "dogear serve runs/digits --export missing/page.html",
  "dogear serve runs/digits --log reviews.jsonl --export page.html",
  "dogear serve runs/digits --port -1",
  "dogear serve runs/digits --export",
  "dogear completion bsh",
  "dogear completion",
  "dogear help prnue",
  "dogear --json inspect runs/digits@7",
];

/** A folder whose path has the same length each time. */
const made: string[] = [];
async function newFolder(): Promise<string> {
  const folder = await mkdtemp("/tmp/dogear-golden-");
  made.push(folder);
  return folder;
}
after(() => Promise.all(made.map((folder) => rm(folder, { recursive: true, force: true }))));

/** Runs the session in a folder, an hour after the runs were begun, in the time zone of Greenwich. */
async function sessionIn(folder: string, width: number): Promise<string> {
  const [here, zone, now] = [process.cwd(), process.env["TZ"], Date.now];
  process.chdir(folder);
  process.env["TZ"] = "UTC";
  Date.now = () => goldenTime + 3_600_000;
  try {
    const texts: string[] = [];
    const open: OpenUrl = (url) =>
      Promise.resolve(bucketStore(url.replace("s3://bucket/", `s3://bucket/golden${width}/`)));
    for (const line of session) texts.push(await shown(line, width, open));
    assert.equal(process.cwd(), folder, "another test has changed the working directory meanwhile");
    return texts.join("\n").replaceAll(folder, folder.replace(/-[^-]+$/, "-folder"));
  } finally {
    Date.now = now;
    process.chdir(here);
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  }
}

let runs: Promise<string> | undefined;

for (const width of widths) {
  // Paths elsewhere are of other lengths.
  needs("/proc")(`golden: a session in ${width} columns`, async () => {
    runs ??= newFolder().then(async (folder) => {
      await goldenRuns(folder);
      return folder;
    });
    const folder = await newFolder();
    await cp(await runs, folder, { recursive: true });
    const text = await sessionIn(folder, width);
    compare("session", width, text);
    // No message names an option of a script.
    assert.doesNotMatch(text, /\{ \w/);
  });
}

test("golden: the session has every command", () => {
  const missing = commands.filter(({ name }) => !session.some((line) => line.startsWith(`dogear ${name} `)));
  assert.deepEqual(missing.map(({ name }) => name), []);
});
