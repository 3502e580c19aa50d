/**
 * The runs that a page shows, polled while a page asks.
 *
 * A store is looked at once a second at most. New checkpoints are read a few at a time, the newest first, and an answer does not wait for all of
 * them. Each change has a version, so that a page gets only what is new to it.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { resolve } from "node:path";
import type { Store } from "../../store/mod.ts";
import { messageOf } from "../arguments.ts";
import { type CheckpointStatus, checkpointStatus, statusJson } from "../checkpoint_status.ts";
import { jsonText } from "../format.ts";
import { findCheckpoints, type OpenRun, type Reference, runsAt } from "../reference.ts";
import { logPaths } from "../run_logs.ts";
import { isUrl, type OpenUrl } from "../stores.ts";
import { type Follower, follower } from "./log_file.ts";

// --- types

/** A checkpoint as it was read. */
export interface WatchedCheckpoint {
  readonly status: CheckpointStatus;
  /** Its status as JSON, to notice changes. */
  readonly text: string;
  /** The version in which it changed last. */
  readonly version: number;
  /** When it was read. */
  readonly at: number;
}

/** A run that the page shows. */
export interface WatchedRun {
  readonly key: string;
  readonly text: string;
  readonly location: string;
  /** Undefined if the run cannot be opened. */
  readonly store: Store | undefined;
  readonly error: string | null;
  readonly rows: Map<number, WatchedCheckpoint>;
  /** The checkpoints that were removed, and in which version. */
  readonly removed: Map<number, number>;
  /** The numbers that are to be read, the next one last. */
  pending: number[];
  /** The checkpoints after those that are not read, by the number of the one before. */
  readonly after: Map<number, number[]>;
  /** The numbers that are being read. */
  readonly busy: Set<number>;
  /** The logs in the folder of the run, and those that belong to it, by path. */
  readonly logs: Map<string, Follower>;
  /** The version in which a metric changed last. */
  curves: number;
}

/** What is watched. */
export interface Watched {
  readonly references: readonly Reference[];
  /** Logs that were named apart from the runs. */
  readonly logs: readonly Follower[];
  readonly open: OpenUrl;
  /** The runs as of the last look. */
  shown: readonly WatchedRun[];
  /** Every run that was ever seen, by location. */
  readonly known: Map<string, WatchedRun>;
  version: number;
  lookedAt: number;
  askedAt: number;
  looking: Promise<void> | undefined;
  /** The reading of checkpoints, and of logs. */
  reading: Promise<unknown> | undefined;
  following: Promise<void> | undefined;
}

/** The least time between two looks at a store, in milliseconds. */
const lookEvery = 1000;

/** How long an answer waits for a look that is due soon, or for what is being read. */
const patience = 250;

/** After how long without a request reading stops. */
const idleAfter = 5000;

/** How many checkpoints are read at once. */
const readers = 8;

/** For how long reading may keep the event loop busy. */
const longestWork = 20;

/** How many known checkpoints each look checks again, those that were checked longest ago: their files may be damaged meanwhile. */
const checkedAgain = 8;

// --- constructors

/** Watches the runs of references. The first request looks at them. */
export function watch(references: readonly Reference[], open: OpenUrl, logs: readonly string[] = []): Watched {
  return {
    references,
    logs: logs.map((path) => follower(resolve(path))),
    open,
    shown: [],
    known: new Map(),
    version: 1,
    lookedAt: -Infinity,
    askedAt: -Infinity,
    looking: undefined,
    reading: undefined,
    following: undefined,
  };
}

function watchedAt(
  watched: Watched,
  location: string,
  about: Pick<WatchedRun, "text" | "store" | "error">,
): WatchedRun {
  const before = watched.known.get(location);
  const run: WatchedRun = before?.error === about.error && before.text === about.text ? before : {
    key: `${watched.known.size}`,
    location,
    rows: new Map(),
    removed: new Map(),
    pending: [],
    busy: new Set(),
    after: new Map(),
    logs: new Map(),
    curves: watched.version,
    ...before,
    ...about,
  };
  watched.known.set(location, run);
  return run;
}

// --- looking

