/**
 * The index of the reference: one line for each public name, with its first sentence and the guide that shows it.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { docOf, type Module, type Name, writtenIn } from "../../tests/gate/reference.ts";
import { root } from "../../tests/gate/runtimes.ts";

// --- types

/** A guide: its file in `docs/`, the name that the index of guides gives it, and its code. */
export interface Guide {
  readonly file: string;
  readonly title: string;
  readonly code: string;
}

/** The guides under one heading of their index. */
export interface Part {
  readonly title: string;
  readonly guides: readonly Guide[];
}

// --- constructors

/** The guides, as `docs/README.md` lists them. */
export function parts(): readonly Part[] {
  const [, ...found] = readFileSync(join(root, "docs/README.md"), "utf8").split(/^## /m);
  return found.map((part) => ({
    title: part.slice(0, part.indexOf("\n")),
    guides: [...part.matchAll(/^- \[(.+?)\]\(([^)#]+\.md)\)/gm)].map(([, title = "", file = ""]) => {
      const text = readFileSync(join(root, "docs", file), "utf8");
      return { title, file, code: (text.match(/^```ts[^]*?^```|`[^`\n]+`/gm) ?? []).join("\n") };
    }),
  }));
}

/** The first guide whose code has a name: a function as a call or an import, another name as a word. */
export function guideOf(guides: readonly Guide[], module: Module, { name, declarations }: Name): Guide | undefined {
  const written = writtenIn(module, name).replace(".", "\\.");
  const isFunction = declarations.some(({ kind }) => kind === "function");
  const pattern = new RegExp(
    isFunction && !module.isNamespace
      ? `(?<![\\w.])${written}\\(|^import \\{[^}]*\\b${written}\\b[^}]*\\} from "${module.title}"`
      : `(?<![\\w.])${written}\\b`,
    "m",
  );
  return guides.find(({ code }) => pattern.test(code));
}

/** The headings over the names of a module: the comments over the exports of the main entry. */
export function sections(module: Module): readonly (readonly [heading: string, names: readonly Name[]])[] {
  const [, exports = ""] = readFileSync(join(root, module.file), "utf8").split(/^ \*\/$/m);
  const headings = [...exports.matchAll(/^\/\/ (.*)$/gm)];
  if (module.file !== "mod.ts") return [["", module.names]];
  const headingOf = ({ name }: Name): string => {
    const at = exports.search(new RegExp(`\\b${name}\\b(?=[^"]*")(?![^\\n]*\\n?//)`));
    return headings.findLast(({ index }) => index < at)?.[1] ?? "";
  };
  return ["", ...headings.map(([, heading = ""]) => heading)]
    .map((heading) => [heading, module.names.filter((name) => headingOf(name) === heading)] as const)
    .filter(([, names]) => names.length > 0);
}

// --- combinators

/** The page of a guide in the site. */
export function pageOfGuide({ file }: Guide): string {
  return file.replace(/md$/, "html");
}

/** The first sentence of a docstring. */
export function firstSentence(doc: string): string {
  const [paragraph = ""] = doc.trim().split(/\n\n/);
  const text = paragraph.replace(/\{@link (\S+?)\}/g, "`$1`").replace(/\s+/g, " ");
  return /^.*?[.!?](?=\s|$)/.exec(text)?.[0] ?? text;
}

/**
 * The index as Markdown.
 *
 * @param modules The modules with their names.
 * @param guides The guides that may show a name.
 * @param linkOf Where a name leads to.
 */
export function indexPage(
  modules: readonly Module[],
  guides: readonly Guide[],
  linkOf: (module: Module, name: Name) => string,
): string {
  const line = (module: Module, name: Name): string => {
    const guide = guideOf(guides, module, name);
    const what = firstSentence(docOf(name).doc ?? "").replaceAll("|", "\\|");
    return `| [\`${writtenIn(module, name.name)}\`](${linkOf(module, name)}) | ${what} | ${
      guide === undefined ? "" : `[${guide.title}](${guide.file})`
    } |`;
  };
  const table = (module: Module, names: readonly Name[]): string =>
    ["| name | is | shown in |", "|---|---|---|", ...names.map((name) => line(module, name))].join("\n");
  return [
    "# Reference",
    "Every public name: its first sentence, and the first guide that shows it. `bun run docs` makes this page from the docstrings.",
    ...modules.flatMap((module) => [
      `## \`${module.title}\``,
      firstSentence(module.doc.doc ?? ""),
      ...sections(module).flatMap(([heading, names]) => [
        ...(heading === "" ? [] : [`### ${heading}`]),
        table(module, names),
      ]),
    ]),
  ].join("\n\n") + "\n";
}
