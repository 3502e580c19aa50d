/**
 * Markdown and code as HTML.
 *
 * @module
 */

import { anchors } from "../../tests/gate/prose.ts";

// --- types

/** Where a name that code uses leads to, if it is public. */
export type LinkOf = (name: string) => string | undefined;

/** The parser of Markdown that is part of Bun. */
const { markdown } = (globalThis as unknown as {
  Bun: { markdown: { html: (text: string, options: { readonly headings: { readonly ids: boolean } }) => string } };
}).Bun;

// --- constructors

export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function unescape(html: string): string {
  return html.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
}

const token =
  /(?<comment>\/\/.*|\/\*[^]*?\*\/)|(?<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|(?<number>\b\d[\w.]*)|(?<word>(?<!\.)\b[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)?)|[^]/g;
const keyword =
  /^(any|as|asserts|async|await|bigint|boolean|break|case|catch|class|const|continue|default|else|export|extends|false|finally|for|from|function|if|import|in|infer|instanceof|interface|is|keyof|let|never|new|null|number|object|of|readonly|return|string|switch|symbol|this|throw|true|try|type|typeof|undefined|unknown|using|void|while|yield)$/;

/** TypeScript with colours, and with links on its public names. */
export function code(text: string, linkOf: LinkOf): string {
  const inColour = (kind: string, part: string) => `<span class="${kind}">${escape(part)}</span>`;
  return text.replace(token, (part: string, ...more: unknown[]) => {
    const { comment, text, number, word } = more.at(-1) as Readonly<Record<string, string | undefined>>;
    if (comment !== undefined) return inColour("comment", part.replace(/\{@link (\S+?)\}/g, "$1"));
    if (text !== undefined) return inColour("string", part);
    if (number !== undefined) return inColour("number", part);
    if (word === undefined) return escape(part);
    if (keyword.test(word)) return inColour("keyword", part);
    const link = linkOf(word);
    return link === undefined ? escape(part) : `<a href="${link}">${escape(part)}</a>`;
  });
}

/** A program with colours, and with links on what it imports from the package. */
function program(text: string, linkOf: LinkOf): string {
  const imported = [...text.matchAll(/^import (?:type )?\{([^}]*)\} from "@dogear\/dogear[^"]*";/gm)]
    .flatMap(([, names = ""]) => names.match(/\w+/g) ?? []);
  return code(text, (word) => imported.includes(word.split(".")[0] ?? "") ? linkOf(word) : undefined);
}

/** A difference with colours. */
function diff(body: string): string {
  return body.replace(
    /^[+-].*$/gm,
    (line) => `<span class="${line.startsWith("+") ? "added" : "removed"}">${line}</span>`,
  );
}

/**
 * Markdown as HTML: code has colours, headings have the anchors that GitHub gives them, public names in a text have links.
 *
 * @param text The Markdown.
 * @param linkOf Where public names lead to.
 * @param goal Where a link or picture of the text leads to.
 */
export function html(text: string, linkOf: LinkOf, goal: (target: string) => string): string {
  const ids = [...anchors(text)];
  return markdown.html(text.replace(/<!--[^]*?-->/g, ""), { headings: { ids: true } })
    .replace(/<h([1-6]) id="[^"]*">/g, (_, level: string) => `<h${level} id="${ids.shift() ?? ""}">`)
    .replace(
      / (href|src|srcset)="([^"]*)"/g,
      (_, name: string, target: string) => ` ${name}="${escape(goal(unescape(target)))}"`,
    )
    .replace(
      /<code>([A-Za-z]\w*\.[a-z]\w*|[a-z]+[A-Z]\w*|[A-Z]\w+)<\/code>(?![^<]*<\/(?:a|h\d)>)/g,
      (whole: string, name: string) => {
        const link = linkOf(name);
        return link === undefined ? whole : `<a href="${link}">${whole}</a>`;
      },
    )
    .replace(
      /<pre><code(?: class="language-(\w+)[^"]*")?>([^]*?)<\/code><\/pre>/g,
      (_, language: string | undefined, body: string) =>
        `<pre><code>${
          language === "ts" ? program(unescape(body), linkOf) : language === "diff" ? diff(body) : body
        }</code></pre>`,
    )
    .replace(/<table>[^]*?<\/table>/g, (table) => `<div class="wide">${table}</div>`);
}
