/**
 * The curves of a run: the metrics of its checkpoints, and those of its logs.
 *
 * @module
 */
import { decimate, type Points, type StepSpan } from "./decimate.ts";
import { logsOf, type Watched, type WatchedRun } from "./watch.ts";

// --- types

/** A curve: a metric of one line of history. */
export interface Curve {
  readonly name: string;
  readonly source: "log" | "checkpoints";
  /** The name of the run. */
  readonly line: string;
  readonly points: Points;
}

// --- constructors

const saved = new WeakMap<WatchedRun, { readonly version: number; readonly curves: readonly Curve[] }>();

/** The metrics that checkpoints were labelled with. A checkpoint without a step is at its number. */
function savedCurves(run: WatchedRun): readonly Curve[] {
  const before = saved.get(run);
  if (before?.version === run.curves) return before.curves;
  const found = new Map<string, { name: string; line: string; points: [step: number, value: number][] }>();
  for (const [, { status: { entry } }] of [...run.rows].sort(([a], [b]) => a - b)) {
    for (const [name, value] of Object.entries(entry?.metrics ?? {})) {
      const { run: line, step, checkpoint } = entry!;
      const key = JSON.stringify([name, line]);
      const curve = found.get(key) ?? { name, line, points: [] };
      found.set(key, curve);
      curve.points.push([step ?? checkpoint, value]);
    }
  }
  const curves = [...found.values()].map(({ name, line, points }): Curve => {
    const ordered = points.sort(([a], [b]) => a - b);
    const [steps, values] = [ordered.map(([step]) => step), ordered.map(([, value]) => value)];
    return { name, source: "checkpoints", line, points: { steps, values, length: steps.length } };
  });
  saved.set(run, { version: run.curves, curves });
  return curves;
}

function loggedCurves(watched: Watched, run: WatchedRun): readonly Curve[] {
  return logsOf(watched, run).map((log) => log.state()).flatMap(({ metrics, run: line }) =>
    [...metrics].map(([name, points]): Curve => ({ name, source: "log", line: line ?? "", points }))
  );
}

/** The curves of a run. */
export function curvesOf(watched: Watched, run: WatchedRun): readonly Curve[] {
  return [...loggedCurves(watched, run), ...savedCurves(run)];
}

/** The curves of a run as JSON, with fewer points where there are many, and how much of the logs was read. */
export function curvesJson(watched: Watched, run: WatchedRun, span: StepSpan): Record<string, unknown> {
  const metrics = curvesOf(watched, run).map(({ points, ...about }) => {
    const kept = decimate(points, span);
    return {
      ...about,
      steps: kept.map((i) => points.steps[i]!),
      values: kept.map((i) => points.values[i]!),
      total: points.length,
    };
  });
  const logs = logsOf(watched, run).map((log) => log.state()).filter(({ run: line }) => line !== undefined);
  const sum = (of: "read" | "bytes"): number => logs.reduce((all, log) => all + log[of], 0);
  return { metrics, version: run.curves, reading: { done: sum("read"), total: sum("bytes") } };
}