/** Notes which checkpoints a run has. */
function noteNumbers(watched: Watched, run: WatchedRun, numbers: readonly number[]): void {
  const { rows, removed, location } = run;
  const present = new Set(numbers);
  for (const number of rows.keys()) {
    if (present.has(number)) continue;
    rows.delete(number);
    removed.set(number, ++watched.version);
    run.curves = watched.version;
  }
  const unread = numbers.filter((number) => !rows.has(number) && !run.busy.has(number));
  // Every check of a file in a bucket is a request.
  const again = isUrl(location) ? [] : [...rows].sort(([, a], [, b]) => a.at - b.at).slice(0, checkedAgain);
  run.pending = [...again.map(([number]) => number), ...unread];
}

async function noteLogs({ location, logs }: WatchedRun): Promise<void> {
  const paths = await logPaths(location)();
  const found = new Set(E.isRight(paths) ? paths.right : []);
  for (const path of found) if (!logs.has(path)) logs.set(path, follower(path));
  for (const path of logs.keys()) if (!found.has(path)) logs.delete(path);
}

async function runsNow(watched: Watched): Promise<readonly WatchedRun[]> {
  const { references, open } = watched;
  const runs = new Map<string, WatchedRun>();
  const add = (run: WatchedRun): void => void runs.set(run.key, run);
  for (const reference of references) {
    const found = await pipe(findCheckpoints(reference, open), TE.flatMap(runsAt(open)))();
    if (E.isLeft(found)) {
      const error = messageOf(found.left);
      const location = isUrl(reference.run) ? reference.run : resolve(reference.run);
      add(watchedAt(watched, location, { text: reference.text, store: undefined, error }));
      continue;
    }
    // A folder gives its names in any order.
    const inOrder = found.right.runs.toSorted((a: OpenRun, b: OpenRun) => a.text < b.text ? -1 : 1);
    for (const { text, store, numbers } of inOrder) {
      const run = watchedAt(watched, store.location, { text, store, error: null });
      noteNumbers(watched, run, numbers);
      await noteLogs(run);
      add(run);
    }
  }
  return [...runs.values()];
}

// --- reading

/** Notes the status of a checkpoint. */
function noteStatus(watched: Watched, run: WatchedRun, status: CheckpointStatus): void {
  const { rows, removed, after } = run;
  const { checkpoint, entry, parent = null } = status;
  const before = rows.get(checkpoint);
  const text = jsonText([statusJson(status), parent]);
  if (before?.text === text) return void rows.set(checkpoint, { ...before, at: performance.now() });
  rows.set(checkpoint, { status, text, version: ++watched.version, at: performance.now() });
  removed.delete(checkpoint);
  run.curves = watched.version;
  if (parent !== null && !rows.has(parent)) after.set(parent, [...after.get(parent) ?? [], checkpoint]);
  // Those that forked from this one are sent again, now that the run of their parent is known.
  for (const number of after.get(checkpoint) ?? []) {
    const row = rows.get(number);
    if (row !== undefined && row.status.entry?.run !== entry?.run) {
      rows.set(number, { ...row, version: ++watched.version });
    }
  }
  after.delete(checkpoint);
}

function isAsked(watched: Watched): boolean {
  return performance.now() < watched.askedAt + idleAfter;
}

async function readStatuses(watched: Watched, pace: { rested: number }): Promise<void> {
  while (isAsked(watched)) {
    // Manifests that are in memory would keep the event loop busy.
    if (performance.now() - pace.rested > longestWork) {
      await sleep(0);
      pace.rested = performance.now();
    }
    const run = watched.shown.find(({ store, pending }) => store !== undefined && pending.length > 0);
    const number = run?.pending.pop();
    if (run?.store === undefined || number === undefined) return;
    run.busy.add(number);
    const status = await checkpointStatus(run.store, number, false)().catch(() => undefined);
    run.busy.delete(number);
    // It may have been removed meanwhile.
    if (status !== undefined && E.isRight(status)) noteStatus(watched, run, status.right);
  }
}

/** The run that a log belongs to, if it is not in the folder of a run: the one that has saved under its name, otherwise the first. */
function ownerOf({ shown }: Watched, log: Follower): WatchedRun | undefined {
  const { run: name } = log.state();
  const isOf = ({ rows }: WatchedRun): boolean => [...rows.values()].some(({ status }) => status.entry?.run === name);
  return shown.find((run) => name !== null && name !== undefined && isOf(run)) ?? shown[0];
}

