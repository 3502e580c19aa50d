// @ts-check
/**
 * The curves of all runs, asked for when they change.
 *
 * @module
 */
import { ask } from "./api.js";
import { known } from "./runs.js";

/** @typedef {import("./curve_series.js").KeyedCurve} KeyedCurve */

/**
 * Holds the curves by the name of their metric.
 *
 * @param {() => void} onChange
 */
export function curveData(onChange) {
  /** @type {Map<string, KeyedCurve[]>} */
  let metrics = new Map();
  /** @type {Map<string, number>} The version of each run's curves that is held. */
  const versions = new Map();
  /** @type {[number, number] | undefined} */
  let range;
  let [isAsking, isStale] = [false, false];

  /** @type {(key: string, curves: import("./api.js").Curve[]) => void} */
  function replace(key, curves) {
    /** @type {Map<string, KeyedCurve[]>} */
    const next = new Map([...metrics].map(([name, old]) => [name, old.filter((one) => one.key !== key)]));
    for (const one of curves) next.set(one.name, [...next.get(one.name) ?? [], { ...one, key }]);
    metrics = new Map([...next].filter(([, own]) => own.length > 0));
  }

  /** @type {(run: import("./runs.js").KnownRun) => Promise<void>} */
  async function fetchRun({ key, curves, error }) {
    if (error !== null || versions.get(key) === curves) return;
    const asked = range;
    /** @type {Record<string, number>} */
    const span = range === undefined ? {} : { from: range[0], to: range[1] };
    try {
      /** @type {import("./api.js").Curves} */
      const answer = await ask("curves", { run: key }, span);
      if (asked !== range) return;
      // While a long log is read, there is more to come although no checkpoint is new.
      versions.set(key, answer.reading.done < answer.reading.total ? -1 : curves);
      replace(key, answer.metrics);
    } catch {
      // The bar at the top says that the server is lost.
    }
    onChange();
  }

  /** Asks for what has changed. */
  async function refresh() {
    if (isAsking) return void (isStale = true);
    isAsking = true;
    do {
      isStale = false;
      for (const run of known.runs) await fetchRun(run);
    } while (isStale);
    isAsking = false;
  }

  return {
    all: () => metrics,
    of: (/** @type {string} */ name) => metrics.get(name) ?? [],
    refresh,
    /** Asks for the curves of some steps, with more points; undefined for all steps. */
    zoom: (/** @type {[number, number] | undefined} */ next) => {
      range = next;
      versions.clear();
      void refresh();
    },
  };
}
