/**
 * The package as users get it: packed, unpacked beside the peers in an empty project, and imported in every runtime.
 *
 * @module
 */

import { unpack } from "@publint/pack";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { bun, deno, node, root } from "../gate/runtimes.ts";
import { needs } from "../support/portable.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly files: readonly string[];
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const scratch = mkdtempSync(join(tmpdir(), "dogear-package-"));
const staged = join(scratch, "staged");
const project = join(scratch, "project");
const installed = join(project, "node_modules", manifest.name);
const tarball = join(scratch, "package.tgz");

/** Prints what each entry of the package exports, as a program of a user does. */
const smoke = `
import * as dogear from "${manifest.name}";
import * as data from "${manifest.name}/data";
import * as prove from "${manifest.name}/prove";
import * as store from "${manifest.name}/store";
import * as s3 from "${manifest.name}/s3";
import * as trackers from "${manifest.name}/trackers";
console.log(JSON.stringify([dogear, data, prove, store, s3, trackers].map((entry) => Object.keys(entry).sort())));
`;

/** Trains up to a step, from a store's newest checkpoint, and prints the id of the state. */
const training = `
import { captureState, directory, id, Loader, pipe, resume, Rng, runOrThrow, train } from "${manifest.name}";
import * as tf from "@tensorflow/tfjs";

const [path, steps] = process.argv.slice(2);
await tf.setBackend("cpu");
const data = Array.from({ length: 64 }, (_, i) => i / 64);
const loader = pipe(Loader.fromArray(data), Loader.shuffle(3), Loader.batch(8), Loader.repeat(), Loader.take(Number(steps)));
const layers = [tf.layers.dense({ units: 4, inputShape: [1], activation: "tanh" }), tf.layers.dropout({ rate: 0.3 }), tf.layers.dense({ units: 1 })];
const [model, rng] = Rng.withRandom(Rng.make(1))(() => tf.sequential({ layers }));
const state = await runOrThrow(resume(directory(path))({ model, optimizer: tf.train.adam(0.01), rng, cursor: Loader.start(loader), step: 0 }));
const step = (s, batch) => {
  const x = tf.tensor2d(batch, [batch.length, 1]);
  const loss = () => tf.losses.meanSquaredError(x.mul(2), s.model.apply(x, { training: true }));
  const [, next] = Rng.withRandom(s.rng)(() => s.optimizer.minimize(loss));
  return { ...s, rng: next, step: s.step + 1 };
};
const done = await runOrThrow(train({ loader, step, save: { to: directory(path) } })(state));
console.log(JSON.stringify({ from: state.step, id: await id(captureState(done))() }));
`;

/** Opens a Parquet file where nothing reads such files. */
const parquet = `
import { explain } from "${manifest.name}";
import { fromParquet } from "${manifest.name}/data";
console.log(explain((await fromParquet("table.parquet")()).left));
`;

/** Ends as a script does whose step throws. */
const failing = `
import { Loader, pipe, runMain, train } from "${manifest.name}";
const loader = pipe(Loader.fromArray([1]), Loader.batch(1));
const step = function myOwnLine() { throw new RangeError("mine"); };
await pipe({ cursor: Loader.start(loader) }, train({ loader, step }), runMain);
`;

/** A training that is proved in new processes, too. */
const provedTraining = `
import { Loader, pipe, Rng } from "${manifest.name}";
export const loader = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2), Loader.repeat());
export const fresh = () => ({ rng: Rng.make(1), walk: 0, cursor: Loader.start(loader) });
export const step = (state, batch) => {
  const [stride, rng] = Rng.float(state.rng);
  return { ...state, rng, walk: state.walk + stride * batch.length };
};
`;
const proving = `
import { proveResume } from "${manifest.name}/prove";
import * as training from "./proved.js";
const proof = await proveResume({ ...training, steps: 3, process: new URL("./proved.js", import.meta.url).href });
console.log(JSON.stringify(proof.at));
`;

/** Fails to type-check where the package's types are missing or have become \`any\`. */
const typed = `
import { explain } from "${manifest.name}";
import { fromCsv } from "${manifest.name}/data";
import { proveResume } from "${manifest.name}/prove";
export const text: string = explain({ _tag: "Released" });
// @ts-expect-error there is no such error
explain({ _tag: "Nonsense" });
// @ts-expect-error a path is a string
fromCsv(1);
// @ts-expect-error there are no options
proveResume(1);
`;

