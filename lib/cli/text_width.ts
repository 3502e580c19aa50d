/**
 * Widths of text in columns of a terminal, and text cut or broken to a width. In a file of the command line, because `string-width` takes
 * long to load.
 *
 * @module
 */
import stringWidth from "string-width";

// --- constructors

/** The width of a {@link printable} text in columns of a terminal. */
export function widthOf(text: string): number {
  // Most text is ASCII.
  return /^[ -~]*$/.test(text) ? text.length : stringWidth(text);
}

/** The characters of a text as a reader sees them. */
export const graphemes: Intl.Segmenter = new Intl.Segmenter();

// --- combinators

/** A text cut to a width in columns, never inside a character as a reader sees it. `end` replaces what was cut off. */
export function cut(text: string, width: number, end = "…"): string {
  if (widthOf(text) <= width) return text;
  let [taken, left] = ["", Math.max(0, width - end.length)];
  for (const { segment } of graphemes.segment(text)) {
    left -= widthOf(segment);
    if (left < 0) break;
    taken += segment;
  }
  return taken + end;
}

/**
 * The lines of a text, broken at spaces so that none is wider than `width`; a wider word has a separate line. A line that was broken keeps
 * its indent and adds `hang` to it.
 */
export function wrap(text: string, width: number, hang: string = ""): readonly string[] {
  return text.split("\n").flatMap((line) => {
    if (widthOf(line) <= width) return [line];
    const [indent = ""] = /^ */.exec(line) ?? [];
    const lines: string[] = [];
    for (const word of line.slice(indent.length).split(/ +/)) {
      const last = lines.at(-1);
      const longer = last === undefined ? indent + word : `${last} ${word}`;
      if (last === undefined || widthOf(longer) > width) lines.push(last === undefined ? longer : indent + hang + word);
      else lines[lines.length - 1] = longer;
    }
    return lines;
  });
}