async function readLogs(watched: Watched): Promise<void> {
  const goesOn = (): boolean => isAsked(watched);
  for (const run of watched.shown) {
    for (const log of run.logs.values()) if (await log.follow(goesOn)) run.curves = ++watched.version;
  }
  for (const log of watched.logs) {
    const hasChanged = await log.follow(goesOn);
    const owner = ownerOf(watched, log);
    if (owner !== undefined && hasChanged) owner.curves = ++watched.version;
  }
}

/** Every log of a run. */
export function logsOf(watched: Watched, run: WatchedRun): readonly Follower[] {
  const own = new Set([...run.logs.values()].map((log) => log.state().path));
  const others = watched.logs.filter((log) => ownerOf(watched, log) === run && !own.has(log.state().path));
  return [...run.logs.values(), ...others];
}

/** Reads what is to be read, unless that is going on already. A long log keeps no checkpoint waiting. */
function readAll(watched: Watched): Promise<unknown> {
  const pace = { rested: performance.now() };
  watched.reading ??= Promise.all(Array.from({ length: readers }, () => readStatuses(watched, pace)))
    .finally(() => watched.reading = undefined);
  watched.following ??= readLogs(watched).finally(() => watched.following = undefined);
  return Promise.all([watched.reading, watched.following]);
}

async function lookNow(watched: Watched): Promise<void> {
  const before = new Set(watched.shown.map(({ key }) => key));
  watched.shown = await runsNow(watched);
  // A page forgets a run that vanishes, so that one that is back is sent whole.
  for (const { rows } of watched.shown.filter(({ key }) => !before.has(key))) {
    for (const [number, row] of rows) rows.set(number, { ...row, version: ++watched.version });
  }
  watched.lookedAt = performance.now();
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Looks at the stores if the last look was a second ago, and reads what is new, for as long as an answer may take. */
export async function look(watched: Watched): Promise<void> {
  watched.askedAt = performance.now();
  const due = watched.lookedAt + lookEvery - watched.askedAt;
  if (due > 0 && due < patience) await sleep(due);
  if (due < patience) watched.looking ??= lookNow(watched).finally(() => watched.looking = undefined);
  await watched.looking;
  await Promise.race([readAll(watched), sleep(patience)]);
}

/** Looks at the stores, and reads all of what is new. */
export async function readWhole(watched: Watched): Promise<void> {
  watched.askedAt = Infinity;
  await lookNow(watched);
  await readAll(watched);
}

// --- answers

/** The numbers of the checkpoints that a run has, ascending, also of those that are still to be read. */
export function numbersOf({ rows, pending, busy }: WatchedRun): readonly number[] {
  return [...new Set([...rows.keys(), ...pending, ...busy])].sort((a, b) => a - b);
}

function rowJson({ rows }: WatchedRun, { status }: WatchedCheckpoint): unknown {
  const { parent = null } = status;
  const run = parent === null ? null : rows.get(parent)?.status.entry?.run ?? null;
  return { ...statusJson(status), parent: parent === null ? null : { run, checkpoint: parent } };
}

/** The run of a key. */
export function runOf({ shown }: Watched, key: string): WatchedRun | undefined {
  return shown.find((run) => run.key === key);
}

/** The runs as JSON: of each, the checkpoints that changed after a version. */
export function runsJson(watched: Watched, since: number): Record<string, unknown> {
  const { version, references, shown } = watched;
  const from = since > version ? 0 : since;
  return {
    version,
    title: references.map(({ text }) => text).join(", "),
    runs: shown.map((run) => {
      const changed = [...run.rows].filter(([, row]) => row.version > from).sort(([a], [b]) => a - b);
      const total = numbersOf(run).length;
      return {
        key: run.key,
        text: run.text,
        location: run.location,
        error: run.error,
        curves: run.curves,
        checkpoints: changed.map(([, row]) => rowJson(run, row)),
        forks: logsOf(watched, run).flatMap(({ state }) => {
          const { run: name, parent } = state();
          return parent === null ? [] : [{ run: name, parent }];
        }),
        removed: from === 0 ? [] : [...run.removed].flatMap(([number, at]) => at > from ? [number] : []),
        reading: { done: run.rows.size, total },
      };
    }),
  };
}
