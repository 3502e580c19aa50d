// @ts-check
/**
 * The first view: the timeline and the curves of all runs.
 *
 * @module
 */
import { curves } from "./curves.js";
import { element, problem, quoted, section } from "./dom.js";
import { linkTo } from "./route.js";
import { checkpointsOf, isBad, known, runName } from "./runs.js";
import { shown } from "./text.js";
import { timeline } from "./timeline.js";

/**
 * What has to be said before all else: runs that cannot be opened, are empty, or are damaged.
 *
 * @returns {HTMLElement[]}
 */
function notices() {
  return known.runs.flatMap(({ key, error, reading }) => {
    const name = () => quoted(shown(runName(key), 80));
    if (error !== null) return [problem(error, name(), ": ")];
    if (reading.total === 0) {
      return [element("p", { class: "notice" }, name(), ": no checkpoint yet. It appears here when it is saved.")];
    }
    const bad = checkpointsOf(key).filter(isBad).slice(-5);
    const links = bad.map(({ checkpoint }) =>
      element("a", { href: linkTo("checkpoint", key, checkpoint) }, `checkpoint ${checkpoint}`)
    );
    const listed = links.flatMap((link, i) => (i === 0 ? [link] : [", ", link]));
    const damaged = bad.length === 0 ? [] : [element("p", { class: "notice bad" }, name(), ": damaged: ", listed)];
    const isReading = reading.done < reading.total;
    const progress = element(
      "p",
      { class: "notice" },
      name(),
      `: ${reading.done} of ${reading.total} checkpoints are read`,
    );
    return isReading ? [...damaged, progress] : damaged;
  });
}

/**
 * Makes the view.
 *
 * @returns {import("./dom.js").View}
 */
export function overview() {
  const [line, all] = [timeline(), curves()];
  const said = element("div");
  const node = element(
    "div",
    { class: "overview" },
    said,
    section("Checkpoints", line.node),
    section("Curves", all.node),
  );
  return {
    node,
    update: () => {
      said.replaceChildren(...notices());
      line.update();
      all.update();
    },
    destroy: () => {
      line.destroy();
      all.destroy();
    },
  };
}
