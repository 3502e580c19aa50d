/**
 * The shape of the project: the order of the subjects in `lib/`, what a file may import, how long it may be, what is documented.
 *
 * @module
 */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { test } from "node:test";
import { docOf, isOwn, publicModules } from "./reference.ts";
import { root } from "./runtimes.ts";

/** The subjects of `lib/` in reading order: folders with a `mod.ts`, and files at the top. Each imports only from earlier ones. */
const subjects: readonly string[] = [
  "errors",
  "task",
  "zlib",
  "validation",
  "terminal",
  "values/schedule",
  "values",
  "state",
  "state/partial",
  "tfjs",
  "tfjs/optimizers",
  "tfjs/layers",
  "loader",
  "store",
  "store/contract",
  "checkpoint",
  "store/directory",
  "logs",
  "store/s3",
  "files",
  "data",
  "kinds",
  "codecs",
  "capturable",
  "snapshot",
  "trackers",
  "run",
  "fit",
  "prove",
  "cli",
];

/** The subjects that may use disk, network, processes and signals. All others use pure functions of the runtime alone. */
const withEffects: readonly string[] = [
  "store/directory",
  "store/s3",
  "files",
  "data",
  "trackers",
  "run",
  "prove",
  "cli",
];
const pureBuiltins: readonly string[] = ["node:async_hooks", "node:buffer", "node:crypto", "node:util", "node:zlib"];

/** Folders of `tests/` that mirror no folder of `lib/`. */
const otherTests: readonly string[] = [
  "cli/golden",
  "data",
  "gate",
  "laws",
  "programs",
  "runtimes",
  "support",
  "types",
];

const longestFile = 450;
const longestFunction = 80;

// --- files

const ignored = new Set(["node_modules", "dist", "runs"]);

function filesUnder(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) {
      return ignored.has(path) || (path.startsWith(".") && path !== ".ci") ? [] : filesUnder(path);
    }
    return entry.isFile() && path !== ".git" && !path.endsWith(".tgz") ? [path] : [];
  });
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

const files = filesUnder("");
const modules = files.filter((file) => file.startsWith("lib/") && file.endsWith(".ts"));

/** The subject of a module: the nearest folder above it that has a public face, or the file itself at the top of `lib/`. */
function subjectOf(file: string): string {
  const folder = posix.dirname(file);
  if (folder === "lib") return posix.basename(file, ".ts");
  return existsSync(join(root, folder, "mod.ts")) ? folder.slice("lib/".length) : subjectOf(folder);
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
  const listed = text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^"';]*?from\s+)?"([^"]+)"/gm);
  const inline = text.matchAll(/\b(?:import|getBuiltinModule)\(\s*"([^"]+)"/g);
  return [
    ...[...listed].map(([, type, specifier = ""]) => ({ specifier, erased: type !== undefined })),
    ...[...inline].map(([, specifier = ""]) => ({ specifier, erased: false })),
  ];
}

/** The modules of `lib/` that a file imports. */
function modulesOf(file: string): readonly string[] {
  return imports(file).filter(({ specifier }) => specifier.startsWith("."))
    .map(({ specifier }) => posix.join(posix.dirname(file), specifier));
}

/** Every module that running a file loads, and every package. */
function reachedFrom(file: string): { readonly modules: ReadonlySet<string>; readonly packages: ReadonlySet<string> } {
  const found = { modules: new Set<string>(), packages: new Set<string>() };
  const visit = (from: string): void => {
    if (found.modules.has(from)) return;
    found.modules.add(from);
    for (const { specifier, erased } of imports(from)) {
      if (erased) continue;
      if (specifier.startsWith(".")) visit(posix.join(posix.dirname(from), specifier));
      else found.packages.add(specifier);
    }
  };
  visit(file);
  return found;
}

/** Fails with every fault, one on a line. */
function none(faults: readonly string[], expected: string): void {
  assert.ok(faults.length === 0, `Expected ${expected}, found:\n${faults.join("\n")}`);
}

// --- imports

test("structure: the reading order names every subject once", () => {
  assert.deepEqual([...new Set(modules.map(subjectOf))].sort(), [...subjects].sort());
});

test("structure: a file imports from its own subject, or from the public face of an earlier one", () => {
  none(
    modules.flatMap((file) =>
      modulesOf(file).filter((to) => {
        const [own, other] = [subjectOf(file), subjectOf(to)];
        if (own === other) return posix.basename(to) === "mod.ts";
        const isFace = posix.basename(to) === "mod.ts" || posix.dirname(to) === "lib";
        return !isFace || subjects.indexOf(other) > subjects.indexOf(own);
      }).map((to) => `${file} imports ${to}`)
    ),
    "imports within a subject, or of an earlier subject's mod.ts",
  );
});

test("structure: no import goes in a circle", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, above: readonly string[]): void => {
    if (above.includes(file)) circles.push([...above.slice(above.indexOf(file)), file].join(" -> "));
    if (done.has(file) || above.includes(file)) return;
    for (const to of modulesOf(file)) visit(to, [...above, file]);
    done.add(file);
  };
  for (const file of modules) visit(file, []);
  none(circles, "no circle");
});

