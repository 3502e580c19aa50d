// @ts-check
/**
 * The curves of all metrics, a chart for each, with the lines of history over each other.
 *
 * @module
 */
import { chart } from "./chart.js";
import { curveData } from "./curve_data.js";
import { isLogged, lineOf, seriesOf } from "./curve_series.js";
import { curveTools } from "./curve_tools.js";
import { element, quoted } from "./dom.js";
import { goTo } from "./route.js";
import { known, stepOf } from "./runs.js";
import { countText, numberText, shown } from "./text.js";
import { strokeOf } from "./theme.js";

/** @typedef {import("./curve_series.js").KeyedCurve} KeyedCurve */
/** @typedef {import("./curve_series.js").CurveOptions} CurveOptions */
/** @typedef {{ node: HTMLElement, chart: import("./chart.js").Chart, value: HTMLElement, isSeen: boolean }} Card A metric. Its chart is drawn when it is seen. */

/** The most metrics that are shown at once. */
const mostCards = 200;

/** How long charts are drawn in one frame, in milliseconds. */
const drawingTime = 8;

/**
 * Opens the checkpoint at a step, if there is one.
 *
 * @param {KeyedCurve[]} curves
 * @param {number} step
 * @param {Set<string>} hidden
 */
function openAt(curves, step, hidden) {
  const keys = new Set(curves.map(({ key }) => key));
  const found = known.lines.filter(({ key, id }) => keys.has(key) && !hidden.has(id))
    .flatMap(({ checkpoints }) => checkpoints).find((one) => !one.isRemoved && stepOf(one) === step);
  if (found !== undefined) goTo("checkpoint", found.key, found.checkpoint);
}

/**
 * The newest values of the lines that are shown, or those at a step.
 *
 * @param {KeyedCurve[]} curves
 * @param {number | null} step
 * @param {Set<string>} hidden
 * @returns {(HTMLElement | string)[]}
 */
function valuesAt(curves, step, hidden) {
  const values = curves.filter((one) => !isLogged(one, curves)).flatMap((curve) => {
    const value = step === null ? curve.values.at(-1) : curve.values[curve.steps.indexOf(step)];
    const line = lineOf(curve);
    if (value === undefined || hidden.has(line?.id ?? "")) return [];
    const mark = element("i");
    mark.style.borderColor = strokeOf(line?.index ?? 0).colour;
    return [{ index: line?.index ?? 0, node: element("span", {}, mark, numberText(value)) }];
  }).sort((a, b) => a.index - b.index).map(({ node }) => node);
  return [...values.slice(0, 3), step === null ? "" : element("span", {}, `at ${countText(step)}`)];
}

/**
 * The cards of metrics, in a grid.
 *
 * @param {(name: string) => KeyedCurve[]} curvesOf
 * @param {(name: string) => import("./chart.js").ChartOptions} chartOptions
 * @param {CurveOptions} options
 */
function cardGrid(curvesOf, chartOptions, options) {
  const node = element("div", { class: "charts" });
  /** @type {Map<string, Card>} */
  const cards = new Map();

  /** @type {Set<string>} The metrics whose charts are to be drawn. */
  const due = new Set();
  let frame = 0;

  /** Draws for a part of a frame, so that the page answers while many charts are drawn. */
  function drawSome() {
    const started = performance.now();
    for (const name of due) {
      due.delete(name);
      cards.get(name)?.chart.update(seriesOf(curvesOf(name), options), chartOptions(name));
      if (performance.now() - started > drawingTime) break;
    }
    frame = due.size === 0 ? 0 : requestAnimationFrame(drawSome);
  }

  function draw(/** @type {string} */ name) {
    due.add(name);
    if (frame === 0) frame = requestAnimationFrame(drawSome);
  }

  const visible = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const [name, card] = [...cards].find(([, { node }]) => node === target) ?? [];
      if (card === undefined || name === undefined) continue;
      card.isSeen = isIntersecting;
      if (isIntersecting) draw(name);
    }
  }, { rootMargin: "800px" });

  function add(/** @type {string} */ name) {
    const [value, plot] = [element("output"), element("div", { class: "plot" })];
    const figure = element(
      "figure",
      {},
      element("figcaption", {}, quoted(shown(name, 60) || "(no name)"), value),
      plot,
    );
    const made = chart(plot, (step) => value.replaceChildren(...valuesAt(curvesOf(name), step, options.hidden)));
    cards.set(name, { node: figure, value, isSeen: false, chart: made });
    node.append(figure);
    visible.observe(figure);
  }

  function remove(/** @type {string} */ name, /** @type {Card} */ card) {
    card.chart.destroy();
    visible.unobserve(card.node);
    card.node.remove();
    cards.delete(name);
  }

  return {
    node,
    update: (/** @type {string[]} */ names) => {
      for (const [name, card] of cards) if (!names.includes(name)) remove(name, card);
      for (const name of names) if (!cards.has(name)) add(name);
      for (const [name, card] of cards) {
        card.value.replaceChildren(...valuesAt(curvesOf(name), null, options.hidden));
        if (card.isSeen) draw(name);
      }
    },
    destroy: () => {
      cancelAnimationFrame(frame);
      visible.disconnect();
      for (const card of cards.values()) card.chart.destroy();
    },
  };
}

/**
 * Makes the curves.
 *
 * @returns {import("./dom.js").View}
 */
export function curves() {
  /** @type {CurveOptions} */
  const options = { isLog: false, smoothing: 0, filter: "", hidden: new Set(), range: undefined };
  const data = curveData(() => show());
  const zoom = (/** @type {[number, number] | undefined} */ range) => {
    options.range = range;
    data.zoom(range);
    show();
  };
  const grid = cardGrid(data.of, (name) => ({
    isLog: options.isLog,
    range: options.range,
    onZoom: (from, to) => zoom([from, to]),
    onReset: () => zoom(undefined),
    onPick: (step) => openAt(data.of(name), step, options.hidden),
  }), options);
  const tools = curveTools(options, () => show(), () => zoom(undefined));
  const message = element("p", { class: "note" });

  function show() {
    const all = [...data.all().keys()];
    const names = all.filter((name) => name.toLowerCase().includes(options.filter)).slice(0, mostCards);
    tools.update(all.length);
    grid.update(names);
    const none = known.lines.length === 0 ? "" : "No metrics yet. Log some, or give train or fit the option metrics.";
    message.textContent = all.length === 0 ? none : names.length === 0 ? "No metric has this in its name." : "";
  }

  return {
    node: element("div", {}, tools.node, message, grid.node),
    update: () => {
      show();
      void data.refresh();
    },
    destroy: grid.destroy,
  };
}
