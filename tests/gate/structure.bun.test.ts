/**
 * The shape of the project: the reading order of its rooms, what a room may import, what is documented, what is said.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { deno, root } from "./runtimes.ts";

/** The rooms of `lib/`, in the order in which they are read: each imports only from those before it. */
const order: readonly string[] = [
  "errors",
  "explain",
  "guard",
  "rules",
  "option_names",
  "plain",
  "seed",
  "tensor",
  "state_tree",
  "component",
  "properties",
  "part_names",
  "overlapping_views",
  "encode",
  "selection",
  "belonging",
  "matching",
  "graft",
  "overridden",
  "live_value",
  "restore_strategy",
  "restore_context",
  "restore_plain",
  "restore_nodes",
  "decode",
  "state_id",
  "compare",
  "rng",
  "permutation",
  "cursor",
  "plan",
  "fingerprint",
  "source",
  "shuffle",
  "loader_types",
  "pipeline",
  "combinators",
  "shard",
  "walk",
  "iterate",
  "seal",
  "join",
  "select",
  "columns",
  "collate",
  "body",
  "loader",
  "schedule_kinds",
  "schedule",
  "scaler",
  "tfjs/device",
  "tfjs/backend",
  "tfjs/engine",
  "tfjs/tensor_data",
  "tfjs/tensor",
  "tfjs/variable",
  "tfjs/state_nodes",
  "tfjs/private_fields",
  "tfjs/classes",
  "tfjs/field_kinds",
  "tfjs/optimizer_class",
  "tfjs/fields",
  "tfjs/optimizer",
  "tfjs/names",
  "tfjs/configuration",
  "tfjs/data_names",
  "tfjs/layer_flags",
  "tfjs/layer_variables",
  "tfjs/recurrent_state",
  "tfjs/layer",
  "tfjs/wiring",
  "tfjs/compile_state",
  "tfjs/model",
  "tfjs/training",
  "tfjs/dataset",
  "tfjs/used",
  "kinds",
  "snapshot",
  "version",
  "scan",
  "safetensors",
  "placement",
  "layout",
  "formats",
  "manifest_tree",
  "manifest",
  "decision",
  "retention",
  "digest",
  "store",
  "saving_of",
  "runs",
  "memory",
  "disk",
  "deno_runtime",
  "process_identity",
  "local_file_system",
  "sources/file",
  "sources/newlines",
  "sources/records",
  "sources/lines",
  "sources/csv",
  "sources/npy",
  "sources/folder",
  "sources/parquet",
  "files",
  "folders",
  "leftovers",
  "orphans",
  "listing",
  "run_folder",
  "reservation",
  "publish",
  "directory",
  "progress",
  "tensor_files",
  "checkpoint",
  "verify",
  "in_order",
  "catalogue",
  "line",
  "trainings",
  "commit",
  "pruning",
  "environment",
  "saving",
  "scheduler",
  "saver",
  "loading",
  "signals",
  "save_points",
  "train",
  "refilling",
  "remembering",
  "training_checkpoints",
  "fit_state",
  "fitting",
  "fit",
  "fit_dataset",
  "ambient",
  "prove/walk",
  "prove/trace",
  "prove/child",
  "prove/process",
  "prove/cause",
  "prove/straight",
  "prove",
  "cli/text",
  "cli/table",
  "cli/terminal",
  "cli/arguments",
  "cli/help",
  "cli/command",
  "cli/reference",
  "cli/summary",
  "cli/opened",
  "cli/ls",
  "cli/statistics",
  "cli/inspect",
  "cli/verify",
  "cli/diff",
  "cli/prune",
  "cli/export",
  "cli/index",
  "cli/commands",
  "cli",
];

/** Whether every room of the order stands. */
const complete: boolean = true;

/** From this room on, disk, network and signals may be used; before it, only these pure functions of the runtime. */
const firstWithEffects = "disk";
const pureBuiltins: readonly string[] = ["node:async_hooks", "node:buffer", "node:crypto", "node:util", "node:zlib"];

const longest = 450;

// --- what there is

const left = new Set(["node_modules", "dist", "runs"]);

function filesUnder(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) {
      return left.has(path) || (path.startsWith(".") && path !== ".ci") ? [] : filesUnder(path);
    }
    return entry.isFile() && !path.endsWith(".tgz") ? [path] : [];
  });
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

const files = filesUnder("");
const rooms = files.filter((file) => file.startsWith("lib/") && file.endsWith(".ts"));

function room(file: string): string {
  return file.slice("lib/".length, -".ts".length);
}

/** Code without its comment lines. */
function code(file: string): string {
  return read(file).split("\n").filter((line) => !/^\s*(\/\*|\*|\/\/)/.test(line)).join("\n");
}

interface Import {
  readonly specifier: string;
  readonly erased: boolean;
}

function imports(file: string): readonly Import[] {
  const text = code(file);
  const stated = text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^"';]*?from\s+)?"([^"]+)"/gm);
  const inline = text.matchAll(/\bimport\(\s*"([^"]+)"/g);
  return [
    ...[...stated].map(([, type, specifier = ""]) => ({ specifier, erased: type !== undefined })),
    ...[...inline].map(([, specifier = ""]) => ({ specifier, erased: false })),
  ];
}

function resolved(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier);
}

/** Fails with every fault, a line each. */
function none(faults: readonly string[], expected: string): void {
  assert.ok(faults.length === 0, `Expected ${expected}, found:\n${faults.join("\n")}`);
}

// --- the rooms

