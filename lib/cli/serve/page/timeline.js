// @ts-check
/**
 * The timeline: a row of checkpoints for each line of history, and under it what each save wrote.
 *
 * It is drawn on a canvas, because there can be ten thousand checkpoints. The line of text under it says what is under the pointer or chosen by the
 * keyboard, and readers of screens read it.
 *
 * @module
 */
import { element, quoted } from "./dom.js";
import { goTo } from "./route.js";
import { isBad, known, lineName } from "./runs.js";
import { ageText, bytesText, countText, metricsText, shown } from "./text.js";
import { drawTimeline } from "./timeline_drawing.js";
import { dotAt, layoutOf } from "./timeline_layout.js";

/** @typedef {import("./runs.js").Line} Line */
/** @typedef {import("./runs.js").Seen} Seen */
/** @typedef {import("./timeline_layout.js").Dot} Dot */
/** @typedef {import("./timeline_layout.js").Layout} Layout */

/**
 * A checkpoint in words.
 *
 * @param {Line} line
 * @param {Seen} seen
 */
function wordsOf(line, { checkpoint, step, metrics, note, time, bytes, shared, verdict, isRemoved }) {
  const written = bytes === null
    ? []
    : [`${bytesText(bytes - (shared ?? 0))} written, ${bytesText(shared ?? 0)} shared`];
  return [
    `Checkpoint ${checkpoint} of ${shown(lineName(line), 60)}`,
    ...(step === null ? [] : [`step ${countText(step)}`]),
    ...(Object.keys(metrics).length === 0 ? [] : [metricsText(metrics)]),
    ...(time === null ? [] : [ageText(time)]),
    ...written,
    isRemoved ? "removed" : verdict,
    ...(note === null ? [] : [`“${shown(typeof note === "string" ? note : JSON.stringify(note), 80)}”`]),
  ].join(" · ");
}

/**
 * The checkpoint with the best value of a metric, of all that are left.
 *
 * @param {string} metric
 * @param {string} mode `min` or `max`.
 * @returns {Seen | undefined}
 */
function bestOf(metric, mode) {
  const sign = mode === "min" ? 1 : -1;
  const all = known.lines.flatMap(({ checkpoints }) => checkpoints).filter(({ isRemoved, metrics }) =>
    !isRemoved && Object.hasOwn(metrics, metric) && typeof metrics[metric] === "number"
  );
  const valueOf = (/** @type {Seen} */ { metrics }) => sign * Number(metrics[metric]);
  return all.reduce(
    (/** @type {Seen | undefined} */ best, one) => (best === undefined || valueOf(one) < valueOf(best) ? one : best),
    undefined,
  );
}

/** The names of all metrics that checkpoints have. */
function metricNames() {
  return [
    ...new Set(known.lines.flatMap(({ checkpoints }) => checkpoints.flatMap(({ metrics }) => Object.keys(metrics)))),
  ];
}

/**
 * A choice of words.
 *
 * @param {string} label
 * @param {readonly (readonly [value: string, text: string])[]} words
 * @param {() => void} onChoose
 */
function choice(label, words, onChoose) {
  const select = element("select", {}, words.map(([value, text]) => element("option", { value }, text)));
  select.addEventListener("change", onChoose);
  return { select, node: element("label", {}, label, select) };
}

/**
 * The choices of the timeline: its axis, and what the best checkpoint is best by.
 *
 * @param {() => void} onChange
 */
function settings(onChange) {
  const axis = choice("By", [["step", "step"], ["time", "time"]], onChange);
  const metric = choice("Best", [["", "none"]], onChange);
  const mode = choice("", [["min", "lowest"], ["max", "highest"]], onChange);
  const marks = "● all bytes its own   ○ shares bytes   ▼ best   ✕ damaged   pale: removed";
  const node = element(
    "div",
    { class: "tools" },
    element("span", { class: "marks note" }, marks),
    axis.node,
    metric.node,
    mode.node,
  );
  return {
    node,
    axis: () => /** @type {import("./timeline_layout.js").Axis} */ (axis.select.value),
    best: () => metric.select.value === "" ? undefined : bestOf(metric.select.value.slice(1), mode.select.value),
    update: () => {
      const names = metricNames().slice(0, 100);
      const had = [...metric.select.options].slice(1).map(({ value }) => value.slice(1));
      metric.node.hidden = mode.node.hidden = names.length === 0;
      if (JSON.stringify(had) === JSON.stringify(names)) return;
      const { value } = metric.select;
      metric.select.replaceChildren(
        element("option", { value: "" }, "none"),
        ...names.map((name) => element("option", { value: `=${name}` }, shown(name, 40))),
      );
      metric.select.value = names.includes(value.slice(1)) ? value : "";
    },
  };
}