function run(cwd: string, program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  assert.equal(status, 0, `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`);
  return stdout;
}

function link(name: string): void {
  const path = join(project, "node_modules", name);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(join(root, "node_modules", name), path, "junction");
}

async function pack(): Promise<void> {
  // A copy, so that neither an old dist is packed nor a new one left behind.
  const built = ["mod.ts", "lib", "tsconfig.json", "tsconfig.build.json"];
  const others = manifest.files.filter((name) => name !== "dist");
  for (const name of ["package.json", ...built, ...others].filter((name) => existsSync(join(root, name)))) {
    cpSync(join(root, name), join(staged, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(staged, "node_modules"), "junction");
  run(staged, bun(), "pm", "pack", "--filename", tarball);

  const { files, rootDir } = await unpack(readFileSync(tarball));
  for (const { name, data } of files) {
    const path = join(installed, name.slice(rootDir.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, data);
  }
  // As installed by a user who asked for no more: without the optional ones.
  const peers = Object.keys(manifest.peerDependencies).filter((name) => !manifest.peerDependenciesMeta[name]?.optional);
  for (const name of [...Object.keys(manifest.dependencies), ...peers]) link(name);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  writeFileSync(join(project, "smoke.js"), smoke);
  writeFileSync(join(project, "training.js"), training);
  writeFileSync(join(project, "table.parquet"), "PAR1");
  writeFileSync(join(project, "parquet.js"), parquet);
  writeFileSync(join(project, "failing.js"), failing);
  writeFileSync(join(project, "proved.js"), provedTraining);
  writeFileSync(join(project, "proving.js"), proving);
}

let packing: Promise<void> | undefined;

/** Packs once; a failure is the failure of every test, where one of a hook would be followed by others. */
function packed(): Promise<void> {
  return packing ??= pack();
}

after(() => rmSync(scratch, { recursive: true, force: true }));

test("package: it holds what it lists, built, and nothing else", async () => {
  await packed();
  const listed = manifest.files.filter((name) => !name.startsWith("!"));
  const expected = ["package.json", ...listed.map((name) => name.split("/")[0]!)];
  assert.deepEqual(readdirSync(join(installed, "examples")), ["plain.mjs"]);
  assert.deepEqual(readdirSync(installed).sort(), expected.sort());
  const emitted = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
  const modules = readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts")
  );
  for (const name of ["mod.ts", ...modules.map((name) => join("lib", name))]) {
    assert.ok(emitted.includes(name.replace(/\.ts$/, ".d.ts")), `${name} has no types in dist`);
  }
  // Every other module is in a chunk that the entries share.
  const entries = emitted.filter((name) => name.endsWith(".js") && !/^(mod-\w+\.js|page\b.*)$/.test(name));
  const expectedEntries = [
    "cli.js",
    "lib/data/mod.js",
    "lib/prove/mod.js",
    "lib/prove/worker.js",
    "lib/store/contract/mod.js",
    "lib/store/s3/mod.js",
    "lib/trackers/mod.js",
    "mod.js",
  ];
  assert.deepEqual(entries.sort(), expectedEntries);
  const page = readdirSync(join(root, "lib/cli/serve/page"));
  assert.deepEqual(readdirSync(join(installed, "dist/page")).sort(), page.sort());
});

test("package: publint finds nothing to say", async () => {
  await packed();
  const { files, rootDir } = await unpack(readFileSync(tarball));
  const { messages, pkg } = await publint({ pkgDir: rootDir, pack: { files } });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test("package: every entry resolves to modules and types in each way that ESM is resolved", async () => {
  await packed();
  const { checkPackage, createPackageFromTarballData } = await import("@arethetypeswrong/core");
  const result = await checkPackage(createPackageFromTarballData(readFileSync(tarball)));
  assert.ok(result.types !== false, "no types");
  // CommonJS is not offered: Node 20 and `moduleResolution: "node"` import ESM, or nothing.
  const problems = result.problems.filter((problem) =>
    !("resolutionKind" in problem) || !["node10", "node16-cjs"].includes(problem.resolutionKind)
  );
  assert.deepEqual(problems, []);
});

test("package: its tarball keeps the size budget", async () => {
  await packed();
  assert.ok(statSync(tarball).size <= 2_000_000, `${statSync(tarball).size} bytes`);
});

test("package: the sources that its maps name are in it", async () => {
  await packed();
  const map = JSON.parse(readFileSync(join(installed, "dist/mod.js.map"), "utf8")) as { readonly sources: string[] };
  const types = JSON.parse(readFileSync(join(installed, "dist/mod.d.ts.map"), "utf8")) as {
    readonly sources: string[];
  };
  for (const source of [...map.sources, ...types.sources].filter((source) => !source.includes("node_modules"))) {
    assert.ok(existsSync(join(installed, "dist", source)), source);
  }
});

test("package: its types reach a user's compiler", async () => {
  await packed();
  writeFileSync(join(project, "typed.ts"), typed);
  const options = { module: "NodeNext", target: "ES2023", strict: true, noEmit: true, skipLibCheck: true, types: [] };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["typed.ts"] }));
  run(project, bun(), join(root, "node_modules/typescript/bin/tsc"), "-p", ".");
});

const found = node();
const runtimes: readonly (readonly [runtime: string, ...command: readonly [string, ...string[]]])[] = [
  ["Bun", bun(), "smoke.js"],
  ["Deno", deno(), "run", "-A", "--node-modules-dir=manual", "smoke.js"],
  ...(found === undefined ? [] : [["Node", found, "smoke.js"] as const]),
];

for (const [runtime, program, ...args] of runtimes) {
  test(`package: ${runtime} imports every entry of the packed package, with every export`, async () => {
    await packed();
    const own = await Promise.all(
      [
        import("../../mod.ts"),
        import("../../lib/data/mod.ts"),
        import("../../lib/prove/mod.ts"),
        import("../../lib/store/contract/mod.ts"),
        import("../../lib/store/s3/mod.ts"),
        import("../../lib/trackers/mod.ts"),
      ],
    );
    assert.deepEqual(JSON.parse(run(project, program, ...args)), own.map((entry) => Object.keys(entry).sort()));
  });
}

for (const [runtime, program, ...args] of runtimes) {
  test(`package: ${runtime} without the optional peer says what to install`, async () => {
    await packed();
    const output = run(project, program, ...args.map((arg) => arg === "smoke.js" ? "parquet.js" : arg));
    assert.match(output, /table\.parquet.*hyparquet, which reads Parquet: install it/s);
  });
}

for (const [runtime, program, ...args] of runtimes) {
  test(`package: runMain in ${runtime} shows the user's own lines alone`, async () => {
    await packed();
    const { status, stderr } = spawnSync(program, args.map((arg) => arg === "smoke.js" ? "failing.js" : arg), {
      cwd: project,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    });
    assert.equal(status, 1, stderr);
    assert.match(
      stderr,
      /^The training step failed after 0 batches: RangeError: mine\. .*\n {4}at .*myOwnLine.* \(.*failing\.js:4:\d+\)\n( {4}at .*failing\.js:5:\d+\n)?$/,
    );
  });
}

for (const [runtime, program, ...args] of runtimes) {
  test(`package: a training is proved in new processes of ${runtime}`, async () => {
    await packed();
    assert.match(run(project, program, ...args.map((arg) => arg === "smoke.js" ? "proving.js" : arg)), /\[0,1,2\]\s*$/);
  });
}

test("package: its command line lists, verifies and exports what was saved, in each runtime, and needs no tfjs", async () => {
  await packed();
  const path = join(scratch, "listed");
  run(project, bun(), "training.js", path, "10");
  const { bin } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as { bin: { dogear: string } };
  assert.match(readFileSync(join(installed, bin.dogear), "utf8"), /^#!\/usr\/bin\/env node\n/);
  // Alone, as where no peer is installed.
  const alone = join(scratch, "alone", "dogear.mjs");
  mkdirSync(dirname(alone));
  cpSync(join(installed, bin.dogear), alone);
  for (const [runtime, program, ...args] of runtimes) {
    const dogear = (...words: readonly string[]): string =>
      run(
        dirname(alone),
        program,
        ...args.filter((arg) => !arg.startsWith("--node")).map((arg) => arg === "smoke.js" ? alone : arg),
        ...words,
      );
    assert.equal(dogear("--version").trim(), manifest.version);
    const { runs: [{ checkpoints }] } = JSON.parse(dogear("ls", path, "--json"));
    assert.deepEqual(checkpoints.map(({ step }: { readonly step: number }) => step), [10, 0], runtime);
    assert.match(dogear("verify", path), /verified$/m);
    const folder = join(scratch, `weights-${runtime}`);
    dogear("export", path, "--out", folder);
    assert.deepEqual(readdirSync(folder), ["model.safetensors"]);
    // The page needs its files and a package, which the installed command has.
    const page = join(scratch, `page-${runtime}.html`);
    const serve = [join(installed, bin.dogear), "serve", path, "--export", page];
    run(project, program, ...args.flatMap((arg) => arg === "smoke.js" ? serve : [arg]));
    assert.match(readFileSync(page, "utf8"), /<script type="application\/json" id="data">\{"api\/runs":/);
  }
});

test("package: a run goes on with the same bits in each runtime in turn", async () => {
  await packed();
  const last = (output: string): unknown => JSON.parse(output.trim().split("\n").at(-1) ?? "");
  const whole = last(run(project, bun(), "training.js", join(scratch, "whole"), "30"));
  const turns = runtimes.toReversed();
  const legs = turns.map(([, program, ...args], i) => {
    const options = args.map((arg) => arg === "smoke.js" ? "training.js" : arg);
    return last(run(project, program, ...options, join(scratch, "turns"), String(30 * (i + 1) / turns.length)));
  });
  assert.deepEqual(legs.at(-1), { ...whole as object, from: 30 - 30 / turns.length });
});

/** Runs the example of the package; it is killed as soon as it has saved a checkpoint of this number. What it printed. */
async function example(turn: number, folder: string, killedAt = Infinity): Promise<string> {
  const [, program, ...args] = runtimes[turn % runtimes.length]!;
  const file = join(installed, "examples", "plain.mjs");
  const child = spawn(program, [...args.map((arg) => arg === "smoke.js" ? file : arg), folder, "40"], { cwd: project });
  const watch = setInterval(() => {
    if (existsSync(join(folder, "checkpoints", `checkpoint_${killedAt}`))) child.kill("SIGKILL");
  }, 1);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => output += text);
  const [code, signal] = await once(child, "close");
  clearInterval(watch);
  assert.ok(killedAt === Infinity ? code === 0 : signal === "SIGKILL", output);
  return output;
}

test("package: its example is killed in one runtime, continues in the next, and ends with the same id", async () => {
  await packed();
  const id = /^id [0-9a-f]{64}$/m;
  const folder = join(scratch, "example");
  for (const turn of runtimes.keys()) await example(turn, folder, turn + 1);
  const [resumed, whole] = [await example(1, folder), await example(0, join(scratch, "example-whole"))];
  assert.match(whole, id);
  assert.equal(id.exec(resumed)?.[0], id.exec(whole)?.[0]);
  assert.doesNotMatch(resumed, / 0\/160/);
});

/** The first program of the guide that newcomers read first. */
const firstProgram = /```ts\n([^]*?)```/.exec(readFileSync(join(root, "docs/getting-started.md"), "utf8"))?.[1] ?? "";

needs("Node")("package: without its types the first program of the guide runs in Node", async () => {
  await packed();
  assert.match(firstProgram, / as tf\.Tensor/);
  writeFileSync(join(project, "line.mjs"), firstProgram.replaceAll(" as tf.Tensor", ""));
  assert.match(run(project, found!, "line.mjs"), /^trained for 100 steps$/m);
});

needs("Node")("package: a Node that runs TypeScript runs the first program of the guide", async () => {
  // Node 20 does not.
  if (run(root, found!, "-p", "process.features.typescript ?? false").trim() === "false") return;
  await packed();
  writeFileSync(join(project, "line.mts"), firstProgram);
  assert.match(run(project, found!, "line.mts"), /^trained for 100 steps$/m);
});

needs("Node")("package: tried in Node too", () => assert.ok(runtimes.some(([name]) => name === "Node")));
