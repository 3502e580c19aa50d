// @ts-check
/**
 * Values as text for people. Text of runs can be of any length and hold any character, so it is cut, and what cannot be seen is made visible.
 *
 * @module
 */

/** Characters that have no picture, or that turn the direction of the text around them. */
const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu;

/**
 * A text of a run, which can be shown anywhere.
 *
 * @param {unknown} value The text.
 * @param {number} [most] The most characters; the length of a longer text is said.
 * @returns {string}
 */
export function shown(value, most = 120) {
  const text = String(value);
  const some = text.slice(0, most).replace(invisible, (one) => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`);
  return text.length > most ? `${some}… (${text.length.toLocaleString("en")} characters)` : some;
}

/**
 * A number with four digits that matter. JSON has no NaN and no infinities: they come as strings.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function numberText(value) {
  const number = Number(value);
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(number)) return String(value).replace("Infinity", "∞").replace("-", "−");
  if (Number.isInteger(number) && Math.abs(number) < 1e7) return countText(number);
  const size = Math.abs(number);
  const rounded = Number(number.toPrecision(4));
  const text = size !== 0 && (size < 1e-3 || size >= 1e7) ? rounded.toExponential() : String(rounded);
  return text.replace("-", "−");
}

/**
 * A whole number with its thousands apart.
 *
 * @param {number} value
 * @returns {string}
 */
export function countText(value) {
  return value.toLocaleString("en").replace("-", "−");
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/**
 * A number of bytes.
 *
 * @param {number | null | undefined} bytes
 * @returns {string}
 */
export function bytesText(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : Number(value.toPrecision(3))} ${units[power]}`;
}

/**
 * How long ago a time was.
 *
 * @param {number} time Milliseconds since 1970.
 * @param {number} [now]
 * @returns {string}
 */
export function ageText(time, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - time) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

/**
 * A moment in the time of this machine.
 *
 * @param {number} time Milliseconds since 1970.
 * @returns {string}
 */
export function timeText(time) {
  const date = new Date(time);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/**
 * Metrics in a few words.
 *
 * @param {Readonly<Record<string, unknown>>} metrics
 * @param {number} [most] The most metrics.
 * @returns {string}
 */
export function metricsText(metrics, most = 4) {
  const all = Object.entries(metrics);
  const some = all.slice(0, most).map(([name, value]) => `${shown(name, 24)} ${numberText(value)}`);
  return [...some, ...(all.length > most ? [`${all.length - most} more`] : [])].join(", ");
}

/**
 * A shape; unknown sizes are question marks.
 *
 * @param {unknown} shape
 * @returns {string}
 */
export function shapeText(shape) {
  if (!Array.isArray(shape)) return "?";
  return shape.some(Array.isArray)
    ? shape.map(shapeText).join(", ")
    : `[${shape.map((size) => size ?? "?").join(", ")}]`;
}
