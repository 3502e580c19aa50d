/**
 * The text of Markdown files: their links, their anchors, and their sentences.
 *
 * @module
 */

// --- types

/** A link of a file, with its line from 1. */
export interface Link {
  readonly line: number;
  readonly target: string;
}

/** A sentence, with the line from 1 on which it begins. */
export interface Sentence {
  readonly line: number;
  readonly text: string;
  readonly words: number;
}

// --- constructors

/** A file's lines, those of code blocks and of comments empty. */
function outsideCode(text: string): readonly string[] {
  const blank = (part: string) => part.replace(/[^\n]+/g, "");
  return text.replace(/<!--[^]*?-->/g, blank).replace(/^```[^]*?^```[^\n]*$/gm, blank).split("\n");
}

/** The links of a file, outside code. */
export function links(text: string): readonly Link[] {
  return outsideCode(text).flatMap((line, index) =>
    [
      ...line.replace(/`[^`]*`/g, (code) => "x".repeat(code.length)).matchAll(
        /\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g,
      ),
    ]
      .map(([, inline, tag]) => ({ line: index + 1, target: inline ?? tag ?? "" }))
  );
}

/** The anchors of a file's headings, as GitHub makes them. */
export function anchors(text: string): ReadonlySet<string> {
  const made = new Set<string>();
  for (const line of outsideCode(text)) {
    const heading = /^#{1,6}\s+(.*?)\s*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "").replaceAll(" ", "-");
    let anchor = slug;
    for (let n = 1; made.has(anchor); n += 1) anchor = `${slug}-${n}`;
    made.add(anchor);
  }
  return made;
}

/** The sentences of a file outside code, tables and headings; code within a sentence is one word. */
export function sentences(text: string): readonly Sentence[] {
  const found: Sentence[] = [];
  let paragraph: { line: number; text: string } | undefined;
  const close = () => {
    if (paragraph === undefined) return;
    let { line } = paragraph;
    const code: string[] = [];
    const plain = paragraph.text
      .replace(/`[^`]*`/g, (span) => `¤${code.push(span) - 1}¤`)
      .replace(/\]\([^)]*\)/g, "]");
    for (const part of plain.split(/(?<=[.!?][)*"”\]]*\s+)(?=\S)/)) {
      const words = part.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
      const shown = part.replace(/¤(\d+)¤/g, (_, n: string) => code[Number(n)] ?? "").replace(/\s+/g, " ")
        .trim();
      if (words > 0) found.push({ line, text: shown, words });
      line += part.split("\n").length - 1;
    }
    paragraph = undefined;
  };
  for (const [index, line] of [...outsideCode(text), ""].entries()) {
    const item = /^\s*(?:[-*+]|\d+\.)\s+(.*)$/.exec(line)?.[1];
    if (/^\s*$|^\s*\||^#{1,6}\s/.test(line)) close();
    else if (item !== undefined) {
      close();
      paragraph = { line: index + 1, text: item };
    } else if (paragraph === undefined) paragraph = { line: index + 1, text: line };
    else paragraph.text += `\n${line}`;
  }
  return found;
}