test("structure: every room stands in the reading order, once", () => {
  const names = rooms.map(room);
  none(names.filter((name) => !order.includes(name)), "every file of lib in the reading order of this test");
  none(order.filter((name, i) => order.indexOf(name) !== i), "no room twice in the reading order");
  if (complete) none(order.filter((name) => !names.includes(name)), "a file for every room of the reading order");
});

test("structure: a room imports only from rooms before it", () => {
  none(
    rooms.flatMap((file) =>
      imports(file)
        .filter(({ specifier }) => specifier.startsWith("."))
        .map(({ specifier }) => resolved(file, specifier))
        .filter((to) => !(order.indexOf(room(to)) < order.indexOf(room(file))) || !rooms.includes(to))
        .map((to) => `${file} imports ${to}`)
    ),
    "imports of rooms that come before in the reading order",
  );
});

test("structure: rooms before the first with effects reach no disk, network or signal", () => {
  none(
    rooms
      .filter((file) => order.indexOf(room(file)) < order.indexOf(firstWithEffects))
      .flatMap((file) =>
        imports(file)
          .filter(({ specifier }) => specifier.startsWith("node:") && !pureBuiltins.includes(specifier))
          .map(({ specifier }) => `${file} imports ${specifier}`)
      ),
    `only ${pureBuiltins.join(", ")} before ${firstWithEffects}`,
  );
});

test("structure: the command line never reaches tfjs", () => {
  const reached = new Set<string>();
  const outside: string[] = [];
  const visit = (file: string): void => {
    if (reached.has(file) || !rooms.includes(file)) return;
    reached.add(file);
    for (const { specifier, erased } of imports(file)) {
      if (erased) continue;
      if (specifier.startsWith(".")) visit(resolved(file, specifier));
      else if (specifier.startsWith("@tensorflow/")) outside.push(`${file} imports ${specifier}`);
    }
  };
  visit("lib/cli.ts");
  assert.ok(reached.has("lib/cli/commands.ts") && reached.has("lib/manifest.ts"), "the walk goes nowhere");
  none(outside, "no import of tfjs in what the command line imports");
});

test("structure: fp-ts and io-ts are imported in the way every runtime resolves", () => {
  none(
    files.filter((file) => /\.(ts|md)$/.test(file)).flatMap((file) =>
      [...read(file).matchAll(/["'](?:fp-ts|io-ts)\/(?!lib\/\w+\.js["'])[^"']*["']/g)].map(([found]) =>
        `${file}: ${found}`
      )
    ),
    'fp-ts as "fp-ts/lib/Either.js"',
  );
});

test("structure: the library prints nothing", () => {
  none(
    rooms.filter((file) => file !== "lib/cli.ts" && /\bconsole\./.test(code(file))),
    "no console in lib but for the command line",
  );
});

test(`structure: a room has at most ${longest} lines`, () => {
  none(
    rooms.map((file) => [file, read(file).trimEnd().split("\n").length] as const)
      .filter(([, lines]) => lines > longest)
      .map(([file, lines]) => `${file}: ${lines}`),
    `at most ${longest} lines`,
  );
});

// --- what is documented

interface Declaration {
  readonly kind: string;
  readonly location: { readonly filename: string };
  readonly jsDoc?: { readonly doc?: string; readonly tags?: readonly { readonly kind: string }[] };
  readonly def?: { readonly elements?: readonly Declared[] };
}

interface Declared {
  readonly name: string;
  readonly declarations: readonly Declaration[];
}

function undocumented(path: string, { name, declarations }: Declared): readonly string[] {
  const own = declarations.filter(({ kind, location }) =>
    kind !== "reference" && location.filename.startsWith(pathToFileURL(root).href) &&
    !location.filename.includes("/node_modules/")
  );
  if (own.length === 0) return [];
  const at = `${path}${name}`;
  const faults: string[] = [];
  if (!own.some(({ jsDoc }) => (jsDoc?.doc ?? "") !== "")) faults.push(`${at}: no docstring`);
  else if (
    own.some(({ kind }) => kind === "function") &&
    !own.some(({ jsDoc }) => jsDoc?.tags?.some(({ kind }) => kind === "example"))
  ) faults.push(`${at}: no @example`);
  return [...faults, ...own.flatMap(({ def }) => def?.elements ?? []).flatMap((one) => undocumented(`${at}.`, one))];
}

test("structure: every export has a docstring, and every function an example", () => {
  const { status, stdout, stderr } = spawnSync(deno(), ["doc", "--json", "mod.ts"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  assert.equal(status, 0, stderr);
  const { nodes } = JSON.parse(stdout) as { nodes: Record<string, { symbols?: readonly Declared[] }> };
  const [entry] = Object.values(nodes);
  none((entry?.symbols ?? []).flatMap((one) => undocumented("", one)), "a docstring, with @example on functions");
});

// --- what is said

test("structure: the project speaks of itself alone: no tracker, no machine, no registry", () => {
  const parent = dirname(join(root, "."));
  const machine = parent === dirname(parent) || parent === tmpdir()
    ? []
    : readdirSync(parent).map((name) => join(parent, name)).filter((path) => statSync(path).isDirectory());
  const words = /(?<![\w/])([i]ssues?|[s]essions?)\b|https?:\/\/(registry|npm|deb)\.|registry\.npmjs/i;
  none(
    files.map((file) => [file, read(file)] as const).filter(([, text]) => !text.includes("\0")).flatMap((
      [file, text],
    ) =>
      text.split("\n").flatMap((line, i) =>
        words.test(line) || machine.some((path) => line.includes(path)) ? [`${file}:${i + 1}: ${line.trim()}`] : []
      )
    ),
    "no word of these",
  );
});
