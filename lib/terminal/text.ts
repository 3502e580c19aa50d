/**
 * Numbers and durations as text.
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
