// @ts-check
/**
 * The view of what two checkpoints differ in.
 *
 * @module
 */
import { ask } from "./api.js";
import { element, problem, quoted, section, table } from "./dom.js";
import { goTo, linkTo } from "./route.js";
import { checkpointsOf, known, runName } from "./runs.js";
import { countText, numberText, shown } from "./text.js";

/** @typedef {import("./api.js").Difference} Difference */

/** @param {import("./api.js").Value | undefined} value */
const size = (value) => (value === undefined ? -1 : Number.isNaN(Number(value)) ? Infinity : Number(value));

/**
 * The two sides of a difference that is not one of tensors' values.
 *
 * @param {unknown} value
 */
function sideText(value) {
  if (value === undefined) return "–";
  return typeof value === "number"
    ? numberText(value)
    : shown(typeof value === "string" ? value : JSON.stringify(value), 60);
}

/**
 * @param {import("./api.js").Diff} diff
 * @param {string} right The checkpoint on the right, to link its tensors.
 */
function differenceParts({ components, differences }, right) {
  if (differences.length === 0) return [element("p", { class: "notice" }, "The two are equal, bit for bit.")];
  const [key = "", checkpoint = ""] = right.split("@");
  const rows = components.map(({ name, differences: found, elements }) => [
    quoted(shown(name, 80)),
    found === 0 ? "equal" : countText(found),
    found === 0 ? "" : countText(elements),
  ]);
  const tensors = differences.filter(({ mean }) => mean !== undefined);
  const values = differences.filter(({ mean }) => mean === undefined);
  const columns = /** @type {const} */ ([["Name"], ["Differences", "number"], ["Numbers that differ", "number"]]);
  return [
    section("Components", table(columns, rows, "Components")),
    ...(tensors.length === 0 ? [] : [tensorSection(tensors, key, checkpoint)]),
    ...(values.length === 0 ? [] : [section(`Other values (${countText(values.length)})`, valueTable(values))]),
  ];
}

const most = 500;

/** @param {number} length */
const moreText = (length) => element("p", { class: "note" }, length > most ? `${countText(length - most)} more` : "");

/**
 * Tensors whose numbers differ, in the order that is chosen.
 *
 * @param {Difference[]} tensors
 * @param {string} key The run on the right.
 * @param {string} checkpoint
 */
function tensorSection(tensors, key, checkpoint) {
  const body = element("div");
  const choose = element(
    "select",
    {},
    element("option", { value: "largest" }, "the largest difference"),
    element("option", { value: "mean" }, "the mean difference"),
  );
  const draw = () => {
    const by = /** @type {"largest" | "mean"} */ (choose.value);
    const sorted = [...tensors].sort((a, b) => size(b[by]) - size(a[by]));
    const rows = sorted.slice(0, most).map(({ path, count, elements, largest, mean }) => [
      element("a", { href: linkTo("tensor", key, checkpoint, path) }, quoted(shown(path, 100))),
      `${countText(count ?? 0)} of ${countText(elements ?? count ?? 0)}`,
      numberText(largest),
      numberText(mean),
    ]);
    const columns =
      /** @type {const} */ ([["Tensor"], ["Changed", "number"], ["Largest", "number"], ["Mean", "number"]]);
    body.replaceChildren(table(columns, rows, "Tensors that differ"), moreText(sorted.length));
  };
  choose.addEventListener("change", draw);
  draw();
  return section(
    `Tensors (${countText(tensors.length)})`,
    element("div", { class: "tools" }, element("label", {}, "By", choose)),
    body,
  );
}

/** @param {Difference[]} values */
function valueTable(values) {
  const rows = values.slice(0, most).map(({ path, kind, left, right, largest }) => [
    quoted(shown(path, 100)),
    (kind === "value" ? "" : `${shown(kind, 20)}: `) +
    (left === undefined && right === undefined
      ? `by ${numberText(largest)}`
      : `${sideText(left)} → ${sideText(right)}`),
  ]);
  return element(
    "div",
    {},
    table([["Part"], ["Left → right"]], rows, "Other values that differ"),
    moreText(values.length),
  );
}

/**
 * A choice of a checkpoint.
 *
 * @param {string} name
 * @param {string} value Such as `0@12`.
 * @param {(value: string) => void} onChoose
 */
function picker(name, value, onChoose) {
  const [key = "", number = ""] = value.split("@");
  const options = known.runs.map((run) =>
    element("option", { value: run.key, selected: run.key === key }, shown(runName(run.key), 60))
  );
  const run = element("select", { "aria-label": `Run on the ${name}` }, options);
  const checkpoint = element("input", {
    type: "number",
    min: 0,
    step: 1,
    value: number,
    "aria-label": `Checkpoint on the ${name}`,
  });
  const nearest = () => {
    const all = checkpointsOf(run.value).map((one) => one.checkpoint);
    const wanted = Number(checkpoint.value);
    return all.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best), all[0] ?? 0);
  };
  const choose = () => onChoose(`${run.value}@${nearest()}`);
  run.addEventListener("change", choose);
  checkpoint.addEventListener("change", choose);
  return element(
    "span",
    { class: "picker" },
    known.runs.length > 1 ? run : null,
    element("label", {}, name, checkpoint),
  );
}

/** The newest checkpoint of the first run that has two, against the one before. */
export function defaultPair() {
  for (const { key } of known.runs) {
    const [before, newest] = checkpointsOf(key).slice(-2);
    if (before !== undefined && newest !== undefined) {
      return [`${key}@${before.checkpoint}`, `${key}@${newest.checkpoint}`];
    }
  }
  return [];
}

/**
 * Makes the view.
 *
 * @param {string} left Such as `0@12`; empty for the default.
 * @param {string} right
 * @returns {import("./dom.js").View}
 */
export function compareView(left, right) {
  const gone = new AbortController();
  const [choice, body] = [element("div", { class: "tools" }), element("div")];
  const node = element("div", {}, element("h1", {}, "Compare two checkpoints"), choice, body);
  let isAsked = false;

  function update() {
    if (isAsked || known.version === 0) return;
    const [a = "", b = ""] = left === "" || right === "" ? defaultPair() : [left, right];
    if (a === "") {
      return void body.replaceChildren(element("p", { class: "notice" }, "There are no two checkpoints to compare."));
    }
    isAsked = true;
    choice.replaceChildren(
      picker("left", a, (value) => goTo("compare", value, b)),
      picker("right", b, (value) => goTo("compare", a, value)),
    );
    body.replaceChildren(element("p", { class: "note" }, "Reading…"));
    ask("diff", { left: a, right: b }, {}, gone.signal).then(
      (diff) => body.replaceChildren(...differenceParts(diff, b)),
      (error) => gone.signal.aborted || body.replaceChildren(problem(error.message)),
    );
  }

  return { node, update, destroy: () => gone.abort() };
}
