// @ts-check
/**
 * The view of one checkpoint: what it is, its models, optimizers, schedules, positions in data, and tensors.
 *
 * @module
 */
import { ask } from "./api.js";
import { chart } from "./chart.js";
import { element, factList, problem, quoted, section, table } from "./dom.js";
import { linkTo } from "./route.js";
import { checkpointsOf } from "./runs.js";
import { ageText, bytesText, countText, numberText, shapeText, shown, timeText } from "./text.js";
import { strokeOf } from "./theme.js";

/** @typedef {import("./api.js").Details} Details */

/** @param {number} value @param {number} whole */
const percent = (value, whole) => (whole === 0 ? "0 %" : `${Number((100 * value / whole).toPrecision(3))} %`);

/**
 * A value of settings.
 *
 * @param {unknown} value
 */
function settingText(value) {
  if (typeof value === "number") return numberText(value);
  return shown(typeof value === "string" ? value : JSON.stringify(value), 80);
}

/** @param {Details} details */
function factsOf({ step, metrics, note, time, bytes, shared, run, parent, verdict, id, environment, location }) {
  const metricList = Object.entries(metrics).slice(0, 40).map(([name, value]) =>
    element("div", {}, quoted(shown(name, 60)), " ", element("b", {}, numberText(value)))
  );
  const { dogear = "?", tfjs = "?", runtime = "?", backend = "?" } = environment;
  const from = typeof parent === "number" ? `after checkpoint ${parent}` : "the first of its run";
  return factList([
    ["Verdict", element("span", { class: verdict === "damaged" || verdict === "unreadable" ? "bad" : "" }, verdict)],
    ["Saved", time === null ? null : `${timeText(time)}, ${ageText(time)}`],
    ["Step", step === null ? "–" : countText(step)],
    ["Metrics", metricList.length === 0 ? null : metricList],
    ["Note", note === null ? null : quoted(shown(typeof note === "string" ? note : JSON.stringify(note), 400))],
    [
      "Size",
      bytes === null ? null : `${bytesText(bytes)}, of which ${bytesText(shared)} shared with other checkpoints`,
    ],
    ["Run", [element("code", {}, shown(run ?? "?", 40)), `, ${from}`]],
    ["Id", id === null ? null : element("code", {}, shown(id, 80))],
    ["Saved by", shown(`dogear ${dogear}, tfjs ${tfjs}, ${runtime}, backend ${backend}`, 160)],
    ["Location", quoted(shown(location, 200))],
  ]);
}

/** @param {import("./api.js").Model} model */
function modelTable({ name, layers, parameters, trainable }) {
  const rows = layers.map((layer) => {
    const label = element("span", {}, quoted(shown(layer.name, 60)));
    label.style.paddingInlineStart = `${layer.depth}em`;
    const trains = layer.parameters === 0
      ? "–"
      : layer.trainable === layer.parameters
      ? "yes"
      : layer.trainable === 0
      ? "no"
      : "some";
    return [label, shown(layer.type, 40), shapeText(layer.shape), countText(layer.parameters), trains];
  });
  return element(
    "div",
    {},
    element("h3", {}, quoted(shown(name, 80))),
    table(
      [["Layer"], ["Type"], ["Output shape", "code"], ["Parameters", "number"], ["Trained"]],
      rows,
      `Layers of ${shown(name, 80)}`,
    ),
    element(
      "p",
      { class: "note" },
      `${countText(parameters)} parameters, ${countText(trainable)} of them trained (${
        percent(trainable, parameters)
      })`,
    ),
  );
}

/** @param {Details["optimizers"][number]} optimizer */
function optimizerFacts({ name, type, settings, slots }) {
  return element(
    "div",
    {},
    element("h3", {}, quoted(shown(name, 80))),
    factList([
      ["Type", shown(type, 60)],
      .../** @type {[string, string][]} */ (Object.entries(settings).slice(0, 40).map((
        [key, value],
      ) => [shown(key, 40), settingText(value)])),
      ...slots.map((
        { name: slot, tensors, elements },
      ) => /** @type {[string, string]} */ ([
        shown(slot, 40),
        `${countText(tensors)} tensors, ${countText(elements)} numbers`,
      ])),
    ]),
  );
}

/** @param {Details["cursors"][number]} cursor */
function cursorFacts({ name, epoch, position, length, fraction }) {
  const where = fraction === null
    ? `sample ${position === null ? "?" : countText(position)}; the length of the data is not known`
    : `sample ${countText(position ?? 0)} of ${countText(length ?? 0)}, ${
      percent(position ?? 0, length ?? 0)
    } of the epoch`;
  return element(
    "div",
    {},
    element("h3", {}, quoted(shown(name, 80))),
    element(
      "p",
      {},
      epoch === null ? where : `${countText(epoch)} complete epoch${epoch === 1 ? "" : "s"}, then ${where}`,
    ),
    fraction === null ? null : element("progress", { value: fraction, max: 1, "aria-label": "Position in the epoch" }),
  );
}

/**
 * The learning rates of a schedule, past and future.
 *
 * @param {Details["schedules"][number]} schedule
 * @param {(() => void)[]} closing Receives what ends the chart.
 */
