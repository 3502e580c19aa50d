/**
 * The test suite: every `*.test.ts` under `tests/` in Bun and in Deno, each file in a process of its own, as many at once as
 * there are cores. `*.bun.test.ts` runs in Bun alone: what it tests does not depend on the runtime.
 *
 * ```sh
 * bun run test                  # everything
 * bun run test rng loader       # the files whose names contain one of these
 * bun run test --only deno      # in one runtime
 * DOGEAR_TORTURE=10 bun run test
 * ```
 *
 * The longest files start first, so that no core is without work at the end.
 *
 * Tests are counted from the reports the runners write, not from what they print. A file whose runner fails, hangs or
 * reports no test counts as a failed test. The tests that were skipped are listed by name. The last line is `N passed, N failed`.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { bun, deno, root } from "./gate/runtimes.ts";
import { has } from "./support/portable.ts";
import { endpointVariable, type S3Server, startS3Server, usesS3Server } from "./support/s3_server.ts";

// --- types

type Runtime = "bun" | "deno";

interface Job {
  readonly runtime: Runtime;
  readonly file: string;
}

interface Count {
  readonly passed: number;
  readonly failed: number;
  /** The names of the tests that were left out. */
  readonly skipped: readonly string[];
}

interface Outcome extends Count {
  readonly seconds: number;
  /** What the runner did wrong beyond the tests it reported. */
  readonly trouble?: string;
  readonly output: string;
}

// --- what to run

/** The files that take longest, by their names, longest first. One that is missing here only starts later. */
const longest: readonly string[] = [
  "laws/old_or_new_mounts",
  "laws/same_bits_processes",
  "laws/same_bits.test",
  "laws/same_bits_killed_programs",
  "laws/old_or_new_crash_states",
  "laws/same_bits_networks",
  "laws/old_or_new_object_store",
  "runtimes/s3_node",
  "laws/old_or_new_killed_server",
  "prove/prove",
  "runtimes/package",
  "laws/old_or_new_runs",
  "laws/accelerate",
  "store/directory/directory",
  "tfjs/model",
  "fit/fit",
];

/** The place of a file in the order of starts. */
function placeOf(file: string): number {
  const place = longest.findIndex((name) => file.startsWith(name));
  return place === -1 ? longest.length : place;
}

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    /** `bun` or `deno`: run in this one alone. */
    only: { type: "string" },
    /** How many files at once. */
    jobs: { type: "string", default: String(Math.min(4, availableParallelism())) },
    /** Seconds after which a file is taken to hang. */
    timeout: { type: "string", default: "600" },
  },
});
const timeout = Number(options.timeout) * 1000;

const files = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".test.ts"))
  .filter((name) => filters.length === 0 || filters.some((part) => name.includes(part)))
  .sort()
  .sort((a, b) => placeOf(a) - placeOf(b));
const jobs: readonly Job[] = files.flatMap((file) =>
  (file.endsWith(".bun.test.ts") ? ["bun"] as const : ["bun", "deno"] as const)
    .filter((runtime) => options.only === undefined || options.only === runtime)
    .map((runtime) => ({ runtime, file }))
);

// --- the object store

let server: Promise<S3Server> | undefined;

/** The variable with the object store that the files of a run share, started for the first of them; nothing for other files. */
async function s3EndpointFor(file: string): Promise<Readonly<Record<string, string>>> {
  const given = process.env[endpointVariable] !== undefined;
  if (given || !usesS3Server(readFileSync(join(root, "tests", file), "utf8")) || !has("S3 server")) return {};
  try {
    return { [endpointVariable]: (await (server ??= startS3Server())).endpoint };
  } catch (error) {
    // Each file starts its own then, or says why it cannot.
    console.log(`Cannot start the object store: ${error}`);
    return {};
  }
}

// --- running one file

const scratch = mkdtempSync(join(tmpdir(), "dogear-tests-"));
const running = new Set<number>();

function stopAll(): void {
  for (const group of running) kill(group);
  rmSync(scratch, { recursive: true, force: true });
}

/** Ends a test process and whatever it started: each leads a process group of its own. On Windows, ends the process alone. */
function kill(group: number): void {
  try {
    process.kill(has("process groups") ? -group : group, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

function command({ runtime, file }: Job, report: string): readonly [string, ...string[]] {
  const path = `./tests/${file}`;
  return runtime === "bun"
    ? [bun(), "test", path, `--timeout=${timeout}`, "--reporter=junit", `--reporter-outfile=${report}`]
    : [deno(), "test", "-A", "--no-check", `--junit-path=${report}`, path];
}

/** Counts the cases of a JUnit report; a case that only groups others, as Deno lists them too, is not counted. */
function count(xml: string): Count {
  const cases = [...xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)];
  const groups = new Set(cases.flatMap(([, name = ""]) => {
    const parts = name.split(" &gt; ");
    return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join(" &gt; "));
  }));
  const leaves = cases.filter(([, name = ""]) => !groups.has(name));
  const failed = leaves.filter(([, , body = ""]) => /<(failure|error)\b/.test(body)).length;
  const skipped = leaves.filter(([, , body = ""]) => /<skipped\b/.test(body)).map(([, name = ""]) => unescaped(name));
  return { passed: leaves.length - failed - skipped.length, failed, skipped };
}

/** The text of an attribute of XML. */
function unescaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replace(/&(\w+);/g, (entity, name) => entities[name] ?? entity);
}

