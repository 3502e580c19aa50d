/**
 * The public names of the package: those of each entry, and those of each namespace of the main entry, as `deno doc` reads them.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { deno, root } from "./runtimes.ts";

// --- types

/** A tag of a docstring. */
export interface Tag {
  readonly kind: string;
  readonly name?: string;
  readonly doc?: string;
}

/** A docstring. */
export interface JsDoc {
  readonly doc?: string;
  readonly tags?: readonly Tag[];
}

/** Where a declaration is. Lines count from 0. */
export interface Location {
  readonly filename: string;
  readonly line: number;
}

/** A declaration of a name. An overloaded function has several. */
export interface Declaration {
  readonly kind: string;
  readonly declarationKind: string;
  readonly location: Location;
  readonly jsDoc?: JsDoc;
  readonly def?: { readonly target?: Location };
}

/** A public name. */
export interface Name {
  readonly name: string;
  readonly declarations: readonly Declaration[];
}

/** An entry of the package, or a namespace of the main entry. */
export interface Module {
  /** What is imported: `@dogear/dogear/data`; or the namespace: `Loader`. */
  readonly title: string;
  readonly isNamespace: boolean;
  /** Its file, relative to the project. */
  readonly file: string;
  readonly doc: JsDoc;
  readonly names: readonly Name[];
}

type Nodes = Readonly<Record<string, { readonly module_doc?: JsDoc; readonly symbols?: readonly Name[] }>>;

// --- constructors

/** The entries of the package that are libraries: what is imported, and the file. */
export function entries(): readonly (readonly [title: string, file: string])[] {
  const { name, exports } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8")) as {
    readonly name: string;
    readonly exports: Readonly<Record<string, string>>;
  };
  return Object.entries(exports).filter(([path]) => path !== "./cli")
    .map(([path, file]) => [`${name}${path.slice(1)}`, file.slice(2)]);
}

function denoDoc(
  args: readonly string[],
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(deno(), ["doc", ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  });
}

/** What `deno doc` knows of some files, or an Error with what it reports. */
function nodesOf(files: readonly string[]): Nodes {
  const { status, stdout, stderr } = denoDoc(["--json", ...files]);
  if (status !== 0) throw new Error(`deno doc: ${stderr}`);
  return (JSON.parse(stdout) as { readonly nodes: Nodes }).nodes;
}

/**
 * What `deno doc --lint` finds in all modules together. The types of other packages are documented there: an import map leaves them out,
 * because Deno takes what is in `node_modules` for our own.
 */
export function documentationFaults(modules: readonly Module[]): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), "dogear-lint-"));
  try {
    const files = [
      "mod.ts",
      ...readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" }).map((name) => `lib/${name}`),
    ];
    const others = files.filter((name) => name.endsWith(".ts")).flatMap((name) =>
      [...readFileSync(join(root, name), "utf8").matchAll(/(?:from |import\()"([^."][^"]*)"/g)].map(([, other = ""]) =>
        other
      )
    ).filter((other) => !other.startsWith("node:"));
    const imports = Object.fromEntries(others.map((other) => [other, "data:application/typescript,export{}"]));
    writeFileSync(join(folder, "imports.json"), JSON.stringify({ imports }));
    const { status, stderr } = denoDoc([
      "--lint",
      "--import-map",
      join(folder, "imports.json"),
      ...modules.map(({ file }) => file),
    ]);
    const faults = [...stderr.matchAll(/^error\[.*\]: (.*)\n\s*--> (.*)$/gm)].map(([, what = "", at = ""]) =>
      `${at}: ${what}`
    );
    return status === 0 || faults.length > 0 ? faults : [stderr];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Entries first, then namespaces. The names of a namespace are those of its file: `deno doc` leaves out what that file re-exports. */
export function publicModules(): readonly Module[] {
  const declared = new Map<string, Declaration>();
  const at = ({ filename, line }: Location) => `${filename}:${line}`;
  // A name that another entry exports too is a reference to the declaration there.
  const resolved = (one: Declaration) => one.def?.target === undefined ? one : declared.get(at(one.def.target)) ?? one;
  const read = (files: readonly (readonly [title: string, file: string])[], isNamespace: boolean): Module[] => {
    const nodes = nodesOf(files.map(([, file]) => file));
    for (
      const one of Object.values(nodes).flatMap(({ symbols = [] }) => symbols.flatMap((name) => name.declarations))
    ) {
      if (one.kind !== "reference") declared.set(at(one.location), one);
    }
    return files.map(([title, file]) => {
      const { module_doc: doc = {}, symbols = [] } = nodes[pathToFileURL(join(root, file)).href] ?? {};
      const isPublic = ({ declarations }: Name) => declarations.some((one) => one.declarationKind === "export");
      return {
        title,
        isNamespace,
        file,
        doc,
        names: symbols.filter(isPublic).map(({ name, declarations }) => ({
          name,
          declarations: declarations.map(resolved),
        })),
      };
    });
  };
  const found = read(entries(), false);
  const namespaces = found.flatMap(({ names }) => names).flatMap(({ name, declarations }) =>
    declarations.filter(({ kind }) => kind === "namespace").map(({ location }) => {
      const text = readFileSync(fileURLToPath(location.filename), "utf8");
      const path = new RegExp(`export \\* as ${name} from "(.+)"`).exec(text)?.[1] ?? "";
      return [name, fileOf(new URL(path, location.filename).href)] as const;
    })
  );
  return [...found, ...read(namespaces, true)];
}

// --- combinators

/** A file's path relative to the project. */
export function fileOf(url: string): string {
  return url.startsWith(pathToFileURL(root).href) ? url.slice(pathToFileURL(root).href.length) : url;
}

/** Whether a declaration is ours, and not that of another package. */
export function isOwn({ location }: Declaration): boolean {
  return /^(mod\.ts$|lib\/)/.test(fileOf(location.filename));
}

/** How a name is written in a program: `saveState`, `Loader.batch`. */
export function writtenIn({ title, isNamespace }: Module, name: string): string {
  return isNamespace ? `${title}.${name}` : name;
}

/** The docstring of a name. */
export function docOf({ declarations }: Name): JsDoc {
  return declarations.find(({ jsDoc }) => jsDoc !== undefined)?.jsDoc ?? {};
}
