/**
 * The XML of S3: documents of a few levels without attributes that matter, comments or sections.
 *
 * @module
 */

// --- constructors

const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
const characters: Readonly<Record<string, string>> = { "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" };

/** Text as XML. */
export function escaped(text: string): string {
  return text.replace(/[<>&"]/g, (c) => characters[c]!);
}

function unescaped(text: string): string {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (all, decimal, hex, name) => {
    if (name !== undefined) return named[name] ?? all;
    const code = decimal === undefined ? parseInt(hex, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}

// --- combinators

/** The name of the outermost element, if the document is whole. */
export function rootOf(xml: string): string | undefined {
  return /^\uFEFF?\s*(?:<\?xml[^>]*\?>\s*)?<(\w+)(?:\s[^>]*)?(?:\/>|>.*<\/\1\s*>)\s*$/s.exec(xml)?.[1];
}

/** The inside of each element of a name; elements of one name are not nested. */
export function elementsOf(xml: string, name: string): readonly string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>(.*?)</${name}\\s*>`, "gs"))].map(([, inside = ""]) =>
    inside
  );
}

/** The text of the first element of a name. */
export function textOf(xml: string, name: string): string | undefined {
  const [first] = elementsOf(xml, name);
  return first === undefined ? undefined : unescaped(first);
}