test("structure: disk, network, processes and signals are used only by the subjects that may", () => {
  none(
    modules.filter((file) => !withEffects.includes(subjectOf(file))).flatMap((file) =>
      imports(file).map(({ specifier }) => specifier)
        .filter((specifier) => specifier.startsWith("node:") && !pureBuiltins.includes(specifier))
        .map((specifier) => `${file} imports ${specifier}`)
        .concat(/\bprocess\.(?!getBuiltinModule\()\w/.test(code(file)) ? `${file} uses process` : [])
    ),
    `only ${pureBuiltins.join(", ")} outside of ${withEffects.join(", ")}`,
  );
});

test("structure: `process` is the global, because importing node:process makes Node open the three standard streams", () => {
  none(
    modules.filter((file) => imports(file).some(({ specifier }) => specifier === "node:process")),
    "no import of node:process",
  );
});

test("structure: the command line loads no tfjs", () => {
  const { modules, packages } = reachedFrom("lib/cli/main.ts");
  assert.ok(modules.has("lib/checkpoint/manifest.ts"), "the search finds nothing");
  none([...packages].filter((name) => name.startsWith("@tensorflow/")), "no import of tfjs");
});

test("structure: the main entry loads none of the subpath entries", () => {
  const { modules } = reachedFrom("mod.ts");
  assert.ok(modules.has("lib/snapshot.ts"), "the search finds nothing");
  none(
    [...modules].filter((file) =>
      ["data", "prove", "store/contract", "store/s3", "trackers", "cli"].includes(subjectOf(file))
    ),
    "no import of them",
  );
});

test("structure: the main entry loads its peers and pure-rand alone", () => {
  const { packages } = reachedFrom("mod.ts");
  const peers = /^(node:|@tensorflow\/tfjs$|fp-ts\/|io-ts$|pure-rand\/)/;
  assert.ok([...packages].some((name) => name.startsWith("pure-rand/")), "the search finds nothing");
  none([...packages].filter((name) => !peers.test(name)), "peers and pure-rand alone");
});

test("structure: fp-ts and io-ts are imported by the path that every runtime resolves", () => {
  none(
    files.filter((file) => /\.(ts|md)$/.test(file)).flatMap((file) =>
      [...read(file).matchAll(/["'](?:fp-ts|io-ts)\/(?!lib\/\w+\.js["'])[^"']*["']/g)].map(([found]) =>
        `${file}: ${found}`
      )
    ),
    'fp-ts as "fp-ts/lib/Either.js"',
  );
});

/** The files that write to the process's streams: the command line, the end of a script, progress where it is asked for, a child's own answer. */
const writers: readonly string[] = [
  "lib/cli/terminal.ts",
  "lib/prove/worker.ts",
  "lib/run/progress.ts",
  "lib/run/run_main.ts",
];

test("structure: the library prints nothing, except where it is asked to", () => {
  const isWriter = (file: string): boolean => /\bconsole\.|\bstd(out|err)\b(?!:)/.test(code(file));
  const spawns = ["lib/prove/spawn.ts"];
  assert.deepEqual(modules.filter((file) => isWriter(file) && !spawns.includes(file)).toSorted(), writers);
});

// --- lengths

test(`structure: a file has at most ${longestFile} lines`, () => {
  none(
    modules.map((file) => [file, read(file).trimEnd().split("\n").length] as const)
      .filter(([, lines]) => lines > longestFile)
      .map(([file, lines]) => `${file}: ${lines}`),
    `at most ${longestFile} lines`,
  );
});

test(`structure: a function has at most ${longestFunction} lines`, () => {
  const faults = modules.flatMap((file) => {
    const lines = read(file).split("\n");
    return lines.flatMap((line, start) => {
      const name = /^(?:export )?(?:async )?function\*? (\w+)|^(?:export )?const (\w+).*[({]$/.exec(line);
      if (name === null) return [];
      const length = lines.slice(start).findIndex((end) => /^[})]/.test(end) && !/^\).*\{$/.test(end)) + 1;
      return length > longestFunction ? [`${file}: ${name[1] ?? name[2]} has ${length}`] : [];
    });
  });
  none(faults, `at most ${longestFunction} lines`);
});

test("structure: a folder of tests mirrors a folder of lib, or is one of the others", () => {
  const folders = new Set(files.filter((file) => /^tests\/.*\//.test(file)).map((file) => posix.dirname(file)));
  none(
    [...folders].map((folder) => folder.slice("tests/".length)).filter((folder) =>
      !subjects.includes(folder) && !otherTests.some((other) => folder === other || folder.startsWith(`${other}/`))
    ),
    `a subject of lib or one of ${otherTests.join(", ")}`,
  );
});

// --- documentation

test("structure: every public name has a docstring, and every function an example", () => {
  const faults = publicModules().flatMap((module) =>
    module.names.flatMap((name) => {
      const at = `${module.title}: ${name.name}`;
      const own = name.declarations.filter(isOwn);
      const { doc = "", tags = [] } = docOf(name);
      if (own.length === 0) return [];
      if (doc === "") return [`${at}: no docstring`];
      const needsExample = own.some(({ kind }) => kind === "function") && !tags.some(({ kind }) => kind === "example");
      return needsExample ? [`${at}: no @example`] : [];
    })
  );
  none(faults, "a docstring, with @example on functions");
});

test("structure: the project names no path of a machine and no registry", () => {
  const parent = dirname(join(root, "."));
  const machine = parent === dirname(parent) || parent === tmpdir()
    ? []
    : readdirSync(parent).map((name) => join(parent, name)).filter((path) => statSync(path).isDirectory());
  const registries = /https?:\/\/(registry|npm|deb)\.|registry\.npmjs/i;
  none(
    files.map((file) => [file, read(file)] as const).filter(([, text]) => !text.includes("\0")).flatMap((
      [file, text],
    ) =>
      text.split("\n").flatMap((line, i) =>
        registries.test(line) || machine.some((path) => line.includes(path)) ? [`${file}:${i + 1}: ${line.trim()}`] : []
      )
    ),
    "no such name",
  );
});
