// @ts-check
/**
 * The view that the address names, so that it can be linked, and the browser goes back and forward.
 *
 * @module
 */

/**
 * The parts of the address after `#/`.
 *
 * @returns {string[]}
 */
export function currentRoute() {
  return location.hash.replace(/^#\/?/, "").split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

/**
 * The address of a view.
 *
 * @param {...(string | number)} parts
 * @returns {string}
 */
export function linkTo(...parts) {
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
}

/**
 * Goes to a view.
 *
 * @param {...(string | number)} parts
 */
export function goTo(...parts) {
  location.hash = linkTo(...parts);
}
