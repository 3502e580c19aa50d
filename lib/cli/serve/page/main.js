// @ts-check
/**
 * The page: its frame, and the view that the address names.
 *
 * @module
 */
import { isBusy, isExported } from "./api.js";
import { checkpointView } from "./checkpoint.js";
import { compareView } from "./compare.js";
import { element, quoted } from "./dom.js";
import { overview } from "./overview.js";
import { currentRoute, goTo, linkTo } from "./route.js";
import { checkpointsOf, follow, known, runName } from "./runs.js";
import { tensorView } from "./tensor.js";
import { shown } from "./text.js";
import { applyTheme, toggleTheme } from "./theme.js";

applyTheme();

const keys = [
  ["o", "overview"],
  ["c", "the newest checkpoint"],
  ["d", "compare two checkpoints"],
  ["← →", "on the timeline: the checkpoint before or after"],
  ["↑ ↓", "on the timeline: another run"],
  ["Enter", "open the chosen checkpoint"],
  ["t", "light or dark"],
  ["?", "these keys"],
];

const help = element(
  "dialog",
  { "aria-label": "Keys" },
  element("h2", {}, "Keys"),
  element(
    "dl",
    { class: "facts" },
    keys.flatMap(([key, does]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, does)]),
  ),
  element("form", { method: "dialog" }, element("button", {}, "Close")),
);

const title = element("span", { class: "title" });
const lost = element("div", { class: "lost", role: "alert", hidden: true });
const content = element("main", { id: "content", tabindex: -1, "aria-busy": "true" });
const links = /** @type {const} */ ([["", "Overview"], ["checkpoint", "Checkpoint"], ["compare", "Compare"]]).map((
  [name, text],
) => ({
  name,
  node: element("a", { href: linkTo(name) }, text),
}));

document.body.replaceChildren(
  element("a", {
    class: "skip",
    href: "#content",
    onclick: (/** @type {Event} */ event) => (event.preventDefault(), content.focus()),
  }, "Skip to the content"),
  element(
    "header",
    {},
    element("a", { class: "name", href: linkTo("") }, "dogear"),
    title,
    element("nav", { "aria-label": "Views" }, links.map(({ node }) => node)),
    element(
      "span",
      { class: "buttons" },
      element("button", { type: "button", onclick: toggleTheme, "aria-label": "Light or dark" }, "◐"),
      element("button", { type: "button", onclick: () => help.showModal(), "aria-label": "Keys" }, "?"),
    ),
  ),
  lost,
  content,
  help,
);

/** The newest checkpoint of the first run that has one, as an address. */
function newest() {
  for (const { key } of known.runs) {
    const last = checkpointsOf(key).at(-1);
    if (last !== undefined) return /** @type {const} */ (["checkpoint", key, last.checkpoint]);
  }
  return /** @type {const} */ ([""]);
}

/**
 * The view of an address.
 *
 * @param {string[]} route
 * @returns {import("./dom.js").View}
 */
function viewOf([name, first = "", second = "", ...rest]) {
  if (name === "checkpoint" && first !== "") return checkpointView(first, Number(second));
  if (name === "tensor") return tensorView(first, Number(second), rest.join("/"));
  if (name === "compare") return compareView(first, second);
  return overview();
}

/** @type {import("./dom.js").View | undefined} */
let view;
let isFirst = true;

function show() {
  const route = currentRoute();
  if (route[0] === "checkpoint" && route[1] === undefined && known.version > 0) {
    history.replaceState(null, "", linkTo(...newest()));
    return show();
  }
  view?.destroy();
  view = viewOf(route);
  content.replaceChildren(view.node);
  view.update();
  for (const { name, node } of links) {
    const isHere = name === (route[0] === "tensor" ? "checkpoint" : route[0] ?? "");
    node.toggleAttribute("aria-current", isHere);
  }
  if (!isFirst) content.focus({ preventScroll: true });
  if (!isFirst) scrollTo(0, 0);
  isFirst = false;
}

addEventListener("hashchange", show);
/** Says whether what is shown is still being read. */
function sayBusy() {
  const isReading = known.version === 0 || known.runs.some(({ reading }) => reading.done < reading.total);
  content.setAttribute("aria-busy", String(isReading || isBusy()));
}

addEventListener("busychange", sayBusy);
addEventListener("keydown", (event) => {
  const { target, key, ctrlKey, metaKey, altKey } = event;
  const isTyping = target instanceof HTMLInputElement && target.type !== "checkbox" && target.type !== "range";
  if (isTyping || target instanceof HTMLSelectElement || ctrlKey || metaKey || altKey || help.open) return;
  if (key === "o") goTo("");
  else if (key === "c") goTo(...newest());
  else if (key === "d") goTo("compare");
  else if (key === "t") toggleTheme();
  else if (key === "?") help.showModal();
});

show();
void follow(() => {
  const name = shown(known.runs.map(({ key }) => runName(key)).join(", "), 80);
  title.replaceChildren(quoted(name), isExported ? element("small", {}, "exported") : "");
  document.title = `${name} · dogear`;
  if (currentRoute()[0] === "checkpoint" && currentRoute()[1] === undefined) show();
  else view?.update();
  sayBusy();
}, (message) => {
  lost.hidden = message === undefined;
  lost.textContent = message ?? "";
});
