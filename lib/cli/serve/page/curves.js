// @ts-check
/**
 * The curves of all metrics, a chart for each, with the lines of history over each other.
 *
 * @module
 */
import { ask } from "./api.js";
import { chart } from "./chart.js";
import { element, quoted } from "./dom.js";
import { goTo } from "./route.js";
import { known, lineName, stepOf } from "./runs.js";
import { countText, numberText, shown } from "./text.js";
import { strokeOf } from "./theme.js";

/** @typedef {import("./api.js").Curve & { key: string }} KeyedCurve */
/** @typedef {{ isLog: boolean, smoothing: number, filter: string, hidden: Set<string>, range: [number, number] | undefined }} CurveOptions */
/** @typedef {{ node: HTMLElement, chart: import("./chart.js").Chart, value: HTMLElement, isSeen: boolean }} Card */

/**
 * An exponential moving average, without the bias of its start.
 *
 * @param {(number | null)[]} values
 * @param {number} weight From 0, the values as they are, to below 1.
 * @returns {(number | null)[]}
 */
export function smoothed(values, weight) {
  let [mean, sum] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    sum = weight * sum + (1 - weight);
    return mean / sum;
  });
}

/**
 * The numbers of a curve that can be drawn, and what else it has.
 *
 * @param {import("./api.js").Value[]} values
 * @param {number[]} steps
 * @param {boolean} isLog Whether only numbers above 0 can be drawn.
 */
function drawable(values, steps, isLog) {
  const odd = values.flatMap((value, i) => (typeof value === "string" ? [{ step: steps[i] ?? 0, kind: value }] : []));
  const numbers = values.map((value) => (typeof value === "number" && (!isLog || value > 0) ? value : null));
  return { odd, numbers };
}

/**
 * The line of history of a curve. A log without a name belongs to the first line of its folder.
 *
 * @param {Pick<KeyedCurve, "key" | "line">} curve
 */
function lineOf({ key, line }) {
  return known.lines.find((one) => one.key === key && (one.run === line || line === ""));
}

/**
 * The series of one metric.
 *
 * @param {KeyedCurve[]} curves
 * @param {CurveOptions} options
 * @returns {import("./chart.js").Series[]}
 */
function seriesOf(curves, { isLog, smoothing, hidden }) {
  return curves.flatMap(({ key, line, source, steps, values }) => {
    const of = lineOf({ key, line });
    if (hidden.has(of?.id ?? "")) return [];
    const { numbers, odd } = drawable(values, steps, isLog);
    const stroke = strokeOf(of?.index ?? 0);
    const label = `${source} ${of === undefined ? line : lineName(of)}`;
    const isLogged = curves.some((other) => other.source === "log" && other.key === key && other.line === line);
    const base = { label, stroke, steps, odd };
    if (source === "checkpoints" && isLogged) return [{ ...base, values: numbers, areDots: true }];
    if (smoothing === 0) return [{ ...base, values: numbers }];
    return [
      { ...base, label: `raw ${label}`, values: numbers, isFaint: true, width: 1 },
      { ...base, values: smoothed(numbers, smoothing), width: 2 },
    ];
  });
}

/**
 * Makes the curves.
 *
 * @returns {{ node: HTMLElement, update: () => void, destroy: () => void }}
 */
