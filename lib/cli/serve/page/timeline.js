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
import { isBad, known, lineName, stepOf } from "./runs.js";
import { ageText, bytesText, countText, metricsText, shown } from "./text.js";
import { colours, strokeOf } from "./theme.js";

/** @typedef {import("./runs.js").Line} Line */
/** @typedef {import("./runs.js").Seen} Seen */
/** @typedef {{ line: Line, seen: Seen, x: number, y: number }} Dot */

const [rowHeight, barsHeight, axisHeight, edge] = [30, 64, 20, 14];

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
 * Draws the mark of a checkpoint: a disc, a cross for one that cannot be read, a ring for one that was removed.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Dot} dot
 * @param {number} radius
 */
function drawDot(context, { seen, line, x, y }, radius) {
  const { bad, panel } = colours();
  const { colour } = strokeOf(line.index);
  context.lineWidth = 2;
  if (isBad(seen)) {
    const size = Math.max(4, radius);
    context.strokeStyle = bad;
    context.beginPath();
    context.moveTo(x - size, y - size);
    context.lineTo(x + size, y + size);
    context.moveTo(x + size, y - size);
    context.lineTo(x - size, y + size);
    context.stroke();
    return;
  }
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = seen.isRemoved ? panel : colour;
  context.strokeStyle = colour;
  context.globalAlpha = seen.isRemoved ? 0.45 : 1;
  context.fill();
  if (seen.isRemoved) context.stroke();
  context.globalAlpha = 1;
}

/**
 * The bars of what was written and what was shared, the largest of each column of pixels.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Dot[]} dots
 * @param {number} foot The bottom of the bars.
 * @param {number} gap Pixels between neighbours.
 * @returns {number} The most bytes of a checkpoint.
 */
function drawBars(context, dots, foot, gap) {
  const most = dots.reduce((max, { seen }) => Math.max(max, seen.bytes ?? 0), 1);
  const width = Math.max(1, Math.min(10, Math.floor(gap * 0.6)));
  /** @type {Map<number, Dot>} */
  const columns = new Map();
  for (const dot of dots) {
    const column = Math.round(dot.x / width);
    if ((columns.get(column)?.seen.bytes ?? -1) < (dot.seen.bytes ?? 0)) columns.set(column, dot);
  }
  for (const { x, line, seen: { bytes, shared } } of columns.values()) {
    const whole = (barsHeight - 14) * (bytes ?? 0) / most;
    const written = (barsHeight - 14) * ((bytes ?? 0) - (shared ?? 0)) / most;
    context.fillStyle = strokeOf(line.index).colour;
    context.globalAlpha = 0.25;
    context.fillRect(x - width / 2, foot - whole, width, whole);
    context.globalAlpha = 1;
    context.fillRect(x - width / 2, foot - written, width, Math.max(written, written > 0 ? 1 : 0));
  }
  return most;
}

/**
 * Makes the timeline.
 *
 * @returns {{ node: HTMLElement, update: () => void, destroy: () => void }}
 */
