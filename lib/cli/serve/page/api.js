// @ts-check
/**
 * Questions to the server, or to the data inside a page that was exported.
 *
 * @module
 */

/** @typedef {number | "NaN" | "Infinity" | "-Infinity" | "-0"} Value What JSON lacks is a string. */
/** @typedef {{ checkpoint: number, step: number | null, metrics: Record<string, Value>, note: unknown, time: number | null, bytes: number | null, shared: number | null, run: string | null, parent: { run: string | null, checkpoint: number } | null, verdict: string, error: { _tag: string, problems?: { path: string, kind: string, expected: string, found: string }[] } | null }} Checkpoint */
/** @typedef {{ key: string, text: string, location: string, error: string | null, curves: number, checkpoints: Checkpoint[], removed: number[], forks: { run: string | null, parent: { run: string, checkpoint: number, step: number | null } }[], reading: { done: number, total: number } }} Run */
/** @typedef {{ version: number, title: string, runs: Run[] }} Runs */
/** @typedef {{ name: string, source: "log" | "checkpoints", line: string, steps: number[], values: Value[], total: number }} Curve */
/** @typedef {{ metrics: Curve[], version: number, reading: { done: number, total: number } }} Curves */
/** @typedef {{ name: string, type: string, shape: unknown, parameters: number, trainable: number, depth: number }} Layer */
/** @typedef {{ name: string, layers: Layer[], parameters: number, trainable: number }} Model */
/** @typedef {{ path: string, name: string, dtype: string, shape: number[], bytes: number | null }} TensorEntry */
/** @typedef {Checkpoint & { location: string, environment: Record<string, string>, id: string | null, components: { name: string, kind: string, tensors: number, elements: number, files: string[] }[], models: Model[], optimizers: { name: string, type: string, settings: Record<string, unknown>, slots: { name: string, tensors: number, elements: number }[] }[], schedules: { name: string, kind: string, step: number | null, rates: { steps: number[], values: Value[] } }[], cursors: { name: string, epoch: number | null, position: number | null, length: number | null, fraction: number | null }[], others: { name: string, kind: string, value: string }[], tensors: TensorEntry[] }} Details */
/** @typedef {{ of: string, count: number, nan: number, infinite: number, zeros: number, min: Value, max: Value, mean: Value, deviation: Value, histogram: { from: number, to: number, count: number }[] }} Statistics */
/** @typedef {{ path: string, kind: string, parts: { path: string, dtype?: string, shape?: number[], file?: string }[], statistics: Statistics | null }} TensorAnswer */
/** @typedef {{ checkpoint: number, step: number | null, counts: number[], min: Value, max: Value, mean: Value, deviation: Value, nan: number, infinite: number }} HistogramRow */
/** @typedef {{ edges: number[], rows: HistogramRow[], skipped: { checkpoint: number, message: string }[] }} Histograms */
/** @typedef {{ path: string, kind: string, left?: unknown, right?: unknown, count?: number, largest?: Value, mean?: Value, elements?: number }} Difference */
/** @typedef {{ components: { name: string, differences: number, elements: number }[], differences: Difference[] }} Diff */

const embedded = document.getElementById("data");

/** @type {Map<string, unknown> | undefined} */
const answers = embedded === null ? undefined : new Map(Object.entries(JSON.parse(embedded.textContent ?? "{}")));

/** Whether the page is a file, without a server. */
export const isExported = answers !== undefined;

/** A question that was not answered. */
class AskError extends Error {}

let asking = 0;

/** Whether an answer is awaited that the view needs. */
export function isBusy() {
  return asking > 0;
}

/** @param {1 | -1} by */
function countAsking(by) {
  asking += by;
  dispatchEvent(new Event("busychange"));
}

/**
 * Asks.
 *
 * @param {string} name What is asked for, such as `curves`.
 * @param {Readonly<Record<string, string | number>>} [query] What an exported page has too.
 * @param {Readonly<Record<string, string | number>>} [more] What only a server can take into account.
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} The answer. It rejects with an {@link AskError}.
 */
export async function ask(name, query = {}, more = {}, signal) {
  const path = (/** @type {Readonly<Record<string, string | number>>} */ values) => {
    // An export names its answers in the same way.
    const text = new URLSearchParams(Object.entries(values).map(([key, value]) => [key, `${value}`])).toString();
    return text === "" ? `api/${name}` : `api/${name}?${text}`;
  };
  const isView = name !== "runs";
  if (isView) countAsking(1);
  try {
    return answerOf(
      answers === undefined ? await fetched(path({ ...query, ...more }), signal) : answers.get(path(query)),
    );
  } finally {
    if (isView) countAsking(-1);
  }
}

/** @param {unknown} found */
function answerOf(found) {
  if (found === undefined) throw new AskError("This is not in the exported page. Run dogear serve to see it.");
  const { error } = /** @type {{ error?: { message?: string } }} */ (found);
  if (typeof error?.message === "string") throw new AskError(error.message);
  return found;
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<unknown>}
 */
async function fetched(path, signal) {
  const response = await fetch(path, signal ? { signal } : {}).catch((cause) => {
    if (signal?.aborted) throw cause;
    throw new AskError("The server does not answer. Is dogear serve still running?");
  });
  return await response.json();
}
