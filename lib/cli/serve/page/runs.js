// @ts-check
/**
 * The runs as the page knows them. The server sends only what changed; this puts it together.
 *
 * @module
 */
import { ask, isExported } from "./api.js";

/** @typedef {import("./api.js").Checkpoint & { key: string, isRemoved: boolean }} Seen A checkpoint that the server has, or had. */
/** @typedef {{ key: string, text: string, location: string, error: string | null, curves: number, forks: import("./api.js").Run["forks"], seen: Map<number, Seen>, reading: { done: number, total: number } }} KnownRun */
/** @typedef {{ id: string, key: string, run: string, text: string, index: number, parent: { run: string | null, checkpoint: number, step?: number | null } | null, checkpoints: Seen[], missing: number }} Line A line of history: the checkpoints of one run, in their order. */
/** @typedef {{ version: number, runs: KnownRun[], lines: Line[] }} Known */

/** @type {Known} */
export const known = { version: 0, runs: [], lines: [] };

/** The numbers of lines by their names, so that a line keeps its colour. */
const indices = new Map();

/**
 * Whether a checkpoint cannot be read.
 *
 * @param {Seen} checkpoint
 */
export function isBad({ verdict }) {
  return verdict === "damaged" || verdict === "unreadable";
}

/**
 * The position of a checkpoint: its step, or without one its number.
 *
 * @param {Seen} checkpoint
 */
export function stepOf({ step, checkpoint }) {
  return step ?? checkpoint;
}

/**
 * Adds what changed.
 *
 * @param {import("./api.js").Runs} answer
 */
function merge(answer) {
  const before = new Map(known.runs.map((run) => [run.key, run]));
  known.runs = answer.runs.map(({ checkpoints, removed, ...about }) => {
    const seen = /** @type {Map<number, Seen>} */ (answer.version < known.version
      ? new Map()
      : before.get(about.key)?.seen ?? new Map());
    for (const one of checkpoints) {
      seen.set(one.checkpoint, { ...one, key: about.key, isRemoved: false });
    }
    for (const number of removed) {
      const one = seen.get(number);
      if (one !== undefined) {
        seen.set(number, { ...one, isRemoved: true });
      }
    }
    return { ...about, seen };
  });
  known.version = answer.version;
  known.lines = known.runs.flatMap(linesOf);
}

/**
 * The lines of history in a run's folder, each after the one that it forked from.
 *
 * @param {KnownRun} run
 * @returns {Line[]}
 */
function linesOf({ key, text, seen, forks, reading }) {
  /** @type {Map<string, Line>} */
  const lines = new Map();
  let last = "";
  for (const one of [...seen.values()].sort((a, b) => a.checkpoint - b.checkpoint)) {
    // A checkpoint that cannot be read is shown with the one before it.
    const run = one.run ?? last;
    last = run;
    const id = `${key} ${run}`;
    // While the newest are read first, the order of the lines is not known yet.
    if (!indices.has(id) && reading.done === reading.total) indices.set(id, indices.size);
    /** @type {Line} */
    const line = lines.get(run) ??
      {
        id,
        key,
        run,
        text,
        index: indices.get(id) ?? indices.size + lines.size,
        parent: null,
        checkpoints: [],
        missing: 0,
      };
    if (line.checkpoints.length === 0) {
      // If the parent was removed, only a log may know where the line forked.
      const forked = forks.find((fork) => fork.run === run)?.parent ?? null;
      line.parent = one.parent !== null && one.parent.run !== null && one.parent.run !== run ? one.parent : forked;
    }
    line.checkpoints.push(one);
    lines.set(run, line);
  }
  for (const line of lines.values()) {
    line.checkpoints.sort((a, b) => stepOf(a) - stepOf(b) || a.checkpoint - b.checkpoint);
  }
  const [first] = lines.values();
  const numbers = [...seen.keys()];
  // Those that are not read yet are no gaps.
  if (first !== undefined && reading.done === reading.total) {
    first.missing = numbers.reduce((a, b) => Math.max(a, b), -1) + 1 - numbers.length;
  }
  return [...lines.values()];
}

/**
 * The checkpoints of a run that can be opened, ascending.
 *
 * @param {string} key
 * @returns {Seen[]}
 */
export function checkpointsOf(key) {
  const seen = known.runs.find((run) => run.key === key)?.seen.values() ?? [];
  return [...seen].filter(({ isRemoved }) => !isRemoved).sort((a, b) => a.checkpoint - b.checkpoint);
}

/**
 * The name of a run: the last parts of its path, as many as tell it from the others.
 *
 * @param {string} key
 */
export function runName(key) {
  const texts = known.runs.map((run) => run.text.replace(/[/\\]+$/, "").split(/[/\\]/));
  const own = texts[known.runs.findIndex((run) => run.key === key)] ?? [];
  for (let parts = 1; parts < own.length; parts++) {
    const name = own.slice(-parts).join("/");
    if (texts.filter((text) => text.slice(-parts).join("/") === name).length === 1) return name;
  }
  return own.join("/");
}

/**
 * The name of a line: that of its run, and the start of its own where the folder has several.
 *
 * @param {Line} line
 */
export function lineName({ key, run }) {
  const isAlone = known.lines.filter((line) => line.key === key).length === 1;
  return isAlone || run === "" ? runName(key) : `${runName(key)} ${run.slice(0, 8)}`;
}

/** How long the page waits before it asks again, in milliseconds; longer while nobody looks. */
const every = 1000;

/**
 * Asks for changes again and again. An exported page is asked once.
 *
 * @param {() => void} onChange Is called after each change.
 * @param {(message: string | undefined) => void} onLost Receives why there is no answer, and undefined when there is one again.
 */
export async function follow(onChange, onLost) {
  for (;;) {
    try {
      const before = known.version;
      const answer = await ask("runs", {}, { since: known.version });
      const isReading = answer.runs.some((/** @type {KnownRun} */ { reading }, /** @type {number} */ i) =>
        reading.done !== known.runs[i]?.reading.done
      );
      const isFirst = known.runs.length !== answer.runs.length || before === 0;
      merge(answer);
      onLost(undefined);
      if (isFirst || isReading || known.version !== before) onChange();
    } catch (error) {
      onLost(error instanceof Error ? error.message : String(error));
    }
    if (isExported) return;
    await new Promise((resolve) => setTimeout(resolve, every));
    if (document.hidden) await new Promise((resolve) => addEventListener("visibilitychange", resolve, { once: true }));
  }
}