export function timeline() {
  const canvas = element("canvas", {
    tabindex: 0,
    role: "img",
    "aria-label": "Checkpoints by step. Arrow keys choose one, Enter opens it.",
  });
  const label = element("p", { class: "note line", role: "status", "aria-live": "polite" });
  const names = element("div", { class: "rownames" });
  const node = element("div", { class: "timeline" }, element("div", { class: "rows" }, names, canvas), label);
  /** @type {Dot[]} */
  let dots = [];
  /** @type {{ id: string, checkpoint: number } | undefined} */
  let chosen;
  let xOf = (/** @type {number} */ step) => step;
  const at = () => dots.find(({ line, seen }) => line.id === chosen?.id && seen.checkpoint === chosen.checkpoint);

  function place(/** @type {number} */ width) {
    const steps = known.lines.flatMap(({ checkpoints }) => checkpoints.map(stepOf));
    const low = steps.reduce((a, b) => Math.min(a, b), Infinity);
    const high = steps.reduce((a, b) => Math.max(a, b), -Infinity);
    const scale = (width - 2 * edge) / Math.max(1, high - low);
    xOf = (step) => edge + (step - low) * scale;
    dots = known.lines.flatMap((line, row) =>
      line.checkpoints.map((seen) => ({
        line,
        seen,
        x: xOf(stepOf(seen)),
        y: rowHeight * (row + 0.5),
      }))
    );
    return [low, high];
  }

  /**
   * Where a line forked: at its parent, or at the step of a parent that was removed.
   *
   * @type {(line: Line, parent: NonNullable<Line["parent"]>) => { x: number, y: number } | undefined}
   */
  function forkOf({ key }, { run, checkpoint, step }) {
    const row = known.lines.findIndex((line) => line.key === key && line.run === run);
    const dot = dots.find(({ line, seen }) => line === known.lines[row] && seen.checkpoint === checkpoint);
    if (dot !== undefined || row < 0 || typeof step !== "number") return dot;
    return { x: xOf(step), y: rowHeight * (row + 0.5) };
  }

  /** @param {CanvasRenderingContext2D} context */
  function drawLines(context) {
    for (const [row, line] of known.lines.entries()) {
      const own = dots.filter((dot) => dot.line === line);
      const [first, last] = [own[0], own.at(-1)];
      if (first === undefined || last === undefined) continue;
      const { colour, dash } = strokeOf(line.index);
      context.strokeStyle = colour;
      context.lineWidth = 1.5;
      context.setLineDash(dash);
      context.beginPath();
      const y = rowHeight * (row + 0.5);
      const from = line.parent && forkOf(line, line.parent);
      if (from) {
        context.moveTo(from.x, from.y);
        context.bezierCurveTo(from.x, y, from.x, y, Math.min(first.x, from.x + 24), y);
      } else context.moveTo(first.x, y);
      context.lineTo(first.x, y);
      context.lineTo(last.x, y);
      context.stroke();
      context.setLineDash([]);
    }
  }

  function draw() {
    const [width, rows] = [canvas.clientWidth, known.lines.length];
    const height = rowHeight * rows + barsHeight + axisHeight;
    if (width === 0) return;
    canvas.style.height = `${height}px`;
    [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.scale(devicePixelRatio, devicePixelRatio);
    const [low = 0, high = 0] = place(width);
    const gap = (width - 2 * edge) / Math.max(1, ...known.lines.map(({ checkpoints }) => checkpoints.length));
    drawLines(context);
    const radius = Math.max(1.5, Math.min(5, gap / 2.4));
    for (const dot of dots.filter(({ seen }) => !isBad(seen))) drawDot(context, dot, radius);
    for (const dot of dots.filter(({ seen }) => isBad(seen))) drawDot(context, dot, radius);
    const foot = rowHeight * rows + barsHeight;
    const most = drawBars(context, dots, foot, gap);
    const { muted, accent, grid } = colours();
    context.fillStyle = grid;
    context.fillRect(0, foot, width, 1);
    context.fillStyle = muted;
    context.font = "11px system-ui, sans-serif";
    if (dots.length > 0) {
      context.fillText(`step ${countText(low)}`, 2, foot + 15);
      context.textAlign = "right";
      context.fillText(countText(high), width - 2, foot + 15);
      context.fillText(bytesText(most), width - 2, foot - barsHeight + 10);
      context.textAlign = "left";
    }
    const dot = at();
    if (dot === undefined) return;
    context.strokeStyle = accent;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(dot.x, dot.y, radius + 4, 0, 2 * Math.PI);
    context.stroke();
  }

  function say() {
    const dot = at();
    label.textContent = dot === undefined
      ? "Point at a checkpoint, or choose one with the arrow keys."
      : wordsOf(dot.line, dot.seen);
    label.classList.toggle("bad", dot !== undefined && isBad(dot.seen));
  }

  function choose(/** @type {Dot | undefined} */ dot) {
    chosen = dot && { id: dot.line.id, checkpoint: dot.seen.checkpoint };
    say();
    draw();
  }

  function near(/** @type {MouseEvent} */ { offsetX, offsetY }) {
    const row = Math.min(known.lines.length - 1, Math.floor(offsetY / rowHeight));
    let [best, least] = [/** @type {Dot | undefined} */ (undefined), 24];
    for (const dot of dots) {
      const isInRow = offsetY > rowHeight * known.lines.length || Math.abs(dot.y - rowHeight * (row + 0.5)) < 1;
      const distance = Math.abs(dot.x - offsetX);
      if (isInRow && distance < least) [best, least] = [dot, distance];
    }
    return best;
  }

  function open() {
    const dot = at();
    if (dot !== undefined && !dot.seen.isRemoved) goTo("checkpoint", dot.line.key, dot.seen.checkpoint);
  }

  function move(/** @type {number} */ along, /** @type {number} */ across) {
    const dot = at() ?? dots.at(-1);
    if (dot === undefined) return;
    const row = known.lines.findIndex(({ id }) => id === dot.line.id);
    const line = known.lines[Math.max(0, Math.min(known.lines.length - 1, row + across))];
    const own = dots.filter((one) => one.line.id === line?.id);
    if (across !== 0) return choose(own.reduce((a, b) => (Math.abs(b.x - dot.x) < Math.abs(a.x - dot.x) ? b : a)));
    choose(own[Math.max(0, Math.min(own.length - 1, own.indexOf(dot) + (chosen === undefined ? 0 : along)))]);
  }

  canvas.addEventListener("pointermove", (event) => choose(near(event) ?? at()));
  canvas.addEventListener("click", (event) => {
    choose(near(event));
    open();
  });
  canvas.addEventListener("keydown", (event) => {
    const moves = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
      Home: [-1e9, 0],
      End: [1e9, 0],
    };
    const [along, across] = /** @type {Record<string, number[]>} */ (moves)[event.key] ?? [];
    if (along !== undefined && across !== undefined) move(along, across);
    else if (event.key === "Enter") open();
    else return;
    event.preventDefault();
  });
  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  addEventListener("themechange", draw);
  return {
    node,
    update: () => {
      names.replaceChildren(...known.lines.map((line) => {
        const count = `${countText(line.checkpoints.length)} checkpoint${line.checkpoints.length === 1 ? "" : "s"}`;
        const missing = line.missing > 0 ? `, ${countText(line.missing)} removed` : "";
        const name = shown(lineName(line), 80);
        return element(
          "div",
          { title: `${name}: ${count}${missing}` },
          quoted(name),
          element("small", {}, `${count}${missing}`),
        );
      }));
      say();
      draw();
    },
    destroy: () => {
      resized.disconnect();
      removeEventListener("themechange", draw);
    },
  };
}