/** Variables of every test process. */
const settings = { DOGEAR_BUN: bun(), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };

/**
 * Runs a file. In about one of fifty runs, a Deno process that has used WebGPU through Mesa's lavapipe aborts while it ends, after its tests have
 * passed and are reported. Such a file is run once more, and has to end well then.
 */
async function run(job: Job): Promise<Outcome> {
  const first = await attempt(job);
  const usesWebGPU = /webgpu/i.test(readFileSync(join(root, "tests", job.file), "utf8"));
  const isAborted = job.runtime === "deno" && usesWebGPU && first.passed > 0 && first.failed === 0 &&
    /SIGABRT|SIGSEGV/.test(first.trouble ?? "");
  if (isAborted) console.log(`deno  ${job.file} passed, and aborted while it ended: it is run once more`);
  const outcome = isAborted ? await attempt(job) : first;
  return outcome.trouble === undefined ? outcome : { ...outcome, failed: Math.max(1, outcome.failed) };
}

async function attempt(job: Job): Promise<Outcome> {
  const name = `${job.file.replaceAll("/", ".")}.${job.runtime}`;
  const [report, log] = [join(scratch, `${name}.xml`), join(scratch, `${name}.log`)];
  const [program, ...args] = command(job, report);
  const endpoint = await s3EndpointFor(job.file);
  const started = performance.now();
  // To a file, not a pipe: a process the test left behind could hold a pipe open.
  const output = openSync(log, "w");
  const ended = await new Promise<string | undefined>((resolve) => {
    const child = spawn(program, args, {
      cwd: root,
      detached: has("process groups"),
      stdio: ["ignore", output, output],
      env: { ...process.env, ...endpoint, ...settings },
    });
    const group = child.pid;
    if (group !== undefined) running.add(group);
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      if (group !== undefined) kill(group);
    }, timeout);
    const settle = (trouble: string | undefined): void => {
      clearTimeout(timer);
      if (group !== undefined) {
        kill(group);
        running.delete(group);
      }
      resolve(trouble);
    };
    child.once("error", (error) => settle(`Cannot start ${program}: ${error.message}`));
    child.once("exit", (code, signal) => {
      if (hung) settle(`hung: killed after ${options.timeout} s`);
      else settle(code === 0 ? undefined : `the runner ended with ${signal ?? `code ${code}`}`);
    });
  });
  closeSync(output);
  const seconds = (performance.now() - started) / 1000;
  const found = existsSync(report) ? count(readFileSync(report, "utf8")) : { passed: 0, failed: 0, skipped: [] };
  const none = found.passed + found.failed + found.skipped.length === 0;
  const trouble = ended ?? (none ? "the runner reported no test" : undefined);
  return {
    ...found,
    seconds,
    output: readFileSync(log, "utf8"),
    ...(trouble === undefined ? {} : { trouble }),
  };
}

// --- running them all

function line({ runtime, file }: Job, { passed, failed, skipped, seconds }: Outcome): string {
  const counts = [`${passed} passed`];
  if (failed > 0) counts.push(`${failed} failed`);
  if (skipped.length > 0) counts.push(`${skipped.length} skipped`);
  return `${runtime.padEnd(5)} ${file.padEnd(44)} ${counts.join(", ").padEnd(28)} ${seconds.toFixed(1).padStart(6)} s`;
}

async function main(): Promise<number> {
  if (jobs.length === 0) {
    const asked = [...filters, ...(options.only === undefined ? [] : [`--only ${options.only}`])].join(" ");
    console.log(
      `Expected a test file for "${asked}", found none: see the *.test.ts under tests/, --only bun or --only deno`,
    );
    console.log("0 passed, 1 failed");
    return 1;
  }
  const total = { passed: 0, failed: 0 };
  const [failures, leftOut]: [string[], string[]] = [[], []];
  const queue = jobs.values();
  const worker = async (): Promise<void> => {
    for (const job of queue) {
      const outcome = await run(job);
      total.passed += outcome.passed;
      total.failed += outcome.failed;
      leftOut.push(...outcome.skipped.map((name) => `${job.runtime} tests/${job.file}: ${name}`));
      if (outcome.failed > 0) {
        const why = [`${outcome.failed} failed`, ...(outcome.trouble === undefined ? [] : [outcome.trouble])];
        failures.push(`${job.runtime} tests/${job.file}: ${why.join(", ")}`);
        console.log(`\n${outcome.output.trimEnd()}\n`);
      }
      console.log(line(job, outcome));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Number(options.jobs)) }, worker));
  if (leftOut.length > 0) console.log(`\nLeft out:\n${leftOut.map((one) => `  ${one}`).join("\n")}`);
  if (failures.length > 0) console.log(`\nFailed:\n${failures.map((failure) => `  ${failure}`).join("\n")}`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    stopAll();
    process.exit(130);
  });
}
process.exitCode = await main();
await (await server?.catch(() => undefined))?.stop();
stopAll();
