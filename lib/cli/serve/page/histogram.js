// @ts-check
/**
 * Histograms, as one figure and as ridges over checkpoints.
 *
 * @module
 */
import { element, svg } from "./dom.js";
import { numberText } from "./text.js";

const [width, height] = [640, 180];

/**
 * The histogram of a tensor.
 *
 * @param {number[]} edges
 * @param {number[]} counts One fewer than edges.
 * @returns {HTMLElement}
 */
export function histogram(edges, counts) {
  const most = counts.reduce((a, b) => Math.max(a, b), 1);
  const [low, high] = [edges[0] ?? 0, edges.at(-1) ?? 1];
  // Halves, since the difference of the largest numbers would be infinite.
  const x = (/** @type {number} */ value) => width * ((value / 2 - low / 2) / (high / 2 - low / 2 || 1));
  const bars = counts.map((count, i) => {
    const [from, to] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    const tall = (height - 4) * count / most;
    const bar = { x: x(from) + 0.5, y: height - tall, width: Math.max(0.5, x(to) - x(from) - 1), height: tall };
    return svg(
      "rect",
      bar,
      svg("title", {}, `${numberText(from)} to ${numberText(to)}: ${count.toLocaleString("en")}`),
    );
  });
  const zero = low < 0 && high > 0 ? [svg("line", { x1: x(0), x2: x(0), y1: 0, y2: height, class: "zero" })] : [];
  const label = `Histogram from ${numberText(low)} to ${numberText(high)}; the fullest bin has ${
    most.toLocaleString("en")
  } elements`;
  return element(
    "figure",
    { class: "histogram" },
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      bars,
      zero,
    ),
    element("div", { class: "ends" }, element("span", {}, numberText(low)), element("span", {}, numberText(high))),
  );
}

/**
 * Histograms of one tensor over checkpoints, the oldest at the back.
 *
 * @param {import("./api.js").Histograms} answer
 * @param {number} chosen The index of the row to stress.
 * @param {(index: number) => void} onChoose
 * @returns {HTMLElement}
 */
export function ridges({ edges, rows }, chosen, onChoose) {
  const [low, high] = [edges[0] ?? 0, edges.at(-1) ?? 1];
  const most = rows.reduce((max, { counts }) => counts.reduce((a, b) => Math.max(a, b), max), 1);
  const gap = Math.min(16, 260 / Math.max(1, rows.length));
  const tall = 64;
  const whole = tall + gap * rows.length + 4;
  const left = 64;
  const paths = rows.map(({ counts, checkpoint }, row) => {
    const foot = tall + gap * row;
    const points = counts.map((count, i) =>
      `${(left + (width - left) * (i + 0.5) / counts.length).toFixed(1)},${(foot - tall * count / most).toFixed(1)}`
    );
    const path = svg("path", { d: `M${left},${foot} L${points.join(" L")} L${width},${foot} Z` });
    const curve = svg("polyline", { points: `${left},${foot} ${points.join(" ")} ${width},${foot}` });
    const isNamed = row === chosen || row === 0 || row === rows.length - 1;
    const name = isNamed ? [svg("text", { x: left - 8, y: foot, "text-anchor": "end" }, checkpoint)] : [];
    return svg("g", { class: row === chosen ? "chosen" : "", onclick: () => onChoose(row) }, path, curve, name);
  });
  const label = `Histograms of ${rows.length} checkpoints, the oldest at the top`;
  return element(
    "figure",
    { class: "ridges" },
    svg("svg", { viewBox: `0 0 ${width} ${whole}`, role: "img", "aria-label": label }, paths),
    element(
      "div",
      { class: "ends inset" },
      element("span", {}, numberText(low)),
      element("span", {}, numberText(high)),
    ),
  );
}
