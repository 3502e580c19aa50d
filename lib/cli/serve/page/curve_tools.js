// @ts-check
/**
 * What the reader of the page can change about all curves: which lines are shown, the scale, smoothing.
 *
 * @module
 */
import { element, quoted } from "./dom.js";
import { known, lineName } from "./runs.js";
import { shown } from "./text.js";
import { strokeOf } from "./theme.js";

/** @typedef {import("./curve_series.js").CurveOptions} CurveOptions */

/**
 * The lines of history, each with a button that hides it.
 *
 * @param {CurveOptions} options
 * @param {() => void} onChange
 */
function legend(options, onChange) {
  const node = element("div", { class: "legend", role: "group", "aria-label": "Runs" });
  let drawn = "";
  return {
    node,
    update: () => {
      const lines = known.lines.map((line) => ({ id: line.id, name: lineName(line), ...strokeOf(line.index) }));
      const wanted = JSON.stringify([lines, [...options.hidden]]);
      // A button that is made anew would lose the focus.
      if (wanted === drawn) return;
      const focused = [...node.children].findIndex((child) => child === document.activeElement);
      drawn = wanted;
      node.replaceChildren(...lines.map(({ id, name, colour, dash }) => {
        const key = element("i", { class: dash.length > 0 ? "dashed" : "" });
        key.style.borderColor = colour;
        const onclick = () => {
          if (!options.hidden.delete(id)) options.hidden.add(id);
          onChange();
        };
        const isShown = !options.hidden.has(id);
        return element("button", { type: "button", "aria-pressed": isShown, onclick }, key, quoted(shown(name, 40)));
      }));
      const again = node.children[focused];
      if (again instanceof HTMLElement) again.focus();
    },
  };
}

/**
 * Makes the tools.
 *
 * @param {CurveOptions} options They are changed by the tools.
 * @param {() => void} onChange
 * @param {() => void} onReset Shows all steps.
 */
export function curveTools(options, onChange, onReset) {
  const lines = legend(options, onChange);
  const reset = element("button", { type: "button", hidden: true, onclick: onReset }, "Show all steps");
  const filter = element("input", { type: "search", placeholder: "Filter metrics", "aria-label": "Filter metrics" });
  const log = element("input", { type: "checkbox" });
  const range = { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, "aria-label": "Smoothing" };
  const smooth = element("input", range);
  /** @type {(input: HTMLInputElement, set: () => void) => void} */
  const onInput = (input, set) =>
    input.addEventListener("input", () => {
      set();
      onChange();
    });
  onInput(filter, () => options.filter = filter.value.toLowerCase());
  onInput(log, () => options.isLog = log.checked);
  onInput(smooth, () => options.smoothing = Number(smooth.value));
  const node = element(
    "div",
    { class: "tools" },
    lines.node,
    filter,
    element("label", {}, log, "Log scale"),
    element("label", {}, "Smoothing", smooth),
    reset,
  );
  return {
    node,
    /** @param {number} metrics How many there are. */
    update: (metrics) => {
      lines.update();
      reset.hidden = options.range === undefined;
      filter.hidden = metrics < 7 && options.filter === "";
    },
  };
}
