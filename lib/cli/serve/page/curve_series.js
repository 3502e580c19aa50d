// @ts-check
/**
 * The curves of a metric as series of a chart.
 *
 * @module
 */
import { known, lineName } from "./runs.js";
import { strokeOf } from "./theme.js";

/** @typedef {import("./api.js").Curve & { key: string }} KeyedCurve A curve, and the key of its run. */
/** @typedef {{ isLog: boolean, smoothing: number, filter: string, hidden: Set<string>, range: [number, number] | undefined }} CurveOptions What the reader of the page chose; `hidden` has the ids of lines. */

/**
 * An exponential moving average, without the bias of its start.
 *
 * @param {(number | null)[]} values
 * @param {number} weight From 0, the values as they are, to below 1.
 * @returns {(number | null)[]}
 */
function smoothed(values, weight) {
  let [mean, sum] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    sum = weight * sum + (1 - weight);
    return mean / sum;
  });
}

/**
 * The numbers of a curve that can be drawn, and what else it has.
 *
 * @param {import("./api.js").Value[]} values
 * @param {number[]} steps
 * @param {boolean} isLog Whether only numbers above 0 can be drawn.
 */
function drawable(values, steps, isLog) {
  const odd = values.flatMap((
    value,
    i,
  ) => (typeof value === "string" && value !== "-0" ? [{ step: steps[i] ?? 0, kind: value }] : []));
  const numbers = values.map(Number).map((value) => (Number.isFinite(value) && (!isLog || value > 0) ? value : null));
  return { odd, numbers };
}

/**
 * The line of history of a curve. A log without a name belongs to the first line of its folder.
 *
 * @param {Pick<KeyedCurve, "key" | "line">} curve
 */
export function lineOf({ key, line }) {
  return known.lines.find((one) => one.key === key && (one.run === line || line === ""));
}

/**
 * Whether a curve is of checkpoints, and its line has the metric in a log too.
 *
 * @param {KeyedCurve} curve
 * @param {KeyedCurve[]} all
 */
export function isLogged({ source, key, line }, all) {
  return source === "checkpoints" &&
    all.some((other) => other.source === "log" && other.key === key && other.line === line);
}

/**
 * The series of one metric. Where a line has it in a log, the values of its checkpoints are dots.
 *
 * @param {KeyedCurve[]} curves
 * @param {CurveOptions} options
 * @returns {import("./chart.js").Series[]}
 */
export function seriesOf(curves, { isLog, smoothing, hidden }) {
  return curves.flatMap((curve) => {
    const of = lineOf(curve);
    if (hidden.has(of?.id ?? "")) return [];
    const { numbers, odd } = drawable(curve.values, curve.steps, isLog);
    const label = `${curve.source} ${of === undefined ? curve.line : lineName(of)}`;
    const base = { label, stroke: strokeOf(of?.index ?? 0), steps: curve.steps, odd };
    if (isLogged(curve, curves)) return [{ ...base, values: numbers, areDots: true }];
    if (smoothing === 0) return [{ ...base, values: numbers }];
    return [
      { ...base, label: `raw ${label}`, values: numbers, isFaint: true, width: 1 },
      { ...base, values: smoothed(numbers, smoothing), width: 2 },
    ];
  });
}
