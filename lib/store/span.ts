/**
 * Spans of time as text, such as `7d`.
 *
 * @module
 */

// --- types

/** A span of time: a number and its unit, seconds, minutes, hours, days or weeks, such as `"90s"`, `"30m"`, `"1.5h"`, `"7d"` or `"2w"`. */
export type Span = `${number}${"s" | "m" | "h" | "d" | "w"}`;

const units = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** What a {@link Span} is, for messages. */
export const spanInWords = "a span of time such as 90s, 30m, 12h, 7d or 2w";

// --- constructors

/** The length of a {@link Span} in milliseconds; undefined for any other value, and for a span that is not above 0. */
export function millisecondsOf(span: unknown): number | undefined {
  const [, digits, unit] = typeof span === "string" ? /^(\d+(?:\.\d+)?)([smhdw])$/.exec(span) ?? [] : [];
  const length = Math.round(Number(digits) * units[unit as keyof typeof units]);
  return length > 0 && Number.isSafeInteger(length) ? length : undefined;
}
