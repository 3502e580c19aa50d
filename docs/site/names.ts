/**
 * The pages of the reference: one for each entry and each namespace, with every name's declaration, docstring and examples.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Declaration,
  docOf,
  fileOf,
  isOwn,
  type Module,
  type Name,
  type Tag,
  writtenIn,
} from "../../tests/gate/reference.ts";
import { root } from "../../tests/gate/runtimes.ts";
import { code, escape, html, type LinkOf } from "./html.ts";
import { type Guide, pageOfGuide, sections } from "./index_page.ts";

// --- types

/** What a page of the reference needs to know of the site. */
export interface Place {
  /** Where a name that is written in this module leads to. */
  readonly linkOf: LinkOf;
  /** Where a link in a docstring leads to. */
  readonly goal: (target: string) => string;
  /** The guide that shows a name. */
  readonly guide: (module: Module, name: Name) => Guide | undefined;
  /** The address of a file of the repository. */
  readonly source: (file: string, line: number) => string;
}

// --- constructors

/** What a declaration has for the linter, and members that are marked as internal. */
const notForReaders = /^ *\/\/ deno-lint-ignore.*\n|^ *\/\*\*(?:(?!\*\/)[^])*@internal(?:(?!\*\/)[^])*\*\/\n.*\n/gm;

/** A declaration as it is written, without the body of a function and the value of a constant. */
function written(name: string, { location, kind }: Declaration): string {
  const [first = "", ...rest] = readFileSync(join(root, fileOf(location.filename)), "utf8").split("\n")
    .slice(location.line);
  const length = rest.findIndex((line) => /^[^\s)}>]/.test(line));
  const lines = [first, ...rest.slice(0, length < 0 ? undefined : length)];
  const named = (text: string) =>
    text.trimEnd().replace(notForReaders, "").replace(/^export /, "").replace(
      /^((?:async )?(?:function|const|interface|type) )\w+/,
      `$1${name}`,
    );
  if (kind === "variable") return named(lines.join("\n").split(/ =\s/)[0] ?? "");
  if (kind !== "function") return named(lines.join("\n"));
  const body = lines.findIndex((line) => /^\S.*\{$/.test(line) && !/[:=|&<({] \{$|[({<]\{$/.test(line));
  return named(body < 0 ? lines.join("\n") : lines.slice(0, body + 1).join("\n").replace(/ \{$/, ""));
}

/** The text of a docstring as Markdown, with its links. */
function linked(text: string, linkOf: LinkOf): string {
  return text.replace(/\{@link (\S+?)\}/g, (_, name: string) => {
    const link = linkOf(name);
    return link === undefined ? `\`${name}\`` : `[\`${name}\`](${link})`;
  });
}

/** The section of a name. */
function nameSection(module: Module, name: Name, { linkOf, goal, source, guide }: Place): string {
  const { doc = "", tags = [] } = docOf(name);
  const own = name.declarations.filter((one) => isOwn(one) && one.kind !== "namespace");
  const isNamespace = name.declarations.some(({ kind }) => kind === "namespace");
  const text = (part: string): string => html(linked(part, linkOf), linkOf, goal);
  const tagged = (kind: string): readonly Tag[] => tags.filter((tag) => tag.kind === kind && tag.doc !== undefined);
  const declarations = own.map((one) => {
    const typeOf = (word: string) => /^[A-Z]/.test(word) && word !== name.name ? linkOf(word) : undefined;
    return `<pre class="declaration"><code>${code(written(name.name, one), typeOf)}</code></pre>`;
  });
  const list = [...tagged("param"), ...tagged("return")].map(({ kind, name: of = "", doc = "" }) =>
    `<dt>${kind === "param" ? `<code>${escape(of)}</code>` : "returns"}</dt><dd>${text(doc)}</dd>`
  );
  const [at] = own;
  const shown = guide(module, name);
  const more = [
    ...(at === undefined ? [] : [[source(fileOf(at.location.filename), at.location.line + 1), "source"]]),
    ...(shown === undefined ? [] : [[pageOfGuide(shown), `guide: ${escape(shown.title)}`]]),
    ...(isNamespace ? [[linkOf(`${name.name}.`) ?? "", `all of ${name.name}`]] : []),
  ].map(([link, words]) => `<a href="${link}">${words}</a>`);
  return [
    `<section id="${name.name}"><h3><a href="#${name.name}">${escape(writtenIn(module, name.name))}</a></h3>`,
    `<p class="more">${more.join(" · ")}</p>`,
    ...declarations,
    own.length > 0 || isNamespace ? text(doc) : "<p>From fp-ts, unchanged.</p>",
    ...(list.length > 0 ? [`<dl>${list.join("\n")}</dl>`] : []),
    ...(own.length > 0 ? tagged("example").map(({ doc = "" }) => text(doc)) : []),
    "</section>",
  ].join("\n");
}

/** The page of a module. */
export function modulePage(module: Module, place: Place): string {
  const { doc = "", tags = [] } = module.doc;
  const text = (part: string): string => html(linked(part, place.linkOf), place.linkOf, place.goal);
  const examples = tags.filter(({ kind }) => kind === "example").map((tag) => text(tag.doc ?? ""));
  const parts = sections(module);
  const contents = parts.map(([heading, names]) =>
    `<p>${heading === "" ? "" : `<b>${heading}</b>: `}${
      names.map(({ name }) => `<a href="#${name}"><code>${name}</code></a>`).join(" · ")
    }</p>`
  );
  return `<h1><code>${module.title}</code></h1>\n${text(doc)}${examples.join("\n")}<nav class="contents">${
    contents.join("\n")
  }</nav>\n${
    parts.map(([heading, names]) =>
      `${heading === "" ? "" : `<h2>${heading}</h2>\n`}${
        names.map((name) => nameSection(module, name, place)).join("\n")
      }`
    ).join("\n")
  }`;
}
