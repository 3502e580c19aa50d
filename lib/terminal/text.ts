/**
 * Widths of text in columns of a terminal, text broken into lines, and numbers and durations as text.
 *
 * @module
 */
import stringWidth from "string-width";

// --- constructors

/** A number with at most so many significant digits, four by default. An integer keeps all of its digits. */
export function numberText(value: number, digits: number = 4): string {
  if (Object.is(value, -0)) return "-0";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const rounded = Number(value.toPrecision(digits));
  // The greatest numbers would be rounded to Infinity.
  return String(Number.isFinite(rounded) ? rounded : value);
}

/** A duration in seconds in its largest unit, such as `5 min`. */
export function spanText(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.max(0, Math.round(seconds));
  const spans: readonly (readonly [number, string])[] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [length, unit] = spans.find(([length]) => whole >= 2 * length) ?? [1, "s"];
  return `${Math.floor(whole / length)} ${unit}`;
}

/** The width of a {@link printable} text in columns of a terminal. */
export function widthOf(text: string): number {
  // Most text is ASCII.
  return /^[ -~]*$/.test(text) ? text.length : stringWidth(text);
}

const graphemes = new Intl.Segmenter();

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
 * The lines of a text, broken at spaces so that none is wider than `width`; a wider word has a line of its own. A line that was broken keeps
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
