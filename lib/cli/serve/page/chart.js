// @ts-check
/**
 * A chart of curves, drawn by uPlot in the colours of the page.
 *
 * @module
 */
// @ts-expect-error The server serves the package under this name.
import served from "../uplot.js";
import { numberText } from "./text.js";
import { colours } from "./theme.js";

const uPlot = /** @type {typeof import("uplot")} */ (served);

/** @typedef {{ label: string, stroke: import("./theme.js").Stroke, steps: number[], values: (number | null)[], width?: number, isFaint?: boolean, areDots?: boolean, odd?: { step: number, kind: string }[] }} Series */
/** @typedef {{ isLog?: boolean, height?: number, range?: [number, number] | undefined, onZoom?: (from: number, to: number) => void, onReset?: () => void, onPick?: (step: number) => void }} ChartOptions */
/** @typedef {{ update: (series: Series[], options: ChartOptions) => void, destroy: () => void }} Chart */

/**
 * A number on an axis.
 *
 * @param {number} value
 */
function tick(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return numberText(Number(value.toPrecision(4)));
}

/**
 * Marks what is no number: a cross at the foot for NaN, a triangle at the edge for an infinity.
 *
 * @param {import("uplot")} plot
 * @param {Series[]} all
 */
function drawOdd(plot, all) {
  const { ctx, bbox } = plot;
  const size = 4 * devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.5 * devicePixelRatio;
  for (const { odd = [], stroke } of all) {
    ctx.strokeStyle = ctx.fillStyle = stroke.colour;
    for (const { step, kind } of odd) {
      const x = plot.valToPos(step, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const y = kind === "Infinity" ? bbox.top + size : bbox.top + bbox.height - size;
      ctx.beginPath();
      if (kind === "NaN") {
        ctx.moveTo(x - size, y - size);
        ctx.lineTo(x + size, y + size);
        ctx.moveTo(x + size, y - size);
        ctx.lineTo(x - size, y + size);
        ctx.stroke();
      } else {
        const up = kind === "Infinity" ? -size : size;
        ctx.moveTo(x, y + up);
        ctx.lineTo(x - size, y - up);
        ctx.lineTo(x + size, y - up);
        ctx.fill();
      }
    }
  }
  ctx.restore();
}

/**
 * The settings of uPlot for some series.
 *
 * @param {Series[]} all
 * @param {ChartOptions} options
 * @param {number} width
 * @param {(step: number | null) => void} onHover
 * @param {() => Series[]} latest The series as they are when it is drawn.
 * @returns {import("uplot").Options}
 */
function settings(
  all,
  { isLog = false, height = 190, range, onZoom, onReset, onPick },
  width,
  onHover,
  latest,
) {
  const { muted, grid, panel } = colours();
  const axis = {
    stroke: muted,
    font: "11px system-ui, sans-serif",
    ticks: { show: false },
    grid: { stroke: grid, width: 1 },
  };
  return {
    width,
    height,
    padding: [10, 12, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: onZoom !== undefined, y: false, dist: 8, setScale: false },
      points: { size: 6 },
      bind: {
        dblclick: () => () => {
          onReset?.();
          return null;
        },
        click: (plot, _target, handler) => (event) => {
          handler(event);
          const { idx } = plot.cursor;
          if (plot.select.width === 0 && typeof idx === "number") onPick?.(/** @type {number} */ (plot.data[0][idx]));
          return null;
        },
      },
    },
    scales: {
      x: { time: false, range: (_plot, from, to) => range ?? (from === to ? [from - 1, to + 1] : [from, to]) },
      y: isLog ? { distr: 3 } : { range: (_plot, low, high) => uPlot.rangeNum(low ?? 0, high ?? 1, 0.08, true) },
    },
    axes: [
      { ...axis, grid: { show: false }, values: (_plot, steps) => steps.map(tick), size: 26, space: 60 },
      {
        ...axis,
        values: (_plot, values) => values.map((value) => (value === null ? "" : tick(value))),
        size: 52,
        space: 34,
      },
    ],
    series: [
      {},
      ...all.map(({ label, stroke, width: line = 1.5, isFaint = false, areDots = false }) => ({
        label,
        stroke: stroke.colour,
        alpha: isFaint ? 0.3 : 1,
        width: areDots ? 0 : line,
        dash: stroke.dash,
        spanGaps: false,
        points: areDots ? { show: true, size: 6, fill: panel, stroke: stroke.colour, width: 1.5 } : { fill: panel },
        ...(areDots && { paths: () => null }),
      })),
    ],
    hooks: {
      draw: [(plot) => drawOdd(plot, latest())],
      setCursor: [({ cursor: { idx }, data }) => onHover(typeof idx === "number" ? data[0][idx] ?? null : null)],
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width > 0) onZoom?.(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
        plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
    },
  };
}

/**
 * The values of each series at all steps of any.
 *
 * @param {Series[]} all
 * @returns {import("uplot").AlignedData}
 */
function aligned(all) {
  if (all.length === 0) return [[]];
  return uPlot.join(all.map(({ steps, values }) => [steps, values]), all.map(() => [1, 1]));
}

/**
 * Makes a chart in an element, whose width it takes.
 *
 * @param {HTMLElement} target
 * @param {(step: number | null) => void} [onHover] Receives the step under the pointer.
 * @returns {Chart}
 */
export function chart(target, onHover = () => {}) {
  /** @type {import("uplot") | undefined} */
  let plot;
  /** @type {Series[]} */
  let series = [];
  /** @type {ChartOptions} */
  let options = {};
  let shape = "";

  function draw() {
    const width = target.clientWidth;
    if (width === 0) return;
    const wanted = JSON.stringify([
      series.map((one) => [one.label, one.stroke, one.isFaint, one.areDots]),
      options,
      width,
      colours(),
    ]);
    const data = aligned(series);
    if (plot !== undefined && shape === wanted) return void plot.setData(data);
    plot?.destroy();
    shape = wanted;
    plot = new uPlot(settings(series, options, width, onHover, () => series), data, target);
  }

  const resized = new ResizeObserver(() => draw());
  resized.observe(target);
  addEventListener("themechange", draw);
  return {
    update: (next, nextOptions) => {
      [series, options] = [next, nextOptions];
      draw();
    },
    destroy: () => {
      resized.disconnect();
      removeEventListener("themechange", draw);
      plot?.destroy();
    },
  };
}