export function curves() {
  /** @type {CurveOptions} */
  const options = { isLog: false, smoothing: 0, filter: "", hidden: new Set(), range: undefined };
  /** @type {Map<string, KeyedCurve[]>} */
  let metrics = new Map();
  /** @type {Map<string, Card>} */
  const cards = new Map();
  /** @type {Map<string, number>} The version of each run's curves that is shown. */
  const versions = new Map();
  let [isAsking, isStale] = [false, false];
  const grid = element("div", { class: "charts" });
  const legend = element("div", { class: "legend", role: "group", "aria-label": "Runs" });
  const message = element("p", { class: "note" });
  const zoomed = element("button", { type: "button", hidden: true, onclick: () => zoom(undefined) }, "Show all steps");
  const change = (/** @type {() => void} */ set) => () => {
    set();
    show();
  };
  const filter = element("input", { type: "search", placeholder: "Filter metrics", "aria-label": "Filter metrics" });
  const log = element("input", { type: "checkbox" });
  const smooth = element("input", {
    type: "range",
    min: 0,
    max: 0.99,
    step: 0.01,
    value: 0,
    "aria-label": "Smoothing",
  });
  filter.addEventListener("input", change(() => options.filter = filter.value.toLowerCase()));
  log.addEventListener("change", change(() => options.isLog = log.checked));
  smooth.addEventListener("input", change(() => options.smoothing = Number(smooth.value)));
  const tools = element(
    "div",
    { class: "tools" },
    legend,
    filter,
    element("label", {}, log, "Log scale"),
    element("label", {}, "Smoothing", smooth),
    zoomed,
  );
  const node = element("div", {}, tools, message, grid);

  const visible = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const [name, card] = [...cards].find(([, { node }]) => node === target) ?? [];
      if (card === undefined || name === undefined) continue;
      card.isSeen = isIntersecting;
      if (isIntersecting) draw(name, card);
    }
  }, { rootMargin: "800px" });

  function zoom(/** @type {[number, number] | undefined} */ range) {
    options.range = range;
    zoomed.hidden = range === undefined;
    versions.clear();
    show();
    void fetchCurves();
  }

  /** @type {(name: string, card: Card) => void} */
  function draw(name, card) {
    const own = metrics.get(name) ?? [];
    card.chart.update(seriesOf(own, options), {
      isLog: options.isLog,
      range: options.range,
      onZoom: (from, to) => zoom([from, to]),
      onReset: () => zoom(undefined),
      onPick: (step) => pick(own, step),
    });
  }

  /** Opens the checkpoint at a step, if there is one near. */
  function pick(/** @type {KeyedCurve[]} */ own, /** @type {number} */ step) {
    const keys = new Set(own.map(({ key }) => key));
    const near = known.lines.filter(({ key, id }) => keys.has(key) && !options.hidden.has(id))
      .flatMap(({ checkpoints }) => checkpoints).filter(({ isRemoved }) => !isRemoved)
      .sort((a, b) => Math.abs(stepOf(a) - step) - Math.abs(stepOf(b) - step))[0];
    if (near !== undefined && stepOf(near) === step) goTo("checkpoint", near.key, near.checkpoint);
  }

  /** Says the newest values of the lines that are shown, or those at a step. */
  function say(/** @type {Card} */ card, /** @type {KeyedCurve[]} */ own, /** @type {number | null} */ step) {
    const isLogged = (/** @type {KeyedCurve} */ { key, line }) =>
      own.some((other) => other.source === "log" && other.key === key && other.line === line);
    const values = own.filter((one) => one.source === "log" || !isLogged(one)).flatMap((curve) => {
      const value = step === null ? curve.values.at(-1) : curve.values[curve.steps.indexOf(step)];
      const of = lineOf(curve);
      if (value === undefined || options.hidden.has(of?.id ?? "")) return [];
      const mark = element("i");
      mark.style.borderColor = strokeOf(of?.index ?? 0).colour;
      return [element("span", {}, mark, numberText(value))];
    });
    card.value.replaceChildren(
      ...values.slice(0, 3),
      step === null ? "" : element("span", {}, `at ${countText(step)}`),
    );
  }

  function cardOf(/** @type {string} */ name) {
    const before = cards.get(name);
    if (before !== undefined) return before;
    const value = element("output");
    const plot = element("div", { class: "plot" });
    const node = element("figure", {}, element("figcaption", {}, quoted(shown(name, 60)), value), plot);
    /** @type {Card} */
    const card = { node, value, isSeen: false, chart: chart(plot, (step) => say(card, metrics.get(name) ?? [], step)) };
    cards.set(name, card);
    visible.observe(node);
    return card;
  }

  function show() {
    legend.replaceChildren(...known.lines.map((line) => {
      const { colour, dash } = strokeOf(line.index);
      const isShown = !options.hidden.has(line.id);
      const key = element("i", { class: dash.length > 0 ? "dashed" : "" });
      key.style.borderColor = colour;
      const toggle = () => {
        if (!options.hidden.delete(line.id)) options.hidden.add(line.id);
        show();
      };
      return element(
        "button",
        { type: "button", "aria-pressed": isShown, onclick: toggle },
        key,
        quoted(shown(lineName(line), 40)),
      );
    }));
    const names = [...metrics.keys()].filter((name) => name.toLowerCase().includes(options.filter)).slice(0, 200);
    for (const [name, { node, chart }] of cards) {
      if (names.includes(name)) continue;
      chart.destroy();
      visible.unobserve(node);
      node.remove();
      cards.delete(name);
    }
    for (const name of names) {
      const card = cardOf(name);
      if (!card.node.isConnected) grid.append(card.node);
      say(card, metrics.get(name) ?? [], null);
      if (card.isSeen) draw(name, card);
    }
    const none = known.lines.length === 0 ? "" : "No metrics yet. Log some, or give train or fit the option metrics.";
    message.textContent = metrics.size === 0 ? none : names.length === 0 ? "No metric has this in its name." : "";
    filter.hidden = metrics.size < 7 && options.filter === "";
  }

  async function fetchCurves() {
    if (isAsking) return void (isStale = true);
    isAsking = true;
    do {
      isStale = false;
      const { range } = options;
      /** @type {Record<string, number>} */
      const zoomQuery = range === undefined ? {} : { from: range[0], to: range[1] };
      for (const { key, curves, error } of known.runs) {
        if (error !== null || versions.get(key) === curves) continue;
        try {
          /** @type {import("./api.js").Curves} */
          const answer = await ask("curves", { run: key }, zoomQuery);
          // While a long log is read, there is more to come although no checkpoint is new.
          versions.set(key, answer.reading.done < answer.reading.total ? -1 : curves);
          for (const [name, old] of metrics) metrics.set(name, old.filter((one) => one.key !== key));
          for (const one of answer.metrics) metrics.set(one.name, [...metrics.get(one.name) ?? [], { ...one, key }]);
          metrics = new Map([...metrics].filter(([, own]) => own.length > 0));
        } catch {
          // The bar at the top says that the server is lost; the next change asks again.
        }
        show();
      }
    } while (isStale);
    isAsking = false;
  }

  return {
    node,
    update: () => {
      show();
      void fetchCurves();
    },
    destroy: () => {
      visible.disconnect();
      for (const card of cards.values()) card.chart.destroy();
    },
  };
}
