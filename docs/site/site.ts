/**
 * The site of the documentation: the README, the guides, and the reference, as pages that need no server, no script and no other site.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileOf, isOwn, type Module, type Name } from "../../tests/gate/reference.ts";
import { root } from "../../tests/gate/runtimes.ts";
import { escape, html } from "./html.ts";
import { guideOf, indexPage, pageOfGuide, type Part, parts } from "./index_page.ts";
import { modulePage } from "./names.ts";

// --- types

/** What `bun run docs` makes. */
export interface Site {
  /** The text of `docs/reference.md`. */
  readonly index: string;
  /** The pages: the file's name, and its text. */
  readonly pages: ReadonlyMap<string, string>;
  /** The files that are copied: the name in the site, and the file in the repository. */
  readonly copies: ReadonlyMap<string, string>;
}

/** A page before the frame is put around it. */
interface Page {
  readonly name: string;
  readonly title: string;
  readonly body: string;
}

const { repository } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly repository: { readonly url: string };
};
const home = repository.url.replace(/^git\+|\.git$/g, "");

// --- constructors

/** The name of a module's page. */
function pageOf({ title }: Module): string {
  return `reference-${(title.split("/")[2] ?? title.split("/")[1] ?? title).toLowerCase()}.html`;
}

/** The address of a file of the repository. */
function source(file: string, line?: number): string {
  return `${home}/blob/main/${file}${line === undefined ? "" : `#L${line}`}`;
}

/** The file that declares a name. */
function declaredIn(module: Module, { declarations: [first] }: Name): string {
  return first !== undefined && isOwn(first) ? fileOf(first.location.filename) : module.file;
}

/** Where a name leads to, as it is written in a module: its own names first, then those of the main entry, then those of the others. */
function linksFrom(from: Module | undefined, all: readonly Module[]): (name: string) => string | undefined {
  const inOrder = [...(from === undefined ? [] : [from]), ...all.filter(({ isNamespace }) => !isNamespace)];
  return (written) => {
    const [head = "", member] = written.split(".");
    const namespace = all.find(({ title, isNamespace }) => isNamespace && title === head);
    if (member !== undefined && namespace !== undefined) {
      if (member === "") return pageOf(namespace);
      return namespace.names.some(({ name }) => name === member) ? `${pageOf(namespace)}#${member}` : undefined;
    }
    if (member !== undefined) return undefined;
    const module = inOrder.find(({ names }) => names.some(({ name }) => name === head));
    return module === undefined ? undefined : `${pageOf(module)}#${head}`;
  };
}

/** The links beside each page. */
function navigation(guides: readonly Part[], all: readonly Module[], current: string): string {
  const link = (name: string, text: string): string =>
    `<li><a href="${name}"${name === current ? ' aria-current="page"' : ""}>${text}</a></li>`;
  const list = (title: string, links: readonly string[]): string => `<h2>${title}</h2><ul>${links.join("")}</ul>`;
  const of = (module: Module): string => link(pageOf(module), `<code>${module.title.replace(/^@dogear\//, "")}</code>`);
  return [
    ...guides.map((part) =>
      list(escape(part.title), part.guides.map((guide) => link(pageOfGuide(guide), escape(guide.title))))
    ),
    list("Entries", all.filter(({ isNamespace }) => !isNamespace).map(of)),
    list("Namespaces", all.filter(({ isNamespace }) => isNamespace).map(of)),
  ].join("\n");
}

function framed({ name, title, body }: Page, guides: readonly Part[], all: readonly Module[]): string {
  const links = navigation(guides, all, name);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
</head>
<body>
<header><a class="home" href="index.html">dogear</a> <a href="guides.html">Guides</a> <a href="reference.html">Reference</a> <a href="${home}">Source</a></header>
<details class="narrow"><summary>All pages</summary><nav>${links}</nav></details>
<div class="columns"><nav class="beside">${links}</nav>
<main${name === "reference.html" ? ' class="index"' : ""}>
${body}
</main></div>
</body>
</html>
`;
}

/**
 * The whole site.
 *
 * @param all The public names.
 */
export function site(all: readonly Module[]): Site {
  const guides = parts();
  const links = linksFrom(undefined, all);
  const copies = new Map([["style.css", "docs/site/style.css"]]);
  const sources = new Map([["README.md", "index.html"], ["docs/README.md", "guides.html"]]);
  for (const guide of guides.flatMap((part) => part.guides)) sources.set(`docs/${guide.file}`, pageOfGuide(guide));
  const showing = guides.flatMap((part) => part.guides).filter(({ file }) => file !== "reference.md");
  /** Where a link of a file leads to: to a page, to a copied picture, or into the repository. */
  const goalFrom = (file: string) => (target: string): string => {
    if (/^([a-z]+:|#)/.test(target)) return target;
    const [path = "", anchor] = target.split("#");
    const goal = posix.normalize(posix.join(posix.dirname(file), decodeURIComponent(path)));
    const end = anchor === undefined ? "" : `#${anchor}`;
    const page = sources.get(goal);
    if (page !== undefined) return `${page}${end}`;
    if (/\.(png|svg)$/.test(goal) && existsSync(join(root, goal))) {
      const name = posix.basename(goal);
      copies.set(name, goal);
      return name;
    }
    return `${source(goal)}${end}`;
  };
  const index = indexPage(all, showing, (module, name) => `../${declaredIn(module, name)}`);
  const indexOfSite = indexPage(all, showing, (module, { name }) => `${pageOf(module)}#${name}`);
  const titleOf = (text: string): string => `${/^# (.*)$/m.exec(text)?.[1]?.replaceAll("`", "") ?? ""}`;
  const pages: readonly Page[] = [
    ...[...sources].filter(([file]) => file !== "docs/reference.md").map(([file, name]) => {
      const text = readFileSync(join(root, file), "utf8");
      return {
        name,
        title: name === "index.html" ? "dogear" : `${titleOf(text)} · dogear`,
        body: html(text, links, goalFrom(file)),
      };
    }),
    {
      name: "reference.html",
      title: "Reference · dogear",
      body: html(
        indexOfSite,
        links,
        (target) => target.startsWith("reference-") ? target : goalFrom("docs/reference.md")(target),
      ),
    },
    ...all.map((module) => ({
      name: pageOf(module),
      title: `${module.title} · dogear`,
      body: modulePage(module, {
        linkOf: linksFrom(module, all),
        goal: (target) => target,
        source,
        guide: (of, name) => guideOf(showing, of, name),
      }),
    })),
  ];
  return { index, pages: new Map(pages.map((page) => [page.name, framed(page, guides, all)])), copies };
}
