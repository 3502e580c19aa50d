// @ts-check
/**
 * Elements of the page. Text goes in as text alone, so that nothing in it is ever markup.
 *
 * @module
 */

import { shown } from "./text.js";

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {{ node: HTMLElement, update: () => void, destroy: () => void }} View What the page shows. It is updated when the runs change. */
/** @typedef {Readonly<Record<string, unknown>>} Properties Attributes, and functions for events such as `onclick`. */

/**
 * Gives an element properties and children.
 *
 * @template {Element} E
 * @param {E} target
 * @param {Properties} properties
 * @param {readonly (Child | readonly Child[])[]} children
 * @returns {E}
 */
function filled(target, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") target.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) target.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) target.setAttribute(name, String(value));
  }
  for (const child of /** @type {Child[]} */ (children.flat())) {
    if (child !== null && child !== undefined && child !== false) {
      target.append(child instanceof Node ? child : String(child));
    }
  }
  return target;
}

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Properties} [properties]
 * @param {...(Child | readonly Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/**
 * Makes an element of SVG.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Properties} [properties]
 * @param {...(Child | readonly Child[])} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

/**
 * A text of a run, which keeps its direction to itself.
 *
 * @param {string} text
 * @returns {HTMLElement}
 */
export function quoted(text) {
  return element("bdi", {}, text);
}

/**
 * A table.
 *
 * @param {readonly (readonly [title: string, kind?: "number" | "code"])[]} columns
 * @param {readonly (readonly Child[])[]} rows
 * @param {string} label What it shows, for readers of screens.
 * @returns {HTMLElement}
 */
export function table(columns, rows, label) {
  const head = columns.map(([title, kind]) => element("th", { scope: "col", class: kind }, title));
  const body = rows.map((row) =>
    element("tr", {}, row.map((cell, i) => element("td", { class: columns[i]?.[1] }, cell)))
  );
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, body)),
  );
}

/**
 * Names and values.
 *
 * @param {readonly (readonly [name: string, value: Child | readonly Child[]])[]} facts Those without a value are left out.
 * @returns {HTMLElement}
 */
export function factList(facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element(
    "dl",
    { class: "facts" },
    known.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

/**
 * What went wrong, in the lines of its message.
 *
 * @param {string} message
 * @param {...Child} before
 * @returns {HTMLElement}
 */
export function problem(message, ...before) {
  const lines = message.split("\n").slice(0, 40).map((line) => quoted(shown(line, 400)));
  return element(
    "div",
    { class: "notice bad" },
    lines.map((line, i) => element("p", {}, i === 0 ? before : null, line)),
  );
}

/**
 * A part of a view, with a heading.
 *
 * @param {string} title
 * @param {...(Child | readonly Child[])} children
 * @returns {HTMLElement}
 */
export function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}
