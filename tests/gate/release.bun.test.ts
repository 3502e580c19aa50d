/**
 * What a release needs: one version everywhere, dependencies that users share with their own code, workflows that run the gate.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { version } from "../../lib/checkpoint/mod.ts";
import { deno, root } from "./runtimes.ts";

const read = (name: string): string => readFileSync(join(root, name), "utf8");
const manifest = JSON.parse(read("package.json")) as {
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};
const config = JSON.parse(read("deno.json")) as {
  readonly version: string;
  readonly exports: Readonly<Record<string, string>>;
};
/** Bun's parser of YAML, which the compiler of Deno does not know. */
const { YAML } = (globalThis as unknown as { Bun: { YAML: { parse: (text: string) => unknown } } }).Bun;

test("release: package.json, deno.json, the code, CITATION.cff and CHANGELOG.md name one version", () => {
  const cited = YAML.parse(read("CITATION.cff")) as { readonly version: string };
  const [, newest] = /^## (\d+\.\d+\.\d+)/m.exec(read("CHANGELOG.md")) ?? [];
  assert.deepEqual([config.version, version, cited.version, newest], Array(4).fill(manifest.version));
});

test("release: both registries get the same entries", () => {
  const { "./package.json": _, ...entries } = manifest.exports;
  assert.deepEqual(Object.keys(entries), Object.keys(config.exports).filter((name) => name !== "./cli"));
});

test("release: JSR gets the ranges of package.json, so that a user's own tfjs, fp-ts and io-ts are the ones that dogear uses", () => {
  const { status, stderr, stdout } = spawnSync(deno(), [
    "publish",
    "--dry-run",
    "--no-check",
    "--allow-dirty",
    "-L",
    "debug",
  ], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, NO_COLOR: "1" },
  });
  assert.equal(status, 0, stderr);
  const named = [...`${stdout}${stderr}`.matchAll(/npm:\/?((?:@[\w-]+\/)?[\w-]+)@([^/"'\s]+)/g)];
  const ranges = new Map(named.map(([, name = "", range = ""]) => [name, range]));
  const expected = { ...manifest.dependencies, ...manifest.peerDependencies };
  for (const [name, range] of ranges) if (name in expected) assert.equal(range, expected[name], name);
  for (const name of ["@tensorflow/tfjs", "fp-ts", "io-ts"]) {
    assert.ok(ranges.has(name), `${name} is not in the dry run`);
  }
});

interface Workflow {
  readonly permissions: unknown;
  readonly jobs: Readonly<
    Record<string, { readonly needs?: string; readonly steps: readonly { readonly run?: string }[] }>
  >;
}

const folder = ".github/workflows";
const workflows = readdirSync(join(root, folder)).map((name) => [name, read(join(folder, name))] as const);

test("workflows: each may only read, and uses the Bun of package.json", () => {
  assert.deepEqual(workflows.map(([name]) => name).sort(), ["gate.yml", "release.yml", "smoke.yml"]);
  for (const [name, text] of workflows) {
    assert.deepEqual((YAML.parse(text) as Workflow).permissions, { contents: "read" }, name);
    for (const [, found] of text.matchAll(/bun@([\d.]+)/g)) assert.equal(found, manifest.devDependencies["bun"], name);
  }
});

test("workflows: nothing is published before the gate has passed", () => {
  const release = YAML.parse(read(`${folder}/release.yml`)) as Workflow;
  const runs = (name: string): readonly string[] => release.jobs[name]!.steps.flatMap(({ run }) => run ?? []);
  assert.ok(runs("gate").includes("bash .ci/run"));
  const publishing = Object.keys(release.jobs).filter((name) => runs(name).some((run) => run.includes("publish")));
  assert.deepEqual(publishing.map((name) => release.jobs[name]!.needs), ["gate", "gate"]);
});
