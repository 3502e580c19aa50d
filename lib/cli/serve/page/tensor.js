// @ts-check
/**
 * The view of one tensor: its statistics, its histogram, and how that moves over checkpoints.
 *
 * @module
 */
import { ask } from "./api.js";
import { element, factList, problem, quoted, section } from "./dom.js";
import { histogram, ridges } from "./histogram.js";
import { linkTo } from "./route.js";
import { countText, numberText, shapeText, shown } from "./text.js";

/** @param {import("./api.js").TensorAnswer} answer */
function statisticsOf({ parts, statistics }) {
  if (statistics === null) {
    return element("p", { class: "note" }, "This part is not one tensor, so it has no statistics.");
  }
  const { of, count, nan, infinite, zeros, min, max, mean, deviation } = statistics;
  const part = parts.find(({ dtype }) => dtype !== undefined);
  return factList([
    ["Type", shown(part?.dtype ?? "?", 20)],
    ["Shape", shapeText(part?.shape)],
    [shown(of[0]?.toUpperCase() + of.slice(1), 30), countText(count)],
    ["Range", `${numberText(min)} to ${numberText(max)}`],
    ["Mean", `${numberText(mean)}, standard deviation ${numberText(deviation)}`],
    ["Zeros", countText(zeros)],
    ["NaN", element("span", { class: nan > 0 ? "bad" : "" }, countText(nan))],
    ["Infinite", element("span", { class: infinite > 0 ? "bad" : "" }, countText(infinite))],
    ["File", part?.file === undefined ? null : quoted(shown(part.file, 100))],
  ]);
}

/**
 * The part of the view about all checkpoints.
 *
 * @param {import("./api.js").Histograms} answer
 * @param {number} checkpoint The one that is shown above.
 */
function overCheckpoints(answer, checkpoint) {
  const { rows, edges, skipped } = answer;
  if (rows.length === 0) return element("p", { class: "note" }, "No checkpoint has numbers in this tensor.");
  const found = rows.findIndex((row) => row.checkpoint === checkpoint);
  let chosen = found < 0 ? rows.length - 1 : found;
  const [body, said] = [element("div", { class: "pair" }), element("output")];
  const slider = element("input", {
    type: "range",
    min: 0,
    max: rows.length - 1,
    value: chosen,
    "aria-label": "Checkpoint",
  });
  const draw = () => {
    const { checkpoint: number, step, mean, deviation, counts, nan } =
      /** @type {import("./api.js").HistogramRow} */ (rows[chosen]);
    const at = step === null ? "" : `, step ${countText(step)}`;
    said.textContent = `Checkpoint ${number}${at}: mean ${numberText(mean)}, standard deviation ${
      numberText(deviation)
    }${nan > 0 ? `, ${countText(nan)} NaN` : ""}`;
    slider.value = String(chosen);
    const choose = (/** @type {number} */ index) => {
      chosen = index;
      draw();
    };
    body.replaceChildren(ridges(answer, chosen, choose), histogram(edges, counts));
  };
  slider.addEventListener("input", () => {
    chosen = Number(slider.value);
    draw();
  });
  draw();
  const lacking = skipped.length === 0 ? null : element(
    "p",
    { class: "note" },
    `Left out: ${skipped.slice(0, 8).map((one) => `checkpoint ${one.checkpoint}`).join(", ")}${
      skipped.length > 8 ? ", …" : ""
    }`,
  );
  return element("div", {}, element("label", { class: "slider" }, slider, said), body, lacking);
}

/**
 * Makes the view.
 *
 * @param {string} key The key of the run.
 * @param {number} checkpoint
 * @param {string} path The path of the tensor.
 * @returns {import("./dom.js").View}
 */
export function tensorView(key, checkpoint, path) {
  const gone = new AbortController();
  const filled = (/** @type {Promise<HTMLElement>} */ content) => {
    const target = element("div", {}, element("p", { class: "note" }, "Reading…"));
    content.then(
      (node) => target.replaceChildren(node),
      (error) =>
        gone.signal.aborted ||
        target.replaceChildren(problem(error.message)),
    );
    return target;
  };
  const one = ask("tensor", { run: key, checkpoint, path }, {}, gone.signal).then(statisticsOf);
  const all = ask("histograms", { run: key, path }, {}, gone.signal).then((answer) =>
    overCheckpoints(answer, checkpoint)
  );
  const node = element(
    "div",
    {},
    element("h1", {}, quoted(shown(path, 200))),
    element(
      "nav",
      { class: "neighbours" },
      element("a", { href: linkTo("checkpoint", key, checkpoint) }, `← Checkpoint ${checkpoint}`),
    ),
    filled(one),
    section("Over the checkpoints", filled(all)),
  );
  return { node, update: () => {}, destroy: () => gone.abort() };
}
