// @ts-check
/**
 * Colours: light and dark, and those of the lines of history.
 *
 * @module
 */

/** @typedef {{ text: string, muted: string, grid: string, panel: string, back: string, bad: string, accent: string }} Colours */
/** @typedef {{ colour: string, dash: number[] }} Stroke */

const name = "dogear-theme";

/** The choice of the last visit. Storage may be forbidden. */
function remembered() {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

const system = matchMedia("(prefers-color-scheme: dark)");

/**
 * What was read of the theme: thousands of marks ask for it.
 *
 * @type {Colours | undefined}
 */
let current;

function isDark() {
  return document.documentElement.dataset["theme"] === "dark";
}

/** @param {"light" | "dark"} theme */
function setTheme(theme) {
  document.documentElement.dataset["theme"] = theme;
  current = undefined;
  dispatchEvent(new Event("themechange"));
}

/** Shows the remembered theme; without one, that of the system, also when it changes. */
export function applyTheme() {
  const follow = () => {
    const theme = remembered();
    setTheme(theme === "light" || theme === "dark" ? theme : system.matches ? "dark" : "light");
  };
  system.addEventListener("change", follow);
  follow();
}

/** Changes between light and dark. */
export function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  setTheme(theme);
  try {
    localStorage.setItem(name, theme);
  } catch {
    // It is then forgotten with the page.
  }
}

/** Reads the colours from the style of the page. */
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ of) => style.getPropertyValue(of).trim();
  const read = {
    text: colour("--text"),
    muted: colour("--muted"),
    grid: colour("--grid"),
    panel: colour("--panel"),
    back: colour("--back"),
    bad: colour("--bad"),
    accent: colour("--accent"),
  };
  // Before the style is loaded it has no colours.
  if (read.text !== "") current = read;
  return read;
}

/**
 * The colours for what is drawn.
 *
 * @returns {Colours}
 */
export function colours() {
  return current ?? readColours();
}

// The palette of Okabe and Ito (2008), which people who see few colours can tell apart; the second set is lighter, for dark pages.
const palettes = [
  ["#0072b2", "#d55e00", "#009e73", "#a8518a", "#b07800", "#3f9bd1", "#6b6b6b"],
  ["#5cb3e8", "#ff9447", "#3fcfa3", "#e79cc8", "#f0bf4c", "#9bd3f5", "#b5b5b5"],
];
const dashes = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

/**
 * The stroke of a line of history. Lines differ in colour and, from the second on, in their dashes.
 *
 * @param {number} index The number of the line.
 * @returns {Stroke}
 */
export function strokeOf(index) {
  const palette = /** @type {string[]} */ (palettes[isDark() ? 1 : 0]);
  return {
    colour: /** @type {string} */ (palette[index % palette.length]),
    dash: /** @type {number[]} */ (dashes[index % dashes.length]),
  };
}