/**
 * The name of each row, and how many checkpoints it has.
 *
 * @returns {HTMLElement[]}
 */
function rowNames() {
  return known.lines.map((line) => {
    const { length } = line.checkpoints;
    const missing = line.missing > 0 ? `, ${countText(line.missing)} removed` : "";
    const count = `${countText(length)} checkpoint${length === 1 ? "" : "s"}${missing}`;
    const name = shown(lineName(line), 80);
    return element("div", { title: `${name}: ${count}` }, quoted(name), element("small", {}, count));
  });
}

/**
 * The mark that a key goes to.
 *
 * @param {Layout} layout
 * @param {Dot | undefined} from
 * @param {string} key
 * @returns {Dot | undefined}
 */
function moved({ dots }, from, key) {
  const moves = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
    Home: [-1e9, 0],
    End: [1e9, 0],
  };
  const [along = 0, across = 0] = /** @type {Record<string, number[]>} */ (moves)[key] ?? [];
  const start = from ?? dots.at(-1);
  if (start === undefined) return undefined;
  const last = known.lines.length - 1;
  const row = known.lines.findIndex(({ id }) => id === start.line.id) + across;
  const own = dots.filter(({ line }) => line.id === known.lines[Math.max(0, Math.min(last, row))]?.id);
  if (across !== 0) {
    return own.reduce((a, b) => (Math.abs(b.x - start.x) < Math.abs(a.x - start.x) ? b : a), own[0] ?? start);
  }
  const index = own.findIndex(({ seen }) => seen.checkpoint === start.seen.checkpoint) +
    (from === undefined ? 0 : along);
  return own[Math.max(0, Math.min(own.length - 1, index))];
}

/**
 * Draws on a canvas as wide as its place.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Layout} layout
 * @param {Parameters<typeof drawTimeline>[2]} marks
 */
function drawOn(canvas, layout, marks) {
  const { width, height } = layout;
  canvas.style.height = `${height}px`;
  [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
  const context = canvas.getContext("2d");
  context?.scale(devicePixelRatio, devicePixelRatio);
  if (context !== null) drawTimeline(context, layout, marks);
}

/**
 * Makes the timeline.
 *
 * @returns {import("./dom.js").View}
 */
export function timeline() {
  const label = "Checkpoints by step. Arrow keys choose one, Enter opens it.";
  const canvas = element("canvas", { tabindex: 0, role: "img", "aria-label": label });
  const said = element("p", { class: "note line", role: "status", "aria-live": "polite" });
  const names = element("div", { class: "rownames" });
  const choices = settings(() => draw());
  const node = element(
    "div",
    { class: "timeline" },
    choices.node,
    element("div", { class: "rows" }, names, canvas),
    said,
  );
  /** @type {Layout} */
  let layout = layoutOf(0, "step");
  /** @type {{ id: string, checkpoint: number } | undefined} */
  let chosen;

  const isChosen = (/** @type {Dot} */ { line, seen }) =>
    line.id === chosen?.id && seen.checkpoint === chosen.checkpoint;
  const current = () => layout.dots.find(isChosen);

  function draw() {
    const width = canvas.clientWidth;
    if (width === 0) return;
    layout = layoutOf(width, choices.axis());
    const best = choices.best();
    drawOn(canvas, layout, { isChosen, isBest: ({ seen }) => seen === best });
    const dot = current();
    said.textContent = dot === undefined
      ? "Point at a checkpoint, or choose one with the arrow keys."
      : wordsOf(dot.line, dot.seen);
    said.classList.toggle("bad", dot !== undefined && isBad(dot.seen));
  }

  function choose(/** @type {Dot | undefined} */ dot) {
    if (dot === undefined || isChosen(dot)) return;
    chosen = { id: dot.line.id, checkpoint: dot.seen.checkpoint };
    draw();
  }

  function open() {
    const dot = current();
    if (dot !== undefined && !dot.seen.isRemoved) goTo("checkpoint", dot.line.key, dot.seen.checkpoint);
  }

  canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => choose(dotAt(layout, offsetX, offsetY)));
  canvas.addEventListener("click", ({ offsetX, offsetY }) => {
    const dot = dotAt(layout, offsetX, offsetY);
    choose(dot);
    if (dot !== undefined) open();
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") open();
    else if (/^(Arrow|Home$|End$)/.test(event.key)) choose(moved(layout, current(), event.key));
    else return;
    event.preventDefault();
  });
  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  addEventListener("themechange", draw);
  return {
    node,
    update: () => {
      names.replaceChildren(...rowNames());
      choices.update();
      draw();
    },
    destroy: () => {
      resized.disconnect();
      removeEventListener("themechange", draw);
    },
  };
}
