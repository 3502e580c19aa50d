/**
 * The views of the page of `dogear serve`, by their routes.
 *
 * @module
 */
import type { Page } from "playwright-core";

// --- types

/** A view. */
export type View = "overview" | "checkpoint" | "tensor" | "compare";

// --- constructors

/** The route of a view: what follows `#` in the address. */
export function routeOf(view: View, ...parts: readonly string[]): string {
  return `#/${[...(view === "overview" ? [] : [view]), ...parts.map(encodeURIComponent)].join("/")}`;
}

// --- combinators

/** Waits until a view shows all that it asked for. */
export async function waitForView(page: Page, view: View): Promise<void> {
  await page.waitForURL(({ hash }) => view === "overview" ? /^(#\/?)?$/.test(hash) : hash.startsWith(`#/${view}`));
  // The page hears of its new address one task later, and draws in a frame.
  await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
  await page.locator('main[aria-busy="false"]').waitFor();
}

/** Opens a view of a page and waits until it shows all that it asked for. */
export async function openView(page: Page, url: string, view: View, ...parts: readonly string[]): Promise<void> {
  await page.goto(url + routeOf(view, ...parts));
  await waitForView(page, view);
}

// --- layout

/** How a page looks. */
export interface Layout {
  /** The width that it needs, in pixels. */
  readonly width: number;
  readonly isDark: boolean;
  /** Texts whose contrast with what is behind them is below 4.5, or 3 if they are large. */
  readonly faint: readonly string[];
}

/** Measures the layout of a page. */
export async function layoutOf(page: Page): Promise<Layout> {
  return await page.evaluate(measure) as Layout;
}

const measure = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parsed = new Map();
  const parse = (colour) => {
    if (!parsed.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      parsed.set(colour, [r, g, b, a / 255]);
    }
    return parsed.get(colour);
  };
  const over = ([r, g, b, a], [r2, g2, b2]) => [r * a + r2 * (1 - a), g * a + g2 * (1 - a), b * a + b2 * (1 - a), 1];
  const behind = (element) =>
    element === null ? [255, 255, 255, 1] : (() => {
      const own = parse(getComputedStyle(element).backgroundColor);
      return own[3] === 1 ? own : over(own, behind(element.parentElement));
    })();
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = 0; n < 3000 && texts.nextNode(); n++) {
    const { data, parentElement: element } = texts.currentNode;
    if (data.trim() === "" || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (element.closest(":disabled, [hidden], script, style") !== null) continue;
    const { color, fill, fontSize } = getComputedStyle(element);
    const back = behind(element);
    const front = over(parse(element.closest("svg") === null ? color : fill), back);
    if (contrast(front, back) < (parseFloat(fontSize) >= 24 ? 3 : 4.5)) {
      faint.add(contrast(front, back).toFixed(1) + " " + data.trim().slice(0, 40));
    }
  }
  return {
    width: document.documentElement.scrollWidth,
    isDark: luminance(behind(document.body)) < 0.2,
    faint: [...faint],
  };
})()`;
