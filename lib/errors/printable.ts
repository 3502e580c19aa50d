/**
 * Text that cannot control a terminal.
 *
 * @module
 */

// --- constructors

/** Characters that control a terminal or are invisible: control and format characters (bidirectional marks too), line ends, lone surrogates. */
export const unprintable: RegExp = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A code in hexadecimal digits, at least so many. */
export function hexCode(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

/** Text that is safe to print: unprintable characters are replaced by their codes, such as `\x1b`. */
export function printable(text: string): string {
  return text.replace(unprintable, (c) => {
    const code = c.codePointAt(0) ?? 0;
    if (code < 0x100) return `\\x${hexCode(code, 2)}`;
    return code < 0x10000 ? `\\u${hexCode(code, 4)}` : `\\u{${hexCode(code, 1)}}`;
  });
}

/** Lines that are safe to print. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}
