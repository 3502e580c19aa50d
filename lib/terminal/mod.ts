/**
 * Drawing for terminals: numbers, bars, sparklines, charts. Nothing here writes or asks for the size of a terminal.
 *
 * Read `text`, then `bar`, `sparkline` and `plot`.
 *
 * Promises: no line is wider than asked for; no number is cut; NaN and infinities are visible.
 *
 * @module
 */
export { numberText, spanText } from "./text.ts";
export { barText } from "./bar.ts";
export { type Series, sparkline } from "./sparkline.ts";
export { curveMark, type PlotCurve, plotLines, type PlotOptions } from "./plot.ts";
