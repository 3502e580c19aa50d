/**
 * The runs that a page shows, followed while somebody looks.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Store } from "../../store/mod.ts";
import { messageOf } from "../arguments.ts";
import { type CheckpointStatus, checkpointStatus, statusJson } from "../checkpoint_status.ts";
import { findCheckpoints, type OpenRun, type Reference, runsIn } from "../reference.ts";
import type { OpenUrl } from "../stores.ts";

// --- types

/** A checkpoint that was read, and the version in which it changed. */
interface Row {
  readonly status: CheckpointStatus;
  readonly version: number;
}

/** A run that the page shows. */
export interface WatchedRun {
  readonly key: string;
  readonly text: string;
  readonly location: string;
  readonly store: Store | undefined;
  readonly error: string | null;
  readonly rows: Map<number, Row>;
  readonly removed: Map<number, number>;
  /** The numbers that are not read yet, ascending. */
  pending: number[];
}

/** The runs, and how to look at them again. */
export interface Watch {
  readonly look: () => Promise<void>;
  readonly run: (key: string) => WatchedRun | undefined;
  readonly runs: () => readonly WatchedRun[];
  readonly answer: (since: number) => unknown;
}

// --- constructors

const lookEvery = 900;

export function watch(references: readonly Reference[], open: OpenUrl): Watch {
  let version = 0;
  let looked = -Infinity;
  let looking: Promise<void> | undefined;
  const keys = new Map<string, string>();
  const known = new Map<string, WatchedRun>();
  let shown: readonly WatchedRun[] = [];

  const update = (found: OpenRun): WatchedRun => {
    const { text, store, numbers } = found;
    const { location } = store;
    const key = keys.get(location) ?? `${keys.size}`;
    keys.set(location, key);
    const before = known.get(key);
    const run: WatchedRun = before ??
      { key, text, location, store, error: null, rows: new Map(), removed: new Map(), pending: [] };
    known.set(key, run);
    const present = new Set(numbers);
    for (const number of run.rows.keys()) {
      if (present.has(number)) continue;
      run.rows.delete(number);
      run.removed.set(number, ++version);
    }
    run.pending = numbers.filter((number) => !run.rows.has(number));
    return run;
  };

  const read = async (run: WatchedRun): Promise<void> => {
    while (run.pending.length > 0) {
      const number = run.pending.pop()!;
      const status = await checkpointStatus(run.store!, number, false)();
      if (E.isRight(status)) {
        run.removed.delete(number);
        run.rows.set(number, { status: status.right, version: ++version });
      }
    }
  };

  const lookNow = async (): Promise<void> => {
    const runs: WatchedRun[] = [];
    for (const reference of references) {
      const found = await pipe(findCheckpoints(reference, open), TE.flatMap(runsIn(open)))();
      if (E.isRight(found)) runs.push(...found.right.map(update));
      else {
        const key = keys.get(reference.run) ?? `${keys.size}`;
        keys.set(reference.run, key);
        runs.push({
          key,
          text: reference.text,
          location: reference.run,
          store: undefined,
          error: messageOf(found.left),
          rows: new Map(),
          removed: new Map(),
          pending: [],
        });
      }
    }
    shown = runs;
    looked = performance.now();
    await Promise.race([Promise.all(runs.map(read)), new Promise((resolve) => setTimeout(resolve, 200))]);
  };

  const rowJson = (run: WatchedRun, { status }: Row): unknown => {
    const { parent = null } = status;
    const parentRun = parent === null ? null : run.rows.get(parent)?.status.entry?.run ?? null;
    return { ...statusJson(status), parent: parent === null ? null : { run: parentRun, checkpoint: parent } };
  };

  return {
    look: async () => {
      if (looking === undefined && performance.now() - looked >= lookEvery) {
        looking = lookNow().finally(() => looking = undefined);
      }
      await looking;
    },
    run: (key) => shown.find((run) => run.key === key),
    runs: () => shown,
    answer: (since) => ({
      version,
      title: references.map(({ text }) => text).join(", "),
      runs: shown.map((run) => ({
        key: run.key,
        text: run.text,
        location: run.location,
        error: run.error,
        checkpoints: [...run.rows].sort(([a], [b]) => a - b).flatMap(([, row]) =>
          row.version > since ? [rowJson(run, row)] : []
        ),
        removed: [...run.removed].flatMap(([number, at]) => at > since && since > 0 ? [number] : []),
        reading: { done: run.rows.size, total: run.rows.size + run.pending.length },
      })),
    }),
  };
}
