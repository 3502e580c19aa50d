/**
 * Widths of text in columns of a terminal, text broken into lines, and numbers and durations as text.
 *
 * @module
 */

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

/**
 * Characters two columns wide: East Asian Wide and Fullwidth of Unicode Standard Annex 11, rounded to whole blocks where the rest of a block is
 * unassigned, and emoji that are shown as pictures.
 */
const wide = new RegExp(
  "[\\u1100-\\u115f\\u2329\\u232a\\u2e80-\\u303e\\u3041-\\u33ff\\u3400-\\u4dbf\\u4e00-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3" +
    "\\uf900-\\ufaff\\ufe10-\\ufe19\\ufe30-\\ufe6f\\uff01-\\uff60\\uffe0-\\uffe6\\u{16fe0}-\\u{18dff}\\u{1aff0}-\\u{1b2ff}" +
    "\\u{1d300}-\\u{1d37f}\\u{1f200}-\\u{1f2ff}\\u{20000}-\\u{3fffd}\\p{Emoji_Presentation}]",
  "u",
);

/** Characters without width: they combine with the one before. */
const narrow = /[\p{Mn}\p{Me}\u1160-\u11ff\ud7b0-\ud7ff]/u;

/** Regional indicators: two of them make one flag, which is two columns wide. */
const half = /\p{Regional_Indicator}/u;

/** The width of a {@link printable} text in columns of a terminal. */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const c of text) width += narrow.test(c) ? 0 : wide.test(c) && !half.test(c) ? 2 : 1;
  return width;
}

// --- combinators

/** A text cut to a width in columns, never inside a character. `end` replaces what was cut off. */
export function cut(text: string, width: number, end = "…"): string {
  if (widthOf(text) <= width) return text;
  let [taken, left] = ["", Math.max(0, width - end.length)];
  for (const c of text) {
    left -= widthOf(c);
    if (left < 0) break;
    taken += c;
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