function scheduleFigure({ name, kind, rates }, closing) {
  const target = element("div", { class: "plot" });
  const drawn = chart(target);
  closing.push(drawn.destroy);
  const values = rates.values.map((value) => (typeof value === "number" ? value : null));
  queueMicrotask(() =>
    drawn.update([{ label: "rate", stroke: { ...strokeOf(0), dash: [] }, steps: rates.steps, values, width: 2 }], {
      height: 150,
    })
  );
  return element(
    "figure",
    { class: "wide" },
    element("figcaption", {}, quoted(shown(name, 80)), `: ${shown(kind, 40)}, the rate of the steps from here on`),
    target,
  );
}

/**
 * @param {string} key
 * @param {Details} details
 */
function tensorTable(key, { checkpoint, tensors }) {
  const most = 500;
  const body = element("div");
  const filter = element("input", { type: "search", placeholder: "Filter tensors", "aria-label": "Filter tensors" });
  const draw = () => {
    const found = tensors.filter(({ path, name }) =>
      `${path} ${name}`.toLowerCase().includes(filter.value.toLowerCase())
    );
    const rows = found.slice(0, most).map(({ path, name, dtype, shape, bytes }) => [
      element("a", { href: linkTo("tensor", key, checkpoint, path) }, quoted(shown(name, 100))),
      dtype,
      shapeText(shape),
      bytesText(bytes),
    ]);
    body.replaceChildren(
      table([["Tensor"], ["Type"], ["Shape", "code"], ["Size", "number"]], rows, "Tensors"),
      element(
        "p",
        { class: "note" },
        found.length > most ? `${countText(found.length - most)} more: filter by name` : "",
      ),
    );
  };
  filter.addEventListener("input", draw);
  draw();
  return section(`Tensors (${countText(tensors.length)})`, tensors.length > 12 ? filter : null, body);
}

/**
 * The parts of the view.
 *
 * @param {string} key
 * @param {Details} details
 * @param {(() => void)[]} closing
 * @returns {HTMLElement[]}
 */
function parts(key, details, closing) {
  const { models, optimizers, schedules, cursors, others, components } = details;
  const listed = components.map(({ name, kind, tensors, elements }) => [
    quoted(shown(name, 80)),
    shown(kind, 40),
    countText(tensors),
    countText(elements),
  ]);
  const some = (
    /** @type {string} */ title,
    /** @type {HTMLElement[]} */ nodes,
  ) => (nodes.length === 0 ? [] : [section(title, ...nodes)]);
  const values = others.map((
    { name, kind, value },
  ) => [quoted(shown(name, 80)), shown(kind, 40), quoted(shown(value, 200))]);
  const damage = details.error?.problems?.map(({ path, kind, expected, found }) =>
    `${path}: ${kind}, expected ${expected}, found ${found}`
  );
  return [
    ...(damage === undefined ? [] : [problem(damage.join("\n"))]),
    element(
      "div",
      { class: "columns" },
      element(
        "div",
        {},
        factsOf(details),
        section(
          "Components",
          table([["Name"], ["Kind"], ["Tensors", "number"], ["Numbers", "number"]], listed, "Components"),
        ),
        some("Positions in the data", cursors.map(cursorFacts)),
      ),
      element(
        "div",
        {},
        some("Models", models.map(modelTable)),
        some("Optimizers", optimizers.map(optimizerFacts)),
        some("Learning rates", schedules.map((one) => scheduleFigure(one, closing))),
      ),
    ),
    ...some(
      "Other components",
      values.length === 0 ? [] : [table([["Name"], ["Kind"], ["Value"]], values, "Other components")],
    ),
    tensorTable(key, details),
  ];
}

/**
 * Makes the view.
 *
 * @param {string} key The key of the run.
 * @param {number} checkpoint
 * @returns {import("./dom.js").View}
 */
export function checkpointView(key, checkpoint) {
  const [neighbours, body] = [
    element("nav", { class: "neighbours", "aria-label": "Other checkpoints" }),
    element("div"),
  ];
  /** @type {(() => void)[]} */
  const closing = [];
  const gone = new AbortController();
  const node = element("div", {}, element("h1", {}, `Checkpoint ${checkpoint}`), neighbours, body);
  body.append(element("p", { class: "note" }, "Reading…"));
  ask("checkpoint", { run: key, checkpoint }, {}, gone.signal).then(
    (details) => body.replaceChildren(...parts(key, details, closing)),
    (error) => gone.signal.aborted || body.replaceChildren(problem(error.message)),
  );
  return {
    node,
    update: () => {
      const all = checkpointsOf(key);
      const before = all.findLast((one) => one.checkpoint < checkpoint);
      const after = all.find((one) => one.checkpoint > checkpoint);
      const newest = all.at(-1);
      const link = (/** @type {string} */ text, /** @type {(string | number)[]} */ ...to) =>
        element("a", { href: linkTo(...to) }, text);
      neighbours.replaceChildren(...[
        before && link(`← ${before.checkpoint}`, "checkpoint", key, before.checkpoint),
        after && link(`${after.checkpoint} →`, "checkpoint", key, after.checkpoint),
        newest && newest.checkpoint !== checkpoint &&
        link(`Newest: ${newest.checkpoint}`, "checkpoint", key, newest.checkpoint),
        before &&
        link(`Compare with ${before.checkpoint}`, "compare", `${key}@${before.checkpoint}`, `${key}@${checkpoint}`),
      ].filter((one) => one instanceof HTMLElement));
    },
    destroy: () => {
      gone.abort();
      closing.forEach((close) => close());
    },
  };
}
